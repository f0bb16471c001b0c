//! Repositories that were deleted: what they held goes in batches, their rows last.

use hallmark_storage::metadata::{self, Metadata};

use crate::pace::paced;

/// How many things one transaction takes out.
const BATCH: u32 = 500;

/// After so many failures in a row the database is taken to be down.
const IN_A_ROW: u32 = 10;

/// Empties every repository that was deleted; how many batches that took. Before each `goes_on` is asked. One that cannot be
/// emptied is put off and holds up no other.
///
/// # Errors
/// What the first failure was; what was done stays done, and the next run goes on.
pub async fn empty_deleted_repositories(
    metadata: &Metadata,
    now: i64,
    goes_on: impl Fn() -> bool,
) -> Result<u64, metadata::Error> {
    let dated: Result<u64, metadata::Error> =
        metadata.write((), |tx, ()| Box::pin(async move { tx.date_deleted_repositories().await })).await;
    dated?;
    let (mut batches, mut in_a_row, mut first) = (0, 0, None);
    while goes_on() && in_a_row < IN_A_ROW {
        let empty =
            metadata.write(now, |tx, now| Box::pin(async move { tx.empty_deleted_repository(*now, BATCH).await }));
        match paced(metadata, empty).await {
            Ok(false) => break,
            Ok(true) => (batches, in_a_row) = (batches + 1, 0),
            Err(error) => {
                first.get_or_insert(error);
                in_a_row += 1;
                let put_off: Result<bool, metadata::Error> =
                    metadata.write(now, |tx, now| Box::pin(async move { tx.put_emptying_off(*now).await })).await;
                put_off?;
            }
        }
    }
    first.map_or(Ok(batches), Err)
}
