//! The threads that read the embedded database: each owns a connection, and all take from one line. They are threads of
//! their own and not those of the runtime's pool, which reads of files share: a store that hangs would fill that pool, and
//! the facts would seem to be down with it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rusqlite::types::Value as Cell;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::error::{Error, ErrorKind};
use super::super::value::Value;
use super::ACQUIRE;
use super::sqlite::{self, SqliteRow};

/// Threads that read, each with a connection.
const READERS: usize = 4;
/// Reads that may wait for a thread: more than there are requests in a process, so a bound that only a fault reaches.
const LINE: usize = 16_384;

/// The read-only connections, opened when first needed. Cloning is cheap; all clones are one pool.
#[derive(Clone)]
pub(in super::super) struct SqlitePool(Arc<Pool>);

struct Pool {
    line: Arc<Line>,
    /// Says that the last thread ended: each holds a sender.
    ended: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// Reads that wait for a thread.
struct Line {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Read>,
    closed: bool,
}

/// A statement, and who waits for its answer.
struct Read {
    place: &'static str,
    text: &'static str,
    values: Vec<Cell>,
    answer: oneshot::Sender<Result<Vec<SqliteRow>, Error>>,
}

impl SqlitePool {
    /// Starts the threads.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let line = Arc::new(Line { path: path.to_owned(), state: Mutex::default(), changed: Condvar::new() });
        let (alive, ended) = mpsc::channel(1);
        // Whatever ends this early ends the threads that were started: the pool lets them go when it is dropped.
        let pool = Self(Arc::new(Pool { line: Arc::clone(&line), ended: tokio::sync::Mutex::new(ended) }));
        for _ in 0..READERS {
            let (line, alive) = (Arc::clone(&line), alive.clone());
            let work = move || {
                line.serve();
                drop(alive);
            };
            let started = thread::Builder::new().name("facts-reader".to_owned()).spawn(work);
            started.map_err(|error| Error::caused(ErrorKind::Unavailable, "start a reader", error))?;
        }
        Ok(pool)
    }

    /// Runs a statement on a thread that may wait for the disk. The read of a caller that goes away is passed over, or its
    /// answer thrown away when it had begun.
    pub(super) async fn rows(
        &self,
        place: &'static str,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<SqliteRow>, Error> {
        let (sender, answer) = oneshot::channel();
        let values = values.iter().map(sqlite::owned).collect();
        self.0.line.enter(Read { place, text, values, answer: sender })?;
        match timeout(ACQUIRE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => Err(Error::caused(ErrorKind::Unavailable, place, lost)),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, place)),
        }
    }

    /// The size of the write-ahead log's file, in bytes; `None` when there is none.
    pub(super) fn log_bytes(&self) -> Option<u64> {
        let mut path = self.0.line.path.clone().into_os_string();
        path.push("-wal");
        std::fs::metadata(path).ok().map(|file| file.len())
    }

    /// Waits for the reads that began or wait, and closes every connection.
    pub(super) async fn close(&self) {
        self.0.line.close();
        while self.0.ended.lock().await.recv().await.is_some() {}
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, read: Read) -> Result<(), Error> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, read.place));
        }
        if state.waiting.len() >= LINE {
            return Err(Error::new(ErrorKind::Unavailable, "too many reads wait"));
        }
        state.waiting.push_back(read);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// The next read that somebody still waits for; `None` when there will be none.
    fn next(&self) -> Option<Read> {
        let mut state = self.state();
        loop {
            match state.waiting.pop_front() {
                Some(read) if read.answer.is_closed() => {}
                Some(read) => return Some(read),
                None if state.closed => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Answers reads until the line is closed and empty.
    fn serve(&self) {
        let mut connection = None;
        while let Some(Read { place, text, values, answer }) = self.next() {
            // A panic costs its read the answer and the thread its connection, not the process a reader.
            let asked = catch_unwind(AssertUnwindSafe(|| {
                let open = match connection.take() {
                    Some(open) => open,
                    None => sqlite::read_only(&self.path)?,
                };
                let rows = sqlite::ask(&open, place, text, &values);
                connection = Some(open);
                rows
            }));
            if let Ok(rows) = asked {
                // Somebody who went away has no use for it.
                drop(answer.send(rows));
            }
        }
    }
}
