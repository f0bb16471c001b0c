//! What clients of TUF 1.0 take and refuse: ours, and two strangers on the same files.
//! Never here: HTTP, and how the registry stores what the signer publishes.
//! Start with `forge`, which makes repositories and breaks them; then `cases`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod cases;
mod delegations;
mod falls;
mod forge;
mod ours;
mod published;
mod strangers;
mod suite;
mod thresholds;
