//! Manifests and blobs on their way out.

use std::ops::Range;
use std::sync::Arc;

use hallmark_oci::{PullBlob, PullManifest};
use hallmark_storage::blobs::{self, BlobBody};
use hallmark_storage::metadata::{self, Blob, RepositoryId, StoredManifest};

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
    /// The bytes that a fact points to are not in the store.
    #[error("the bytes of {digest} are missing from the store under {key}")]
    Missing {
        /// The blob that was asked for.
        digest: String,
        /// Where its bytes should be.
        key: String,
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
    let reference = &granted.operation().reference;
    app.metadata.manifest(repository.id, reference).await?.ok_or(PullError::ManifestUnknown)
}

/// Finds a blob by digest, through this repository only (I6).
pub(super) async fn blob(app: &App, granted: &Granted<PullBlob>) -> Result<(RepositoryId, Blob), PullError> {
    let repository = granted.repository().ok_or(PullError::NameUnknown)?;
    let blob = app.metadata.blob(repository.id, &granted.operation().digest).await?.ok_or(PullError::BlobUnknown)?;
    Ok((repository.id, blob))
}

/// Opens the bytes `range` (half-open) of a blob.
///
/// Between the look-up and the opening a heal or a collection may have moved the bytes to another key (the mapping is
/// not immutable), so a key that is gone is looked up once more before it is called missing.
pub(super) async fn content(
    app: &App,
    granted: &Granted<PullBlob>,
    repository: RepositoryId,
    blob: &Blob,
    range: Range<u64>,
) -> Result<BlobBody, PullError> {
    if let Some(body) = app.blobs.read(&blob.key, range.clone()).await? {
        return Ok(body);
    }
    let digest = &granted.operation().digest;
    let again = app.metadata.without_cache().blob(repository, digest).await?.ok_or(PullError::BlobUnknown)?;
    let missing = || PullError::Missing { digest: digest.to_string(), key: again.key.to_string() };
    app.blobs.read(&again.key, range).await?.ok_or_else(missing)
}
