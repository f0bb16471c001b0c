//! What an upload remembers between requests: everything a fresh process needs to go on where the bytes are durable.

use hallmark_oci::{Algorithm, Digest, Hasher};

use crate::StorageKey;

/// An upload as far as it is durable; a plain value, kept in the database between requests and checkpoints.
///
/// Whoever commits a state promises nothing that the store does not hold: `received` counts synced bytes only (I4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    /// The key chosen when the upload began.
    pub key: StorageKey,
    /// The bytes that are durable, from the start of the blob.
    pub received: u64,
    /// The running hash over exactly those bytes, as [`Hasher::save`] gives it.
    pub hasher_state: Vec<u8>,
    /// The multipart upload of a bucket, once there is one; always `None` in a folder.
    pub multipart_id: Option<String>,
    /// The parts of that multipart upload, in order and without a gap.
    pub parts: Vec<Part>,
    /// The object that holds what lies beyond the last part, when anything does; always `None` in a folder.
    pub tail_key: Option<StorageKey>,
}

/// One durable part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The number of the part, from 1.
    pub number: u32,
    /// The bytes in the part.
    pub size: u64,
    /// The entity tag that the store gave for exactly these bytes; completion names it.
    pub etag: String,
}

/// A blob whose bytes are whole and durable; the facts about it may be written now (I2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Where the bytes are. In a bucket this may be the upload's key, its tail key, or the spare key given to `seal`;
    /// whichever of them it is not, holds nothing that is needed any more.
    pub key: StorageKey,
    /// The size in bytes.
    pub size: u64,
    /// The digest under the algorithm that the upload was begun with.
    pub digest: Digest,
}

impl UploadState {
    /// An upload of no bytes yet, hashed with `algorithm` as they come.
    pub fn new(key: StorageKey, algorithm: Algorithm) -> Self {
        Self {
            key,
            received: 0,
            hasher_state: Hasher::new(algorithm).save(),
            multipart_id: None,
            parts: Vec::new(),
            tail_key: None,
        }
    }

    /// The bytes that the parts hold.
    pub(super) fn in_parts(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }
}
