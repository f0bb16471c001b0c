use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};

const BYTES: usize = 16;

/// The name under which bytes lie in the store: 128 random bits as 32 lower-case hexadecimal characters.
///
/// A key is written once and deleted once (I3). It is never a counter and never derived from a digest: a database that
/// was restored from a backup would hand out counters again, and a digest would let a deletion hit a later push.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageKey(String);

impl StorageKey {
    /// A key from the operating system's randomness.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "for tools and tests; the registry makes its keys from `Random`")]
    pub fn random() -> Self {
        let mut bytes = [0; BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes once it has started");
        Self::from_bytes(bytes)
    }

    /// The key of these 16 bytes; for tests that fix their randomness.
    #[must_use]
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The 32 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StorageKey {
    type Err = StorageKeyInvalid;

    fn from_str(text: &str) -> Result<Self, StorageKeyInvalid> {
        let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 2 * BYTES && hexadecimal { Ok(Self(text.to_owned())) } else { Err(StorageKeyInvalid) }
    }
}

/// The text is not a storage key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a storage key is 32 lower-case hexadecimal characters")]
pub struct StorageKeyInvalid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let key = StorageKey::from_bytes([0x0f; BYTES]);
        assert_eq!(key.as_str().parse(), Ok(key));
    }

    #[test]
    fn a_key_with_capitals_or_a_path_is_refused() {
        for text in ["", "0F0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "../../etc/passwd0000000000000000000", "0f"] {
            assert_eq!(text.parse::<StorageKey>(), Err(StorageKeyInvalid), "{text}");
        }
    }
}
