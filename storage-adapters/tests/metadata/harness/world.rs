use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, RepositoryName, Tag, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    AccountId, BlobDeletion, DatabaseConfig, Engine, Error, Finish, Finished, ManifestDeletion, Metadata, NewUpload,
    NewUser, Principal, Put, PutManifest, PutRefused, Repository, SystemRole,
};
use rusqlite::types::ValueRef;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;

use super::{images, postgres};

/// The time in every world that does not say otherwise.
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// How long what was deleted can be brought back, unless something else is said.
pub(crate) const WINDOW: i64 = 14 * 24 * 60 * 60 * 1_000;

/// One empty database and the user `alice`, who owns the repositories made here.
pub(crate) struct World {
    pub(crate) metadata: Metadata,
    pub(crate) config: DatabaseConfig,
    pub(crate) alice: Principal,
    folder: TempDir,
}

impl World {
    pub(crate) async fn open(engine: Engine) -> Self {
        let folder = TempDir::new().unwrap();
        let config = match engine {
            Engine::Sqlite => DatabaseConfig::Sqlite { path: folder.path().join("hallmark.db") },
            Engine::Postgres => DatabaseConfig::Postgres { url: postgres::database().await, max_connections: 12 },
        };
        let metadata = Metadata::open(&config, NOW).await.unwrap();
        let alice = new_user(&metadata, "alice").await.unwrap();
        Self { metadata, config, alice, folder }
    }

    pub(crate) async fn user(&self, name: &str) -> Principal {
        new_user(&self.metadata, name).await.unwrap()
    }

    /// Makes a user, unless the name is taken.
    pub(crate) async fn user_if_free(&self, name: &str) {
        new_user(&self.metadata, name).await;
    }

    /// The repository of this name, in alice's account or the system's.
    pub(crate) async fn repository(&self, name: &str) -> Repository {
        let name: RepositoryName = name.parse().unwrap();
        let account = if name.account().is_some() { self.alice.account_id } else { AccountId::SYSTEM };
        self.repository_in(name, account).await
    }

    pub(crate) async fn repository_in(&self, name: RepositoryName, account: AccountId) -> Repository {
        let made: Result<_, Error> = self
            .metadata
            .write((name, account), |tx, (name, account)| Box::pin(tx.create_repository(name, *account, NOW)))
            .await;
        made.unwrap()
    }

    /// Opens an upload with a lease; its id and key.
    pub(crate) async fn upload(&self, repository: &Repository, number: u128) -> (UploadId, StorageKey) {
        let (id, key) = (UploadId::from_bytes(number.to_be_bytes()), StorageKey::random());
        let input = (id.clone(), key.clone(), repository.id, self.alice.id);
        let begun: Result<bool, Error> = self
            .metadata
            .write(input, |tx, (id, key, repository, principal)| {
                Box::pin(async move {
                    let new = NewUpload {
                        id,
                        repository: *repository,
                        principal: *principal,
                        key,
                        hash_state: b"empty",
                        leased_until: NOW + 1_000,
                        expires_at: NOW + 100_000,
                    };
                    tx.begin_upload(&new).await
                })
            })
            .await;
        assert!(begun.unwrap());
        (id, key)
    }

    /// Finishes an upload of which nobody took the lease over.
    pub(crate) async fn finish(
        &self,
        repository: &Repository,
        upload: (UploadId, StorageKey),
        content: &[u8],
    ) -> Result<Option<Finished>, Error> {
        let digest = Digest::of(Algorithm::Sha256, content);
        let input = (repository.clone(), upload, digest, content.len() as u64);
        self.metadata
            .write(input, |tx, (repository, (upload, key), digest, size)| {
                Box::pin(async move {
                    let Some(repository) = tx.repository(&repository.name).await? else { return Ok(None) };
                    let finish =
                        Finish { repository: &repository, upload, fence: 1, digest, size: *size, key, now: NOW };
                    tx.finish_upload(&finish).await
                })
            })
            .await
    }

    /// Pushes a blob whole.
    pub(crate) async fn blob(&self, repository: &Repository, content: &[u8]) -> Digest {
        let upload = self.upload(repository, next_number()).await;
        self.finish(repository, upload, content).await.unwrap().unwrap();
        images::named(Algorithm::Sha256, content)
    }

    /// Puts a manifest under the digest of this algorithm.
    pub(crate) async fn try_put(
        &self,
        repository: &Repository,
        algorithm: Algorithm,
        body: &str,
        tags: &[&str],
    ) -> Result<Put, PutRefused> {
        images::named(algorithm, body.as_bytes());
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let input = (repository.clone(), body.to_owned(), tags, self.alice.id, algorithm);
        self.metadata
            .write(input, |tx, (repository, body, tags, pushed_by, algorithm)| {
                Box::pin(async move {
                    let manifest = Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).unwrap();
                    let digest = Digest::of(*algorithm, body.as_bytes());
                    let Some(repository) = tx.repository(&repository.name).await? else {
                        return Err(PutRefused::UnknownChildren(Vec::new()));
                    };
                    tx.put_manifest(&PutManifest {
                        repository: &repository,
                        digest: &digest,
                        manifest: &manifest,
                        body: body.as_bytes(),
                        tags,
                        pushed_by: *pushed_by,
                        now: NOW,
                    })
                    .await
                })
            })
            .await
    }

    /// Puts a manifest that is accepted; its digest.
    pub(crate) async fn put(&self, repository: &Repository, body: &str, tags: &[&str]) -> Digest {
        self.try_put(repository, Algorithm::Sha256, body, tags).await.unwrap();
        Digest::of(Algorithm::Sha256, body.as_bytes())
    }

    pub(crate) async fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> ManifestDeletion {
        let input = (repository.clone(), digest.clone(), self.alice.id);
        let deleted: Result<_, Error> = self
            .metadata
            .write(input, |tx, (repository, digest, actor)| {
                Box::pin(async move {
                    tx.repository(&repository.name).await?;
                    tx.delete_manifest(repository, digest, *actor, NOW).await
                })
            })
            .await;
        deleted.unwrap()
    }

    pub(crate) async fn delete_tag(&self, repository: &Repository, tag: &str) -> Option<Digest> {
        let input = (repository.clone(), tag.parse::<Tag>().unwrap(), self.alice.id);
        let deleted: Result<_, Error> = self
            .metadata
            .write(input, |tx, (repository, tag, actor)| {
                Box::pin(async move {
                    tx.repository(&repository.name).await?;
                    tx.delete_tag(repository, tag, *actor, NOW).await
                })
            })
            .await;
        deleted.unwrap()
    }

    pub(crate) async fn delete_blob(&self, repository: &Repository, digest: &Digest) -> BlobDeletion {
        let deleted: Result<_, Error> = self
            .metadata
            .write((repository.clone(), digest.clone()), |tx, (repository, digest)| {
                Box::pin(async move {
                    tx.repository(&repository.name).await?;
                    tx.delete_blob(repository, digest, NOW).await
                })
            })
            .await;
        deleted.unwrap()
    }

    /// What a query finds, each row as its columns' texts joined by spaces; an absent one is `-`.
    pub(crate) async fn look(&self, query: &str) -> Vec<String> {
        match &self.config {
            DatabaseConfig::Sqlite { path } => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut statement = connection.prepare(query).unwrap();
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| Ok(texts(columns, |column| cell(row, column))));
                rows.unwrap().map(Result::unwrap).collect()
            }
            DatabaseConfig::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| texts(row.columns().len(), |column| postgres_cell(row, column))).collect()
            }
        }
    }

    /// The one number that a query finds.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.look(query).await[0].parse().unwrap()
    }

    /// Changes the tables behind the server's back.
    pub(crate) async fn meddle(&self, statement: &str) {
        self.look(statement).await;
    }

    /// What the database says to a statement that it refuses.
    pub(crate) async fn refusal(&self, statement: &str) -> String {
        match &self.config {
            DatabaseConfig::Sqlite { path } => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(statement).unwrap_err().to_string()
            }
            DatabaseConfig::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let refused = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
                refused.unwrap_err().to_string()
            }
        }
    }

    /// Another database, which the first migrations and then this script made: those of SQLite come first in each pair.
    pub(crate) async fn of_schema(&self, migrations: &[(&str, &str)], left: &str) -> DatabaseConfig {
        let mut ledger = "CREATE TABLE migrations
               (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);"
            .to_owned();
        for version in 1..=migrations.len() {
            ledger += &format!("INSERT INTO migrations (version, name, applied_at) VALUES ({version}, 'before', 0);");
        }
        let (sqlite, postgres): (Vec<_>, Vec<_>) = migrations.iter().copied().unzip();
        match &self.config {
            DatabaseConfig::Sqlite { .. } => {
                let folder = self.folder.path().join("before");
                std::fs::create_dir(&folder).unwrap();
                let path = folder.join("hallmark.db");
                let connection = rusqlite::Connection::open(&path).unwrap();
                for script in sqlite.into_iter().chain([ledger.as_str(), left]) {
                    connection.execute_batch(script).unwrap();
                }
                DatabaseConfig::Sqlite { path }
            }
            DatabaseConfig::Postgres { max_connections, .. } => {
                let url = postgres::database().await;
                let mut connection = PgConnection::connect(&url).await.unwrap();
                for script in postgres.into_iter().chain([ledger.as_str(), left]) {
                    sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute(&mut connection).await.unwrap();
                }
                DatabaseConfig::Postgres { url, max_connections: *max_connections }
            }
        }
    }

    /// A statement with these bytes, in hexadecimal, in the place of its `$`.
    pub(crate) fn with_bytes(&self, statement: &str, hexadecimal: &str) -> String {
        let bytes = match self.config {
            DatabaseConfig::Sqlite { .. } => format!("x'{hexadecimal}'"),
            DatabaseConfig::Postgres { .. } => format!("'\\x{hexadecimal}'::bytea"),
        };
        statement.replace('$', &bytes)
    }

    /// What must hold in every world at rest: each key has one owner (I3), history has no gaps and its times rise, and
    /// every live tag is where its history ends.
    pub(crate) async fn is_sound(&self) {
        let owned_twice = "SELECT k FROM (SELECT storage_key AS k FROM blobs UNION ALL SELECT storage_key FROM uploads
             UNION ALL SELECT tail_key FROM uploads WHERE tail_key IS NOT NULL
             UNION ALL SELECT storage_key FROM key_deletions) AS keys GROUP BY k HAVING COUNT(*) > 1";
        assert_eq!(self.look(owned_twice).await, [""; 0], "a key with two owners");
        let gaps = "SELECT repository_id, name FROM tag_history GROUP BY repository_id, name
             HAVING COUNT(*) <> MAX(version) OR MIN(version) <> 1 OR COUNT(DISTINCT at) <> COUNT(*)";
        assert_eq!(self.look(gaps).await, [""; 0], "a gap in a tag's history");
        let falling = "SELECT a.name FROM tag_history a JOIN tag_history b ON b.repository_id = a.repository_id
               AND b.name = a.name AND b.version = a.version + 1 WHERE b.at <= a.at";
        assert_eq!(self.look(falling).await, [""; 0], "a time that falls");
        let astray = "SELECT t.name FROM tags t JOIN manifests m ON m.id = t.manifest_id
               LEFT JOIN tag_history h ON h.repository_id = t.repository_id AND h.name = t.name AND h.version = t.version
              WHERE h.digest IS NULL OR h.digest <> m.digest OR h.at <> t.moved_at";
        assert_eq!(self.look(astray).await, [""; 0], "a tag that is not where its history ends");
    }
}

fn texts(columns: usize, cell: impl Fn(usize) -> Option<String>) -> String {
    (0..columns).map(|column| cell(column).unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" ")
}

fn cell(row: &rusqlite::Row<'_>, column: usize) -> Option<String> {
    match row.get_ref(column).unwrap() {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        text => Some(text.as_str().unwrap().to_owned()),
    }
}

fn postgres_cell(row: &PgRow, column: usize) -> Option<String> {
    let number = row.try_get::<Option<i64>, _>(column).map(|number| number.map(|number| number.to_string()));
    number.or_else(|_| row.try_get::<Option<String>, _>(column)).unwrap()
}

async fn new_user(metadata: &Metadata, name: &str) -> Option<Principal> {
    let new = NewUser {
        name: name.to_owned(),
        password: Some(format!("hash of {name}'s")),
        role: SystemRole::None,
        source: None,
    };
    let made: Result<_, Error> = metadata.write(new, |tx, new| Box::pin(tx.create_user(new, NOW))).await;
    made.unwrap()
}

/// Some number that no other upload of this process has.
fn next_number() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}
