//! The schema and its way forward. A migration never goes back, and the release before must still run on its result.

use super::error::{Error, ErrorKind, OpenError};
use super::sql::{Connection, Reader, Row};
use super::statement::{Engine, Statement, statements};
use super::value::values;

/// One step of the schema, in the words of each engine.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "images",
        sqlite: include_str!("../../migrations/sqlite/0001_images.sql"),
        postgres: include_str!("../../migrations/postgres/0001_images.sql"),
    },
    Migration {
        version: 2,
        name: "small blobs",
        sqlite: include_str!("../../migrations/sqlite/0002_small_blobs.sql"),
        postgres: include_str!("../../migrations/postgres/0002_small_blobs.sql"),
    },
    Migration {
        version: 3,
        name: "people",
        sqlite: include_str!("../../migrations/sqlite/0003_people.sql"),
        postgres: include_str!("../../migrations/postgres/0003_people.sql"),
    },
    Migration {
        version: 4,
        name: "people again",
        sqlite: include_str!("../../migrations/sqlite/0004_people_again.sql"),
        postgres: include_str!("../../migrations/postgres/0004_people_again.sql"),
    },
    Migration {
        version: 5,
        name: "trust",
        sqlite: include_str!("../../migrations/sqlite/0005_trust.sql"),
        postgres: include_str!("../../migrations/postgres/0005_trust.sql"),
    },
    Migration {
        version: 6,
        name: "trash",
        sqlite: include_str!("../../migrations/sqlite/0006_trash.sql"),
        postgres: include_str!("../../migrations/postgres/0006_trash.sql"),
    },
    Migration {
        version: 7,
        name: "retention",
        sqlite: include_str!("../../migrations/sqlite/0007_retention.sql"),
        postgres: include_str!("../../migrations/postgres/0007_retention.sql"),
    },
    Migration {
        version: 8,
        name: "quotas",
        sqlite: include_str!("../../migrations/sqlite/0008_quotas.sql"),
        postgres: include_str!("../../migrations/postgres/0008_quotas.sql"),
    },
    Migration {
        version: 9,
        name: "writers sign",
        sqlite: include_str!("../../migrations/sqlite/0009_writers_sign.sql"),
        postgres: include_str!("../../migrations/postgres/0009_writers_sign.sql"),
    },
    Migration {
        version: 10,
        name: "signer log",
        sqlite: include_str!("../../migrations/sqlite/0010_signer_log.sql"),
        postgres: include_str!("../../migrations/postgres/0010_signer_log.sql"),
    },
    Migration {
        version: 11,
        name: "trash by repository",
        sqlite: include_str!("../../migrations/sqlite/0011_trash_by_repository.sql"),
        postgres: include_str!("../../migrations/postgres/0011_trash_by_repository.sql"),
    },
    Migration {
        version: 12,
        name: "filtered lists",
        sqlite: include_str!("../../migrations/sqlite/0012_filtered_lists.sql"),
        postgres: include_str!("../../migrations/postgres/0012_filtered_lists.sql"),
    },
    Migration {
        version: 13,
        name: "roles anew",
        sqlite: include_str!("../../migrations/sqlite/0013_roles_anew.sql"),
        postgres: include_str!("../../migrations/postgres/0013_roles_anew.sql"),
    },
    Migration {
        version: 14,
        name: "signing keys",
        sqlite: include_str!("../../migrations/sqlite/0014_signing_keys.sql"),
        postgres: include_str!("../../migrations/postgres/0014_signing_keys.sql"),
    },
];

statements! {
    LEDGER = [
        "CREATE TABLE IF NOT EXISTS migrations
           (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    ];
    RECORD = ["INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)"];
    VERSION = ["SELECT COALESCE(MAX(version), 0) FROM migrations"];
    MIGRATED_AT = ["SELECT COALESCE(MAX(applied_at), 0) FROM migrations"];
}

/// Whether there is a ledger at all: each engine has its own list of tables.
static HAS_LEDGER: Statement = Statement::new(
    "migrate::HAS_LEDGER",
    "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'",
    "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'migrations'",
);

/// The schema of a database that nobody has opened for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The number of the last migration; 0 when there are no tables yet.
    pub found: i64,
    /// The schema that a start of this release brings it to.
    pub known: i64,
    /// The time by the clock of the database, in milliseconds since the epoch; `None` where that is this machine's.
    pub clock: Option<i64>,
}

/// Reads which schema the database has, and changes nothing.
pub(super) async fn look(reader: &Reader) -> Result<Schema, OpenError> {
    let number = |row: Option<Row>| row.map_or(Ok(0), |row| row.integer(0));
    let found = match number(reader.row(&HAS_LEDGER, &[]).await?)? {
        0 => 0,
        _ => number(reader.row(&VERSION, &[]).await?)?,
    };
    let known = known();
    if found > known { Err(OpenError::NewerSchema { found, known }) } else { Ok(Schema { found, known, clock: None }) }
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Brings the database to the schema of this release, in one transaction; replicas that start together wait for each
/// other. The schema it then has.
pub(super) async fn migrate(connection: &mut Connection, now: i64) -> Result<i64, OpenError> {
    match connection.engine() {
        Engine::Sqlite => connection.frame("BEGIN IMMEDIATE").await?,
        Engine::Postgres => {
            connection.frame("BEGIN").await?;
            // What counts millions of rows takes as long as it takes, and so does waiting for whoever does it.
            connection.frame("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
            // The number is only this lock's name among the locks of this database.
            connection.script("migrate", "SELECT pg_advisory_xact_lock(5121713049)").await?;
            connection.frame("SET LOCAL lock_timeout TO DEFAULT").await?;
        }
    }
    let schema = run(connection, now).await;
    match schema {
        Ok(_) => connection.frame("COMMIT").await?,
        // What failed says more than that it could not be rolled back: SQLite may have done that itself.
        Err(_) => drop(connection.frame("ROLLBACK").await),
    }
    schema
}

async fn run(connection: &mut Connection, now: i64) -> Result<i64, OpenError> {
    connection.execute(&LEDGER, &[]).await?;
    let found = match connection.row(&VERSION, &[]).await? {
        Some(row) => row.integer(0)?,
        None => return Err(Error::new(ErrorKind::Corrupt, "migrations").into()),
    };
    let known = known();
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let version = migration.version;
        apply(connection, migration, now).await.map_err(|source| OpenError::Migration { version, source })?;
    }
    Ok(known)
}

async fn apply(connection: &mut Connection, migration: &Migration, now: i64) -> Result<(), Error> {
    let text = match connection.engine() {
        Engine::Sqlite => migration.sqlite,
        Engine::Postgres => migration.postgres,
    };
    connection.script(migration.name, text).await?;
    connection.execute(&RECORD, values![migration.version, migration.name, now]).await?;
    tracing::info!(schema.version = migration.version, schema.name = migration.name, "migrated the database");
    Ok(())
}
