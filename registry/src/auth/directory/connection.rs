//! One connection to a directory: one request at a time, everything before one deadline, and a bound on what is read.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::ber::{self, Malformed, SEQUENCE};
use super::endpoint::{Endpoint, Security, Tls};
use super::error::Cause;
use super::message::{self, Entry, Outcome, Reply, Search};

/// The largest message that is read, in bytes; one holds an entry's name and few of its attributes.
const MESSAGE_BYTES: usize = 256 * 1024;
/// How much is read from one connection, in bytes.
const CONNECTION_BYTES: usize = 16 * 1024 * 1024;

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection on which a request can be sent.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    id: u32,
    allowance: usize,
    deadline: Instant,
}

/// Connects to the first address of the host that answers.
///
/// # Errors
/// [`Cause::Unreachable`] or [`Cause::TimedOut`]; each address has its share of the time.
pub(super) async fn dial(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, Cause> {
    let found = by(deadline, lookup_host((endpoint.host.as_str(), endpoint.port))).await?;
    let mut addresses: Vec<SocketAddr> = found.map_err(Cause::Unreachable)?.collect();
    if endpoint.loopback_only {
        addresses.retain(|address| address.ip().is_loopback());
    }
    let mut failure = Cause::Unreachable(io::Error::new(io::ErrorKind::NotFound, "its name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
        failure = match by(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Cause::Unreachable(error),
            Err(late) => late,
        };
    }
    Err(failure)
}

impl Connection {
    /// Makes a connection of what [`dial`] returned: with TLS, or not at all, if the settings ask for it.
    ///
    /// # Errors
    /// [`Cause::Refused`] when the server does not agree to StartTLS, [`Cause::Untrusted`] when the handshake fails, and
    /// what breaks any exchange.
    pub(super) async fn new(stream: TcpStream, security: &Security, deadline: Instant) -> Result<Self, Cause> {
        // A request is one write; nothing is gained by waiting for more.
        stream.set_nodelay(true).map_err(Cause::Unreachable)?;
        let tls = match security {
            Security::Plain => return Ok(Self::over(Box::new(stream), deadline)),
            Security::Tls(tls) => tls,
            Security::StartTls(tls) => {
                let mut plain = Self::over(Box::new(stream), deadline);
                plain.send(message::start_tls(), Vec::new()).await?;
                match plain.receive().await? {
                    Reply::Extended(outcome) => outcome.success()?,
                    _ => return Err(Malformed("StartTLS was answered with something else").into()),
                }
                // What came behind the answer was not sent by whoever proves the certificate.
                if !plain.stream.buffer().is_empty() {
                    return Err(Malformed("something was sent between StartTLS and TLS").into());
                }
                return Self::handshake(plain.stream.into_inner(), tls, deadline).await;
            }
        };
        Self::handshake(Box::new(stream), tls, deadline).await
    }

    async fn handshake(stream: Box<dyn Stream>, tls: &Tls, deadline: Instant) -> Result<Self, Cause> {
        let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
        let stream = by(deadline, connector.connect(tls.server.clone(), stream)).await?.map_err(Cause::Untrusted)?;
        Ok(Self::over(Box::new(stream), deadline))
    }

    fn over(stream: Box<dyn Stream>, deadline: Instant) -> Self {
        Self { stream: BufReader::new(stream), id: 0, allowance: CONNECTION_BYTES, deadline }
    }

    /// Binds as `dn`. An empty password would be an unauthenticated bind, which servers answer with success (RFC 4513
    /// §5.1.2), so callers never come here with one; this is the second lock on that door.
    ///
    /// # Errors
    /// What breaks any exchange; that the server says no is an [`Outcome`].
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<Outcome, Cause> {
        if dn.is_empty() || password.is_empty() {
            return Err(Malformed("a bind without a name or a password was asked for").into());
        }
        self.send(message::bind(dn, password), Vec::new()).await?;
        match self.receive().await? {
            Reply::Bound(outcome) => Ok(outcome),
            _ => Err(Malformed("a bind was answered with something else").into()),
        }
    }

    /// All entries that a search finds. References to other servers are passed over.
    ///
    /// # Errors
    /// [`Cause::TooMany`] beyond the search's bound, [`Cause::Refused`] when it does not end with success, and what breaks
    /// any exchange.
    pub(super) async fn search(&mut self, search: &Search<'_>) -> Result<Vec<Entry>, Cause> {
        let mut entries = Vec::new();
        let mut cookie = Vec::new();
        loop {
            self.send(search.request(), search.controls(&cookie)).await?;
            cookie = loop {
                match self.receive().await? {
                    Reply::Entry(_) if entries.len() == search.most => return Err(Cause::TooMany(search.most)),
                    Reply::Entry(entry) => entries.push(entry),
                    Reply::Aside => {}
                    Reply::Done(outcome, cookie) => {
                        outcome.success()?;
                        break cookie;
                    }
                    Reply::Bound(_) | Reply::Extended(_) => {
                        return Err(Malformed("a search was answered with something else").into());
                    }
                }
            };
            if cookie.is_empty() {
                return Ok(entries);
            }
        }
    }

    async fn send(&mut self, operation: Vec<u8>, controls: Vec<u8>) -> Result<(), Cause> {
        self.id += 1;
        let message = message::envelope(self.id, operation, controls);
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        by(self.deadline, sent).await?.map_err(Cause::Unreachable)
    }

    async fn receive(&mut self) -> Result<Reply, Cause> {
        let content = by(self.deadline, read(&mut self.stream, &mut self.allowance)).await??;
        match message::parse(&content)? {
            (id, reply) if id == self.id => Ok(reply),
            // The notice of disconnection (RFC 4511 §4.4.1): the server goes away, and says why.
            (0, Reply::Extended(outcome)) => Err(Cause::Refused { code: outcome.code, text: outcome.text }),
            _ => Err(Malformed("an answer belongs to no request").into()),
        }
    }
}

async fn by<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Cause> {
    timeout_at(deadline, work).await.map_err(|_| Cause::TimedOut)
}

/// The content of the next message.
pub(super) async fn read(stream: &mut BufReader<Box<dyn Stream>>, allowance: &mut usize) -> Result<Vec<u8>, Cause> {
    if stream.read_u8().await.map_err(Cause::Unreachable)? != SEQUENCE {
        return Err(Malformed("a message does not begin like one").into());
    }
    let mut length = vec![stream.read_u8().await.map_err(Cause::Unreachable)?];
    length.resize(1 + ber::length_of_length(length[0])?, 0);
    stream.read_exact(&mut length[1..]).await.map_err(Cause::Unreachable)?;
    let length = ber::length(&length)?;
    *allowance = allowance.checked_sub(length).ok_or(Malformed("all answers together are too large"))?;
    if length > MESSAGE_BYTES {
        return Err(Malformed("a message is too large").into());
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.map_err(Cause::Unreachable)?;
    Ok(content)
}
