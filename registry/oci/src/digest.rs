//! Content identifiers: an algorithm and the hash of the bytes they name.
//! Nothing is read or compared with content here beyond hashing a slice.
//! Start at [`Digest`].

use std::fmt;
use std::str::FromStr;

use sha2::{Sha256, Sha512};
use thiserror::Error;

use crate::Tag;
use crate::text::{is_lower_hex, lower_hex, text};

/// A hash algorithm that content may be named by. The list is closed: what cannot be computed cannot be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, 64 hexadecimal digits.
    Sha256,
    /// SHA-512, 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// The registered name, as it stands before the colon of a digest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The number of hexadecimal digits of a hash.
    #[must_use]
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestInvalid::UnsupportedAlgorithm),
        }
    }
}

/// A digest: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits (image-spec, descriptor, "Digests").
///
/// There is one spelling of each digest, so that equal texts and equal contents are the same question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

text!(Digest, DigestInvalid);

impl Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        use sha2::Digest as _;
        match algorithm {
            Algorithm::Sha256 => Self::from_hash(algorithm, &Sha256::digest(content)),
            Algorithm::Sha512 => Self::from_hash(algorithm, &Sha512::digest(content)),
        }
    }

    /// The digest whose hash is already known; `hash` has the algorithm's own length.
    pub(crate) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        debug_assert_eq!(hash.len() * 2, algorithm.hex_len());
        Self(format!("{algorithm}:{}", lower_hex(hash)).into())
    }

    /// The algorithm before the colon.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The lower-case hexadecimal digits after the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        // Both algorithm names have six letters; the colon is the seventh byte.
        &self.0[7..]
    }

    /// The tag under which clients without the referrers API keep the list of this subject's referrers.
    ///
    /// At most 64 digits follow the algorithm, so a SHA-512 subject's tag holds the first half of its hash
    /// (distribution-spec, "Referrers Tag Schema").
    #[must_use]
    pub fn fallback_tag(&self) -> Tag {
        let hex = &self.hex()[..Algorithm::Sha256.hex_len()];
        Tag::from_valid(format!("{}-{hex}", self.algorithm()))
    }

    fn check(text: &str) -> Result<(), DigestInvalid> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestInvalid::Malformed)?;
        match algorithm.parse::<Algorithm>() {
            Ok(known) if encoded.len() == known.hex_len() && is_lower_hex(encoded) => Ok(()),
            _ => Err(why_invalid(algorithm, encoded)),
        }
    }
}

/// What is wrong with a text whose parts are known not to be a digest's.
fn why_invalid(algorithm: &str, encoded: &str) -> DigestInvalid {
    if !is_algorithm(algorithm) || encoded.is_empty() || !encoded.bytes().all(is_encoded) {
        return DigestInvalid::Malformed;
    }
    match algorithm.parse::<Algorithm>() {
        Err(unsupported) => unsupported,
        Ok(known) if encoded.len() != known.hex_len() => DigestInvalid::Length { expected: known.hex_len() },
        Ok(_) if encoded.bytes().all(|byte| byte.is_ascii_hexdigit()) => DigestInvalid::Case,
        Ok(_) => DigestInvalid::Malformed,
    }
}

/// `[a-z0-9]+([+._-][a-z0-9]+)*`
fn is_algorithm(text: &str) -> bool {
    text.split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// `[a-zA-Z0-9=_-]`
fn is_encoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-')
}

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DigestInvalid {
    /// Not `algorithm:encoded`, or characters that no digest has.
    #[error("a digest is written as sha256: and 64, or sha512: and 128 lower-case hexadecimal digits")]
    Malformed,
    /// Well formed, of an algorithm that is not computed here.
    #[error("this digest algorithm is not supported; use sha256 or sha512")]
    UnsupportedAlgorithm,
    /// A supported algorithm with a hash of another length.
    #[error("this digest does not have the {expected} hexadecimal digits of its algorithm")]
    Length {
        /// The number of digits of the named algorithm.
        expected: usize,
    },
    /// Upper-case hexadecimal digits.
    #[error("the hexadecimal digits of a digest are written in lower case")]
    Case,
}
