//! One issuer as the operator describes it: its exact name, whom its tokens must be for, and where it may be asked.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::outbound::is_loopback;

/// Where the description of an issuer stands, below its URL (OpenID Connect Discovery 1.0 section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer as a configuration names it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The `iss` of its tokens, compared byte by byte, and the URL below which it describes itself.
    pub issuer: String,
    /// The audiences that its tokens may be for. Every audience of a token must be one of them.
    pub audiences: Vec<String>,
    /// The certificates (PEM) to trust for it instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Where its keys are; without this, where it says they are.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// Further hosts, each `host` or `host:port`, that its description may point to.
    #[serde(default)]
    pub further_hosts: Vec<String>,
    /// Whether it may be asked by plain `http`, which only an issuer on loopback may.
    #[serde(default)]
    pub insecure: bool,
}

/// An issuer whose settings make sense.
#[derive(Debug, Clone)]
pub struct Issuer {
    settings: IssuerSettings,
    base: Url,
    discovery: Url,
    jwks_uri: Option<Url>,
}

/// Why settings are not those of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerInvalid {
    /// Not an `https` URL without user, query and fragment.
    #[error("the issuer {0:?} is not an https URL without user, query and fragment")]
    Url(String),
    /// `insecure` on an issuer that is elsewhere.
    #[error("the issuer {0:?} is not on loopback, so it cannot be insecure")]
    Insecure(String),
    /// No audience, or an empty one: its tokens would be for everybody.
    #[error("the issuer {0:?} has no audience; name the one that tokens for this registry carry")]
    Audience(String),
    /// `jwks_uri` is not a URL that may be asked.
    #[error("the key set {0:?} is not an https URL")]
    KeySet(String),
}

impl Issuer {
    /// Checks settings; nothing is asked and no file is read.
    ///
    /// # Errors
    /// [`IssuerInvalid`], each variant as it says.
    pub fn new(settings: IssuerSettings) -> Result<Self, IssuerInvalid> {
        let refused = || IssuerInvalid::Url(settings.issuer.clone());
        let base = Url::parse(&settings.issuer).map_err(|_| refused())?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refused());
        }
        if settings.insecure && !is_loopback(&base) {
            return Err(IssuerInvalid::Insecure(settings.issuer));
        }
        if !may_be_asked(&base, settings.insecure) {
            return Err(refused());
        }
        if settings.audiences.is_empty() || settings.audiences.iter().any(|audience| audience.trim().is_empty()) {
            return Err(IssuerInvalid::Audience(settings.issuer));
        }
        let below = format!("{}{DISCOVERY}", settings.issuer.trim_end_matches('/'));
        let discovery = Url::parse(&below).map_err(|_| refused())?;
        let jwks_uri = settings.jwks_uri.as_deref().map(|text| {
            let url = Url::parse(text).ok().filter(|url| may_be_asked(url, settings.insecure));
            url.ok_or_else(|| IssuerInvalid::KeySet(text.to_owned()))
        });
        Ok(Self { jwks_uri: jwks_uri.transpose()?, settings, base, discovery })
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.settings.issuer
    }

    /// The audiences that its tokens may be for; at least one.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.settings.audiences
    }

    pub(super) fn ca_file(&self) -> Option<&PathBuf> {
        self.settings.ca_file.as_ref()
    }

    pub(super) fn discovery(&self) -> &Url {
        &self.discovery
    }

    pub(super) fn jwks_uri(&self) -> Option<&Url> {
        self.jwks_uri.as_ref()
    }

    /// The host that plain `http` is spoken to, when it is.
    pub(super) fn plain_loopback(&self) -> Option<&str> {
        self.base.host_str().filter(|_| self.settings.insecure)
    }

    /// Whether its description may point to `url`: a place of its own host, or of one that is listed.
    pub(super) fn may_point_to(&self, url: &Url) -> bool {
        let place = authority(url);
        may_be_asked(url, self.settings.insecure)
            && (place == authority(&self.base) || self.settings.further_hosts.contains(&place))
    }
}

fn may_be_asked(url: &Url, insecure: bool) -> bool {
    let scheme = url.scheme() == "https" || (insecure && url.scheme() == "http" && is_loopback(url));
    scheme && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()
}

/// `host`, or `host:port` when the port is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
