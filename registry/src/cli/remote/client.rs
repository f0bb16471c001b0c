//! The management API as a program far away asks it: one request, one answer, both bounded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url, form_urlencoded};

use super::table::harmless;
use crate::cli::output::Failure;
use crate::config::Secret;
use crate::telemetry::chain;

/// How long a connection may take to stand, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long one request may take from its first byte to the last of its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes: a page of a thousand entries with their descriptions.
const ANSWER_BYTES: usize = 16 << 20;
/// The longest file of certificates that is read, in bytes.
const CERTIFICATES_BYTES: u64 = 1 << 20;
/// The entries that a page is asked to have, as a query.
const PAGE: &str = "1000";

/// Where a registry is, and what is asked of the connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Scheme, host and port, and nothing else.
    pub(super) url: Url,
    /// The only certificates that are trusted, in PEM; the machine's, when absent.
    pub(super) ca: Option<PathBuf>,
    /// Whether plain HTTP is spoken also where others can listen.
    pub(super) insecure_http: bool,
}

impl Address {
    /// From what was typed. Without a scheme, HTTPS is meant.
    pub(super) fn typed(text: &str, ca: Option<PathBuf>, insecure_http: bool) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::Usage(format!("{text:?} is no address of a registry: {why}"));
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&whole).map_err(|_| invalid("write it like https://registry.example.com"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return Err(invalid("write it like https://registry.example.com"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Not shown again: what stands there is a password.
            return Err(Failure::Usage("leave name and password out of the address; use --user".to_owned()));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it ends after the host and the port"));
        }
        let address = Self { url, ca, insecure_http };
        address.check()?;
        Ok(address)
    }

    /// Refuses to send a password or a token where others can read it, unless that was asked for.
    fn check(&self) -> Result<(), Failure> {
        if self.url.scheme() == "https" || self.insecure_http || is_loopback(&self.url) {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} is plain HTTP, and others could read the password: use https://, or --insecure-http where nobody listens",
            self.url
        )))
    }

    /// `host` or `host:port`, as docker names a registry.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What is shown to be somebody.
#[derive(Clone, Copy, Debug)]
pub(super) enum Credential<'a> {
    /// A name and a password.
    Password(&'a str, &'a Secret),
    /// A personal access token.
    Token(&'a Secret),
    /// Nothing: what is asked for is a token.
    Nothing,
}

impl Credential<'_> {
    fn header(self) -> Result<Option<HeaderValue>, Failure> {
        let text = match self {
            Self::Password(user, password) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
            }
            Self::Token(token) => format!("Bearer {}", token.expose()),
            Self::Nothing => return Ok(None),
        };
        let unusable = |_| Failure::Failed("the token of this context cannot be sent: sign in again".to_owned());
        let mut value = HeaderValue::try_from(text).map_err(unusable)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// One request of the API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// The parts of the path below `/api/v1`, not encoded.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Ask {
    pub(super) fn new(method: Method, path: &[&str]) -> Self {
        Self { method, path: path.iter().map(|part| (*part).to_owned()).collect(), query: Vec::new(), body: None }
    }

    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    pub(super) fn patch(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, path) }
    }

    pub(super) fn put(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path) }
    }

    pub(super) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// With a parameter, when it has a value.
    pub(super) fn with(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

/// What stands at a path.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) body: Vec<u8>,
    /// What `Docker-Content-Digest` says.
    pub(super) digest: Option<String>,
}

/// A refusal in the words of RFC 6749 section 5.2.
#[derive(Debug, Deserialize)]
pub(super) struct Word {
    pub(super) error: String,
    pub(super) error_description: Option<String>,
}

impl Word {
    /// What a person is told of it.
    pub(super) fn told(&self) -> String {
        harmless(self.error_description.as_ref().unwrap_or(&self.error))
    }
}

/// The API of one registry, asked as one person.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Client {
    pub(super) fn new(address: &Address, credential: Credential<'_>) -> Result<Self, Failure> {
        address.check()?;
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hallmark/", env!("CARGO_PKG_VERSION")))
            // What is sent is for this host: an answer that leads elsewhere is a failure that says so.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT);
        let builder = match (&address.ca, address.url.scheme()) {
            // A proxy would see the password, and no certificate is looked at.
            (_, "http") => builder.no_proxy().tls_certs_only([]),
            (Some(file), _) => builder.tls_certs_only(certificates(file)?),
            (None, _) => builder,
        };
        let http = builder
            .build()
            .map_err(|error| Failure::Failed(format!("no connection can be made ready: {}", chain(&error))))?;
        Ok(Self { http, url: address.url.clone(), authorization: credential.header()? })
    }

    /// What the request is answered.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        let body = self.answer(ask).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let why = format!("the answer is not understood ({error}): is the registry another version of hallmark?");
            Failure::Failed(why)
        })
    }

    /// What the request is answered, when there is such a thing.
    pub(super) async fn find<T: DeserializeOwned>(&self, ask: Ask) -> Result<Option<T>, Failure> {
        match self.ask(ask).await {
            Ok(found) => Ok(Some(found)),
            Err(Failure::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a request whose answer says nothing more than that it is done.
    pub(super) async fn tell(&self, ask: Ask) -> Result<(), Failure> {
        self.answer(ask).await.map(drop)
    }

    /// All pages of a list.
    pub(super) async fn all<T: DeserializeOwned>(&self, ask: Ask) -> Result<Vec<T>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page: Page<T> = self.page(ask.clone(), after).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The page of a list that begins after this cursor.
    pub(super) async fn page<T: DeserializeOwned>(&self, ask: Ask, after: Option<String>) -> Result<Page<T>, Failure> {
        let sized = ask.query.iter().any(|(name, _)| *name == "limit");
        let ask = ask.with("limit", (!sized).then_some(PAGE));
        self.ask(match after {
            Some(after) => {
                let mut ask = ask;
                ask.query.retain(|(name, _)| *name != "after");
                ask.with("after", Some(after))
            }
            None => ask,
        })
        .await
    }

    /// What a form that is sent beside the API is answered; the inner error is a refusal in the words of OAuth.
    pub(super) async fn form<T: DeserializeOwned>(
        &self,
        path: &[&str],
        fields: &[(&str, &str)],
    ) -> Result<Result<T, Word>, Failure> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.clear().extend(path);
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let mut response = request.send().await.map_err(|error| self.unanswered(error))?;
        let body = self.bounded(&mut response).await?;
        if !response.status().is_success() {
            return serde_json::from_slice(&body).map(Err).map_err(|_| self.refused(&response, &body));
        }
        // The answer may hold a token: nothing of it is repeated.
        let strange = |_| Failure::Failed(format!("the answer of {} is not understood", self.url));
        serde_json::from_slice(&body).map(Ok).map_err(strange)
    }

    /// What stands at a path beside the API; `None` when nothing does.
    pub(super) async fn raw(&self, path: &str) -> Result<Option<Found>, Failure> {
        let mut response = self.at(path).await?;
        let body = self.bounded(&mut response).await?;
        self.found(&response, body)
    }

    /// The same, of which no more is read than it takes to know that it has more than `most` bytes.
    pub(super) async fn raw_up_to(&self, path: &str, most: u64) -> Result<Option<Found>, Failure> {
        let mut response = self.at(path).await?;
        let mut body = Vec::new();
        while body.len() as u64 <= most
            && let Some(chunk) = response.chunk().await.map_err(|error| self.unanswered(error))?
        {
            body.extend_from_slice(&chunk);
        }
        self.found(&response, body)
    }

    async fn at(&self, path: &str) -> Result<Response, Failure> {
        let mut url = self.url.clone();
        url.set_path(path);
        let mut request = self.http.get(url).header(ACCEPT, "*/*");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.send().await.map_err(|error| self.unanswered(error))
    }

    fn found(&self, response: &Response, body: Vec<u8>) -> Result<Option<Found>, Failure> {
        let digest = response.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        let digest = digest.map(str::to_owned);
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Found { body, digest })),
            _ => Err(self.refused(response, &body)),
        }
    }

    async fn answer(&self, ask: Ask) -> Result<Vec<u8>, Failure> {
        let mut request = self.http.request(ask.method.clone(), located(&self.url, &ask)?);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(|error| self.unanswered(error))?;
        let body = self.bounded(&mut response).await?;
        if response.status().is_success() { Ok(body) } else { Err(self.refused(&response, &body)) }
    }

    async fn bounded(&self, response: &mut Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unanswered(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err(Failure::Failed(format!("the answer of {} is longer than 16 MiB", self.url)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unanswered(&self, error: reqwest::Error) -> Failure {
        let why = harmless(&chain(&error.without_url()));
        Failure::NoServer(format!("no server answers at {}: {why}{}", self.url, advice(&why)))
    }

    /// Says why a request was refused; nothing that was sent is repeated.
    fn refused(&self, response: &Response, body: &[u8]) -> Failure {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another place");
            let (url, to) = (&self.url, harmless(to));
            return Failure::Failed(format!("{url} sends us on to {to}: sign in there if you trust it"));
        }
        let Some(message) = message(body) else {
            let why = format!("{} answered {status}, and not as a hallmark with a management API does", self.url);
            return if status == StatusCode::NOT_FOUND { Failure::NotFound(why) } else { Failure::Failed(why) };
        };
        match status {
            StatusCode::UNAUTHORIZED => Failure::NotSignedIn(message),
            StatusCode::FORBIDDEN => Failure::NotAllowed(message),
            StatusCode::NOT_FOUND => Failure::NotFound(message),
            _ => Failure::Failed(message),
        }
    }
}

/// The sentences of the registry's envelope of failures.
fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Line>,
    }
    #[derive(Deserialize)]
    struct Line {
        message: String,
    }
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let lines: Vec<_> = envelope.errors.iter().map(|line| harmless(&line.message)).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// The request's whole address. A part is one part, whatever stands in it.
fn located(base: &Url, ask: &Ask) -> Result<Url, Failure> {
    let mut url = base.clone();
    if let Some(part) = ask.path.iter().find(|part| matches!(part.as_str(), "" | "." | "..")) {
        return Err(Failure::Usage(format!("{part:?} is no name")));
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(["api", "v1"]).extend(&ask.path);
    }
    if !ask.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&ask.query);
    }
    Ok(url)
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let unusable =
        |why: String| Failure::Failed(format!("the certificates in {} cannot be used: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| unusable(error.to_string()))?.len();
    if size > CERTIFICATES_BYTES {
        return Err(unusable("the file is longer than 1 MiB".to_owned()));
    }
    let text = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| unusable(chain(&error)))?;
    if found.is_empty() { Err(unusable("there is none".to_owned())) } else { Ok(found) }
}

/// What to do about a connection that failed so.
fn advice(why: &str) -> &'static str {
    if why.contains("CaUsedAsEndEntity") {
        "; it shows the certificate of an authority, which is none of a server: make it one that the authority signs"
    } else if why.contains("certificate") {
        "; its own authority is named with `hallmark login --ca FILE`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
