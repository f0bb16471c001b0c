//! Small blobs that come whole with one request: nothing is opened, leased, written to a file or moved for them.
//!
//! Whatever is not so simple (an upload that has bytes, another writer, another digest) goes the way of every upload, with the
//! bytes that were read put back: that way knows each refusal.

use bytes::Bytes;
use hallmark_oci::{BeginUpload, Digest, RepositoryName};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    self, ErrorKind, PrincipalId, Repository, SMALL_BLOB_BYTES, SmallKey, StoreSmall, Tx,
};

use super::Occasion;
use super::occasion::Nowhere;
use super::receive::{Chunk, Session};
use super::upload::UploadError;
use crate::access::{Granted, Ground, Standing};
use crate::app::App;
use crate::http::body::{BodyError, Incoming};

/// The bytes of a body that says to be small and to begin at the beginning; `None` when it does not, or has another digest,
/// and then nothing of it is used up.
pub(super) async fn read(
    chunk: &Chunk,
    digest: &Digest,
    body: &mut Incoming,
    standing: &Standing<'_>,
) -> Result<Option<Bytes>, UploadError> {
    let small = 1..=SMALL_BLOB_BYTES as u64;
    if chunk.start.unwrap_or_default() > 0 || !chunk.length.is_some_and(|length| small.contains(&length)) {
        return Ok(None);
    }
    let bytes = tokio::select! {
        biased;
        lapsed = standing.readonly() => return Err(lapsed.into()),
        bytes = body.collect(SMALL_BLOB_BYTES) => bytes,
    };
    let bytes = bytes.map_err(|error| match error {
        // Only a body that did not announce its own length gets here: it is longer than its Content-Range says.
        BodyError::TooLong(_) => UploadError::LengthDiffers,
        error => error.into(),
    })?;
    if chunk.length != Some(bytes.len() as u64) || Digest::of(digest.algorithm(), &bytes) != *digest {
        body.put_back(bytes);
        return Ok(None);
    }
    standing.ask().await?;
    Ok(Some(bytes))
}

/// Everything the transaction needs; it may run more than once.
struct Storing {
    name: RepositoryName,
    digest: Digest,
    body: Bytes,
    occasion: Occasion,
}

/// Ends an upload with all of its bytes; `false` when it is not an empty one that nobody sends to.
pub(super) async fn finish(
    app: &App,
    name: &RepositoryName,
    session: &Session,
    (digest, body): (&Digest, Bytes),
    occasion: &Occasion,
) -> Result<bool, UploadError> {
    let storing = Storing { name: name.clone(), digest: digest.clone(), body, occasion: occasion.clone() };
    let change = (storing, session.clone());
    app.metadata
        .write(change, |tx, (storing, session)| {
            Box::pin(async move {
                let repository = tx.repository(&storing.name).await?;
                let Some(repository) = repository.filter(|repository| repository.id == session.repository) else {
                    return Ok(false);
                };
                let key = SmallKey::OfUpload(&session.upload, session.principal);
                Ok::<_, UploadError>(store(tx, storing, (&repository, key), session.principal).await?)
            })
        })
        .await
}

/// Stores a blob that came with the request that would have opened an upload.
pub(super) async fn begin(
    app: &App,
    granted: &Granted<BeginUpload>,
    actor: PrincipalId,
    (digest, body): (&Digest, Bytes),
    occasion: &Occasion,
) -> Result<(), Nowhere> {
    let name = granted.operation().repository.clone();
    let storing = Storing { name, digest: digest.clone(), body, occasion: occasion.clone() };
    let key = StorageKey::from_bytes(app.random.bytes());
    let change = (storing, actor, granted.ground(), key.clone());
    let stored = app
        .metadata
        .write(change, |tx, (storing, actor, ground, key): &(Storing, PrincipalId, Ground, StorageKey)| {
            Box::pin(async move {
                let repository = storing.occasion.repository(tx, &storing.name, *actor, ground).await?;
                store(tx, storing, (&repository, SmallKey::Fresh(key)), *actor).await?;
                Ok(())
            })
        })
        .await;
    match stored {
        Err(Nowhere::Failed(error))
            if error.kind() == ErrorKind::CommitUnknown
                && has_begun(app, (&granted.operation().repository, digest), key, occasion.now).await =>
        {
            Ok(())
        }
        stored => stored,
    }
}

/// Whether a COMMIT that was never answered has put the blob into its repository all the same. The blob's row is waited for,
/// so by then that COMMIT has happened or never will.
async fn has_begun(app: &App, (name, digest): (&RepositoryName, &Digest), key: StorageKey, now: i64) -> bool {
    let wish = (name.clone(), digest.clone(), key, now);
    let held: Result<bool, metadata::Error> =
        app.metadata.write(wish, |tx, (name, digest, key, now)| Box::pin(tx.is_blob_in(name, digest, key, *now))).await;
    held.unwrap_or_else(|error| {
        tracing::warn!(%error, digest = digest.as_str(), "a commit of unknown outcome cannot be read back");
        false
    })
}

async fn store(
    tx: &mut Tx,
    storing: &Storing,
    (repository, key): (&Repository, SmallKey<'_>),
    actor: PrincipalId,
) -> Result<bool, metadata::Error> {
    let Storing { digest, body, occasion, .. } = storing;
    let small = StoreSmall { repository, key, digest, body, now: occasion.now };
    if tx.store_small(&small).await?.is_none() {
        return Ok(false);
    }
    tx.record(&occasion.event("blob_pushed", actor, repository, digest.as_str(), "")).await?;
    Ok(true)
}
