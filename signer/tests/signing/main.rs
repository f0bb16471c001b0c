//! What the signer does with its keys, on a real database.
//! Never here: how metadata of clients is verified, which the crate's own tests attack.
//! Start with `world`; then `versions`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod backups;
mod delegations;
mod given;
mod keys;
mod masters;
mod records;
mod roots;
mod sealed;
mod sizes;
mod versions;
mod world;
