//! The bytes of a blob on their way out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;

use super::Error;
use super::folder::{FileStream, FileWindows, Piece};

/// The bytes of a range.
#[derive(Debug)]
pub enum BlobBody {
    /// A small range, in one piece.
    Whole(Bytes),
    /// A large range, piece by piece.
    Stream(BlobStream),
}

impl BlobBody {
    /// The bytes in all, known before the first of them is read.
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Stream(stream) => stream.length,
        }
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pieces of a large range. It gives exactly [`len`](BlobBody::len) bytes, or an error and then nothing more; whoever
/// sends it on must break its own connection on the error.
pub struct BlobStream {
    length: u64,
    left: u64,
    place: String,
    pieces: Pieces,
}

/// A large range of a file, as windows where it can be mapped. It gives all of the range, or an error and then nothing more.
#[derive(Debug)]
pub struct BlobWindows(FileWindows);

impl Stream for BlobWindows {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_piece(context)
    }
}

enum Pieces {
    File(Box<FileStream>),
    Objects(BoxStream<'static, Result<Bytes, Error>>),
}

impl BlobStream {
    pub(super) fn file(length: u64, place: String, pieces: FileStream) -> Self {
        Self { length, left: length, place, pieces: Pieces::File(Box::new(pieces)) }
    }

    pub(super) fn objects(length: u64, place: String, pieces: BoxStream<'static, Result<Bytes, Error>>) -> Self {
        Self { length, left: length, place, pieces: Pieces::Objects(pieces) }
    }

    /// The same bytes as windows of their file, for a sender that hands files to the kernel; the stream itself when they are
    /// not in a file, or in one of which the kernel does not tell what it has in memory.
    ///
    /// # Errors
    /// The stream, unchanged.
    pub fn into_windows(self) -> Result<BlobWindows, Self> {
        let Self { length, left, place, pieces } = self;
        let pieces = match pieces {
            Pieces::File(file) => match file.into_windows() {
                Ok(windows) => return Ok(BlobWindows(windows)),
                Err(file) => Pieces::File(Box::new(file)),
            },
            Pieces::Objects(objects) => Pieces::Objects(objects),
        };
        Err(Self { length, left, place, pieces })
    }

    /// Holds a piece, or the end, against the bytes that were promised.
    fn account(&mut self, piece: Option<Result<Bytes, Error>>) -> Option<Result<Bytes, Error>> {
        let refused = |what: &str, left| Error::damaged("read", &self.place, format!("{what}, {left} bytes early"));
        match piece {
            None if self.left > 0 => {
                let left = std::mem::take(&mut self.left);
                Some(Err(refused("the stream ended", left)))
            }
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(bytes))
                }
                None => {
                    let left = std::mem::take(&mut self.left);
                    Some(Err(refused("the stream goes on", left)))
                }
            },
            Some(Err(error)) => {
                self.left = 0;
                Some(Err(error))
            }
            None => None,
        }
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = ready!(match &mut self.pieces {
            Pieces::File(file) => file.poll_piece(context),
            Pieces::Objects(stream) => stream.as_mut().poll_next(context),
        });
        Poll::Ready(self.account(piece))
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BlobStream")
            .field("place", &self.place)
            .field("length", &self.length)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    async fn run(length: u64, pieces: Vec<Result<Bytes, Error>>) -> Vec<Result<Bytes, Error>> {
        BlobStream::objects(length, "a place".to_owned(), stream::iter(pieces).boxed()).collect().await
    }

    fn piece(bytes: &'static [u8]) -> Result<Bytes, Error> {
        Ok(Bytes::from_static(bytes))
    }

    #[tokio::test]
    async fn a_stream_that_keeps_its_promise_ends_clean() {
        let pieces = run(3, vec![piece(b"ab"), piece(b"c")]).await;
        assert!(pieces.len() == 2 && pieces.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_ends_with_an_error() {
        let pieces = run(4, vec![piece(b"ab"), piece(b"c")]).await;
        assert!(pieces.len() == 3 && pieces[2].as_ref().is_err_and(Error::is_damaged));
    }

    #[tokio::test]
    async fn a_stream_that_gives_too_much_ends_with_an_error() {
        let pieces = run(3, vec![piece(b"ab"), piece(b"cd")]).await;
        assert!(pieces.len() == 2 && pieces[1].as_ref().is_err_and(Error::is_damaged));
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let failed = Err(Error::unavailable("read", "a place", "down"));
        let pieces = run(4, vec![piece(b"ab"), failed, piece(b"cd")]).await;
        assert!(pieces.len() == 2 && pieces[1].as_ref().is_err_and(Error::is_unavailable));
    }
}
