//! One publish of a repository's tags: what is vouched for now, compared with what stands.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{RepositoryName, Tag, TrustRole};
use hallmark_signer::notary::FileState;
use hallmark_signer::tuf::{BuildError, Standing, Target, needed};
use hallmark_signer::{TufChange, TufMode, TufRefused};
use hallmark_storage::metadata::{
    self, Collection, Event, Freshness, NewTrustFile, PrincipalId, Published as Outcome, RepositoryId, TrustDialect,
    TrustRoot, Tx, Vouch,
};
use serde_json::json;

use super::super::{PUBLISHER, of_server};
use super::parts::{self, Made};
use super::root;
use super::{TufError, collection, named, stored};
use crate::app::App;
use crate::clock::rfc3339;

/// How often a publish starts over because another was faster, or because it has to be made anew.
const TURNS: usize = 5;
/// How long before a timestamp expires it is made anew, in milliseconds: half of its life.
const RENEW_BEFORE: i64 = 84 * 60 * 60 * 1_000;
/// For how long a file that was replaced is kept, in milliseconds: a client that has begun may need it.
pub(in super::super) const KEPT: i64 = 24 * 60 * 60 * 1_000;
/// How many words one look takes.
const PAGE: u32 = 1_000;

/// Why a repository is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Tags moved, or somebody vouched for them.
    Moved,
    /// It has another name, or came back from the trash.
    Renamed,
    /// What stands nears its end, or the root has other keys.
    Renewal,
}

/// Publishes what these tags of a repository mean now. What stands and cannot be built on is made anew from all that is vouched
/// for: the facts are the truth, and the files follow from them.
pub(super) async fn publish(
    app: &App,
    repository: RepositoryId,
    tags: &BTreeSet<String>,
    occasion: Occasion,
) -> Result<(), TufError> {
    let mut mode = match occasion {
        Occasion::Moved => TufMode::Upon,
        Occasion::Renamed => TufMode::Anew,
        Occasion::Renewal => TufMode::Renewal,
    };
    let mut falls = 0;
    for _ in 0..TURNS {
        match publish_once(app, repository, tags, mode).await {
            Err(TufError::Overtaken) => {
                // Whoever was faster may have done all of it.
                if occasion == Occasion::Renewal && !is_due(app, repository).await? {
                    return Ok(());
                }
                mode = if occasion == Occasion::Renewal { TufMode::Renewal } else { TufMode::Upon };
            }
            Err(TufError::Signer(TufRefused::Build(BuildError::Anew(why)))) => {
                tracing::info!(
                    repository = repository.0,
                    why = &*why,
                    "the signed tags of the repository are published anew"
                );
                mode = TufMode::Anew;
            }
            Err(TufError::Signer(TufRefused::Falling { from, to })) if falls > 0 => {
                tracing::warn!(repository = repository.0, from, to, "the database was set back: published anew");
                mode = TufMode::Anew;
            }
            // What was read may be older than what another publish rested on since: once it is read again.
            Err(TufError::Signer(TufRefused::Falling { .. })) => falls += 1,
            done => return done,
        }
    }
    Err(TufError::Overtaken)
}

/// Whether a repository is still to be renewed.
async fn is_due(app: &App, repository: RepositoryId) -> Result<bool, metadata::Error> {
    Ok(!app.metadata.trust_due_of(TrustDialect::Tuf, app.clock.now(), [repository]).await?.is_empty())
}

async fn publish_once(
    app: &App,
    repository: RepositoryId,
    tags: &BTreeSet<String>,
    mode: TufMode,
) -> Result<(), TufError> {
    let Some(name) = app.metadata.repository_name(repository).await? else { return Ok(()) };
    // The head first: a word that is taken back after it was read leads to a publish that moves the head on.
    let seen = app.metadata.trust_collection(&collection(repository)).await?;
    let is_anew = mode == TufMode::Anew || seen.is_none();
    let vouches = match is_anew {
        true => all_vouches(app, repository).await?,
        false => app.metadata.vouches_of(repository, tags.iter().map(String::as_str)).await?,
    };
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
    let root = root::of_repository(app, repository).await?;
    let tags_key = root::tags_key(app, &root.domain).await?;
    let standing = match seen {
        Some(seen) => standing(app, seen, name.as_str(), changes.keys().filter(|_| !is_anew)).await?,
        None => None,
    };
    let now = app.clock.now();
    let change = TufChange {
        domain: root.domain.clone(),
        collection: format!("tuf1/repository/{repository}"),
        repository: name.to_string(),
        caller: if mode == TufMode::Renewal { "renewal".to_owned() } else { PUBLISHER.to_owned() },
        root: root.body.clone(),
        standing,
        changes,
        expected: 0,
        mode: if is_anew { TufMode::Anew } else { mode },
    };
    let Some(made) = parts::sign(app, change, now).await? else { return forget(app, repository, moved).await };
    let fresh = Freshness { renew_at: made.expires - RENEW_BEFORE, expires_at: made.expires };
    let kind = if mode == TufMode::Renewal { "tuf_renewed" } else { "tuf_published" };
    let change = Change { repository, name, seen, root, tags_key, files: rows(made)?, fresh, moved, kind, now };
    app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await
}

/// What stands, as far as these tags need it.
async fn standing<'t>(
    app: &App,
    seen: Collection,
    name: &str,
    tags: impl Iterator<Item = &'t String>,
) -> Result<Option<Standing>, TufError> {
    let snapshot = stored("snapshot");
    let Some((_, snapshot)) = app.metadata.trust_bodies(seen, snapshot.iter()).await?.pop() else { return Ok(None) };
    // The signer says what is to be done with what cannot be read.
    let roles = needed(&snapshot, name, tags.map(String::as_str)).unwrap_or_default();
    let roles: Vec<TrustRole> = roles.iter().filter_map(|role| stored(role)).collect();
    let files = app.metadata.trust_bodies(seen, roles.iter()).await?;
    let files = files.into_iter().map(|(role, body)| (named(&role).to_owned(), body)).collect();
    Ok(Some(Standing { snapshot, files }))
}

/// Everything that was vouched for in a repository.
pub(in super::super) async fn all_vouches(app: &App, repository: RepositoryId) -> Result<Vec<Vouch>, metadata::Error> {
    let mut vouches: Vec<Vouch> = Vec::new();
    loop {
        let after = vouches.last().map(|vouch| vouch.tag.to_string()).unwrap_or_default();
        let page = app.metadata.vouches(repository, &after, PAGE).await?;
        let is_full = page.len() == PAGE as usize;
        vouches.extend(page);
        if !is_full {
            return Ok(vouches);
        }
    }
}

/// What a vouched tag means; `None` for a digest that TUF 1.0 clients cannot check.
pub(in super::super) fn target(vouch: &Vouch) -> Option<Target> {
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
fn rows(made: Made) -> Result<Vec<NewTrustFile>, TufError> {
    let of_file = |(role, version, body): (String, u64, Vec<u8>)| {
        let role = stored(&role).ok_or(TufError::Damaged)?;
        Ok(of_server(&FileState::of(role, version, &body), body))
    };
    made.files.into_iter().map(of_file).collect()
}

/// Everything the transaction needs; it may run more than once.
struct Change {
    repository: RepositoryId,
    name: RepositoryName,
    seen: Option<Collection>,
    root: TrustRoot,
    tags_key: Option<String>,
    files: Vec<NewTrustFile>,
    fresh: Freshness,
    moved: Vec<(Tag, i64)>,
    kind: &'static str,
    now: i64,
}

async fn store(tx: &mut Tx, change: &Change) -> Result<(), TufError> {
    let Change { repository, name, seen, root, tags_key, files, fresh, moved, kind, now } = change;
    // A root that was published meanwhile may name other keys than those that signed.
    if !tx.is_newest_root(&root.domain, root.version).await? {
        return Err(TufError::Overtaken);
    }
    // What was published is gone once the repository is another account's; what is published for the first time names it as it is called now.
    if seen.is_none() && tx.repository(name).await?.is_none_or(|held| held.id != *repository) {
        return Err(TufError::Overtaken);
    }
    // A domain that began meanwhile has what stands signed anew, and what is published for the first time does not stand yet.
    if seen.is_none() && root::domain_in(tx, *repository).await? != root.domain {
        return Err(TufError::Overtaken);
    }
    // What stands is signed anew when the tags have another key; what is published for the first time does not stand yet.
    if seen.is_none() && !root::is_tags_key(tx, &root.domain, tags_key.as_deref()).await? {
        return Err(TufError::Overtaken);
    }
    match tx.publish_trust(&collection(*repository), *seen, files, *fresh, *now).await? {
        Outcome::Overtaken => return Err(TufError::Overtaken),
        Outcome::Stored => {}
    }
    if let Some(seen) = seen {
        tx.forget_trust(*seen, now - KEPT).await?;
    }
    forget_moved(tx, *repository, moved).await?;
    let newest = files.last().map(|file| file.state.version);
    let payload = json!({"version": newest}).to_string();
    let event = Event {
        actor: PrincipalId::SYSTEM,
        kind,
        account: None,
        repository: Some(*repository),
        subject: "",
        payload: &payload,
        request_id: "",
        at: *now,
    };
    Ok(tx.record(&event).await?)
}

/// Leaves a collection that cannot be renewed alone until `until`.
pub(super) async fn put_off(app: &App, seen: Collection, until: i64) -> Result<(), metadata::Error> {
    let put: Result<bool, metadata::Error> =
        app.metadata.write((seen, until), |tx, (seen, until)| Box::pin(tx.put_trust_off(*seen, *until))).await;
    put.map(drop)
}
