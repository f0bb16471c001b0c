//! Lives here: which workload of a trusted issuer (a job of continuous integration, a pod) is which principal of ours.
//! Never here: whether a token is genuine (that is `oidc`), and what a principal may do (that is `access`).
//! Start reading at [`decide`], then [`Rule`].

mod context;
mod pattern;
mod rule;
mod seen;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use crate::auth::oidc::{ClaimPath, Verified};

pub use pattern::{Pattern, PatternInvalid};
pub use rule::{Rule, RuleInvalid, RuleSettings};
pub use seen::Seen;

/// As many characters of a stranger's value as an explanation repeats.
const EXCERPT: usize = 200;

/// The rule that `token` matches: of several the first in the order given, so that order must not be an accident.
///
/// A rule matches when its issuer and audience are the token's, each of its claims has a value that the pattern matches
/// whole, and it names what must be named of a context that outsiders can start (see [`Rule`]).
///
/// # Errors
/// [`NotMatched`] tells, rule by rule, the first thing that differs.
pub fn decide<'r>(rules: &'r [Rule], token: &Verified) -> Result<&'r Rule, NotMatched> {
    let mut differences = Vec::new();
    for rule in rules {
        match difference(rule, token) {
            None => return Ok(rule),
            Some(why) => differences.push(Difference { principal: rule.principal(), why }),
        }
    }
    Err(NotMatched { differences })
}

/// The first thing in which the token differs from what the rule asks for.
fn difference(rule: &Rule, token: &Verified) -> Option<Why> {
    if rule.issuer() != token.issuer() {
        return Some(Why::Issuer);
    }
    if !token.audience().iter().any(|audience| audience == rule.audience()) {
        return Some(Why::Audience);
    }
    for (path, pattern) in rule.claims() {
        let found = path.find(token.claims());
        if !found.is_some_and(|value| pattern.matches_value(value, rule::takes_lists(path))) {
            return Some(Why::Claim { claim: path.clone(), wanted: pattern.clone(), found: found.map(excerpt) });
        }
    }
    context::unnamed(rule, token).map(|(claim, found)| Why::Context { claim, found })
}

/// No rule matched a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rule matches the token")]
pub struct NotMatched {
    /// One for each rule, in their order.
    pub differences: Vec<Difference>,
}

/// Why one rule did not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The principal that the rule would have made of the token.
    pub principal: i64,
    /// What differs first.
    pub why: Why,
}

/// What differs between a rule and a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The token is of another issuer.
    Issuer,
    /// The token is not for the audience of the rule.
    Audience,
    /// A claim is missing, or of another value.
    Claim {
        /// Which claim.
        claim: ClaimPath,
        /// What the rule asks for.
        wanted: Pattern,
        /// The beginning of what the token has.
        found: Option<String>,
    },
    /// Outsiders can start what made this token, and the rule does not name the claim that says so.
    Context {
        /// The claim that the rule would have to name.
        claim: &'static str,
        /// What the token has.
        found: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("the token is of another issuer"),
            Self::Audience => f.write_str("the token is not for the audience of the rule"),
            Self::Claim { claim, wanted, found: None } => write!(f, "{claim} should be {wanted} and is missing"),
            Self::Claim { claim, wanted, found: Some(found) } => write!(f, "{claim} should be {wanted} and is {found}"),
            Self::Context { claim, found } => write!(f, "{found} is off unless the rule names {claim}"),
        }
    }
}

fn excerpt(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().filter(|character| !character.is_control()).take(EXCERPT).collect()
}
