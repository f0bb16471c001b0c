//! What is kept of a sign-in while its browser is away. Its key follows from the cookie that this browser alone holds: whoever
//! reads the database learns neither the nonce nor the verifier.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::codes::derived;
use crate::auth::oidc::people::Pending;

/// A sign-in that has begun.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The provider's name in the settings.
    pub(super) provider: String,
    /// What the provider's answer is checked against.
    pub(super) pending: Pending,
    /// The code of a device that brought the person here.
    pub(super) code: Option<String>,
}

/// Seals a sign-in for the browser that is given `cookie`; `None` only if it cannot be written down.
pub(super) fn seal(kept: &Kept, cookie: &str) -> Option<String> {
    let mut text = serde_json::to_vec(kept).ok()?;
    key(cookie)?.seal_in_place_append_tag(nonce(), Aad::empty(), &mut text).ok()?;
    Some(URL_SAFE_NO_PAD.encode(text))
}

/// Opens what was sealed for the browser that holds `cookie`.
pub(super) fn open(sealed: &str, cookie: &str) -> Option<Kept> {
    let mut text = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let opened = key(cookie)?.open_in_place(nonce(), Aad::empty(), &mut text).ok()?;
    serde_json::from_slice(opened).ok()
}

fn key(cookie: &str) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &derived("sealed sign-in", cookie)).ok().map(LessSafeKey::new)
}

/// Each cookie is made for one sign-in, so its key seals one text and the nonce need not differ.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
