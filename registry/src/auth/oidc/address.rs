//! Where an outbound request may go: addresses on the public internet, and private ones of hosts that are listed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::sync::Arc;

/// How far an address may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By anybody: it is on the public internet.
    Public,
    /// Only when the host that has it is listed: loopback, private networks, carrier NAT.
    Private,
    /// Never, whoever lists it: link-local addresses and others where clouds keep their metadata services, multicast,
    /// and addresses that mean another one (tunnels, documentation, reserved).
    Never,
}

/// Metadata services that stand outside the link-local networks, of Azure, Alibaba, Oracle and Amazon.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Networks of IPv4 that are not public, by first address and prefix length, the first that holds an address decides
/// (IANA's registry of special-purpose addresses).
const NETWORKS_V4: [(Ipv4Addr, u32, Reach); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reach::Never),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Private),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::Never),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Reach::Never),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Private),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Never),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Never),
    (Ipv4Addr::new(224, 0, 0, 0), 3, Reach::Never),
];

/// Networks of IPv6, likewise. What is in none of them is never reached: only 2000::/3 is given out.
const NETWORKS_V6: [(Ipv6Addr, u32, Reach); 6] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Reach::Never),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Reach::Never),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Reach::Never),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Reach::Never),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Reach::Public),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Reach::Private),
];

/// The prefix that NAT64 writes an IPv4 address behind (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// How far `address` may be reached. An IPv4 address inside an IPv6 one is judged as itself.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Reach::Private,
        IpAddr::V6(METADATA_V6) => Reach::Never,
        IpAddr::V6(address) if address.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = address.octets();
            reach_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => NETWORKS_V6
            .iter()
            .find(|(network, prefix, _)| (address.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0)
            .map_or(Reach::Never, |(_, _, reach)| *reach),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&address) {
        return Reach::Never;
    }
    NETWORKS_V4
        .iter()
        .find(|(network, prefix, _)| (address.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0)
        .map_or(Reach::Public, |(_, _, reach)| *reach)
}

/// How names become addresses.
#[derive(Debug, Clone, Default)]
pub enum Names {
    /// By the system's resolver.
    #[default]
    System,
    /// By a table that a test holds.
    Fixed(Arc<HashMap<String, Vec<IpAddr>>>),
}

impl Names {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
            Self::Fixed(table) => {
                let addresses = table.get(name).into_iter().flatten();
                Ok(addresses.map(|address| SocketAddr::new(*address, 0)).collect())
            }
        }
    }
}

/// Why no connection is made.
#[derive(Debug, thiserror::Error)]
#[error("{host} has the address {address}, which is not a public one")]
pub(super) struct AddressRefused {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// The resolver of the outbound client. What it hands out is what the client connects to: a name is not looked up again
/// between the check and the connection.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// How names become addresses.
    pub(super) names: Names,
    /// The hosts that may have private addresses, as they stand in a URL.
    pub(super) listed: Arc<[String]>,
}

impl Guard {
    /// Whether a request to `host` may go to `address`.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        let allowed = match reach(address) {
            Reach::Public => true,
            Reach::Private => self.listed.iter().any(|listed| listed == host),
            Reach::Never => false,
        };
        if allowed { Ok(()) } else { Err(AddressRefused { host: host.to_owned(), address }) }
    }

    /// The addresses of `host`. One that is refused spoils them all, since an honest name has no such company.
    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = self.names.look_up(host).await?;
        if addresses.is_empty() {
            return Err(format!("{host} has no address").into());
        }
        for address in &addresses {
            self.check(host, address.ip())?;
        }
        Ok(addresses)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
