//! What a token of this registry claims.
//! The signature is verified before; rights are looked up after: claims are an identity and an upper bound.
//! Start at [`Claims::parse`] and [`Claims::check`].

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::json::{self, Object, Value};
use crate::limits::SCOPES;
use crate::{JsonInvalid, Scope, Scopes};

/// How far the clocks of two machines may be apart, in seconds.
const LEEWAY_SECONDS: i64 = 60;

/// The claims of a token (RFC 7519 section 4.1, the `access` claim of the registry token protocol, and three of our own).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who made the token.
    pub iss: String,
    /// The user's name; empty for anonymous.
    pub sub: String,
    /// The services that the token is for.
    #[serde(serialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Until when it holds, in seconds since the epoch, exclusive.
    pub exp: i64,
    /// From when it holds, in seconds since the epoch.
    pub nbf: i64,
    /// When it was made, in seconds since the epoch.
    pub iat: i64,
    /// The token's own id.
    pub jti: String,
    /// What the token was asked for and may at most be used for.
    pub access: Scopes,
    /// The principal's id, `hid` on the wire; none for anonymous.
    #[serde(rename = "hid", skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<i64>,
    /// The principal's credential epoch when the token was made, `hep` on the wire: a later one revokes the token.
    #[serde(rename = "hep", skip_serializing_if = "Option::is_none")]
    pub credential_epoch: Option<i64>,
    /// The long-lived credential that the token was made from, `hcr` on the wire: revoked, it revokes the token.
    #[serde(rename = "hcr", skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<i64>,
    /// When the client certificate ends that it was made by, if it was, in milliseconds since 1970.
    #[serde(rename = "hct", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<i64>,
}

fn one_or_many<S: Serializer>(audience: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match audience {
        [one] => serializer.serialize_str(one),
        many => serializer.collect_seq(many),
    }
}

impl Claims {
    /// Reads claims. Unknown ones are ignored; times are whole seconds; `aud` is a text or a list of them.
    ///
    /// # Errors
    /// [`ClaimsInvalid`], each variant as it says.
    pub fn parse(claims: &[u8]) -> Result<Self, ClaimsInvalid> {
        let Value::Object(claims) = json::parse(claims)? else { return Err(ClaimsInvalid::NotAnObject) };
        Ok(Self {
            iss: required(text(&claims, "iss")?, "iss")?,
            sub: required(text(&claims, "sub")?, "sub")?,
            aud: audience(&claims)?,
            exp: required(number(&claims, "exp")?, "exp")?,
            nbf: required(number(&claims, "nbf")?, "nbf")?,
            iat: required(number(&claims, "iat")?, "iat")?,
            jti: required(text(&claims, "jti")?, "jti")?,
            access: access(&claims)?,
            principal_id: number(&claims, "hid")?,
            credential_epoch: number(&claims, "hep")?,
            credential_id: number(&claims, "hcr")?,
            certificate: number(&claims, "hct")?,
        })
    }

    /// Whether the token is of this issuer, for this service, and holds at `now` (milliseconds since the epoch), give or
    /// take a minute.
    ///
    /// # Errors
    /// [`ClaimsRefused`], each variant as it says.
    pub fn check(&self, issuer: &str, service: &str, now: i64) -> Result<(), ClaimsRefused> {
        if self.iss != issuer {
            return Err(ClaimsRefused::Issuer);
        }
        if !self.aud.iter().any(|audience| audience == service) {
            return Err(ClaimsRefused::Audience);
        }
        let now = now.div_euclid(1000);
        if now >= self.exp.saturating_add(LEEWAY_SECONDS) {
            return Err(ClaimsRefused::Expired);
        }
        if now.saturating_add(LEEWAY_SECONDS) < self.nbf {
            return Err(ClaimsRefused::NotYet);
        }
        Ok(())
    }
}

fn audience(claims: &Object<'_>) -> Result<Vec<String>, ClaimsInvalid> {
    let refused = || ClaimsInvalid::Member { key: "aud", expected: "a text or a list of texts" };
    match claims.get("aud") {
        None => Err(ClaimsInvalid::Missing("aud")),
        Some(Value::Text(audience)) => Ok(vec![audience.to_string()]),
        Some(Value::Array(audiences)) => audiences
            .iter()
            .map(|audience| if let Value::Text(text) = audience { Ok(text.to_string()) } else { Err(refused()) })
            .collect(),
        Some(_) => Err(refused()),
    }
}

fn access(claims: &Object<'_>) -> Result<Scopes, ClaimsInvalid> {
    match claims.get("access") {
        None => Ok(Scopes::default()),
        Some(Value::Array(entries)) if entries.len() <= SCOPES => entries.iter().map(scope).collect(),
        Some(_) => Err(BAD_ACCESS),
    }
}

const BAD_ACCESS: ClaimsInvalid =
    ClaimsInvalid::Member { key: "access", expected: "a list of objects with type, name and actions" };

fn scope(entry: &Value<'_>) -> Result<Scope, ClaimsInvalid> {
    let Value::Object(entry) = entry else { return Err(BAD_ACCESS) };
    let Some(Value::Array(actions)) = entry.get("actions") else { return Err(BAD_ACCESS) };
    // A word that this release does not know grants nothing; the rest of the token stays good.
    let actions: BTreeSet<_> = actions
        .iter()
        .filter_map(|action| if let Value::Text(action) = action { action.parse().ok() } else { None })
        .collect();
    match (entry.get("type"), entry.get("class"), entry.get("name")) {
        (Some(Value::Text(kind)), None, Some(Value::Text(name))) => Scope::from_parts(kind, None, name, actions),
        (Some(Value::Text(kind)), Some(Value::Text(class)), Some(Value::Text(name))) => {
            Scope::from_parts(kind, Some(class), name, actions)
        }
        _ => return Err(BAD_ACCESS),
    }
    .map_err(|_| BAD_ACCESS)
}

fn text(claims: &Object<'_>, key: &'static str) -> Result<Option<String>, ClaimsInvalid> {
    match claims.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.to_string())),
        Some(_) => Err(ClaimsInvalid::Member { key, expected: "a text" }),
    }
}

fn number(claims: &Object<'_>, key: &'static str) -> Result<Option<i64>, ClaimsInvalid> {
    let refused = ClaimsInvalid::Member { key, expected: "a whole number of zero or more" };
    match claims.get(key) {
        None => Ok(None),
        Some(Value::Unsigned(number)) => i64::try_from(*number).map(Some).map_err(|_| refused),
        Some(_) => Err(refused),
    }
}

fn required<T>(value: Option<T>, key: &'static str) -> Result<T, ClaimsInvalid> {
    value.ok_or(ClaimsInvalid::Missing(key))
}

/// Why a text is not [`Claims`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimsInvalid {
    /// Not JSON that is read here.
    #[error(transparent)]
    Json(#[from] JsonInvalid),
    /// JSON, but no object.
    #[error("the claims of the token are not an object")]
    NotAnObject,
    /// A claim that every token has is missing.
    #[error("the token has no {0:?} claim")]
    Missing(&'static str),
    /// A claim of the wrong type.
    #[error("the {key:?} claim of the token is not {expected}")]
    Member {
        /// Which.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// Why well-formed claims do not hold here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClaimsRefused {
    /// Another issuer's token.
    #[error("the token is of another issuer")]
    Issuer,
    /// A token for other services.
    #[error("the token is for another service")]
    Audience,
    /// Past its time.
    #[error("the token has expired")]
    Expired,
    /// Before its time.
    #[error("the token does not hold yet")]
    NotYet,
}
