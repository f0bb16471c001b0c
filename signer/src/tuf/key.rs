//! Keys in the shape that `tough` takes them.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use tough::key_source::KeySource;
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::sign::Sign;

type Failure = Box<dyn std::error::Error + Send + Sync + 'static>;

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

#[async_trait]
impl Sign for Held {
    fn tuf_key(&self) -> Key {
        document(self.0.public_key().as_ref())
    }

    async fn sign(&self, message: &[u8], _: &(dyn SecureRandom + Sync)) -> Result<Vec<u8>, Failure> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

#[async_trait]
impl KeySource for Held {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, Failure> {
        Ok(Box::new(self.clone()))
    }

    async fn write(&self, _: &str, _: &str) -> Result<(), Failure> {
        Err("a key of the signer is not written from outside".into())
    }
}
