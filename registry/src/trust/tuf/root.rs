//! The roots of trust domains: the registry's, and those of organizations that want their own.

use hallmark_signer::tuf::{Flaw, RootContent, check_successor};
use hallmark_signer::{RootPlan, TufRefused};
use hallmark_storage::metadata::{self, AccountId, Event, PrincipalId, RepositoryId, TrustDialect, TrustRoot, Tx};
use serde_json::json;

use super::{DOMAIN, TufError};
use crate::app::App;

/// Why a root is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The signer refuses or fails.
    #[error(transparent)]
    Signer(#[from] TufRefused),
    /// It does not follow from the root that holds.
    #[error("the root does not follow from version {0}: {1}")]
    Refused(i64, Flaw),
    /// Another root was published meanwhile.
    #[error("another root was published meanwhile")]
    Overtaken,
    /// The domain has none yet.
    #[error("there is no root of this trust domain")]
    Unknown,
}

/// The domain of an organization.
pub(crate) fn of_organization(account: AccountId) -> String {
    format!("tuf1/organization/{account}")
}

/// The domain that a repository belongs to.
pub(super) async fn domain_of(app: &App, repository: RepositoryId) -> Result<String, metadata::Error> {
    let own = app.metadata.trust_root_of(repository).await?;
    Ok(own.map_or_else(|| DOMAIN.to_owned(), |root| root.domain))
}

/// The root that holds for a repository.
pub(super) async fn of_repository(app: &App, repository: RepositoryId) -> Result<TrustRoot, TufError> {
    match app.metadata.trust_root_of(repository).await? {
        Some(root) => Ok(root),
        None => first(app, DOMAIN).await,
    }
}

/// The root of a domain that holds, made where there is none: for the registry at the first start.
///
/// # Errors
/// [`TufError`]
pub(crate) async fn first(app: &App, domain: &str) -> Result<TrustRoot, TufError> {
    if let Some(root) = app.metadata.trust_root(domain, None).await? {
        return Ok(root);
    }
    let now = app.clock.now();
    let body = app.signer.first_root(domain, now).await?;
    let made = TrustRoot { domain: domain.to_owned(), version: 1, body };
    let kept: Result<(), metadata::Error> = app
        .metadata
        .write((made, now), |tx, (made, now)| {
            Box::pin(async move {
                if tx.add_trust_root(made, *now).await? {
                    record(tx, (made, PrincipalId::SYSTEM, ""), *now).await?;
                    if made.domain != DOMAIN {
                        tx.renew_all_trust(TrustDialect::Tuf).await?;
                    }
                }
                Ok(())
            })
        })
        .await;
    kept?;
    app.metadata.trust_root(domain, None).await?.ok_or(TufError::Damaged)
}

/// A draft of the root that may follow the one that holds; see [`RootPlan`].
///
/// # Errors
/// [`RootError`]
pub(crate) async fn draft(app: &App, domain: &str, plan: RootPlan) -> Result<Vec<u8>, RootError> {
    let current = app.metadata.trust_root(domain, None).await?.ok_or(RootError::Unknown)?;
    Ok(app.signer.next_root(domain, &current.body, plan, app.clock.now()).await?)
}

/// Publishes the next root of a domain: it holds from then on, and whatever is signed by keys that it names no more is signed
/// anew before it is read again.
///
/// # Errors
/// [`RootError`]; the root that held holds on.
pub(crate) async fn publish(
    app: &App,
    domain: &str,
    next: &[u8],
    (actor, request_id): (PrincipalId, &str),
) -> Result<RootContent, RootError> {
    let now = app.clock.now();
    let current = app.metadata.trust_root(domain, None).await?.ok_or(RootError::Unknown)?;
    let body = app.signer.endorse_root(domain, &current.body, next, now).await?;
    let content = check_successor(&current.body, &body).map_err(|flaw| RootError::Refused(current.version, flaw))?;
    let made = TrustRoot { domain: domain.to_owned(), version: current.version + 1, body };
    let change = (made, (actor, request_id.to_owned()), now);
    let made = app.metadata.write(change, |tx, change| Box::pin(keep(tx, change))).await?;
    // A key that nothing names signs nothing any more. Left over after a crash, it goes with the next root.
    app.signer.retire(domain, &made.body).await?;
    Ok(content)
}

/// Gives the role that names tags a new key.
///
/// # Errors
/// [`RootError`]
pub(crate) async fn rotate_tags(app: &App, domain: &str, actor: (PrincipalId, &str)) -> Result<TrustRoot, RootError> {
    let now = app.clock.now();
    let current = app.metadata.trust_root(domain, None).await?.ok_or(RootError::Unknown)?;
    app.signer.rotate_tags(domain, now).await?;
    let change = (current.clone(), (actor.0, actor.1.to_owned()), now);
    let renewed: Result<(), metadata::Error> = app
        .metadata
        .write(change, |tx, (root, (actor, request_id), now)| {
            Box::pin(async move {
                tx.renew_all_trust(TrustDialect::Tuf).await?;
                let payload = json!({"role": "tags"}).to_string();
                let event = event((root, *actor, request_id), "trust_key_rotated", &payload, *now);
                tx.record(&event).await
            })
        })
        .await;
    renewed?;
    app.signer.retire(domain, &current.body).await?;
    Ok(current)
}

async fn keep(
    tx: &mut Tx,
    (made, (actor, request_id), now): &(TrustRoot, (PrincipalId, String), i64),
) -> Result<TrustRoot, RootError> {
    if !tx.add_trust_root(made, *now).await? {
        return Err(RootError::Overtaken);
    }
    tx.renew_all_trust(TrustDialect::Tuf).await?;
    record(tx, (made, *actor, request_id), *now).await?;
    Ok(made.clone())
}

async fn record(tx: &mut Tx, of: (&TrustRoot, PrincipalId, &str), now: i64) -> Result<(), metadata::Error> {
    let sum = ring::digest::digest(&ring::digest::SHA256, &of.0.body);
    let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let payload = json!({"version": of.0.version, "sha256": hex}).to_string();
    tx.record(&event(of, "trust_root_published", &payload, now)).await
}

fn event<'e>(
    (root, actor, request_id): (&'e TrustRoot, PrincipalId, &'e str),
    kind: &'static str,
    payload: &'e str,
    at: i64,
) -> Event<'e> {
    Event { actor, kind, account: None, repository: None, subject: &root.domain, payload, request_id, at }
}
