//! Keys that nothing names: their bytes are deleted, then the row that remembered them.

use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{DoomedKey, Metadata};

use super::Error;

/// How many keys one replica takes at a time.
const BATCH: u32 = 100;

/// Deletes the bytes of every key that is due. A key is never used again (I3), so doing it twice after a crash, or on two
/// replicas, hits nothing else.
pub(super) async fn sweep(
    metadata: &Metadata,
    blobs: &Blobs,
    now: i64,
    goes_on: impl Fn() -> bool,
) -> Result<u64, Error> {
    let mut swept = 0;
    while goes_on() {
        let claimed = metadata.write(now, |tx, now| Box::pin(async move { tx.claim_keys(*now, BATCH).await })).await?;
        for key in &claimed {
            delete(metadata, blobs, key.clone(), now).await?;
            swept += 1;
        }
        if claimed.len() < BATCH as usize {
            break;
        }
    }
    Ok(swept)
}

async fn delete(metadata: &Metadata, blobs: &Blobs, doomed: DoomedKey, now: i64) -> Result<(), Error> {
    if metadata.is_named(&doomed.key).await? {
        return Err(Error::Named(doomed.key.to_string()));
    }
    let deleted = blobs.delete(&doomed.key, doomed.multipart_id.as_deref()).await;
    deleted.map_err(|source| Error::Blobs { key: doomed.key.to_string(), source })?;
    let gone = (doomed, now);
    metadata.write(gone, |tx, (doomed, now)| Box::pin(async move { tx.key_deleted(doomed, *now).await })).await?;
    Ok(())
}
