//! Manifests to push.

use hallmark_oci::{Algorithm, Digest};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

fn descriptor(media_type: &str, content: &[u8]) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, digest(content), content.len())
}

/// An image of this configuration and these layers; with a subject it refers to that manifest.
pub(crate) fn image(config: &[u8], layers: &[&[u8]], subject: Option<&str>) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(LAYER, layer)).collect();
    let subject = subject.map(|body| format!(r#","subject":{}"#, descriptor(IMAGE, body.as_bytes())));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{},"layers":[{}]{}}}"#,
        descriptor(CONFIG, config),
        layers.join(","),
        subject.unwrap_or_default()
    )
}

/// An index of these manifests.
pub(crate) fn index(children: &[&str]) -> String {
    let children: Vec<_> = children.iter().map(|child| descriptor(IMAGE, child.as_bytes())).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","))
}
