//! A browser is sent to a provider.

use std::net::IpAddr;

use hallmark_storage::metadata::{self, NewSignIn, OpenLimits};

use super::codes::{hash, normal, secret};
use super::sealed::{Kept, seal};
use super::{Base, Refused};
use crate::app::App;
use crate::auth::line::network;
use crate::auth::oidc::people::PATIENCE;

/// How many sign-ins are under way at once.
const OPEN: OpenLimits = OpenLimits { all: 10_000, of_place: 100 };

/// Where to send the browser, and what to give it.
#[derive(Debug)]
pub(super) struct Begun {
    /// The provider's page.
    pub(super) to: String,
    /// The cookie that is made for this sign-in.
    pub(super) cookie: String,
}

/// Begins a sign-in with the provider of this name, of somebody who was brought here by the code of a device, or not.
///
/// # Errors
/// [`Refused`].
pub(super) async fn begin(
    app: &App,
    base: &Base,
    (provider, code): (&str, Option<&str>),
    client: IpAddr,
    now: i64,
) -> Result<Begun, Refused> {
    let known = app.providers.named(provider).ok_or(Refused::UnknownProvider)?;
    if !app.providers.openings.sign_in(client, now) {
        return Err(Refused::Busy);
    }
    let (url, pending) = known.sign_in.begin(&base.callback(provider), &app.random.bytes(), now).await?;
    let cookie = secret(&app.random);
    let kept = Kept { provider: provider.to_owned(), pending, code: code.and_then(normal) };
    let sealed = seal(&kept, &cookie).ok_or(Refused::NotBegun)?;
    let input = (hash(&cookie), network(client).to_string(), sealed, now);
    let begun: Result<bool, metadata::Error> = app
        .metadata
        .write(input, |tx, (browser, place, sealed, now)| {
            Box::pin(async move {
                let new = NewSignIn { browser, place, sealed, expires_at: *now + PATIENCE };
                tx.begin_sign_in(&new, OPEN, *now).await
            })
        })
        .await;
    if begun? { Ok(Begun { to: url.into(), cookie }) } else { Err(Refused::Busy) }
}
