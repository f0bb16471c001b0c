//! Work on other threads whose owner waits for it: a blocking call, or a task that ends when nobody wants it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinHandle};

use super::Error;

/// Runs blocking work on a thread that may block, and waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    place: impl ToString,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(lost) => Err(Error::task(action, place, lost)),
    }
}

/// A running task that is stopped when it is dropped. Blocking work that has begun runs to its end all the same.
#[derive(Debug)]
pub(super) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts a task on the runtime.
    pub(super) fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Starts blocking work on a thread that may block.
    pub(super) fn blocking(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(tokio::task::spawn_blocking(work))
    }

    /// What the task gave, if it has ended; never waits. Not to be asked again after an answer.
    pub(super) fn finished(&mut self) -> Option<Result<T, JoinError>> {
        if self.0.is_finished() { (&mut self.0).now_or_never() } else { None }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
