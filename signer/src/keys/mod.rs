//! Lives here: the master key, where it comes from, and the envelope that every stored private key is sealed in.
//! Never here: what the keys sign, and where the sealed bytes are stored.
//! Start reading at [`MasterKey::seal`], then `source.rs`.

mod derive;
mod master;
mod masters;
mod source;
mod token;

pub use derive::Costs;
pub(crate) use derive::derive;
pub use master::{MasterKey, MasterKeyInvalid, OpenRefused};
pub use masters::Masters;
pub(crate) use masters::RECORD;
pub use source::{MasterRefused, PASSPHRASE_BYTES, Record, Source};
pub use token::{Token, TokenFailed};

/// What a key that signs the registry's tokens is sealed for.
#[must_use]
pub fn token_purpose(kid: &str) -> String {
    format!("hallmark token key {kid}")
}

#[cfg(test)]
mod tests;
