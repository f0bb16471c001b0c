//! Bytes that nothing names: a crash between bytes and facts, or a database that was set back, may leave them. They are found by
//! comparing the store with the facts, one of 256 parts at a time, slowly.

use hallmark_storage::StorageKey;
use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{self, Event, Metadata};

/// The setting that says which part was compared last, and when: `part time`.
const MARK: &str = "gc_orphans";
/// How many keys are asked for at a time.
const BATCH: usize = 500;
/// How old bytes have to be, in milliseconds: far older than the time that passes between a key's row and its first byte, by
/// clocks that do not agree.
const AGE: i64 = 7 * 24 * 60 * 60 * 1_000;

/// What comparing a part of the store found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Keys that lie in the store.
    pub keys: u64,
    /// Those that nothing names: they are deleted after the grace of bytes.
    pub orphans: u64,
}

/// Compares the next part of the store with the facts when the last one was compared `every` milliseconds ago; `None` before that,
/// and when another replica is at it.
///
/// # Errors
/// The database or the store did not answer; the part comes up again after the others.
pub async fn compare(
    metadata: &Metadata,
    blobs: &Blobs,
    now: i64,
    every: i64,
) -> Result<Option<Compared>, crate::Error> {
    let seen = metadata.setting(MARK).await?;
    let Some(part) = next(seen.as_deref(), now, every) else { return Ok(None) };
    let moved: Result<bool, metadata::Error> = metadata
        .write((seen, format!("{part} {now}")), |tx, (seen, to)| {
            Box::pin(async move { tx.move_mark(MARK, seen.as_deref(), to).await })
        })
        .await;
    if !moved? {
        return Ok(None);
    }
    let shard = blobs.shard(part).await.map_err(|source| crate::Error::Unlisted { part, source })?;
    let old: Vec<StorageKey> =
        shard.iter().filter(|(_, written)| written.saturating_add(AGE) <= now).map(|(key, _)| key.clone()).collect();
    let mut compared = Compared { keys: shard.len() as u64, orphans: 0 };
    for keys in old.chunks(BATCH) {
        compared.orphans += doom(metadata, keys.to_vec(), now).await?;
    }
    Ok(Some(compared))
}

async fn doom(metadata: &Metadata, keys: Vec<StorageKey>, now: i64) -> Result<u64, metadata::Error> {
    metadata
        .write((keys, now), |tx, (keys, now)| {
            Box::pin(async move {
                let due_at = now.saturating_add(tx.graces().bytes);
                let orphans = tx.doom_orphans(keys, due_at).await?;
                for orphan in &orphans {
                    tx.record(&Event::of_system("orphan_found", orphan.as_str(), *now)).await?;
                }
                Ok(orphans.len() as u64)
            })
        })
        .await
}

/// The part whose turn it is.
fn next(mark: Option<&str>, now: i64, every: i64) -> Option<u8> {
    let read = mark.and_then(|mark| {
        let (part, at) = mark.split_once(' ')?;
        Some((part.parse::<u8>().ok()?, at.parse::<i64>().ok()?))
    });
    match read {
        None => Some(0),
        Some((part, at)) => (at.saturating_add(every) <= now).then(|| part.wrapping_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_one_after_another_in_their_time() {
        assert_eq!(next(None, 5, 10), Some(0));
        assert_eq!(next(Some("0 5"), 14, 10), None);
        assert_eq!(next(Some("0 5"), 15, 10), Some(1));
        assert_eq!(next(Some("255 5"), 15, 10), Some(0));
        assert_eq!(next(Some("nonsense"), 15, 10), Some(0));
    }
}
