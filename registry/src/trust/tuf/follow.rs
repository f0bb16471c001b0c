//! The job that publishes: it follows the events in their order, and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use hallmark_storage::metadata::{self, DueCollection, Engine, Happened, RepositoryId, TrustDialect, Tx};
use serde_json::{Value, json};

use super::super::delegate::{delegate, is_away};
use super::super::renew::Passed;
use super::publish::{self, Occasion, publish};
use super::{TufError, rules, shelf};
use crate::app::App;
use crate::lease;
use crate::telemetry::chain;

/// The lease of who follows and renews.
const LEASE: &str = "tuf_lease";
/// How far the job has followed the events, as a setting.
const CURSOR: &str = "tuf_cursor";
/// Repositories in whose collections of Notary v1 the registry signs again later, as a setting.
const WAITING: &str = "notary_pending";
/// What waits to be tried again, as a setting, and for how long it waits, in milliseconds.
const PENDING: &str = "tuf_pending";
const AGAIN: i64 = 60 * 1_000;
/// Up to which repository everything was published anew, as a setting; none when nothing is.
const ANEW: &str = "tuf_anew";
/// The events that there is something to do for.
const CONCERNS: [&str; 16] = [
    "check_passed",
    "manifest_collected",
    "manifest_deleted",
    "manifest_purged",
    "manifest_pushed",
    "manifest_undeleted",
    "organization_removed",
    "repository_renamed",
    "repository_transferred",
    "repository_undeleted",
    "tag_deleted",
    "tag_signature_withdrawn",
    "tag_signed",
    "tag_undeleted",
    "trust_published",
    "trust_renewed",
];
/// Those by which collections of Notary v1 may come to name a key of the registry, or near the end of what it signed there.
const OF_COLLECTIONS: [&str; 2] = ["trust_published", "trust_renewed"];
/// How many events are read at once, and how many one look takes when there is a backlog of them: whatever of a repository stands
/// in one look is one publish. No more are read once those that were read are of so many repositories.
const EVENTS: u32 = 1_000;
const BACKLOG: usize = 4_000;
const REPOSITORIES: usize = 256;
/// How many collections are renewed in one look.
const BATCH: u32 = 64;

/// How far the events were followed, or passed by: those after it are not to be forgotten.
///
/// # Errors
/// The database's.
pub(crate) async fn followed(app: &App) -> Result<i64, metadata::Error> {
    let passed = app.renewals.passed.lock().unwrap_or_else(PoisonError::into_inner).event;
    let cursor = app.metadata.setting(CURSOR).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(passed.max(cursor))
}

/// Lets the job look at every repository: what is vouched for is published anew, however long ago that was said.
///
/// # Errors
/// The database's.
pub(crate) async fn begin_anew(tx: &mut Tx) -> Result<(), metadata::Error> {
    tx.set_setting(ANEW, Some("0")).await
}

/// Repositories whose tags could not be published, each with the tags and when they are tried again: kept beside the cursor, so
/// that one that fails neither holds the others up nor is forgotten.
type Pending = BTreeMap<i64, (i64, BTreeSet<String>)>;

/// Repositories with when they are looked at again.
type Waiting = BTreeMap<i64, i64>;

/// What there is to do.
struct Work {
    cursor: Option<String>,
    /// The last event that need not be looked at.
    after: i64,
    events: Vec<Happened>,
    pending: Pending,
    waiting: Waiting,
    anew: Option<RepositoryId>,
}

impl Work {
    /// What came after the cursor and after this event.
    async fn look(app: &App, passed: i64) -> Result<Self, metadata::Error> {
        let cursor = app.metadata.setting(CURSOR).await?;
        let after = cursor.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0).max(passed);
        let pending = app.metadata.setting(PENDING).await?;
        let pending = pending.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let waiting = app.metadata.setting(WAITING).await?;
        let waiting = waiting.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let anew = app.metadata.setting(ANEW).await?.map(|text| RepositoryId(text.parse().unwrap_or(0)));
        Ok(Self { cursor, after, events: app.metadata.happened(after, EVENTS).await?, pending, waiting, anew })
    }

    fn is_none(&self, now: i64) -> bool {
        let mut again = self.pending.values().map(|(again, _)| again).chain(self.waiting.values());
        let waits = again.all(|again| *again > now);
        self.anew.is_none() && waits && !self.events.iter().any(|event| CONCERNS.contains(&event.kind.as_str()))
    }
}

/// Publishes what the events since the last look changed, unless another replica is at it; whether there may be more of them. A
/// burst of moves is one publish a repository.
///
/// # Errors
/// The database's. A repository whose tags cannot be published is told in the log and tried again a minute later.
pub async fn follow(app: &Arc<App>) -> Result<bool, metadata::Error> {
    let passed = *app.renewals.passed.lock().unwrap_or_else(PoisonError::into_inner);
    let work = Work::look(app, passed.event).await?;
    // Most looks find nothing, and need no lease to say so. Now and then it is written down: what was followed may be forgotten.
    if work.is_none(app.clock.now()) && passed.count + work.events.len() < EVENTS as usize {
        pass(app, &work.events);
        return Ok(false);
    }
    // On SQLite nobody else follows them, and what was found still stands.
    if app.metadata.engine() == Engine::Sqlite {
        return follow_on(app, work).await;
    }
    let work = async { follow_on(app, Work::look(app, 0).await?).await };
    Ok(lease::under(app, LEASE, work).await?.unwrap_or(false))
}

/// Remembers that these events need not be looked at again.
fn pass(app: &App, events: &[Happened]) {
    let mut passed = app.renewals.passed.lock().unwrap_or_else(PoisonError::into_inner);
    passed.event = events.last().map_or(passed.event, |event| event.seq);
    passed.count += events.len();
}

async fn follow_on(app: &Arc<App>, work: Work) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    let Work { cursor, after, mut events, mut pending, mut waiting, anew } = work;
    while is_page(events.len()) && events.len() < BACKLOG && repositories(&events) < REPOSITORIES {
        let after = events.last().map_or(0, |event| event.seq);
        let page = app.metadata.happened(after, EVENTS).await?;
        let is_end = page.is_empty();
        events.extend(page);
        if is_end {
            break;
        }
    }
    let found = events.len();
    let ruled = rules::sign(app, &events).await?;
    // What the rules did not come to waits for the next look, with everything that happened after it.
    events.truncate(ruled.followed);
    let mut due = touched(&events);
    let mut rest = None;
    if let Some(after) = anew {
        let page = app.metadata.with_vouches(after, BATCH).await?;
        rest = page.last().map(|(last, _)| *last).filter(|_| page.len() == BATCH as usize);
        for (repository, _) in page.into_iter().filter(|(_, said)| *said) {
            due.entry(repository).or_default();
        }
    }
    for (repository, tags) in ruled.tags {
        due.entry(repository).or_default().extend(tags);
    }
    // One that was brought back is published as if it were new: nobody has renewed anything of it meanwhile.
    let is_new = |event: &&Happened| {
        matches!(event.kind.as_str(), "repository_renamed" | "repository_transferred" | "repository_undeleted")
    };
    let renamed = events.iter().filter(is_new);
    let renamed: BTreeSet<RepositoryId> = renamed.filter_map(|event| event.repository).collect();
    for repository in &renamed {
        due.entry(*repository).or_default();
    }
    let of_collections = events.iter().filter(|event| OF_COLLECTIONS.contains(&event.kind.as_str()));
    let mut of_collections: BTreeSet<RepositoryId> = of_collections.filter_map(|event| event.repository).collect();
    for (repository, (again, tags)) in &pending {
        // Whoever is published for another reason is published with what waits: nothing of it waits any more then.
        let repository = RepositoryId(*repository);
        if *again <= now || due.contains_key(&repository) {
            due.entry(repository).or_default().extend(tags.iter().cloned());
        }
    }
    of_collections.extend(due.keys());
    of_collections
        .extend(waiting.iter().filter(|(_, again)| **again <= now).map(|(repository, _)| RepositoryId(*repository)));
    let away = publish_due(app, (due, &renamed), &mut pending).await;
    delegate_due(app, of_collections, &mut waiting, away).await;
    let reached = events.last().map_or(after, |event| event.seq);
    let is_full = events.len() < found || is_page(found) || rest.is_some();
    let shelf = events.iter().any(|event| event.kind == "organization_removed").then_some(now);
    let done = Done {
        from: cursor,
        to: reached.to_string(),
        pending: json!(pending).to_string(),
        waiting: json!(waiting).to_string(),
        anew: anew.is_some().then_some(rest),
        shelf,
    };
    let kept: bool = app.metadata.write(done, |tx, done| Box::pin(keep(tx, done))).await?;
    *app.renewals.passed.lock().unwrap_or_else(PoisonError::into_inner) = Passed::default();
    Ok(kept && is_full)
}

/// Publishes the tags of repositories as TUF 1.0; what fails waits. Whether the signer is away: then it is not asked once more for each
/// repository, and those behind the one that it was asked for come first with the next look.
async fn publish_due(
    app: &App,
    (due, renamed): (BTreeMap<RepositoryId, BTreeSet<String>>, &BTreeSet<RepositoryId>),
    pending: &mut Pending,
) -> bool {
    let mut away = false;
    for (repository, tags) in due {
        let occasion = if renamed.contains(&repository) { Occasion::Renamed } else { Occasion::Moved };
        let again = match away {
            true => app.clock.now(),
            false => match publish(app, repository, &tags, occasion).await {
                Ok(()) => {
                    pending.remove(&repository.0);
                    continue;
                }
                Err(error) => {
                    app.metrics.blame(&error);
                    let (id, error_chain) = (repository.0, chain(&error));
                    tracing::error!(repository = id, error = error_chain, "signed tags could not be published");
                    away = error.is_signer_away();
                    app.clock.now() + AGAIN
                }
            },
        };
        let (until, left) = pending.entry(repository.0).or_default();
        *until = again;
        left.extend(tags);
    }
    away
}

/// Publishes what is vouched for in repositories to their collections of Notary v1, unless the signer is away; what waits waits on.
async fn delegate_due(app: &App, due: BTreeSet<RepositoryId>, waiting: &mut Waiting, mut away: bool) {
    for repository in due {
        let again = match away {
            true => Some(app.clock.now()),
            false => match Box::pin(delegate(app, repository)).await {
                Ok(again) => again,
                Err(error) => {
                    app.metrics.blame(&error);
                    let (id, error_chain) = (repository.0, chain(&error));
                    tracing::error!(
                        repository = id,
                        error = error_chain,
                        "signed tags could not be published to Notary"
                    );
                    away = is_away(&error);
                    Some(app.clock.now() + AGAIN)
                }
            },
        };
        match again {
            Some(again) => drop(waiting.insert(repository.0, again)),
            None => drop(waiting.remove(&repository.0)),
        }
    }
}

/// Whether so many events may not be all: the last page of them was full.
fn is_page(events: usize) -> bool {
    events > 0 && events.is_multiple_of(EVENTS as usize)
}

/// Of how many repositories these events are.
fn repositories(events: &[Happened]) -> usize {
    events.iter().filter_map(|event| event.repository).collect::<BTreeSet<_>>().len()
}

/// How far a look came.
struct Done {
    from: Option<String>,
    to: String,
    pending: String,
    waiting: String,
    /// How far everything was published anew, where it is; `None` inside: to the end.
    anew: Option<Option<RepositoryId>>,
    /// When the files of the registry's own repository have changed.
    shelf: Option<i64>,
}

/// Keeps how far the events were followed, and what waits; not when somebody else has followed them.
async fn keep(tx: &mut Tx, done: &Done) -> Result<bool, metadata::Error> {
    let Done { from, to, pending, waiting, anew, shelf } = done;
    if !tx.move_mark(CURSOR, from.as_deref(), to).await? {
        return Ok(false);
    }
    tx.set_setting(PENDING, Some(pending)).await?;
    tx.set_setting(WAITING, Some(waiting)).await?;
    if let Some(reached) = anew {
        tx.set_setting(ANEW, reached.map(|id| id.0.to_string()).as_deref()).await?;
    }
    if let Some(now) = shelf {
        shelf::changed(tx, *now, to).await?;
    }
    Ok(true)
}

/// The tags that these events moved, deleted, brought back or vouched for, by repository.
fn touched(events: &[Happened]) -> BTreeMap<RepositoryId, BTreeSet<String>> {
    let mut touched: BTreeMap<RepositoryId, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let Some(repository) = event.repository else { continue };
        let tags = touched.entry(repository).or_default();
        match event.kind.as_str() {
            "tag_deleted" | "tag_undeleted" | "tag_signed" | "tag_signature_withdrawn" => {
                tags.insert(event.subject.clone());
            }
            // No tag points to what is collected but those by which signatures of it are found, and they go with it.
            "manifest_collected" | "manifest_purged" => {
                let stem = event.subject.replacen(':', "-", 1);
                tags.extend(["", ".sig", ".att", ".sbom"].map(|suffix| format!("{stem}{suffix}")));
            }
            "manifest_pushed" | "manifest_deleted" | "manifest_undeleted" => {
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
    // Whoever else is at it comes to these later, and then finds them done.
    let waited_for = app.renewals.tuf.take();
    if !waited_for.is_empty() {
        for one in app.metadata.trust_due_of(TrustDialect::Tuf, app.clock.now(), waited_for).await? {
            renew(app, one).await?;
        }
    }
    let shelf = told(shelf::is_due(app).await)?.unwrap_or(false);
    if !shelf && app.metadata.trust_due(TrustDialect::Tuf, app.clock.now(), 1).await?.is_empty() {
        return Ok(false);
    }
    Ok(lease::under(app, LEASE, renew_on(app)).await?.unwrap_or(false))
}

async fn renew_on(app: &Arc<App>) -> Result<bool, metadata::Error> {
    told(shelf::follow(app).await)?;
    let due = app.metadata.trust_due(TrustDialect::Tuf, app.clock.now(), BATCH).await?;
    let is_full = due.len() == BATCH as usize;
    for one in due {
        renew(app, one).await?;
        if app.renewals.tuf.is_waited_for() {
            return Ok(true);
        }
    }
    Ok(is_full)
}

/// What came of the registry's own repository, which holds up nobody else's.
fn told<T>(done: Result<T, TufError>) -> Result<Option<T>, metadata::Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(TufError::Overtaken) => Ok(None),
        Err(TufError::Metadata(error)) if error.is_unavailable() => Err(error),
        Err(error) => {
            tracing::error!(error = chain(&error), "the registry's own repository could not be published");
            Ok(None)
        }
    }
}

/// Renews one. What cannot be (a damaged row, a signer that refuses) is put off: first in line again, it would stand before all
/// others for ever.
async fn renew(app: &App, one: DueCollection) -> Result<(), metadata::Error> {
    let repository = one.key.repository;
    match publish(app, repository, &BTreeSet::new(), Occasion::Renewal).await {
        Ok(()) => Ok(()),
        Err(TufError::Metadata(error)) if error.is_unavailable() => Err(error),
        Err(error) => {
            tracing::error!(repository = repository.0, error = chain(&error), "a timestamp could not be renewed");
            publish::put_off(app, one.collection, app.clock.now() + AGAIN).await
        }
    }
}
