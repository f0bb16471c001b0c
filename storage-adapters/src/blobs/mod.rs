//! Bytes: blobs and the uploads that become blobs, under storage keys, in a folder, a bucket or memory.
//! Never here: digests as names, repositories, rights, SQL; a key is all that a byte has for a name.
//! Start reading at `Blobs`, then `Appender`; `key` draws the tree, `folder` and `objects` are the two ways to keep it.
//!
//! A key is written once, at its final place, and never copied or renamed (I3). Bytes are durable before anything is
//! told about them (I2, I4).

mod appender;
mod body;
mod config;
mod error;
mod folder;
mod hash;
mod hasher;
mod key;
mod objects;
mod state;
mod task;

use std::ops::Range;
use std::sync::Arc;

use hallmark_oci::{Algorithm, Digest};

use crate::StorageKey;
use folder::Folder;
use objects::Objects;

pub use appender::Appender;
pub use body::{BlobBody, BlobStream, BlobWindows};
pub use config::{S3Config, StorageConfig};
pub use error::Error;
pub use folder::{Piece, Window};
pub use objects::{DEFAULT_PART_MEMORY, DEFAULT_PART_SIZE, part_size};
pub use state::{Part, Sealed, UploadState};

/// The longest range that is read into memory at once, in bytes; anything longer is streamed.
const WHOLE_BYTES: u64 = 256 * 1024;

/// The byte store. Cloning is cheap; all clones are one store.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<Store>);

#[derive(Debug)]
enum Store {
    Folder(Folder),
    Objects(Objects),
}

/// What reading everything under a key again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashed {
    /// This is its digest, and its size in bytes.
    Found(Digest, u64),
    /// Nothing is there.
    Absent,
    /// It was told to stop before the end.
    Stopped,
}

impl Blobs {
    /// Opens the store. A folder is made if it is absent; a bucket is not asked for anything yet, see [`Blobs::check`].
    ///
    /// # Errors
    /// The folder cannot be made or synced, the CA file cannot be read, or the settings contradict each other.
    pub async fn open(config: &StorageConfig) -> Result<Self, Error> {
        let store = match config {
            StorageConfig::Folder { path } => Store::Folder(Folder::open(path.clone()).await?),
            StorageConfig::S3(bucket) => Store::Objects(Objects::open(bucket).await?),
            StorageConfig::Memory => Store::Objects(Objects::in_memory(DEFAULT_PART_SIZE, DEFAULT_PART_MEMORY)),
        };
        Ok(Self(Arc::new(store)))
    }

    /// A store in memory with its own bounds, so that a test need not move megabytes to fill a part.
    pub fn in_memory(part_size: u64, part_memory: u64) -> Self {
        Self(Arc::new(Store::Objects(Objects::in_memory(part_size, part_memory))))
    }

    /// Learns whether the store answers and, for a folder, whether it can be written.
    ///
    /// # Errors
    /// It does not answer, refuses our credentials, has no such bucket, or is read-only.
    pub async fn check(&self) -> Result<(), Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.check().await,
            Store::Objects(objects) => objects.check().await,
        }
    }

    /// The size in bytes of what is stored under a key; `None` when nothing is.
    ///
    /// # Errors
    /// The store fails.
    pub async fn size(&self, key: &StorageKey) -> Result<Option<u64>, Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.size(key).await,
            Store::Objects(objects) => objects.size(key).await,
        }
    }

    /// Reads a range of bytes (half-open); `None` when nothing is stored under the key.
    ///
    /// At most 256 KiB come in one piece. More comes as a stream that reads ahead a little and holds no thread while its
    /// reader is slow; a stream that cannot give all of its bytes ends with an error, never early and clean.
    ///
    /// # Errors
    /// The store fails, or holds fewer bytes than the range asks for ([`Error::is_damaged`]).
    pub async fn read(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<BlobBody>, Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.read(key, range).await,
            Store::Objects(objects) => objects.read(key, range).await,
        }
    }

    /// Reads everything under a key again and gives its digest under `algorithm` and its size; `None` when nothing is
    /// there. For an upload that is finished under another algorithm than it was begun with, and for scrubbing.
    ///
    /// # Errors
    /// The store fails.
    pub async fn hash(&self, key: &StorageKey, algorithm: Algorithm) -> Result<Option<(Digest, u64)>, Error> {
        match self.hash_while(key, algorithm, || true).await? {
            Hashed::Found(digest, size) => Ok(Some((digest, size))),
            Hashed::Absent | Hashed::Stopped => Ok(None),
        }
    }

    /// As [`Self::hash`], as long as `goes_on` says yes, which is asked about every half of a megabyte.
    ///
    /// # Errors
    /// The store fails.
    pub async fn hash_while(
        &self,
        key: &StorageKey,
        algorithm: Algorithm,
        goes_on: impl Fn() -> bool,
    ) -> Result<Hashed, Error> {
        let Some(size) = self.size(key).await? else { return Ok(Hashed::Absent) };
        let Some(body) = self.read(key, 0..size).await? else { return Ok(Hashed::Absent) };
        let digest = hash::digest(body, algorithm, goes_on).await?;
        Ok(digest.map_or(Hashed::Stopped, |digest| Hashed::Found(digest, size)))
    }

    /// Deletes what is stored under a key and, given its id, the multipart upload begun there. Absent is fine.
    ///
    /// # Errors
    /// The store fails; the same call may be made again.
    pub async fn delete(&self, key: &StorageKey, multipart_id: Option<&str>) -> Result<(), Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.delete(key).await,
            Store::Objects(objects) => objects.delete(key, multipart_id).await,
        }
    }

    /// What is stored under keys that begin with this byte, and when each was last written, in milliseconds since the epoch: one
    /// of 256 parts of the store, for whoever compares it with the facts.
    ///
    /// # Errors
    /// The store fails.
    pub async fn shard(&self, shard: u8) -> Result<Vec<(StorageKey, i64)>, Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.shard(shard).await,
            Store::Objects(objects) => objects.shard(shard).await,
        }
    }

    /// The mark by which a database knows its store again; `None` before there is one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn mark(&self) -> Result<Option<String>, Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.mark().await,
            Store::Objects(objects) => objects.mark().await.map(|mark| mark.map(|(mark, _)| mark)),
        }
    }

    /// Changes the mark from what it is known to be, `None` for none, to this; whether it was that. Of several who try, one
    /// changes it, wherever the store can tell them apart: a bucket whose service knows no conditional writes cannot.
    ///
    /// # Errors
    /// The store fails.
    pub async fn change_mark(&self, from: Option<&str>, to: &str) -> Result<bool, Error> {
        match &*self.0 {
            Store::Folder(folder) => folder.change_mark(from, to).await,
            Store::Objects(objects) => objects.change_mark(from, to).await,
        }
    }

    /// Goes on with an upload at its durable offset, under the fence of the caller's lease. Whatever lies beyond the offset
    /// is dropped. Of the appenders of one upload in this process the one with the highest fence writes, whichever began
    /// first, and the others are overtaken ([`Error::is_overtaken`]); between processes the caller's fence decides.
    ///
    /// # Errors
    /// The state is not one that this store made ([`Error::is_damaged`]).
    pub async fn append(&self, state: UploadState, fence: i64) -> Result<Appender, Error> {
        Appender::begin(&self.0, state, fence)
    }

    /// Whether [`Appender::checkpoint`], [`Appender::abandon`] and [`Appender::seal`] may store an object under the spare
    /// key they are given. A caller that must own every key before bytes are written under it needs to record spare keys
    /// only where this is true; a folder never uses them.
    pub fn uses_spare_keys(&self) -> bool {
        matches!(&*self.0, Store::Objects(_))
    }
}
