//! The door of `trust`: the Notary v1 API, every error mapped once.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hallmark_oci::{ErrorCode, PublishTrust, ReadTrust, ReadTuf, TrustVersion};
use hallmark_signer::SignRefused;
use hallmark_signer::notary::publish::Refused;
use hallmark_storage::metadata::{PrincipalId, TrustChange};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::key::{self, KeyRefused};
use super::publish::{self, PublishError};
use super::read::{self, ReadError};
use super::tuf;
use super::upload::{self, UploadInvalid};
use super::{Failure, delete};
use crate::access::{self, Granted, Standing, TrustWork};
use crate::app::App;
use crate::clock::rfc3339;
use crate::distribution::{Nowhere, Occasion};
use crate::http::body::{BodyError, Incoming};
use crate::http::error::Error;
use crate::signing;

/// The largest publish, in bytes.
const PUBLISH_BYTES: usize = 16 * 1024 * 1024;
/// A file that is named by its checksum never changes, nor does one of the four roles by its version; whoever may read it keeps it.
const FOR_EVER: &str = "private, max-age=2592000, immutable";
/// A file that holds now may hold no more in a moment.
const NOW_ONLY: &str = "private, no-cache";

/// Does what was granted and answers.
pub(crate) async fn serve(
    app: &Arc<App>,
    work: TrustWork,
    parts: &Parts,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Response, Error> {
    match work {
        TrustWork::Read(granted) => file(app, &granted).await,
        TrustWork::Publish(granted) => publish(app, &granted, parts, body, standing, occasion).await,
        TrustWork::Key(granted) => {
            // Asked for by GET: what holds for requests that change something is seen to here.
            let _change = app.readonly.begin_change();
            if app.is_readonly() {
                return Err(access::http::read_only());
            }
            let made = key::key(app, &granted, actor(&granted)?, occasion).await;
            let document = made.map_err(|refused| key_error(refused, standing))?;
            let text = serde_json::to_string(&document).map_err(Error::internal)?;
            Ok(json_answer(text))
        }
        TrustWork::Delete(granted) => {
            let deleted = delete::delete(app, &granted, actor(&granted)?, occasion).await;
            deleted.map_err(failure)?;
            Ok(done())
        }
        TrustWork::Tuf(granted) => tuf_file(app, &granted).await,
        TrustWork::Changes(granted) => {
            let changes = read::changes(app, &granted).await.map_err(Error::from_metadata)?;
            let records: Vec<Value> = changes.iter().map(record).collect();
            let records = if records.is_empty() { Value::Null } else { Value::from(records) };
            Ok(json_answer(json!({"count": changes.len(), "records": records}).to_string()))
        }
    }
}

/// Who writes. Nobody in particular is never granted a write.
fn actor<O>(granted: &Granted<O>) -> Result<PrincipalId, Error> {
    granted.actor().ok_or_else(|| Error::plain(ErrorCode::Denied))
}

async fn file(app: &App, granted: &Granted<ReadTrust>) -> Result<Response, Error> {
    let file = read::file(app, granted).await.map_err(|error| match error {
        ReadError::Unknown => Error::plain(ErrorCode::MetadataNotFound),
        ReadError::Stale => Error::unavailable("the trust data has expired and is being renewed", None),
        ReadError::Metadata(error) => Error::from_metadata(error),
    })?;
    let ReadTrust { role, version, .. } = granted.operation();
    let caching = match version {
        // A delegation that begins anew has another file of the same version.
        TrustVersion::Number(_) if role.parent().is_none() => FOR_EVER,
        TrustVersion::Checksum(_) => FOR_EVER,
        TrustVersion::Current | TrustVersion::Number(_) => NOW_ONLY,
    };
    let sum: String = file.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let length = file.body.len();
    let mut response = json_answer(file.body.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(file.published_at).unwrap_or(0));
    for (name, value) in [(ETAG, format!("\"{sum}\"")), (LAST_MODIFIED, httpdate::fmt_http_date(time))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

async fn tuf_file(app: &App, granted: &Granted<ReadTuf>) -> Result<Response, Error> {
    let served = tuf::file(app, granted).await.map_err(|error| match error {
        tuf::ReadError::Unknown => Error::plain(ErrorCode::MetadataNotFound),
        tuf::ReadError::Stale => Error::unavailable("the trust data has expired and is being renewed", None),
        tuf::ReadError::Metadata(error) => Error::from_metadata(error),
    })?;
    let caching = if served.is_immutable { FOR_EVER } else { NOW_ONLY };
    let length = served.body.len();
    let mut response = json_answer(served.body);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    Ok(response)
}

/// A file of the registry's own repository. Anybody may keep it.
pub(crate) async fn shelf(app: &App, path: &str) -> Result<Response, Error> {
    const FOR_EVER: &str = "public, max-age=2592000, immutable";
    let name = path.strip_prefix("/tuf/").unwrap_or_default();
    let found = tuf::shelf::file(app, name).await.map_err(Error::from_metadata)?;
    let Some(found) = found else { return Err(Error::plain(ErrorCode::NotFound)) };
    let length = found.body.len();
    let mut response = json_answer(found.body);
    let headers = response.headers_mut();
    if !name.ends_with(".json") {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let caching = if found.is_immutable { FOR_EVER } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    Ok(response)
}

async fn publish(
    app: &Arc<App>,
    granted: &Granted<PublishTrust>,
    parts: &Parts,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Response, Error> {
    let actor = actor(granted)?;
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content = tokio::select! {
        biased;
        lapsed = standing.readonly() => return Err(access::http::lapsed(*lapsed)),
        content = body.collect(PUBLISH_BYTES) => content.map_err(body_error)?,
    };
    let uploads = upload::read(kind, content).await.map_err(upload_error)?;
    standing.ask().await.map_err(|lapsed| access::http::lapsed(*lapsed))?;
    let published = publish::publish(app, granted, (actor, uploads), &occasion).await;
    published.map_err(|error| publish_error(error, standing))?;
    Ok(done())
}

/// One line of the changefeed, in its own words.
fn record(change: &TrustChange) -> Value {
    let told: Value = serde_json::from_str(&change.payload).unwrap_or(Value::Null);
    json!({
        "ID": change.seq.to_string(),
        "CreatedAt": rfc3339(change.at),
        "GUN": change.gun,
        "Version": told["version"].as_i64().unwrap_or(0),
        "SHA256": told["sha256"].as_str().unwrap_or_default(),
        "Category": if change.kind == "trust_deleted" { "deletion" } else { "update" },
    })
}

/// 200 with nothing in it: any other success is a failure to these clients.
fn done() -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn json_answer(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn body_error(error: BodyError) -> Error {
    let message = error.to_string();
    match error {
        BodyError::TooLong(_) => Error::new(ErrorCode::MalformedUpload, message).status(StatusCode::PAYLOAD_TOO_LARGE),
        BodyError::Slow => Error::new(ErrorCode::MalformedUpload, message).status(StatusCode::REQUEST_TIMEOUT),
        BodyError::Cut(_) => Error::new(ErrorCode::MalformedUpload, message),
    }
}

fn upload_error(error: UploadInvalid) -> Error {
    let message = error.to_string();
    match error {
        UploadInvalid::Form(source) => {
            let error = Error::new(ErrorCode::MalformedUpload, message);
            match source {
                Some(source) => error.because(source),
                None => error,
            }
        }
        UploadInvalid::Twice(_) | UploadInvalid::TooMany => Error::new(ErrorCode::MalformedUpload, message),
        UploadInvalid::NoFilename => Error::new(ErrorCode::NoFilename, message),
        UploadInvalid::Role(_) => Error::new(ErrorCode::InvalidRole, message),
    }
}

/// What a publish was refused for, by the names that clients read in `detail`.
fn publish_error(error: PublishError, standing: &Standing<'_>) -> Error {
    let message = error.to_string();
    let named = |name: &str, inside: Value| {
        Error::new(ErrorCode::InvalidUpdate, message.clone()).detail(json!({"Name": name, "Error": inside}))
    };
    let told = || json!({"Msg": message});
    match error {
        PublishError::Refused(Refused::Json { .. }) => Error::new(ErrorCode::MalformedJson, message),
        PublishError::Refused(Refused::Root(_)) => named("ErrBadRoot", told()),
        PublishError::Refused(Refused::Targets(_)) => named("ErrBadTargets", told()),
        PublishError::Refused(Refused::Snapshot(_)) => named("ErrBadSnapshot", told()),
        PublishError::Refused(Refused::Hierarchy { missing, .. }) => {
            named("ErrBadHierarchy", json!({"Missing": missing, "Msg": message}))
        }
        PublishError::Refused(Refused::Validation(_)) => named("ErrValidation", told()),
        PublishError::Refused(Refused::Version { .. }) | PublishError::Overtaken => {
            Error::new(ErrorCode::Version, message)
        }
        PublishError::Gone => access::http::lapsed(*standing.lacking()),
        PublishError::Failed(failure) => self::failure(failure),
    }
}

fn key_error(refused: KeyRefused, standing: &Standing<'_>) -> Error {
    let message = refused.to_string();
    match refused {
        KeyRefused::Nowhere(Nowhere::Failed(error)) => Error::from_metadata(error),
        KeyRefused::Nowhere(Nowhere::Foreign) => access::http::lapsed(*standing.lacking()),
        KeyRefused::Nowhere(Nowhere::AccountUnknown(_)) => Error::new(ErrorCode::MetadataNotFound, message),
        KeyRefused::Nowhere(Nowhere::MayNotCreate(_) | Nowhere::NameRests(_)) => Error::new(ErrorCode::Denied, message),
        KeyRefused::Failed(failure) => self::failure(failure),
    }
}

fn failure(failure: Failure) -> Error {
    match failure {
        Failure::Metadata(error) | Failure::Signer(SignRefused::Metadata(error)) => Error::from_metadata(error),
        Failure::Signer(SignRefused::Unserved(unserved)) => signing::unserved(unserved),
        Failure::Signer(_) | Failure::Stored(_) | Failure::Damaged => Error::internal(failure),
    }
}
