//! How many bytes accounts and repositories may hold, and whether it was told that they hold more than they should.

use std::sync::atomic::{AtomicI64, Ordering};

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::usage::Scope;
use super::value::values;

statements! {
    FIND = ["SELECT soft, hard FROM quotas WHERE scope = $1 AND scope_id = $2"];
    HOLD = [
        "INSERT INTO quotas (scope, scope_id) VALUES ($1, $2)
         ON CONFLICT (scope, scope_id) DO UPDATE SET passed = quotas.passed RETURNING soft, hard"
    ];
    SET = ["UPDATE quotas SET soft = $3, hard = $4 WHERE scope = $1 AND scope_id = $2"];
    BEGIN = ["INSERT INTO quotas (scope, scope_id, hard) VALUES ($1, $2, $3)"];
    REMOVE = ["DELETE FROM quotas WHERE scope = $1 AND scope_id = $2"];
    JUDGE = [
        "UPDATE quotas SET passed = CASE WHEN soft < $3 THEN 1 ELSE 0 END
          WHERE scope = $1 AND scope_id = $2 AND passed <> CASE WHEN soft < $3 THEN 1 ELSE 0 END
         RETURNING passed, soft"
    ];
    ACCOUNT = ["SELECT id, name FROM accounts WHERE id = $1 AND name IS NOT NULL"];
    REPOSITORY = ["SELECT account_id, name FROM repositories WHERE id = $1 AND name IS NOT NULL"];
}

/// How many bytes an account or a repository may hold; `None`: as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// More than these are told of.
    pub soft: Option<u64>,
    /// More than these are refused.
    pub hard: Option<u64>,
}

/// An account or a repository that has come to hold more than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The account, or the one that the repository belongs to.
    pub account: AccountId,
    /// The repository, if it is one.
    pub repository: Option<RepositoryId>,
    /// Its name.
    pub name: String,
    /// The soft limit, in bytes.
    pub soft: u64,
}

/// How many bytes an account may hold that is made from now on; below zero: as many as there are.
#[derive(Debug)]
pub(super) struct AccountQuota(AtomicI64);

impl Default for AccountQuota {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

impl Metadata {
    /// Says how many bytes an account may hold that is made from now on. All processes on one database must say the same.
    pub fn set_account_quota(&self, hard: Option<u64>) {
        let bytes = hard.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        self.rest().account_quota.0.store(bytes, Ordering::Relaxed);
    }

    /// The limits of an account or a repository.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn quota(&self, scope: Scope) -> Result<Quota, Error> {
        self.row(&FIND, values![scope.word(), scope.id()]).await?.map_or(Ok(Quota::default()), |row| quota(&row))
    }
}

impl Tx {
    /// What a new account begins with: the quota that all get, if there is one. What was known of its name is known no more.
    pub(super) async fn begin_account(&mut self, account: AccountId, name: &str) -> Result<(), Error> {
        self.touch(Slot::account(name));
        let bytes = self.rest().account_quota.0.load(Ordering::Relaxed);
        if bytes < 0 {
            return Ok(());
        }
        self.execute(&BEGIN, values![Scope::Account(account).word(), account, bytes]).await.map(drop)
    }

    /// The limits of an account or a repository, which nobody else changes until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold_quota(&mut self, scope: Scope) -> Result<Quota, Error> {
        self.row(&HOLD, values![scope.word(), scope.id()]).await?.map_or(Ok(Quota::default()), |row| quota(&row))
    }

    /// Sets limits that [`Self::hold_quota`] holds; none at all for the default. They hold for what begins after the commit,
    /// and the next fold tells whether the soft one is passed.
    ///
    /// # Errors
    /// The database failed, or a limit is more than a row can hold.
    pub async fn set_quota(&mut self, scope: Scope, quota: Quota) -> Result<(), Error> {
        if quota == Quota::default() {
            return self.remove_quota(scope).await;
        }
        let limit = |bytes: Option<u64>| bytes.map(i64::try_from).transpose();
        let (soft, hard) = limit(quota.soft)
            .and_then(|soft| Ok((soft, limit(quota.hard)?)))
            .map_err(|error| Error::caused(ErrorKind::Failed, "a limit", error))?;
        self.execute(&SET, values![scope.word(), scope.id(), soft, hard]).await?;
        self.ask_to_fold(scope).await
    }

    pub(super) async fn remove_quota(&mut self, scope: Scope) -> Result<(), Error> {
        self.execute(&REMOVE, values![scope.word(), scope.id()]).await.map(drop)
    }

    /// Remembers whether `used` bytes are more than the soft limit of a scope; which one it is when they are now and were not
    /// before, so that each crossing is told once.
    ///
    /// # Errors
    /// The database failed.
    pub async fn judge_soft_limit(&mut self, scope: Scope, used: i64) -> Result<Option<Passed>, Error> {
        let changed = self.row(&JUDGE, values![scope.word(), scope.id(), used]).await?;
        let Some(changed) = changed.filter(|row| row.truth(0).is_ok_and(|passed| passed)) else { return Ok(None) };
        let statement = match scope {
            Scope::Account(_) => &ACCOUNT,
            Scope::Repository(_) => &REPOSITORY,
        };
        let Some(row) = self.row(statement, values![scope.id()]).await? else { return Ok(None) };
        Ok(Some(Passed {
            account: AccountId(row.integer(0)?),
            repository: match scope {
                Scope::Account(_) => None,
                Scope::Repository(id) => Some(id),
            },
            name: row.text(1)?,
            soft: changed.unsigned(1)?,
        }))
    }
}

fn quota(row: &Row) -> Result<Quota, Error> {
    let limit = |index| Ok::<_, Error>(row.maybe_integer(index)?.map(|limit| limit.max(0).unsigned_abs()));
    Ok(Quota { soft: limit(0)?, hard: limit(1)? })
}
