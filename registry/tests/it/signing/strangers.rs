//! Who is no client of the signer's, and what no client may send.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::notary::{Client, server_keys};
use super::{Authority, Site};

/// 2100-01-02T00:00:00Z in milliseconds.
const IN_2100: i64 = 4_102_531_200_000;

/// A client that shows this certificate, or none.
async fn connect(site: &Site, shown: Option<(&Path, &Path)>) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.authority.path("ca.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    let stream = TcpStream::connect(site.signer.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The status and the document that a body is answered with.
async fn ask(site: &Site, shown: Option<(&Path, &Path)>, path: &str, body: &str) -> io::Result<(u16, Value)> {
    let mut stream = connect(site, shown).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    read(stream).await
}

async fn read(mut stream: TlsStream<TcpStream>) -> io::Result<(u16, Value)> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

fn held() -> String {
    json!({"held": {"collection": "notary1/1/x"}}).to_string()
}

#[tokio::test]
async fn a_client_without_a_certificate_or_with_a_foreign_one_is_refused() {
    let site = Site::open().await;
    assert!(ask(&site, None, "/v1/ask", &held()).await.is_err(), "none");
    let foreign = Authority::new();
    let (certificate, key) = foreign.certify("registry", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.is_err(), "of another authority");
    let (certificate, key) = site.authority.certify("other", ExtendedKeyUsagePurpose::ServerAuth);
    assert!(ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.is_err(), "of a server");
    let ended = |parameters: &mut rcgen::CertificateParams| parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (certificate, key) = site.authority.certify_with("ended", ExtendedKeyUsagePurpose::ClientAuth, ended);
    assert!(ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.is_err(), "that has ended");
    let (certificate, key) = site.authority.certify("known", ExtendedKeyUsagePurpose::ClientAuth);
    let (status, answer) = ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.unwrap();
    assert_eq!((status, answer), (200, json!({"held": {"snapshot": [], "timestamp": []}})));
}

/// The handshake looks at the machine's clock, and the signer at its own: here that one is later.
#[tokio::test]
async fn a_certificate_that_ends_while_its_connection_stands_is_taken_no_longer() {
    let site = Site::open().await;
    let ends = |parameters: &mut rcgen::CertificateParams| parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let (certificate, key) = site.authority.certify_with("ends", ExtendedKeyUsagePurpose::ClientAuth, ends);
    let shown = Some((certificate.as_path(), key.as_path()));
    assert_eq!(ask(&site, shown, "/v1/ask", &held()).await.unwrap().0, 200);
    site.signer.clock.store(IN_2100, Ordering::Relaxed);
    let (status, answer) = ask(&site, shown, "/v1/ask", &held()).await.unwrap();
    assert_eq!(status, 403, "{answer}");
}

#[tokio::test]
async fn only_the_clients_that_the_settings_name_may_ask() {
    let site = Site::with(|config| config.signer.clients = vec!["CN=registry".to_owned()]).await;
    let (certificate, key) = site.authority.certify("other", ExtendedKeyUsagePurpose::ClientAuth);
    let (status, answer) = ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.unwrap();
    assert_eq!(status, 403, "{answer}");
    let (certificate, key) = (site.authority.path("registry.pem"), site.authority.path("registry.key"));
    let (status, answer) = ask(&site, Some((&certificate, &key)), "/v1/ask", &held()).await.unwrap();
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn what_is_no_typed_request_is_refused_and_signs_nothing() {
    let site = Site::open().await;
    let (certificate, key) = site.authority.certify("known", ExtendedKeyUsagePurpose::ClientAuth);
    let shown = Some((certificate.as_path(), key.as_path()));
    for body in [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        json!({"sign_bytes": {"bytes": "AAAA"}}).to_string(),
        json!({"held": {"collection": "c", "more": 1}}).to_string(),
        json!({"public_key": {"collection": "c", "role": "root", "named": []}}).to_string(),
        json!({"public_key": {"collection": "c", "role": "targets", "named": []}}).to_string(),
        json!({"sign": {"collection": "c", "caller": "a", "root": "!", "base": [], "snapshot": {"files": []}}})
            .to_string(),
        "[".repeat(100_000),
    ] {
        let (status, answer) = ask(&site, shown, "/v1/ask", &body).await.unwrap();
        let shown: String = body.chars().take(80).collect();
        assert_eq!(status, 403, "{shown}: {answer}");
        assert!(answer["refused"]["unserved"]["not_allowed"].is_string(), "{shown}: {answer}");
    }
    let root =
        json!({"sign": {"collection": "c", "caller": "a", "root": "e30=", "base": [], "snapshot": {"files": []}}});
    assert_eq!(ask(&site, shown, "/v1/ask", &root.to_string()).await.unwrap().0, 500, "a root that is none");
    assert_eq!(ask(&site, shown, "/v2/ask", &held()).await.unwrap().0, 404, "another version");
    assert_eq!(site.look("SELECT role FROM signer_log WHERE role <> 'root'").await, [""; 0]);
}

/// Whoever records a request and sends it again gets a version that nobody has, or a refusal.
#[tokio::test]
async fn a_request_that_is_sent_again_signs_no_version_twice() {
    let site = Site::open().await;
    let keys = server_keys(&site.world).await;
    Client::new().publish(&site.world, &keys, 1).await.expect(200);
    let (certificate, key) = site.authority.certify("known", ExtendedKeyUsagePurpose::ClientAuth);
    let shown = Some((certificate.as_path(), key.as_path()));
    let collection = site
        .look("SELECT DISTINCT collection FROM signer_keys WHERE role = 'snapshot' AND collection LIKE 'notary1/%'")
        .await;
    let root = Client::file(&site.world, "root").await.expect(200).body;
    let change = json!({"sign": {
        "collection": collection[0], "caller": "7 r-1", "root": STANDARD.encode(&root), "base": [],
        "snapshot": {"files": []},
    }});
    let change = change.to_string();
    let mut versions = Vec::new();
    for _ in 0..3 {
        let (status, answer) = ask(&site, shown, "/v1/ask", &change).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        versions.push(answer["signed"]["timestamp"][0]["version"].as_i64().unwrap());
    }
    assert_eq!(versions, [2, 3, 4]);
    let twice = "SELECT role, version FROM signer_log GROUP BY collection, role, version HAVING COUNT(*) > 1";
    assert_eq!(site.look(twice).await, [""; 0]);
}

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read() {
    let site = Site::open().await;
    let (certificate, key) = site.authority.certify("known", ExtendedKeyUsagePurpose::ClientAuth);
    let mut stream = connect(&site, Some((&certificate, &key))).await.unwrap();
    let head = "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4000000000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (status, answer) = read(stream).await.unwrap();
    assert_eq!(status, 403);
    assert!(answer["refused"]["unserved"]["not_allowed"].as_str().unwrap().contains("longer than"), "{answer}");
}

#[tokio::test]
async fn a_slow_client_is_let_go_and_keeps_nobody_waiting() {
    let site = Site::with(|config| config.http.body_timeout = Duration::from_millis(200)).await;
    let (certificate, key) = site.authority.certify("known", ExtendedKeyUsagePurpose::ClientAuth);
    let shown = Some((certificate.as_path(), key.as_path()));
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&site, shown).await.unwrap();
        let head = "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 400\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let (status, _) = ask(&site, shown, "/v1/ask", &held()).await.unwrap();
    assert_eq!(status, 200);
    for stream in slow {
        // Either told or cut, and in either case over.
        if let Ok((status, answer)) = read(stream).await {
            assert_eq!(status, 403, "{answer}");
        }
    }
}
