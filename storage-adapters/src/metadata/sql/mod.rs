//! The only folder that names a driver: connections, pools, rows and what their errors mean.
//! No statement of a family stands here; those are declared where they are used and spelled by `statement`.
//! Start with [`Connection`], which a change holds, and [`Reader`], which reads; `sqlite` (with
//! `readers`, its threads) and `postgres` are the engines.

mod postgres;
mod readers;
mod sqlite;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::error::{Error, ErrorKind};
use super::statement::{Engine, Statement};
use super::value::Value;
use postgres::{PostgresConnection, PostgresPool, PostgresRow};
use readers::SqlitePool;
use sqlite::{SqliteConnection, SqliteRow};

/// Statements that a connection keeps prepared: all that requests ask, and the rest by turns.
const PREPARED: usize = 256;
/// How long a read or a change waits for a connection; on SQLite, how long a read waits for its answer.
const ACQUIRE: Duration = Duration::from_secs(10);

/// One connection that changes facts.
pub(super) enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PostgresConnection>),
}

/// Connections that read facts.
#[derive(Clone)]
pub(super) enum Reader {
    Sqlite(SqlitePool),
    Postgres(PostgresPool),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PostgresRow),
}

fn of_sqlite(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn of_postgres(rows: Vec<PostgresRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

impl Connection {
    pub(super) async fn rows(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let (place, text) = (statement.name(), statement.text(self.engine()));
        match self {
            Self::Sqlite(connection) => connection.rows(place, text, values).map(of_sqlite),
            Self::Postgres(connection) => Box::pin(connection.rows(place, text, values)).await.map(of_postgres),
        }
    }

    /// The first row of an answer.
    pub(super) async fn row(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Runs a statement; the number of rows it inserted, updated or deleted.
    pub(super) async fn execute(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<u64, Error> {
        let (place, text) = (statement.name(), statement.text(self.engine()));
        match self {
            Self::Sqlite(connection) => connection.execute(place, text, values),
            Self::Postgres(connection) => Box::pin(connection.execute(place, text, values)).await,
        }
    }

    /// Runs a fixed text that is no statement of a family: the frame of a transaction.
    pub(super) async fn frame(&mut self, text: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => connection.execute(text, text, &[]).map(drop),
            Self::Postgres(connection) => connection.frame(text).await,
        }
    }

    /// Runs a script of several statements: a migration.
    pub(super) async fn script(&mut self, place: &'static str, text: &'static str) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => connection.script(place, text),
            Self::Postgres(connection) => connection.script(place, text).await,
        }
    }

    /// How SQLite would run a statement.
    #[cfg(test)]
    pub(super) async fn plan(&mut self, statement: &Statement) -> Vec<String> {
        let Self::Sqlite(connection) = self else { return Vec::new() };
        let explain = format!("EXPLAIN QUERY PLAN {}", statement.text(Engine::Sqlite));
        let rows = connection.rows("EXPLAIN", &explain, &[Value::Integer(None); 16]).unwrap();
        rows.into_iter().map(|row| Row::Sqlite(row).text(3).unwrap()).collect()
    }

    /// A setting of the PostgreSQL server; `None` on SQLite, which has none of them.
    pub(super) async fn setting(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        let Self::Postgres(connection) = self else { return Ok(None) };
        connection.setting(name).await.map(Some)
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
            Self::Sqlite(connection) => connection.close(),
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a database connection did not close cleanly");
        }
    }
}

impl Reader {
    pub(super) async fn rows(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let (place, text) = (statement.name(), statement.text(self.engine()));
        match self {
            Self::Sqlite(pool) => pool.rows(place, text, values).await.map(of_sqlite),
            // On the heap, here and below: the driver's futures are some 15 KiB, and one that embeds them costs each request.
            Self::Postgres(pool) => Box::pin(pool.rows(place, text, values)).await.map(of_postgres),
        }
    }

    /// The first row of an answer.
    pub(super) async fn row(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// The size of SQLite's write-ahead log, in bytes; `None` where there is none.
    pub(super) fn log_bytes(&self) -> Option<u64> {
        match self {
            Self::Sqlite(pool) => pool.log_bytes(),
            Self::Postgres(_) => None,
        }
    }

    /// The first connection of a start, as [`Reader::connection`]; where there is none, the error says why.
    pub(super) async fn first_connection(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(_) => Err(readers_never_write()),
            Self::Postgres(pool) => {
                Box::pin(pool.first()).await.map(|connection| Connection::Postgres(Box::new(connection)))
            }
        }
    }

    /// A connection that may change facts; only the PostgreSQL pool has them.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(_) => Err(readers_never_write()),
            Self::Postgres(pool) => {
                Box::pin(pool.connection()).await.map(|connection| Connection::Postgres(Box::new(connection)))
            }
        }
    }

    /// Says that a connection of the PostgreSQL pool proved to be broken.
    pub(super) fn distrust(&self) {
        if let Self::Postgres(pool) = self {
            pool.distrust();
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

fn readers_never_write() -> Error {
    Error::new(ErrorKind::Failed, "the readers of the embedded database never write")
}

/// A column that must not be NULL.
fn present<T>(cell: Option<T>) -> Result<T, Error> {
    cell.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a column of an answer is NULL"))
}

impl Row {
    pub(super) fn integer(&self, index: usize) -> Result<i64, Error> {
        present(self.maybe_integer(index)?)
    }

    pub(super) fn maybe_integer(&self, index: usize) -> Result<Option<i64>, Error> {
        match self {
            Self::Sqlite(row) => row.integer(index),
            Self::Postgres(row) => row.column(index),
        }
    }

    pub(super) fn text(&self, index: usize) -> Result<String, Error> {
        present(self.maybe_text(index)?)
    }

    pub(super) fn maybe_text(&self, index: usize) -> Result<Option<String>, Error> {
        match self {
            Self::Sqlite(row) => row.text(index),
            Self::Postgres(row) => row.column(index),
        }
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        present(self.maybe_bytes(index)?)
    }

    pub(super) fn maybe_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Sqlite(row) => row.bytes(index),
            Self::Postgres(row) => row.column(index),
        }
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

/// The one connection that writes to the embedded database.
pub(super) fn sqlite_writer(path: &Path) -> Result<Connection, Error> {
    SqliteConnection::writer(path).map(|connection| Connection::Sqlite(Box::new(connection)))
}

/// The read-only connections to the embedded database, opened when first needed.
pub(super) fn sqlite_readers(path: &Path) -> Result<Reader, Error> {
    SqlitePool::start(path).map(Reader::Sqlite)
}

/// The pool of a PostgreSQL server; connections are made when first needed.
///
/// # Errors
/// What is wrong with the URL, without the URL.
pub(super) fn postgres_pool(url: &str, max_connections: u32) -> Result<Reader, String> {
    PostgresPool::new(url, max_connections).map(Reader::Postgres)
}
