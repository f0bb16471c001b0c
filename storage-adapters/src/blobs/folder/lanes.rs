//! How many threads work for uploads at once. More than keep processors and disk busy would only hold memory, and a disk that
//! hangs must not take every thread that may block: others hash passwords and read files on them.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The threads that hash and write, for each processor: one of them may wait for the disk.
const WRITING: usize = 2;
/// The threads that wait for a sync. A disk does many of them in the time of one.
const SYNCING: usize = 32;

/// The lanes of a folder.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    writing: Arc<Semaphore>,
    syncing: Arc<Semaphore>,
}

/// A place in one of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Lanes {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new(WRITING * processors.max(2), SYNCING)
    }
}

impl Lanes {
    fn new(writing: usize, syncing: usize) -> Self {
        Self { writing: Arc::new(Semaphore::new(writing)), syncing: Arc::new(Semaphore::new(syncing)) }
    }

    /// A place among those that hash and write, in the order of asking.
    pub(super) async fn writing(&self) -> Lane {
        Self::wait(&self.writing).await
    }

    /// A place among those that make an upload durable at its end, in the order of asking.
    pub(super) async fn syncing(&self) -> Lane {
        Self::wait(&self.syncing).await
    }

    /// The same, if one is free now.
    pub(super) fn try_syncing(&self) -> Option<Lane> {
        Arc::clone(&self.syncing).try_acquire_owned().ok().map(|permit| Lane { _permit: Some(permit) })
    }

    async fn wait(semaphore: &Arc<Semaphore>) -> Lane {
        // It fails only when it is closed, which nobody does: then nothing would be left to wait for.
        Lane { _permit: Arc::clone(semaphore).acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_it_is_left() {
        let lanes = Lanes::new(1, 1);
        let (writing, syncing) = (lanes.writing().await, lanes.try_syncing());
        assert!(syncing.is_some() && lanes.try_syncing().is_none());
        assert!(lanes.clone().writing().now_or_never().is_none() && lanes.syncing().now_or_never().is_none());
        drop((writing, syncing));
        assert!(lanes.writing().now_or_never().is_some() && lanes.syncing().now_or_never().is_some());
    }
}
