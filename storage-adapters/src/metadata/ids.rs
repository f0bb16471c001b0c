//! Row ids: taken from blocks of a thousand that a committed counter hands to a process. A block that a crash leaves half
//! used is never given again, so an id never means two rows. Ids say nothing about order.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::Error;
use super::sql::Connection;
use super::statement::statements;
use super::value::values;

/// Ids in a block.
const BLOCK: i64 = 1_000;
/// Ids that lie ready before a change runs: more than almost any change takes, and than a batch usually takes.
const READY: i64 = BLOCK;
/// How often their number is doubled for a change that takes more: an index of a thousand images that is brought back, for instance,
/// takes one for each manifest, each link and each charge.
const DOUBLINGS: u32 = 7;

statements! {
    NEXT_BLOCK = ["UPDATE id_blocks SET next = next + $1 WHERE name = 'rows' RETURNING next"];
}

/// The ids that this process may still give out.
#[derive(Default)]
pub(super) struct Ids {
    blocks: Mutex<VecDeque<Range<i64>>>,
    doublings: AtomicU32,
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

    /// Has more ids lie ready from the next time on; `false` when there are as many as there ever will be.
    pub(super) fn lay_more(&self) -> bool {
        let more = |doublings| (doublings < DOUBLINGS).then_some(doublings + 1);
        self.doublings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Lays ids ready. The connection is in no transaction: a block must be committed before its first id is used. That
    /// commit happens as the statement ends, so its answer is read to the end: a reader that stops at the first row never
    /// hears that the commit failed, and the next process would be given the same block.
    pub(super) async fn fill(&self, connection: &mut Connection) -> Result<(), Error> {
        loop {
            let missing = (READY << self.doublings.load(Ordering::Relaxed)) - self.left();
            if missing <= 0 {
                return Ok(());
            }
            let taken = (missing + BLOCK - 1) / BLOCK * BLOCK;
            let rows = connection.rows(&NEXT_BLOCK, values![taken]).await?;
            let Some(row) = rows.first() else {
                return Err(Error::new(super::ErrorKind::Corrupt, "id_blocks has no row 'rows'"));
            };
            let end = row.integer(0)?;
            self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push_back(end - taken..end);
        }
    }

    fn left(&self) -> i64 {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(|block| block.end - block.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::sql::sqlite_writer;
    use super::super::{DatabaseConfig, Metadata};
    use super::*;

    #[test]
    fn ids_run_through_their_blocks_and_end() {
        let ids = Ids { blocks: Mutex::new(VecDeque::from([1..3, 7..8])), ..Ids::default() };
        let taken: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(taken, [1, 2, 7]);
    }

    /// A deferred foreign key fails where a full disk does: in the commit, when the row has been given already.
    #[tokio::test]
    async fn a_block_whose_commit_failed_is_not_given_out() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("hallmark.db");
        Metadata::open(&DatabaseConfig::Sqlite { path: path.clone() }, 0).await.unwrap().close().await;
        let mut connection = sqlite_writer(&path).unwrap();
        let (ids, mut taken) = (Ids::default(), Vec::new());
        ids.fill(&mut connection).await.unwrap();
        taken.extend(std::iter::from_fn(|| ids.take()));
        let failing = "CREATE TABLE fails (id INTEGER REFERENCES blobs(id) DEFERRABLE INITIALLY DEFERRED);
            CREATE TRIGGER fails_at_commit AFTER UPDATE ON id_blocks BEGIN INSERT INTO fails VALUES (998); END";
        connection.script("a commit that fails", failing).await.unwrap();
        assert!(ids.fill(&mut connection).await.is_err());
        taken.extend(std::iter::from_fn(|| ids.take()));
        connection.script("a commit that succeeds", "DROP TRIGGER fails_at_commit").await.unwrap();
        ids.fill(&mut connection).await.unwrap();
        taken.extend(std::iter::from_fn(|| ids.take()));
        assert_eq!(taken.len(), 2 * READY as usize);
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len(), "an id was given twice");
        connection.close().await;
    }
}
