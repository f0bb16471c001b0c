//! Pages of tags and repositories, and the referrers of a digest.

use hallmark_oci::{ListReferrers, ListRepositories, ListTags, Page, limits};
use hallmark_storage::metadata::{self, ManifestId};

use crate::access::Granted;
use crate::app::App;

/// Referrers are answered whole up to this many bytes of descriptors; many clients read the first page only.
const REFERRERS_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// How many referrers are read from the database at a time.
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
    let names = app.metadata.catalog(granted.viewer(), page.after.as_deref(), limit + 1).await?;
    Ok(cut(names, limit))
}

/// The referrers of a digest as descriptors in JSON, and after which one the next page begins.
#[derive(Debug)]
pub(super) struct Referrers {
    pub(super) descriptors: Vec<String>,
    pub(super) next: Option<String>,
}

/// The referrers of a digest; none for a subject or repository that is not there (distribution-spec, "Listing Referrers").
///
/// Many clients read the first page only, so a page ends at [`REFERRERS_BYTES`] and not at a number of entries.
pub(super) async fn referrers(app: &App, granted: &Granted<ListReferrers>) -> Result<Referrers, ListError> {
    let mut page = Referrers { descriptors: Vec::new(), next: None };
    let Some(repository) = granted.repository() else { return Ok(page) };
    let asked = granted.operation();
    let mut after = asked.page.after.as_deref().and_then(|after| after.parse().ok()).map(ManifestId);
    let mut bytes = 0;
    loop {
        let kind = asked.artifact_type.as_deref();
        let batch = app.metadata.referrers(repository.id, &asked.subject, kind, after, REFERRERS_BATCH).await?;
        let last = batch.len() < REFERRERS_BATCH as usize;
        for referrer in batch {
            bytes += referrer.descriptor.len() + 1;
            if bytes > REFERRERS_BYTES && !page.descriptors.is_empty() {
                page.next = after.map(|after| after.0.to_string());
                return Ok(page);
            }
            after = Some(referrer.id);
            page.descriptors.push(referrer.descriptor);
        }
        if last {
            return Ok(page);
        }
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
