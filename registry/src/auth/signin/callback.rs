//! A browser comes back from a provider.

use std::net::IpAddr;

use hallmark_storage::metadata;
use http::HeaderMap;

use super::codes::hash;
use super::cookies::Cookie;
use super::sealed::open;
use super::{Base, Known, Refused, session};
use crate::app::App;
use crate::auth::oidc::people::{Person, SignInRefused};
use crate::auth::people::teams_of_groups;
use crate::auth::sources::{Vouched, admit};
use crate::auth::{self, Authenticated, Client};

/// Who came back.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The cookie of their new session.
    pub(super) cookie: String,
    /// The code of the device that brought them here.
    pub(super) code: Option<String>,
}

/// Signs in whoever came back from the provider of this name with `query`.
///
/// What was kept for this browser is taken out first and is gone however this ends, so no answer is looked at twice.
///
/// # Errors
/// [`Refused`].
pub(super) async fn callback(
    app: &App,
    base: &Base,
    (provider, query): (&str, &str),
    (headers, client): (&HeaderMap, IpAddr),
    now: i64,
) -> Result<Arrived, Refused> {
    let known = app.providers.named(provider).ok_or(Refused::UnknownProvider)?;
    let cookie = Cookie::SignIn.read(headers, base).ok_or(Refused::NotBegun)?;
    let taken: Result<Option<String>, metadata::Error> =
        app.metadata.write((hash(cookie), now), |tx, (browser, now)| Box::pin(tx.take_sign_in(browser, *now))).await;
    let kept = taken?.and_then(|sealed| open(&sealed, cookie)).ok_or(Refused::NotBegun)?;
    // The provider's own address is compared too, when the answer is read; here one is told from another of the same issuer.
    if kept.provider != provider {
        return Err(Refused::NotBegun);
    }
    let person = known.sign_in.finish(kept.pending, query, now).await;
    if person.as_ref().is_err_and(SignInRefused::is_of_the_answer) {
        auth::failed(app, ("", "provider"), Client::At(client), now);
    }
    let person = person?;
    let vouched = vouched(known, person).ok_or(Refused::Nameless)?;
    let name = vouched.name.clone();
    let known = admit(app, vouched, now).await.map(Authenticated::unbound);
    auth::remember(app, (&name, "provider"), &known, Client::At(client), now);
    let principal = match known {
        Ok(known) => known.principal,
        Err(auth::Refused::Metadata(error)) => return Err(error.into()),
        Err(refused @ auth::Refused::NameRests(_)) => return Err(Refused::NameRests(refused.to_string())),
        Err(_) => return Err(Refused::Nobody),
    };
    let cookie = session::open(app, &principal, Cookie::Session.read(headers, base), now).await?;
    app.providers.openings.signed_in(client, now);
    Ok(Arrived { cookie, code: kept.code })
}

/// An account belongs to (issuer, subject), so the issuer is the source: a provider that is pointed to another issuer under
/// its old name brings nobody of the old one back.
fn vouched(known: &Known, person: Person) -> Option<Vouched> {
    let name = user_name(person.preferred_username.as_deref()?)?;
    let of = |groups: Vec<String>| teams_of_groups(&known.section.teams, &groups.into_iter().collect());
    let teams = person.groups.map(of);
    let create = known.section.create_users;
    let (source, subject) = (person.issuer, person.subject);
    Some(Vouched { source, subject, name, teams, create, signs_in: true, password_at: None })
}

/// The name that somebody would have here, should they be made a user: in small letters, and of one that looks like an address
/// what stands before its `@`. It finds no account: one who is known is known by their subject.
fn user_name(preferred: &str) -> Option<String> {
    let name = preferred.split('@').next().unwrap_or_default().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}
