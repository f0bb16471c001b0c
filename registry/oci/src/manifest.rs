//! Manifests: what a pushed document means to a registry.
//! The bytes stay with the caller, who stores and serves them exactly as received (I7); nothing is re-serialized.
//! Start at [`Manifest::parse`]; the reading of the document is in `manifest/read.rs`.

mod error;
mod read;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::error::{ManifestInvalid, Place};
use crate::{Descriptor, Digest, MediaType};

/// The facts of an image manifest or an index, of OCI or of Docker schema 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    kind: Kind,
    artifact_type: Option<String>,
    subject: Option<Descriptor>,
    annotations: BTreeMap<String, String>,
    blobs: Vec<Descriptor>,
    foreign_layers: Vec<Descriptor>,
    children: Vec<Descriptor>,
}

/// The four types that are stored as manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OciImage,
    OciIndex,
    DockerImage,
    DockerList,
}

impl Manifest {
    /// Reads a manifest, refusing whatever could mean different things to different readers.
    ///
    /// `content_type` is the value of the request's `Content-Type` header. Where the body names its own `mediaType` the
    /// two must agree; OCI bodies may leave it out, and then the header decides. A body longer than `limit` bytes is not
    /// read: see [`crate::limits::MANIFEST_BYTES`].
    ///
    /// # Errors
    /// [`ManifestInvalid`], each variant as it says.
    pub fn parse(body: &[u8], content_type: Option<&str>, limit: usize) -> Result<Self, ManifestInvalid> {
        read::manifest(body, content_type, limit)
    }

    /// The type that the manifest was pushed as, and is served as.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        match self.kind {
            Kind::OciImage => MediaType::OCI_MANIFEST,
            Kind::OciIndex => MediaType::OCI_INDEX,
            Kind::DockerImage => MediaType::DOCKER_MANIFEST,
            Kind::DockerList => MediaType::DOCKER_LIST,
        }
    }

    /// What the referrers API says and filters by: `artifactType`, or the type of an image's config
    /// (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// The manifest that this one is about. It may be absent from the registry, now and for ever.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// The manifest's own annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The blobs that must stand in the repository: config and layers, in order, repeated as the document repeats them.
    ///
    /// An index's entries of a type that is no manifest's are blobs as well: BuildKit exports its cache so.
    #[must_use]
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// The layers that may be absent: of a non-distributable type, with a URL to fetch them from.
    #[must_use]
    pub fn foreign_layers(&self) -> &[Descriptor] {
        &self.foreign_layers
    }

    /// The manifests that an index lists, in order.
    ///
    /// Of the index under a fallback tag (see [`Digest::fallback_tag`]) these are the referrers of the tag's subject.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        &self.children
    }

    /// This manifest's entry in the list of its subject's referrers; `digest` and `size` are those of its stored bytes.
    #[must_use]
    pub fn referrer(&self, digest: Digest, size: u64) -> ReferrerDescriptor {
        ReferrerDescriptor {
            media_type: self.media_type(),
            digest,
            size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// An entry of the referrers answer, whose JSON is exactly what the answer holds: annotations are the referrer's own,
/// copied whole (distribution-spec, "Listing Referrers").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerDescriptor {
    /// The type of the referring manifest.
    pub media_type: MediaType,
    /// The digest of the referring manifest.
    pub digest: Digest,
    /// The size of the referring manifest in bytes.
    pub size: u64,
    /// [`Manifest::artifact_type`] of the referring manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The annotations of the referring manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
