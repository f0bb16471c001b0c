//! A scratch PostgreSQL server, reached through a relay that can break a connection in the moment after a COMMIT.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// A server of one test; its script stops it when our end of its standard input closes.
pub(crate) struct Postgres {
    /// Where the relay listens.
    pub(crate) url: String,
    /// The statement whose transaction is committed and never answered.
    doomed: Arc<Mutex<Option<&'static str>>>,
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
        let doomed = Arc::new(Mutex::new(None));
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let (server, state) = (format!("{server}/{SOCKET}"), Arc::clone(&doomed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&state)));
            }
        });
        Self { url, doomed, _folder: folder, _script: child }
    }

    /// Breaks the connection of the next change that runs a statement with this text, when its COMMIT has happened and
    /// before its answer is passed on.
    pub(crate) fn lose_the_answer_to(&self, statement: &'static str) {
        *self.doomed.lock().unwrap() = Some(statement);
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.doomed.lock().unwrap().is_none()
    }
}

/// Passes everything on, one message after another as the driver sends them.
async fn relay(mut client: UnixStream, mut server: UnixStream, doomed: Arc<Mutex<Option<&'static str>>>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut runs_it, mut commits) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &asked[..length];
                runs_it |= doomed.lock().unwrap().is_some_and(|statement| holds(sent, statement));
                commits |= runs_it && holds(sent, "COMMIT");
                server.write_all(sent).await.unwrap();
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if commits {
                    *doomed.lock().unwrap() = None;
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
