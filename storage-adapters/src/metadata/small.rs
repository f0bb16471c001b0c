//! Small blobs: configurations and the like, which come whole with one request. Their bytes are facts, in the transaction
//! that makes them a blob, so that a push of them waits for one COMMIT and not for a file, its folder and two COMMITs more.

use hallmark_oci::{Digest, UploadId};

use super::blobs::{Content, Finished, bytes};
use super::error::{Error, ErrorKind};
use super::links::Linked;
use super::repositories::Repository;
use super::rows::{BlobId, PrincipalId};
use super::statement::{Engine, statements};
use super::tx::Tx;
use super::value::values;
use crate::StorageKey;

/// The most bytes that are kept with the facts.
pub const SMALL_BLOB_BYTES: usize = 8 * 1024;

statements! {
    TICKET = [
        "DELETE FROM uploads WHERE id = $1 AND repository_id = $2 AND principal_id = $3 AND received = 0
            AND leased_until < $4 AND multipart_id IS NULL AND tail_key IS NULL
         RETURNING storage_key"
    ];
    DISCARD = ["DELETE FROM small_blobs WHERE blob_id = $1"];
    BODY = ["SELECT body FROM small_blobs WHERE blob_id = $1"];
    KEEP = [
        "INSERT INTO small_blobs (blob_id, body) VALUES ($1, $2) ON CONFLICT (blob_id) DO UPDATE SET body = $2"
    ];
}

/// A small blob.
#[derive(Clone, Copy, Debug)]
pub struct StoreSmall<'a> {
    /// The repository, held by [`Tx::repository`].
    pub repository: &'a Repository,
    /// Whose key it takes.
    pub key: SmallKey<'a>,
    /// The digest of the bytes, verified.
    pub digest: &'a Digest,
    /// The bytes, at most [`SMALL_BLOB_BYTES`].
    pub body: &'a [u8],
    /// Milliseconds since the epoch.
    pub now: i64,
}

/// Where a small blob gets its storage key from. It has one like every blob, though nothing lies there: whoever heals it
/// or puts a file in its place later finds all as usual.
#[derive(Clone, Copy, Debug)]
pub enum SmallKey<'a> {
    /// From an upload of this user to which nothing was sent before, and which ends with this.
    OfUpload(&'a UploadId, PrincipalId),
    /// It came without an upload; this key is fresh.
    Fresh(&'a StorageKey),
}

impl Tx {
    /// Makes few bytes a blob and links it into the repository; `None` when the upload is gone or not empty, or somebody is
    /// sending to it.
    ///
    /// # Errors
    /// The database failed, or the bytes are too many.
    pub async fn store_small(&mut self, small: &StoreSmall<'_>) -> Result<Option<Finished>, Error> {
        let StoreSmall { repository, digest, body, now, .. } = *small;
        if body.len() > SMALL_BLOB_BYTES {
            return Err(Error::new(ErrorKind::Failed, "these bytes are too many to be kept with the facts"));
        }
        let key = match small.key {
            SmallKey::Fresh(key) => key.clone(),
            SmallKey::OfUpload(upload, principal) => {
                match self.row(&TICKET, values![upload, repository.id, principal, now]).await? {
                    Some(row) => row.parsed(0)?,
                    None => return Ok(None),
                }
            }
        };
        let content = Content { digest, size: body.len() as u64, key: &key, body: Some(body), now };
        let finished = self.own(&content).await?;
        let linked = Linked { blob: finished.blob, digest, size: bytes(body.len() as u64)? };
        self.link(repository, &linked, now).await?;
        Ok(Some(finished))
    }

    /// Keeps the bytes of a blob with its facts, when they are given.
    pub(super) async fn keep(&mut self, blob: BlobId, content: &Content<'_>) -> Result<(), Error> {
        let Some(body) = content.body else { return Ok(()) };
        self.execute(&KEEP, values![blob, body]).await.map(drop)
    }

    /// Whether the bytes of a blob that are given stand with its facts already, or none are given. It is asked of a new blob
    /// as well, and SQLite always says no: whoever pushes must not see by the time it takes whether somebody else has the
    /// blob (I6). Writing them again costs SQLite's one writer its pages; on a server all who push the same few bytes, the
    /// empty configuration for instance, would wait for each other's COMMIT.
    pub(super) async fn same(&mut self, blob: BlobId, content: &Content<'_>) -> Result<bool, Error> {
        let Some(body) = content.body else { return Ok(true) };
        Ok(self.engine() == Engine::Postgres && self.body(blob).await?.as_deref() == Some(body))
    }

    /// The bytes that stand with a blob's facts.
    pub(super) async fn body(&mut self, blob: BlobId) -> Result<Option<Vec<u8>>, Error> {
        self.row(&BODY, values![blob]).await?.map(|row| row.bytes(0)).transpose()
    }

    /// Puts the bytes that are given, or none, in the place of those that are kept. Somebody who does the same at this
    /// moment may have put theirs between the two statements: they are the same.
    pub(super) async fn replace(&mut self, blob: BlobId, content: &Content<'_>) -> Result<(), Error> {
        self.execute(&DISCARD, values![blob]).await?;
        self.keep(blob, content).await
    }
}
