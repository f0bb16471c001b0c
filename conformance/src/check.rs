//! What every refusal must look like: the specification's envelope with a known code and a sentence.

use crate::{Failure, Outcome, http::Response};

/// Every error code that Hallmark may send: the specification's, and distribution's where clients know them.
pub const CODES: &[&str] = &[
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "INSUFFICIENT_STORAGE",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "NOT_FOUND",
    "PAGINATION_NUMBER_INVALID",
    "RANGE_INVALID",
    "SIZE_INVALID",
    "TAG_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNKNOWN",
    "UNSUPPORTED",
];

/// Holds that an answer is a refusal with one of these statuses and codes, in the envelope, with a sentence in it.
///
/// # Errors
/// The answer is anything else; the failure shows it whole.
pub fn refused(answer: &Response, statuses: &[u16], codes: &[&str]) -> Outcome<()> {
    let complain = |what: &str| Err(Failure::new(format!("{what}: {answer}")));
    if !statuses.contains(&answer.status) {
        return complain(&format!("a status of {statuses:?} was expected"));
    }
    enveloped(answer)?;
    let code = answer.error_code().unwrap_or_default();
    if !codes.contains(&code.as_str()) {
        return complain(&format!("a code of {codes:?} was expected"));
    }
    Ok(())
}

/// Holds that an answer's body is the specification's envelope: a known code and a message that is not empty.
///
/// # Errors
/// The body is anything else; the failure shows the answer whole.
pub fn enveloped(answer: &Response) -> Outcome<()> {
    let complain = |what: &str| Err(Failure::new(format!("{what}: {answer}")));
    let content_type = answer.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/json") {
        return complain("an error has the content type application/json");
    }
    let Some(code) = answer.error_code() else {
        return complain("an error has the specification's envelope");
    };
    if !CODES.contains(&code.as_str()) {
        return complain("an error has a code that the specification or distribution knows");
    }
    let message = answer.json()?.pointer("/errors/0/message").cloned();
    match message.as_ref().and_then(|message| message.as_str()) {
        Some(message) if !message.trim().is_empty() => Ok(()),
        _ => complain("an error has a message"),
    }
}

/// Holds that a condition is true.
///
/// # Errors
/// It is not; the failure says `what`.
pub fn holds(condition: bool, what: impl FnOnce() -> String) -> Outcome<()> {
    if condition { Ok(()) } else { Err(Failure::new(what())) }
}
