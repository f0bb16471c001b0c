//! Lives here: TUF 1.0 as this registry publishes it, a root chain, and for each repository targets, snapshot and timestamp; and
//! a client of it.
//! Never here: keys at rest, rows, HTTP, rights, the clock.
//! Start reading at `build.rs`, then `update.rs`.

mod build;
mod key;
mod layout;
mod memory;
mod meta;
mod person;
mod root;
mod target;
mod update;
mod verify;
mod write;

pub(crate) use build::{Authors, Change, of_files};
pub use build::{BuildError, Files, Standing, naming, needed};
pub(crate) use key::{Held, document};
pub use meta::Flaw;
pub(crate) use person::shown;
pub use person::{HeldKey, HeldKeyError, public_key};
pub use root::{HoldersRefused, Keyholders, RootContent, RootRole, check_successor, key_id, payload, with_signature};
pub(crate) use root::{ROOT_DAYS, endorsed, expires, public};
pub use target::{Target, target_path};
pub use update::{Fetch, Named, UpdateError};
pub use verify::{VerifyError, find, verify};
pub(crate) use write::message;

pub(crate) use layout::TAGS;
