//! The registry as one of the signers of a collection: what is vouched for in the repository stands in the delegations for which the
//! owner of the collection has named the registry's key.

use std::collections::BTreeSet;

use hallmark_oci::{Gun, ServerRole, TrustRole};
use hallmark_signer::notary::delegate::{StandingFile, Stands, Vouched};
use hallmark_signer::notary::publish::{Held, Upload, can_sign};
use hallmark_signer::notary::{KeyDocument, MetadataInvalid, Root, Signed};
use hallmark_signer::{DelegationChange, SignRefused};
use hallmark_storage::metadata::{RepositoryId, TrustDialect, TrustState, Vouch};

use super::publish::{Before, By, PublishError, prepare, store};
use super::{Failure, PUBLISHER, collection, holder_name, signer_name, tuf};
use crate::app::App;
use crate::distribution::Occasion;
use crate::telemetry::chain;

/// How often a publish starts over because another one, or a renewal, was faster.
const TURNS: usize = 5;
/// The most collections of a repository: one for each name of the registry, and those of names that it had before.
const COLLECTIONS: u32 = 1_000;

/// The public half of the key by which the registry signs for a repository; with `next` one that never signed.
///
/// # Errors
/// [`SignRefused`]
pub(crate) async fn key(app: &App, repository: RepositoryId, next: bool, now: i64) -> Result<KeyDocument, SignRefused> {
    app.signer.delegation_key(holder_name(repository), next, now).await
}

/// Publishes what is vouched for in a repository to those of its collections that name the registry's key; nothing where they say
/// it already. What does not follow from what clients have published is told in the log, and tried again when they publish.
pub(super) async fn delegate(app: &App, repository: RepositoryId) -> Result<(), PublishError> {
    let guns = app.metadata.trust_collections_of(repository, TrustDialect::Notary, COLLECTIONS).await?;
    // Most repositories have none, and the owners of most of those that have asked for no key.
    if guns.is_empty() || keys(app, &holder_name(repository)).await?.delegation.is_empty() {
        return Ok(());
    }
    let Some(name) = app.metadata.repository_name(repository).await? else { return Ok(()) };
    let guns = guns.iter().filter_map(|gun| gun.parse::<Gun>().ok());
    for gun in guns.filter(|gun| *gun.repository() == name) {
        match publish(app, repository, &gun).await {
            Err(PublishError::Refused(refused)) => {
                tracing::warn!(
                    gun = gun.as_str(),
                    error = chain(&refused),
                    "what is vouched for is not published there"
                );
            }
            done => done?,
        }
    }
    Ok(())
}

async fn publish(app: &App, repository: RepositoryId, gun: &Gun) -> Result<(), PublishError> {
    let key = collection(repository, gun);
    for _ in 0..TURNS {
        let occasion = Occasion { now: app.clock.now(), request_id: String::new() };
        // The head first: a word that is taken back after it was read leads to a publish that moves the head on.
        let before = Before::read(app, &key, directly_below_targets).await?;
        let Some(stands) = stands(&before) else { return Ok(()) };
        let held = keys(app, &signer_name(&key)).await?;
        if !makes_snapshots(&stands.root.bytes, &held).map_err(Failure::from)? {
            return Ok(());
        }
        let change = DelegationChange {
            collection: signer_name(&key),
            holder: holder_name(repository),
            caller: PUBLISHER.to_owned(),
            stands,
            vouched: vouched(&tuf::all_vouches(app, repository).await?),
        };
        let files = match app.signer.delegate(change, occasion.now).await {
            // What was read is older than what another publish rested on since: read again.
            Err(SignRefused::Falling { .. }) => continue,
            files => files.map_err(Failure::from)?,
        };
        if files.is_empty() {
            return Ok(());
        }
        let uploads = files.into_iter().map(|(role, bytes)| Upload { role, bytes }).collect();
        let prepared = prepare(app, (gun, &key), (before, uploads), held, (By::Registry, &occasion)).await;
        let stored = match prepared {
            Ok(change) => app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await,
            Err(refused) => Err(refused),
        };
        match stored {
            Err(PublishError::Overtaken) => {}
            // Whoever has the name now is published to by themselves.
            Err(PublishError::Gone) => return Ok(()),
            done => return done,
        }
    }
    Err(PublishError::Overtaken)
}

async fn keys(app: &App, collection: &str) -> Result<Held, Failure> {
    Ok(app.signer.held(collection).await?)
}

/// What says who signs, and everything that those may have signed.
fn directly_below_targets(rows: &[TrustState]) -> BTreeSet<TrustRole> {
    let below = rows.iter().map(|row| &row.role).filter(|role| role.parent() == Some(TrustRole::targets()));
    below.cloned().chain([TrustRole::root(), TrustRole::targets(), ServerRole::Snapshot.role()]).collect()
}

/// The files that hold; `None` where nothing holds.
fn stands(before: &Before) -> Option<Stands> {
    before.seen?;
    let file = |role: &TrustRole, bytes: &[u8]| {
        let version = before.published.states.get(role)?.version;
        let lives = before.published.lives.get(role)?.lives;
        Some(StandingFile { role: role.clone(), version, lives, bytes: bytes.to_vec() })
    };
    let delegations = before.published.targets.iter().filter(|(role, _)| role.is_delegation());
    Some(Stands {
        root: file(&TrustRole::root(), before.published.root.as_deref()?)?,
        targets: file(&TrustRole::targets(), before.published.targets.get(&TrustRole::targets())?)?,
        delegations: delegations.filter_map(|(role, bytes)| file(role, bytes)).collect(),
    })
}

/// Whether the registry signs the snapshots of a collection. Where clients do, only they publish.
fn makes_snapshots(root: &[u8], held: &Held) -> Result<bool, MetadataInvalid> {
    let root = Signed::<Root>::parse(root)?.content;
    Ok(root.roles.get("snapshot").is_some_and(|keys| can_sign(keys, &held.snapshot)))
}

/// What holds of what was vouched for, as targets.
fn vouched(vouches: &[Vouch]) -> Vouched {
    let holding = vouches.iter().filter(|vouch| vouch.holds());
    let targets = holding.filter_map(|vouch| Some((vouch.tag.to_string(), tuf::target(vouch)?)));
    targets.map(|(tag, target)| (tag, (target.length, target.sha256))).collect()
}
