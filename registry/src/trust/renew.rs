//! Timestamps, and snapshots where the server signs them, are signed again before they expire: by the clock, and at once
//! when a reader meets one that has expired.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hallmark_oci::{RepositoryName, TrustRole};
use hallmark_signer::notary::{FileState, MetadataInvalid, Root, Signed, Snapshot};
use hallmark_signer::{NotaryChange, SignRefused, SnapshotOf};
use hallmark_storage::metadata::{
    self, DueCollection, Freshness, NewTrustFile, PrincipalId, Published as Outcome, RepositoryId, TrustDialect,
    TrustFileKey, Tx,
};
use tokio::sync::Notify;

use super::delegate::Pace;
use super::{Failure, signed_files, signer_name, told};
use crate::app::App;
use crate::distribution::Occasion;
use crate::telemetry::chain;

/// How many collections one look takes.
const BATCH: u32 = 64;
/// How many repositories may be waited for at once; those beyond take their turn.
const WAITED: usize = 1_000;
/// How long a collection that cannot be renewed is left alone, in milliseconds.
const PUT_OFF: i64 = 60 * 60 * 1_000;
/// How long all are left alone while the signer is away, in milliseconds.
const AWAY: i64 = 60 * 1_000;
/// How long before its expiry a snapshot of the server's is made anew, in milliseconds.
const SNAPSHOT_BEFORE: i64 = 90 * 24 * 60 * 60 * 1_000;
/// For how long a file that holds no more is kept, in milliseconds: longer than caches are told to keep one.
pub(super) const KEPT: i64 = 31 * 24 * 60 * 60 * 1_000;

/// Where readers tell the jobs what has expired, for each dialect.
#[derive(Debug, Default)]
pub struct Renewals {
    /// Collections of Notary v1.
    pub(crate) notary: Waited,
    /// Repositories of TUF 1.0.
    pub(crate) tuf: Waited,
    /// What the publisher of TUF 1.0 has passed by.
    pub(super) passed: Mutex<Passed>,
    /// Collections of Notary v1 that the registry has signed in lately.
    pub(super) pace: Pace,
}

/// Events that the publisher has seen and had nothing to do for. How far they reach is not written down: that would be a change of the
/// database for each of its own events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// The last of them.
    pub(super) event: i64,
    /// How many.
    pub(super) count: usize,
}

/// What readers wait for.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    repositories: Mutex<BTreeSet<RepositoryId>>,
    told: Notify,
}

impl Waited {
    /// Something of this repository has expired: look now, and there first.
    pub(super) fn hurry(&self, repository: RepositoryId) {
        let mut waited = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        if waited.len() < WAITED {
            waited.insert(repository);
        }
        drop(waited);
        self.told.notify_one();
    }

    /// What was waited for until now.
    pub(super) fn take(&self) -> BTreeSet<RepositoryId> {
        std::mem::take(&mut *self.repositories.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.repositories.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Resolves when a reader has met something that has expired.
    pub(crate) async fn hurried(&self) {
        self.told.notified().await;
    }
}

/// Why a collection is not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    /// Its repository or itself is gone.
    #[error("it is gone")]
    Gone,
    /// A publish was faster, which renewed it too.
    #[error("it was published to meanwhile")]
    Overtaken,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<metadata::Error> for RenewError {
    fn from(error: metadata::Error) -> Self {
        Self::Failed(Failure::Metadata(error))
    }
}

impl From<MetadataInvalid> for RenewError {
    fn from(error: MetadataInvalid) -> Self {
        Self::Failed(Failure::Stored(error))
    }
}

/// Renews what is due, one batch; whether there may be more.
///
/// # Errors
/// The database's. A collection that cannot be renewed is told in the log and left alone for an hour.
pub(crate) async fn renew_due(app: &Arc<App>) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    let waited_for = app.renewals.notary.take();
    let mut first = Vec::new();
    if !waited_for.is_empty() {
        first = app.metadata.trust_due_of(TrustDialect::Notary, now, waited_for).await?;
    }
    let due = app.metadata.trust_due(TrustDialect::Notary, now, BATCH).await?;
    let is_full = due.len() == BATCH as usize;
    for one in first.into_iter().chain(due) {
        let collection = one.collection;
        match renew(app, &one, now).await {
            Ok(()) | Err(RenewError::Gone | RenewError::Overtaken) => {}
            Err(RenewError::Failed(failure)) => {
                app.metrics.blame(&failure);
                tracing::error!(gun = one.key.gun, error = chain(&failure), "trust data could not be renewed");
                let until = (collection, now + put_off(&failure));
                let put: Result<bool, metadata::Error> =
                    app.metadata.write(until, |tx, (seen, until)| Box::pin(tx.put_trust_off(*seen, *until))).await;
                put?;
            }
        }
    }
    Ok(is_full)
}

/// For how long: what failed for a signer that is away is no fault of the collection's.
fn put_off(failure: &Failure) -> i64 {
    match failure {
        Failure::Signer(SignRefused::Unserved(_)) => AWAY,
        Failure::Signer(_) | Failure::Metadata(_) | Failure::Stored(_) | Failure::Damaged => PUT_OFF,
    }
}

/// Everything the transaction needs; it may run more than once.
struct Change {
    due: DueCollection,
    name: RepositoryName,
    files: Vec<NewTrustFile>,
    fresh: Freshness,
    occasion: Occasion,
}

async fn renew(app: &App, due: &DueCollection, now: i64) -> Result<(), RenewError> {
    let key = &due.key;
    let rows = app.metadata.trust_states(due.collection).await?;
    let states = told(&rows).ok_or(Failure::Damaged)?;
    let root = app.metadata.trust_file(key, &TrustRole::root(), TrustFileKey::Current).await?;
    let root = root.ok_or(RenewError::Gone)?.body.to_vec();
    let name = app.metadata.repository_name(key.repository).await?.ok_or(RenewError::Gone)?;
    let snapshot = snapshot(app, due, &states, &root, now).await?;
    let change =
        NotaryChange { collection: signer_name(key), caller: "renewal".to_owned(), root, base: states, snapshot };
    let signed = app.signer.sign(change, now).await.map_err(Failure::from)?;
    let (files, fresh) = signed_files(signed);
    let occasion = Occasion { now, request_id: String::new() };
    let change = Change { due: due.clone(), name, files, fresh, occasion };
    app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await
}

/// The snapshot that stands, or what a new one is made of when it is the server's and nears its end.
async fn snapshot(
    app: &App,
    due: &DueCollection,
    states: &[FileState],
    root: &[u8],
    now: i64,
) -> Result<SnapshotOf, RenewError> {
    let standing = states.iter().find(|state| state.role.as_str() == "snapshot").ok_or(Failure::Damaged)?;
    let file = app.metadata.trust_file(&due.key, &standing.role, TrustFileKey::Current).await?;
    let file = Signed::<Snapshot>::parse(&file.ok_or(RenewError::Gone)?.body)?;
    let root = Signed::<Root>::parse(root)?.content;
    let held = app.signer.held(&signer_name(&due.key)).await.map_err(Failure::from)?;
    let is_ours =
        root.roles.get("snapshot").is_some_and(|keys| keys.keyids.iter().any(|id| held.snapshot.contains(id)));
    if is_ours && file.expires - now < SNAPSHOT_BEFORE {
        let in_snapshot = |state: &&FileState| state.role.as_str() == "root" || state.role.names_targets();
        return Ok(SnapshotOf::Files(states.iter().filter(in_snapshot).cloned().collect()));
    }
    Ok(SnapshotOf::Standing(standing.clone()))
}

async fn store(tx: &mut Tx, change: &Change) -> Result<(), RenewError> {
    let Change { due, name, files, fresh, occasion } = change;
    let repository = tx.repository(name).await?.filter(|repository| repository.id == due.key.repository);
    let repository = repository.ok_or(RenewError::Gone)?;
    match tx.publish_trust(&due.key, Some(due.collection), files, *fresh, occasion.now).await? {
        Outcome::Overtaken => return Err(RenewError::Overtaken),
        Outcome::Stored => {}
    }
    tx.forget_trust(due.collection, occasion.now - KEPT).await?;
    super::publish::record(tx, (&repository, &due.key), files, ("trust_renewed", PrincipalId::SYSTEM), occasion)
        .await?;
    Ok(())
}
