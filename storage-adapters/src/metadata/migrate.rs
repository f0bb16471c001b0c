//! The schema and its way forward. A migration never goes back, and the release before must still run on its result.

use super::error::{Error, ErrorKind, OpenError};
use super::sql::Connection;
use super::statement::{Engine, statements};
use super::value::values;

/// One step of the schema, in the words of each engine.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "images",
    sqlite: include_str!("../../migrations/sqlite/0001_images.sql"),
    postgres: include_str!("../../migrations/postgres/0001_images.sql"),
}];

statements! {
    LEDGER = [
        "CREATE TABLE IF NOT EXISTS migrations
           (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    ];
    RECORD = ["INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)"];
    VERSION = ["SELECT COALESCE(MAX(version), 0) FROM migrations"];
}

/// Brings the database to the schema of this release, in one transaction; replicas that start together wait for each
/// other. The schema it then has.
pub(super) async fn migrate(connection: &mut Connection, now: i64) -> Result<i64, OpenError> {
    let begin = match connection.engine() {
        Engine::Sqlite => "BEGIN IMMEDIATE",
        // The number is only this lock's name among the locks of this database.
        Engine::Postgres => "BEGIN; SELECT pg_advisory_xact_lock(5121713049)",
    };
    connection.frame(begin).await?;
    let schema = run(connection, now).await;
    connection.frame(if schema.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    schema
}

async fn run(connection: &mut Connection, now: i64) -> Result<i64, OpenError> {
    connection.execute(&LEDGER, &[]).await?;
    let found = match connection.row(&VERSION, &[]).await? {
        Some(row) => row.integer(0)?,
        None => return Err(Error::new(ErrorKind::Corrupt, "migrations").into()),
    };
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
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
