//! What a request says of itself, and whom the registry believes.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::request::client_address;
use super::server::PeerAddress;
use crate::config::{self, Config, Purpose, Sources};

fn config(trusted: &[&str]) -> Config {
    let mut config = config::load(&Sources::default(), Purpose::Serve).unwrap().config;
    config.trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
    config
}

fn client(trusted: &[&str], peer: &str, forwarded: &[&'static str]) -> IpAddr {
    let mut headers = HeaderMap::new();
    for value in forwarded {
        headers.append("x-forwarded-for", HeaderValue::from_static(value));
    }
    client_address(&config(trusted), PeerAddress((peer.parse::<IpAddr>().unwrap(), 1).into()), &headers)
}

#[test]
fn the_client_is_the_peer_unless_a_trusted_proxy_names_another() {
    let table: &[(&[&str], &str, &[&'static str], &str)] = &[
        (&[], "192.0.2.1", &[], "192.0.2.1"),
        (&[], "192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
        (&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
        (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
        (&["10.0.0.0/8"], "10.0.0.1", &[], "10.0.0.1"),
        // What the client itself wrote in front of the proxy's word is not believed.
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66, 198.51.100.9"], "198.51.100.9"),
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66", "198.51.100.9"], "198.51.100.9"),
        // Proxies in a row.
        (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9, 10.0.0.2"], "198.51.100.9"),
        // Nonsense ends the walk where it stands.
        (&["10.0.0.0/8"], "10.0.0.1", &["nonsense"], "10.0.0.1"),
        (&["10.0.0.0/8"], "10.0.0.1", &["nonsense, 10.0.0.2"], "10.0.0.2"),
        (&["fd00::/8"], "fd00::1", &["2001:db8::5"], "2001:db8::5"),
    ];
    for (trusted, peer, forwarded, expected) in table {
        assert_eq!(client(trusted, peer, forwarded).to_string(), *expected, "{trusted:?} {peer} {forwarded:?}");
    }
}
