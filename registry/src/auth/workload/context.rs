//! Contexts in which outsiders decide what runs: off, unless a rule names the claim that tells them apart.

use serde_json::Value;

use super::{excerpt, rule::Rule};
use crate::auth::oidc::Verified;

/// The claim of GitHub Actions, and of what is compatible with it, that tells what started a job.
const EVENT: &str = "event_name";
/// The claim of GitLab that tells what started a pipeline, and those of its values that mean a merge request.
const SOURCE: &str = "pipeline_source";
const MERGE_REQUESTS: [&str; 2] = ["merge_request_event", "external_pull_request_event"];
/// The claim that tells whether only some members may push to the branch or tag, and one that only tokens of GitLab have.
const PROTECTED: &str = "ref_protected";
const PROJECT: &str = "project_id";

/// What a rule would have to name and does not, with what the token says about it.
pub(super) fn unnamed(rule: &Rule, token: &Verified) -> Option<(&'static str, String)> {
    let contexts =
        [(EVENT, of_pull_request(token)), (SOURCE, of_merge_request(token)), (PROTECTED, unprotected(token))];
    contexts.into_iter().find_map(|(claim, found)| found.filter(|_| !rule.names(claim)).map(|found| (claim, found)))
}

/// `pull_request`, `pull_request_target`, `pull_request_review`: others than members write what runs, or what it reads.
fn of_pull_request(token: &Verified) -> Option<String> {
    match token.claims().get(EVENT) {
        Some(Value::String(event)) if !event.to_ascii_lowercase().starts_with("pull_request") => {}
        None => {}
        Some(event) => return Some(excerpt(event)),
    }
    token.subject().ends_with(":pull_request").then(|| token.subject().to_owned())
}

fn of_merge_request(token: &Verified) -> Option<String> {
    match token.claims().get(SOURCE)? {
        Value::String(source) if !MERGE_REQUESTS.contains(&source.as_str()) => None,
        source => Some(excerpt(source)),
    }
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
