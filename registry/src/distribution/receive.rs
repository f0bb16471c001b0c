//! The bytes of one request on their way into an upload, under a lease.
//!
//! The lease is a row with a fence: a writer that stays silent for [`SILENCE`] loses the upload to the next request that
//! comes at the durable offset, and whatever it commits later is refused, since its fence is not the row's any more.

use std::pin::pin;
use std::time::{Duration, Instant};

use hallmark_oci::{ChunkRange, RepositoryName, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Appender, Part, Sealed, UploadState};
use hallmark_storage::metadata::{self, Checkpoint, Lease, PrincipalId, RepositoryId, Tx, Upload, UploadPart};

use super::quota::{self, Allowance, Wish};
use super::upload::UploadError;
use crate::access::Standing;
use crate::app::App;
use crate::http::body::Incoming;

/// How long a writer may be silent before another request may take the upload from it, in milliseconds.
pub(super) const SILENCE: i64 = 10_000;
/// How often a writer that makes progress says so.
const RENEWAL: Duration = Duration::from_secs(4);
/// How long a tail key may be without an upload that names it before its bytes are deleted, in milliseconds.
const TAIL_GRACE: i64 = 24 * 60 * 60 * 1000;

/// What a request says about the bytes it brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Where they continue the upload, when the request says so.
    pub(super) start: Option<u64>,
    /// How many they are, when the request says so.
    pub(super) length: Option<u64>,
}

/// An upload, in its repository, of its principal.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) name: RepositoryName,
    pub(super) upload: UploadId,
    pub(super) repository: RepositoryId,
    pub(super) principal: PrincipalId,
}

/// A whole upload, ready to become a blob under the fence it was written with.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) sealed: Sealed,
    pub(super) fence: i64,
    /// The last state that was committed: it tells which keys the upload's row owns.
    pub(super) committed: UploadState,
    /// What it may come to hold.
    pub(super) allowance: Allowance,
}

/// One request's hold on an upload.
pub(super) struct Receiver<'a> {
    app: &'a App,
    standing: &'a Standing<'a>,
    session: Session,
    fence: i64,
    appender: Appender,
    committed: UploadState,
    spare: StorageKey,
    renewed: Instant,
    allowance: Allowance,
}

impl Chunk {
    /// What `Content-Range` and the announced length of a body say together.
    ///
    /// # Errors
    /// [`UploadError::LengthDiffers`] when they contradict each other. Some clients send the range of a whole upload with
    /// an empty last request: of that only the start counts.
    pub(super) fn new(range: ChunkRange, announced: Option<u64>) -> Result<Self, UploadError> {
        let length = match announced {
            Some(0) => 0,
            Some(length) if length != range.len() => return Err(UploadError::LengthDiffers),
            _ => range.len(),
        };
        Ok(Self { start: Some(range.start), length: Some(length) })
    }
}

impl<'a> Receiver<'a> {
    /// Takes the lease of an upload and goes on where it stands, or where `chunk` says it should.
    ///
    /// # Errors
    /// [`UploadError::OutOfOrder`] and [`UploadError::Busy`] with the offset, [`UploadError::Unknown`], and the stores'.
    pub(super) async fn take(
        app: &'a App,
        standing: &'a Standing<'a>,
        session: Session,
        chunk: &Chunk,
    ) -> Result<Self, UploadError> {
        let wish = (session.clone(), chunk.start, app.clock.clone(), expiry(app));
        let (lease, now) = app
            .metadata
            .write(wish, |tx, (session, start, clock, expiry)| {
                Box::pin(async move {
                    // Now, and not when the change was queued: behind many others a lease would begin half spent.
                    let (upload, now) = ((&session.upload, session.repository, session.principal), clock.now());
                    let ends = (now + SILENCE, now + expiry);
                    Ok::<_, metadata::Error>((tx.lease_upload(upload, *start, now, ends).await?, now))
                })
            })
            .await?;
        let upload = match lease {
            Lease::Leased(upload) => *upload,
            Lease::NotAtOffset { received, leased_until } if leased_until > now => {
                return Err(UploadError::Busy { received });
            }
            Lease::NotAtOffset { received, .. } => return Err(UploadError::OutOfOrder { received }),
            Lease::Unknown => return Err(UploadError::Unknown),
        };
        let (fence, leased_until) = (upload.fence, upload.leased_until);
        let allowance = Allowance { limits: upload.limits, reserved: upload.reserved };
        let begun = async {
            let held = (fence, allowance);
            let mut receiver = Self::begin(app, standing, session.clone(), held, state(upload)).await?;
            if app.clock.now() >= leased_until {
                // Whoever leased the upload since has a ticket to its file that is newer than ours, or no longer needs one:
                // then the row tells, before the first byte is written.
                receiver.commit(receiver.committed.clone()).await?;
            }
            Ok(receiver)
        };
        or_release(app, &session, fence, begun).await
    }

    /// Holds an upload whose lease was taken when it was opened.
    pub(super) async fn begin(
        app: &'a App,
        standing: &'a Standing<'a>,
        session: Session,
        (fence, allowance): (i64, Allowance),
        state: UploadState,
    ) -> Result<Self, UploadError> {
        let appender = app.blobs.append(state.clone(), fence).await?;
        let spare = StorageKey::from_bytes(app.random.bytes());
        let renewed = Instant::now();
        Ok(Self { app, standing, session, fence, appender, committed: state, spare, renewed, allowance })
    }

    /// Takes the body into the upload and leaves it open; how many bytes are durable now.
    ///
    /// # Errors
    /// [`UploadError`]; whatever was durable by then is committed, and the lease is given back.
    pub(super) async fn append(mut self, chunk: &Chunk, body: &mut Incoming) -> Result<u64, UploadError> {
        if let Err(error) = self.pour(chunk, body).await {
            return Err(self.give_up(error).await);
        }
        let (app, session, fence) = (self.app, self.session.clone(), self.fence);
        let kept = async {
            self.reserve().await?;
            let state = self.appender.checkpoint(&self.spare).await?;
            let received = state.received;
            quota::give_back(app, (&session, fence), &mut self.allowance, received).await;
            commit(app, &session, fence, state, 0).await?;
            Ok(received)
        };
        or_release(app, &session, fence, kept).await
    }

    /// Takes the rest of the upload and makes it whole.
    ///
    /// # Errors
    /// [`UploadError`]; whatever was durable by then is committed, and the lease is given back.
    pub(super) async fn finish(mut self, chunk: &Chunk, body: &mut Incoming) -> Result<Received, UploadError> {
        if let Err(error) = self.pour(chunk, body).await {
            return Err(self.give_up(error).await);
        }
        let (app, session, fence) = (self.app, self.session.clone(), self.fence);
        let sealed = async {
            self.reserve().await?;
            let sealed = self.appender.seal(&self.spare).await?;
            Ok(Received { sealed, fence, committed: self.committed, allowance: self.allowance })
        };
        or_release(app, &session, fence, sealed).await
    }

    /// Moves the body into the appender, and commits what becomes durable on the way.
    async fn pour(&mut self, chunk: &Chunk, body: &mut Incoming) -> Result<(), UploadError> {
        let start = self.appender.received();
        let standing = self.standing;
        let mut readonly = pin!(standing.readonly());
        let announced = start.saturating_add(chunk.length.unwrap_or_default());
        self.make_room(Wish::Announced(announced)).await?;
        loop {
            let next = tokio::select! {
                biased;
                lapsed = &mut readonly => return Err(lapsed.into()),
                next = body.next() => next?,
            };
            let Some(bytes) = next else { break };
            let poured = self.appender.received() - start + bytes.len() as u64;
            if chunk.length.is_some_and(|limit| poured > limit) {
                return Err(UploadError::LengthDiffers);
            }
            self.make_room(Wish::Unknown(start.saturating_add(poured))).await?;
            self.appender.write(bytes).await?;
            match self.appender.take_checkpoint() {
                Some(state) => self.commit(state).await?,
                None if self.renewed.elapsed() >= RENEWAL => self.commit(self.committed.clone()).await?,
                None => {}
            }
        }
        match chunk.length {
            Some(limit) if self.appender.received() - start != limit => Err(UploadError::LengthDiffers),
            _ => Ok(self.standing.ask().await?),
        }
    }

    /// Reserves room for so many bytes of the upload, where there is a limit.
    async fn make_room(&mut self, bytes: Wish) -> Result<(), UploadError> {
        quota::reserve(self.app, (&self.session, self.fence), &mut self.allowance, bytes).await
    }

    /// Commits a durable state and says that this writer is alive, as long as it may write.
    async fn commit(&mut self, state: UploadState) -> Result<(), UploadError> {
        self.standing.ask().await?;
        let until = self.app.clock.now() + SILENCE;
        commit(self.app, &self.session, self.fence, state.clone(), until).await?;
        self.appender.committed(&state);
        self.committed = state;
        self.renewed = Instant::now();
        Ok(())
    }

    /// Gives the tail's key an owner before the first byte is written under it. A folder has no tails.
    async fn reserve(&mut self) -> Result<(), UploadError> {
        if !self.app.blobs.uses_spare_keys() {
            return Ok(());
        }
        let wish = (self.session.upload.clone(), self.fence, self.spare.clone(), self.app.clock.now() + TAIL_GRACE);
        let held: bool = self
            .app
            .metadata
            .write(wish, |tx, (upload, fence, spare, due)| {
                Box::pin(async move { tx.reserve_tail((upload, *fence), spare, *due).await })
            })
            .await
            .map_err(UploadError::Metadata)?;
        if held { Ok(()) } else { Err(UploadError::Overtaken) }
    }

    /// Ends a request that failed in the middle: what is durable is committed, so that the client goes on from there.
    async fn give_up(mut self, error: UploadError) -> UploadError {
        if matches!(error, UploadError::Overtaken) {
            return error;
        }
        let (app, session, fence) = (self.app, self.session.clone(), self.fence);
        let kept = async {
            self.reserve().await?;
            let state = self.appender.abandon(&self.spare).await;
            quota::give_back(app, (&session, fence), &mut self.allowance, state.received).await;
            commit(app, &session, fence, state, 0).await
        };
        // The client hears of the first failure; the upload stands at its last commit if this one fails too.
        let _ = or_release(app, &session, fence, kept).await;
        error
    }
}

/// Records how far an upload is durable, and until when its writer holds it (0: not any more).
async fn commit(app: &App, session: &Session, fence: i64, state: UploadState, until: i64) -> Result<(), UploadError> {
    let now = app.clock.now();
    let expires_at = now + expiry(app);
    let change = (session.upload.clone(), fence, state, until, expires_at, now);
    let held = app
        .metadata
        .write(change, |tx, (upload, fence, state, until, expires_at, now)| {
            Box::pin(checkpoint(tx, (upload, *fence), state, *until, *expires_at, *now))
        })
        .await
        .map_err(UploadError::Metadata)?;
    if held { Ok(()) } else { Err(UploadError::Overtaken) }
}

/// Records a durable state in the upload's row; whether the lease still stands.
pub(super) async fn checkpoint(
    tx: &mut Tx,
    (id, fence): (&UploadId, i64),
    state: &UploadState,
    leased_until: i64,
    expires_at: i64,
    now: i64,
) -> Result<bool, metadata::Error> {
    let parts: Vec<_> = state.parts.iter().map(row).collect();
    tx.checkpoint_upload(&Checkpoint {
        id,
        fence,
        received: state.received,
        hash_state: &state.hasher_state,
        multipart_id: state.multipart_id.as_deref(),
        parts: &parts,
        tail_key: state.tail_key.as_ref(),
        leased_until,
        expires_at,
        now,
    })
    .await
}

/// Takes a step under the lease and gives the lease back if it fails, so that the retry that the client is asked for finds
/// the upload free. A lease that was taken over meanwhile is left alone, and one that cannot be given back ends by itself
/// after [`SILENCE`].
pub(super) async fn or_release<T>(
    app: &App,
    session: &Session,
    fence: i64,
    step: impl Future<Output = Result<T, UploadError>>,
) -> Result<T, UploadError> {
    let outcome = step.await;
    if outcome.is_err() {
        release(app, session, fence).await;
    }
    outcome
}

async fn release(app: &App, session: &Session, fence: i64) {
    let given = app
        .metadata
        .write((session.upload.clone(), fence), |tx, (upload, fence)| {
            Box::pin(async move { tx.release_upload(upload, *fence).await })
        })
        .await;
    if let Err(error) = given {
        tracing::warn!(%error, upload = session.upload.as_str(), "the lease of an upload ends by itself");
    }
}

/// How long an upload may rest, in milliseconds: longer than its writer may be silent, or it would be given up meanwhile.
pub(super) fn expiry(app: &App) -> i64 {
    let rest = app.config.uploads.expiry.max(2 * app.config.http.body_timeout);
    i64::try_from(rest.as_millis()).unwrap_or(i64::MAX / 2)
}

/// An upload's row as the store wants it.
pub(super) fn state(upload: Upload) -> UploadState {
    let parts = upload.parts.into_iter().map(part).collect();
    UploadState {
        key: upload.storage_key,
        received: upload.received,
        hasher_state: upload.hash_state,
        multipart_id: upload.multipart_id,
        parts,
        tail_key: upload.tail_key,
    }
}

fn part(row: UploadPart) -> Part {
    Part { number: u32::try_from(row.number).unwrap_or(u32::MAX), size: row.size, etag: row.etag.unwrap_or_default() }
}

fn row(part: &Part) -> UploadPart {
    UploadPart { number: u64::from(part.number), size: part.size, etag: Some(part.etag.clone()) }
}
