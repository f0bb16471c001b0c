//! The only file that names a driver: connections, pools, rows and what their errors mean.
//! No statement of a family stands here; those are declared where they are used and spelled by `statement`.
//! Start with [`Connection`], which a change holds, and [`Reader`], which reads.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _, Postgres, Sqlite};

use super::error::{Error, ErrorKind};
use super::statement::{Engine, Statement};
use super::value::Value;

/// Statements that a connection keeps prepared: more than there are.
const PREPARED: usize = 256;
/// Read-only connections of the embedded database.
const SQLITE_READERS: u32 = 4;
/// How long SQLite waits for a lock that something outside this process holds, a backup for instance.
const BUSY: Duration = Duration::from_secs(5);
/// How long a read or a change waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Bounds of PostgreSQL's own: a statement, a wait for a row, a transaction whose process hangs.
const POSTGRES_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "30s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "30s")];

/// One connection that changes facts.
pub(super) enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<sqlx::pool::PoolConnection<Postgres>>),
}

/// Connections that read facts.
#[derive(Clone)]
pub(super) enum Reader {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A prepared statement of this driver with its parameters bound.
macro_rules! bound {
    ($driver:ty, $engine:expr, $statement:expr, $values:expr) => {{
        let mut query = sqlx::query::<$driver>($statement.text($engine));
        for value in $values {
            query = match *value {
                Value::Integer(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Connection {
    pub(super) async fn rows(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = bound!(Sqlite, Engine::Sqlite, statement, values);
                query.fetch_all(&mut **connection).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(connection) => {
                let query = bound!(Postgres, Engine::Postgres, statement, values);
                query.fetch_all(&mut ***connection).await.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(|error| failure(statement.name(), error))
    }

    pub(super) async fn row(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = bound!(Sqlite, Engine::Sqlite, statement, values);
                query.fetch_optional(&mut **connection).await.map(|row| row.map(Row::Sqlite))
            }
            Self::Postgres(connection) => {
                let query = bound!(Postgres, Engine::Postgres, statement, values);
                query.fetch_optional(&mut ***connection).await.map(|row| row.map(Row::Postgres))
            }
        }
        .map_err(|error| failure(statement.name(), error))
    }

    /// Runs a statement; the number of rows it inserted, updated or deleted.
    pub(super) async fn execute(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<u64, Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = bound!(Sqlite, Engine::Sqlite, statement, values);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            Self::Postgres(connection) => {
                let query = bound!(Postgres, Engine::Postgres, statement, values);
                query.execute(&mut ***connection).await.map(|done| done.rows_affected())
            }
        }
        .map_err(|error| failure(statement.name(), error))
    }

    /// Runs a fixed text that is no statement of a family: the frame of a transaction.
    pub(super) async fn frame(&mut self, text: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query::<Sqlite>(text).execute(&mut **connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(&mut ***connection).await.map(drop),
        }
        .map_err(|error| failure(text, error))
    }

    /// Runs a script of several statements: a migration.
    pub(super) async fn script(&mut self, place: &'static str, text: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(&mut ***connection).await.map(drop),
        }
        .map_err(|error| failure(place, error))
    }

    /// How SQLite would run a statement.
    #[cfg(test)]
    pub(super) async fn plan(&mut self, statement: &Statement) -> Vec<String> {
        let Self::Sqlite(connection) = self else { return Vec::new() };
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.text(Engine::Sqlite)));
        let rows = sqlx::query::<Sqlite>(explain).fetch_all(&mut **connection).await.unwrap();
        rows.into_iter().map(|row| Row::Sqlite(row).text(3).unwrap()).collect()
    }

    /// A setting of the PostgreSQL server; `None` on SQLite, which has none of them.
    pub(super) async fn setting(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        let Self::Postgres(connection) = self else { return Ok(None) };
        let query = sqlx::query_scalar::<Postgres, String>("SELECT current_setting($1)").bind(name);
        query.fetch_one(&mut ***connection).await.map(Some).map_err(|error| failure(name, error))
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Ends the connection for good; a PostgreSQL server rolls back what is open on it.
    pub(super) async fn close(self) {
        let closed = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a database connection did not close cleanly");
        }
    }
}

impl Reader {
    pub(super) async fn rows(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        match self {
            Self::Sqlite(pool) => {
                let query = bound!(Sqlite, Engine::Sqlite, statement, values);
                query.fetch_all(pool).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(pool) => {
                let query = bound!(Postgres, Engine::Postgres, statement, values);
                query.fetch_all(pool).await.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(|error| failure(statement.name(), error))
    }

    pub(super) async fn row(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        match self {
            Self::Sqlite(pool) => {
                let query = bound!(Sqlite, Engine::Sqlite, statement, values);
                query.fetch_optional(pool).await.map(|row| row.map(Row::Sqlite))
            }
            Self::Postgres(pool) => {
                let query = bound!(Postgres, Engine::Postgres, statement, values);
                query.fetch_optional(pool).await.map(|row| row.map(Row::Postgres))
            }
        }
        .map_err(|error| failure(statement.name(), error))
    }

    /// A connection that may change facts; only the PostgreSQL pool has them.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(_) => Err(Error::new(ErrorKind::Failed, "the readers of the embedded database never write")),
            Self::Postgres(pool) => match pool.acquire().await {
                Ok(connection) => Ok(Connection::Postgres(Box::new(connection))),
                Err(error) => Err(failure("acquire", error)),
            },
        }
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Reads one column, by its place in the statement.
macro_rules! column {
    ($self:expr, $index:expr, $type:ty) => {
        match $self {
            Self::Sqlite(row) => sqlx::Row::try_get::<$type, usize>(row, $index),
            Self::Postgres(row) => sqlx::Row::try_get::<$type, usize>(row, $index),
        }
        .map_err(|error| Error::corrupt("a column of an answer", error))
    };
}

impl Row {
    pub(super) fn integer(&self, index: usize) -> Result<i64, Error> {
        column!(self, index, i64)
    }

    pub(super) fn maybe_integer(&self, index: usize) -> Result<Option<i64>, Error> {
        column!(self, index, Option<i64>)
    }

    pub(super) fn text(&self, index: usize) -> Result<String, Error> {
        column!(self, index, String)
    }

    pub(super) fn maybe_text(&self, index: usize) -> Result<Option<String>, Error> {
        column!(self, index, Option<String>)
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        column!(self, index, Vec<u8>)
    }

    pub(super) fn maybe_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        column!(self, index, Option<Vec<u8>>)
    }

    pub(super) fn truth(&self, index: usize) -> Result<bool, Error> {
        Ok(self.integer(index)? != 0)
    }

    /// A count or a size, which no row of ours holds below zero.
    pub(super) fn unsigned(&self, index: usize) -> Result<u64, Error> {
        u64::try_from(self.integer(index)?).map_err(|error| Error::corrupt("a size below zero", error))
    }

    /// A text with a grammar.
    pub(super) fn parsed<T>(&self, index: usize) -> Result<T, Error>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text = self.text(index)?;
        text.parse().map_err(|error| Error::corrupt(format!("the text {text:?} of a row"), error))
    }

    /// A text with a grammar, or none.
    pub(super) fn maybe_parsed<T>(&self, index: usize) -> Result<Option<T>, Error>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        if self.maybe_text(index)?.is_some() { self.parsed(index).map(Some) } else { Ok(None) }
    }
}

/// The one connection that writes to the embedded database: WAL, and every COMMIT synced (I4).
pub(super) async fn sqlite_writer(path: &Path) -> Result<Connection, Error> {
    let options = sqlite_options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.map_err(|error| failure("open", error))?;
    enforces_foreign_keys(&mut connection).await.map_err(|error| failure("PRAGMA foreign_keys", error))?;
    Ok(Connection::Sqlite(Box::new(connection)))
}

/// The read-only connections to the embedded database, opened when first needed.
pub(super) fn sqlite_readers(path: &Path) -> Reader {
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .after_connect(|connection, _| enforces_foreign_keys(connection).boxed());
    Reader::Sqlite(pool.connect_lazy_with(sqlite_options(path).read_only(true)))
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(PREPARED)
        .disable_statement_logging()
}

/// A connection without foreign keys would let I1 slip: the pragma is read back, since SQLite ignores it silently when it
/// was built without them.
async fn enforces_foreign_keys(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match sqlx::query_scalar::<Sqlite, i64>("PRAGMA foreign_keys").fetch_one(connection).await? {
        1 => Ok(()),
        _ => Err(sqlx::Error::Configuration("this SQLite does not enforce foreign keys".into())),
    }
}

/// The pool of a PostgreSQL server; connections are made when first needed.
///
/// # Errors
/// What is wrong with the URL, without the URL.
pub(super) fn postgres_pool(url: &str, max_connections: u32) -> Result<Reader, String> {
    let options = PgConnectOptions::from_str(url).map_err(|error| match error {
        sqlx::Error::Configuration(reason) => reason.to_string(),
        _ => "it cannot be read".to_owned(),
    })?;
    let options = options
        .application_name("hallmark")
        .options(POSTGRES_LIMITS)
        .statement_cache_capacity(PREPARED)
        .disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(max_connections.max(2)).acquire_timeout(ACQUIRE);
    Ok(Reader::Postgres(pool.connect_lazy_with(options)))
}

/// What a driver's error means to a caller.
fn failure(place: &'static str, error: sqlx::Error) -> Error {
    Error::caused(kind(&error), place, error)
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some(code) if refusal.try_downcast_ref::<PgDatabaseError>().is_some() => postgres_kind(code),
            Some(code) => sqlite_kind(code.parse().unwrap_or_default()),
            None => ErrorKind::Failed,
        },
        sqlx::Error::PoolClosed => ErrorKind::Closed,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => ErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Failed,
    }
}

/// Primary result codes are the low byte of the extended ones (sqlite.org, "Result and Error Codes").
fn sqlite_kind(code: u32) -> ErrorKind {
    const SHARED_MEMORY_SIZE: u32 = 10 | (19 << 8);
    match (code, code & 0xff) {
        (_, 13) | (SHARED_MEMORY_SIZE, _) => ErrorKind::Full,
        (_, 5 | 6 | 8 | 10 | 14) => ErrorKind::Unavailable,
        (_, 11 | 26) => ErrorKind::Corrupt,
        (_, 19) => ErrorKind::Constraint,
        _ => ErrorKind::Failed,
    }
}

/// Classes of SQLSTATE (PostgreSQL, appendix A).
fn postgres_kind(code: &str) -> ErrorKind {
    match code {
        "53100" => ErrorKind::Full,
        "40001" | "40P01" | "23505" | "23503" => ErrorKind::Contended,
        "25006" | "57014" | "55P03" => ErrorKind::Unavailable,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58") => ErrorKind::Unavailable,
            Some("23") => ErrorKind::Constraint,
            _ => ErrorKind::Failed,
        },
    }
}
