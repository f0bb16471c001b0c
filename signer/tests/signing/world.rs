//! A signer on an empty database, and the roots that name its keys.

use std::collections::BTreeMap;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::ServerRole;
use hallmark_signer::keys::MasterKey;
use hallmark_signer::notary::{self, FileState, KeyDocument, Root, Signature, Signed, Verified, snapshot, verify};
use hallmark_signer::{CustodyError, NotaryChange, NotaryFiles, SignRefused, Signer, SnapshotOf};
use hallmark_storage::metadata::{DatabaseConfig, LoggedSignature, Metadata, SignerKey};
use serde_json::json;
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1_000;
pub(crate) const COLLECTION: &str = "notary1/7/registry.example/team/app";
pub(crate) const MASTER: [u8; 32] = [7; 32];

pub(crate) struct World {
    pub(crate) metadata: Metadata,
    pub(crate) signer: Signer,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap()).await
    }

    async fn open_in(folder: TempDir) -> Self {
        let metadata = Self::metadata(&folder).await;
        let signer = Signer::open(metadata.clone(), &MasterKey::new(&MASTER), NOW).await.unwrap();
        Self { metadata, signer, folder }
    }

    pub(crate) async fn metadata(folder: &TempDir) -> Metadata {
        Metadata::open(&DatabaseConfig::Sqlite { path: folder.path().join("signer.db") }, NOW).await.unwrap()
    }

    /// Another process, later.
    pub(crate) async fn restart(self) -> Self {
        let Self { metadata, signer, folder } = self;
        drop(signer);
        metadata.close().await;
        drop(metadata);
        Self::open_in(folder).await
    }

    /// A signer on the same database, with this master key.
    pub(crate) async fn another(&self, master: [u8; 32]) -> Result<Signer, CustodyError> {
        Signer::open(self.metadata.clone(), &MasterKey::new(&master), NOW).await
    }

    pub(crate) async fn key(&self, role: ServerRole, named: &[&KeyDocument]) -> KeyDocument {
        self.signer.public_key(COLLECTION, role, &ids(named), NOW).await.unwrap()
    }

    pub(crate) async fn next_key(&self, role: ServerRole, named: &[&KeyDocument]) -> KeyDocument {
        self.signer.next_key(COLLECTION, role, &ids(named), NOW).await.unwrap()
    }

    /// The keys for both roles, each alone.
    pub(crate) async fn roles(&self) -> Roles {
        let [snapshot, timestamp] = [ServerRole::Snapshot, ServerRole::Timestamp];
        Roles {
            snapshot: (vec![self.key(snapshot, &[]).await], 1),
            timestamp: (vec![self.key(timestamp, &[]).await], 1),
        }
    }

    pub(crate) async fn sign(&self, change: NotaryChange) -> Result<NotaryFiles, SignRefused> {
        self.signer.sign(change, NOW).await
    }

    /// The signatures over a role, the oldest first.
    pub(crate) async fn log(&self, role: &str) -> Vec<LoggedSignature> {
        let mut log = self.metadata.signer_log(COLLECTION, role, 1_000).await.unwrap();
        log.reverse();
        log
    }

    /// The keys as they are stored.
    pub(crate) async fn rows(&self) -> Vec<SignerKey> {
        let mut rows = self.metadata.signer_keys(COLLECTION, "snapshot").await.unwrap();
        rows.extend(self.metadata.signer_keys(COLLECTION, "timestamp").await.unwrap());
        rows
    }
}

pub(crate) fn ids(keys: &[&KeyDocument]) -> Vec<String> {
    keys.iter().map(|key| key.id()).collect()
}

/// Keys of the roles of the server's, and how many must sign.
#[derive(Clone)]
pub(crate) struct Roles {
    pub(crate) snapshot: (Vec<KeyDocument>, i64),
    pub(crate) timestamp: (Vec<KeyDocument>, i64),
}

impl Roles {
    /// A root that names these. Nobody has signed it: the signer is given roots that were verified.
    pub(crate) fn root(&self) -> Vec<u8> {
        let all = self.snapshot.0.iter().chain(&self.timestamp.0);
        let keys: BTreeMap<_, _> = all.map(|key| (key.id(), key)).collect();
        let role = |(keys, threshold): &(Vec<KeyDocument>, i64)| json!({"keyids": keys.iter().map(KeyDocument::id).collect::<Vec<_>>(), "threshold": threshold});
        let signed = json!({
            "_type": "Root", "expires": "2030-01-01T00:00:00Z", "version": 1, "keys": keys,
            "roles": {"snapshot": role(&self.snapshot), "timestamp": role(&self.timestamp)},
        });
        json!({"signed": signed, "signatures": []}).to_string().into_bytes()
    }

    /// A file by the keys that the root names for a role.
    pub(crate) fn verified<T>(&self, role: &str, file: Signed<T>) -> Verified<T> {
        let root = Signed::<Root>::parse(&self.root()).unwrap().content;
        verify(file, &root.roles[role], &root.keys).unwrap()
    }

    /// A change by which the server makes a snapshot of `files`, on top of `base`.
    pub(crate) fn change(&self, base: &[FileState], files: &[FileState]) -> NotaryChange {
        NotaryChange {
            collection: COLLECTION.to_owned(),
            caller: "alice r-1".to_owned(),
            root: self.root(),
            base: base.to_vec(),
            snapshot: SnapshotOf::Files(files.to_vec()),
        }
    }

    /// The same with a snapshot from elsewhere.
    pub(crate) fn change_of(&self, snapshot: SnapshotOf) -> NotaryChange {
        NotaryChange { snapshot, ..self.change(&[], &[]) }
    }
}

/// A file of this role and version.
pub(crate) fn state(role: &str, version: u64) -> FileState {
    FileState::of(role.parse().unwrap(), version, format!("{role} {version}").as_bytes())
}

/// The files of a first publish.
pub(crate) fn first() -> [FileState; 2] {
    [state("root", 1), state("targets", 1)]
}

/// A key that a client holds.
pub(crate) struct ClientKey(EcdsaKeyPair);

impl ClientKey {
    pub(crate) fn make() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn document(&self) -> KeyDocument {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        KeyDocument::of("ecdsa", der.as_ref())
    }

    /// A snapshot that it has signed.
    pub(crate) fn snapshot(&self, version: u64, files: &[FileState]) -> Vec<u8> {
        let draft = snapshot(files, version, NOW + DAY);
        let signature = self.sign(draft.message());
        draft.sealed(&[signature])
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let sig = self.0.sign(&SystemRandom::new(), message).unwrap();
        Signature { keyid: self.document().id(), method: "ecdsa".to_owned(), sig: STANDARD.encode(sig.as_ref()) }
    }

    /// A file that it has signed.
    pub(crate) fn seals(&self, signed: &serde_json::Value) -> Vec<u8> {
        let signature = self.sign(&notary::Value::parse(signed.to_string().as_bytes()).unwrap().canonical());
        json!({"signed": signed, "signatures": [signature]}).to_string().into_bytes()
    }
}
