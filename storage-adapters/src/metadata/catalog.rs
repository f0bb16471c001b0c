use super::database::Metadata;
use super::error::Error;
use super::rows::AccountId;
use super::statement::statements;
use super::value::values;

statements! {
    ALL_NAMES = ["SELECT name FROM repositories WHERE name > $1 ORDER BY name LIMIT $2"];
    PUBLIC = ["SELECT name FROM repositories WHERE public = 1 AND name > $1 ORDER BY name LIMIT $2"];
    OWN_AND_PUBLIC = [
        "SELECT name FROM
           (SELECT name FROM repositories WHERE account_id = $3 AND name > $1 ORDER BY name LIMIT $2) AS own
         UNION
         SELECT name FROM
           (SELECT name FROM repositories WHERE public = 1 AND name > $1 ORDER BY name LIMIT $2) AS open
         ORDER BY name LIMIT $2"
    ];
}

/// Whose eyes see a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A system administrator's: everything.
    All,
    /// The owner's of this account: its repositories and the public ones.
    Owner(AccountId),
    /// Anybody's: the public ones.
    Public,
}

impl Metadata {
    /// Names of repositories in byte order, after this one, at most `limit`. A page costs a page (I11).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn catalog(&self, viewer: Viewer, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let (after, limit) = (after.unwrap_or_default(), i64::from(limit));
        let rows = match viewer {
            Viewer::All => self.rows(&ALL_NAMES, values![after, limit]).await?,
            Viewer::Public => self.rows(&PUBLIC, values![after, limit]).await?,
            Viewer::Owner(account) => self.rows(&OWN_AND_PUBLIC, values![after, limit, account]).await?,
        };
        rows.iter().map(|row| row.text(0)).collect()
    }
}
