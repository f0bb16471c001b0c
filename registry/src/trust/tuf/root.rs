//! The roots of trust domains: the registry's, and those of organizations that want their own.

use hallmark_signer::tuf::{Flaw, RootContent, RootRole, check_successor};
use hallmark_signer::{RootPlan, TufRefused};
use hallmark_storage::metadata::{self, AccountId, Event, PrincipalId, RepositoryId, TrustDialect, TrustRoot, Tx};
use serde_json::json;

use super::{DOMAIN, TufError, shelf};
use crate::app::App;

/// How many roots a domain may have within an hour: a client reads each of them, and reads a few hundred at most.
const ROOTS: i64 = 10;
const HOUR: i64 = 60 * 60 * 1_000;

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
    /// Roots follow one another so fast that clients would have to read many.
    #[error("the domain had {ROOTS} roots, or as many keys for its tags, within the last hour; wait")]
    Many,
    /// Another root was published meanwhile.
    #[error("another root was published meanwhile")]
    Overtaken,
    /// The domain has none yet.
    #[error("there is no root of this trust domain")]
    Unknown,
}

impl RootError {
    /// Whether it is about the root that was worked on, and not that something was away.
    pub(crate) fn is_of_the_root(&self) -> bool {
        matches!(
            self,
            Self::Refused(..)
                | Self::Signer(
                    TufRefused::Root(_) | TufRefused::NoKey(_) | TufRefused::Plan(_) | TufRefused::OtherRoot { .. }
                )
        )
    }
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

/// The domain that a repository belongs to, as a change sees it.
pub(super) async fn domain_in(tx: &mut Tx, repository: RepositoryId) -> Result<String, metadata::Error> {
    let own = tx.trust_root_of(repository).await?;
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
    let by = By { actor: PrincipalId::SYSTEM, request_id: String::new(), account: None };
    let made = make(app, domain, &by).await?;
    let change = (made, by, app.clock.now());
    let kept: Result<(), metadata::Error> =
        app.metadata.write(change, |tx, (made, by, now)| Box::pin(begin(tx, made, by, *now))).await;
    kept?;
    app.metadata.trust_root(domain, None).await?.ok_or(TufError::Damaged)
}

/// The first root of a domain, which [`begin`] lets hold.
///
/// # Errors
/// [`TufError`]
pub(crate) async fn make(app: &App, domain: &str, by: &By) -> Result<TrustRoot, TufError> {
    let body = app.signer.first_root(domain, &by.caller(), app.clock.now()).await?;
    Ok(TrustRoot { domain: domain.to_owned(), version: 1, body })
}

/// Lets the first root of a domain hold, where there is none.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(tx: &mut Tx, made: &TrustRoot, by: &By, now: i64) -> Result<(), metadata::Error> {
    if by.account.is_some() {
        // Who publishes for the first time under the registry's root ends before, or sees this one.
        tx.hold_newest_root(DOMAIN).await?;
    }
    if !tx.add_trust_root(made, now).await? {
        return Ok(());
    }
    // That of the registry itself is there from the start, by nobody's doing.
    if by.account.is_none() {
        return Ok(());
    }
    tx.renew_all_trust(TrustDialect::Tuf, by.account).await?;
    shelf::changed(tx, now, &made.domain).await?;
    record(tx, made, by, now).await
}

/// A draft of the root that may follow the one that holds; see [`RootPlan`].
///
/// # Errors
/// [`RootError`]
pub(crate) async fn draft(app: &App, domain: &str, plan: RootPlan, by: &By) -> Result<Vec<u8>, RootError> {
    let current = app.metadata.trust_root(domain, None).await?.ok_or(RootError::Unknown)?;
    Ok(app.signer.next_root(domain, &current.body, plan, (&by.caller(), app.clock.now())).await?)
}

/// A root that may follow the one that holds: signed as both say. [`keep`] lets it hold.
///
/// # Errors
/// [`RootError`]
pub(crate) async fn successor(
    app: &App,
    domain: &str,
    next: &[u8],
    by: &By,
) -> Result<(TrustRoot, RootContent), RootError> {
    let now = app.clock.now();
    let current = app.metadata.trust_root(domain, None).await?.ok_or(RootError::Unknown)?;
    if app.metadata.trust_roots_since(domain, now - HOUR).await? >= ROOTS {
        return Err(RootError::Many);
    }
    let body = app.signer.endorse_root(domain, &current.body, next, (&by.caller(), now)).await?;
    let content = check_successor(&current.body, &body).map_err(|flaw| RootError::Refused(current.version, flaw))?;
    Ok((TrustRoot { domain: domain.to_owned(), version: current.version + 1, body }, content))
}

/// Whether a root leaves the root's own keys with whoever holds them.
///
/// # Errors
/// The database's.
pub(crate) async fn keeps_holders(app: &App, domain: &str, next: &RootContent) -> Result<bool, metadata::Error> {
    let current = app.metadata.trust_root(domain, None).await?;
    let current = current.and_then(|current| RootContent::read(&current.body).ok());
    Ok(current.is_some_and(|current| current.roles.get(&RootRole::Root) == next.roles.get(&RootRole::Root)))
}

/// Who changes a domain, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// Who.
    pub(crate) actor: PrincipalId,
    /// By which request.
    pub(crate) request_id: String,
    /// The organization whose domain it is; `None` for the registry's.
    pub(crate) account: Option<AccountId>,
}

impl By {
    /// As the signer's log names it; what the registry does by itself is the publisher's.
    fn caller(&self) -> String {
        match self.actor {
            PrincipalId::SYSTEM => "publisher".to_owned(),
            actor => format!("{actor} {}", self.request_id),
        }
    }
}

/// Lets a root hold. Whatever is signed by keys that it names no more is signed anew before it is read again.
///
/// # Errors
/// [`RootError`]; the root that held holds on.
pub(crate) async fn keep(tx: &mut Tx, made: &TrustRoot, by: &By, now: i64) -> Result<(), RootError> {
    if !tx.add_trust_root(made, now).await? {
        return Err(RootError::Overtaken);
    }
    tx.renew_all_trust(TrustDialect::Tuf, by.account).await?;
    shelf::changed(tx, now, &by.request_id).await?;
    Ok(record(tx, made, by, now).await?)
}

/// Lets the signer destroy the keys of a domain that its newest root has replaced. Which that is, is read here and under its lock:
/// whoever asks for it may have seen an older one. Left over after a failure, they go the next time.
///
/// # Errors
/// [`RootError`]
pub(crate) async fn retire(app: &App, domain: &str) -> Result<(), RootError> {
    let newest: Result<Option<TrustRoot>, metadata::Error> =
        app.metadata.write(domain.to_owned(), |tx, domain| Box::pin(tx.hold_newest_root(domain))).await;
    let newest = newest?.ok_or(RootError::Unknown)?;
    match app.signer.retire(domain, &newest.body).await {
        // Whoever put a newer one there meanwhile has done it.
        Err(TufRefused::OtherRoot { known, told }) if known > told => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

/// When the tags of a domain got new keys within the last hour, as a setting; and the last time that they did.
fn tags_settings(domain: &str) -> (String, String) {
    (format!("tuf_tags_rotated {domain}"), format!("tuf_tags_key {domain}"))
}

/// Counts a new key for the tags of a domain: it may have as many within an hour as roots, for each has every repository signed
/// anew.
///
/// # Errors
/// [`RootError::Many`]
pub(crate) async fn count_tags(tx: &mut Tx, domain: &str, now: i64) -> Result<(), RootError> {
    tx.hold_newest_root(domain).await?.ok_or(RootError::Unknown)?;
    let (name, _) = tags_settings(domain);
    let times = tx.setting(&name).await?;
    let mut times: Vec<i64> = times.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    times.retain(|at| *at > now - HOUR);
    if times.len() as i64 >= ROOTS {
        return Err(RootError::Many);
    }
    times.push(now);
    Ok(tx.set_setting(&name, Some(&json!(times).to_string())).await?)
}

/// Which key the tags of a domain have, as far as the registry knows: another one, another text.
pub(super) async fn tags_key(app: &App, domain: &str) -> Result<Option<String>, metadata::Error> {
    app.metadata.setting(&tags_settings(domain).1).await
}

/// Whether that is still so, as a change sees it that holds the root.
pub(super) async fn is_tags_key(tx: &mut Tx, domain: &str, seen: Option<&str>) -> Result<bool, metadata::Error> {
    Ok(tx.setting(&tags_settings(domain).1).await?.as_deref() == seen)
}

/// Lets the tags of a domain be signed by another key, which the signer has made. Under the root's lock: a publish that is under
/// way ends before, and is signed anew, or sees that it comes too late.
///
/// # Errors
/// [`RootError`]
pub(crate) async fn renew_tags(tx: &mut Tx, domain: &str, by: &By, now: i64) -> Result<(), RootError> {
    let root = tx.hold_newest_root(domain).await?.ok_or(RootError::Unknown)?;
    let since = format!("{now} {}", by.request_id);
    tx.set_setting(&tags_settings(domain).1, Some(&since)).await?;
    tx.renew_all_trust(TrustDialect::Tuf, by.account).await?;
    let payload = json!({"role": "tags"}).to_string();
    Ok(tx.record(&event((&root, by), "trust_key_rotated", &payload, now)).await?)
}

async fn record(tx: &mut Tx, root: &TrustRoot, by: &By, now: i64) -> Result<(), metadata::Error> {
    let sum = ring::digest::digest(&ring::digest::SHA256, &root.body);
    let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let payload = json!({"version": root.version, "sha256": hex}).to_string();
    tx.record(&event((root, by), "trust_root_published", &payload, now)).await
}

fn event<'e>((root, by): (&'e TrustRoot, &'e By), kind: &'static str, payload: &'e str, at: i64) -> Event<'e> {
    let (actor, request_id) = (by.actor, by.request_id.as_str());
    Event { actor, kind, account: by.account, repository: None, subject: &root.domain, payload, request_id, at }
}
