//! HTTP/2 spoken by hand (RFC 9113), so that nothing but the server decides what is on the wire.

use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWrite;
use tokio_rustls::TlsConnector;

use super::http1::certificates;
use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn begin(stream: S) -> Self {
        let mut client = Self { stream };
        client.stream.write_all(PREFACE).await.unwrap();
        client.send(SETTINGS, 0, 0, &[]).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The server may have closed already; what it said before is still there to read.
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    /// The next frame; none when the server has closed. Settings and pings are acknowledged on the way.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let echoed = if kind == PING { payload } else { Vec::new() };
                    self.send(kind, ACK, 0, &echoed).await;
                }
                DATA | HEADERS | RST_STREAM | GOAWAY => return Some(Frame { kind, flags, stream, payload }),
                _ => {}
            }
        }
    }

    /// Opens a stream with a GET: indexed `:method: GET`, `:scheme: http`, then a literal `:path` and `:authority`.
    async fn get(&mut self, stream: u32, path: &str) {
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend(path.as_bytes());
        block.extend(b"\x01\x09localhost");
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
    }

    /// The first byte of the answer's header block (0x88 is the indexed `:status: 200`) and its body.
    async fn answer(&mut self, stream: u32) -> (u8, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.frame().await {
            match frame.kind {
                HEADERS if frame.stream == stream => status = frame.payload[0],
                DATA if frame.stream == stream => body.extend(frame.payload),
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
        (status, body)
    }

    /// The kinds of all frames until the server closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some(frame) = self.frame().await {
            kinds.push(frame.kind);
        }
        kinds
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_without_tls() {
    let server = Server::start(PATIENT).await;
    let stream = server.connect().await;
    let peer = stream.local_addr().unwrap().to_string();
    let mut client = Client::begin(stream).await;
    client.get(1, "/peer").await;
    assert_eq!(client.answer(1).await, (0x88, peer.into_bytes()));
}

#[tokio::test]
async fn http2_is_agreed_on_in_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(PATIENT, Some(certificates(folder.path()))).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = server.connect().await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let mut client = Client::begin(stream).await;
    client.get(1, "/peer").await;
    assert_eq!(client.answer(1).await.0, 0x88);
}

#[tokio::test]
async fn streams_of_one_connection_run_beside_each_other() {
    let server = Server::start(PATIENT).await;
    let mut client = Client::begin(server.connect().await).await;
    client.get(1, "/gated").await;
    server.gate.begun.notified().await;
    client.get(3, "/peer").await;
    assert_eq!(client.answer(3).await.0, 0x88);
    server.gate.go_on.notify_one();
    assert_eq!(client.answer(1).await, (0x88, b"went on".to_vec()));
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go_and_closed() {
    let server = Server::start(config::Http { idle_timeout: SOON, ..PATIENT }).await;
    let mut client = Client::begin(server.connect().await).await;
    assert_eq!(client.rest().await.first(), Some(&GOAWAY));
}

#[tokio::test]
async fn an_http2_client_that_goes_deaf_is_closed() {
    let server = Server::start(config::Http { idle_timeout: SOON, ..PATIENT }).await;
    let mut client = Client::begin(server.connect().await).await;
    // The client reads but acknowledges nothing, so the server cannot learn that it has gone.
    assert!(!rest(&mut client.stream).await.is_empty());
}

/// SETTINGS_INITIAL_WINDOW_SIZE.
fn window(size: u32) -> Vec<u8> {
    [&[0, 4][..], &size.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_stream_whose_answer_nobody_takes_is_ended_alone() {
    let server = Server::start(config::Http { body_timeout: SOON, ..PATIENT }).await;
    let mut client = Client::begin(server.connect().await).await;
    client.send(SETTINGS, 0, 0, &window(0)).await;
    client.get(1, "/large").await;
    let kinds = [client.frame().await.unwrap(), client.frame().await.unwrap()].map(|frame| (frame.kind, frame.stream));
    assert_eq!(kinds, [(HEADERS, 1), (RST_STREAM, 1)]);
    client.get(3, "/peer").await;
    client.send(WINDOW_UPDATE, 0, 3, &100_u32.to_be_bytes()).await;
    assert_eq!(client.answer(3).await.0, 0x88, "the connection goes on");
}

#[tokio::test]
async fn a_stream_that_is_left_in_the_middle_is_ended() {
    let server = Server::start(config::Http { body_timeout: SOON, ..PATIENT }).await;
    let mut client = Client::begin(server.connect().await).await;
    client.get(1, "/large").await;
    let mut last = client.frame().await.unwrap();
    while last.kind != RST_STREAM {
        last = client.frame().await.expect("the stream is ended and not the connection");
    }
    assert_eq!(last.stream, 1);
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let server = Server::start(PATIENT).await;
    let mut client = Client::begin(server.connect().await).await;
    client.send(SETTINGS, 0, 0, &window(i32::MAX as u32)).await;
    client.send(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes()).await;
    client.get(1, "/large").await;
    let (status, body) = client.answer(1).await;
    assert_eq!((status, body.len()), (0x88, 64 << 20));
}

#[tokio::test]
async fn pings_do_not_keep_an_idle_connection() {
    let server = Server::start(config::Http { idle_timeout: SOON, ..PATIENT }).await;
    let (mut reader, mut writer) = Client::begin(server.connect().await).await.stream.into_split();
    let pings = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while writer.write_all(b"\0\0\x08\x06\0\0\0\0\0pingping").await.is_ok() {
            tick.tick().await;
        }
    });
    assert!(!rest(&mut reader).await.is_empty());
    drop(reader);
    pings.await.unwrap();
}

#[tokio::test]
async fn draining_lets_a_running_stream_end() {
    let server = Server::start(PATIENT).await;
    let gate = server.gate.clone();
    let mut client = Client::begin(server.connect().await).await;
    client.get(1, "/gated").await;
    gate.begun.notified().await;
    let end = server.stop();
    assert_eq!(client.frame().await.map(|frame| frame.kind), Some(GOAWAY));
    gate.go_on.notify_one();
    assert_eq!(client.answer(1).await, (0x88, b"went on".to_vec()));
    client.rest().await;
    assert_eq!(end.await.unwrap(), Drained { open: 1, cut: 0 });
}

#[tokio::test]
async fn a_stream_that_still_runs_at_the_end_of_the_drain_is_cut() {
    let server = Server::start(config::Http { drain_timeout: SOON, ..PATIENT }).await;
    let gate = server.gate.clone();
    let mut client = Client::begin(server.connect().await).await;
    client.get(1, "/gated").await;
    gate.begun.notified().await;
    let end = server.stop();
    client.rest().await;
    assert_eq!(end.await.unwrap(), Drained { open: 1, cut: 1 });
    // The router, and with it the handler's gate, is gone: no task of the server is left.
    assert_eq!(Arc::strong_count(&gate.begun), 1);
}

#[tokio::test]
async fn a_storm_of_requests_taken_back_ends_the_connection() {
    let server = Server::start(PATIENT).await;
    let mut client = Client::begin(server.connect().await).await;
    let (mut storm, block) = (Vec::new(), b"\x82\x86\x84\x01\x09localhost");
    for number in 0..10_000_u32 {
        let stream = (2 * number + 1).to_be_bytes();
        storm.extend([0, 0, u8::try_from(block.len()).unwrap(), HEADERS, END_HEADERS | END_STREAM]);
        storm.extend(stream);
        storm.extend(block);
        storm.extend([0, 0, 4, RST_STREAM, 0]);
        storm.extend(stream);
        storm.extend(8_u32.to_be_bytes());
    }
    // The server stops reading in the middle of the storm, and its last word may be lost with what it has not read.
    let _ = client.stream.write_all(&storm).await;
    client.rest().await;
    let mut next = Client::begin(server.connect().await).await;
    next.get(1, "/peer").await;
    assert_eq!(next.answer(1).await.0, 0x88);
}
