//! Bearer tokens: ES256 JSON Web Tokens that say who asks and set a ceiling, and never grant by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_oci::limits::TOKEN_BYTES;
use hallmark_oci::{Action, Claims, ClaimsRefused, CompactToken, Scopes, TokenHeader};
use hallmark_storage::metadata::{Engine, Principal, PrincipalId};
use quick_cache::sync::Cache;

use super::{About, Authenticated, Ceiling, Identity, Refused, Sight, personal};
use crate::access;
use crate::app::App;

/// Who every token of this registry is issued by and for; the same on every host name that reaches it.
pub(crate) const SERVICE: &str = "hallmark";

/// Why a token of somebody who is gone, disabled or has other credentials by now is refused.
pub(super) const CHANGED: &str = "its user was changed or removed";

/// How many verified signatures are remembered; a token has some 700 bytes.
const REMEMBERED: usize = 5_000;

/// Tokens whose signature was checked already, by their whole text: a look-up compares every byte, so nothing but the very
/// same token is found.
///
/// Only the signature is remembered. Whether its key is still accepted, expiry, the principal and its credentials' epoch are looked at on every use, and
/// the whole memory is dropped when the keys change.
#[derive(Debug)]
pub struct TokenMemory {
    remembered: Cache<Box<str>, Arc<Remembered>>,
    checked: AtomicU64,
}

#[derive(Debug)]
struct Remembered {
    kid: Box<str>,
    subject: Option<(PrincipalId, i64)>,
    scopes: Arc<Scopes>,
    claims: Claims,
}

/// A token as the token endpoint hands it out.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The token in compact form.
    pub token: String,
    /// What it covers: the asked scopes cut down to what the asker may do.
    pub scopes: Scopes,
    /// Seconds until it expires.
    pub expires_in: i64,
}

impl Default for TokenMemory {
    fn default() -> Self {
        Self { remembered: Cache::new(REMEMBERED), checked: AtomicU64::new(0) }
    }
}

impl TokenMemory {
    /// Forgets every token; each is checked again when it is next shown.
    pub fn forget(&self) {
        self.remembered.clear();
    }

    /// How many signatures were checked since the start, of tokens that were not remembered.
    #[must_use]
    pub fn signatures_checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }
}

/// Makes a token for `identity` that covers as much of `asked` as it may do now.
///
/// # Errors
/// [`Refused::Metadata`] when rights cannot be looked up, [`Refused::Keys`] when nothing can be signed.
pub(crate) async fn issue(app: &App, identity: &Identity, asked: &Scopes, now: i64) -> Result<Issued, Refused> {
    let scopes = access::cut_down(app, identity, asked).await?;
    let lifetime = i64::try_from(app.config.tokens.lifetime.as_secs()).unwrap_or(i64::MAX / 2);
    let seconds = now.div_euclid(1000);
    // A certificate's token ends with it.
    let lifetime = match identity {
        Identity::Known(Authenticated { certificate: Some(not_after), .. }) => {
            lifetime.min(not_after.div_euclid(1000) - seconds).max(0)
        }
        _ => lifetime,
    };
    let principal = identity.principal();
    let claims = Claims {
        iss: SERVICE.to_owned(),
        sub: principal.map(|principal| principal.name.clone()).unwrap_or_default(),
        aud: vec![SERVICE.to_owned()],
        exp: seconds + lifetime,
        nbf: seconds - 5,
        iat: seconds,
        jti: URL_SAFE_NO_PAD.encode(app.random.bytes::<16>()),
        access: scopes.clone(),
        principal_id: principal.map(|principal| principal.id.0),
        credential_epoch: principal.map(|principal| principal.credential_epoch),
        credential_id: match identity {
            Identity::Known(known) => known.credential,
            Identity::Anonymous | Identity::Stranger(_) => None,
        },
        certificate: match identity {
            Identity::Known(known) => known.certificate,
            Identity::Anonymous | Identity::Stranger(_) => None,
        },
    };
    let ring = app.token_keys.ring();
    let signed = TokenHeader::es256(ring.signing_kid()).signing_input(&claims);
    let token = CompactToken::assemble(&signed, &ring.sign(&app.random, signed.as_bytes())?);
    Ok(Issued { token, scopes, expires_in: lifetime })
}

/// Whether a token was refused for anything but its age: those that ran out come from every client that pulls for long.
pub(super) fn is_void(refused: &Refused) -> bool {
    matches!(refused, Refused::Token(why) if *why != ClaimsRefused::Expired.to_string())
}

/// Tells who shows `token` for something `about` a repository, if it is about one: on a database server one statement then
/// asks for all that the request stands on.
pub(crate) async fn identify(app: &App, token: &str, about: Option<About<'_>>, now: i64) -> Result<Identity, Refused> {
    let remembered = check(app, token, now).await?;
    remembered.claims.check(SERVICE, SERVICE, now).map_err(|refused| Refused::Token(refused.to_string()))?;
    let scopes = Arc::clone(&remembered.scopes);
    let Some((id, epoch)) = remembered.subject else { return Ok(Identity::Stranger(Ceiling::of_scopes(scopes))) };
    let credential = remembered.claims.credential_id;
    let changed = || Refused::Token(CHANGED.into());
    let (principal, limits, sight) = match about {
        Some(About { name, manifest }) if app.metadata.engine() == Engine::Postgres => {
            let manifest = manifest.filter(|_| scopes.allow("repository", name.as_str(), Action::Pull));
            let seen = app.metadata.seen(id, credential, name, manifest).await?;
            let principal = live(seen.principal, epoch).ok_or_else(changed)?;
            let limits = match credential {
                Some(_) => personal::inherit_seen(seen.credential, &principal, now)?,
                None => None,
            };
            let manifest = manifest.cloned().zip(seen.manifest);
            (principal, limits, Some(Arc::new(Sight { name: name.clone(), facts: Arc::new(seen.facts), manifest })))
        }
        _ => {
            let principal = live(app.metadata.principal(id).await?, epoch).ok_or_else(changed)?;
            let limits = match credential {
                Some(credential) => personal::inherit(app, credential, &principal, now).await?,
                None => None,
            };
            (principal, limits, None)
        }
    };
    // A certificate is its authority's word, which no provider has to repeat.
    if remembered.claims.certificate.is_none() && !app.providers.vouch_for(&principal, now) {
        return Err(Refused::Token(Refused::Unvouched.to_string()));
    }
    let ceiling = Ceiling { scopes: Some(scopes), limits };
    Ok(Identity::Known(Authenticated { principal, ceiling, credential, certificate: None, sight }))
}

/// The principal, when it is still there, enabled, and has not revoked what was made at `epoch`.
pub(crate) fn live(principal: Option<Principal>, epoch: i64) -> Option<Principal> {
    principal.filter(|principal| !principal.disabled && principal.credential_epoch == epoch)
}

/// Checks the signature and what never changes about a token, or finds that this was done before.
async fn check(app: &App, token: &str, now: i64) -> Result<Arc<Remembered>, Refused> {
    // Also a signature that was checked is of a key that may be retired by now.
    if let Some(known) = app.token_memory.remembered.get(token)
        && app.token_keys.ring().accepts(&known.kid, now)
    {
        return Ok(known);
    }
    let parsed = CompactToken::parse(token, TOKEN_BYTES).map_err(|_| Refused::Token("it is malformed".into()))?;
    let kid = parsed.header.kid.as_str();
    let mut ring = app.token_keys.ring();
    if !ring.knows(kid) && app.token_keys.may_look_again(now) {
        // A database that does not answer makes no token invalid.
        app.reload_token_keys(now).await?;
        ring = app.token_keys.ring();
    }
    if ring.accepts(kid, now) {
        app.token_memory.checked.fetch_add(1, Ordering::Relaxed);
    }
    if !ring.verifies(kid, parsed.signed.as_bytes(), &parsed.signature, now) {
        return Err(Refused::Token("its signature is not of a current key".into()));
    }
    let claims = Claims::parse(&parsed.claims_json).map_err(|_| Refused::Token("its claims are malformed".into()))?;
    let subject = claims.principal_id.zip(claims.credential_epoch).map(|(id, epoch)| (PrincipalId(id), epoch));
    let remembered = Arc::new(Remembered { kid: kid.into(), subject, scopes: Arc::new(claims.access.clone()), claims });
    app.token_memory.remembered.insert(token.into(), Arc::clone(&remembered));
    Ok(remembered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_tokens_are_remembered_than_their_bound() {
        let memory = TokenMemory::default();
        let claims = Claims::parse(
            br#"{"iss":"hallmark","sub":"ann","aud":"hallmark","exp":1,"nbf":1,"iat":1,"jti":"1","access":[]}"#,
        );
        let scopes = Arc::new(Scopes::default());
        let remembered = Remembered { kid: "kid".into(), subject: None, scopes, claims: claims.unwrap() };
        let remembered = Arc::new(remembered);
        for number in 0..3 * REMEMBERED {
            memory.remembered.insert(format!("token {number}").into(), Arc::clone(&remembered));
        }
        let kept = memory.remembered.len();
        assert!((REMEMBERED / 2..=REMEMBERED + REMEMBERED / 10).contains(&kept), "{kept}");
    }
}
