//! Robots: principals without a person, of one account or of one repository.

use super::accounts::Account;
use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::name_range::NameRange;
use super::repositories::Repository;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, values};

statements! {
    INSERT_PRINCIPAL = ["INSERT INTO principals (id, kind) VALUES ($1, 'robot')"];
    INSERT = [
        "INSERT INTO robots (principal_id, account_id, repository_id, name, description, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
    ];
    FIND = [
        "SELECT b.principal_id, b.account_id, b.repository_id, b.name, b.description, b.created_at, r.name, p.disabled_at
           FROM robots b JOIN principals p ON p.id = b.principal_id LEFT JOIN repositories r ON r.id = b.repository_id
          WHERE b.account_id = $1 AND b.name = $2"
    ];
    HOLD = [
        "SELECT b.principal_id, b.account_id, b.repository_id, b.name, b.description, b.created_at, r.name, p.disabled_at
           FROM robots b JOIN principals p ON p.id = b.principal_id LEFT JOIN repositories r ON r.id = b.repository_id
          WHERE b.account_id = $1 AND b.name = $2" {update of p}
    ];
    PAGE = [
        "SELECT b.principal_id, b.account_id, b.repository_id, b.name, b.description, b.created_at, r.name, p.disabled_at
           FROM robots b JOIN principals p ON p.id = b.principal_id LEFT JOIN repositories r ON r.id = b.repository_id
          WHERE b.account_id = $1 AND b.name >= $2 AND b.name < $3 ORDER BY b.name LIMIT $4"
    ];
    OF_REPOSITORY = [
        "SELECT page.principal_id, page.account_id, page.repository_id, page.name, page.description, page.created_at,
                r.name, p.disabled_at, a.name
           FROM robots page JOIN principals p ON p.id = page.principal_id JOIN accounts a ON a.id = page.account_id
           LEFT JOIN repositories r ON r.id = page.repository_id
          WHERE page.repository_id = $1 ORDER BY page.principal_id LIMIT $2" {update of p}
    ];
    DESCRIBE = ["UPDATE robots SET description = $2 WHERE principal_id = $1"];
    UPLOADS_OF = [
        "DELETE FROM uploads WHERE principal_id" {in integers 1} " RETURNING storage_key, tail_key, multipart_id"
    ];
    DELETE = ["DELETE FROM robots WHERE principal_id" {in integers 1}];
    DELETE_PRINCIPALS = ["DELETE FROM principals WHERE id" {in integers 1}];
}

/// A robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Robot {
    /// The principal that acts.
    pub id: PrincipalId,
    /// The account it belongs to.
    pub account_id: AccountId,
    /// The only repository in which it can hold rights, if it is bound to one.
    pub repository: Option<RepositoryId>,
    /// That repository's name.
    pub repository_name: Option<String>,
    /// Its name, unique in the account. It signs in as `<account>+<name>`.
    pub name: String,
    /// What it is for, in people's words.
    pub description: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// Whether it may do nothing at present.
    pub disabled: bool,
}

/// A robot to be made in an account that is held.
#[derive(Clone, Copy, Debug)]
pub struct NewRobot<'a> {
    /// The account.
    pub account: &'a Account,
    /// The repository it is bound to, of that account and held.
    pub repository: Option<&'a Repository>,
    /// Its name, which the caller has checked.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
}

impl Metadata {
    /// The robot of this name in an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn robot(&self, account: AccountId, name: &str) -> Result<Option<Robot>, Error> {
        self.row(&FIND, values![account, name]).await?.map(|row| robot(&row)).transpose()
    }

    /// Robots in the byte order of their names, within this range, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn robots(&self, account: AccountId, names: &NameRange, limit: u32) -> Result<Vec<Robot>, Error> {
        let rows = self.rows(&PAGE, values![account, &names.first, &names.end, i64::from(limit)]).await?;
        rows.iter().map(robot).collect()
    }
}

impl Tx {
    /// Makes a robot; `None` when the account has one of this name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_robot(&mut self, new: &NewRobot<'_>, now: i64) -> Result<Option<Robot>, Error> {
        let account = new.account.id;
        if self.robot(account, new.name).await?.is_some() {
            return Ok(None);
        }
        let id = PrincipalId(self.id()?);
        let repository = new.repository.map(|repository| repository.id.0);
        self.execute(&INSERT_PRINCIPAL, values![id]).await?;
        let row = values![id, account, repository, new.name, new.description, now];
        if self.execute(&INSERT, row).await? == 0 {
            return Err(self.give_way("robots"));
        }
        Ok(Some(Robot {
            id,
            account_id: account,
            repository: repository.map(RepositoryId),
            repository_name: new.repository.map(|repository| repository.name.to_string()),
            name: new.name.to_owned(),
            description: new.description.to_owned(),
            created_at: now,
            disabled: false,
        }))
    }

    /// The robot of this name in an account, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn robot(&mut self, account: AccountId, name: &str) -> Result<Option<Robot>, Error> {
        self.row(&HOLD, values![account, name]).await?.map(|row| robot(&row)).transpose()
    }

    /// Says what a robot is for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn describe_robot(&mut self, robot: &Robot, description: &str) -> Result<(), Error> {
        self.execute(&DESCRIBE, values![robot.id, description]).await.map(drop)
    }

    /// Removes a robot with its uploads, credentials, rules and grants. What it pushed stays.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_robot(&mut self, robot: &Robot, now: i64) -> Result<(), Error> {
        self.remove_robots([robot.id], now).await
    }

    /// Removes robots, that are held, as [`Self::remove_robot`] does: by as many statements for a thousand as for one.
    pub(super) async fn remove_robots(
        &mut self,
        robots: impl IntoIterator<Item = PrincipalId>,
        now: i64,
    ) -> Result<(), Error> {
        let robots: Vec<i64> = robots.into_iter().map(|robot| robot.0).collect();
        if robots.is_empty() {
            return Ok(());
        }
        robots.iter().for_each(|robot| self.touch(Slot::principal(PrincipalId(*robot))));
        let list = json_integers(robots);
        for upload in self.rows(&UPLOADS_OF, values![&list]).await? {
            self.doom_upload(&upload, now).await?;
        }
        self.forget_credentials_of(&list).await?;
        self.execute(&DELETE, values![&list]).await?;
        self.execute(&DELETE_PRINCIPALS, values![&list]).await.map(drop)
    }

    /// The robots that are bound to a repository, as they sign in and at most `limit`, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn robots_of(
        &mut self,
        repository: RepositoryId,
        limit: i64,
    ) -> Result<Vec<(Robot, String)>, Error> {
        let rows = self.rows(&OF_REPOSITORY, values![repository, limit]).await?;
        let named = |row: &Row| {
            let robot = robot(row)?;
            let login = format!("{}+{}", row.text(8)?, robot.name);
            Ok((robot, login))
        };
        rows.iter().map(named).collect()
    }
}

fn robot(row: &Row) -> Result<Robot, Error> {
    Ok(Robot {
        id: PrincipalId(row.integer(0)?),
        account_id: AccountId(row.integer(1)?),
        repository: row.maybe_integer(2)?.map(RepositoryId),
        name: row.text(3)?,
        description: row.text(4)?,
        created_at: row.integer(5)?,
        repository_name: row.maybe_text(6)?,
        disabled: row.maybe_integer(7)?.is_some(),
    })
}
