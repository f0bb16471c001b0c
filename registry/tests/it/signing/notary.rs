//! A collection as a client of Notary makes one: its own keys for root and targets, the server's for the rest.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_signer::notary::{KeyDocument, Signature, Value as Canonical};
use serde_json::{Value, json};

use super::basic;
use crate::harness::{Answer, Credentials, World};

const EXPIRES: &str = "2030-01-01T00:00:00Z";
/// The collection of most tests.
pub(crate) const GUN: &str = "registry.test/ann/web";

/// A client of one collection.
pub(crate) struct Client {
    gun: String,
    root: Key,
    targets: Key,
}

/// A private key and how metadata names it.
struct Key {
    pair: EcdsaKeyPair,
    document: KeyDocument,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::of(GUN)
    }

    /// A client of this collection.
    pub(crate) fn of(gun: &str) -> Self {
        let targets = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = targets.public_key().as_der().unwrap();
        let document = KeyDocument::of("ecdsa", der.as_ref());
        Self { gun: gun.to_owned(), root: certified(gun), targets: Key { pair: targets, document } }
    }

    /// Asks for the public half of the server's key.
    pub(super) async fn server_key(world: &World, role: &str) -> Answer {
        world.get(&format!("{}{role}.key", tuf(GUN))).by(&basic("ann")).await
    }

    /// Has a key of the server's replaced.
    pub(super) async fn rotate(world: &World, role: &str) -> KeyDocument {
        let answer = world.post(&format!("{}{role}.key", tuf(GUN))).by(&basic("ann")).await.expect(200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Publishes root and targets of these versions, the root naming these keys of the server.
    pub(crate) async fn publish(&self, world: &World, keys: &[(&str, KeyDocument)], version: u64) -> Answer {
        self.publish_by(world, &basic("ann"), keys, version).await
    }

    /// The same by whoever shows this.
    pub(crate) async fn publish_by(
        &self,
        world: &World,
        by: &Credentials,
        keys: &[(&str, KeyDocument)],
        version: u64,
    ) -> Answer {
        let kind = "multipart/form-data; boundary=edge";
        let call = world.post(&tuf(&self.gun)).by(by).header("content-type", kind);
        call.body(form(&self.files(keys, version))).await
    }

    /// Root and targets of these versions, the root naming these keys of the server.
    pub(crate) fn files(&self, keys: &[(&str, KeyDocument)], version: u64) -> Vec<(&'static str, String)> {
        let own = [("root", self.root.document.clone()), ("targets", self.targets.document.clone())];
        let all: Vec<_> = own.iter().chain(keys).collect();
        let named: serde_json::Map<_, _> = all.iter().map(|(_, key)| (key.id(), json!(key))).collect();
        let roles: serde_json::Map<_, _> =
            all.iter().map(|(role, key)| ((*role).to_owned(), json!({"keyids": [key.id()], "threshold": 1}))).collect();
        let root = json!({
            "_type": "Root", "consistent_snapshot": false, "expires": EXPIRES, "version": version,
            "keys": named, "roles": roles,
        });
        let targets = json!({
            "_type": "Targets", "expires": EXPIRES, "version": version, "targets": {},
            "delegations": {"keys": {}, "roles": []},
        });
        [("root", seal(&self.root, &root)), ("targets", seal(&self.targets, &targets))].to_vec()
    }

    /// The key that signs for `targets`, and for delegations that name it.
    pub(crate) fn key(&self) -> &KeyDocument {
        &self.targets.document
    }

    /// What a role says, signed by this client's key for the root, or by that for everything else.
    pub(crate) fn seals(&self, role: &str, signed: &Value) -> String {
        seal(if role == "root" { &self.root } else { &self.targets }, signed)
    }

    /// One file as it is served.
    pub(crate) async fn file(world: &World, role: &str) -> Answer {
        world.get(&format!("{}{role}.json", tuf(GUN))).by(&basic("ann")).await
    }
}

/// The form that files are published in, its boundary `edge`.
pub(crate) fn form(files: &[(&str, String)]) -> String {
    let part = |(role, body): &(&str, String)| {
        format!(
            "--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{role}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{body}\r\n"
        )
    };
    files.iter().map(part).collect::<String>() + "--edge--\r\n"
}

/// Where the files of a collection are.
pub(crate) fn tuf(gun: &str) -> String {
    format!("/v2/{gun}/_trust/tuf/")
}

/// The server's keys for both of its roles.
pub(crate) async fn server_keys(world: &World) -> [(&'static str, KeyDocument); 2] {
    let mut keys = Vec::new();
    for role in ["snapshot", "timestamp"] {
        let answer = Client::server_key(world, role).await.expect(200);
        keys.push((role, serde_json::from_slice(&answer.body).unwrap()));
    }
    keys.try_into().unwrap()
}

/// The key of a root: in a certificate that names the collection.
fn certified(gun: &str) -> Key {
    let made = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, gun);
    let certificate = parameters.self_signed(&made).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.serialized_der()).unwrap();
    Key { pair, document: KeyDocument::of("ecdsa-x509", certificate.pem().as_bytes()) }
}

fn seal(key: &Key, signed: &Value) -> String {
    let message = Canonical::parse(signed.to_string().as_bytes()).unwrap().canonical();
    let sig = STANDARD.encode(key.pair.sign(&SystemRandom::new(), &message).unwrap().as_ref());
    let signature = Signature { keyid: key.document.id(), method: "ecdsa".to_owned(), sig };
    json!({"signed": signed, "signatures": [signature]}).to_string()
}
