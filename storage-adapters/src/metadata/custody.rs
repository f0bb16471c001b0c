//! What the operator of the signer asks for: its keys, versions and log page by page, and everything that is sealed under the
//! master key, for another one.

use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::keys::{TokenKey, token_key};
use super::signing::{SignerKey, SignerRoot, key, signer_root};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    KEYS = [
        "SELECT id, collection, role, algorithm, public, sealed, data_key, made_at, used_at FROM signer_keys
          WHERE id > $1 ORDER BY id LIMIT $2"
    ];
    KEY = [
        "SELECT id, collection, role, algorithm, public, sealed, data_key, made_at, used_at FROM signer_keys
          WHERE id = $1"
    ];
    FLOORS = [
        "SELECT collection, role, version FROM signer_floors
          WHERE (collection, role) > ($1, $2) ORDER BY collection, role LIMIT $3"
    ];
    ROOTS = ["SELECT domain, version, sha256, body FROM signer_roots WHERE domain > $1 ORDER BY domain LIMIT $2"];
    LOG = [
        "SELECT id, at, caller, collection, role, version, sha256, key_id FROM signer_log
          WHERE id < $1 ORDER BY id DESC LIMIT $2"
    ];
    SETTING = ["SELECT value FROM settings WHERE name = $1" {update}];
    TOKEN_KEYS = ["SELECT kid, sealed, public, created_at, retires_at FROM token_keys ORDER BY created_at, kid"];
    ABANDON_KEYS = ["DELETE FROM signer_keys"];
    ABANDON_DATA_KEYS = ["DELETE FROM signer_data_keys"];
    ABANDON_TOKEN_KEYS = ["DELETE FROM token_keys"];
    FORGET_ROOTS = ["DELETE FROM trust_roots"];
    FORGET_TUF = ["DELETE FROM trust_collections WHERE dialect = 'tuf1'"];
    FORGET_BASES = ["DELETE FROM signer_floors WHERE role = 'base'"];
    FORGET_SIGNER_ROOTS = ["DELETE FROM signer_roots"];
    RESEAL = ["UPDATE token_keys SET sealed = $3 WHERE kid = $1 AND sealed = $2"];
}

/// The last version of a role of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerFloor {
    /// Whose.
    pub collection: String,
    /// Of which role.
    pub role: String,
    /// The version.
    pub version: i64,
}

/// A line of the signer's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number: later lines of one process have higher ones.
    pub id: i64,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// For whom.
    pub caller: String,
    /// Of which collection.
    pub collection: String,
    /// Over a file of which role.
    pub role: String,
    /// Of which version.
    pub version: i64,
    /// SHA-256 of what was signed.
    pub sha256: Vec<u8>,
    /// By which key.
    pub key_id: String,
}

impl Metadata {
    /// One page of the signer's keys, by id, behind `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_key_page(&self, after: &str, limit: u32) -> Result<Vec<SignerKey>, Error> {
        self.rows(&KEYS, values![after, i64::from(limit)]).await?.iter().map(key).collect()
    }

    /// One page of the last versions, by collection and role, behind `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_floor_page(&self, after: (&str, &str), limit: u32) -> Result<Vec<SignerFloor>, Error> {
        let floor = |row: &Row| -> Result<SignerFloor, Error> {
            Ok(SignerFloor { collection: row.text(0)?, role: row.text(1)?, version: row.integer(2)? })
        };
        self.rows(&FLOORS, values![after.0, after.1, i64::from(limit)]).await?.iter().map(floor).collect()
    }

    /// One page of the newest roots that the signer was told of, by domain, behind `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_root_page(&self, after: &str, limit: u32) -> Result<Vec<SignerRoot>, Error> {
        self.rows(&ROOTS, values![after, i64::from(limit)]).await?.iter().map(signer_root).collect()
    }

    /// One page of the signer's log, from the line before `before` backwards.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_log_page(&self, before: i64, limit: u32) -> Result<Vec<LogLine>, Error> {
        let line = |row: &Row| -> Result<LogLine, Error> {
            Ok(LogLine {
                id: row.integer(0)?,
                at: row.integer(1)?,
                caller: row.text(2)?,
                collection: row.text(3)?,
                role: row.text(4)?,
                version: row.integer(5)?,
                sha256: row.bytes(6)?,
                key_id: row.text(7)?,
            })
        };
        self.rows(&LOG, values![before, i64::from(limit)]).await?.iter().map(line).collect()
    }
}

impl Tx {
    /// The key of this id, as this change sees it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn signer_key(&mut self, id: &str) -> Result<Option<SignerKey>, Error> {
        self.row(&KEY, values![id]).await?.as_ref().map(key).transpose()
    }

    /// What was set under this name, as this change sees it. Held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.row(&SETTING, values![name]).await?.map(|row| row.text(0)).transpose()
    }

    /// Every key that signs or signed bearer tokens, as this change sees them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_keys(&mut self) -> Result<Vec<TokenKey>, Error> {
        self.rows(&TOKEN_KEYS, &[]).await?.iter().map(token_key).collect()
    }

    /// Deletes every key that is sealed, whatever under: those that sign for collections, those under which they are sealed, and
    /// those that sign tokens. How many there were of the first. The versions and the log stay.
    ///
    /// # Errors
    /// The database failed.
    pub async fn abandon_sealed_keys(&mut self) -> Result<u64, Error> {
        let keys = self.execute(&ABANDON_KEYS, &[]).await?;
        self.execute(&ABANDON_DATA_KEYS, &[]).await?;
        self.execute(&ABANDON_TOKEN_KEYS, &[]).await?;
        Ok(keys)
    }

    /// Forgets every root of a trust domain and what was published under it, so that the chain begins anew.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_trust_roots(&mut self) -> Result<(), Error> {
        self.touch(Slot::all_trust());
        for statement in [&FORGET_TUF, &FORGET_ROOTS, &FORGET_BASES, &FORGET_SIGNER_ROOTS] {
            self.execute(statement, &[]).await?;
        }
        Ok(())
    }

    /// Puts another sealing in the place of the one that was read; whether that one was still there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reseal_token_key(&mut self, read: &TokenKey, sealed: &[u8]) -> Result<bool, Error> {
        Ok(self.execute(&RESEAL, values![&read.kid, read.sealed.as_slice(), sealed]).await? == 1)
    }
}
