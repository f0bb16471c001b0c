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
use super::quota::{self, Allowance, NoPassage, Passage, Place, Tried, UNLEASED, Unmade, Wish};
use super::receive::{Chunk, Session};
use super::upload::UploadError;
use crate::access::{Granted, Standing};
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
#[derive(Clone)]
struct Storing {
    name: RepositoryName,
    digest: Digest,
    body: Bytes,
    occasion: Occasion,
}

/// Ends an upload with all of its bytes; `false` when it is not an empty one that nobody sends to.
pub(super) async fn finish(
    app: &App,
    session: &Session,
    (digest, body): (&Digest, Bytes),
    occasion: &Occasion,
) -> Result<bool, UploadError> {
    let size = body.len() as u64;
    let storing = Storing { name: session.name.clone(), digest: digest.clone(), body, occasion: occasion.clone() };
    let mut allowance = Allowance::default();
    let stored = end(app, &storing, session, allowance).await;
    let Err(UploadError::Short(short)) = stored else { return stored };
    allowance = allowance.under(&short);
    match quota::reserve(app, (session, UNLEASED), &mut allowance, Wish::Announced(size)).await {
        Ok(()) => {}
        Err(UploadError::Overtaken) => return Ok(false),
        Err(refused) => return Err(refused),
    }
    match end(app, &storing, session, allowance).await {
        // Nothing is used up: the way of every upload goes on from there.
        Err(UploadError::Short(_)) => Ok(false),
        stored => stored,
    }
}

async fn end(app: &App, storing: &Storing, session: &Session, allowance: Allowance) -> Result<bool, UploadError> {
    let change = (storing.clone(), session.clone(), allowance.reserved);
    app.metadata
        .write(change, |tx, (storing, session, reserved)| {
            Box::pin(async move {
                let repository = tx.repository(&storing.name).await?;
                let Some(repository) = repository.filter(|repository| repository.id == session.repository) else {
                    return Ok(false);
                };
                let key = SmallKey::OfUpload(&session.upload, session.principal);
                let is_stored = store(tx, storing, (&repository, key), session.principal).await?;
                quota::cover(tx, repository.id, *reserved)?;
                Ok::<_, UploadError>(is_stored)
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
) -> Result<(), NoPassage> {
    let name = granted.operation().repository.clone();
    let place = Place { name: name.clone(), actor, ground: granted.ground(), occasion: occasion.clone() };
    let storing = Storing { name, digest: digest.clone(), body, occasion: occasion.clone() };
    let key = StorageKey::from_bytes(app.random.bytes());
    let stored = quota::with_room(app, &place, |passage| {
        let change = (storing.clone(), place.clone(), key.clone(), passage);
        async move {
            match app.metadata.write(change, |tx, change| Box::pin(begun(tx, change))).await {
                Ok(()) => Ok(Tried::Made(())),
                Err(Unmade::Short(short)) => Ok(Tried::Short(short)),
                Err(Unmade::Nowhere(nowhere)) => Err(NoPassage::from(nowhere)),
            }
        }
    });
    match stored.await {
        Err(NoPassage::Nowhere(Nowhere::Failed(error)))
            if error.kind() == ErrorKind::CommitUnknown
                && has_begun(app, (&granted.operation().repository, digest), key, occasion.now).await =>
        {
            Ok(())
        }
        stored => stored,
    }
}

async fn begun(
    tx: &mut Tx,
    (storing, place, key, passage): &(Storing, Place, StorageKey, Option<Passage>),
) -> Result<(), Unmade> {
    let repository = storing.occasion.repository(tx, &storing.name, place.actor, &place.ground).await?;
    store(tx, storing, (&repository, SmallKey::Fresh(key)), place.actor).await?;
    quota::settle(tx, repository.id, passage.as_ref()).await
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
