//! Lives here: signing people in with an issuer, as its relying party: authorization code with PKCE (OpenID Connect Core
//! 1.0 section 3.1, RFC 6749, RFC 7636, RFC 9207).
//! Never here: accounts, sessions and cookies. A [`Person`] is named by (issuer, subject) and by nothing else.
//! Start reading at [`SignIn::begin`], then [`SignIn::finish`].

mod answer;
mod exchange;
mod person;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use url::Url;

use super::issuer::{Issuer, IssuerInvalid, IssuerSettings};
use super::outbound::{FetchError, Network};
use super::path::ClaimPath;
use super::provider::{OpenError, Provider, Refused};

pub use person::Person;

/// How long a sign-in may take, in milliseconds.
pub const PATIENCE: i64 = 10 * 60 * 1000;
/// How many random bytes a sign-in takes: 32 each for state, nonce and verifier.
pub const RANDOM_BYTES: usize = 96;

/// What the registry is to an issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// The id that the issuer gave the registry.
    pub client_id: String,
    /// The secret that it gave, if any.
    #[serde(default)]
    pub client_secret: Option<ClientSecret>,
    /// How the secret is shown.
    #[serde(default)]
    pub authentication: Authentication,
    /// What is asked for besides `openid`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The claim that lists a person's groups, if any does.
    #[serde(default)]
    pub groups_claim: Option<ClaimPath>,
}

/// A secret that prints as nothing.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a client with a secret shows it at the token endpoint (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// `client_secret_basic`: in the header.
    #[default]
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

/// An issuer that people sign in with.
#[derive(Debug)]
pub struct SignIn {
    provider: Provider,
    client: ClientSettings,
}

/// A sign-in that has begun in one browser. It is given up to finish, so that no state, nonce or code is used twice.
///
/// It can be written down between the two requests, sealed or in a place that only the registry reads.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(Clone))]
pub struct Pending {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    created_at: i64,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Pending {
    /// The issuer that it began with.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn is_over(&self, now: i64) -> bool {
        now.abs_diff(self.created_at) >= PATIENCE.unsigned_abs()
    }
}

impl SignIn {
    /// Prepares an issuer. The audience of its tokens is the client's id, whatever the settings list.
    ///
    /// # Errors
    /// [`OpenRefused`] when the settings make no sense or the certificates cannot be used.
    pub fn open(issuer: IssuerSettings, client: ClientSettings, network: &Network) -> Result<Self, OpenRefused> {
        let issuer = Issuer::new(IssuerSettings { audiences: vec![client.client_id.clone()], ..issuer })?;
        Ok(Self { provider: Provider::open(issuer, network)?, client })
    }

    /// Begins: the URL to send the browser to, and what to keep until it comes back.
    ///
    /// What is kept must be bound to the browser, by a cookie that was made for this sign-in; otherwise one who began it
    /// elsewhere could have it finished here. `random` comes from the system, `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SignInRefused::Provider`] when the issuer cannot be asked, [`SignInRefused::Lacks`] when nobody can sign in there.
    pub async fn begin(
        &self,
        redirect_uri: &str,
        random: &[u8; RANDOM_BYTES],
        now: i64,
    ) -> Result<(Url, Pending), SignInRefused> {
        let metadata = self.provider.metadata(now).await?;
        let endpoint = metadata.authorization_endpoint.clone();
        let mut url = endpoint.ok_or(SignInRefused::Lacks("authorization_endpoint"))?;
        let [state, nonce, verifier] = [0, 32, 64].map(|from| URL_SAFE_NO_PAD.encode(&random[from..from + 32]));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let scopes: Vec<_> = std::iter::once("openid").chain(self.client.scopes.iter().map(String::as_str)).collect();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let issuer = self.provider.issuer().url().to_owned();
        let redirect_uri = redirect_uri.to_owned();
        Ok((url, Pending { issuer, state, nonce, verifier, redirect_uri, created_at: now }))
    }

    /// Finishes: who came back with `query`, the part of the callback's URL behind its question mark.
    ///
    /// # Errors
    /// [`SignInRefused`], each variant as it says. The sign-in is over in any case, and begins anew.
    pub async fn finish(&self, pending: Pending, query: &str, now: i64) -> Result<Person, SignInRefused> {
        if pending.is_over(now) {
            return Err(SignInRefused::Late);
        }
        if pending.issuer != self.provider.issuer().url() {
            return Err(SignInRefused::OtherIssuer);
        }
        let names_itself = self.provider.metadata(now).await?.names_itself;
        let code = answer::code(query, &pending, names_itself)?;
        let id_token = exchange::id_token(self, &pending, &code, now).await?;
        let token = self.provider.verify(&id_token, now).await?;
        person::read(&token, &pending, &self.client)
    }
}

/// Whether two secret texts are the same. What is compared are their hashes, so the time it takes tells nothing of them.
fn same(one: &str, other: &str) -> bool {
    digest(&SHA256, one.as_bytes()).as_ref() == digest(&SHA256, other.as_bytes()).as_ref()
}

/// Why an issuer cannot be signed in with at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenRefused {
    /// Its settings make no sense.
    #[error(transparent)]
    Issuer(#[from] IssuerInvalid),
    /// Its certificates cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefused {
    /// It was begun too long ago.
    #[error("the sign-in took too long; begin again")]
    Late,
    /// It was begun with another issuer, or another one answers.
    #[error("the answer is not of the issuer that the sign-in began with")]
    OtherIssuer,
    /// The answer is not to this sign-in, or its form is wrong.
    #[error("the answer does not belong to this sign-in; begin again")]
    Answer,
    /// The issuer, or the person there, refused.
    #[error("the issuer refused the sign-in: {0}")]
    Denied(String),
    /// The issuer did not give a token for the code.
    #[error("the issuer gave no token: {error} (status {status})")]
    Exchange {
        /// The status of its answer.
        status: u16,
        /// Its word for it, when it has one.
        error: String,
    },
    /// The issuer's description lacks an address that is needed.
    #[error("the issuer has no {0}")]
    Lacks(&'static str),
    /// The token is of another sign-in.
    #[error("the token belongs to another sign-in")]
    Nonce,
    /// The token was made for another client.
    #[error("the token was made for another client")]
    AuthorizedParty,
    /// The claim that should list groups does something else.
    #[error("the claim {0} does not list groups")]
    Groups(ClaimPath),
    /// The token endpoint did not answer.
    #[error("the issuer does not answer")]
    Fetch(#[from] FetchError),
    /// The token is refused, or the issuer cannot be asked.
    #[error(transparent)]
    Provider(#[from] Refused),
}

impl SignInRefused {
    /// Whether something is wrong with the answer itself, and not with asking the issuer or with the person's patience.
    pub(crate) const fn is_of_the_answer(&self) -> bool {
        match self {
            Self::OtherIssuer
            | Self::Answer
            | Self::Nonce
            | Self::AuthorizedParty
            | Self::Exchange { .. }
            | Self::Provider(
                Refused::Malformed(_)
                | Refused::UnknownIssuer
                | Refused::UnknownKey
                | Refused::Signature
                | Refused::Claims(_),
            ) => true,
            Self::Late
            | Self::Denied(_)
            | Self::Lacks(_)
            | Self::Groups(_)
            | Self::Fetch(_)
            | Self::Provider(Refused::Unavailable(_)) => false,
        }
    }
}
