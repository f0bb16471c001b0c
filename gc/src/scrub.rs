//! Bytes that are read again on a schedule: rot is found before somebody needs what it took.

use hallmark_storage::blobs::{self, Blobs, Hashed};
use hallmark_storage::metadata::{self, Body, Event, Metadata, ToScrub};

/// How many blobs are claimed at a time.
const BATCH: u32 = 8;
/// When a blob that was claimed and not read comes up again, in milliseconds: whoever claimed it died, or the store was away.
const AGAIN: i64 = 60 * 60 * 1_000;

/// After so many that cannot be read in a row the store is taken to be down.
const IN_A_ROW: u32 = 10;

/// How bytes are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long whole bytes are believed to be whole, in milliseconds.
    pub interval: i64,
    /// The most bytes that one run reads; the blob that passes it is read to its end.
    pub bytes: u64,
}

/// What a run of reading again found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were quarantined: from then on they count as absent, so that clients push them again, which heals them.
    pub damaged: u64,
}

/// What reading a blob again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Whole,
    Damaged,
    Stopped,
}

/// Reads blobs again whose time has come. Before each, and while one is read, `goes_on` is asked. One that cannot be read comes up
/// again in an hour and holds up no other.
///
/// # Errors
/// The database did not answer, or [`crate::Error::Unread`]: with what was found of the others.
pub async fn scrub(
    metadata: &Metadata,
    blobs: &Blobs,
    (now, schedule): (i64, Schedule),
    goes_on: impl Fn() -> bool,
) -> Result<Scrubbed, crate::Error> {
    if crate::ownership::is_another_store(metadata, blobs).await? {
        return Err(crate::Error::Foreign);
    }
    let (mut scrubbed, mut unread, mut in_a_row, mut first) = (Scrubbed::default(), 0, 0, None);
    let before = now.saturating_sub(schedule.interval);
    // Such that it is before `before` in an hour.
    let again = before.saturating_add(AGAIN);
    while goes_on() && scrubbed.bytes < schedule.bytes && in_a_row < IN_A_ROW {
        let claimed: Result<Vec<ToScrub>, metadata::Error> = metadata
            .write((before, again), |tx, (before, again)| {
                Box::pin(async move { tx.claim_to_scrub(*before, *again, BATCH).await })
            })
            .await;
        let claimed = claimed?;
        if claimed.is_empty() {
            break;
        }
        for claim in claimed {
            if !goes_on() {
                break;
            }
            let size = claim.blob.size;
            let damaged = match settle(metadata, blobs, (claim, now), &goes_on).await {
                Ok(Found::Stopped) => break,
                Ok(found) => found == Found::Damaged,
                Err(unreadable @ crate::Error::Unread { .. }) => {
                    (unread, in_a_row) = (unread + 1, in_a_row + 1);
                    first.get_or_insert(unreadable);
                    continue;
                }
                Err(error) => return Err(error),
            };
            in_a_row = 0;
            scrubbed.blobs += 1;
            scrubbed.bytes += size;
            scrubbed.damaged += u64::from(damaged);
        }
    }
    match first {
        None => Ok(scrubbed),
        Some(first) => Err(crate::Error::Unreadable { unread, scrubbed, first: Box::new(first) }),
    }
}

async fn settle(
    metadata: &Metadata,
    blobs: &Blobs,
    (claim, now): (ToScrub, i64),
    goes_on: impl Fn() -> bool,
) -> Result<Found, crate::Error> {
    let found = look(blobs, &claim, goes_on)
        .await
        .map_err(|source| crate::Error::Unread { digest: claim.digest.to_string(), source })?;
    if found == Found::Stopped {
        return Ok(found);
    }
    let quarantined: Result<bool, metadata::Error> = metadata
        .write((claim, found, now), |tx, (ToScrub { blob, digest }, found, now)| {
            Box::pin(async move {
                if *found == Found::Whole {
                    return tx.scrubbed(blob, *now).await.map(|()| false);
                }
                // Only the key that was read is marked: what was healed or collected meanwhile is another one.
                if !tx.quarantine(blob, digest, *now).await? {
                    return Ok(false);
                }
                let payload = format!("{{\"key\":\"{}\",\"by\":\"scrub\"}}", blob.key);
                let event = Event::of_system("blob_quarantined", digest.as_str(), *now);
                tx.record(&Event { payload: &payload, ..event }).await?;
                Ok(true)
            })
        })
        .await;
    Ok(if quarantined? { Found::Damaged } else { Found::Whole })
}

/// Whether the bytes are what they were. A store that does not answer has lost nothing.
async fn look(
    store: &Blobs,
    ToScrub { blob, digest }: &ToScrub,
    goes_on: impl Fn() -> bool,
) -> Result<Found, blobs::Error> {
    match &blob.body {
        Some(Body::Whole(_)) => return Ok(Found::Whole),
        Some(Body::Damaged) => return Ok(Found::Damaged),
        None => {}
    }
    match store.hash_while(&blob.key, digest.algorithm(), goes_on).await {
        Ok(Hashed::Stopped) => Ok(Found::Stopped),
        Ok(Hashed::Found(found, size)) if (&found, size) == (digest, blob.size) => Ok(Found::Whole),
        Ok(Hashed::Found(..)) => Ok(Found::Damaged),
        Ok(Hashed::Absent) => store.check().await.map(|()| Found::Damaged),
        Err(error) if error.is_damaged() => store.check().await.map(|()| Found::Damaged),
        Err(error) => Err(error),
    }
}
