//! Appending to an upload in a bucket: full parts go out while the next is gathered; what is left at the end of a request
//! becomes an object of its own, which the next request reads back.
//!
//! ```text
//! received ─┬─ part 1 ─┬─ part 2 ─┬─ part 3 ─┬─ tail ─┐
//!           │ durable  │ durable  │ going    │ here   │
//! ```
//! The first part waits until the id of its multipart upload was committed: a crash in between leaves an empty multipart
//! upload that nobody knows, and never bytes that nobody would find.
//!
//! Three rules keep two writers of one upload from ever making a blob of mixed bytes. Every object is put under a key
//! that was never used. A multipart upload is completed only after its id was committed under the caller's fence, so there
//! is at most one that can write the upload's key. And a completion names each part by its entity tag: a part that
//! another writer replaced makes it fail.

mod seal;

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::MultipartId;
use tokio::sync::oneshot;

use super::super::appender::CHECKPOINT_BYTES;
use super::super::task::Task;
use super::super::{BlobBody, Error, Part, UploadState, hash};
use super::buffer::{Gathered, PartBuffer};
use super::schedule::{MAX_PARTS, part_size};
use super::{Objects, bounded};
use crate::StorageKey;
use crate::blobs::hasher::BlobHasher;

/// The parts of one upload that are under way at once.
const PARTS_UNDER_WAY: usize = 3;
/// The parts that may wait for their multipart upload to be committed: one, unless a single piece of a body is longer.
const PARTS_HELD: usize = 4;

/// One request's hold on an upload in a bucket.
#[derive(Debug)]
pub(in super::super) struct PartAppender {
    objects: Objects,
    /// The last state known to be durable.
    durable: UploadState,
    /// What of the durable state the caller has been told.
    told: Told,
    received: u64,
    buffer: PartBuffer,
    /// The first bytes of the buffer that the hash holds already: the tail of an earlier request.
    hashed: u64,
    tail: Tail,
    hash: Hash,
    /// Full parts whose multipart upload is not committed yet, each with what of it is not hashed.
    held: VecDeque<(Gathered, Vec<Bytes>)>,
    going: VecDeque<Task<Result<Sent, Error>>>,
    /// The multipart upload is gone: completed by an earlier attempt to seal, or deleted.
    gone: bool,
    /// What a part failed with, until a caller can be told.
    failure: Option<Error>,
}

#[derive(Debug)]
struct Told {
    received: u64,
    multipart: bool,
    committed: bool,
}

/// Whether the tail of the request before is in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Stored(u64),
    Loaded,
}

/// The running hash: here, or with the part that hashes at the moment.
#[derive(Debug)]
enum Hash {
    Here(Box<BlobHasher>),
    Coming(oneshot::Receiver<BlobHasher>),
}

/// A part that has arrived, or found its upload gone.
#[derive(Debug)]
struct Sent {
    size: u64,
    etag: Option<String>,
    /// The state of the hash after the part.
    hasher_state: Vec<u8>,
}

impl PartAppender {
    pub(in super::super) fn begin(objects: &Objects, state: UploadState) -> Result<Self, Error> {
        let damaged = |what: String| Error::damaged("append to", objects.path(&state.key), what);
        let hasher = BlobHasher::restore(&state.hasher_state).map_err(|invalid| damaged(invalid.to_string()))?;
        let in_parts = state.in_parts();
        let tail = state.received.checked_sub(in_parts);
        let tail = tail.filter(|tail| *tail > 0 || state.tail_key.is_none());
        let Some(tail) = tail.filter(|tail| *tail == 0 || state.tail_key.is_some()) else {
            return Err(damaged(format!("{} bytes were acknowledged, the parts hold {in_parts}", state.received)));
        };
        let committed = state.multipart_id.is_some();
        Ok(Self {
            objects: objects.clone(),
            received: state.received,
            told: Told { received: state.received, multipart: committed, committed },
            durable: state,
            buffer: PartBuffer::default(),
            hashed: 0,
            tail: Tail::Stored(tail),
            hash: Hash::Here(Box::new(hasher)),
            held: VecDeque::new(),
            going: VecDeque::new(),
            gone: false,
            failure: None,
        })
    }

    pub(in super::super) fn received(&self) -> u64 {
        self.received
    }

    pub(in super::super) async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.load_tail().await?;
        while !chunk.is_empty() {
            let part = self.next_part_size()?;
            let room = part.saturating_sub(self.buffer.len());
            let piece = chunk.split_to(usize::try_from(room).map_or(chunk.len(), |room| room.min(chunk.len())));
            self.buffer.reserve(&self.objects.0.memory, piece.len() as u64, part).await?;
            self.buffer.push(&piece);
            self.received += piece.len() as u64;
            if self.buffer.len() >= part {
                self.send().await?;
            }
        }
        Ok(())
    }

    pub(in super::super) fn take_checkpoint(&mut self) -> Option<UploadState> {
        while self.failure.is_none()
            && let Some(outcome) = self.going.front_mut().and_then(Task::finished)
        {
            self.going.pop_front();
            match flatten(outcome) {
                Ok(sent) => self.settle(sent),
                Err(failure) => self.failure = Some(failure),
            }
        }
        let id = self.durable.multipart_id.is_some() && !self.told.multipart;
        if !id && self.durable.received - self.told.received < CHECKPOINT_BYTES {
            return None;
        }
        self.told.multipart = self.durable.multipart_id.is_some();
        self.told.received = self.durable.received;
        Some(self.durable.clone())
    }

    pub(in super::super) fn committed(&mut self, state: &UploadState) {
        self.told.committed |= state.multipart_id.is_some() && state.multipart_id == self.durable.multipart_id;
        while self.told.committed
            && let Some((part, unhashed)) = self.held.pop_front()
        {
            self.start(part, unhashed);
        }
    }

    pub(in super::super) async fn checkpoint(mut self, spare: &StorageKey) -> Result<UploadState, Error> {
        self.keep(spare).await?;
        Ok(self.durable)
    }

    pub(in super::super) async fn abandon(mut self, spare: &StorageKey) -> UploadState {
        if let Err(error) = self.keep(spare).await {
            tracing::debug!(%error, upload.key = %self.durable.key, "bytes of a broken request are not kept");
        }
        self.durable
    }

    /// Makes everything taken so far durable.
    async fn keep(&mut self, spare: &StorageKey) -> Result<(), Error> {
        self.settle_until(0).await?;
        if self.gone {
            return Err(self.broken("append to", "its multipart upload is gone"));
        }
        if !self.held.is_empty() {
            return Err(self.uncommitted("append to"));
        }
        if self.received == self.durable.received {
            return Ok(());
        }
        let gathered = self.buffer.take();
        let hasher = hash::update(self.hasher().await?, gathered.after(self.hashed)).await?;
        self.objects.put(spare, gathered.payload()).await?;
        self.durable.received = self.received;
        self.durable.hasher_state = hasher.save();
        self.durable.tail_key = Some(spare.clone());
        Ok(())
    }

    /// Sends what the buffer holds as the next part, or holds it until the caller has committed where it goes.
    async fn send(&mut self) -> Result<(), Error> {
        self.begin_multipart().await?;
        self.settle_until(PARTS_UNDER_WAY - 1).await?;
        let part = self.buffer.take();
        let unhashed = part.after(std::mem::take(&mut self.hashed));
        if self.told.committed {
            self.start(part, unhashed);
        } else if self.held.len() < PARTS_HELD {
            self.held.push_back((part, unhashed));
        } else {
            return Err(self.uncommitted("append to"));
        }
        Ok(())
    }

    /// Sends a part, on a task of its own that hashes it too.
    fn start(&mut self, gathered: Gathered, unhashed: Vec<Bytes>) {
        // Begun and committed before the first part is started.
        let Some(id) = self.durable.multipart_id.clone() else { return };
        let number = (self.durable.parts.len() + self.going.len()) as u32 + 1;
        let (objects, key) = (self.objects.clone(), self.durable.key.clone());
        let (pass_on, coming) = oneshot::channel();
        let hash = std::mem::replace(&mut self.hash, Hash::Coming(coming));
        self.going.push_back(Task::spawn(async move {
            let hashed = async {
                let hasher = hash::update(hash.here().await?, unhashed).await?;
                let state = hasher.save();
                // Nobody waits for it when the request has ended.
                let _ = pass_on.send(hasher);
                Ok(state)
            };
            let size = gathered.len;
            let sent = put_part(&objects, &key, &id, number, gathered);
            let (hasher_state, etag) = tokio::try_join!(hashed, sent)?;
            Ok(Sent { size, etag, hasher_state })
        }));
    }

    /// Begins the multipart upload when the first part is full.
    async fn begin_multipart(&mut self) -> Result<(), Error> {
        if self.durable.multipart_id.is_some() {
            return Ok(());
        }
        let path = self.objects.path(&self.durable.key);
        let begun = bounded("begin", &path, 0, self.objects.0.multipart.create_multipart(&path)).await?;
        let id = begun.map_err(|source| Error::store("begin", path, source))?;
        self.durable.multipart_id = Some(id);
        Ok(())
    }

    /// Waits until at most `left` parts are under way.
    async fn settle_until(&mut self, left: usize) -> Result<(), Error> {
        while self.failure.is_none() && self.going.len() > left {
            let Some(part) = self.going.front_mut() else { break };
            let outcome = flatten(part.await);
            self.going.pop_front();
            match outcome {
                Ok(sent) => self.settle(sent),
                Err(failure) => self.failure = Some(failure),
            }
        }
        let Some(failure) = self.failure.take() else { return Ok(()) };
        // A later part would now be counted in the place of the one that is missing: nothing more is counted.
        self.going.clear();
        self.failure = Some(Error::task("append to", &self.durable.key, "this request has failed before"));
        Err(failure)
    }

    /// Counts a part that has arrived.
    fn settle(&mut self, sent: Sent) {
        let (Some(etag), false) = (sent.etag, self.gone) else {
            self.gone = true;
            return;
        };
        let number = self.durable.parts.len() as u32 + 1;
        self.durable.parts.push(Part { number, size: sent.size, etag });
        self.durable.received = self.durable.in_parts();
        self.durable.hasher_state = sent.hasher_state;
        self.durable.tail_key = None;
    }

    /// Brings the tail of the request before into the buffer; its bytes are hashed already.
    async fn load_tail(&mut self) -> Result<(), Error> {
        let Tail::Stored(length) = self.tail else { return Ok(()) };
        let Some(key) = self.durable.tail_key.clone() else {
            self.tail = Tail::Loaded;
            return Ok(());
        };
        let part = self.next_part_size()?;
        self.buffer.reserve(&self.objects.0.memory, length, part).await?;
        match self.objects.read(&key, 0..length).await? {
            Some(BlobBody::Whole(bytes)) => self.buffer.push(&bytes),
            Some(BlobBody::Stream(mut pieces)) => {
                while let Some(piece) = pieces.next().await {
                    self.buffer.push(&piece?);
                }
            }
            None => return Err(self.lost_tail(&key, None)),
        }
        self.hashed = length;
        self.tail = Tail::Loaded;
        Ok(())
    }

    async fn hasher(&mut self) -> Result<BlobHasher, Error> {
        let taken = std::mem::replace(&mut self.hash, Hash::Coming(oneshot::channel().1));
        taken.here().await
    }

    fn next_number(&self) -> u32 {
        (self.durable.parts.len() + self.going.len() + self.held.len()) as u32 + 1
    }

    fn next_part_size(&self) -> Result<u64, Error> {
        let number = self.next_number();
        if number > MAX_PARTS {
            let what = "it has as many parts as a bucket allows; more memory for parts allows larger ones".to_owned();
            return Err(Error::too_large(self.objects.path(&self.durable.key), what));
        }
        Ok(part_size(number, self.objects.0.part_size, self.objects.0.part_memory))
    }

    fn uncommitted(&self, action: &'static str) -> Error {
        let what = "its multipart upload was never committed by the caller";
        Error::task(action, self.objects.path(&self.durable.key), what)
    }

    fn broken(&self, action: &'static str, what: &str) -> Error {
        Error::broken(action, self.objects.path(&self.durable.key), what)
    }

    fn lost_tail(&self, key: &StorageKey, stored: Option<u64>) -> Error {
        let what = format!("a tail was acknowledged, {} bytes are there", stored.unwrap_or(0));
        Error::damaged("append to", self.objects.path(key), what)
    }
}

impl Hash {
    async fn here(self) -> Result<BlobHasher, Error> {
        match self {
            Self::Here(hasher) => Ok(*hasher),
            Self::Coming(hasher) => hasher.await.map_err(|lost| Error::task("hash", "a part", lost)),
        }
    }
}

/// Sends one part; `None` when the multipart upload is gone. The part's memory is given back at the end.
async fn put_part(
    objects: &Objects,
    key: &StorageKey,
    id: &MultipartId,
    number: u32,
    part: Gathered,
) -> Result<Option<String>, Error> {
    let path = objects.path(key);
    let sent = objects.0.multipart.put_part(&path, id, number as usize - 1, part.payload());
    let sent = bounded("write", &path, part.len, sent).await?;
    match super::present("write", &path, sent) {
        // A store may hang up on a part of an upload that is completed, before anybody could hear it say so.
        Err(error) if error.is_unavailable() && matches!(objects.size(key).await, Ok(Some(_))) => Ok(None),
        part => part.map(|part| part.map(|part| part.content_id)),
    }
}

fn flatten<T>(outcome: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    outcome.unwrap_or_else(|lost| Err(Error::task("write", "a part", lost)))
}
