//! Who refers to a manifest.
//!
//! Two kinds are listed together: manifests whose `subject` is the digest, and those that an older client listed in the
//! index under the digest's fallback tag (`sha256-<hex>`). The second kind is read from the very rows that hold the tag
//! and the index's edges to children that the repository has, so it is there from the transaction that puts the tag on, goes with the tag,
//! its move or the child, and cannot drift. A child whose own `subject` is the digest is of the first kind and not listed
//! twice. Nothing is taken from the index's own words: each descriptor is built from the child's stored bytes.

use hallmark_oci::{Digest, Manifest};

use super::database::Metadata;
use super::error::Error;
use super::put::descriptor;
use super::rows::{ManifestId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::value::values;

statements! {
    LIST = [
        "SELECT m.id, m.digest, m.referrer, m.media_type, CASE WHEN m.referrer IS NULL THEN m.body END
           FROM manifests m
          WHERE m.repository_id = $1 AND m.subject_digest = $2 AND m.id > $5
            AND ($4 IS NULL OR m.artifact_type = $4)
         UNION ALL
         SELECT m.id, m.digest, m.referrer, m.media_type, CASE WHEN m.referrer IS NULL THEN m.body END
           FROM tags t
           JOIN manifest_children e ON e.repository_id = t.repository_id AND e.parent_id = t.manifest_id
           JOIN manifests m ON m.repository_id = e.repository_id AND m.id = e.child_id
          WHERE t.repository_id = $1 AND t.name = $3 AND m.id > $5
            AND (m.subject_digest IS NULL OR m.subject_digest <> $2)
            AND ($4 IS NULL OR m.artifact_type = $4)
         ORDER BY 1 LIMIT $6"
    ];
}

/// A manifest that refers to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The referring manifest.
    pub id: ManifestId,
    /// Its digest.
    pub digest: Digest,
    /// Its entry in the answer, as JSON (distribution-spec, "Listing Referrers").
    pub descriptor: String,
}

impl Metadata {
    /// Manifests of this repository that refer to `subject`, which may be absent: of this artifact type if one is given,
    /// after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<ManifestId>,
        limit: u32,
    ) -> Result<Vec<Referrer>, Error> {
        let (tag, after) = (subject.fallback_tag(), after.map_or(0, |id| id.0));
        let list = values![repository, subject, &tag, artifact_type, after, i64::from(limit)];
        self.rows(&LIST, list).await?.iter().map(referrer).collect()
    }
}

fn referrer(row: &Row) -> Result<Referrer, Error> {
    let digest: Digest = row.parsed(1)?;
    let descriptor = match (row.maybe_text(2)?, row.maybe_bytes(4)?) {
        (Some(descriptor), _) => descriptor,
        (None, body) => rebuilt(&digest, &row.text(3)?, &body.unwrap_or_default())?,
    };
    Ok(Referrer { id: ManifestId(row.integer(0)?), digest, descriptor })
}

fn rebuilt(digest: &Digest, media_type: &str, body: &[u8]) -> Result<String, Error> {
    let manifest = Manifest::parse(body, Some(media_type), usize::MAX);
    let manifest = manifest.map_err(|error| Error::corrupt(format!("manifests.body of {digest}"), error))?;
    descriptor(&manifest, digest, body.len() as u64)
}
