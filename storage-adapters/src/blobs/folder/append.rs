//! Appending to the file of an upload: bytes are gathered on the runtime, then hashed and written by one blocking job at
//! a time, while the next are gathered.

use bytes::Bytes;
use tokio::task::JoinError;

use super::super::appender::CHECKPOINT_BYTES;
use super::super::task::{Task, blocking};
use super::super::{Error, Sealed, UploadState, key};
use super::Folder;
use super::frames::Frames;
use super::gather::Share;
use super::lanes::{Lane, Lanes};
use super::writer::Writer;
use crate::blobs::hasher::BlobHasher;

/// What may gather unsynced while others sync, in bytes: what a crash costs the client at the most.
const MOST_UNSYNCED: u64 = 4 * CHECKPOINT_BYTES;

/// One request's hold on a file.
#[derive(Debug)]
pub(in super::super) struct FileAppender {
    /// The last state known to be durable.
    durable: UploadState,
    received: u64,
    frames: Frames,
    /// How much one job hashes and writes. A smaller blob is written and synced by a single job at its end.
    share: Share,
    lanes: Lanes,
    stage: Stage,
    /// The sync that runs beside the writing, and the state it will make durable.
    syncing: Option<(Task<Result<(), Error>>, UploadState)>,
    /// What that sync failed with, until a caller can be told.
    failure: Option<Error>,
}

#[derive(Debug)]
enum Stage {
    Idle(Box<Writer>),
    Writing(Task<Result<Box<Writer>, Error>>),
    Failed,
}

impl FileAppender {
    pub(in super::super) fn begin(folder: &Folder, state: UploadState, fence: i64) -> Result<Self, Error> {
        let path = key::file(&folder.path, &state.key);
        let hasher = BlobHasher::restore(&state.hasher_state)
            .map_err(|invalid| Error::damaged("append to", path.display(), invalid.to_string()))?;
        let ticket = folder.turns.take(&state.key, fence);
        let writer = Writer::new(path, key::fanout_folder(&folder.path, &state.key), ticket, hasher, state.received);
        Ok(Self {
            received: state.received,
            durable: state,
            frames: Frames::default(),
            share: folder.gathering.join(),
            lanes: folder.lanes.clone(),
            stage: Stage::Idle(Box::new(writer)),
            syncing: None,
            failure: None,
        })
    }

    pub(in super::super) fn received(&self) -> u64 {
        self.received
    }

    pub(in super::super) async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.received += chunk.len() as u64;
        self.frames.push(chunk);
        if self.frames.len() < self.share.bytes() {
            return Ok(());
        }
        let mut writer = self.writer().await?;
        let lane = match self.reserve(&mut writer).await {
            Ok(lane) => lane,
            Err(busy) => {
                self.stage = Stage::Idle(writer);
                return Err(busy);
            }
        };
        let frames = self.frames.take();
        self.stage = Stage::Writing(Task::blocking(move || {
            writer.append(&frames)?;
            drop(lane);
            Ok(writer)
        }));
        Ok(())
    }

    pub(in super::super) fn take_checkpoint(&mut self) -> Option<UploadState> {
        let (task, _) = self.syncing.as_mut()?;
        let outcome = task.finished()?;
        match self.settle(outcome) {
            Ok(()) => Some(self.durable.clone()),
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }

    pub(in super::super) async fn checkpoint(mut self) -> Result<UploadState, Error> {
        self.finish().await?;
        Ok(self.durable)
    }

    pub(in super::super) async fn abandon(mut self) -> UploadState {
        if let Err(error) = self.finish().await {
            tracing::debug!(%error, upload.key = %self.durable.key, "bytes of a broken request are not kept");
        }
        self.durable
    }

    pub(in super::super) async fn seal(mut self) -> Result<Sealed, Error> {
        let hasher = self.finish().await?;
        Ok(Sealed { key: self.durable.key, size: self.durable.received, digest: hasher.finish() })
    }

    /// Writes what is left and makes everything durable.
    async fn finish(&mut self) -> Result<BlobHasher, Error> {
        let writer = self.writer().await;
        if let Some((task, _)) = self.syncing.as_mut() {
            let outcome = task.await;
            self.settle(outcome)?;
        }
        let mut writer = writer?;
        let lane = self.lanes.syncing().await?;
        let frames = self.frames.take();
        let writer = blocking("append to", &self.durable.key, move || {
            writer.append(&frames)?;
            writer.sync()?;
            drop(lane);
            Ok(writer)
        })
        .await?;
        self.durable = self.state_of(&writer);
        Ok(writer.hasher().clone())
    }

    /// Waits for the job under way, if any, and takes the writer from it.
    async fn writer(&mut self) -> Result<Box<Writer>, Error> {
        if let Some(failure) = self.failure.take() {
            self.stage = Stage::Failed;
            return Err(failure);
        }
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Idle(writer) => Ok(writer),
            Stage::Writing(job) => {
                job.await.map_err(|lost| Error::task("append to", &self.durable.key, lost)).and_then(|writer| writer)
            }
            Stage::Failed => Err(Error::task("append to", &self.durable.key, "this request has failed before")),
        }
    }

    /// A lane to write in, after the sync is begun that is due.
    async fn reserve(&mut self, writer: &mut Writer) -> Result<Lane, Error> {
        self.sync_beside(writer).await?;
        self.lanes.writing().await
    }

    /// Begins a sync on a thread of its own when enough bytes have gathered, so that the stream does not stop for it. Where
    /// all lanes are taken it begins with a later batch, until so much has gathered that the stream has to stop.
    async fn sync_beside(&mut self, writer: &mut Writer) -> Result<(), Error> {
        if self.syncing.is_some() || writer.unsynced() < CHECKPOINT_BYTES {
            return Ok(());
        }
        let lane = match self.lanes.try_syncing() {
            Some(lane) => lane,
            None if writer.unsynced() < MOST_UNSYNCED => return Ok(()),
            None => self.lanes.syncing().await?,
        };
        let state = self.state_of(writer);
        if let Some(sync) = writer.begin_sync() {
            let sync = move || {
                let synced = sync();
                drop(lane);
                synced
            };
            self.syncing = Some((Task::blocking(sync), state));
        }
        Ok(())
    }

    /// Takes the outcome of the sync beside: what it made durable is durable, or the upload has failed.
    fn settle(&mut self, outcome: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
        let Some((_, state)) = self.syncing.take() else { return Ok(()) };
        outcome.map_err(|lost| Error::task("sync", &state.key, lost))??;
        self.durable = state;
        Ok(())
    }

    fn state_of(&self, writer: &Writer) -> UploadState {
        UploadState { received: writer.offset(), hasher_state: writer.hasher().save(), ..self.durable.clone() }
    }
}
