//! Which connections send files at this moment, and how soon one of them gives way to other work.
//!
//! A task that gives way costs more than the way it gives: the runtime's last worker that looks for work wakes another one
//! to look beside it, on the core where a client of this host may be reading. With one client on two cores these wakings
//! were a fifth of what sending cost. So where there is a worker for every sender and one to spare, a sender keeps its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much of a file costs its task as much of its turn as one other thing that it does, in bytes, where others may wait for
/// this worker. tokio gives a turn 128, so others get theirs after 1 MiB; a whole window for the price of one write would be
/// 256 MiB of patience.
const CROWDED: usize = 8 << 10;
/// The same where a worker is to spare: a turn is some 6 MiB, more than a connection takes of which its client reads nothing.
const SPARE: usize = 64 << 10;

/// The connections that send files now.
#[derive(Clone, Debug)]
pub(super) struct Senders {
    sending: Arc<AtomicUsize>,
    /// The threads of the runtime.
    workers: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Sender(Senders);

impl Senders {
    /// Of a runtime with so many threads.
    pub(super) fn new(workers: usize) -> Self {
        Self { sending: Arc::default(), workers }
    }

    pub(super) fn join(&self) -> Sender {
        self.sending.fetch_add(1, Ordering::Relaxed);
        Sender(self.clone())
    }
}

impl Sender {
    /// How many bytes of a file cost as much of a turn as one other thing.
    pub(super) fn bytes(&self) -> usize {
        if self.0.sending.load(Ordering::Relaxed) < self.0.workers { SPARE } else { CROWDED }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_gives_way_sooner_where_no_worker_is_to_spare() {
        let senders = Senders::new(2);
        let first = senders.join();
        assert_eq!(first.bytes(), SPARE);
        let second = senders.join();
        assert_eq!((first.bytes(), second.bytes()), (CROWDED, CROWDED));
        drop(first);
        assert_eq!(second.bytes(), SPARE);
        assert_eq!(Senders::new(1).join().bytes(), CROWDED);
    }
}
