//! Lives here: the wire. Connections, the router, the one shape of a failure, limits, the line in the log.
//! Never here: a rule about images, users or rights.
//! Start reading at [`router`], then `respond`.

pub(crate) mod body;
pub mod error;
mod lasting;
mod line;
pub(crate) mod request;
pub mod server;
#[cfg(test)]
mod tests;
pub mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use hallmark_oci::{ErrorCode, Operation, OperationInvalid, ReadTuf, TufFile};
use hallmark_storage::metadata::PrincipalId;
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, EXPECT, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version};

use self::body::Incoming;
use self::error::Error;
use self::lasting::Lasting;
use self::line::Line;
use self::server::{PeerAddress, PeerCertificate};
use crate::access::{self, Granted, Shown, Standing, Work};
use crate::api;
use crate::app::App;
use crate::auth::{self, About, Client, Identity, Waiting, signin};
use crate::distribution::{self, Occasion};
use crate::events::Happening;
use crate::telemetry;
use crate::trust;

static API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
static NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a path is a part of.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The image API, and every path that is none.
    Images,
    /// The token endpoint.
    Token,
    /// The keys that check tokens.
    KeySet,
    /// The management API.
    Api,
    /// Signing people in by their browser.
    SignIn,
    /// What verifiers need, for anybody.
    Shelf,
    /// A path that is one of the others' or a probe's, by a method that it does not take.
    Misused,
}

impl Part {
    /// What the log and the metrics call a request before more is known of it.
    fn name(self) -> &'static str {
        match self {
            Self::Images | Self::Misused => "unknown",
            Self::Token => "token",
            Self::KeySet => "key_set",
            Self::Api => "api",
            Self::SignIn => "sign_in",
            Self::Shelf => "trust_files",
        }
    }
}

/// Every path that the registry answers.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/token", get(token).post(token))
        .route("/.well-known/jwks.json", get(key_set))
        .route("/api/{*path}", any(api))
        .route("/auth/{*path}", any(sign_in))
        .route("/tuf/{file}", get(shelf))
        .route("/tuf/targets/{file}", any(shelved_or_image))
        .route("/livez", get(telemetry::http::livez))
        .route("/readyz", get(telemetry::http::readyz))
        .route("/_notary_server/health", get(telemetry::http::readyz))
        .route("/metrics", get(telemetry::http::metrics))
        .method_not_allowed_fallback(misused)
        // Not a wildcard route: axum would decode the path, and it must be decoded once only, by `Operation::parse`.
        .fallback(images)
        .with_state(app)
}

async fn token(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::Token, request).await
}

async fn key_set(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::KeySet, request).await
}

async fn api(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::Api, request).await
}

async fn sign_in(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::SignIn, request).await
}

async fn shelf(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::Shelf, request).await
}

/// A file of the registry's own repository, whose hash stands in front of its name; any other name is of a repository that is
/// called `targets`.
async fn shelved_or_image(State(app): State<Arc<App>>, request: Request) -> Response {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_shelved = name.split_once('.').is_some_and(|(hash, _)| is_hash(hash));
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    serve(app, if is_shelved && is_read { Part::Shelf } else { Part::Images }, request).await
}

async fn misused(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::Misused, request).await
}

async fn images(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, Part::Images, request).await
}

/// Serves one request.
///
/// What may change something ends whoever goes away: a client that does drops the future of its connection or stream, and a
/// change that has begun must end, release its upload and be logged all the same.
async fn serve(app: Arc<App>, part: Part, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = Incoming::new(body, app.config.http.body_timeout, parts.headers.contains_key(EXPECT));
    // Signing in keeps rows by GET: that is how browsers are sent to and fro.
    if matches!(parts.method, Method::GET | Method::HEAD) && !matches!(part, Part::SignIn) {
        return respond(app, part, parts, body).await;
    }
    let (started, peer) = (Instant::now(), peer(&parts));
    let (line, version) = (Line::new(&app, part.name(), &parts.headers, peer), parts.version);
    // Nobody closes the places, so each gets one in its turn. Those who have yet to say who they are take none away.
    let place = match part {
        Part::Token | Part::SignIn | Part::Misused => None,
        _ => match Arc::clone(&app.places).acquire_owned().await {
            Ok(place) => Some(place),
            Err(_) => return Error::unavailable("the registry is stopping", None).answer(line.id()),
        },
    };
    let changing = Arc::clone(&app);
    let change = app.changes.track_future(async move {
        let _held = (place, changing.readonly.begin_change());
        respond(Arc::clone(&changing), part, parts, body).await
    });
    match Lasting::new(change).await {
        Ok(response) => response,
        Err(panic) => {
            // Nobody can tell how much of the body was read.
            let mut response = last_of_its_connection(Error::internal(panic).answer(line.id()), version, true);
            finish(None, &line, &mut response);
            line.write(&app, &mut response, 0, started);
            response
        }
    }
}

async fn respond(app: Arc<App>, part: Part, parts: Parts, mut body: Incoming) -> Response {
    let (started, peer) = (Instant::now(), peer(&parts));
    let mut line = Line::new(&app, part.name(), &parts.headers, peer);
    let answered = match part {
        Part::Images => answer(&app, &parts, peer, &mut body, &mut line).await,
        // What is not asked for with every image waits on the heap: each request would carry the room for it.
        Part::Token => match reads_form(&app, &parts, &line) {
            Ok(_reading) => Box::pin(auth::http::token(&app, &parts, &mut body)).await,
            Err(busy) => Err(busy),
        },
        Part::Misused => Err(Error::plain(ErrorCode::Unsupported)),
        Part::KeySet => Ok(auth::http::key_set(&app)),
        Part::Shelf => Box::pin(trust::http::shelf(&app, parts.uri.path())).await,
        Part::Api => {
            let (client, id) = (Client::At(line.client()), line.id().to_owned());
            Box::pin(api::answer(&app, &parts, &mut body, (client, &id), |identity| line.by(identity))).await
        }
        Part::SignIn => {
            let id = line.id().to_owned();
            let from = signin::http::Sender { client: line.client(), request_id: &id };
            match reads_form(&app, &parts, &line) {
                Ok(_reading) => {
                    Box::pin(signin::http::answer(&app, &parts, &mut body, from, |identity| line.by(identity))).await
                }
                Err(busy) => Err(busy),
            }
        }
    };
    let response = match answered {
        Ok(response) => response,
        Err(error) => {
            body.discard().await;
            error.answer(line.id())
        }
    };
    let mut response = last_of_its_connection(response, parts.version, body.is_left());
    finish(parts.uri.query().filter(|_| matches!(part, Part::Images)), &line, &mut response);
    line.write(&app, &mut response, body.received(), started);
    response
}

/// Says with the answer that its connection ends, where something of the request's body is `left` on it: a client that uses the
/// connection again would have its next request taken for the rest of that. A stream of HTTP/2 ends by itself.
fn last_of_its_connection(mut response: Response, version: Version, left: bool) -> Response {
    if left && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A place among those whose forms are read, for a request that sends one.
fn reads_form<'a>(app: &'a App, parts: &Parts, line: &Line) -> Result<Option<Waiting<'a>>, Error> {
    if parts.method.is_safe() {
        return Ok(None);
    }
    app.forms.enter(Client::At(line.client())).map(Some).map_err(|_| auth::http::busy())
}

fn peer(parts: &Parts) -> PeerAddress {
    parts.extensions.get::<PeerAddress>().copied().unwrap_or(PeerAddress::UNKNOWN)
}

async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    peer: PeerAddress,
    body: &mut Incoming,
    line: &mut Line,
) -> Result<Response, Error> {
    let operation =
        Operation::parse(parts.method.as_str(), parts.uri.path(), parts.uri.query()).map_err(refuse_grammar)?;
    line.about(&operation);
    check_name(app, &operation, parts, peer)?;
    let writes = operation.changes();
    if writes && request::comes_from_another_site(&parts.headers) {
        return Err(Error::new(ErrorCode::Denied, "a page of another site may change nothing here"));
    }
    let now = app.clock.now();
    let realm = || request::realm(&app.config, peer, &parts.uri, &parts.headers);
    let client = Client::At(line.client());
    let (authorization, identity) = identify(app, parts, About::of(&operation), (client, now))
        .await
        .map_err(|refused| access::http::unidentified(refused, &access::needed_by(&operation), &realm()))?;
    line.by(&identity);
    // A read is decided once.
    let again = if writes { operation.clone() } else { Operation::Ping };
    let name = operation.name();
    let granted = access::authorize(app, &identity, operation).await.map_err(|refused| {
        access::remember_refusal(app, &refused, &identity, (name, client));
        access::http::refusal(refused, &identity, &realm())
    })?;
    if granted.hides() {
        let needed = access::needed_by(granted.operation());
        access::remember_refusal(app, &access::Refused::Lacking { needed, right: true }, &identity, (name, client));
    }
    if writes && app.is_readonly() {
        return Err(access::http::read_only());
    }
    let occasion = Occasion { now, request_id: line.id().to_owned() };
    let standing = Standing::new(app, Shown { identity: &identity, authorization, client, at: now }, again, &realm);
    let pull = Pull::of(app, &granted, line.client());
    let answer = match granted.sort() {
        Work::Trust(work) => Box::pin(trust::http::serve(app, work, parts, body, &standing, occasion)).await?,
        work => distribution::http::serve(app, work, parts, body, &standing, occasion).await?,
    };
    if let Some(pull) = pull {
        app.recorder.note(pull.0, now);
    }
    Ok(answer)
}

/// Refuses trust collections under other registries' names: nobody may publish here what clients would look for there.
fn check_name(app: &App, operation: &Operation, parts: &Parts, peer: PeerAddress) -> Result<(), Error> {
    let Some(gun) = operation.gun() else { return Ok(()) };
    if request::is_own_name(&app.config, peer, &parts.uri, &parts.headers, gun.host()) {
        return Ok(());
    }
    Err(match parts.method {
        Method::POST => Error::plain(ErrorCode::InvalidGun),
        _ => Error::plain(ErrorCode::MetadataNotFound),
    })
}

/// Who asks, and the header that says so: by what is shown in the request, or else in the handshake.
async fn identify<'a>(
    app: &App,
    parts: &'a Parts,
    about: Option<About<'_>>,
    (client, now): (Client, i64),
) -> Result<(Option<&'a str>, Identity), auth::Refused> {
    let authorization = parts.headers.get(AUTHORIZATION).map(HeaderValue::to_str).transpose();
    let authorization = authorization.map_err(|_| auth::Refused::Malformed)?;
    let identity = match (authorization, parts.extensions.get::<PeerCertificate>()) {
        (None, Some(shown)) => auth::by_certificate(app, shown.names(), client).await?,
        (authorization, _) => auth::identify(app, authorization, about, (client, now)).await?,
    };
    Ok((authorization, identity))
}

/// A pull to be remembered, where the settings ask for it.
struct Pull(Happening);

impl Pull {
    fn of(app: &App, granted: &Granted<Operation>, client: IpAddr) -> Option<Self> {
        let subject = match granted.operation() {
            Operation::PullManifest(pull) if !pull.head => pull.reference.to_string(),
            // What a target names is the manifest itself.
            Operation::ReadTuf(ReadTuf { file: TufFile::Target { digest, .. }, .. }) => digest.to_string(),
            _ => return None,
        };
        if !app.config.audit.pulls {
            return None;
        }
        let repository = granted.repository();
        Some(Self(Happening {
            kind: "manifest_pulled",
            actor: granted.actor().unwrap_or(PrincipalId::SYSTEM),
            account: repository.map(|repository| repository.account_id),
            repository: repository.map(|repository| repository.id),
            subject,
            how: "",
            client: Some(client),
        }))
    }
}

fn refuse_grammar(invalid: OperationInvalid) -> Error {
    let error = Error::new(invalid.code(), invalid.to_string());
    match invalid.allowed() {
        Some(allowed) => error.header(ALLOW, allowed),
        None => error,
    }
}

/// The headers that every answer of the API carries.
fn finish(query: Option<&str>, line: &Line, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(API_VERSION.clone(), HeaderValue::from_static("registry/2.0"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("sandbox"));
    if let Ok(id) = HeaderValue::from_str(line.id()) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    if let Some(namespace) = Operation::namespace(query)
        && let Ok(namespace) = HeaderValue::from_str(&namespace)
    {
        headers.insert(NAMESPACE.clone(), namespace);
    }
}
