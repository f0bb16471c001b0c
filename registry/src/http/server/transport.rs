//! The bytes of a connection: plain or TLS, with what was read ahead, watched for signs of life.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::sendfile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::outbox::{Next, Outbox};

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client that still sends is listened to after our last byte. Closing at once would reset the connection, and
/// the reset can overtake the answer that tells why.
const LINGER: Duration = Duration::from_secs(1);

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
    ahead: [u8; PREFACE.len()],
    /// The part of `ahead` that was read and not yet handed out.
    ahead_left: std::ops::Range<usize>,
}

impl Transport {
    /// Of a plain stream, what waits in `outbox` is sent as files.
    pub(super) fn new(stream: Stream, activity: Arc<Activity>, outbox: Outbox) -> Self {
        Self { stream, activity, outbox, ahead: [0; PREFACE.len()], ahead_left: 0..0 }
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
    fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8], next: &Next) -> Poll<io::Result<usize>> {
        let Stream::Plain(stream) = &self.stream else {
            return Poll::Ready(Err(io::Error::other("an encrypted connection sends no files")));
        };
        loop {
            ready!(stream.poll_write_ready(context))?;
            let mut offset = next.offset;
            let send = || sendfile(stream, &next.file, Some(&mut offset), next.length).map_err(io::Error::from);
            match stream.try_io(Interest::WRITABLE, send) {
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    self.outbox.sent(&bytes[..sent]);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
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
        let written = match self.outbox.find(bytes) {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some(next) => self.poll_send(context, bytes, &next),
        };
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
