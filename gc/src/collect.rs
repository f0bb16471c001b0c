//! Candidates: each is looked at and, when nothing keeps it, taken away, in one short transaction. Nothing walks the store:
//! what may have become unneeded was written down by whoever let go of it.

use futures_util::future::join_all;
use hallmark_storage::metadata::{self, Candidate, DueTrash, Item, Metadata, Purge};

use crate::Error;
use crate::mark::{self, Decision};
use crate::pace::paced;

/// How many candidates are claimed at a time. A push waits for the change that claims them.
const BATCH: u32 = 32;
/// How many of them are looked at at once: on the embedded database they share one COMMIT, with whatever push comes meanwhile.
const AT_ONCE: usize = 16;
/// After so many failures in a row the database is taken to be down.
const IN_A_ROW: u32 = 10;

/// What a run of the collector took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Candidates looked at.
    pub looked: u64,
    /// Manifests that went to the trash.
    pub manifests: u64,
    /// Blobs that repositories let go of.
    pub links: u64,
    /// Blobs that accounts let go of.
    pub accounts: u64,
    /// Blobs that the store let go of.
    pub blobs: u64,
    /// Their size in bytes; these become free when their keys are deleted.
    pub bytes: u64,
    /// Manifests whose window in the trash was over.
    pub purged: u64,
}

impl Collected {
    fn count(&mut self, item: Item, freed: u64) {
        match item {
            Item::Manifest => self.manifests += 1,
            Item::Link => self.links += 1,
            Item::Account => self.accounts += 1,
            Item::Blob => self.blobs += 1,
        }
        self.bytes += freed;
    }
}

/// Looks at what is due, at most `most` candidates, and ends the windows that are over. Before each batch `goes_on` is asked. What
/// fails holds up nothing else: its claim ends by itself, and then it comes up again.
pub(super) async fn collect(
    metadata: &Metadata,
    now: i64,
    most: u64,
    goes_on: impl Fn() -> bool,
) -> Result<Collected, Error> {
    let (mut collected, mut failures) = (Collected::default(), Failures::default());
    let (purged, due) = end_windows(metadata, now, (most, &mut failures), &goes_on).await?;
    collected.purged = purged;
    failures.in_a_row = 0;
    while goes_on() && collected.looked < most && failures.in_a_row < IN_A_ROW {
        let claimed =
            metadata.write(now, |tx, now| Box::pin(async move { tx.claim_candidates(*now, BATCH).await })).await?;
        for some in claimed.chunks(AT_ONCE) {
            let looks = join_all(some.iter().map(|candidate| review(metadata, *candidate, now)));
            let looks = paced(metadata, looks).await;
            for (candidate, look) in some.iter().zip(looks) {
                collected.looked += 1;
                if let Some(Some(freed)) = failures.note(look) {
                    collected.count(candidate.item, freed);
                }
            }
        }
        if claimed.is_empty() {
            break;
        }
    }
    match failures.first {
        None => Ok(collected),
        Some(first) => Err(Error::Unseen { failed: failures.all, looked: collected.looked + due, first }),
    }
}

/// Ends the windows that are over, at most `most`: how many ended, and how many came up.
async fn end_windows(
    metadata: &Metadata,
    now: i64,
    (most, failures): (u64, &mut Failures),
    goes_on: impl Fn() -> bool,
) -> Result<(u64, u64), metadata::Error> {
    let (mut ended, mut due) = (0, 0);
    while goes_on() && due < most && failures.in_a_row < IN_A_ROW {
        let claimed = metadata.write(now, |tx, now| Box::pin(async move { tx.claim_trash(*now, BATCH).await })).await?;
        if claimed.is_empty() {
            break;
        }
        for claim in claimed {
            due += 1;
            let mut purged = failures.note(paced(metadata, purge(metadata, claim, now)).await);
            while purged == Some(Purge::Begun) && goes_on() {
                purged = failures.note(paced(metadata, purge(metadata, claim, now)).await);
            }
            ended += u64::from(purged == Some(Purge::Ended));
        }
    }
    Ok((ended, due))
}

/// Candidates that could not be looked at. Their claims end by themselves, and then they are looked at again: they hold up no
/// others.
#[derive(Default)]
struct Failures {
    all: u64,
    in_a_row: u32,
    first: Option<metadata::Error>,
}

impl Failures {
    fn note<T>(&mut self, look: Result<T, metadata::Error>) -> Option<T> {
        match look {
            Ok(seen) => {
                self.in_a_row = 0;
                Some(seen)
            }
            Err(error) => {
                self.all += 1;
                self.in_a_row += 1;
                self.first.get_or_insert(error);
                None
            }
        }
    }
}

/// What a run would take away now, of the first candidates that are due; nothing changes. What that would make unneeded in turn
/// is not followed, but the bytes that would become free are counted.
///
/// # Errors
/// The database did not answer.
pub async fn preview(metadata: &Metadata, now: i64, most: u32) -> Result<Collected, metadata::Error> {
    let mut collected = Collected::default();
    for candidate in metadata.due_candidates(now, most).await? {
        let taken: Option<u64> = metadata
            .write((candidate, now), |tx, (candidate, now)| {
                Box::pin(async move {
                    let (looked, graces) = (tx.look_at(candidate).await?, tx.graces());
                    match mark::decide(&looked, *now, &graces) {
                        Decision::Take => tx.bytes_of(candidate).await.map(Some),
                        Decision::Leave | Decision::Keep | Decision::Later(_) => Ok::<_, metadata::Error>(None),
                    }
                })
            })
            .await?;
        collected.looked += 1;
        if let Some(freed) = taken {
            collected.count(candidate.item, freed);
        }
    }
    Ok(collected)
}

async fn purge(metadata: &Metadata, due: DueTrash, now: i64) -> Result<Purge, metadata::Error> {
    metadata.write((due, now), |tx, (due, now)| Box::pin(async move { tx.purge(due, *now).await })).await
}

/// Looks at one candidate; the bytes that its going freed, or `None` when it stays.
async fn review(metadata: &Metadata, candidate: Candidate, now: i64) -> Result<Option<u64>, metadata::Error> {
    metadata
        .write((candidate, now), |tx, (candidate, now)| {
            Box::pin(async move {
                let (looked, graces) = (tx.look_at(candidate).await?, tx.graces());
                match mark::decide(&looked, *now, &graces) {
                    Decision::Leave => {}
                    Decision::Keep => tx.settle(candidate).await?,
                    Decision::Later(due_at) => tx.postpone(candidate, due_at).await?,
                    Decision::Take => return tx.collect(candidate, *now).await.map(Some),
                }
                Ok(None)
            })
        })
        .await
}
