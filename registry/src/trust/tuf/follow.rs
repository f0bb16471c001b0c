//! The job that publishes: it follows the events in their order, and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hallmark_storage::metadata::{self, DueCollection, Happened, RepositoryId, TrustDialect, Tx};
use serde_json::{Value, json};

use super::publish::{self, Occasion, publish};
use super::{TufError, rules, shelf};
use crate::app::App;
use crate::telemetry::chain;

/// How far the job has followed the events, as a setting.
const CURSOR: &str = "tuf_cursor";
/// What waits to be tried again, as a setting, and for how long it waits, in milliseconds.
const PENDING: &str = "tuf_pending";
const AGAIN: i64 = 60 * 1_000;
/// How many events one look takes, and how many collections are renewed in one.
const EVENTS: u32 = 1_000;
const BATCH: u32 = 64;

/// How far the events were followed: those after it are not to be forgotten.
///
/// # Errors
/// The database's.
pub(crate) async fn followed(app: &App) -> Result<i64, metadata::Error> {
    Ok(app.metadata.setting(CURSOR).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Lets the job look at every event again: what is vouched for is published anew.
pub(crate) async fn begin_anew(tx: &mut Tx) -> Result<(), metadata::Error> {
    tx.renew_all_trust(TrustDialect::Tuf, None).await?;
    tx.set_setting(CURSOR, None).await?;
    tx.set_setting(PENDING, None).await
}

/// Repositories whose tags could not be published, each with the tags and when they are tried again: kept beside the cursor, so
/// that one that fails neither holds the others up nor is forgotten.
type Pending = BTreeMap<i64, (i64, BTreeSet<String>)>;

/// Publishes what the events since the last look changed; whether there may be more of them. A burst of moves is one publish
/// a repository.
///
/// # Errors
/// The database's. A repository whose tags cannot be published is told in the log and tried again a minute later.
pub async fn follow(app: &Arc<App>) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    let cursor = followed(app).await?;
    let pending = app.metadata.setting(PENDING).await?;
    let mut pending: Pending = pending.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let events = app.metadata.happened(cursor, EVENTS).await?;
    let mut due = touched(&events);
    for (repository, tags) in rules::sign(app, &events).await? {
        due.entry(repository).or_default().extend(tags);
    }
    let renamed = events.iter().filter(|event| event.kind == "repository_renamed");
    let renamed: BTreeSet<RepositoryId> = renamed.filter_map(|event| event.repository).collect();
    due.extend(renamed.iter().map(|repository| (*repository, BTreeSet::new())));
    for (repository, (_, tags)) in pending.iter().filter(|(_, (again, _))| *again <= now) {
        due.entry(RepositoryId(*repository)).or_default().extend(tags.iter().cloned());
    }
    if events.is_empty() && due.is_empty() {
        return Ok(false);
    }
    for (repository, tags) in due {
        let occasion = if renamed.contains(&repository) { Occasion::Renamed } else { Occasion::Moved };
        match publish(app, repository, &tags, occasion).await {
            Ok(()) => drop(pending.remove(&repository.0)),
            Err(error) => {
                tracing::error!(repository = repository.0, error = chain(&error), "signed tags could not be published");
                let (again, waiting) = pending.entry(repository.0).or_default();
                *again = now + AGAIN;
                waiting.extend(tags);
            }
        }
    }
    let reached = events.last().map_or(cursor, |event| event.seq);
    let kept: Result<(), metadata::Error> = app
        .metadata
        .write((reached.to_string(), json!(pending).to_string()), |tx, (reached, pending)| {
            Box::pin(async move {
                tx.set_setting(CURSOR, Some(reached)).await?;
                tx.set_setting(PENDING, Some(pending)).await
            })
        })
        .await;
    kept?;
    Ok(events.len() == EVENTS as usize)
}

/// The tags that these events moved, deleted or vouched for, by repository.
fn touched(events: &[Happened]) -> BTreeMap<RepositoryId, BTreeSet<String>> {
    let mut touched: BTreeMap<RepositoryId, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let Some(repository) = event.repository else { continue };
        let tags = touched.entry(repository).or_default();
        match event.kind.as_str() {
            "tag_deleted" | "tag_signed" | "tag_signature_withdrawn" => drop(tags.insert(event.subject.clone())),
            "manifest_pushed" | "manifest_deleted" => {
                let told: Value = serde_json::from_str(&event.payload).unwrap_or(Value::Null);
                let named = told["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
                tags.extend(named.map(str::to_owned));
            }
            _ => {}
        }
    }
    touched.retain(|_, tags| !tags.is_empty());
    touched
}

/// Makes snapshots and timestamps anew that near their end, one batch, and first those that a reader waits for; whether there may
/// be more.
///
/// # Errors
/// The database's.
pub async fn renew_due(app: &Arc<App>) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    match shelf::follow(app).await {
        Ok(()) | Err(TufError::Overtaken) => {}
        Err(TufError::Metadata(error)) => return Err(error),
        Err(error) => tracing::error!(error = chain(&error), "the registry's own repository could not be published"),
    }
    let waited_for = app.renewals.tuf.take();
    if !waited_for.is_empty() {
        for one in app.metadata.trust_due_of(TrustDialect::Tuf, now, waited_for).await? {
            renew(app, one).await?;
        }
    }
    let due = app.metadata.trust_due(TrustDialect::Tuf, now, BATCH).await?;
    let is_full = due.len() == BATCH as usize;
    for one in due {
        renew(app, one).await?;
        if app.renewals.tuf.is_waited_for() {
            return Ok(true);
        }
    }
    Ok(is_full)
}

async fn renew(app: &App, one: DueCollection) -> Result<(), metadata::Error> {
    let repository = one.key.repository;
    match publish(app, repository, &BTreeSet::new(), Occasion::Renewal).await {
        Ok(()) => Ok(()),
        Err(TufError::Metadata(error)) => Err(error),
        Err(error) => {
            tracing::error!(repository = repository.0, error = chain(&error), "a timestamp could not be renewed");
            publish::put_off(app, one.collection, app.clock.now() + AGAIN).await
        }
    }
}
