use super::database::Metadata;
use super::error::Error;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    LIST = ["SELECT kid, sealed, public, created_at, retires_at FROM token_keys ORDER BY created_at, kid"];
    INSERT = [
        "INSERT INTO token_keys (kid, sealed, public, created_at, retires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING"
    ];
    RETIRE = ["UPDATE token_keys SET retires_at = $2 WHERE kid = $1"];
    FORGET = ["DELETE FROM token_keys WHERE retires_at <= $1"];
}

/// A key that signs bearer tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Its name in a token's header.
    pub kid: String,
    /// The private half, sealed under the master key.
    pub sealed: Vec<u8>,
    /// The public half.
    pub public: Vec<u8>,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// Until when tokens that it signed are accepted; `None` while it signs.
    pub retires_at: Option<i64>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .field("retires_at", &self.retires_at)
            .finish_non_exhaustive()
    }
}

impl Metadata {
    /// Every key whose tokens may still be accepted, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn token_keys(&self) -> Result<Vec<TokenKey>, Error> {
        self.rows(&LIST, &[]).await?.iter().map(token_key).collect()
    }
}

impl Tx {
    /// Keeps a key; whether its name was free.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_token_key(&mut self, key: &TokenKey) -> Result<bool, Error> {
        let row = values![&key.kid, key.sealed.as_slice(), key.public.as_slice(), key.created_at, key.retires_at];
        Ok(self.execute(&INSERT, row).await? == 1)
    }

    /// Lets a key sign no more; what it signed is accepted until `retires_at`. Whether there is such a key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retire_token_key(&mut self, kid: &str, retires_at: i64) -> Result<bool, Error> {
        Ok(self.execute(&RETIRE, values![kid, retires_at]).await? == 1)
    }

    /// Forgets the keys that retired by `now`; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_retired_token_keys(&mut self, now: i64) -> Result<u64, Error> {
        self.execute(&FORGET, values![now]).await
    }
}

pub(super) fn token_key(row: &Row) -> Result<TokenKey, Error> {
    Ok(TokenKey {
        kid: row.text(0)?,
        sealed: row.bytes(1)?,
        public: row.bytes(2)?,
        created_at: row.integer(3)?,
        retires_at: row.maybe_integer(4)?,
    })
}
