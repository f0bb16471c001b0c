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
