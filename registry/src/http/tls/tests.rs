//! Certificates: what is accepted, and that they are replaced under a running server or kept.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};
use rustls::client::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::{RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// A certificate and key in files that can be replaced.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn tls(&self) -> Tls {
        Tls { certificate: self.path("cert.pem"), key: self.path("key.pem"), client_ca: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a fresh pair and gives the certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let Generated { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.path("cert.pem"), cert.pem()).unwrap();
        fs::write(self.path("key.pem"), signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }
}

/// The certificate that a client is shown, and the protocol that is agreed on.
async fn handshake(
    certificates: &Certificates,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> io::Result<(CertificateDer<'static>, Option<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(certificates.server_config());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        acceptor.accept(stream).await
    });
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let client =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let shown = client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    let protocol = client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    server.await.unwrap()?;
    Ok((shown, protocol))
}

#[tokio::test]
async fn both_versions_are_spoken_and_http2_is_offered() {
    let files = Files::new();
    let certificate = files.renew();
    let certificates = Certificates::load(files.tls()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (shown, protocol) = handshake(&certificates, &certificate, version).await.unwrap();
        assert_eq!((shown, protocol.as_deref()), (certificate.clone(), Some(&b"h2"[..])));
    }
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_to_the_next_client() {
    let files = Files::new();
    files.renew();
    let certificates = Certificates::load(files.tls()).unwrap();
    let renewed = files.renew();
    certificates.reload().unwrap();
    let (shown, _) = handshake(&certificates, &renewed, &rustls::version::TLS13).await.unwrap();
    assert_eq!(shown, renewed);
}

#[tokio::test]
async fn a_pair_that_does_not_match_leaves_the_old_one() {
    let files = Files::new();
    let certificate = files.renew();
    let certificates = Certificates::load(files.tls()).unwrap();
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(files.path("cert.pem"), other.cert.pem()).unwrap();
    assert!(matches!(certificates.reload(), Err(TlsError::Pair { .. })));
    let (shown, _) = handshake(&certificates, &certificate, &rustls::version::TLS13).await.unwrap();
    assert_eq!(shown, certificate);
}

#[tokio::test]
async fn changed_files_are_noticed_without_a_word() {
    let files = Files::new();
    files.renew();
    let certificates = Certificates::load(files.tls()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let polled = Duration::from_millis(5);
    let watch = tokio::spawn(Arc::clone(&certificates).watch_every(polled, async { drop(stopped.await) }));
    // A pair is replaced one file after the other, so for a moment it does not match.
    let renewed = files.renew();
    while handshake(&certificates, &renewed, &rustls::version::TLS13).await.is_err() {}
    stop.send(()).unwrap();
    watch.await.unwrap();
}

#[test]
fn files_that_are_no_pair_are_refused_with_their_name() {
    let files = Files::new();
    files.renew();
    let other = Files::new();
    other.renew();
    fs::write(files.path("empty.pem"), "").unwrap();
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let table = [
        (
            Tls { certificate: files.path("absent.pem"), key: key.clone(), client_ca: None },
            "absent.pem cannot be read as PEM: I/O error: No such file",
        ),
        (
            Tls { certificate: files.path("empty.pem"), key: key.clone(), client_ca: None },
            "empty.pem holds no certificate",
        ),
        (
            Tls { certificate: certificate.clone(), key: certificate.clone(), client_ca: None },
            "cert.pem cannot be read as PEM: no items found",
        ),
        (
            Tls { certificate, key: other.path("key.pem"), client_ca: None },
            "cert.pem: keys may not be consistent: KeyMismatch",
        ),
    ];
    for (files, expected) in table {
        let refused = Certificates::load(files).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
