//! The body of a request, read under limits: bytes counted, slow senders let go.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

/// How much of a refused request's body is read and thrown away, so that the client gets to read the answer, in bytes.
const DISCARDED: u64 = 1024 * 1024;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_millis(500);

/// What a body must bring at least in each period of patience, in bytes: a sender that trickles holds an upload's lease and a
/// task as surely as a silent one. Only the time that we wait for it counts: a disk that stalls is no fault of the sender's.
const LEAST: u64 = 16 * 1024;

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Nothing, or next to nothing, came for as long as the configuration allows.
    #[error("too little was sent for too long")]
    Slow,
    /// The connection ended before the body did.
    #[error("the body ended before its announced length")]
    Cut(#[source] axum::Error),
    /// The body is longer than the limit, in bytes.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Incoming {
    body: Body,
    patience: Duration,
    expects_continue: bool,
    received: u64,
    ended: bool,
    /// It ended before its time: what else stands on the connection, nobody knows.
    broken: bool,
    /// What was read and put back.
    front: Option<Bytes>,
    /// How long this period of patience has been waited for, and what had been received when it began.
    period: (Duration, u64),
}

impl Incoming {
    /// Reads `body`, giving up when nothing comes for `patience`. `expects_continue`: the client waits to be told to send.
    pub(crate) fn new(body: Body, patience: Duration, expects_continue: bool) -> Self {
        let ended = body.is_end_stream();
        let (broken, period) = (false, (Duration::ZERO, 0));
        Self { body, patience, expects_continue, received: 0, ended, broken, front: None, period }
    }

    /// How long the body will be, in bytes, when the client said so.
    #[must_use]
    pub(crate) fn announced(&self) -> Option<u64> {
        let front = self.front.as_ref().map_or(0, Bytes::len) as u64;
        self.body.size_hint().exact().map(|rest| rest + self.received + front)
    }

    /// How many bytes were read so far.
    #[must_use]
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether some of it was not read, as far as that can be told.
    #[must_use]
    pub(crate) fn is_left(&self) -> bool {
        self.broken || !self.ended && !self.body.is_end_stream()
    }

    /// Puts the whole of what was read back, to be read again.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.received = 0;
        self.front = Some(bytes);
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`BodyError::Slow`] and [`BodyError::Cut`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(front) = self.front.take() {
            self.received = front.len() as u64;
            return Ok(Some(front));
        }
        while !self.ended {
            let since = Instant::now();
            let frame = timeout(self.patience, self.body.frame()).await.map_err(|_| BodyError::Slow)?;
            self.period.0 += since.elapsed();
            let Some(frame) = frame else {
                self.ended = true;
                // A stream of HTTP/2 that the client takes back without an error looks like one that ended.
                self.broken = self.body.size_hint().lower() > 0;
                if self.broken {
                    return Err(BodyError::Cut(axum::Error::new(io::Error::from(io::ErrorKind::UnexpectedEof))));
                }
                break;
            };
            let frame = frame.map_err(|error| {
                (self.ended, self.broken) = (true, true);
                BodyError::Cut(error)
            })?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                self.received += data.len() as u64;
                self.check_rate()?;
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Refuses a sender that brought less than [`LEAST`] in a whole period of patience.
    fn check_rate(&mut self) -> Result<(), BodyError> {
        let (waited, before) = self.period;
        if waited < self.patience {
            return Ok(());
        }
        self.period = (Duration::ZERO, self.received);
        if self.received - before < LEAST { Err(BodyError::Slow) } else { Ok(()) }
    }

    /// The whole body, which must not be longer than `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`]; a body that says beforehand that it is too long is not read at all.
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.announced().is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLong(limit));
        }
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return within(first, limit) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            if whole.len() + more.len() > limit {
                return Err(BodyError::TooLong(limit));
            }
            whole.extend_from_slice(&more);
        }
        within(whole.freeze(), limit)
    }

    /// Reads on a little after a refusal: closing a connection with unread bytes would reset it before the client has
    /// seen the answer. A client that waits for `100 Continue` has sent nothing and is left alone.
    pub(crate) async fn discard(&mut self) {
        if self.expects_continue && self.received == 0 {
            return;
        }
        let limit = self.received + DISCARDED;
        let reading = async {
            while self.received < limit {
                if !matches!(self.next().await, Ok(Some(_))) {
                    break;
                }
            }
        };
        // Whatever is left after that time is the connection's to throw away.
        let _ = timeout(DISCARD_TIME, reading).await;
    }
}

fn within(bytes: Bytes, limit: usize) -> Result<Bytes, BodyError> {
    if bytes.len() > limit { Err(BodyError::TooLong(limit)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A byte each time it is asked, after a while.
    fn trickle(after: Duration) -> Incoming {
        let bytes = stream::unfold((), move |()| async move {
            tokio::time::sleep(after).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), ()))
        });
        Incoming::new(Body::from_stream(bytes), PATIENCE, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_is_not_charged_for_our_own_stalls() {
        let mut body = trickle(Duration::ZERO);
        for _ in 0..10 {
            assert!(body.next().await.is_ok_and(|piece| piece.is_some()));
            tokio::time::advance(2 * PATIENCE).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_trickles_is_let_go() {
        let mut body = trickle(PATIENCE / 4);
        let mut pieces = 0;
        while body.next().await.is_ok() {
            pieces += 1;
        }
        assert_eq!(pieces, 3);
    }
}
