//! Lives here: retention as this registry runs it: what a repository holds is read, the rules are asked, and what goes by them is
//! taken away as a user would; and when manifests were last pulled.
//! Never here: what goes, which is `gc`'s; who may set rules or ask.
//! Start reading at `preview` and [`turn`].

mod fate;
mod pulls;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hallmark_gc::policy::{Immutables, Policy, PolicyInvalid};
use hallmark_gc::retention::{Decision, Image, Retention, Victim, decide};
use hallmark_oci::Digest;
use hallmark_storage::metadata::{self, AccountId, ManifestId, Policies, RepositoryId, Ruled};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use crate::app::App;
use fate::Fate;

pub use pulls::{Pulls, write_down_pulls};
pub use run::{AtTurn, READONLY_ENDED, Went, turn};

/// How many rows are read at a time.
const PAGE: u32 = 1_000;
/// The setting that says since when pulls are written down.
pub(crate) const PULLS_SINCE: &str = "pulls_since";

/// How many manifests and tags a repository has at most on which people are told what would go, which takes some 400 MiB.
const LARGEST: usize = 1_000_000;
/// How long one of them waits for another.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where what goes is decided: one repository after another, beside what others ask of the processors.
#[derive(Debug)]
pub struct Deciding {
    /// Held while people are told; rules that are applied wait for none of them.
    previews: Semaphore,
    /// Held by the thread that decides.
    thread: Arc<Semaphore>,
}

impl Default for Deciding {
    fn default() -> Self {
        Self { previews: Semaphore::new(1), thread: Arc::new(Semaphore::new(1)) }
    }
}

impl Deciding {
    /// Works on a thread of its own, once nobody else does.
    async fn on_a_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let place = Arc::clone(&self.thread).acquire_owned().await;
        spawn_blocking(move || {
            // Held as long as it works, also when nobody waits for it any more.
            let _place = place;
            work()
        })
        .await
    }
}

/// Why nothing could be decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    /// The rules that are kept cannot be read.
    #[error(transparent)]
    Rules(#[from] PolicyInvalid),
    /// Others are being told.
    #[error("what would go elsewhere is being decided; ask again in a moment")]
    Busy,
    /// The repository has too much of it.
    #[error("the repository has more than {LARGEST} manifests and tags: what would go is not told of one as large")]
    TooLarge,
    /// The registry ends, or is read-only by now.
    #[error("what would go is not decided on any more")]
    Stopped,
    /// The thread that decided did not end well.
    #[error("the decision ended early")]
    Thread(#[from] JoinError),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// What goes by the rules of a repository.
#[derive(Debug, Default)]
pub(crate) struct Going {
    /// The first of the victims, each with its digest.
    pub(crate) listed: Vec<(Victim, Digest)>,
    /// How many there are.
    pub(crate) count: u64,
    /// The bytes that nothing in the account names any more once all of it is gone, with what goes with it, each blob counted once.
    pub(crate) bytes: u64,
}

/// What would go now by the rules that hold for a repository, or by these instead; at most `most` victims are listed. One is told
/// after another: each takes a while, and much memory.
///
/// # Errors
/// [`Undecided`].
pub(crate) async fn preview(
    app: &App,
    (repository, account): (RepositoryId, AccountId),
    instead: Option<&Retention>,
    most: usize,
) -> Result<Going, Undecided> {
    let _place = timeout(PATIENCE, app.deciding.previews.acquire()).await.map_err(|_| Undecided::Busy)?;
    let policies = app.metadata.policies(repository).await?;
    let rules = match instead {
        Some(retention) => Some(retention.clone()),
        None => in_force(&policies)?,
    };
    let Some(rules) = rules else { return Ok(Going::default()) };
    let decided = decide_by(app, repository, (&policies, rules), (LARGEST, || true)).await?;
    let work = move || {
        let Decided { images, decision, .. } = decided;
        (Fate::of(images, &decision.victims), decision.victims)
    };
    let (fate, mut victims) = app.deciding.on_a_thread(work).await?;
    let gone = fate.followed(app, repository).await?;
    let bytes = app.metadata.freed_by((repository, account), gone).await?;
    let count = victims.len() as u64;
    victims.truncate(most);
    let mut digests = digests(app, repository, victims.iter().map(|victim| victim.image).collect()).await?;
    let listed = victims.into_iter().filter_map(|victim| {
        let digest = digests.remove(&victim.image)?;
        Some((victim, digest))
    });
    Ok(Going { listed: listed.collect(), count, bytes })
}

/// What was decided on a repository, and on what: all of its manifests, by their numbers.
struct Decided {
    images: Vec<Image>,
    decision: Decision,
    /// The setting that said since when pulls are written down.
    since: Option<String>,
}

/// Asks these rules what goes from a repository that has at most so many manifests and tags, unless `goes_on` says no while it is
/// read.
async fn decide_by(
    app: &App,
    repository: RepositoryId,
    (policies, retention): (&Policies, Retention),
    (largest, goes_on): (usize, impl Fn() -> bool),
) -> Result<Decided, Undecided> {
    // Whatever was pulled before this, and longer ago than a pull may stay unwritten, is known when it is read.
    let now = app.clock.now();
    let since = app.metadata.setting(PULLS_SINCE).await?;
    let known_since = since.as_deref().and_then(|since| since.parse::<i64>().ok());
    let images = look(app, repository, known_since, (largest, goes_on)).await?;
    let both = (policies.repository.as_deref(), policies.account.as_deref());
    // A tag that does not move does not go either; rules that cannot be read keep everything.
    let kept = Immutables::parse(both).ok();
    let work = move || {
        let stays = |tag: &str| kept.as_ref().is_none_or(|kept| kept.keeps(tag).is_some());
        let decision = decide(&retention, &images, now, stays);
        Decided { images, decision, since }
    };
    Ok(app.deciding.on_a_thread(work).await?)
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

/// A repository as rules see it, by the numbers of its manifests. It is read page by page, but "the newest of all" is only known of
/// all: what rules ask is kept of each, 88 bytes for a manifest and some 60 for a tag, and no digest or body.
async fn look(
    app: &App,
    repository: RepositoryId,
    since: Option<i64>,
    (largest, goes_on): (usize, impl Fn() -> bool),
) -> Result<Vec<Image>, Undecided> {
    let (mut images, mut after) = (Vec::new(), ManifestId(0));
    loop {
        let page = app.metadata.ruled_manifests(repository, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let edges = app.metadata.children_of(repository, page.iter().map(|ruled| ruled.id)).await?;
        images.extend(page.iter().map(|ruled| image(ruled, since, app.pulls.latest([ruled.id]))));
        for (parent, child) in edges {
            if let Some(image) = of(&mut images, parent) {
                image.children.push(child.0);
            }
        }
        if images.len() > largest {
            return Err(Undecided::TooLarge);
        }
        if !goes_on() {
            return Err(Undecided::Stopped);
        }
    }
    let (mut count, mut after) = (images.len(), String::new());
    loop {
        let page = app.metadata.ruled_tags(repository, &after, PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        after.clone_from(last);
        count += page.len();
        if count > largest {
            return Err(Undecided::TooLarge);
        }
        if !goes_on() {
            return Err(Undecided::Stopped);
        }
        for (tag, manifest, at) in page {
            if let Some(image) = of(&mut images, manifest) {
                // Most have one, for which a list would make room for four.
                if image.tags.is_empty() {
                    image.tags.reserve_exact(1);
                }
                image.tags.push((tag, at));
            }
        }
    }
    Ok(images)
}

fn of(images: &mut [Image], id: ManifestId) -> Option<&mut Image> {
    let place = images.binary_search_by_key(&id.0, |image| image.id).ok()?;
    images.get_mut(place)
}

/// What was not pulled since pulls are written down was last pulled before, at latest then. What is not written down yet counts too.
fn image(ruled: &Ruled, since: Option<i64>, unwritten: Option<i64>) -> Image {
    let written = match since {
        Some(since) => Some(ruled.pulled_at.unwrap_or(ruled.pushed_at).max(since)),
        None => ruled.pulled_at,
    };
    // What is not known at all stays so: it counts as pulled.
    let pulled_at = written.map(|at| at.max(unwritten.unwrap_or(at)));
    let Ruled { pushed_at, refers, held, .. } = *ruled;
    Image { id: ruled.id.0, pushed_at, pulled_at, refers, held, ..Image::default() }
}

/// The digests of these manifests of a repository: it is read again from each that is not found yet.
async fn digests(
    app: &App,
    repository: RepositoryId,
    mut wanted: BTreeSet<i64>,
) -> Result<BTreeMap<i64, Digest>, metadata::Error> {
    let mut found = BTreeMap::new();
    while let Some(first) = wanted.pop_first() {
        for ruled in app.metadata.ruled_manifests(repository, ManifestId(first - 1), PAGE).await? {
            if ruled.id.0 == first || wanted.remove(&ruled.id.0) {
                found.insert(ruled.id.0, ruled.digest);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tempfile::TempDir;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{self, Flag, Purpose, Secret, Sources};

    #[tokio::test]
    async fn whoever_asks_while_another_is_told_waits_and_then_is_told_to_come_back() {
        let data = TempDir::new().unwrap();
        let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
        let sources = Sources { flags: vec![flag], ..Sources::default() };
        let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
        config.admin_password = Some(Secret::new("correct horse battery".to_owned()));
        let app = App::open(config, Clock::System).await.unwrap();
        let asked = async || preview(&app, (RepositoryId(1), AccountId(1)), None, 9).await;
        let other = app.deciding.previews.acquire().await.unwrap();
        tokio::time::pause();
        assert!(matches!(asked().await, Err(Undecided::Busy)));
        tokio::time::resume();
        drop(other);
        assert_eq!(asked().await.unwrap().count, 0);
        app.metadata.close().await;
    }

    #[tokio::test]
    async fn one_decision_is_made_after_another() {
        let (deciding, at_it) = (Deciding::default(), Arc::new(AtomicUsize::new(0)));
        let decision = || {
            let at_it = Arc::clone(&at_it);
            deciding.on_a_thread(move || {
                let others = at_it.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                at_it.fetch_sub(1, Ordering::SeqCst);
                others
            })
        };
        let decided = futures_util::future::join_all((0..64).map(|_| decision())).await;
        assert!(decided.into_iter().all(|others| others.unwrap() == 0));
    }
}
