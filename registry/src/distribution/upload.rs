//! An upload from its opening to a blob in the repository.

use hallmark_oci::{
    Algorithm, AppendUpload, BeginUpload, CancelUpload, Digest, FinishUpload, RepositoryName, UploadId, UploadStatus,
};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{self, Sealed, UploadState};
use hallmark_storage::metadata::{
    self, ErrorKind, Finish, Limits, NewUpload, OPEN_UPLOADS, PrincipalId, RepositoryId, Tx,
};

use super::occasion::Nowhere;
use super::quota::{self, Allowance, Exceeded, NoPassage, Short, Wish};
use super::receive::{self, Chunk, Received, Receiver, SILENCE, Session, expiry, or_release};
use super::{Occasion, mount, small};
use crate::access::{Granted, Ground, Lapsed, Standing};
use crate::app::App;
use crate::http::body::{BodyError, Incoming};

/// The fence of an upload whose opener keeps the lease.
const FIRST_FENCE: i64 = 1;
/// How often an upload is made a blob that meets a limit which was not there a moment ago.
const TRIES: usize = 3;

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// No account owns the first component of the name.
    #[error("there is no account {0:?} to hold this repository; the first part of its name must be an account's name")]
    AccountUnknown(String),
    /// There is no such repository, and a push may not make it.
    #[error(
        "there is no repository {0}, and in this organization a push makes none; ask an owner to create it, or to switch \
         create-on-push on"
    )]
    MayNotCreate(RepositoryName),
    /// The name was released lately, and it is not the pusher's to take again.
    #[error(
        "there was a repository {0} until lately, and its name is kept from others for a while; whoever administers it may \
         make it again"
    )]
    NameRests(RepositoryName),
    /// The user has as many uploads open as one may have.
    #[error("you have {OPEN_UPLOADS} uploads open; finish or cancel some, or wait until they expire")]
    TooMany,
    /// A hard limit leaves no room.
    #[error(transparent)]
    Exceeded(Box<Exceeded>),
    /// It would charge more than was reserved for it.
    #[error("more room is needed than was reserved")]
    Short(Short),
    /// What it needs room for kept changing.
    #[error("what this needs room for kept changing; try again")]
    Unsettled,
    /// The grant does not hold any more.
    #[error(transparent)]
    Lapsed(#[from] Box<Lapsed>),
    /// The upload is not one of this user in this repository, or it ended.
    #[error("there is no such upload; begin a new one")]
    Unknown,
    /// The bytes do not continue where the upload stands, at `received` bytes.
    #[error("the upload stands at {received} bytes; go on from there")]
    OutOfOrder {
        /// The bytes that are durable.
        received: u64,
    },
    /// Another request is writing to the upload, which stands at `received` bytes.
    #[error("another request is sending to this upload, which stands at {received} bytes")]
    Busy {
        /// The bytes that are durable.
        received: u64,
    },
    /// The body is longer or shorter than `Content-Range` says.
    #[error("the body has another length than its Content-Range")]
    LengthDiffers,
    /// The content is not what the digest says; the upload is gone.
    #[error("the content has the digest {actual}, not the one that was asked for; the upload was given up")]
    DigestDiffers {
        /// What was received.
        actual: Digest,
    },
    /// Another request took the upload over after a silence.
    #[error("another request took this upload over; ask for its status")]
    Overtaken,
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The store did not take the bytes.
    #[error("the blob store did not answer")]
    Blobs(#[source] blobs::Error),
}

impl From<blobs::Error> for UploadError {
    fn from(error: blobs::Error) -> Self {
        if error.is_overtaken() { Self::Overtaken } else { Self::Blobs(error) }
    }
}

impl From<Short> for UploadError {
    fn from(short: Short) -> Self {
        Self::Short(short)
    }
}

impl UploadError {
    /// What it means to a request that it got no room.
    pub(super) fn barred(barred: NoPassage, standing: &Standing<'_>) -> Self {
        match barred {
            NoPassage::Exceeded(exceeded) => Self::Exceeded(exceeded),
            NoPassage::TooMany => Self::TooMany,
            NoPassage::Unsettled => Self::Unsettled,
            NoPassage::Nowhere(nowhere) => Self::of(nowhere, standing),
        }
    }

    /// What it means to a request that it has nowhere to go.
    pub(super) fn of(nowhere: Nowhere, standing: &Standing<'_>) -> Self {
        match nowhere {
            Nowhere::AccountUnknown(name) => Self::AccountUnknown(name),
            Nowhere::MayNotCreate(name) => Self::MayNotCreate(name),
            Nowhere::NameRests(name) => Self::NameRests(name),
            Nowhere::Foreign => Self::Lapsed(standing.lacking()),
            Nowhere::Failed(error) => Self::Metadata(error),
        }
    }
}

/// What opening an upload came to.
#[derive(Debug)]
pub(super) enum Begun {
    /// The blob is in the repository already: mounted, or sent whole with the request.
    Stored(Digest),
    /// An upload is open.
    Open(UploadId),
}

/// Mounts a blob, takes one whole, or opens an upload.
pub(super) async fn begin(
    app: &App,
    granted: &Granted<BeginUpload>,
    actor: PrincipalId,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Begun, UploadError> {
    if let Some(digest) = mount::mount(app, granted, actor, standing, &occasion).await? {
        return Ok(Begun::Stored(digest));
    }
    let BeginUpload { repository: name, digest, algorithm, .. } = granted.operation();
    let chunk = Chunk { start: None, length: body.announced() };
    if let Some(digest) = digest
        && let Some(bytes) = small::read(&chunk, digest, body, standing).await?
    {
        let stored = small::begin(app, granted, actor, (digest, bytes), &occasion).await;
        return stored.map(|()| Begun::Stored(digest.clone())).map_err(|barred| UploadError::barred(barred, standing));
    }
    let algorithm = digest.as_ref().map(Digest::algorithm).or(*algorithm).unwrap_or(Algorithm::Sha256);
    let id = UploadId::from_bytes(app.random.bytes());
    let state = UploadState::new(StorageKey::from_bytes(app.random.bytes()), algorithm);
    let opening = Opening {
        name: name.clone(),
        actor,
        ground: granted.ground(),
        id: id.clone(),
        key: state.key.clone(),
        hash_state: state.hasher_state.clone(),
        leased_until: if digest.is_some() { occasion.now + SILENCE } else { 0 },
        expires_at: occasion.now + expiry(app),
        occasion: occasion.clone(),
    };
    let opened = app.metadata.write(opening, |tx, opening| Box::pin(open(tx, opening))).await;
    let (repository, limits) = match opened {
        Ok(opened) => opened,
        Err(NotOpened::TooMany) => return Err(UploadError::TooMany),
        Err(NotOpened::Nowhere(nowhere)) => return Err(UploadError::of(nowhere, standing)),
    };
    let Some(digest) = digest else { return Ok(Begun::Open(id)) };
    let _open = app.metrics.receiving();
    let session = Session { name: name.clone(), upload: id.clone(), repository, principal: actor };
    let held = (FIRST_FENCE, Allowance { limits, ..Allowance::default() });
    let stored = async {
        let receiver = Receiver::begin(app, standing, session.clone(), held, state).await?;
        let received = receiver.finish(&chunk, body).await?;
        settle(app, session.clone(), received, digest, occasion.clone()).await
    };
    match stored.await {
        Ok(digest) => Ok(Begun::Stored(digest)),
        Err(error) => {
            // Nobody was told of this upload, so nobody can go on with it.
            give_up(app, &session, FIRST_FENCE, &occasion).await;
            Err(error)
        }
    }
}

/// How many bytes of an upload are durable.
pub(super) async fn status(app: &App, granted: &Granted<UploadStatus>, actor: PrincipalId) -> Result<u64, UploadError> {
    let repository = granted.repository().ok_or(UploadError::Unknown)?.id;
    let upload = app.metadata.upload(&granted.operation().upload, repository, actor).await?;
    Ok(upload.ok_or(UploadError::Unknown)?.received)
}

/// Adds a chunk to an upload; how many bytes are durable then.
pub(super) async fn append(
    app: &App,
    granted: &Granted<AppendUpload>,
    actor: PrincipalId,
    chunk: Chunk,
    body: &mut Incoming,
    standing: &Standing<'_>,
) -> Result<u64, UploadError> {
    let repository = granted.repository().ok_or(UploadError::Unknown)?.id;
    let AppendUpload { repository: name, upload } = granted.operation();
    let session = Session { name: name.clone(), upload: upload.clone(), repository, principal: actor };
    let _open = app.metrics.receiving();
    Receiver::take(app, standing, session, &chunk).await?.append(&chunk, body).await
}

/// Adds the last chunk, if any, and makes the upload a blob of the repository.
pub(super) async fn finish(
    app: &App,
    granted: &Granted<FinishUpload>,
    actor: PrincipalId,
    chunk: Chunk,
    body: &mut Incoming,
    standing: &Standing<'_>,
    occasion: Occasion,
) -> Result<Digest, UploadError> {
    let FinishUpload { repository: name, upload, digest } = granted.operation();
    let repository = granted.repository().ok_or(UploadError::Unknown)?.id;
    let session = Session { name: name.clone(), upload: upload.clone(), repository, principal: actor };
    let _open = app.metrics.receiving();
    if let Some(bytes) = small::read(&chunk, digest, body, standing).await? {
        match small::finish(app, &session, (digest, bytes.clone()), &occasion).await {
            Ok(true) => return Ok(digest.clone()),
            Ok(false) => body.put_back(bytes),
            Err(error) => return read_back(app, &session, digest, error).await,
        }
    }
    let received = Receiver::take(app, standing, session.clone(), &chunk).await?.finish(&chunk, body).await?;
    settle(app, session, received, digest, occasion).await
}

/// Gives an upload up; its bytes are deleted later.
pub(super) async fn cancel(
    app: &App,
    granted: &Granted<CancelUpload>,
    actor: PrincipalId,
    occasion: &Occasion,
) -> Result<(), UploadError> {
    let repository = granted.repository().ok_or(UploadError::Unknown)?.id;
    let CancelUpload { repository: name, upload } = granted.operation();
    let session = Session { name: name.clone(), upload: upload.clone(), repository, principal: actor };
    if discard(app, &session, None, occasion.now).await? { Ok(()) } else { Err(UploadError::Unknown) }
}

/// Everything the opening transaction needs; it may run more than once.
struct Opening {
    name: RepositoryName,
    actor: PrincipalId,
    ground: Ground,
    id: UploadId,
    key: StorageKey,
    hash_state: Vec<u8>,
    leased_until: i64,
    expires_at: i64,
    occasion: Occasion,
}

/// Why the opening transaction opened nothing.
enum NotOpened {
    Nowhere(Nowhere),
    TooMany,
}

impl From<Nowhere> for NotOpened {
    fn from(nowhere: Nowhere) -> Self {
        Self::Nowhere(nowhere)
    }
}

impl From<metadata::Error> for NotOpened {
    fn from(error: metadata::Error) -> Self {
        Self::Nowhere(error.into())
    }
}

/// The row is committed before the first byte is written, so that no byte is ever without an owner.
async fn open(tx: &mut Tx, opening: &Opening) -> Result<(RepositoryId, Limits), NotOpened> {
    let Opening { name, actor, ground, occasion, .. } = opening;
    let repository = occasion.repository(tx, name, *actor, ground).await?;
    let new = NewUpload {
        id: &opening.id,
        repository: repository.id,
        principal: *actor,
        key: &opening.key,
        hash_state: &opening.hash_state,
        leased_until: opening.leased_until,
        expires_at: opening.expires_at,
    };
    let limits = tx.limits(repository.id);
    if tx.begin_upload(&new).await? { Ok((repository.id, limits)) } else { Err(NotOpened::TooMany) }
}

/// Everything the finishing transaction needs; it may run more than once.
#[derive(Clone)]
struct Settling {
    session: Session,
    received: Received,
    digest: Digest,
    expires_at: i64,
    occasion: Occasion,
}

/// Compares the digest and makes the bytes a blob of the repository, in one transaction (I1, I2, I5).
async fn settle(
    app: &App,
    session: Session,
    received: Received,
    digest: &Digest,
    occasion: Occasion,
) -> Result<Digest, UploadError> {
    let fence = received.fence;
    let linked = async {
        let actual = actual_digest(app, &received.sealed, digest.algorithm()).await?;
        if actual != *digest {
            give_up(app, &session, fence, &occasion).await;
            return Err(UploadError::DigestDiffers { actual });
        }
        let expires_at = occasion.now + expiry(app);
        let settling = Settling { session: session.clone(), received, digest: actual.clone(), expires_at, occasion };
        link_with_room(app, settling).await?;
        Ok(actual)
    };
    match or_release(app, &session, fence, linked).await {
        Err(error) => read_back(app, &session, digest, error).await,
        outcome => outcome,
    }
}

/// What a failure to make an upload a blob means: none at all when only the answer of its COMMIT was lost.
async fn read_back(app: &App, session: &Session, digest: &Digest, error: UploadError) -> Result<Digest, UploadError> {
    match error {
        UploadError::Metadata(error)
            if error.kind() == ErrorKind::CommitUnknown && has_settled(app, session, digest).await =>
        {
            Ok(digest.clone())
        }
        error => Err(error),
    }
}

/// Whether an upload whose last COMMIT was never answered has become a blob all the same: it is gone, and its repository
/// holds the blob. The upload's row is waited for, so by then that COMMIT has happened or never will.
async fn has_settled(app: &App, session: &Session, digest: &Digest) -> bool {
    let read = async {
        let open = app.metadata.write(session.clone(), |tx, session| {
            Box::pin(tx.is_upload_open(&session.upload, session.repository, session.principal))
        });
        Ok::<_, metadata::Error>(!open.await? && app.metadata.blob(session.repository, digest).await?.is_some())
    };
    read.await.unwrap_or_else(|error| {
        tracing::warn!(%error, upload = session.upload.as_str(), "a commit of unknown outcome cannot be read back");
        false
    })
}

/// Makes the bytes a blob. A limit that was set while they came is met here: then room is reserved now.
async fn link_with_room(app: &App, mut settling: Settling) -> Result<(), UploadError> {
    let (session, fence, size) = (settling.session.clone(), settling.received.fence, settling.received.sealed.size);
    for _ in 0..TRIES {
        let linked = app.metadata.write(settling.clone(), |tx, settling| Box::pin(link(tx, settling))).await;
        let Err(UploadError::Short(short)) = linked else { return linked };
        let allowance = &mut settling.received.allowance;
        *allowance = allowance.under(&short);
        quota::reserve(app, (&session, fence), allowance, Wish::Announced(size)).await?;
    }
    Err(UploadError::Unsettled)
}

async fn link(tx: &mut Tx, settling: &Settling) -> Result<(), UploadError> {
    let Settling { session, received, digest, occasion, .. } = settling;
    let Received { sealed, fence, committed, allowance } = received;
    let repository = tx.repository(&session.name).await?.filter(|repository| repository.id == session.repository);
    let repository = repository.ok_or(UploadError::Unknown)?;
    let owned = sealed.key == committed.key || Some(&sealed.key) == committed.tail_key.as_ref();
    if !owned {
        // The blob lies under the spare key: it becomes the upload's before the upload becomes a blob.
        let state = UploadState { tail_key: Some(sealed.key.clone()), ..committed.clone() };
        let upload = (&session.upload, *fence);
        if !receive::checkpoint(tx, upload, &state, 0, settling.expires_at, occasion.now).await? {
            return Err(UploadError::Overtaken);
        }
    }
    let finish = Finish {
        repository: &repository,
        upload: &session.upload,
        fence: *fence,
        digest,
        size: sealed.size,
        key: &sealed.key,
        now: occasion.now,
    };
    tx.finish_upload(&finish).await?.ok_or(UploadError::Overtaken)?;
    quota::cover(tx, repository.id, allowance.reserved)?;
    tx.record(&occasion.event("blob_pushed", session.principal, &repository, digest.as_str(), "")).await?;
    Ok(())
}

/// The digest under the algorithm that was asked for; when the upload was hashed with another one, its bytes are read again.
async fn actual_digest(app: &App, sealed: &Sealed, algorithm: Algorithm) -> Result<Digest, UploadError> {
    if sealed.digest.algorithm() == algorithm {
        return Ok(sealed.digest.clone());
    }
    let hashed = app.blobs.hash(&sealed.key, algorithm).await?;
    hashed.map(|(digest, _)| digest).ok_or(UploadError::Overtaken)
}

async fn discard(app: &App, session: &Session, fence: Option<i64>, now: i64) -> Result<bool, metadata::Error> {
    app.metadata
        .write((session.clone(), fence, now), |tx, (session, fence, now)| {
            Box::pin(async move {
                let upload = (&session.upload, session.repository, session.principal);
                tx.cancel_upload(upload, *fence, *now).await
            })
        })
        .await
}

/// Gives an upload up after a failure that the client hears of, unless another request has taken it over; if that fails
/// too, the upload expires by itself.
async fn give_up(app: &App, session: &Session, fence: i64, occasion: &Occasion) {
    if let Err(error) = discard(app, session, Some(fence), occasion.now).await {
        tracing::warn!(%error, upload = session.upload.as_str(), "an upload that failed waits for its expiry");
    }
}
