//! What a stranger's token claims, once its signature holds: of whom, for whom, and for how long.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::issuer::Issuer;

/// How far the clocks of two machines may be apart, in milliseconds.
pub const LEEWAY: i64 = 60_000;
/// The longest that a token may be made for, in milliseconds.
pub const LIFETIME: i64 = 24 * 60 * 60 * 1000;

const TEXT_BYTES: usize = 1024;

/// A token of a configured issuer, for this registry, whose signature and times hold. Only verification makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    issuer: String,
    subject: String,
    audience: Vec<String>,
    claims: Map<String, Value>,
    expires_at: i64,
    jti: Option<String>,
    signed_hash: String,
}

impl Verified {
    /// Whose token it is: a configured issuer, exactly.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `sub`, which names somebody among those of this issuer only.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Every audience; each is one of those that the issuer's settings list.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Until when it holds, in milliseconds since 1970, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// The token's own id, when it has one.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }

    /// What to remember to know this token again: its `jti`, or else the hash of what was signed. The signature is not in
    /// the hash, since a second valid one can be computed from an ECDSA signature.
    #[must_use]
    pub fn replay_id(&self) -> &str {
        self.jti.as_deref().unwrap_or(&self.signed_hash)
    }

    /// A token with these claims, as if its signature had been verified: rules are tried on tokens that no test can get.
    #[cfg(test)]
    pub(crate) fn unsigned(claims: Map<String, Value>, issuer: &Issuer, now: i64) -> Self {
        Self::check(claims, "", issuer, now).unwrap()
    }

    /// Checks the claims of a token of `issuer` whose signature over `signed` was verified.
    pub(super) fn check(
        claims: Map<String, Value>,
        signed: &str,
        issuer: &Issuer,
        now: i64,
    ) -> Result<Self, ClaimsRefused> {
        if text(&claims, "iss")? != Some(issuer.url()) {
            return Err(ClaimsRefused::Issuer);
        }
        let audience = audience(&claims)?;
        // One that is also for somebody else could be replayed here by them (OpenID Connect Core section 3.1.3.7, step 3).
        if audience.is_empty() || !audience.iter().all(|one| issuer.audiences().contains(one)) {
            return Err(ClaimsRefused::Audience);
        }
        let expires_at = times(&claims, now)?;
        let subject = text(&claims, "sub")?.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(ClaimsRefused::Malformed("sub"))?.to_owned();
        let jti = text(&claims, "jti")?.filter(|jti| !jti.is_empty()).map(str::to_owned);
        let signed_hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, signed.as_bytes()));
        Ok(Self { issuer: issuer.url().to_owned(), subject, audience, claims, expires_at, jti, signed_hash })
    }
}

/// Checks the times; the expiry in milliseconds.
fn times(claims: &Map<String, Value>, now: i64) -> Result<i64, ClaimsRefused> {
    let expires_at = time(claims, "exp")?.ok_or(ClaimsRefused::Malformed("exp"))?;
    let issued_at = time(claims, "iat")?.ok_or(ClaimsRefused::Malformed("iat"))?;
    let not_before = time(claims, "nbf")?.unwrap_or(issued_at);
    if now >= expires_at + LEEWAY {
        return Err(ClaimsRefused::Expired);
    }
    if now + LEEWAY < not_before || now + LEEWAY < issued_at {
        return Err(ClaimsRefused::NotYet);
    }
    if expires_at - issued_at > LIFETIME {
        return Err(ClaimsRefused::TooLong);
    }
    Ok(expires_at)
}

/// A whole number of seconds, in milliseconds. The bound keeps sums of times in range.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, ClaimsRefused> {
    const LATEST: i64 = 1 << 40;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seconds @ 0..LATEST) => Ok(Some(seconds * 1000)),
            _ => Err(ClaimsRefused::Malformed(name)),
        },
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, ClaimsRefused> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES => Ok(Some(text)),
        Some(_) => Err(ClaimsRefused::Malformed(name)),
    }
}

fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, ClaimsRefused> {
    let refused = ClaimsRefused::Malformed("aud");
    match claims.get("aud") {
        None => Err(ClaimsRefused::Audience),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(several)) => {
            several.iter().map(|one| one.as_str().map(str::to_owned).ok_or(refused)).collect()
        }
        Some(_) => Err(refused),
    }
}

/// Why the claims of a well-signed token do not hold here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsRefused {
    /// A claim that is missing though needed, or of another type.
    #[error("the {0:?} claim of the token is missing or malformed")]
    Malformed(&'static str),
    /// Another issuer, or the same one spelled differently.
    #[error("the token is of another issuer")]
    Issuer,
    /// No audience, or one that is not this registry's.
    #[error("the token is not for this registry alone")]
    Audience,
    /// Past its time.
    #[error("the token has expired")]
    Expired,
    /// Before its time.
    #[error("the token does not hold yet")]
    NotYet,
    /// Made for longer than a day.
    #[error("the token is made for longer than a day")]
    TooLong,
}
