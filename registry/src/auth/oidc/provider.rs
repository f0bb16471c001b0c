//! An issuer that can be asked: its description, its keys, and whether a token is its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::tls::Certificate;
use serde_json::{Map, Value};
use url::Url;

use super::cached::Cached;
use super::claims::{ClaimsRefused, Verified};
use super::issuer::Issuer;
use super::json::{self, JsonInvalid};
use super::jwk::{KeySet, KeySetInvalid, PublicKey};
use super::jwt::{Compact, TokenInvalid};
use super::outbound::{FetchError, Network, Outbound};

/// The issuers that are trusted, by the exact `iss` of their tokens.
#[derive(Debug, Default)]
pub struct Issuers(HashMap<String, Provider>);

impl Issuers {
    /// Gathers issuers; of two with one URL the later counts.
    #[must_use]
    pub fn new(providers: Vec<Provider>) -> Self {
        Self(providers.into_iter().map(|provider| (provider.issuer.url().to_owned(), provider)).collect())
    }

    /// The issuer of this exact URL.
    #[must_use]
    pub fn issuer(&self, url: &str) -> Option<&Provider> {
        self.0.get(url)
    }

    /// Verifies a token of any of them. Which one its `iss` names is believed only as far as choosing the keys; an issuer
    /// that is not configured is never asked.
    ///
    /// # Errors
    /// [`Refused`], each variant as it says.
    pub async fn verify(&self, token: &str, now: i64) -> Result<Verified, Refused> {
        let compact = Compact::parse(token)?;
        let issuer = compact.claims.get("iss").and_then(Value::as_str);
        let provider = issuer.and_then(|issuer| self.issuer(issuer)).ok_or(Refused::UnknownIssuer)?;
        provider.verify_compact(compact, now).await
    }
}

/// One issuer with what is known of it by now.
#[derive(Debug)]
pub struct Provider {
    issuer: Issuer,
    outbound: Arc<Outbound>,
    metadata: Cached<Metadata, ProviderError>,
    keys: Cached<KeySet, ProviderError>,
}

/// What an issuer says of itself, as far as it is used. Every address is one that the issuer may point to.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Where its keys are.
    pub jwks_uri: Option<Url>,
    /// Where people sign in.
    pub authorization_endpoint: Option<Url>,
    /// Where a code is exchanged.
    pub token_endpoint: Option<Url>,
    /// Whether it names itself in the answer to a sign-in (RFC 9207).
    pub names_itself: bool,
}

impl Provider {
    /// Prepares an issuer; its file of certificates is read, nothing is asked.
    ///
    /// # Errors
    /// [`OpenError`] names the file or the client that cannot be used.
    pub fn open(issuer: Issuer, network: &Network) -> Result<Self, OpenError> {
        let authorities = issuer.ca_file().map(authorities).transpose()?;
        let outbound = Outbound::open(network, authorities, issuer.plain_loopback())
            .map_err(|source| OpenError::Client { issuer: issuer.url().to_owned(), source })?;
        Ok(Self { issuer, outbound: Arc::new(outbound), metadata: Cached::new(), keys: Cached::new() })
    }

    /// Its settings.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Verifies that `token` is of this issuer, for this registry alone, and holds at `now`, give or take a minute.
    ///
    /// # Errors
    /// [`Refused`], each variant as it says, but for [`Refused::UnknownIssuer`].
    pub async fn verify(&self, token: &str, now: i64) -> Result<Verified, Refused> {
        self.verify_compact(Compact::parse(token)?, now).await
    }

    async fn verify_compact(&self, token: Compact<'_>, now: i64) -> Result<Verified, Refused> {
        let key = self.key(&token.kid, now).await?;
        if !key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature) {
            return Err(Refused::Signature);
        }
        Ok(Verified::check(token.claims, token.signed, &self.issuer, now)?)
    }

    /// Drops its keys and its description, so that they are fetched when next needed.
    pub fn forget(&self) {
        self.keys.forget();
        self.metadata.forget();
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when it does not answer, or not as itself.
    pub async fn metadata(&self, now: i64) -> Result<Arc<Metadata>, Refused> {
        let (outbound, issuer) = (Arc::clone(&self.outbound), self.issuer.clone());
        let fetch = |_| async move { describe(&outbound, &issuer).await };
        self.metadata.look(|_| true, fetch, now).await.map_err(Refused::Unavailable)
    }

    async fn key(&self, kid: &str, now: i64) -> Result<Arc<PublicKey>, Refused> {
        let (outbound, issuer) = (Arc::clone(&self.outbound), self.issuer.clone());
        let fetch =
            |before: Option<Arc<KeySet>>| async move { fetch_keys(&outbound, &issuer, before.as_deref()).await };
        let wanted = |keys: &KeySet| keys.key(kid).is_some();
        let keys = self.keys.look(wanted, fetch, now).await.map_err(Refused::Unavailable)?;
        keys.key(kid).cloned().ok_or(Refused::UnknownKey)
    }
}

/// Reads a file of certificates. None at all would leave the client with the system's, which is not what was asked for.
fn authorities(path: &PathBuf) -> Result<Vec<Certificate>, OpenError> {
    let pem = std::fs::read(path).map_err(|source| OpenError::Authorities { path: path.clone(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(OpenError::NoCertificate(path.clone()));
    }
    Ok(certificates)
}

/// Fetches the keys from where they are pinned, or else from where the issuer says. A known id with another key than before
/// is a swap and not a rotation: the whole set is then refused, until those before have aged out.
async fn fetch_keys(outbound: &Outbound, issuer: &Issuer, before: Option<&KeySet>) -> Result<KeySet, ProviderError> {
    let place = match issuer.jwks_uri() {
        Some(pinned) => pinned.clone(),
        None => describe(outbound, issuer).await?.jwks_uri.ok_or(ProviderError::Lacks("jwks_uri"))?,
    };
    let keys = KeySet::parse(&outbound.get(&place).await?)?;
    if let Some(kid) = before.and_then(|before| before.changed_in(&keys)) {
        return Err(KeySetInvalid::Changed(kid.to_owned()).into());
    }
    Ok(keys)
}

/// Fetches what the issuer says of itself (OpenID Connect Discovery 1.0 section 4.3: the issuer must be the same).
async fn describe(outbound: &Outbound, issuer: &Issuer) -> Result<Metadata, ProviderError> {
    let document = json::parse(&outbound.get(issuer.discovery()).await?)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer.url()) {
        return Err(ProviderError::OtherIssuer);
    }
    let place = |name| place(&document, name, issuer);
    Ok(Metadata {
        jwks_uri: place("jwks_uri")?,
        authorization_endpoint: place("authorization_endpoint")?,
        token_endpoint: place("token_endpoint")?,
        names_itself: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
    })
}

fn place(document: &Map<String, Value>, name: &'static str, issuer: &Issuer) -> Result<Option<Url>, ProviderError> {
    let Some(value) = document.get(name) else { return Ok(None) };
    let url = value.as_str().and_then(|text| Url::parse(text).ok()).ok_or(ProviderError::Lacks(name))?;
    if !issuer.may_point_to(&url) {
        return Err(ProviderError::Elsewhere { name, host: url.host_str().unwrap_or_default().to_owned() });
    }
    Ok(Some(url))
}

/// Why an issuer cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file of certificates cannot be read.
    #[error("the certificates {} cannot be read", path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its file holds no certificate.
    #[error("{} holds no certificate in PEM", _0.display())]
    NoCertificate(PathBuf),
    /// A certificate cannot be used, or the system has none.
    #[error("no client can be made for {issuer}")]
    Client {
        /// Which issuer.
        issuer: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// Why an issuer's description or keys are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No answer that is read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The description is not JSON that is read here.
    #[error("the description of the issuer is refused: {0}")]
    Json(#[from] JsonInvalid),
    /// The description is of somebody else.
    #[error("the description is of another issuer")]
    OtherIssuer,
    /// The description lacks an address, or it is malformed.
    #[error("the description of the issuer has no usable {0}")]
    Lacks(&'static str),
    /// The description points to a host that is neither the issuer's nor listed.
    #[error("the description of the issuer points to {host} for {name}; list the host if that is meant")]
    Elsewhere {
        /// What for.
        name: &'static str,
        /// Where.
        host: String,
    },
    /// The keys are not usable.
    #[error(transparent)]
    Keys(#[from] KeySetInvalid),
}

/// Why a token is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// It is not a token.
    #[error(transparent)]
    Malformed(#[from] TokenInvalid),
    /// Its issuer is none that is configured.
    #[error("the issuer of the token is not trusted here")]
    UnknownIssuer,
    /// Its issuer has no key of this id.
    #[error("the key of the token is none of its issuer's")]
    UnknownKey,
    /// Its signature does not hold, or is of another algorithm than its key.
    #[error("the signature of the token does not hold")]
    Signature,
    /// What it claims does not hold here and now.
    #[error(transparent)]
    Claims(#[from] ClaimsRefused),
    /// Its issuer cannot be asked; nothing is wrong with the token. The cause, when it is known, is for the log.
    #[error("the issuer of the token does not answer")]
    Unavailable(Option<Arc<ProviderError>>),
}
