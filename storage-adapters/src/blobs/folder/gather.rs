//! How much an upload gathers in memory before it is written. The more at once, the fewer times work changes threads, which
//! costs as much as the writing; so few uploads gather much, and many share what all may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the uploads gather together, in bytes, as long as each may have [`LEAST`]. As much again is being written. What an upload
/// holds when others join it may keep: where each one stalls with all that it was given when it came, 32 of them hold 48 MiB.
const TOGETHER: usize = 16 * 1024 * 1024;
/// What one upload gathers at the most, in bytes.
const MOST: usize = 4 * 1024 * 1024;
/// What an upload gathers while little of it has come, in bytes: the last of a small layer is hashed while its client waits.
const FIRST: usize = 1024 * 1024;
/// The part of what has come that is gathered after that: the last of a large layer is a small part of it.
const PART: u64 = 8;
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
    /// How many bytes this upload gathers before it writes them, when `received` have come.
    pub(super) fn bytes(&self, received: u64) -> usize {
        let most = usize::try_from(received / PART).unwrap_or(MOST).clamp(FIRST, MOST);
        (TOGETHER / self.0.load(Ordering::Relaxed).max(1)).clamp(LEAST, most)
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
        assert_eq!(first.bytes(u64::MAX), MOST);
        let others: Vec<_> = (1..32).map(|_| gathering.join()).collect();
        assert_eq!(first.bytes(u64::MAX) * 32, TOGETHER);
        let crowd: Vec<_> = (32..1000).map(|_| gathering.join()).collect();
        assert_eq!(first.bytes(u64::MAX), LEAST);
        drop((others, crowd));
        assert_eq!(first.bytes(u64::MAX), MOST);
    }

    #[test]
    fn what_waits_for_the_end_is_little_beside_what_has_come() {
        let (gathering, received) = (Gathering::default(), [0, 1 << 20, 16 << 20, 32 << 20, 1 << 40]);
        let first = gathering.join();
        assert_eq!(received.map(|received| first.bytes(received) >> 20), [1, 1, 2, 4, 4]);
    }
}
