//! Lives here: who is asking. Passwords, tokens, refresh tokens and their keys end in an [`Identity`].
//! Never here: what an identity may do (that is `access`), images, and SQL.
//! Start reading at [`identify`].

mod attempts;
mod breached;
pub mod certificate;
pub mod directory;
mod error;
pub(crate) mod http;
mod identity;
pub(crate) mod keys;
pub mod limits;
mod line;
#[cfg(test)]
mod mutated;
pub mod oidc;
pub(crate) mod password;
pub mod people;
pub mod personal;
pub(crate) mod refresh;
pub(crate) mod secrets;
pub mod signin;
pub(crate) mod sources;
pub(crate) mod subject;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod users;
pub mod workload;
pub mod workloads;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use error::Refused;
pub use identity::{About, Authenticated, Ceiling, Identity, Sight};
pub use line::Client;
pub(crate) use line::{Line, Waiting, network, region};

use hallmark_storage::metadata::{PrincipalId, PrincipalKind};

use crate::app::App;
use crate::events::Happening;

/// The longest `Authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES: usize = 16 * 1024;

/// Tells who sent `authorization`, the value of the header of that name, from the address of `client`, for something `about` a
/// repository, if it is about one.
///
/// A bearer token names a principal and is a ceiling for its rights; a password has no ceiling. Whether the principal
/// still exists, is enabled and has not revoked its credentials is looked up on every call.
///
/// # Errors
/// [`Refused`] when the credentials are malformed, wrong, expired or revoked, when too many passwords wait to be checked,
/// or when the database does not answer.
pub async fn identify(
    app: &App,
    authorization: Option<&str>,
    about: Option<About<'_>>,
    (client, now): (Client, i64),
) -> Result<Identity, Refused> {
    let Some(authorization) = authorization else { return Ok(Identity::Anonymous) };
    if authorization.len() > AUTHORIZATION_BYTES {
        return Err(Refused::Malformed);
    }
    let (scheme, value) = authorization.split_once(' ').ok_or(Refused::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        let value = value.trim();
        if secrets::looks_like_one(value) {
            let known = personal::identify(app, None, value, now).await;
            remember_unnamed(app, "token", &known, client, now);
            return known.map(Identity::Known);
        }
        let known = token::identify(app, value, about, now).await;
        if known.as_ref().is_err_and(token::is_void) {
            // Of what is not believed not even the name is.
            failed(app, ("", "bearer"), client, now);
        }
        known
    } else if scheme.eq_ignore_ascii_case("basic") {
        let (name, password) = basic(value)?;
        Box::pin(by_secret(app, &name, &password, client)).await.map(Identity::Known)
    } else {
        Err(Refused::Malformed)
    }
}

/// Tells who `identity` is by now, which was made from `authorization` at the time `then`. As long as their facts are the
/// same this costs one look at them, and no password is hashed; otherwise what was shown is checked again, as at that time.
///
/// # Errors
/// [`Refused`] as by [`identify`]; also when the credentials are somebody else's by now.
pub async fn confirm(
    app: &App,
    identity: &Identity,
    authorization: Option<&str>,
    client: Client,
    then: i64,
) -> Result<Identity, Refused> {
    let Identity::Known(known) = identity else { return Ok(identity.clone()) };
    let before = &known.principal;
    if let Some(principal) = token::live(app.metadata.principal(before.id).await?, before.credential_epoch) {
        let credential = known.credential;
        // A certificate is its authority's word, which no provider has to repeat.
        let is_vouched = known.certificate.is_some() || app.providers.vouch_for(&principal, app.clock.now());
        let revoked = match credential {
            Some(id) => personal::inherit(app, id, &principal, app.clock.now()).await.is_err(),
            None => false,
        };
        if is_vouched && !revoked {
            return Ok(Identity::Known(Authenticated {
                principal,
                ceiling: known.ceiling.clone(),
                credential,
                certificate: known.certificate,
                sight: None,
            }));
        }
    }
    let identity = identify(app, authorization, None, (client, then)).await?;
    if identity.principal().is_some_and(|principal| principal.id == before.id) {
        return Ok(identity);
    }
    Err(match known.ceiling.scopes {
        None => Refused::WrongPassword,
        Some(_) => Refused::Token(token::CHANGED.into()),
    })
}

/// Tells who shows a client certificate with these names; nobody in particular, when no rule says or the
/// certificate has ended.
///
/// # Errors
/// [`Refused::Metadata`].
pub async fn by_certificate(app: &App, names: &certificate::Names, client: Client) -> Result<Identity, Refused> {
    let now = app.clock.now();
    let Some(known) = certificate::identify(app, names, now).await? else { return Ok(Identity::Anonymous) };
    let known = Ok(known);
    remember(app, (names.first(), "certificate"), &known, client, now);
    known.map(Identity::Known)
}

/// Tells who shows this name with this secret: a password, a personal access token, a robot's secret, or the token of a
/// workload. That they came, or could not, is remembered.
pub(crate) async fn by_secret(app: &App, name: &str, secret: &str, client: Client) -> Result<Authenticated, Refused> {
    let now = app.clock.now();
    let (how, known) = if secrets::looks_like_one(secret) {
        ("token", personal::identify(app, Some(name), secret, now).await)
    } else if workloads::looks_like_token(name, secret) {
        ("workload", workloads::identify(app, name, secret, client, now).await)
    } else {
        let known = password::identify(app, name, secret, client).await;
        (by_directory(&known).unwrap_or("password"), known)
    };
    remember(app, (name, how), &known, client, now);
    known
}

/// Tells who shows this name with this password on the page for it, where nothing but a password is taken. A text that is a token is no
/// password, and is shown to no directory.
pub(crate) async fn by_password(
    app: &App,
    name: &str,
    password: &str,
    client: Client,
) -> Result<Authenticated, Refused> {
    let known = match secrets::looks_like_one(password) || workloads::looks_like_token(name, password) {
        true => Err(Refused::WrongPassword),
        false => password::identify(app, name, password, client).await,
    };
    remember(app, (name, by_directory(&known).unwrap_or("form")), &known, client, app.clock.now());
    known
}

/// How the log calls it where a directory checked the password; of one that was refused nobody says who looked at it.
fn by_directory(known: &Result<Authenticated, Refused>) -> Option<&'static str> {
    known.as_ref().is_ok_and(|known| known.principal.vouched.is_some()).then_some("directory")
}

/// Tells which robot shows this name with the token of another issuer to exchange it, where nothing but such a token is taken.
pub(crate) async fn by_workload(app: &App, name: &str, token: &str, client: Client) -> Result<Authenticated, Refused> {
    let now = app.clock.now();
    let known = match workloads::looks_like_token(name, token) {
        true => workloads::identify(app, name, token, client, now).await,
        false => Err(Refused::WrongPassword),
    };
    remember(app, (name, "exchange"), &known, client, now);
    known
}

/// Remembers who came with something that no name is shown with. What is refused is nobody's: whatever was shown is no name.
fn remember_unnamed(app: &App, how: &'static str, known: &Result<Authenticated, Refused>, client: Client, now: i64) {
    let name = known.as_ref().map_or("", |known| &known.principal.name);
    remember(app, (name, how), known, client, now);
}

fn remember(
    app: &App,
    (name, how): (&str, &'static str),
    known: &Result<Authenticated, Refused>,
    client: Client,
    now: i64,
) {
    let (kind, actor, account) = match known {
        Ok(known) => {
            if known.principal.kind == PrincipalKind::User && known.ceiling.is_whole() {
                app.passwords.at_home(&known.principal.name, client, now);
            }
            ("signed_in", known.principal.id, Some(known.principal.account_id))
        }
        Err(
            Refused::WrongPassword
            | Refused::RefreshToken
            | Refused::NameRests(_)
            | Refused::Unvouched
            | Refused::TooManyAttempts { .. },
        ) => return failed(app, (name, how), client, now),
        Err(_) => return,
    };
    let (subject, client) = (name.to_owned(), client.address());
    app.recorder.note(Happening { kind, actor, account, repository: None, subject, how, client }, now);
}

/// Remembers that somebody could not sign in as whoever has this name.
fn failed(app: &App, (name, how): (&str, &'static str), client: Client, now: i64) {
    let (kind, actor, subject) = ("sign_in_failed", PrincipalId::SYSTEM, name.to_owned());
    let client = client.address();
    app.recorder.note(Happening { kind, actor, account: None, repository: None, subject, how, client }, now);
}

/// Takes `name:password` out of the value of a Basic `Authorization` header (RFC 7617).
pub(crate) fn basic(value: &str) -> Result<(String, String), Refused> {
    let decoded = STANDARD.decode(value.trim()).map_err(|_| Refused::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| Refused::Malformed)?;
    let (name, password) = text.split_once(':').ok_or(Refused::Malformed)?;
    Ok((name.to_owned(), password.to_owned()))
}
