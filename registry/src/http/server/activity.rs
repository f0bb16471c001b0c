//! What a connection is doing, and until when it may.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::taking::Taking;
use crate::config;

/// HTTP/2: how much of an answer is handed out at once, in bytes. A stream holds one such piece beyond what its client has
/// room for, whatever the answer's own pieces are.
const PIECE: usize = 64 * 1024;
/// Stands for an answer that waits for us and not for its client.
const OURS: u64 = u64::MAX;

/// Seen by the transport (bytes), the handler (requests) and the task of the connection (deadlines).
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    began: Instant,
    /// The task of the connection: with HTTP/2 requests end in tasks of their own.
    connection: AtomicWaker,
}

#[derive(Debug)]
struct State {
    /// Requests that have begun and whose answer has not left the handler whole.
    running: usize,
    /// When the last request ended, or the connection began.
    idle_since: Instant,
    /// When the first byte after that came.
    head_since: Option<Instant>,
    /// Whether the first byte after a request is the beginning of another: true for HTTP/1.1 only.
    heads: bool,
    taking: Taking,
    /// Whether bytes wait to be sent. hyper lets go of a body, and with it the request ends here, while up to a buffer of it
    /// waits, or all of it when it came in one piece.
    unsent: bool,
    /// HTTP/2: the answers that are on their way.
    answers: Vec<Arc<Answer>>,
    /// HTTP/2: when the answers are looked at next, to end those that their clients leave lying.
    look_at: Instant,
}

/// HTTP/2: one answer on its way. A client that opens no window for it is seen by nobody else: the connection lives, and
/// the stream's task sleeps.
#[derive(Debug)]
struct Answer {
    /// Since when it waits for its client, in milliseconds of the connection's life; [`OURS`] when it does not.
    lying_since: AtomicU64,
    /// Ends the task of its stream.
    end: Arc<Notify>,
}

/// Why a connection is ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
    Blocked,
    /// It is time to look at the answers of HTTP/2 streams.
    Look,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            running: 0,
            idle_since: now,
            head_since: None,
            heads: true,
            taking: Taking::default(),
            unsent: false,
            answers: Vec::new(),
            look_at: now,
        };
        Arc::new(Self { state: Mutex::new(state), began: now, connection: AtomicWaker::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between the assignments of a change, so none is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request as running until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.state();
        state.running += 1;
        state.head_since = None;
        // With HTTP/1.1 whoever sends a request has taken the answer before it.
        if state.heads {
            state.taking.begin();
        }
        drop(state);
        Running { activity: Arc::clone(self), answer: None }
    }

    /// HTTP/2: watches whether the client takes the answer of a request that runs; `end` ends its stream.
    fn answering(&self, end: Arc<Notify>) -> Arc<Answer> {
        let answer = Arc::new(Answer { lying_since: AtomicU64::new(self.milliseconds()), end });
        let mut state = self.state();
        state.answers.push(Arc::clone(&answer));
        let first = state.answers.len() == 1;
        drop(state);
        if first {
            // The task of the connection sets its alarm.
            self.connection.wake();
        }
        answer
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(OURS - 1)
    }

    /// Ends the streams whose answers have waited for their clients for `patience`, and says when to look again.
    pub(super) fn end_what_lies(&self, patience: Duration) {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(OURS);
        let (now, now_ms) = (Instant::now(), self.milliseconds());
        let mut state = self.state();
        let mut longest = 0;
        for answer in &state.answers {
            let since = answer.lying_since.load(Ordering::Relaxed);
            let lain = if since == OURS { 0 } else { now_ms.saturating_sub(since) };
            if lain >= patience_ms {
                answer.end.notify_one();
            } else {
                longest = longest.max(lain);
            }
        }
        // A millisecond more, since both times are cut off.
        state.look_at = now + patience.saturating_sub(Duration::from_millis(longest)) + Duration::from_millis(1);
    }

    /// From now on bytes may come that begin no request: pings, windows, settings.
    pub(super) fn multiplexed(&self) {
        let mut state = self.state();
        state.heads = false;
        state.head_since = None;
    }

    /// Lets the time of idleness begin again.
    pub(super) fn rest_again(&self) {
        self.state().idle_since = Instant::now();
    }

    /// Bytes came from the client.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.running == 0 && state.heads && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// The client took so many bytes, or there was room for them.
    pub(super) fn sent(&self, bytes: usize) {
        let mut state = self.state();
        state.taking.took(bytes, Instant::now);
        if std::mem::take(&mut state.unsent) {
            // Only now does the client have all that it asked for.
            state.idle_since = Instant::now();
        }
    }

    /// There is no room for more bytes until the client takes some.
    pub(super) fn blocked(&self) {
        let mut state = self.state();
        state.taking.blocked(Instant::now());
        state.unsent = true;
    }

    /// There is room for more bytes, and the next ones are ours to bring.
    pub(super) fn delayed(&self) {
        let mut state = self.state();
        state.taking.took(0, Instant::now);
        state.unsent = true;
    }

    /// Whether no request runs, none has begun to arrive, and nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.running == 0 && state.head_since.is_none() && !state.unsent
    }

    /// Whether bytes wait to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.state().unsent
    }

    /// Wakes `waker` when a request ends.
    pub(super) fn wake(&self, waker: &Waker) {
        self.connection.register(waker);
    }

    /// When the connection will have done nothing for too long, and what. While a request runs and the client takes its
    /// answer there is no such time: how long a body may rest is for the reader of the body to say.
    pub(super) fn deadline(&self, limits: &config::Http) -> Option<(Instant, Overdue)> {
        let state = self.state();
        if let Some(since) = state.taking.slow_since() {
            return Some((since + limits.body_timeout, Overdue::Blocked));
        }
        match state.head_since {
            _ if !state.answers.is_empty() => Some((state.look_at, Overdue::Look)),
            _ if state.running > 0 || state.unsent => None,
            Some(since) => Some((since + limits.header_timeout, Overdue::Head)),
            None => Some((state.idle_since + limits.idle_timeout, Overdue::Idle)),
        }
    }
}

/// A request runs while this lives.
#[derive(Debug)]
pub(super) struct Running {
    activity: Arc<Activity>,
    answer: Option<Arc<Answer>>,
}

impl Running {
    /// HTTP/2: from now on the client must take the answer; `end` ends its stream when it does not.
    pub(super) fn answers(&mut self, end: Arc<Notify>) {
        self.answer = Some(self.activity.answering(end));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.running -= 1;
        state.idle_since = Instant::now();
        if let Some(ended) = &self.answer {
            state.answers.retain(|answer| !Arc::ptr_eq(answer, ended));
        }
        drop(state);
        self.activity.connection.wake();
    }
}

/// The body of an answer, with which its request ends.
pub(super) struct AnswerBody {
    body: Body,
    /// HTTP/2: what is left of a piece that was larger than [`PIECE`].
    rest: Bytes,
    running: Running,
}

impl AnswerBody {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, rest: Bytes::new(), running }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(answer) = self.running.answer.clone() else { return Pin::new(&mut self.body).poll_frame(context) };
        if self.rest.is_empty() {
            // Whoever asks has room; what it waits for from here on is the store.
            answer.lying_since.store(OURS, Ordering::Relaxed);
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        answer.lying_since.store(self.running.activity.milliseconds(), Ordering::Relaxed);
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
