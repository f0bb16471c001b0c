//! Repositories that were deleted: what they held goes in batches, their rows last.

use hallmark_storage::metadata::{self, Metadata};

/// How many things one transaction takes out.
const BATCH: u32 = 500;

/// Empties every repository that was deleted; how many batches that took. Before each `goes_on` is asked.
///
/// # Errors
/// The database did not answer; what was done stays done, and the next run goes on.
pub async fn empty_deleted_repositories(
    metadata: &Metadata,
    now: i64,
    goes_on: impl Fn() -> bool,
) -> Result<u64, metadata::Error> {
    let mut batches = 0;
    while goes_on() {
        if !metadata
            .write(now, |tx, now| Box::pin(async move { tx.empty_deleted_repository(*now, BATCH).await }))
            .await?
        {
            break;
        }
        batches += 1;
    }
    Ok(batches)
}
