//! What holds for every document: its facts are the ones written into it, and one wrong thing refuses the whole.

use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{JsonInvalid, Manifest, ManifestInvalid};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::strategies::{digest_text, nearly};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Any JSON value, for members that this registry does not know.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("x[a-z]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn annotations() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)
        .prop_map(|members| members.into_iter().map(|(key, value)| (key, Value::from(value))).collect::<Map<_, _>>())
        .prop_map(Value::Object)
}

fn descriptor(media_type: &'static str) -> impl Strategy<Value = Value> {
    (digest_text(), 0..=i64::MAX, prop::option::of(annotations()), any::<u16>()).prop_map(
        move |(digest, size, annotations, unknown)| {
            json!({
                "mediaType": media_type, "digest": digest, "size": size, "annotations": annotations, "xUnknown": unknown,
            })
        },
    )
}

/// A well-formed image or index with members that nobody knows.
fn document() -> impl Strategy<Value = Value> {
    let subject = prop::option::of(descriptor(OCI_MANIFEST));
    let facts = (prop::option::of("[a-z]{1,8}/[a-z.+]{1,12}"), subject, annotations(), any_json());
    let layers = (descriptor("a/config"), prop::collection::vec(descriptor("a/layer"), 0..5));
    let children = prop::collection::vec(descriptor(OCI_MANIFEST), 0..5);
    (facts, layers, children, any::<bool>()).prop_map(
        |((artifact_type, subject, annotations, unknown), (config, layers), children, is_index)| {
            let mut document = json!({
                "schemaVersion": 2, "artifactType": artifact_type, "subject": subject, "annotations": annotations,
                "xUnknown": unknown,
            });
            if is_index {
                document["mediaType"] = json!(OCI_INDEX);
                document["manifests"] = json!(children);
            } else {
                document["mediaType"] = json!(OCI_MANIFEST);
                document["config"] = config;
                document["layers"] = json!(layers);
            }
            document
        },
    )
}

fn digests_at(document: &Value, key: &str) -> Vec<String> {
    let entries = document[key].as_array().into_iter().flatten();
    entries.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// Every object in a document, as JSON pointers.
fn objects(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                objects(member, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
            if !members.is_empty() {
                found.push(at);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                objects(entry, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The document as text, with one member of the object at `place` written twice.
fn with_duplicate(document: &Value, place: &str, which: prop::sample::Index) -> (String, String) {
    let mark = "\u{1}duplicate\u{1}";
    let mut document = document.clone();
    let members = document.pointer_mut(place).unwrap().as_object_mut().unwrap();
    let key = members.keys().nth(which.index(members.len())).unwrap().clone();
    members.insert(mark.to_owned(), json!(0));
    (document.to_string().replace(&json!(mark).to_string(), &json!(key).to_string()), key)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_manifest_says_what_was_written_into_it(document in document()) {
        let manifest = Manifest::parse(document.to_string().as_bytes(), None, MANIFEST_BYTES).unwrap();
        prop_assert_eq!(manifest.media_type().to_string(), document["mediaType"].as_str().unwrap());
        let blobs: Vec<String> = manifest.blobs().iter().map(|blob| blob.digest.to_string()).collect();
        let children: Vec<String> = manifest.children().iter().map(|child| child.digest.to_string()).collect();
        prop_assert_eq!(children, digests_at(&document, "manifests"));
        let config = document["config"]["digest"].as_str().map(str::to_owned);
        prop_assert_eq!(blobs, config.into_iter().chain(digests_at(&document, "layers")).collect::<Vec<_>>());
        let subject = manifest.subject().map(|subject| subject.digest.to_string());
        prop_assert_eq!(subject.as_deref(), document["subject"]["digest"].as_str());
        prop_assert_eq!(&serde_json::to_value(manifest.annotations()).unwrap(), &document["annotations"]);
        let artifact_type = document["artifactType"].as_str().or_else(|| document["config"]["mediaType"].as_str());
        prop_assert_eq!(manifest.artifact_type(), artifact_type);
    }

    #[test]
    fn whitespace_means_nothing(document in document()) {
        let dense = Manifest::parse(document.to_string().as_bytes(), None, MANIFEST_BYTES);
        let wide = Manifest::parse(serde_json::to_string_pretty(&document).unwrap().as_bytes(), None, MANIFEST_BYTES);
        prop_assert_eq!(dense, wide);
    }

    #[test]
    fn one_key_twice_anywhere_refuses_the_document(
        document in document(), place in any::<prop::sample::Index>(), which in any::<prop::sample::Index>(),
    ) {
        let mut places = Vec::new();
        objects(&document, String::new(), &mut places);
        let (body, key) = with_duplicate(&document, &places[place.index(places.len())], which);
        let expected = Err(ManifestInvalid::Json(JsonInvalid::DuplicateKey(key)));
        prop_assert_eq!(Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES), expected, "{}", body);
    }

    #[test]
    fn one_bad_digest_refuses_the_document(
        document in document(), place in any::<prop::sample::Index>(), digest in nearly(digest_text()),
    ) {
        let is_valid = digest.parse::<hallmark_oci::Digest>().is_ok();
        let mut places = Vec::new();
        objects(&document, String::new(), &mut places);
        places.retain(|place| document.pointer(place).unwrap().get("digest").is_some());
        prop_assume!(!places.is_empty());
        let mut document = document;
        document.pointer_mut(&places[place.index(places.len())]).unwrap()["digest"] = json!(digest);
        prop_assert_eq!(Manifest::parse(document.to_string().as_bytes(), None, MANIFEST_BYTES).is_ok(), is_valid, "{}", digest);
    }

    #[test]
    fn a_cut_document_is_refused(document in document(), at in any::<prop::sample::Index>()) {
        let body = document.to_string();
        prop_assert!(Manifest::parse(&body.as_bytes()[..at.index(body.len())], None, MANIFEST_BYTES).is_err());
    }

    #[test]
    fn no_damage_makes_the_parser_panic(
        document in document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        content_type: Option<String>,
    ) {
        let mut body = document.to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = Manifest::parse(&body, content_type.as_deref(), MANIFEST_BYTES);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&body, Some(OCI_MANIFEST), MANIFEST_BYTES);
    }
}
