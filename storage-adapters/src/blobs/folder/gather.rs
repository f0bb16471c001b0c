//! How much an upload gathers in memory before it is written. The more at once, the fewer times work changes threads, which
//! costs as much as the writing; so few uploads gather much, and many share what all may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the uploads gather together, in bytes, as long as each may have [`LEAST`]. As much again is being written.
const TOGETHER: usize = 16 * 1024 * 1024;
/// What one upload gathers at the most, in bytes. A write of 2 MiB or more would have the kernel look for pages of 2 MiB, which on a
/// virtual machine it may have to get from its host: that was measured to cost two to six times the write.
const MOST: usize = 1024 * 1024;
/// What each upload may gather however many there are, in bytes.
const LEAST: usize = 256 * 1024;

/// The uploads that gather now.
#[derive(Debug, Default)]
pub(super) struct Gathering(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Share(Arc<AtomicUsize>);

impl Gathering {
    pub(super) fn join(&self) -> Share {
        self.0.fetch_add(1, Ordering::Relaxed);
        Share(Arc::clone(&self.0))
    }
}

impl Share {
    /// How many bytes this upload gathers before it writes them.
    pub(super) fn bytes(&self) -> usize {
        (TOGETHER / self.0.load(Ordering::Relaxed).max(1)).clamp(LEAST, MOST)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_gather_much_and_many_share() {
        let gathering = Gathering::default();
        let first = gathering.join();
        assert_eq!(first.bytes(), MOST);
        let others: Vec<_> = (1..32).map(|_| gathering.join()).collect();
        assert_eq!(first.bytes() * 32, TOGETHER);
        let crowd: Vec<_> = (32..1000).map(|_| gathering.join()).collect();
        assert_eq!(first.bytes(), LEAST);
        drop((others, crowd));
        assert_eq!(first.bytes(), MOST);
    }
}
