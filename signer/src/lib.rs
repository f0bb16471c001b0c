//! Lives here: the custody of private keys, and the metadata that they sign.
//! Never here: HTTP, accounts, rights, images, and any private key in the clear outside memory.
//! Start reading at [`Signer`] for what is signed, and at [`notary::publish`] for what is taken from clients.

mod backup;
mod bounds;
mod custody;
mod delegations;
mod forms;
pub mod keys;
mod known;
pub mod notary;
mod publisher;
mod records;
mod rewrap;
mod signer;
pub mod tuf;
pub mod wire;
mod written;

pub use backup::{BackupRefused, Restored, backup, restore};
pub use bounds::Rates;
pub use custody::CustodyError;
pub use delegations::DelegationChange;
pub use publisher::{RootPlan, TufChange, TufMode, TufRefused};
pub use records::KeyRecord;
pub use rewrap::{RewrapRefused, Rewrapped, rewrap};
pub use signer::{NotaryChange, NotaryFiles, SignRefused, Signer, SnapshotOf};

/// The lower-case hexadecimal spelling of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
