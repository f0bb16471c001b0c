//! Private keys: made, sealed, opened for one signature, destroyed.
//!
//! A key is sealed under a data key, and that under the master key: another master key means another wrapping of the data
//! key, and no row of keys changes. What a key is for is sealed with it, so that two rows cannot be exchanged.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_storage::metadata::{self, Metadata, SignerKey, Tx, WrappedDataKey};
use zeroize::Zeroizing;

use crate::hex;
use crate::keys::{MasterKey, OpenRefused};
use crate::notary::{KeyDocument, Signature};
use crate::tuf::{self, Held};

/// The PKIX head of an uncompressed point on P-256; the point's 65 bytes follow (RFC 5480).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The algorithm of the keys that the server makes for Notary v1, whose clients know no other that is as common.
const ECDSA: &str = "ecdsa";
/// The algorithm of those for TUF 1.0: small, fast, and read by every client.
pub(crate) const ED25519: &str = "ed25519";

/// The row that whoever makes the first data key holds; no collection and no role has this name.
const FIRST: &str = "data key";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The signer's database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// A data key does not open under this master key.
    #[error("data key {id} does not open: {source}; give the signer the master key it was wrapped under")]
    Wrapped {
        /// The data key.
        id: String,
        /// Why it stays closed.
        source: OpenRefused,
    },
    /// A key does not open.
    #[error("key {id} does not open: {source}")]
    Sealed {
        /// The key.
        id: String,
        /// Why it stays closed.
        source: OpenRefused,
    },
    /// A key opened to something that is not a key of its kind.
    #[error("key {0} is damaged")]
    Damaged(String),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// Where keys are sealed and opened.
pub(crate) struct Custody {
    random: SystemRandom,
    ring: RwLock<Arc<DataKeys>>,
}

struct DataKeys {
    keys: HashMap<String, MasterKey>,
    newest: String,
}

impl Custody {
    /// Opens the data keys, and makes the first where there is none.
    pub(crate) async fn open(metadata: &Metadata, master: &MasterKey, now: i64) -> Result<Self, CustodyError> {
        let random = random();
        let mut stored = metadata.signer_data_keys().await?;
        if stored.is_empty() {
            let made = make_data_key(&random, master, now)?;
            keep_first(metadata, made).await?;
            stored = metadata.signer_data_keys().await?;
        }
        let ring = RwLock::new(Arc::new(DataKeys::open(&stored, master)?));
        Ok(Self { random, ring })
    }

    fn ring(&self) -> Arc<DataKeys> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a key for `role` of a trust domain that publishes TUF 1.0.
    pub(crate) fn make_ed25519(&self, domain: &str, role: &str, now: i64) -> Result<SignerKey, CustodyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&self.random).map_err(|_| CustodyError::Random)?;
        let damaged = || CustodyError::Damaged("a new key".to_owned());
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| damaged())?;
        let public = pair.public_key().as_ref().to_vec();
        let id = tuf::document(&public).key_id().map_err(|_| damaged())?;
        let id = hex(&id);
        let ring = self.ring();
        let sealed = ring.keys[&ring.newest].seal(&purpose(domain, role, &id), self.nonce()?, document.as_ref());
        Ok(SignerKey {
            id,
            collection: domain.to_owned(),
            role: role.to_owned(),
            algorithm: ED25519.to_owned(),
            public,
            sealed,
            data_key: ring.newest.clone(),
            made_at: now,
            used_at: None,
        })
    }

    /// Opens a key of TUF 1.0 for one publish.
    pub(crate) fn open_ed25519(&self, key: &SignerKey) -> Result<Held, CustodyError> {
        let plain = self.unseal(key)?;
        let pair = Ed25519KeyPair::from_pkcs8(&plain).map_err(|_| CustodyError::Damaged(key.id.clone()))?;
        Ok(Held(Arc::new(pair)))
    }

    fn unseal(&self, key: &SignerKey) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let ring = self.ring();
        let data_key = ring.keys.get(&key.data_key).ok_or_else(|| CustodyError::Damaged(key.id.clone()))?;
        let opened = data_key.open(&purpose(&key.collection, &key.role, &key.id), &key.sealed);
        opened.map_err(|source| CustodyError::Sealed { id: key.id.clone(), source })
    }

    /// Makes a key for `role` of `collection`.
    pub(crate) fn make(&self, collection: &str, role: &str, now: i64) -> Result<SignerKey, CustodyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random)
            .map_err(|_| CustodyError::Random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
            .map_err(|_| CustodyError::Damaged("a new key".to_owned()))?;
        let public = [&P256_HEAD, pair.public_key().as_ref()].concat();
        let id = KeyDocument::of(ECDSA, &public).id();
        let ring = self.ring();
        let data_key = &ring.keys[&ring.newest];
        let sealed = data_key.seal(&purpose(collection, role, &id), self.nonce()?, document.as_ref());
        Ok(SignerKey {
            id,
            collection: collection.to_owned(),
            role: role.to_owned(),
            algorithm: ECDSA.to_owned(),
            public,
            sealed,
            data_key: ring.newest.clone(),
            made_at: now,
            used_at: None,
        })
    }

    /// Signs `message` as Notary v1 writes signatures. The private half is in the clear for as long as this takes.
    pub(crate) fn sign(&self, key: &SignerKey, message: &[u8]) -> Result<Signature, CustodyError> {
        let plain = self.unseal(key)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &plain)
            .map_err(|_| CustodyError::Damaged(key.id.clone()))?;
        let signature = pair.sign(&self.random, message).map_err(|_| CustodyError::Random)?;
        Ok(Signature { keyid: key.id.clone(), method: ECDSA.to_owned(), sig: STANDARD.encode(signature.as_ref()) })
    }

    fn nonce(&self) -> Result<[u8; 12], CustodyError> {
        fill(&self.random)
    }
}

impl DataKeys {
    fn open(stored: &[WrappedDataKey], master: &MasterKey) -> Result<Self, CustodyError> {
        let mut keys = HashMap::new();
        let mut newest = String::new();
        for key in stored {
            let plain = master
                .open(&wrapping(&key.id), &key.wrapped)
                .map_err(|source| CustodyError::Wrapped { id: key.id.clone(), source })?;
            let bytes: &[u8; 32] = plain.as_slice().try_into().map_err(|_| CustodyError::Damaged(key.id.clone()))?;
            keys.insert(key.id.clone(), MasterKey::new(bytes));
            newest.clone_from(&key.id);
        }
        Ok(Self { keys, newest })
    }
}

/// The public half as metadata holds it.
pub(crate) fn document(key: &SignerKey) -> KeyDocument {
    KeyDocument::of(&key.algorithm, &key.public)
}

/// Keeps the first data key. Of those that start at once one does: a key sealed under one that another had not read would be
/// closed to it.
async fn keep_first(metadata: &Metadata, made: WrappedDataKey) -> Result<(), metadata::Error> {
    metadata
        .write(made, |tx, made| {
            Box::pin(async move {
                one_at_a_time(tx).await?;
                if tx.signer_data_keys().await?.is_empty() {
                    tx.add_signer_data_key(made).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Waits until no other change is under way that says under what keys are sealed.
pub(crate) async fn one_at_a_time(tx: &mut Tx) -> Result<(), metadata::Error> {
    tx.lift_signer_floor(FIRST, FIRST, 0).await?;
    tx.signer_floor(FIRST, FIRST).await.map(drop)
}

fn make_data_key(random: &SystemRandom, master: &MasterKey, now: i64) -> Result<WrappedDataKey, CustodyError> {
    let plain = Zeroizing::new(fill::<32>(random)?);
    let id = hex(&fill::<8>(random)?);
    let wrapped = master.seal(&wrapping(&id), fill(random)?, plain.as_slice());
    Ok(WrappedDataKey { id, wrapped, made_at: now })
}

/// Keys and signatures need the system's randomness in this library's own shape, which the registry's source has not.
pub(crate) fn random() -> SystemRandom {
    SystemRandom::new()
}

pub(crate) fn fill<const N: usize>(random: &SystemRandom) -> Result<[u8; N], CustodyError> {
    use aws_lc_rs::rand::SecureRandom as _;
    let mut bytes = [0; N];
    random.fill(&mut bytes).map_err(|_| CustodyError::Random)?;
    Ok(bytes)
}

/// What a key was sealed for.
fn purpose(collection: &str, role: &str, id: &str) -> String {
    format!("signer key {id} for {role} of {collection}")
}

pub(crate) fn wrapping(id: &str) -> String {
    format!("signer data key {id}")
}
