//! What a claim's value must be: a whole text, or a beginning that says whose it is.

use std::fmt;

use serde_json::Value;

use crate::auth::oidc::ClaimPath;

/// The first part of a `sub` behind which an owner or a repository is named, of the issuers whose form is known.
/// Only behind them may a wildcard stand.
const OWNER_KINDS: [&str; 10] = [
    "repo",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "project_path",
    "project_id",
    "namespace_path",
    "organization",
    "system:serviceaccount",
];
/// Claims that are a path whose first segment is an owner, perhaps with `@` and a reference behind it.
const OWNER_PATHS: [&str; 4] = ["repository", "project_path", "workflow_ref", "job_workflow_ref"];
/// Claims that name something within a repository.
const WITHIN: [&str; 2] = ["ref", "environment"];

const BYTES: usize = 1024;

/// A whole value, or with `*` as its last character any value that begins so.
///
/// Where a wildcard may stand depends on the claim:
/// - `sub`: `KIND:OWNER/*` or, behind a complete `KIND:PATH:`, anywhere. KIND is one whose form is known: `repo` and
///   others of GitHub, `project_path` of GitLab, `organization`, and `system:serviceaccount`, behind which the namespace is
///   the path. `repo:acme/*`, `repo:acme/web:ref:refs/heads/*` and `system:serviceaccount:builds:*` are patterns;
///   `repo:*`, `repo:ac*`, `repo:acme/we*` and `system:serviceaccount:*` are not.
/// - `repository`, `project_path`, `workflow_ref`, `job_workflow_ref`: `OWNER/*`, or anywhere behind an `@`.
/// - `ref` and `environment`: behind at least one character. They say nothing about the owner, so a rule needs more.
/// - every other claim: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    literal: String,
    open: bool,
}

/// Why a text is no pattern of its claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternInvalid {
    /// Nothing, or more than 1 KiB.
    #[error("the value of {0} is empty or too long")]
    Length(ClaimPath),
    /// A `*` that is not the last character.
    #[error("the wildcard in {0} is not at the end")]
    NotLast(ClaimPath),
    /// A `*` where values of several owners would match.
    #[error("the wildcard in {0} does not stand behind a complete owner, as in repo:acme/* or repo:acme/web:ref:*")]
    Owner(ClaimPath),
}

impl Pattern {
    /// Reads what `claim` must be.
    ///
    /// # Errors
    /// [`PatternInvalid`], each variant as it says.
    pub fn new(claim: &ClaimPath, text: &str) -> Result<Self, PatternInvalid> {
        if text.is_empty() || text.len() > BYTES {
            return Err(PatternInvalid::Length(claim.clone()));
        }
        let literal = text.strip_suffix('*');
        if literal.unwrap_or(text).contains('*') {
            return Err(PatternInvalid::NotLast(claim.clone()));
        }
        match literal {
            None => Ok(Self { literal: text.to_owned(), open: false }),
            Some(literal) if names_owner(claim.as_str(), literal) => {
                Ok(Self { literal: literal.to_owned(), open: true })
            }
            Some(_) => Err(PatternInvalid::Owner(claim.clone())),
        }
    }

    /// The text in front of the wildcard, or the whole value.
    pub(super) fn literal(&self) -> &str {
        &self.literal
    }

    /// Whether `text` is the value as a whole. Nothing is folded: other case, other spaces, another value.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.open { text.starts_with(&self.literal) } else { text == self.literal }
    }

    /// Whether a claim's value matches: a text, a whole number or a boolean as it is written in JSON, and with `lists`
    /// one of a list of texts.
    pub(super) fn matches_value(&self, value: &Value, lists: bool) -> bool {
        match value {
            Value::String(text) => self.matches(text),
            Value::Bool(boolean) => self.matches(if *boolean { "true" } else { "false" }),
            Value::Number(number) if number.is_i64() || number.is_u64() => self.matches(&number.to_string()),
            Value::Array(values) if lists => values.iter().filter_map(Value::as_str).any(|text| self.matches(text)),
            Value::Number(_) | Value::Array(_) | Value::Null | Value::Object(_) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.literal, if self.open { "*" } else { "" })
    }
}

/// Whether everything that begins with `literal` in this claim is one owner's.
fn names_owner(claim: &str, literal: &str) -> bool {
    match claim {
        "sub" => subject_names_owner(literal),
        path if OWNER_PATHS.contains(&path) => match literal.split_once('@') {
            Some((path, _)) => path.contains('/') && !path.starts_with('/'),
            None => is_owned_folder(literal),
        },
        within if WITHIN.contains(&within) => !literal.is_empty(),
        _ => false,
    }
}

fn subject_names_owner(literal: &str) -> bool {
    OWNER_KINDS.iter().any(|kind| {
        let Some(rest) = literal.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')) else { return false };
        match rest.split_once(':') {
            Some((path, _)) => !path.is_empty() && !path.starts_with('/'),
            None => is_owned_folder(rest),
        }
    })
}

/// `acme/` and `acme/team/`, but neither `acme` nor `/` nor `acme/we`.
fn is_owned_folder(path: &str) -> bool {
    path.ends_with('/') && path.split('/').rev().skip(1).all(|segment| !segment.is_empty())
}
