//! The address that is listened on, and the one that clients are told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::{Host, Url};

use super::Finding;
use crate::config::Config;
use crate::control::StatusReport;
use crate::http::tls::Certificates;

/// How long our own server may take to answer on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// That the running server answers where it listens.
pub(super) async fn answers(config: &Config, report: &StatusReport) -> Vec<Finding> {
    const CHECK: &str = "address";
    let address = on_this_machine(report.listen);
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, ready(address, config.tls.is_some())).await;
    let finding = match answered {
        Ok(Ok(status)) if status.is_empty() => Finding::ok(CHECK, format!("{} takes connections", report.listen)),
        Ok(Ok(status)) if status.contains(" 200 ") => Finding::ok(CHECK, format!("{} answers /readyz", report.listen)),
        Ok(Ok(status)) => Finding::fail(
            CHECK,
            format!("{} answers /readyz with `{}`", report.listen, status.escape_debug()),
            "see what fails above, and the log of the server",
        ),
        Ok(Err(error)) => {
            Finding::fail(CHECK, format!("{}: {error}", report.listen), "look into the log of the server")
        }
        Err(_) => Finding::fail(
            CHECK,
            format!("{} does not answer within {} s", report.listen, ANSWER_TIMEOUT.as_secs()),
            "look into the log of the server, and see whether http.max_connections is reached",
        ),
    };
    vec![finding].into_iter().chain(certificate(config)).collect()
}

/// The status line of `/readyz`. With TLS only the connection is tried: which names the certificate has is for clients.
async fn ready(address: SocketAddr, tls: bool) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    if tls {
        return Ok(String::new());
    }
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut line = String::new();
    BufReader::new(stream.take(1024)).read_line(&mut line).await?;
    match line.trim_end() {
        "" => Err(std::io::ErrorKind::UnexpectedEof.into()),
        line => Ok(line.to_owned()),
    }
}

/// Where a server that listens on all addresses is reached from here.
fn on_this_machine(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

/// That a start could listen.
pub(super) async fn is_free(config: &Config) -> Finding {
    const CHECK: &str = "address";
    let listen = config.listen;
    if let Some(unusable) = certificate(config).into_iter().find(|finding| finding.advice.is_some()) {
        return unusable;
    }
    match TcpListener::bind(listen).await {
        Ok(_) => Finding::ok(CHECK, format!("{listen} is free")),
        Err(error) => Finding::fail(
            CHECK,
            format!("{listen} cannot be listened on: {error}"),
            "end what listens there, or set listen",
        ),
    }
}

/// That certificate and key can be read and belong together.
fn certificate(config: &Config) -> Option<Finding> {
    let files = config.tls.clone()?;
    Some(match Certificates::load(files) {
        Ok(_) => Finding::ok("certificate", "certificate and key belong together"),
        Err(error) => Finding::fail("certificate", error.to_string(), "put a matching pair of PEM files there"),
    })
}

/// That the name clients are told is one that they can use.
pub(super) fn public(config: &Config) -> Option<Finding> {
    const CHECK: &str = "public_url";
    let local = config.listen.ip().is_loopback();
    Some(match &config.public_url {
        None if local => Finding::ok(CHECK, "not set: clients on this machine use the address"),
        None => Finding::warn(
            CHECK,
            "not set: clients are sent to whatever name they asked for",
            "set public_url to the name that clients use, such as https://registry.example.com",
        ),
        Some(url) if url.scheme() == "http" && !is_loopback(url) => Finding::warn(
            CHECK,
            format!("{url} is plain HTTP, which clients refuse for any host but localhost"),
            "give it https://, with tls.certificate and tls.key or a proxy that speaks TLS",
        ),
        Some(url) if is_loopback(url) && !local => Finding::warn(
            CHECK,
            format!("{url} sends clients of other machines to themselves"),
            "set public_url to the name that clients use",
        ),
        Some(url) => Finding::ok(CHECK, url.to_string()),
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
