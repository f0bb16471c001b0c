//! Long-lived secrets that scanners find: `hmp_…` of a person, `hmb_…` of a robot.
//!
//! `<prefix><selector><secret><checksum>` in letters and digits only: the selector (65 random bits) finds the row, the
//! secret (190 random bits) is stored as its SHA-256 only, and the checksum (CRC-32 of all before it, in base 62) lets a
//! scanner tell a leaked secret from a text that looks like one, without asking anybody.

use crc::{CRC_32_ISO_HDLC, Crc};
use ring::digest::{SHA256, digest};

use crate::clock::Random;

const SELECTOR: usize = 11;
const SECRET: usize = 32;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Whose secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user's personal access token.
    Personal,
    /// A robot's.
    Robot,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "hmp_",
            Self::Robot => "hmb_",
        }
    }

    /// As the column `credentials.kind` holds it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Robot => "robot",
        }
    }
}

/// A secret that was just made: shown once, and never again.
#[derive(Clone)]
pub(crate) struct Made {
    /// The whole text.
    pub(crate) text: String,
    /// What finds its row.
    pub(crate) selector: String,
    /// What its row keeps.
    pub(crate) hash: Vec<u8>,
}

/// Makes a secret.
pub(crate) fn make(kind: Kind, random: &Random) -> Made {
    let (selector, secret) = (digits(random, SELECTOR), digits(random, SECRET));
    let head = format!("{}{selector}{secret}", kind.prefix());
    let (hash, text) = (sha256(&secret), format!("{head}{}", checksum(&head)));
    Made { text, selector, hash }
}

/// Takes a secret apart: its kind, its selector and the hash of the rest. What is no such text is not looked for.
pub(crate) fn read(text: &str) -> Option<(Kind, &str, Vec<u8>)> {
    let kind = [Kind::Personal, Kind::Robot].into_iter().find(|kind| text.starts_with(kind.prefix()))?;
    let prefix = kind.prefix().len();
    let is_whole = text.len() == prefix + SELECTOR + SECRET + CHECKSUM
        && text[prefix..].bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_whole {
        return None;
    }
    let (head, sum) = text.split_at(text.len() - CHECKSUM);
    let (selector, secret) = head[prefix..].split_at(SELECTOR);
    (checksum(head) == sum).then(|| (kind, selector, sha256(secret)))
}

/// Whether a text begins like such a secret: it is then never taken for a password.
pub(crate) fn looks_like_one(text: &str) -> bool {
    [Kind::Personal, Kind::Robot].iter().any(|kind| text.starts_with(kind.prefix()))
}

/// Digits of base 62, each as likely as any other: bytes that would favour some are thrown away.
fn digits(random: &Random, count: usize) -> String {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let bytes = random.bytes::<64>();
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(DIGITS[usize::from(*byte) % 62]));
        text.extend(fair.take(count - text.len()));
    }
    text
}

fn checksum(head: &str) -> String {
    let mut left = CRC.checksum(head.as_bytes());
    let mut sum = [b'0'; CHECKSUM];
    for digit in sum.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    sum.iter().map(|digit| char::from(*digit)).collect()
}

fn sha256(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognized_by_its_prefix_and_checksum() {
        let random = Random::system();
        for kind in [Kind::Personal, Kind::Robot] {
            let made = make(kind, &random);
            assert_eq!(read(&made.text), Some((kind, made.selector.as_str(), made.hash.clone())));
            assert_ne!(make(kind, &random).text, made.text);
            for at in 0..made.text.len() {
                let mut other = made.text.clone().into_bytes();
                other[at] = if other[at] == b'x' { b'y' } else { b'x' };
                assert_eq!(read(std::str::from_utf8(&other).unwrap()), None, "one letter of {}", made.text);
            }
        }
        for text in ["", "hmp_", "hmp_é", "hmr_aaaaaaaaaaa_bbbb"] {
            assert_eq!(read(text), None);
        }
    }

    /// What a scanner of another make works out, by the same rule: CRC-32 of prefix, selector and secret, in base 62.
    #[test]
    fn the_checksum_is_the_one_that_scanners_know() {
        assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum("123456789"), "3jZRME");
    }
}
