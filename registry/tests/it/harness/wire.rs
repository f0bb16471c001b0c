//! A world that listens, and a plain connection to it: what leaves by a connection's own ways is not seen in its router.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use hallmark::http::server::{Drained, serve};
use hallmark::http::tls::Certificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Credentials, World};

/// The receive buffer of a client, in bytes: what it does not read, the server cannot all have sent.
const RECEIVED: u32 = 64 << 10;

/// The server of a world.
pub(crate) struct Listening {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

/// One HTTP/1.1 connection.
pub(crate) struct Wire(TcpStream);

impl World {
    /// Serves this world on the loopback.
    pub(crate) async fn listen(&self) -> Listening {
        self.listen_with(None).await
    }

    /// Serves this world on the loopback, over TLS if there are certificates.
    pub(crate) async fn listen_with(&self, certificates: Option<Arc<Certificates>>) -> Listening {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = hallmark::http::router(Arc::clone(&self.app));
        let limits = self.app.config.http;
        let task = tokio::spawn(serve(listener, router, certificates, limits, async { drop(stopped.await) }));
        Listening { address, stop, task }
    }
}

impl Listening {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn connect(&self) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVED).unwrap();
        Wire(socket.connect(self.address).await.unwrap())
    }

    /// Tells the server to stop, and waits until it has.
    pub(crate) async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

impl Wire {
    /// A request as it is written.
    pub(crate) fn request(method: &str, path: &str, by: &Credentials, headers: &[(&str, &str)]) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: registry.test\r\n");
        for (name, value) in by.0.iter().map(|value| ("Authorization", value.as_str())).chain(headers.iter().copied()) {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request + "\r\n"
    }

    pub(crate) async fn send(&mut self, requests: &str) {
        self.0.write_all(requests.as_bytes()).await.unwrap();
    }

    /// The next head: its status, and the length that it tells.
    pub(crate) async fn head(&mut self) -> (u16, usize) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), length.parse().unwrap())
    }

    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        body
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        rest
    }
}
