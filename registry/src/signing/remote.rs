//! The client of a signer that is another process: mutual TLS, short patience, and one second try where that is safe.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use hallmark_signer::wire::{self, Answer, Request, Unserved};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::tls::{Certificate, Version};
use reqwest::{Client, Identity};
use url::Url;

use crate::config::RemoteSigner;
use crate::telemetry::chain;

/// How long a connection to the signer may take to stand.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a request may take, to the last byte of its answer.
const WHOLE: Duration = Duration::from_secs(30);
/// How long a connection without a request is kept: shorter than the signer keeps it, so that none breaks as it is used.
const IDLE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 20;

/// A signer far away.
#[derive(Debug)]
pub struct Remote {
    settings: RemoteSigner,
    url: Url,
    client: RwLock<Client>,
}

/// The settings of the signer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteInvalid {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in the files is no certificate and key.
    #[error("the certificates for the signer cannot be used: {}", chain(.0))]
    Tls(#[from] reqwest::Error),
    /// The URL takes no path.
    #[error("{0} is no URL of a signer")]
    Url(Url),
}

impl Remote {
    /// Reads the certificates; asks nothing yet, for the signer may come later.
    ///
    /// # Errors
    /// [`RemoteInvalid`]
    pub fn open(settings: RemoteSigner) -> Result<Self, RemoteInvalid> {
        let path = format!("v{}/ask", wire::VERSION);
        let url = settings.url.join(&path).map_err(|_| RemoteInvalid::Url(settings.url.clone()))?;
        let client = RwLock::new(client(&settings)?);
        Ok(Self { settings, url, client })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Url {
        &self.settings.url
    }

    /// Asks the signer. What surely never arrived is sent once more, and so is what may be asked twice.
    ///
    /// # Errors
    /// [`Unserved::Away`]; what the signer itself refuses is an answer.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, Unserved> {
        let body = serde_json::to_vec(request).map_err(|error| Unserved::Failed(error.to_string()))?;
        match self.send(body.clone()).await {
            Err(Trouble::Transport { never_arrived, message }) => {
                // Certificates may have been replaced since they were read.
                self.reload();
                if !never_arrived && !request.is_repeatable() {
                    return Err(Unserved::Away(message));
                }
                tracing::debug!(asked = request.word(), error = message, "the signer is asked once more");
                self.send(body).await.map_err(Trouble::unserved)
            }
            done => done.map_err(Trouble::unserved),
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<Answer, Trouble> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(Trouble::of)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(Trouble::of)? {
            if answer.len() + piece.len() > ANSWER_BYTES {
                return Err(Trouble::Answer(format!("its answer is longer than {ANSWER_BYTES} bytes")));
            }
            answer.extend_from_slice(&piece);
        }
        serde_json::from_slice(&answer).map_err(|_| {
            Trouble::Answer(format!("{} answers {status} and nothing that is understood; is it a signer?", self.url))
        })
    }

    /// Reads the certificates again; the ones in use stay where these cannot be used.
    fn reload(&self) {
        match client(&self.settings) {
            Ok(client) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => tracing::warn!(%error, "the certificates for the signer cannot be read again"),
        }
    }
}

/// Why there is no answer.
enum Trouble {
    Transport { never_arrived: bool, message: String },
    Answer(String),
}

impl Trouble {
    fn of(error: reqwest::Error) -> Self {
        Self::Transport { never_arrived: error.is_connect(), message: chain(&error.without_url()) }
    }

    fn unserved(self) -> Unserved {
        let (Self::Transport { message, .. } | Self::Answer(message)) = self;
        Unserved::Away(message)
    }
}

fn client(settings: &RemoteSigner) -> Result<Client, RemoteInvalid> {
    let authorities = Certificate::from_pem_bundle(&read(&settings.ca)?)?;
    let pair = [read(&settings.certificate)?, b"\n".to_vec(), read(&settings.key)?].concat();
    let client = Client::builder()
        .tls_version_min(Version::TLS_1_3)
        .https_only(true)
        .tls_certs_only(authorities)
        .identity(Identity::from_pem(&pair)?)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .pool_idle_timeout(IDLE)
        .connect_timeout(CONNECT)
        .timeout(WHOLE);
    Ok(client.build()?)
}

fn read(path: &Path) -> Result<Vec<u8>, RemoteInvalid> {
    fs::read(path).map_err(|source| RemoteInvalid::File { path: path.to_owned(), source })
}
