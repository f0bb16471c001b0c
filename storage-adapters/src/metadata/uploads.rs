use hallmark_oci::UploadId;

use super::database::Metadata;
use super::doomed::Passes;
use super::error::{Error, ErrorKind};
use super::rows::{PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::usage::{Limits, Room};
use super::value::values;
use crate::StorageKey;

statements! {
    INSERT = [
        "INSERT INTO uploads (id, repository_id, principal_id, storage_key, hash_state, fence, leased_until, expires_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
          WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE principal_id = $3 LIMIT 1 OFFSET $9)"
    ];
    FIND = [
        "SELECT id, storage_key, tail_key, multipart_id, received, hash_state, fence, leased_until, expires_at
           FROM uploads WHERE id = $1 AND repository_id = $2 AND principal_id = $3"
    ];
    PARTS = ["SELECT number, size, etag FROM upload_parts WHERE upload_id = $1 ORDER BY number"];
    LEASE = [
        "UPDATE uploads SET fence = fence + 1, leased_until = $6,
                expires_at = CASE WHEN expires_at < $7 THEN $7 ELSE expires_at END
          WHERE id = $1 AND repository_id = $2 AND principal_id = $3 AND leased_until <= $5
            AND ($4 < 0 OR received = $4)
         RETURNING id, storage_key, tail_key, multipart_id, received, hash_state, fence, leased_until, expires_at"
    ];
    WHERE_IT_IS = [
        "SELECT received, leased_until FROM uploads WHERE id = $1 AND repository_id = $2 AND principal_id = $3"
    ];
    HOLD = ["SELECT tail_key FROM uploads WHERE id = $1 AND fence = $2" {update}];
    AWAIT = [
        "SELECT id FROM uploads WHERE id = $1 AND repository_id = $2 AND principal_id = $3" {update}
    ];
    LAST_PART = ["SELECT COALESCE(MAX(number), 0) FROM upload_parts WHERE upload_id = $1"];
    INSERT_PART = [
        "INSERT INTO upload_parts (upload_id, number, fence, size, etag) VALUES ($1, $2, $3, $4, $5)"
    ];
    CHECKPOINT = [
        "UPDATE uploads SET received = $2, hash_state = $3, multipart_id = $4, tail_key = $5, leased_until = $6,
                expires_at = $7
          WHERE id = $1"
    ];
    COUNT = ["SELECT COUNT(*) FROM (SELECT 1 FROM uploads page LIMIT $1) AS held"];
    END_LEASES = ["UPDATE uploads SET leased_until = 0 WHERE leased_until <> 0"];
    RELEASE = ["UPDATE uploads SET leased_until = 0 WHERE id = $1 AND fence = $2"];
    CANCEL = [
        "DELETE FROM uploads WHERE id = $1 AND repository_id = $2 AND principal_id = $3
            AND ($4 < 0 OR fence = $4)
         RETURNING storage_key, tail_key, multipart_id"
    ];
}

/// How many uploads a principal may have open: many times what clients send at once and what they leave behind in a day of
/// broken connections, and an end to the rows of somebody who never finishes.
pub const OPEN_UPLOADS: i64 = 4_000;

/// An upload to be opened. It is committed before its first byte is written, so that no byte is without an owner.
#[derive(Clone, Copy, Debug)]
pub struct NewUpload<'a> {
    /// The upload: 128 random bits.
    pub id: &'a UploadId,
    /// Where the blob will be, held by [`Tx::repository`].
    pub repository: RepositoryId,
    /// Whose it is: nobody else can touch it.
    pub principal: PrincipalId,
    /// Where its bytes go: a fresh key.
    pub key: &'a StorageKey,
    /// The state of a hash over no byte, of the algorithm that is expected.
    pub hash_state: &'a [u8],
    /// When the lease ends that the opener takes at once, with fence 1; 0 for none.
    pub leased_until: i64,
    /// When it may be cancelled if nobody goes on.
    pub expires_at: i64,
}

/// An upload as it was last committed. Everything up to `received` is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The upload.
    pub id: UploadId,
    /// Where its bytes go.
    pub storage_key: StorageKey,
    /// Where the bytes after the last whole part are, on stores that take parts.
    pub tail_key: Option<StorageKey>,
    /// The store's own name of the multipart upload.
    pub multipart_id: Option<String>,
    /// Bytes received.
    pub received: u64,
    /// The state of the hash over them.
    pub hash_state: Vec<u8>,
    /// Parts that the store has, by number.
    pub parts: Vec<UploadPart>,
    /// How often the upload was leased; what an older holder writes is refused.
    pub fence: i64,
    /// When the lease ends, in milliseconds since the epoch.
    pub leased_until: i64,
    /// When the upload may be cancelled if nobody goes on.
    pub expires_at: i64,
    /// The hard limits that hold where it goes; told to whoever leases it.
    pub limits: Limits,
    /// What it has reserved; told to whoever leases it.
    pub reserved: Room,
}

/// One part of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadPart {
    /// Its number, from 1.
    pub number: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What the store called it.
    pub etag: Option<String>,
}

/// What became of the wish to write to an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It may be written under the fence in here, until the lease ends.
    Leased(Box<Upload>),
    /// The upload stands elsewhere, or somebody else writes to it.
    NotAtOffset {
        /// Bytes received.
        received: u64,
        /// When the other lease ends; in the past when there is none.
        leased_until: i64,
    },
    /// There is no such upload of this principal in this repository.
    Unknown,
}

/// How far an upload has durably come.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// The upload.
    pub id: &'a UploadId,
    /// The fence of the lease.
    pub fence: i64,
    /// Bytes received.
    pub received: u64,
    /// The state of the hash over them.
    pub hash_state: &'a [u8],
    /// The store's own name of the multipart upload.
    pub multipart_id: Option<&'a str>,
    /// Every part so far; those that are recorded already are passed over.
    pub parts: &'a [UploadPart],
    /// Where the tail is. A new one was announced by [`Tx::reserve_tail`]; the one before is deleted.
    pub tail_key: Option<&'a StorageKey>,
    /// When the lease ends; 0 to give it back.
    pub leased_until: i64,
    /// When the upload may be cancelled if nobody goes on.
    pub expires_at: i64,
    /// Milliseconds since the epoch.
    pub now: i64,
}

impl Metadata {
    /// How many uploads are begun and have not ended, counted up to `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_uploads(&self, limit: u32) -> Result<u64, Error> {
        self.row(&COUNT, values![i64::from(limit)]).await?.map_or(Ok(0), |row| row.unsigned(0))
    }

    /// An upload, for whom it belongs to.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn upload(
        &self,
        id: &UploadId,
        repository: RepositoryId,
        principal: PrincipalId,
    ) -> Result<Option<Upload>, Error> {
        let Some(row) = self.row(&FIND, values![id, repository, principal]).await? else { return Ok(None) };
        let mut upload = upload(&row)?;
        if upload.multipart_id.is_some() {
            upload.parts = parts(&self.rows(&PARTS, values![id]).await?)?;
        }
        Ok(Some(upload))
    }
}

impl Tx {
    /// Opens an upload in a repository that [`Tx::repository`] holds; `false` when its principal has [`OPEN_UPLOADS`] open
    /// already. Some that open uploads at one moment may together have a few more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_upload(&mut self, new: &NewUpload<'_>) -> Result<bool, Error> {
        let fence = i64::from(new.leased_until > 0);
        let owner = (new.id, new.repository, new.principal);
        let (state, until, expires_at) = (new.hash_state, new.leased_until, new.expires_at);
        let before_the_last = OPEN_UPLOADS - 1;
        let row = values![owner.0, owner.1, owner.2, new.key, state, fence, until, expires_at, before_the_last];
        Ok(self.execute(&INSERT, row).await? == 1)
    }

    /// Takes the right to write to an upload from `start` on, or from wherever it stands with `None`, until
    /// `leased_until`. Whoever wrote before is fenced out, and the upload does not expire before `expires_at`. Of what it has
    /// reserved is left what is for the bytes that it holds: nobody knows whether whoever reserved the rest had looked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lease_upload(
        &mut self,
        (id, repository, principal): (&UploadId, RepositoryId, PrincipalId),
        start: Option<u64>,
        now: i64,
        (leased_until, expires_at): (i64, i64),
    ) -> Result<Lease, Error> {
        // No upload stands at an offset that a row cannot hold.
        let start = start.map_or(-1, |start| i64::try_from(start).unwrap_or(i64::MAX));
        let wish = values![id, repository, principal, start, now, leased_until, expires_at];
        if let Some(row) = self.row(&LEASE, wish).await? {
            let mut upload = upload(&row)?;
            (upload.limits, upload.reserved) = self.cut_reservation(id, repository, upload.received).await?;
            if upload.multipart_id.is_some() {
                upload.parts = parts(&self.rows(&PARTS, values![id]).await?)?;
            }
            return Ok(Lease::Leased(Box::new(upload)));
        }
        Ok(match self.row(&WHERE_IT_IS, values![id, repository, principal]).await? {
            Some(row) => Lease::NotAtOffset { received: row.unsigned(0)?, leased_until: row.integer(1)? },
            None => Lease::Unknown,
        })
    }

    /// Announces the key of a tail before its first byte is written, so that a crash leaves no byte without an owner:
    /// until a checkpoint names it, the collector has it, due at `due_at`. Whether the lease still stands.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reserve_tail(
        &mut self,
        (id, fence): (&UploadId, i64),
        key: &StorageKey,
        due_at: i64,
    ) -> Result<bool, Error> {
        if self.row(&HOLD, values![id, fence]).await?.is_none() {
            return Ok(false);
        }
        self.doom(key, None, due_at, Passes::Twice).await?;
        Ok(true)
    }

    /// Records how far an upload has durably come; whether the lease still stands. If not, stop writing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn checkpoint_upload(&mut self, checkpoint: &Checkpoint<'_>) -> Result<bool, Error> {
        let Checkpoint { id, fence, now, .. } = *checkpoint;
        let Some(row) = self.row(&HOLD, values![id, fence]).await? else { return Ok(false) };
        let before: Option<StorageKey> = row.maybe_parsed(0)?;
        if before.as_ref() != checkpoint.tail_key {
            if let Some(tail) = checkpoint.tail_key
                && !self.adopt(tail).await?
            {
                return Ok(false);
            }
            if let Some(before) = before {
                self.doom(&before, None, now, Passes::Once).await?;
            }
        }
        self.insert_parts(checkpoint).await?;
        let received = signed(checkpoint.received)?;
        self.execute(
            &CHECKPOINT,
            values![
                id,
                received,
                checkpoint.hash_state,
                checkpoint.multipart_id,
                checkpoint.tail_key.map(StorageKey::as_str),
                checkpoint.leased_until,
                checkpoint.expires_at,
            ],
        )
        .await?;
        Ok(true)
    }

    async fn insert_parts(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        if checkpoint.parts.is_empty() {
            return Ok(());
        }
        let last = match self.row(&LAST_PART, values![checkpoint.id]).await? {
            Some(row) => row.unsigned(0)?,
            None => 0,
        };
        for part in checkpoint.parts.iter().filter(|part| part.number > last) {
            let (number, size) = (signed(part.number)?, signed(part.size)?);
            let part = values![checkpoint.id, number, checkpoint.fence, size, part.etag.as_deref()];
            self.execute(&INSERT_PART, part).await?;
        }
        Ok(())
    }

    /// Gives a lease back; whether it still stood.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release_upload(&mut self, id: &UploadId, fence: i64) -> Result<bool, Error> {
        Ok(self.execute(&RELEASE, values![id, fence]).await? == 1)
    }

    /// Whether an upload is open, told after every change that is ending it has ended itself: also one whose COMMIT was
    /// never answered, and is still on its way to the server.
    ///
    /// # Errors
    /// The database failed, or that change takes too long.
    pub async fn is_upload_open(
        &mut self,
        id: &UploadId,
        repository: RepositoryId,
        principal: PrincipalId,
    ) -> Result<bool, Error> {
        Ok(self.row(&AWAIT, values![id, repository, principal]).await?.is_some())
    }

    /// Ends an upload and gives its keys to the collector; whether there was one. With a fence, only while that lease is the
    /// last one: a writer that was overtaken ends nothing. Without one whoever is writing to it finds its fence gone.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cancel_upload(
        &mut self,
        (id, repository, principal): (&UploadId, RepositoryId, PrincipalId),
        fence: Option<i64>,
        now: i64,
    ) -> Result<bool, Error> {
        let which = values![id, repository, principal, fence.unwrap_or(-1)];
        let Some(row) = self.row(&CANCEL, which).await? else { return Ok(false) };
        self.doom_upload(&row, now).await?;
        Ok(true)
    }
}

fn upload(row: &Row) -> Result<Upload, Error> {
    Ok(Upload {
        id: row.parsed(0)?,
        storage_key: row.parsed(1)?,
        tail_key: row.maybe_parsed(2)?,
        multipart_id: row.maybe_text(3)?,
        received: row.unsigned(4)?,
        hash_state: row.maybe_bytes(5)?.unwrap_or_default(),
        parts: Vec::new(),
        fence: row.integer(6)?,
        leased_until: row.integer(7)?,
        expires_at: row.integer(8)?,
        limits: Limits::default(),
        reserved: Room::default(),
    })
}

fn parts(rows: &[Row]) -> Result<Vec<UploadPart>, Error> {
    let part =
        |row: &Row| Ok(UploadPart { number: row.unsigned(0)?, size: row.unsigned(1)?, etag: row.maybe_text(2)? });
    rows.iter().map(part).collect()
}

fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|error| Error::caused(ErrorKind::Failed, "a number of an upload", error))
}
