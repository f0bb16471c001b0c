//! Row ids: taken from blocks of a thousand that a committed counter hands to a process. A block that a crash leaves half
//! used is never given again, so an id never means two rows. Ids say nothing about order.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::error::Error;
use super::sql::Connection;
use super::statement::statements;
use super::value::values;

/// Ids in a block.
const BLOCK: i64 = 1_000;
/// Ids that lie ready before a change runs: more than any change takes, and than a batch usually takes.
const READY: i64 = BLOCK;

statements! {
    NEXT_BLOCK = ["UPDATE id_blocks SET next = next + $1 WHERE name = 'rows' RETURNING next"];
}

/// The ids that this process may still give out.
#[derive(Default)]
pub(super) struct Ids {
    blocks: Mutex<VecDeque<Range<i64>>>,
}

impl Ids {
    /// One id that no row has; `None` when the blocks are used up.
    pub(super) fn take(&self) -> Option<i64> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match blocks.front_mut()?.next() {
                Some(id) => return Some(id),
                None => drop(blocks.pop_front()),
            }
        }
    }

    /// Lays ids ready. The connection is in no transaction: a block must be committed before its first id is used.
    pub(super) async fn fill(&self, connection: &mut Connection) -> Result<(), Error> {
        while self.left() < READY {
            let Some(row) = connection.row(&NEXT_BLOCK, values![BLOCK]).await? else {
                return Err(Error::new(super::ErrorKind::Corrupt, "id_blocks has no row 'rows'"));
            };
            let end = row.integer(0)?;
            self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push_back(end - BLOCK..end);
        }
        Ok(())
    }

    fn left(&self) -> i64 {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(|block| block.end - block.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_run_through_their_blocks_and_end() {
        let ids = Ids { blocks: Mutex::new(VecDeque::from([1..3, 7..8])) };
        let taken: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(taken, [1, 2, 7]);
    }
}
