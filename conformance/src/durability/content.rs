//! Blobs that are made again from two numbers, so that a ledger of thousands holds no bytes.

use super::random::mix;
use crate::image::digest;

/// Bytes of one line of a blob's content.
const LINE: usize = 32;

/// A blob: its bytes follow from an id and a size. Every line begins with the id, so that any write of a piece tells
/// whose piece it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    id: u64,
    size: usize,
    digest: String,
}

impl Content {
    /// The blob of this id and size.
    pub(crate) fn new(id: u64, size: usize) -> Self {
        let mut content = Self { id, size, digest: String::new() };
        content.digest = digest(&content.bytes());
        content
    }

    /// The digest, sha256.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The number of bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What every line of the content begins with: 16 hexadecimal digits that nothing else contains.
    pub(crate) fn mark(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size + LINE);
        let mark = self.mark();
        for line in 0.. {
            if bytes.len() >= self.size {
                break;
            }
            bytes.extend_from_slice(mark.as_bytes());
            // Half of each line differs from all others, so that a page in the wrong place changes the digest.
            bytes.extend_from_slice(&mix(self.id, line).to_ne_bytes());
            bytes.extend_from_slice(&mix(line, self.id).to_ne_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }
}
