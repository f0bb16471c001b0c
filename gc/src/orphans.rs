//! Bytes that nothing names: a crash between bytes and facts, or a database that was set back, may leave them. They are found by
//! comparing the store with the facts, one of 256 parts at a time, slowly.

use hallmark_storage::StorageKey;
use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{self, Event, Metadata};

use crate::ownership::renew_mark;

/// The setting that says which part was compared last, and when: `part time`.
const MARK: &str = "gc_orphans";
/// How many keys are asked for at a time.
const BATCH: usize = 500;
/// How old bytes have to be, in milliseconds: far older than the time that passes between a key's row and its first byte, by
/// clocks that do not agree.
const AGE: i64 = 7 * 24 * 60 * 60 * 1_000;

/// More keys that nothing names than this, and than one in [`SHARE`], are not doomed unasked: rather than so many crashes, the
/// database is not the one that the store belongs to, or was set back.
const MOST: u64 = 16;
/// See [`MOST`].
const SHARE: u64 = 100;
/// The setting that says that a comparison waits for an operator: `part orphans keys`.
const HELD: &str = "gc_orphans_held";

/// What comparing a part of the store found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Keys that lie in the store.
    pub keys: u64,
    /// Those that nothing names: they are deleted after the grace of bytes.
    pub orphans: u64,
}

/// A comparison that waits for an operator, because it would delete too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The part of the store, by the first byte of its keys.
    pub part: u8,
    /// The keys that lie there.
    pub keys: u64,
    /// Those of them that nothing names.
    pub orphans: u64,
}

/// Compares the next part of the store with the facts when the last one was compared `every` milliseconds ago; `None` before that,
/// when another replica is at it, when `goes_on` says no, and as long as one waits for an operator.
///
/// # Errors
/// The database or the store did not answer, and the part comes up again after the others; [`crate::Error::Foreign`]: the store is
/// another database's; [`crate::Error::Held`]: too much would be deleted, so that an operator has to look.
pub async fn compare(
    metadata: &Metadata,
    blobs: &Blobs,
    (now, every): (i64, i64),
    goes_on: impl Fn() -> bool,
) -> Result<Option<Compared>, crate::Error> {
    if held_comparison(metadata).await?.is_some() {
        return Ok(None);
    }
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
    look_through(metadata, blobs, (part, now), |keys| MOST.max(keys / SHARE), goes_on).await
}

/// The comparison that waits for an operator, if one does.
///
/// # Errors
/// The database does not answer.
pub async fn held_comparison(metadata: &Metadata) -> Result<Option<Held>, metadata::Error> {
    let held = metadata.setting(HELD).await?;
    Ok(held.and_then(|held| {
        let mut words = held.split(' ');
        let part = words.next()?.parse().ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Held { part, orphans: number()?, keys: number()? })
    }))
}

/// Goes on with the comparison that waits for an operator, who has looked and agrees that at most so many keys go; `None` when none
/// waits or `goes_on` says no.
///
/// # Errors
/// As of [`compare`]; by now it may be more keys.
pub async fn compare_held(
    metadata: &Metadata,
    blobs: &Blobs,
    (now, agreed): (i64, u64),
    goes_on: impl Fn() -> bool,
) -> Result<Option<Compared>, crate::Error> {
    let Some(held) = held_comparison(metadata).await? else { return Ok(None) };
    let compared = look_through(metadata, blobs, (held.part, now), |_| agreed, goes_on).await?;
    if compared.is_some() {
        let done: Result<(), metadata::Error> =
            metadata.write((), |tx, ()| Box::pin(async move { tx.set_setting(HELD, None).await })).await;
        done?;
    }
    Ok(compared)
}

async fn look_through(
    metadata: &Metadata,
    blobs: &Blobs,
    (part, now): (u8, i64),
    most: impl Fn(u64) -> u64,
    goes_on: impl Fn() -> bool,
) -> Result<Option<Compared>, crate::Error> {
    if !renew_mark(metadata, blobs).await? {
        return Err(crate::Error::Foreign);
    }
    let shard = blobs.shard(part).await.map_err(|source| crate::Error::Unlisted { part, source })?;
    let old: Vec<StorageKey> =
        shard.iter().filter(|(_, written)| written.saturating_add(AGE) <= now).map(|(key, _)| key.clone()).collect();
    let mut orphans = Vec::new();
    for keys in old.chunks(BATCH) {
        if !goes_on() {
            return Ok(None);
        }
        orphans.extend(metadata.orphans(keys).await?);
    }
    let held = Held { part, keys: shard.len() as u64, orphans: orphans.len() as u64 };
    if held.orphans > most(held.keys) {
        hold(metadata, held, now).await?;
        return Err(crate::Error::Held(held));
    }
    let mut compared = Compared { keys: held.keys, orphans: 0 };
    for keys in orphans.chunks(BATCH) {
        compared.orphans += doom(metadata, keys.to_vec(), now).await?;
    }
    Ok(Some(compared))
}

async fn hold(metadata: &Metadata, held: Held, now: i64) -> Result<(), metadata::Error> {
    metadata
        .write((held, now), |tx, (Held { part, keys, orphans }, now)| {
            Box::pin(async move {
                tx.set_setting(HELD, Some(&format!("{part} {orphans} {keys}"))).await?;
                let payload = format!("{{\"orphans\":{orphans},\"keys\":{keys}}}");
                let event = Event::of_system("orphans_held", "gc", *now);
                tx.record(&Event { payload: &payload, ..event }).await
            })
        })
        .await
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
