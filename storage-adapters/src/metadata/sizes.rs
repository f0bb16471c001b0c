//! What accounts and repositories hold, counted anew: it costs what they hold, and is asked for by people, not by pushes. It is
//! counted in pages, each by one statement, so that it ends however much there is. What is changed meanwhile may be counted as it was
//! or as it is; when nothing is, the sum is that of one look at all.
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

/// Rows that one statement counts: few enough that it ends long before the time that it may take. The statements have the number in
/// their text, since a server that does not know it plans for a tenth of all there is.
const PAGE: i64 = 1_000;
/// Manifests in the trash of which one statement counts what they name.
const TRASHED_PAGE: i64 = 100;
/// Before the first id.
const NONE: i64 = -1;

statements! {
    // Every look behind a blob is a sub-query that a server cannot turn into a join: joined, each page would read all that there is.
    LINKED = [
        "WITH page (blob_id) AS (
           SELECT page.blob_id FROM repository_blobs page
            WHERE page.repository_id = $1 AND page.blob_id > $3 ORDER BY page.blob_id LIMIT 1000),
         seen (blob_id, size, elsewhere, named) AS (
           SELECT b.id, b.size,
                  CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o
                                     WHERE o.account_id = $2 AND o.blob_id = b.id AND o.repository_id <> $1)
                         OR (SELECT 1 FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id AND n.repository_id < $1
                              ORDER BY n.repository_id LIMIT 1) IS NOT NULL
                         OR (SELECT 1 FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id AND n.repository_id > $1
                              ORDER BY n.repository_id LIMIT 1) IS NOT NULL
                    THEN 1 ELSE 0 END,
                  CASE WHEN EXISTS (SELECT 1 FROM manifest_blobs e WHERE e.repository_id = $1 AND e.blob_id = b.id)
                    THEN 1 ELSE 0 END
             FROM page p JOIN blobs b ON b.id = p.blob_id)
         SELECT COUNT(*), MAX(s.blob_id), CAST(COALESCE(SUM(s.size), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.elsewhere = 1 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.named = 0 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.named = 0 AND s.elsewhere = 1 THEN s.size ELSE 0 END), 0) AS BIGINT)
           FROM seen s"
    ];
    // A blob that several name in the trash is counted where the first of them is.
    TRASHED = [
        "WITH page (id, digest, size) AS (
           SELECT page.id, page.digest, page.size FROM trash page
            WHERE page.repository_id = $1 AND page.digest > $3 ORDER BY page.digest LIMIT 100),
         seen (size, elsewhere) AS (
           SELECT b.size,
                  CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o
                                     WHERE o.account_id = $2 AND o.blob_id = b.id AND o.repository_id <> $1)
                         OR (SELECT 1 FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id AND n.repository_id < $1
                              ORDER BY n.repository_id LIMIT 1) IS NOT NULL
                         OR (SELECT 1 FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id AND n.repository_id > $1
                              ORDER BY n.repository_id LIMIT 1) IS NOT NULL
                    THEN 1 ELSE 0 END
             FROM page p JOIN trash_blobs k ON k.trash_id = p.id JOIN blobs b ON b.id = k.blob_id
            WHERE (SELECT 1 FROM repository_blobs l WHERE l.repository_id = $1 AND l.blob_id = b.id LIMIT 1) IS NULL
              AND (SELECT n.trash_id FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id AND n.repository_id = $1
                    ORDER BY n.trash_id LIMIT 1) = p.id)
         SELECT (SELECT COUNT(*) FROM page), (SELECT MAX(digest) FROM page),
                CAST((SELECT COALESCE(SUM(size), 0) FROM page) AS BIGINT), CAST(COALESCE(SUM(s.size), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.elsewhere = 1 THEN s.size ELSE 0 END), 0) AS BIGINT)
           FROM seen s"
    ];
    HELD = [
        "WITH page (blob_id) AS (
           SELECT page.blob_id FROM account_blobs page
            WHERE page.account_id = $1 AND page.blob_id > $2 ORDER BY page.blob_id LIMIT 1000),
         seen (blob_id, size, shared, named) AS (
           SELECT b.id, b.size,
                  CASE WHEN (SELECT COUNT(*) FROM (SELECT 1 FROM repository_blobs o
                                                    WHERE o.account_id = $1 AND o.blob_id = b.id LIMIT 2) AS two) > 1
                    THEN 1
                    WHEN (SELECT n.repository_id FROM trash_blobs n WHERE n.account_id = $1 AND n.blob_id = b.id
                           ORDER BY n.repository_id LIMIT 1)
                      <> (SELECT n.repository_id FROM trash_blobs n WHERE n.account_id = $1 AND n.blob_id = b.id
                           ORDER BY n.repository_id DESC LIMIT 1)
                    THEN 1
                    WHEN (SELECT n.repository_id FROM trash_blobs n WHERE n.account_id = $1 AND n.blob_id = b.id
                           ORDER BY n.repository_id LIMIT 1)
                      <> (SELECT o.repository_id FROM repository_blobs o
                           WHERE o.account_id = $1 AND o.blob_id = b.id LIMIT 1)
                    THEN 1 ELSE 0 END,
                  CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o WHERE o.account_id = $1 AND o.blob_id = b.id
                                       AND (SELECT r.name FROM repositories r WHERE r.id = o.repository_id) IS NOT NULL
                                       AND (SELECT 1 FROM manifest_blobs e
                                             WHERE e.repository_id = o.repository_id AND e.blob_id = b.id LIMIT 1) IS NOT NULL)
                    THEN 1 ELSE 0 END
             FROM page p JOIN blobs b ON b.id = p.blob_id)
         SELECT COUNT(*), MAX(s.blob_id), CAST(COALESCE(SUM(s.size), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.shared = 1 THEN s.size ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN s.named = 0 THEN s.size ELSE 0 END), 0) AS BIGINT)
           FROM seen s"
    ];
    MANIFESTS = [
        "SELECT COUNT(*), MAX(p.id), CAST(COALESCE(SUM(p.size), 0) AS BIGINT)
           FROM (SELECT page.id, page.size FROM manifests page
                  WHERE page.repository_id = $1 AND page.id > $2 ORDER BY page.id LIMIT 1000) AS p"
    ];
    IN_TRASH = [
        "SELECT COUNT(*), MAX(p.digest), CAST(COALESCE(SUM(p.size), 0) AS BIGINT)
           FROM (SELECT page.digest, page.size FROM trash page
                  WHERE page.repository_id = $1 AND page.digest > $2 ORDER BY page.digest LIMIT 1000) AS p"
    ];
    REPOSITORIES = [
        "SELECT id, CAST(CASE WHEN name IS NULL THEN 1 ELSE 0 END AS BIGINT) FROM repositories
          WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT 1000"
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
    /// What a repository itself would no longer be charged for then, whoever else has it; of an account the same as `reclaimable`.
    pub unneeded: u64,
}

impl Sizes {
    /// Adds bytes, those of them that are shared, those that nothing needs, and those of these that are shared.
    fn add(&mut self, (blobs, shared): (u64, u64), (unneeded, of_it_shared): (u64, u64)) {
        self.logical += blobs;
        self.shared += shared;
        self.unique += blobs - shared;
        self.unneeded += unneeded;
        self.reclaimable += unneeded - of_it_shared;
    }

    /// Manifests are nobody else's: each repository has its own.
    fn add_manifests(&mut self, bytes: u64, go: bool) {
        let goes = if go { bytes } else { 0 };
        self.add((bytes, 0), (goes, 0));
    }
}

impl Metadata {
    /// Counts what a repository of this account holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sizes_of_repository(&self, repository: RepositoryId, account: AccountId) -> Result<Sizes, Error> {
        let mut sizes = Sizes::default();
        let mut after = NONE;
        while let Some(row) = self.row(&LINKED, values![repository, account, after]).await? {
            sizes.add((row.unsigned(2)?, row.unsigned(3)?), (row.unsigned(4)?, row.unsigned(5)?));
            if row.integer(0)? < PAGE {
                break;
            }
            after = row.integer(1)?;
        }
        let mut after = String::new();
        while let Some(row) = self.row(&TRASHED, values![repository, account, &after]).await? {
            sizes.add_manifests(row.unsigned(2)?, true);
            let (blobs, shared) = (row.unsigned(3)?, row.unsigned(4)?);
            sizes.add((blobs, shared), (blobs, shared));
            if row.integer(0)? < TRASHED_PAGE {
                break;
            }
            after = row.text(1)?;
        }
        sizes.add_manifests(self.bytes_of_manifests(repository).await?, false);
        Ok(sizes)
    }

    /// Counts what an account holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sizes_of_account(&self, account: AccountId) -> Result<Sizes, Error> {
        let mut sizes = Sizes::default();
        let mut after = NONE;
        while let Some(row) = self.row(&HELD, values![account, after]).await? {
            sizes.add((row.unsigned(2)?, row.unsigned(3)?), (row.unsigned(4)?, 0));
            if row.integer(0)? < PAGE {
                break;
            }
            after = row.integer(1)?;
        }
        let mut after = NONE;
        loop {
            let repositories = self.rows(&REPOSITORIES, values![account, after]).await?;
            for row in &repositories {
                let repository = RepositoryId(row.integer(0)?);
                sizes.add_manifests(self.bytes_of_manifests(repository).await?, row.truth(1)?);
                sizes.add_manifests(self.bytes_in_trash(repository).await?, true);
                after = repository.0;
            }
            if (repositories.len() as i64) < PAGE {
                return Ok(sizes);
            }
        }
    }

    async fn bytes_of_manifests(&self, repository: RepositoryId) -> Result<u64, Error> {
        let (mut bytes, mut after) = (0, NONE);
        while let Some(row) = self.row(&MANIFESTS, values![repository, after]).await? {
            bytes += row.unsigned(2)?;
            if row.integer(0)? < PAGE {
                break;
            }
            after = row.integer(1)?;
        }
        Ok(bytes)
    }

    async fn bytes_in_trash(&self, repository: RepositoryId) -> Result<u64, Error> {
        let (mut bytes, mut after) = (0, String::new());
        while let Some(row) = self.row(&IN_TRASH, values![repository, &after]).await? {
            bytes += row.unsigned(2)?;
            if row.integer(0)? < PAGE {
                break;
            }
            after = row.text(1)?;
        }
        Ok(bytes)
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
