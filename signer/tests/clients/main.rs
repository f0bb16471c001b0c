//! What clients of TUF 1.0 take and refuse: ours, and two strangers on the same files.
//! Never here: how the signer builds files, which `publishing` shows.
//! Start with `forge`, which makes repositories and breaks them; then `cases`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod cases;
mod forge;
mod ours;
mod strangers;
