//! Makes a repository with keys of its own, so that every file can be broken and signed again.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z, in milliseconds.
pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const LATER: &str = "2100-01-01T00:00:00Z";
pub(crate) const OVER: &str = "2020-01-01T00:00:00Z";
/// The path that every case asks for.
pub(crate) const PATH: &str = "acme/web/1";

/// Files by their names on a server.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a path means that means this number: any bytes will do, where each number has its own.
pub(crate) fn manifest(number: u8) -> Vec<u8> {
    format!("manifest {number}").into_bytes()
}

/// SHA-256 of that, in hexadecimal.
pub(crate) fn sum(number: u8) -> String {
    hex(digest(&SHA256, &manifest(number)).as_ref())
}

pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let text = match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let member = |(name, value): &(&String, &Value)| format!("{}:{}", laid_out(&json!(name)), laid_out(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(laid_out).collect::<Vec<_>>().join(",")),
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        other => other.to_string(),
    };
    text.into_bytes()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn pem(der: &[u8]) -> String {
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let (first, rest) = body.split_at(64);
    format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n")
}

fn laid_out(value: &Value) -> String {
    String::from_utf8(canonical(value)).unwrap()
}

/// A key pair, and the public half as metadata holds it.
pub(crate) struct Pair {
    pub(crate) document: Value,
    private: Private,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Box<EcdsaKeyPair>),
}

impl Pair {
    /// The same for the same number.
    pub(crate) fn ed25519(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
        let public = hex(pair.public_key().as_ref());
        let document = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}});
        Self { document, private: Private::Ed25519(pair) }
    }

    pub(crate) fn ecdsa() -> Self {
        let [long, ..] = Self::ecdsa_in_each_form();
        long
    }

    /// One key three times: as a point in the long form and in the short one, in PEM, and as the whole document in hexadecimal.
    pub(crate) fn ecdsa_in_each_form() -> [Self; 3] {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref()).unwrap();
        let point = pair().public_key().as_ref().to_vec();
        let short = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        let long = [unhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), point].concat();
        let short = [unhex("3039301306072a8648ce3d020106082a8648ce3d030107032200"), short].concat();
        [pem(&long), pem(&short), hex(&long)].map(|public| {
            let document = json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public}});
            Self { document, private: Private::Ecdsa(Box::new(pair())) }
        })
    }

    pub(crate) fn id(&self) -> String {
        hex(digest(&SHA256, &canonical(&self.document)).as_ref())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
        }
    }
}

/// The file of a role, signed by these.
pub(crate) fn sealed(signed: &Value, keys: &[&Pair]) -> Vec<u8> {
    let message = canonical(signed);
    let signatures: Vec<Value> =
        keys.iter().map(|key| json!({"keyid": key.id(), "sig": hex(&key.sign_bytes(&message))})).collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
}

/// A repository: what each role says, and who signs it.
pub(crate) struct Forge {
    pub(crate) keys: BTreeMap<String, Vec<Pair>>,
    pub(crate) root: Value,
    pub(crate) timestamp: Value,
    pub(crate) snapshot: Value,
    /// `targets` and whatever it hands on to.
    pub(crate) roles: BTreeMap<String, Value>,
    pub(crate) files: Files,
}

impl Forge {
    /// A repository that names [`PATH`] in `tags`, to which `targets` hands everything below `acme/web/`.
    pub(crate) fn new() -> Self {
        let role = |kind: &str, rest: Value| {
            let mut role = json!({"_type": kind, "spec_version": "1.0.31", "version": 1, "expires": LATER});
            role.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            role
        };
        let mut keys = BTreeMap::new();
        for (number, name) in (1_u8..).zip(["root", "targets", "snapshot", "timestamp", "tags"]) {
            keys.insert(name.to_owned(), vec![Pair::ed25519(number)]);
        }
        let mut forge = Self {
            keys,
            root: role("root", json!({"consistent_snapshot": true, "keys": {}, "roles": {}})),
            timestamp: role("timestamp", json!({"meta": {}})),
            snapshot: role("snapshot", json!({"meta": {}})),
            roles: BTreeMap::from([("targets".to_owned(), role("targets", json!({"targets": {}})))]),
            files: Files::new(),
        };
        forge.name_keys();
        forge.delegate("targets", "tags", json!({"paths": ["acme/web/*"]}), true);
        forge.say("tags", PATH, 1);
        forge.seal_root();
        forge.publish();
        forge
    }

    /// Lets the root name the keys that are there, each alone.
    pub(crate) fn name_keys(&mut self) {
        for name in ["root", "targets", "snapshot", "timestamp"] {
            let pairs = &self.keys[name];
            let ids: Vec<String> = pairs.iter().map(Pair::id).collect();
            for pair in pairs {
                self.root["keys"][pair.id()] = pair.document.clone();
            }
            self.root["roles"][name] = json!({"keyids": ids, "threshold": 1});
        }
    }

    /// Hands paths on to another role, below those that were handed on before.
    pub(crate) fn delegate(&mut self, from: &str, to: &str, paths: Value, terminating: bool) {
        let pairs = self.keys.entry(to.to_owned()).or_insert_with(|| vec![Pair::ed25519(99)]);
        let ids: Vec<String> = pairs.iter().map(Pair::id).collect();
        let mut role = json!({"name": to, "keyids": ids, "threshold": 1, "terminating": terminating});
        role.as_object_mut().unwrap().extend(paths.as_object().unwrap().clone());
        let documents: Vec<(String, Value)> = pairs.iter().map(|pair| (pair.id(), pair.document.clone())).collect();
        let parent = self.roles.get_mut(from).unwrap();
        if parent.get("delegations").is_none() {
            parent["delegations"] = json!({"keys": {}, "roles": []});
        }
        parent["delegations"]["keys"].as_object_mut().unwrap().extend(documents);
        parent["delegations"]["roles"].as_array_mut().unwrap().push(role);
        self.roles.entry(to.to_owned()).or_insert_with(
            || json!({"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": LATER, "targets": {}}),
        );
    }

    /// Lets a role name a path; `number` tells what it means.
    pub(crate) fn say(&mut self, role: &str, path: &str, number: u8) {
        let named = json!({"length": manifest(number).len(), "hashes": {"sha256": sum(number)}});
        self.roles.get_mut(role).unwrap()["targets"][path] = named;
    }

    /// Signs the root as it stands, under its version, with the keys of the root, and with `more`.
    pub(crate) fn seal_root_with(&mut self, more: &[&Pair]) {
        let own = &self.keys["root"];
        let keys: Vec<&Pair> = own.iter().chain(more.iter().copied()).collect();
        self.files.insert(format!("{}.root.json", self.root["version"]), sealed(&self.root, &keys));
    }

    pub(crate) fn seal_root(&mut self) {
        self.seal_root_with(&[]);
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        self.files[name].clone()
    }

    /// Signs what each role says, the snapshot and the timestamp one version on.
    pub(crate) fn publish(&mut self) {
        for name in self.roles.keys().cloned().collect::<Vec<_>>() {
            let bytes = self.seal_role(&name);
            self.line(&name, &bytes);
        }
        self.publish_snapshot();
    }

    /// Signs a role; its file, which nothing names yet.
    pub(crate) fn seal_role(&mut self, name: &str) -> Vec<u8> {
        let role = &self.roles[name];
        let bytes = sealed(role, &self.keys[name].iter().collect::<Vec<_>>());
        let encoded = name.replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
        self.files.insert(format!("{}.{encoded}.json", role["version"]), bytes.clone());
        bytes
    }

    /// Lets the snapshot name a file of a role.
    pub(crate) fn line(&mut self, name: &str, bytes: &[u8]) {
        let sums = json!({"sha256": hex(digest(&SHA256, bytes).as_ref())});
        let line = json!({"version": self.roles[name]["version"], "length": bytes.len(), "hashes": sums});
        self.snapshot["meta"][format!("{name}.json")] = line;
    }

    /// Signs the snapshot one version on, and the timestamp that names it.
    pub(crate) fn publish_snapshot(&mut self) {
        if !self.files.keys().all(|name| !name.ends_with(".snapshot.json")) {
            next(&mut self.snapshot);
        }
        let bytes = sealed(&self.snapshot, &self.keys["snapshot"].iter().collect::<Vec<_>>());
        self.files.insert(format!("{}.snapshot.json", self.snapshot["version"]), bytes.clone());
        let sums = json!({"sha256": hex(digest(&SHA256, &bytes).as_ref())});
        self.timestamp["meta"]["snapshot.json"] =
            json!({"version": self.snapshot["version"], "length": bytes.len(), "hashes": sums});
        self.publish_timestamp();
    }

    /// Signs the timestamp one version on.
    pub(crate) fn publish_timestamp(&mut self) {
        if self.files.contains_key("timestamp.json") {
            next(&mut self.timestamp);
        }
        self.seal_timestamp();
    }

    /// Signs the timestamp as it stands.
    pub(crate) fn seal_timestamp(&mut self) {
        let bytes = sealed(&self.timestamp, &self.keys["timestamp"].iter().collect::<Vec<_>>());
        self.files.insert("timestamp.json".to_owned(), bytes);
    }
}

/// One version on.
pub(crate) fn next(role: &mut Value) {
    let version = role["version"].as_u64().unwrap() + 1;
    role["version"] = json!(version);
}
