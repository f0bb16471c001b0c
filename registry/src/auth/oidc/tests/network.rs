//! Where requests go, and what of an answer is read (threat 38).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::dns::Resolve as _;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::stage::{AUDIENCE, Answer, DISCOVERY, JWKS, NOW, Signer, Stage};
use crate::auth::oidc::address::Guard;
use crate::auth::oidc::outbound::{ANSWER_BYTES, Outbound};
use crate::auth::oidc::{
    FetchError, Issuer, IssuerSettings, Names, Network, Provider, ProviderError, Reach, Refused, reach,
};

#[test]
fn only_addresses_of_the_public_internet_are_public() {
    for (addresses, expected) in [
        ("1.1.1.1 8.8.8.8 172.15.255.255 172.32.0.1 100.63.255.255 100.128.0.1 223.255.255.255", Reach::Public),
        ("2606:4700::1111 2a00:1450::1 64:ff9b::808:808 ::ffff:8.8.8.8", Reach::Public),
        (
            "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 198.19.0.1",
            Reach::Private,
        ),
        ("::1 fc00::1 fdff::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 64:ff9b::a00:1", Reach::Private),
        ("0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.2 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255", Reach::Never),
        ("192.0.0.192 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 100.100.100.200 168.63.129.16", Reach::Never),
        (":: fe80::1 fec0::1 ff02::1 fd00:ec2::254 ::7f00:1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe", Reach::Never),
        ("2002:a9fe:a9fe::1 2001::1 2001:db8::1 3fff::1 100::1 64:ff9b:1::1 4000::1", Reach::Never),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }
}

fn table(names: &[(&str, &[&str])]) -> Names {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
    Names::Fixed(Arc::new(names.iter().map(|(name, texts)| ((*name).to_owned(), addresses(texts))).collect()))
}

async fn get(network: &Network, url: &str) -> FetchError {
    let outbound = Outbound::open(network, None, None).unwrap();
    outbound.get(&Url::parse(url).unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_name_with_an_inner_address_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = table(&[
        ("metadata.example", &["169.254.169.254"]),
        ("loopback.example", &["127.0.0.1"]),
        ("mixed.example", &["1.1.1.1", "10.0.0.1"]),
        ("six.example", &["::1"]),
        ("mapped.example", &["::ffff:10.1.2.3"]),
        ("carrier.example", &["100.64.1.1"]),
        ("local.example", &["fd12::1"]),
    ]);
    let network = Network { names, ..Network::default() };
    for host in ["metadata", "loopback", "mixed", "six", "mapped", "carrier", "local"] {
        let refused = get(&network, &format!("https://{host}.example:{port}/jwks")).await;
        assert!(matches!(&refused, FetchError::Address { host: named, .. } if named.starts_with(host)), "{refused:?}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "nothing connected");
    assert!(matches!(get(&network, "https://nowhere.example/").await, FetchError::Transport { .. }));
}

#[tokio::test]
async fn an_address_instead_of_a_name_is_judged_alike() {
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:169.254.169.254]", "169.254.169.254", "0"] {
        let refused = get(&Network::default(), &format!("https://{host}/")).await;
        assert!(matches!(refused, FetchError::Address { .. }), "{host}: {refused:?}");
    }
    for url in ["http://registry.example/", "https://u:p@registry.example/", "ftp://registry.example/", "data:,x"] {
        assert!(matches!(get(&Network::default(), url).await, FetchError::Url(_)), "{url}");
    }
}

#[tokio::test]
async fn a_listed_host_may_be_private_and_no_metadata_service() {
    let names = table(&[("in.example", &["10.0.0.1"]), ("meta.example", &["169.254.169.254"])]);
    let listed = ["in.example", "meta.example", "10.0.0.2", "169.254.169.254"].map(str::to_owned);
    let guard = Guard { names, listed: Arc::new(listed) };
    let mut addresses = guard.resolve("in.example".parse().unwrap()).await.unwrap();
    assert_eq!(addresses.next().unwrap().ip().to_string(), "10.0.0.1");
    assert!(guard.resolve("meta.example".parse().unwrap()).await.is_err());
    assert!(guard.check("10.0.0.2", "10.0.0.2".parse().unwrap()).is_ok());
    assert!(guard.check("10.0.0.3", "10.0.0.3".parse().unwrap()).is_err());
    assert!(guard.check("169.254.169.254", "169.254.169.254".parse().unwrap()).is_err());
    assert!(guard.check("sub.in.example", "10.0.0.1".parse().unwrap()).is_err());
}

/// Threat 38: the first look-up is harmless, the next one is not. Each connection goes to what was checked for it.
#[tokio::test]
async fn a_name_that_moves_is_checked_for_every_connection() {
    let addresses = |text: &str| HashMap::from([("moving.example".to_owned(), vec![text.parse().unwrap()])]);
    let guard = |text| Guard { names: Names::Fixed(Arc::new(addresses(text))), listed: Arc::new([]) };
    let handed: Vec<_> = guard("1.1.1.1").resolve("moving.example".parse().unwrap()).await.unwrap().collect();
    assert_eq!(handed, ["1.1.1.1:0".parse().unwrap()], "exactly what was checked");
    assert!(guard("127.0.0.1").resolve("moving.example".parse().unwrap()).await.is_err());
}

async fn failure(stage: &Stage, network: &Network) -> FetchError {
    let provider = Provider::open(Issuer::new(stage.settings()).unwrap(), network).unwrap();
    let token = Signer::new("ES256", "key").token(&stage.claims(json!({})));
    let Err(Refused::Unavailable(Some(cause))) = provider.verify(&token, NOW).await else { panic!("it was answered") };
    match Arc::into_inner(drop_provider(provider, cause)) {
        Some(ProviderError::Fetch(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The provider keeps the cause too.
fn drop_provider(provider: Provider, cause: Arc<ProviderError>) -> Arc<ProviderError> {
    drop(provider);
    cause
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let key = Signer::new("ES256", "key");
    let (stage, other) = (Stage::open(&[&key]).await, Stage::open(&[&key]).await);
    for path in [DISCOVERY, JWKS] {
        stage.describe(json!({}));
        for to in
            [format!("{}{path}", other.url), format!("{}/elsewhere", stage.url), "http://169.254.169.254/".to_owned()]
        {
            stage.set(path, Answer::Redirect(to));
            assert!(matches!(failure(&stage, &Network::default()).await, FetchError::Redirect(_)));
        }
    }
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn an_answer_is_read_up_to_a_bound() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    for bytes in [ANSWER_BYTES + 1, 64 * 1024 * 1024] {
        stage.set(JWKS, Answer::Huge(bytes));
        assert!(matches!(failure(&stage, &Network::default()).await, FetchError::TooLong(_)));
    }
}

#[tokio::test]
async fn a_silent_issuer_is_not_waited_for() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    stage.set(JWKS, Answer::Silence);
    let network = Network { whole: Duration::from_millis(200), ..Network::default() };
    let failure = failure(&stage, &network).await;
    assert!(matches!(&failure, FetchError::Transport { source, .. } if source.is_timeout()), "{failure:?}");
}

/// An issuer by TLS on loopback that answers every request with `body`; the port, and its certificate in PEM.
async fn tls_issuer(
    body: impl Fn(u16) -> String + Send + Sync + 'static,
) -> (u16, String, tokio::task::JoinHandle<()>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let Ok(mut connection) = acceptor.accept(connection).await else { continue };
            let mut request = [0; 4096];
            let read = connection.read(&mut request).await.unwrap_or(0);
            let keys = String::from_utf8_lossy(&request[..read]).contains(JWKS);
            let body = if keys { body(0) } else { body(port) };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            drop(connection.write_all(format!("{head}{body}").as_bytes()).await);
            drop(connection.shutdown().await);
        }
    });
    (port, cert.pem(), task)
}

#[tokio::test]
async fn an_issuer_with_an_authority_of_its_own_is_trusted_by_that_file_only() {
    let key = Signer::new("ES256", "key");
    let keys = json!({"keys": [key.jwk()]}).to_string();
    let (port, certificate, task) = tls_issuer(move |port| match port {
        0 => keys.clone(),
        port => {
            let url = format!("https://localhost:{port}");
            json!({"issuer": url, "jwks_uri": format!("{url}{JWKS}")}).to_string()
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let issuer = format!("https://localhost:{port}");
    let token = key.token(&json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "x", "iat": NOW / 1000, "exp": NOW / 1000 + 300,
    }));
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    let names = table(&[("localhost", &["127.0.0.1"])]);
    let network = Network { names, allowed_private_hosts: vec!["localhost".to_owned()], ..Network::default() };
    for (pem, accepted) in [(Some(certificate), true), (Some(other), false), (None, false)] {
        let file = folder.path().join("ca.pem");
        let ca_file = pem.map(|pem| std::fs::write(&file, pem).map(|()| file).unwrap());
        let settings = IssuerSettings {
            issuer: issuer.clone(),
            audiences: vec![AUDIENCE.to_owned()],
            ca_file,
            ..Default::default()
        };
        let provider = Provider::open(Issuer::new(settings).unwrap(), &network).unwrap();
        let verified = provider.verify(&token, NOW).await;
        assert_eq!(verified.is_ok(), accepted, "{verified:?}");
    }
    task.abort();
}
