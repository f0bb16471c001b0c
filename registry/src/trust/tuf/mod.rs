//! Lives here: a repository's tags as TUF 1.0. What is vouched for is published by a job that follows the events, and read from
//! rows; the roots that this begins with.
//! Never here: how metadata is built and signed (`signer`), HTTP, rights, SQL.
//! Start reading at `follow.rs`, then `publish.rs`.

mod follow;
mod parts;
mod publish;
mod read;
pub(crate) mod root;
mod rules;
pub(crate) mod shelf;

use hallmark_oci::TrustRole;
use hallmark_signer::TufRefused;
use hallmark_storage::metadata::{self, CollectionKey, RepositoryId, TrustDialect};

pub(crate) use follow::{begin_anew, followed};
pub use follow::{follow, renew_due};
pub(super) use publish::{KEPT, all_vouches, target};
pub(super) use read::{ReadError, file};

/// The trust domain that every repository belongs to whose organization has none of its own.
pub(crate) const DOMAIN: &str = "tuf1/registry";

/// Why a repository's tags are not published.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The signer refuses or fails.
    #[error("the signer did not sign")]
    Signer(#[from] TufRefused),
    /// Another publish was faster.
    #[error("another publish was faster")]
    Overtaken,
    /// A row is not what it was written as.
    #[error("a row of trust data is damaged")]
    Damaged,
}

impl TufError {
    /// Whether the signer does not answer.
    fn is_signer_away(&self) -> bool {
        matches!(self, Self::Signer(TufRefused::Unserved(unserved)) if unserved.is_away())
    }
}

fn collection(repository: RepositoryId) -> CollectionKey {
    CollectionKey { repository, dialect: TrustDialect::Tuf, gun: String::new() }
}

/// The role under which rows keep a role's files: those below `targets` stand below it there too.
fn stored(role: &str) -> Option<TrustRole> {
    match role {
        "targets" | "snapshot" | "timestamp" => role.parse().ok(),
        "root" => None,
        below => format!("targets/{below}").parse().ok(),
    }
}

/// The name that a role has in metadata.
fn named(role: &TrustRole) -> &str {
    let role = role.as_str();
    role.strip_prefix("targets/").unwrap_or(role)
}
