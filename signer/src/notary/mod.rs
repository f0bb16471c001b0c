//! Lives here: the Notary v1 dialect of TUF: reading, verifying, checking a publish, and building what the server signs.
//! Never here: keys at rest, rows, HTTP, rights, the clock.
//! Start reading at [`publish::check`].

mod build;
mod canonical;
pub mod delegate;
mod key;
mod members;
mod metadata;
pub mod publish;
mod verify;

#[cfg(test)]
mod tests;

pub use build::{Draft, FileState, snapshot, timestamp};
pub use canonical::{CanonicalInvalid, Value};
pub use key::{KeyDocument, KeyInvalid, PublicKey, Signature};
pub use metadata::{
    Delegation, Delegations, FileMeta, Kind, MetadataInvalid, RoleKeys, Root, Signed, Snapshot, Targets, Timestamp,
};
pub use publish::Held;
pub use verify::{Verified, VerifyRefused, expired, verify};
