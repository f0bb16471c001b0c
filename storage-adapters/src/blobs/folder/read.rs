//! Reading a file: a small range in one piece, a large one as a stream that pulls.
//!
//! Each piece is read by its own short job on a blocking thread, one piece ahead of the reader. A thread that fed a channel
//! would be as fast, but a thousand slow readers would hold a thousand threads.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::super::task::{Task, blocking};
use super::super::{BlobBody, BlobStream, Error, WHOLE_BYTES};
use super::mapped::{FileWindows, is_told};
use super::pool::{PIECE_BYTES, Pool};
use super::present;

/// The size of the first pieces, before it is known whether the reader keeps up.
const FIRST_PIECE_BYTES: usize = 64 * 1024;
/// The bytes that come in such pieces.
const FIRST_BYTES: u64 = 256 * 1024;
/// The size of a piece for a reader that does not keep up: what a thousand of them hold stays small.
const SLOW_PIECE_BYTES: usize = 32 * 1024;
/// A reader that lets this much time pass between two pieces is slow; it also gets nothing read ahead.
const SLOW_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn read(path: PathBuf, range: Range<u64>, pool: Pool) -> Result<Option<BlobBody>, Error> {
    let name = path.display().to_string();
    blocking("read", name.clone(), move || {
        let found =
            present(File::open(&path)).and_then(|file| file.map(|file| body(file, path, range, pool)).transpose());
        found.map_err(|source| Error::io("read", name, source))
    })
    .await
}

fn body(file: File, path: PathBuf, range: Range<u64>, pool: Pool) -> io::Result<BlobBody> {
    let length = range.end.saturating_sub(range.start);
    if length <= WHOLE_BYTES {
        let mut whole = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut whole, range.start)?;
        return Ok(BlobBody::Whole(whole.into()));
    }
    // Known before the first byte goes out, while the answer can still be an error.
    let metadata = file.metadata()?;
    if metadata.len() < range.end {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let (place, told) = (path.display().to_string(), is_told(&path, &metadata));
    let stream = FileStream::new(Arc::new(Source { file, path, pool }), range);
    Ok(BlobBody::Stream(BlobStream::file(length, place, FileStream { told, ..stream })))
}

/// An open file, and what reading it takes.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) pool: Pool,
}

impl Source {
    pub(super) fn failed(&self, action: &'static str, cause: io::Error) -> Error {
        Error::io(action, self.path.display(), cause)
    }
}

/// The pieces of a file, pulled one after another.
#[derive(Debug)]
pub(in super::super) struct FileStream {
    source: Arc<Source>,
    /// Whether the kernel tells which of the file it has in memory.
    told: bool,
    /// What no job was given yet.
    rest: Range<u64>,
    /// Where pieces of full size begin.
    full_from: u64,
    reading: Option<Task<io::Result<Bytes>>>,
    given_at: Instant,
}

impl FileStream {
    pub(super) fn new(source: Arc<Source>, range: Range<u64>) -> Self {
        Self {
            source,
            told: false,
            full_from: range.start.saturating_add(FIRST_BYTES),
            rest: range,
            reading: None,
            given_at: Instant::now(),
        }
    }

    /// The same bytes as windows of the file; the stream itself where nobody could know whether a window is in memory.
    /// Nothing may have been asked of the stream yet.
    pub(in super::super) fn into_windows(self) -> Result<FileWindows, Self> {
        if self.told { Ok(FileWindows::new(self.source, self.rest)) } else { Err(self) }
    }

    /// The next piece. The stream ends with its range, or after its first error.
    pub(in super::super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let slow = self.given_at.elapsed() > SLOW_AFTER;
        if self.reading.is_none() {
            self.read_next(slow);
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let piece = ready!(reading.poll_unpin(context));
        self.reading = None;
        match piece.map_err(io::Error::other).flatten() {
            Ok(piece) => {
                if !slow {
                    self.read_next(slow);
                }
                self.given_at = Instant::now();
                Poll::Ready(Some(Ok(piece)))
            }
            Err(cause) => {
                self.rest.start = self.rest.end;
                Poll::Ready(Some(Err(self.source.failed("read", cause))))
            }
        }
    }

    /// Starts reading the next piece; nothing when there is none.
    fn read_next(&mut self, slow: bool) {
        let left = self.rest.end - self.rest.start;
        if left == 0 {
            return;
        }
        let piece = match slow {
            true => SLOW_PIECE_BYTES,
            false if self.rest.start < self.full_from => FIRST_PIECE_BYTES,
            false => PIECE_BYTES,
        };
        let length = usize::try_from(left).map_or(piece, |left| left.min(piece));
        let start = self.rest.start;
        self.rest.start += length as u64;
        let source = Arc::clone(&self.source);
        self.reading = Some(Task::blocking(move || source.pool.read(&source.file, start, length)));
    }
}
