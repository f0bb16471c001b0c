//! Bytes of an upload as they arrive: hashed, written, made durable, and sealed into a blob.

use std::sync::Arc;

use bytes::Bytes;

use crate::StorageKey;

use super::folder::FileAppender;
use super::objects::PartAppender;
use super::{Error, Sealed, Store, UploadState};

/// New bytes between two checkpoints, at least.
pub(super) const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// One request's hold on an upload. Bytes go in with [`write`](Self::write); in between, durable states come out of
/// [`take_checkpoint`](Self::take_checkpoint); the end is [`checkpoint`](Self::checkpoint), [`seal`](Self::seal) or
/// [`abandon`](Self::abandon). Dropping it at any point stops without waiting and leaves the upload at the last state
/// that was taken.
///
/// ```text
/// let mut appender = blobs.append(state, fence).await?;
/// while let Some(chunk) = body.next().await {
///     appender.write(chunk).await?;
///     if let Some(state) = appender.take_checkpoint() {
///         commit(&state, fence)?;            // refused: another request has the upload, drop the appender
///         appender.committed(&state);
///     }
/// }
/// let sealed = appender.seal(spare).await?;   // then write the facts
/// ```
#[derive(Debug)]
pub struct Appender(Way);

#[derive(Debug)]
enum Way {
    File(Box<FileAppender>),
    Parts(Box<PartAppender>),
}

impl Appender {
    pub(super) fn begin(store: &Arc<Store>, state: UploadState, fence: i64) -> Result<Self, Error> {
        Ok(Self(match &**store {
            Store::Folder(folder) => Way::File(Box::new(FileAppender::begin(folder, state, fence)?)),
            Store::Objects(objects) => Way::Parts(Box::new(PartAppender::begin(objects, state)?)),
        }))
    }

    /// Takes the next bytes. They are hashed and stored behind the caller's back; this waits only while the store, the
    /// hash or the memory for parts is behind.
    ///
    /// # Errors
    /// The store failed, now or for bytes taken earlier; the upload stands at its last durable offset.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        match &mut self.0 {
            Way::File(appender) => appender.write(chunk).await,
            Way::Parts(appender) => appender.write(chunk).await,
        }
    }

    /// The bytes taken so far, from the start of the blob. Not all of them are durable.
    pub fn received(&self) -> u64 {
        match &self.0 {
            Way::File(appender) => appender.received(),
            Way::Parts(appender) => appender.received(),
        }
    }

    /// A durable state that the caller should commit under its fence, when one is due: every 64 MiB, and in a bucket
    /// once before the first part is sent. Never waits. Ask after every [`write`](Self::write).
    pub fn take_checkpoint(&mut self) -> Option<UploadState> {
        match &mut self.0 {
            Way::File(appender) => appender.take_checkpoint(),
            Way::Parts(appender) => appender.take_checkpoint(),
        }
    }

    /// Tells that a state from [`take_checkpoint`](Self::take_checkpoint) was committed. Parts are sent, and a multipart
    /// upload is completed, only after its id was committed: so no byte is in a bucket that no row leads to, and at most one
    /// multipart upload can ever write an upload's key.
    pub fn committed(&mut self, state: &UploadState) {
        match &mut self.0 {
            Way::File(_) => {}
            Way::Parts(appender) => appender.committed(state),
        }
    }

    /// Ends the request in mid-blob: everything taken so far is durable in the state that is returned. A bucket keeps
    /// bytes beyond the last part under `spare`; the tail key of the state before is then needed no more.
    ///
    /// # Errors
    /// The store failed; the upload stands at its last durable offset.
    pub async fn checkpoint(self, spare: &StorageKey) -> Result<UploadState, Error> {
        match self.0 {
            Way::File(appender) => appender.checkpoint().await,
            Way::Parts(appender) => appender.checkpoint(spare).await,
        }
    }

    /// Ends a request whose body broke off: like [`checkpoint`](Self::checkpoint), but what cannot be made durable is
    /// left out and not reported as a failure.
    pub async fn abandon(self, spare: &StorageKey) -> UploadState {
        match self.0 {
            Way::File(appender) => appender.abandon().await,
            Way::Parts(appender) => appender.abandon(spare).await,
        }
    }

    /// Ends the upload: its bytes are whole and durable, and no byte can be added. `spare` is a fresh key that a bucket
    /// may use for a blob smaller than a part.
    ///
    /// # Errors
    /// The store failed and the upload stands at its last durable offset; or its parts were replaced by another writer
    /// ([`Error::is_broken`]).
    pub async fn seal(self, spare: &StorageKey) -> Result<Sealed, Error> {
        match self.0 {
            Way::File(appender) => appender.seal().await,
            Way::Parts(appender) => appender.seal(spare).await,
        }
    }
}
