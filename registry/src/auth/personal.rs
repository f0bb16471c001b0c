//! Who shows a long-lived secret: a personal access token, or a robot's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hallmark_storage::metadata::{self, Credential, Principal, SeenCredential};

use super::limits::Limits;
use super::secrets::{self, Kind};
use super::{Authenticated, Ceiling, Refused, token};
use crate::app::App;

/// When long-lived credentials were last shown, until a job writes that down (I8).
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<i64, i64>>);

impl Uses {
    fn note(&self, credential: i64, now: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(credential, now);
    }

    /// What was noted since this was last asked.
    #[must_use]
    pub(crate) fn take(&self) -> Vec<(i64, i64)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Tells who shows `secret`, under the name `name` when one came with it: that must then be theirs.
pub(crate) async fn identify(app: &App, name: Option<&str>, secret: &str, now: i64) -> Result<Authenticated, Refused> {
    let (kind, selector, hash) = secrets::read(secret).ok_or(Refused::WrongPassword)?;
    let credential = app.metadata.credential(selector).await?;
    let credential = credential.filter(|credential| credential.kind == kind.word() && has_not_ended(credential, now));
    // Hashes of 190 random bits: the time that comparing them takes tells nothing about the secret.
    let credential = credential.filter(|credential| credential.secret_hash == hash).ok_or(Refused::WrongPassword)?;
    let principal = app.metadata.principal(credential.principal).await?;
    let principal = principal.filter(|principal| name.is_none_or(|name| principal.name == name) && !principal.disabled);
    let principal = principal.filter(|principal| principal.credential_epoch == credential.epoch);
    let principal = principal.ok_or(Refused::WrongPassword)?;
    if !app.providers.vouch_for(&principal, now) {
        return Err(Refused::Unvouched);
    }
    app.uses.note(credential.id, now);
    let limits = limits(&credential.kind, &credential.scopes)?;
    let ceiling = Ceiling { scopes: None, limits };
    Ok(Authenticated { principal, ceiling, credential: Some(credential.id), certificate: None, sight: None })
}

/// The limits that a bearer token inherits from the long-lived credential it was made from, when that still stands.
pub(super) async fn inherit(
    app: &App,
    id: i64,
    principal: &Principal,
    now: i64,
) -> Result<Option<Arc<Limits>>, Refused> {
    let credential = app.metadata.credential_of_id(id).await?.map(|credential| SeenCredential {
        principal: credential.principal,
        kind: credential.kind,
        scopes: credential.scopes,
        expires_at: credential.expires_at,
        revoked_at: credential.revoked_at,
    });
    inherit_seen(credential, principal, now)
}

/// The same of a credential that was seen already.
pub(super) fn inherit_seen(
    credential: Option<SeenCredential>,
    principal: &Principal,
    now: i64,
) -> Result<Option<Arc<Limits>>, Refused> {
    let stands = |credential: &SeenCredential| {
        credential.principal == principal.id && credential.revoked_at.is_none() && now < credential.expires_at
    };
    let credential = credential.filter(stands).ok_or_else(|| Refused::Token(token::CHANGED.into()))?;
    limits(&credential.kind, &credential.scopes)
}

/// Whether a credential may be shown now, by a principal whose credentials are of this epoch: those of another are void.
pub(crate) fn stands(credential: &Credential, epoch: i64, now: i64) -> bool {
    credential.epoch == epoch && has_not_ended(credential, now)
}

fn has_not_ended(credential: &Credential, now: i64) -> bool {
    credential.revoked_at.is_none() && now < credential.expires_at
}

/// A robot's secret reaches as far as the robot does.
fn limits(kind: &str, scopes: &str) -> Result<Option<Arc<Limits>>, Refused> {
    if *kind == *Kind::Robot.word() {
        return Ok(None);
    }
    match scopes.parse::<Limits>() {
        Ok(limits) => Ok(Some(Arc::new(limits))),
        // Whatever a later release wrote there is not understood here, so it opens nothing.
        Err(_) => Err(Refused::WrongPassword),
    }
}

/// Writes down when credentials were last shown.
///
/// # Errors
/// The database's; what was noted is then lost, and tokens seem a little older than they are.
pub async fn write_down(app: &App) -> Result<(), metadata::Error> {
    let uses = app.uses.take();
    for uses in uses.chunks(100) {
        app.metadata
            .write(uses.to_vec(), |tx, uses| {
                Box::pin(async move {
                    for (id, at) in uses {
                        tx.note_use(*id, *at).await?;
                    }
                    Ok::<_, metadata::Error>(())
                })
            })
            .await?;
    }
    Ok(())
}
