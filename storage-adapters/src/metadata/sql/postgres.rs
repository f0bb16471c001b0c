//! A PostgreSQL server, through sqlx.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection as _, PgConnection, Postgres};
use tokio::time::timeout;

use super::super::error::{Error, ErrorKind};
use super::super::value::Value;
use super::{ACQUIRE, PREPARED};

/// How long the server may take to answer a statement before it counts as silent: as long as the body of a change may take. The
/// server's own bounds end what it still works on; this one ends the waiting for a server that does nothing any more.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server is given to take leave of a connection.
const LEAVE: Duration = Duration::from_secs(1);

/// Bounds of the server's own: a statement, a wait for a row, a transaction whose process hangs.
const LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "30s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "30s")];

/// For how long a connection that was in order is taken to be so. One that lay longer is asked first: a server that was
/// started anew would otherwise be found out by every connection in its turn.
const TRUSTED: Duration = Duration::from_secs(1);

/// One row of an answer.
pub(in super::super) struct PostgresRow(PgRow);

/// One connection of the pool.
pub(in super::super) struct PostgresConnection(sqlx::pool::PoolConnection<Postgres>);

/// Connections to one server.
#[derive(Clone)]
pub(in super::super) struct PostgresPool {
    pool: PgPool,
    broken: Broken,
}

/// When a connection was last found broken: those that have lain idle since then may be so too.
#[derive(Clone, Default)]
struct Broken(Arc<Mutex<Option<Instant>>>);

/// A prepared statement with its parameters bound.
fn bound<'q>(text: &'static str, values: &'q [Value<'_>]) -> Query<'q, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(text), |query, value| match *value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

impl PostgresConnection {
    pub(super) async fn rows(
        &mut self,
        place: &'static str,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<PostgresRow>, Error> {
        answer(place, in_time(place, bound(text, values).fetch_all(&mut *self.0)).await?)
    }

    /// The only thing that is asked of this connection.
    async fn read(
        mut self,
        place: &'static str,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<PostgresRow>, Error> {
        let answer = self.rows(place, text, values).await;
        if matches!(&answer, Err(error) if error.kind() == ErrorKind::TimedOut) {
            // Given back it would be asked whether it is in order, and keep its place until the server answers.
            drop(self.0.detach());
        }
        answer
    }

    pub(super) async fn execute(
        &mut self,
        place: &'static str,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Error> {
        let done = in_time(place, bound(text, values).execute(&mut *self.0)).await?;
        done.map(|done| done.rows_affected()).map_err(|error| failure(place, error))
    }

    pub(super) async fn frame(&mut self, text: &'static str) -> Result<(), Error> {
        let done = in_time(text, sqlx::raw_sql(text).execute(&mut *self.0)).await?;
        done.map(drop).map_err(|error| failure(text, error))
    }

    /// A migration takes as long as it takes.
    pub(super) async fn script(&mut self, place: &'static str, text: &'static str) -> Result<(), Error> {
        sqlx::raw_sql(text).execute(&mut *self.0).await.map(drop).map_err(|error| failure(place, error))
    }

    pub(super) async fn setting(&mut self, name: &'static str) -> Result<String, Error> {
        let query = sqlx::query_scalar::<Postgres, String>("SELECT current_setting($1)").bind(name);
        query.fetch_one(&mut *self.0).await.map_err(|error| failure(name, error))
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        // A server that is silent is left without a word: it rolls back when it finds out.
        match timeout(LEAVE, self.0.close()).await {
            Ok(closed) => closed.map_err(|error| failure("close", error)),
            Err(_elapsed) => Err(Error::new(ErrorKind::TimedOut, "close")),
        }
    }
}

impl Broken {
    /// Whether one was found within this time.
    fn since(&self, time: Duration) -> bool {
        let found = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|found| found.elapsed() <= time)
    }
}

impl PostgresPool {
    /// Connections are made when first needed.
    ///
    /// # Errors
    /// What is wrong with the URL, without the URL.
    pub(super) fn new(url: &str, max_connections: u32) -> Result<Self, String> {
        let options = PgConnectOptions::from_str(url).map_err(|error| match error {
            sqlx::Error::Configuration(reason) => reason.to_string(),
            _ => "it cannot be read".to_owned(),
        })?;
        let options = options
            .application_name("hallmark")
            .options(LIMITS)
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging();
        let broken = Broken::default();
        let seen = broken.clone();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(2))
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(move |connection, about| {
                let trusted = about.idle_for < TRUSTED && !seen.since(about.idle_for);
                Box::pin(async move { Ok(trusted || connection.ping().await.is_ok()) })
            });
        Ok(Self { pool: pool.connect_lazy_with(options), broken })
    }

    /// Asks once more where the connection proves to be broken: a read changes nothing.
    pub(super) async fn rows(
        &self,
        place: &'static str,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<PostgresRow>, Error> {
        match self.connection().await?.read(place, text, values).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.distrust();
                self.connection().await?.read(place, text, values).await
            }
            answer => answer,
        }
    }

    pub(super) async fn connection(&self) -> Result<PostgresConnection, Error> {
        self.pool.acquire().await.map(PostgresConnection).map_err(|error| failure("acquire", error))
    }

    /// The first connection of a start. A pool that gets none within its time does not say why: a server that is asked once more does.
    pub(super) async fn first(&self) -> Result<PostgresConnection, Error> {
        match self.connection().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let options = self.pool.connect_options();
                match timeout(LEAVE, PgConnection::connect_with(&options)).await {
                    Ok(Err(reason)) => Err(failure("connect", reason)),
                    // It has come back just now.
                    Ok(Ok(_)) => self.connection().await,
                    Err(_elapsed) => Err(error),
                }
            }
            answer => answer,
        }
    }

    /// Has the connections that lie idle now tested before they are used.
    pub(super) fn distrust(&self) {
        *self.broken.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// What the server answers, if it does.
async fn in_time<T>(place: &'static str, asked: impl Future<Output = T>) -> Result<T, Error> {
    timeout(ANSWER, asked).await.map_err(|_elapsed| Error::new(ErrorKind::TimedOut, place))
}

fn answer(place: &'static str, rows: Result<Vec<PgRow>, sqlx::Error>) -> Result<Vec<PostgresRow>, Error> {
    rows.map(|rows| rows.into_iter().map(PostgresRow).collect()).map_err(|error| failure(place, error))
}

impl PostgresRow {
    /// One column, by its place in the statement.
    pub(super) fn column<'r, T>(&'r self, index: usize) -> Result<T, Error>
    where
        T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        sqlx::Row::try_get(&self.0, index).map_err(|error| Error::corrupt("a column of an answer", error))
    }
}

/// What the driver's error means to a caller.
fn failure(place: &'static str, error: sqlx::Error) -> Error {
    Error::caused(kind(&error), place, error)
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some(code) if refusal.try_downcast_ref::<PgDatabaseError>().is_some() => state_kind(code),
            _ => ErrorKind::Failed,
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

/// Classes of SQLSTATE (PostgreSQL, appendix A).
fn state_kind(code: &str) -> ErrorKind {
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
