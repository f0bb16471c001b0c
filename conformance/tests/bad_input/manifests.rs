//! Manifests that are too long, cut, mislabelled, or not the JSON that a manifest is.

use hallmark_conformance::{
    Outcome,
    check::refused,
    http::{Body, Connection, Request},
    image::{CONFIG, Content, INDEX, LAYER, MANIFEST, digest},
};
use serde_json::{Value, json};

use super::scene::{REPOSITORY, Scene};

/// The most bytes of a manifest that are taken (distribution-spec: at least 4 MiB).
const LIMIT: usize = 4 << 20;
/// How deep the nesting is that a parser must survive.
const DEPTH: usize = 10_000;

fn put(reference: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("PUT", format!("/v2/{REPOSITORY}/manifests/{reference}"))
        .header("Content-Type", media_type)
        .bytes(body)
}

fn parsed(scene: &Scene) -> Outcome<Value> {
    Ok(serde_json::from_slice(&scene.image.manifest.bytes)?)
}

/// The image's manifest with text of any length as its last member.
fn with_member(scene: &Scene, member: &str) -> Vec<u8> {
    let mut text = scene.image.manifest.bytes.clone();
    text.pop();
    text.extend_from_slice(format!(",{member}}}").as_bytes());
    text
}

#[test]
fn a_manifest_over_the_limit_is_refused_with_413_however_its_length_is_told() -> Outcome<()> {
    let scene = Scene::new()?;
    let body = with_member(&scene, &format!("\"x\":\"{}\"", "a".repeat(LIMIT)));
    let codes = ["MANIFEST_INVALID", "SIZE_INVALID"];
    scene.refuses(&put("big", MANIFEST, body.clone()), &[413], &codes)?;
    let chunks = body.chunks(100_000).map(<[u8]>::to_vec).collect();
    scene.refuses(&put("big", MANIFEST, b"").body(Body::Chunked(chunks)), &[413], &codes)?;
    Ok(())
}

#[test]
fn a_manifest_that_is_cut_off_is_not_stored() -> Outcome<()> {
    let scene = Scene::new()?;
    let before = scene.look()?;
    let bytes = &scene.image.manifest.bytes;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let request = put("cut", MANIFEST, b"")
        .header("Authorization", scene.registry.client().authorization(&[&scope])?)
        .body(Body::Truncated { promised: bytes.len() as u64, sent: bytes[..bytes.len() / 2].to_vec() });
    let mut connection = Connection::open(scene.server.port())?;
    connection.send(&request)?;
    connection.finish_writing()?;
    // A server may answer or only close; a good answer it must not give.
    if let Ok(answer) = connection.receive("PUT") {
        refused(&answer, &[400], &["SIZE_INVALID"])?;
    }
    scene.is_still(&before)
}

#[test]
fn a_manifest_that_is_not_its_digest_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let other = digest(b"something else");
    let request = put(&other, MANIFEST, scene.image.manifest.bytes.clone());
    scene.refuses(&request, &[400], &["DIGEST_INVALID"])?;
    Ok(())
}

#[test]
fn a_manifest_that_names_what_is_not_there_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let missing = json!({ "mediaType": LAYER, "digest": digest(b"missing"), "size": 7 });
    let mut layer = parsed(&scene)?;
    layer["layers"] = json!([missing]);
    let mut config = parsed(&scene)?;
    config["config"] = json!({ "mediaType": CONFIG, "digest": digest(b"missing"), "size": 7 });
    let child = json!({ "mediaType": MANIFEST, "digest": digest(b"missing"), "size": 7 });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] });
    for (media_type, body) in [(MANIFEST, layer), (MANIFEST, config), (INDEX, index)] {
        let request = put("missing", media_type, body.to_string());
        scene.refuses(&request, &[400], &["MANIFEST_BLOB_UNKNOWN"])?;
    }
    Ok(())
}

#[test]
fn a_manifest_that_tells_a_wrong_size_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    for size in [json!(-1), json!(1.5), json!("7"), json!(u64::MAX), json!(999)] {
        let mut manifest = parsed(&scene)?;
        manifest["config"]["size"] = size;
        let request = put("size", MANIFEST, manifest.to_string());
        scene.refuses(&request, &[400], &["MANIFEST_INVALID", "SIZE_INVALID", "MANIFEST_BLOB_UNKNOWN"])?;
    }
    Ok(())
}

#[test]
fn a_manifest_of_another_repository_s_blobs_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    // Knowing a digest gives nothing: existence is judged per repository (I6).
    let request = Request::new("PUT", "/v2/admin/other/manifests/1")
        .header("Content-Type", MANIFEST)
        .bytes(scene.image.manifest.bytes.clone());
    scene.refuses(&request, &[400], &["MANIFEST_BLOB_UNKNOWN"])?;
    Ok(())
}

#[test]
fn text_that_is_not_utf_8_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let mut inside = with_member(&scene, "\"x\":\"?\"");
    let at = inside.iter().rposition(|byte| *byte == b'?').unwrap_or_default();
    inside[at] = 0xFF;
    let lone_surrogate = with_member(&scene, r#""x":"\ud800""#);
    for body in [inside, b"\xFF\xFE{\0}\0".to_vec(), lone_surrogate] {
        scene.refuses(&put("text", MANIFEST, body), &[400], &["MANIFEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn a_key_that_stands_twice_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let other = json!({ "mediaType": CONFIG, "digest": scene.image.layers[0].digest, "size": 1 });
    let twice = with_member(&scene, &format!("\"config\":{other}"));
    let escaped = with_member(&scene, &format!("\"confi\\u0067\":{other}"));
    for body in [twice, escaped] {
        scene.refuses(&put("twice", MANIFEST, body), &[400], &["MANIFEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn nesting_ten_thousand_deep_is_refused_and_does_not_end_the_server() -> Outcome<()> {
    let scene = Scene::new()?;
    let arrays = format!("\"x\":{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("\"x\":{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    let bare = "[".repeat(DEPTH).into_bytes();
    for body in [with_member(&scene, &arrays), with_member(&scene, &objects), bare] {
        scene.refuses(&put("deep", MANIFEST, body), &[400], &["MANIFEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn a_body_that_is_no_manifest_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let bodies =
        ["", "null", "[]", "7", "\"x\"", "{", "{}", "{\"schemaVersion\":2}", "{\"schemaVersion\":1}", "not JSON"];
    for body in bodies {
        scene.refuses(&put("none", MANIFEST, body), &[400], &["MANIFEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn an_unknown_media_type_and_one_that_is_not_the_body_s_are_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let codes = ["MANIFEST_INVALID", "UNSUPPORTED"];
    let body = &scene.image.manifest.bytes;
    for media_type in ["text/plain", "application/octet-stream", "application/json; charset=x", "x", INDEX] {
        scene.refuses(&put("type", media_type, body.clone()), &[400], &codes)?;
    }
    let mut unknown = parsed(&scene)?;
    unknown["mediaType"] = json!("application/vnd.unknown.manifest.v1+json");
    let request = put("type", "application/vnd.unknown.manifest.v1+json", unknown.to_string());
    scene.refuses(&request, &[400], &codes)?;
    Ok(())
}

#[test]
fn schema_1_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    let body = json!({ "schemaVersion": 1, "name": REPOSITORY, "tag": "1", "fsLayers": [], "history": [] });
    for suffix in ["json", "prettyjws"] {
        let media_type = format!("application/vnd.docker.distribution.manifest.v1+{suffix}");
        scene.refuses(&put("old", &media_type, body.to_string()), &[400], &["MANIFEST_INVALID", "UNSUPPORTED"])?;
    }
    Ok(())
}

#[test]
fn a_referrer_with_a_malformed_subject_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    for subject in [json!({ "mediaType": MANIFEST, "digest": "sha256:short", "size": 1 }), json!("x"), json!([])] {
        let mut manifest = parsed(&scene)?;
        manifest["subject"] = subject;
        let content = Content::document(MANIFEST, &manifest);
        scene.refuses(&put("subject", MANIFEST, content.bytes), &[400], &["MANIFEST_INVALID", "DIGEST_INVALID"])?;
    }
    Ok(())
}
