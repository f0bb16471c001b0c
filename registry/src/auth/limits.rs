//! What a personal access token is limited to, as its row holds it: words separated by spaces.

use std::fmt;
use std::str::FromStr;

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::Rights;

use crate::access::Pattern;

/// How many patterns a token may name.
const PATTERNS: usize = 32;
/// What comes before each of them.
const ON: &str = "on:";

/// The upper bound that a long-lived credential sets on what its principal may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// No more than these, in any repository.
    pub rights: Rights,
    /// In no other repository than these reach; empty: in all.
    pub on: Vec<Pattern>,
    /// Of the management API.
    pub api: Api,
}

/// What a credential may do in the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// Nothing.
    Nothing,
    /// Read.
    Read,
    /// Read and change.
    Write,
}

/// A word that no limit is written in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scope of a token: use read, write, admin, delete, sign, api:read, api:write, or on:PATTERN, at most \
     {PATTERNS} patterns"
)]
pub struct LimitsInvalid(String);

impl Limits {
    /// What of `rights` in the repository `name` a credential with these limits reaches.
    #[must_use]
    pub fn bound(&self, name: &RepositoryName, rights: Rights) -> Rights {
        if self.reach(name) { rights.and(self.rights) } else { Rights::NONE }
    }

    fn reach(&self, name: &RepositoryName) -> bool {
        self.on.is_empty() || self.on.iter().any(|pattern| pattern.reaches(name))
    }
}

impl FromStr for Limits {
    type Err = LimitsInvalid;

    fn from_str(text: &str) -> Result<Self, LimitsInvalid> {
        let mut limits = Self { rights: Rights::NONE, on: Vec::new(), api: Api::Nothing };
        for word in text.split_ascii_whitespace() {
            let invalid = || LimitsInvalid(word.to_owned());
            match word {
                "api:read" => limits.api = limits.api.max(Api::Read),
                "api:write" => limits.api = Api::Write,
                _ => match word.strip_prefix(ON) {
                    Some(pattern) if limits.on.len() < PATTERNS => {
                        limits.on.push(pattern.parse().map_err(|_| invalid())?);
                    }
                    Some(_) => return Err(invalid()),
                    None => limits.rights |= word.parse().map_err(|_| invalid())?,
                },
            }
        }
        Ok(limits)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let api = match self.api {
            Api::Nothing => None,
            Api::Read => Some("api:read"),
            Api::Write => Some("api:write"),
        };
        let words = self.rights.words().chain(api).map(str::to_owned);
        let patterns = self.on.iter().map(|pattern| format!("{ON}{pattern}"));
        formatter.write_str(&words.chain(patterns).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in ["read", "write api:read", "admin api:write on:acme/*", "sign on:acme/web on:acme/db-*", ""] {
            assert_eq!(text.parse::<Limits>().unwrap().to_string(), text);
        }
        for text in ["pull", "api", "on:", "on:*", "READ", "read,write"] {
            assert!(text.parse::<Limits>().is_err(), "{text:?}");
        }
        let many = vec!["on:acme/*"; PATTERNS + 1].join(" ");
        assert!(many.parse::<Limits>().is_err());
    }

    #[test]
    fn a_limit_never_widens() {
        let limits: Limits = "write on:acme/web-*".parse().unwrap();
        let bound = |name: &str, rights| limits.bound(&name.parse().unwrap(), rights);
        assert_eq!(bound("acme/web-shop", Rights::ADMIN), Rights::WRITE);
        assert_eq!(bound("acme/web-shop", Rights::READ), Rights::READ);
        assert_eq!(bound("acme/db", Rights::ADMIN), Rights::NONE);
    }
}
