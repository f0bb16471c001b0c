//! Where Hallmark keeps bytes and facts: a store of blobs and a database, each behind one concrete type.
//! What never lives here: rules about who may do what, HTTP, signing keys in the clear, the system clock.
//! Start with [`metadata::Metadata`] for facts and `blobs` for bytes; [`StorageKey`] is the one word they share.

pub mod blobs;
pub mod metadata;
mod storage_key;

pub use storage_key::{StorageKey, StorageKeyInvalid};
