//! Handing a repository over to another account: what belongs to its content goes along, what rested on the account that had it
//! stays behind.
//!
//! Row by row of what knows a repository: tags with their history, manifests with what they name and refer to, the trash, holds, the
//! times of pulls, the repository's own policy, what is vouched for and what was taken back of that lie under its id, and come along
//! as they are, as do requests to look at its manifests and links. Links, and what its trash names, stand on rows of the account:
//! they come to stand on those of the other one, which is charged for what it did not have; the account before is relieved of what
//! nothing else in it has. Open uploads end, since what they reserved was room in the account before. Robots that are bound to it,
//! grants on it, rules that sign in it, checks that were reported for these and its quota were given by who governed it: they go. Trust metadata
//! names the repository by its old name: it goes, and is published anew under the new one.

use hallmark_oci::RepositoryName;

use super::accounts::Account;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::grants::Holder;
use super::names::NameKind;
use super::repositories::Repository;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::{Engine, Statement, statements};
use super::tx::{TURNS, Tx};
use super::usage::Scope;
use super::value::{json_integers, values};

/// The most rows that one change hands over: 50 to 80 µs were measured for each.
pub const MOST_HANDED_OVER: i64 = 10_000;
/// The most robots, grants and rules that it takes away: each of them is an event.
pub const MOST_LEFT_BEHIND: i64 = 1_000;

statements! {
    WEIGH = [
        "SELECT CAST(
           (SELECT COUNT(*) FROM (SELECT 1 FROM repository_blobs l WHERE l.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM manifests m WHERE m.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM trash t WHERE t.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM trash t JOIN trash_blobs n ON n.trash_id = t.id
                                   WHERE t.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM uploads u WHERE u.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM checks c WHERE c.repository_id = $1 LIMIT $2) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM trust_collections c JOIN trust_metadata m ON m.collection_id = c.id
                                   WHERE c.repository_id = $1 LIMIT $2) AS page) AS BIGINT),
         CAST(
           (SELECT COUNT(*) FROM (SELECT 1 FROM robots b WHERE b.repository_id = $1 LIMIT $3) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM repository_grants g WHERE g.repository_id = $1 LIMIT $3) AS page)
         + (SELECT COUNT(*) FROM (SELECT 1 FROM sign_rules s WHERE s.repository_id = $1 LIMIT $3) AS page) AS BIGINT)"
    ];
    BLOBS = [
        "SELECT l.blob_id FROM repository_blobs l WHERE l.repository_id = $1
         UNION SELECT n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id WHERE t.repository_id = $1
         ORDER BY 1"
    ];
    ENTER = [
        "INSERT INTO account_blobs (account_id, blob_id) SELECT $1, list.value FROM " {integers 2} " AS list WHERE true
         ON CONFLICT DO NOTHING RETURNING (SELECT b.size FROM blobs b WHERE b.id = account_blobs.blob_id)"
    ];
    HOLD_ENTERED = [
        "SELECT blob_id FROM account_blobs WHERE account_id = $1 AND blob_id" {in integers 2} " ORDER BY blob_id" {update}
    ];
    // The repository and its links name the account together. On a server one statement changes both, so that the foreign key
    // between them is looked at when both are done.
    MOVE = [
        {on_sqlite "UPDATE repositories SET account_id = $2, name = $3 WHERE id = $1 AND name IS NOT NULL"}
        {on_postgres
         "WITH moved AS (UPDATE repository_blobs SET account_id = $2 WHERE repository_id = $1)
          UPDATE repositories SET account_id = $2, name = $3 WHERE id = $1 AND name IS NOT NULL"}
    ];
    MOVE_LINKS = ["UPDATE repository_blobs SET account_id = $2 WHERE repository_id = $1"];
    MOVE_TRASH = [
        "UPDATE trash_blobs SET account_id = $2 WHERE trash_id IN (SELECT t.id FROM trash t WHERE t.repository_id = $1)"
    ];
    // Asked for in the order of the indexes: a server that hopes for an early find would read all of the account.
    LEAVE = [
        "DELETE FROM account_blobs WHERE account_id = $1 AND blob_id" {in integers 2} "
            AND (SELECT 1 FROM repository_blobs l
                  WHERE l.account_id = $1 AND l.blob_id >= account_blobs.blob_id AND l.blob_id <= account_blobs.blob_id
                  ORDER BY l.blob_id LIMIT 1) IS NULL
            AND (SELECT 1 FROM trash_blobs n
                  WHERE n.account_id = $1 AND n.blob_id >= account_blobs.blob_id AND n.blob_id <= account_blobs.blob_id
                  ORDER BY n.blob_id LIMIT 1) IS NULL
         RETURNING (SELECT b.size FROM blobs b WHERE b.id = account_blobs.blob_id)"
    ];
    MANIFEST_BYTES = [
        "SELECT CAST(COALESCE((SELECT SUM(m.size) FROM manifests m WHERE m.repository_id = $1), 0)
              + COALESCE((SELECT SUM(t.size) FROM trash t WHERE t.repository_id = $1), 0) AS BIGINT)"
    ];
    UPLOADS = ["DELETE FROM uploads WHERE repository_id = $1 RETURNING storage_key, tail_key, multipart_id"];
    GRANTS = [
        "SELECT p.kind, COALESCE(u.name, t.name, b.name), h.name FROM repository_grants g
           JOIN principals p ON p.id = g.principal_id
           LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN teams t ON t.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id
           LEFT JOIN accounts h ON h.id = COALESCE(t.account_id, b.account_id)
          WHERE g.repository_id = $1 ORDER BY g.principal_id"
    ];
    TAKE_GRANTS = ["DELETE FROM repository_grants WHERE repository_id = $1"];
    RULES = ["DELETE FROM sign_rules WHERE repository_id = $1 RETURNING id"];
    CHECKS = ["DELETE FROM checks WHERE repository_id = $1"];
    HARD = ["SELECT hard FROM quotas WHERE scope = $1 AND scope_id = $2"];
    QUOTA = ["DELETE FROM quotas WHERE scope = $1 AND scope_id = $2"];
    COLLECTIONS = [
        "SELECT c.dialect, c.gun, m.sha256 FROM trust_collections c
           LEFT JOIN trust_current t ON t.collection_id = c.id AND t.role = 'root'
           LEFT JOIN trust_metadata m ON m.collection_id = t.collection_id AND m.role = t.role AND m.version = t.version
          WHERE c.repository_id = $1 ORDER BY c.dialect, c.gun"
    ];
    TAKE_KEYS = ["UPDATE signing_keys SET taken_at = $2 WHERE repository_id = $1"];
    FORGET_TRUST = ["DELETE FROM trust_collections WHERE repository_id = $1"];
}

/// How much handing a repository over would change, counted no further than a little beyond the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Links, manifests, what is in the trash, open uploads, reported checks and files of trust metadata.
    pub rows: i64,
    /// Robots, grants and rules.
    pub left_behind: i64,
}

impl Weight {
    /// Whether one change can do it.
    #[must_use]
    pub fn is_bearable(&self) -> bool {
        self.rows <= MOST_HANDED_OVER && self.left_behind <= MOST_LEFT_BEHIND
    }
}

/// What handing a repository over charged, and what stayed behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Bytes that the other account is charged with.
    pub charged: i64,
    /// Its hard limit.
    pub hard: Option<u64>,
    /// Robots that were bound to the repository, as they signed in.
    pub robots: Vec<String>,
    /// Holders of the grants on it.
    pub holders: Vec<Holder>,
    /// Rules that signed in it.
    pub rules: Vec<i64>,
    /// How many reports of checks were forgotten.
    pub checks: u64,
    /// How many uploads were open.
    pub uploads: u64,
    /// Whether it had a quota.
    pub had_quota: bool,
    /// Collections of Notary v1, each with the SHA-256 of the root that clients may have pinned.
    pub collections: Vec<(String, Option<Vec<u8>>)>,
}

impl Tx {
    /// How much handing a repository over would change.
    ///
    /// # Errors
    /// The database failed.
    pub async fn weigh(&mut self, repository: RepositoryId) -> Result<Weight, Error> {
        let row = self.row(&WEIGH, values![repository, MOST_HANDED_OVER + 1, MOST_LEFT_BEHIND + 1]).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::Failed, "a count without an answer"))?;
        Ok(Weight { rows: row.integer(0)?, left_behind: row.integer(1)? })
    }

    /// Hands a repository that [`Self::hold_repository`] holds, and that [`Self::weigh`] found bearable, over to another account, which
    /// is held too (`None`: the system's), under a name there; `None` when the name is taken. The old name rests from the commit on.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hand_over(
        &mut self,
        repository: &Repository,
        (account, name): (Option<&Account>, &RepositoryName),
        now: i64,
    ) -> Result<Option<HandedOver>, Error> {
        if self.repository(name).await?.is_some() {
            return Ok(None);
        }
        let (from, to) = (repository.account_id, account.map_or(AccountId::SYSTEM, |account| account.id));
        let mut done = self.leave_behind(repository, now).await?;
        let relieved = self.move_content(repository.id, (from, to), name, &mut done).await?;
        self.charge(Scope::Account(to), done.charged).await?;
        self.charge(Scope::Account(from), -relieved).await?;
        let hard = self.row(&HARD, values![Scope::Account(to).word(), to]).await?;
        done.hard = hard.map_or(Ok(None), |row| row.maybe_integer(0))?.map(|hard| hard.max(0).unsigned_abs());
        for slot in [Slot::name(&repository.name), Slot::name(name), Slot::repository(repository.id)] {
            self.touch(slot);
        }
        self.touch(Slot::trust(repository.id));
        for account in [repository.account_name.as_deref(), account.map(|account| account.name.as_str())] {
            self.touch(Slot::account(account.unwrap_or(super::SYSTEM_ACCOUNT)));
        }
        let owner = (from, Some(repository.id));
        self.release_name((NameKind::Repository, repository.name.as_str()), owner, now).await?;
        Ok(Some(done))
    }

    /// Moves what lies in the repository from one account to the other; what the first is relieved of.
    async fn move_content(
        &mut self,
        repository: RepositoryId,
        (from, to): (AccountId, AccountId),
        name: &RepositoryName,
        done: &mut HandedOver,
    ) -> Result<i64, Error> {
        // From the lock on the repository nobody links or buries anything in it, so that these stay all.
        let blobs = numbers(&self.rows(&BLOBS, values![repository]).await?)?;
        let list = json_integers(blobs.iter().copied());
        // Held before it is looked whether anything else in the account has them, as by whoever takes a link away.
        self.hold_in_account(from, blobs.iter().copied()).await?;
        let entered = self.enter(to, &list, blobs.len()).await?;
        self.move_links(repository, to, name).await?;
        self.execute(&MOVE_TRASH, values![repository, to]).await?;
        let left: i64 = numbers(&self.rows(&LEAVE, values![from, &list]).await?)?.iter().sum();
        let bytes = self.row(&MANIFEST_BYTES, values![repository]).await?.map_or(Ok(0), |row| row.integer(0))?;
        done.charged = entered.saturating_add(bytes);
        Ok(left.saturating_add(bytes))
    }

    /// Has an account hold these blobs, and locks them there; the bytes of those that it did not have.
    async fn enter(&mut self, account: AccountId, list: &str, count: usize) -> Result<i64, Error> {
        let mut bytes = 0;
        for _ in 0..TURNS {
            bytes += numbers(&self.rows(&ENTER, values![account, list]).await?)?.iter().sum::<i64>();
            // What was there may be taken away by the collector until it is locked.
            if self.engine() == Engine::Sqlite || self.rows(&HOLD_ENTERED, values![account, list]).await?.len() == count
            {
                return Ok(bytes);
            }
        }
        Err(self.give_way("account_blobs"))
    }

    async fn move_links(
        &mut self,
        repository: RepositoryId,
        to: AccountId,
        name: &RepositoryName,
    ) -> Result<(), Error> {
        if self.engine() == Engine::Postgres {
            return self.moved(&MOVE, repository, to, name).await;
        }
        // Between the two statements links name an account that their repository is in no more. No neighbour in the same
        // COMMIT may do the same, so it is taken back whatever they come to.
        self.frame("PRAGMA defer_foreign_keys = ON").await?;
        let moved = self.moved(&MOVE, repository, to, name).await;
        let linked = match &moved {
            Ok(()) => self.execute(&MOVE_LINKS, values![repository, to]).await.map(drop),
            Err(_) => Ok(()),
        };
        self.frame("PRAGMA defer_foreign_keys = OFF").await?;
        moved.and(linked)
    }

    async fn moved(
        &mut self,
        statement: &Statement,
        repository: RepositoryId,
        to: AccountId,
        name: &RepositoryName,
    ) -> Result<(), Error> {
        match self.execute(statement, values![repository, to, name]).await? {
            1 => Ok(()),
            _ => Err(Error::new(ErrorKind::Failed, "a repository that is locked was gone")),
        }
    }

    /// Takes away what the account before has given, and what names the repository by its old name.
    async fn leave_behind(&mut self, repository: &Repository, now: i64) -> Result<HandedOver, Error> {
        let id = repository.id;
        let rules = numbers(&self.rows(&RULES, values![id]).await?)?;
        let checks = self.execute(&CHECKS, values![id]).await?;
        let uploads = self.rows(&UPLOADS, values![id]).await?;
        for upload in &uploads {
            self.doom_upload(upload, now).await?;
        }
        // Rules, reports and uploads of robots go with them, and would not be told of.
        let robots = self.robots_of(id, MOST_LEFT_BEHIND + 1).await?;
        self.remove_robots(robots.iter().map(|(robot, _)| robot.id), now).await?;
        let holders = self.rows(&GRANTS, values![id]).await?;
        let holders = holders.iter().map(|row| super::grants::holder(row, 0)).collect::<Result<_, _>>()?;
        self.execute(&TAKE_GRANTS, values![id]).await?;
        let scope = Scope::Repository(id);
        let had_quota = self.execute(&QUOTA, values![scope.word(), scope.id()]).await? > 0;
        let mut collections = Vec::new();
        for row in self.rows(&COLLECTIONS, values![id]).await? {
            if row.text(0)? == super::TrustDialect::Notary.as_str() {
                collections.push((row.text(1)?, row.maybe_bytes(2)?));
            }
        }
        self.execute(&TAKE_KEYS, values![id, now]).await?;
        self.execute(&FORGET_TRUST, values![id]).await?;
        Ok(HandedOver {
            robots: robots.into_iter().map(|(_, login)| login).collect(),
            holders,
            rules,
            checks,
            uploads: uploads.len() as u64,
            had_quota,
            collections,
            ..HandedOver::default()
        })
    }
}

fn numbers(rows: &[Row]) -> Result<Vec<i64>, Error> {
    rows.iter().map(|row| row.integer(0)).collect()
}
