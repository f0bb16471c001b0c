//! Manifests to push, whose descriptors state the sizes of what was named here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hallmark_oci::{Algorithm, Digest};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The sizes of contents by digest; what was never named here has none.
static SIZES: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

/// The digest of this content, whose size descriptors state from now on.
pub(crate) fn named(algorithm: Algorithm, content: &[u8]) -> Digest {
    let digest = Digest::of(algorithm, content);
    let mut sizes = SIZES.lock().unwrap_or_else(PoisonError::into_inner);
    sizes.get_or_insert_default().insert(digest.to_string(), content.len());
    digest
}

fn descriptor(media_type: &str, digest: &Digest) -> String {
    let sizes = SIZES.lock().unwrap_or_else(PoisonError::into_inner);
    let size = sizes.as_ref().and_then(|sizes| sizes.get(digest.as_str())).copied().unwrap_or_default();
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// An image with this config and these layers; `note` makes its digest its own.
pub(crate) fn image(config: &Digest, layers: &[&Digest], note: &str) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(LAYER, layer)).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{},"layers":[{}],"annotations":{{"note":"{note}"}}}}"#,
        descriptor(CONFIG, config),
        layers.join(",")
    )
}

/// An artifact of this type about a subject, if one is given.
pub(crate) fn artifact(config: &Digest, artifact_type: &str, subject: Option<&Digest>, note: &str) -> String {
    let subject = subject.map(|subject| format!(r#","subject":{}"#, descriptor(IMAGE, subject))).unwrap_or_default();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","artifactType":"{artifact_type}","config":{},"layers":[]{subject},"annotations":{{"note":"{note}"}}}}"#,
        descriptor("application/vnd.oci.empty.v1+json", config)
    )
}

/// An index of these manifests.
pub(crate) fn index(children: &[&Digest]) -> String {
    let children: Vec<_> = children.iter().map(|child| descriptor(IMAGE, child)).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","))
}
