//! Lives here: the master key and the envelope that every stored private key is sealed in.
//! Never here: what the keys sign, and where the sealed bytes are stored.
//! Start reading at [`MasterKey::seal`].

mod master;

pub use master::{MasterKey, MasterKeyInvalid, OpenRefused};

#[cfg(test)]
mod tests;
