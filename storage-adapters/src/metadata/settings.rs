use super::database::Metadata;
use super::error::Error;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    FIND = ["SELECT value FROM settings WHERE name = $1"];
    SET = [
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    ];
    UNSET = ["DELETE FROM settings WHERE name = $1"];
}

impl Metadata {
    /// What was set under this name for the whole system.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        self.row(&FIND, values![name]).await?.map(|row| row.text(0)).transpose()
    }
}

impl Tx {
    /// Sets a name for the whole system, or unsets it with `None`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), Error> {
        match value {
            Some(value) => self.execute(&SET, values![name, value]).await.map(drop),
            None => self.execute(&UNSET, values![name]).await.map(drop),
        }
    }
}
