//! AES-256-GCM envelopes under one master key.
//!
//! An envelope is `version (1 byte, 1) ‖ master key id (8 bytes) ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)`.
//! The purpose (which key, of which role) is authenticated with it, so that two sealed keys cannot be swapped.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;

/// The key that seals every private key at rest: 256 bits, printed as nothing.
pub struct MasterKey {
    id: [u8; ID_BYTES],
    key: LessSafeKey,
}

/// This text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes in base64")]
pub struct MasterKeyInvalid;

/// Why an envelope stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// The bytes are not an envelope of a known version.
    #[error("the sealed bytes are damaged or of a newer version")]
    Malformed,
    /// The envelope names another master key; the one it was sealed under is needed.
    #[error("the bytes were sealed under another master key")]
    OtherMasterKey,
    /// The ciphertext or its purpose was changed.
    #[error("the sealed bytes do not belong to this purpose or were changed")]
    Forged,
}

impl MasterKey {
    /// Makes a master key of 32 random bytes.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256-GCM takes exactly 32 bytes");
        let hashed = digest(&SHA256, bytes);
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&hashed.as_ref()[..ID_BYTES]);
        Self { id, key: LessSafeKey::new(key) }
    }

    /// What tells it from others: the beginning of its SHA-256.
    pub(crate) fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// The text of a master key of these 32 random bytes, as [`MasterKey::from_str`] reads it.
    #[must_use]
    pub fn generate_text(bytes: &[u8; KEY_BYTES]) -> String {
        STANDARD.encode(bytes) + "\n"
    }

    /// Seals `plain` for `purpose`, which [`MasterKey::open`] must name again.
    ///
    /// `nonce` is 96 fresh random bits; a nonce that is used twice under one key gives both texts away.
    #[must_use]
    pub fn seal(&self, purpose: &str, nonce: [u8; NONCE_LEN], plain: &[u8]) -> Vec<u8> {
        let mut envelope = Vec::with_capacity(HEAD_BYTES + plain.len() + AES_256_GCM.tag_len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.id);
        envelope.extend_from_slice(&nonce);
        let mut text = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose.as_bytes()), &mut text)
            .expect("a private key is far shorter than the 64 GiB that GCM can seal");
        envelope.append(&mut text);
        envelope
    }

    /// Opens an envelope that [`MasterKey::seal`] made for the same purpose.
    ///
    /// # Errors
    /// [`OpenRefused::Malformed`] for bytes of another shape, [`OpenRefused::OtherMasterKey`] when it was sealed under
    /// another key, [`OpenRefused::Forged`] when the purpose differs or a bit was changed.
    pub fn open(&self, purpose: &str, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
        if envelope.len() < HEAD_BYTES + AES_256_GCM.tag_len() || envelope[0] != VERSION {
            return Err(OpenRefused::Malformed);
        }
        let (head, text) = envelope.split_at(HEAD_BYTES);
        if head[1..=ID_BYTES] != self.id {
            return Err(OpenRefused::OtherMasterKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + ID_BYTES..]).map_err(|_| OpenRefused::Malformed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut text)
            .map_err(|_| OpenRefused::Forged)?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

impl FromStr for MasterKey {
    type Err = MasterKeyInvalid;

    /// Reads 32 bytes in base64; white space around them is ignored.
    fn from_str(text: &str) -> Result<Self, MasterKeyInvalid> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| MasterKeyInvalid)?);
        bytes.as_slice().try_into().map(Self::new).map_err(|_| MasterKeyInvalid)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MasterKey([secret])")
    }
}
