//! The server's side of the socket.

use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::protocol::{ANSWER_BYTES, Answer, COMMAND_BYTES, Command};

/// How many command lines are served at once; more wait.
const CONNECTIONS: usize = 16;
/// How long a client may take to send a command or to take the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a failing `accept` rests, so that a shortage of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The bound socket; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl ControlServer {
    /// Binds `DIR/control.sock` with mode 0600. Whoever calls this holds the lock of the folder, so a socket that is
    /// already there was left by a dead server and is removed.
    ///
    /// # Errors
    /// The socket cannot be bound; a path of more than 107 bytes is one reason.
    pub(crate) fn bind(data: &Path, _lock: &super::FolderLock) -> io::Result<Self> {
        let path = super::socket_path(data);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path)?);
        Ok(Self { listener, path, owner })
    }

    /// Answers commands with `handler` until `shutdown` resolves; then waits for the commands that run.
    pub(crate) async fn run<H, F>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(Command) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let (closing, closed) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut clients = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            while clients.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.accept(&permits) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let (handler, closed) = (Arc::clone(&handler), closed.clone());
                    clients.spawn(async move {
                        serve(stream, handler.as_ref(), closed).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket does not accept a command line");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        closing.send_replace(true);
        while clients.join_next().await.is_some() {}
    }

    async fn accept(&self, permits: &Arc<Semaphore>) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        // The mode of the socket says the same, but is set a moment after the socket is there.
        let user = stream.peer_cred()?.uid();
        if user != self.owner && user != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {user} is not the owner")));
        }
        Ok((stream, permit))
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // The lock still keeps other servers out, so this is our own socket; one left behind is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers the commands of one client, one after another, until it hangs up or dawdles, or the server stops.
async fn serve<H, F>(stream: UnixStream, handler: &H, mut closed: watch::Receiver<bool>)
where
    H: Fn(Command) -> F,
    F: Future<Output = Answer>,
{
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = tokio::select! {
            _ = closed.wait_for(|closed| *closed) => return,
            line = tokio::time::timeout(CLIENT_TIMEOUT, read_line(&mut reader)) => line,
        };
        let (answer, go_on) = match line {
            Err(_) | Ok(Ok(None) | Err(_)) => return,
            Ok(Ok(Some(Line::TooLong))) => (refused(format!("a command is at most {COMMAND_BYTES} bytes")), false),
            Ok(Ok(Some(Line::Whole(mut line)))) => {
                let command = serde_json::from_slice(&line);
                line.fill(0);
                match command {
                    Ok(command) => (handler(command).await, true),
                    Err(error) => (refused(format!("this command is not understood: {error}")), true),
                }
            }
        };
        let written = tokio::time::timeout(CLIENT_TIMEOUT, writer.write_all(&encode(&answer))).await;
        if !go_on || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    reader.take(COMMAND_BYTES as u64 + 1).read_until(b'\n', &mut line).await?;
    Ok(match line.last() {
        None => None,
        Some(b'\n') => Some(Line::Whole(line)),
        Some(_) if line.len() > COMMAND_BYTES => Some(Line::TooLong),
        // The client hung up in the middle of a command.
        Some(_) => None,
    })
}

fn refused(message: String) -> Answer {
    Answer::Refused { message }
}

fn encode(answer: &Answer) -> Vec<u8> {
    let line = serde_json::to_vec(answer).ok().filter(|line| line.len() < ANSWER_BYTES);
    let mut line = line.unwrap_or_else(|| br#"{"answer":"refused","message":"the answer is too long"}"#.to_vec());
    line.push(b'\n');
    line
}
