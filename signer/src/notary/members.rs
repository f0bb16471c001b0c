//! Members that a reader in Go takes for others: it compares names without their case, and the last one holds. What such a
//! file says there would not be what was checked here.

use super::{Kind, Value};

/// What an object is read as.
enum Shape {
    /// Not looked into.
    Any,
    /// These members, and such as nobody reads.
    Members(&'static [(&'static str, Self)]),
    /// Members of any name.
    Map(&'static Self),
    /// An array.
    List(&'static Self),
}

use Shape::{Any, List, Map, Members};

const KEY: Shape = Members(&[("keytype", Any), ("keyval", Members(&[("private", Any), ("public", Any)]))]);
const ROLE: Shape = Members(&[("keyids", Any), ("threshold", Any)]);
const FILE: Shape = Members(&[("custom", Any), ("hashes", Any), ("length", Any)]);
const DELEGATION: Shape =
    Members(&[("keyids", Any), ("name", Any), ("path_hash_prefixes", Any), ("paths", Any), ("threshold", Any)]);
const DELEGATIONS: Shape = Members(&[("keys", Map(&KEY)), ("roles", List(&DELEGATION))]);
const SIGNATURES: Shape = List(&Members(&[("keyid", Any), ("method", Any), ("sig", Any)]));
const HEAD: Shape = Members(&[("_type", Any), ("expires", Any), ("version", Any)]);
const ENVELOPE: Shape = Members(&[("signatures", SIGNATURES), ("signed", HEAD)]);
const ROOT: Shape = Members(&[("consistent_snapshot", Any), ("keys", Map(&KEY)), ("roles", Map(&ROLE))]);
const TARGETS: Shape = Members(&[("delegations", DELEGATIONS), ("targets", Map(&FILE))]);
const SNAPSHOT: Shape = Members(&[("meta", Map(&FILE))]);

/// The first member of a file of this kind that looks like one it is not.
pub(super) fn lookalike(kind: Kind, file: &Value) -> Option<&str> {
    let content = match kind {
        Kind::Root => &ROOT,
        Kind::Targets => &TARGETS,
        Kind::Snapshot | Kind::Timestamp => &SNAPSHOT,
    };
    let signed = match file {
        Value::Object(members) => members.get("signed"),
        _ => None,
    };
    found(file, &ENVELOPE).or_else(|| found(signed?, content))
}

fn found<'v>(value: &'v Value, shape: &Shape) -> Option<&'v str> {
    match (shape, value) {
        (Members(known), Value::Object(members)) => members.iter().find_map(|(name, value)| {
            let (word, shape) = known.iter().find(|(word, _)| folded(name).eq(word.chars()))?;
            if name == word { found(value, shape) } else { Some(name.as_str()) }
        }),
        (Map(shape), Value::Object(members)) => members.values().find_map(|value| found(value, shape)),
        (List(shape), Value::Array(values)) => values.iter().find_map(|value| found(value, shape)),
        _ => None,
    }
}

/// Without case, as far as it leads to ASCII: the long s and the sign of the kelvin are letters in other cases.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}
