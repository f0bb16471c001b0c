//! Lives here: the collector as this registry runs it: by the clock or when it is asked for, paused or not, counted and told.
//! Never here: what may go, which is `gc`'s; who may ask, and how.
//! Start reading at [`run`].

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hallmark_gc::{Collected, Error, Held, Report};
use hallmark_oci::Digest;
use hallmark_storage::metadata::{self, AccountId, Event, Graces, Kept, KeptBy, Tx, Waiting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::clock::{Clock, rfc3339};
use crate::retention::{self, Went};
use crate::telemetry::chain;

/// The setting that says that the collector rests.
pub(crate) const PAUSED: &str = "gc_paused";

/// Whether the collector rests, on every replica.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn is_paused(app: &App) -> Result<bool, metadata::Error> {
    let paused = app.metadata.setting(PAUSED).await?.as_deref() == Some("on");
    app.gc_paused.store(paused, Ordering::Relaxed);
    Ok(paused)
}

/// Whether a run may go on to its next step: not once the registry is read-only or ends, or the collector rests, which is heard
/// within a second on every replica.
fn may_go_on(app: &App) -> bool {
    !app.is_readonly() && !app.gc_paused.load(Ordering::Relaxed) && !app.changes.is_closed()
}

/// Runs the collector once, until nothing is due or `goes_on` says no; `None` when it is paused. It ends between two steps when
/// the registry becomes read-only or the collector is paused meanwhile.
///
/// # Errors
/// What stopped it; what was done stays done.
pub(crate) async fn run(app: &App, goes_on: impl Fn() -> bool) -> Result<Option<Report>, Error> {
    if is_paused(app).await? {
        return Ok(None);
    }
    believe_clock(app).await?;
    let report = hallmark_gc::clean(&app.metadata, &app.blobs, app.clock.now(), || may_go_on(app) && goes_on()).await?;
    app.metrics.reclaimed(&report);
    Ok(Some(report))
}

/// A clock that a test holds is compared with no other.
async fn believe_clock(app: &App) -> Result<(), Error> {
    hallmark_gc::believe_clock(&app.metadata, app.clock.now(), matches!(app.clock, Clock::System)).await
}

/// Goes on applying the rules on what is kept, unless the collector rests or the clock is not believed.
///
/// # Errors
/// What stopped it.
pub(crate) async fn retire(app: &App, goes_on: impl Fn() -> bool) -> Result<Went, Error> {
    if is_paused(app).await? {
        return Ok(Went::default());
    }
    believe_clock(app).await?;
    Ok(retention::turn(app, || may_go_on(app) && goes_on()).await?)
}

/// What was found of bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked {
    pub(crate) damaged: u64,
    pub(crate) orphans: u64,
}

impl Looked {
    fn tell(&self) {
        let Self { damaged, orphans } = *self;
        if damaged > 0 || orphans > 0 {
            tracing::error!(
                damaged,
                orphans,
                "{damaged} blobs are damaged and wait to be pushed again, {orphans} keys of the store were named by nothing"
            );
        }
    }
}

/// Reads bytes again whose time has come, and compares the next part of the store with the facts; nothing when paused. One that
/// fails keeps the other from nothing.
///
/// # Errors
/// What stopped it; it goes on from there.
pub(crate) async fn look_at_bytes(app: &App, goes_on: impl Fn() -> bool) -> Result<Looked, Error> {
    let (settings, now, mut looked) = (&app.config.gc, app.clock.now(), Looked::default());
    if is_paused(app).await? {
        return Ok(looked);
    }
    believe_clock(app).await?;
    let goes_on = || may_go_on(app) && goes_on();
    let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let mut failed = None;
    if !settings.scrub_interval.is_zero() {
        let (interval, bytes) = (milliseconds(settings.scrub_interval), settings.scrub_bytes as u64);
        let schedule = hallmark_gc::Schedule { interval, bytes };
        match hallmark_gc::scrub(&app.metadata, &app.blobs, (now, schedule), goes_on).await {
            Ok(scrubbed) => looked.damaged = scrubbed.damaged,
            Err(error) => {
                if let Error::Unreadable { scrubbed, .. } = &error {
                    looked.damaged = scrubbed.damaged;
                }
                failed = Some(error);
            }
        }
    }
    if !settings.compare_interval.is_zero() && goes_on() {
        let every = milliseconds(settings.compare_interval);
        match hallmark_gc::compare(&app.metadata, &app.blobs, (now, every), goes_on).await {
            Ok(compared) => looked.orphans = compared.map_or(0, |compared| compared.orphans),
            Err(error) => {
                alarm(app, &error);
                failed.get_or_insert(error);
            }
        }
    }
    app.metrics.looked_at_bytes(looked.damaged, looked.orphans);
    looked.tell();
    failed.map_or(Ok(looked), Err)
}

/// Says loudly what an operator has to look at.
fn alarm(app: &App, error: &Error) {
    app.foreign_store.store(matches!(error, Error::Foreign), Ordering::Relaxed);
    if matches!(error, Error::Foreign | Error::Held(_)) {
        app.metrics.comparison_stopped();
        tracing::error!("{error}");
    }
}

/// Looks whether the store is this database's own, and marks one that has no mark.
pub(crate) async fn look_whose_store(app: &App) {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return;
    }
    match hallmark_gc::owns_store(&app.metadata, &app.blobs).await {
        Ok(true) => app.foreign_store.store(false, Ordering::Relaxed),
        Ok(false) => alarm(app, &Error::Foreign),
        Err(error) => {
            app.metrics.blame(&error);
            tracing::warn!(error = chain(&error), "it could not be seen whose store this is");
        }
    }
}

/// Says what was found by the comparison that waits for an operator, or goes on with it when the operator has agreed to so many
/// deletions.
pub(crate) async fn orphans_for_operator(app: &App, agreed: Option<u64>) -> Result<String, String> {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return Err("the registry is read-only: nothing is deleted until `hallmark readonly off`".to_owned());
    }
    let Some(held) = hallmark_gc::held_comparison(&app.metadata).await.map_err(|error| chain(&error))? else {
        return Ok("no comparison waits for you".to_owned());
    };
    let Some(agreed) = agreed else {
        let Held { part, keys, orphans } = held;
        return Ok(format!(
            "of the {keys} keys in part {part} of the store {orphans} are named by nothing. If this database was set back, or shares \
             the store with another one, they may be all that is left of images. To delete them: `hallmark gc run --orphans \
             --agree {orphans}`"
        ));
    };
    match hallmark_gc::compare_held(&app.metadata, &app.blobs, (app.clock.now(), agreed), || may_go_on(app)).await {
        Ok(Some(compared)) => {
            app.metrics.looked_at_bytes(0, compared.orphans);
            Ok(format!("{} keys that nothing names go after gc.byte_grace", compared.orphans))
        }
        Ok(None) => Err("it was told to stop before it had looked through".to_owned()),
        Err(error) => Err(chain(&error)),
    }
}

/// What a run did, for people.
pub(crate) fn sentence(report: &Report) -> String {
    let Report { batches, uploads, collected, keys } = report;
    format!(
        "emptied {batches} batches of deleted repositories, gave up {uploads} uploads, ended the window of {} and moved {} \
         manifests to the trash, let go of {} blobs of {} bytes, deleted {keys} keys that nothing names",
        collected.purged, collected.manifests, collected.blobs, collected.bytes
    )
}

/// How long a run takes at most that a request waits for.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a run takes at most that the operator waits for.
const OPERATOR: Duration = Duration::from_secs(10 * 60);
/// How many candidates a preview looks at.
const PREVIEWED: u32 = 1_000;

/// How the collector is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) paused: bool,
    pub(crate) waiting: Waiting,
    pub(crate) held: Option<Held>,
    pub(crate) foreign_store: bool,
}

impl Status {
    pub(crate) fn lines(&self) -> Vec<String> {
        let Waiting { candidates, trash, keys } = self.waiting;
        let mut lines = vec![
            if self.paused {
                "the collector is paused".to_owned()
            } else {
                "the collector runs every minute".to_owned()
            },
            format!("to look at: {} now, {} later", candidates.0, candidates.1),
            format!("in the trash: {} whose window is over, {} that can be brought back", trash.0, trash.1),
            format!("keys whose bytes go: {} now, {} later", keys.0, keys.1),
        ];
        lines.extend(self.held.map(|held| format!("the comparison waits for you: {}", Error::Held(held))));
        lines.extend(self.foreign_store.then(|| Error::Foreign.to_string()));
        lines
    }
}

/// One reason for which a digest is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The repository.
    pub repository: String,
    /// What keeps it there, as a sentence.
    pub reason: String,
    /// When that ends, if it ends by itself (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// How the collector is.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn status(app: &App) -> Result<Status, metadata::Error> {
    let waiting = app.metadata.waiting(app.clock.now()).await?;
    let held = hallmark_gc::held_comparison(&app.metadata).await?;
    let foreign_store = app.foreign_store.load(Ordering::Relaxed);
    Ok(Status { paused: is_paused(app).await?, waiting, held, foreign_store })
}

/// Lets the collector rest, or go on, in a change of the caller's. Whoever lets it go on has looked at the clock, and at a store that
/// bears no mark.
pub(crate) async fn set_paused(tx: &mut Tx, paused: bool) -> Result<(), metadata::Error> {
    if !paused {
        hallmark_gc::trust_clock(tx).await?;
        hallmark_gc::adopt_store(tx).await?;
    }
    tx.set_setting(PAUSED, paused.then_some("on")).await
}

/// How the event of that is called.
pub(crate) fn paused_event(paused: bool) -> &'static str {
    if paused { "gc_paused" } else { "gc_resumed" }
}

/// What a run would take away now: of the first candidates that are due, and the windows and keys whose time has come, each counted
/// up to ten thousand.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn preview(app: &App) -> Result<Report, metadata::Error> {
    let now = app.clock.now();
    let collected = hallmark_gc::preview(&app.metadata, now, PREVIEWED).await?;
    let Waiting { trash, keys, .. } = app.metadata.waiting(now).await?;
    let collected = Collected { purged: trash.0, ..collected };
    Ok(Report { collected, keys: keys.0, ..Report::default() })
}

/// Says no when a request has waited long enough.
pub(crate) fn for_a_request() -> impl Fn() -> bool {
    let ends = Instant::now() + REQUEST;
    move || Instant::now() < ends
}

/// What keeps a digest in the repositories of an account.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn explain(app: &App, account: AccountId, digest: &Digest) -> Result<Vec<Reason>, metadata::Error> {
    let graces = app.metadata.graces();
    Ok(app.metadata.kept(account, digest).await?.into_iter().map(|kept| reason(kept, &graces)).collect())
}

fn reason(kept: Kept, graces: &Graces) -> Reason {
    let (reason, until) = match kept.by {
        KeptBy::Manifest(manifest) => (format!("{manifest} names it"), None),
        KeptBy::Unnamed { touched_at, due_at } => {
            let old_at = touched_at.saturating_add(graces.shown).saturating_add(graces.margin);
            match due_at.filter(|due_at| *due_at > old_at) {
                Some(due_at) => ("no manifest names it any more".to_owned(), Some(due_at)),
                None => ("no manifest names it; it was pushed or mounted lately".to_owned(), Some(old_at)),
            }
        }
        KeptBy::Trash(manifest, until) => (format!("{manifest} in the trash names it"), Some(until)),
        KeptBy::Tag(tag) => (format!("the tag {tag} points to it"), None),
        KeptBy::Index(index) => (format!("{index} names it"), None),
        KeptBy::Orphaned(due_at) => ("what it belonged to is gone".to_owned(), Some(due_at)),
        KeptBy::Pushed(None) => ("it was pushed and not deleted; a manifest needs no tag to stay".to_owned(), None),
        KeptBy::Pushed(Some(subject)) => (format!("it refers to {subject} and was not deleted"), None),
        KeptBy::Held(kind, reason) => (format!("it is held ({}): {reason}", kind.word()), None),
        KeptBy::Trashed(until) => ("it is in the trash".to_owned(), Some(until)),
    };
    match kept.deleted_until {
        None => Reason { repository: kept.repository, reason, until: until.map(rfc3339) },
        Some(until) => Reason {
            repository: kept.repository,
            reason: format!("{reason}, in a repository that was deleted and can be brought back"),
            until: Some(rfc3339(until)),
        },
    }
}

/// Collects for the operator, or says what would go.
pub(crate) async fn run_for_operator(app: &App, dry_run: bool) -> Result<String, String> {
    if dry_run {
        let report = preview(app).await.map_err(|error| chain(&error))?;
        let (Collected { looked, manifests, links, accounts, blobs, bytes, purged }, keys) =
            (report.collected, report.keys);
        return Ok(format!(
            "of the first {looked} things to look at, {manifests} manifests, {links} blobs of repositories, {accounts} of \
             accounts and {blobs} of the store would go; {bytes} bytes would become free. The windows of {purged} manifests in the \
             trash would end, and the bytes of {keys} keys be deleted (no more than 10,000 of either are counted). Nothing was deleted"
        ));
    }
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return Err("the registry is read-only: nothing is deleted until `hallmark readonly off`".to_owned());
    }
    let rests = || "the collector is paused: `hallmark gc resume` lets it go on".to_owned();
    if is_paused(app).await.map_err(|error| chain(&error))? {
        return Err(rests());
    }
    let asked: Result<(), metadata::Error> = app
        .metadata
        .write(app.clock.now(), |tx, now| {
            Box::pin(async move { tx.record(&Event::of_system("gc_run_asked_for", "gc", *now)).await })
        })
        .await;
    asked.map_err(|error| chain(&error))?;
    let ends = Instant::now() + OPERATOR;
    match run(app, || Instant::now() < ends).await {
        Ok(Some(report)) => Ok(sentence(&report)),
        Ok(None) => Err(rests()),
        Err(error) => Err(chain(&error)),
    }
}

/// Lets the collector rest for the operator, or go on.
pub(crate) async fn pause_for_operator(app: &App, paused: bool) -> Result<String, String> {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        return Err("the registry is read-only: nothing is deleted anyway until `hallmark readonly off`".to_owned());
    }
    let changed: Result<(), metadata::Error> = app
        .metadata
        .write((paused, app.clock.now()), |tx, (paused, now)| {
            Box::pin(async move {
                set_paused(tx, *paused).await?;
                tx.record(&Event::of_system(paused_event(*paused), "gc", *now)).await
            })
        })
        .await;
    changed.map_err(|error| chain(&error))?;
    app.gc_paused.store(paused, Ordering::Relaxed);
    Ok(if paused { "the collector is paused: nothing is deleted" } else { "the collector goes on" }.to_owned())
}

/// What keeps a digest, for the operator: in an account, or in the whole store.
pub(crate) async fn explain_for_operator(
    app: &App,
    digest: &str,
    account: Option<&str>,
) -> Result<Vec<String>, String> {
    let digest: Digest = digest.parse().map_err(|error| chain(&error))?;
    let Some(name) = account else {
        let found = app.metadata.in_store(&digest).await.map_err(|error| chain(&error))?;
        let found =
            found.ok_or_else(|| format!("the store has no blob {digest}; a manifest is found with --account"))?;
        let damaged = found.quarantined_at.map(|at| format!(", damaged since {}", rfc3339(at)));
        return Ok(vec![format!(
            "{} bytes, held by {} accounts{}",
            found.size,
            found.accounts,
            damaged.unwrap_or_default()
        )]);
    };
    let account = app.metadata.account(name).await.map_err(|error| chain(&error))?;
    let account = account.ok_or_else(|| format!("there is no account {name:?}"))?;
    let reasons = explain(app, account.id, &digest).await.map_err(|error| chain(&error))?;
    if reasons.is_empty() {
        return Ok(vec![format!("nothing keeps {digest} in {name}")]);
    }
    let line = |reason: Reason| {
        let until = reason.until.map(|until| format!(", until {until}"));
        format!("{}: {}{}", reason.repository, reason.reason, until.unwrap_or_default())
    };
    Ok(reasons.into_iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use hallmark_oci::Algorithm;
    use hallmark_storage::StorageKey;
    use hallmark_storage::metadata::{NewUser, SmallKey, StoreSmall, SystemRole};
    use tempfile::TempDir;

    use super::*;
    use crate::config::{self, Flag, Purpose, Sources};

    async fn opened(data: &TempDir) -> std::sync::Arc<App> {
        let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
        let sources = Sources { flags: vec![flag], ..Sources::default() };
        App::open(config::load(&sources, Purpose::Serve).unwrap().config, Clock::System).await.unwrap()
    }

    /// As another replica writes it, of which this one hears once a second.
    async fn set_elsewhere(app: &App, paused: bool) {
        let set: Result<(), metadata::Error> =
            app.metadata.write(paused, |tx, paused| Box::pin(async move { set_paused(tx, *paused).await })).await;
        set.unwrap();
    }

    #[tokio::test]
    async fn a_run_under_way_ends_when_another_replica_has_paused_it() {
        let data = TempDir::new().unwrap();
        let app = opened(&data).await;
        set_elsewhere(&app, true).await;
        assert!(may_go_on(&app), "it is not heard yet");
        app.refresh().await.unwrap();
        assert!(!may_go_on(&app));
        assert!(run(&app, || true).await.unwrap().is_none(), "no other begins");
        app.metadata.close().await;
        drop(app);
        let app = opened(&data).await;
        assert!(run(&app, || true).await.unwrap().is_none(), "it rests after a restart too");
        assert_eq!(retire(&app, || true).await.unwrap(), Went::default());
        set_elsewhere(&app, false).await;
        app.refresh().await.unwrap();
        assert!(may_go_on(&app));
        let ended = run(&app, || {
            app.gc_paused.store(true, Ordering::Relaxed);
            true
        });
        assert!(ended.await.unwrap().is_some());
        assert!(!may_go_on(&app), "what it asks before each step says no from then on");
        app.metadata.close().await;
    }

    /// Lays down a blob whose bytes are not those of its digest, so long ago that they are to be read again.
    async fn rots(app: &App) {
        let rotten: Result<(), metadata::Error> = app
            .metadata
            .write((), |tx, ()| {
                Box::pin(async move {
                    let user = NewUser { name: "ann".to_owned(), password: None, role: SystemRole::None, source: None };
                    let ann = tx.create_user(&user, 0).await?.expect("the name is free");
                    let name = "ann/app".parse().expect("a repository's name");
                    let repository = tx.create_repository(&name, ann.account_id, 0).await?;
                    let (digest, key) = (Digest::of(Algorithm::Sha256, b"whole"), StorageKey::random());
                    let key = SmallKey::Fresh(&key);
                    let small = StoreSmall { repository: &repository, key, digest: &digest, body: b"rotten", now: 0 };
                    tx.store_small(&small).await.map(drop)
                })
            })
            .await;
        rotten.unwrap();
    }

    #[tokio::test]
    async fn bytes_that_rot_are_found_by_the_job_and_counted_once() {
        let data = TempDir::new().unwrap();
        let app = opened(&data).await;
        rots(&app).await;
        assert_eq!(look_at_bytes(&app, || true).await.unwrap().damaged, 1);
        assert_eq!(look_at_bytes(&app, || true).await.unwrap().damaged, 0);
        assert!(app.metrics.render().contains("hallmark_blobs_damaged_total 1\n"));
        app.metadata.close().await;
    }

    #[tokio::test]
    async fn a_comparison_that_another_store_stops_is_counted() {
        let data = TempDir::new().unwrap();
        let app = opened(&data).await;
        look_whose_store(&app).await;
        assert!(app.metrics.render().contains("hallmark_comparisons_stopped_total 0\n"));
        std::fs::write(data.path().join("blobs/blobs/.mark"), "another").unwrap();
        assert!(matches!(look_at_bytes(&app, || true).await, Err(Error::Foreign)));
        assert!(app.metrics.render().contains("hallmark_comparisons_stopped_total 1\n"));
        assert!(status(&app).await.unwrap().foreign_store);
        app.metadata.close().await;
    }
}
