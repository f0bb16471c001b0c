//! Bytes that are read again on a schedule: rot is found before somebody needs what it took.

use hallmark_oci::Digest;
use hallmark_storage::blobs::{self, Blobs};
use hallmark_storage::metadata::{self, Body, Event, Metadata, ToScrub};

/// How many blobs are claimed at a time.
const BATCH: u32 = 8;
/// When a blob that was claimed and not read comes up again, in milliseconds: whoever claimed it died, or the store was away.
const AGAIN: i64 = 60 * 60 * 1_000;

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
}

/// Reads blobs again whose time has come. Before each batch `goes_on` is asked.
///
/// # Errors
/// The database or the store did not answer; what was claimed comes up again.
pub async fn scrub(
    metadata: &Metadata,
    blobs: &Blobs,
    (now, schedule): (i64, Schedule),
    goes_on: impl Fn() -> bool,
) -> Result<Scrubbed, crate::Error> {
    let mut scrubbed = Scrubbed::default();
    let before = now.saturating_sub(schedule.interval);
    // Such that it is before `before` in an hour.
    let again = before.saturating_add(AGAIN);
    while goes_on() && scrubbed.bytes < schedule.bytes {
        let claimed: Vec<ToScrub> = metadata
            .write((before, again), |tx, (before, again)| {
                Box::pin(async move { tx.claim_to_scrub(*before, *again, BATCH).await })
            })
            .await
            .map_err(|error: metadata::Error| error)?;
        if claimed.is_empty() {
            break;
        }
        for claim in claimed {
            scrubbed.blobs += 1;
            scrubbed.bytes += claim.blob.size;
            if settle(metadata, blobs, claim, now).await? == Found::Damaged {
                scrubbed.damaged += 1;
            }
        }
    }
    Ok(scrubbed)
}

async fn settle(metadata: &Metadata, blobs: &Blobs, claim: ToScrub, now: i64) -> Result<Found, crate::Error> {
    let found = look(blobs, &claim)
        .await
        .map_err(|source| crate::Error::Unread { digest: claim.digest.to_string(), source })?;
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
async fn look(store: &Blobs, ToScrub { blob, digest }: &ToScrub) -> Result<Found, blobs::Error> {
    match &blob.body {
        Some(Body::Whole(_)) => return Ok(Found::Whole),
        Some(Body::Damaged) => return Ok(Found::Damaged),
        None => {}
    }
    match store.hash(&blob.key, digest.algorithm()).await {
        Ok(Some((found, size))) if is_it((&found, size), (digest, blob.size)) => Ok(Found::Whole),
        Ok(Some(_)) => Ok(Found::Damaged),
        Ok(None) => store.check().await.map(|()| Found::Damaged),
        Err(error) if error.is_damaged() => store.check().await.map(|()| Found::Damaged),
        Err(error) => Err(error),
    }
}

fn is_it(found: (&Digest, u64), stated: (&Digest, u64)) -> bool {
    found == stated
}
