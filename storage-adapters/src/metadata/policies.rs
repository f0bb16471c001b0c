//! The rules of repositories and accounts on what moves and what is kept, as text: what they mean is decided elsewhere.

use hallmark_oci::RepositoryName;

use super::database::Metadata;
use super::error::Error;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    BOTH = ["SELECT r.policy, a.policy FROM repositories r JOIN accounts a ON a.id = r.account_id WHERE r.id = $1"];
    OF_ACCOUNT = ["SELECT policy FROM accounts WHERE id = $1"];
    SET = ["UPDATE repositories SET policy = $2 WHERE id = $1 AND name IS NOT NULL"];
    SET_OF_ACCOUNT = ["UPDATE accounts SET policy = $2 WHERE id = $1 AND name IS NOT NULL"];
    RULED = [
        "SELECT page.id, page.name FROM repositories page
          WHERE page.policy IS NOT NULL AND page.name IS NOT NULL AND page.id > $1 ORDER BY page.id LIMIT $2"
    ];
    RULED_BY_ACCOUNT = [
        "SELECT r.id, r.name FROM accounts a JOIN repositories r ON r.account_id = a.id
          WHERE a.policy IS NOT NULL AND r.policy IS NULL AND r.name IS NOT NULL AND r.id > $1 ORDER BY r.id LIMIT $2"
    ];
}

/// The rules that hold for a repository, each as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Its own.
    pub repository: Option<String>,
    /// Those of its account.
    pub account: Option<String>,
}

fn policies(row: &Row) -> Result<Policies, Error> {
    Ok(Policies { repository: row.maybe_text(0)?, account: row.maybe_text(1)? })
}

impl Metadata {
    /// The rules that hold for a repository.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn policies(&self, repository: RepositoryId) -> Result<Policies, Error> {
        self.row(&BOTH, values![repository]).await?.map_or_else(|| Ok(Policies::default()), |row| policies(&row))
    }

    /// The rules of an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account_policy(&self, account: AccountId) -> Result<Option<String>, Error> {
        self.row(&OF_ACCOUNT, values![account]).await?.map_or(Ok(None), |row| row.maybe_text(0))
    }

    /// Repositories after this one that have rules of their own, or only those of their account, by their ids, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ruled_repositories(
        &self,
        own: bool,
        after: RepositoryId,
        limit: u32,
    ) -> Result<Vec<(RepositoryId, RepositoryName)>, Error> {
        let statement = if own { &RULED } else { &RULED_BY_ACCOUNT };
        let rows = self.rows(statement, values![after, i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((RepositoryId(row.integer(0)?), row.parsed(1)?))).collect()
    }
}

impl Tx {
    /// The rules that hold for a repository at this moment.
    ///
    /// # Errors
    /// The database failed.
    pub async fn policies(&mut self, repository: RepositoryId) -> Result<Policies, Error> {
        self.row(&BOTH, values![repository]).await?.map_or_else(|| Ok(Policies::default()), |row| policies(&row))
    }

    /// The rules of an account at this moment.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account_policy(&mut self, account: AccountId) -> Result<Option<String>, Error> {
        self.row(&OF_ACCOUNT, values![account]).await?.map_or(Ok(None), |row| row.maybe_text(0))
    }

    /// Sets the rules of a repository; `None` for those of its account alone.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_policy(&mut self, repository: RepositoryId, policy: Option<&str>) -> Result<(), Error> {
        self.execute(&SET, values![repository, policy]).await.map(drop)
    }

    /// Sets the rules of an account; `None` for none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_account_policy(&mut self, account: AccountId, policy: Option<&str>) -> Result<(), Error> {
        self.execute(&SET_OF_ACCOUNT, values![account, policy]).await.map(drop)
    }
}
