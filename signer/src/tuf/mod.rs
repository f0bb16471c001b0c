//! Lives here: TUF 1.0 as this registry publishes it: a root chain, and for each repository targets, snapshot and timestamp.
//! Never here: keys at rest, rows, HTTP, rights, the clock.
//! Start reading at `build.rs`, then [`verify`].

mod build;
mod key;
mod verify;

pub(crate) use build::{Authors, Change, Differences, Previous, Versions, first_root};
pub use build::{BuildError, Files, Role, Target, target_path};
pub(crate) use key::{Held, document};
pub use verify::{Fetch, VerifyError, verify};

/// The role below `targets` that names a repository's tags.
pub const TAGS: &str = "tags";
