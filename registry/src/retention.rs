//! Lives here: retention as this registry runs it: what a repository holds is read, the rules are asked, and what goes by them is
//! taken away as a user would; and when manifests were last pulled.
//! Never here: what goes, which is `gc`'s; who may set rules or ask.
//! Start reading at [`preview`] and [`run`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use hallmark_gc::policy::{Immutables, Policy, PolicyInvalid};
use hallmark_gc::retention::{Image, Retention, Victim, decide};
use hallmark_oci::Digest;
use hallmark_storage::metadata::{
    self, AccountId, Event, ManifestId, Policies, Repository, RepositoryId, Retire, Retired, Ruled,
};
use serde_json::json;

use crate::app::App;
use crate::telemetry::chain;

/// How many rows are read at a time.
const PAGE: u32 = 1_000;
/// How long after one run over all repositories the next begins, in milliseconds.
const EVERY: i64 = 24 * 60 * 60 * 1_000;
/// The setting that says when the last run began: whoever moves it runs.
const MARK: &str = "retention_run";
/// The setting that says since when pulls are written down.
const PULLS_SINCE: &str = "pulls_since";
/// How many manifests are remembered as pulled until the next minute; those beyond are not written down in that minute.
const REMEMBERED: usize = 100_000;

/// When manifests were last pulled, until a job writes that down (I8).
#[derive(Debug, Default)]
pub struct Pulls(Mutex<HashMap<ManifestId, i64>>);

impl Pulls {
    /// Remembers that a manifest was pulled.
    pub(crate) fn note(&self, manifest: ManifestId, now: i64) {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pulls.len() < REMEMBERED || pulls.contains_key(&manifest) {
            pulls.insert(manifest, now);
        }
    }

    fn take(&self) -> HashMap<ManifestId, i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes down which manifests were pulled since this was last done.
///
/// # Errors
/// The database's; what was noted is then lost, and images seem a little older than they are.
pub(crate) async fn write_down_pulls(app: &App) -> Result<(), metadata::Error> {
    let now = app.clock.now();
    if app.metadata.setting(PULLS_SINCE).await?.is_none() {
        let since: Result<bool, metadata::Error> = app
            .metadata
            .write(now.to_string(), |tx, now| Box::pin(async move { tx.move_mark(PULLS_SINCE, None, now).await }))
            .await;
        since?;
    }
    let pulls = app.pulls.take();
    let ids: Vec<ManifestId> = pulls.keys().copied().collect();
    for ids in ids.chunks(PAGE as usize) {
        let at = ids.iter().filter_map(|id| pulls.get(id)).copied().max().unwrap_or(now);
        let noted: Result<(), metadata::Error> = app
            .metadata
            .write((ids.to_vec(), at), |tx, (ids, at)| Box::pin(async move { tx.note_pulls(ids, *at).await }))
            .await;
        noted?;
    }
    Ok(())
}

/// Why nothing could be decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    /// The rules that are kept cannot be read.
    #[error(transparent)]
    Rules(#[from] PolicyInvalid),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// What goes by the rules of a repository.
#[derive(Debug, Default)]
pub(crate) struct Going {
    /// Each victim, with its digest and when it was put, and its tags with when they moved there.
    pub(crate) victims: Vec<(Victim, Retire)>,
    /// The bytes that nothing in the account names any more then, each blob counted once.
    pub(crate) bytes: u64,
}

/// What would go now by the rules that hold for a repository, or by these instead.
///
/// # Errors
/// [`Undecided`].
pub(crate) async fn preview(
    app: &App,
    (repository, account): (RepositoryId, AccountId),
    instead: Option<&Retention>,
) -> Result<Going, Undecided> {
    let policies = app.metadata.policies(repository).await?;
    let retention = match instead {
        Some(retention) => retention.clone(),
        None => match in_force(&policies)? {
            Some(retention) => retention,
            None => return Ok(Going::default()),
        },
    };
    let seen = look(app, repository).await?;
    let both = (policies.repository.as_deref(), policies.account.as_deref());
    // A tag that does not move does not go either; rules that cannot be read keep everything.
    // What cannot be read keeps everything.
    let kept = Immutables::parse(both).ok();
    let stays = |tag: &str| kept.as_ref().is_none_or(|kept| kept.keeps(tag).is_some());
    let victims = decide(&retention, &seen.images, app.clock.now(), stays);
    let gone = seen.gone(&victims);
    let bytes = app.metadata.freed_by((repository, account), gone).await?;
    let victims = victims.into_iter().filter_map(|victim| {
        let retire = seen.retire(&victim)?;
        Some((victim, retire))
    });
    Ok(Going { victims: victims.collect(), bytes })
}

/// The repository's own rules, or those of its account.
fn in_force(policies: &Policies) -> Result<Option<Retention>, PolicyInvalid> {
    for text in [&policies.repository, &policies.account].into_iter().flatten() {
        if let Some(retention) = Policy::parse(text)?.retention {
            return Ok(Some(retention));
        }
    }
    Ok(None)
}

/// A repository as rules see it.
struct Seen {
    images: Vec<Image>,
    digests: BTreeMap<i64, Digest>,
}

async fn look(app: &App, repository: RepositoryId) -> Result<Seen, metadata::Error> {
    let since = app.metadata.setting(PULLS_SINCE).await?.and_then(|since| since.parse::<i64>().ok());
    let (mut images, mut digests, mut after) = (BTreeMap::new(), BTreeMap::new(), ManifestId(0));
    loop {
        let page = app.metadata.ruled_manifests(repository, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let edges = app.metadata.children_of(repository, page.iter().map(|ruled| ruled.id)).await?;
        for ruled in page {
            digests.insert(ruled.id.0, ruled.digest.clone());
            images.insert(ruled.id.0, image(&ruled, since));
        }
        for (parent, child) in edges {
            if let Some(image) = images.get_mut(&parent.0) {
                image.children.push(child.0);
            }
        }
    }
    let mut after = String::new();
    loop {
        let page = app.metadata.ruled_tags(repository, &after, PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        after.clone_from(last);
        for (tag, manifest, at) in page {
            if let Some(image) = images.get_mut(&manifest.0) {
                image.tags.push((tag, at));
            }
        }
    }
    Ok(Seen { images: images.into_values().collect(), digests })
}

/// What was not pulled since pulls are written down was last pulled before, at latest then.
fn image(ruled: &Ruled, since: Option<i64>) -> Image {
    let pulled_at = ruled.pulled_at.or_else(|| since.map(|since| since.max(ruled.pushed_at)));
    let Ruled { pushed_at, refers, held, .. } = *ruled;
    Image { id: ruled.id.0, pushed_at, pulled_at, refers, held, ..Image::default() }
}

impl Seen {
    /// The victims that go themselves, and the children that go with them: those without a tag of their own that no index names any
    /// more.
    fn gone(&self, victims: &[Victim]) -> BTreeSet<ManifestId> {
        let mut gone: BTreeSet<i64> = victims.iter().filter(|victim| victim.whole).map(|victim| victim.image).collect();
        let mut parents: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for image in &self.images {
            for child in &image.children {
                parents.entry(*child).or_default().push(image.id);
            }
        }
        loop {
            let before = gone.len();
            for image in self.images.iter().filter(|image| image.tags.is_empty() && !image.held) {
                let parents = parents.get(&image.id);
                if parents.is_some_and(|parents| parents.iter().all(|parent| gone.contains(parent))) {
                    gone.insert(image.id);
                }
            }
            if gone.len() == before {
                return gone.into_iter().map(ManifestId).collect();
            }
        }
    }

    fn retire(&self, victim: &Victim) -> Option<Retire> {
        let place = self.images.binary_search_by_key(&victim.image, |image| image.id).ok()?;
        let image = &self.images[place];
        let tags = image.tags.iter().filter(|(tag, _)| victim.tags.contains(tag)).cloned().collect();
        let digest = self.digests.get(&victim.image)?.clone();
        Some(Retire { digest, pushed_at: image.pushed_at, tags, whole: victim.whole })
    }
}

/// Runs the rules of all repositories once a day, on whichever replica comes first; how many manifests and tags went.
///
/// # Errors
/// The database did not answer; the rest waits for the next day.
pub(crate) async fn run(app: &App, goes_on: impl Fn() -> bool) -> Result<(u64, u64), metadata::Error> {
    let (now, seen) = (app.clock.now(), app.metadata.setting(MARK).await?);
    let due = seen.as_deref().and_then(|at| at.parse::<i64>().ok()).is_none_or(|at| at.saturating_add(EVERY) <= now);
    if !due {
        return Ok((0, 0));
    }
    let moved: Result<bool, metadata::Error> = app
        .metadata
        .write((seen, now.to_string()), |tx, (seen, now)| {
            Box::pin(async move { tx.move_mark(MARK, seen.as_deref(), now).await })
        })
        .await;
    let mut went = (0, 0);
    if !moved? {
        return Ok(went);
    }
    for own in [true, false] {
        let mut after = RepositoryId(0);
        loop {
            let page = app.metadata.ruled_repositories(own, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, name) in page {
                if !goes_on() {
                    return Ok(went);
                }
                let Some(repository) = app.metadata.repository(&name).await? else { continue };
                match apply(app, &repository, &goes_on).await {
                    Ok((manifests, tags)) => went = (went.0 + manifests, went.1 + tags),
                    Err(error) => {
                        let repository = name.as_str();
                        tracing::warn!(repository, error = chain(&error), "the rules of {repository} were not applied");
                    }
                }
            }
        }
    }
    Ok(went)
}

/// Takes away what goes by the rules of a repository: indexes before what they name.
async fn apply(app: &App, repository: &Repository, goes_on: impl Fn() -> bool) -> Result<(u64, u64), Undecided> {
    let mut going = preview(app, (repository.id, repository.account_id), None).await?;
    // A child that goes too is named until its index is gone; what is named is passed over, and then comes again.
    let mut went = (0, 0);
    for _ in 0..2 {
        let mut left = Vec::new();
        for (victim, retire) in going.victims {
            if !goes_on() {
                return Ok(went);
            }
            let retired = take(app, repository, (&victim, &retire)).await?;
            went = (went.0 + u64::from(retired.whole), went.1 + retired.tags.len() as u64);
            if victim.whole && !retired.whole {
                left.push((victim, Retire { tags: Vec::new(), ..retire }));
            }
        }
        going.victims = left;
    }
    app.metrics.retired(went.0, went.1);
    Ok(went)
}

async fn take(
    app: &App,
    repository: &Repository,
    (victim, retire): (&Victim, &Retire),
) -> Result<Retired, metadata::Error> {
    let input = (repository.clone(), retire.clone(), victim.rule.clone(), app.clock.now());
    app.metadata
        .write(input, |tx, (repository, retire, rule, now)| {
            Box::pin(async move {
                let Some(repository) = tx.repository(&repository.name).await?.filter(|held| held.id == repository.id)
                else {
                    return Ok(Retired::default());
                };
                let retired = tx.retire(&repository, retire, *now).await?;
                let place = |kind, subject| Event {
                    account: Some(repository.account_id),
                    repository: Some(repository.id),
                    ..Event::of_system(kind, subject, *now)
                };
                if retired.whole {
                    let payload = json!({"tags": retired.tags, "rule": rule}).to_string();
                    let event = place("manifest_deleted", retire.digest.as_str());
                    tx.record(&Event { payload: &payload, ..event }).await?;
                    return Ok(retired);
                }
                let payload = json!({"digest": retire.digest, "rule": rule}).to_string();
                for tag in &retired.tags {
                    tx.record(&Event { payload: &payload, ..place("tag_deleted", tag) }).await?;
                }
                Ok(retired)
            })
        })
        .await
}
