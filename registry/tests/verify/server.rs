//! A server that answers what it is told to, one request a connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::forge::{Files, manifest, sum};

/// What is written of an answer that has no end before it is given up: many times what anybody should read.
const ENDLESS: u64 = 256 << 20;

/// What the server answers.
#[derive(Default)]
pub(crate) struct Served {
    /// The metadata of the repository.
    pub(crate) files: Files,
    /// What its tag points to, by its number; see [`crate::forge`].
    pub(crate) tag: u8,
    /// What is sent in the place of that, under its digest.
    pub(crate) sent: Option<&'static [u8]>,
    /// The file or `manifest` that never ends.
    pub(crate) endless: Option<&'static str>,
}

/// The server, which ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) served: Arc<Mutex<Served>>,
    /// How many bytes of answers without an end were taken off its hands.
    pub(crate) taken: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (served, taken) = (Arc::<Mutex<Served>>::default(), Arc::<AtomicU64>::default());
        let ends = Arc::new(AtomicBool::new(false));
        let (shared, counted, asked_to_end) = (Arc::clone(&served), Arc::clone(&taken), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if asked_to_end.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever hangs up has read enough.
                let _ = answer(&stream.unwrap(), &shared.lock().unwrap(), &counted);
            }
        });
        Self { address, served, taken, ends, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream, served: &Served, taken: &AtomicU64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let tagged = served.sent.map_or_else(|| manifest(served.tag), <[u8]>::to_vec);
    let (name, body) = match (path, path.strip_prefix("/tuf/acme/web/")) {
        ("/v2/acme/web/manifests/1", _) => ("manifest", Some(tagged.as_slice())),
        (_, Some(file)) => (file, served.files.get(file).map(Vec::as_slice)),
        _ => ("", None),
    };
    let digest = format!("Docker-Content-Digest: sha256:{}\r\n", sum(served.tag));
    let mut writer = stream;
    if served.endless == Some(name) {
        write!(writer, "HTTP/1.1 200 OK\r\nConnection: close\r\n{digest}\r\n")?;
        let spaces = [b' '; 1 << 16];
        while taken.load(Ordering::SeqCst) < ENDLESS {
            writer.write_all(&spaces)?;
            taken.fetch_add(spaces.len() as u64, Ordering::SeqCst);
        }
        return Ok(());
    }
    let (status, body) = body.map_or(("404 Not Found", b"".as_slice()), |body| ("200 OK", body));
    let length = body.len();
    write!(writer, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{digest}\r\n")?;
    writer.write_all(body)
}
