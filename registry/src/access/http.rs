//! The door of `access`: how a refusal looks on the wire.

use std::borrow::Cow;

use hallmark_oci::{Action, Challenge, ChallengeError, ErrorCode, Scopes};
use serde_json::{Value, json};

use super::standing::Why;
use super::{Lapsed, Refused};
use crate::auth::{self, Identity, token::SERVICE};
use crate::http::error::Error;

/// How long a client waits before it writes again while the registry is read-only, in seconds.
const READONLY_RETRY: u32 = 60;

/// Answers a request that lacks a right: 401 with the challenge for that very request.
///
/// The status is 401 also for a valid token that lacks a right, because clients learn from the challenge which scope to
/// ask for and treat 403 as final. Only a name and password sent straight to the registry get 403: there is nothing
/// else to ask for.
pub(crate) fn refusal(refused: Refused, identity: &Identity, realm: &str) -> Error {
    let needed = match refused {
        Refused::Lacking { needed, .. } => needed,
        Refused::Metadata(error) => return Error::from_metadata(error),
    };
    if matches!(identity, Identity::Known(_)) && !identity.showed_token() {
        return Error::new(ErrorCode::Denied, "you do not have the right to do this here").detail(detail(&needed));
    }
    let error = identity.showed_token().then_some(ChallengeError::InsufficientScope);
    unauthorized(&needed, error, realm, "authentication required")
}

/// Answers a request whose grant lapsed while its body came: like one that begins now.
pub(crate) fn lapsed(lapsed: Lapsed) -> Error {
    let Lapsed { why, identity, needed, realm } = lapsed;
    match why {
        Why::Unidentified(refused) => unidentified(refused, &needed, &realm),
        Why::Refused(refused) => refusal(refused, &identity, &realm),
        Why::ReadOnly => read_only(),
    }
}

/// Asks a writer to come back.
pub(crate) fn read_only() -> Error {
    Error::new(ErrorCode::Unavailable, "the registry is read-only for now; pulls go on").retry_after(READONLY_RETRY)
}

/// Answers credentials that identify nobody.
pub(crate) fn unidentified(refused: auth::Refused, needed: &Scopes, realm: &str) -> Error {
    match refused {
        auth::Refused::Token(_) => {
            let message = refused.to_string();
            unauthorized(needed, Some(ChallengeError::InvalidToken), realm, message)
        }
        auth::Refused::Malformed
        | auth::Refused::WrongPassword
        | auth::Refused::RefreshToken
        | auth::Refused::NameRests(_)
        | auth::Refused::Unvouched => {
            let message = refused.to_string();
            unauthorized(needed, None, realm, message)
        }
        auth::Refused::Busy => auth::http::busy(),
        refused @ (auth::Refused::Directory(_) | auth::Refused::Issuer(_)) => auth::http::away(refused),
        auth::Refused::TooManyAttempts { wait_seconds } => auth::http::too_many_attempts(wait_seconds),
        auth::Refused::Keys(error) => auth::http::keys(error),
        auth::Refused::Metadata(error) => Error::from_metadata(error),
    }
}

fn unauthorized(
    needed: &Scopes,
    error: Option<ChallengeError>,
    realm: &str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    let challenge = match Challenge::new(realm, SERVICE) {
        Ok(challenge) => challenge.with_scopes(needed),
        Err(invalid) => return Error::internal(invalid),
    };
    let challenge = match error {
        Some(error) => challenge.with_error(error),
        None => challenge,
    };
    Error::new(ErrorCode::Unauthorized, message).detail(detail(needed)).challenge(&challenge)
}

/// What is missing, one record for each action; `null` when nothing in particular is.
fn detail(needed: &Scopes) -> Value {
    let records: Vec<_> = needed
        .iter()
        .flat_map(|scope| scope.actions.iter().map(move |action| (scope, action)))
        .map(|(scope, action): (_, &Action)| {
            json!({"Type": scope.resource_type, "Class": scope.class.as_deref().unwrap_or_default(), "Name": scope.name, "Action": action.to_string()})
        })
        .collect();
    if records.is_empty() { Value::Null } else { Value::from(records) }
}
