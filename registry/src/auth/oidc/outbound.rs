//! The client for requests to issuers. It follows nothing, waits and reads only so much, and goes to no inner network.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::tls::{Certificate, Version};
use reqwest::{Client, RequestBuilder, StatusCode};
use url::{Host, Url};

use super::address::{AddressRefused, Guard, Names};

/// The longest answer that is read, in bytes.
pub(super) const ANSWER_BYTES: usize = 256 * 1024;

const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);

/// What holds for every request to the outside.
#[derive(Debug, Clone)]
pub struct Network {
    /// Hosts that may have private addresses, as in a URL: lower case, IPv6 in brackets, without a port.
    pub allowed_private_hosts: Vec<String>,
    /// How names become addresses.
    pub names: Names,
    /// How long a connection may take to stand.
    pub connect: Duration,
    /// How long a request may take, to the last byte of its answer.
    pub whole: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self { allowed_private_hosts: Vec::new(), names: Names::System, connect: CONNECT, whole: WHOLE }
    }
}

/// Why a request to an issuer brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Neither `https`, nor `http` on loopback where that is allowed; or the URL holds a password.
    #[error("{0} is not a URL that is asked")]
    Url(String),
    /// The host has an address that nobody listed.
    #[error("{host} has the address {address}, which is not a public one; list the host if that is meant")]
    Address {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// The answer points elsewhere, which is never followed.
    #[error("{0} redirects, which is not followed")]
    Redirect(String),
    /// Another status than 200.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// The answer is longer than what is read.
    #[error("{0} answers with more than {ANSWER_BYTES} bytes")]
    TooLong(String),
    /// No connection, no TLS, no answer in time.
    #[error("{url} does not answer")]
    Transport {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// A client for one issuer.
#[derive(Debug)]
pub(super) struct Outbound {
    client: Client,
    guard: Guard,
    plain_loopback: bool,
}

impl Outbound {
    /// Makes a client that trusts the system's authorities, or only `authorities`. With `plain_loopback`
    /// it speaks `http` to hosts of that kind; a test's server is one.
    pub(super) fn open(
        network: &Network,
        authorities: Option<Vec<Certificate>>,
        plain_loopback: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let listed = network.allowed_private_hosts.iter().map(String::as_str).chain(plain_loopback);
        let guard = Guard { names: network.names.clone(), listed: listed.map(str::to_owned).collect() };
        let mut builder = Client::builder()
            .tls_version_min(Version::TLS_1_2)
            .https_only(plain_loopback.is_none())
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            // A connection that is kept would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .connect_timeout(network.connect)
            .timeout(network.whole)
            .dns_resolver(Arc::new(guard.clone()));
        if let Some(authorities) = authorities {
            builder = builder.tls_certs_only(authorities);
        }
        Ok(Self { client: builder.build()?, guard, plain_loopback: plain_loopback.is_some() })
    }

    /// The body of a 200 answer.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        match self.send(url, self.client.get(url.clone())).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(FetchError::Status { url: text(url), status: status.as_u16() }),
        }
    }

    /// Posts a form; the status and body of the answer, whichever they are.
    pub(super) async fn post(
        &self,
        url: &Url,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let mut request =
            self.client.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.send(url, request).await.map(|(status, body)| (status.as_u16(), body))
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), FetchError> {
        self.check(url)?;
        let failed = |error| transport(url, error);
        let mut answer = request.header(ACCEPT, "application/json").send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(text(url)));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err(FetchError::TooLong(text(url)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    /// A host that is an address is never resolved, so it is checked here.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        let scheme = url.scheme();
        let speaks = scheme == "https" || (scheme == "http" && self.plain_loopback && is_loopback(url));
        if !speaks || !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url(text(url)));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(FetchError::Url(text(url))),
        };
        self.guard.check(url.host_str().unwrap_or_default(), address).map_err(refused)
    }
}

/// Whether the host of `url` can only be this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn refused(AddressRefused { host, address }: AddressRefused) -> FetchError {
    FetchError::Address { host, address }
}

/// Finds the refusal of an address among the causes of a failed connection.
fn transport(url: &Url, error: reqwest::Error) -> FetchError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(AddressRefused { host, address }) = inner.downcast_ref() {
            return FetchError::Address { host: host.clone(), address: *address };
        }
        cause = inner.source();
    }
    FetchError::Transport { url: text(url), source: error.without_url() }
}

/// A URL as messages name it: without what may be secret in it.
fn text(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
