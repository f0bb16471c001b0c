use std::sync::Arc;

use bytes::Bytes;
use hallmark_oci::{Digest, Reference};

use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::rows::{ManifestId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::value::values;

statements! {
    BY_TAG = [
        "SELECT m.id, m.digest, m.media_type, m.body FROM tags t
           JOIN manifests m ON m.repository_id = t.repository_id AND m.id = t.manifest_id
          WHERE t.repository_id = $1 AND t.name = $2"
    ];
    BY_DIGEST = ["SELECT id, digest, media_type, body FROM manifests WHERE repository_id = $1 AND digest = $2"];
}

/// A manifest as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The manifest.
    pub id: ManifestId,
    /// The digest it was pushed under: a tag remembers its digest's algorithm.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: String,
    /// The bytes as they were received (I7).
    pub body: Bytes,
    /// Their number.
    pub size: u64,
}

impl Metadata {
    /// The manifest that this reference names in this repository.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn manifest(
        &self,
        repository: RepositoryId,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>, Error> {
        let ask = async {
            let row = match reference {
                Reference::Tag(tag) => self.row(&BY_TAG, values![repository, tag]).await?,
                Reference::Digest(digest) => self.row(&BY_DIGEST, values![repository, digest]).await?,
            };
            row.map(|row| stored(&row)).transpose()
        };
        let key = || match reference {
            Reference::Tag(tag) => (repository, tag.as_str().to_owned()),
            Reference::Digest(digest) => (repository, digest.as_str().to_owned()),
        };
        self.cached(|cache| &cache.manifests, Slot::repository(repository), key, ask).await
    }
}

fn stored(row: &Row) -> Result<Arc<StoredManifest>, Error> {
    let body = Bytes::from(row.bytes(3)?);
    let size = body.len() as u64;
    let (id, digest, media_type) = (ManifestId(row.integer(0)?), row.parsed(1)?, row.text(2)?);
    Ok(Arc::new(StoredManifest { id, digest, media_type, body, size }))
}
