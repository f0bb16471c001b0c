//! Why a document is not stored as a manifest.
//! Missing blobs and wrong digests of the whole are found elsewhere.
//! Start at [`ManifestInvalid`].

use std::fmt;

use thiserror::Error;

use crate::limits::DESCRIPTORS;
use crate::{DigestInvalid, ErrorCode, JsonInvalid, MediaTypeInvalid};

/// Where in a manifest something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The document itself.
    Document,
    /// `config`.
    Config,
    /// `subject`.
    Subject,
    /// An entry of `layers`, from 0.
    Layer(usize),
    /// An entry of `manifests`, from 0.
    Child(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => f.write_str("the manifest"),
            Self::Config => f.write_str("config"),
            Self::Subject => f.write_str("subject"),
            Self::Layer(index) => write!(f, "layers[{index}]"),
            Self::Child(index) => write!(f, "manifests[{index}]"),
        }
    }
}

/// Why a document is not a [`crate::Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestInvalid {
    /// Over the limit.
    #[error("a manifest has at most {limit} bytes")]
    TooLarge {
        /// The longest that is read, in bytes.
        limit: usize,
    },
    /// Not a document that is read here.
    #[error(transparent)]
    Json(#[from] JsonInvalid),
    /// Schema 1 in any spelling. Its digest is not that of its bytes, so it cannot be stored.
    #[error("schema 1 images are not accepted; push the image with a client that writes OCI or schema 2 manifests")]
    SchemaOne,
    /// `schemaVersion` is missing or not 2.
    #[error("the schemaVersion of a manifest is 2")]
    SchemaVersion,
    /// Neither the header nor the body says what the document is.
    #[error("the manifest names no mediaType, and the request no Content-Type; send one of them")]
    MediaTypeMissing,
    /// The header says another type than the body.
    #[error("the Content-Type is not the mediaType that the manifest names; send the same in both")]
    MediaTypeConflict,
    /// A type that is not stored as a manifest.
    #[error("the media type {0:?} is not one of a manifest; push an OCI or Docker schema 2 manifest or index")]
    MediaTypeUnsupported(String),
    /// A member of the other kind of document, which a reader of that kind would follow (CVE-2021-41190).
    #[error("a document of this media type has no {0:?}")]
    Ambiguous(&'static str),
    /// A key that differs from a known one by case only, which some readers take for it.
    #[error("{place} has the key {key:?}, which some clients read as another one")]
    Lookalike {
        /// Where the key stands.
        place: Place,
        /// The key.
        key: String,
    },
    /// A required member is missing.
    #[error("{place} has no {key:?}")]
    Missing {
        /// What lacks it.
        place: Place,
        /// The key.
        key: &'static str,
    },
    /// A member is of the wrong type or out of bounds.
    #[error("{key:?} of {place} is not {expected}")]
    Member {
        /// What holds it.
        place: Place,
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A place that should hold an object holds something else.
    #[error("{0} is not an object")]
    NotAnObject(Place),
    /// A malformed digest in a descriptor.
    #[error("the digest of {place} is not valid: {source}")]
    Digest {
        /// The descriptor.
        place: Place,
        /// Why.
        source: DigestInvalid,
    },
    /// A malformed media type in a descriptor.
    #[error("the mediaType of {place} is not valid: {source}")]
    MediaType {
        /// The descriptor.
        place: Place,
        /// Why.
        source: MediaTypeInvalid,
    },
    /// More descriptors than [`DESCRIPTORS`].
    #[error("a manifest names at most {DESCRIPTORS} contents")]
    TooManyDescriptors,
}

impl ManifestInvalid {
    /// The code that answers it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::ManifestTooLarge,
            Self::Json(_)
            | Self::SchemaOne
            | Self::SchemaVersion
            | Self::MediaTypeMissing
            | Self::MediaTypeConflict
            | Self::MediaTypeUnsupported(_)
            | Self::Ambiguous(_)
            | Self::Lookalike { .. }
            | Self::Missing { .. }
            | Self::Member { .. }
            | Self::NotAnObject(_)
            | Self::Digest { .. }
            | Self::MediaType { .. }
            | Self::TooManyDescriptors => ErrorCode::ManifestInvalid,
        }
    }
}
