//! Reading a file: a small range in one piece, a large one as a stream that pulls.
//!
//! Each piece is read by its own short job on a blocking thread, one piece ahead of the reader. A thread that fed a channel
//! would be as fast, but a thousand slow readers would hold a thousand threads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::super::task::{Task, blocking};
use super::super::{BlobBody, BlobStream, Error, WHOLE_BYTES};
use super::present;

/// The size of a piece for a reader that keeps up.
const PIECE_BYTES: usize = 256 * 1024;
/// The size of a piece for a reader that does not: what a thousand of them hold stays small.
const SLOW_PIECE_BYTES: usize = 32 * 1024;
/// A reader that lets this much time pass between two pieces is slow; it also gets nothing read ahead.
const SLOW_AFTER: Duration = Duration::from_millis(100);
/// The pieces given out whose memory may be used again.
const LENT_PIECES: usize = 4;

pub(super) async fn read(path: PathBuf, range: Range<u64>) -> Result<Option<BlobBody>, Error> {
    let name = path.display().to_string();
    blocking("read", name.clone(), move || {
        let body = present(File::open(&path)).and_then(|file| file.map(|file| body(file, path, range)).transpose());
        body.map_err(|source| Error::io("read", name, source))
    })
    .await
}

fn body(file: File, path: PathBuf, range: Range<u64>) -> io::Result<BlobBody> {
    let length = range.end.saturating_sub(range.start);
    if length <= WHOLE_BYTES {
        let mut whole = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut whole, range.start)?;
        return Ok(BlobBody::Whole(whole.into()));
    }
    // Known before the first byte goes out, while the answer can still be an error.
    if file.metadata()?.len() < range.end {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let place = path.display().to_string();
    Ok(BlobBody::Stream(BlobStream::file(length, place, FileStream::new(file, path, range))))
}

/// The pieces of a file, pulled one after another.
#[derive(Debug)]
pub(in super::super) struct FileStream {
    file: Arc<File>,
    path: PathBuf,
    /// What no job was given yet.
    rest: Range<u64>,
    reading: Option<Task<io::Result<Bytes>>>,
    /// The latest pieces given out: once their reader has dropped them their memory is used again.
    lent: VecDeque<Bytes>,
    given_at: Instant,
}

impl FileStream {
    fn new(file: File, path: PathBuf, range: Range<u64>) -> Self {
        let mut stream = Self {
            file: Arc::new(file),
            path,
            rest: range,
            reading: None,
            lent: VecDeque::with_capacity(LENT_PIECES),
            given_at: Instant::now(),
        };
        stream.read_next(PIECE_BYTES);
        stream
    }

    pub(in super::super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let slow = self.given_at.elapsed() > SLOW_AFTER;
        if self.reading.is_none() {
            self.read_next(if slow { SLOW_PIECE_BYTES } else { PIECE_BYTES });
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let piece = ready!(Pin::new(reading).poll_unpin(context));
        self.reading = None;
        match piece.map_err(io::Error::other).flatten() {
            Ok(piece) => {
                if !slow {
                    self.read_next(PIECE_BYTES);
                }
                self.lend(piece.clone());
                self.given_at = Instant::now();
                Poll::Ready(Some(Ok(piece)))
            }
            Err(source) => {
                self.rest.start = self.rest.end;
                Poll::Ready(Some(Err(Error::io("read", self.path.display(), source))))
            }
        }
    }

    /// Starts reading the next piece; nothing when there is none.
    fn read_next(&mut self, piece: usize) {
        let left = self.rest.end - self.rest.start;
        if left == 0 {
            return;
        }
        let length = usize::try_from(left).map_or(piece, |left| left.min(piece));
        let start = self.rest.start;
        self.rest.start += length as u64;
        let (file, mut memory) = (Arc::clone(&self.file), self.reclaim());
        self.reading = Some(Task::blocking(move || {
            memory.resize(length, 0);
            file.read_exact_at(&mut memory, start)?;
            Ok(memory.freeze())
        }));
    }

    fn lend(&mut self, piece: Bytes) {
        if self.lent.len() == LENT_PIECES {
            self.lent.pop_front();
        }
        self.lent.push_back(piece);
    }

    /// The memory of the oldest piece given out when its reader is done with it, else new memory.
    fn reclaim(&mut self) -> BytesMut {
        let Some(oldest) = self.lent.pop_front() else { return BytesMut::new() };
        oldest.try_into_mut().unwrap_or_else(|_held| BytesMut::new())
    }
}
