//! What a request says about itself beside its operation: its id, who is at the other end, under which name it came.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HOST, HeaderName};
use http::{HeaderMap, Uri};

use super::server::PeerAddress;
use crate::config::Config;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Gives each request of this process a name of its own.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// Names that begin with `process`, which tells replicas apart.
    #[must_use]
    pub fn new(process: [u8; 4]) -> Self {
        Self { process: u32::from_le_bytes(process), next: AtomicU64::new(1) }
    }

    /// The next name: 8 and up to 16 hexadecimal digits.
    pub fn next(&self) -> String {
        format!("{:08x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The address of the client: the peer, or what trusted proxies say of the peer before them.
#[must_use]
pub(crate) fn client_address(config: &Config, peer: PeerAddress, headers: &HeaderMap) -> IpAddr {
    way(config, peer, headers).0
}

/// The address of the client, and how many trusted proxies the request came through: the peer, and each that named another before it.
fn way(config: &Config, peer: PeerAddress, headers: &HeaderMap) -> (IpAddr, usize) {
    let (mut address, mut named) = (peer.0.ip(), 0);
    let mut hops = list(headers, &FORWARDED_FOR).into_iter().rev();
    while config.trusts_proxy(address) {
        let Some(before) = hops.next().and_then(hop_address) else { break };
        address = before;
        named += 1;
    }
    (address, if config.trusts_proxy(peer.0.ip()) { named.max(1) } else { 0 })
}

/// The address of a hop, of which some proxies tell the port as well: `192.0.2.1:567`, `[2001:db8::1]:567`, `[2001:db8::1]`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).or_else(|| bare().map(IpAddr::V6))
}

/// Whether a browser says that another site's page asks: it would send along what it has by itself, a name and password that
/// it remembers or a client certificate.
#[must_use]
pub(crate) fn comes_from_another_site(headers: &HeaderMap) -> bool {
    headers.get(&FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none")
}

/// The URL of the token endpoint as the client can reach it.
///
/// `public_url` decides when it is set. Otherwise the scheme and host of the request do, or what a trusted proxy says of
/// them. A host that is no host name cannot get into the challenge.
#[must_use]
pub(crate) fn realm(config: &Config, peer: PeerAddress, uri: &Uri, headers: &HeaderMap) -> String {
    let host = host(config, peer, uri, headers);
    if let Some(public) = &config.public_url
        && !host.as_deref().is_some_and(|host| config.aliases.iter().any(|alias| alias == host))
    {
        return format!("{}/token", public.as_str().trim_end_matches('/'));
    }
    let proto = forwarded(config, peer, headers, &FORWARDED_PROTO);
    let secure = proto.map_or(config.tls.is_some(), |proto| proto.eq_ignore_ascii_case("https"));
    let scheme =
        if secure || config.public_url.as_ref().is_some_and(|url| url.scheme() == "https") { "https" } else { "http" };
    let host = host.unwrap_or_else(|| config.listen.to_string());
    format!("{scheme}://{host}/token")
}

/// Whether `named`, a host with an optional port, is one of this registry's names: the public one or an alias, or the name
/// that the request came under where no public one is set. One spelling is one: in small letters, or each would be a collection.
#[must_use]
pub(crate) fn is_own_name(config: &Config, peer: PeerAddress, uri: &Uri, headers: &HeaderMap, named: &str) -> bool {
    match &config.public_url {
        Some(public) => {
            let authority = public.as_str().split_once("://").map_or("", |(_, rest)| rest);
            let authority = authority.split('/').next().unwrap_or_default();
            authority.to_ascii_lowercase() == named || config.aliases.iter().any(|alias| *alias == named)
        }
        None => host(config, peer, uri, headers).is_some_and(|host| host == named),
    }
}

fn host(config: &Config, peer: PeerAddress, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let host = forwarded(config, peer, headers, &FORWARDED_HOST);
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str())).or_else(|| text(headers, &HOST))?;
    let plain = !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'));
    plain.then(|| host.to_ascii_lowercase())
}

/// What the trusted proxy that is farthest away says it was asked. Some proxies put what they were asked behind what they were
/// sent, so that it is counted from the end: what stands before it a stranger may have written.
fn forwarded<'a>(config: &Config, peer: PeerAddress, headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let (_, proxies) = way(config, peer, headers);
    let said = list(headers, name);
    // One that puts nothing into the list leaves it shorter than the way is.
    said[said.len().saturating_sub(proxies)..].first().copied().filter(|said| !said.is_empty())
}

/// The elements of a header that is a list, over all of its lines; one that is no text is empty, and leaves the others as they are.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let elements = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.map(|element| std::str::from_utf8(element).map_or("", str::trim)).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
