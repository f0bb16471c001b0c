//! Files as they are served. A read signs nothing (I8).

use bytes::Bytes;
use hallmark_oci::{ReadTuf, Reference, TufFile};
use hallmark_storage::metadata::{self, RepositoryId, TrustFileKey};
use tokio::time::{Instant, sleep};

use super::super::read::{LOOK, PATIENCE};
use super::root;
use super::{collection, stored};
use crate::access::Granted;
use crate::app::App;

/// A file as it is served.
pub(in crate::trust) struct Served {
    /// Its bytes.
    pub(in crate::trust) body: Bytes,
    /// Whether these bytes never change under this name.
    pub(in crate::trust) is_immutable: bool,
}

/// Why a file is not given.
#[derive(Debug, thiserror::Error)]
pub(in crate::trust) enum ReadError {
    /// There is none.
    #[error("there is no such file")]
    Unknown,
    /// It has expired, and its renewal takes long.
    #[error("the trust data has expired and is being renewed")]
    Stale,
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// One file. Where the timestamp has expired, the job that renews it is told so, and waited for a little.
pub(in crate::trust) async fn file(app: &App, granted: &Granted<ReadTuf>) -> Result<Served, ReadError> {
    let repository = granted.repository().ok_or(ReadError::Unknown)?.id;
    match &granted.operation().file {
        TufFile::Root(version) => {
            let version = i64::try_from(*version).map_err(|_| ReadError::Unknown)?;
            let domain = root::domain_of(app, repository).await?;
            let root = app.metadata.trust_root(&domain, Some(version)).await?.ok_or(ReadError::Unknown)?;
            Ok(immutable(root.body.into()))
        }
        TufFile::Target { digest, .. } => {
            let manifest = app.metadata.manifest(repository, &Reference::Digest(digest.clone())).await?;
            let manifest = manifest.ok_or(ReadError::Unknown)?;
            Ok(immutable(manifest.body.clone()))
        }
        TufFile::Timestamp => timestamp(app, repository).await,
        TufFile::Role { role, version } => {
            let role = stored(role).ok_or(ReadError::Unknown)?;
            let version = i64::try_from(*version).map_err(|_| ReadError::Unknown)?;
            let which = TrustFileKey::Version(version);
            let file = app.metadata.trust_file(&collection(repository), &role, which).await?;
            Ok(immutable(file.ok_or(ReadError::Unknown)?.body.clone()))
        }
    }
}

fn immutable(body: Bytes) -> Served {
    Served { body, is_immutable: true }
}

async fn timestamp(app: &App, repository: RepositoryId) -> Result<Served, ReadError> {
    let key = collection(repository);
    let role = stored("timestamp").ok_or(ReadError::Unknown)?;
    let begin = Instant::now();
    loop {
        let file = app.metadata.trust_file(&key, &role, TrustFileKey::Current).await?.ok_or(ReadError::Unknown)?;
        let now = app.clock.now();
        if now < file.expires_at {
            return Ok(Served { body: file.body.clone(), is_immutable: false });
        }
        let is_put_off = now < file.renew_at;
        if is_put_off || begin.elapsed() >= PATIENCE || app.is_readonly() {
            return Err(ReadError::Stale);
        }
        app.renewals.tuf.hurry(repository);
        sleep(LOOK).await;
    }
}
