//! Documents to push.

use hallmark_oci::{Algorithm, Digest};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The artifact type of what refers to something here.
pub(crate) const ARTIFACT: &str = "application/vnd.test.signature+json";

/// A descriptor of `content`.
pub(crate) fn descriptor(kind: &str, content: &str) -> String {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, content.len())
}

/// An OCI image manifest of these contents.
pub(crate) fn image(config: &str, layers: &[&str]) -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json", config);
    let layers: Vec<_> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let layers = layers.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]}}"#)
}

/// An OCI index of these image manifests.
pub(crate) fn index(manifests: &[&str]) -> String {
    let children: Vec<_> = manifests.iter().map(|manifest| descriptor(OCI_MANIFEST, manifest)).collect();
    let children = children.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{children}]}}"#)
}
