//! The door of `telemetry`: the probes and the metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::app::App;
use crate::http::error::Error;

/// `GET /livez`: the process runs.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// For how long an answer is good, in milliseconds. The store's is a file that is written and deleted, and anybody may ask.
const READY_FOR: i64 = 1_000;

/// How long the database and the store have for an answer: whoever probes waits hardly longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far open uploads are counted.
const COUNTED: u32 = 10_000;

/// The last answer to `GET /readyz`, and when it was found. Whoever asks while somebody looks waits for what they find.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(i64, Value)>>);

/// `GET /readyz`: the database and the store answer; 503 and which one does not, otherwise.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut last = app.readiness.0.lock().await;
    let now = app.clock.now();
    let checks = match last.take() {
        Some((at, checks)) if (0..READY_FOR).contains(&(now - at)) => last.insert((at, checks)),
        _ => last.insert((now, look(&app).await)),
    };
    let checks = checks.1.clone();
    if checks.as_object().is_some_and(|checks| checks.values().all(|state| state == "ok")) {
        let mut answer = json!({"status": "ok", "checks": checks});
        // It serves all the same; what it must not do is to compare the store with the facts.
        if app.foreign_store.load(Ordering::Relaxed) {
            answer["warnings"] = json!(["the store bears the mark of another database"]);
        }
        return axum::Json(answer).into_response();
    }
    Error::unavailable("the registry is not ready", None).detail(checks).into_response()
}

async fn look(app: &App) -> Value {
    let (database, store) = tokio::join!(probe(app.metadata.ping()), probe(app.blobs.check()));
    let checks = json!({"database": state(database.is_ok()), "store": state(store.is_ok())});
    for (what, error) in [("database", database.err()), ("store", store.err())] {
        if let Some(error) = error {
            tracing::warn!(error, "{what} is not ready");
        }
    }
    checks
}

/// Waits for an answer no longer than whoever asks would.
async fn probe<E: std::error::Error>(answer: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// `GET /metrics`: everything counted, in Prometheus' text format. Without a database that answers, open uploads stay as they were.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let counted = app.metadata.statistics();
    let log = app.metadata.log_bytes().unwrap_or_default();
    app.metrics.set_database(counted.writes, counted.waited.as_secs_f64(), log);
    app.metrics.set_collector_paused(app.gc_paused.load(Ordering::Relaxed));
    if let Ok(Ok(open)) = tokio::time::timeout(PATIENCE, app.metadata.open_uploads(COUNTED)).await {
        app.metrics.set_uploads_open(open);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}

fn state(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}
