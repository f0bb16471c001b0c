//! Whose turn it is to write a file. The later of two appenders of one key wins at once; the earlier can write nothing
//! more, however long it was stalled. Between processes the fence in the database decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::StorageKey;

/// The number of remembered keys at which those that nobody writes any more are first forgotten.
const FORGET_FROM: usize = 1024;

/// The files that have an appender now.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    turns: HashMap<StorageKey, Weak<Turn>>,
    forget_at: usize,
}

#[derive(Debug, Default)]
struct Turn {
    latest: AtomicU64,
    writing: Mutex<()>,
}

/// One appender's right to write a file, until a later one is given out.
#[derive(Debug)]
pub(super) struct Ticket {
    turn: Arc<Turn>,
    number: u64,
}

impl Turns {
    /// The latest ticket for a key; every earlier one is void from here on.
    pub(super) fn take(&self, key: &StorageKey) -> Ticket {
        let turn = self.turn(key);
        let number = turn.latest.fetch_add(1, Ordering::AcqRel) + 1;
        Ticket { turn, number }
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
        let turn = Arc::new(Turn::default());
        table.turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }
}

impl Ticket {
    /// Keeps every other writer of the file out while the guard lives; `None` when the ticket is void. May wait for the
    /// write of another appender, so only threads that may block ask.
    pub(super) fn hold(&self) -> Option<MutexGuard<'_, ()>> {
        let guard = self.turn.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (self.turn.latest.load(Ordering::Acquire) == self.number).then_some(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StorageKey {
        StorageKey::from_bytes([byte; 16])
    }

    #[test]
    fn a_later_ticket_voids_an_earlier_one() {
        let turns = Turns::default();
        let first = turns.take(&key(1));
        assert!(first.hold().is_some());
        let second = turns.take(&key(1));
        assert!(first.hold().is_none());
        assert!(second.hold().is_some());
    }

    #[test]
    fn tickets_of_other_keys_stay_valid() {
        let turns = Turns::default();
        let first = turns.take(&key(1));
        let _other = turns.take(&key(2));
        assert!(first.hold().is_some());
    }

    #[test]
    fn keys_that_nobody_writes_are_forgotten() {
        let turns = Turns::default();
        let kept = turns.take(&key(0));
        for number in 0..4 * FORGET_FROM as u128 {
            turns.take(&StorageKey::from_bytes((number + (1 << 64)).to_be_bytes()));
        }
        let table = turns.0.lock().unwrap();
        assert!(table.turns.len() <= FORGET_FROM && table.turns.contains_key(&key(0)));
        drop(table);
        assert!(kept.hold().is_some());
    }
}
