//! Stamps that tell a cached answer whether it still holds.
//!
//! Each repository, principal, blob and name falls on one of 1,024 counters. A reader takes the counter **before** it asks the
//! database and keeps it with the answer; the writer raises the counters of everything that a batch touched after COMMIT
//! and before it answers. An answer whose counter has moved is a miss. So whoever was told that a change is made never
//! sees the time before it: an answer read before the COMMIT carries a counter that has been raised since.
//! Two things on one counter cost a miss, never a wrong answer.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use hallmark_oci::{Digest, RepositoryName};

use super::rows::{PrincipalId, RepositoryId};

const SLOTS: usize = 1_024;

/// The counter that a thing falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    pub(super) fn principal(id: PrincipalId) -> Self {
        Self::of(&(1_u8, id.0))
    }

    pub(super) fn user(name: &str) -> Self {
        Self::of(&(2_u8, name))
    }

    pub(super) fn repository(id: RepositoryId) -> Self {
        Self::of(&(3_u8, id.0))
    }

    pub(super) fn name(name: &RepositoryName) -> Self {
        Self::of(&(4_u8, name.as_str()))
    }

    /// An account, by its name: its members, its settings and what was granted in it.
    pub(super) fn account(name: &str) -> Self {
        Self::of(&(6_u8, name))
    }

    pub(super) fn credential(id: i64) -> Self {
        Self::of(&(7_u8, id))
    }

    /// A blob, in whichever repository: its bytes may move to another key.
    pub(super) fn blob(digest: &Digest) -> Self {
        Self::of(&(5_u8, digest.as_str()))
    }

    /// What a repository's collections of trust have published.
    pub(super) fn trust(id: RepositoryId) -> Self {
        Self::of(&(8_u8, id.0))
    }

    /// What every collection of trust has published, of whichever repository.
    pub(super) fn all_trust() -> Self {
        Self::of(&9_u8)
    }

    fn of(thing: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        Self((hasher.finish() % SLOTS as u64) as usize)
    }
}

/// The counters of one database.
pub(super) struct Generations(Box<[AtomicU64]>);

impl Generations {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn of(&self, slot: Slot) -> u64 {
        self.0[slot.0].load(Ordering::Acquire)
    }

    /// One stamp for all of these: counters only rise, so their sum moves when any of them does.
    pub(super) fn of_all(&self, slots: &[Slot]) -> u64 {
        slots.iter().map(|slot| self.of(*slot)).fold(0, u64::wrapping_add)
    }

    pub(super) fn raise(&self, touched: &[Slot]) {
        for slot in touched {
            self.0[slot.0].fetch_add(1, Ordering::AcqRel);
        }
    }
}
