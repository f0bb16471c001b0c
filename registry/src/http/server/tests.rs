//! Connections, over real ones: what ends them, what does not, and how the server ends. Timeouts are configured short and
//! the end is awaited; nothing sleeps.

mod files;
mod http1;
mod http2;
mod sips;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::routing::{get, post};
use rustix::net::sockopt::tcp_congestion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// Longer than any test takes, so that only the timeout that a test shortens can end anything.
const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(200);

const PATIENT: config::Http = config::Http {
    header_timeout: NEVER,
    idle_timeout: NEVER,
    body_timeout: NEVER,
    max_connections: 64,
    drain_timeout: NEVER,
};

/// Lets a request stop in the middle until the test lets it go on.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

struct Server {
    address: SocketAddr,
    gate: Gate,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

impl Server {
    async fn start(limits: config::Http) -> Self {
        Self::start_with(limits, None).await
    }

    async fn start_with(limits: config::Http, certificates: Option<Arc<Certificates>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, router(gate.clone()), certificates, limits, stopped));
        Self { address, gate, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Tells the server to stop; gives what can be awaited for its end.
    fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.task
    }
}

#[tokio::test]
async fn only_connections_within_this_host_are_not_paced() {
    let allowed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control").unwrap();
    let other = allowed.split_whitespace().find(|control| *control != "reno").expect("a host has two of them");
    for (address, expected) in [("127.0.0.1:0", "reno"), ("[::1]:0", "reno"), ("0.0.0.0:0", other)] {
        let listener = match TcpListener::bind(address).await {
            Err(none) if address.starts_with('[') && none.kind() == io::ErrorKind::AddrNotAvailable => continue,
            listener => listener.unwrap(),
        };
        set_tcp_congestion(&listener, other).unwrap();
        send_unpaced(&listener);
        let mut reached = listener.local_addr().unwrap();
        if reached.ip().is_unspecified() {
            reached.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let (client, accepted) = tokio::join!(TcpStream::connect(reached), listener.accept());
        assert_eq!(tcp_congestion(&accepted.unwrap().0).unwrap(), expected, "{address}");
        drop(client.unwrap());
    }
}

/// `/peer` tells the peer's address, `/gated` waits for the gate, `/large` answers 64 MiB, `/refuse` answers without reading
/// the body, `/echo` gives the body back.
fn router(gate: Gate) -> Router {
    let gated = move || {
        let gate = gate.clone();
        async move {
            gate.begun.notify_one();
            gate.go_on.notified().await;
            "went on"
        }
    };
    Router::new()
        .route("/peer", get(|Extension(PeerAddress(peer)): Extension<PeerAddress>| async move { peer.to_string() }))
        .route("/gated", get(gated))
        .route("/large", get(|| async { Body::from(vec![0; 64 << 20]) }))
        .route("/refuse", post(|| async { (http::StatusCode::UNAUTHORIZED, "no") }))
        .route("/echo", post(|body: Bytes| async move { body }))
}

/// Everything until the other end closes; a reset counts as closing.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
