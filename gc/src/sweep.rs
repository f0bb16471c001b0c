//! Keys that nothing names: their bytes are deleted, then the row that remembered them.

use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{DoomedKey, Metadata};

use super::Error;
use super::mark::{self, Decision};
use super::pace::paced;

/// How many keys one replica takes at a time.
const BATCH: u32 = 100;

/// After so many failures in a row the store itself is taken to be down: the run ends, and the next one begins with the keys
/// behind these.
const FAILURES: u64 = 10;

/// Deletes the bytes of every key that is due. A key is never used again (I3), so doing it twice after a crash, or on two
/// replicas, hits nothing else. One that cannot be deleted is put off and holds up no other.
pub(super) async fn sweep(
    metadata: &Metadata,
    blobs: &Blobs,
    now: i64,
    goes_on: impl Fn() -> bool,
) -> Result<u64, Error> {
    let (mut swept, mut failed, mut in_a_row, mut first) = (0, 0, 0, None);
    while goes_on() {
        let claimed = metadata.write(now, |tx, now| Box::pin(async move { tx.claim_keys(*now, BATCH).await })).await?;
        for key in &claimed {
            // A store that is slow to answer must not keep a run from ending.
            if !goes_on() {
                break;
            }
            match delete(metadata, blobs, key.clone(), now).await {
                Ok(()) => (swept, in_a_row) = (swept + 1, 0),
                Err(error @ Error::Metadata(_)) => return Err(error),
                Err(error) => {
                    put_off(metadata, key.clone(), now).await?;
                    (failed, in_a_row) = (failed + 1, in_a_row + 1);
                    first.get_or_insert(error);
                }
            }
            if in_a_row == FAILURES {
                break;
            }
        }
        if claimed.len() < BATCH as usize || in_a_row == FAILURES {
            break;
        }
    }
    match first {
        None => Ok(swept),
        Some(first) => Err(Error::Left { failed, swept, first: Box::new(first) }),
    }
}

async fn put_off(metadata: &Metadata, doomed: DoomedKey, now: i64) -> Result<(), Error> {
    let left = (doomed, now);
    metadata.write(left, |tx, (doomed, now)| Box::pin(async move { tx.put_key_off(doomed, *now).await })).await?;
    Ok(())
}

async fn delete(metadata: &Metadata, blobs: &Blobs, doomed: DoomedKey, now: i64) -> Result<(), Error> {
    if mark::key(metadata.is_named(&doomed.key).await?) != Decision::Take {
        return Err(Error::Named(doomed.key.to_string()));
    }
    let deleted = blobs.delete(&doomed.key, doomed.multipart_id.as_deref()).await;
    deleted.map_err(|source| Error::Blobs { key: doomed.key.to_string(), source })?;
    let gone = (doomed, now);
    let forget = metadata.write(gone, |tx, (doomed, now)| Box::pin(async move { tx.key_deleted(doomed, *now).await }));
    paced(metadata, forget).await?;
    Ok(())
}
