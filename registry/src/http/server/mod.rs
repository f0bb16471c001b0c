//! Lives here: connections. Accepting them, TLS and HTTP/1.1 or HTTP/2 on them, their limits, and their orderly end.
//! Never here: what a request means; a connection hands requests to the router and answers back.
//! Start reading at [`serve`], then `connection.rs`.

mod activity;
mod connection;
mod outbox;
mod taking;
mod transport;
mod wakes;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::rt::Executor;
use rustix::net::sockopt::set_tcp_congestion;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use self::connection::Connection;
pub(crate) use self::outbox::{Delivery, Failure, Outbox};
use super::tls::Certificates;
use crate::auth::certificate::Names;
use crate::config;

/// How the connections of clients on this host avoid congestion: by TCP's oldest rules, which every kernel has and as it
/// comes everybody may choose. There is nothing to congest, and BBR, the default of many hosts, paces what it sends by timers all the same: a
/// layer then came at a third of the speed for ten times the processor time.
const ON_THIS_HOST: &str = "reno";

/// How long a failing `accept` rests. Without it a shortage of file descriptors would keep a core busy and end nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often at most a failing `accept` is told in the log.
const ACCEPT_WARNING: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// Ends the task that it is looked up in: that of one HTTP/2 stream. A connection has none, and its HTTP/1.1 requests
    /// are served in its own task.
    static STREAM: Arc<Notify>;
}

/// The address of the other end of the connection, an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The names in the client certificate that the handshake of a connection has verified.
#[derive(Debug, Clone)]
pub struct PeerCertificate(Arc<Names>);

impl PeerCertificate {
    /// Keeps the names for the requests of the connection.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self(Arc::new(names))
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0
    }
}

impl PeerAddress {
    /// For a request that did not come over a connection, such as one that a test hands to the router.
    pub const UNKNOWN: Self = Self(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
}

/// How the server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open when the shutdown began.
    pub open: usize,
    /// Of these, the ones that had to be cut at the end of the drain timeout.
    pub cut: usize,
}

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Running requests end, nothing begins.
    Draining,
    /// What still runs is dropped.
    Cut,
}

/// Holds what all connections share.
struct Shared {
    router: Router,
    certificates: Option<Arc<Certificates>>,
    limits: config::Http,
    open: AtomicUsize,
}

/// Serves `router` on `listener` until `shutdown` resolves, over TLS if there are certificates; then stops accepting, lets
/// running requests end, and drops what is left after [`config::Http::drain_timeout`]. When it returns, every task that it
/// started has ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    limits: config::Http,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    send_unpaced(&listener);
    let shared = Arc::new(Shared { router, certificates, limits, open: AtomicUsize::new(0) });
    let (phase, _) = watch::channel(Phase::Serving);
    accept_until(shutdown, listener, &shared, &phase).await;
    drain(&shared, &phase).await
}

/// Lets connections to an address that only this host can reach inherit [`ON_THIS_HOST`]. Once a connection is paced it stays
/// so, whatever it is told later, so the listener has to know.
fn send_unpaced(listener: &TcpListener) {
    if !listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()) {
        return;
    }
    if let Err(error) = set_tcp_congestion(listener, ON_THIS_HOST) {
        tracing::debug!(%error, "connections are served as the host has it");
    }
}

async fn accept_until(
    shutdown: impl Future<Output = ()>,
    listener: TcpListener,
    shared: &Arc<Shared>,
    phase: &watch::Sender<Phase>,
) {
    let permits = Arc::new(Semaphore::new(shared.limits.max_connections));
    let mut shutdown = pin!(shutdown);
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => spawn(stream, peer, permit, shared, phase),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if warned.is_none_or(|warned| warned.elapsed() >= ACCEPT_WARNING) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "connections cannot be accepted; trying again (is the limit of open files reached?)");
                }
                tokio::select! {
                    () = &mut shutdown => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// The next connection. At the limit it waits in the kernel's queue until another one ends.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Without this an answer that takes two writes waits 40 ms for an acknowledgement that the client delays.
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// The client went away between the kernel's accepting it and ours.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

fn spawn(
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
    phase: &watch::Sender<Phase>,
) {
    let open = OpenConnection::count(shared);
    let tasks = Tasks { phase: phase.subscribe() };
    let connection = Connection::new(peer, Arc::clone(shared), tasks.clone());
    tasks.spawn(async move {
        connection.run(stream).await;
        drop((permit, open));
    });
}

async fn drain(shared: &Shared, phase: &watch::Sender<Phase>) -> Drained {
    let open = shared.open.load(Ordering::Relaxed);
    phase.send_replace(Phase::Draining);
    if tokio::time::timeout(shared.limits.drain_timeout, phase.closed()).await.is_ok() {
        return Drained { open, cut: 0 };
    }
    let cut = shared.open.load(Ordering::Relaxed);
    phase.send_replace(Phase::Cut);
    phase.closed().await;
    Drained { open, cut }
}

/// Starts the tasks of connections and of HTTP/2 streams. Each holds a receiver of the phase while it lives, so the server
/// can wait for all of them and, in the end, drop them.
#[derive(Clone)]
struct Tasks {
    phase: watch::Receiver<Phase>,
}

impl Tasks {
    /// Resolves when the server has come to `phase`.
    fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.phase.clone();
        async move {
            // The sender outlives every task, so this ends only with the phase.
            let _ = receiver.wait_for(|now| *now >= phase).await;
        }
    }

    /// Starts a task that is dropped when the server is cut.
    fn spawn(&self, task: impl Future<Output: Send> + Send + 'static) {
        let cut = self.reached(Phase::Cut);
        tokio::spawn(async move {
            tokio::select! {
                () = cut => {}
                _ = task => {}
            }
        });
    }
}

/// Streams of HTTP/2, each in a task that can be ended alone.
impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let end = Arc::new(Notify::new());
        let ended = Arc::clone(&end);
        self.spawn(STREAM.scope(end, async move {
            tokio::select! {
                () = ended.notified() => {}
                _ = task => {}
            }
        }));
    }
}

/// Counts a connection while it lives, however it ends.
struct OpenConnection(Arc<Shared>);

impl OpenConnection {
    fn count(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
