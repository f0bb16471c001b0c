//! What a tag means by the metadata of its repository: read from a pinned root on, by `tough`, over whatever brings the files.
//!
//! Closed here, as `tough` leaves them open: a file that could not be brought is told from one that is not there, since `tough`
//! takes the first for the end of the root chain; and what is found is found along the delegations, as a client must.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tough::{
    Bytes, Limits, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind, TransportStream,
};
use url::Url;

use super::{Target, target_path};

/// The largest snapshot that is read, in bytes: one of a million tags has less.
const SNAPSHOT_BYTES: u64 = 4 * 1024 * 1024;
/// Where the files stand for `tough`; nothing of this name is ever asked.
const BASE: &str = "tuf://repository/";

/// Brings a file by its name: its bytes, or `None` when there is none of this name.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Vec<u8>>, String>> + Send + Sync>;

/// Why it is not known what a tag means.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The metadata does not follow from the pinned root.
    #[error("the metadata does not follow from the pinned root: {0}")]
    Refused(#[source] Box<tough::error::Error>),
    /// A file could not be brought; what was not seen may say otherwise.
    #[error("{0}")]
    Unreachable(String),
    /// The metadata names no such tag.
    #[error("nobody vouches for this tag")]
    Unnamed,
}

#[derive(Clone)]
struct Files {
    fetch: Fetch,
    failure: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

#[async_trait]
impl Transport for Files {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.as_str().strip_prefix(BASE).unwrap_or_default().to_owned();
        match (self.fetch)(name).await {
            Ok(Some(body)) => Ok(Box::pin(stream::iter([Ok(Bytes::from(body))]))),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
            Err(why) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                Err(TransportError::new_with_cause(TransportErrorKind::Other, url, why))
            }
        }
    }
}

/// What `tag` of `repository` means by the files that `fetch` brings, when they follow from `root`. In `datastore`, a folder,
/// the newest versions are remembered, so that older ones are refused the next time.
///
/// # Errors
/// [`VerifyError`]
pub async fn verify(
    root: &[u8],
    (repository, tag): (&str, &str),
    fetch: Fetch,
    datastore: PathBuf,
) -> Result<Target, VerifyError> {
    let files = Files { fetch, failure: Arc::default() };
    let base = || Url::parse(BASE).map_err(|error| VerifyError::Unreachable(error.to_string()));
    let loaded = RepositoryLoader::new(&root, base()?, base()?)
        .transport(files.clone())
        .limits(Limits { max_snapshot_size: SNAPSHOT_BYTES, ..Limits::default() })
        .datastore(datastore)
        .load()
        .await;
    if let Some(why) = files.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(VerifyError::Unreachable(why));
    }
    let loaded = loaded.map_err(|error| VerifyError::Refused(Box::new(error)))?;
    let name = TargetName::new(target_path(repository, tag)).map_err(|_| VerifyError::Unnamed)?;
    let found = loaded.targets().signed.find_target(&name, false).map_err(|_| VerifyError::Unnamed)?;
    let told = found.custom.get("hallmark");
    let text = |key: &str| told.and_then(|told| told[key].as_str()).unwrap_or_default().to_owned();
    let sha256 = found.hashes.sha256.as_ref().try_into().map_err(|_| VerifyError::Unnamed)?;
    Ok(Target {
        sha256,
        length: found.length,
        media_type: text("media_type"),
        signer: text("signer"),
        signed_at: text("signed_at"),
        source: text("source"),
    })
}
