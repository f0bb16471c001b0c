//! Lives here: the collector as this registry runs it: by the clock or when it is asked for, paused or not, counted and told.
//! Never here: what may go, which is `gc`'s; who may ask, and how.
//! Start reading at [`run`].

use hallmark_gc::{Error, Report};
use hallmark_storage::metadata;

use crate::app::App;

/// The setting that says that the collector rests.
pub(crate) const PAUSED: &str = "gc_paused";

/// Whether the collector rests, on every replica.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn is_paused(app: &App) -> Result<bool, metadata::Error> {
    Ok(app.metadata.setting(PAUSED).await?.as_deref() == Some("on"))
}

/// Runs the collector once, until nothing is due or `goes_on` says no; `None` when it is paused.
///
/// # Errors
/// What stopped it; what was done stays done.
pub(crate) async fn run(app: &App, goes_on: impl Fn() -> bool) -> Result<Option<Report>, Error> {
    if is_paused(app).await? {
        return Ok(None);
    }
    let report = hallmark_gc::clean(&app.metadata, &app.blobs, app.clock.now(), goes_on).await?;
    app.metrics.reclaimed(&report);
    Ok(Some(report))
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
