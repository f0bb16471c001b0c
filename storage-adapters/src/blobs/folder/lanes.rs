//! How many threads work for uploads at once. More than keep processors and disk busy would only hold memory, and a disk that
//! hangs must not take every thread that may block: others hash passwords and read files on them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::super::Error;

/// The threads that hash and write, for each processor: one of them may wait for the disk.
const WRITING: usize = 2;
/// The threads that wait for a sync. A disk does many of them in the time of one.
const SYNCING: usize = 32;
/// How long an upload waits for a place before its client is told to come back: a disk that hangs keeps all of them.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The lanes of a folder.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    writing: Arc<Semaphore>,
    syncing: Arc<Semaphore>,
}

/// A place in one of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    _permit: OwnedSemaphorePermit,
}

impl Default for Lanes {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new(WRITING * processors.max(2), SYNCING)
    }
}

impl Lanes {
    pub(super) fn new(writing: usize, syncing: usize) -> Self {
        Self { writing: Arc::new(Semaphore::new(writing)), syncing: Arc::new(Semaphore::new(syncing)) }
    }

    /// A place among those that hash and write, in the order of asking.
    ///
    /// # Errors
    /// None was free for a long time.
    pub(super) async fn writing(&self) -> Result<Lane, Error> {
        Self::wait(&self.writing).await
    }

    /// The same, if one is free now.
    pub(super) fn try_writing(&self) -> Option<Lane> {
        Self::try_take(&self.writing)
    }

    /// A place among those that make an upload durable, in the order of asking.
    ///
    /// # Errors
    /// None was free for a long time.
    pub(super) async fn syncing(&self) -> Result<Lane, Error> {
        Self::wait(&self.syncing).await
    }

    /// The same, if one is free now.
    pub(super) fn try_syncing(&self) -> Option<Lane> {
        Self::try_take(&self.syncing)
    }

    fn try_take(semaphore: &Arc<Semaphore>) -> Option<Lane> {
        Arc::clone(semaphore).try_acquire_owned().ok().map(|permit| Lane { _permit: permit })
    }

    async fn wait(semaphore: &Arc<Semaphore>) -> Result<Lane, Error> {
        match timeout(LONGEST_WAIT, Arc::clone(semaphore).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Lane { _permit: permit }),
            Ok(Err(closed)) => Err(Error::task("wait for", "the disk", closed)),
            Err(_elapsed) => Err(Error::unavailable("wait for", "the disk", "other uploads wait for it too")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_it_is_left() {
        let lanes = Lanes::new(1, 1);
        let (writing, syncing) = (lanes.writing().await.unwrap(), lanes.try_syncing().unwrap());
        assert!(lanes.try_syncing().is_none() && lanes.try_writing().is_none());
        assert!(lanes.clone().writing().now_or_never().is_none() && lanes.syncing().now_or_never().is_none());
        drop((writing, syncing));
        assert!(lanes.try_writing().is_some() && lanes.try_syncing().is_some());
        assert!(lanes.writing().now_or_never().is_some() && lanes.syncing().now_or_never().is_some());
    }
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_disk_that_hangs() {
        let lanes = Lanes::new(1, 1);
        let _held = (lanes.writing().await.unwrap(), lanes.syncing().await.unwrap());
        assert!(lanes.writing().await.unwrap_err().is_unavailable());
        assert!(lanes.syncing().await.unwrap_err().is_unavailable());
    }
}
