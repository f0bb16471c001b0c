//! `Manifest::parse` over a `Content-Type` (the first line) and a body (the rest).
//! What is accepted means the same to a plain JSON reader, and is within every bound.

use hallmark_oci::limits::{CONTENT_BYTES, DESCRIPTORS, MANIFEST_BYTES};
use hallmark_oci::{Algorithm, Descriptor, Digest, Manifest};
use serde_json::Value;

pub(crate) fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let content_type = std::str::from_utf8(&input[..end]).ok();
    let body = input.get(end + 1..).unwrap_or_default();
    match Manifest::parse(body, content_type, MANIFEST_BYTES) {
        Ok(manifest) => check(&manifest, body),
        Err(error) => assert!(matches!(error.code().status(), 400 | 413)),
    }
}

fn check(manifest: &Manifest, body: &[u8]) {
    let document: Value = serde_json::from_slice(body).expect("an accepted manifest is JSON");
    let contents = [manifest.blobs(), manifest.foreign_layers(), manifest.children()];
    assert!(contents.iter().map(|contents| contents.len()).sum::<usize>() <= DESCRIPTORS);
    assert!(contents.iter().copied().flatten().all(|content| content.size <= CONTENT_BYTES));

    // Another reader finds the same contents.
    let written = ["layers", "manifests"].into_iter().flat_map(|key| document[key].as_array()).flatten();
    let config = Some(&document["config"]).filter(|config| !config.is_null());
    let mut written: Vec<_> = config.into_iter().chain(written).map(facts_of_json).collect();
    let mut found: Vec<_> = contents.into_iter().flatten().map(facts).collect();
    written.sort();
    found.sort();
    assert_eq!(written, found);
    if let Some(subject) = manifest.subject() {
        assert_eq!(facts_of_json(&document["subject"]), facts(subject));
    }

    // The type it is served as reads it again as the same.
    let media_type = manifest.media_type();
    assert_eq!(Manifest::parse(body, Some(media_type.as_str()), MANIFEST_BYTES).as_ref(), Ok(manifest));

    // Its entry in a referrers list is an entry that an index may have.
    let referrer = manifest.referrer(Digest::of(Algorithm::Sha256, body), body.len() as u64);
    let entry = serde_json::to_string(&referrer).expect("a referrer is JSON");
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{entry}]}}"#);
    let index = Manifest::parse(index.as_bytes(), None, MANIFEST_BYTES).expect("a list of referrers is an index");
    assert_eq!(index.children()[0].digest, referrer.digest);
    assert_eq!(index.children()[0].annotations, referrer.annotations);
    assert_eq!(index.children()[0].artifact_type, referrer.artifact_type);
}

fn facts(content: &Descriptor) -> (String, String, u64) {
    (content.media_type.to_string(), content.digest.to_string(), content.size)
}

fn facts_of_json(content: &Value) -> (String, String, u64) {
    let text = |key: &str| content[key].as_str().expect("an accepted descriptor has texts").to_owned();
    (text("mediaType"), text("digest"), content["size"].as_u64().expect("an accepted size is a whole number"))
}
