//! What accounts and repositories hold, counted anew: it costs what they hold, and is asked for by people, not by pushes.
//!
//! Nothing here looks beyond one account, so that nobody learns who else holds a digest (I6).

use super::database::Metadata;
use super::error::Error;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::usage::Scope;
use super::value::values;

statements! {
    OF_REPOSITORY = [
        "WITH held (blob_id, size) AS (
           SELECT b.id, b.size
             FROM (SELECT l.blob_id FROM repository_blobs l WHERE l.repository_id = $1
                   UNION SELECT n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id WHERE t.repository_id = $1) AS one
             JOIN blobs b ON b.id = one.blob_id),
         seen (size, elsewhere, named) AS (
           SELECT h.size,
                  CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o
                                     WHERE o.account_id = $2 AND o.blob_id = h.blob_id AND o.repository_id <> $1)
                         OR EXISTS (SELECT 1 FROM trash_blobs n JOIN trash t ON t.id = n.trash_id
                                     WHERE n.account_id = $2 AND n.blob_id = h.blob_id AND t.repository_id <> $1)
                    THEN 1 ELSE 0 END,
                  CASE WHEN EXISTS (SELECT 1 FROM manifest_blobs e WHERE e.repository_id = $1 AND e.blob_id = h.blob_id)
                    THEN 1 ELSE 0 END
             FROM held h)
         SELECT CAST(COALESCE(SUM(s.size), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.elsewhere = 1 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.elsewhere = 0 AND s.named = 0 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST((SELECT COALESCE(SUM(m.size), 0) FROM manifests m WHERE m.repository_id = $1) AS BIGINT),
                CAST((SELECT COALESCE(SUM(t.size), 0) FROM trash t WHERE t.repository_id = $1) AS BIGINT)
           FROM seen s"
    ];
    OF_ACCOUNT = [
        "WITH seen (size, holders, named) AS (
           SELECT b.size,
                  (SELECT COUNT(*) FROM (SELECT o.repository_id FROM repository_blobs o
                                          WHERE o.account_id = $1 AND o.blob_id = a.blob_id
                                         UNION SELECT t.repository_id FROM trash_blobs n JOIN trash t ON t.id = n.trash_id
                                          WHERE n.account_id = $1 AND n.blob_id = a.blob_id) AS one),
                  CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o
                                      JOIN repositories r ON r.id = o.repository_id AND r.name IS NOT NULL
                                      JOIN manifest_blobs e ON e.repository_id = o.repository_id AND e.blob_id = o.blob_id
                                     WHERE o.account_id = $1 AND o.blob_id = a.blob_id)
                    THEN 1 ELSE 0 END
             FROM account_blobs a JOIN blobs b ON b.id = a.blob_id WHERE a.account_id = $1)
         SELECT CAST(COALESCE(SUM(s.size), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.holders > 1 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.named = 0 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST((SELECT COALESCE(SUM(m.size), 0) FROM repositories r JOIN manifests m ON m.repository_id = r.id
                       WHERE r.account_id = $1 AND r.name IS NOT NULL) AS BIGINT),
                CAST((SELECT COALESCE(SUM(m.size), 0) FROM repositories r JOIN manifests m ON m.repository_id = r.id
                       WHERE r.account_id = $1 AND r.name IS NULL)
                   + (SELECT COALESCE(SUM(t.size), 0) FROM repositories r JOIN trash t ON t.repository_id = r.id
                       WHERE r.account_id = $1) AS BIGINT)
           FROM seen s"
    ];
    DRIFT_OF_REPOSITORY = [
        "SELECT CAST((SELECT COALESCE(SUM(b.size), 0)
                        FROM (SELECT l.blob_id FROM repository_blobs l WHERE l.repository_id = $1
                              UNION SELECT n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id
                               WHERE t.repository_id = $1) AS one
                        JOIN blobs b ON b.id = one.blob_id)
                   + (SELECT COALESCE(SUM(m.size), 0) FROM manifests m WHERE m.repository_id = $1)
                   + (SELECT COALESCE(SUM(t.size), 0) FROM trash t WHERE t.repository_id = $1)
                   - COALESCE((SELECT u.bytes FROM usage_totals u WHERE u.scope = 'repository' AND u.scope_id = $1), 0)
                   - COALESCE((SELECT SUM(e.bytes) FROM usage_entries e
                                WHERE e.scope = 'repository' AND e.scope_id = $1 AND e.upload_id IS NULL), 0) AS BIGINT)"
    ];
    DRIFT_OF_ACCOUNT = [
        "SELECT CAST((SELECT COALESCE(SUM(b.size), 0) FROM account_blobs a JOIN blobs b ON b.id = a.blob_id
                       WHERE a.account_id = $1)
                   + (SELECT COALESCE(SUM(m.size), 0) FROM repositories r JOIN manifests m ON m.repository_id = r.id
                       WHERE r.account_id = $1)
                   + (SELECT COALESCE(SUM(t.size), 0) FROM repositories r JOIN trash t ON t.repository_id = r.id
                       WHERE r.account_id = $1)
                   - COALESCE((SELECT u.bytes FROM usage_totals u WHERE u.scope = 'account' AND u.scope_id = $1), 0)
                   - COALESCE((SELECT SUM(e.bytes) FROM usage_entries e
                                WHERE e.scope = 'account' AND e.scope_id = $1 AND e.upload_id IS NULL), 0) AS BIGINT)"
    ];
    HOLD_TOTAL = [
        "INSERT INTO usage_totals (scope, scope_id, bytes) VALUES ($1, $2, 0)
         ON CONFLICT (scope, scope_id) DO UPDATE SET bytes = usage_totals.bytes"
    ];
    NEXT_ACCOUNT = ["SELECT id FROM accounts WHERE id > $1 ORDER BY id LIMIT 1"];
    NEXT_REPOSITORY = ["SELECT id FROM repositories WHERE id > $1 ORDER BY id LIMIT 1"];
}

/// What an account or a repository holds, in bytes, each blob counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// All of it: what it is charged for when nothing changes.
    pub logical: u64,
    /// What no other repository of the account holds; of an account, what only one of its repositories holds.
    pub unique: u64,
    /// What other repositories of the account hold too; of an account, what several of its repositories hold.
    pub shared: u64,
    /// What the account would no longer be charged for if everything in it went that nothing needs: what is in the trash and what
    /// no manifest names, unless another repository of the account has it; of an account, deleted repositories as well.
    pub reclaimable: u64,
}

impl Metadata {
    /// Counts what a repository of this account holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sizes_of_repository(&self, repository: RepositoryId, account: AccountId) -> Result<Sizes, Error> {
        self.row(&OF_REPOSITORY, values![repository, account]).await?.map_or(Ok(Sizes::default()), |row| sizes(&row))
    }

    /// Counts what an account holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sizes_of_account(&self, account: AccountId) -> Result<Sizes, Error> {
        self.row(&OF_ACCOUNT, values![account]).await?.map_or(Ok(Sizes::default()), |row| sizes(&row))
    }
}

impl Metadata {
    /// The scope after this one, or the first: all accounts, then all repositories.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn next_scope(&self, after: Option<Scope>) -> Result<Option<Scope>, Error> {
        let id = |row: Option<Row>| row.map(|row| row.integer(0)).transpose();
        // Ids are above -1: the system's account is the first.
        let (account, repository) = match after {
            None => (Some(-1), -1),
            Some(Scope::Account(account)) => (Some(account.0), -1),
            Some(Scope::Repository(repository)) => (None, repository.0),
        };
        if let Some(after) = account
            && let Some(next) = id(self.row(&NEXT_ACCOUNT, values![after]).await?)?
        {
            return Ok(Some(Scope::Account(AccountId(next))));
        }
        let next = id(self.row(&NEXT_REPOSITORY, values![repository]).await?)?;
        Ok(next.map(|id| Scope::Repository(RepositoryId(id))))
    }
}

impl Tx {
    /// Counts all that a scope holds and charges what is missing, or takes off what is too much; how much. Nothing is, unless a
    /// release was at work that charges nothing. What others change meanwhile is charged by them: one statement sees what is held
    /// and what is charged alike, and of two who count the second sees what the first charged.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_usage_right(&mut self, scope: Scope) -> Result<i64, Error> {
        self.execute(&HOLD_TOTAL, values![scope.word(), scope.id()]).await?;
        let statement = match scope {
            Scope::Account(_) => &DRIFT_OF_ACCOUNT,
            Scope::Repository(_) => &DRIFT_OF_REPOSITORY,
        };
        let drift = self.row(statement, values![scope.id()]).await?.map_or(Ok(0), |row| row.integer(0))?;
        self.charge(scope, drift).await?;
        Ok(drift)
    }
}

/// From the columns blobs, those of them that are shared, those that go, manifests that stay, manifests that go.
fn sizes(row: &Row) -> Result<Sizes, Error> {
    let (blobs, shared, unneeded) = (row.unsigned(0)?, row.unsigned(1)?, row.unsigned(2)?);
    let (staying, going) = (row.unsigned(3)?, row.unsigned(4)?);
    let logical = blobs + staying + going;
    Ok(Sizes { logical, unique: logical - shared, shared, reclaimable: unneeded + going })
}
