//! Personal access tokens: what people give to programs in the place of their password.

use hallmark_storage::metadata::{Credential, NewCredential, PrincipalKind, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::robots::{end, until};
use super::{Caller, Refused};
use crate::app::App;
use crate::auth::limits::{Api, Limits};
use crate::auth::personal::stands;
use crate::auth::secrets::{self, Kind, Made};
use crate::auth::token::SERVICE;
use crate::clock::rfc3339;

/// How many tokens of a person stand at once.
const TOKENS: i64 = 100;
/// The longest life of a token, in milliseconds: a year and a day.
const LONGEST: i64 = 366 * 24 * 60 * 60 * 1_000;
/// The longest name of a token, in bytes.
const NAME_BYTES: usize = 128;

/// A personal access token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is limited to: words like `read`, `write`, `api:read`, and `on:acme/*`, separated by spaces.
    pub scopes: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it ends (RFC 3339).
    pub expires_at: Option<String>,
    /// When it was last used (RFC 3339, to the minute); absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Whether it stands now: it has not ended, was not revoked, and is not void since your credentials changed.
    pub active: bool,
}

/// A token to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What it is to be limited to, as in [`TokenView::scopes`].
    pub scopes: String,
    /// When it is to end (RFC 3339), at most a year from now.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A token with its secret, shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// Its id.
    pub id: i64,
    /// The secret, in the place of a password. It is not kept and cannot be shown again.
    pub secret: String,
    /// When it ends (RFC 3339).
    pub expires_at: Option<String>,
}

fn show(row: &Credential, epoch: i64, now: i64) -> TokenView {
    TokenView {
        id: row.id,
        name: row.name.clone(),
        scopes: row.scopes.clone(),
        created_at: rfc3339(row.created_at),
        expires_at: until(row.expires_at),
        last_used_at: row.last_used_at.map(rfc3339),
        active: stands(row, epoch, now),
    }
}

/// The caller's own tokens.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<TokenView>, Refused> {
    let rows = app.metadata.credentials(caller.principal().id, Kind::Personal.word()).await?;
    let epoch = caller.principal().credential_epoch;
    Ok(rows.iter().map(|row| show(row, epoch, caller.now)).collect())
}

/// Makes a token for the caller; what is shown for it cannot give more than it has itself.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, new: NewToken) -> Result<MadeToken, Refused> {
    let draft = draft(app, caller, new).await?;
    let made = draft.clone();
    let input = (caller.clone(), draft);
    let id = app.metadata.write(input, |tx, (caller, draft)| Box::pin(keep(tx, caller, draft))).await?;
    Ok(made.made(id))
}

/// A token that may be made, with its secret.
#[derive(Clone)]
pub(crate) struct Draft {
    name: String,
    scopes: String,
    made: Made,
    ends: i64,
}

impl Draft {
    /// The token, once it is kept under this id.
    pub(crate) fn made(self, id: i64) -> MadeToken {
        MadeToken { id, secret: self.made.text, expires_at: until(self.ends) }
    }
}

/// Whether such a token can be made at all: its limits, and when it ends in milliseconds since 1970.
///
/// # Errors
/// [`Refused::Invalid`].
pub(crate) fn check(new: &NewToken, now: i64) -> Result<(Limits, i64), Refused> {
    if new.name.is_empty() || new.name.len() > NAME_BYTES || new.name.chars().any(char::is_control) {
        return Err(Refused::invalid("name", format!("a token's name has 1 to {NAME_BYTES} bytes, none of control")));
    }
    let limits: Limits = new
        .scopes
        .parse()
        .map_err(|invalid: crate::auth::limits::LimitsInvalid| Refused::invalid("scopes", invalid.to_string()))?;
    if limits.rights.is_empty() && limits.api == Api::Nothing {
        return Err(Refused::invalid("scopes", "a token without a right does nothing; begin with `read`"));
    }
    let ends = end(Some(&new.expires_at), now)?;
    if ends - now > LONGEST {
        return Err(Refused::invalid("expires_at", "a token ends within a year"));
    }
    Ok((limits, ends))
}

/// A token that the caller may make.
///
/// # Errors
/// [`Refused`].
pub(crate) async fn draft(app: &App, caller: &Caller, new: NewToken) -> Result<Draft, Refused> {
    caller.may_change()?;
    if caller.principal().kind != PrincipalKind::User {
        return Err(Refused::Forbidden("only people have personal access tokens; a robot's secret is rotated"));
    }
    caller.may_leave_secrets()?;
    let (limits, ends) = check(&new, caller.now)?;
    if !caller.reaches_everything() || caller.known.credential.is_some() && limits.api > caller.known.ceiling.api() {
        return Err(Refused::Forbidden("a token makes no other token that could do more than itself"));
    }
    // Whoever finds a token that ends tomorrow must not make one that ends in a year.
    if caller.ends(app).await?.is_some_and(|own| ends > own) {
        return Err(Refused::Forbidden("a token makes no other token that outlives it"));
    }
    Ok(Draft { name: new.name, scopes: limits.to_string(), made: secrets::make(Kind::Personal, &app.random), ends })
}

/// Keeps a token that the caller may make, if they are still who they were.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub(crate) async fn keep(
    tx: &mut Tx,
    caller: &Caller,
    Draft { name, scopes, made, ends }: &Draft,
) -> Result<i64, Refused> {
    let user = caller.principal();
    let held = tx.user(&user.name).await?.map(|held| held.principal);
    let held = held.filter(|held| held.id == user.id && held.credential_epoch == user.credential_epoch);
    let held = held.ok_or(Refused::Forbidden("your credentials changed meanwhile; sign in again"))?;
    // Behind the lock on who they are: a token that is being revoked makes no other.
    caller.stands(tx).await?;
    let kind = Kind::Personal.word();
    if tx.standing_credentials(held.id, kind, caller.now).await? >= TOKENS {
        return Err(Refused::Conflict(format!("{TOKENS} of your tokens stand already; revoke some first")));
    }
    let credential = NewCredential {
        principal: held.id,
        kind,
        selector: &made.selector,
        secret_hash: &made.hash,
        service: SERVICE,
        scopes,
        epoch: held.credential_epoch,
        expires_at: *ends,
        name,
        rolls: false,
    };
    let id = tx.insert_credential(&credential, caller.now).await?;
    let payload = json!({"scopes": scopes, "expires_at": until(*ends)}).to_string();
    tx.record(&caller.event_in(held.account_id, "token_created", name, &payload)).await?;
    Ok(id)
}

/// Ends one of the caller's tokens at once, and every bearer token that was made from it.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn revoke(app: &App, caller: &Caller, id: i64) -> Result<(), Refused> {
    // A token may always end itself.
    if caller.known.credential != Some(id) {
        caller.may_change()?;
        if !caller.reaches_everything() {
            return Err(Refused::Forbidden("a limited token ends no others; sign in with a name and password"));
        }
    }
    app.metadata
        .write((caller.clone(), id), |tx, (caller, id)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                let user = caller.principal();
                if !tx.revoke_credential_of(*id, user.id, caller.now).await? {
                    return Err(Refused::Unknown("token"));
                }
                let subject = id.to_string();
                Ok(tx.record(&caller.event_in(user.account_id, "token_revoked", &subject, "")).await?)
            })
        })
        .await
}
