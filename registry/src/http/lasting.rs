//! Work that ends though the one who waits for it goes away.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that is polled by whoever waits for it, and that a task of its own polls to its end when it is dropped before,
/// unless the runtime ends too.
///
/// A task from the beginning would do as well, but the body of an upload would then wake two of them in turn for each piece
/// that comes, mostly on two cores: some 6 % of what receiving a layer costs.
pub(super) struct Lasting<F: Future<Output: Send> + Send + 'static> {
    /// `None` when it has ended.
    work: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> Lasting<F> {
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(work: F) -> Self {
        Self { work: Some(Box::pin(work)), runtime: Handle::current() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Lasting<F> {
    /// What it comes to, or what it said when it panicked.
    type Output = Result<F::Output, Box<dyn Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        if let Ok(Poll::Pending) = polled {
            return Poll::Pending;
        }
        // What it holds may panic in its turn.
        let ended = self.work.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        match (polled, dropped) {
            (Ok(polled), Ok(())) => polled.map(Ok),
            (Err(panic), _) | (_, Err(panic)) => Poll::Ready(Err(told(&*panic))),
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Lasting<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.work.take() {
            self.runtime.spawn(rest);
        }
    }
}

/// A panic as an error.
fn told(panic: &(dyn Any + Send)) -> Box<dyn Error + Send + Sync> {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("it does not say why")).into()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_halfway_ends_all_the_same() {
        let (go, halfway) = oneshot::channel::<()>();
        let (done, end) = oneshot::channel();
        let mut work = Box::pin(Lasting::new(async move {
            halfway.await.unwrap();
            done.send(7).unwrap();
        }));
        assert!(work.as_mut().now_or_never().is_none());
        drop(work);
        // The task that has it now is the one to be woken.
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        assert_eq!(end.await, Ok(7));
    }

    #[tokio::test]
    async fn what_nobody_polled_runs_too() {
        let (done, end) = oneshot::channel();
        drop(Lasting::new(async move { done.send(7).unwrap() }));
        assert_eq!(end.await, Ok(7));
    }

    #[tokio::test]
    async fn what_is_awaited_to_its_end_has_no_task_of_its_own() {
        assert_eq!(Lasting::new(async { tokio::task::try_id() }).await.unwrap(), tokio::task::try_id());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_that_tells_it() {
        let ended = Lasting::new(async {
            tokio::task::yield_now().await;
            panic!("for a test");
        });
        assert_eq!(ended.await.map(|(): ()| ()).unwrap_err().to_string(), "it panicked: for a test");
    }

    #[tokio::test]
    async fn so_is_a_panic_of_what_it_held() {
        struct Held;
        impl Drop for Held {
            fn drop(&mut self) {
                panic!("when it was dropped");
            }
        }
        let held = Held;
        let ended = Lasting::new(std::future::poll_fn(move |_| {
            let _held = &held;
            Poll::Ready(())
        }));
        assert_eq!(ended.await.unwrap_err().to_string(), "it panicked: when it was dropped");
    }
}
