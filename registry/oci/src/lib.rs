//! The vocabulary of an OCI registry: names, digests, manifests, requests, tokens and errors, each parsed once into a type.
//! No I/O, no async, no clock and no policy: whether something exists or is allowed is asked elsewhere.
//! Start at [`Operation::parse`] for requests and at [`Manifest::parse`] for documents; the grammars stand one to a file.

mod text;

mod action;
mod challenge;
mod claims;
mod descriptor;
mod digest;
mod error;
mod gun;
mod hasher;
mod json;
pub mod limits;
mod manifest;
mod media_type;
mod operation;
mod range;
mod reference;
mod repository;
mod scope;
mod tag;
mod token;
mod upload;

pub use action::{Action, ActionUnknown};
pub use challenge::{Challenge, ChallengeError, ChallengeInvalid};
pub use claims::{Claims, ClaimsInvalid, ClaimsRefused};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestInvalid};
pub use error::ErrorCode;
pub use gun::{Gun, GunInvalid, ServerRole, TrustRole, TrustRoleInvalid};
pub use hasher::{HashStateInvalid, Hasher};
pub use json::JsonInvalid;
pub use manifest::{Manifest, ManifestInvalid, Place, ReferrerDescriptor};
pub use media_type::{MediaType, MediaTypeInvalid};
pub use operation::{
    AppendUpload, BeginUpload, CancelUpload, DeleteBlob, DeleteManifest, DeleteTrust, FinishUpload, ListReferrers,
    ListRepositories, ListTags, ListTrustChanges, Mount, Operation, OperationInvalid, Page, PublishTrust, PullBlob,
    PullManifest, PutManifest, ReadTrust, ReadTuf, TrustKey, TrustVersion, TufFile, UploadStatus,
};
pub use range::{ByteRange, ChunkRange, ChunkRangeInvalid, RangeAnswer};
pub use reference::{Reference, ReferenceInvalid};
pub use repository::{RepositoryName, RepositoryNameInvalid};
pub use scope::{Access, Scope, ScopeInvalid, Scopes};
pub use tag::{Tag, TagInvalid};
pub use token::{CompactToken, SigningAlgorithm, TokenHeader, TokenInvalid};
pub use upload::{UploadId, UploadIdInvalid};
