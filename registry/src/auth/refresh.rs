//! Refresh tokens: what `docker login` keeps instead of a password.
//!
//! `hmr_<selector>_<secret>`: the selector (64 random bits) finds the row, the secret (256 random bits) is stored as its
//! SHA-256 only. A refresh token names a principal and a service, carries no scope, and dies with any change of the
//! principal's credentials.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_storage::metadata::{Credential, NewCredential, Principal};
use ring::digest::{SHA256, digest};

use super::{Authenticated, Refused, token};
use crate::app::App;

const PREFIX: &str = "hmr_";
/// What they are called among credentials.
pub(super) const KIND: &str = "refresh";
const SELECTOR_CHARACTERS: usize = 11;

/// Makes a refresh token for `principal`, bound to this registry's token service; none while nothing is written.
pub(crate) async fn issue(app: &App, principal: &Principal, now: i64) -> Result<Option<String>, Refused> {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return Ok(None);
    }
    let selector = URL_SAFE_NO_PAD.encode(app.random.bytes::<8>());
    let secret = URL_SAFE_NO_PAD.encode(app.random.bytes::<32>());
    let lifetime = i64::try_from(app.config.tokens.refresh_lifetime.as_millis()).unwrap_or(i64::MAX - now);
    let new = (principal.id, selector.clone(), sha256(&secret), principal.credential_epoch, now + lifetime, now);
    app.metadata
        .write(new, |tx, (principal, selector, secret_hash, epoch, expires_at, now)| {
            Box::pin(async move {
                let service = token::SERVICE;
                let (principal, epoch, expires_at) = (*principal, *epoch, *expires_at);
                let new = NewCredential {
                    principal,
                    kind: KIND,
                    selector,
                    secret_hash,
                    service,
                    scopes: "",
                    epoch,
                    expires_at,
                    name: "",
                    rolls: true,
                };
                tx.insert_credential(&new, *now).await
            })
        })
        .await?;
    Ok(Some(format!("{PREFIX}{selector}_{secret}")))
}

/// Whether a text begins like a refresh token.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Tells whose refresh token this is.
pub(crate) async fn identify(app: &App, text: &str, now: i64) -> Result<Authenticated, Refused> {
    let (selector, secret) = split(text).ok_or(Refused::RefreshToken)?;
    let credential = app.metadata.credential(selector).await?.filter(|credential| usable(credential, now));
    let Some(credential) = credential else { return Err(Refused::RefreshToken) };
    // Hashes of 256 random bits: the time that comparing them takes tells nothing about the secret.
    if sha256(secret) != credential.secret_hash {
        return Err(Refused::RefreshToken);
    }
    let principal = app.metadata.principal(credential.principal).await?;
    let principal = token::live(principal, credential.epoch).ok_or(Refused::RefreshToken)?;
    if !app.providers.vouch_for(&principal, now) {
        return Err(Refused::Unvouched);
    }
    Ok(Authenticated::unbound(principal))
}

fn usable(credential: &Credential, now: i64) -> bool {
    credential.kind == KIND
        && credential.service == token::SERVICE
        && credential.revoked_at.is_none()
        && now < credential.expires_at
}

/// Splits by length, since base64url text may itself contain an underscore. What is no such text is nobody's token, and is
/// not asked for: PostgreSQL takes no NUL.
fn split(text: &str) -> Option<(&str, &str)> {
    let (selector, rest) = text.strip_prefix(PREFIX)?.split_at_checked(SELECTOR_CHARACTERS)?;
    let secret = rest.strip_prefix('_')?;
    let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_text(selector) && is_text(secret)).then_some((selector, secret))
}

fn sha256(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}
