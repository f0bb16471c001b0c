//! The door of `auth`: the token endpoint (GET and POST) and the key set.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use hallmark_oci::{ErrorCode, Scopes};
use hallmark_storage::metadata::PrincipalKind;
use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::certificate::{self, Names};
use super::keys::KeyError;
use super::token::{self, Issued, SERVICE};
use super::{
    Authenticated, Client, Identity, Refused, basic, by_certificate, by_secret, by_workload, refresh, remember_unnamed,
};
use crate::app::App;
use crate::clock::rfc3339;
use crate::http::body::{BodyError, Incoming};
use crate::http::error::Error;
use crate::http::request::client_address;
use crate::http::server::{PeerAddress, PeerCertificate};

/// The longest form that the token endpoint reads, in bytes.
const FORM_BYTES: usize = 64 * 1024;
/// How many scopes nobody in particular asks for at once: each is looked up in the database.
const SCOPES_OF_NOBODY: usize = 16;
/// The grant of token exchange (RFC 8693), what it takes, and what it gives.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const SUBJECTS: [&str; 2] = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Answers a request for a token, in either form.
pub(crate) async fn token(app: &App, parts: &Parts, body: &mut Incoming) -> Result<Response, Error> {
    if parts.method == Method::POST { post_token(app, parts, body).await } else { get_token(app, parts).await }
}

/// `GET /token`: the form of the token endpoint that Docker and its kin use.
async fn get_token(app: &App, parts: &Parts) -> Result<Response, Error> {
    let now = app.clock.now();
    let form = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
    form.check_service()?;
    let identity = identify(app, client(app, parts), &parts.headers).await.map_err(refusal)?;
    let refresh = match &identity {
        Identity::Known(known) if form.flag("offline_token") && !app.is_readonly() && showed_password(known) => {
            refresh::issue(app, &known.principal, now).await.map_err(refusal)?
        }
        _ => None,
    };
    // Whoever shows a certificate keeps that: a refresh token would outlive it.
    let identity = match (identity, parts.extensions.get::<PeerCertificate>()) {
        (Identity::Anonymous, Some(shown)) => {
            Box::pin(by_certificate_for_a_token(app, shown.names(), client(app, parts))).await.map_err(refusal)?
        }
        (identity, _) => identity,
    };
    let scopes = form.scopes();
    if identity.principal().is_none() && scopes.iter().count() > SCOPES_OF_NOBODY {
        return Err(invalid_request("who is not signed in asks for at most 16 scopes at once"));
    }
    let issued = token::issue(app, &identity, &scopes, now).await.map_err(refusal)?;
    Ok(sent(&shown(&issued, refresh.as_deref(), now)))
}

/// Who shows a certificate, for a token of theirs. The rule is looked at once more after its principal, whose tokens a removal
/// of the rule voids: one that is removed in between must not leave a token that was made too late for that.
async fn by_certificate_for_a_token(app: &App, names: &Names, client: Client) -> Result<Identity, Refused> {
    let identity = by_certificate(app, names, client).await?;
    let again = certificate::identify(app, names, app.clock.now()).await?;
    let is_same = again.map(|known| known.principal.id) == identity.principal().map(|principal| principal.id);
    Ok(if is_same { identity } else { Identity::Anonymous })
}

/// `POST /token`: the OAuth 2 form, with the grants `password`, `refresh_token` and that of RFC 8693 for workloads.
async fn post_token(app: &App, parts: &Parts, body: &mut Incoming) -> Result<Response, Error> {
    let now = app.clock.now();
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let form = Form::parse(&body);
    form.check_service()?;
    let mut exchanged = false;
    let (known, refresh) = match form.one("grant_type") {
        Some("password") => by_password(app, &form, client(app, parts), now).await?,
        Some("refresh_token") => by_refresh_token(app, &form, client(app, parts), now).await?,
        Some(EXCHANGE) => {
            exchanged = true;
            (by_exchange(app, &form, client(app, parts)).await?, None)
        }
        _ => return Err(invalid_request("grant_type must be password, refresh_token or the one of token exchange")),
    };
    let issued = token::issue(app, &Identity::Known(known), &form.scopes(), now).await.map_err(refusal)?;
    let mut answer = shown(&issued, refresh.as_deref(), now);
    if exchanged {
        answer["issued_token_type"] = Value::from(ACCESS_TOKEN);
        answer["token_type"] = Value::from("Bearer");
    }
    Ok(sent(&answer))
}

/// The public keys that check this registry's tokens (RFC 7517).
pub(crate) fn key_set(app: &App) -> Response {
    let mut response = Json(app.token_keys.ring().jwks(app.clock.now())).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}

async fn by_password(
    app: &App,
    form: &Form<'_>,
    client: Client,
    now: i64,
) -> Result<(Authenticated, Option<String>), Error> {
    let (Some(name), Some(secret)) = (form.one("username"), form.one("password")) else {
        return Err(invalid_request("the password grant needs username and password"));
    };
    let known = by_secret(app, name, secret, client).await.map_err(refusal)?;
    let refresh = match form.one("access_type") {
        // Nothing is written while the registry is read-only; the client then keeps the password.
        Some("offline") if showed_password(&known) => {
            refresh::issue(app, &known.principal, now).await.map_err(refusal)?
        }
        _ => None,
    };
    Ok((known, refresh))
}

/// Whether a password was shown, which a refresh token may stand for. Whoever shows a token keeps that: a refresh token made
/// from it would outlive it. Robots have no password; what identifies a workload ends within minutes.
fn showed_password(known: &Authenticated) -> bool {
    known.credential.is_none() && known.principal.kind == PrincipalKind::User
}

/// Token exchange: the token of a workload is the subject, and the robot that it is to be is named as by a password.
async fn by_exchange(app: &App, form: &Form<'_>, client: Client) -> Result<Authenticated, Error> {
    if form.one("actor_token").is_some() {
        return Err(invalid_request("nobody acts for another here: leave actor_token out"));
    }
    if form.one("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(invalid_request("only access tokens are made here"));
    }
    if !form.one("subject_token_type").is_some_and(|kind| SUBJECTS.contains(&kind)) {
        return Err(invalid_request("subject_token_type must be that of a JWT or of an ID token"));
    }
    let (Some(name), Some(token)) = (form.one("username"), form.one("subject_token")) else {
        return Err(invalid_request("token exchange needs subject_token, and the robot's name in username"));
    };
    by_workload(app, name, token, client).await.map_err(refusal)
}

/// The refresh grant gives the same refresh token back.
async fn by_refresh_token(
    app: &App,
    form: &Form<'_>,
    client: Client,
    now: i64,
) -> Result<(Authenticated, Option<String>), Error> {
    let text =
        form.one("refresh_token").ok_or_else(|| invalid_request("the refresh_token grant needs refresh_token"))?;
    let known = refresh::identify(app, text, now).await;
    remember_unnamed(app, "refresh_token", &known, client, now);
    let known = known.map_err(refusal)?;
    Ok((known, Some(text.to_owned())))
}

/// From where a request comes.
fn client(app: &App, parts: &Parts) -> Client {
    let peer = parts.extensions.get::<PeerAddress>().copied().unwrap_or(PeerAddress::UNKNOWN);
    Client::At(client_address(&app.config, peer, &parts.headers))
}

/// Who asks for a token by GET: a name with a password, or nobody.
async fn identify(app: &App, client: Client, headers: &HeaderMap) -> Result<Identity, Refused> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Identity::Anonymous) };
    let (scheme, value) = header.to_str().ok().and_then(|header| header.split_once(' ')).ok_or(Refused::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refused::Malformed);
    }
    let (name, secret) = basic(value)?;
    by_secret(app, &name, &secret, client).await.map(Identity::Known)
}

fn shown(issued: &Issued, refresh: Option<&str>, now: i64) -> Value {
    let mut body = json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in,
        "issued_at": rfc3339(now),
        "scope": issued.scopes.to_string(),
    });
    if let Some(refresh) = refresh {
        body["refresh_token"] = Value::from(refresh);
    }
    body
}

fn sent(body: &Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The parameters of a form or of a query.
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Self {
        Self(form_urlencoded::parse(text).collect())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// The first value of this name.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn flag(&self, name: &str) -> bool {
        self.one(name) == Some("true")
    }

    /// `scope` may be repeated, and each may hold several, separated by spaces.
    fn scopes(&self) -> Scopes {
        Scopes::parse(self.all("scope"))
    }

    /// A token for another service would be refused at once; saying so here saves the search.
    fn check_service(&self) -> Result<(), Error> {
        match self.one("service") {
            None | Some(SERVICE | "") => Ok(()),
            Some(_) => Err(invalid_request("this endpoint makes tokens for the service \"hallmark\" only")),
        }
    }
}

pub(super) fn form_error(error: BodyError) -> Error {
    match error {
        BodyError::TooLong(_) | BodyError::Cut(_) => invalid_request("the form is cut off or longer than 64 KiB"),
        BodyError::Slow => invalid_request("the form came too slowly").status(http::StatusCode::REQUEST_TIMEOUT),
    }
}

fn invalid_request(message: &'static str) -> Error {
    Error::new(ErrorCode::Unsupported, message).status(http::StatusCode::BAD_REQUEST)
}

/// A refusal of the token endpoint: it asks for a name and password, where the image endpoints ask for a token.
fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Malformed
        | Refused::WrongPassword
        | Refused::Token(_)
        | Refused::RefreshToken
        | Refused::NameRests(_)
        | Refused::Unvouched => Error::new(ErrorCode::Unauthorized, refused.to_string())
            .header(WWW_AUTHENTICATE, format!("Basic realm=\"{SERVICE}\", charset=\"UTF-8\"")),
        Refused::Busy => busy(),
        refused @ (Refused::Directory(_) | Refused::Issuer(_)) => away(refused),
        Refused::TooManyAttempts { wait_seconds } => too_many_attempts(wait_seconds),
        Refused::Keys(error) => keys(error),
        Refused::Metadata(error) => Error::from_metadata(error),
    }
}

/// Token keys that cannot be read: nothing is wrong with the token that was shown.
pub(crate) fn keys(error: KeyError) -> Error {
    match error {
        KeyError::Metadata(error) => Error::from_metadata(error),
        KeyError::Sealed { .. } | KeyError::OtherMaster(_) | KeyError::Damaged(_) | KeyError::Random => {
            Error::internal(error)
        }
    }
}

/// Somebody else who would have to be asked does not answer.
pub(crate) fn away(refused: Refused) -> Error {
    let message = match refused {
        Refused::Directory(_) => "the directory does not answer; try again shortly, or sign in with a token",
        _ => "the issuer of this token does not answer; try again shortly",
    };
    Error::unavailable(message, Some(refused.into()))
}

/// Too many wrong passwords.
pub(crate) fn too_many_attempts(wait_seconds: u32) -> Error {
    Error::new(ErrorCode::TooManyRequests, Refused::TooManyAttempts { wait_seconds }.to_string())
        .retry_after(wait_seconds)
}

/// Too many sign-ins at once.
pub(crate) fn busy() -> Error {
    Error::new(ErrorCode::TooManyRequests, Refused::Busy.to_string()).retry_after(1)
}
