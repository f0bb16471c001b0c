//! Memory for pieces, used again as soon as whoever sent a piece has dropped it: neither zeroed nor mapped a second time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The size of a piece for a reader that keeps up.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// The pieces of memory that are kept for reuse, all readers together: 4 MiB.
const KEPT: usize = 16;

/// Memory that waits for use.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

/// A piece of memory with bytes in it; dropped, it goes back.
struct Piece {
    memory: Box<[u8]>,
    length: usize,
    pool: Pool,
}

impl Pool {
    /// Reads exactly `length` bytes of a file. A whole piece comes in memory that is used again; a smaller one is not
    /// worth keeping.
    pub(super) fn read(&self, file: &File, start: u64, length: usize) -> io::Result<Bytes> {
        let memory =
            if length > PIECE_BYTES / 2 && length <= PIECE_BYTES { self.take() } else { vec![0; length].into() };
        let mut piece = Piece { memory, length, pool: self.clone() };
        file.read_exact_at(&mut piece.memory[..length], start)?;
        Ok(Bytes::from_owner(piece))
    }

    fn take(&self) -> Box<[u8]> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; PIECE_BYTES].into())
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.memory.len() != PIECE_BYTES {
            return;
        }
        let mut kept = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn memory_used_again_shows_nothing_of_what_it_held() {
        let (pool, file) = (Pool::default(), file(&[7; 2 * PIECE_BYTES]));
        drop(pool.read(&file, 0, PIECE_BYTES).unwrap());
        let again = pool.read(&file, 1, PIECE_BYTES - 1).unwrap();
        assert_eq!(again, vec![7; PIECE_BYTES - 1]);
        assert!(pool.0.lock().unwrap().is_empty());
    }

    #[test]
    fn no_more_memory_is_kept_than_the_pool_holds() {
        let (pool, file) = (Pool::default(), file(&[7; PIECE_BYTES]));
        let pieces: Vec<Bytes> = (0..2 * KEPT).map(|_| pool.read(&file, 0, PIECE_BYTES).unwrap()).collect();
        drop(pieces);
        assert_eq!(pool.0.lock().unwrap().len(), KEPT);
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let outcome = Pool::default().read(&file(b"short"), 0, 6);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
