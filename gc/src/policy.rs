//! The rules of a repository and its account: which tags do not move, and what is kept. Pure; their text comes from the database.

use serde::{Deserialize, Serialize};

use crate::pattern::{Pattern, PatternInvalid};
use crate::retention::{Condition, Retention};

/// The most patterns or rules in one list.
const MOST: usize = 32;
/// The most patterns in all: each is compiled whenever the rules are asked, which a push of somebody else may wait for.
const PATTERNS: usize = 64;
/// The longest text of rules, in bytes.
const LONGEST: usize = 16 * 1024;
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
    #[error(
        "{0} are too many: at most {MOST} in a list, {PATTERNS} patterns in all, and conditions at most {DEPTH} deep"
    )]
    TooMany(&'static str),
    /// There is too much of it.
    #[error("the rules are longer than {LONGEST} bytes")]
    TooLong,
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
        let policy = Self::read(text)?;
        let mut patterns = 0;
        let Immutable { tags, except } = &policy.immutable;
        for (what, listed) in [("patterns", tags), ("exemptions", except)] {
            if listed.len() > MOST {
                return Err(PolicyInvalid::TooMany(what));
            }
            listed.iter().try_for_each(|pattern| one_more(pattern, &mut patterns))?;
        }
        if let Some(retention) = &policy.retention {
            if retention.rules.len() > MOST {
                return Err(PolicyInvalid::TooMany("rules"));
            }
            retention.rules.iter().try_for_each(|rule| check(&rule.when, DEPTH, &mut patterns))?;
        }
        Ok(policy)
    }

    /// Reads rules that were checked before.
    fn read(text: &str) -> Result<Self, PolicyInvalid> {
        if text.len() > LONGEST {
            return Err(PolicyInvalid::TooLong);
        }
        serde_json::from_str(text).map_err(|error| PolicyInvalid::Unreadable(error.to_string()))
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn one_more(pattern: &str, patterns: &mut usize) -> Result<(), PolicyInvalid> {
    *patterns += 1;
    if *patterns > PATTERNS {
        return Err(PolicyInvalid::TooMany("patterns"));
    }
    Ok(Pattern::parse(pattern).map(drop)?)
}

fn check(condition: &Condition, depth: usize, patterns: &mut usize) -> Result<(), PolicyInvalid> {
    let Some(below) = depth.checked_sub(1) else { return Err(PolicyInvalid::TooMany("conditions in each other")) };
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => {
            if conditions.len() > MOST {
                return Err(PolicyInvalid::TooMany("conditions"));
            }
            conditions.iter().try_for_each(|condition| check(condition, below, patterns))
        }
        Condition::Not(condition) => check(condition, below, patterns),
        Condition::Tag(pattern) => one_more(pattern, patterns),
        Condition::Newest(newest) => one_more(&newest.tags, patterns),
        Condition::NewestVersions(newest) => one_more(&newest.tags, patterns),
        Condition::Untagged(_) | Condition::PushedWithinDays(_) | Condition::PulledWithinDays(_) => Ok(()),
    }
}

/// The rules on tags that do not move, made ready for many tags.
pub struct Immutables {
    except: Vec<Pattern>,
    /// Each with the rule as people read it.
    tags: Vec<(Pattern, String)>,
}

impl Immutables {
    /// The rules that hold: those of a repository, and those of its account. Exemptions of either count.
    ///
    /// # Errors
    /// Rules that were kept cannot be read any more: nothing should move then.
    pub fn parse((repository, account): (Option<&str>, Option<&str>)) -> Result<Self, PolicyInvalid> {
        let mut ready = Self { except: Vec::new(), tags: Vec::new() };
        for (whose, text) in [("the repository", repository), ("its account", account)] {
            let Some(text) = text else { continue };
            let Immutable { tags, except } = Policy::read(text)?.immutable;
            for pattern in except {
                ready.except.push(Pattern::parse(&pattern)?);
            }
            for pattern in tags {
                ready.tags.push((Pattern::parse(&pattern)?, format!("{pattern} of {whose}")));
            }
        }
        Ok(ready)
    }

    /// The rule that keeps a tag where it points; `None`: it may move, as a tag by which a signature is found always may.
    #[must_use]
    pub fn keeps(&self, tag: &str) -> Option<&str> {
        if is_signature(tag) || self.except.iter().any(|pattern| pattern.matches(tag)) {
            return None;
        }
        self.tags.iter().find(|(pattern, _)| pattern.matches(tag)).map(|(_, rule)| rule.as_str())
    }
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
        let ready = Immutables::parse((Some(&own), Some(&above))).unwrap();
        let by = |tag: &str| ready.keeps(tag);
        assert_eq!(by("v1"), Some("v* of the repository"));
        assert_eq!(by("release-1"), Some("re:release-.* of its account"));
        assert_eq!((by("v1-rc"), by("latest")), (None, None));
        let signature = format!("sha256-{}", "0a".repeat(32));
        for end in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(by(&format!("{signature}{end}")), None, "signing is never blocked");
        }
        for tag in [format!("{signature}.other"), "sha256-12.sig".to_owned()] {
            assert!(by(&tag).is_some());
        }
        assert_eq!(Immutables::parse((None, None)).unwrap().keeps("v1"), None);
        assert!(Immutables::parse((Some("nonsense"), None)).is_err());
    }

    #[test]
    fn rules_are_checked_when_they_are_written() {
        let parse = |value: serde_json::Value| Policy::parse(&value.to_string());
        assert!(parse(serde_json::json!({})).unwrap().is_empty());
        for refused in [
            serde_json::json!({"immutable": {"tags": ["re:("]}}),
            serde_json::json!({"immutable": {"tags": vec!["x"; 33]}}),
            serde_json::json!({"immutable": {"tags": vec!["x"; 32], "except": vec!["y"; 32]}, "retention": {"rules":
                [{"name": "a", "do": "remove", "when": {"tag": "z"}}]}}),
            serde_json::json!({"retention": {"rules": [{"name": "a".repeat(16 * 1024), "do": "remove",
                "when": {"untagged": true}}]}}),
            serde_json::json!({"other": 1}),
            serde_json::json!({"retention": {"rules": [{"name": "a", "do": "remove", "when": {"tag": ""}}]}}),
            serde_json::json!({"retention": {"rules": [{"name": "a", "do": "remove",
                "when": {"not": {"not": {"not": {"not": {"untagged": true}}}}}}]}}),
        ] {
            assert!(parse(refused.clone()).is_err(), "{refused}");
        }
    }
}
