//! A blob in a repository: the link, and the account's row that it stands on.

use hallmark_oci::Digest;

use super::candidates::Item;
use super::error::Error;
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::{AccountId, BlobId};
use super::statement::{Engine, statements};
use super::tx::{TURNS, Tx};
use super::usage::Scope;
use super::value::values;

statements! {
    // What the trash names is asked for in the order of its index: a server that hopes for an early find would read all of it.
    // On a server what is charged goes with what it is charged for: nobody waits for one more answer.
    INSERT_ACCOUNT = [
        {on_sqlite "INSERT INTO account_blobs (account_id, blob_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"}
        {on_postgres
         "WITH held AS (INSERT INTO account_blobs (account_id, blob_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING blob_id)
          INSERT INTO usage_entries (scope, scope_id, id, bytes) SELECT 'account', $1, $3, $4 FROM held"}
    ];
    HOLD_ACCOUNT = ["SELECT blob_id FROM account_blobs WHERE account_id = $1 AND blob_id = $2" {share}];
    INSERT = [
        {on_sqlite
         "INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at) VALUES ($1, $2, $3, $4)
          ON CONFLICT DO NOTHING RETURNING 1,
            CASE WHEN EXISTS (SELECT 1 FROM trash_blobs n
                               WHERE n.account_id = $3 AND n.blob_id = $2 AND n.repository_id = $1) THEN 0 ELSE 1 END"}
        {on_postgres
         "WITH held AS (INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING blob_id),
          charged AS (INSERT INTO usage_entries (scope, scope_id, id, bytes)
            SELECT 'repository', $1, $5, $6 FROM held
             WHERE (SELECT 1 FROM trash_blobs n WHERE n.account_id = $3 AND n.blob_id = $2
                       AND n.repository_id >= $1 AND n.repository_id <= $1 ORDER BY n.repository_id LIMIT 1) IS NULL
            RETURNING id)
          SELECT (SELECT COUNT(*) FROM held), (SELECT COUNT(*) FROM charged)"}
    ];
    TOUCH = ["UPDATE repository_blobs SET touched_at = $3 WHERE repository_id = $1 AND blob_id = $2"];
}

/// A blob that is to be linked, and that the caller holds.
#[derive(Clone, Copy)]
pub(super) struct Linked<'a> {
    pub(super) blob: BlobId,
    pub(super) digest: &'a Digest,
    pub(super) size: i64,
}

impl Tx {
    /// Links a blob into a repository, and charges the account and the repository that did not have it; an existing link is
    /// touched. The collector may look at it once the blob is no longer shown and whoever was told of it has had time to put a
    /// manifest.
    pub(super) async fn link(&mut self, repository: &Repository, linked: &Linked<'_>, now: i64) -> Result<(), Error> {
        // Since when nobody names it is a part of the answer that is kept.
        self.touch(Slot::blob(linked.digest));
        self.link_account(repository.account_id, linked).await?;
        self.link_repository(repository, linked, now).await?;
        let graces = self.graces();
        let due_at = now + graces.shown + graces.margin;
        self.candidates(Item::Link, repository.id.0, [linked.blob.0], due_at).await
    }

    async fn link_account(&mut self, account: AccountId, linked: &Linked<'_>) -> Result<(), Error> {
        for _ in 0..TURNS {
            if self.enter_account(account, linked).await?
                || self.row(&HOLD_ACCOUNT, values![account, linked.blob]).await?.is_some()
            {
                return Ok(());
            }
        }
        Err(self.give_way("account_blobs"))
    }

    /// Whether the account did not have it; then it is charged.
    async fn enter_account(&mut self, account: AccountId, linked: &Linked<'_>) -> Result<bool, Error> {
        let (Linked { blob, size, .. }, scope) = (*linked, Scope::Account(account));
        if self.engine() == Engine::Postgres {
            let id = self.id()?;
            let is_new = self.execute(&INSERT_ACCOUNT, values![account, blob, id, size]).await? == 1;
            if is_new {
                self.charges().add(scope, size);
            }
            return Ok(is_new);
        }
        let is_new = self.execute(&INSERT_ACCOUNT, values![account, blob]).await? == 1;
        if is_new {
            self.charge(scope, size).await?;
        }
        Ok(is_new)
    }

    async fn link_repository(&mut self, repository: &Repository, linked: &Linked<'_>, now: i64) -> Result<(), Error> {
        for _ in 0..TURNS {
            if self.enter_repository(repository, linked, now).await?
                || self.execute(&TOUCH, values![repository.id, linked.blob, now]).await? == 1
            {
                return Ok(());
            }
        }
        Err(self.give_way("repository_blobs"))
    }

    /// Whether the repository did not link it; then it is charged, unless its trash names the blob, and so it is already.
    async fn enter_repository(
        &mut self,
        repository: &Repository,
        linked: &Linked<'_>,
        now: i64,
    ) -> Result<bool, Error> {
        let (id, account, Linked { blob, size, .. }) = (repository.id, repository.account_id, *linked);
        let scope = Scope::Repository(id);
        if self.engine() == Engine::Postgres {
            let entry = self.id()?;
            let row = self.row(&INSERT, values![id, blob, account, now, entry, size]).await?;
            let Some(row) = row.filter(|row| row.integer(0).is_ok_and(|held| held == 1)) else { return Ok(false) };
            if row.truth(1)? {
                self.charges().add(scope, size);
            }
            return Ok(true);
        }
        let Some(row) = self.row(&INSERT, values![id, blob, account, now]).await? else { return Ok(false) };
        if row.truth(1)? {
            self.charge(scope, size).await?;
        }
        Ok(true)
    }
}
