use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::cache::Cache;
use super::config::DatabaseConfig;
use super::database::{Inner, Metadata, Writes};
use super::error::OpenError;
use super::generations::Generations;
use super::ids::Ids;
use super::lock::FolderLock;
use super::migrate::{Schema, look, migrate};
use super::names::Rest;
use super::reclaim::CLOCK;
use super::runner::Runner;
use super::sql::{self, Connection};
use super::statistics::Counters;
use super::tx::Tx;
use super::uploads;
use super::writer::Writer;

/// Settings of a PostgreSQL server that a promise rests on, and the values that keep it: rule 10 of the data model.
/// Collation is not among them, since every text column carries its own.
const SETTINGS: &[(&str, &[&str], &str)] = &[
    ("default_transaction_isolation", &["read committed"], "read committed"),
    ("synchronous_commit", &["on", "remote_apply"], "on or remote_apply"),
    ("server_encoding", &["UTF8"], "UTF8"),
];
/// The oldest PostgreSQL that the suite runs on.
const POSTGRES_VERSION: u32 = 150_000;

impl Metadata {
    /// Opens the database and brings its schema to this release, at `now`. Runs inside a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do: another server holds the folder, the schema is newer, a setting
    /// would break a promise, a migration failed, a file cannot be used, the server does not answer.
    pub async fn open(config: &DatabaseConfig, now: i64) -> Result<Self, OpenError> {
        match config {
            DatabaseConfig::Sqlite { path } => open_sqlite(path, now).await,
            DatabaseConfig::Postgres { url, max_connections } => open_postgres(url, *max_connections, now).await,
        }
    }
}

impl Schema {
    /// Looks at a database without opening it for use: no table is made or migrated, no lease ended. The file of the
    /// embedded database exists.
    ///
    /// # Errors
    /// [`OpenError`], as a start would meet it.
    pub async fn look(config: &DatabaseConfig) -> Result<Self, OpenError> {
        let (reader, is_elsewhere) = match config {
            DatabaseConfig::Sqlite { path } => {
                FolderLock::look(folder_of(path))?;
                (sql::sqlite_readers(path)?, false)
            }
            DatabaseConfig::Postgres { url, .. } => {
                let reader = sql::postgres_pool(url, 2).map_err(|reason| OpenError::Url { reason })?;
                check(&mut reader.first_connection().await?).await?;
                (reader, true)
            }
        };
        let schema = look(&reader).await;
        let clock = if is_elsewhere { reader.row(&CLOCK, &[]).await? } else { None };
        reader.close().await;
        let clock = clock.map(|row| row.integer(0)).transpose()?;
        schema.map(|schema| Self { clock, ..schema })
    }
}

/// Where SQLite keeps the pages that a change would need to go back. It would put those of a change that touches sixteen or more, as a
/// manifest does, and all that come after it until the COMMIT, into a temporary file: most batches of an image's push made one and
/// wrote more to it than to the log. In memory they are as many as the largest change touches of those that were there before:
/// tens of thousands at the worst, where ten thousand rows are handed over to another account. A migration may touch all, and runs before this.
const GO_BACK_FROM_MEMORY: &str = "PRAGMA temp_store = MEMORY";

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn open_sqlite(path: &Path, now: i64) -> Result<Metadata, OpenError> {
    let folder = folder_of(path);
    let lock = FolderLock::acquire(folder)?;
    create(path)?;
    let mut connection = sql::sqlite_writer(path)?;
    let schema = migrate(&mut connection, now).await?;
    connection.frame(GO_BACK_FROM_MEMORY).await?;
    // Whoever held these died with the process that this one succeeds: the lock says so. Without this a client that goes
    // on at once would be told that it is still sending.
    connection.execute(&uploads::END_LEASES, &[]).await?;
    let counters = Arc::new(Counters::default());
    let generations = Arc::new(Generations::new());
    let rest = Arc::new(Rest::default());
    let tx = Tx::new(connection, Arc::new(Ids::default()), Arc::clone(&rest));
    let reader = sql::sqlite_readers(path)?;
    let writer = Writer::start(tx, Arc::clone(&generations), Arc::clone(&counters), lock)?;
    let inner = Inner { reader, writes: Writes::Writer(writer), counters, schema, rest };
    Ok(Metadata::new(inner, Some(Cache::new(generations))))
}

/// Makes the database file, for its owner alone; SQLite gives the write-ahead log the same rights. The file's name is durable
/// with the first COMMIT: SQLite syncs the folder when it first syncs a log that it has made (I4).
fn create(path: &Path) -> Result<(), OpenError> {
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

async fn open_postgres(url: &str, max_connections: u32, now: i64) -> Result<Metadata, OpenError> {
    let reader = sql::postgres_pool(url, max_connections).map_err(|reason| OpenError::Url { reason })?;
    let mut connection = reader.first_connection().await?;
    check(&mut connection).await?;
    let schema = migrate(&mut connection, now).await?;
    drop(connection);
    let counters = Arc::new(Counters::default());
    // Reads always find a connection that no change holds.
    let writing = (max_connections.max(2) * 3 / 4).max(1);
    let rest = Arc::new(Rest::default());
    let ids = (Arc::new(Ids::default()), Arc::clone(&rest));
    let runner = Runner::new(reader.clone(), ids, Arc::clone(&counters), writing);
    Ok(Metadata::new(Inner { reader, writes: Writes::Runner(runner), counters, schema, rest }, None))
}

async fn check(connection: &mut Connection) -> Result<(), OpenError> {
    let version = connection.setting("server_version_num").await?.unwrap_or_default();
    if version.parse::<u32>().unwrap_or_default() < POSTGRES_VERSION {
        return Err(OpenError::Setting { setting: "server_version_num", found: version, needed: "150000 or above" });
    }
    for (setting, accepted, needed) in SETTINGS {
        let found = connection.setting(setting).await?.unwrap_or_default();
        if !accepted.contains(&found.as_str()) {
            return Err(OpenError::Setting { setting, found, needed });
        }
    }
    Ok(())
}
