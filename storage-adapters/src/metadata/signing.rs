//! What the signer keeps: sealed keys, the last version of each role, and the log of its signatures. Nothing else of the
//! registry reads it.

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    DATA_KEYS = ["SELECT id, wrapped, made_at FROM signer_data_keys ORDER BY made_at, id"];
    ADD_DATA_KEY = ["INSERT INTO signer_data_keys (id, wrapped, made_at) VALUES ($1, $2, $3)"];
    REWRAP = ["UPDATE signer_data_keys SET wrapped = $3 WHERE id = $1 AND wrapped = $2"];
    KEYS = [
        "SELECT id, collection, role, algorithm, public, sealed, data_key, made_at, used_at FROM signer_keys
          WHERE collection = $1 AND role = $2 ORDER BY made_at, id"
    ];
    KEYS_OF = [
        "SELECT id, collection, role, algorithm, public, sealed, data_key, made_at, used_at FROM signer_keys
          WHERE collection = $1 ORDER BY made_at, id"
    ];
    ADD_KEY = [
        "INSERT INTO signer_keys (id, collection, role, algorithm, public, sealed, data_key, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    ];
    USE = ["UPDATE signer_keys SET used_at = $2 WHERE id = $1"];
    DESTROY = ["DELETE FROM signer_keys WHERE collection = $1"];
    DESTROY_ONE = ["DELETE FROM signer_keys WHERE id = $1"];
    FORGET_FLOORS = ["DELETE FROM signer_floors WHERE collection = $1 AND role NOT IN ('snapshot', 'timestamp')"];
    FLOOR = ["SELECT version FROM signer_floors WHERE collection = $1 AND role = $2" {update}];
    RAISE = [
        "INSERT INTO signer_floors (collection, role, version) VALUES ($1, $2, $3)
         ON CONFLICT (collection, role) DO UPDATE SET version = CASE
           WHEN signer_floors.version >= excluded.version THEN signer_floors.version + 1 ELSE excluded.version END
         RETURNING version"
    ];
    LIFT = [
        "INSERT INTO signer_floors (collection, role, version) VALUES ($1, $2, $3)
         ON CONFLICT (collection, role) DO UPDATE SET version = excluded.version
           WHERE signer_floors.version < excluded.version"
    ];
    KEEP_ROOT = [
        "INSERT INTO signer_roots (domain, version, sha256, body) VALUES ($1, $2, $3, $4)
         ON CONFLICT (domain) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, body = excluded.body
           WHERE signer_roots.version < excluded.version"
    ];
    ROOT = ["SELECT domain, version, sha256, body FROM signer_roots WHERE domain = $1" {update}];
    ENDORSED = ["SELECT endorsed_version, endorsed_sha256 FROM signer_roots WHERE domain = $1" {update}];
    ENDORSE = ["UPDATE signer_roots SET endorsed_version = $2, endorsed_sha256 = $3 WHERE domain = $1"];
    LOG = [
        "INSERT INTO signer_log (id, at, caller, collection, role, version, sha256, key_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    ];
    READ_LOG = [
        "SELECT at, caller, role, version, sha256, key_id FROM signer_log
          WHERE collection = $1 AND role = $2 ORDER BY version DESC, id DESC LIMIT $3"
    ];
}

/// A key that seals keys, wrapped under the master key.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    /// Its name.
    pub id: String,
    /// The key itself, sealed.
    pub wrapped: Vec<u8>,
    /// When it was made, in milliseconds since the epoch.
    pub made_at: i64,
}

/// A key that signs for one role of one collection.
#[derive(Clone, PartialEq, Eq)]
pub struct SignerKey {
    /// Its id, as metadata names it.
    pub id: String,
    /// Whose.
    pub collection: String,
    /// For which role.
    pub role: String,
    /// What kind of key it is.
    pub algorithm: String,
    /// Its public half.
    pub public: Vec<u8>,
    /// Its private half, sealed.
    pub sealed: Vec<u8>,
    /// Under which data key.
    pub data_key: String,
    /// When it was made, in milliseconds since the epoch.
    pub made_at: i64,
    /// When it last signed; `None`: never.
    pub used_at: Option<i64>,
}

/// A signature that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedSignature {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// For whom.
    pub caller: String,
    /// Over a file of which role.
    pub role: String,
    /// Of which version.
    pub version: i64,
    /// SHA-256 of what was signed.
    pub sha256: Vec<u8>,
    /// By which key.
    pub key_id: String,
}

/// The newest root of a trust domain that the signer was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerRoot {
    /// The domain.
    pub domain: String,
    /// Its version.
    pub version: i64,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for WrappedDataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrappedDataKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, collection, role, .. } = self;
        f.debug_struct("SignerKey")
            .field("id", id)
            .field("collection", collection)
            .field("role", role)
            .finish_non_exhaustive()
    }
}

impl Metadata {
    /// Every data key, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_data_keys(&self) -> Result<Vec<WrappedDataKey>, Error> {
        self.rows(&DATA_KEYS, &[]).await?.iter().map(data_key).collect()
    }

    /// The keys of a role of a collection, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_keys(&self, collection: &str, role: &str) -> Result<Vec<SignerKey>, Error> {
        self.rows(&KEYS, values![collection, role]).await?.iter().map(key).collect()
    }

    /// The keys of all roles of a collection, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_keys_of(&self, collection: &str) -> Result<Vec<SignerKey>, Error> {
        self.rows(&KEYS_OF, values![collection]).await?.iter().map(key).collect()
    }

    /// The last signatures over a role of a collection, the newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signer_log(&self, collection: &str, role: &str, limit: u32) -> Result<Vec<LoggedSignature>, Error> {
        let line = |row: &Row| -> Result<LoggedSignature, Error> {
            Ok(LoggedSignature {
                at: row.integer(0)?,
                caller: row.text(1)?,
                role: row.text(2)?,
                version: row.integer(3)?,
                sha256: row.bytes(4)?,
                key_id: row.text(5)?,
            })
        };
        self.rows(&READ_LOG, values![collection, role, i64::from(limit)]).await?.iter().map(line).collect()
    }
}

impl Tx {
    /// Every data key, as this change sees them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn signer_data_keys(&mut self) -> Result<Vec<WrappedDataKey>, Error> {
        self.rows(&DATA_KEYS, &[]).await?.iter().map(data_key).collect()
    }

    /// Keeps a data key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_signer_data_key(&mut self, key: &WrappedDataKey) -> Result<(), Error> {
        self.execute(&ADD_DATA_KEY, values![&key.id, key.wrapped.as_slice(), key.made_at]).await.map(drop)
    }

    /// Puts another wrapping in the place of the one that was read; whether that one was still there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn rewrap_signer_data_key(&mut self, read: &WrappedDataKey, wrapped: &[u8]) -> Result<bool, Error> {
        Ok(self.execute(&REWRAP, values![&read.id, read.wrapped.as_slice(), wrapped]).await? == 1)
    }

    /// The keys of a role of a collection, as this change sees them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn signer_keys(&mut self, collection: &str, role: &str) -> Result<Vec<SignerKey>, Error> {
        self.rows(&KEYS, values![collection, role]).await?.iter().map(key).collect()
    }

    /// Keeps a key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_signer_key(&mut self, key: &SignerKey) -> Result<(), Error> {
        let SignerKey { id, collection, role, algorithm, public, sealed, data_key, made_at, used_at: _ } = key;
        let row = values![id, collection, role, algorithm, public.as_slice(), sealed.as_slice(), data_key, *made_at];
        self.execute(&ADD_KEY, row).await.map(drop)
    }

    /// Notes that a key signs at `now`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn use_signer_key(&mut self, id: &str, now: i64) -> Result<(), Error> {
        self.execute(&USE, values![id, now]).await.map(drop)
    }

    /// Destroys the keys of a collection; how many there were. What clients sign may begin anew after that; the versions that
    /// the signer gives go on.
    ///
    /// # Errors
    /// The database failed.
    pub async fn destroy_signer_keys(&mut self, collection: &str) -> Result<u64, Error> {
        self.execute(&FORGET_FLOORS, values![collection]).await?;
        self.execute(&DESTROY, values![collection]).await
    }

    /// Destroys one key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn destroy_signer_key(&mut self, id: &str) -> Result<(), Error> {
        self.execute(&DESTROY_ONE, values![id]).await.map(drop)
    }

    /// The last version of a role; 0 before the first. Held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn signer_floor(&mut self, collection: &str, role: &str) -> Result<i64, Error> {
        let row = self.row(&FLOOR, values![collection, role]).await?;
        row.map_or(Ok(0), |row| row.integer(0))
    }

    /// A version of a role that was never given: `wanted`, or one above the last when that is not below it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn raise_signer_floor(&mut self, collection: &str, role: &str, wanted: i64) -> Result<i64, Error> {
        let row = self.row(&RAISE, values![collection, role, wanted]).await?;
        row.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a floor was raised and is not there"))?.integer(0)
    }

    /// Remembers that a role has reached `version`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lift_signer_floor(&mut self, collection: &str, role: &str, version: i64) -> Result<(), Error> {
        self.execute(&LIFT, values![collection, role, version]).await.map(drop)
    }

    /// Remembers a root of a trust domain, unless a newer one is remembered, or another one of its version. The one that is
    /// remembered then; held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lift_signer_root(&mut self, root: &SignerRoot) -> Result<SignerRoot, Error> {
        self.execute(&KEEP_ROOT, values![&root.domain, root.version, root.sha256.as_slice(), root.body.as_slice()])
            .await?;
        let held = self.signer_root(&root.domain).await?;
        held.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a root was remembered and is not there"))
    }

    /// The root of a trust domain that is remembered; held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn signer_root(&mut self, domain: &str) -> Result<Option<SignerRoot>, Error> {
        self.row(&ROOT, values![domain]).await?.as_ref().map(signer_root).transpose()
    }

    /// Remembers the version and the hash of a root that was signed by which a domain, whose root is remembered, changes hands,
    /// unless another of that version is remembered; whether none is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn endorse_signer_root(&mut self, domain: &str, version: i64, sha256: &[u8]) -> Result<bool, Error> {
        let row = self.row(&ENDORSED, values![domain]).await?;
        let of = row.map(|row| Ok::<_, Error>((row.maybe_integer(0)?, row.maybe_bytes(1)?))).transpose()?;
        if let Some((Some(endorsed), Some(sum))) = of
            && endorsed == version
        {
            return Ok(sum == sha256);
        }
        Ok(self.execute(&ENDORSE, values![domain, version, sha256]).await? == 1)
    }

    /// Writes a signature down, before it leaves.
    ///
    /// # Errors
    /// The database failed.
    pub async fn log_signature(&mut self, collection: &str, signature: &LoggedSignature) -> Result<(), Error> {
        let id = self.id()?;
        let LoggedSignature { at, caller, role, version, sha256, key_id } = signature;
        let row = values![id, *at, caller, collection, role, *version, sha256.as_slice(), key_id];
        self.execute(&LOG, row).await.map(drop)
    }
}

fn data_key(row: &Row) -> Result<WrappedDataKey, Error> {
    Ok(WrappedDataKey { id: row.text(0)?, wrapped: row.bytes(1)?, made_at: row.integer(2)? })
}

pub(super) fn signer_root(row: &Row) -> Result<SignerRoot, Error> {
    Ok(SignerRoot { domain: row.text(0)?, version: row.integer(1)?, sha256: row.bytes(2)?, body: row.bytes(3)? })
}

pub(super) fn key(row: &Row) -> Result<SignerKey, Error> {
    Ok(SignerKey {
        id: row.text(0)?,
        collection: row.text(1)?,
        role: row.text(2)?,
        algorithm: row.text(3)?,
        public: row.bytes(4)?,
        sealed: row.bytes(5)?,
        data_key: row.text(6)?,
        made_at: row.integer(7)?,
        used_at: row.maybe_integer(8)?,
    })
}
