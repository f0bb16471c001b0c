//! The identity of an upload session.
//! Its progress, owner and bytes are the store's.
//! Start at [`UploadId`].

use thiserror::Error;

use crate::text::{is_lower_hex, lower_hex, text};

/// The number of hexadecimal digits of an upload id: 128 bits, so that none is ever guessed.
const UPLOAD_ID_DIGITS: usize = 32;

/// An upload session's id: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Box<str>);

text!(UploadId, UploadIdInvalid);

impl UploadId {
    /// The id of these 128 bits, which the caller takes from a cryptographic source.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(lower_hex(&bytes).into())
    }

    fn check(text: &str) -> Result<(), UploadIdInvalid> {
        if text.len() == UPLOAD_ID_DIGITS && is_lower_hex(text) { Ok(()) } else { Err(UploadIdInvalid) }
    }
}

/// A text that no upload is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no upload has this id; begin a new one")]
pub struct UploadIdInvalid;
