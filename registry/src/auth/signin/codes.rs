//! Secrets of this room: random texts of which only the hash is kept, and the code that a person types.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256, digest};

use crate::clock::Random;

/// The letters of a person's code: consonants, so that no word comes out, none that reads like another (RFC 8628 section
/// 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many there are in a code: 20⁸ codes, some 2³⁴.
const CODE_LETTERS: usize = 8;
/// The longest text that is looked at for a code, in bytes.
const TYPED_BYTES: usize = 4 * CODE_LETTERS;
/// The length of what [`secret`] makes.
pub(super) const SECRET_CHARACTERS: usize = 43;

/// A text of 256 random bits in base64url.
pub(super) fn secret(random: &Random) -> String {
    URL_SAFE_NO_PAD.encode(random.bytes::<32>())
}

/// What is kept of a secret, or of a person's code.
pub(super) fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Another secret that follows from this one for one purpose; it tells nothing of it.
pub(super) fn derived(purpose: &str, secret: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [purpose, secret] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut derived = [0; 32];
    derived.copy_from_slice(context.finish().as_ref());
    derived
}

/// Whether two secret texts are the same. What is compared are their hashes, so the time it takes tells nothing of them.
pub(super) fn same(one: &str, other: &str) -> bool {
    hash(one) == hash(other)
}

/// A person's code, without its dash. 128 random bits over 20⁸ codes leave none likelier than another.
pub(super) fn user_code(random: &Random) -> String {
    let mut number = u128::from_le_bytes(random.bytes());
    let mut code = String::with_capacity(CODE_LETTERS);
    for _ in 0..CODE_LETTERS {
        code.push(char::from(LETTERS[(number % 20) as usize]));
        number /= 20;
    }
    code
}

/// The code as it is shown.
pub(super) fn shown(code: &str) -> String {
    let (first, second) = code.split_at_checked(CODE_LETTERS / 2).unwrap_or((code, ""));
    format!("{first}-{second}")
}

/// The code as it is kept, from how a person types it: in any case, with or without its dash.
pub(super) fn normal(typed: &str) -> Option<String> {
    if typed.len() > TYPED_BYTES {
        return None;
    }
    let letters = typed.chars().filter(|character| !matches!(character, '-' | ' '));
    let code: String = letters.map(|character| character.to_ascii_uppercase()).collect();
    (code.len() == CODE_LETTERS && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}
