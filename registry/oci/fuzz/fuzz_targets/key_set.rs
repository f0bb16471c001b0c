//! `KeySet::parse` over a document of another issuer.
//! What is accepted is the same when it is read again, and no key of it takes an empty signature.

#![no_main]
#![expect(dead_code, reason = "the rooms are taken whole, and a few functions of them are asked")]

#[path = "../../../src/auth/oidc/json.rs"]
mod json;
#[path = "../../../src/auth/oidc/jwk.rs"]
mod jwk;
#[path = "../../../src/auth/oidc/jwt.rs"]
mod jwt;

use jwk::KeySet;
use jwt::{Algorithm, is_key_id};
use libfuzzer_sys::fuzz_target;

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

fuzz_target!(|input: &[u8]| {
    let Ok(set) = KeySet::parse(input) else { return };
    let again = KeySet::parse(input).expect("a document is read the same twice");
    assert_eq!(set.changed_in(&again), None);
    let document = json::parse(input).expect("a key set is JSON");
    let keys = document["keys"].as_array().expect("it has keys");
    for kid in keys.iter().filter_map(|key| key.get("kid")?.as_str()) {
        let Some(key) = set.key(kid) else { continue };
        assert!(is_key_id(kid));
        for algorithm in ALGORITHMS {
            for signature in [&[][..], &[0; 64], &[1; 96], &[0; 256]] {
                // Whoever chooses a key can choose one for a signature; for none of no length.
                let taken = key.verifies(algorithm, b"nobody signed this", signature);
                assert!(!(taken && signature.is_empty()));
            }
        }
    }
});
