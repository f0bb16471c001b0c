//! Stores to run the clauses on, and the ways to fill them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt;
use hallmark_oci::{Algorithm, Digest};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Appender, BlobBody, Blobs, Error, S3Config, Sealed, StorageConfig, UploadState};
use tempfile::TempDir;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

pub(crate) const ACCESS_KEY: &str = "hallmark";
pub(crate) const SECRET_KEY: &str = "hallmark-secret";
const BUCKET: &str = "images";

/// A store of one test, and what must outlive it.
pub(crate) struct Store {
    place: Place,
    /// The size of the store's first parts; for a folder, which has none, a size of the same order.
    pub(crate) part: usize,
}

enum Place {
    Memory(Blobs),
    Folder(TempDir),
    S3(S3Config),
}

impl Store {
    pub(crate) fn memory() -> Self {
        let part = 256 * KIB;
        Self { place: Place::Memory(Blobs::in_memory(part as u64, 16 * part as u64)), part }
    }

    pub(crate) fn folder() -> Self {
        Self { place: Place::Folder(TempDir::new().unwrap()), part: MIB }
    }

    /// A prefix of its own in the bucket of the one server that this process runs.
    pub(crate) fn s3() -> Self {
        static SERVER: OnceLock<S3Server> = OnceLock::new();
        let server = SERVER.get_or_init(|| S3Server::start(&[]));
        let part = 5 * MIB;
        let config = S3Config { part_size: part as u64, prefix: StorageKey::random().to_string(), ..server.config() };
        Self { place: Place::S3(config), part }
    }

    /// The store as a process that starts now sees it. Memory is gone with its process, so there it is the same one.
    pub(crate) async fn open(&self) -> Blobs {
        match &self.place {
            Place::Memory(blobs) => blobs.clone(),
            Place::Folder(folder) => open_folder(folder.path()).await,
            Place::S3(config) => Blobs::open(&StorageConfig::S3(config.clone())).await.unwrap(),
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }
}

pub(crate) async fn open_folder(path: &Path) -> Blobs {
    Blobs::open(&StorageConfig::Folder { path: path.to_owned() }).await.unwrap()
}

/// The file of a key in a folder, for tests that damage it.
pub(crate) fn file_of(folder: &Path, key: &StorageKey) -> PathBuf {
    folder.join("blobs").join(&key.as_str()[..2]).join(key.as_str())
}

/// A scratch S3 server; its script stops it and removes its files when this end of the pipe closes, however we end.
pub(crate) struct S3Server {
    endpoint: String,
    _script: Child,
}

impl S3Server {
    /// Starts a server; `tls` is a certificate file and a key file, or nothing.
    pub(crate) fn start(tls: &[&Path]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versitygw.sh");
        let mut script = Command::new(script)
            .args([ACCESS_KEY, SECRET_KEY])
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        assert!(!endpoint.is_empty(), "the S3 server does not start; what it needs is said above");
        Self { endpoint: endpoint.trim().to_owned(), _script: script }
    }

    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            endpoint: Some(self.endpoint.clone()),
            access_key: Some(ACCESS_KEY.into()),
            secret_key: Some(SECRET_KEY.into()),
            path_style: true,
            allow_http: true,
            ..S3Config::new(BUCKET)
        }
    }
}

/// A fence above all that were given out: whoever comes later is newer.
pub(crate) fn next_fence() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Bytes that differ from seed to seed and do not repeat within a part.
pub(crate) fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// An upload that has not begun, hashed with SHA-256.
pub(crate) fn fresh() -> UploadState {
    UploadState::new(StorageKey::random(), Algorithm::Sha256)
}

/// Writes bytes in frames of a server's size and commits every state that comes out.
pub(crate) async fn write(appender: &mut Appender, bytes: &Bytes) -> Result<Vec<UploadState>, Error> {
    let mut committed = Vec::new();
    for start in (0..bytes.len()).step_by(100_000) {
        appender.write(bytes.slice(start..bytes.len().min(start + 100_000))).await?;
        if let Some(state) = appender.take_checkpoint() {
            appender.committed(&state);
            committed.push(state);
        }
    }
    Ok(committed)
}

/// A whole upload in one request.
pub(crate) async fn upload(blobs: &Blobs, bytes: &Bytes) -> Sealed {
    finish(blobs, fresh(), bytes).await.unwrap()
}

/// One request that appends to an upload and ends in mid-blob.
pub(crate) async fn append(blobs: &Blobs, state: UploadState, bytes: &Bytes) -> UploadState {
    let mut appender = blobs.append(state, next_fence()).await.unwrap();
    write(&mut appender, bytes).await.unwrap();
    appender.checkpoint(&StorageKey::random()).await.unwrap()
}

/// One request that appends the last bytes of an upload and seals it.
pub(crate) async fn finish(blobs: &Blobs, state: UploadState, bytes: &Bytes) -> Result<Sealed, Error> {
    let mut appender = blobs.append(state, next_fence()).await?;
    write(&mut appender, bytes).await?;
    appender.seal(&StorageKey::random()).await
}

/// Everything in a body.
pub(crate) async fn collect(body: BlobBody) -> Result<Bytes, Error> {
    let mut stream = match body {
        BlobBody::Whole(bytes) => return Ok(bytes),
        BlobBody::Stream(stream) => stream,
    };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.into())
}

/// Everything under a key.
pub(crate) async fn stored(blobs: &Blobs, key: &StorageKey) -> Option<Bytes> {
    let size = blobs.size(key).await.unwrap()?;
    Some(collect(blobs.read(key, 0..size).await.unwrap()?).await.unwrap())
}

/// Asserts that a blob is exactly these bytes: as it was sealed, and as a process that starts later reads it.
pub(crate) async fn assert_holds(store: &Store, sealed: &Sealed, bytes: &Bytes) {
    assert_eq!(sealed.digest, Digest::of(sealed.digest.algorithm(), bytes), "the digest is that of the bytes");
    assert_eq!(sealed.size, bytes.len() as u64);
    let found = stored(&store.open().await, &sealed.key).await;
    assert!(found.is_some_and(|found| found == *bytes), "the bytes under the key are those that were sealed");
}

/// The row of an upload in a database, with its fence.
pub(crate) struct Row(Mutex<(UploadState, i64)>);

/// A request that holds an upload until another leases it, as a server's do.
pub(crate) struct Request<'row> {
    appender: Option<Appender>,
    row: &'row Row,
    fence: i64,
}

impl Row {
    pub(crate) fn new(state: UploadState) -> Self {
        Self(Mutex::new((state, 0)))
    }

    fn commit(&self, state: &UploadState, fence: i64) -> bool {
        let mut row = self.0.lock().unwrap();
        if row.1 == fence {
            row.0 = state.clone();
        }
        row.1 == fence
    }
}

impl<'row> Request<'row> {
    pub(crate) async fn lease(blobs: &Blobs, row: &'row Row) -> Self {
        let (state, fence) = {
            let mut row = row.0.lock().unwrap();
            row.1 = next_fence();
            row.clone()
        };
        Self { appender: Some(blobs.append(state, fence).await.unwrap()), row, fence }
    }

    /// Writes until the store or the fence refuses.
    pub(crate) async fn write(&mut self, bytes: &Bytes) {
        let Some(mut appender) = self.appender.take() else { return };
        for frame in bytes.chunks(100_000) {
            if appender.write(Bytes::copy_from_slice(frame)).await.is_err() {
                return;
            }
            if let Some(state) = appender.take_checkpoint() {
                if !self.row.commit(&state, self.fence) {
                    return;
                }
                appender.committed(&state);
            }
        }
        self.appender = Some(appender);
    }

    pub(crate) async fn seal(self) -> Option<Sealed> {
        self.appender?.seal(&StorageKey::random()).await.ok()
    }
}
