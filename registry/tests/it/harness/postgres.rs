//! A scratch PostgreSQL server, reached through a relay that can break a connection in the moment after a COMMIT, or in the
//! moment before and let the COMMIT arrive late.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";
/// How a message begins that runs a prepared statement.
const BIND: u8 = b'B';

/// A change whose COMMIT is never answered.
#[derive(Clone, Default)]
struct Doomed {
    /// A statement that it runs; none once it is lost.
    statement: Arc<Mutex<Option<&'static str>>>,
    /// Whether its COMMIT reaches the server late.
    late: Arc<AtomicBool>,
    /// Whether one waits for that.
    held: Arc<AtomicBool>,
    /// Told when somebody reads under a lock behind a COMMIT that is late.
    awaited: Arc<Notify>,
}

/// A server of one test; its script stops it when our end of its standard input closes.
pub(crate) struct Postgres {
    /// Where the relay listens.
    pub(crate) url: String,
    doomed: Doomed,
    _folder: TempDir,
    _script: Child,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../storage-adapters/tests/postgres.sh");
        let mut child = Command::new("sh").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let (base, server) = url.trim().split_once("?host=").expect("no PostgreSQL: the script says why above");
        let folder = TempDir::new().unwrap();
        let url = format!("{base}?host={}", folder.path().display());
        let doomed = Doomed::default();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let (server, state) = (format!("{server}/{SOCKET}"), doomed.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(relay(client, server, state.clone()));
            }
        });
        Self { url, doomed, _folder: folder, _script: child }
    }

    /// Breaks the connection of the next change that runs a statement with this text, when its COMMIT has happened and
    /// before its answer is passed on.
    pub(crate) fn lose_the_answer_to(&self, statement: &'static str) {
        *self.doomed.statement.lock().unwrap() = Some(statement);
    }

    /// Breaks that connection before its COMMIT is passed on, which is done once another change has asked for something.
    pub(crate) fn delay_the_commit_of(&self, statement: &'static str) {
        self.doomed.late.store(true, Ordering::SeqCst);
        self.lose_the_answer_to(statement);
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.doomed.statement.lock().unwrap().is_none()
    }
}

/// Passes everything on, one message after another as the driver sends them.
async fn relay(mut client: UnixStream, mut server: UnixStream, doomed: Doomed) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut runs_it, mut commits, mut changes) = (false, false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &asked[..length];
                runs_it |= doomed.statement.lock().unwrap().is_some_and(|statement| holds(sent, statement));
                commits |= runs_it && holds(sent, "COMMIT");
                if commits && doomed.late.load(Ordering::SeqCst) {
                    *doomed.statement.lock().unwrap() = None;
                    doomed.held.store(true, Ordering::SeqCst);
                    drop(client);
                    doomed.awaited.notified().await;
                    server.write_all(sent).await.unwrap();
                    // Its answer goes nowhere; that it came is enough.
                    drop(server.read_u8().await);
                    return;
                }
                server.write_all(sent).await.unwrap();
                if changes && sent[0] == BIND && doomed.held.load(Ordering::SeqCst) {
                    doomed.awaited.notify_one();
                }
                changes |= holds(sent, "BEGIN");
                changes &= !holds(sent, "COMMIT");
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if commits {
                    *doomed.statement.lock().unwrap() = None;
                    return;
                }
                client.write_all(&answered[..length]).await.unwrap();
            }
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
