//! SQLite, called on the thread that asks. A driver that keeps a thread for each connection hands every statement over and
//! back, which costs several times what the statement does; the writer has a thread of its own already, and reads are handed
//! over once, to the threads in `readers`.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{OpenFlags, ffi};

use super::super::error::{Error, ErrorKind};
use super::super::value::Value;
use super::PREPARED;

/// How long SQLite waits for a lock that something outside this process holds, a backup for instance.
const BUSY: Duration = Duration::from_secs(5);
/// Pages of the write-ahead log after which a COMMIT moves them into the database. Pages of indexes are written again and
/// again: the longer the log, the more of that is moved once.
const CHECKPOINT_PAGES: i64 = 4_000;
/// What is left of the write-ahead log's file when all of it has been moved, in bytes: a long read holds the log, which then
/// grows, and without this its file would keep that size for ever. Some four times what a log without such a read has.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// One row of an answer.
pub(in super::super) struct SqliteRow(Vec<Cell>);

/// One connection. The lock is never contended: it only says so to the compiler, which wants to share what holds it.
pub(in super::super) struct SqliteConnection(Mutex<rusqlite::Connection>);

impl SqliteConnection {
    /// The one connection that writes: WAL, and every COMMIT synced (I4).
    pub(super) fn writer(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = connect(path, flags)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| failure("open", error))?;
        enforces_foreign_keys(&connection)?;
        writes_ahead(&connection)?;
        Ok(Self(Mutex::new(connection)))
    }

    pub(super) fn rows(
        &mut self,
        place: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<SqliteRow>, Error> {
        self.run(place, |connection| rows(connection, text, values))
    }

    pub(super) fn execute(&mut self, place: &'static str, text: &str, values: &[Value<'_>]) -> Result<u64, Error> {
        self.run(place, |connection| rows(connection, text, values).map(|_| connection.changes()))
    }

    pub(super) fn script(&mut self, place: &'static str, text: &str) -> Result<(), Error> {
        self.run(place, |connection| connection.execute_batch(text))
    }

    pub(super) fn close(self) -> Result<(), Error> {
        let connection = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.close().map_err(|(_, error)| failure("close", error))
    }

    fn run<T>(
        &mut self,
        place: &'static str,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let connection = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        work(connection).map_err(|error| failure(place, error))
    }
}

/// A connection that only reads.
pub(super) fn read_only(path: &Path) -> Result<rusqlite::Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags).map_err(|error| failure("open", error))?;
    enforces_foreign_keys(&connection)?;
    Ok(connection)
}

/// The rows that a statement gives on such a connection.
pub(super) fn ask(
    connection: &rusqlite::Connection,
    place: &'static str,
    text: &str,
    values: &[Cell],
) -> Result<Vec<SqliteRow>, Error> {
    rows(connection, text, values).map_err(|error| failure(place, error))
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Without it SQLite looks at the bound values and plans a prepared statement anew for many of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// A connection without foreign keys would let I1 slip: the pragma is read back, since SQLite ignores it silently when it
/// was built without them.
fn enforces_foreign_keys(connection: &rusqlite::Connection) -> Result<(), Error> {
    let place = "PRAGMA foreign_keys";
    let on = connection.pragma_query_value(None, "foreign_keys", |row| row.get::<_, i64>(0));
    match on.map_err(|error| failure(place, error))? {
        1 => Ok(()),
        _ => Err(Error::new(ErrorKind::Failed, "this SQLite does not enforce foreign keys")),
    }
}

/// Without a write-ahead log readers and the writer would wait for each other, and a COMMIT would not be what I4 says: the
/// pragma is read back, since SQLite keeps another mode where the file system has no shared memory.
fn writes_ahead(connection: &rusqlite::Connection) -> Result<(), Error> {
    let place = "PRAGMA journal_mode";
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    match mode.map_err(|error| failure(place, error))?.as_str() {
        "wal" => Ok(()),
        other => Err(Error::new(ErrorKind::Failed, format!("the journal of this database is {other}, not wal"))),
    }
}

/// Runs a statement to its end: in autocommit that is where it commits, so an answer read halfway would hide the failure.
fn rows<V: rusqlite::ToSql>(
    connection: &rusqlite::Connection,
    text: &str,
    values: &[V],
) -> rusqlite::Result<Vec<SqliteRow>> {
    let mut statement = connection.prepare_cached(text)?;
    for place in 1..=statement.parameter_count() {
        // `$2` is a name to SQLite, whose places follow the order of first appearance.
        let number = statement.parameter_name(place).and_then(|name| name[1..].parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        statement
            .raw_bind_parameter(place, value.ok_or(rusqlite::Error::InvalidParameterCount(values.len(), place))?)?;
    }
    let columns = statement.column_count();
    let mut answer = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = answer.next()? {
        let cells = (0..columns).map(|column| row.get_ref(column).map(Cell::try_from));
        rows.push(SqliteRow(cells.collect::<rusqlite::Result<Result<_, _>>>()??));
    }
    Ok(rows)
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match *self {
            Self::Integer(Some(number)) => ValueRef::Integer(number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Integer(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        }))
    }
}

/// A value that a statement on another thread takes along.
pub(super) fn owned(value: &Value<'_>) -> Cell {
    match *value {
        Value::Integer(number) => number.into(),
        Value::Text(text) => text.map(str::to_owned).into(),
        Value::Bytes(bytes) => bytes.map(<[u8]>::to_vec).into(),
    }
}

impl SqliteRow {
    pub(super) fn integer(&self, index: usize) -> Result<Option<i64>, Error> {
        match self.cell(index)? {
            Cell::Integer(number) => Ok(Some(*number)),
            Cell::Null => Ok(None),
            other => Err(mistyped(index, "integer", other)),
        }
    }

    pub(super) fn text(&self, index: usize) -> Result<Option<String>, Error> {
        match self.cell(index)? {
            Cell::Text(text) => Ok(Some(text.clone())),
            Cell::Null => Ok(None),
            other => Err(mistyped(index, "text", other)),
        }
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.cell(index)? {
            Cell::Blob(bytes) => Ok(Some(bytes.clone())),
            Cell::Null => Ok(None),
            other => Err(mistyped(index, "blob", other)),
        }
    }

    fn cell(&self, index: usize) -> Result<&Cell, Error> {
        self.0.get(index).ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("an answer has no column {index}")))
    }
}

fn mistyped(index: usize, wanted: &str, found: &Cell) -> Error {
    Error::new(ErrorKind::Corrupt, format!("column {index} of an answer is {}, not {wanted}", found.data_type()))
}

fn failure(place: &'static str, error: rusqlite::Error) -> Error {
    Error::caused(kind(&error), place, error)
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    match error {
        rusqlite::Error::SqliteFailure(refusal, _) => code_kind(refusal.extended_code),
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::Utf8Error(..) => ErrorKind::Corrupt,
        _ => ErrorKind::Failed,
    }
}

/// Primary result codes are the low byte of the extended ones (sqlite.org, "Result and Error Codes").
fn code_kind(code: i32) -> ErrorKind {
    match (code, code & 0xff) {
        (_, ffi::SQLITE_FULL) | (ffi::SQLITE_IOERR_SHMSIZE, _) => ErrorKind::Full,
        (
            _,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_READONLY | ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN,
        ) => ErrorKind::Unavailable,
        (_, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => ErrorKind::Corrupt,
        (_, ffi::SQLITE_CONSTRAINT) => ErrorKind::Constraint,
        _ => ErrorKind::Failed,
    }
}
