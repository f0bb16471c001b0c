//! What a handler is given: who calls, and what was sent, read once and refused in the one envelope.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use hallmark_oci::{ErrorCode, RepositoryName};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::BODY_BYTES;
use crate::app::App;
use crate::http::error::Error;
use crate::people::{Caller, Expected, Page, tag};

/// What stands behind every request of the API.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
}

/// Who calls. A change that is put on a condition is refused: what is changed has no entity tag.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
}

/// Who calls, and what they believe the thing to be.
pub(super) struct Conditional {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) expected: Expected,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Conditional { app, caller, expected } = Conditional::from_request_parts(parts, state).await?;
        if expected.0.is_some() && !parts.method.is_safe() {
            return Err(Error::new(ErrorCode::PreconditionFailed, "this has no entity tag: send no If-Match"));
        }
        Ok(Self { app, caller })
    }
}

impl<S: Sync> FromRequestParts<S> for Conditional {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let Some(Context { app, caller }) = parts.extensions.get::<Context>().cloned() else {
            return Err(Error::plain(ErrorCode::Unauthorized));
        };
        Ok(Self { app, caller, expected: expected(&parts.headers) })
    }
}

/// What `If-Match` says. What cannot be read is the tag of nothing, so that no change is made that a condition was put on.
fn expected(headers: &HeaderMap) -> Expected {
    let said: Vec<_> = headers.get_all(IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    // `*` asks only that there is such a thing, which every handler does.
    Expected(Some(said.join(",")).filter(|tags| !said.is_empty() && tags.trim() != "*"))
}

/// The parts of a path, decoded.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let invalid = |_| Error::new(ErrorCode::NotFound, "there is nothing at this path");
        Path::from_request_parts(parts, state).await.map(|Path(path)| Self(path)).map_err(invalid)
    }
}

/// The parameters of a query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let invalid =
            |rejection: axum::extract::rejection::QueryRejection| Error::new(ErrorCode::Invalid, rejection.body_text());
        Query::from_request_parts(parts, state).await.map(|Query(query)| Self(query)).map_err(invalid)
    }
}

/// A body in JSON. A member that is not known is refused, so that nothing is thought to be set that is not.
pub(super) struct Sent<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Error> {
        // A page of another site can send anything else without asking first, and a browser adds the password it knows.
        if !is_json(request.headers()) {
            return Err(Error::new(ErrorCode::Invalid, "send the body as application/json")
                .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES).await.map_err(Error::internal)?;
        if body.trim_ascii_start().first() != Some(&b'{') {
            // A list would be taken for the members of the object in their order.
            return Err(Error::new(ErrorCode::Invalid, "the body is not a JSON object"));
        }
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Error::new(ErrorCode::Invalid, format!("the body is not what this takes: {error}")))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// At most so many entries; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    after: Option<String>,
}

impl From<PageQuery> for Page {
    fn from(query: PageQuery) -> Self {
        Self { limit: query.limit, after: query.after }
    }
}

/// Which part of a list is wanted whose cursors are of a shape of their own.
macro_rules! page_query {
    ($(#[doc = $doc:literal])+ $name:ident $pattern:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            /// At most so many entries; 100 unless said.
            #[param(minimum = 1, maximum = 1000)]
            limit: Option<u32>,
            /// The `next` of the page before.
            #[param(pattern = $pattern)]
            after: Option<String>,
        }

        impl From<$name> for Page {
            fn from(query: $name) -> Self {
                Self { limit: query.limit, after: query.after }
            }
        }
    };
}

page_query! {
    /// By the id of the last entry.
    IdPageQuery r"^[0-9]{0,18}$"
}
page_query! {
    /// By a text of the last entry, and an id behind it.
    TextAndIdPageQuery r"^([a-z0-9/._-]{1,255} [0-9]{1,18})?$"
}

/// What is shown, with its entity tag.
pub(super) fn shown(thing: &impl Serialize) -> Response {
    answered(StatusCode::OK, thing)
}

/// What was put, which has no entity tag.
pub(super) fn put(thing: &impl Serialize) -> Response {
    axum::Json(thing).into_response()
}

/// What was made, with its entity tag.
pub(super) fn made(thing: &impl Serialize) -> Response {
    answered(StatusCode::CREATED, thing)
}

fn answered(status: StatusCode, thing: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(thing)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag(thing)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Nothing more to say.
pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A repository's name from a path: what is none names nothing.
pub(super) fn repository(text: &str) -> Result<RepositoryName, Error> {
    let unknown = || Error::from(crate::people::Refused::Unknown("repository"));
    text.parse().map_err(|_| unknown())
}
