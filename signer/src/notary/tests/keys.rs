//! Keys to sign with, and the certificates around those of roots.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};

use crate::notary::{KeyDocument, Signature};

use super::kit::GUN;

/// One RSA key for every test: they take long to make.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());

/// Both halves of a key.
pub(super) struct Key {
    pub(super) document: KeyDocument,
    pub(super) pair: Pair,
}

pub(super) enum Pair {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// A bare ECDSA key.
    pub(super) fn ecdsa() -> Arc<Self> {
        let made = KeyPair::generate().unwrap();
        Self::of("ecdsa", &made.subject_public_key_info(), &made)
    }

    /// A bare RSA key.
    pub(super) fn rsa() -> Arc<Self> {
        Self::of("rsa", &RSA.subject_public_key_info(), &RSA)
    }

    pub(super) fn ed25519() -> Arc<Self> {
        let made = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self::of("ed25519", made.der_bytes(), &made)
    }

    /// An ECDSA key in a certificate that is made out to [`GUN`], after `change`.
    pub(super) fn certified(change: impl FnOnce(&mut CertificateParams)) -> Arc<Self> {
        let made = KeyPair::generate().unwrap();
        Self::of("ecdsa-x509", certificate(&made, change).as_bytes(), &made)
    }

    /// An RSA key in a certificate of [`GUN`].
    pub(super) fn certified_rsa() -> Arc<Self> {
        Self::of("rsa-x509", certificate(&RSA, |_| ()).as_bytes(), &RSA)
    }

    /// The same private half under another public one, whatever that says.
    pub(super) fn of(keytype: &str, public: &[u8], made: &KeyPair) -> Arc<Self> {
        let der = made.serialized_der();
        let pair = match made.algorithm() {
            algorithm if *algorithm == PKCS_RSA_SHA256 => Pair::Rsa(RsaKeyPair::from_pkcs8(der).unwrap()),
            algorithm if *algorithm == PKCS_ED25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).unwrap()),
            _ => Pair::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).unwrap()),
        };
        Arc::new(Self { document: KeyDocument::of(keytype, public), pair })
    }

    pub(super) fn id(&self) -> String {
        self.document.id()
    }

    /// A signature by the method that is common for the key.
    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let method = match &self.pair {
            Pair::P256(_) => "ecdsa",
            Pair::Rsa(_) => "rsapss",
            Pair::Ed25519(_) => "eddsa",
        };
        self.sign_by(method, message)
    }

    /// A signature that is of this method if the key has it, and says so in any case.
    pub(super) fn sign_by(&self, method: &str, message: &[u8]) -> Signature {
        let random = SystemRandom::new();
        let rsa = |pair: &RsaKeyPair, is_pss| {
            let mut sig = vec![0; pair.public_modulus_len()];
            let encoding = if is_pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
            pair.sign(encoding, &random, message, &mut sig).unwrap();
            sig
        };
        let sig = match &self.pair {
            Pair::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => rsa(pair, method != "rsapkcs1v15"),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        Signature { keyid: self.id(), method: method.to_owned(), sig: STANDARD.encode(sig) }
    }
}

/// What the first Notary puts into the certificate of a root key.
fn parameters(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut made = CertificateParams::default();
    made.distinguished_name = rcgen::DistinguishedName::new();
    made.distinguished_name.push(DnType::CommonName, GUN);
    made.not_before = rcgen::date_time_ymd(2026, 1, 1);
    made.not_after = rcgen::date_time_ymd(2036, 1, 1);
    made.is_ca = IsCa::ExplicitNoCa;
    made.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    made.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    change(&mut made);
    made
}

/// A self-signed certificate of a root key, as PEM.
pub(super) fn certificate(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    parameters(change).self_signed(key).unwrap().pem()
}

pub(super) fn named(parameters: &mut CertificateParams, common_name: &str) {
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
}

pub(super) fn is_authority(parameters: &mut CertificateParams) {
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// A key whose bundle is a leaf, and a certificate that `second` makes of the issuer's.
pub(super) fn bundle(second: impl FnOnce(&mut CertificateParams)) -> Arc<Key> {
    let (made, above) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let issuer = parameters(second);
    let below = parameters(|_| ()).signed_by(&made, &Issuer::from_params(&issuer, &above)).unwrap().pem();
    Key::of("ecdsa-x509", (below + &issuer.self_signed(&above).unwrap().pem()).as_bytes(), &made)
}

/// An RSA key whose certificate says that it is signed over SHA-1 (`5`) or MD5 (`4`): the last number of
/// `sha256WithRSAEncryption` is replaced. Nobody verifies a self-signed certificate.
pub(super) fn weak(last: u8) -> Arc<Key> {
    let mut der = parameters(|_| ()).self_signed(&*RSA).unwrap().der().to_vec();
    let strong = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    for at in 0..der.len() - strong.len() {
        if der[at..at + strong.len()] == strong {
            der[at + strong.len() - 1] = last;
        }
    }
    Key::of("rsa-x509", pem(&der).as_bytes(), &RSA)
}

pub(super) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

/// A certificate around an RSA key of 1,024 bits; nobody has the private half, which is never asked for.
pub(super) fn short() -> Arc<Key> {
    let authority = KeyPair::generate().unwrap();
    let issuer = parameters(is_authority);
    let made = parameters(|_| ()).signed_by(&Short, &Issuer::from_params(&issuer, &authority)).unwrap();
    Key::of("rsa-x509", made.pem().as_bytes(), &RSA)
}

struct Short;

/// `RSAPublicKey` of RFC 8017: a modulus of 128 bytes, and the exponent 65537.
static SHORT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut der = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
    der.extend([0xc5; 128]);
    der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    der
});

impl PublicKeyData for Short {
    fn der_bytes(&self) -> &[u8] {
        &SHORT
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}
