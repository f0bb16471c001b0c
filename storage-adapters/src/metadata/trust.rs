//! Content trust: which metadata every collection has, and a publish that is whole or absent.

use std::sync::Arc;

use bytes::Bytes;
use hallmark_oci::TrustRole;

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, json_texts, values};

/// The most keys by which the registry signs in a repository's collections.
const SIGNING_KEYS: i64 = 64;

statements! {
    COLLECTION = [
        "SELECT id, head FROM trust_collections WHERE repository_id = $1 AND dialect = $2 AND gun = $3"
    ];
    OF_REPOSITORY = [
        "SELECT gun FROM trust_collections WHERE repository_id = $1 AND dialect = $2 ORDER BY gun LIMIT $3"
    ];
    KEYS = [
        "SELECT key_id FROM signing_keys WHERE repository_id = $1 AND taken_at IS NULL ORDER BY key_id LIMIT $2"
    ];
    KEYS_AMONG = ["SELECT key_id FROM signing_keys WHERE key_id" {in texts "1"}];
    GIVE_KEY = [
        "INSERT INTO signing_keys (repository_id, key_id, given_at)
         SELECT $1, $2, $3 WHERE (SELECT COUNT(*) FROM signing_keys WHERE repository_id = $1 AND key_id <> $2) < $4
         ON CONFLICT (key_id) DO UPDATE SET given_at = excluded.given_at, taken_at = NULL
           WHERE signing_keys.repository_id = excluded.repository_id"
    ];
    CURRENT = [
        "SELECT m.version, m.sha256, m.published_at, m.body, c.expires_at, c.renew_at FROM trust_collections c
           JOIN trust_current t ON t.collection_id = c.id AND t.role = $4
           JOIN trust_metadata m ON m.collection_id = t.collection_id AND m.role = t.role AND m.version = t.version
          WHERE c.repository_id = $1 AND c.dialect = $2 AND c.gun = $3"
    ];
    BY_VERSION = [
        "SELECT m.version, m.sha256, m.published_at, m.body, c.expires_at, c.renew_at FROM trust_collections c
           JOIN trust_metadata m ON m.collection_id = c.id AND m.role = $4 AND m.version = $5
          WHERE c.repository_id = $1 AND c.dialect = $2 AND c.gun = $3"
    ];
    BY_SHA256 = [
        "SELECT m.version, m.sha256, m.published_at, m.body, c.expires_at, c.renew_at FROM trust_collections c
           JOIN trust_metadata m ON m.collection_id = c.id AND m.role = $4 AND m.sha256 = $5
          WHERE c.repository_id = $1 AND c.dialect = $2 AND c.gun = $3 LIMIT 1"
    ];
    BY_SHA512 = [
        "SELECT m.version, m.sha256, m.published_at, m.body, c.expires_at, c.renew_at FROM trust_collections c
           JOIN trust_metadata m ON m.collection_id = c.id AND m.role = $4 AND m.sha512 = $5
          WHERE c.repository_id = $1 AND c.dialect = $2 AND c.gun = $3 LIMIT 1"
    ];
    STATES = [
        "SELECT t.role, t.version, m.sha256, m.sha512, CAST(LENGTH(m.body) AS BIGINT), t.latest_expiry, t.begun_after,
                t.lives
           FROM trust_current t
           JOIN trust_metadata m ON m.collection_id = t.collection_id AND m.role = t.role AND m.version = t.version
          WHERE t.collection_id = $1 ORDER BY t.role"
    ];
    BODIES = [
        "SELECT t.role, m.body FROM trust_current t
           JOIN trust_metadata m ON m.collection_id = t.collection_id AND m.role = t.role AND m.version = t.version
          WHERE t.collection_id = $1 AND t.role" {in texts "2"}
    ];
    DUE = [
        "SELECT c.id, c.head, c.repository_id, c.gun FROM trust_collections c
           JOIN repositories r ON r.id = c.repository_id AND r.name IS NOT NULL
          WHERE c.renew_at <= $1 AND c.dialect = $2 ORDER BY c.renew_at LIMIT $3"
    ];
    DUE_OF = [
        "SELECT c.id, c.head, c.repository_id, c.gun FROM trust_collections c
           JOIN repositories r ON r.id = c.repository_id AND r.name IS NOT NULL
          WHERE c.renew_at <= $1 AND c.dialect = $2 AND c.repository_id IN
                (SELECT list.value FROM " {integers 3} " AS list)"
    ];
    CHANGES = [
        "SELECT e.seq, e.at, e.kind, e.subject, e.payload FROM events e
          WHERE e.seq > $1 AND e.kind IN ('trust_published', 'trust_renewed', 'trust_deleted') ORDER BY e.seq LIMIT $2"
    ];
    CHANGES_BEFORE = [
        "SELECT e.seq, e.at, e.kind, e.subject, e.payload FROM events e
          WHERE e.seq < $1 AND e.kind IN ('trust_published', 'trust_renewed', 'trust_deleted')
          ORDER BY e.seq DESC LIMIT $2"
    ];
    CHANGES_OF = [
        "SELECT e.seq, e.at, e.kind, e.subject, e.payload FROM events e
          WHERE e.seq > $1 AND e.kind IN ('trust_published', 'trust_renewed', 'trust_deleted')
            AND e.repository_id = $3 AND e.subject = $4 ORDER BY e.seq LIMIT $2"
    ];
    CHANGES_OF_BEFORE = [
        "SELECT e.seq, e.at, e.kind, e.subject, e.payload FROM events e
          WHERE e.seq < $1 AND e.kind IN ('trust_published', 'trust_renewed', 'trust_deleted')
            AND e.repository_id = $3 AND e.subject = $4 ORDER BY e.seq DESC LIMIT $2"
    ];
    ADD = [
        "INSERT INTO trust_collections (id, repository_id, dialect, gun, head, renew_at, expires_at)
         VALUES ($1, $2, $3, $4, 1, $5, $6)
         ON CONFLICT (repository_id, dialect, gun) DO NOTHING"
    ];
    ADVANCE = ["UPDATE trust_collections SET head = head + 1, renew_at = $3, expires_at = $4 WHERE id = $1 AND head = $2"];
    PUT_OFF = ["UPDATE trust_collections SET renew_at = $3 WHERE id = $1 AND head = $2"];
    STORE = [
        "INSERT INTO trust_metadata (collection_id, role, version, sha256, sha512, published_at, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (collection_id, role, version) DO NOTHING"
    ];
    POINT = [
        "INSERT INTO trust_current (collection_id, role, version, latest_expiry, begun_after, lives)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (collection_id, role) DO UPDATE SET version = excluded.version,
             latest_expiry = excluded.latest_expiry, begun_after = excluded.begun_after, lives = excluded.lives
           WHERE trust_current.version < excluded.version"
    ];
    LEAVE = ["DELETE FROM trust_current WHERE collection_id = $1 AND role = $2"];
    SET_ASIDE = ["UPDATE trust_metadata SET version = version - $3 WHERE collection_id = $1 AND role = $2 AND version >= 0"];
    REPLACE = [
        "UPDATE trust_metadata SET replaced_at = $3 WHERE collection_id = $1 AND role = $2
            AND version = (SELECT t.version FROM trust_current t WHERE t.collection_id = $1 AND t.role = $2)"
    ];
    FORGET = [
        "DELETE FROM trust_metadata WHERE collection_id = $1 AND replaced_at < $2 AND role <> 'root'"
    ];
    RENEW_ALL = [
        "UPDATE trust_collections SET renew_at = 0, expires_at = 0, head = head + 1
          WHERE dialect = $1 AND NOT EXISTS (
            SELECT 1 FROM repositories r
              JOIN trust_roots t ON t.domain = 'tuf1/organization/' || CAST(r.account_id AS TEXT) AND t.version = 1
             WHERE r.id = trust_collections.repository_id)"
    ];
    RENEW_OF = [
        "UPDATE trust_collections SET renew_at = 0, expires_at = 0, head = head + 1
          WHERE dialect = $1 AND repository_id IN (SELECT r.id FROM repositories r WHERE r.account_id = $2)"
    ];
    DELETE = ["DELETE FROM trust_collections WHERE repository_id = $1 AND dialect = $2 AND gun = $3"];
}

/// How many bits the versions of a role have that may begin anew.
const VERSION_BITS: u32 = 32;

/// The two dialects of TUF that collections are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrustDialect {
    /// Notary v1: what Docker Content Trust speaks.
    Notary,
    /// TUF 1.0.
    Tuf,
}

impl TrustDialect {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Notary => "notary1",
            Self::Tuf => "tuf1",
        }
    }
}

/// Which collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CollectionKey {
    /// Whose repository.
    pub repository: RepositoryId,
    /// How it is written.
    pub dialect: TrustDialect,
    /// The name it was made under.
    pub gun: String,
}

/// A collection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its row.
    pub id: i64,
    /// How many publishes it has seen.
    pub head: i64,
}

/// A file as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    /// Its version.
    pub version: i64,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
    /// When it was published, in milliseconds since the epoch.
    pub published_at: i64,
    /// Its bytes.
    pub body: Bytes,
    /// When what the server signs for the collection now expires, in milliseconds since the epoch.
    pub expires_at: i64,
    /// When it is to be renewed: later than it expires when its renewal failed and was put off.
    pub renew_at: i64,
}

/// When what the server signed is to be renewed and when it expires, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// To be renewed.
    pub renew_at: i64,
    /// Expires.
    pub expires_at: i64,
}

/// Something that was published or deleted, as the changefeed tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustChange {
    /// Its place in the order of events.
    pub seq: i64,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The kind of the event.
    pub kind: String,
    /// The collection.
    pub gun: String,
    /// More about it, as JSON.
    pub payload: String,
}

/// Which changes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangesFrom {
    /// Those after this place, the oldest first.
    After(i64),
    /// Those before this place, the newest of them; also told the oldest first.
    Before(i64),
}

/// What is known of a file that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustState {
    /// Its role.
    pub role: TrustRole,
    /// Its version.
    pub version: i64,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
    /// SHA-512 of its bytes.
    pub sha512: Vec<u8>,
    /// In bytes.
    pub length: i64,
    /// When the last of the files that were ever published for the role expires, in milliseconds since the epoch; the end of all
    /// numbers when that is not known.
    pub latest_expiry: i64,
    /// The same of those from before the role began anew; 0 when it never has.
    pub begun_after: i64,
    /// How often the role began anew.
    pub lives: i64,
}

/// A file of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrustFile {
    /// What is known of it.
    pub state: TrustState,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Whether the versions of its role are counted anew: those before it are set aside below 0, where only their checksums
    /// find them, as long as any file that was replaced. They must lie below 2^32.
    pub begins_anew: bool,
}

/// A collection whose snapshot or timestamp is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCollection {
    /// Where it stands.
    pub collection: Collection,
    /// Which one it is.
    pub key: CollectionKey,
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Everything is stored.
    Stored,
    /// Another publish was faster; nothing is stored, and the change must be given up.
    Overtaken,
}

/// Which file of a role.
#[derive(Clone, Copy, Debug)]
pub enum TrustFileKey<'a> {
    /// The one that holds.
    Current,
    /// The one of this version.
    Version(i64),
    /// The one whose SHA-256 this is.
    Sha256(&'a [u8]),
    /// The one whose SHA-512 this is.
    Sha512(&'a [u8]),
}

impl Metadata {
    /// Where a collection stands; `None` when nothing was published.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_collection(&self, key: &CollectionKey) -> Result<Option<Collection>, Error> {
        let row = self.row(&COLLECTION, values![key.repository, key.dialect.as_str(), &key.gun]).await?;
        row.map(|row| Ok(Collection { id: row.integer(0)?, head: row.integer(1)? })).transpose()
    }

    /// The names of at most `limit` collections of a repository.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_collections_of(
        &self,
        repository: RepositoryId,
        dialect: TrustDialect,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let rows = self.rows(&OF_REPOSITORY, values![repository, dialect.as_str(), i64::from(limit)]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// The ids of the keys by which the registry signs in a repository's collections.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signing_keys(&self, repository: RepositoryId) -> Result<Vec<String>, Error> {
        self.rows(&KEYS, values![repository, SIGNING_KEYS]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// Which of these are keys by which the registry signs, or has signed, in whatever repository's collections.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn signing_keys_among<'i>(&self, ids: impl Iterator<Item = &'i str>) -> Result<Vec<String>, Error> {
        self.rows(&KEYS_AMONG, values![&json_texts(ids)]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// A file of a collection. One that holds is kept in memory: every client of a repository asks for its timestamp.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_file(
        &self,
        key: &CollectionKey,
        role: &TrustRole,
        which: TrustFileKey<'_>,
    ) -> Result<Option<Arc<TrustFile>>, Error> {
        if !matches!(which, TrustFileKey::Current) {
            return self.stored_trust_file(key, role, which).await;
        }
        let slots = [Slot::trust(key.repository), Slot::all_trust()];
        let name = || (key.clone(), role.as_str().to_owned());
        let ask = self.stored_trust_file(key, role, which);
        self.cached_under(|cache| &cache.trust, &slots, name, ask).await.map(|(file, _)| file)
    }

    async fn stored_trust_file(
        &self,
        key: &CollectionKey,
        role: &TrustRole,
        which: TrustFileKey<'_>,
    ) -> Result<Option<Arc<TrustFile>>, Error> {
        let (repository, dialect, gun) = (key.repository, key.dialect.as_str(), &key.gun);
        let row = match which {
            TrustFileKey::Current => self.row(&CURRENT, values![repository, dialect, gun, role.as_str()]).await?,
            TrustFileKey::Version(version) => {
                self.row(&BY_VERSION, values![repository, dialect, gun, role.as_str(), version]).await?
            }
            TrustFileKey::Sha256(sum) => {
                self.row(&BY_SHA256, values![repository, dialect, gun, role.as_str(), sum]).await?
            }
            TrustFileKey::Sha512(sum) => {
                self.row(&BY_SHA512, values![repository, dialect, gun, role.as_str(), sum]).await?
            }
        };
        row.as_ref().map(file).transpose().map(|file| file.map(Arc::new))
    }

    /// What is known of every file that holds, in order of their roles.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_states(&self, collection: Collection) -> Result<Vec<TrustState>, Error> {
        self.rows(&STATES, values![collection.id]).await?.iter().map(state).collect()
    }

    /// The bytes of the files of these roles that hold.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_bodies<'r>(
        &self,
        collection: Collection,
        roles: impl Iterator<Item = &'r TrustRole>,
    ) -> Result<Vec<(TrustRole, Vec<u8>)>, Error> {
        let roles = json_texts(roles.map(TrustRole::as_str));
        let rows = self.rows(&BODIES, values![collection.id, &roles]).await?;
        rows.iter().map(|row| Ok((role(row, 0)?, row.bytes(1)?))).collect()
    }

    /// At most `limit` changes of one collection, or of all.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_changes(
        &self,
        of: Option<(RepositoryId, &str)>,
        from: ChangesFrom,
        limit: u32,
    ) -> Result<Vec<TrustChange>, Error> {
        let limit = i64::from(limit);
        let rows = match (of, from) {
            (None, ChangesFrom::After(seq)) => self.rows(&CHANGES, values![seq, limit]).await?,
            (None, ChangesFrom::Before(seq)) => self.rows(&CHANGES_BEFORE, values![seq, limit]).await?,
            (Some((id, gun)), ChangesFrom::After(seq)) => self.rows(&CHANGES_OF, values![seq, limit, id, gun]).await?,
            (Some((id, gun)), ChangesFrom::Before(seq)) => {
                self.rows(&CHANGES_OF_BEFORE, values![seq, limit, id, gun]).await?
            }
        };
        let change = |row: &Row| -> Result<TrustChange, Error> {
            Ok(TrustChange {
                seq: row.integer(0)?,
                at: row.integer(1)?,
                kind: row.text(2)?,
                gun: row.text(3)?,
                payload: row.text(4)?,
            })
        };
        let mut changes = rows.iter().map(change).collect::<Result<Vec<_>, _>>()?;
        if matches!(from, ChangesFrom::Before(_)) {
            changes.reverse();
        }
        Ok(changes)
    }

    /// At most `limit` collections of a dialect that were to be renewed by `now`, the oldest first. Those of repositories that
    /// are deleted and not yet emptied are none of them: they would stand in the way of all others.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_due(&self, dialect: TrustDialect, now: i64, limit: u32) -> Result<Vec<DueCollection>, Error> {
        let rows = self.rows(&DUE, values![now, dialect.as_str(), i64::from(limit)]).await?;
        rows.iter().map(|row| due(row, dialect)).collect()
    }

    /// Those of these repositories' collections of a dialect that were to be renewed by `now`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_due_of(
        &self,
        dialect: TrustDialect,
        now: i64,
        repositories: impl IntoIterator<Item = RepositoryId>,
    ) -> Result<Vec<DueCollection>, Error> {
        let ids = json_integers(repositories.into_iter().map(|id| id.0));
        let rows = self.rows(&DUE_OF, values![now, dialect.as_str(), &ids]).await?;
        rows.iter().map(|row| due(row, dialect)).collect()
    }
}

impl Tx {
    /// Lets the registry sign in a repository's collections by a key that was given to their owner; `false` when that would be one of
    /// too many. The caller holds the repository.
    ///
    /// # Errors
    /// The database failed.
    pub async fn give_signing_key(&mut self, repository: RepositoryId, id: &str, now: i64) -> Result<bool, Error> {
        Ok(self.execute(&GIVE_KEY, values![repository, id, now, SIGNING_KEYS]).await? == 1)
    }

    /// Stores the files of a publish that rests on `seen` (`None`: on nothing). The caller holds the repository.
    ///
    /// # Errors
    /// The database failed.
    pub async fn publish_trust(
        &mut self,
        key: &CollectionKey,
        seen: Option<Collection>,
        files: &[NewTrustFile],
        fresh: Freshness,
        now: i64,
    ) -> Result<Published, Error> {
        let (id, is_next) = match seen {
            Some(seen) => {
                (seen.id, self.execute(&ADVANCE, values![seen.id, seen.head, fresh.renew_at, fresh.expires_at]).await?)
            }
            None => {
                let id = self.id()?;
                let row = values![id, key.repository, key.dialect.as_str(), &key.gun, fresh.renew_at, fresh.expires_at];
                (id, self.execute(&ADD, row).await?)
            }
        };
        if is_next != 1 {
            return Ok(Published::Overtaken);
        }
        self.touch(Slot::trust(key.repository));
        for NewTrustFile { state, body, begins_anew } in files {
            let (role, version) = (state.role.as_str(), state.version);
            let row =
                values![id, role, version, state.sha256.as_slice(), state.sha512.as_slice(), now, body.as_slice()];
            self.execute(&REPLACE, values![id, role, now]).await?;
            if *begins_anew {
                // No other publish has this head, so that what one sets aside meets nothing of another's.
                let aside = seen.map_or(0, |seen| seen.head) << VERSION_BITS;
                self.execute(&LEAVE, values![id, role]).await?;
                self.execute(&SET_ASIDE, values![id, role, aside]).await?;
            }
            let stored = self.execute(&STORE, row).await?;
            let point = values![id, role, version, state.latest_expiry, state.begun_after, state.lives];
            if stored != 1 || self.execute(&POINT, point).await? != 1 {
                return Ok(Published::Overtaken);
            }
        }
        Ok(Published::Stored)
    }

    /// Forgets files that others replaced before `before`, but for roots: clients follow their chain from any of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_trust(&mut self, collection: Collection, before: i64) -> Result<u64, Error> {
        self.execute(&FORGET, values![collection.id, before]).await
    }

    /// Lets every collection of a dialect that stands under the registry's root, or those of an account, be renewed before it is
    /// read again. Publishes that are under way are overtaken.
    ///
    /// # Errors
    /// The database failed.
    pub async fn renew_all_trust(&mut self, dialect: TrustDialect, of: Option<AccountId>) -> Result<u64, Error> {
        self.touch(Slot::all_trust());
        match of {
            None => self.execute(&RENEW_ALL, values![dialect.as_str()]).await,
            Some(account) => self.execute(&RENEW_OF, values![dialect.as_str(), account]).await,
        }
    }

    /// Leaves a collection that cannot be renewed alone until `until`, unless it was published to meanwhile.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_trust_off(&mut self, collection: Collection, until: i64) -> Result<bool, Error> {
        self.touch(Slot::all_trust());
        Ok(self.execute(&PUT_OFF, values![collection.id, collection.head, until]).await? == 1)
    }

    /// Deletes a collection with all its files; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_trust(&mut self, key: &CollectionKey) -> Result<bool, Error> {
        self.touch(Slot::trust(key.repository));
        Ok(self.execute(&DELETE, values![key.repository, key.dialect.as_str(), &key.gun]).await? == 1)
    }
}

fn file(row: &Row) -> Result<TrustFile, Error> {
    Ok(TrustFile {
        version: row.integer(0)?,
        sha256: row.bytes(1)?,
        published_at: row.integer(2)?,
        body: row.bytes(3)?.into(),
        expires_at: row.integer(4)?,
        renew_at: row.integer(5)?,
    })
}

fn due(row: &Row, dialect: TrustDialect) -> Result<DueCollection, Error> {
    let collection = Collection { id: row.integer(0)?, head: row.integer(1)? };
    let key = CollectionKey { repository: RepositoryId(row.integer(2)?), dialect, gun: row.text(3)? };
    Ok(DueCollection { collection, key })
}

fn state(row: &Row) -> Result<TrustState, Error> {
    Ok(TrustState {
        role: role(row, 0)?,
        version: row.integer(1)?,
        sha256: row.bytes(2)?,
        sha512: row.bytes(3)?,
        length: row.integer(4)?,
        latest_expiry: row.integer(5)?,
        begun_after: row.integer(6)?,
        lives: row.integer(7)?,
    })
}

fn role(row: &Row, column: usize) -> Result<TrustRole, Error> {
    row.text(column)?.parse().map_err(|_| Error::new(ErrorKind::Corrupt, "a role of trust_metadata"))
}
