//! Programs without a browser (RFC 8628): what was asked, what a person decided, and the token that comes of it.

use std::net::IpAddr;

use hallmark_storage::metadata::{
    self, DeviceDecision, DeviceOpening, DeviceRequest, Event, NewDeviceRequest, OpenLimits, Principal, Tx,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::codes::{hash, normal, secret, user_code};
use crate::app::App;
use crate::auth::line::network;
use crate::auth::token::live;
use crate::auth::{Authenticated, Client};
use crate::clock::rfc3339;
use crate::people::tokens::{self, MadeToken, NewToken};
use crate::people::{self, Caller};

/// How long a code holds, in seconds.
pub(super) const LIFETIME: i64 = 10 * 60;
/// How many seconds a device waits between two questions, and how many more each time that it does not.
pub(super) const INTERVAL: i64 = 5;
/// How many requests are open at once.
const OPEN: OpenLimits = OpenLimits { all: 10_000, of_place: 20 };
/// How often another code is made when one is taken: of 2³⁴ some ten thousand are.
const ATTEMPTS: usize = 4;

/// What a device asks for, as it is shown to the person who decides. Whoever sends them a code may not be who they think.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// What the client calls itself.
    pub(super) client: String,
    /// From where it asks.
    pub(super) address: IpAddr,
    /// The name of the token.
    pub(super) name: String,
    /// What it is limited to.
    pub(super) scopes: String,
    /// When it ends, in milliseconds since 1970.
    pub(super) ends: i64,
}

impl Asked {
    fn token(&self) -> NewToken {
        NewToken { name: self.name.clone(), scopes: self.scopes.clone(), expires_at: rfc3339(self.ends) }
    }
}

/// What a device is told.
#[derive(Debug)]
pub(super) struct Begun {
    /// What it comes back with.
    pub(super) device_code: String,
    /// What the person types, without its dash.
    pub(super) user_code: String,
}

/// Why no request is opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginRefused {
    /// No such token can be made.
    #[error(transparent)]
    Token(#[from] people::Refused),
    /// As many are open as may be.
    #[error("too many devices are being signed in; try again later")]
    Busy,
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Opens a request. The token that is asked for is one that could be made.
///
/// # Errors
/// [`BeginRefused`].
pub(super) async fn begin(app: &App, asked: &Asked, now: i64) -> Result<Begun, BeginRefused> {
    tokens::check(&asked.token(), now)?;
    if !app.providers.openings.device(asked.address, now) {
        return Err(BeginRefused::Busy);
    }
    let text = serde_json::to_string(asked).unwrap_or_default();
    let place = network(asked.address).to_string();
    for _ in 0..ATTEMPTS {
        let begun = Begun { device_code: secret(&app.random), user_code: user_code(&app.random) };
        let input = ((hash(&begun.device_code), hash(&begun.user_code)), (place.clone(), text.clone()), now);
        let opened: Result<DeviceOpening, metadata::Error> = app
            .metadata
            .write(input, |tx, ((device, code), (place, asked), now)| {
                Box::pin(async move {
                    let expires_at = *now + LIFETIME * 1000;
                    let new = NewDeviceRequest { device, code, place, asked, expires_at, wait_seconds: INTERVAL };
                    tx.open_device_request(&new, OPEN, *now).await
                })
            })
            .await;
        match opened? {
            DeviceOpening::Opened => return Ok(begun),
            DeviceOpening::Full => return Err(BeginRefused::Busy),
            DeviceOpening::CodeTaken => {}
        }
    }
    Err(BeginRefused::Busy)
}

/// Who types a code, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typist<'a> {
    pub(super) principal: &'a Principal,
    pub(super) client: IpAddr,
}

/// Why a typed code is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeRefused {
    /// No undecided request has this code.
    #[error("no program shows this code now; check it, or let the program begin again")]
    Unknown,
    /// Too many wrong ones.
    #[error("too many wrong codes; try again in some minutes")]
    TooMany,
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// What asks with this code, and when it asked.
///
/// # Errors
/// [`CodeRefused`].
pub(super) async fn look(app: &App, typed: &str, by: Typist<'_>, now: i64) -> Result<(Asked, i64), CodeRefused> {
    let person = by.principal.id.0;
    if !app.providers.guesses.may_try(person, by.client, now) {
        return Err(CodeRefused::TooMany);
    }
    let found = match normal(typed) {
        Some(code) => app.metadata.device_request_of_code(&hash(&code)).await?,
        None => None,
    };
    let found = found.filter(|request| request.decision.is_none() && now < request.expires_at);
    let asked = found.and_then(|request| Some((asked(&request)?, request.asked_at)));
    asked.ok_or_else(|| {
        app.providers.guesses.wrong(person, by.client, now);
        CodeRefused::Unknown
    })
}

/// Approves or denies what asks with this code, once.
///
/// # Errors
/// [`CodeRefused`].
pub(super) async fn decide(
    app: &App,
    typed: &str,
    approves: bool,
    (by, request_id): (Typist<'_>, &str),
    now: i64,
) -> Result<Asked, CodeRefused> {
    let (asked, _) = look(app, typed, by, now).await?;
    let code = normal(typed).map(|code| hash(&code)).ok_or(CodeRefused::Unknown)?;
    let decision = match approves {
        true => DeviceDecision::Approved(by.principal.id, by.principal.credential_epoch),
        false => DeviceDecision::Denied,
    };
    let input = (code, decision, asked.clone(), (by.principal.clone(), request_id.to_owned(), now));
    let decided: Result<bool, metadata::Error> = app
        .metadata
        .write(input, |tx, (code, decision, asked, (by, request_id, now))| {
            Box::pin(async move {
                let decided = tx.decide_device_request(code, *decision, *now).await?;
                if decided {
                    record(tx, *decision, asked, (by, request_id), *now).await?;
                }
                Ok(decided)
            })
        })
        .await;
    if decided? { Ok(asked) } else { Err(CodeRefused::Unknown) }
}

async fn record(
    tx: &mut Tx,
    decision: DeviceDecision,
    asked: &Asked,
    (by, request_id): (&Principal, &str),
    now: i64,
) -> Result<(), metadata::Error> {
    let kind = match decision {
        DeviceDecision::Approved(..) => "device_approved",
        DeviceDecision::Denied => "device_denied",
    };
    let payload =
        json!({"address": asked.address.to_string(), "token": asked.name, "scopes": asked.scopes}).to_string();
    let event = Event {
        actor: by.id,
        account: Some(by.account_id),
        payload: &payload,
        request_id,
        ..Event::of_system(kind, &asked.client, now)
    };
    tx.record(&event).await
}

/// The answer to a device that asks (RFC 8628 section 3.5).
#[derive(Debug)]
pub(super) enum Poll {
    /// `authorization_pending`.
    Pending,
    /// `slow_down`: it asks too often, and waits longer from now on.
    SlowDown,
    /// `access_denied`. The code is gone.
    Denied,
    /// `expired_token`: the code has ended, was used, or never was.
    Gone,
    /// The token, once.
    Token(Box<Redeemed>),
}

/// What an approved device is given.
#[derive(Debug)]
pub(super) struct Redeemed {
    /// The token.
    pub(super) made: MadeToken,
    /// What was asked for and shown.
    pub(super) asked: Asked,
    /// For whom it acts.
    pub(super) principal: Principal,
}

/// Answers the device that comes with this code under the name that it asked with.
///
/// # Errors
/// [`people::Refused`] when the token that was approved cannot be made after all.
pub(super) async fn poll(
    app: &App,
    (device_code, client_id): (&str, &str),
    request_id: &str,
    now: i64,
) -> Result<Poll, people::Refused> {
    let device = hash(device_code);
    // Most questions with a code that never was cost a look and no change.
    if app.metadata.device_request(&device).await?.is_none() {
        return Ok(Poll::Gone);
    }
    // Whoever asks without pause is told to wait before anything is written of it.
    if !app.providers.openings.question(&device, now) {
        return Ok(Poll::SlowDown);
    }
    let held: Result<Option<(DeviceRequest, bool)>, metadata::Error> =
        app.metadata.write((device.clone(), now), |tx, (device, now)| Box::pin(note(tx, device, *now))).await;
    let Some((request, too_soon)) = held? else { return Ok(Poll::Gone) };
    let Some(asked) = asked(&request).filter(|asked| asked.client == client_id) else { return Ok(Poll::Gone) };
    match request.decision {
        _ if now >= request.expires_at => Ok(Poll::Gone),
        None if too_soon => Ok(Poll::SlowDown),
        None => Ok(Poll::Pending),
        Some(DeviceDecision::Denied) => Ok(if take(app, device).await? { Poll::Denied } else { Poll::Gone }),
        Some(DeviceDecision::Approved(by, epoch)) => match live(app.metadata.principal(by).await?, epoch) {
            Some(principal) => redeem(app, (device, asked), principal, request_id, now).await,
            None => Ok(if take(app, device).await? { Poll::Denied } else { Poll::Gone }),
        },
    }
}

/// Notes that an undecided device asked; whether too soon.
async fn note(tx: &mut Tx, device: &str, now: i64) -> Result<Option<(DeviceRequest, bool)>, metadata::Error> {
    let Some(request) = tx.hold_device_request(device).await? else { return Ok(None) };
    let too_soon = request.polled_at.is_some_and(|before| now - before < request.wait_seconds * 1000);
    if request.decision.is_none() {
        let wait = if too_soon { (request.wait_seconds + INTERVAL).min(LIFETIME) } else { request.wait_seconds };
        tx.note_device_poll(device, wait, now).await?;
    }
    Ok(Some((request, too_soon)))
}

async fn take(app: &App, device: String) -> Result<bool, metadata::Error> {
    app.metadata.write(device, |tx, device| Box::pin(tx.take_device_request(device))).await
}

/// Makes the token and takes the code in one change: it is good once, and is not lost without a token.
async fn redeem(
    app: &App,
    (device, asked): (String, Asked),
    principal: Principal,
    request_id: &str,
    now: i64,
) -> Result<Poll, people::Refused> {
    let known = Authenticated::unbound(principal.clone());
    // Nothing of this is looked up by address: no password is hashed here.
    let caller = Caller { known, client: Client::Operator, now, request_id: request_id.to_owned() };
    let draft = tokens::draft(app, &caller, asked.token()).await?;
    let (id, draft) = app
        .metadata
        .write((caller, draft, device), |tx, (caller, draft, device)| {
            Box::pin(async move {
                if !tx.take_device_request(device).await? {
                    return Ok::<_, people::Refused>((None, draft.clone()));
                }
                let id = tokens::keep(tx, caller, draft).await?;
                Ok((Some(id), draft.clone()))
            })
        })
        .await?;
    let Some(id) = id else { return Ok(Poll::Gone) };
    app.providers.openings.redeemed(asked.address, now);
    Ok(Poll::Token(Box::new(Redeemed { made: draft.made(id), asked, principal })))
}

fn asked(request: &DeviceRequest) -> Option<Asked> {
    serde_json::from_str(&request.asked).ok()
}
