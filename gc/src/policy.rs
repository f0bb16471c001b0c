//! The rules of a repository and its account: which tags do not move, and what is kept. Pure; their text comes from the database.

use serde::{Deserialize, Serialize};

use crate::pattern::{Pattern, PatternInvalid};
use crate::retention::{Condition, Retention};

/// The most patterns or rules in one list.
const MOST: usize = 32;
/// How deep conditions may be nested.
const DEPTH: usize = 4;

/// The rules of a repository or an account, as they are written and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which tags do not move once they point somewhere.
    #[serde(default)]
    pub immutable: Immutable,
    /// What is kept and what goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Which tags do not move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Immutable {
    /// Patterns of tags that do not move.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Patterns of tags that do all the same.
    #[serde(default)]
    pub except: Vec<String>,
}

/// Why rules are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyInvalid {
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] PatternInvalid),
    /// There are too many of something.
    #[error("{0} are too many: at most {MOST} in a list, and conditions at most {DEPTH} deep")]
    TooMany(&'static str),
    /// The text is not what rules look like.
    #[error("the rules cannot be read: {0}")]
    Unreadable(String),
}

impl Policy {
    /// Reads rules and checks every pattern of theirs.
    ///
    /// # Errors
    /// [`PolicyInvalid`].
    pub fn parse(text: &str) -> Result<Self, PolicyInvalid> {
        let policy: Self = serde_json::from_str(text).map_err(|error| PolicyInvalid::Unreadable(error.to_string()))?;
        let Immutable { tags, except } = &policy.immutable;
        for (what, patterns) in [("patterns", tags), ("exemptions", except)] {
            if patterns.len() > MOST {
                return Err(PolicyInvalid::TooMany(what));
            }
            patterns.iter().try_for_each(|pattern| Pattern::parse(pattern).map(drop))?;
        }
        if let Some(retention) = &policy.retention {
            if retention.rules.len() > MOST {
                return Err(PolicyInvalid::TooMany("rules"));
            }
            retention.rules.iter().try_for_each(|rule| check(&rule.when, DEPTH))?;
        }
        Ok(policy)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn check(condition: &Condition, depth: usize) -> Result<(), PolicyInvalid> {
    let Some(below) = depth.checked_sub(1) else { return Err(PolicyInvalid::TooMany("conditions in each other")) };
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => {
            if conditions.len() > MOST {
                return Err(PolicyInvalid::TooMany("conditions"));
            }
            conditions.iter().try_for_each(|condition| check(condition, below))
        }
        Condition::Not(condition) => check(condition, below),
        Condition::Tag(pattern) => Ok(Pattern::parse(pattern).map(drop)?),
        Condition::Newest(newest) => Ok(Pattern::parse(&newest.tags).map(drop)?),
        Condition::NewestVersions(newest) => Ok(Pattern::parse(&newest.tags).map(drop)?),
        Condition::Untagged(_) | Condition::PushedWithinDays(_) | Condition::PulledWithinDays(_) => Ok(()),
    }
}

/// The rule that keeps a tag where it points, as it was written and whose it is; `None`: it may move. `repository` and `account` are
/// the rules that hold. Exemptions of either count, and a signature is found by a tag that is never kept from moving.
///
/// # Errors
/// Rules that were kept cannot be read any more: nothing should move then.
pub fn immutable_by(
    tag: &str,
    (repository, account): (Option<&str>, Option<&str>),
) -> Result<Option<String>, PolicyInvalid> {
    if is_signature(tag) {
        return Ok(None);
    }
    let mut found = None;
    for (whose, text) in [("the repository", repository), ("its account", account)] {
        let Some(text) = text else { continue };
        let Immutable { tags, except } = Policy::parse(text)?.immutable;
        for pattern in except {
            if Pattern::parse(&pattern)?.matches(tag) {
                return Ok(None);
            }
        }
        for pattern in tags {
            if found.is_none() && Pattern::parse(&pattern)?.matches(tag) {
                found = Some(format!("{pattern} of {whose}"));
            }
        }
    }
    Ok(found)
}

/// Whether signatures, attestations or the like of a manifest are found by this tag.
#[must_use]
pub fn is_signature(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let hex = rest.split('.').next().unwrap_or_default();
    let end = &rest[hex.len()..];
    hex.len() == 64
        && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && matches!(end, "" | ".sig" | ".att" | ".sbom")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stays_by_the_rules_of_both_unless_either_exempts_it() {
        let of = |tags: &[&str], except: &[&str]| {
            serde_json::json!({"immutable": {"tags": tags, "except": except}}).to_string()
        };
        let (own, above) = (of(&["v*"], &["v*-rc"]), of(&["re:release-.*", "*"], &["latest"]));
        let by = |tag: &str| immutable_by(tag, (Some(&own), Some(&above))).unwrap();
        assert_eq!(by("v1").as_deref(), Some("v* of the repository"));
        assert_eq!(by("release-1").as_deref(), Some("re:release-.* of its account"));
        assert_eq!((by("v1-rc"), by("latest")), (None, None));
        let signature = format!("sha256-{}", "0a".repeat(32));
        for end in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(by(&format!("{signature}{end}")), None, "signing is never blocked");
        }
        for tag in [format!("{signature}.other"), "sha256-12.sig".to_owned()] {
            assert!(by(&tag).is_some());
        }
        assert_eq!(immutable_by("v1", (None, None)).unwrap(), None);
        assert!(immutable_by("v1", (Some("nonsense"), None)).is_err());
    }

    #[test]
    fn rules_are_checked_when_they_are_written() {
        let parse = |value: serde_json::Value| Policy::parse(&value.to_string());
        assert!(parse(serde_json::json!({})).unwrap().is_empty());
        for refused in [
            serde_json::json!({"immutable": {"tags": ["re:("]}}),
            serde_json::json!({"immutable": {"tags": vec!["x"; 33]}}),
            serde_json::json!({"other": 1}),
            serde_json::json!({"retention": {"rules": [{"name": "a", "do": "remove", "when": {"tag": ""}}]}}),
            serde_json::json!({"retention": {"rules": [{"name": "a", "do": "remove",
                "when": {"not": {"not": {"not": {"not": {"untagged": true}}}}}}]}}),
        ] {
            assert!(parse(refused.clone()).is_err(), "{refused}");
        }
    }
}
