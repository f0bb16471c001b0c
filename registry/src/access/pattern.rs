//! What a grant or a token is about: one repository, or all whose names begin alike.

use std::fmt;
use std::str::FromStr;

use hallmark_oci::RepositoryName;

/// The longest prefix, in bytes: as long as a repository's name.
const PREFIX_BYTES: usize = 255;

/// One repository (`acme/web`), or a prefix of names (`acme/web-*`; `acme/` is short for `acme/*`). A prefix names an
/// account in full, so that it never reaches into another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// One repository.
    Repository(RepositoryName),
    /// Every repository whose name begins with this text: an account's name, a slash, and perhaps more.
    Prefix(String),
}

/// A text that is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a repository's name nor a prefix: write acme/web, acme/*, or acme/web-*")]
pub struct PatternInvalid(String);

impl Pattern {
    /// Whether the repository of this name is meant.
    #[must_use]
    pub fn reaches(&self, name: &RepositoryName) -> bool {
        match self {
            Self::Repository(repository) => repository == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix),
        }
    }

    /// The name of the account in which all of it lies; `None` for a repository of one component, the system's.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Repository(repository) => repository.account(),
            Self::Prefix(prefix) => prefix.split_once('/').map(|(account, _)| account),
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternInvalid;

    fn from_str(text: &str) -> Result<Self, PatternInvalid> {
        let invalid = || PatternInvalid(text.chars().take(PREFIX_BYTES + 1).collect());
        let prefix = match text.strip_suffix('*') {
            Some(prefix) => prefix,
            None if text.ends_with('/') => text,
            None => return text.parse().map(Self::Repository).map_err(|_| invalid()),
        };
        let (account, rest) = prefix.split_once('/').ok_or_else(invalid)?;
        let is_name = !account.is_empty() && account.parse::<RepositoryName>().is_ok();
        // Whatever can stand before more text in a name: the first letters of one that is valid with an `a` behind them.
        let goes_on = rest.is_empty() || format!("{rest}a").parse::<RepositoryName>().is_ok();
        if is_name && goes_on && prefix.len() <= PREFIX_BYTES {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        Err(invalid())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository) => repository.fmt(formatter),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_prefix_within_an_account() {
        for (text, shown) in [
            ("acme/web", "acme/web"),
            ("busybox", "busybox"),
            ("acme/", "acme/*"),
            ("acme/*", "acme/*"),
            ("acme/web-*", "acme/web-*"),
            ("acme/web*", "acme/web*"),
            ("acme/payments/", "acme/payments/*"),
            ("acme/a__*", "acme/a__*"),
        ] {
            assert_eq!(text.parse::<Pattern>().map(|pattern| pattern.to_string()), Ok(shown.to_owned()));
        }
        for text in
            ["", "*", "/", "/*", "acme*", "Acme/*", "acme//", "acme//*", "acme/*/x", "acme/**", "acme/-*", "acme/_*"]
        {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
        let long = format!("acme/{}*", "a".repeat(300));
        assert!(long.parse::<Pattern>().is_err());
    }

    #[test]
    fn a_prefix_reaches_what_begins_with_it_and_no_other_account() {
        let reaches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().reaches(&name.parse().unwrap());
        assert!(reaches("acme/*", "acme/web"));
        assert!(reaches("acme/web-*", "acme/web-shop/a"));
        assert!(!reaches("acme/web-*", "acme/web"));
        assert!(reaches("acme/web*", "acme/web"));
        assert!(!reaches("acme/*", "acmes/web"));
        assert!(!reaches("acme/web", "acme/web/x"));
        assert_eq!("acme/web-*".parse::<Pattern>().unwrap().account(), Some("acme"));
        assert_eq!("busybox".parse::<Pattern>().unwrap().account(), None);
    }
}
