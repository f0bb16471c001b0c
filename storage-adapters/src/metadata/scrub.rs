//! Which bytes are read again, and which bytes nothing names.

use hallmark_oci::Digest;

use super::blobs::{Blob, Body};
use super::database::Metadata;
use super::doomed::Passes;
use super::error::Error;
use super::rows::BlobId;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_texts, values};
use crate::StorageKey;

statements! {
    CLAIM = [
        "UPDATE blobs SET scrubbed_at = $2 WHERE scrubbed_at <= $1 AND id IN
           (SELECT page.id FROM blobs page WHERE page.scrubbed_at <= $1 AND page.quarantined_at IS NULL
             ORDER BY page.scrubbed_at LIMIT $3" {skip} ")
         RETURNING id, digest, size, storage_key"
    ];
    BODY = ["SELECT body FROM small_blobs WHERE blob_id = $1"];
    SCRUBBED = ["UPDATE blobs SET scrubbed_at = $3 WHERE id = $1 AND storage_key = $2"];
    UNKNOWN = [
        "SELECT list.value FROM " {texts 1} " AS list
          WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.storage_key = list.value)
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.storage_key = list.value)
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.tail_key = list.value)
            AND NOT EXISTS (SELECT 1 FROM key_deletions k WHERE k.storage_key = list.value)"
    ];
    MOVE = ["UPDATE settings SET value = $3 WHERE name = $1 AND value = $2"];
    BEGIN = ["INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"];
}

/// A blob whose bytes are to be read again.
#[derive(Clone, Debug)]
pub struct ToScrub {
    /// The blob, with its bytes when these are facts.
    pub blob: Blob,
    /// The digest that its bytes have to have.
    pub digest: Digest,
}

impl Tx {
    /// Claims at most `limit` blobs that were not read since `before`: each comes up again at `again`, unless somebody says that
    /// it was read. Those that are known to be damaged are passed over: they wait to be pushed again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_to_scrub(&mut self, before: i64, again: i64, limit: u32) -> Result<Vec<ToScrub>, Error> {
        let mut claimed = Vec::new();
        for row in self.rows(&CLAIM, values![before, again, i64::from(limit)]).await? {
            let (id, digest, size) = (BlobId(row.integer(0)?), row.parsed::<Digest>(1)?, row.unsigned(2)?);
            let body = self.row(&BODY, values![id]).await?.map(|body| body.bytes(0)).transpose()?;
            let body = body.map(|bytes| Body::compared(bytes, size, &digest));
            let blob = Blob { id, size, key: row.parsed(3)?, body, unnamed_since: None };
            claimed.push(ToScrub { blob, digest });
        }
        Ok(claimed)
    }

    /// Records that the bytes of a blob were read and are whole.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scrubbed(&mut self, blob: &Blob, now: i64) -> Result<(), Error> {
        self.execute(&SCRUBBED, values![blob.id, &blob.key, now]).await.map(drop)
    }

    /// Gives those of these keys to the collector that nothing names, to be deleted at `due_at`; which those are. Whoever called
    /// has made sure that they were written long ago: a key has its row before its first byte.
    ///
    /// # Errors
    /// The database failed.
    pub async fn doom_orphans(&mut self, keys: &[StorageKey], due_at: i64) -> Result<Vec<StorageKey>, Error> {
        let list = json_texts(keys.iter().map(StorageKey::as_str));
        let mut orphans: Vec<StorageKey> = Vec::new();
        for row in self.rows(&UNKNOWN, values![&list]).await? {
            orphans.push(row.parsed(0)?);
        }
        for orphan in &orphans {
            self.doom(orphan, None, due_at, Passes::Once).await?;
        }
        Ok(orphans)
    }

    /// Moves a mark from one value to the next; whether it still was where the caller saw it. Of several who see it there,
    /// one moves it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn move_mark(&mut self, name: &str, from: Option<&str>, to: &str) -> Result<bool, Error> {
        let moved = match from {
            Some(from) => self.execute(&MOVE, values![name, from, to]).await?,
            None => self.execute(&BEGIN, values![name, to]).await?,
        };
        Ok(moved == 1)
    }
}

impl Metadata {
    /// Those of these keys that nothing names: neither a blob nor an upload, and nobody is to delete them.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn orphans(&self, keys: &[StorageKey]) -> Result<Vec<StorageKey>, Error> {
        let list = json_texts(keys.iter().map(StorageKey::as_str));
        self.rows(&UNKNOWN, values![&list]).await?.iter().map(|row| row.parsed(0)).collect()
    }

    /// Whether nothing names this key.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_orphan(&self, key: &StorageKey) -> Result<bool, Error> {
        Ok(!self.orphans(std::slice::from_ref(key)).await?.is_empty())
    }
}
