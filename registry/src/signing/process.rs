//! The life of a signer that is a process of its own, from the lock on its folder to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hallmark_signer::Signer;
use hallmark_signer::keys::Masters;
use hallmark_storage::metadata::Metadata;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{commands, http};
use crate::app::StartError;
use crate::auth::certificate::Names;
use crate::clock::{Clock, Random};
use crate::config::{self, Config};
use crate::control::{ControlServer, FolderLock};
use crate::http::server::{self, Drained};
use crate::http::tls::Certificates;
use crate::master;
use crate::serve::{ServeError, stop_signal, stopped};

/// The largest request, in bytes: a change carries the files that hold before it.
pub(super) const BODY_BYTES: usize = 32 << 20;
/// How many requests are read and done at once; together with the size of one, this bounds the memory for them.
const PLACES: usize = 8;

/// A signer that others ask over the network.
pub struct Process {
    pub(super) signer: Signer,
    pub(super) clock: Clock,
    pub(super) patience: Duration,
    pub(super) places: Semaphore,
    pub(super) metadata: Metadata,
    pub(super) master: Masters,
    pub(super) sealing: tokio::sync::Mutex<()>,
    clients: Vec<String>,
    limits: config::Http,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Process").field("clients", &self.clients).finish_non_exhaustive()
    }
}

impl Process {
    /// Opens the signer's own database and keys.
    ///
    /// # Errors
    /// [`StartError`] says what to put right.
    pub async fn open(config: &Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        let now = clock.now();
        let metadata = Metadata::open(&config.database, now).await?;
        let master = Masters::unlock(&metadata, &master::source(&config.master_key, &Random::system())?).await?;
        let signer = Signer::open(metadata.clone(), &master.current(), now).await?.bounded(config.signer.rates);
        Ok(Arc::new(Self {
            signer,
            clock,
            patience: config.http.body_timeout,
            places: Semaphore::new(PLACES),
            metadata,
            master,
            sealing: tokio::sync::Mutex::default(),
            clients: config.signer.clients.clone(),
            limits: config.http,
        }))
    }

    /// The name by which the settings let who has these names ask; `None` when they do not. Where they name nobody, it is whoever
    /// the authority has certified, by the first of the names.
    pub(super) fn takes<'n>(&self, names: &'n Names) -> Option<&'n str> {
        if self.clients.is_empty() {
            return Some(names.first());
        }
        let alternatives = names.alternatives.iter().map(|(_, name)| name.as_str());
        let mut all = std::iter::once(names.subject.as_str()).chain(alternatives);
        all.find(|name| self.clients.iter().any(|client| client == name))
    }

    /// Answers on `listener` until `shutdown` resolves, then lets what runs come to its end.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        certificates: Arc<Certificates>,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        let limits = self.limits;
        server::serve(listener, http::router(self), Some(certificates), limits, shutdown).await
    }

    /// Ends the work on the database.
    pub async fn close(&self) {
        self.metadata.close().await;
    }
}

/// Serves until the process is told to stop (SIGTERM or SIGINT), then drains.
///
/// # Errors
/// [`ServeError`] says what to put right.
pub async fn run(config: Config) -> Result<(), ServeError> {
    keep_memory_private();
    let lock = FolderLock::take(&config.data)?;
    let files = config.tls.clone().ok_or(ServeError::NoTls)?;
    let certificates = Certificates::load_for_known(files)?;
    let process = Process::open(&config, Clock::System).await?;
    let address = config.signer.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let listen = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let stop = stop_signal().map_err(ServeError::Signal)?;
    let control = ControlServer::bind(&config.data, &lock).map_err(ServeError::Control)?;
    let control = tokio::spawn(control.run(
        {
            let process = Arc::clone(&process);
            move |command| {
                let process = Arc::clone(&process);
                async move { commands::of_process(&process, command).await }
            }
        },
        stopped(stop.clone()),
    ));
    let watch = tokio::spawn(Arc::clone(&certificates).watch(stopped(stop.clone())));
    announce(listen, &config);
    let drained = Arc::clone(&process).serve(listener, certificates, stopped(stop)).await;
    tracing::info!(open = drained.open, cut = drained.cut, "connections drained");
    // They end with the signal that ended the server; a panic in one is nothing that the end waits for.
    let _ = tokio::join!(watch, control);
    process.close().await;
    Ok(())
}

/// No core dump and no debugger of the same user gets to see the keys. Where the system does not do it, it is said.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process can be dumped and traced: its memory holds keys");
    }
}

fn announce(listen: SocketAddr, config: &Config) {
    tracing::info!(listen = %listen, data = %config.data.display(), "signing on {listen}");
}
