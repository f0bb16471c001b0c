//! The jobs of a serving registry, which a test lets run for as long as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::World;

/// How long something that a job does may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How often is looked whether it is done.
const POLL: Duration = Duration::from_millis(20);

/// Jobs that run.
pub(crate) struct Jobs {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl World {
    /// Lets the jobs of this world run, by its clock.
    pub(crate) fn jobs(&self) -> Jobs {
        let (stop, stopped) = watch::channel(false);
        Jobs { stop, task: tokio::spawn(hallmark::jobs::run(Arc::clone(&self.app), stopped)) }
    }
}

impl Jobs {
    /// Waits until this holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let begin = Instant::now();
            while !holds().await {
                assert!(begin.elapsed() < LIMIT, "at {place}: {what} did not happen");
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Tells them to end, and waits until they have.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}
