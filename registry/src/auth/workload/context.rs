//! Contexts in which outsiders may decide what runs: off, unless a rule names the claim that tells them apart.

use serde_json::Value;

use super::{excerpt, rule::Rule};
use crate::auth::oidc::Verified;

/// The claim of GitHub Actions, and of what is compatible with it, that tells what started a job, and one that only such
/// tokens have.
const EVENT: &str = "event_name";
const WORKFLOW: &str = "workflow_ref";
/// What only those start who may write to the repository. Anybody may comment, star, fork or open an issue, `workflow_run`
/// follows whatever ran before it, and what is not known is not trusted. A called workflow has the event of its caller.
const EVENTS_OF_MEMBERS: [&str; 6] =
    ["push", "schedule", "workflow_dispatch", "release", "merge_group", "repository_dispatch"];
/// The claim of GitLab that tells what started a pipeline, and one that only such tokens have.
const SOURCE: &str = "pipeline_source";
const PIPELINE: &str = "pipeline_id";
/// What only members of the project start. A child (`parent_pipeline`) does not tell whether a merge request started its
/// parent.
const SOURCES_OF_MEMBERS: [&str; 7] = ["push", "web", "webide", "schedule", "api", "trigger", "pipeline"];
/// The claim that tells whether only some members may push to the branch or tag, and one that only tokens of GitLab have.
const PROTECTED: &str = "ref_protected";
const PROJECT: &str = "project_id";

/// What a rule would have to name and does not, with what the token says about it.
pub(super) fn unnamed(rule: &Rule, token: &Verified) -> Option<(&'static str, String)> {
    let event = not_of_members(token, (EVENT, WORKFLOW), &EVENTS_OF_MEMBERS).or_else(|| of_pull_request(token));
    let source = not_of_members(token, (SOURCE, PIPELINE), &SOURCES_OF_MEMBERS);
    let contexts = [(EVENT, event), (SOURCE, source), (PROTECTED, unprotected(token))];
    contexts.into_iter().find_map(|(claim, found)| found.filter(|_| !rule.names(claim)).map(|found| (claim, found)))
}

/// What started a job, unless it is one of `members`. A token that has the claim `mark` and does not say is not known to
/// be of one of them; a token without either is of another platform.
fn not_of_members(token: &Verified, (claim, mark): (&str, &str), members: &[&str]) -> Option<String> {
    match token.claims().get(claim) {
        Some(Value::String(started)) if members.contains(&started.as_str()) => None,
        Some(started) => Some(excerpt(started)),
        None => token.claims().contains_key(mark).then(|| format!("a token without {claim}")),
    }
}

/// The `sub` of a pull request, whatever the token says of its event.
fn of_pull_request(token: &Verified) -> Option<String> {
    token.subject().ends_with(":pull_request").then(|| token.subject().to_owned())
}

/// GitLab writes the text "true"; whatever else stands there is not known to be protected. GitHub has a claim of this name
/// that is false for most tags and many main branches, where whoever may push is trusted anyway.
fn unprotected(token: &Verified) -> Option<String> {
    token.claims().get(PROJECT)?;
    match token.claims().get(PROTECTED)? {
        Value::Bool(true) => None,
        Value::String(protected) if protected == "true" => None,
        protected => Some(format!("{PROTECTED} {}", excerpt(protected))),
    }
}
