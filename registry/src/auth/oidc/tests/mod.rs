//! Lives here: what issuers may do to us: forged tokens, swapped keys, addresses that lead astray.
//! Never here: a real provider; that is `registry/tests/provider.rs`.
//! Start reading at `stage`, the issuer of the tests, then `tokens`.

mod hostile;
mod keys;
mod network;
mod settings;
pub(crate) mod stage;
mod tokens;
