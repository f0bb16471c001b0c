//! What a manifest is asked for by: a tag or a digest.
//! Resolution of a tag is not done here.
//! Start at [`Reference`].

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Digest, DigestInvalid, Tag, TagInvalid};

/// A tag or a digest. No tag holds a colon, so a text with one is a digest or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A name that may point at another manifest tomorrow.
    Tag(Tag),
    /// The name of these very bytes.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ReferenceInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// Why a text is not a [`Reference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReferenceInvalid {
    /// Without a colon, and not a tag.
    #[error(transparent)]
    Tag(#[from] TagInvalid),
    /// With a colon, and not a digest.
    #[error(transparent)]
    Digest(#[from] DigestInvalid),
}
