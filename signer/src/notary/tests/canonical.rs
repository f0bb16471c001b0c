//! The form that signatures are made over.

use serde_json::{Value as Json, json};

use crate::notary::{KeyDocument, Value};

use super::swizzler::Scene;

fn canonical(text: &str) -> String {
    String::from_utf8(Value::parse(text.as_bytes()).unwrap().canonical()).unwrap()
}

#[test]
fn members_are_sorted_and_space_is_left_out() {
    assert_eq!(canonical(" { \"b\" : [ 1 , -2 ] ,\n \"a\" : { } , \"B\" : null } "), r#"{"B":null,"a":{},"b":[1,-2]}"#);
    assert_eq!(
        canonical(r#"{"z":true,"é":false,"\u007f":"","aa":[],"a":0}"#),
        "{\"a\":0,\"aa\":[],\"z\":true,\"\u{7f}\":\"\",\"é\":false}"
    );
}

/// Unlike JSON, the form leaves control characters as they are; unlike TUF 1.0's, it knows no other form of Unicode.
#[test]
fn texts_escape_quotes_backslashes_and_two_separators_only() {
    assert_eq!(canonical(r#""\"\\\/""#), r#""\"\\/""#);
    assert_eq!(canonical(r#""\u003c\u003e\u0026\u007f""#), "\"<>&\u{7f}\"");
    assert_eq!(canonical("\"\u{2027}\u{2028}\u{2029}\u{202a}\""), "\"\u{2027}\\u2028\\u2029\u{202a}\"");
    assert_eq!(canonical(r#""\n\u0000\t""#), "\"\n\0\t\"");
    assert_eq!(canonical(r#""e\u0301 \ud83d\ude00""#), "\"e\u{301} \u{1f600}\"");
}

#[test]
fn a_number_is_whole_and_no_reader_rounds_it() {
    for number in ["0", "-1", "9007199254740991", "-9007199254740991"] {
        assert_eq!(canonical(number), number);
    }
    for number in
        ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "01", "+1", "NaN", "18446744073709551616"]
    {
        assert!(Value::parse(number.as_bytes()).is_err(), "{number}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Value::parse(nested(100).as_bytes()).is_ok());
    for depth in [129, 200, 1_000_000] {
        assert!(Value::parse(nested(depth).as_bytes()).is_err(), "{depth}");
        assert!(Value::parse("[".repeat(depth).as_bytes()).is_err(), "{depth}");
    }
}

/// The id of a key is of its canonical form, with the private half that it does not have.
#[test]
fn a_key_has_the_id_that_every_client_gives_it() {
    let text = r#"{"keyval":{"public":"AAAA","private":null},"keytype":"ecdsa"}"#;
    let key: KeyDocument = serde_json::from_str(text).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, canonical(text).as_bytes());
    assert_eq!(key.id(), crate::hex(digest.as_ref()));
}

/// Writes a file's members the other way round, with space between them.
fn rewritten(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let written: Vec<_> =
                members.iter().rev().map(|(name, value)| format!("{} :\t{}", json!(name), rewritten(value))).collect();
            format!("{{ {} \n}}", written.join(" ,\r\n"))
        }
        Json::Array(values) => format!("[ {} ]", values.iter().map(rewritten).collect::<Vec<_>>().join(" , ")),
        other => other.to_string(),
    }
}

/// What is signed is what the file means; what is stored, and named by snapshots, is its bytes.
#[test]
fn a_file_that_is_written_otherwise_is_signed_as_well() {
    let mut scene = Scene::next();
    scene.damage("targets", |bytes| *bytes = rewritten(&serde_json::from_slice(bytes).unwrap()).into_bytes());
    let plan = scene.check().unwrap();
    assert!(plan.files[0].bytes.starts_with(b"{ \"signed\" :\t{ "), "the bytes stay as they came");

    let name = |scene: &mut Scene| {
        scene.edit("targets", |signed| signed["targets"]["<&>"] = signed["targets"]["latest"].clone())
    };
    let (mut plain, mut escaped) = (Scene::next(), Scene::next());
    name(&mut plain);
    name(&mut escaped);
    escaped.replace("targets", "<&>", "\\u003c\\u0026\\u003e");
    let (plain, escaped) = (plain.check().unwrap(), escaped.check().unwrap());
    assert_ne!(plain.files[0].state.sha256, escaped.files[0].state.sha256);
    assert_eq!(plain.files[0].state.length + 15, escaped.files[0].state.length);
}
