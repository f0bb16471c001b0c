//! Whose turn it is to write a file: the turn goes to the highest fence that was shown, and an appender with a lower one
//! can write nothing more, however long it was stalled and whether it asked before or after. Between processes the fence
//! in the database decides alone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::StorageKey;

/// The keys that are remembered after their last appender has ended, the latest ones: an appender that was overtaken
/// before it began finds there that the file is whole, and does not cut it back to where it stood when it was leased.
const REMEMBERED: usize = 1024;
/// The number of known keys at which those that nobody writes or remembers are first forgotten.
const FORGET_FROM: usize = 4 * REMEMBERED;
/// The fence of a deletion: nobody comes after it.
const LAST: i64 = i64::MAX;

/// The files that have an appender now, or had one lately.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    turns: HashMap<StorageKey, Weak<Turn>>,
    forget_at: usize,
    ended: VecDeque<Arc<Turn>>,
}

#[derive(Debug)]
struct Turn {
    highest: AtomicI64,
    writing: Mutex<()>,
}

/// One appender's right to write a file, until a higher fence is shown.
#[derive(Debug)]
pub(super) struct Ticket {
    turn: Arc<Turn>,
    fence: i64,
    table: Arc<Mutex<Table>>,
}

impl Turns {
    /// A ticket for a key; every one with a lower fence is void from here on, and this one if a higher was shown.
    pub(super) fn take(&self, key: &StorageKey, fence: i64) -> Ticket {
        let turn = self.turn(key);
        turn.highest.fetch_max(fence, Ordering::AcqRel);
        Ticket { turn, fence, table: Arc::clone(&self.0) }
    }

    /// The ticket after which there is none.
    pub(super) fn take_last(&self, key: &StorageKey) -> Ticket {
        self.take(key, LAST)
    }

    fn turn(&self, key: &StorageKey) -> Arc<Turn> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = table.turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        if table.turns.len() >= table.forget_at {
            table.turns.retain(|_, turn| turn.strong_count() > 0);
            table.forget_at = FORGET_FROM.max(2 * table.turns.len());
        }
        let turn = Arc::new(Turn { highest: AtomicI64::new(i64::MIN), writing: Mutex::new(()) });
        table.turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }
}

impl Ticket {
    /// Keeps every other writer of the file out while the guard lives; `None` when the ticket is void. May wait for the
    /// write of another appender, so only threads that may block ask.
    pub(super) fn hold(&self) -> Option<MutexGuard<'_, ()>> {
        let guard = self.turn.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (self.turn.highest.load(Ordering::Acquire) == self.fence).then_some(guard)
    }
}

impl Drop for Ticket {
    /// A deleted key need not be remembered: no row names it, so nobody can lease it, and a collector that deletes many
    /// would push out those that must be.
    fn drop(&mut self) {
        if self.fence == LAST {
            return;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.ended.push_back(Arc::clone(&self.turn));
        if table.ended.len() > REMEMBERED {
            table.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StorageKey {
        StorageKey::from_bytes([byte; 16])
    }

    #[test]
    fn a_higher_fence_voids_a_lower_one() {
        let turns = Turns::default();
        let first = turns.take(&key(1), 1);
        assert!(first.hold().is_some());
        let second = turns.take(&key(1), 2);
        assert!(first.hold().is_none());
        assert!(second.hold().is_some());
    }

    #[test]
    fn a_lower_fence_that_comes_late_is_void_from_the_beginning() {
        let turns = Turns::default();
        let newer = turns.take(&key(1), 2);
        assert!(turns.take(&key(1), 1).hold().is_none());
        assert!(newer.hold().is_some());
        drop(newer);
        assert!(turns.take(&key(1), 1).hold().is_none(), "the newer one has ended, and is remembered");
        assert!(turns.take(&key(1), 3).hold().is_some(), "its facts could not be written, and its client came again");
    }

    #[test]
    fn nobody_writes_while_a_key_is_deleted() {
        let turns = Turns::default();
        let deletion = turns.take_last(&key(1));
        assert!(turns.take(&key(1), 7).hold().is_none());
        assert!(turns.take_last(&key(1)).hold().is_some());
        assert!(deletion.hold().is_some());
    }

    #[test]
    fn tickets_of_other_keys_stay_valid() {
        let turns = Turns::default();
        let first = turns.take(&key(1), 1);
        let _other = turns.take(&key(2), 2);
        assert!(first.hold().is_some());
    }

    #[test]
    fn keys_that_nobody_writes_are_forgotten() {
        let turns = Turns::default();
        let kept = turns.take(&key(0), 1);
        for number in 0..4 * FORGET_FROM as u128 {
            turns.take(&StorageKey::from_bytes((number + (1 << 64)).to_be_bytes()), 1);
        }
        let table = turns.0.lock().unwrap();
        assert!(table.turns.len() <= FORGET_FROM && table.turns.contains_key(&key(0)));
        assert_eq!(table.ended.len(), REMEMBERED);
        drop(table);
        assert!(kept.hold().is_some());
    }
}
