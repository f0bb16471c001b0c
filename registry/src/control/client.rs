//! The command line's side of the socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::{ANSWER_BYTES, Answer, Command};

/// How long an answer may take: hashing a password behind a queue of others, or a store that does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody listens on the socket.
    #[error("no server answers on {} ({source})", path.display())]
    NoServer { path: PathBuf, source: io::Error },
    /// The socket belongs to somebody else.
    #[error("the socket {} may not be used by this user ({source}): run this as the user that runs the server", path.display())]
    Forbidden { path: PathBuf, source: io::Error },
    /// The connection broke after the command was sent; it may have been done.
    #[error("the server closed the connection before it answered ({0}); it may have done what was asked")]
    Broken(io::Error),
    /// The server took too long; it may have done what was asked.
    #[error("the server did not answer within {} s; it may have done what was asked", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
    /// The answer is not one that this version knows.
    #[error("the answer of the server is not understood ({0}): is it another version of hallmark?")]
    NotUnderstood(serde_json::Error),
}

/// Sends one command to the server of this data folder and waits for its answer.
pub(crate) async fn call(data: &Path, command: &Command) -> Result<Answer, CallError> {
    let path = super::socket_path(data);
    let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => CallError::Forbidden { path, source },
        _ => CallError::NoServer { path, source },
    })?;
    tokio::time::timeout(ANSWER_TIMEOUT, exchange(stream, command)).await.map_err(|_| CallError::TimedOut)?
}

async fn exchange(mut stream: UnixStream, command: &Command) -> Result<Answer, CallError> {
    let mut line = serde_json::to_vec(command).map_err(CallError::NotUnderstood)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(CallError::Broken)?;
    line.fill(0);
    let mut answer = String::new();
    let limit = ANSWER_BYTES as u64 + 1;
    BufReader::new(stream.take(limit)).read_line(&mut answer).await.map_err(CallError::Broken)?;
    if answer.is_empty() {
        return Err(CallError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_str(&answer).map_err(CallError::NotUnderstood)
}
