//! What goes wrong with bytes: which operation, where, of what kind, and the source.

use std::io;

use object_store::Error as StoreError;

use crate::StorageKey;

/// The system's number for an input or output error.
const EIO: i32 = 5;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the byte store. It prints what was being done and where; the cause is its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {place}: {kind}")]
pub struct Error {
    action: &'static str,
    place: String,
    kind: Kind,
    source: Option<Source>,
}

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error("the store is full")]
    Full,
    #[error("the store is down, slow, or not writable")]
    Unavailable,
    #[error("another request has taken the upload over")]
    Overtaken,
    #[error("the upload cannot be continued; begin a new one")]
    Broken,
    #[error("the store does not hold what was stored there")]
    Damaged,
    #[error("the configuration does not fit")]
    Configuration,
    #[error("the request for this size is refused")]
    TooLarge,
    #[error("the store failed")]
    Failed,
}

impl Error {
    /// Whether the disk, quota or bucket is full. An upload stays at its last durable offset.
    pub fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// Whether the store is down, too slow, read-only or closed to us: the same request may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Whether a later request took this upload over; this one must stop and must commit nothing.
    pub fn is_overtaken(&self) -> bool {
        self.kind == Kind::Overtaken
    }

    /// Whether this upload can never be finished, because its parts are gone or were replaced: forget it.
    pub fn is_broken(&self) -> bool {
        self.kind == Kind::Broken
    }

    /// Whether bytes that were acknowledged are missing or too few: quarantine the blob (I1) and tell an operator.
    pub fn is_damaged(&self) -> bool {
        self.kind == Kind::Damaged
    }

    /// Whether a blob has grown beyond what the store or its part memory admits.
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// Bytes that a fact names are not there at all: what a caller makes of a read that found nothing.
    pub fn absent(key: &StorageKey) -> Self {
        Self::damaged("read", key, "nothing is stored there".to_owned())
    }

    /// Bytes that stand with the facts, and would otherwise lie under `key`, are not what they were.
    pub fn altered(key: &StorageKey) -> Self {
        Self::damaged("read", key, "the bytes that are kept with the facts have another length or digest".to_owned())
    }

    pub(super) fn io(action: &'static str, place: impl ToString, source: io::Error) -> Self {
        Self { action, place: place.to_string(), kind: Kind::of_io(&source), source: Some(source.into()) }
    }

    pub(super) fn store(action: &'static str, place: impl ToString, source: StoreError) -> Self {
        Self { action, place: place.to_string(), kind: Kind::of_store(&source), source: Some(source.into()) }
    }

    pub(super) fn overtaken(place: impl ToString) -> Self {
        Self::plain("append to", place, Kind::Overtaken)
    }

    pub(super) fn broken(action: &'static str, place: impl ToString, source: impl Into<Source>) -> Self {
        Self { action, place: place.to_string(), kind: Kind::Broken, source: Some(source.into()) }
    }

    pub(super) fn damaged(action: &'static str, place: impl ToString, what: String) -> Self {
        Self { action, place: place.to_string(), kind: Kind::Damaged, source: Some(what.into()) }
    }

    pub(super) fn configuration(place: impl ToString, source: impl Into<Source>) -> Self {
        Self { action: "open", place: place.to_string(), kind: Kind::Configuration, source: Some(source.into()) }
    }

    pub(super) fn unavailable(action: &'static str, place: impl ToString, what: &str) -> Self {
        Self { action, place: place.to_string(), kind: Kind::Unavailable, source: Some(what.into()) }
    }

    pub(super) fn too_large(place: impl ToString, what: String) -> Self {
        Self { action: "append to", place: place.to_string(), kind: Kind::TooLarge, source: Some(what.into()) }
    }

    /// A thread or task of the store ended without an answer: a panic, or the runtime is shutting down.
    pub(super) fn task(action: &'static str, place: impl ToString, source: impl Into<Source>) -> Self {
        Self { action, place: place.to_string(), kind: Kind::Failed, source: Some(source.into()) }
    }

    fn plain(action: &'static str, place: impl ToString, kind: Kind) -> Self {
        Self { action, place: place.to_string(), kind, source: None }
    }
}

impl Kind {
    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::StorageFull | Io::QuotaExceeded => Self::Full,
            Io::ReadOnlyFilesystem | Io::PermissionDenied | Io::TimedOut | Io::StaleNetworkFileHandle => {
                Self::Unavailable
            }
            // A disk that fails may answer again, perhaps another one: the client is told to come back.
            _ if error.raw_os_error() == Some(EIO) => Self::Unavailable,
            // Bytes that were there are not: a file shorter than what was acknowledged.
            Io::UnexpectedEof => Self::Damaged,
            _ => Self::Failed,
        }
    }

    /// object_store keeps the status and body of an answer in its text alone, so that is where the cause is looked for.
    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Self::Unavailable,
            _ if is_full(&chain(error)) => Self::Full,
            StoreError::Generic { .. } => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

/// Whether a store's own words say that it has no space left (HTTP 507, or the codes of common servers).
fn is_full(text: &str) -> bool {
    ["507 ", "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "No space left", "no space left"]
        .iter()
        .any(|word| text.contains(word))
}

/// Everything an error and its sources say.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
