//! Tags.
//! What a tag points at is not known here.
//! Start at [`Tag`].

use thiserror::Error;

use crate::limits::TAG_BYTES;
use crate::text::text;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling Manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

text!(Tag, TagInvalid);

impl Tag {
    /// A tag from a text that this crate made and that is known to be one.
    pub(crate) fn from_valid(text: String) -> Self {
        debug_assert_eq!(Self::check(&text), Ok(()));
        Self(text.into())
    }

    fn check(text: &str) -> Result<(), TagInvalid> {
        let Some(first) = text.bytes().next() else { return Err(TagInvalid::Empty) };
        if text.len() > TAG_BYTES {
            return Err(TagInvalid::TooLong);
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if is_word(first) && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-') {
            Ok(())
        } else {
            Err(TagInvalid::Characters)
        }
    }
}

/// Why a text is not a [`Tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TagInvalid {
    /// No text at all.
    #[error("the tag is missing")]
    Empty,
    /// Over [`TAG_BYTES`] bytes.
    #[error("a tag has at most {TAG_BYTES} characters")]
    TooLong,
    /// Characters that no tag has.
    #[error("a tag is made of letters, digits, underscores, dots and dashes, and begins with none of the last two")]
    Characters,
}
