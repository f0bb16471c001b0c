use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::rows::{AccountId, PrincipalId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    BY_NAME = [
        "SELECT a.id, a.name, a.kind, u.principal_id
           FROM accounts a LEFT JOIN users u ON u.account_id = a.id
          WHERE a.name = $1" {share of a}
    ];
    FIND = [
        "SELECT a.id, a.name, a.kind, u.principal_id
           FROM accounts a LEFT JOIN users u ON u.account_id = a.id
          WHERE a.name = $1"
    ];
}

/// Who owns repositories: a user, an organization or the system. Users and organizations share one unique name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Its name: the first component of its repositories' names.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// The user whose account it is, if it is a user's.
    pub owner: Option<PrincipalId>,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// One user's.
    User,
    /// An organization's.
    Organization,
    /// The system's, which owns the repositories of one component.
    System,
}

impl AccountKind {
    /// From a row.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        match text {
            "user" => Ok(Self::User),
            "organization" => Ok(Self::Organization),
            "system" => Ok(Self::System),
            other => Err(Error::new(ErrorKind::Corrupt, format!("accounts.kind {other:?}"))),
        }
    }
}

/// What became of a user who was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRemoval {
    /// The user, their account, uploads and credentials are gone.
    Removed,
    /// There is no such user.
    Unknown,
    /// Their account has repositories; these are moved or deleted, and collected, first.
    AccountHasRepositories,
    /// Their account has robots; these are removed first.
    AccountHasRobots,
    /// Only repositories that were deleted are in the way. From the commit on they can no longer be brought back; once they
    /// are emptied, the user can be removed.
    GivesUpDeleted,
}

impl Metadata {
    /// The account of this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        self.row(&FIND, values![name]).await?.map(|row| account(&row)).transpose()
    }
}

impl Tx {
    /// The account of this name, which cannot go until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account(&mut self, name: &str) -> Result<Option<Account>, Error> {
        self.row(&BY_NAME, values![name]).await?.map(|row| account(&row)).transpose()
    }
}

fn account(row: &Row) -> Result<Account, Error> {
    let kind = AccountKind::read(&row.text(2)?)?;
    let owner = row.maybe_integer(3)?.map(PrincipalId);
    Ok(Account { id: AccountId(row.integer(0)?), name: row.text(1)?, kind, owner })
}
