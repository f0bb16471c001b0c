//! Pages of tags and repositories, and the referrers of a digest.

use hallmark_oci::{ListReferrers, ListRepositories, ListTags, Page, limits};
use hallmark_storage::metadata::{self, ManifestId, NameRange, Referrer, RepositoryId};

use crate::access::{self, Granted};
use crate::app::App;

/// Referrers are answered whole up to this many bytes of descriptors; many clients read the first page only.
const REFERRERS_BYTES: u64 = 4 * 1024 * 1024 - 1024;
/// How many bytes of manifests one page parses. Only what a fallback tag lists must be parsed, and of that an index full of
/// signatures fits into one page.
const PARSED_BYTES: u64 = 16 * 1024 * 1024;
/// How many referrers are listed, before any of them is described, at a time.
const REFERRERS_BATCH: u32 = 500;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// There is no such repository.
    #[error("the registry has no repository of this name")]
    NameUnknown,
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Names in byte order, and whether more follow the last one.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    /// What the next page is asked with: how many, and after which name.
    pub(super) next: Option<(u32, String)>,
}

/// The tags of a repository, one page.
pub(super) async fn tags(app: &App, granted: &Granted<ListTags>) -> Result<Names, ListError> {
    let repository = granted.repository().ok_or(ListError::NameUnknown)?;
    let page = &granted.operation().page;
    let limit = limit(page);
    let names = app.metadata.tags(repository.id, page.after.as_deref(), limit + 1).await?;
    Ok(cut(names, limit))
}

/// The repositories that the caller may see, one page.
pub(super) async fn repositories(app: &App, granted: &Granted<ListRepositories>) -> Result<Names, ListError> {
    let page = &granted.operation().page;
    let limit = limit(page);
    let viewer = access::viewer(app, granted.identity()).await?;
    let names = NameRange::after(page.after.as_deref());
    let names = app.metadata.catalog(&viewer, &names, None, limit + 1).await?;
    Ok(cut(names, limit))
}

/// The referrers of a digest as descriptors in JSON, and after which one the next page begins.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    pub(super) descriptors: Vec<String>,
    pub(super) next: Option<String>,
}

/// The referrers of a digest; none for a subject or repository that is not there (distribution-spec, "Listing Referrers").
///
/// Many clients read the first page only, so a page ends at [`REFERRERS_BYTES`] and not at a number of entries. Who pushes
/// decides how large an entry is, so what a page costs is known before its entries are read.
pub(super) async fn referrers(app: &App, granted: &Granted<ListReferrers>) -> Result<Referrers, ListError> {
    let Some(repository) = granted.repository() else { return Ok(Referrers::default()) };
    let asked = granted.operation();
    let mut after = asked.page.after.as_deref().and_then(|after| after.parse().ok()).map(ManifestId);
    let mut filling = Filling::default();
    loop {
        let kind = asked.artifact_type.as_deref();
        let batch = app.metadata.referrers(repository.id, &asked.subject, kind, after, REFERRERS_BATCH).await?;
        if !filling.take(app, repository.id, &batch).await? || batch.len() < REFERRERS_BATCH as usize {
            return Ok(filling.page);
        }
        after = batch.last().map(|referrer| referrer.id);
    }
}

/// A page on its way to being full.
#[derive(Default)]
struct Filling {
    page: Referrers,
    /// Bytes of its descriptors.
    bytes: u64,
    /// Bytes of manifests that were parsed for it.
    parsed: u64,
    /// The last referrer that it holds.
    last: Option<ManifestId>,
}

impl Filling {
    /// Takes these referrers in; `false` when the page ended before the last of them.
    async fn take(&mut self, app: &App, repository: RepositoryId, batch: &[Referrer]) -> Result<bool, ListError> {
        let mut rest = batch;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(self.fitting(rest));
            if run.is_empty() {
                return Ok(self.end());
            }
            self.parsed +=
                run.iter().filter(|referrer| !referrer.described).map(|referrer| referrer.bytes).sum::<u64>();
            for entry in app.metadata.describe(repository, run).await? {
                let bytes = entry.descriptor.len() as u64 + 1;
                if self.bytes + bytes > REFERRERS_BYTES && !self.page.descriptors.is_empty() {
                    return Ok(self.end());
                }
                self.bytes += bytes;
                self.last = Some(entry.id);
                self.page.descriptors.push(entry.descriptor);
            }
            rest = behind;
        }
        Ok(true)
    }

    /// How many of these are described next, all of one kind: as many as the page has bytes for, and never more than a
    /// page's bytes in memory at once. An entry that is larger than any page comes all the same, alone.
    fn fitting(&self, referrers: &[Referrer]) -> usize {
        let Some(first) = referrers.first() else { return 0 };
        let room = match first.described {
            true => REFERRERS_BYTES.saturating_sub(self.bytes),
            false => PARSED_BYTES.saturating_sub(self.parsed),
        };
        if first.bytes + 1 > room {
            return usize::from(self.page.descriptors.is_empty());
        }
        let mut sum = 0;
        let fits = |referrer: &&Referrer| {
            sum += referrer.bytes + 1;
            referrer.described == first.described && sum <= room.min(REFERRERS_BYTES)
        };
        referrers.iter().take_while(fits).count().max(1)
    }

    /// Ends the page; the next one begins after its last entry.
    fn end(&mut self) -> bool {
        self.page.next = self.last.map(|last| last.0.to_string());
        false
    }
}

/// How many names a page holds: as asked, but never more than [`limits::PAGE_MAX`].
fn limit(page: &Page) -> u32 {
    let asked = page.limit.and_then(|limit| u32::try_from(limit).ok());
    asked.unwrap_or(limits::PAGE_MAX).min(limits::PAGE_MAX)
}

/// `names` holds one more than the page when there is a next page. An empty page asked for as such has no next one.
fn cut(mut names: Vec<String>, limit: u32) -> Names {
    let more = names.len() > limit as usize;
    names.truncate(limit as usize);
    let next = if more { names.last().map(|last| (limit, last.clone())) } else { None };
    Names { names, next }
}
