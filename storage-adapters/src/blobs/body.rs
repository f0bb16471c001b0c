//! The bytes of a blob on their way out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;

use super::Error;
use super::folder::FileStream;

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
