//! Manifests and blobs on their way out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hallmark_oci::{Digest, PullBlob, PullManifest};
use hallmark_storage::blobs::{self, BlobBody};
use hallmark_storage::metadata::{self, Blob, Body, Event, RepositoryId, StoredManifest, Tx};
use serde_json::json;

use super::Occasion;
use crate::access::Granted;
use crate::app::App;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// There is no such repository.
    #[error("the registry has no repository of this name")]
    NameUnknown,
    /// The repository has no such manifest.
    #[error("the repository has no such manifest")]
    ManifestUnknown,
    /// The repository has no such blob.
    #[error("the repository has no such blob")]
    BlobUnknown,
    /// The bytes that a fact points to are missing or damaged, and were quarantined: from now on the repository has no such
    /// blob until somebody pushes it again (I1).
    #[error("the bytes of {digest} are missing or damaged and were quarantined; push them again to heal the blob")]
    Quarantined {
        /// The blob that was asked for.
        digest: Digest,
        /// What the store said.
        source: blobs::Error,
    },
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The store did not answer.
    #[error("the blob store did not answer")]
    Blobs(#[from] blobs::Error),
}

/// Finds a manifest by tag or digest.
pub(super) async fn manifest(app: &App, granted: &Granted<PullManifest>) -> Result<Arc<StoredManifest>, PullError> {
    let repository = granted.repository().ok_or(PullError::NameUnknown)?;
    let PullManifest { repository: name, reference, .. } = granted.operation();
    let seen = granted.identity().sight(name).and_then(|sight| sight.manifest.as_ref());
    let manifest = match seen {
        Some((looked_for, found)) if looked_for == reference => Some(Arc::clone(found)),
        _ => app.metadata.manifest(repository.id, reference).await?,
    };
    let manifest = manifest.ok_or(PullError::ManifestUnknown)?;
    app.pulls.note(manifest.id, app.clock.now());
    Ok(manifest)
}

/// Finds a blob by digest, through this repository only (I6), while it is shown: one that no manifest names fades before it
/// is collected, so that whoever was told that it is here has time to name it.
pub(super) async fn blob(app: &App, granted: &Granted<PullBlob>) -> Result<(RepositoryId, Blob), PullError> {
    let repository = granted.repository().ok_or(PullError::NameUnknown)?;
    let (digest, now) = (&granted.operation().digest, app.clock.now());
    let blob = app.metadata.shown_blob(repository.id, digest, now).await?.ok_or(PullError::BlobUnknown)?;
    Ok((repository.id, blob))
}

/// Opens the bytes `range` (half-open) of a blob.
///
/// Between the look-up and the opening a heal or a collection may have moved the bytes to another key (the mapping is
/// not immutable), so a key that is gone is looked up once more before it is called missing, and so are damaged bytes.
pub(super) async fn content(
    app: &App,
    granted: &Granted<PullBlob>,
    repository: RepositoryId,
    blob: &Blob,
    range: Range<u64>,
    occasion: &Occasion,
) -> Result<BlobBody, PullError> {
    if let Ok(body) = open(app, blob, range.clone()).await? {
        return Ok(body);
    }
    let digest = &granted.operation().digest;
    let blob = app.metadata.without_cache().blob(repository, digest).await?.ok_or(PullError::BlobUnknown)?;
    if blob.body.is_none() {
        // A store that does not answer has lost nothing. One that was away a moment ago and is back has the bytes still.
        app.blobs.check().await?;
    }
    // In a store that is another one nothing is lost: an empty folder where a disk was to be mounted.
    let is_another = hallmark_gc::is_another_store(&app.metadata, &app.blobs).await?;
    match open(app, &blob, range).await? {
        Ok(body) => Ok(body),
        Err(found) if is_another => Err(PullError::Blobs(found)),
        Err(found) => Err(quarantine(app, digest, blob, found, occasion).await),
    }
}

/// A range of bytes that are held. The range was resolved against the blob's size, which is theirs.
fn part(body: &Bytes, range: &Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).map_or(body.len(), |at| at.min(body.len()));
    body.slice(place(range.start)..place(range.end))
}

/// The bytes, or how they were found missing or damaged.
///
/// # Errors
/// The store did not answer, which says nothing about the bytes.
async fn open(app: &App, blob: &Blob, range: Range<u64>) -> Result<Result<BlobBody, blobs::Error>, blobs::Error> {
    match &blob.body {
        Some(Body::Whole(bytes)) => return Ok(Ok(BlobBody::Whole(part(bytes, &range)))),
        Some(Body::Damaged) => return Ok(Err(blobs::Error::altered(&blob.key))),
        None => {}
    }
    match app.blobs.read(&blob.key, range).await {
        Ok(Some(body)) => Ok(Ok(body)),
        Ok(None) => Ok(Err(blobs::Error::absent(&blob.key))),
        Err(error) if error.is_damaged() => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// Everything the transaction needs; it may run more than once.
struct Finding {
    digest: Digest,
    blob: Blob,
    occasion: Occasion,
}

/// Takes a blob whose bytes are no longer whole out of everybody's sight, so that the next push brings them again: a client
/// that is told of them would not send them. Nothing changes while the registry is read-only; the pull fails then.
async fn quarantine(app: &App, digest: &Digest, blob: Blob, found: blobs::Error, occasion: &Occasion) -> PullError {
    if app.is_readonly() {
        return PullError::Blobs(found);
    }
    let finding = Finding { digest: digest.clone(), blob, occasion: occasion.clone() };
    match app.metadata.write(finding, |tx, finding| Box::pin(mark(tx, finding))).await {
        Ok(()) => PullError::Quarantined { digest: digest.clone(), source: found },
        Err(error) => {
            tracing::error!(%error, digest = digest.as_str(), "damaged bytes could not be quarantined");
            PullError::Blobs(found)
        }
    }
}

/// Only the key that was read is marked: what was healed or collected meanwhile is another one.
async fn mark(tx: &mut Tx, finding: &Finding) -> Result<(), metadata::Error> {
    let Finding { digest, blob, occasion } = finding;
    if !tx.quarantine(blob, digest, occasion.now).await? {
        return Ok(());
    }
    let payload = json!({"key": blob.key.as_str()}).to_string();
    let event = Event::of_system("blob_quarantined", digest.as_str(), occasion.now);
    tx.record(&Event { payload: &payload, request_id: &occasion.request_id, ..event }).await
}
