//! Lives here: retention as this registry runs it: what a repository holds is read, the rules are asked, and what goes by them is
//! taken away as a user would; and when manifests were last pulled.
//! Never here: what goes, which is `gc`'s; who may set rules or ask.
//! Start reading at `preview` and [`turn`].

mod pulls;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use hallmark_gc::policy::{Immutables, Policy, PolicyInvalid};
use hallmark_gc::retention::{Image, Retention, Victim, decide};
use hallmark_oci::Digest;
use hallmark_storage::metadata::{self, AccountId, ManifestId, Policies, RepositoryId, Ruled};

use crate::app::App;

pub use pulls::Pulls;
pub(crate) use pulls::write_down_pulls;
pub use run::{Went, turn};

/// How many rows are read at a time.
const PAGE: u32 = 1_000;
/// The setting that says since when pulls are written down.
const PULLS_SINCE: &str = "pulls_since";

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
    /// The first of the victims, each with its digest.
    pub(crate) listed: Vec<(Victim, Digest)>,
    /// How many there are.
    pub(crate) count: u64,
    /// The bytes that nothing in the account names any more then, each blob counted once.
    pub(crate) bytes: u64,
}

/// What would go now by the rules that hold for a repository, or by these instead; at most `most` victims are listed.
///
/// # Errors
/// [`Undecided`].
pub(crate) async fn preview(
    app: &App,
    (repository, account): (RepositoryId, AccountId),
    instead: Option<&Retention>,
    most: usize,
) -> Result<Going, Undecided> {
    let policies = app.metadata.policies(repository).await?;
    let Some(Decided { images, mut victims }) = decide_by(app, repository, &policies, instead).await? else {
        return Ok(Going::default());
    };
    let bytes = app.metadata.freed_by((repository, account), gone(&images, &victims)).await?;
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
    victims: Vec<Victim>,
}

/// Asks these rules, or others instead, what goes; `None` when there are none.
async fn decide_by(
    app: &App,
    repository: RepositoryId,
    policies: &Policies,
    instead: Option<&Retention>,
) -> Result<Option<Decided>, Undecided> {
    let retention = match instead {
        Some(retention) => retention.clone(),
        None => match in_force(policies)? {
            Some(retention) => retention,
            None => return Ok(None),
        },
    };
    let images = look(app, repository).await?;
    let both = (policies.repository.as_deref(), policies.account.as_deref());
    // A tag that does not move does not go either; rules that cannot be read keep everything.
    let kept = Immutables::parse(both).ok();
    let stays = |tag: &str| kept.as_ref().is_none_or(|kept| kept.keeps(tag).is_some());
    let victims = decide(&retention, &images, app.clock.now(), stays);
    Ok(Some(Decided { images, victims }))
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
async fn look(app: &App, repository: RepositoryId) -> Result<Vec<Image>, metadata::Error> {
    let since = app.metadata.setting(PULLS_SINCE).await?.and_then(|since| since.parse::<i64>().ok());
    let (mut images, mut after) = (Vec::new(), ManifestId(0));
    loop {
        let page = app.metadata.ruled_manifests(repository, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let edges = app.metadata.children_of(repository, page.iter().map(|ruled| ruled.id)).await?;
        images.extend(page.iter().map(|ruled| image(ruled, since)));
        for (parent, child) in edges {
            if let Some(image) = of(&mut images, parent) {
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

/// What was not pulled since pulls are written down was last pulled before, at latest then.
fn image(ruled: &Ruled, since: Option<i64>) -> Image {
    let pulled_at = ruled.pulled_at.or_else(|| since.map(|since| since.max(ruled.pushed_at)));
    let Ruled { pushed_at, refers, held, .. } = *ruled;
    Image { id: ruled.id.0, pushed_at, pulled_at, refers, held, ..Image::default() }
}

/// The victims that go themselves, and the children that go with them: those without a tag of their own that no index names any
/// more.
fn gone(images: &[Image], victims: &[Victim]) -> BTreeSet<ManifestId> {
    let mut gone: BTreeSet<i64> = victims.iter().filter(|victim| victim.whole).map(|victim| victim.image).collect();
    let mut parents: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for image in images {
        for child in &image.children {
            parents.entry(*child).or_default().push(image.id);
        }
    }
    loop {
        let before = gone.len();
        for image in images.iter().filter(|image| image.tags.is_empty() && !image.held) {
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
