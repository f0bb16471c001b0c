use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use hallmark_gc::{Report, clean};
use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, Reference, RepositoryName, Tag, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Blobs, StorageConfig, UploadState};
use hallmark_storage::metadata::{
    AccountId, BlobDeletion, DatabaseConfig, Engine, Error, Finish, Graces, ManifestDeletion, Metadata, Mount,
    NewUpload, NewUser, Principal, PutManifest, PutRefused, Repository, SmallKey, StoreSmall, SystemRole, Undeleted,
};
use rusqlite::types::ValueRef;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;

use super::{images, postgres};

/// The time at which every world begins.
pub(crate) const NOW: i64 = 1_800_000_000_000;
/// Graces so short that a test may run them out by adding a few milliseconds.
pub(crate) const TINY: Graces = Graces { shown: 10, margin: 10, bytes: 10, window: 100 };

/// One empty database, a folder for bytes, and the user `alice`, who owns the repositories made here.
pub(crate) struct World {
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    pub(crate) alice: Principal,
    config: DatabaseConfig,
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
        metadata.set_graces(TINY);
        let blobs = Blobs::open(&StorageConfig::Folder { path: folder.path().join("blobs") }).await.unwrap();
        let made: Result<Option<Principal>, Error> = metadata
            .write((), |tx, ()| {
                Box::pin(async move {
                    let user =
                        NewUser { name: "alice".to_owned(), password: None, role: SystemRole::None, source: None };
                    tx.create_user(&user, NOW).await
                })
            })
            .await;
        let alice = made.unwrap().unwrap();
        Self { metadata, blobs, alice, config, folder }
    }

    pub(crate) async fn repository(&self, name: &str) -> Repository {
        let name: RepositoryName = name.parse().unwrap();
        let input: (RepositoryName, AccountId) = (name, self.alice.account_id);
        let made: Result<_, Error> =
            self.metadata.write(input, |tx, (name, account)| Box::pin(tx.create_repository(name, *account, NOW))).await;
        made.unwrap()
    }

    /// Pushes a blob as a file; its storage key.
    pub(crate) async fn push(&self, repository: &Repository, content: &[u8], now: i64) -> Result<StorageKey, Error> {
        let state = UploadState::new(StorageKey::random(), Algorithm::Sha256);
        let (id, key) = (UploadId::from_bytes(upload_number()), state.key.clone());
        let begin = (id.clone(), key.clone(), repository.id, self.alice.id, now);
        let begun: Result<bool, Error> = self
            .metadata
            .write(begin, |tx, (id, key, repository, principal, now)| {
                Box::pin(async move {
                    tx.begin_upload(&NewUpload {
                        id,
                        repository: *repository,
                        principal: *principal,
                        key,
                        hash_state: b"",
                        leased_until: now + 60_000,
                        expires_at: now + 60_000,
                    })
                    .await
                })
            })
            .await;
        assert!(begun?, "too many uploads are open");
        let mut appender = self.blobs.append(state, 1).await.unwrap();
        appender.write(Bytes::copy_from_slice(content)).await.unwrap();
        appender.seal(&StorageKey::random()).await.unwrap();
        let input = (repository.clone(), id, key.clone(), images::digest(content), content.len() as u64, now);
        let finished: Result<bool, Error> = self
            .metadata
            .write(input, |tx, (repository, upload, key, digest, size, now)| {
                Box::pin(async move {
                    let Some(repository) = tx.repository(&repository.name).await? else { return Ok(false) };
                    let finish =
                        Finish { repository: &repository, upload, fence: 1, digest, size: *size, key, now: *now };
                    Ok(tx.finish_upload(&finish).await?.is_some())
                })
            })
            .await;
        finished.map(|_| key)
    }

    /// Pushes few bytes, which become facts.
    pub(crate) async fn push_small(&self, repository: &Repository, content: &[u8], now: i64) -> Result<(), Error> {
        let input = (repository.clone(), images::digest(content), content.to_owned(), StorageKey::random(), now);
        self.metadata
            .write(input, |tx, (repository, digest, body, key, now)| {
                Box::pin(async move {
                    let Some(repository) = tx.repository(&repository.name).await? else { return Ok(()) };
                    let small =
                        StoreSmall { repository: &repository, key: SmallKey::Fresh(key), digest, body, now: *now };
                    tx.store_small(&small).await.map(drop)
                })
            })
            .await
    }

    /// Mounts a blob; whether the source shows it.
    pub(crate) async fn mount(
        &self,
        (from, to): (&Repository, &Repository),
        content: &[u8],
        now: i64,
    ) -> Result<bool, Error> {
        let input = (from.id, to.clone(), images::digest(content), now);
        self.metadata
            .write(input, |tx, (source, to, digest, now)| {
                Box::pin(async move {
                    let Some(repository) = tx.repository(&to.name).await? else { return Ok(false) };
                    let mount = Mount { repository: &repository, source: *source, digest, now: *now };
                    Ok(tx.mount(&mount).await?.is_some())
                })
            })
            .await
    }

    pub(crate) async fn put(
        &self,
        repository: &Repository,
        body: &str,
        tags: &[&str],
        now: i64,
    ) -> Result<Digest, PutRefused> {
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let input = (repository.clone(), body.to_owned(), tags, self.alice.id, now);
        self.metadata
            .write(input, |tx, (repository, body, tags, pushed_by, now)| {
                Box::pin(async move {
                    let manifest = Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).unwrap();
                    let digest = images::digest(body.as_bytes());
                    let Some(repository) = tx.repository(&repository.name).await? else {
                        return Err(PutRefused::UnknownBlobs(Vec::new()));
                    };
                    tx.put_manifest(&PutManifest {
                        repository: &repository,
                        digest: &digest,
                        manifest: &manifest,
                        body: body.as_bytes(),
                        tags,
                        pushed_by: *pushed_by,
                        now: *now,
                    })
                    .await?;
                    Ok(digest)
                })
            })
            .await
    }

    pub(crate) async fn delete(
        &self,
        repository: &Repository,
        digest: &Digest,
        now: i64,
    ) -> Result<ManifestDeletion, Error> {
        let input = (repository.clone(), digest.clone(), self.alice.id, now);
        self.metadata
            .write(input, |tx, (repository, digest, actor, now)| {
                Box::pin(async move {
                    let Some(repository) = tx.repository(&repository.name).await? else {
                        return Ok(ManifestDeletion::Unknown);
                    };
                    tx.delete_manifest(&repository, digest, *actor, *now).await
                })
            })
            .await
    }

    /// Brings a manifest back, without its tags.
    pub(crate) async fn undelete(
        &self,
        repository: &Repository,
        digest: &Digest,
        now: i64,
    ) -> Result<Undeleted, Error> {
        let input = (repository.clone(), digest.clone(), self.alice.id, now);
        let back = self.metadata.write(input, |tx, (repository, digest, actor, now)| {
            Box::pin(async move {
                let Some(repository) = tx.repository(&repository.name).await? else {
                    return Ok(Err(Undeleted::Unknown));
                };
                match tx.undelete_manifest(&repository, digest, *actor, *now).await? {
                    back @ (Undeleted::Back(..) | Undeleted::Present(_)) => Ok(Ok(back)),
                    // Whoever calls it gives a refusal back as an error, so that nothing is done by halves.
                    refused => Err(Refused::Not(refused)),
                }
            })
        });
        match back.await {
            Ok(Ok(back) | Err(back)) | Err(Refused::Not(back)) => Ok(back),
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    pub(crate) async fn delete_tag(&self, repository: &Repository, tag: &str, now: i64) -> Option<Digest> {
        let input = (repository.clone(), tag.parse::<Tag>().unwrap(), self.alice.id, now);
        let deleted: Result<_, Error> = self
            .metadata
            .write(input, |tx, (repository, tag, actor, now)| {
                Box::pin(async move {
                    tx.repository(&repository.name).await?;
                    tx.delete_tag(repository, tag, *actor, *now).await
                })
            })
            .await;
        deleted.unwrap()
    }

    pub(crate) async fn delete_blob(&self, repository: &Repository, content: &[u8], now: i64) -> BlobDeletion {
        let deleted: Result<_, Error> = self
            .metadata
            .write((repository.clone(), images::digest(content), now), |tx, (repository, digest, now)| {
                Box::pin(async move {
                    tx.repository(&repository.name).await?;
                    tx.delete_blob(repository, digest, *now).await
                })
            })
            .await;
        deleted.unwrap()
    }

    pub(crate) async fn clean(&self, now: i64) -> Report {
        clean(&self.metadata, &self.blobs, now, || true).await.unwrap()
    }

    pub(crate) async fn shows(&self, repository: &Repository, content: &[u8], now: i64) -> bool {
        self.metadata.shown_blob(repository.id, &images::digest(content), now).await.unwrap().is_some()
    }

    pub(crate) async fn holds(&self, repository: &Repository, digest: &Digest) -> bool {
        let reference = Reference::Digest(digest.clone());
        self.metadata.manifest(repository.id, &reference).await.unwrap().is_some()
    }

    pub(crate) async fn has_bytes(&self, key: &StorageKey) -> bool {
        self.blobs.size(key).await.unwrap().is_some()
    }

    /// Where a key's bytes are.
    pub(crate) fn file(&self, key: &StorageKey) -> PathBuf {
        self.folder.path().join("blobs/blobs").join(&key.as_str()[..2]).join(key.as_str())
    }

    /// How many files lie in the store.
    pub(crate) fn files(&self) -> usize {
        self.keys().len()
    }

    /// The keys under which files lie in the store, beside its mark.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        let mut folders = vec![self.folder.path().join("blobs/blobs")];
        let mut files = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.extend(Some(name).filter(|name| name != ".mark")),
                }
            }
        }
        files
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
}

/// Why nothing came back.
enum Refused {
    Not(Undeleted),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn upload_number() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    u128::from(NUMBERS.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
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
