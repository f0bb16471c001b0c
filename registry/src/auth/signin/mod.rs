//! Lives here: signing people in with a provider or with their password in their browser, and programs without a browser by a code that a
//! signed-in person types (RFC 8628).
//! Never here: what a provider says (that is `oidc`), who somebody is here (`sources`), and the rules of tokens
//! (`people::tokens`). A session of a browser opens the page for devices and nothing else.
//! Start reading at `http.rs`, then `local.rs`, `begin.rs`, `callback.rs`, `device.rs`.

mod begin;
mod callback;
mod codes;
mod cookies;
mod device;
mod guesses;
pub(crate) mod http;
mod local;
mod openings;
mod page;
mod sealed;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hallmark_storage::metadata::{self, Principal, Vouching};

use self::guesses::Guesses;
use self::openings::Openings;
use super::oidc;
use super::oidc::people::{OpenRefused, SignIn, SignInRefused};
use super::sources;
use crate::app::App;
use crate::config::{Config, ProviderSection, is_safe};

/// How many expired rows are forgotten at once.
const FORGOTTEN: u32 = 1_000;
/// How many people are looked at at once whose provider has not vouched for them lately.
const LAPSED: u32 = 500;

/// How long the word of a provider holds that the settings have no more, in milliseconds: as long as by default.
const FORMER: i64 = 90 * 24 * 60 * 60 * 1_000;
/// How many sources are read from the database at once.
const SOURCES: u32 = 100;

/// The providers that people sign in with.
#[derive(Debug, Default)]
pub struct Providers {
    known: Vec<Known>,
    guesses: Guesses,
    openings: Openings,
}

#[derive(Debug)]
struct Known {
    section: ProviderSection,
    sign_in: SignIn,
}

impl Providers {
    /// Prepares the providers of the settings; none is asked.
    ///
    /// # Errors
    /// [`OpenRefused`] for settings that make no sense and certificates that cannot be used.
    pub fn open(sections: &[ProviderSection], network: &oidc::Network) -> Result<Self, OpenRefused> {
        let mut known = Vec::with_capacity(sections.len());
        for section in sections {
            let sign_in = SignIn::open(section.issuer.clone(), section.client.clone(), network)?;
            known.push(Known { section: section.clone(), sign_in });
        }
        Ok(Self { known, guesses: Guesses::default(), openings: Openings::default() })
    }

    fn named(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.section.name == name)
    }

    /// Whether the word of the provider that somebody comes from, if they come from one, still holds. Who comes from elsewhere is
    /// vouched for by what they show.
    pub(crate) fn vouch_for(&self, principal: &Principal, now: i64) -> bool {
        let Some(Vouching { source, at: Some(at) }) = &principal.vouched else { return true };
        self.holds(source).is_none_or(|holds| now.saturating_sub(*at) < holds)
    }

    /// How long the word of a source holds, in milliseconds; `None` for no end, as of directories, which are asked. The word of an
    /// issuer that no section of the settings has any more ends like any other.
    fn holds(&self, source: &str) -> Option<i64> {
        match self.known.iter().find(|known| known.section.issuer.issuer == source) {
            Some(known) => known.section.vouched_for.map(milliseconds),
            // The names of directories are no URLs.
            None => source.contains("://").then_some(FORMER),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| known.section.name.as_str())
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Where browsers reach this room.
#[derive(Debug, Clone)]
struct Base {
    /// `https://registry.example`, without a slash at its end.
    url: String,
    /// What a browser calls its pages in the header `Origin`.
    origin: String,
    /// Whether cookies can be kept from plain HTTP.
    secure: bool,
}

impl Base {
    /// From the settings alone: what a request says of its host must not lead a browser, or a provider's answer, elsewhere.
    /// There is none over plain HTTP, where others could read the password that is typed into the page.
    fn of(config: &Config) -> Option<Self> {
        let url = config.public_url.as_ref().filter(|url| is_safe(url))?;
        let origin = url.origin().ascii_serialization();
        Some(Self { url: url.as_str().trim_end_matches('/').to_owned(), origin, secure: url.scheme() == "https" })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn callback(&self, provider: &str) -> String {
        self.at(&format!("/auth/{provider}/callback"))
    }
}

/// Why nobody is signed in, or a device is not.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// There is no such provider.
    #[error("there is no provider of this name here")]
    UnknownProvider,
    /// As many sign-ins are under way as may be.
    #[error("too many sign-ins are under way; try again in a few minutes")]
    Busy,
    /// This browser began no sign-in with this provider, or too long ago, or it is finished already.
    #[error("this sign-in was not begun in this browser, or it is over; begin again")]
    NotBegun,
    /// The provider or what it says is refused.
    #[error(transparent)]
    Provider(#[from] SignInRefused),
    /// The provider names nobody.
    #[error("the provider tells no name that could be a user's here (`preferred_username`)")]
    Nameless,
    /// They are no user here and are not made one, or they are disabled.
    #[error("nobody is let in here by this sign-in; ask who runs this registry")]
    Nobody,
    /// The name that they would have here rests.
    #[error("{0}")]
    NameRests(String),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Takes what came from a provider's groups from whom it has not vouched for since long: teams, and organizations that they were
/// brought into. It comes back with their next sign-in.
///
/// # Errors
/// The database's; what is left goes the next time.
pub async fn lapse(app: &App) -> Result<u64, metadata::Error> {
    let (now, mut lapsed, mut after) = (app.clock.now(), 0, String::new());
    loop {
        let sources = app.metadata.sources(&after, SOURCES).await?;
        let Some(last) = sources.last() else { return Ok(lapsed) };
        after.clone_from(last);
        for source in &sources {
            if let Some(holds) = app.providers.holds(source) {
                lapsed += lapse_people_of(app, source, now.saturating_sub(holds), now).await?;
            }
        }
    }
}

async fn lapse_people_of(app: &App, source: &str, before: i64, now: i64) -> Result<u64, metadata::Error> {
    let (mut lapsed, mut after) = (0, None::<String>);
    loop {
        let page = app.metadata.unvouched(source, before, after.as_deref(), LAPSED).await?;
        let Some((_, last)) = page.last() else { return Ok(lapsed) };
        after = Some(last.clone());
        for (_, subject) in page {
            lapsed += u64::from(sources::lapse(app, (source, &subject), before, now).await?);
        }
    }
}

/// Forgets sign-ins, sessions, devices and shown tokens that have ended.
///
/// # Errors
/// The database's; what is left goes the next time.
pub(crate) async fn forget(app: &App) -> Result<u64, metadata::Error> {
    let now = app.clock.now();
    let mut forgotten = 0;
    loop {
        let some: Result<u64, metadata::Error> = app
            .metadata
            .write(now, |tx, now| {
                Box::pin(async move {
                    let shown = tx.forget_shown_tokens(*now, FORGOTTEN).await?;
                    Ok(shown + tx.forget_sign_ins(*now, FORGOTTEN).await?)
                })
            })
            .await;
        match some? {
            0 => return Ok(forgotten),
            some => forgotten += some,
        }
    }
}
