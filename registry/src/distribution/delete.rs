//! Tags, manifests and blobs on their way out of a repository.

use hallmark_oci::{DeleteBlob, DeleteManifest, Digest, Reference};
use hallmark_storage::metadata::{self, BlobDeletion, Hold, ManifestDeletion, PrincipalId, Repository, Tx};
use serde_json::json;

use super::Occasion;
use crate::access::Granted;
use crate::app::App;
use crate::keeping::{self, Fixed};

/// Why nothing is deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// There is no such repository.
    #[error("the registry has no repository of this name")]
    NameUnknown,
    /// The repository has no such tag or manifest.
    #[error("the repository has no such manifest")]
    ManifestUnknown,
    /// The repository has no such blob.
    #[error("the repository has no such blob")]
    BlobUnknown,
    /// Manifests of the repository still name it (I1).
    #[error("manifests of this repository still name it; delete them first")]
    StillNamed(Vec<Digest>),
    /// Rules keep a tag that would go.
    #[error("{0}")]
    Immutable(Fixed),
    /// Somebody holds it.
    #[error("{}", held(.0))]
    Held(Vec<Hold>),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Who holds it and why, for whoever may delete.
fn held(holds: &[Hold]) -> String {
    let told = holds.iter().map(|hold| format!("{} ({} hold: {})", hold.placed_by, hold.kind.word(), hold.reason));
    format!("it is held by {}; it can be deleted once that is released", told.collect::<Vec<_>>().join(" and by "))
}

/// Everything the transaction needs; it may run more than once.
struct Change<O> {
    granted: Granted<O>,
    actor: PrincipalId,
    occasion: Occasion,
}

/// Deletes a tag alone, or a manifest with every tag that points to it.
pub(super) async fn manifest(
    app: &App,
    granted: Granted<DeleteManifest>,
    actor: PrincipalId,
    occasion: Occasion,
) -> Result<(), DeleteError> {
    let change = Change { granted, actor, occasion };
    app.metadata.write(change, |tx, change| Box::pin(delete_manifest(tx, change))).await
}

/// Takes a blob out of a repository that has no manifest naming it.
pub(super) async fn blob(
    app: &App,
    granted: Granted<DeleteBlob>,
    actor: PrincipalId,
    occasion: Occasion,
) -> Result<(), DeleteError> {
    let change = Change { granted, actor, occasion };
    app.metadata.write(change, |tx, change| Box::pin(delete_blob(tx, change))).await
}

async fn delete_manifest(tx: &mut Tx, change: &Change<DeleteManifest>) -> Result<(), DeleteError> {
    let Change { granted, actor, occasion } = change;
    let DeleteManifest { repository, reference } = granted.operation();
    let repository = tx.repository(repository).await?.filter(|repository| granted.ground().is(repository));
    let repository = repository.ok_or(DeleteError::NameUnknown)?;
    let digest = match reference {
        Reference::Tag(tag) => {
            let pointed = tx.delete_tag(&repository, tag, *actor, occasion.now).await?;
            let payload = json!({"digest": pointed.ok_or(DeleteError::ManifestUnknown)?}).to_string();
            keep(tx, &repository, [tag.as_str()]).await?;
            let event = occasion.event("tag_deleted", *actor, &repository, tag.as_str(), &payload);
            return Ok(tx.record(&event).await?);
        }
        Reference::Digest(digest) => digest,
    };
    match tx.delete_manifest(&repository, digest, *actor, occasion.now).await? {
        ManifestDeletion::Deleted { tags } => {
            keep(tx, &repository, tags.iter().map(String::as_str)).await?;
            let payload = json!({"tags": tags}).to_string();
            let event = occasion.event("manifest_deleted", *actor, &repository, digest.as_str(), &payload);
            Ok(tx.record(&event).await?)
        }
        ManifestDeletion::Unknown => Err(DeleteError::ManifestUnknown),
        ManifestDeletion::StillNamedBy(parents) => Err(DeleteError::StillNamed(parents)),
        ManifestDeletion::Held(holds) => Err(DeleteError::Held(holds)),
    }
}

/// Refuses when rules keep one of these tags, which are gone in this change.
async fn keep(tx: &mut Tx, repository: &Repository, tags: impl IntoIterator<Item = &str>) -> Result<(), DeleteError> {
    keeping::fixed(tx, repository.id, tags).await?.map_or(Ok(()), |fixed| Err(DeleteError::Immutable(fixed)))
}

async fn delete_blob(tx: &mut Tx, change: &Change<DeleteBlob>) -> Result<(), DeleteError> {
    let Change { granted, actor, occasion } = change;
    let DeleteBlob { repository, digest } = granted.operation();
    let repository = tx.repository(repository).await?.filter(|repository| granted.ground().is(repository));
    let repository = repository.ok_or(DeleteError::NameUnknown)?;
    match tx.delete_blob(&repository, digest, occasion.now).await? {
        BlobDeletion::Deleted => {
            let event = occasion.event("blob_deleted", *actor, &repository, digest.as_str(), "");
            Ok(tx.record(&event).await?)
        }
        BlobDeletion::Unknown => Err(DeleteError::BlobUnknown),
        BlobDeletion::StillNamedBy(manifests) => Err(DeleteError::StillNamed(manifests)),
    }
}
