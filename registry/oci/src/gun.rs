//! Names of trust collections and of the roles in them (Notary v1).
//! Whether a host is this registry's own, and who may do what to a collection, is asked elsewhere.
//! Start at [`Gun`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{NAME_BYTES, ROLE_BYTES};
use crate::text::text;
use crate::{RepositoryName, RepositoryNameInvalid};

/// The globally unique name of a trust collection: the registry's host with its port, a slash, and the repository, as in
/// `registry.example:5000/team/app`. The first component is always the host. Kept exactly as written: the certificate
/// behind a collection's root is made out to this text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gun {
    text: Arc<str>,
    repository: RepositoryName,
}

impl Gun {
    /// The text, exactly as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host with its port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.split_once('/').map_or(&*self.text, |(host, _)| host)
    }

    /// The repository whose rights hold for the collection.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }
}

impl FromStr for Gun {
    type Err = GunInvalid;

    fn from_str(text: &str) -> Result<Self, GunInvalid> {
        let (host, repository) = text.split_once('/').ok_or(GunInvalid::Host)?;
        if is_host(host) {
            Ok(Self { repository: repository.parse()?, text: text.into() })
        } else {
            Err(GunInvalid::Host)
        }
    }
}

impl fmt::Display for Gun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A host as image references tell it from a component of a name: it has a dot, a colon, or is `localhost`.
fn is_host(text: &str) -> bool {
    let has_characters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    has_characters && text.len() <= NAME_BYTES && (text.contains(['.', ':']) || text == "localhost")
}

/// Why a text is not a [`Gun`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GunInvalid {
    /// There is no host in front.
    #[error("a trust collection is named by the registry's host, a slash and the repository")]
    Host,
    /// What follows the host is no repository name.
    #[error(transparent)]
    Repository(#[from] RepositoryNameInvalid),
}

/// The name of a role: `root`, `targets`, `snapshot`, `timestamp`, or a delegation below `targets/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustRole(Arc<str>);

text!(TrustRole, TrustRoleInvalid);

impl TrustRole {
    /// The role that every chain begins with.
    #[must_use]
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The role that names tags, or hands that on to delegations.
    #[must_use]
    pub fn targets() -> Self {
        Self("targets".into())
    }

    /// Whether the role is below `targets`.
    #[must_use]
    pub fn is_delegation(&self) -> bool {
        self.0.starts_with("targets/")
    }

    /// Whether the role names targets: `targets` and every delegation.
    #[must_use]
    pub fn names_targets(&self) -> bool {
        &*self.0 == "targets" || self.is_delegation()
    }

    /// The role that a delegation was given by; `None` for every other.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.is_delegation().then(|| self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into())))?
    }

    /// How far below `root` or beside it: 0 for every role that is no delegation.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    fn check(text: &str) -> Result<(), TrustRoleInvalid> {
        if matches!(text, "root" | "targets" | "snapshot" | "timestamp") {
            return Ok(());
        }
        let below = text.strip_prefix("targets/").filter(|_| text.len() <= ROLE_BYTES).ok_or(TrustRoleInvalid)?;
        let is_component = |component: &str| {
            !component.is_empty()
                && component.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        if below.split('/').all(is_component) { Ok(()) } else { Err(TrustRoleInvalid) }
    }
}

/// A role whose key the server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerRole {
    /// It says which metadata files belong together.
    Snapshot,
    /// It says that the snapshot is still the newest.
    Timestamp,
}

impl ServerRole {
    /// The name in paths and metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// The same as a role among all.
    #[must_use]
    pub fn role(self) -> TrustRole {
        TrustRole(self.as_str().into())
    }
}

impl fmt::Display for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not a [`TrustRole`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a role is root, targets, snapshot, timestamp, or targets/ with components of lower-case letters, digits, dashes and \
     underscores, at most {ROLE_BYTES} characters in all"
)]
pub struct TrustRoleInvalid;
