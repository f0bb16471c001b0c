use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a question to the database, or a change of it, has no answer.
///
/// It keeps its cause and says where: the statement, or the table, column and row. It is cheap to clone, since one
/// failed COMMIT answers every member of its batch.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct Error {
    kind: ErrorKind,
    place: Arc<str>,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk below the database is full, or the database's own limit is reached.
    #[error("the disk of the database is full")]
    Full,
    /// The database is down, cannot be written or does not answer in time.
    #[error("the database does not answer or cannot be written")]
    Unavailable,
    /// The connection broke while COMMIT was under way: the change may have happened. Read back, do not repeat.
    #[error("the connection broke during COMMIT, so the outcome is unknown")]
    CommitUnknown,
    /// Others changed the same rows each time the change was run; it can be tried again later.
    #[error("others kept changing the same rows")]
    Contended,
    /// The body of a change ran longer than one may and was rolled back, or the server did not answer a statement in time.
    #[error("the database took too long to answer, or the change did; it was rolled back")]
    TimedOut,
    /// The body of a change panicked; it was rolled back.
    #[error("the change panicked and was rolled back")]
    Panicked,
    /// A row holds what this program never writes.
    #[error("the row is corrupt")]
    Corrupt,
    /// A key, a check or a foreign key refused the row.
    #[error("a constraint refused the row")]
    Constraint,
    /// The database was closed by this process.
    #[error("the database is closed")]
    Closed,
    /// Everything else: see the source.
    #[error("the statement failed")]
    Failed,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, place: impl Into<Arc<str>>) -> Self {
        Self { kind, place: place.into(), source: None }
    }

    pub(super) fn caused(
        kind: ErrorKind,
        place: impl Into<Arc<str>>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { kind, place: place.into(), source: Some(Arc::new(source)) }
    }

    pub(super) fn corrupt(place: impl Into<Arc<str>>, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::caused(ErrorKind::Corrupt, place, source)
    }

    /// The same failure, told as contention: what the last of many runs met.
    pub(super) fn contended(self) -> Self {
        Self { kind: ErrorKind::Contended, ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A full disk: free some and try again. Nothing that was acknowledged is lost.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == ErrorKind::Full
    }

    /// The database is down, read-only, too slow or too contended; the same request may succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        use ErrorKind::{Closed, CommitUnknown, Contended, TimedOut, Unavailable};
        matches!(self.kind, Unavailable | CommitUnknown | Contended | TimedOut | Closed)
    }
}

/// Why the database could not be opened. Each names what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another server holds the data folder.
    #[error("another server is running on this data folder: it holds {}; stop it, or give this one a folder of its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The database was last used by a newer release.
    #[error(
        "the database has schema {found}, this release knows {known}; start the release that wrote it or a newer one, or restore a backup"
    )]
    NewerSchema {
        /// The schema that the database has.
        found: i64,
        /// The newest schema that this release knows.
        known: i64,
    },
    /// The server's settings would break a promise that Hallmark makes.
    #[error("the database has {setting} = {found:?}, Hallmark needs {needed}; change the setting and start again")]
    Setting {
        /// The setting's name in the database.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The values that are accepted.
        needed: &'static str,
    },
    /// The database URL cannot be read.
    #[error(
        "the database URL is not one of PostgreSQL: {reason}; it reads postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    Url {
        /// What is wrong with it; never the URL itself, which may hold a password.
        reason: String,
    },
    /// A file or folder of the embedded database cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A migration failed; it was rolled back and the database is as it was.
    #[error("migration {version} failed and was rolled back: {source}")]
    Migration {
        /// The schema that could not be reached.
        version: i64,
        /// Why.
        source: Error,
    },
    /// The database did not answer as it should.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] Error),
}
