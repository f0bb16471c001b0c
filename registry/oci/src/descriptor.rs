//! Descriptors: what a manifest says about a content it names.
//! Reading one out of JSON is in `manifest/read.rs`; whether the content exists is not known here.
//! Start at [`Descriptor`].

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Digest, MediaType};

/// A content named by a manifest (image-spec, "OCI Content Descriptors").
///
/// `data` and `platform` are left out: they are the client's, and stay in the stored bytes of the manifest (I7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, at most [`crate::limits::CONTENT_BYTES`].
    pub size: u64,
    /// Where else the content may be fetched from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What the naming manifest says about the content.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The artifact type of the named manifest, as the naming index repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}
