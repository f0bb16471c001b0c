//! The one shape in which a request fails: `{"errors":[{"code","message","detail"}]}`.

use std::borrow::Cow;
use std::error::Error as StdError;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hallmark_oci::ErrorCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

/// How long a client is asked to wait when nothing better is known, in seconds.
const RETRY_SECONDS: u32 = 5;

/// A failed request, made only in the doors (`http.rs`) of the rooms.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    status: StatusCode,
    message: Cow<'static, str>,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What lies behind a failed answer, carried beside the response to the one place that logs it; it never reaches the wire.
#[derive(Clone)]
pub struct Cause(pub std::sync::Arc<dyn StdError + Send + Sync>);

impl Error {
    /// A refusal with the code's own status and a sentence that says what to do.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { code, status, message: message.into(), detail: Value::Null, headers: Vec::new(), source: None }
    }

    /// A refusal with the code's default message.
    #[must_use]
    pub fn plain(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }

    /// A failure inside: the client learns a code and the request id, the log learns the cause.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorCode::Unknown, "the registry failed; tell its operator the request id").because(source)
    }

    /// A store that is down, read-only or busy: 503 with Retry-After.
    #[must_use]
    pub fn unavailable(message: &'static str, source: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(ErrorCode::Unavailable, message).retry_after(RETRY_SECONDS);
        error.source = source;
        error
    }

    /// A full disk or quota of the store: 507 with Retry-After.
    #[must_use]
    pub fn full(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorCode::InsufficientStorage, "the registry's storage is full; nothing of this request was kept")
            .retry_after(RETRY_SECONDS)
            .because(source)
    }

    /// A failure of the database, told by what the client can do about it.
    #[must_use]
    pub fn from_metadata(error: hallmark_storage::metadata::Error) -> Self {
        if error.is_full() {
            Self::full(error)
        } else if error.is_unavailable() {
            Self::unavailable("the registry's database does not take part at the moment", Some(error.into()))
        } else {
            Self::internal(error)
        }
    }

    /// A failure of the blob store, told by what the client can do about it.
    #[must_use]
    pub fn from_blobs(error: hallmark_storage::blobs::Error) -> Self {
        if error.is_full() {
            Self::full(error)
        } else if error.is_unavailable() {
            Self::unavailable("the registry's blob store does not take part at the moment", Some(error.into()))
        } else {
            Self::internal(error)
        }
    }

    /// Keeps what lies behind the answer for the log; it never reaches the wire.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Answers with `status` instead of the code's own.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds what the code's specification calls `detail`.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Adds a header; a value that no header may carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Asks the client to come back after `seconds`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// Names how to authenticate, for this very request.
    #[must_use]
    pub fn challenge(self, challenge: &hallmark_oci::Challenge<'_>) -> Self {
        self.header(WWW_AUTHENTICATE, challenge.to_string())
    }
}

impl Error {
    /// The answer to the request of this id. A 5xx tells the id in its body too: people quote what a client prints, and
    /// clients print bodies.
    #[must_use]
    pub(crate) fn answer(mut self, request_id: &str) -> Response {
        if self.status.is_server_error() {
            let mut detail = match self.detail {
                Value::Object(detail) => detail,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
            };
            detail.insert("request_id".to_owned(), Value::from(request_id));
            self.detail = Value::Object(detail);
        }
        self.into_response()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code.word(), "message": self.message, "detail": self.detail}]});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        if let Some(source) = self.source {
            response.extensions_mut().insert(Cause(source.into()));
        }
        response
    }
}
