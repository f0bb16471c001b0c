//! Manifests to push.

use hallmark_oci::Digest;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn descriptor(media_type: &str, digest: &Digest) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":7}}"#)
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
