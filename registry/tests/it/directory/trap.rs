//! A listener on the loopback that counts who comes, keeps what they say, and answers as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// How long one byte takes on a slow line.
const TRICKLE: Duration = Duration::from_millis(20);

/// What is done before a connection is relayed, which is told as the how many-th it is.
type Meddling = Arc<dyn Fn(usize) + Send + Sync>;

/// What is answered.
#[derive(Clone)]
pub(super) enum Script {
    /// Nothing, ever.
    Silent,
    /// These bytes when something was heard, and nothing more.
    Once(Vec<u8>),
    /// These bytes, and the end of the connection.
    End(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
    /// These bytes, one at a time.
    Trickle(Vec<u8>),
    /// What the server on this port answers.
    Relay(u16),
    /// The same, and something happens before each connection.
    Meddle(u16, Meddling),
    /// The same, but these bytes on the how many-th connection that is told.
    Spoil(u16, Arc<AtomicUsize>, Vec<u8>),
}

#[derive(Debug, Default)]
struct Record {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    heard: Mutex<Vec<u8>>,
}

/// The listener, which ends when it is dropped.
pub(super) struct Trap {
    address: SocketAddr,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

impl Trap {
    pub(super) async fn start(script: Script) -> Self {
        Self::at("127.0.0.1", script).await
    }

    /// Listens on another address of this machine.
    pub(super) async fn at(host: &str, script: Script) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(serve(stream, script.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, record, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it is, without TLS.
    pub(super) fn url(&self) -> Url {
        format!("ldap://{}", self.address).parse().unwrap()
    }

    /// How many connections there have been.
    pub(super) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// How many there were at once.
    pub(super) fn most_open(&self) -> usize {
        self.record.most_open.load(Ordering::SeqCst)
    }

    /// All that was said to it.
    pub(super) fn heard(&self) -> Vec<u8> {
        self.record.heard.lock().unwrap().clone()
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, script: Script, record: Arc<Record>) {
    let number = record.connections.fetch_add(1, Ordering::SeqCst) + 1;
    if let Script::Meddle(_, meddling) = &script {
        let meddling = Arc::clone(meddling);
        tokio::task::spawn_blocking(move || meddling(number)).await.unwrap();
    }
    let open = record.open.fetch_add(1, Ordering::SeqCst) + 1;
    record.most_open.fetch_max(open, Ordering::SeqCst);
    // However a connection ends, it has ended.
    let script = match script {
        Script::Spoil(_, which, bytes) if which.load(Ordering::SeqCst) == number => Script::Once(bytes),
        Script::Spoil(port, ..) => Script::Relay(port),
        other => other,
    };
    let _ = answer(stream, script, &record).await;
    record.open.fetch_sub(1, Ordering::SeqCst);
}

async fn answer(mut stream: TcpStream, script: Script, record: &Record) -> std::io::Result<()> {
    if let Script::Relay(port) | Script::Meddle(port, _) = script {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
        return tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop);
    }
    hear(&mut stream, record).await?;
    match script {
        Script::Silent | Script::Relay(_) | Script::Meddle(..) | Script::Spoil(..) => {}
        Script::Once(bytes) => stream.write_all(&bytes).await?,
        Script::End(bytes) => return stream.write_all(&bytes).await,
        Script::Endless(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
        Script::Trickle(bytes) => {
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(TRICKLE).await;
            }
        }
    }
    while hear(&mut stream, record).await? > 0 {}
    Ok(())
}

async fn hear(stream: &mut TcpStream, record: &Record) -> std::io::Result<usize> {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).await?;
    record.heard.lock().unwrap().extend_from_slice(&bytes[..length]);
    Ok(length)
}
