use super::error::Error;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;
use crate::StorageKey;

statements! {
    DOOM = [
        "INSERT INTO key_deletions (storage_key, multipart_id, due_at, passes) VALUES ($1, $2, $3, $4)"
    ];
    ADOPT = ["DELETE FROM key_deletions WHERE storage_key = $1 AND leased_until = 0 AND passes = $2"];
}

/// How often the bytes under a key are deleted.
#[derive(Clone, Copy)]
pub(super) enum Passes {
    /// Whatever was to be written there has been.
    Once = 1,
    /// A stalled write may still land: once more, a day later.
    Twice = 2,
}

impl Tx {
    /// Gives a key that nothing names to the collector (I3).
    pub(super) async fn doom(
        &mut self,
        key: &StorageKey,
        multipart_id: Option<&str>,
        due_at: i64,
        passes: Passes,
    ) -> Result<(), Error> {
        self.execute(&DOOM, values![key, multipart_id, due_at, passes as i64]).await.map(drop)
    }

    /// Dooms the keys of an upload that is gone, from its columns storage_key, tail_key, multipart_id.
    pub(super) async fn doom_upload(&mut self, upload: &Row, now: i64) -> Result<(), Error> {
        let multipart = upload.maybe_text(2)?;
        self.doom(&upload.parsed(0)?, multipart.as_deref(), now, Passes::Twice).await?;
        if let Some(tail) = upload.maybe_parsed(1)? {
            self.doom(&tail, None, now, Passes::Twice).await?;
        }
        Ok(())
    }

    /// Takes a key, doomed for two passes, back from the collector; whether that has not yet come to it.
    pub(super) async fn adopt(&mut self, key: &StorageKey) -> Result<bool, Error> {
        Ok(self.execute(&ADOPT, values![key, Passes::Twice as i64]).await? == 1)
    }
}
