use hallmark_oci::RepositoryName;

use super::database::{Metadata, Source};
use super::error::Error;
use super::generations::Slot;
use super::names::NameKind;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::{TURNS, Tx};
use super::usage::Limits;
use super::value::values;

/// Robots that are removed in the change that deletes their repository.
const ROBOTS: i64 = 1_000;

statements! {
    FIND = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM repositories r JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE r.name = $1"
    ];
    // With the hard limits that hold in it: a push asks for nothing more than it did without.
    HOLD = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id, r.account_id, o.hard, q.hard
           FROM repositories r JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
           LEFT JOIN quotas o ON o.scope = 'account' AND o.scope_id = r.account_id
           LEFT JOIN quotas q ON q.scope = 'repository' AND q.scope_id = r.id
          WHERE r.name = $1" {share of r}
    ];
    HOLD_WHOLE = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM repositories r JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE r.name = $1" {update of r}
    ];
    INSERT = [
        "INSERT INTO repositories (id, account_id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    ];
    NAME = ["SELECT name FROM repositories WHERE id = $1 AND name IS NOT NULL"];
    RENAME = ["UPDATE repositories SET name = $2 WHERE id = $1 AND name IS NOT NULL"];
    DESCRIBE = ["UPDATE repositories SET description = $2 WHERE id = $1 AND name IS NOT NULL"];
    DESCRIPTION = ["SELECT description, created_at FROM repositories WHERE id = $1"];
    HOLD_ID = ["SELECT name FROM repositories WHERE id = $1 AND name IS NOT NULL" {update}];
    SET_PUBLIC = ["UPDATE repositories SET public = $2 WHERE id = $1 AND name IS NOT NULL RETURNING name"];
    BURY = [
        "UPDATE repositories SET name = NULL, former_name = name, public = 0, deleted_at = $2, purge_at = $3
          WHERE id = $1 AND name IS NOT NULL
         RETURNING former_name"
    ];
}

/// A repository that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The repository.
    pub id: RepositoryId,
    /// Its name.
    pub name: RepositoryName,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The account's name; `None` for the system's.
    pub account_name: Option<String>,
    /// The user whose account owns it, if it is a user's.
    pub owner: Option<PrincipalId>,
    /// Whether anybody may pull from it. Repositories are private by default (I13).
    pub public: bool,
}

impl Metadata {
    /// The repository of this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn repository(&self, name: &RepositoryName) -> Result<Option<Repository>, Error> {
        self.repository_from(name).await.map(|(repository, _)| repository)
    }

    /// The repository of this name, and where that was found. What is absent is never found in memory, which takes less
    /// time than the database: whoever must not tell the two apart asks [`Self::without_cache`] once more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn repository_from(&self, name: &RepositoryName) -> Result<(Option<Repository>, Source), Error> {
        let ask = async { self.row(&FIND, values![name]).await?.map(|row| repository(&row)).transpose() };
        self.cached_from(|cache| &cache.repositories, Slot::name(name), || name.clone(), ask).await
    }
}

impl Metadata {
    /// What a repository is said to be, and when it was made, in milliseconds since the epoch.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn description(&self, repository: RepositoryId) -> Result<Option<(String, i64)>, Error> {
        let row = self.row(&DESCRIPTION, values![repository]).await?;
        row.map(|row| Ok((row.text(0)?, row.integer(1)?))).transpose()
    }
}

impl Metadata {
    /// The present name of a repository; `None` when it is deleted or gone.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn repository_name(&self, repository: RepositoryId) -> Result<Option<RepositoryName>, Error> {
        let row = self.row(&NAME, values![repository]).await?;
        row.map(|row| row.parsed(0)).transpose()
    }
}

impl Tx {
    /// The repository of this name, which cannot be deleted until the change ends: the first statement of every change
    /// below. Without it a push that waits would write into a repository that is deleted meanwhile.
    ///
    /// # Errors
    /// The database failed.
    pub async fn repository(&mut self, name: &RepositoryName) -> Result<Option<Repository>, Error> {
        let Some(row) = self.row(&HOLD, values![name]).await? else { return Ok(None) };
        let held = repository(&row)?;
        self.note_limits(held.id, Limits::read(&row, 6)?);
        Ok(Some(held))
    }

    /// The repository of this name; made private and empty in this account if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_repository(
        &mut self,
        name: &RepositoryName,
        account: AccountId,
        now: i64,
    ) -> Result<Repository, Error> {
        self.make_repository(name, account, now).await.map(|(repository, _)| repository)
    }

    /// The repository of this name, and whether this change made it: another change may be faster, and whoever comes second
    /// has made nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn make_repository(
        &mut self,
        name: &RepositoryName,
        account: AccountId,
        now: i64,
    ) -> Result<(Repository, bool), Error> {
        let id = RepositoryId(self.id()?);
        for _ in 0..TURNS {
            self.execute(&INSERT, values![id, account, name, now]).await?;
            // Whoever made it, it is read back under a lock; gone again: made again.
            if let Some(repository) = self.repository(name).await? {
                let is_made = repository.id == id;
                return Ok((repository, is_made));
            }
        }
        Err(self.give_way("repositories"))
    }

    /// The repository of this name as it is now, held until the change ends, so that no other change to itself is made
    /// meanwhile. Whoever will change it takes this first: two who took the weaker hold of [`Self::repository`] would wait for
    /// each other.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold_repository(&mut self, name: &RepositoryName) -> Result<Option<Repository>, Error> {
        self.row(&HOLD_WHOLE, values![name]).await?.map(|row| repository(&row)).transpose()
    }

    /// What a repository is said to be, and when it was made, in milliseconds since the epoch.
    ///
    /// # Errors
    /// The database failed.
    pub async fn described(&mut self, repository: RepositoryId) -> Result<(String, i64), Error> {
        let row = self.row(&DESCRIPTION, values![repository]).await?;
        row.map_or_else(|| Ok((String::new(), 0)), |row| Ok((row.text(0)?, row.integer(1)?)))
    }

    /// Says what a repository is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn describe_repository(&mut self, repository: &Repository, description: &str) -> Result<(), Error> {
        self.execute(&DESCRIBE, values![repository.id, description]).await.map(drop)
    }

    /// Gives a repository that lives another name in its account, which nobody has; whether that was so. The old name
    /// rests from the commit on.
    ///
    /// # Errors
    /// The database failed.
    pub async fn rename_repository(
        &mut self,
        repository: &Repository,
        name: &RepositoryName,
        now: i64,
    ) -> Result<bool, Error> {
        let Some(row) = self.row(&HOLD_ID, values![repository.id]).await? else { return Ok(false) };
        if self.repository(name).await?.is_some() {
            return Ok(false);
        }
        let old: RepositoryName = row.parsed(0)?;
        self.touch(Slot::name(&old));
        self.touch(Slot::name(name));
        self.touch(Slot::repository(repository.id));
        let owner = (repository.account_id, Some(repository.id));
        self.release_name((NameKind::Repository, old.as_str()), owner, now).await?;
        Ok(self.execute(&RENAME, values![repository.id, name]).await? == 1)
    }

    /// Opens a repository to anybody's pull, or closes it; whether it lives.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_public(&mut self, repository: &Repository, public: bool) -> Result<bool, Error> {
        let Some(row) = self.row(&SET_PUBLIC, values![repository.id, public]).await? else { return Ok(false) };
        self.touch(Slot::name(&row.parsed(0)?));
        Ok(true)
    }

    /// The robots that go with a repository when it is deleted in this change, as they sign in; no other can be bound to it until
    /// then. Whichever are too many for one change are taken away by the one that empties it, which records them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn robots_bound_to(&mut self, repository: &Repository) -> Result<Vec<String>, Error> {
        self.row(&HOLD_ID, values![repository.id]).await?;
        Ok(self.robots_of(repository.id, ROBOTS).await?.into_iter().map(|(_, login)| login).collect())
    }

    /// Deletes a repository: from the commit on its name rests and nobody reaches what it held, which the collector
    /// takes away in batches once it can no longer be brought back. Whether it lived.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_repository(&mut self, repository: &Repository, now: i64) -> Result<bool, Error> {
        let window = self.graces().window;
        let Some(row) = self.row(&BURY, values![repository.id, now, now.saturating_add(window)]).await? else {
            return Ok(false);
        };
        let name: RepositoryName = row.parsed(0)?;
        self.touch(Slot::name(&name));
        self.touch(Slot::repository(repository.id));
        let owner = (repository.account_id, Some(repository.id));
        self.release_name((NameKind::Repository, name.as_str()), owner, now).await?;
        // From the lock on that row nobody can bind a robot to it; whichever are too many for one change are taken away by
        // the one that empties it.
        let robots = self.robots_of(repository.id, ROBOTS).await?;
        self.remove_robots(robots.into_iter().map(|(robot, _)| robot.id), now).await?;
        Ok(true)
    }
}

/// A repository from the columns id, name, account, public, account's name, owner.
pub(super) fn repository(row: &Row) -> Result<Repository, Error> {
    let account_id = AccountId(row.integer(2)?);
    let account_name = if account_id == AccountId::SYSTEM { None } else { Some(row.text(4)?) };
    Ok(Repository {
        id: RepositoryId(row.integer(0)?),
        name: row.parsed(1)?,
        account_id,
        account_name,
        owner: row.maybe_integer(5)?.map(PrincipalId),
        public: row.truth(3)?,
    })
}
