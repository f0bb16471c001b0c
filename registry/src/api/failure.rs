//! What refusals look like: the one envelope of the registry.

use axum::body::Body;
use axum::response::Response;
use hallmark_oci::ErrorCode;
use http::header::{CONTENT_LENGTH, WWW_AUTHENTICATE};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoResponses, ToSchema};

use crate::auth::users::UserError;
use crate::auth::{self, token::SERVICE};
use crate::http::error::Error;
use crate::passage::no_room;
use crate::people::Refused;
use crate::signing;

/// The longest body of a failure that is looked at, in bytes; one of our own has some hundred.
const FAILURE_BYTES: usize = 64 * 1024;

/// When who met others at something dear may come back, in seconds.
const BUSY_RETRY: u32 = 10;

/// Why a request failed.
#[derive(Serialize, ToSchema)]
pub(super) struct Failure {
    /// One failure, or several.
    errors: Vec<FailureLine>,
}

/// One failure.
#[derive(Serialize, ToSchema)]
pub(super) struct FailureLine {
    /// A word that programs match on.
    code: String,
    /// A sentence that says what to do.
    message: String,
    /// More about it, if there is more.
    #[schema(value_type = Object, nullable)]
    detail: Value,
}

/// The statuses of requests that fail, the same for all of the API.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used, in the document")]
pub(super) enum Failures {
    /// Something that was sent cannot be.
    #[response(status = 400)]
    Invalid(Failure),
    /// Nobody is identified.
    #[response(status = 401)]
    Unauthorized(Failure),
    /// The caller may not do this.
    #[response(status = 403)]
    Forbidden(Failure),
    /// There is no such thing that the caller may see.
    #[response(status = 404)]
    Unknown(Failure),
    /// It stands against what is there.
    #[response(status = 409)]
    Conflict(Failure),
    /// The thing is another by now than `If-Match` says.
    #[response(status = 412)]
    Changed(Failure),
    /// The body is longer than 256 KiB.
    #[response(status = 413)]
    TooLong(Failure),
    /// The body is not sent as JSON.
    #[response(status = 415)]
    NotJson(Failure),
    /// Too many wrong passwords, or too many who sign in or ask for something dear at once.
    #[response(status = 429)]
    TooMany(Failure),
    /// The registry takes no changes now, or its database does not take part.
    #[response(status = 503)]
    Unavailable(Failure),
}

/// Maps a refusal of the rules onto the wire.
impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Unknown(_) => Self::new(ErrorCode::NotFound, message),
            Refused::Forbidden(_) => Self::new(ErrorCode::Denied, message),
            Refused::Invalid { field, .. } => Self::new(ErrorCode::Invalid, message).detail(json!({"field": field})),
            Refused::Conflict(_) => Self::new(ErrorCode::Conflict, message),
            Refused::Exceeded(exceeded) => no_room(&exceeded),
            Refused::Changed => Self::new(ErrorCode::PreconditionFailed, message),
            Refused::Busy(_) => Self::new(ErrorCode::TooManyRequests, message).retry_after(BUSY_RETRY),
            Refused::Ended(error) => Self::internal(error),
            Refused::User(error) => user(error),
            Refused::Metadata(error) => Self::from_metadata(error),
            Refused::Unsigned(unserved) => signing::unserved(unserved),
        }
    }
}

fn user(error: UserError) -> Error {
    let message = error.to_string();
    match error {
        UserError::NameInvalid(_) | UserError::NameReserved(_) => {
            Error::new(ErrorCode::Invalid, message).detail(json!({"field": "name"}))
        }
        UserError::PasswordLength { .. } | UserError::PasswordLikeToken | UserError::PasswordBreached => {
            Error::new(ErrorCode::Invalid, message).detail(json!({"field": "password"}))
        }
        UserError::NameTaken(_)
        | UserError::HasRepositories(_)
        | UserError::HasRobots(_)
        | UserError::OwnsAlone(..)
        | UserError::LastAdministrator(_) => Error::new(ErrorCode::Conflict, message),
        UserError::Unknown(_) => Error::new(ErrorCode::NotFound, message),
        error @ UserError::BreachedUnreadable { .. } => Error::internal(error),
        UserError::Refused(refused) => unidentified(refused),
        UserError::Metadata(error) => Error::from_metadata(error),
    }
}

/// Asks for a name and a secret.
pub(super) fn anonymous() -> Error {
    Error::new(ErrorCode::Unauthorized, "sign in with a name and password, or with a personal access token")
        .header(WWW_AUTHENTICATE, format!("Basic realm=\"{SERVICE}\", charset=\"UTF-8\""))
}

/// Answers credentials that identify nobody.
pub(super) fn unidentified(refused: auth::Refused) -> Error {
    let message = refused.to_string();
    match refused {
        auth::Refused::Malformed
        | auth::Refused::WrongPassword
        | auth::Refused::Token(_)
        | auth::Refused::RefreshToken
        | auth::Refused::NameRests(_)
        | auth::Refused::Unvouched => Error::new(ErrorCode::Unauthorized, message)
            .header(WWW_AUTHENTICATE, format!("Basic realm=\"{SERVICE}\", charset=\"UTF-8\"")),
        auth::Refused::Busy => Error::new(ErrorCode::TooManyRequests, message).retry_after(1),
        refused @ (auth::Refused::Directory(_) | auth::Refused::Issuer(_)) => away(refused),
        auth::Refused::TooManyAttempts { wait_seconds } => {
            Error::new(ErrorCode::TooManyRequests, message).retry_after(wait_seconds)
        }
        auth::Refused::Keys(error) => Error::internal(error),
        auth::Refused::Metadata(error) => Error::from_metadata(error),
    }
}

/// Somebody else who would have to be asked does not answer.
fn away(refused: auth::Refused) -> Error {
    Error::unavailable("who would have to be asked does not answer; try again shortly", Some(refused.into()))
}

/// The body of a 5xx from within the routes was written where the request's id is not known; it is put in here.
pub(super) async fn with_request_id(response: Response, request_id: &str) -> Response {
    if !response.status().is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, FAILURE_BYTES).await.unwrap_or_default();
    let mut document: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(failure) = document.pointer_mut("/errors/0") {
        failure["detail"] = json!({"request_id": request_id});
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(document.to_string()))
}
