//! Every kind of manifest: taken, given back byte for byte, found by its subject, and gone when it is deleted.

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    http::{Body, Request, encode},
    image::{CONFIG, Content, INDEX, Image, Index, LAYER, MANIFEST, digest, digest_sha512},
    registry::{Registry, path_of},
    server::Server,
};
use serde_json::{Value, json};

const REPOSITORY: &str = "admin/spec";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const ARTIFACT: &str = "application/vnd.example.artifact";

/// A server with one pushed image to build on.
fn scene() -> Outcome<(Server, Registry, Image)> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let image = Image::random(1, &[1_000, 2_000]);
    registry.push_image(REPOSITORY, "image", &image)?;
    Ok((server, registry, image))
}

fn document(image: &Image) -> Outcome<Value> {
    Ok(serde_json::from_slice(&image.manifest.bytes)?)
}

/// Puts a manifest as a stream of chunks, reads it back by tag and digest with HEAD and GET, and deletes its tag and it.
fn comes_and_goes(registry: &Registry, manifest: &Content, subject: Option<&str>) -> Outcome<()> {
    let pieces = manifest.bytes.chunks(1_000).map(<[u8]>::to_vec).collect();
    let request = Request::new("PUT", format!("/v2/{REPOSITORY}/manifests/tag"))
        .header("Content-Type", &manifest.media_type)
        .body(Body::Chunked(pieces));
    let answer = registry.client().send(&request)?.expect(201)?;
    holds(answer.header("oci-subject") == subject, || format!("the subject is {subject:?}: {answer}"))?;
    let location = path_of(answer.required("location")?).to_owned();
    let at_location = registry.client().send(&Request::new("GET", location))?.expect(200)?;
    holds(at_location.body == manifest.bytes, || "the Location has other bytes".into())?;
    is_served(registry, manifest)?;
    registry.delete_manifest(REPOSITORY, "tag")?.expect(202)?;
    registry.manifest(REPOSITORY, "tag")?.expect(404)?;
    registry.manifest(REPOSITORY, &manifest.digest)?.expect(200)?;
    registry.delete_manifest(REPOSITORY, &manifest.digest)?.expect(202)?;
    registry.manifest(REPOSITORY, &manifest.digest)?.expect(404)?;
    Ok(())
}

fn is_served(registry: &Registry, manifest: &Content) -> Outcome<()> {
    for reference in ["tag", &manifest.digest] {
        for method in ["HEAD", "GET"] {
            // The official suite sends two headers, and neither names every type.
            let request = Request::new(method, format!("/v2/{REPOSITORY}/manifests/{reference}"))
                .header("Accept", "application/vnd.oci.image.manifest.v1+json")
                .header("Accept", "application/vnd.oci.image.index.v1+json");
            let answer = registry.client().send(&request)?.expect(200)?;
            let tells = |name: &str, value: &str| answer.header(name) == Some(value);
            let headers = tells("docker-content-digest", &manifest.digest)
                && tells("content-type", &manifest.media_type)
                && tells("content-length", &manifest.bytes.len().to_string());
            holds(headers, || format!("{method} {reference} was answered {answer}"))?;
            holds(method == "HEAD" || answer.body == manifest.bytes, || format!("{reference} has other bytes"))?;
        }
    }
    Ok(())
}

/// The manifest of the scene's image with one member changed, through its whole life.
fn with_member(name: &str, value: Value) -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let mut manifest = document(&image)?;
    manifest[name] = value;
    comes_and_goes(&registry, &Content::document(MANIFEST, &manifest), None)
}

#[test]
fn a_manifest_just_below_the_limit_is_taken() -> Outcome<()> {
    let annotations = (0..390).map(|number| (format!("large-{number}"), json!("A".repeat(10_000)))).collect();
    with_member("annotations", Value::Object(annotations))
}

#[test]
fn a_manifest_without_layers_is_taken() -> Outcome<()> {
    with_member("layers", json!([]))
}

#[test]
fn members_that_nobody_knows_come_back_byte_for_byte() -> Outcome<()> {
    with_member("org.example.unknown", json!({ "deep": [1, { "er": null }], "spaced": " \u{e9} " }))
}

#[test]
fn a_manifest_without_its_own_media_type_is_what_its_header_says() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let mut manifest = document(&image)?;
    manifest.as_object_mut().map(|members| members.remove("mediaType"));
    comes_and_goes(&registry, &Content::document(MANIFEST, &manifest), None)
}

#[test]
fn content_inside_a_descriptor_is_not_altered() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let empty = registry.push_blob(REPOSITORY, b"{}")?;
    let mut manifest = document(&image)?;
    manifest["config"] = json!({ "mediaType": EMPTY, "digest": empty, "size": 2, "data": "e30=" });
    manifest["artifactType"] = json!(ARTIFACT);
    comes_and_goes(&registry, &Content::document(MANIFEST, &manifest), None)
}

#[test]
fn layers_that_are_not_distributed_need_not_be_there() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let mut manifest = document(&image)?;
    let absent = digest(b"kept by its owner");
    manifest["layers"] = json!([{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": absent, "size": 123_456, "urls": [format!("https://store.example.com/{absent}")],
    }, image.layers[0].descriptor()]);
    comes_and_goes(&registry, &Content::document(MANIFEST, &manifest), None)
}

#[test]
fn an_index_is_taken_with_its_images_nested_and_empty() -> Outcome<()> {
    let (_server, registry, _) = scene()?;
    let index = Index::random(5, 1_000);
    registry.push_index(REPOSITORY, "index", &index)?;
    registry.check_image(REPOSITORY, "index")?;
    let entries = json!([index.manifest.descriptor()]);
    let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    comes_and_goes(&registry, &Content::document(INDEX, &nested), None)?;
    let empty = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    comes_and_goes(&registry, &Content::document(INDEX, &empty), None)
}

#[test]
fn docker_s_own_types_are_served_as_they_came() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    let mut manifest = document(&image)?;
    manifest["mediaType"] = json!(media_type);
    manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    let child = Content::document(media_type, &manifest);
    comes_and_goes(&registry, &child, None)?;
    registry.put_manifest(REPOSITORY, &child.digest, &child)?.expect(201)?;
    let list_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    let list = json!({ "schemaVersion": 2, "mediaType": list_type, "manifests": [child.descriptor()] });
    comes_and_goes(&registry, &Content::document(list_type, &list), None)
}

#[test]
fn a_manifest_is_pushed_by_its_sha512_digest_and_its_tag_remembers_that() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let mut manifest = image.manifest.clone();
    manifest.digest = digest_sha512(&manifest.bytes);
    registry.put_manifest(REPOSITORY, &manifest.digest, &manifest)?.expect(201)?;
    let target = format!("/v2/{REPOSITORY}/manifests/{}?tag=tag", manifest.digest);
    let request = Request::new("PUT", target).header("Content-Type", MANIFEST).bytes(manifest.bytes.clone());
    registry.client().send(&request)?.expect(201)?;
    is_served(&registry, &manifest)
}

#[test]
fn one_put_makes_many_tags_and_names_each() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let tags: Vec<String> = (0..10).map(|number| format!("v{number}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let request = Request::new("PUT", format!("/v2/{REPOSITORY}/manifests/{}?{query}", image.manifest.digest))
        .header("Content-Type", MANIFEST)
        .bytes(image.manifest.bytes.clone());
    let answer = registry.client().send(&request)?.expect(201)?;
    let told = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("oci-tag"));
    let told: Vec<&str> = told.flat_map(|(_, value)| value.split(',').map(str::trim)).collect();
    holds(told == tags, || format!("the tags {tags:?} were put and {told:?} named"))?;
    tags.iter().try_for_each(|tag| registry.check_image(REPOSITORY, tag).map(|_| ()))
}

/// A manifest with a subject: an artifact without a configuration of its own.
fn referrer(subject: &Value, artifact_type: &str, note: &str) -> Content {
    let empty = json!({ "mediaType": EMPTY, "digest": digest(b"{}"), "size": 2, "data": "e30=" });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": empty, "layers": [empty],
        "subject": subject, "annotations": { "org.example.note": note },
    });
    Content::document(MANIFEST, &manifest)
}

#[test]
fn referrers_are_listed_with_their_annotations_filtered_and_gone_when_deleted() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    registry.push_blob(REPOSITORY, b"{}")?;
    let subject = image.manifest.descriptor();
    let (one, two) = (referrer(&subject, ARTIFACT, "one"), referrer(&subject, "application/vnd.example.b+json", "two"));
    for content in [&one, &two] {
        let answer = registry.put_manifest(REPOSITORY, &content.digest, content)?.expect(201)?;
        let told = answer.header("oci-subject");
        holds(told == Some(&image.manifest.digest), || format!("the subject is not told: {answer}"))?;
    }
    let found = registry.referrers(REPOSITORY, &image.manifest.digest)?;
    holds(found.len() == 2, || format!("two referrers were pushed: {found:?}"))?;
    for (content, note, artifact_type) in [(&one, "one", ARTIFACT), (&two, "two", "application/vnd.example.b+json")] {
        let expected = json!({
            "mediaType": MANIFEST, "digest": content.digest, "size": content.bytes.len(),
            "artifactType": artifact_type, "annotations": { "org.example.note": note },
        });
        holds(found.contains(&expected), || format!("{expected} is not among {found:?}"))?;
    }
    let filtered = format!("/v2/{REPOSITORY}/referrers/{}?artifactType={}", image.manifest.digest, encode(ARTIFACT));
    let answer = registry.client().send(&Request::new("GET", filtered))?.expect(200)?;
    holds(answer.header("oci-filters-applied") == Some("artifactType"), || {
        format!("the filter is not told: {answer}")
    })?;
    let listed = answer.json()?["manifests"].as_array().map_or(0, Vec::len);
    holds(listed == 1, || format!("one referrer has this type: {answer}"))?;
    registry.delete_manifest(REPOSITORY, &one.digest)?.expect(202)?;
    let left = registry.referrers(REPOSITORY, &image.manifest.digest)?;
    holds(left.len() == 1, || format!("a deleted referrer is still listed: {left:?}"))
}

#[test]
fn a_subject_need_not_be_there_and_an_unknown_one_has_an_empty_list() -> Outcome<()> {
    let (_server, registry, _) = scene()?;
    registry.push_blob(REPOSITORY, b"{}")?;
    let missing = digest(b"missing content");
    let subject = json!({ "mediaType": MANIFEST, "digest": missing, "size": 123 });
    comes_and_goes(&registry, &referrer(&subject, ARTIFACT, "x"), Some(&missing))?;
    for repository in [REPOSITORY, "admin/nobody-pushed-here"] {
        let request = Request::new("GET", format!("/v2/{repository}/referrers/{missing}"));
        let answer = registry.client().send(&request)?.expect(200)?;
        holds(answer.header("content-type") == Some(INDEX), || format!("the type is not exact: {answer}"))?;
        holds(answer.json()?["manifests"] == json!([]), || format!("the list is not empty: {answer}"))?;
    }
    Ok(())
}

#[test]
fn an_index_with_a_subject_is_a_referrer_and_a_configuration_s_type_stands_for_a_missing_one() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let subject = image.manifest.descriptor();
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "artifactType": ARTIFACT, "manifests": [subject], "subject": subject,
    });
    let index = Content::document(INDEX, &index);
    let mut typed = document(&image)?;
    typed["subject"] = subject;
    let typed = Content::document(MANIFEST, &typed);
    for content in [&index, &typed] {
        registry.put_manifest(REPOSITORY, &content.digest, content)?.expect(201)?;
    }
    let found = registry.referrers(REPOSITORY, &image.manifest.digest)?;
    let kind = |content: &Content| {
        let entry = found.iter().find(|entry| entry["digest"] == content.digest.as_str());
        entry.map(|entry| entry["artifactType"].clone())
    };
    holds(kind(&index) == Some(json!(ARTIFACT)), || format!("the index is not listed: {found:?}"))?;
    holds(kind(&typed) == Some(json!(CONFIG)), || format!("the configuration's type is not listed: {found:?}"))
}

#[test]
fn what_is_still_named_is_not_deleted() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    // A blob or child that a manifest names stays (I1): 405, and the answer names the parent.
    let refusal = registry.delete_blob(REPOSITORY, &image.layers[0].digest)?;
    refused(&refusal, &[405], &["UNSUPPORTED"])?;
    holds(refusal.text().contains(&image.manifest.digest), || format!("the parent is not named: {refusal}"))?;
    registry.check_image(REPOSITORY, "image")?;
    registry.delete_manifest(REPOSITORY, &image.manifest.digest)?.expect(202)?;
    registry.delete_blob(REPOSITORY, &image.layers[0].digest)?.expect(202)?;
    Ok(())
}

#[test]
fn what_was_never_pushed_is_unknown() -> Outcome<()> {
    let (_server, registry, _) = scene()?;
    for reference in ["nowhere", digest(b"never").as_str(), digest_sha512(b"never").as_str()] {
        refused(&registry.manifest(REPOSITORY, reference)?, &[404], &["MANIFEST_UNKNOWN"])?;
        refused(&registry.delete_manifest(REPOSITORY, reference)?, &[404], &["MANIFEST_UNKNOWN"])?;
    }
    refused(&registry.manifest("admin/nowhere", "1")?, &[404], &["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])?;
    let missing = json!({ "mediaType": LAYER, "digest": digest(b"never"), "size": 5 });
    let answer =
        registry.client().send(&Request::new("HEAD", format!("/v2/{REPOSITORY}/blobs/{}", digest(b"never"))))?;
    holds(answer.status == 404, || format!("{missing} was found: {answer}"))
}
