//! Uploads that nobody went on with.

use hallmark_storage::metadata::{self, Metadata};

/// How many uploads one transaction gives up.
const BATCH: u32 = 100;

/// Gives up every upload that expired before `now`; their keys become due.
pub(super) async fn expire(metadata: &Metadata, now: i64, goes_on: impl Fn() -> bool) -> Result<u64, metadata::Error> {
    let mut expired = 0;
    while goes_on() {
        let batch =
            metadata.write(now, |tx, now| Box::pin(async move { tx.expire_uploads(*now, BATCH).await })).await?;
        expired += batch;
        if batch < u64::from(BATCH) {
            break;
        }
    }
    Ok(expired)
}
