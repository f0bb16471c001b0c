//! The one table of error codes: wire word, status, message.
//! What went wrong inside is never told here; rooms map their own errors onto this table.
//! Start at [`ErrorCode`].

use std::fmt;

macro_rules! error_codes {
    ($($(#[$meta:meta])* $variant:ident $word:literal $status:literal $message:literal;)+) => {
        /// A failure as the wire knows it (distribution-spec, "Error Codes", and the words that clients know besides).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$meta])* $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the `code` member of the errors document.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)+
                }
            }

            /// The sentence for the `message` member when nothing better is known.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)+
                }
            }
        }
    };
}

error_codes! {
    /// The repository holds no such blob.
    BlobUnknown "BLOB_UNKNOWN" 404 "this repository holds no such blob";
    /// The upload cannot go on. 404, as every registry answers it, so that clients begin anew.
    BlobUploadInvalid "BLOB_UPLOAD_INVALID" 404 "this upload cannot go on; begin a new one";
    /// No such upload in this repository for this user.
    BlobUploadUnknown "BLOB_UPLOAD_UNKNOWN" 404 "this upload is not known; begin a new one";
    /// The digest is malformed, or not that of the content.
    DigestInvalid "DIGEST_INVALID" 400 "the digest is malformed or does not match the content";
    /// The manifest names content that the repository does not hold.
    ManifestBlobUnknown "MANIFEST_BLOB_UNKNOWN" 400 "the manifest names content that this repository does not hold; push that first";
    /// The manifest is not one that is stored here.
    ManifestInvalid "MANIFEST_INVALID" 400 "the manifest is not valid";
    /// The manifest is over the size limit.
    ManifestTooLarge "MANIFEST_INVALID" 413 "the manifest is larger than this registry accepts";
    /// No such manifest.
    ManifestUnknown "MANIFEST_UNKNOWN" 404 "this repository holds no such manifest";
    /// The repository name is malformed.
    NameInvalid "NAME_INVALID" 400 "the repository name is not valid";
    /// No such repository.
    NameUnknown "NAME_UNKNOWN" 404 "this repository is not known";
    /// The content has another length than was declared.
    SizeInvalid "SIZE_INVALID" 400 "the length of the content is not the declared one";
    /// The chunk does not continue the upload, or the range is outside the content.
    RangeInvalid "RANGE_INVALID" 416 "the range does not fit; ask for the upload's status and continue from there";
    /// The tag is malformed.
    TagInvalid "TAG_INVALID" 400 "the tag is not valid";
    /// One put names more tags than are taken at once.
    TagsTooMany "TAG_INVALID" 414 "too many tags for one request; put the manifest again with the others";
    /// The page limit or cursor is malformed.
    PaginationNumberInvalid "PAGINATION_NUMBER_INVALID" 400 "the page limit is not a whole number of zero or more";
    /// No credentials, bad ones, or too few rights.
    Unauthorized "UNAUTHORIZED" 401 "authentication required";
    /// The rights do not allow this, and no other credentials of this kind would.
    Denied "DENIED" 403 "access to this resource is denied";
    /// The operation is not supported here.
    Unsupported "UNSUPPORTED" 405 "this operation is not supported";
    /// Nothing is served at this path.
    NotFound "NOT_FOUND" 404 "nothing is served at this path";
    /// A value that the management API does not take.
    Invalid "INVALID" 400 "the request is not valid";
    /// A change that stands against what is there.
    Conflict "CONFLICT" 409 "this stands against what is there";
    /// The thing is another by now than the caller believes.
    PreconditionFailed "PRECONDITION_FAILED" 412 "it was changed meanwhile; read it again";
    /// A trust collection is named by what is none of this registry's names (Notary v1, as the codes below).
    InvalidGun "INVALID_GUN" 400 "the trust collection is not named by this registry's host and a repository";
    /// There is no such trust metadata.
    MetadataNotFound "METADATA_NOT_FOUND" 404 "there is no such trust data";
    /// A part of a publish names no role.
    NoFilename "NO_FILENAME" 400 "each part of the upload needs a file name: the role";
    /// A part of a publish names what is no role.
    InvalidRole "INVALID_ROLE" 400 "this is no role of a trust collection";
    /// A publish is not what its media type says.
    MalformedUpload "MALFORMED_UPLOAD" 400 "the upload is not a well-formed multipart form";
    /// A part of a publish is not metadata.
    MalformedJson "MALFORMED_JSON" 400 "the metadata is not JSON";
    /// A publish that does not follow from what is there.
    InvalidUpdate "INVALID_UPDATE" 400 "the metadata does not follow from what is published";
    /// Another publish was faster, or the version is not newer.
    Version "VERSION" 400 "a newer version of this metadata is published already; update and sign again";
    /// The parameters of the list of changes are malformed.
    InvalidParameters "INVALID_PARAMETERS" 400 "the parameters are not whole numbers";
    /// Too many requests.
    TooManyRequests "TOOMANYREQUESTS" 429 "too many requests; try again later";
    /// The service cannot answer now.
    Unavailable "UNAVAILABLE" 503 "the service is not available now; try again later";
    /// The store is full.
    InsufficientStorage "INSUFFICIENT_STORAGE" 507 "the registry has no space left; its operator must make room";
    /// Something failed inside; the request id finds it in the log.
    Unknown "UNKNOWN" 500 "the registry failed to answer; its log tells why";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
