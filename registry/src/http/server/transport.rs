//! The bytes of a connection: plain or TLS, with what was read ahead, watched for signs of life.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hallmark_storage::blobs::Error;
use rustix::fs::sendfile;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::outbox::{Next, Outbox};

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client that still sends is listened to after our last byte. Closing at once would reset the connection, and
/// the reset can overtake the answer that tells why.
const LINGER: Duration = Duration::from_secs(1);

/// How much of a file is handed to the kernel at once, in bytes.
const SEND_BYTES: usize = 256 << 10;
/// So much of a file costs its task as much of its turn as one other thing that it does, in bytes. tokio gives a turn 128,
/// so others get theirs after 1 MiB; a whole window for the price of one write would be 256 MiB of patience.
const TURN_BYTES: usize = 8 << 10;

/// A part of a file on its way into memory.
type Loading = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The version that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A TCP stream with or without TLS on it.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream that tells the connection's [`Activity`] what passes.
pub(super) struct Transport {
    stream: Stream,
    activity: Arc<Activity>,
    outbox: Outbox,
    /// Brings the part of a file into memory that comes next.
    loading: Option<Loading>,
    /// Whether all that is left of its window was brought since the client last had no room.
    loaded: bool,
    ahead: [u8; PREFACE.len()],
    /// The part of `ahead` that was read and not yet handed out.
    ahead_left: std::ops::Range<usize>,
}

impl Transport {
    /// Of a plain stream, what waits in `outbox` is sent as files.
    pub(super) fn new(stream: Stream, activity: Arc<Activity>, outbox: Outbox) -> Self {
        Self { stream, activity, outbox, loading: None, loaded: false, ahead: [0; PREFACE.len()], ahead_left: 0..0 }
    }

    /// Reads as much as tells HTTP/2 with prior knowledge from HTTP/1.1; what was read is handed out again afterwards.
    pub(super) async fn sniff(&mut self) -> io::Result<Protocol> {
        let mut filled = 0;
        while filled < PREFACE.len() && self.ahead[..filled] == PREFACE[..filled] {
            let read = match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut self.ahead[filled..]).await?,
                Stream::Tls(stream) => stream.read(&mut self.ahead[filled..]).await?,
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.activity.received();
            filled += read;
        }
        self.ahead_left = 0..filled;
        Ok(if self.ahead == *PREFACE { Protocol::Http2 } else { Protocol::Http1 })
    }

    /// Says that nothing more will be sent, and gives the client a moment to read what was.
    pub(super) async fn close(mut self) {
        self.outbox.clear();
        let ending = async {
            self.shutdown().await?;
            let mut thrown_away = vec![0; 16 << 10];
            while self.read(&mut thrown_away).await? > 0 {}
            io::Result::Ok(())
        };
        // Whether the client hung up, broke off or took too long: the connection ends here.
        let _ = tokio::time::timeout(LINGER, ending).await;
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Transport {
    /// Notes whether the client takes what it is sent.
    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.blocked(),
            Poll::Ready(bytes) => self.activity.sent(*bytes.as_ref().unwrap_or(&0)),
        }
        written
    }
}

impl Transport {
    /// Lets the kernel send a part of a file in the place of the `bytes` that it is.
    ///
    /// What the disk has yet to bring is brought by a thread that may block. The question is asked right before a part is
    /// sent, and again when a slow client has room. What remains: what the kernel throws away between its answer, or the
    /// loading, and the sending stops this thread for one read.
    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8], next: &Next) -> Poll<io::Result<usize>> {
        let Self { stream: Stream::Plain(stream), activity, outbox, loading, loaded, .. } = self else {
            return Poll::Ready(Err(io::Error::other("an encrypted connection sends no files")));
        };
        if !coop::has_budget_remaining() {
            // Refused, which wakes this task when the others have had their turn.
            let _ = coop::poll_proceed(context);
            activity.delayed();
            return Poll::Pending;
        }
        let part = next.part.start..next.part.end.min(next.part.start + SEND_BYTES);
        let mut offset = next.window.offset + part.start as u64;
        loop {
            let Poll::Ready(writable) = stream.poll_write_ready(context) else {
                *loaded = false;
                activity.blocked();
                return Poll::Pending;
            };
            writable?;
            if loading.is_none() && !*loaded && !next.window.is_resident(part.clone()) {
                *loading = Some(Box::pin(next.window.load(part.start)));
            }
            if let Some(reading) = loading {
                let Poll::Ready(read) = reading.as_mut().poll(context) else {
                    activity.delayed();
                    return Poll::Pending;
                };
                *loading = None;
                if let Err(error) = read {
                    return Poll::Ready(Err(broken(next, error)));
                }
                *loaded = true;
            }
            let send = || Ok(sendfile(&*stream, next.window.file(), Some(&mut offset), part.len())?);
            match stream.try_io(Interest::WRITABLE, send) {
                Ok(0) => {
                    let error = next.window.unsent(io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(broken(next, error)));
                }
                Ok(sent) => {
                    activity.sent(sent);
                    outbox.sent(&bytes[..sent]);
                    charge(context, sent);
                    if part.start + sent == next.window.bytes.len() {
                        *loaded = false;
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(again) if matches!(again.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if is_of_the_file(&error) => {
                    return Poll::Ready(Err(broken(next, next.window.unsent(error))));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Notes why an answer breaks off where its line in the log finds it, and ends its connection.
fn broken(next: &Next, error: Error) -> io::Error {
    next.delivery.fail(error);
    io::Error::other("a file could not be sent")
}

/// Whether sending failed for the file and not for the connection.
fn is_of_the_file(error: &io::Error) -> bool {
    let blamed = [Errno::IO, Errno::STALE, Errno::INVAL, Errno::OVERFLOW, Errno::NOSYS, Errno::OPNOTSUPP];
    error.raw_os_error().is_some_and(|code| blamed.iter().any(|errno| errno.raw_os_error() == code))
}

/// Takes from the task's turn what sending so many bytes costs.
fn charge(context: &mut Context<'_>, bytes: usize) {
    for _ in 0..bytes / TURN_BYTES {
        if !coop::has_budget_remaining() {
            return;
        }
        if let Poll::Ready(taken) = coop::poll_proceed(context) {
            taken.made_progress();
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead_left.is_empty() {
            let end = self.ahead_left.end.min(self.ahead_left.start + buffer.remaining());
            buffer.put_slice(&self.ahead[self.ahead_left.start..end]);
            self.ahead_left.start = end;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(next) = self.outbox.find(bytes) {
            return self.poll_send(context, bytes, &next);
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let plain = self.outbox.plain(slices);
        match slices.first() {
            Some(first) if plain == 0 => self.poll_write(context, first),
            _ => {
                let written = Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..plain]);
                self.noted(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.noted(flushed.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.noted(shut.map_ok(|()| 0)).map_ok(drop)
    }
}
