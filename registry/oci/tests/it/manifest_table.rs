//! Documents one by one: what each means, and why the ambiguous ones are refused (image-spec; CVE-2021-41190).

use hallmark_oci::limits::{DESCRIPTORS, JSON_DEPTH, MANIFEST_BYTES};
use hallmark_oci::{Descriptor, DigestInvalid, ErrorCode, JsonInvalid, Manifest, ManifestInvalid, MediaType, Place};
use serde_json::{Value, json};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

fn digest(number: u64) -> String {
    format!("sha256:{number:064x}")
}

fn descriptor(media_type: &str, number: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest(number), "size": number})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", 1),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", 2)],
    })
}

fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, 1)]})
}

/// `document` with the member at `pointer` set.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Array(entries) => entries[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
    document
}

fn without(mut document: Value, key: &str) -> Value {
    document.as_object_mut().unwrap().remove(key);
    document
}

fn parse(document: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestInvalid> {
    Manifest::parse(document.to_string().as_bytes(), content_type, MANIFEST_BYTES)
}

fn accepted(document: &Value) -> Manifest {
    parse(document, None).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn refused(document: &Value) -> ManifestInvalid {
    let error = parse(document, None).expect_err(&document.to_string());
    assert_eq!(error.code(), ErrorCode::ManifestInvalid);
    error
}

fn digests(descriptors: &[Descriptor]) -> Vec<&str> {
    descriptors.iter().map(|descriptor| descriptor.digest.as_str()).collect()
}

#[test]
fn an_image_names_its_config_and_layers() {
    let manifest = accepted(&image());
    assert_eq!(manifest.media_type(), MediaType::OCI_MANIFEST);
    assert_eq!(digests(manifest.blobs()), [digest(1), digest(2)]);
    assert_eq!(manifest.blobs()[1].size, 2);
    assert_eq!((manifest.children(), manifest.foreign_layers(), manifest.subject()), (&[][..], &[][..], None));
}

#[test]
fn an_index_names_its_children() {
    let manifest = accepted(&index());
    assert_eq!(manifest.media_type(), MediaType::OCI_INDEX);
    assert_eq!(digests(manifest.children()), [digest(1)]);
    assert!(manifest.blobs().is_empty());
}

#[test]
fn docker_schema_2_is_stored_as_it_is() {
    let image = with(image(), "/mediaType", json!(DOCKER_MANIFEST));
    assert_eq!(accepted(&image).media_type(), MediaType::DOCKER_MANIFEST);
    let list = with(index(), "/mediaType", json!(DOCKER_LIST));
    assert_eq!(accepted(&list).media_type(), MediaType::DOCKER_LIST);
}

#[test]
fn an_index_entry_that_is_no_manifest_is_a_blob() {
    let cache = "application/vnd.buildkit.cacheconfig.v0";
    let manifests = json!([
        descriptor(OCI_INDEX, 1),
        descriptor("application/vnd.oci.image.layer.v1.tar", 2),
        descriptor(cache, 3)
    ]);
    let manifest = accepted(&with(index(), "/manifests", manifests));
    assert_eq!(digests(manifest.children()), [digest(1)]);
    assert_eq!(digests(manifest.blobs()), [digest(2), digest(3)]);
}

#[test]
fn lists_may_be_empty_or_null_and_not_missing() {
    for (document, key) in [(image(), "layers"), (index(), "manifests")] {
        assert!(accepted(&with(document.clone(), &format!("/{key}"), json!([]))).children().is_empty());
        assert!(accepted(&with(document.clone(), &format!("/{key}"), Value::Null)).children().is_empty());
        let error = refused(&without(document, key));
        assert_eq!(error.to_string(), format!("the manifest has no {key:?}"));
    }
}

#[test]
fn an_image_has_a_config() {
    let expected = ManifestInvalid::Missing { place: Place::Document, key: "config" };
    assert_eq!(refused(&without(image(), "config")), expected);
    assert_eq!(refused(&with(image(), "/config", Value::Null)), expected);
}

#[test]
fn foreign_layers_with_a_url_need_not_exist() {
    let mut foreign = descriptor(FOREIGN, 3);
    let without_url = with(image(), "/layers", json!([foreign]));
    assert_eq!(digests(accepted(&without_url).blobs()), [digest(1), digest(3)]);
    foreign["urls"] = json!(["https://example.com/layer"]);
    let manifest = accepted(&with(image(), "/layers", json!([foreign, descriptor("a/b", 4)])));
    assert_eq!(digests(manifest.blobs()), [digest(1), digest(4)]);
    assert_eq!(digests(manifest.foreign_layers()), [digest(3)]);
    assert_eq!(manifest.foreign_layers()[0].urls, ["https://example.com/layer"]);
}

#[test]
fn unknown_members_types_and_embedded_data_are_kept_out_of_the_way() {
    let mut document = image();
    document["newUnspecifiedField"] = json!({"deep": [1, -2.5, null, true, {"x": "\u{1F600}"}]});
    document["artifactType"] = json!("application/vnd.example+type");
    document["annotations"] = json!({"org.example": "", "é": "\u{0}"});
    document["config"] = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(1), "size": 2, "data": "e30=", "unknown": 1,
        "platform": {"os": "linux"}, "annotations": {"a": "b"}, "artifactType": "x/y",
    });
    let manifest = accepted(&document);
    assert_eq!(manifest.artifact_type(), Some("application/vnd.example+type"));
    assert_eq!(manifest.annotations()["é"], "\u{0}");
    assert_eq!(manifest.blobs()[0].annotations["a"], "b");
    assert_eq!(manifest.blobs()[0].artifact_type.as_deref(), Some("x/y"));
}

#[test]
fn embedded_data_is_base64_and_is_not_compared_with_the_content() {
    for data in ["e30=", "", "AAAA", "AA==", "+/+/"] {
        accepted(&with(image(), "/config/data", json!(data)));
    }
    for data in [json!("e30"), json!("e3=0"), json!("===="), json!("a==="), json!("-_-_"), json!("e3 ="), json!(1)] {
        refused(&with(image(), "/config/data", data));
    }
}

#[test]
fn the_artifact_type_of_an_image_falls_back_to_its_config() {
    assert_eq!(accepted(&image()).artifact_type(), Some("application/vnd.oci.image.config.v1+json"));
    let empty = with(image(), "/artifactType", json!(""));
    assert_eq!(accepted(&empty).artifact_type(), Some("application/vnd.oci.image.config.v1+json"));
    assert_eq!(accepted(&index()).artifact_type(), None);
    assert_eq!(accepted(&with(index(), "/artifactType", json!("a/b"))).artifact_type(), Some("a/b"));
}

#[test]
fn a_referrer_is_listed_with_its_own_annotations_and_type() {
    let document =
        with(with(image(), "/subject", descriptor(OCI_MANIFEST, 9)), "/annotations", json!({"b": "2", "a": "1"}));
    let manifest = accepted(&document);
    assert_eq!(manifest.subject().unwrap().digest.as_str(), digest(9));
    let referrer = manifest.referrer(digest(7).parse().unwrap(), 728);
    let expected = format!(
        r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":728,"artifactType":"application/vnd.oci.image.config.v1+json","annotations":{{"a":"1","b":"2"}}}}"#,
        digest(7)
    );
    assert_eq!(serde_json::to_string(&referrer).unwrap(), expected);
    let bare = accepted(&with(index(), "/subject", descriptor(OCI_INDEX, 9))).referrer(digest(7).parse().unwrap(), 5);
    let expected = format!(r#"{{"mediaType":"{OCI_INDEX}","digest":"{}","size":5}}"#, digest(7));
    assert_eq!(serde_json::to_string(&bare).unwrap(), expected);
}

#[test]
fn only_oci_documents_have_a_subject() {
    let docker = with(with(image(), "/mediaType", json!(DOCKER_MANIFEST)), "/subject", json!("anything"));
    assert_eq!(accepted(&docker).subject(), None);
    assert_eq!(accepted(&with(image(), "/subject", Value::Null)).subject(), None);
    assert_eq!(refused(&with(image(), "/subject", json!([]))), ManifestInvalid::NotAnObject(Place::Subject));
}

#[test]
fn header_and_body_say_the_same_type_or_one_of_them_is_silent() {
    let silent = without(image(), "mediaType");
    for header in
        [OCI_MANIFEST, "Application/vnd.OCI.image.manifest.v1+JSON", &format!("{OCI_MANIFEST}; charset=utf-8")]
    {
        assert_eq!(parse(&image(), Some(header)).unwrap().media_type(), MediaType::OCI_MANIFEST);
        assert_eq!(parse(&silent, Some(header)).unwrap().media_type(), MediaType::OCI_MANIFEST);
    }
    assert_eq!(parse(&silent, Some(DOCKER_MANIFEST)).unwrap().media_type(), MediaType::DOCKER_MANIFEST);
    assert_eq!(parse(&image(), Some("")).unwrap().media_type(), MediaType::OCI_MANIFEST);
    for header in [DOCKER_MANIFEST, OCI_INDEX, "application/json", "application/octet-stream", "x"] {
        assert_eq!(parse(&image(), Some(header)), Err(ManifestInvalid::MediaTypeConflict), "{header}");
    }
    assert_eq!(parse(&silent, None), Err(ManifestInvalid::MediaTypeMissing));
    assert_eq!(parse(&silent, Some(" ; charset=utf-8")), Err(ManifestInvalid::MediaTypeMissing));
}

#[test]
fn a_type_that_is_no_manifests_is_refused() {
    for media_type in [
        "application/json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.oci.image.manifest.v2+json",
        "APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON",
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        "",
    ] {
        let document = with(image(), "/mediaType", json!(media_type));
        assert_eq!(refused(&document), ManifestInvalid::MediaTypeUnsupported(media_type.to_owned()));
    }
    let unknown = parse(&without(image(), "mediaType"), Some("Application/JSON"));
    assert_eq!(unknown, Err(ManifestInvalid::MediaTypeUnsupported("Application/JSON".to_owned())));
    refused(&with(image(), "/mediaType", json!(2)));
}

#[test]
fn schema_1_is_refused_in_every_spelling() {
    let one = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []});
    for document in [
        one.clone(),
        with(one.clone(), "/signatures", json!([])),
        with(one, "/schemaVersion", json!(2)),
        with(image(), "/mediaType", json!("application/vnd.docker.distribution.manifest.v1+json")),
        with(image(), "/mediaType", json!("application/vnd.docker.distribution.manifest.v1+prettyjws")),
        with(image(), "/schemaVersion", json!(1)),
    ] {
        assert_eq!(refused(&document), ManifestInvalid::SchemaOne, "{document}");
    }
    let header = "Application/vnd.docker.distribution.manifest.v1+PrettyJWS";
    assert_eq!(parse(&without(image(), "mediaType"), Some(header)), Err(ManifestInvalid::SchemaOne));
}

#[test]
fn the_schema_version_is_two() {
    assert_eq!(refused(&without(image(), "schemaVersion")), ManifestInvalid::SchemaVersion);
    for version in [json!(0), json!(3), json!(-2), json!(2.0), json!("2"), json!(true), json!([2]), Value::Null] {
        assert_eq!(refused(&with(image(), "/schemaVersion", version)), ManifestInvalid::SchemaVersion);
    }
}

#[test]
fn a_document_that_is_both_image_and_index_is_refused() {
    for (document, key) in [(image(), "manifests"), (index(), "layers"), (index(), "config")] {
        for value in [json!([]), json!({}), json!("x"), json!(0), json!(false)] {
            let both = with(document.clone(), &format!("/{key}"), value);
            assert_eq!(refused(&both), ManifestInvalid::Ambiguous(key), "{both}");
        }
    }
}

#[test]
fn a_key_that_other_readers_take_for_a_known_one_is_refused() {
    for (pointer, place) in [
        ("/Layers", Place::Document),
        ("/MANIFESTS", Place::Document),
        ("/mediatype", Place::Document),
        ("/manife\u{17f}ts", Place::Document),
        ("/config/Digest", Place::Config),
        ("/layers/0/SIZE", Place::Layer(0)),
        ("/layers/0/\u{17f}ize", Place::Layer(0)),
    ] {
        let key = pointer.rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(refused(&with(image(), pointer, Value::Null)), ManifestInvalid::Lookalike { place, key });
    }
    // Annotations are a map: their case means nothing.
    accepted(&with(image(), "/annotations", json!({"a": "1", "A": "2", "mediatype": "3"})));
}

#[test]
fn a_size_is_a_whole_number_that_63_bits_hold() {
    for (size, is_valid) in [
        ("0", true),
        ("9223372036854775807", true),
        ("9223372036854775808", false),
        ("18446744073709551615", false),
        ("18446744073709551616", false),
        ("1e400", false),
        ("-1", false),
        ("-0", false),
        ("1.0", false),
        ("1e3", false),
        ("\"1\"", false),
        ("null", false),
        ("[]", false),
    ] {
        let body = image().to_string().replace("\"size\":2", &format!("\"size\":{size}"));
        assert_eq!(Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).is_ok(), is_valid, "{size}");
    }
}

#[test]
fn a_descriptor_has_a_type_a_digest_and_a_size() {
    for pointer in ["/config", "/layers/0", "/subject"] {
        for key in ["mediaType", "digest", "size"] {
            let document = with(image(), "/subject", descriptor(OCI_MANIFEST, 3));
            let error = refused(&with(document, &format!("{pointer}/{key}"), Value::Null));
            assert!(matches!(error, ManifestInvalid::Missing { key: missing, .. } if missing == key), "{error}");
        }
    }
    let wrong = [json!("sha256:x"), json!(digest(1).to_uppercase()), json!(format!("md5:{:032x}", 1)), json!(1)];
    for digest in wrong {
        refused(&with(image(), "/layers/0/digest", digest));
    }
    let upper = json!(format!("sha256:{}", "A".repeat(64)));
    let expected = ManifestInvalid::Digest { place: Place::Layer(0), source: DigestInvalid::Case };
    assert_eq!(refused(&with(image(), "/layers/0/digest", upper)), expected);
    for media_type in [json!(""), json!("x"), json!("a/b\n"), json!(3)] {
        refused(&with(image(), "/config/mediaType", media_type));
    }
}

#[test]
fn members_of_the_wrong_type_are_refused() {
    for (pointer, value) in [
        ("/layers", json!({})),
        ("/layers", json!("x")),
        ("/layers/0", json!([])),
        ("/layers/0", Value::Null),
        ("/config", json!([])),
        ("/annotations", json!([])),
        ("/annotations", json!({"a": 1})),
        ("/annotations", json!({"a": null})),
        ("/artifactType", json!(1)),
        ("/artifactType", json!("a/b\u{0}")),
        ("/artifactType", json!("a".repeat(256))),
        ("/config/urls", json!("x")),
        ("/config/urls", json!([1])),
        ("/config/annotations", json!("x")),
    ] {
        refused(&with(image(), pointer, value));
    }
}

#[test]
fn a_manifest_names_at_most_4096_contents() {
    let layers: Vec<Value> = (0..DESCRIPTORS as u64).map(|number| descriptor("a/b", number)).collect();
    assert_eq!(refused(&with(image(), "/layers", json!(layers))), ManifestInvalid::TooManyDescriptors);
    let mut full = with(image(), "/layers", json!(layers[1..]));
    assert_eq!(accepted(&full).blobs().len(), DESCRIPTORS);
    full["subject"] = descriptor(OCI_MANIFEST, 1);
    assert_eq!(refused(&full), ManifestInvalid::TooManyDescriptors);
    let children: Vec<Value> = (0..=DESCRIPTORS as u64).map(|number| descriptor(OCI_MANIFEST, number)).collect();
    assert_eq!(refused(&with(index(), "/manifests", json!(children))), ManifestInvalid::TooManyDescriptors);
    assert_eq!(accepted(&with(index(), "/manifests", json!(children[1..]))).children().len(), DESCRIPTORS);
}

#[test]
fn a_manifest_has_at_most_as_many_bytes_as_the_limit_says() {
    let mut body = image().to_string().into_bytes();
    for limit in [MANIFEST_BYTES, 4 * MANIFEST_BYTES] {
        body.resize(limit, b' ');
        assert!(Manifest::parse(&body, None, limit).is_ok());
        body.push(b' ');
        let error = Manifest::parse(&body, None, limit).unwrap_err();
        assert_eq!((&error, error.code().status()), (&ManifestInvalid::TooLarge { limit }, 413));
    }
}

#[test]
fn a_large_manifest_of_annotations_is_accepted() {
    let annotations: Value = (0..60_000).map(|number| (format!("key.{number}"), json!("v".repeat(48)))).collect();
    let document = with(image(), "/annotations", annotations);
    assert!((3_700_000..MANIFEST_BYTES).contains(&document.to_string().len()));
    assert_eq!(accepted(&document).annotations().len(), 60_000);
}

fn json_refused(body: &[u8]) -> JsonInvalid {
    match Manifest::parse(body, Some(OCI_MANIFEST), MANIFEST_BYTES) {
        Err(ManifestInvalid::Json(invalid)) => invalid,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(&body[..body.len().min(80)])),
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_at_every_depth() {
    for (body, key) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"{"layers":[],"layers":[]}"#, "layers"),
        (r#"{"annotations":{"x":"1","y":"2","x":"3"}}"#, "x"),
        (r#"{"unknown":[[{"z":{"k":0,"\u006b":0}}]]}"#, "k"),
        (r#"{"":1,"":2}"#, ""),
    ] {
        assert_eq!(json_refused(body.as_bytes()), JsonInvalid::DuplicateKey(key.to_owned()), "{body}");
    }
}

#[test]
fn of_a_long_key_only_the_beginning_is_repeated() {
    let key = "k".repeat(1_000_000);
    let body = format!("{{\"{key}\":1,\"{key}\":1}}");
    assert_eq!(json_refused(body.as_bytes()), JsonInvalid::DuplicateKey("k".repeat(255)));
}

#[test]
fn nesting_is_bounded_and_deep_documents_are_refused_without_harm() {
    let nested = |levels: usize, open: &str, close: &str| {
        format!(r#"{{"x":{}0{}}}"#, open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    // The document itself is one level.
    let deepest = Manifest::parse(&nested(JSON_DEPTH - 1, "[", "]"), Some(OCI_MANIFEST), MANIFEST_BYTES);
    assert_eq!(deepest, Err(ManifestInvalid::SchemaVersion));
    assert_eq!(json_refused(&nested(JSON_DEPTH, "[", "]")), JsonInvalid::TooDeep);
    assert_eq!(json_refused(&nested(10_000, "[", "]")), JsonInvalid::TooDeep);
    assert_eq!(json_refused(&nested(10_000, r#"{"x":"#, "}")), JsonInvalid::TooDeep);
    assert_eq!(json_refused("[".repeat(4_000_000).as_bytes()), JsonInvalid::TooDeep);
}

#[test]
fn the_number_of_values_is_bounded() {
    let body = format!(r#"{{"x":[{}0]}}"#, "0,".repeat(1_000_000));
    assert_eq!(json_refused(body.as_bytes()), JsonInvalid::TooManyValues);
}

#[test]
fn what_is_not_utf_8_json_is_refused() {
    for body in [&b"\xff"[..], b"{\"a\":\"\xc3\x28\"}", b"{\"\xed\xa0\x80\":1}", b"\xfe\xff\x00{"] {
        assert_eq!(json_refused(body), JsonInvalid::NotUtf8);
    }
    for body in [
        "",
        " ",
        "{",
        "{]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":NaN}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\u{1}\"}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{1:1}",
        "/**/{}",
        "nul",
    ] {
        assert!(matches!(json_refused(body.as_bytes()), JsonInvalid::Syntax { .. }), "{body}");
    }
    for body in ["[]", "null", "\"x\"", "2", "true"] {
        assert_eq!(
            Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES),
            Err(ManifestInvalid::NotAnObject(Place::Document))
        );
    }
}

#[test]
fn an_index_lists_its_children_in_order() {
    let listed = accepted(&with(index(), "/manifests", json!([descriptor(OCI_MANIFEST, 1), descriptor(OCI_INDEX, 2)])));
    assert_eq!(digests(listed.children()), [digest(1), digest(2)]);
}
