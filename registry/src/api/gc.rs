//! The collector, and what keeps a digest.

use axum::response::Response;
use serde::Deserialize;

use super::call::{Asked, Call, Sent, put, shown};
use super::failure::Failures;
use crate::http::error::Error;
use crate::people::gc::{self, GcChanges, GcRunView, GcView, NewGcRun};
use crate::reclaim::Reason;

/// Which digest is meant, and where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// The digest of a blob or manifest.
    #[param(pattern = r"^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$")]
    digest: String,
    /// The account in whose repositories it is looked for.
    account: String,
}

/// How the collector is; for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/gc",
    tag = "gc",
    responses((status = 200, description = "What was asked for", body = GcView), Failures)
)]
pub(super) async fn status(call: Call) -> Result<Response, Error> {
    Ok(put(&gc::status(&call.app, &call.caller).await?))
}

/// Lets the collector rest or go on; for administrators.
#[utoipa::path(
    patch,
    path = "/api/v1/gc",
    tag = "gc",
    request_body = GcChanges,
    responses((status = 200, description = "How it is now", body = GcView), Failures)
)]
pub(super) async fn change(call: Call, Sent(sent): Sent<GcChanges>) -> Result<Response, Error> {
    Ok(put(&gc::change(&call.app, &call.caller, sent).await?))
}

/// Collects what is due, or says what would go; for administrators.
#[utoipa::path(
    post,
    path = "/api/v1/gc/run",
    tag = "gc",
    request_body = NewGcRun,
    responses((status = 200, description = "What the run did, or would do", body = GcRunView), Failures)
)]
pub(super) async fn run(call: Call, Sent(sent): Sent<NewGcRun>) -> Result<Response, Error> {
    Ok(put(&gc::run(&call.app, &call.caller, sent).await?))
}

/// What keeps a digest in the repositories of an account, for who governs that.
#[utoipa::path(
    get,
    path = "/api/v1/gc/explain",
    tag = "gc",
    params(ExplainQuery),
    responses((status = 200, description = "What was asked for", body = Vec<Reason>), Failures)
)]
pub(super) async fn explain(call: Call, Asked(query): Asked<ExplainQuery>) -> Result<Response, Error> {
    Ok(shown(&gc::explain(&call.app, &call.caller, &query.account, &query.digest).await?))
}
