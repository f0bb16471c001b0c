//! Bytes in a bucket, or in memory for tests: one object a key, large ones as multipart uploads that outlive a request.
//! Never here: local files. An object is stored where it stays: never copied, never renamed (I3).
//! Start reading at `Objects`; `append` is the way in, `schedule` says how large parts are, `buffer` bounds their memory.

mod append;
mod buffer;
mod connect;
mod memory;
mod schedule;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use crate::StorageKey;

use super::{BlobBody, BlobStream, Error, S3Config, WHOLE_BYTES, key};
use buffer::PartMemory;
use schedule::MIN_PART_SIZE;

pub(super) use append::PartAppender;
pub use schedule::{DEFAULT_PART_MEMORY, DEFAULT_PART_SIZE, part_size};

/// How long a request without a large body may take, its retries included.
const REQUEST_LIMIT: Duration = Duration::from_secs(45);
/// The least rate at which a part or object must go out, in bytes a second, beyond [`REQUEST_LIMIT`].
const LEAST_RATE: u64 = 1024 * 1024;

/// A bucket, or memory. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Objects(Arc<Bucket>);

struct Bucket {
    store: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    prefix: String,
    memory: PartMemory,
    part_size: u64,
    part_memory: u64,
}

impl Objects {
    pub(super) async fn open(config: &S3Config) -> Result<Self, Error> {
        if config.part_size < MIN_PART_SIZE || config.part_memory < config.part_size {
            let what = "parts are at least 5 MiB, and the memory for them holds at least one";
            return Err(Error::configuration(&config.bucket, what));
        }
        let store = Arc::new(connect::connect(config).await?);
        Ok(Self::new(store.clone(), store, config.prefix.clone(), (config.part_size, config.part_memory)))
    }

    pub(super) fn in_memory(part_size: u64, part_memory: u64) -> Self {
        let store = Arc::new(InMemory::new());
        let multipart = Arc::new(memory::MemoryMultipart::new(store.clone()));
        Self::new(store, multipart, String::new(), (part_size, part_memory))
    }

    fn new(
        store: Arc<dyn ObjectStore>,
        multipart: Arc<dyn MultipartStore>,
        prefix: String,
        (part_size, part_memory): (u64, u64),
    ) -> Self {
        let memory = PartMemory::new(part_memory);
        Self(Arc::new(Bucket { store, multipart, prefix, memory, part_size, part_memory }))
    }

    /// Asks for an object that is never there: the bucket says so, or what is wrong.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let path = key::probe_object(&self.0.prefix);
        match bounded("check", &path, 0, self.0.store.get(&path)).await? {
            Ok(_) => Ok(()),
            Err(absent @ StoreError::NotFound { .. }) => match super::error::chain(&absent) {
                text if text.contains("NoSuchBucket") => {
                    Err(Error::unavailable("check", &path, "there is no such bucket"))
                }
                _ => Ok(()),
            },
            Err(source) => Err(Error::store("check", path, source)),
        }
    }

    pub(super) async fn size(&self, key: &StorageKey) -> Result<Option<u64>, Error> {
        let path = self.path(key);
        let found = bounded("look at", &path, 0, self.0.store.head(&path)).await?;
        Ok(present("look at", &path, found)?.map(|object| object.size))
    }

    pub(super) async fn read(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<BlobBody>, Error> {
        let path = self.path(key);
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(self.size(key).await?.map(|_| BlobBody::Whole(Bytes::new())));
        }
        let options = GetOptions::default().with_range(Some(range.clone()));
        let found = bounded("read", &path, 0, self.0.store.get_opts(&path, options)).await?;
        let Some(object) = present("read", &path, found)? else { return Ok(None) };
        if object.range != range {
            let what = format!("bytes {range:?} were asked for, {:?} are there", object.range);
            return Err(Error::damaged("read", path, what));
        }
        if length <= WHOLE_BYTES {
            let whole = bounded("read", &path, length, object.bytes()).await?;
            return whole
                .map(|bytes| Some(BlobBody::Whole(bytes)))
                .map_err(|source| Error::store("read", path, source));
        }
        let place = path.to_string();
        let pieces = object.into_stream().map_err(move |source| Error::store("read", &path, source)).boxed();
        Ok(Some(BlobBody::Stream(BlobStream::objects(length, place, pieces))))
    }

    pub(super) async fn delete(&self, key: &StorageKey, multipart_id: Option<&str>) -> Result<(), Error> {
        let path = self.path(key);
        if let Some(id) = multipart_id {
            let id = id.to_owned();
            let gone = bounded("abort", &path, 0, self.0.multipart.abort_multipart(&path, &id)).await?;
            present("abort", &path, gone)?;
        }
        let gone = bounded("delete", &path, 0, self.0.store.delete(&path)).await?;
        present("delete", &path, gone).map(|_| ())
    }

    pub(super) async fn shard(&self, shard: u8) -> Result<Vec<(StorageKey, i64)>, Error> {
        let prefix = key::shard_prefix(&self.0.prefix, shard);
        let (mut objects, mut keys) = (self.0.store.list(Some(&prefix)), Vec::new());
        while let Some(object) = bounded("list", &prefix, 0, objects.next()).await? {
            let object = object.map_err(|source| Error::store("list", &prefix, source))?;
            // What has no key's name is not ours.
            if let Some(key) = object.location.filename().and_then(|name| name.parse().ok()) {
                keys.push((key, object.last_modified.timestamp_millis()));
            }
        }
        Ok(keys)
    }

    /// The mark, and which version of it that is.
    pub(super) async fn mark(&self) -> Result<Option<(String, UpdateVersion)>, Error> {
        let path = key::mark_object(&self.0.prefix);
        let found = bounded("read", &path, 0, self.0.store.get(&path)).await?;
        let Some(object) = present("read", &path, found)? else { return Ok(None) };
        let version = UpdateVersion { e_tag: object.meta.e_tag.clone(), version: object.meta.version.clone() };
        let bytes = bounded("read", &path, 0, object.bytes()).await?;
        let bytes = bytes.map_err(|source| Error::store("read", &path, source))?;
        Ok(Some((String::from_utf8_lossy(&bytes).trim().to_owned(), version)))
    }

    pub(super) async fn change_mark(&self, from: Option<&str>, to: &str) -> Result<bool, Error> {
        let path = key::mark_object(&self.0.prefix);
        let mode = match (self.mark().await?, from) {
            (None, None) => PutMode::Create,
            (Some((found, version)), Some(from)) if found == from => PutMode::Update(version),
            _ => return Ok(false),
        };
        let payload = || PutPayload::from(format!("{to}\n"));
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = match bounded("write", &path, 0, self.0.store.put_opts(&path, payload(), options)).await? {
            Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                bounded("write", &path, 0, self.0.store.put(&path, payload())).await?
            }
            put => put,
        };
        match put {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            Err(source) => Err(Error::store("write", path, source)),
        }
    }

    /// Stores one whole object, under a key that was never used.
    async fn put(&self, key: &StorageKey, payload: PutPayload) -> Result<(), Error> {
        let path = self.path(key);
        let length = payload.content_length() as u64;
        let stored = bounded("write", &path, length, self.0.store.put(&path, payload)).await?;
        stored.map(|_| ()).map_err(|source| Error::store("write", path, source))
    }

    fn path(&self, key: &StorageKey) -> Path {
        key::object(&self.0.prefix, key)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bucket")
            .field("prefix", &self.prefix)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// Turns the absence of an object or upload into `None`.
fn present<T>(action: &'static str, path: &Path, outcome: Result<T, StoreError>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(source) => Err(Error::store(action, path, source)),
    }
}

/// Gives a request the time that its bytes may need, and no more.
async fn bounded<T>(
    action: &'static str,
    path: &Path,
    bytes: u64,
    request: impl Future<Output = T>,
) -> Result<T, Error> {
    let limit = REQUEST_LIMIT + Duration::from_secs(bytes / LEAST_RATE);
    tokio::time::timeout(limit, request).await.map_err(|_elapsed| Error::unavailable(action, path, "no answer in time"))
}
