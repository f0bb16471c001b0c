use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the database has been doing since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Changes that began.
    pub writes: u64,
    /// COMMITs; fewer than changes where several share one.
    pub commits: u64,
    /// Runs that were made again because others were in the way.
    pub repeats: u64,
    /// Statements that changes ran.
    pub statements: u64,
    /// Statements that reads ran.
    pub reads: u64,
    /// How long changes waited before they began, added up.
    pub waited: Duration,
    /// The longest of these waits.
    pub longest_wait: Duration,
    /// Reads answered from memory.
    pub cache_hits: u64,
    /// Reads that asked the database although their kind is kept in memory.
    pub cache_misses: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    writes: AtomicU64,
    commits: AtomicU64,
    repeats: AtomicU64,
    statements: AtomicU64,
    reads: AtomicU64,
    waited_us: AtomicU64,
    longest_wait_us: AtomicU64,
    pub(super) cache_hits: AtomicU64,
    pub(super) cache_misses: AtomicU64,
}

impl Counters {
    /// A change that was handed in at `since` begins.
    pub(super) fn began(&self, since: Instant) {
        let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.waited_us.fetch_add(waited, Ordering::Relaxed);
        self.longest_wait_us.fetch_max(waited, Ordering::Relaxed);
    }

    pub(super) fn ran(&self, statements: u64) {
        self.statements.fetch_add(statements, Ordering::Relaxed);
    }

    pub(super) fn read_one(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn repeated(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Statistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            writes: of(&self.writes),
            commits: of(&self.commits),
            repeats: of(&self.repeats),
            statements: of(&self.statements),
            reads: of(&self.reads),
            waited: Duration::from_micros(of(&self.waited_us)),
            longest_wait: Duration::from_micros(of(&self.longest_wait_us)),
            cache_hits: of(&self.cache_hits),
            cache_misses: of(&self.cache_misses),
        }
    }
}
