//! Lives here: what the registry does on its own, by the clock.
//! Never here: the work itself; each job is a call into the room or crate that owns it.
//! Start reading at [`run`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::serve::stopped;
use crate::telemetry::chain;

/// How soon a decision of another replica holds here.
const REFRESH: Duration = Duration::from_secs(1);
/// How often abandoned uploads are given up and doomed keys deleted.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs the jobs until `stop` turns true; a job that has begun ends with the batch that it is at.
pub(crate) async fn run(app: Arc<App>, stop: watch::Receiver<bool>) {
    let (mut refresh, mut sweep) = (interval(REFRESH), interval(SWEEP));
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = std::pin::pin!(stopped(stop.clone()));
    loop {
        tokio::select! {
            () = &mut stopped => return,
            _ = refresh.tick() => {
                if let Err(error) = app.refresh().await {
                    tracing::warn!(error = chain(&error), "the decisions of other replicas could not be read");
                }
            }
            // Read-only means that nothing changes, so that a copy taken meanwhile is whole.
            _ = sweep.tick() => clean(&app, &stop).await,
        }
    }
}

async fn clean(app: &App, stop: &watch::Receiver<bool>) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    let now = app.clock.now();
    match hallmark_gc::clean(&app.metadata, &app.blobs, now, || !*stop.borrow()).await {
        Ok(report) if report.is_empty() => {}
        Ok(report) => tracing::info!(
            uploads = report.uploads,
            keys = report.keys,
            "gave up {} abandoned uploads, deleted {} keys that nothing names",
            report.uploads,
            report.keys
        ),
        Err(error) => tracing::warn!(error = chain(&error), "cleaning stopped; it goes on in a minute"),
    }
}
