//! Changes on PostgreSQL: each a transaction at READ COMMITTED on a pooled connection, run again when others were in the
//! way. Each runs in a task of its own, so that a caller that goes away does not stop it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::error::{Error, ErrorKind};
use super::ids::Ids;
use super::names::Rest;
use super::sql::Reader;
use super::statistics::Counters;
use super::tx::{Tx, ids_used_up};
use super::write::{Job, Verdict, attempt};

/// How often a change is run when others are in the way: datamodel rule 6.
const RUNS: u32 = 8;
/// The longest pause before the second run; it doubles with each.
const PAUSE: Duration = Duration::from_millis(4);
/// How long a caller waits for a place before it is told that the database is too slow.
const PLACE: Duration = Duration::from_secs(30);

/// The door to the changes of one PostgreSQL database.
pub(super) struct Runner {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    limit: u32,
}

struct Shared {
    pool: Reader,
    ids: Arc<Ids>,
    rest: Arc<Rest>,
    counters: Arc<Counters>,
}

impl Runner {
    /// At most `limit` changes run at a time: fewer than there are connections, so that reads go on.
    pub(super) fn new(pool: Reader, (ids, rest): (Arc<Ids>, Arc<Rest>), counters: Arc<Counters>, limit: u32) -> Self {
        let places = Arc::new(Semaphore::new(limit as usize));
        Self { shared: Arc::new(Shared { pool, ids, rest, counters }), places, limit }
    }

    pub(super) async fn submit(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let since = Instant::now();
        let place = match timeout(PLACE, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(Error::new(ErrorKind::Closed, "write")),
            Err(_) => return Err(Error::new(ErrorKind::Unavailable, "all connections that write are busy")),
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            shared.counters.began(since);
            let end = shared.run(&*job).await;
            job.answer(end);
            drop(place);
        });
        Ok(())
    }

    /// Takes no further change and waits for those that run.
    pub(super) async fn close(&self) {
        // Only a semaphore that is closed already refuses, and then nothing runs.
        drop(self.places.acquire_many(self.limit).await);
        self.places.close();
    }
}

/// How one run of a change ended.
enum End {
    Done,
    Again(Error),
    Failed(Error),
}

impl Shared {
    async fn run(&self, job: &dyn Job) -> Result<(), Error> {
        let mut run = 1;
        loop {
            match self.once(job).await {
                End::Done => return Ok(()),
                End::Failed(error) => return Err(error),
                End::Again(error) if run == RUNS => return Err(error.contended()),
                End::Again(_) => {
                    self.counters.repeated();
                    sleep(jitter(run)).await;
                    run += 1;
                }
            }
        }
    }

    async fn once(&self, job: &dyn Job) -> End {
        let begun = match self.begin().await {
            // A connection that broke while it lay idle is found out here, before anything was asked.
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.pool.distrust();
                self.begin().await
            }
            begun => begun,
        };
        let mut tx = match begun {
            Ok(tx) => tx,
            Err(error) => return End::Failed(error),
        };
        let verdict = attempt(job, &mut tx).await;
        self.counters.ran(tx.statements());
        let contended = tx.failure().filter(|failure| failure.kind() == ErrorKind::Contended).cloned();
        // With others that took of the same ids, or by itself: the next run finds more.
        let dry = tx.is_dry().then(|| {
            tx.lay_more_ids();
            ids_used_up()
        });
        if let Verdict::Keep = verdict {
            let end = tx.frame("COMMIT").await;
            self.counters.committed();
            return match end {
                Ok(()) => End::Done,
                Err(error) if error.kind() == ErrorKind::Contended => End::Again(error),
                Err(error) => {
                    tx.close().await;
                    End::Failed(unknown(error))
                }
            };
        }
        // A connection whose ROLLBACK fails, or on which a statement may still run, goes; the server rolls back.
        let hangs = matches!(&verdict, Verdict::Fail(error) if error.kind() == ErrorKind::TimedOut);
        if hangs || tx.frame("ROLLBACK").await.is_err() {
            tx.close().await;
        }
        match (contended.or(dry), verdict) {
            (Some(error), _) => End::Again(error),
            (None, Verdict::Fail(error)) => End::Failed(error),
            (None, Verdict::Keep | Verdict::Refuse) => End::Done,
        }
    }

    async fn begin(&self) -> Result<Tx, Error> {
        let mut connection = self.pool.connection().await?;
        // A connection that fails here goes: given back, it would keep its place until the server answers.
        if let Err(error) = self.ids.fill(&mut connection).await {
            connection.close().await;
            return Err(error);
        }
        let mut tx = Tx::new(connection, Arc::clone(&self.ids), Arc::clone(&self.rest));
        if let Err(error) = tx.frame("BEGIN").await {
            tx.close().await;
            return Err(error);
        }
        Ok(tx)
    }
}

/// A COMMIT that the server refused did not happen; one whose answer never came may have.
fn unknown(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::TimedOut => Error::caused(ErrorKind::CommitUnknown, "COMMIT", error),
        _ => error,
    }
}

/// A random pause that grows with each run, so that two changes in each other's way do not meet again.
#[expect(
    clippy::disallowed_methods,
    reason = "a pause that nothing depends on, in a crate that is given no randomness"
)]
fn jitter(run: u32) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is the longest one.
    let part = SystemRandom::new().fill(&mut byte).map_or(255, |()| u32::from(byte[0]));
    PAUSE * (1 << run.min(RUNS)) * part / 256
}
