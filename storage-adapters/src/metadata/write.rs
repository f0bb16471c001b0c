//! How a change gets from a caller to the database and its answer back.
//! Nothing here knows an engine: `writer` runs jobs on SQLite, `runner` on PostgreSQL.
//! Start with [`Metadata::write`].

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::database::{Metadata, Writes};
use super::error::{Error, ErrorKind};
use super::tx::Tx;

/// How long one body may run. A body awaits only `tx`, so a longer one hangs on something it must not touch, and on
/// SQLite everybody waits for it.
const BODY_LIMIT: Duration = Duration::from_secs(10);

impl Metadata {
    /// Makes one change: state, event and jobs commit together or not at all (I5), and the answer comes after COMMIT is
    /// durable (I4).
    ///
    /// The body awaits nothing but `tx`; it touches no network, file or signer; and it may run more than once, each time
    /// from the beginning. An error or a panic of the body rolls back its own change alone. A caller that goes away does
    /// not stop a change that began.
    ///
    /// # Errors
    /// The body's own error; or, told as [`Error`]: the database failed, the body took too long or panicked, others kept
    /// changing the same rows, or the outcome of COMMIT is unknown.
    pub async fn write<A, T, E, F>(&self, input: A, body: F) -> Result<T, E>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t A) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let change = Change { input, body, result: Mutex::new(None), sender: Mutex::new(Some(sender)) };
        match self.writes() {
            Writes::Writer(writer) => writer.submit(Box::new(change)).await?,
            Writes::Runner(runner) => runner.submit(Box::new(change)).await?,
        }
        answer.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "write").into()))
    }
}

/// A change whose four types are forgotten, so that one queue holds them all: the reason for a trait here.
pub(super) trait Job: Send + Sync {
    /// Runs the body once and keeps its result; whether it wants to be committed.
    fn run<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;

    /// Answers the caller: with what the body gave, or with the failure that ended the change.
    fn answer(&self, end: Result<(), Error>);

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
}

struct Change<A, T, E, F> {
    input: A,
    body: F,
    result: Mutex<Option<Result<T, E>>>,
    sender: Mutex<Option<oneshot::Sender<Result<T, E>>>>,
}

impl<A, T, E, F> Job for Change<A, T, E, F>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: for<'t> Fn(&'t mut Tx, &'t A) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
{
    fn run<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        async move {
            let result = (self.body)(tx, &self.input).await;
            let keep = result.is_ok();
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            keep
        }
        .boxed()
    }

    fn answer(&self, end: Result<(), Error>) {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let answer = match (end, result) {
            (Err(error), _) => Err(error.into()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::new(ErrorKind::Failed, "a change that never ran").into()),
        };
        // A caller that went away has no use for it.
        drop(sender.send(answer));
    }

    fn is_abandoned(&self) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// What a body came to.
pub(super) enum Verdict {
    /// Commit it.
    Keep,
    /// Roll it back and give the caller the body's own error.
    Refuse,
    /// Roll it back; the body ended with the failure of a statement, a panic or too late.
    Fail(Error),
}

/// Runs a job's body once, bounded in time, and catches its panic.
pub(super) async fn attempt(job: &dyn Job, tx: &mut Tx) -> Verdict {
    let body = AssertUnwindSafe(job.run(tx)).catch_unwind();
    let kept = match timeout(BODY_LIMIT, body).await {
        Ok(Ok(kept)) => kept,
        Ok(Err(_panic)) => return Verdict::Fail(Error::new(ErrorKind::Panicked, "the body of a change")),
        Err(_elapsed) => return Verdict::Fail(Error::new(ErrorKind::TimedOut, "the body of a change")),
    };
    match (kept, tx.failure()) {
        (true, None) => Verdict::Keep,
        (true, Some(failure)) => Verdict::Fail(failure.clone()),
        (false, _) => Verdict::Refuse,
    }
}
