//! Two kinds of ranges that share a word: the `Range` of a download and the `Content-Range` of an uploaded chunk.
//! No bytes are moved here.
//! Start at [`ByteRange::resolve`] and [`ChunkRange`].

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

use crate::limits::CONTENT_BYTES;

/// What a `Range` header asks of a content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeAnswer {
    /// All of it, with 200.
    Whole,
    /// These bytes (half-open, never empty, within the content), with 206.
    Part(Range<u64>),
    /// None of it, with 416.
    Unsatisfiable,
}

/// The reading of a download's `Range` header (RFC 9110 section 14.2).
#[derive(Debug)]
pub struct ByteRange;

impl ByteRange {
    /// Resolves the value of a `Range` header against a content of `size` bytes.
    ///
    /// Other units, several ranges and text that is no range are ignored, as the RFC allows. A range that ends before
    /// it begins is unsatisfiable and not ignored: the conformance suite takes 416 as the answer to `500-0`.
    #[must_use]
    pub fn resolve(header: &str, size: u64) -> RangeAnswer {
        let Some((first, last)) = one_range(header) else { return RangeAnswer::Whole };
        match (first, last) {
            ("", suffix) => match number(suffix) {
                None => RangeAnswer::Whole,
                Some(0) => RangeAnswer::Unsatisfiable,
                // The last bytes of nothing are nothing, and no Content-Range can say so.
                Some(_) if size == 0 => RangeAnswer::Whole,
                Some(length) => RangeAnswer::Part(size.saturating_sub(length)..size),
            },
            (first, last) => {
                let Some(start) = number(first) else { return RangeAnswer::Whole };
                let end = match last {
                    "" => size,
                    last => match number(last) {
                        None => return RangeAnswer::Whole,
                        Some(last) => last.saturating_add(1).min(size),
                    },
                };
                if start < end { RangeAnswer::Part(start..end) } else { RangeAnswer::Unsatisfiable }
            }
        }
    }
}

/// The two texts around the dash of a single byte range.
fn one_range(header: &str) -> Option<(&str, &str)> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    range.trim().split_once('-')
}

/// A run of digits. One that no 64 bits hold stands past the end of any content, so it saturates.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// The `Content-Range` of an uploaded chunk, and the `Range` that answers tell progress by: `0-99` for the first hundred
/// bytes, with no unit and no total (distribution-spec, "Pushing a blob in chunks").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    /// The first byte.
    pub start: u64,
    /// The last byte, inclusive.
    pub end: u64,
}

impl ChunkRange {
    /// The range that tells how much of an upload has been received.
    ///
    /// The format cannot say "nothing": none and one byte are both `0-0`, and clients parse the header even then.
    #[must_use]
    pub fn received(bytes: u64) -> Self {
        Self { start: 0, end: bytes.saturating_sub(1) }
    }

    /// The number of bytes. Never zero, which the format cannot express.
    #[expect(clippy::len_without_is_empty, reason = "no chunk range is empty")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start).saturating_add(1)
    }
}

impl fmt::Display for ChunkRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl FromStr for ChunkRange {
    type Err = ChunkRangeInvalid;

    /// # Errors
    /// [`ChunkRangeInvalid`] unless the text is `^[0-9]+-[0-9]+$`, in order, and within the largest content.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (start, end) = text.split_once('-').ok_or(ChunkRangeInvalid)?;
        let start = number(start).ok_or(ChunkRangeInvalid)?;
        let end = number(end).ok_or(ChunkRangeInvalid)?;
        if start <= end && end < CONTENT_BYTES { Ok(Self { start, end }) } else { Err(ChunkRangeInvalid) }
    }
}

/// A text that is not a [`ChunkRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the Content-Range of a chunk is written as its first and last byte, like 0-1023, without a unit")]
pub struct ChunkRangeInvalid;
