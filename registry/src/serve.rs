//! Lives here: the life of a serving process, from the lock on its folder to the last answer.
//! Never here: what a request does.
//! Start reading at [`run`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{App, StartError};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{ControlServer, FolderError, FolderLock};
use crate::http::{router, server, tls};
use crate::{jobs, operate};

/// How long changes whose client is gone may go on after the connections are drained.
const LAST_CHANGES: Duration = Duration::from_secs(10);

/// Why the registry does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder is in use or cannot be used.
    #[error(transparent)]
    Folder(Box<dyn std::error::Error + Send + Sync>),
    /// The stores or keys cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket cannot be bound.
    #[error("the control socket cannot be bound: {0}")]
    Control(#[source] io::Error),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signal(#[source] io::Error),
}

impl From<FolderError> for ServeError {
    fn from(error: FolderError) -> Self {
        Self::Folder(Box::new(error))
    }
}

/// Serves until the process is told to stop (SIGTERM or SIGINT), then drains.
///
/// On the way out no request begins, running ones end within `http.drain_timeout`, and changes whose client is gone get a
/// few seconds more; an upload that is cut stays where it is durable and can be resumed.
///
/// # Errors
/// [`ServeError`] says what to put right.
pub async fn run(config: Config) -> Result<(), ServeError> {
    let lock = FolderLock::take(&config.data)?;
    if let Some(caution) = config.caution() {
        tracing::warn!("{caution}; run one server only, or set storage.url to s3://…");
    }
    let app = App::open(config, Clock::System).await?;
    let certificates = match &app.config.tls {
        Some(files) => Some(tls::Certificates::load(files.clone())?),
        None => None,
    };
    let address = app.config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let listen = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let control = ControlServer::bind(&app.config.data, &lock).map_err(ServeError::Control)?;
    let stop = stop_signal().map_err(ServeError::Signal)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(control.run(
        {
            let app = Arc::clone(&app);
            move |command| {
                let app = Arc::clone(&app);
                async move { operate::perform(&app, listen, command).await }
            }
        },
        stopped(stop.clone()),
    ));
    tasks.spawn(jobs::run(Arc::clone(&app), stopped(stop.clone())));
    if let Some(certificates) = &certificates {
        tasks.spawn(Arc::clone(certificates).watch(stopped(stop.clone())));
    }
    tracing::info!(listen = %listen, data = %app.config.data.display(), "serving on {listen}");
    let drained = server::serve(listener, router(Arc::clone(&app)), certificates, app.config.http, stopped(stop)).await;
    tracing::info!(open = drained.open, cut = drained.cut, "connections drained");
    app.changes.close();
    if tokio::time::timeout(LAST_CHANGES, app.changes.wait()).await.is_err() {
        tracing::warn!(changes = app.changes.len(), "stopping in the middle of changes; their uploads can be resumed");
    }
    while tasks.join_next().await.is_some() {}
    app.metadata.close().await;
    Ok(())
}

/// Turns true once the process is told to stop.
fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("told to stop");
        sender.send_replace(true);
        // Holding the sender until everybody has seen it keeps `stopped` from mistaking its drop for the signal.
        sender.closed().await;
    });
    Ok(receiver)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error says that the sender is gone, which only happens when the runtime ends.
    let _ = stop.wait_for(|stop| *stop).await;
}
