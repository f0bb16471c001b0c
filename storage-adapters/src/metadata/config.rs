use std::fmt;
use std::path::PathBuf;

/// Where the facts are.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// The embedded database: one file. Its folder is locked for one process, and must exist.
    Sqlite {
        /// The database file.
        path: PathBuf,
    },
    /// A PostgreSQL server, version 15 or newer, shared by any number of replicas.
    Postgres {
        /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; it is a secret and never printed.
        url: String,
        /// How many connections this process may hold; at least 2.
        max_connections: u32,
    },
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => f.debug_struct("Sqlite").field("path", path).finish(),
            Self::Postgres { max_connections, .. } => {
                f.debug_struct("Postgres").field("max_connections", max_connections).finish_non_exhaustive()
            }
        }
    }
}
