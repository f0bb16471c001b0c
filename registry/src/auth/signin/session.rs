//! Who is signed in with a browser, for the page of devices and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_storage::metadata::{self, Principal, Session};
use http::HeaderMap;

use super::Base;
use super::codes::{derived, hash, same, secret};
use super::cookies::Cookie;
use crate::app::App;
use crate::auth::token::live;

/// How long a browser stays signed in, in seconds.
pub(super) const LIFETIME: i64 = 15 * 60;

/// Somebody who is signed in with a browser.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub(super) principal: Principal,
    /// What a form of this session must bring back.
    pub(super) proof: String,
}

impl SignedIn {
    /// Whether a form that was sent is one of this session's.
    pub(super) fn proves(&self, sent: Option<&str>) -> bool {
        sent.is_some_and(|sent| same(sent, &self.proof))
    }
}

/// Signs `principal` in: a new id, and the one before ends. The value of the cookie.
///
/// # Errors
/// The database's.
pub(super) async fn open(
    app: &App,
    principal: &Principal,
    before: Option<&str>,
    now: i64,
) -> Result<String, metadata::Error> {
    let cookie = secret(&app.random);
    let of = Session { principal: principal.id, epoch: principal.credential_epoch };
    let input = (hash(&cookie), of, before.map(hash), now + LIFETIME * 1000);
    app.metadata
        .write(input, |tx, (session, of, before, until)| {
            Box::pin(async move {
                if let Some(before) = before {
                    tx.end_session(before).await?;
                }
                tx.open_session(session, *of, *until).await
            })
        })
        .await?;
    Ok(cookie)
}

/// Ends the session of this browser, if it has one.
///
/// # Errors
/// The database's.
pub(super) async fn end(app: &App, headers: &HeaderMap, base: &Base) -> Result<(), metadata::Error> {
    let Some(cookie) = Cookie::Session.read(headers, base) else { return Ok(()) };
    app.metadata
        .write(hash(cookie), |tx, session| Box::pin(async move { tx.end_session(session).await.map(drop) }))
        .await
}

/// Who is signed in with this browser by now: whoever was disabled or whose credentials changed is not.
///
/// # Errors
/// The database's.
pub(super) async fn identify(
    app: &App,
    headers: &HeaderMap,
    base: &Base,
    now: i64,
) -> Result<Option<SignedIn>, metadata::Error> {
    let Some(cookie) = Cookie::Session.read(headers, base) else { return Ok(None) };
    let Some(session) = app.metadata.session(&hash(cookie), now).await? else { return Ok(None) };
    let principal = live(app.metadata.principal(session.principal).await?, session.epoch);
    let proof = URL_SAFE_NO_PAD.encode(derived("proof of a form", cookie));
    Ok(principal.map(|principal| SignedIn { principal, proof }))
}
