use super::database::Metadata;
use super::error::Error;
use super::statement::{Engine, Statement, statements};
use super::tx::Tx;
use super::value::values;
use crate::StorageKey;

/// How long one claim of a doomed key holds: longer than a store takes to delete a hundred of them.
const CLAIM: i64 = 10 * 60 * 1_000;
/// How long a key that could not be deleted is left alone.
const PUT_OFF_FOR: i64 = 30 * 60 * 1_000;
/// When a key that a stalled write may still reach is deleted for the second time.
const SECOND_PASS: i64 = 24 * 60 * 60 * 1_000;

statements! {
    EXPIRE = [
        "DELETE FROM uploads WHERE expires_at <= $1 AND leased_until <= $1 AND id IN
           (SELECT id FROM uploads WHERE expires_at <= $1 AND leased_until <= $1 ORDER BY expires_at LIMIT $2" {skip} ")
         RETURNING storage_key, tail_key, multipart_id"
    ];
    CLAIM_KEYS = [
        "UPDATE key_deletions SET leased_until = $2 WHERE leased_until <= $1 AND storage_key IN
           (SELECT storage_key FROM key_deletions WHERE due_at <= $1 AND leased_until <= $1
             ORDER BY due_at LIMIT $3" {skip} ")
         RETURNING storage_key, multipart_id, passes"
    ];
    FORGET = ["DELETE FROM key_deletions WHERE storage_key = $1"];
    AGAIN = ["UPDATE key_deletions SET passes = passes - 1, due_at = $2, leased_until = 0 WHERE storage_key = $1"];
    PUT_OFF = ["UPDATE key_deletions SET due_at = $2, leased_until = $2 WHERE storage_key = $1"];
    NAMED = [
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM blobs WHERE storage_key = $1)
                     OR EXISTS (SELECT 1 FROM uploads WHERE storage_key = $1)
                     OR EXISTS (SELECT 1 FROM uploads WHERE tail_key = $1)"
    ];
}

/// The time by the server's own clock; asked of no other engine, which has none of its own.
pub(super) static CLOCK: Statement = Statement::new(
    "reclaim::CLOCK",
    "SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000",
    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
);

/// A key that nothing names, claimed for deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoomedKey {
    /// The key.
    pub key: StorageKey,
    /// The multipart upload that was begun there, if any.
    pub multipart_id: Option<String>,
    /// How often its bytes are to be deleted, this time included.
    pub passes: i64,
}

impl Metadata {
    /// The time by the clock of the database, in milliseconds since the epoch; `None` where that is this machine's.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn database_clock(&self) -> Result<Option<i64>, Error> {
        match self.engine() {
            Engine::Sqlite => Ok(None),
            Engine::Postgres => self.row(&CLOCK, &[]).await?.map(|row| row.integer(0)).transpose(),
        }
    }

    /// Whether a blob or an upload has this key: the last look before its bytes go.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_named(&self, key: &StorageKey) -> Result<bool, Error> {
        Ok(self.row(&NAMED, values![key]).await?.is_some())
    }
}

impl Tx {
    /// Gives up at most `limit` uploads that expired before `now` and that nobody writes to; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn expire_uploads(&mut self, now: i64, limit: u32) -> Result<u64, Error> {
        let uploads = self.rows(&EXPIRE, values![now, i64::from(limit)]).await?;
        for upload in &uploads {
            self.doom_upload(upload, now).await?;
        }
        Ok(uploads.len() as u64)
    }

    /// Claims at most `limit` keys that are due. A claim that is not followed by [`Tx::key_deleted`] ends by itself.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_keys(&mut self, now: i64, limit: u32) -> Result<Vec<DoomedKey>, Error> {
        let rows = self.rows(&CLAIM_KEYS, values![now, now + CLAIM, i64::from(limit)]).await?;
        rows.iter()
            .map(|row| Ok(DoomedKey { key: row.parsed(0)?, multipart_id: row.maybe_text(1)?, passes: row.integer(2)? }))
            .collect()
    }

    /// Records that the bytes of a key could not be deleted: it comes up again half an hour later, behind those that are due
    /// by then, so that it holds up none of them. It stays claimed until then: a deletion that failed may happen yet, so no
    /// upload may take the key back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_key_off(&mut self, doomed: &DoomedKey, now: i64) -> Result<(), Error> {
        self.execute(&PUT_OFF, values![&doomed.key, now + PUT_OFF_FOR]).await.map(drop)
    }

    /// Records that the bytes of a key were deleted: it is forgotten, or comes up once more a day later.
    ///
    /// # Errors
    /// The database failed.
    pub async fn key_deleted(&mut self, doomed: &DoomedKey, now: i64) -> Result<(), Error> {
        if doomed.passes > 1 {
            self.execute(&AGAIN, values![&doomed.key, now + SECOND_PASS]).await.map(drop)
        } else {
            self.execute(&FORGET, values![&doomed.key]).await.map(drop)
        }
    }
}
