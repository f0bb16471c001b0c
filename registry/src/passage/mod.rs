//! Lives here: room under hard limits for a change that opens no upload of its own: reserved and committed, then looked at, and given
//! up by the change itself. Why no limit is passed so, the facts tell (`metadata/usage.rs` of the storage).
//! Never here: what a change is, who may make it, and the room that an upload's bytes take as they come (`distribution`).
//! Start reading at `Passage`.

mod http;

use hallmark_oci::UploadId;
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{self, AccountId, NewUpload, PrincipalId, RepositoryId, Room, Scope, Tx, Usage};

use crate::app::App;

pub(crate) use http::no_room;

/// How long a passage stands that nothing ends, in milliseconds: longer than the change that it is for.
const PASSAGE: i64 = 5 * 60 * 1_000;
/// The fence of an upload that nobody has leased.
pub(crate) const UNLEASED: i64 = 0;
/// How often a change is tried that needs more room than it needed a moment ago.
pub(crate) const TRIES: usize = 4;
/// What an account is called in a refusal.
pub(crate) const ACCOUNT: &str = "account";
/// What a repository is called in a refusal.
pub(crate) const REPOSITORY: &str = "repository";

/// A hard limit leaves no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the quota of the {kind} {name} is {limit} bytes{}; what is deleted counts until it has left the trash", why(*.in_use, *.requested))]
pub struct Exceeded {
    /// `account` or `repository`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The most bytes that it may hold.
    pub limit: u64,
    /// Those that it holds, and that other uploads have reserved in it; `None` for who may not read that by the API either.
    pub in_use: Option<Usage>,
    /// Those that there is no room for.
    pub requested: u64,
}

fn why(in_use: Option<Usage>, requested: u64) -> String {
    match in_use {
        Some(Usage { used, reserved }) => format!(
            ": {used} bytes are in use and {reserved} are reserved by other uploads, so that there is no room for {requested} bytes"
        ),
        None => format!(", and there is no room for {requested} bytes"),
    }
}

/// Why there is no room, as far as is known.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// There is none.
    Exceeded(Box<Exceeded>),
    /// The database failed.
    Failed(metadata::Error),
}

impl From<metadata::Error> for NoRoom {
    fn from(error: metadata::Error) -> Self {
        Self::Failed(error)
    }
}

/// Room for a change that opens no upload of its own: an upload to which nothing is sent, and that ends with the change.
#[derive(Debug, Clone)]
pub(crate) struct Passage {
    pub(crate) upload: UploadId,
    pub(crate) reserved: Room,
}

impl Passage {
    /// One that is not open yet, with the key of its upload, which owns no byte and never will.
    pub(crate) fn prepared(app: &App, reserved: Room) -> (Self, StorageKey) {
        let upload = UploadId::from_bytes(app.random.bytes());
        (Self { upload, reserved }, StorageKey::from_bytes(app.random.bytes()))
    }

    /// Opens it in a repository that the change holds, and reserves its room there and in an account; `false` when whoever asks has as
    /// many uploads open as one may have. A crash leaves it to expire like any upload that was given up.
    pub(crate) async fn open(
        &self,
        tx: &mut Tx,
        key: &StorageKey,
        (repository, account): (RepositoryId, AccountId),
        (principal, now): (PrincipalId, i64),
    ) -> Result<bool, metadata::Error> {
        let new = NewUpload {
            id: &self.upload,
            repository,
            principal,
            key,
            hash_state: &[],
            leased_until: 0,
            expires_at: now + PASSAGE,
        };
        if !tx.begin_upload(&new).await? {
            return Ok(false);
        }
        tx.reserve((&self.upload, UNLEASED), (repository, account), self.reserved).await?;
        Ok(true)
    }

    /// Gives it back when no change has ended it.
    pub(crate) async fn leave(&self, app: &App) {
        let upload = self.upload.clone();
        let left: Result<bool, metadata::Error> =
            app.metadata.write(upload, |tx, upload| Box::pin(async move { tx.end_passage(upload).await })).await;
        if let Err(error) = left {
            let upload = self.upload.as_str();
            tracing::warn!(%error, upload, "what was reserved for a change is given back when it expires");
        }
    }
}

/// How far one place is above its limit, when no more than what can be spared is.
pub(crate) async fn look_in(
    app: &App,
    (scope, kind, name): (Scope, &'static str, &str),
    limit: u64,
    (spare, own): (i64, i64),
    requested: u64,
) -> Result<i64, NoRoom> {
    let usage = app.metadata.usage(scope).await?;
    let over = signed(usage.used.saturating_add(usage.reserved).saturating_sub(limit));
    if over <= spare {
        return Ok(over);
    }
    let (name, reserved) = (name.to_owned(), usage.reserved.saturating_sub(own.max(0).unsigned_abs()));
    let in_use = Some(Usage { reserved, ..usage });
    Err(NoRoom::Exceeded(Box::new(Exceeded { kind, name, limit, in_use, requested })))
}

/// A number of bytes beside others, with which it never overflows.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
