//! Media types, and which of them this registry knows the meaning of.
//! No `Accept` negotiation: manifests are served as the type they were pushed with.
//! Start at [`MediaType`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::limits::MEDIA_TYPE_BYTES;

/// A media type as it stands in a descriptor.
///
/// Any printable ASCII with a slash inside is accepted: the image specification forbids to refuse types that are not
/// known, and released clients write types that RFC 6838 does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// An OCI image manifest.
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// An OCI image index.
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// A Docker schema 2 image manifest.
    pub const DOCKER_MANIFEST: Self = Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// A Docker manifest list.
    pub const DOCKER_LIST: Self = Self::known("application/vnd.docker.distribution.manifest.list.v2+json");

    const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The text, exactly as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether content of this type is stored as a manifest: one of the four types that [`crate::Manifest`] reads.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        [Self::OCI_MANIFEST, Self::OCI_INDEX, Self::DOCKER_MANIFEST, Self::DOCKER_LIST].contains(self)
    }

    /// Whether layers of this type may be absent from a registry, because their licence forbids to distribute them.
    #[must_use]
    pub fn is_foreign_layer(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || self.0.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }

    fn check(text: &str) -> Result<(), MediaTypeInvalid> {
        if text.len() > MEDIA_TYPE_BYTES {
            return Err(MediaTypeInvalid);
        }
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let (kind, subtype) = text.split_once('/').ok_or(MediaTypeInvalid)?;
        let is_whole = |part: &str| !part.is_empty() && part.trim() == part;
        if printable && is_whole(kind) && is_whole(subtype) { Ok(()) } else { Err(MediaTypeInvalid) }
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::check(text)?;
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for MediaType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::check(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(Cow::Owned(text)))
    }
}

/// A text that is not a [`MediaType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a media type is written as type/subtype in at most {MEDIA_TYPE_BYTES} printable ASCII characters")]
pub struct MediaTypeInvalid;
