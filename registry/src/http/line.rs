//! One line in the log for each request, written when the last byte of its answer is gone.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hallmark_oci::{Operation, Reference};
use http::{HeaderMap, HeaderName};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::error::Cause;
use super::request::client_address;
use super::server::{Delivery, Failure, PeerAddress};
use crate::app::App;
use crate::auth::Identity;
use crate::telemetry::{OperationLabel, chain};

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What is known of a request while it is served.
#[derive(Debug)]
pub(super) struct Line {
    id: String,
    client: IpAddr,
    operation: &'static str,
    repository: Option<String>,
    reference: Option<String>,
    /// What the answer says it is about: a tag's digest, a blob that was just stored or mounted.
    digest: Option<String>,
    user: Option<String>,
}

impl Line {
    /// Begins the line of a request.
    pub(super) fn new(app: &App, operation: &'static str, headers: &HeaderMap, peer: PeerAddress) -> Self {
        Self {
            id: app.request_ids.next(),
            client: client_address(&app.config, peer, headers),
            operation,
            repository: None,
            reference: None,
            digest: None,
            user: None,
        }
    }

    /// The request's id, which the answer carries too.
    #[must_use]
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The address of the client.
    #[must_use]
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Notes what the request is about.
    pub(super) fn about(&mut self, operation: &Operation) {
        self.operation = operation.name();
        self.repository = operation.repository().map(ToString::to_string);
        self.reference = match operation {
            Operation::PullManifest(pull) => Some(&pull.reference),
            Operation::PutManifest(put) => Some(&put.reference),
            Operation::DeleteManifest(delete) => Some(&delete.reference),
            _ => None,
        }
        .map(Reference::to_string)
        .or_else(|| match operation {
            Operation::PullBlob(pull) => Some(pull.digest.to_string()),
            Operation::DeleteBlob(delete) => Some(delete.digest.to_string()),
            Operation::FinishUpload(finish) => Some(finish.digest.to_string()),
            _ => None,
        });
    }

    /// Notes who asks.
    pub(super) fn by(&mut self, identity: &Identity) {
        self.user = identity.principal().map(|principal| principal.name.clone());
    }

    /// Writes the line once `response` has been sent, or its connection is gone.
    pub(super) fn write(mut self, app: &Arc<App>, response: &mut Response, received: u64, started: Instant) {
        let digest = response.headers().get(&CONTENT_DIGEST).and_then(|digest| digest.to_str().ok());
        self.digest = digest.map(str::to_owned);
        let cause = response.extensions_mut().remove::<Cause>();
        let status = response.status().as_u16();
        let delivery = response.extensions_mut().remove::<Delivery>();
        let failure = delivery.as_ref().map(Delivery::failure);
        let body = std::mem::take(response.body_mut());
        let unfinished =
            Unfinished { line: self, app: Arc::clone(app), status, cause, failure, received, sent: 0, started };
        *response.body_mut() = Body::new(Counted { body, unfinished: Some(unfinished), delivery });
    }
}

/// An answer on its way; the line is written when this is dropped.
struct Unfinished {
    line: Line,
    app: Arc<App>,
    status: u16,
    cause: Option<Cause>,
    /// Where the connection notes why it could not send.
    failure: Option<Failure>,
    received: u64,
    sent: u64,
    started: Instant,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(error) = self.failure.as_ref().and_then(Failure::take) {
            self.cause.get_or_insert(Cause(error));
        }
        let Self { line, status, received, sent, .. } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        self.app.metrics.count(OperationLabel(line.operation), *status, seconds, *received, *sent);
        let duration_ms = seconds * 1000.0;
        let (repository, reference) = (line.repository.as_deref(), line.reference.as_deref());
        let (digest, user) = (line.digest.as_deref(), line.user.as_deref());
        let Some(Cause(cause)) = &self.cause else {
            tracing::info!(
                request.id = line.id, client = %line.client, user, operation = line.operation, repository, reference,
                digest, status, duration_ms, received_bytes = received, sent_bytes = sent,
                "{} answered {status}", line.operation
            );
            return;
        };
        self.app.metrics.blame(cause.as_ref());
        let how = if *status < 400 { "broke off after answering" } else { "failed with" };
        tracing::error!(
            request.id = line.id, client = %line.client, user, operation = line.operation, repository, reference,
            digest, status, duration_ms, received_bytes = received, sent_bytes = sent, cause = chain(cause.as_ref()),
            "{} {how} {status}", line.operation
        );
    }
}

/// A body that counts what it hands to the connection, and keeps what made it end early.
struct Counted {
    body: Body,
    unfinished: Option<Unfinished>,
    /// The rest of the way, of an answer that leaves as files.
    delivery: Option<Delivery>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let (Some(unfinished), Some(delivery)) = (self.unfinished.take(), self.delivery.take()) {
            delivery.at_end(unfinished);
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else { return Poll::Ready(None) };
        let Some(unfinished) = &mut self.unfinished else { return Poll::Ready(Some(frame)) };
        let frame = frame.map_err(|error| {
            // The connection needs the error to break off, and the line to tell why: both hold the same one.
            let cause = Cause(Arc::from(error.into_inner()));
            let error = axum::Error::new(Arc::clone(&cause.0));
            unfinished.cause.get_or_insert(cause);
            error
        });
        if let Ok(frame) = &frame {
            unfinished.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
