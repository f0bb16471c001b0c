//! Appending to the file of an upload: bytes are gathered on the runtime, then hashed and written while the next are
//! gathered, by two blocking jobs where there is a place for each, else by one.

use std::sync::Arc;

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
    /// How much is hashed and written at once. A smaller blob is written and synced by a single job at its end.
    share: Arc<Share>,
    lanes: Lanes,
    stage: Stage,
    /// The sync that runs beside the writing, and the state it will make durable.
    syncing: Option<(Task<Result<(), Error>>, UploadState)>,
    /// What that sync failed with, until a caller can be told.
    failure: Option<Error>,
}

#[derive(Debug)]
enum Stage {
    Idle(Box<Work>),
    /// One job hashes and writes.
    Writing(Task<Result<Box<Work>, Error>>),
    /// One job writes what another one hashes.
    Halves(Task<Result<Box<Writer>, Error>>, Task<BlobHasher>),
    Failed,
}

/// What a job holds until it ends, though its upload may end before: a thread's place, and a share of the memory.
type Held = (Lane, Arc<Share>);

/// The file, and the hash of all that was appended to it.
#[derive(Debug)]
struct Work {
    writer: Box<Writer>,
    hasher: BlobHasher,
}

impl FileAppender {
    pub(in super::super) fn begin(folder: &Folder, state: UploadState, fence: i64) -> Result<Self, Error> {
        let path = key::file(&folder.path, &state.key);
        let hasher = BlobHasher::restore(&state.hasher_state)
            .map_err(|invalid| Error::damaged("append to", path.display(), invalid.to_string()))?;
        let ticket = folder.turns.take(&state.key, fence);
        let writer = Writer::new(path, key::fanout_folder(&folder.path, &state.key), ticket, state.received);
        let work = Work { writer: Box::new(writer), hasher };
        Ok(Self {
            received: state.received,
            durable: state,
            frames: Frames::default(),
            share: Arc::new(folder.gathering.join()),
            lanes: folder.lanes.clone(),
            stage: Stage::Idle(Box::new(work)),
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
        if self.frames.len() < self.share.bytes(self.received) {
            return Ok(());
        }
        let mut work = self.work().await?;
        let lane = match self.reserve(&mut work).await {
            Ok(lane) => lane,
            Err(busy) => {
                self.stage = Stage::Idle(work);
                return Err(busy);
            }
        };
        let (frames, held) = (self.frames.take(), (lane, Arc::clone(&self.share)));
        self.stage = match self.lanes.try_writing() {
            Some(second) => work.append_in_halves(frames, held, second),
            None => Stage::Writing(Task::blocking(move || {
                work.append(&frames)?;
                drop(held);
                Ok(work)
            })),
        };
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
        let work = self.work().await;
        if let Some((task, _)) = self.syncing.as_mut() {
            let outcome = task.await;
            self.settle(outcome)?;
        }
        let mut work = work?;
        let held = (self.lanes.syncing().await?, Arc::clone(&self.share));
        let frames = self.frames.take();
        let work = blocking("append to", &self.durable.key, move || {
            work.append(&frames)?;
            work.writer.sync()?;
            drop(held);
            Ok(work)
        })
        .await?;
        self.durable = self.state_of(&work);
        Ok(work.hasher)
    }

    /// Waits for the jobs under way, if any, and takes the file and its hash from them.
    async fn work(&mut self) -> Result<Box<Work>, Error> {
        if let Some(failure) = self.failure.take() {
            self.stage = Stage::Failed;
            return Err(failure);
        }
        let lost = |lost| Error::task("append to", &self.durable.key, lost);
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Idle(work) => Ok(work),
            Stage::Writing(job) => job.await.map_err(lost)?,
            Stage::Halves(writing, hashing) => {
                let (writer, hasher) = tokio::join!(writing, hashing);
                Ok(Box::new(Work { writer: writer.map_err(lost)??, hasher: hasher.map_err(lost)? }))
            }
            Stage::Failed => Err(Error::task("append to", &self.durable.key, "this request has failed before")),
        }
    }

    /// A lane to write in, after the sync is begun that is due.
    async fn reserve(&mut self, work: &mut Work) -> Result<Lane, Error> {
        self.sync_beside(work).await?;
        self.lanes.writing().await
    }

    /// Begins a sync on a thread of its own when enough bytes have gathered, so that the stream does not stop for it. Where
    /// all lanes are taken it begins with a later batch, until so much has gathered that the stream has to stop.
    async fn sync_beside(&mut self, work: &mut Work) -> Result<(), Error> {
        if self.syncing.is_some() || work.writer.unsynced() < CHECKPOINT_BYTES {
            return Ok(());
        }
        let lane = match self.lanes.try_syncing() {
            Some(lane) => lane,
            None if work.writer.unsynced() < MOST_UNSYNCED => return Ok(()),
            None => self.lanes.syncing().await?,
        };
        let state = self.state_of(work);
        if let Some(sync) = work.writer.begin_sync() {
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

    fn state_of(&self, Work { writer, hasher }: &Work) -> UploadState {
        UploadState { received: writer.offset(), hasher_state: hasher.save(), ..self.durable.clone() }
    }
}

impl Work {
    /// Hashes and writes the next bytes.
    fn append(&mut self, frames: &[Bytes]) -> Result<(), Error> {
        hash(&mut self.hasher, frames);
        self.writer.append(frames)
    }

    /// The same on two threads. Nobody sees one without the other: if either fails the upload does.
    fn append_in_halves(self, frames: Vec<Bytes>, writing: Held, hashing: Lane) -> Stage {
        let Self { mut writer, mut hasher } = self;
        let hashed = frames.clone();
        let hasher = Task::blocking(move || {
            hash(&mut hasher, &hashed);
            drop(hashing);
            hasher
        });
        let writer = Task::blocking(move || {
            writer.append(&frames)?;
            drop(writing);
            Ok(writer)
        });
        Stage::Halves(writer, hasher)
    }
}

fn hash(hasher: &mut BlobHasher, frames: &[Bytes]) {
    for frame in frames {
        hasher.update(frame);
    }
}

#[cfg(test)]
mod tests {
    use hallmark_oci::{Algorithm, Digest};
    use tempfile::TempDir;

    use super::*;
    use crate::StorageKey;

    const MIB: usize = 1024 * 1024;

    async fn appender(folder: &TempDir, places: usize) -> FileAppender {
        let mut store = Folder::open(folder.path().to_owned()).await.unwrap();
        store.lanes = Lanes::new(places, 1);
        FileAppender::begin(&store, UploadState::new(StorageKey::random(), Algorithm::Sha256), 1).unwrap()
    }

    fn is_as_expected(stage: &Stage, places: usize) -> bool {
        match stage {
            Stage::Writing(_) => places == 1,
            Stage::Halves(..) => places == 2,
            Stage::Idle(_) | Stage::Failed => false,
        }
    }

    #[tokio::test]
    async fn what_is_hashed_is_what_is_written_by_one_thread_and_by_two() {
        let bytes: Vec<u8> = (0..3 * MIB + 5).map(|at| ((at * at) >> 8) as u8).collect();
        for places in [1, 2] {
            let folder = TempDir::new().unwrap();
            let mut appender = appender(&folder, places).await;
            for piece in bytes.chunks(MIB) {
                appender.write(Bytes::copy_from_slice(piece)).await.unwrap();
                assert!(piece.len() < MIB || is_as_expected(&appender.stage, places), "{places}: {:?}", appender.stage);
            }
            let file = key::file(folder.path(), &appender.durable.key);
            let sealed = appender.seal().await.unwrap();
            assert_eq!((sealed.size, sealed.digest), (bytes.len() as u64, Digest::of(Algorithm::Sha256, &bytes)));
            assert!(std::fs::read(file).unwrap() == bytes, "{places}");
        }
    }

    #[tokio::test]
    async fn where_writing_fails_nothing_is_kept_of_the_hash_either() {
        for places in [1, 2] {
            let folder = TempDir::new().unwrap();
            let mut appender = appender(&folder, places).await;
            let before = appender.durable.clone();
            // What cannot be opened for writing cannot be written.
            std::fs::create_dir_all(key::file(folder.path(), &before.key)).unwrap();
            appender.write(vec![7; MIB].into()).await.unwrap();
            assert!(is_as_expected(&appender.stage, places), "{places}: {:?}", appender.stage);
            assert!(appender.write(vec![7; MIB].into()).await.is_err(), "{places}");
            assert_eq!(appender.abandon().await, before, "{places}");
        }
    }
}
