//! The door of the signer's own process: one request, which is typed, from who shows a certificate of the authority.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use hallmark_signer::wire::{Answer, Refusal, Request, Unserved, VERSION};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::process::{BODY_BYTES, Process};
use crate::auth::certificate::Names;
use crate::http::body::Incoming;
use crate::http::server::PeerCertificate;
use crate::telemetry::chain;

/// Everything that may be asked over the network.
pub(super) fn router(process: Arc<Process>) -> Router {
    Router::new().route(&format!("/v{VERSION}/ask"), post(ask)).with_state(process)
}

async fn ask(State(process): State<Arc<Process>>, request: http::Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let names = parts.extensions.get::<PeerCertificate>().map(PeerCertificate::names);
    let caller = match names.filter(|names| process.clock.now() <= names.not_after) {
        Some(names) => match process.takes(names) {
            // Other names of the certificate are whatever the authority was asked to write into it.
            Some(name) => name.to_owned(),
            None => return stranger(names),
        },
        None => return refused("no certificate that holds was shown".to_owned()),
    };
    // Read and held a few at a time: a change may be many megabytes.
    let Ok(_place) = process.places.acquire().await else { return answer(&Answer::Refused(stopping())) };
    let mut body = Incoming::new(body, process.patience, false);
    let content = match body.collect(BODY_BYTES).await {
        Ok(content) => content,
        Err(error) => return refused(format!("the request cannot be read: {error}")),
    };
    let request: Request = match serde_json::from_slice(&content) {
        Ok(request) => request,
        Err(error) => return refused(format!("the request is not understood: {error}")),
    };
    drop(content);
    let asked = request.word();
    match process.signer.serve(request, &caller, process.clock.now()).await {
        Ok(done) => {
            tracing::debug!(caller, asked, "done");
            answer(&done)
        }
        Err(failed) => {
            tracing::warn!(caller, asked, error = chain(&failed), "the signer refuses {asked}");
            answer(&Answer::Refused(failed.refusal()))
        }
    }
}

fn stranger(names: &Names) -> Response {
    tracing::warn!(caller = names.first(), "a client is refused that signer.clients does not name");
    refused("signer.clients does not name this certificate".to_owned())
}

fn stopping() -> Refusal {
    Refusal::Unserved(Unserved::Away("it is stopping".to_owned()))
}

fn refused(message: String) -> Response {
    answer(&Answer::Refused(Refusal::Unserved(Unserved::NotAllowed(message))))
}

fn answer(answer: &Answer) -> Response {
    let status = match answer {
        Answer::Refused(Refusal::Unserved(Unserved::NotAllowed(_))) => StatusCode::FORBIDDEN,
        Answer::Refused(Refusal::Unserved(Unserved::Away(_) | Unserved::Unavailable)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Answer::Refused(Refusal::Unserved(Unserved::Busy { .. })) => StatusCode::TOO_MANY_REQUESTS,
        Answer::Refused(Refusal::Unserved(Unserved::Failed(_))) => StatusCode::INTERNAL_SERVER_ERROR,
        Answer::Refused(
            Refusal::Falling { .. }
            | Refusal::OtherRoot { .. }
            | Refusal::NoKey { .. }
            | Refusal::Unsigned
            | Refusal::Anew { .. }
            | Refusal::Root(_)
            | Refusal::Plan(_),
        ) => StatusCode::CONFLICT,
        Answer::Key(_)
        | Answer::Held(_)
        | Answer::Destroyed(_)
        | Answer::Signed(_)
        | Answer::Delegated(_)
        | Answer::Published(_)
        | Answer::Done
        | Answer::Root(_) => StatusCode::OK,
    };
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
