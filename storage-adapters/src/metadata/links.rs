//! A blob in a repository: the link, and the account's row that it stands on.

use hallmark_oci::Digest;

use super::candidates::Item;
use super::error::Error;
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::BlobId;
use super::statement::statements;
use super::tx::{TURNS, Tx};
use super::value::values;

statements! {
    INSERT_ACCOUNT = ["INSERT INTO account_blobs (account_id, blob_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"];
    HOLD_ACCOUNT = ["SELECT blob_id FROM account_blobs WHERE account_id = $1 AND blob_id = $2" {share}];
    INSERT = [
        "INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING"
    ];
    TOUCH = ["UPDATE repository_blobs SET touched_at = $3 WHERE repository_id = $1 AND blob_id = $2"];
}

impl Tx {
    /// Links a blob, which the caller holds, into a repository; an existing link is touched. The collector may look at it
    /// once the blob is no longer shown and whoever was told of it has had time to put a manifest.
    pub(super) async fn link(
        &mut self,
        repository: &Repository,
        (blob, digest): (BlobId, &Digest),
        now: i64,
    ) -> Result<(), Error> {
        // Since when nobody names it is a part of the answer that is kept.
        self.touch(Slot::blob(digest));
        self.link_account(repository, blob).await?;
        self.link_repository(repository, blob, now).await?;
        let graces = self.graces();
        self.candidates(Item::Link, repository.id.0, [blob.0], now + graces.shown + graces.margin).await
    }

    async fn link_account(&mut self, repository: &Repository, blob: BlobId) -> Result<(), Error> {
        let account = repository.account_id;
        for _ in 0..TURNS {
            if self.execute(&INSERT_ACCOUNT, values![account, blob]).await? == 1
                || self.row(&HOLD_ACCOUNT, values![account, blob]).await?.is_some()
            {
                return Ok(());
            }
        }
        Err(self.give_way("account_blobs"))
    }

    async fn link_repository(&mut self, repository: &Repository, blob: BlobId, now: i64) -> Result<(), Error> {
        for _ in 0..TURNS {
            if self.execute(&INSERT, values![repository.id, blob, repository.account_id, now]).await? == 1
                || self.execute(&TOUCH, values![repository.id, blob, now]).await? == 1
            {
                return Ok(());
            }
        }
        Err(self.give_way("repository_blobs"))
    }
}
