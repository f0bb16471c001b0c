//! A digest of bytes as they arrive, whose state can be kept and taken up again by another process.
//! Nothing is stored here: the state is handed to the caller as bytes.
//! Start at [`Hasher`].

use std::fmt;
use std::ops::Range;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

use crate::{Algorithm, Digest};

/// The first byte of a saved state, naming its algorithm. Stored for as long as an upload lives: never renumber.
const SHA256_STATE: u8 = 1;
const SHA512_STATE: u8 = 2;

/// The most content that a saved state may have hashed. SHA-256 counts bits in 64 bits, so it ends at 2^61 bytes; no
/// store is near that.
const HASHED_BYTES: u128 = 1 << 60;

/// A running hash of a blob.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hash of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The algorithm that this hash is of.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything hashed.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hasher) => Digest::from_hash(Algorithm::Sha256, &hasher.finalize()),
            State::Sha512(hasher) => Digest::from_hash(Algorithm::Sha512, &hasher.finalize()),
        }
    }

    /// The state as bytes (105 for SHA-256, 209 for SHA-512): one byte naming the algorithm, then its running state.
    ///
    /// It holds the last unhashed bytes of the content, so it is kept where the content may be kept.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(hasher) => tagged(SHA256_STATE, &hasher.serialize()),
            State::Sha512(hasher) => tagged(SHA512_STATE, &hasher.serialize()),
        }
    }

    /// Takes up a state from [`Hasher::save`].
    ///
    /// # Errors
    /// [`HashStateInvalid`] when the bytes are not a saved state: another length, algorithm or block position, or more
    /// content than there can be.
    pub fn restore(state: &[u8]) -> Result<Self, HashStateInvalid> {
        let (algorithm, state) = state.split_first().ok_or(HashStateInvalid)?;
        match *algorithm {
            SHA256_STATE => Ok(Self(State::Sha256(resume(state, 32..40, 64)?))),
            SHA512_STATE => Ok(Self(State::Sha512(resume(state, 64..80, 128)?))),
            _ => Err(HashStateInvalid),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

fn tagged(algorithm: u8, state: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + state.len());
    bytes.push(algorithm);
    bytes.extend_from_slice(state);
    bytes
}

/// Deserializes a state in which the number of hashed blocks stands at `count`, in little-endian order.
///
/// That number is checked here because the hash makes a number of bits of it when it ends, and overflows.
fn resume<H: SerializableState>(state: &[u8], count: Range<usize>, block_bytes: u128) -> Result<H, HashStateInvalid> {
    let blocks = state.get(count).ok_or(HashStateInvalid)?;
    let blocks = blocks.iter().rev().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    if blocks > HASHED_BYTES / block_bytes {
        return Err(HashStateInvalid);
    }
    let state = SerializedState::<H>::try_from(state).map_err(|_| HashStateInvalid)?;
    H::deserialize(&state).map_err(|_| HashStateInvalid)
}

/// Bytes that are not a state made by [`Hasher::save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("these bytes are not a saved hash state")]
pub struct HashStateInvalid;
