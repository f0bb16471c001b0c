//! Keys in the shape that `tough` takes them.

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};

/// A public key as metadata holds it.
pub(crate) fn document(public: &[u8]) -> Key {
    Key::Ed25519 {
        keyval: Ed25519Key { public: public.to_vec().into(), _extra: Default::default() },
        scheme: Ed25519Scheme::Ed25519,
        _extra: Default::default(),
    }
}

/// A private key that was opened for one publish.
#[derive(Clone)]
pub(crate) struct Held(pub(crate) Arc<Ed25519KeyPair>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held([secret])")
    }
}
