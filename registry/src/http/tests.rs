//! What a request says of itself, and whom the registry believes.

use std::io;
use std::net::IpAddr;

use hallmark_oci::ErrorCode;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use insta::assert_snapshot;
use serde_json::json;

use super::error::{Cause, Error};
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
        // Some tell the port as well, of themselves and of the client.
        (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9:567"], "198.51.100.9"),
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66, 198.51.100.9:567, 10.0.0.2:80"], "198.51.100.9"),
        (&["10.0.0.0/8"], "10.0.0.1", &["[2001:db8::5]:567"], "2001:db8::5"),
        (&["10.0.0.0/8"], "10.0.0.1", &["[2001:db8::5]"], "2001:db8::5"),
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66, 198.51.100.9:no"], "10.0.0.1"),
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66, [198.51.100.9]:1"], "10.0.0.1"),
        (&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.66, 198.51.100.9:"], "10.0.0.1"),
    ];
    for (trusted, peer, forwarded, expected) in table {
        assert_eq!(client(trusted, peer, forwarded).to_string(), *expected, "{trusted:?} {peer} {forwarded:?}");
    }
}

/// The status, what asks the client to come back, and the body of the answer to the request `0a0b0c0d-7`.
async fn answered(error: Error) -> String {
    let response = error.answer("0a0b0c0d-7");
    let retry = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let (status, cause) = (response.status(), response.extensions().get::<Cause>().is_some());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    format!("{status}, cause kept: {cause}, retry after: {retry:?}\n{}", String::from_utf8_lossy(&body))
}

#[tokio::test]
async fn a_full_store_is_told_as_such_and_asks_to_come_back() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert_snapshot!(answered(Error::full(full)).await, @r#"
    507 Insufficient Storage, cause kept: true, retry after: Some("5")
    {"errors":[{"code":"INSUFFICIENT_STORAGE","detail":{"request_id":"0a0b0c0d-7"},"message":"the registry's storage is full; nothing of this request was kept"}]}
    "#);
}

#[tokio::test]
async fn a_5xx_tells_the_request_id_beside_what_it_tells_already_and_a_4xx_does_not() {
    let checks = Error::unavailable("not ready", None).detail(json!({"store": "failed"}));
    assert_snapshot!(answered(checks).await, @r#"
    503 Service Unavailable, cause kept: false, retry after: Some("5")
    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"0a0b0c0d-7","store":"failed"},"message":"not ready"}]}
    "#);
    assert_snapshot!(answered(Error::plain(ErrorCode::BlobUnknown)).await, @r#"
    404 Not Found, cause kept: false, retry after: None
    {"errors":[{"code":"BLOB_UNKNOWN","detail":null,"message":"this repository holds no such blob"}]}
    "#);
}
