//! A person signs in on the page with their own name and password, those of this registry or of a directory.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use super::codes::{derived, same, secret};
use super::cookies::Cookie;
use super::{Base, session};
use crate::app::App;
use crate::auth::{self, Authenticated, Client, Refused};

/// How long a form that was shown can be sent, in seconds.
pub(super) const LIFETIME: i64 = 60 * 60;

/// What ties a form for a name and a password to the browser that it was shown in: without it another site could sign its
/// visitors in as somebody whom it knows.
#[derive(Debug)]
pub(super) struct Tie {
    /// What the browser keeps.
    pub(super) cookie: String,
    /// What the form brings back.
    pub(super) proof: String,
}

impl Tie {
    /// The one that this browser has already, so that two of its windows do not undo each other; else a new one.
    pub(super) fn of(app: &App, headers: &HeaderMap, base: &Base) -> Self {
        let cookie = Cookie::Form.read(headers, base).map_or_else(|| secret(&app.random), str::to_owned);
        let proof = proof(&cookie);
        Self { cookie, proof }
    }
}

fn proof(cookie: &str) -> String {
    URL_SAFE_NO_PAD.encode(derived("proof of a form for a password", cookie))
}

/// Whether a form that brings `sent` was shown in this browser.
pub(super) fn is_tied(headers: &HeaderMap, base: &Base, sent: Option<&str>) -> bool {
    let cookie = Cookie::Form.read(headers, base);
    cookie.zip(sent).is_some_and(|(cookie, sent)| same(sent, &proof(cookie)))
}

/// Signs in who has this name and password: the cookie of their new session, and who they are.
///
/// # Errors
/// [`Refused`] as for a password that is shown anywhere else. Tokens and the secrets of robots are wrong passwords here.
pub(super) async fn sign_in(
    app: &App,
    (name, password): (&str, &str),
    (headers, base): (&HeaderMap, &Base),
    client: IpAddr,
    now: i64,
) -> Result<(String, Authenticated), Refused> {
    let known = Box::pin(auth::by_password(app, name, password, Client::At(client))).await?;
    let cookie = session::open(app, &known.principal, Cookie::Session.read(headers, base), now).await?;
    Ok((cookie, known))
}
