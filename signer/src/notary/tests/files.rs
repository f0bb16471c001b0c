//! Damages that every kind of file can have: of its JSON, its head, its version and its end.

use serde_json::json;

use super::kit::RELEASES;
use super::swizzler::{Row, Scene, refuses};

/// Far deeper than metadata ever is.
const NESTED: usize = 200;

#[test]
fn what_is_not_json_with_one_meaning_is_refused() {
    let nested = || "[".repeat(NESTED) + &"]".repeat(NESTED);
    let table: &[Row] = &[
        ("no bytes", Scene::next, |s| s.damage("targets", Vec::clear), "Json: targets: not JSON"),
        ("cut off", Scene::next, |s| s.damage("targets", |b| b.truncate(b.len() - 1)), "Json: targets: not JSON"),
        ("bytes after the end", Scene::next, |s| s.damage("targets", |b| b.push(b'x')), "Json: targets: not JSON"),
        ("a second document", Scene::next, |s| s.damage("targets", |b| b.extend(b"{}")), "Json: targets: not JSON"),
        (
            "a mark of order",
            Scene::next,
            |s| s.damage("targets", |b| drop(b.splice(0..0, *b"\xef\xbb\xbf"))),
            "Json: t",
        ),
        ("not UTF-8", Scene::next, |s| s.damage("targets", |b| b[20] = 0xff), "Json: targets: not JSON"),
        ("half a pair", Scene::next, |s| s.replace("targets", "latest", "\\ud800"), "Json: targets: not JSON"),
        ("a fraction", Scene::next, |s| s.replace("targets", ":1234", ":1234.5"), "Json: targets: not JSON"),
        ("a whole fraction", Scene::next, |s| s.replace("targets", ":1234", ":1234.0"), "Json: targets: not JSON"),
        ("an exponent", Scene::next, |s| s.replace("targets", ":1234", ":1e3"), "Json: targets: not JSON"),
        ("minus nought", Scene::next, |s| s.replace("targets", ":1234", ":-0"), "Json: targets: not JSON"),
        ("2^53", Scene::next, |s| s.replace("targets", ":1234", ":9007199254740992"), "Json: targets: not JSON"),
        ("-2^53", Scene::next, |s| s.replace("targets", ":1234", ":-9007199254740992"), "Json: targets: not JSON"),
        ("2^64", Scene::next, |s| s.replace("targets", ":1234", ":18446744073709551616"), "Json: targets: not JSON"),
        (
            "a member twice",
            Scene::next,
            |s| s.replace("targets", "\"version\":2", "\"version\":2,\"version\":3"),
            "Json: targets: not JSON with one meaning: \"version\" stands twice",
        ),
        (
            "a member twice, escaped",
            Scene::next,
            |s| s.replace("targets", "\"version\":2", "\"version\":2,\"\\u0076ersion\":3"),
            "Json: targets: not JSON with one meaning: \"version\" stands twice",
        ),
        ("of the root", Scene::rotation, |s| s.damage("root", |b| b.push(b'x')), "Json: root: not JSON"),
        ("of a delegation", Scene::next, |s| s.damage(RELEASES, |b| b.push(b'x')), "Json: targets/releases: not JSON"),
        ("of a snapshot", Scene::with_snapshot, |s| s.damage("snapshot", |b| b.push(b'x')), "Json: snapshot: not JSON"),
    ];
    refuses(table);
    let mut scene = Scene::next();
    scene.replace("targets", "\"latest\":", format!("\"x\":{},\"latest\":", nested()));
    assert!(scene.check().unwrap_err().to_string().contains("recursion limit"));
}

#[test]
fn what_is_of_another_shape_is_refused() {
    let table: &[Row] = &[
        (
            "an array",
            Scene::next,
            |s| s.damage("targets", |b| *b = b"[]".to_vec()),
            "Targets: targets: not of the shape",
        ),
        (
            "nothing",
            Scene::next,
            |s| s.damage("targets", |b| *b = b"null".to_vec()),
            "Targets: targets: not of the shape",
        ),
        ("no signatures", Scene::next, |s| s.replace("targets", "\"signatures\"", "\"x\""), "Targets: targets: not of"),
        ("nothing signed", Scene::next, |s| s.replace("targets", "\"signed\"", "\"x\""), "Targets: targets: not of"),
        (
            "a version in quotes",
            Scene::next,
            |s| s.edit("targets", |f| f["version"] = json!("2")),
            "Targets: targets: not",
        ),
        ("targets in a row", Scene::next, |s| s.edit("targets", |f| f["targets"] = json!([])), "Targets: targets: not"),
        (
            "the type of another role",
            Scene::next,
            |s| s.edit("targets", |f| f["_type"] = json!("Root")),
            "Targets: targets: the file says that it is \"Root\" and not Targets",
        ),
        (
            "the type in lower case",
            Scene::next,
            |s| s.edit("targets", |f| f["_type"] = json!("targets")),
            "Targets: targets: the file says that it is \"targets\"",
        ),
        (
            "a delegation that is a root",
            Scene::next,
            |s| s.edit(RELEASES, |f| f["_type"] = json!("Root")),
            "Targets: targets/releases: the file says",
        ),
        (
            "a root that is targets",
            Scene::rotation,
            |s| s.edit("root", |f| f["_type"] = json!("Targets")),
            "Root: root: the file says that it is \"Targets\" and not Root",
        ),
        (
            "a snapshot that is a timestamp",
            Scene::with_snapshot,
            |s| s.edit("snapshot", |f| f["_type"] = json!("Timestamp")),
            "Snapshot: snapshot: the file says",
        ),
    ];
    refuses(table);
}

/// Readers in Go take a member for one whose name differs in case only: what they read would not be what was checked here.
#[test]
fn a_member_that_looks_like_another_is_refused() {
    let table: &[Row] = &[
        ("Signed", Scene::next, |s| s.replace("targets", "\"signed\"", "\"Signed\":{},\"signed\""), LOOKS),
        (
            "Signatures",
            Scene::next,
            |s| s.replace("targets", "\"signatures\"", "\"SIGNATURES\":[],\"signatures\""),
            LOOKS,
        ),
        ("KeyId", Scene::next, |s| s.replace("targets", "\"keyid\"", "\"KeyId\":\"\",\"keyid\""), LOOKS),
        ("Version", Scene::next, |s| s.edit("targets", |f| f["Version"] = json!(9)), LOOKS),
        ("Targets", Scene::next, |s| s.edit("targets", |f| f["Targets"] = json!({})), LOOKS),
        ("a long s", Scene::next, |s| s.edit("targets", |f| f["target\u{17f}"] = json!({})), LOOKS),
        ("Delegations", Scene::next, |s| s.edit("targets", |f| f["Delegations"] = json!({})), LOOKS),
        ("Keys", Scene::next, |s| s.edit("targets", |f| f["delegations"]["Keys"] = json!({})), LOOKS),
        ("Kelvin", Scene::next, |s| s.edit("targets", |f| f["delegations"]["\u{212a}eys"] = json!({})), LOOKS),
        ("Paths", Scene::next, |s| s.edit("targets", |f| f["delegations"]["roles"][0]["Paths"] = json!([""])), LOOKS),
        ("Hashes", Scene::next, |s| s.edit("targets", |f| f["targets"]["latest"]["Hashes"] = json!({})), LOOKS),
        ("Roles", Scene::rotation, |s| s.edit("root", |f| f["Roles"] = json!({})), "Root: root: the member \"Roles\""),
        (
            "Threshold",
            Scene::rotation,
            |s| s.edit("root", |f| f["roles"]["targets"]["Threshold"] = json!(9)),
            "Root: root: the member \"Threshold\"",
        ),
        (
            "Meta",
            Scene::with_snapshot,
            |s| s.edit("snapshot", |f| f["Meta"] = json!({})),
            "Snapshot: snapshot: the member \"Meta\"",
        ),
    ];
    refuses(table);
    let mut scene = Scene::next();
    scene.edit("targets", |signed| signed["targets"]["Latest"] = signed["targets"]["latest"].clone());
    scene.edit("targets", |signed| signed["targets"]["Hashes"] = signed["targets"]["latest"].clone());
    assert!(scene.check().is_ok(), "tags are told apart by case");
}

const LOOKS: &str = "Targets: targets: the member ";

#[test]
fn a_version_that_does_not_follow_is_refused() {
    let table: &[Row] = &[
        ("nought", Scene::next, |s| s.edit("targets", |f| f["version"] = json!(0)), "Targets: targets: the version is"),
        (
            "below nought",
            Scene::next,
            |s| s.edit("targets", |f| f["version"] = json!(-1)),
            "Targets: targets: the version",
        ),
        (
            "the same",
            Scene::next,
            |s| s.edit("targets", |f| f["version"] = json!(1)),
            "Version: version 1 of targets is not newer than the published version 1",
        ),
        (
            "lower",
            Scene::next,
            |s| s.stands_at("targets", 5),
            "Version: version 2 of targets is not newer than the published",
        ),
        (
            "a delegation's lower",
            Scene::next,
            |s| s.stands_at(RELEASES, 5),
            "Version: version 2 of targets/releases is not newer than the published version 5",
        ),
        (
            "a snapshot's lower",
            Scene::with_snapshot,
            |s| s.stands_at("snapshot", 5),
            "Version: version 2 of snapshot is not newer than the published version 5",
        ),
        (
            "a leap",
            Scene::next,
            |s| s.edit("targets", |f| f["version"] = json!(1_048_578)),
            "Targets: targets: version 1048578 leaps too far ahead of version 1",
        ),
        (
            "a leap to the end",
            Scene::next,
            |s| s.edit("targets", |f| f["version"] = json!(9_007_199_254_740_991_i64)),
            "Targets: targets: version 9007199254740991 leaps",
        ),
        (
            "a delegation's leap",
            Scene::next,
            |s| s.edit(RELEASES, |f| f["version"] = json!(9_007_199_254_740_991_i64)),
            "Targets: targets/releases: version 9007199254740991 leaps",
        ),
        (
            "a snapshot's leap",
            Scene::with_snapshot,
            |s| s.edit("snapshot", |f| f["version"] = json!(9_007_199_254_740_991_i64)),
            "Snapshot: snapshot: version 9007199254740991 leaps",
        ),
        (
            "the first's leap",
            Scene::first,
            |s| s.edit("targets", |f| f["version"] = json!(1_048_577)),
            "Targets: targets: version 1048577 leaps too far ahead of version 0",
        ),
    ];
    refuses(table);
    let mut scene = Scene::next();
    scene.edit("targets", |signed| signed["version"] = json!(1_048_577));
    assert!(scene.check().is_ok(), "as far as a version may go");
}

#[test]
fn what_has_expired_is_refused() {
    let table: &[Row] = &[
        (
            "targets",
            Scene::next,
            |s| s.edit("targets", |f| f["expires"] = json!(AGO)),
            "Targets: targets: it has expired",
        ),
        (
            "now",
            Scene::next,
            |s| s.edit("targets", |f| f["expires"] = json!(AT_ONCE)),
            "Targets: targets: it has expired",
        ),
        (
            "a delegation",
            Scene::next,
            |s| s.edit(RELEASES, |f| f["expires"] = json!(AGO)),
            "Targets: targets/releases: it has",
        ),
        ("a root", Scene::rotation, |s| s.edit("root", |f| f["expires"] = json!(AGO)), "Root: the root has expired"),
        (
            "a snapshot",
            Scene::with_snapshot,
            |s| s.edit("snapshot", |f| f["expires"] = json!(AGO)),
            "Snapshot: the snapshot has expired",
        ),
        (
            "never",
            Scene::next,
            |s| s.edit("targets", |f| f["expires"] = json!("")),
            "Targets: targets: expires is a time",
        ),
        (
            "a day",
            Scene::next,
            |s| s.edit("targets", |f| f["expires"] = json!("2030-01-01")),
            "Targets: targets: expires is",
        ),
        (
            "no zone",
            Scene::next,
            |s| s.edit("targets", |f| f["expires"] = json!("2030-01-01T00:00:00")),
            "Targets: targets: e",
        ),
    ];
    refuses(table);
}

const AGO: &str = "2026-12-31T23:59:59Z";
const AT_ONCE: &str = "2027-01-15T08:00:00Z";
