//! Good metadata: drafts of the files of a collection, signed as the first Notary's clients sign them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::notary::{FileState, Signature, Value};

use super::keys::Key;

/// The collection of every test.
pub(super) const GUN: &str = "registry.example:5000/team/app";
/// The time in every test: 15 January 2027.
pub(super) const NOW: i64 = 1_800_000_000_000;
const EXPIRES: &str = "2030-01-01T00:00:00Z";
/// The same in milliseconds.
pub(super) const END: i64 = 1_893_456_000_000;
const TARGETS: &str = "targets";
/// A delegation, and one below it.
pub(super) const RELEASES: &str = "targets/releases";
pub(super) const DEEP: &str = "targets/releases/deep";

/// A file that is not signed yet.
#[derive(Clone)]
pub(super) struct Draft {
    /// What is signed.
    pub(super) signed: Json,
    /// By whom.
    pub(super) signers: Vec<Arc<Key>>,
}

impl Draft {
    /// The file. Signatures differ from one sealing to the next.
    pub(super) fn seal(&self) -> Vec<u8> {
        let message = message(&self.signed);
        let signatures: Vec<_> = self.signers.iter().map(|key| key.sign(&message)).collect();
        envelope(&self.signed, &signatures)
    }
}

/// What signatures are made over.
pub(super) fn message(signed: &Json) -> Vec<u8> {
    Value::parse(signed.to_string().as_bytes()).unwrap().canonical()
}

pub(super) fn envelope(signed: &Json, signatures: &[Signature]) -> Vec<u8> {
    json!({"signed": signed, "signatures": signatures}).to_string().into_bytes()
}

/// Who signs for the collection.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) root: Arc<Key>,
    pub(super) targets: Arc<Key>,
    pub(super) releases: Arc<Key>,
    pub(super) deep: Arc<Key>,
    pub(super) snapshot: Arc<Key>,
    pub(super) timestamp: Arc<Key>,
    /// Nobody's.
    pub(super) stranger: Arc<Key>,
}

impl Keys {
    pub(super) fn make() -> Self {
        let [targets, releases, deep, snapshot, timestamp, stranger] = std::array::from_fn(|_| Key::ecdsa());
        Self { root: Key::certified(|_| ()), targets, releases, deep, snapshot, timestamp, stranger }
    }

    /// The root that names these keys, each alone for its role.
    pub(super) fn root(&self, version: u64) -> Draft {
        let roles = [
            ("root", &self.root),
            (TARGETS, &self.targets),
            ("snapshot", &self.snapshot),
            ("timestamp", &self.timestamp),
        ];
        let of = |key: &Arc<Key>| json!({"keyids": [key.id()], "threshold": 1});
        let signed = json!({
            "_type": "Root", "consistent_snapshot": false, "expires": EXPIRES, "version": version,
            "keys": key_map(roles.map(|(_, key)| key)),
            "roles": roles.map(|(name, key)| (name.to_owned(), of(key))).into_iter().collect::<BTreeMap<_, _>>(),
        });
        Draft { signed, signers: vec![Arc::clone(&self.root)] }
    }

    /// `targets` with one target, which delegates what begins with `v` to [`RELEASES`].
    pub(super) fn targets(&self, version: u64) -> Draft {
        let delegations = json!({
            "keys": key_map([&self.releases]),
            "roles": [delegation(RELEASES, &[&self.releases], 1, &["v"])],
        });
        Draft { signed: targets(version, &["latest"], &delegations), signers: vec![Arc::clone(&self.targets)] }
    }

    /// [`RELEASES`], which delegates what begins with `v1.` to [`DEEP`].
    pub(super) fn releases(&self, version: u64) -> Draft {
        let delegations =
            json!({"keys": key_map([&self.deep]), "roles": [delegation(DEEP, &[&self.deep], 1, &["v1."])]});
        Draft { signed: targets(version, &["v1", "v2"], &delegations), signers: vec![Arc::clone(&self.releases)] }
    }

    pub(super) fn deep(&self, version: u64) -> Draft {
        let signed = targets(version, &["v1.0"], &json!({"keys": {}, "roles": []}));
        Draft { signed, signers: vec![Arc::clone(&self.deep)] }
    }

    /// The snapshot of these files.
    pub(super) fn snapshot<'a>(&self, version: u64, files: impl IntoIterator<Item = &'a FileState>) -> Draft {
        let message = crate::notary::snapshot(files, version, NOW + 1_000_000).message().to_vec();
        Draft { signed: serde_json::from_slice(&message).unwrap(), signers: vec![Arc::clone(&self.snapshot)] }
    }
}

/// Keys by their ids.
pub(super) fn key_map<'a>(keys: impl IntoIterator<Item = &'a Arc<Key>>) -> Json {
    keys.into_iter().map(|key| (key.id(), json!(key.document))).collect::<serde_json::Map<_, _>>().into()
}

pub(super) fn delegation(name: &str, keys: &[&Arc<Key>], threshold: i64, paths: &[&str]) -> Json {
    let ids: Vec<_> = keys.iter().map(|key| key.id()).collect();
    json!({"name": name, "keyids": ids, "threshold": threshold, "paths": paths})
}

fn targets(version: u64, names: &[&str], delegations: &Json) -> Json {
    let meta = json!({"hashes": {"sha256": "k5W6xvzLJry1XvsIPRtLD+cqHCX5WfBWwBYSCzu1amI="}, "length": 1_234});
    let targets: BTreeMap<_, _> = names.iter().map(|name| (name, &meta)).collect();
    json!({
        "_type": "Targets", "expires": EXPIRES, "version": version, "targets": targets, "delegations": delegations,
    })
}
