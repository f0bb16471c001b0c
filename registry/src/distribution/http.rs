//! The door of `distribution`: requests in, answers out, every error mapped once.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt;
use hallmark_oci::{ByteRange, Digest, ErrorCode, PullBlob, PullManifest, RangeAnswer, RepositoryName, UploadId};
use hallmark_storage::blobs::{BlobBody, BlobStream, Piece};
use hallmark_storage::metadata::PrincipalId;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LINK,
    LOCATION, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::Occasion;
use super::delete::{self, DeleteError};
use super::list::{self, ListError, Names};
use super::occasion::location;
use super::pull::{self, PullError};
use super::push::{self, PushError};
use super::receive::Chunk;
use super::upload::{self, Begun, UploadError};
use crate::access::{self, Granted, Standing, Work};
use crate::app::App;
use crate::http::body::{BodyError, Incoming};
use crate::http::error::Error;
use crate::http::server::{Delivery, Outbox};
use crate::keeping::Fixed;
use crate::passage::no_room;

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
static UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
static OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
static OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
static FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const OCTETS: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// When a client that has too many uploads open may ask again, in seconds: some of its own may have ended by then.
const UPLOADS_RETRY: u32 = 60;
/// When a change may be tried again that needs room which kept changing, in seconds.
const UNSETTLED_RETRY: u32 = 1;

/// A blob never changes under its digest; it is private to whoever may pull it.
const BLOB_CACHING: &str = "private, max-age=31536000, immutable";

/// Does what was granted and answers.
pub(crate) async fn serve(
    app: &Arc<App>,
    work: Work,
    parts: &Parts,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Response, Error> {
    match work {
        Work::Ping => Ok(text(StatusCode::OK, JSON, "{}".to_owned())),
        Work::PullManifest(granted) => pull_manifest(app, &granted, &parts.headers).await,
        Work::PullBlob(granted) => pull_blob(app, &granted, parts, &occasion).await,
        Work::ListTags(granted) => list_tags(app, &granted).await,
        Work::ListRepositories(granted) => list_repositories(app, &granted).await,
        Work::ListReferrers(granted) => list_referrers(app, &granted).await,
        // What changes something works on the heap: a pull would carry the room for it.
        Work::PutManifest(granted) => {
            Box::pin(put_manifest(app, granted, &parts.headers, body, standing, occasion)).await
        }
        Work::DeleteManifest(granted) => {
            let actor = actor(&granted)?;
            Box::pin(delete::manifest(app, granted, actor, occasion)).await.map(accepted).map_err(delete_error)
        }
        Work::DeleteBlob(granted) => {
            let actor = actor(&granted)?;
            Box::pin(delete::blob(app, granted, actor, occasion)).await.map(accepted).map_err(delete_error)
        }
        Work::BeginUpload(granted) => Box::pin(begin_upload(app, &granted, body, standing, occasion)).await,
        Work::UploadStatus(granted) => {
            let at = At::of(&granted.operation().repository, &granted.operation().upload);
            let received =
                upload::status(app, &granted, actor(&granted)?).await.map_err(|error| upload_error(error, Some(at)))?;
            Ok(at.progress(StatusCode::NO_CONTENT, received))
        }
        Work::AppendUpload(granted) => {
            let at = At::of(&granted.operation().repository, &granted.operation().upload);
            let chunk = chunk(&parts.headers, body, at)?;
            let received = Box::pin(upload::append(app, &granted, actor(&granted)?, chunk, body, standing)).await;
            Ok(at.progress(StatusCode::ACCEPTED, received.map_err(|error| upload_error(error, Some(at)))?))
        }
        Work::FinishUpload(granted) => {
            let at = At::of(&granted.operation().repository, &granted.operation().upload);
            let chunk = chunk(&parts.headers, body, at)?;
            let actor = actor(&granted)?;
            let finished = Box::pin(upload::finish(app, &granted, actor, chunk, body, standing, occasion)).await;
            Ok(stored(at.repository, &finished.map_err(|error| upload_error(error, Some(at)))?))
        }
        // Content trust has a door of its own.
        Work::Trust(_) => Err(Error::plain(ErrorCode::NotFound)),
        Work::CancelUpload(granted) => {
            let at = At::of(&granted.operation().repository, &granted.operation().upload);
            let cancelled = Box::pin(upload::cancel(app, &granted, actor(&granted)?, &occasion)).await;
            cancelled.map_err(|error| upload_error(error, Some(at)))?;
            let mut response = empty(StatusCode::NO_CONTENT);
            set(&mut response, UPLOAD_UUID.clone(), at.upload.as_str());
            Ok(response)
        }
    }
}

/// An upload that a request is about: its answer tells where it stands.
#[derive(Clone, Copy)]
struct At<'a> {
    repository: &'a RepositoryName,
    upload: &'a UploadId,
}

impl<'a> At<'a> {
    fn of(repository: &'a RepositoryName, upload: &'a UploadId) -> Self {
        Self { repository, upload }
    }

    fn location(self) -> String {
        location(self.repository, "blobs/uploads", self.upload.as_str())
    }

    /// The format cannot say "nothing", so zero bytes read like one: `0-0`.
    fn range(received: u64) -> String {
        format!("0-{}", received.saturating_sub(1))
    }

    fn progress(self, status: StatusCode, received: u64) -> Response {
        let mut response = empty(status);
        set(&mut response, LOCATION, &self.location());
        set(&mut response, RANGE, &Self::range(received));
        set(&mut response, UPLOAD_UUID.clone(), self.upload.as_str());
        response
    }

    /// Tells a client that lost its place where the upload stands.
    fn standing(self, error: Error, received: u64) -> Error {
        error
            .header(LOCATION, self.location())
            .header(RANGE, Self::range(received))
            .header(UPLOAD_UUID.clone(), self.upload.as_str())
            .detail(json!({"received": received}))
    }
}

/// Who writes. Nobody in particular is never granted a write.
fn actor<O>(granted: &Granted<O>) -> Result<PrincipalId, Error> {
    granted.actor().ok_or_else(|| Error::plain(ErrorCode::Denied))
}

async fn begin_upload(
    app: &App,
    granted: &Granted<hallmark_oci::BeginUpload>,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Response, Error> {
    let repository = &granted.operation().repository;
    let begun = upload::begin(app, granted, actor(granted)?, body, standing, occasion).await;
    match begun.map_err(|error| upload_error(error, None))? {
        Begun::Stored(digest) => Ok(stored(repository, &digest)),
        Begun::Open(upload) => {
            let mut response = At::of(repository, &upload).progress(StatusCode::ACCEPTED, 0);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            Ok(response)
        }
    }
}

async fn pull_manifest(app: &App, granted: &Granted<PullManifest>, headers: &HeaderMap) -> Result<Response, Error> {
    let manifest = pull::manifest(app, granted).await.map_err(pull_error)?;
    let digest = manifest.digest.as_str();
    if unchanged(headers, digest) {
        return Ok(not_modified(digest, manifest.size));
    }
    let body = if granted.operation().head { Body::empty() } else { Body::from(manifest.body.clone()) };
    let mut response = tagged(Response::new(body), digest);
    set(&mut response, CONTENT_TYPE, &manifest.media_type);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(manifest.body.len()));
    Ok(response)
}

/// An answer of many pieces: files where the connection sends files, else copies.
fn streamed(stream: BlobStream, outbox: Option<&Outbox>) -> Response {
    let Some(outbox) = outbox.cloned() else { return Response::new(Body::from_stream(stream)) };
    let windows = match stream.into_windows() {
        Ok(windows) => windows,
        Err(stream) => return Response::new(Body::from_stream(stream)),
    };
    let delivery = Delivery::default();
    let answer = delivery.clone();
    let mut response = Response::new(Body::from_stream(windows.map_ok(move |piece| match piece {
        Piece::Window(window) => outbox.place(window, delivery.clone()),
        Piece::Copy(bytes) => bytes,
    })));
    response.extensions_mut().insert(answer);
    response
}

async fn pull_blob(
    app: &App,
    granted: &Granted<PullBlob>,
    parts: &Parts,
    occasion: &Occasion,
) -> Result<Response, Error> {
    let headers = &parts.headers;
    let (repository, blob) = pull::blob(app, granted).await.map_err(pull_error)?;
    let digest = granted.operation().digest.as_str();
    if unchanged(headers, digest) {
        let mut response = not_modified(digest, blob.size);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(BLOB_CACHING));
        return Ok(response);
    }
    let head = granted.operation().head;
    let (range, status) = match (head, asked_range(headers, digest)) {
        (false, Some(asked)) => match ByteRange::resolve(asked, blob.size) {
            RangeAnswer::Whole => (0..blob.size, StatusCode::OK),
            RangeAnswer::Part(range) => (range, StatusCode::PARTIAL_CONTENT),
            RangeAnswer::Unsatisfiable => return Err(unsatisfiable(blob.size)),
        },
        _ => (0..blob.size, StatusCode::OK),
    };
    let content = if head && !blob.is_damaged() {
        None
    } else {
        let content = pull::content(app, granted, repository, &blob, range.clone(), occasion).await;
        Some(content.map_err(pull_error)?)
    };
    let response = match content.filter(|_| !head) {
        Some(BlobBody::Whole(bytes)) => Response::new(Body::from(bytes)),
        Some(BlobBody::Stream(stream)) => streamed(stream, parts.extensions.get::<Outbox>()),
        None => Response::new(Body::empty()),
    };
    let mut response = tagged(response, digest);
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &content_range(&range, blob.size));
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(BLOB_CACHING));
    Ok(response)
}

async fn list_tags(app: &App, granted: &Granted<hallmark_oci::ListTags>) -> Result<Response, Error> {
    let name = &granted.operation().repository;
    let page = list::tags(app, granted).await.map_err(list_error)?;
    let body = json!({"name": name.as_str(), "tags": page.names});
    Ok(linked(text(StatusCode::OK, JSON, body.to_string()), &format!("/v2/{name}/tags/list"), &page))
}

async fn list_repositories(app: &App, granted: &Granted<hallmark_oci::ListRepositories>) -> Result<Response, Error> {
    let page = list::repositories(app, granted).await.map_err(list_error)?;
    let body = json!({"repositories": page.names});
    Ok(linked(text(StatusCode::OK, JSON, body.to_string()), "/v2/_catalog", &page))
}

async fn list_referrers(app: &App, granted: &Granted<hallmark_oci::ListReferrers>) -> Result<Response, Error> {
    let asked = granted.operation();
    let page = list::referrers(app, granted).await.map_err(list_error)?;
    let body =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[{}]}}"#, page.descriptors.join(","));
    let mut response = text(StatusCode::OK, INDEX_TYPE, body);
    let filter = asked.artifact_type.as_deref().map(|kind| utf8_percent_encode(kind, NON_ALPHANUMERIC));
    if filter.is_some() {
        response.headers_mut().insert(FILTERS_APPLIED.clone(), HeaderValue::from_static("artifactType"));
    }
    if let Some(after) = page.next {
        let filter = filter.map(|kind| format!("&artifactType={kind}")).unwrap_or_default();
        let path = format!("/v2/{}/referrers/{}", asked.repository, asked.subject);
        let last = utf8_percent_encode(&after, NON_ALPHANUMERIC);
        set(&mut response, LINK, &format!("<{path}?last={last}{filter}>; rel=\"next\""));
    }
    Ok(response)
}

async fn put_manifest(
    app: &App,
    granted: Granted<hallmark_oci::PutManifest>,
    headers: &HeaderMap,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Response, Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let repository = granted.operation().repository.clone();
    let content = tokio::select! {
        biased;
        lapsed = standing.readonly() => return Err(access::http::lapsed(*lapsed)),
        content = body.collect(app.config.limits.manifest_bytes) => content.map_err(body_error)?,
    };
    let actor = actor(&granted)?;
    standing.ask().await.map_err(|lapsed| access::http::lapsed(*lapsed))?;
    let put = push::put_manifest(app, granted, actor, content_type, content, occasion).await;
    let put = put.map_err(|error| push_error(error, standing))?;
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, LOCATION, &location(&repository, "manifests", put.digest.as_str()));
    set(&mut response, CONTENT_DIGEST.clone(), put.digest.as_str());
    if let Some(subject) = &put.subject {
        set(&mut response, OCI_SUBJECT.clone(), subject.as_str());
    }
    for tag in put.tags.iter().filter_map(|tag| HeaderValue::from_str(tag.as_str()).ok()) {
        response.headers_mut().append(OCI_TAG.clone(), tag);
    }
    Ok(response)
}

/// What the headers of a PATCH or PUT say about its body. A `Content-Range` that cannot be read continues no upload, so it
/// is answered like one that begins elsewhere: with the place to go on from.
fn chunk(headers: &HeaderMap, body: &Incoming, at: At<'_>) -> Result<Chunk, Error> {
    let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(Chunk { start: None, length: body.announced() }) };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(range) => Chunk::new(range, body.announced()).map_err(|error| upload_error(error, Some(at))),
        None => Ok(Chunk { start: Some(u64::MAX), length: body.announced() }),
    }
}

/// The `Range` to answer, unless `If-Range` says that the client holds other bytes.
fn asked_range<'a>(headers: &'a HeaderMap, digest: &str) -> Option<&'a str> {
    let same =
        headers.get(IF_RANGE).is_none_or(|held| held.to_str().is_ok_and(|held| held.trim_matches('"') == digest));
    headers.get(RANGE).filter(|_| same)?.to_str().ok()
}

/// Whether the client holds this digest already, quoted, weak or bare, alone or in a list.
fn unchanged(headers: &HeaderMap, digest: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|held| held.to_str().ok()).flat_map(|held| held.split(',')).any(
        |held| {
            let held = held.trim();
            held.strip_prefix("W/").unwrap_or(held).trim_matches('"') == digest
        },
    )
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

fn unsatisfiable(size: u64) -> Error {
    Error::new(ErrorCode::RangeInvalid, "the blob has no such bytes").header(CONTENT_RANGE, format!("bytes */{size}"))
}

/// `201` for a blob that is in the repository now.
fn stored(repository: &RepositoryName, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, LOCATION, &location(repository, "blobs", digest.as_str()));
    set(&mut response, CONTENT_DIGEST.clone(), digest.as_str());
    response
}

fn accepted((): ()) -> Response {
    empty(StatusCode::ACCEPTED)
}

/// An answer without a body; what may have one says that its length is zero.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// `304`, with the length that the `200` would have (RFC 9110 §8.6).
fn not_modified(digest: &str, size: u64) -> Response {
    let mut response = tagged(empty(StatusCode::NOT_MODIFIED), digest);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    response
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn tagged(mut response: Response, digest: &str) -> Response {
    set(&mut response, CONTENT_DIGEST.clone(), digest);
    set(&mut response, ETAG, &format!("\"{digest}\""));
    response
}

/// Sets a header whose value our own types rendered; a value that no header may carry is left out.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn linked(mut response: Response, path: &str, page: &Names) -> Response {
    if let Some((limit, last)) = &page.next {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        set(&mut response, LINK, &format!("<{path}?n={limit}&last={last}>; rel=\"next\""));
    }
    response
}

fn body_error(error: BodyError) -> Error {
    let message = error.to_string();
    match error {
        BodyError::TooLong(_) => Error::new(ErrorCode::ManifestInvalid, message).status(StatusCode::PAYLOAD_TOO_LARGE),
        BodyError::Slow => Error::new(ErrorCode::SizeInvalid, message).status(StatusCode::REQUEST_TIMEOUT),
        BodyError::Cut(_) => Error::new(ErrorCode::SizeInvalid, message),
    }
}

fn pull_error(error: PullError) -> Error {
    let message = error.to_string();
    match error {
        PullError::NameUnknown => Error::new(ErrorCode::NameUnknown, message),
        PullError::ManifestUnknown => Error::new(ErrorCode::ManifestUnknown, message),
        PullError::BlobUnknown => Error::new(ErrorCode::BlobUnknown, message),
        // What was found once is what everybody is told from now on; trying again would find the same.
        PullError::Quarantined { .. } => {
            Error::new(ErrorCode::BlobUnknown, PullError::BlobUnknown.to_string()).because(error)
        }
        PullError::Metadata(error) => Error::from_metadata(error),
        PullError::Blobs(error) => Error::from_blobs(error),
    }
}

fn list_error(error: ListError) -> Error {
    match error {
        ListError::NameUnknown => Error::new(ErrorCode::NameUnknown, error.to_string()),
        ListError::Metadata(error) => Error::from_metadata(error),
    }
}

fn push_error(error: PushError, standing: &Standing<'_>) -> Error {
    let message = error.to_string();
    match error {
        PushError::AccountUnknown(_) | PushError::MayNotCreate(_) | PushError::NameRests(_) => {
            Error::new(ErrorCode::NameUnknown, message)
        }
        PushError::Foreign => access::http::lapsed(*standing.lacking()),
        PushError::Invalid(invalid) => Error::new(invalid.code(), message),
        PushError::DigestDiffers { actual } => {
            Error::new(ErrorCode::DigestInvalid, message).detail(json!({"actual": actual}))
        }
        PushError::NamesUnknown(digests) => {
            Error::new(ErrorCode::ManifestBlobUnknown, message).detail(json!({"unknown": digests}))
        }
        PushError::SizeDiffers(digest) => Error::new(ErrorCode::SizeInvalid, message).detail(json!({"digest": digest})),
        PushError::Immutable(fixed) => immutable(fixed),
        PushError::Exceeded(exceeded) => no_room(&exceeded),
        PushError::TooMany => Error::new(ErrorCode::TooManyRequests, message).retry_after(UPLOADS_RETRY),
        PushError::Short(_) | PushError::Unsettled => {
            Error::new(ErrorCode::TooManyRequests, message).retry_after(UNSETTLED_RETRY)
        }
        PushError::Unread(_) => Error::internal(error),
        PushError::Metadata(error) => Error::from_metadata(error),
    }
}

fn delete_error(error: DeleteError) -> Error {
    let message = error.to_string();
    match error {
        DeleteError::NameUnknown => Error::new(ErrorCode::NameUnknown, message),
        DeleteError::ManifestUnknown => Error::new(ErrorCode::ManifestUnknown, message),
        DeleteError::BlobUnknown => Error::new(ErrorCode::BlobUnknown, message),
        DeleteError::StillNamed(parents) => {
            Error::new(ErrorCode::Unsupported, message).detail(json!({"named_by": parents}))
        }
        DeleteError::Immutable(fixed) => immutable(fixed),
        DeleteError::Held(_) => Error::new(ErrorCode::Denied, message),
        DeleteError::Metadata(error) => Error::from_metadata(error),
    }
}

/// Clients print the sentence, and try nothing again.
fn immutable(fixed: Fixed) -> Error {
    let message = fixed.to_string();
    let detail = json!({"tag": fixed.tag, "rule": fixed.rule});
    Error::new(ErrorCode::Denied, message).status(StatusCode::PRECONDITION_FAILED).detail(detail)
}

/// `at` is the upload that the request was about, if there was one before it.
fn upload_error(error: UploadError, at: Option<At<'_>>) -> Error {
    let message = error.to_string();
    match error {
        UploadError::AccountUnknown(_) | UploadError::MayNotCreate(_) | UploadError::NameRests(_) => {
            Error::new(ErrorCode::NameUnknown, message)
        }
        UploadError::TooMany => Error::new(ErrorCode::TooManyRequests, message).retry_after(UPLOADS_RETRY),
        UploadError::Exceeded(exceeded) => no_room(&exceeded),
        UploadError::Short(_) | UploadError::Unsettled => {
            Error::new(ErrorCode::TooManyRequests, message).retry_after(UNSETTLED_RETRY)
        }
        UploadError::Lapsed(lapsed) => access::http::lapsed(*lapsed),
        UploadError::Unknown => Error::new(ErrorCode::BlobUploadUnknown, message),
        UploadError::Busy { received } | UploadError::OutOfOrder { received } => {
            let error = Error::new(ErrorCode::RangeInvalid, message);
            match at {
                Some(at) => at.standing(error, received),
                None => error,
            }
        }
        UploadError::LengthDiffers => Error::new(ErrorCode::SizeInvalid, message),
        UploadError::DigestDiffers { actual } => {
            Error::new(ErrorCode::DigestInvalid, message).detail(json!({"actual": actual}))
        }
        UploadError::Overtaken => Error::new(ErrorCode::BlobUploadInvalid, message),
        UploadError::Body(error) => body_error(error),
        UploadError::Metadata(error) => Error::from_metadata(error),
        UploadError::Blobs(error) if error.is_broken() => Error::plain(ErrorCode::BlobUploadInvalid).because(error),
        UploadError::Blobs(error) => Error::from_blobs(error),
    }
}
