//! The registry's own ES256 keys: who may say "this is a token of ours".

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_signer::keys::{Masters, OpenRefused, token_purpose as purpose};
use hallmark_storage::metadata::{self, Event, Metadata, TokenKey};
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::clock::Random;

/// A key that this process does not know yet (another replica made it) is looked for at most this often, in milliseconds.
const RELOAD_EVERY: i64 = 1_000;

/// Why the token keys could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database did not answer.
    #[error("the token keys could not be read or written")]
    Metadata(#[from] metadata::Error),
    /// A stored key does not open under this master key.
    #[error("token key {kid} does not open: {source}; give the master key it was sealed under, or remove the key")]
    Sealed {
        /// The key id.
        kid: String,
        /// Why it stays closed.
        source: OpenRefused,
    },
    /// The keys are sealed under another master key by now, which this process does not know: it was changed on another replica.
    #[error(
        "token key {0} is sealed under another master key by now; restart this process with that one, and rotate then"
    )]
    OtherMaster(String),
    /// A stored key opened to something that is not a key.
    #[error("token key {0} is damaged")]
    Damaged(String),
    /// The system gave no randomness to make a key or a signature with.
    #[error("the system gives no randomness")]
    Random,
}

/// The keys that sign and check bearer tokens, with overlap while they rotate.
pub struct TokenKeys {
    ring: RwLock<Arc<KeyRing>>,
    looked_at: AtomicI64,
}

/// One state of the keys; replaced as a whole when they rotate.
pub struct KeyRing {
    signing: SigningKey,
    public: HashMap<String, PublicKey>,
}

struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
}

struct PublicKey {
    /// The uncompressed point: 0x04 ‖ x ‖ y.
    point: Vec<u8>,
    /// When it stops being accepted, in milliseconds since 1970.
    retires_at: Option<i64>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TokenKeys")
    }
}

impl TokenKeys {
    /// Reads the keys, and makes the first one when there is none.
    ///
    /// # Errors
    /// [`KeyError`] when the database fails or a key does not open.
    pub async fn open(metadata: &Metadata, master: &Masters, random: &Random, now: i64) -> Result<Self, KeyError> {
        let mut stored = metadata.token_keys().await?;
        if !stored.iter().any(|key| key.retires_at.is_none()) {
            add_key(metadata, master, random, Vec::new(), now).await?;
            stored = metadata.token_keys().await?;
        }
        let ring = KeyRing::open(&stored, master, random)?;
        Ok(Self { ring: RwLock::new(Arc::new(ring)), looked_at: AtomicI64::new(now) })
    }

    /// Makes a new signing key; the ones before it are accepted until `overlap` milliseconds from now.
    ///
    /// # Errors
    /// [`KeyError`] when the database fails; nothing has changed then.
    pub async fn rotate(
        &self,
        metadata: &Metadata,
        master: &Masters,
        random: &Random,
        overlap: i64,
        now: i64,
    ) -> Result<String, KeyError> {
        let signing = metadata.token_keys().await?.into_iter().filter(|key| key.retires_at.is_none());
        let retiring = signing.map(|key| (key.kid, now + overlap)).collect();
        let kid = add_key(metadata, master, random, retiring, now).await?;
        self.reload(metadata, master, random, now).await?;
        Ok(kid)
    }

    /// Reads the keys again, as they stand in the database now; whether they differ from those in use.
    ///
    /// # Errors
    /// [`KeyError`] when the database fails or a key does not open; the keys in use stay.
    pub async fn reload(
        &self,
        metadata: &Metadata,
        master: &Masters,
        random: &Random,
        now: i64,
    ) -> Result<bool, KeyError> {
        self.looked_at.store(now, Ordering::Relaxed);
        let stored = metadata.token_keys().await?;
        if self.ring().holds(&stored) {
            return Ok(false);
        }
        let ring = KeyRing::open(&stored, master, random)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(true)
    }

    /// Whether an unknown key id is worth another look into the database.
    pub fn may_look_again(&self, now: i64) -> bool {
        let last = self.looked_at.load(Ordering::Relaxed);
        now - last >= RELOAD_EVERY
            && self.looked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The keys as they stand.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyRing {
    fn open(stored: &[TokenKey], master: &Masters, random: &Random) -> Result<Self, KeyError> {
        let newest = stored
            .iter()
            .filter(|key| key.retires_at.is_none())
            .max_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)))
            .ok_or_else(|| KeyError::Damaged("(none)".to_owned()))?;
        let document = master
            .open(&purpose(&newest.kid), &newest.sealed)
            .map_err(|source| KeyError::Sealed { kid: newest.kid.clone(), source })?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document, random.secure())
            .map_err(|_| KeyError::Damaged(newest.kid.clone()))?;
        let public = stored
            .iter()
            .map(|key| (key.kid.clone(), PublicKey { point: key.public.clone(), retires_at: key.retires_at }))
            .collect();
        Ok(Self { signing: SigningKey { kid: newest.kid.clone(), pair }, public })
    }

    /// Whether these are the keys as they are stored.
    fn holds(&self, stored: &[TokenKey]) -> bool {
        stored.len() == self.public.len()
            && stored.iter().all(|key| self.public.get(&key.kid).is_some_and(|held| held.retires_at == key.retires_at))
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signing_kid(&self) -> &str {
        &self.signing.kid
    }

    /// Signs `message` with ES256: the 64 bytes r ‖ s of RFC 7518 §3.4.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn sign(&self, random: &Random, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.signing.pair.sign(random.secure(), message).map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Whether the key `kid` is known at all, retired or not.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.public.contains_key(kid)
    }

    /// Whether the key `kid` is accepted at `now`.
    #[must_use]
    pub fn accepts(&self, kid: &str, now: i64) -> bool {
        self.public.get(kid).is_some_and(|key| key.retires_at.is_none_or(|at| now < at))
    }

    /// Whether `signature` over `message` was made by the key `kid` and that key is accepted at `now`.
    #[must_use]
    pub fn verifies(&self, kid: &str, message: &[u8], signature: &[u8], now: i64) -> bool {
        self.accepts(kid, now)
            && self.public.get(kid).is_some_and(|key| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point).verify(message, signature).is_ok()
            })
    }

    /// The accepted keys as a JSON Web Key Set (RFC 7517 §5), newest id order unspecified.
    #[must_use]
    pub fn jwks(&self, now: i64) -> Value {
        let mut keys: Vec<_> = self.public.iter().filter(|(_, key)| key.retires_at.is_none_or(|at| now < at)).collect();
        keys.sort_by_key(|(kid, _)| *kid);
        let keys: Vec<_> = keys.into_iter().map(|(kid, key)| jwk(kid, &key.point)).collect();
        json!({ "keys": keys })
    }
}

async fn add_key(
    metadata: &Metadata,
    master: &Masters,
    random: &Random,
    retiring: Vec<(String, i64)>,
    now: i64,
) -> Result<String, KeyError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random.secure())
        .map_err(|_| KeyError::Random)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), random.secure())
        .map_err(|_| KeyError::Damaged("(new)".to_owned()))?;
    let public = pair.public_key().as_ref().to_vec();
    let kid = thumbprint(&public);
    let master = master.current();
    let sealed = master.seal(&purpose(&kid), random.bytes(), document.as_ref());
    let key = TokenKey { kid: kid.clone(), sealed, public, created_at: now, retires_at: None };
    metadata
        .write((key, retiring, master, now), |tx, (key, retiring, master, now)| {
            Box::pin(async move {
                // A key that is sealed under what another replica has given up would open nowhere after a restart.
                Masters::hold(tx).await?;
                let signing = tx.token_keys().await?.into_iter().filter(|key| key.retires_at.is_none());
                for stored in signing {
                    if master.open(&purpose(&stored.kid), &stored.sealed).is_err() {
                        return Err(KeyError::OtherMaster(stored.kid));
                    }
                }
                for (kid, at) in retiring {
                    tx.retire_token_key(kid, *at).await?;
                }
                tx.forget_retired_token_keys(*now).await?;
                tx.insert_token_key(key).await?;
                let retiring: Vec<_> = retiring.iter().map(|(kid, _)| kid).collect();
                let payload = json!({ "retiring": retiring }).to_string();
                let event = Event { payload: &payload, ..Event::of_system("token_key_added", &key.kid, *now) };
                Ok(tx.record(&event).await?)
            })
        })
        .await?;
    Ok(kid)
}

/// The RFC 7638 thumbprint of a P-256 key, base64url of SHA-256.
fn thumbprint(point: &[u8]) -> String {
    let (x, y) = coordinates(point);
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

fn jwk(kid: &str, point: &[u8]) -> Value {
    let (x, y) = coordinates(point);
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig"})
}

fn coordinates(point: &[u8]) -> (String, String) {
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len().saturating_sub(1) / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}
