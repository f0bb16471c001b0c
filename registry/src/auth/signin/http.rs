//! The door of this room: `/auth/…`. Refusals are pages for browsers and words of RFC 6749 for programs; failures of the
//! registry look as everywhere.

use std::net::IpAddr;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hallmark_oci::ErrorCode;
use http::header::{CACHE_CONTROL, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::codes::{normal, shown};
use super::cookies::Cookie;
use super::device::{self, Asked, BeginRefused, CodeRefused, Poll, Redeemed, Typist};
use super::session::{self, SignedIn};
use super::{Base, Refused, begin, callback, local, page};
use crate::access;
use crate::app::App;
use crate::auth::http::{Form, form_error};
use crate::auth::oidc;
use crate::auth::oidc::people::{PATIENCE, SignInRefused};
use crate::auth::{self, Authenticated, Identity};
use crate::events::Happening;
use crate::http::body::Incoming;
use crate::http::error::{Cause, Error};
use crate::people;

/// The longest form that is read, in bytes.
const FORM_BYTES: usize = 16 * 1024;
/// The grant of RFC 8628.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest name of a client or of a token that a device asks for, in bytes.
const NAME_BYTES: usize = 100;
/// How long a token lives when the device does not say, in seconds.
const TOKEN_SECONDS: i64 = 30 * 24 * 60 * 60;
/// What a token may do when the device does not say.
const SCOPES: &str = "read write";
const NOT_OF_SESSION: &str = "this form is not of your session; open the page again";

/// Where a request is from, and what it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    /// Its address.
    pub(crate) client: IpAddr,
    /// Its id.
    pub(crate) request_id: &'a str,
}

/// One request at this door.
struct Visit<'a> {
    app: &'a App,
    base: &'a Base,
    parts: &'a Parts,
    from: Sender<'a>,
    now: i64,
}

/// Answers a request below `/auth`. `by` is told who is signed in, once that is known.
///
/// # Errors
/// Failures of the registry, paths that are none, and changes while it is read-only.
pub(crate) async fn answer(
    app: &App,
    parts: &Parts,
    body: &mut Incoming,
    from: Sender<'_>,
    by: impl FnOnce(&Identity),
) -> Result<Response, Error> {
    let Some(base) = Base::of(&app.config) else {
        return Err(Error::plain(ErrorCode::NotFound));
    };
    let visit = Visit { app, base: &base, parts, from, now: app.clock.now() };
    let path: Vec<&str> = parts.uri.path().split('/').skip(2).collect();
    let (get, post) = (parts.method == Method::GET, parts.method == Method::POST);
    if app.is_readonly() && path[..] != ["device"] {
        return Err(access::http::read_only());
    }
    match path[..] {
        ["device"] if get => device_page(&visit, by).await,
        ["device"] if post && app.is_readonly() => Err(access::http::read_only()),
        ["device"] if post => begin_device(&visit, body).await,
        ["device", "decide"] if post => decide(&visit, body, by).await,
        ["device", "token"] if post => poll(&visit, body).await,
        ["sign-in"] if post => sign_in(&visit, body, by).await,
        ["sign-out"] if post => sign_out(&visit, body, by).await,
        [provider, "begin"] if get => begin_sign_in(&visit, provider).await,
        [provider, "callback"] if get => finish_sign_in(&visit, provider).await,
        ["device" | "sign-in" | "sign-out"] | ["device", "decide" | "token"] | [_, "begin" | "callback"] => {
            Err(Error::plain(ErrorCode::Unsupported))
        }
        _ => Err(Error::plain(ErrorCode::NotFound)),
    }
}

async fn begin_sign_in(visit: &Visit<'_>, provider: &str) -> Result<Response, Error> {
    let Visit { app, base, from, now, .. } = *visit;
    let query = Form::parse(visit.parts.uri.query().unwrap_or_default().as_bytes());
    match begin::begin(app, base, (provider, query.one("for")), from.client, now).await {
        Ok(begun) => {
            let cookie = Cookie::SignIn.give(&begun.cookie, PATIENCE / 1000, base);
            Ok(redirect(&begun.to, &[cookie]))
        }
        Err(refused) => refusal(refused, base),
    }
}

async fn finish_sign_in(visit: &Visit<'_>, provider: &str) -> Result<Response, Error> {
    let Visit { app, base, parts, from, now } = *visit;
    let query = parts.uri.query().unwrap_or_default();
    match callback::callback(app, base, (provider, query), (&parts.headers, from.client), now).await {
        Ok(arrived) => {
            let session = Cookie::Session.give(&arrived.cookie, session::LIFETIME, base);
            let to = device_page_of(base, arrived.code.as_deref());
            Ok(redirect(&to, &[session, Cookie::SignIn.take(base)]))
        }
        Err(refused) => refusal(refused, base),
    }
}

fn redirect(to: &str, cookies: &[String]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(to) = HeaderValue::from_str(to) {
        headers.insert(LOCATION, to);
    }
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            headers.append(SET_COOKIE, cookie);
        }
    }
    response
}

/// Why nobody is signed in, as a page. The cookie of the sign-in goes: it is over in any case.
fn refusal(refused: Refused, base: &Base) -> Result<Response, Error> {
    let why = refused.to_string();
    let mut response = match refused {
        Refused::Metadata(error) => return Err(Error::from_metadata(error)),
        Refused::UnknownProvider => page::refused(StatusCode::NOT_FOUND, &why),
        Refused::Busy => page::refused(StatusCode::TOO_MANY_REQUESTS, &why),
        Refused::NotBegun => page::refused(StatusCode::BAD_REQUEST, &why),
        Refused::Nameless | Refused::Nobody | Refused::NameRests(_) => page::refused(StatusCode::FORBIDDEN, &why),
        Refused::Provider(refused) => of_provider(refused),
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS || response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    if let Ok(cookie) = HeaderValue::from_str(&Cookie::SignIn.take(base)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The browser is told what kind of refusal it is; the rest is for the log.
fn of_provider(refused: SignInRefused) -> Response {
    let (status, why) = match &refused {
        SignInRefused::Fetch(_) | SignInRefused::Provider(oidc::Refused::Unavailable(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the provider does not answer; try again shortly".to_owned())
        }
        SignInRefused::Late | SignInRefused::Answer => (StatusCode::BAD_REQUEST, refused.to_string()),
        SignInRefused::Denied(word) => (StatusCode::FORBIDDEN, format!("the provider refused the sign-in: {word}")),
        SignInRefused::OtherIssuer
        | SignInRefused::Exchange { .. }
        | SignInRefused::Lacks(_)
        | SignInRefused::Nonce
        | SignInRefused::AuthorizedParty
        | SignInRefused::Groups(_)
        | SignInRefused::Provider(_) => {
            tracing::warn!("a sign-in with a provider is refused: {}", crate::telemetry::chain(&refused));
            (
                StatusCode::FORBIDDEN,
                "what the provider says is not accepted; the log of the registry tells why".to_owned(),
            )
        }
    };
    let mut response = page::refused(status, &why);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.extensions_mut().insert(Cause(std::sync::Arc::new(refused)));
    }
    response
}

async fn signed_in(visit: &Visit<'_>, by: impl FnOnce(&Identity)) -> Result<Option<SignedIn>, Error> {
    let signed_in = session::identify(visit.app, &visit.parts.headers, visit.base, visit.now).await;
    let signed_in = signed_in.map_err(Error::from_metadata)?;
    if let Some(signed_in) = &signed_in {
        let principal = signed_in.principal.clone();
        by(&Identity::Known(Authenticated::unbound(principal)));
    }
    Ok(signed_in)
}

/// The page of devices: it offers the providers, asks for a code, or shows what asks with it.
async fn device_page(visit: &Visit<'_>, by: impl FnOnce(&Identity)) -> Result<Response, Error> {
    let query = Form::parse(visit.parts.uri.query().unwrap_or_default().as_bytes());
    let typed = query.one("user_code").filter(|typed| !typed.is_empty());
    let Some(signed_in) = signed_in(visit, by).await? else {
        let code = typed.and_then(normal);
        return Ok(offer(visit, code.as_deref(), None));
    };
    let Some(typed) = typed else { return Ok(page::ask(&signed_in, None)) };
    let typist = Typist { principal: &signed_in.principal, client: visit.from.client };
    match device::look(visit.app, typed, typist, visit.now).await {
        Ok((asked, at)) => Ok(page::decide(&signed_in, &normal(typed).unwrap_or_default(), (&asked, at))),
        Err(refused) => code_refusal(refused, &signed_in),
    }
}

/// The page for who is not signed in, with what ties its form to this browser.
fn offer(visit: &Visit<'_>, code: Option<&str>, refused: Option<(StatusCode, &str)>) -> Response {
    let Visit { app, base, .. } = *visit;
    let tie = local::Tie::of(app, &visit.parts.headers, base);
    let mut response = page::sign_in(page::Offer { base, code, proof: &tie.proof, refused }, app.providers.names());
    if let Ok(cookie) = HeaderValue::from_str(&Cookie::Form.give(&tie.cookie, local::LIFETIME, base)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether a form was sent by a page of this registry, as far as the browser tells: all of today do.
fn is_from_here(visit: &Visit<'_>) -> bool {
    visit.parts.headers.get_all(ORIGIN).iter().all(|origin| origin == visit.base.origin.as_str())
}

/// `POST /auth/sign-in`: a name and a password, no token.
async fn sign_in(visit: &Visit<'_>, body: &mut Incoming, by: impl FnOnce(&Identity)) -> Result<Response, Error> {
    let Visit { app, base, parts, from, now } = *visit;
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let form = Form::parse(&body);
    let code = form.one("user_code").and_then(normal);
    if !is_from_here(visit) || !local::is_tied(&parts.headers, base, form.one("proof")) {
        let why = "this form is not of your browser, or is too old; try again";
        return Ok(offer(visit, code.as_deref(), Some((StatusCode::FORBIDDEN, why))));
    }
    let shown = (form.one("name").unwrap_or_default(), form.one("password").unwrap_or_default());
    let cookie = match local::sign_in(app, shown, (&parts.headers, base), from.client, now).await {
        Ok((cookie, known)) => {
            by(&Identity::Known(known));
            cookie
        }
        Err(refused) => return password_refusal(refused, visit, code.as_deref()),
    };
    let session = Cookie::Session.give(&cookie, session::LIFETIME, base);
    Ok(redirect(&device_page_of(base, code.as_deref()), &[session, Cookie::Form.take(base)]))
}

/// The same words for a wrong password, for nobody of this name, and for who is disabled.
fn password_refusal(refused: auth::Refused, visit: &Visit<'_>, code: Option<&str>) -> Result<Response, Error> {
    let (status, why, wait) = match refused {
        auth::Refused::Malformed
        | auth::Refused::WrongPassword
        | auth::Refused::Token(_)
        | auth::Refused::RefreshToken => (StatusCode::FORBIDDEN, "the name or the password is wrong".to_owned(), None),
        auth::Refused::NameRests(_) | auth::Refused::Unvouched => (StatusCode::FORBIDDEN, refused.to_string(), None),
        auth::Refused::TooManyAttempts { wait_seconds } => {
            (StatusCode::TOO_MANY_REQUESTS, refused.to_string(), Some(wait_seconds))
        }
        auth::Refused::Busy => (StatusCode::TOO_MANY_REQUESTS, refused.to_string(), Some(1)),
        refused @ (auth::Refused::Directory(_) | auth::Refused::Issuer(_)) => {
            let why = "the directory does not answer; try again shortly";
            let mut response = offer(visit, code, Some((StatusCode::SERVICE_UNAVAILABLE, why)));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
            response.extensions_mut().insert(Cause(std::sync::Arc::new(refused)));
            return Ok(response);
        }
        auth::Refused::Keys(error) => return Err(auth::http::keys(error)),
        auth::Refused::Metadata(error) => return Err(Error::from_metadata(error)),
    };
    let mut response = offer(visit, code, Some((status, &why)));
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    Ok(response)
}

/// `POST /auth/sign-out`: the session ends here and not only in the browser.
async fn sign_out(visit: &Visit<'_>, body: &mut Incoming, by: impl FnOnce(&Identity)) -> Result<Response, Error> {
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let form = Form::parse(&body);
    if let Some(signed_in) = signed_in(visit, by).await? {
        if !is_from_here(visit) || !signed_in.proves(form.one("proof")) {
            return Ok(page::refused(StatusCode::FORBIDDEN, NOT_OF_SESSION));
        }
        session::end(visit.app, &visit.parts.headers, visit.base).await.map_err(Error::from_metadata)?;
        let principal = signed_in.principal;
        let (kind, how, client) = ("signed_out", "session", Some(visit.from.client));
        let (actor, account, subject) = (principal.id, Some(principal.account_id), principal.name);
        let happening = Happening { kind, actor, account, repository: None, subject, how, client };
        visit.app.recorder.note(happening, visit.now);
    }
    Ok(redirect(&device_page_of(visit.base, None), &[Cookie::Session.take(visit.base)]))
}

/// Where a browser goes on, with the code that it came with.
fn device_page_of(base: &Base, code: Option<&str>) -> String {
    let query = code.map(|code| format!("?user_code={}", shown(code))).unwrap_or_default();
    base.at(&format!("/auth/device{query}"))
}

fn code_refusal(refused: CodeRefused, signed_in: &SignedIn) -> Result<Response, Error> {
    let why = refused.to_string();
    let status = match refused {
        CodeRefused::Metadata(error) => return Err(Error::from_metadata(error)),
        CodeRefused::Unknown => StatusCode::NOT_FOUND,
        CodeRefused::TooMany => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut response = page::ask(signed_in, Some((status, &why)));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("120"));
    }
    Ok(response)
}

async fn decide(visit: &Visit<'_>, body: &mut Incoming, by: impl FnOnce(&Identity)) -> Result<Response, Error> {
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let form = Form::parse(&body);
    let Some(signed_in) = signed_in(visit, by).await? else {
        return Ok(page::refused(StatusCode::FORBIDDEN, "you are not signed in any more; sign in again"));
    };
    if !is_from_here(visit) || !signed_in.proves(form.one("proof")) {
        return Ok(page::refused(StatusCode::FORBIDDEN, NOT_OF_SESSION));
    }
    let approves = match form.one("decision") {
        Some("approve") => true,
        Some("deny") => false,
        _ => return Ok(page::refused(StatusCode::BAD_REQUEST, "approve or deny")),
    };
    let typist = Typist { principal: &signed_in.principal, client: visit.from.client };
    let typed = form.one("user_code").unwrap_or_default();
    match device::decide(visit.app, typed, approves, (typist, visit.from.request_id), visit.now).await {
        Ok(asked) => Ok(page::decided(&asked, approves)),
        Err(refused) => code_refusal(refused, &signed_in),
    }
}

/// `POST /auth/device` (RFC 8628 section 3.1), with the name and the life of the token that is wanted.
async fn begin_device(visit: &Visit<'_>, body: &mut Incoming) -> Result<Response, Error> {
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let asked = match wanted(&Form::parse(&body), visit.from.client, visit.now) {
        Ok(asked) => asked,
        Err(why) => return Ok(word(StatusCode::BAD_REQUEST, "invalid_request", why)),
    };
    match device::begin(visit.app, &asked, visit.now).await {
        Ok(begun) => Ok(told(&json!({
            "device_code": begun.device_code,
            "user_code": shown(&begun.user_code),
            "verification_uri": visit.base.at("/auth/device"),
            "expires_in": device::LIFETIME,
            "interval": device::INTERVAL,
        }))),
        Err(BeginRefused::Token(people::Refused::Metadata(error)) | BeginRefused::Metadata(error)) => {
            Err(Error::from_metadata(error))
        }
        Err(BeginRefused::Token(refused @ people::Refused::Invalid { field: "scopes", .. })) => {
            Ok(word(StatusCode::BAD_REQUEST, "invalid_scope", &refused.to_string()))
        }
        Err(BeginRefused::Token(refused)) => Ok(word(StatusCode::BAD_REQUEST, "invalid_request", &refused.to_string())),
        Err(refused @ BeginRefused::Busy) => {
            let mut busy = word(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", &refused.to_string());
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
            Ok(busy)
        }
    }
}

/// What a device asks for. Names are plain letters: they are shown to the person who decides.
fn wanted(form: &Form<'_>, address: IpAddr, now: i64) -> Result<Asked, &'static str> {
    let is_name =
        |name: &&str| (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let client =
        form.one("client_id").filter(is_name).ok_or("client_id names the program, in 1 to 100 ASCII letters")?;
    let name = form.one("token_name").unwrap_or(client);
    let name = Some(name).filter(is_name).ok_or("token_name has 1 to 100 ASCII letters")?;
    let seconds = match form.one("expires_in").map(str::parse::<u32>) {
        None => TOKEN_SECONDS,
        Some(Ok(seconds)) => i64::from(seconds),
        Some(Err(_)) => return Err("expires_in is a number of seconds"),
    };
    let scopes = form.one("scope").filter(|scopes| !scopes.trim().is_empty()).unwrap_or(SCOPES);
    let scopes = scopes.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let ends = now + seconds * 1000;
    Ok(Asked { client: client.to_owned(), address, name: name.to_owned(), scopes, ends })
}

/// `POST /auth/device/token` (RFC 8628 section 3.4).
async fn poll(visit: &Visit<'_>, body: &mut Incoming) -> Result<Response, Error> {
    let body = body.collect(FORM_BYTES).await.map_err(form_error)?;
    let form = Form::parse(&body);
    if form.one("grant_type") != Some(DEVICE_GRANT) {
        return Ok(word(StatusCode::BAD_REQUEST, "unsupported_grant_type", DEVICE_GRANT));
    }
    let (Some(code), Some(client)) = (form.one("device_code"), form.one("client_id")) else {
        return Ok(word(StatusCode::BAD_REQUEST, "invalid_request", "device_code and client_id are needed"));
    };
    let (error, why) = match device::poll(visit.app, (code, client), visit.from.request_id, visit.now).await {
        Ok(Poll::Token(redeemed)) => {
            let Redeemed { made, asked, principal } = *redeemed;
            return Ok(told(&json!({
                "access_token": made.secret,
                "token_type": "Bearer",
                "expires_in": (asked.ends - visit.now) / 1000,
                "scope": asked.scopes,
                "username": principal.name,
                "token_id": made.id,
            })));
        }
        Ok(Poll::Pending) => ("authorization_pending", "nobody has decided yet"),
        Ok(Poll::SlowDown) => ("slow_down", "wait five seconds longer between two questions"),
        Ok(Poll::Denied) => ("access_denied", "the person did not let this program in"),
        Ok(Poll::Gone) => ("expired_token", "the code has ended, was used, or never was; begin again"),
        Err(people::Refused::Metadata(error)) => return Err(Error::from_metadata(error)),
        Err(refused) => return Ok(word(StatusCode::BAD_REQUEST, "access_denied", &refused.to_string())),
    };
    Ok(word(StatusCode::BAD_REQUEST, error, why))
}

/// A refusal in the words of RFC 6749 section 5.2.
fn word(status: StatusCode, error: &str, why: &str) -> Response {
    let mut response = told(&json!({"error": error, "error_description": why}));
    *response.status_mut() = status;
    response
}

fn told(body: &serde_json::Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
