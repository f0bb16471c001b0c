//! A rule: tokens of one issuer, for one audience, with these claims, are this principal.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pattern::{Pattern, PatternInvalid};
use crate::auth::oidc::{ClaimPath, ClaimPathInvalid};

/// The most claims that one rule may name.
const CLAIMS: usize = 32;

/// Claims of which one says which workload a token is of. Of several alternatives each is enough.
const IDENTIFYING: [&[&str]; 9] = [
    &["sub"],
    &["repository_id"],
    &["repository"],
    &["project_id"],
    &["project_path"],
    &["workflow_ref"],
    &["/kubernetes.io/serviceaccount/uid"],
    &["/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"],
    &["/kubernetes.io/namespace", "/kubernetes.io/pod/name"],
];
/// First parts of a `sub` that jobs of any owner may have: GitHub lets every repository choose what its `sub` is made of.
const SHARED_KINDS: [&str; 13] = [
    "actor",
    "actor_id",
    "base_ref",
    "context",
    "environment",
    "event_name",
    "head_ref",
    "job_workflow_ref",
    "ref",
    "ref_type",
    "repository_visibility",
    "runner_environment",
    "workflow",
];
/// Claims that verification has judged already, or that are different in every token.
const JUDGED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// A rule as a configuration or a request of the management API writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// The exact `iss`.
    pub issuer: String,
    /// The exact audience.
    pub audience: String,
    /// What each claim must be: a name or path ([`ClaimPath`]), and a value ([`Pattern`]).
    pub claims: BTreeMap<String, String>,
    /// The principal that such a token is.
    pub principal: i64,
}

/// A rule that can be applied.
///
/// It names an issuer, an audience, and at least one claim that says which workload it is about: `sub`, `repository_id`,
/// `repository`, `project_id`, `project_path`, `workflow_ref`, a Kubernetes service account's `uid`, or its namespace with
/// the name of account or pod. Ids are never used again, names may be: prefer ids. `job_workflow_ref` names a workflow that
/// other owners can call, and an owner alone is not a workload.
///
/// Contexts in which people without the right to push may decide what runs match only rules that name the claim which tells
/// them apart: `event_name` for all that GitHub starts but `push`, `schedule`, `workflow_dispatch`, `release`, `merge_group`
/// and `repository_dispatch`; `pipeline_source` for all that GitLab starts but `push`, `web`, `webide`, `schedule`, `api`,
/// `trigger` and `pipeline`; and `ref_protected` for GitLab's unprotected branches and tags.
#[derive(Debug, Clone)]
pub struct Rule {
    issuer: String,
    audience: String,
    claims: BTreeMap<ClaimPath, Pattern>,
    principal: i64,
}

/// Why settings are not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleInvalid {
    /// No issuer.
    #[error("the rule names no issuer")]
    Issuer,
    /// No audience, or one with a wildcard.
    #[error("the rule names no audience; without one, tokens that were made for others would match")]
    Audience,
    /// No claim that says which workload.
    #[error("the rule names no claim that says which workload it is about, such as sub or repository_id")]
    Workload,
    /// A claim that a rule cannot ask for.
    #[error("{0} is judged for every token and cannot stand in a rule")]
    Judged(ClaimPath),
    /// More than 32 claims.
    #[error("the rule names more than {CLAIMS} claims")]
    TooMany,
    /// Two spellings of one claim.
    #[error("{0} is named twice")]
    Twice(ClaimPath),
    /// Not a claim.
    #[error(transparent)]
    Path(#[from] ClaimPathInvalid),
    /// Not a value.
    #[error(transparent)]
    Pattern(#[from] PatternInvalid),
}

impl Rule {
    /// Checks settings.
    ///
    /// # Errors
    /// [`RuleInvalid`], each variant as it says.
    pub fn new(settings: RuleSettings) -> Result<Self, RuleInvalid> {
        let RuleSettings { issuer, audience, claims, principal } = settings;
        if issuer.trim().is_empty() {
            return Err(RuleInvalid::Issuer);
        }
        if audience.trim().is_empty() || audience.contains('*') {
            return Err(RuleInvalid::Audience);
        }
        if claims.len() > CLAIMS {
            return Err(RuleInvalid::TooMany);
        }
        let mut patterns = BTreeMap::new();
        for (name, value) in claims {
            let path = plain(name.parse()?);
            if JUDGED.contains(&path.as_str()) {
                return Err(RuleInvalid::Judged(path));
            }
            let pattern = Pattern::new(&path, &value)?;
            if patterns.insert(path.clone(), pattern).is_some() {
                return Err(RuleInvalid::Twice(path));
            }
        }
        let rule = Self { issuer, audience, claims: patterns, principal };
        if rule.identifies() { Ok(rule) } else { Err(RuleInvalid::Workload) }
    }

    /// The exact `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The exact audience.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The principal that a matching token is.
    #[must_use]
    pub fn principal(&self) -> i64 {
        self.principal
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = (&ClaimPath, &Pattern)> {
        self.claims.iter()
    }

    /// Whether the claim of this name is one that the rule asks for.
    pub(super) fn names(&self, claim: &str) -> bool {
        self.claims.keys().any(|path| path.as_str() == claim)
    }

    fn identifies(&self) -> bool {
        IDENTIFYING.iter().any(|claims| claims.iter().all(|claim| self.identifies_by(claim)))
    }

    fn identifies_by(&self, claim: &str) -> bool {
        let mut patterns = self.claims.iter().filter(|(path, _)| path.as_str() == claim).map(|(_, pattern)| pattern);
        let kind = |pattern: &Pattern| pattern.literal().split_once(':').map(|(kind, _)| kind.to_owned());
        patterns.any(|pattern| claim != "sub" || !kind(pattern).is_some_and(|kind| SHARED_KINDS.contains(&&*kind)))
    }
}

/// Whether a list matches by one of its texts. What identifies a workload, or tells its context, is one text.
pub(super) fn takes_lists(path: &ClaimPath) -> bool {
    let single = ["event_name", "pipeline_source", "ref_protected"];
    !single.contains(&path.as_str()) && !IDENTIFYING.iter().any(|claims| claims.contains(&path.as_str()))
}

/// `/sub` is `sub`: a pointer of one segment is spelled as the name, so that no check is passed by spelling.
fn plain(path: ClaimPath) -> ClaimPath {
    let name = path.as_str().strip_prefix('/').filter(|rest| !rest.contains(['/', '~']));
    name.and_then(|name| name.parse().ok()).unwrap_or(path)
}
