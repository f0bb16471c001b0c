//! A repository's tags as TUF 1.0: what is vouched for is published by a job that follows the events, and read from rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hallmark_oci::{ReadTuf, Reference, Tag, TrustRole, TufFile};
use hallmark_signer::notary::FileState;
use hallmark_signer::tuf::{Files, Role, Target};
use hallmark_signer::{TufChange, TufRefused};
use hallmark_storage::metadata::{
    self, Collection, CollectionKey, Freshness, Happened, NewTrustFile, PrincipalId, Published as Outcome,
    RepositoryId, TrustDialect, TrustFileKey, TrustRoot, Tx, Vouch,
};
use serde_json::{Value, json};

use super::row;
use crate::access::Granted;
use crate::app::App;
use crate::clock::rfc3339;
use crate::distribution::Occasion;
use crate::telemetry::chain;

/// The trust domain that every repository belongs to which has none of its own.
pub(crate) const DOMAIN: &str = "tuf1/registry";
/// How far the job has followed the events, as a setting.
const CURSOR: &str = "tuf_cursor";
/// What waits to be tried again, as a setting, and for how long it waits, in milliseconds.
const PENDING: &str = "tuf_pending";
const AGAIN: i64 = 60 * 1_000;
/// How many events one look takes, and how many collections are renewed in one.
const EVENTS: u32 = 1_000;
const BATCH: u32 = 64;
/// How often a publish starts over because another was faster.
const TURNS: usize = 5;
/// How long before a timestamp expires it is made anew, in milliseconds: half of its life.
const RENEW_BEFORE: i64 = 84 * 60 * 60 * 1_000;

/// Why a repository's tags are not published.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The signer refuses or fails.
    #[error("the signer did not sign")]
    Signer(#[from] TufRefused),
    /// Another publish was faster.
    #[error("another publish was faster")]
    Overtaken,
    /// A row is not what it was written as.
    #[error("a row of trust data is damaged")]
    Damaged,
}

/// A file as it is served.
pub(super) struct Served {
    /// Its bytes.
    pub(super) body: Vec<u8>,
    /// Whether these bytes never change under this name.
    pub(super) is_immutable: bool,
}

/// One file; `None` when there is none.
pub(super) async fn file(app: &App, granted: &Granted<ReadTuf>) -> Result<Option<Served>, TufError> {
    let Some(repository) = granted.repository() else { return Ok(None) };
    let key = collection(repository.id);
    let (role, which) = match &granted.operation().file {
        TufFile::Root(version) => {
            let version = i64::try_from(*version).map_err(|_| TufError::Damaged)?;
            let root = app.metadata.trust_root(DOMAIN, Some(version)).await?;
            return Ok(root.map(|root| Served { body: root.body, is_immutable: true }));
        }
        TufFile::Target { digest, .. } => {
            let manifest = app.metadata.manifest(repository.id, &Reference::Digest(digest.clone())).await?;
            return Ok(manifest.map(|manifest| Served { body: manifest.body.to_vec(), is_immutable: true }));
        }
        TufFile::Timestamp => (stored("timestamp"), TrustFileKey::Current),
        TufFile::Role { role, version } => {
            let Ok(version) = i64::try_from(*version) else { return Ok(None) };
            (stored(role), TrustFileKey::Version(version))
        }
    };
    let Some(role) = role else { return Ok(None) };
    let is_immutable = !matches!(which, TrustFileKey::Current);
    let file = app.metadata.trust_file(&key, &role, which).await?;
    Ok(file.map(|file| Served { body: file.body, is_immutable }))
}

fn collection(repository: RepositoryId) -> CollectionKey {
    CollectionKey { repository, dialect: TrustDialect::Tuf, gun: String::new() }
}

/// The role under which rows keep a role's files: those below `targets` stand below it there too.
fn stored(role: &str) -> Option<TrustRole> {
    match role {
        "targets" | "snapshot" | "timestamp" => role.parse().ok(),
        "root" => None,
        below => format!("targets/{below}").parse().ok(),
    }
}

/// The root that holds, made where there is none: at the first start.
///
/// # Errors
/// [`TufError`]
pub(crate) async fn root(app: &App) -> Result<TrustRoot, TufError> {
    if let Some(root) = app.metadata.trust_root(DOMAIN, None).await? {
        return Ok(root);
    }
    let now = app.clock.now();
    let made = TrustRoot { version: 1, body: app.signer.first_root(DOMAIN, now).await? };
    let kept: Result<bool, metadata::Error> =
        app.metadata.write((made, now), |tx, (made, now)| Box::pin(tx.add_trust_root(DOMAIN, made, *now))).await;
    kept?;
    app.metadata.trust_root(DOMAIN, None).await?.ok_or(TufError::Damaged)
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
    let cursor: i64 = app.metadata.setting(CURSOR).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let pending = app.metadata.setting(PENDING).await?;
    let mut pending: Pending = pending.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let events = app.metadata.happened(cursor, EVENTS).await?;
    let mut due = touched(&events);
    for event in events.iter().filter(|event| event.kind == "repository_renamed") {
        if let Some(repository) = event.repository {
            due.entry(repository).or_default().extend(signed_tags(app, repository).await?);
        }
    }
    for (repository, (_, tags)) in pending.iter().filter(|(_, (again, _))| *again <= now) {
        due.entry(RepositoryId(*repository)).or_default().extend(tags.iter().cloned());
    }
    if events.is_empty() && due.is_empty() {
        return Ok(false);
    }
    for (repository, tags) in due {
        match publish(app, repository, &tags).await {
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

/// Every tag of a repository that somebody vouched for: what a repository of another name has to name anew.
async fn signed_tags(app: &App, repository: RepositoryId) -> Result<Vec<String>, metadata::Error> {
    let mut tags: Vec<String> = Vec::new();
    loop {
        let after = tags.last().map(String::as_str).unwrap_or_default();
        let page = app.metadata.vouches(repository, after, EVENTS).await?;
        let is_full = page.len() == EVENTS as usize;
        tags.extend(page.into_iter().map(|vouch| vouch.tag.to_string()));
        if !is_full {
            return Ok(tags);
        }
    }
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

/// Publishes what these tags of a repository mean now.
async fn publish(app: &App, repository: RepositoryId, tags: &BTreeSet<String>) -> Result<(), TufError> {
    for _ in 0..TURNS {
        let Some(name) = app.metadata.repository_name(repository).await? else { return Ok(()) };
        // The head first: a word that is taken back after it was read leads to a publish that moves the head on.
        let seen = app.metadata.trust_collection(&collection(repository)).await?;
        let vouches = app.metadata.vouches_of(repository, tags.iter().map(String::as_str)).await?;
        // Most repositories have no signed tag, and most tags of those that have are not signed.
        if seen.is_none() && !vouches.iter().any(Vouch::holds) {
            return Ok(());
        }
        let mut changes: BTreeMap<String, Option<Target>> = tags.iter().map(|tag| (tag.clone(), None)).collect();
        let mut moved = Vec::new();
        for vouch in vouches {
            if vouch.holds() {
                changes.insert(vouch.tag.to_string(), target(&vouch));
            } else {
                moved.push((vouch.tag, vouch.at));
            }
        }
        let state = (repository, seen, name.to_string());
        match publish_changes(app, state, changes, moved, false).await {
            Err(TufError::Overtaken) => {}
            done => return done,
        }
    }
    Err(TufError::Overtaken)
}

/// What a vouched tag means; `None` for a digest that TUF 1.0 clients cannot check.
fn target(vouch: &Vouch) -> Option<Target> {
    let hex = vouch.tagged.digest.hex();
    let mut sha256 = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in sha256.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Target {
        sha256,
        length: vouch.tagged.size,
        media_type: vouch.tagged.media_type.clone(),
        signer: vouch.signer.clone(),
        signed_at: rfc3339(vouch.at),
        source: vouch.source.clone(),
    })
}

async fn publish_changes(
    app: &App,
    (repository, seen, name): (RepositoryId, Option<Collection>, String),
    changes: BTreeMap<String, Option<Target>>,
    moved: Vec<(Tag, i64)>,
    renews: bool,
) -> Result<(), TufError> {
    let now = app.clock.now();
    let root = root(app).await?.body;
    let mut standing = BTreeMap::new();
    if let Some(seen) = seen {
        let roles: Vec<TrustRole> = ["targets", "tags", "snapshot"].into_iter().filter_map(stored).collect();
        standing.extend(app.metadata.trust_bodies(seen, roles.iter()).await?);
    }
    let mut take = |role: &str| stored(role).and_then(|role| standing.remove(&role));
    let change = TufChange {
        domain: DOMAIN.to_owned(),
        collection: format!("tuf1/repository/{repository}"),
        repository: name,
        caller: if renews { "renewal".to_owned() } else { "publisher".to_owned() },
        root,
        targets: take("targets"),
        tags: take("tags"),
        snapshot: take("snapshot"),
        changes,
        renews,
    };
    let files = app.signer.publish(change, now).await.map_err(|refused| match refused {
        // What was read is older than what another publish rested on since: read again.
        TufRefused::Falling { .. } => TufError::Overtaken,
        refused => TufError::Signer(refused),
    })?;
    let Some(files) = files else { return forget(app, repository, moved).await };
    let fresh = Freshness { renew_at: files.expires - RENEW_BEFORE, expires_at: files.expires };
    let kind = if renews { "tuf_renewed" } else { "tuf_published" };
    let files = rows(files)?;
    let change =
        Change { repository, seen, files, fresh, moved, kind, occasion: Occasion { now, request_id: String::new() } };
    app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await
}

async fn forget(app: &App, repository: RepositoryId, moved: Vec<(Tag, i64)>) -> Result<(), TufError> {
    if moved.is_empty() {
        return Ok(());
    }
    let forgotten: Result<(), metadata::Error> = app
        .metadata
        .write((repository, moved), |tx, (repository, moved)| Box::pin(forget_moved(tx, *repository, moved)))
        .await;
    Ok(forgotten?)
}

async fn forget_moved(tx: &mut Tx, repository: RepositoryId, moved: &[(Tag, i64)]) -> Result<(), metadata::Error> {
    for (tag, at) in moved {
        tx.forget_vouch(repository, tag, *at).await?;
    }
    Ok(())
}

/// As they are stored, in the order in which they may be seen.
fn rows(files: Files) -> Result<Vec<NewTrustFile>, TufError> {
    let of_file = |(role, version, body): (Role, u64, Vec<u8>)| {
        let role = stored(role.as_str()).ok_or(TufError::Damaged)?;
        Ok(NewTrustFile { state: row(&FileState::of(role, version, &body)), body })
    };
    files.files.into_iter().map(of_file).collect()
}

/// Everything the transaction needs; it may run more than once.
struct Change {
    repository: RepositoryId,
    seen: Option<Collection>,
    files: Vec<NewTrustFile>,
    fresh: Freshness,
    moved: Vec<(Tag, i64)>,
    kind: &'static str,
    occasion: Occasion,
}

async fn store(tx: &mut Tx, change: &Change) -> Result<(), TufError> {
    let Change { repository, seen, files, fresh, moved, kind, occasion } = change;
    match tx.publish_trust(&collection(*repository), *seen, files, *fresh, occasion.now).await? {
        Outcome::Overtaken => return Err(TufError::Overtaken),
        Outcome::Stored => {}
    }
    forget_moved(tx, *repository, moved).await?;
    let newest = files.last().map(|file| file.state.version);
    let payload = json!({"version": newest}).to_string();
    let event = metadata::Event {
        actor: PrincipalId::SYSTEM,
        kind,
        account: None,
        repository: Some(*repository),
        subject: "",
        payload: &payload,
        request_id: "",
        at: occasion.now,
    };
    Ok(tx.record(&event).await?)
}

/// Makes snapshots and timestamps anew that near their end, one batch; whether there may be more.
///
/// # Errors
/// The database's.
pub async fn renew_due(app: &Arc<App>) -> Result<bool, metadata::Error> {
    let due = app.metadata.trust_due(TrustDialect::Tuf, app.clock.now(), BATCH).await?;
    let is_full = due.len() == BATCH as usize;
    for one in due {
        let repository = one.key.repository;
        let Some(name) = app.metadata.repository_name(repository).await? else { continue };
        let state = (repository, Some(one.collection), name.to_string());
        match publish_changes(app, state, BTreeMap::new(), Vec::new(), true).await {
            Ok(()) | Err(TufError::Overtaken) => {}
            Err(error) => {
                tracing::error!(repository = repository.0, error = chain(&error), "a timestamp could not be renewed");
                let until = (one.collection, app.clock.now() + AGAIN);
                let put: Result<bool, metadata::Error> =
                    app.metadata.write(until, |tx, (seen, until)| Box::pin(tx.put_trust_off(*seen, *until))).await;
                put?;
            }
        }
    }
    Ok(is_full)
}

/// Lets the job look at every event again: what is vouched for is published anew.
pub(crate) async fn begin_anew(tx: &mut Tx) -> Result<(), metadata::Error> {
    tx.set_setting(CURSOR, None).await?;
    tx.set_setting(PENDING, None).await
}
