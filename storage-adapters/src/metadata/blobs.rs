use bytes::Bytes;
use hallmark_oci::{Digest, RepositoryName, UploadId};

use super::candidates::Item;
use super::database::Metadata;
use super::doomed::Passes;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::links::Linked;
use super::repositories::Repository;
use super::rows::{BlobId, RepositoryId};
use super::statement::{Engine, statements};
use super::tx::{TURNS, Tx};
use super::value::values;
use crate::StorageKey;

/// Manifests named in a refusal.
const NAMED: i64 = 16;

statements! {
    LINKED = [
        "SELECT b.id, b.size, b.storage_key, s.body,
                CASE WHEN EXISTS (SELECT 1 FROM manifest_blobs e
                                   WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id)
                  THEN NULL ELSE l.touched_at END
           FROM repository_blobs l JOIN blobs b ON b.id = l.blob_id
           LEFT JOIN small_blobs s ON s.blob_id = b.id
          WHERE l.repository_id = $1 AND b.digest = $2 AND b.quarantined_at IS NULL"
    ];
    TICKET = [
        "DELETE FROM uploads WHERE id = $1 AND repository_id = $2 AND fence = $3
         RETURNING storage_key, tail_key, multipart_id"
    ];
    INSERT = [
        "INSERT INTO blobs (id, digest, size, storage_key, scrubbed_at, created_at) VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (digest) DO NOTHING"
    ];
    HOLD = ["SELECT id, quarantined_at FROM blobs WHERE digest = $1" {share}];
    FORGET = ["DELETE FROM blobs WHERE id = $1"];
    AWAIT = ["SELECT id FROM blobs WHERE digest = $1" {update}];
    IN_REPOSITORY = [
        "SELECT b.id FROM repositories r JOIN repository_blobs l ON l.repository_id = r.id JOIN blobs b ON b.id = l.blob_id
          WHERE r.name = $1 AND b.digest = $2 AND b.quarantined_at IS NULL"
    ];
    HOLD_ROTTEN = [
        "SELECT id, storage_key FROM blobs WHERE digest = $1 AND quarantined_at IS NOT NULL" {update}
    ];
    QUARANTINE = [
        "UPDATE blobs SET quarantined_at = $3 WHERE id = $1 AND storage_key = $2 AND quarantined_at IS NULL"
    ];
    HEAL = ["UPDATE blobs SET storage_key = $2, quarantined_at = NULL, scrubbed_at = $3 WHERE id = $1"];
    HOLD_IN_ACCOUNT = [
        "SELECT a.blob_id FROM account_blobs a JOIN blobs b ON b.id = a.blob_id
          WHERE a.account_id = $1 AND b.digest = $2" {update of a}
    ];
    HOLD_LINK = [
        "SELECT l.blob_id FROM repository_blobs l JOIN blobs b ON b.id = l.blob_id
          WHERE l.repository_id = $1 AND b.digest = $2" {update of l}
    ];
    NAMED_BY = [
        "SELECT m.digest FROM manifest_blobs e
           JOIN manifests m ON m.repository_id = e.repository_id AND m.id = e.manifest_id
          WHERE e.repository_id = $1 AND e.blob_id = $2 ORDER BY m.id LIMIT $3"
    ];
    UNLINK = ["DELETE FROM repository_blobs WHERE repository_id = $1 AND blob_id = $2"];
}

/// A blob that a repository holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The blob.
    pub id: BlobId,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are. This may change (healing, or collection and a later push): keep it for one answer only.
    pub key: StorageKey,
    /// The bytes themselves, when they are few and came whole: then nothing need lie under the key.
    pub body: Option<Body>,
    /// When it was last pushed or mounted, in milliseconds since the epoch, if no manifest names it.
    pub unnamed_since: Option<i64>,
}

/// The bytes of a blob that stand with its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// They have the blob's size and digest.
    Whole(Bytes),
    /// They do not: what was written is not what is there, as with a file that was damaged.
    Damaged,
}

impl Blob {
    /// Whether its bytes stand with its facts and are known not to be what they were.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.body, Some(Body::Damaged))
    }
}

impl Body {
    /// The bytes as a row gave them, compared once: a cache then keeps what came of it.
    pub(super) fn compared(bytes: Vec<u8>, size: u64, digest: &Digest) -> Self {
        let whole = bytes.len() as u64 == size && Digest::of(digest.algorithm(), &bytes) == *digest;
        if whole { Self::Whole(bytes.into()) } else { Self::Damaged }
    }
}

/// An upload whose bytes are whole and durable, to become a blob.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// The repository, held by [`Tx::repository`].
    pub repository: &'a Repository,
    /// The upload.
    pub upload: &'a UploadId,
    /// The fence of the lease under which the bytes were written.
    pub fence: i64,
    /// The digest of the bytes, verified.
    pub digest: &'a Digest,
    /// Their number.
    pub size: u64,
    /// Where they are: the upload's storage key, or its tail's for an upload that never grew past one part.
    pub key: &'a StorageKey,
    /// Milliseconds since the epoch.
    pub now: i64,
}

/// Bytes that shall be a blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    /// The digest of the bytes, verified.
    pub(super) digest: &'a Digest,
    /// Their number.
    pub(super) size: u64,
    /// Where they are, or would be.
    pub(super) key: &'a StorageKey,
    /// The bytes, when they become facts.
    pub(super) body: Option<&'a [u8]>,
    /// Milliseconds since the epoch.
    pub(super) now: i64,
}

/// A finished upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The blob.
    pub blob: BlobId,
    /// Whether the store had these bytes already, so that those just written are deleted again. The answer to a client
    /// must not tell (I6).
    pub known: bool,
}

/// What became of a blob that was to be deleted from a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobDeletion {
    /// The repository no longer holds it.
    Deleted,
    /// The repository does not hold it.
    Unknown,
    /// These manifests of the repository name it (I1); at most 16 of them.
    StillNamedBy(Vec<Digest>),
}

impl Metadata {
    /// The blob of this digest in this repository. Bytes that are quarantined count as absent, so that a client uploads
    /// them again.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn blob(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<Blob>, Error> {
        let ask = async {
            let Some(row) = self.row(&LINKED, values![repository, digest]).await? else { return Ok(None) };
            let size = row.unsigned(1)?;
            let body = row.maybe_bytes(3)?.map(|bytes| Body::compared(bytes, size, digest));
            let (key, unnamed_since) = (row.parsed(2)?, row.maybe_integer(4)?);
            Ok(Some(Blob { id: BlobId(row.integer(0)?), size, key, body, unnamed_since }))
        };
        self.cached(|cache| &cache.blobs, Slot::blob(digest), || (repository, digest.clone()), ask).await
    }

    /// As [`Self::blob`], without those that have faded: no manifest names them, and nobody pushed them lately. A manifest
    /// may still name them, but who asks for them pushes them again, and then has time to.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn shown_blob(&self, repository: RepositoryId, digest: &Digest, now: i64) -> Result<Option<Blob>, Error> {
        let shown_since = now.saturating_sub(self.graces().shown);
        let blob = self.blob(repository, digest).await?;
        Ok(blob.filter(|blob| blob.unnamed_since.is_none_or(|touched| touched > shown_since)))
    }
}

impl Tx {
    /// Makes a blob of an upload and links it into the repository; `None` when the upload is gone, or was taken over.
    ///
    /// Two that finish the same digest at once both succeed: the second finds the first one's row and gives its own key,
    /// which nobody has seen, to the collector. The work is nearly the same whether the digest was known or not (I6).
    ///
    /// # Errors
    /// The database failed, or the key is not the upload's.
    pub async fn finish_upload(&mut self, finish: &Finish<'_>) -> Result<Option<Finished>, Error> {
        let ticket = values![finish.upload, finish.repository.id, finish.fence];
        let Some(row) = self.row(&TICKET, ticket).await? else { return Ok(None) };
        let (storage, tail): (StorageKey, Option<StorageKey>) = (row.parsed(0)?, row.maybe_parsed(1)?);
        if *finish.key == storage {
            if let Some(tail) = tail {
                self.doom(&tail, None, finish.now, Passes::Once).await?;
            }
        } else if tail.as_ref() == Some(finish.key) {
            self.doom(&storage, row.maybe_text(2)?.as_deref(), finish.now, Passes::Twice).await?;
        } else {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("upload {} does not own the key it ends at", finish.upload),
            ));
        }
        let Finish { digest, size, key, now, .. } = *finish;
        let finished = self.own(&Content { digest, size, key, body: None, now }).await?;
        let linked = Linked { blob: finished.blob, digest, size: bytes(size)? };
        self.link(finish.repository, &linked, now).await?;
        Ok(Some(finished))
    }

    /// The blob row of these bytes: a new one with the upload's key, or the known one, held.
    pub(super) async fn own(&mut self, content: &Content<'_>) -> Result<Finished, Error> {
        let Content { digest, key, now, .. } = *content;
        let id = BlobId(self.id()?);
        let size = bytes(content.size)?;
        for _ in 0..TURNS {
            if self.execute(&INSERT, values![id, digest, size, key, now]).await? == 1 {
                self.keep(id, content).await?;
                self.same(id, content).await?;
                return Ok(Finished { blob: id, known: false });
            }
            let Some(row) = self.row(&HOLD, values![digest]).await? else { continue };
            if row.maybe_integer(1)?.is_some() {
                if let Some(blob) = self.heal(content).await? {
                    return Ok(Finished { blob, known: false });
                }
                continue;
            }
            let blob = BlobId(row.integer(0)?);
            if !self.same(blob, content).await? {
                self.replace(blob, content).await?;
            }
            self.doom(key, None, now, Passes::Once).await?;
            return Ok(Finished { blob, known: true });
        }
        Err(self.give_way("blobs"))
    }

    /// Whether a repository holds a blob, told after every change that is making it so has ended: also one whose COMMIT was
    /// never answered, and is still on its way to the server. `key` is the one that this change was to use.
    ///
    /// # Errors
    /// The database failed, or that change takes too long.
    pub async fn is_blob_in(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
        key: &StorageKey,
        now: i64,
    ) -> Result<bool, Error> {
        // Whoever makes the blob has inserted its row, and whoever found it there holds it: the one is met by inserting it
        // too, the other by locking it against all.
        let id = self.id()?;
        if self.execute(&INSERT, values![id, digest, 0_i64, key, now]).await? == 1 {
            self.execute(&FORGET, values![id]).await?;
            return Ok(false);
        }
        self.row(&AWAIT, values![digest]).await?;
        Ok(self.row(&IN_REPOSITORY, values![repository, digest]).await?.is_some())
    }

    /// Puts the bytes just received in the place of quarantined ones; `None` when somebody else did meanwhile.
    async fn heal(&mut self, content: &Content<'_>) -> Result<Option<BlobId>, Error> {
        let Some(row) = self.row(&HOLD_ROTTEN, values![content.digest]).await? else { return Ok(None) };
        let (blob, rotten) = (BlobId(row.integer(0)?), row.parsed(1)?);
        self.execute(&HEAL, values![blob, content.key, content.now]).await?;
        // Also when a file heals what was a fact: the damaged bytes would be read in its place.
        self.replace(blob, content).await?;
        self.touch(Slot::blob(content.digest));
        let grace = self.graces().bytes;
        self.doom(&rotten, None, content.now.saturating_add(grace), Passes::Once).await?;
        Ok(Some(blob))
    }

    /// Marks the bytes that were found missing or damaged under the key of `blob`: from the commit on they count as absent
    /// in every repository (I1), and whoever pushes them again heals the blob. Whether they were marked: `false` when they
    /// were healed, replaced or collected since they were looked at, or marked before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn quarantine(&mut self, blob: &Blob, digest: &Digest, now: i64) -> Result<bool, Error> {
        self.touch(Slot::blob(digest));
        if blob.is_damaged() {
            // Bytes that stand with the facts are replaced under the same key: whoever does that now is waited for.
            self.row(&AWAIT, values![digest]).await?;
            let body = self.body(blob.id).await?.map(|bytes| Body::compared(bytes, blob.size, digest));
            if matches!(body, Some(Body::Whole(_))) {
                return Ok(false);
            }
        }
        Ok(self.execute(&QUARANTINE, values![blob.id, &blob.key, now]).await? == 1)
    }

    /// Takes a blob out of a repository that [`Tx::repository`] holds. Other repositories keep it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_blob(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        now: i64,
    ) -> Result<BlobDeletion, Error> {
        if self.engine() == Engine::Postgres {
            self.row(&HOLD_IN_ACCOUNT, values![repository.account_id, digest]).await?;
        }
        let Some(row) = self.row(&HOLD_LINK, values![repository.id, digest]).await? else {
            return Ok(BlobDeletion::Unknown);
        };
        let blob = row.integer(0)?;
        let manifests = self.rows(&NAMED_BY, values![repository.id, blob, NAMED]).await?;
        if !manifests.is_empty() {
            let named: Result<_, Error> = manifests.iter().map(|row| row.parsed(0)).collect();
            return Ok(BlobDeletion::StillNamedBy(named?));
        }
        if self.execute(&UNLINK, values![repository.id, blob]).await? == 0 {
            return Ok(BlobDeletion::Unknown);
        }
        self.touch(Slot::blob(digest));
        self.release_blobs(repository.place(), [blob]).await?;
        self.candidates(Item::Account, repository.account_id.0, [blob], now).await?;
        Ok(BlobDeletion::Deleted)
    }
}

/// A blob's size as a row holds it.
pub(super) fn bytes(size: u64) -> Result<i64, Error> {
    i64::try_from(size).map_err(|error| Error::caused(ErrorKind::Failed, "a blob's size", error))
}
