//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, AnswerBody, Overdue};
use super::outbox::Outbox;
use super::transport::{Protocol, Stream, Transport};
use super::wakes::Wakes;
use super::{PeerAddress, PeerCertificate, Phase, STREAM, Shared, Tasks};
use crate::auth::certificate;
use crate::config;

/// The longest head of a request, in bytes: the longest names, many scopes and a token fit many times. Longer ones get 431.
const HEAD_BYTES: usize = 64 << 10;
/// How much of a request is read at once, in bytes. Large enough for a layer at the speed of the loopback; with one piece
/// read and two on their way to the store, 32 uploads hold 48 MiB.
const READ_BYTES: usize = 128 << 10;
/// HTTP/2: how many requests run at once on one connection.
const STREAMS: u32 = 128;
/// HTTP/2: how much of one body is taken ahead, and of all bodies of a connection together, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// HTTP/2: the largest frame we take, in bytes; with the least there is, 16 KiB, a layer of 1 GiB comes in 65,536 pieces.
const FRAME_BYTES: u32 = 256 << 10;
/// HTTP/2: how much of an answer waits to be sent on one stream, in bytes.
const SEND_BYTES: usize = 1 << 20;
/// HTTP/2: requests that a client may take back before we have looked at them, and errors of its own that we answer;
/// beyond either the connection ends (CVE-2023-44487).
const EARLY_RESETS: usize = 32;
const ERROR_RESETS: usize = 256;
/// HTTP/2: how often we ask whether the other end is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Connection {
    peer: SocketAddr,
    shared: Arc<Shared>,
    tasks: Tasks,
    activity: Arc<Activity>,
    outbox: Outbox,
}

/// How the conversation on a connection ended.
enum End {
    /// By its own rules: the client hung up, asked to close, or broke the protocol.
    Natural,
    Overdue(Overdue),
    /// By us, while nothing ran here.
    Stopped,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, shared: Arc<Shared>, tasks: Tasks) -> Self {
        Self { peer, shared, tasks, activity: Activity::new(), outbox: Outbox::default() }
    }

    pub(super) async fn run(self, stream: TcpStream) {
        let opened = tokio::select! {
            opened = self.open(stream) => opened,
            () = self.tasks.reached(Phase::Draining) => return,
        };
        match opened {
            Ok((transport, Protocol::Http1, shown)) => self.http1(transport, shown).await,
            Ok((transport, Protocol::Http2, shown)) => self.http2(transport, shown).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "a connection ended before its first request"),
        }
    }

    /// Does the TLS handshake, if there is one, and finds out the version.
    async fn open(&self, stream: TcpStream) -> io::Result<(Transport, Protocol, Option<PeerCertificate>)> {
        let config::Http { header_timeout, idle_timeout, .. } = self.shared.limits;
        let Some(certificates) = &self.shared.certificates else {
            // Nothing needs to come at once, but what has begun to come must come. (`readable` may resolve without a byte.)
            tokio::time::timeout(idle_timeout, stream.peek(&mut [0])).await??;
            let mut transport = self.transport(Stream::Plain(stream));
            let protocol = tokio::time::timeout(header_timeout, transport.sniff()).await??;
            return Ok((transport, protocol, None));
        };
        let handshake = TlsAcceptor::from(certificates.server_config()).accept(stream);
        let stream = tokio::time::timeout(header_timeout, handshake).await??;
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.and_then(|certificate| certificate::names(certificate)).map(PeerCertificate::new);
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((self.transport(Stream::Tls(Box::new(stream))), protocol, shown))
    }

    fn transport(&self, stream: Stream) -> Transport {
        Transport::new(stream, Arc::clone(&self.activity), self.outbox.clone())
    }

    /// Serves the requests of this connection; `outbox` is where their answers may leave files.
    fn handler(&self, outbox: Option<Outbox>, certificate: Option<PeerCertificate>) -> Handler {
        Handler {
            outbox,
            certificate,
            router: TowerToHyperService::new(self.shared.router.clone()),
            peer: PeerAddress(self.peer),
            activity: Arc::clone(&self.activity),
        }
    }

    async fn http1(self, transport: Transport, shown: Option<PeerCertificate>) {
        let mut builder = http1::Builder::new();
        // The times are kept by `Activity`: hyper's own would end an idle connection after the time of a head.
        builder.header_read_timeout(None).max_header_size(HEAD_BYTES).max_buf_size(READ_BYTES);
        let outbox = self.shared.certificates.is_none().then(|| self.outbox.clone());
        let mut connection = builder.serve_connection(TokioIo::new(transport), self.handler(outbox, shown));
        // With hyper's own shutdown: without it a connection that is told to close counts as done, whatever waits to be sent.
        let poll = |connection: &mut http1::Connection<_, _>, context: &mut Context<'_>| {
            match Pin::new(&mut *connection).poll(context) {
                // To hyper a request with an Upgrade header ends its connection, whatever it was answered and whatever of
                // that waits. Asked once more it sends the rest and shuts down.
                Poll::Ready(Ok(())) if self.activity.is_sending() => Pin::new(connection).poll(context),
                polled => polled,
            }
        };
        let stop = |connection: &mut http1::Connection<_, _>| {
            Pin::new(connection).graceful_shutdown();
            self.activity.is_idle()
        };
        let end = self.watch(&mut connection, poll, stop).await;
        match end {
            End::Natural => connection.into_parts().io.into_inner().close().await,
            End::Stopped => {}
            End::Overdue(overdue) => tracing::debug!(peer = %self.peer, ?overdue, "a connection was ended"),
        }
    }

    async fn http2(self, transport: Transport, shown: Option<PeerCertificate>) {
        let mut builder = http2::Builder::new(self.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES)
            .max_send_buf_size(SEND_BYTES)
            .max_pending_accept_reset_streams(EARLY_RESETS)
            .max_local_error_reset_streams(ERROR_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        // Frames cut a body anew, so that its bytes do not go out as they lie.
        let mut connection = builder.serve_connection(TokioIo::new(transport), self.handler(None, shown));
        self.activity.multiplexed();
        let poll =
            |connection: &mut http2::Connection<_, _, _>, context: &mut Context<'_>| Pin::new(connection).poll(context);
        self.watch(&mut connection, poll, |connection| {
            // The client is told which of its requests count, and hangs up.
            Pin::new(connection).graceful_shutdown();
            false
        })
        .await;
    }

    /// Drives `connection` to its end: its own, that of the server, or that of our patience. `stop` makes this request the
    /// last, and says whether there is nothing to wait for.
    async fn watch<C>(
        &self,
        connection: &mut C,
        poll: impl Fn(&mut C, &mut Context<'_>) -> Poll<hyper::Result<()>>,
        stop: impl Fn(&mut C) -> bool,
    ) -> End {
        let mut draining = pin!(self.tasks.reached(Phase::Draining));
        let mut alarm = pin!(tokio::time::sleep(self.shared.limits.idle_timeout));
        let mut stopped = false;
        let wakes = Wakes::new();
        poll_fn(|context| {
            loop {
                if !stopped && draining.as_mut().poll(context).is_ready() {
                    stopped = true;
                    if stop(connection) {
                        return Poll::Ready(End::Stopped);
                    }
                }
                if let Poll::Ready(ended) = wakes.poll(context, |context| poll(connection, context)) {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.peer, %error, "a connection broke");
                    }
                    return Poll::Ready(End::Natural);
                }
                match std::task::ready!(self.poll_deadline(alarm.as_mut(), wakes.waker(), context)) {
                    Overdue::Look => self.activity.end_what_lies(self.shared.limits.body_timeout),
                    Overdue::Idle if !stopped => {
                        stopped = true;
                        if stop(connection) {
                            return Poll::Ready(End::Stopped);
                        }
                        self.activity.rest_again();
                    }
                    overdue => return Poll::Ready(End::Overdue(overdue)),
                }
            }
        })
        .await
    }

    /// Resolves when the connection has done nothing for too long. The alarm is moved only when it would ring too late, so
    /// a request costs no timer.
    fn poll_deadline(&self, mut alarm: Pin<&mut Sleep>, ended: &Waker, context: &mut Context<'_>) -> Poll<Overdue> {
        self.activity.wake(ended);
        loop {
            let Some((deadline, overdue)) = self.activity.deadline(&self.shared.limits) else { return Poll::Pending };
            if deadline <= Instant::now() {
                return Poll::Ready(overdue);
            }
            if alarm.deadline() > deadline || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Hands requests to the router, each with the address of its peer, counted while it runs.
struct Handler {
    router: TowerToHyperService<Router>,
    peer: PeerAddress,
    activity: Arc<Activity>,
    outbox: Option<Outbox>,
    certificate: Option<PeerCertificate>,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let mut running = self.activity.begin();
        request.extensions_mut().insert(self.peer);
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        if let Some(outbox) = &self.outbox {
            request.extensions_mut().insert(outbox.clone());
        }
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Ok(end) = STREAM.try_with(Arc::clone) {
                running.answers(end);
            }
            Ok(answer.map(|body| AnswerBody::new(body, running)))
        })
    }
}
