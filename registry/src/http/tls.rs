//! The certificate that HTTPS is served with, read again whenever its files change.

mod validity;

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Tls;

/// How often the files are looked at, besides SIGHUP.
const POLL: Duration = Duration::from_secs(5);

/// The certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM of the right kind.
    #[error("{} cannot be read as PEM: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate's file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// The key is of a kind that is not supported, or is not the certificate's.
    #[error("the key {} cannot be used with the certificate {}: {source}", key.display(), certificate.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The authority of clients cannot be used.
    #[error("the authority {} cannot be used: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::server::VerifierBuilderError,
    },
    /// Clients must show certificates, and no authority is named that may have made them.
    #[error("clients must show certificates here: set tls.client_ca to the authority that makes them")]
    NoAuthority,
    /// The protocol versions are not supported by the cryptography that was built in.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// A certificate and key that can be replaced while connections are served. Connections keep the one they began with.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    loaded: Stamps,
    current: Arc<Current>,
    server_config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current {
    provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificates {
    /// Reads the two files. The cryptography is named here, so that no default of the process is needed; TLS 1.2 is the
    /// oldest version spoken.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(files: Tls) -> Result<Arc<Self>, TlsError> {
        Self::load_for(files, Clients::MayShow)
    }

    /// The same where nobody gets past the handshake who shows no certificate of the authority.
    ///
    /// # Errors
    /// [`TlsError`]; [`TlsError::NoAuthority`] where the settings name none.
    pub fn load_for_known(files: Tls) -> Result<Arc<Self>, TlsError> {
        if files.client_ca.is_none() {
            return Err(TlsError::NoAuthority);
        }
        Self::load_for(files, Clients::MustShow)
    }

    fn load_for(files: Tls, clients: Clients) -> Result<Arc<Self>, TlsError> {
        // Before the files are read: a change in between is then seen as one.
        let loaded = Stamps::of(&files);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = RwLock::new(Arc::new(read(&files, &provider)?));
        let verifier = client_verifier(files.client_ca.as_deref(), clients, &provider)?;
        let current = Arc::new(Current { provider: Arc::clone(&provider), key });
        let mut server_config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        if files.client_ca.is_some() {
            // A session that is taken up again brings its certificate along unchecked, also one that has ended meanwhile.
            server_config.session_storage = Arc::new(NoServerSessionStorage {});
            server_config.send_tls13_tickets = 0;
        }
        server_config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(Self { files, loaded, current, server_config: Arc::new(server_config) }))
    }

    /// What a connection's handshake is done with.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server_config)
    }

    /// Reads the files again. If they are not a pair that can be used, the old one stays.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn reload(&self) -> Result<(), TlsError> {
        let key = Arc::new(read(&self.files, &self.current.provider)?);
        *self.current.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// Reads the files again when they have changed or the process gets SIGHUP, until `shutdown` resolves. What cannot be
    /// used is told in the log once and tried again as long as it differs from what is served, because the two files of a
    /// pair are rarely replaced in the same moment.
    pub async fn watch(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        self.watch_every(POLL, shutdown).await;
    }

    async fn watch_every(self: Arc<Self>, poll: Duration, shutdown: impl Future<Output = ()>) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(
                |error| tracing::warn!(%error, "SIGHUP cannot be received; changed certificates are still noticed"),
            )
            .ok();
        let mut shutdown = pin!(shutdown);
        let mut served = self.loaded.clone();
        let mut told = None;
        loop {
            let asked = tokio::select! {
                () = &mut shutdown => return,
                () = received(&mut hangup) => true,
                () = tokio::time::sleep(poll) => false,
            };
            let found = Stamps::of(&self.files);
            if found == served && !asked {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
                    served = found;
                    told = None;
                }
                Err(error) if asked || told.as_ref() != Some(&found) => {
                    tracing::error!(%error, "the new certificate cannot be used; the old one is still served");
                    told = Some(found);
                }
                Err(_) => {}
            }
        }
    }
}

/// Whether clients have certificates.
#[derive(Debug, Clone, Copy)]
enum Clients {
    /// Some do.
    MayShow,
    /// All do: who shows none is refused in the handshake.
    MustShow,
}

/// Who checks the certificates of clients, against one authority. It is read at the start.
fn client_verifier(
    authority: Option<&Path>,
    clients: Clients,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = authority else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(file)? {
        roots.add(certificate.map_err(file)?).map_err(TlsError::Setup)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients {
        Clients::MayShow => builder.allow_unauthenticated(),
        Clients::MustShow => builder,
    };
    builder.build().map_err(|source| TlsError::Authority { path: path.to_owned(), source })
}

/// Reads the two files as a start would; until when the certificate is valid, in milliseconds since 1970, or `None` when it
/// does not say.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it.
pub fn valid_until(files: &Tls) -> Result<Option<i64>, TlsError> {
    let key = read(files, &aws_lc_rs::default_provider())?;
    Ok(key.cert.first().and_then(|certificate| validity::not_after(certificate)))
}

/// The next SIGHUP; never, if it cannot be received.
async fn received(hangup: &mut Option<Signal>) {
    let came = match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}

/// What changes when a file is written or replaced; of a link, what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamps([Option<Stamp>; 2]);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    fn of(files: &Tls) -> Self {
        Self([stamp(&files.certificate), stamp(&files.key)])
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn read(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(file(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(file(&files.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

#[cfg(test)]
mod tests;
