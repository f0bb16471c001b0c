//! What a connection is doing, and until when it may.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::config;

/// Seen by the transport (bytes), the handler (requests) and the task of the connection (deadlines).
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
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
    /// Since when the client has taken nothing of what is written to it.
    blocked_since: Option<Instant>,
}

/// Why a connection is ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
    Blocked,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let state =
            State { running: 0, idle_since: Instant::now(), head_since: None, heads: true, blocked_since: None };
        Arc::new(Self { state: Mutex::new(state), connection: AtomicWaker::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request as running until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.state();
        state.running += 1;
        state.head_since = None;
        Running(Arc::clone(self))
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

    /// The client took bytes, or there was room for them.
    pub(super) fn sent(&self) {
        self.state().blocked_since = None;
    }

    /// There is no room for more bytes until the client takes some.
    pub(super) fn blocked(&self) {
        self.state().blocked_since.get_or_insert_with(Instant::now);
    }

    /// Whether no request runs and none has begun to arrive.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.running == 0 && state.head_since.is_none()
    }

    /// Wakes `waker` when a request ends.
    pub(super) fn wake(&self, waker: &Waker) {
        self.connection.register(waker);
    }

    /// When the connection will have done nothing for too long, and what. While a request runs and the client takes its
    /// answer there is no such time: how long a body may rest is for the reader of the body to say.
    pub(super) fn deadline(&self, limits: &config::Http) -> Option<(Instant, Overdue)> {
        let state = self.state();
        if let Some(since) = state.blocked_since {
            return Some((since + limits.body_timeout, Overdue::Blocked));
        }
        match state.head_since {
            _ if state.running > 0 => None,
            Some(since) => Some((since + limits.header_timeout, Overdue::Head)),
            None => Some((state.idle_since + limits.idle_timeout, Overdue::Idle)),
        }
    }
}

/// A request runs while this lives.
#[derive(Debug)]
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        state.idle_since = Instant::now();
        drop(state);
        self.0.connection.wake();
    }
}

/// The body of an answer, with which its request ends.
pub(super) struct AnswerBody {
    pub(super) body: Body,
    pub(super) _running: Running,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
