//! Repository names.
//! Whether a repository exists, and whose it is, is not known here.
//! Start at [`RepositoryName`].

use std::sync::Arc;

use thiserror::Error;

use crate::limits::NAME_BYTES;
use crate::text::text;

/// A repository's name: lower-case components joined by slashes, at most 255 bytes (distribution-spec, "Pulling Manifests").
///
/// Components may be called `blobs`, `manifests`, `tags`, `uploads` or `referrers`; none begins with `_`. Cheap to clone: a request
/// hands its name to whoever decides, acts and logs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

text!(RepositoryName, RepositoryNameInvalid);

impl RepositoryName {
    /// The account that the name belongs to: its first component, when there are two or more.
    ///
    /// A repository of one component belongs to the system and has no account.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.0.split_once('/').map(|(account, _)| account)
    }

    fn check(text: &str) -> Result<(), RepositoryNameInvalid> {
        if text.is_empty() {
            return Err(RepositoryNameInvalid::Empty);
        }
        if text.len() > NAME_BYTES {
            return Err(RepositoryNameInvalid::TooLong);
        }
        if text.split('/').all(is_component) { Ok(()) } else { Err(RepositoryNameInvalid::Component) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && (bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit()) {
            at += 1;
        }
        if at == start {
            return false;
        }
        if at == bytes.len() {
            return true;
        }
        let separator = at;
        while at < bytes.len() && bytes[at] == bytes[separator] {
            at += 1;
        }
        match (bytes[separator], at - separator) {
            (b'.', 1) | (b'_', 1 | 2) | (b'-', _) => {}
            _ => return false,
        }
    }
}

/// Why a text is not a [`RepositoryName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RepositoryNameInvalid {
    /// No text at all.
    #[error("the repository name is missing")]
    Empty,
    /// Over [`NAME_BYTES`] bytes.
    #[error("a repository name has at most {NAME_BYTES} characters")]
    TooLong,
    /// An empty component, or one with characters or separators that none has.
    #[error(
        "a repository name is made of components joined by slashes, each of lower-case letters and digits \
         joined by one dot, one or two underscores, or dashes"
    )]
    Component,
}
