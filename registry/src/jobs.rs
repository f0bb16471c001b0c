//! Lives here: what the registry does on its own, by the clock.
//! Never here: the work itself; each job is a call into the room or crate that owns it.
//! Start reading at [`run`].

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use hallmark_storage::metadata::{self, Engine};

use crate::app::App;
use crate::auth::{people, personal, signin};
use crate::events;
use crate::people::names;
use crate::reclaim;
use crate::retention::{self, Went};
use crate::telemetry::chain;
use crate::trust::{renew, tuf};

/// How soon a decision of another replica holds here.
const REFRESH: Duration = Duration::from_secs(1);
/// How long after the start the events of the time before are followed.
const SETTLED: Duration = Duration::from_secs(3);
/// How often abandoned uploads are given up and doomed keys deleted.
const SWEEP: Duration = Duration::from_secs(60);
/// How often what was pulled is written down: a process that is killed forgets so much.
const PULLS: Duration = Duration::from_secs(10);
/// How often what was charged is added up, and soft limits are looked at.
const FOLD: Duration = Duration::from_secs(5);
/// How long one cleaning takes at most.
const AT_MOST: Duration = Duration::from_secs(30);

/// How often is looked whom a provider has not vouched for lately, in milliseconds.
const LAPSE: i64 = 60 * 60 * 1_000;

/// Runs the jobs of a serving process until `stop` turns true; a job that has begun ends with the batch that it is at. They run side by side: a
/// long cleaning must not keep this replica from hearing what others decided.
pub async fn run(app: Arc<App>, stop: watch::Receiver<bool>) {
    tokio::join!(
        refresh(&app, stop.clone()),
        sweep(&app, stop.clone()),
        fold_usage(&app, stop.clone()),
        count_usage(&app, stop.clone()),
        retire(&app, stop.clone()),
        write_down_pulls(&app, stop.clone()),
        look_at_bytes(&app, stop.clone()),
        look_at_directories(&app, stop.clone()),
        renew_trust(&app, stop.clone()),
        publish_signed_tags(&app, stop)
    );
}

async fn refresh(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(REFRESH);
    while goes_on(&mut ticks, &mut stop).await {
        if let Err(error) = app.refresh().await {
            failed(app, &error, "the decisions of other replicas could not be read");
        }
        remember(app).await;
    }
}

async fn sweep(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(SWEEP);
    while goes_on(&mut ticks, &mut stop).await {
        clean(app, &stop).await;
        write_down_uses(app).await;
    }
}

/// Applies the rules on what is kept, beside all other jobs: a repository of many tags holds up none of them.
async fn retire(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(SWEEP);
    // Those who wait for the start come first.
    ticks.reset_after(SETTLED);
    while goes_on(&mut ticks, &mut stop).await {
        let _change = app.readonly.begin_change();
        if app.is_readonly() {
            continue;
        }
        match reclaim::retire(app, || !*stop.borrow()).await {
            Ok(Went { manifests: 0, tags: 0, .. }) => {}
            Ok(Went { manifests, tags, .. }) => {
                tracing::info!(
                    manifests,
                    tags,
                    "rules took {manifests} manifests and {tags} tags away, into the trash"
                );
            }
            Err(error) => failed(app, &error, "rules on what is kept were not applied"),
        }
    }
}

async fn write_down_pulls(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(PULLS);
    loop {
        tokio::select! {
            goes_on = goes_on(&mut ticks, &mut stop) => if !goes_on { return },
            () = app.pulls.are_many() => {}
        }
        write_down_last_pulls(app).await;
    }
}

/// Writes down what was pulled, also at the end, when nobody pulls any more. While the registry is read-only it stays remembered.
pub(crate) async fn write_down_last_pulls(app: &App) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    if let Err(error) = retention::write_down_pulls(app).await {
        failed(app, &error, "when images were last pulled could not be written down; it is tried again");
    }
}

/// Adds up what was charged since the last time.
async fn fold_usage(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(FOLD);
    ticks.reset_after(SETTLED);
    while goes_on(&mut ticks, &mut stop).await {
        let _change = app.readonly.begin_change();
        if app.is_readonly() {
            continue;
        }
        let folded = hallmark_gc::fold_usage(&app.metadata, app.clock.now(), || !app.is_readonly() && !*stop.borrow());
        if let Err(error) = folded.await {
            failed(app, &error, "what is in use could not be added up; it is tried again");
        }
    }
}

/// Counts what is in use where more than one process may have changed it; looking up whether that is due is all that most turns do.
async fn count_usage(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(SWEEP);
    ticks.reset_after(SETTLED);
    while goes_on(&mut ticks, &mut stop).await {
        let _change = app.readonly.begin_change();
        if app.is_readonly() {
            continue;
        }
        match hallmark_gc::count_usage(&app.metadata, app.clock.now(), || !app.is_readonly() && !*stop.borrow()).await {
            Ok(0) => {}
            Ok(wrong) => tracing::warn!(wrong, "put right what {wrong} accounts and repositories are charged"),
            Err(error) => {
                failed(app, &error, "what is in use could not be counted; it is tried again at the next turn")
            }
        }
    }
}

async fn look_at_bytes(app: &App, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(SWEEP);
    // Those who wait for the start come first.
    ticks.reset_after(SETTLED);
    let mut whose = false;
    while goes_on(&mut ticks, &mut stop).await {
        if !std::mem::replace(&mut whose, true) {
            reclaim::look_whose_store(app).await;
            continue;
        }
        let _change = app.readonly.begin_change();
        if app.is_readonly() {
            continue;
        }
        if let Err(error) = reclaim::look_at_bytes(app, || !*stop.borrow()).await {
            failed(app, &error, "not all bytes could be looked at; it is tried again");
        }
    }
}

async fn look_at_directories(app: &App, mut stop: watch::Receiver<bool>) {
    // A directory is looked at as often as its settings say, also where that is more often than anything else is done.
    let intervals = app.sources.sections().iter().map(|section| section.sync_interval);
    let (mut ticks, mut last, mut lapsed) = (ticks(intervals.fold(SWEEP, Duration::min)), Vec::new(), 0);
    while goes_on(&mut ticks, &mut stop).await {
        if !app.is_readonly() {
            people::synchronize_due(app, &mut last).await;
            if app.clock.now() - lapsed >= LAPSE {
                lapsed = app.clock.now();
                lapse(app).await;
            }
        }
    }
}

async fn lapse(app: &App) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    match signin::lapse(app).await {
        Ok(0) => {}
        Ok(people) => {
            tracing::info!(people, "took the teams of {people} people whom their providers vouched for too long ago")
        }
        Err(error) => failed(app, &error, "teams of people who are not vouched for could not be taken"),
    }
}

/// Renews trust data by the clock, and at once when a reader meets what has expired.
async fn renew_trust(app: &Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(SWEEP);
    loop {
        tokio::select! {
            goes_on = goes_on(&mut ticks, &mut stop) => if !goes_on { return },
            () = app.renewals.notary.hurried() => {}
        }
        while !app.is_readonly() && !*stop.borrow() {
            let _change = app.readonly.begin_change();
            match renew::renew_due(app).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    failed(app, &error, "trust data could not be renewed; it is tried again");
                    break;
                }
            }
        }
    }
}

/// Publishes what was signed, moved or deleted within the last second, and renews what nears its end.
async fn publish_signed_tags(app: &Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut ticks = ticks(REFRESH);
    // What happened while nobody looked may be much: those who wait for the start come first.
    ticks.reset_after(SETTLED);
    loop {
        tokio::select! {
            goes_on = goes_on(&mut ticks, &mut stop) => if !goes_on { return },
            () = app.renewals.tuf.hurried() => {}
        }
        while !app.is_readonly() && !*stop.borrow() {
            let _change = app.readonly.begin_change();
            // One that fails keeps the other from nothing.
            let (followed, renewed) = (tuf::follow(app).await, tuf::renew_due(app).await);
            match followed.and_then(|more| Ok::<_, metadata::Error>(more | renewed?)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    failed(app, &error, "signed tags could not be published; it is tried again");
                    break;
                }
            }
        }
    }
}

async fn remember(app: &App) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    if let Err(error) = events::write_down(app).await {
        failed(app, &error, "sign-ins and refusals of the last second could not be written down");
    }
    if app.metadata.engine() == Engine::Postgres
        && let Err(error) = events::number(app).await
    {
        failed(app, &error, "events could not be numbered; they are in a second");
    }
}

/// Tells what a job met, and counts it like what is behind an answer: whatever the log leaves out.
fn failed(app: &App, error: &(dyn Error + Send + Sync + 'static), what: &str) {
    app.metrics.blame(error);
    tracing::warn!(error = chain(error), "{what}");
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; `false` when the process stops instead, or nobody is left to say so.
async fn goes_on(ticks: &mut Interval, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => false,
        _ = ticks.tick() => true,
    }
}

async fn write_down_uses(app: &App) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    if let Err(error) = events::forget(app).await {
        failed(app, &error, "old events could not be forgotten");
    }
    if let Err(error) = signin::forget(app).await {
        failed(app, &error, "sign-ins that ended could not be forgotten");
    }
    if let Err(error) = names::forget(app).await {
        failed(app, &error, "names that have rested could not be forgotten");
    }
    if let Err(error) = personal::write_down(app).await {
        failed(app, &error, "when tokens were last used could not be written down");
    }
}

async fn clean(app: &App, stop: &watch::Receiver<bool>) {
    let _change = app.readonly.begin_change();
    // Read-only means that nothing changes, so that a copy taken meanwhile is whole.
    if app.is_readonly() {
        return;
    }
    // Half of every minute is left to others.
    let ends = Instant::now() + AT_MOST;
    match reclaim::run(app, || !*stop.borrow() && Instant::now() < ends).await {
        Ok(Some(report)) if report.took_something() => tracing::info!(
            batches = report.batches,
            uploads = report.uploads,
            manifests = report.collected.manifests,
            blobs = report.collected.blobs,
            freed_bytes = report.collected.bytes,
            keys = report.keys,
            "{}",
            reclaim::sentence(&report)
        ),
        Ok(_) => {}
        Err(error) => failed(app, &error, "cleaning met a failure; it goes on in a minute"),
    }
}
