//! Lives here: what may be deleted, and its deletion: uploads that were given up, what no image needs any more, keys that
//! nothing names.
//! Never here: HTTP, rights, and any decision that a foreign key could not undo.
//! Start reading at [`clean`]; what may go is decided in [`mark`].

mod collect;
pub mod mark;
mod orphans;
mod ownership;
mod pace;
pub mod pattern;
pub mod policy;
mod repositories;
pub mod retention;
mod scrub;
mod steady;
mod sweep;
mod uploads;
mod usage;

pub use collect::{Collected, preview};
pub use orphans::{Compared, Held, compare, compare_held, held_comparison};
pub use ownership::{adopt_store, is_another_store, owns_store};
pub use repositories::empty_deleted_repositories;
pub use scrub::{Schedule, Scrubbed, scrub};
pub use steady::{APART, believe_clock, trust_clock};
pub use usage::{count_usage, fold_usage};

use hallmark_storage::blobs::{self, Blobs};
use hallmark_storage::metadata::{self, Metadata};

/// What one run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches taken out of repositories that were deleted.
    pub batches: u64,
    /// Uploads without progress for longer than they may rest, now gone.
    pub uploads: u64,
    /// What images no longer need.
    pub collected: Collected,
    /// Storage keys whose bytes were deleted.
    pub keys: u64,
}

impl Report {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything went. What is looked at mostly stays.
    #[must_use]
    pub fn took_something(&self) -> bool {
        let collected = Collected { looked: 0, ..self.collected };
        Self { collected, ..*self } != Self::default()
    }
}

/// Why a run stopped; what it had done stays done, and the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The store did not delete.
    #[error("the blob store did not delete {key}")]
    Blobs {
        /// The key whose bytes are still there.
        key: String,
        /// What the store said.
        source: blobs::Error,
    },
    /// Some keys could not be deleted; they are tried again later, and all others that were due are gone.
    #[error("{failed} of the keys that were due could not be deleted, {swept} were")]
    Left {
        /// How many keys were left.
        failed: u64,
        /// How many were deleted.
        swept: u64,
        /// What the first of those that were left met.
        #[source]
        first: Box<Error>,
    },
    /// Some of what was due could not be looked at; it is tried again later.
    #[error("{failed} of the {looked} things that were due could not be looked at")]
    Unseen {
        /// How many were not.
        failed: u64,
        /// How many came up.
        looked: u64,
        /// What the first of them met.
        #[source]
        first: metadata::Error,
    },
    /// A blob could not be read again.
    #[error("the bytes of {digest} could not be read again")]
    Unread {
        /// Its digest.
        digest: String,
        /// What the store said.
        source: blobs::Error,
    },
    /// Some blobs could not be read again; they are tried again later.
    #[error("{unread} blobs could not be read again, {} were", .scrubbed.blobs)]
    Unreadable {
        /// How many could not.
        unread: u64,
        /// What was found of the others.
        scrubbed: Scrubbed,
        /// What the first of them met.
        #[source]
        first: Box<Error>,
    },
    /// A part of the store could not be listed.
    #[error("part {part} of the store could not be listed")]
    Unlisted {
        /// The first byte of its keys.
        part: u8,
        /// What the store said.
        source: blobs::Error,
    },
    /// The mark of the store could not be read or written.
    #[error("the mark of the store could not be read or written")]
    Unmarked {
        /// What the store said.
        source: blobs::Error,
    },
    /// The store bears the mark of another database: what this one knows nothing of may be the other's.
    #[error(
        "the store bears the mark of another database, or this one was set back: nothing in it is taken for left over. Where no \
         other database uses it, remove its object blobs/.mark and run `hallmark gc resume`"
    )]
    Foreign,
    /// The clock has jumped ahead of the time that the last run told.
    #[error(
        "the clock has jumped ahead of the time that the collector last told; nothing is deleted until it has gone on evenly for \
         a while, or until `hallmark gc resume` says that it is right"
    )]
    Ahead {
        /// When it will be believed, by itself, in milliseconds since the epoch.
        until: i64,
    },
    /// The clocks of this machine and of the database differ.
    #[error(
        "the clock of this machine is {seconds} s ahead of the database's (behind, if negative); nothing is deleted by it"
    )]
    Apart {
        /// How far.
        seconds: i64,
    },
    /// So many keys are named by nothing that an operator has to look first.
    #[error(
        "{} of the {} keys in part {} of the store are named by nothing, which is too many to be left over from crashes; nothing \
         was deleted, and `hallmark gc run --orphans` tells more", .0.orphans, .0.keys, .0.part
    )]
    Held(Held),
    /// A key that was to be deleted is in use. Nothing was deleted; this is a defect to be reported.
    #[error("the key {0} is to be deleted but something names it; its bytes were left alone")]
    Named(String),
}

/// The most candidates that one run looks at: it ends, and others get their turn.
const CANDIDATES: u64 = 50_000;

/// Empties deleted repositories, gives up abandoned uploads, collects what no image needs and deletes the bytes of keys that
/// are due; each of them also when the one before it failed. Costs what there is to delete.
///
/// Between two batches `goes_on` is asked; when it says no, the rest is left to the next run.
///
/// # Errors
/// [`Error`] names what stopped it, or what the first of the keys met that had to be left.
pub async fn clean(metadata: &Metadata, blobs: &Blobs, now: i64, goes_on: impl Fn() -> bool) -> Result<Report, Error> {
    let batches = empty_deleted_repositories(metadata, now, &goes_on).await;
    // What is deleted from a store is deleted from one's own. One that can bear no mark is taken for that.
    let own = match owns_store(metadata, blobs).await {
        Ok(true) | Err(Error::Unmarked { .. }) => Ok(()),
        Ok(false) => Err(Error::Foreign),
        Err(error) => Err(error),
    };
    let uploads = match &own {
        Ok(()) => uploads::expire(metadata, now, &goes_on).await,
        Err(_) => Ok(0),
    };
    let collected = collect::collect(metadata, now, CANDIDATES, &goes_on).await;
    own?;
    let keys = sweep::sweep(metadata, blobs, now, &goes_on).await;
    Ok(Report { batches: batches?, uploads: uploads?, collected: collected?, keys: keys? })
}
