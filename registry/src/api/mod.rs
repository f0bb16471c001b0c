//! Lives here: `/api/v1`: how the rules of `people` are reached by HTTP, and the document that describes it (OpenAPI 3.1).
//! Never here: a rule; each handler reads what was sent, calls one, and shows what it gives.
//! Start reading at `answer`, then `routes`.

mod call;
mod failure;
mod gc;
mod keeping;
mod lists;
mod openapi;
mod organizations;
mod quotas;
mod repositories;
mod robots;
mod signatures;
mod teams;
mod trash;
mod trust;
mod users;

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use hallmark_oci::ErrorCode;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tower::ServiceExt as _;

pub use openapi::document;

use self::call::Context;
use crate::access;
use crate::app::App;
use crate::auth::{self, Client, Identity};
use crate::events::Happening;
use crate::http::body::{BodyError, Incoming};
use crate::http::error::Error;
use crate::http::request::comes_from_another_site;
use crate::http::server::PeerCertificate;
use crate::people::Caller;

/// The longest body that is read, in bytes.
const BODY_BYTES: usize = 256 * 1024;
/// Where the document stands; it is shown to anybody.
const DOCUMENT: &str = "/api/v1/openapi.json";

/// Every path of the API; the table is made once.
static ROUTES: LazyLock<Router> = LazyLock::new(routes);

fn routes() -> Router {
    let of_users = Router::new()
        .route("/me", get(users::me))
        .route("/me/tokens", get(users::list_tokens).post(users::create_token))
        .route("/me/tokens/{id}", delete(users::revoke_token))
        .route("/users", get(users::list).post(users::create))
        .route("/users/{user}", get(users::describe).patch(users::change).delete(users::remove))
        .route("/users/{user}/password", put(users::set_password))
        .route("/users/{user}/logout", post(users::log_out));
    let of_organizations = Router::new()
        .route("/organizations", get(organizations::list).post(organizations::create))
        .route(
            "/organizations/{organization}",
            get(organizations::describe).patch(organizations::change).delete(organizations::remove),
        )
        .route("/organizations/{organization}/members", get(organizations::members))
        .route(
            "/organizations/{organization}/members/{user}",
            put(organizations::put_member).delete(organizations::remove_member),
        )
        .route("/organizations/{organization}/teams", get(teams::list).post(teams::create))
        .route(
            "/organizations/{organization}/teams/{team}",
            get(teams::describe).patch(teams::change).delete(teams::remove),
        )
        .route("/organizations/{organization}/teams/{team}/members", get(teams::members))
        .route(
            "/organizations/{organization}/teams/{team}/members/{user}",
            put(teams::add_member).delete(teams::remove_member),
        );
    let of_robots = Router::new()
        .route("/accounts/{account}/robots", get(robots::list).post(robots::create))
        .route("/accounts/{account}/robots/{robot}", get(robots::describe).patch(robots::change).delete(robots::remove))
        .route("/accounts/{account}/robots/{robot}/secrets", get(robots::secrets).post(robots::rotate))
        .route("/accounts/{account}/robots/{robot}/secrets/{id}", delete(robots::revoke))
        .route("/accounts/{account}/robots/{robot}/rules", get(robots::rules).post(robots::create_rule))
        .route("/accounts/{account}/robots/{robot}/rules/{id}", delete(robots::remove_rule));
    let of_repositories = Router::new()
        .route("/repositories", get(repositories::list).post(repositories::create))
        .route(
            "/repositories/{repository}",
            get(repositories::describe).patch(repositories::change).delete(repositories::delete),
        )
        .route("/repositories/{repository}/transfer", post(repositories::transfer))
        .route("/repositories/{repository}/grants", get(repositories::grants))
        .route("/repositories/{repository}/signatures", get(signatures::list).post(signatures::create))
        .route("/repositories/{repository}/signatures/{tag}", delete(signatures::withdraw))
        .route("/repositories/{repository}/sign-rules", get(signatures::rules).post(signatures::create_rule))
        .route("/repositories/{repository}/sign-rules/{id}", delete(signatures::remove_rule))
        .route("/repositories/{repository}/checks", post(signatures::report_check))
        .route("/repositories/{repository}/signing-key", post(signatures::give_key))
        .route("/repositories/{repository}/trash", get(trash::list))
        .route("/repositories/{repository}/undelete", post(trash::undelete))
        .route("/repositories/{repository}/tags/{tag}/history", get(trash::history))
        .route("/accounts/{account}/trash", get(trash::deleted))
        .route("/accounts/{account}/undelete", post(trash::undelete_repository))
        .route("/repositories/{repository}/holds", get(keeping::list_holds).post(keeping::place_hold))
        .route("/repositories/{repository}/holds/{digest}/{kind}", delete(keeping::release_hold))
        .route("/repositories/{repository}/policy", get(keeping::policy).put(keeping::put_policy))
        .route("/repositories/{repository}/retention/preview", post(keeping::preview_retention))
        .route("/accounts/{account}/policy", get(keeping::account_policy).put(keeping::put_account_policy))
        .route(
            "/repositories/{repository}/quota",
            get(quotas::quota).put(quotas::put_quota).delete(quotas::remove_quota),
        )
        .route("/repositories/{repository}/sizes", get(quotas::sizes))
        .route(
            "/accounts/{account}/quota",
            get(quotas::account_quota).put(quotas::put_account_quota).delete(quotas::remove_account_quota),
        )
        .route("/accounts/{account}/sizes", get(quotas::account_sizes))
        .route("/gc", get(gc::status).patch(gc::change))
        .route("/gc/run", post(gc::run))
        .route("/gc/explain", get(gc::explain))
        .route("/accounts/{account}/grants", get(repositories::account_grants))
        .route("/grants/{on}/{holder}", put(repositories::put_grant).delete(repositories::take_grant))
        .route("/certificates", get(users::certificates).post(users::create_certificate))
        .route("/certificates/{id}", delete(users::remove_certificate))
        .route("/explain", get(repositories::explain))
        .route("/events", get(repositories::events));
    let of_trust = Router::new()
        .route("/trust/root", get(trust::describe).post(trust::publish))
        .route("/trust/root/drafts", post(trust::draft))
        .route("/trust/rotations", post(trust::rotate))
        .route("/trust/files", get(trust::files))
        .route("/trust/files/{name}", put(trust::put_file).delete(trust::remove_file))
        .route("/organizations/{organization}/trust", post(trust::begin))
        .route(
            "/organizations/{organization}/trust/root",
            get(trust::describe_of_organization).post(trust::publish_of_organization),
        )
        .route("/organizations/{organization}/trust/root/drafts", post(trust::draft_of_organization))
        .route("/organizations/{organization}/trust/rotations", post(trust::rotate_of_organization));
    let all = of_users.merge(of_organizations).merge(of_robots).merge(of_repositories).merge(of_trust);
    Router::new()
        .nest("/api/v1", all)
        .fallback(async || (Extension(NoSuchPath), Error::plain(ErrorCode::NotFound)))
        .method_not_allowed_fallback(async || Error::plain(ErrorCode::Unsupported))
}

/// Answers a request of the API. `by` is told who asks, once that is known.
///
/// # Errors
/// The refusal, when nobody is identified or the request cannot be read; rules refuse within the answer.
pub(crate) async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    body: &mut Incoming,
    (client, request_id): (Client, &str),
    by: impl FnOnce(&Identity),
) -> Result<Response, Error> {
    if parts.uri.path() == DOCUMENT && parts.method == Method::GET {
        return Ok(axum::Json(document()).into_response());
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    if changes && comes_from_another_site(&parts.headers) {
        return Err(Error::new(ErrorCode::Denied, "a page of another site may change nothing here"));
    }
    let now = app.clock.now();
    let identity = identify(app, &parts.headers, client, now).await.map_err(failure::unidentified)?;
    let identity = match (identity, parts.extensions.get::<PeerCertificate>()) {
        (Identity::Anonymous, Some(shown)) => {
            auth::by_certificate(app, shown.names(), client).await.map_err(failure::unidentified)?
        }
        (identity, _) => identity,
    };
    by(&identity);
    let Identity::Known(known) = identity else { return Err(failure::anonymous()) };
    if known.ceiling.api() == auth::limits::Api::Nothing {
        return Err(Error::new(
            ErrorCode::Denied,
            "this token is for images; it needs the scope api:read or api:write",
        ));
    }
    if changes && app.is_readonly() {
        return Err(access::http::read_only());
    }
    let sent = body.collect(BODY_BYTES).await.map_err(body_failure)?;
    let caller = Caller { known, client, now, request_id: request_id.to_owned() };
    route(app, parts, Body::from(sent), caller).await
}

async fn route(app: &Arc<App>, parts: &Parts, sent: Body, caller: Caller) -> Result<Response, Error> {
    let mut request = Request::builder().method(parts.method.clone()).uri(parts.uri.clone());
    if let Some(headers) = request.headers_mut() {
        *headers = parts.headers.clone();
    }
    let mut request = request.body(sent).map_err(Error::internal)?;
    request.extensions_mut().insert(Context { app: Arc::clone(app), caller: caller.clone() });
    match ROUTES.clone().oneshot(request).await {
        Ok(response) => {
            remember_refusal(app, parts, &caller, &response);
            let mut response = failure::with_request_id(response, &caller.request_id).await;
            lists::link(&parts.uri, &mut response);
            // Secrets are shown once, and names not to whoever uses the browser next.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(never) => match never {},
    }
}

/// Marks the answer at a path where nothing ever is.
#[derive(Clone, Copy)]
struct NoSuchPath;

/// Remembers that somebody asked for what they have no right to. What they may not see is answered as what is not there, and
/// so both are remembered; to who reads everything it is not there.
fn remember_refusal(app: &App, parts: &Parts, caller: &Caller, response: &Response) {
    let is_refused = match response.status() {
        StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND => !caller.reads_everything() && response.extensions().get::<NoSuchPath>().is_none(),
        _ => false,
    };
    if !is_refused {
        return;
    }
    let how = match parts.method {
        Method::POST => "api_post",
        Method::PUT => "api_put",
        Method::PATCH => "api_patch",
        Method::DELETE => "api_delete",
        _ => "api_get",
    };
    let client = caller.client.address();
    let subject = parts.uri.path().trim_start_matches("/api/v1/").to_owned();
    let (kind, actor) = ("access_refused", caller.known.principal.id);
    let happening = Happening { kind, actor, account: None, repository: None, subject, how, client };
    app.recorder.note(happening, caller.now);
}

/// Who asks: by name and secret, or by a token alone.
async fn identify(app: &App, headers: &HeaderMap, client: Client, now: i64) -> Result<Identity, auth::Refused> {
    match headers.get(AUTHORIZATION).map(|value| value.to_str()) {
        None => Ok(Identity::Anonymous),
        Some(Ok(text)) => auth::identify(app, Some(text), None, (client, now)).await,
        Some(Err(_)) => Err(auth::Refused::Malformed),
    }
}

fn body_failure(error: BodyError) -> Error {
    match error {
        BodyError::TooLong(_) => {
            Error::new(ErrorCode::Invalid, "a body has at most 256 KiB").status(StatusCode::PAYLOAD_TOO_LARGE)
        }
        BodyError::Cut(_) => Error::new(ErrorCode::Invalid, "the body was cut off"),
        BodyError::Slow => {
            Error::new(ErrorCode::Invalid, "the body came too slowly").status(StatusCode::REQUEST_TIMEOUT)
        }
    }
}
