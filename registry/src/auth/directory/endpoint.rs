//! Where a directory is, and how it proves that it is the one: a URL and a TLS configuration, checked once.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::config::DirectoryConfig;
use super::error::DirectoryInvalid;

const PORT: u16 = 389;
const TLS_PORT: u16 = 636;
const LOOPBACK: &str = "localhost";

/// A checked address.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// Passwords go in the clear because the host is this machine: no other address is ever connected to.
    pub(super) loopback_only: bool,
    pub(super) security: Security,
}

/// How what is sent is kept from others.
#[derive(Debug)]
pub(super) enum Security {
    /// It is not; only where the settings say so, or on this machine.
    Plain,
    /// TLS once the server agreed to StartTLS; without its agreement, nothing.
    StartTls(Tls),
    /// TLS from the first byte.
    Tls(Tls),
}

/// Whom to trust, and for which name.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server: ServerName<'static>,
}

impl Endpoint {
    /// # Errors
    /// [`DirectoryInvalid`] names the setting and what it takes.
    pub(super) fn new(config: &DirectoryConfig) -> Result<Self, DirectoryInvalid> {
        let url = &config.url;
        let refuse = || DirectoryInvalid::Url(url.to_string());
        let always_tls = match url.scheme() {
            "ldaps" => true,
            "ldap" => false,
            _ => return Err(refuse()),
        };
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err(refuse());
        }
        let host = url.host_str().ok_or_else(refuse)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let server = ServerName::try_from(host.clone()).map_err(|_| refuse())?;
        let local = host == LOOPBACK || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let wanted = if always_tls || config.start_tls { Wanted::Tls } else { Wanted::Plain { local } };
        contradiction(config, always_tls, &wanted)?;
        let security = match wanted {
            Wanted::Plain { .. } => Security::Plain,
            Wanted::Tls => {
                let tls = Tls { config: trust(config.ca_file.as_deref())?, server };
                if always_tls { Security::Tls(tls) } else { Security::StartTls(tls) }
            }
        };
        let port = url.port().unwrap_or(if always_tls { TLS_PORT } else { PORT });
        let loopback_only = matches!(security, Security::Plain) && local && !config.insecure;
        Ok(Self { host, port, loopback_only, security })
    }
}

enum Wanted {
    Tls,
    Plain { local: bool },
}

fn contradiction(config: &DirectoryConfig, always_tls: bool, wanted: &Wanted) -> Result<(), DirectoryInvalid> {
    let contradiction = match wanted {
        Wanted::Tls if always_tls && config.start_tls => "`start_tls` has no meaning with ldaps://",
        Wanted::Tls if config.insecure => "`insecure` has no meaning with TLS, whose certificates are always checked",
        Wanted::Plain { .. } if config.ca_file.is_some() => "`ca_file` has no meaning without TLS",
        Wanted::Plain { local: false } if !config.insecure => {
            return Err(DirectoryInvalid::Plain(config.url.to_string()));
        }
        Wanted::Tls | Wanted::Plain { .. } => return Ok(()),
    };
    Err(DirectoryInvalid::Contradiction(contradiction))
}

/// Trusts the authorities of `ca_file` alone, or those of the system. The cryptography is named here, so that no default
/// of the process is needed; TLS 1.2 is the oldest version spoken.
fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, DirectoryInvalid> {
    let mut roots = RootCertStore::empty();
    let (certificates, origin) = match ca_file {
        Some(path) => (certificates(path)?, path.display().to_string()),
        None => (rustls_native_certs::load_native_certs().certs, "this system's store".to_owned()),
    };
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 || (ca_file.is_some() && ignored > 0) {
        return Err(DirectoryInvalid::NoAuthority(origin));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(DirectoryInvalid::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DirectoryInvalid> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| DirectoryInvalid::CaFile { path: path.to_owned(), source })
}
