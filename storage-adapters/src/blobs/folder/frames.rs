//! Bytes that wait for the next write. Large pieces are kept as they came; small ones are copied together, so that a
//! body of one-byte chunks costs what its bytes cost.

use bytes::{Bytes, BytesMut};

/// A piece shorter than this is copied: keeping it would keep a buffer many times its size alive.
const COPY_BELOW: usize = 16 * 1024;
/// The room for small pieces, made at once when the first arrives.
const SMALL_ROOM: usize = 64 * 1024;

/// Pieces in the order they came.
#[derive(Debug, Default)]
pub(super) struct Frames {
    whole: Vec<Bytes>,
    small: BytesMut,
    len: usize,
}

impl Frames {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() >= COPY_BELOW {
            self.close_small();
            self.whole.push(piece);
            return;
        }
        if self.small.len() + piece.len() > SMALL_ROOM {
            self.close_small();
        }
        if self.small.is_empty() && !self.whole.is_empty() && self.small.capacity() < piece.len() {
            self.small.reserve(SMALL_ROOM);
        }
        self.small.extend_from_slice(&piece);
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close_small();
        self.len = 0;
        std::mem::take(&mut self.whole)
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.whole.push(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_in_the_order_they_went_in() {
        let mut frames = Frames::default();
        let mut expected = Vec::new();
        for length in [1, 3, COPY_BELOW, 5, SMALL_ROOM, COPY_BELOW - 1, COPY_BELOW - 1, 7, 2 * SMALL_ROOM] {
            let piece = vec![length as u8; length];
            expected.extend_from_slice(&piece);
            frames.push(piece.into());
        }
        assert_eq!(frames.len(), expected.len());
        assert_eq!(frames.take().concat(), expected);
        assert_eq!((frames.len(), frames.take().len()), (0, 0));
    }

    #[test]
    fn small_pieces_between_large_ones_share_their_room() {
        let mut frames = Frames::default();
        for _ in 0..8 {
            frames.push(vec![0; COPY_BELOW].into());
            frames.push(Bytes::from_static(b"x"));
        }
        let small: Vec<_> =
            frames.take().into_iter().filter(|piece| piece.len() == 1).map(|piece| piece.as_ptr()).collect();
        assert!(small.windows(2).all(|pair| pair[1].addr() == pair[0].addr() + 1), "{small:?}");
    }

    #[test]
    fn one_byte_pieces_are_kept_together() {
        let mut frames = Frames::default();
        (0..SMALL_ROOM + 1).for_each(|_| frames.push(Bytes::from_static(b"x")));
        assert_eq!(frames.take().len(), 2);
    }
}
