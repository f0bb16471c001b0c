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

use crate::app::{App, Named, StartError};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{ControlServer, FolderError, FolderLock};
use crate::http::{router, server, tls};
use crate::{jobs, operate};

/// How long everything after the drain may take: changes whose client is gone, the jobs, the database's last commits.
const LAST_WORK: Duration = Duration::from_secs(9);
/// How long threads that are in the middle of something may then hold the process up.
pub(crate) const LAST_THREADS: Duration = Duration::from_secs(1);

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
    /// A signer that listens without certificates.
    #[error("a signer is reached over mutual TLS only: set tls.certificate, tls.key and tls.client_ca")]
    NoTls,
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
/// On the way out no request begins, running ones end within `http.drain_timeout`, and whatever else is under way ends
/// within 9 s or is left where it is: an upload that is cut stays where it is durable and can be resumed, a change that was
/// not committed was not acknowledged. The command that calls this gives threads 1 s more, so the process is gone 10 s
/// after the drain.
///
/// # Errors
/// [`ServeError`] says what to put right.
pub async fn run(config: Config) -> Result<(), ServeError> {
    let (certificates, named) = open_named(&config)?;
    let lock = FolderLock::take(&config.data)?;
    if let Some(caution) = config.caution() {
        tracing::warn!("{caution}; run one server only, or set storage.url to s3://…");
    }
    let app = Box::pin(App::start(config, named, Clock::System)).await?;
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
    tasks.spawn(jobs::run(Arc::clone(&app), stop.clone()));
    if let Some(certificates) = &certificates {
        tasks.spawn(Arc::clone(certificates).watch(stopped(stop.clone())));
    }
    tracing::info!(listen = %listen, data = %app.config.data.display(), "serving on {listen}");
    let drained = server::serve(listener, router(Arc::clone(&app)), certificates, app.config.http, stopped(stop)).await;
    tracing::info!(open = drained.open, cut = drained.cut, "connections drained");
    if !wind_up(&app, &mut tasks, LAST_WORK).await {
        tracing::warn!(
            changes = app.changes.len(),
            tasks = tasks.len(),
            "stopping in the middle of work; what was acknowledged is durable, and uploads can be resumed"
        );
    }
    Ok(())
}

/// Refuses settings that name what cannot be used, and makes nothing; nobody is asked.
///
/// # Errors
/// [`ServeError::Tls`], [`ServeError::Start`]
pub(crate) fn check(config: &Config) -> Result<(), ServeError> {
    open_named(config).map(drop)
}

fn open_named(config: &Config) -> Result<(Option<Arc<tls::Certificates>>, Named), ServeError> {
    let certificates = config.tls.clone().map(tls::Certificates::load).transpose()?;
    Ok((certificates, Named::open(config)?))
}

/// Waits for changes whose client is gone, for the tasks, and for the database to close; whether that took no longer than
/// `limit`.
async fn wind_up(app: &App, tasks: &mut JoinSet<()>, limit: Duration) -> bool {
    let work = async {
        // Nobody pulls any more, whatever else is still under way.
        jobs::write_down_last_pulls(app).await;
        app.changes.close();
        app.changes.wait().await;
        while tasks.join_next().await.is_some() {}
        app.metadata.close().await;
    };
    tokio::time::timeout(limit, work).await.is_ok()
}

/// Turns true once the process is told to stop.
pub(crate) fn stop_signal() -> io::Result<watch::Receiver<bool>> {
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

/// Resolves once `stop` is true.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error says that the sender is gone, which only happens when the runtime ends.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use hallmark_storage::metadata::ManifestId;
    use tempfile::TempDir;

    use super::*;
    use crate::config::{self, Flag, Purpose, Secret, Sources};

    /// The longest that a test waits for what should be over at once.
    const SOON: Duration = Duration::from_millis(100);

    async fn app() -> (Arc<App>, TempDir) {
        let data = TempDir::new().unwrap();
        let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
        let sources = Sources { flags: vec![flag], ..Sources::default() };
        let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
        config.admin_password = Some(Secret::new("correct horse battery".to_owned()));
        (App::open(config, Clock::System).await.unwrap(), data)
    }

    #[tokio::test]
    async fn what_ends_is_waited_for_and_the_database_is_closed() {
        let (app, _data) = app().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        assert!(wind_up(&app, &mut tasks, LAST_WORK).await);
        assert!(app.metadata.ping().await.is_err());
    }

    #[tokio::test]
    async fn what_was_pulled_last_is_written_down_unless_the_registry_is_read_only() {
        let (one, other) = (ManifestId(1), ManifestId(2));
        let (app, _data) = app().await;
        app.pulls.note(one, 7);
        assert!(wind_up(&app, &mut JoinSet::new(), LAST_WORK).await);
        assert_eq!(app.pulls.latest([one]), None);
        let (app, _data) = self::app().await;
        app.set_readonly(true).await.unwrap();
        app.pulls.note(other, 7);
        assert!(wind_up(&app, &mut JoinSet::new(), LAST_WORK).await);
        assert_eq!(app.pulls.latest([other]), Some(7));
    }

    /// A store that hangs must not keep a process that was told to stop.
    #[tokio::test]
    async fn a_change_or_a_task_that_never_ends_is_left_where_it_is() {
        let (app, _data) = app().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        assert!(!wind_up(&app, &mut tasks, SOON).await, "a task");
        app.changes.reopen();
        app.changes.spawn(std::future::pending::<()>());
        assert!(!wind_up(&app, &mut JoinSet::new(), SOON).await, "a change");
    }

    #[tokio::test]
    async fn the_jobs_end_when_they_are_told_to() {
        let (app, _data) = app().await;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(jobs::run(Arc::clone(&app), stopped));
        stop.send_replace(true);
        assert!(wind_up(&app, &mut tasks, LAST_WORK).await);
    }
}
