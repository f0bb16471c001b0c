//! Why a request line is no operation, and which code answers it.
//! What is refused for other reasons (rights, absence) is not here.
//! Start at [`OperationInvalid`].

use thiserror::Error;

use crate::limits::{CURSOR_BYTES, TAGS_PER_PUT};
use crate::{DigestInvalid, ErrorCode, GunInvalid, RepositoryNameInvalid, TagInvalid};

/// Why a request line is not an [`crate::Operation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OperationInvalid {
    /// A broken or forbidden percent-escape, an empty component, `.` or `..`.
    #[error(
        "the path is not one of plain components; send the repository name unescaped, without empty or dot components"
    )]
    Path,
    /// Nothing is served there.
    #[error("nothing is served at this path; the registry's paths begin with /v2/")]
    Route,
    /// The path is known and the method is not one of its own.
    #[error("this path is served for {allowed} only")]
    Method {
        /// The methods, as the `Allow` header lists them.
        allowed: &'static str,
    },
    /// A malformed repository name.
    #[error(transparent)]
    Name(#[from] RepositoryNameInvalid),
    /// A manifest is read by what can be no tag, so none is called so.
    #[error("no manifest is called so: this is neither a tag nor a digest")]
    ReferenceUnknown,
    /// A malformed tag where one is written or deleted.
    #[error(transparent)]
    Tag(#[from] TagInvalid),
    /// Tags beside a tag.
    #[error("further tags can be given only where the manifest is put by digest")]
    TagsWithoutDigest,
    /// More tags than are taken at once.
    #[error("one request sets at most {TAGS_PER_PUT} tags; put the manifest again with the others")]
    TagsTooMany,
    /// A malformed digest.
    #[error(transparent)]
    Digest(#[from] DigestInvalid),
    /// An upload is finished without a digest, or with two.
    #[error("an upload is finished with exactly one digest parameter")]
    DigestMissing,
    /// No upload has this id.
    #[error("no upload has this id; begin a new one")]
    UploadUnknown,
    /// `n` is not a whole number of zero or more.
    #[error("n is a whole number of zero or more")]
    PageLimit,
    /// Metadata is published under a malformed name.
    #[error(transparent)]
    Gun(GunInvalid),
    /// No metadata has this name.
    #[error("no trust data is called so")]
    TrustUnknown,
    /// The part of the list of changes that is asked for is malformed.
    #[error("records is a whole number, and change_id too where it is given")]
    TrustParameters,
    /// `last` is nothing that a list could hold.
    #[error("last is an entry of the list, at most {CURSOR_BYTES} characters")]
    PageCursor,
}

impl OperationInvalid {
    /// The methods that the path is served for, when only the method is wrong.
    #[must_use]
    pub fn allowed(self) -> Option<&'static str> {
        if let Self::Method { allowed } = self { Some(allowed) } else { None }
    }

    /// The code that answers it.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Path | Self::Name(_) => ErrorCode::NameInvalid,
            Self::Route => ErrorCode::NotFound,
            Self::Method { .. } => ErrorCode::Unsupported,
            Self::ReferenceUnknown => ErrorCode::ManifestUnknown,
            Self::Tag(_) | Self::TagsWithoutDigest => ErrorCode::TagInvalid,
            Self::TagsTooMany => ErrorCode::TagsTooMany,
            Self::Digest(_) | Self::DigestMissing => ErrorCode::DigestInvalid,
            Self::UploadUnknown => ErrorCode::BlobUploadUnknown,
            Self::PageLimit | Self::PageCursor => ErrorCode::PaginationNumberInvalid,
            Self::Gun(_) => ErrorCode::InvalidGun,
            Self::TrustUnknown => ErrorCode::MetadataNotFound,
            Self::TrustParameters => ErrorCode::InvalidParameters,
        }
    }
}
