//! The one writer of the embedded database: a task that commits up to 64 changes at once.
//!
//! SQLite has one writer, and a COMMIT waits for the disk. So changes queue here, and whatever waits when one begins goes
//! into the same COMMIT: each in a SAVEPOINT of its own, so that an error or a panic rolls back that change alone. A change
//! that finds no other waiting runs without a SAVEPOINT. All are answered after the COMMIT, also those that refused, since
//! they may have seen what their neighbours wrote; a COMMIT that fails fails every one of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::error::{Error, ErrorKind};
use super::generations::{Generations, Slot};
use super::statistics::Counters;
use super::tx::{Tx, ids_used_up};
use super::write::{Job, Verdict, attempt};

/// Changes that share a COMMIT.
const BATCH: usize = 64;
/// Changes that may wait; further callers wait for a place in the queue.
const QUEUE: usize = 1_024;
/// How long a caller waits for a place in the queue before it is told that the database is too slow.
const PLACE: Duration = Duration::from_secs(30);

type Queued = (Box<dyn Job>, Instant);

/// The door to the writer task.
pub(super) struct Writer {
    queue: std::sync::RwLock<Option<mpsc::Sender<Queued>>>,
    /// Says that the task ended; it says nothing when it panicked.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Writer {
    /// Starts the task. `guard` is kept until the last change is committed: the lock on the data folder.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        tx: Tx,
        generations: Arc<Generations>,
        counters: Arc<Counters>,
        guard: impl Send + 'static,
    ) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = Task { tx, jobs, carried: VecDeque::new(), generations, counters };
        // On a thread of its own, since every statement and every COMMIT runs on it and waits for the disk. It is none of the
        // runtime's pool, which is full when a blob store hangs.
        let runtime = Handle::current();
        let (done, ended) = oneshot::channel();
        let work = move || {
            runtime.block_on(task.run());
            drop(guard);
            // Nobody may wait for it.
            let _ = done.send(());
        };
        let started = thread::Builder::new().name("facts-writer".to_owned()).spawn(work);
        started.map_err(|error| Error::caused(ErrorKind::Unavailable, "start the writer", error))?;
        Ok(Self { queue: std::sync::RwLock::new(Some(queue)), ended: Mutex::new(Some(ended)) })
    }

    pub(super) async fn submit(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let queue = self.queue.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(Error::new(ErrorKind::Closed, "write")) };
        match timeout(PLACE, queue.send((job, Instant::now()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Closed, "write")),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the queue of changes is full")),
        }
    }

    /// Takes no further change, waits for those that wait, and closes the connection.
    pub(super) async fn close(&self) {
        drop(self.queue.write().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        if let Some(ended) = self.ended.lock().await.take()
            && let Err(error) = ended.await
        {
            tracing::error!(%error, "the writer of the database ended badly");
        }
    }
}

struct Task {
    tx: Tx,
    jobs: mpsc::Receiver<Queued>,
    /// Changes that ran out of ids and run again in the next batch.
    carried: VecDeque<Queued>,
    generations: Arc<Generations>,
    counters: Arc<Counters>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let first = match self.carried.pop_front() {
                Some(carried) => Some(carried),
                None => self.jobs.recv().await,
            };
            let Some(first) = first else { break };
            self.batch(first).await;
        }
        self.tx.close().await;
    }

    /// The next change that somebody still waits for, if one is there.
    fn waiting(&mut self) -> Option<Queued> {
        loop {
            let queued = self.carried.pop_front().or_else(|| self.jobs.try_recv().ok())?;
            if !queued.0.is_abandoned() {
                return Some(queued);
            }
        }
    }

    async fn batch(&mut self, first: Queued) {
        if first.0.is_abandoned() {
            return;
        }
        let began = match self.tx.fill_ids().await {
            Ok(()) => self.tx.frame("BEGIN IMMEDIATE").await,
            Err(error) => Err(error),
        };
        if let Err(error) = began {
            return self.refuse(first, &error);
        }
        match self.waiting() {
            None => self.lone(first).await,
            Some(second) => self.group(first, second).await,
        }
    }

    /// Answers the first change and all that wait at this moment with the failure of their BEGIN: each would wait for one of
    /// its own in turn, the last many times as long as the first.
    fn refuse(&mut self, first: Queued, error: &Error) {
        let waiting = self.carried.len() + self.jobs.len();
        first.0.answer(Err(error.clone()));
        for _ in 0..waiting {
            let Some((job, _)) = self.waiting() else { break };
            job.answer(Err(error.clone()));
        }
    }

    /// One change in a transaction of its own.
    async fn lone(&mut self, (job, since): Queued) {
        self.counters.began(since);
        let verdict = attempt(&*job, &mut self.tx).await;
        let (statements, dry) = (self.tx.statements(), self.tx.is_dry());
        let touched = self.tx.turn();
        self.counters.ran(statements);
        let end = match verdict {
            Verdict::Keep => self.commit(&touched).await,
            _ if dry => {
                self.roll_back().await;
                if self.tx.lay_more_ids() {
                    return self.carried.push_back((job, since));
                }
                Err(ids_used_up())
            }
            Verdict::Refuse => {
                self.roll_back().await;
                Ok(())
            }
            Verdict::Fail(error) => {
                self.roll_back().await;
                Err(error)
            }
        };
        job.answer(end);
    }

    /// Two changes or more in one transaction.
    async fn group(&mut self, first: Queued, second: Queued) {
        let mut members: Vec<(Box<dyn Job>, Result<(), Error>)> = Vec::new();
        let mut touched = Vec::new();
        let mut next = Some(first);
        let mut after = Some(second);
        while let Some((job, since)) = next {
            self.counters.began(since);
            match self.member(&*job, &mut touched).await {
                Ok(Some(end)) => members.push((job, end)),
                // With fresh blocks before it and no neighbour, only more of them give it enough.
                Ok(None) if members.is_empty() && !self.tx.lay_more_ids() => members.push((job, Err(ids_used_up()))),
                Ok(None) => {
                    self.carried.push_back((job, since));
                    break;
                }
                Err(broken) => {
                    members.push((job, Ok(())));
                    return self.abandon(members, after, &broken).await;
                }
            }
            let room = members.len() < BATCH;
            next = after.take().or_else(|| if room { self.waiting() } else { None });
        }
        self.carried.extend(after);
        let end = self.commit(&touched).await;
        for (job, own) in members {
            job.answer(end.clone().and(own));
        }
    }

    /// One member of a group: how it ended, or `None` when it ran out of ids and must run again.
    ///
    /// # Errors
    /// The transaction as a whole is gone: SQLite gave it up, on a full disk for instance.
    async fn member(&mut self, job: &dyn Job, touched: &mut Vec<Slot>) -> Result<Option<Result<(), Error>>, Error> {
        self.tx.frame("SAVEPOINT member").await?;
        let verdict = attempt(job, &mut self.tx).await;
        let (statements, dry, cause) = (self.tx.statements(), self.tx.is_dry(), self.tx.failure().cloned());
        let slots = self.tx.turn();
        self.counters.ran(statements);
        if let Verdict::Keep = verdict {
            self.tx.frame("RELEASE member").await?;
            touched.extend(slots);
            return Ok(Some(Ok(())));
        }
        // No such savepoint: what ended the transaction is what the member met.
        let rolled_back = self.tx.frame("ROLLBACK TO member").await;
        rolled_back.map_err(|error| cause.unwrap_or(error))?;
        self.tx.frame("RELEASE member").await?;
        match verdict {
            _ if dry => Ok(None),
            Verdict::Fail(error) => Ok(Some(Err(error))),
            Verdict::Keep | Verdict::Refuse => Ok(Some(Ok(()))),
        }
    }

    /// Commits and, before anybody is answered, ends the life of the cached answers that the batch made wrong.
    async fn commit(&mut self, touched: &[Slot]) -> Result<(), Error> {
        let end = self.tx.frame("COMMIT").await;
        if end.is_err() {
            self.roll_back().await;
        }
        self.counters.committed();
        self.generations.raise(touched);
        end
    }

    /// Answers everybody with the failure that ended the whole transaction; what had not begun runs in the next one.
    async fn abandon(&mut self, members: Vec<(Box<dyn Job>, Result<(), Error>)>, next: Option<Queued>, broken: &Error) {
        self.roll_back().await;
        self.carried.extend(next);
        for (job, own) in members {
            job.answer(own.and(Err(broken.clone())));
        }
    }

    async fn roll_back(&mut self) {
        // SQLite may have rolled back on its own; then there is nothing left to do and it says so.
        if let Err(error) = self.tx.frame("ROLLBACK").await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
}
