//! Who refers to a manifest.
//!
//! Two kinds are listed together: manifests whose `subject` is the digest, and those that an older client listed in the
//! index under the digest's fallback tag (`sha256-<hex>`). The second kind is read from the very rows that hold the tag
//! and the index's edges to children that the repository has, so it is there from the transaction that puts the tag on, goes with the tag,
//! its move or the child, and cannot drift. A child whose own `subject` is the digest is of the first kind and not listed
//! twice. Nothing is taken from the index's own words: each descriptor is built from the child's stored bytes.

use hallmark_oci::{Digest, Manifest};

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::put::descriptor;
use super::rows::{ManifestId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::value::{json_integers, values};

statements! {
    // Each half is a page by itself: a server would read all referrers of a subject to sort them.
    LIST = [
        "SELECT id, digest, described, size FROM
           (SELECT m.id, m.digest, CAST(octet_length(m.referrer) AS BIGINT) AS described,
                   CASE WHEN octet_length(m.referrer) IS NULL THEN m.size END AS size
              FROM manifests m
             WHERE m.repository_id = $1 AND m.subject_digest = $2 AND m.id > $5
               AND ($4 IS NULL OR m.artifact_type = $4)
             ORDER BY m.id LIMIT $6) AS page
         UNION ALL
         SELECT id, digest, described, size FROM
           (SELECT m.id, m.digest, CAST(octet_length(m.referrer) AS BIGINT) AS described,
                   CASE WHEN octet_length(m.referrer) IS NULL THEN m.size END AS size
              FROM tags t
              JOIN manifest_children e ON e.repository_id = t.repository_id AND e.parent_id = t.manifest_id
              JOIN manifests m ON m.repository_id = e.repository_id AND m.id = e.child_id
             WHERE t.repository_id = $1 AND t.name = $3 AND m.id > $5
               AND (m.subject_digest IS NULL OR m.subject_digest <> $2)
               AND ($4 IS NULL OR m.artifact_type = $4)
             ORDER BY m.id LIMIT $6) AS page
         ORDER BY 1 LIMIT $6"
    ];
    DESCRIBE = [
        "SELECT id, digest, referrer, media_type, CASE WHEN referrer IS NULL THEN body END
           FROM manifests WHERE repository_id = $1 AND id" {in integers 2} " ORDER BY id"
    ];
}

/// A manifest that refers to another, and what it costs to describe it: a list of them reads no annotation and no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The referring manifest.
    pub id: ManifestId,
    /// Its digest.
    pub digest: Digest,
    /// The bytes that are read to describe it.
    pub bytes: u64,
    /// Whether these are its descriptor's own, kept since it was put. Otherwise they are the manifest's, which is parsed.
    pub described: bool,
}

/// A referrer's entry in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The referring manifest.
    pub id: ManifestId,
    /// The entry, as JSON (distribution-spec, "Listing Referrers").
    pub descriptor: String,
}

impl Metadata {
    /// Manifests of this repository that refer to `subject`, which may be absent: of this artifact type if one is given,
    /// after this one, at most `limit`, in the order of their ids.
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

    /// Describes these referrers, in the order of their ids; one that was deleted meanwhile is left out. All of them are in
    /// memory at once, so the caller bounds the sum of their [`Referrer::bytes`].
    ///
    /// # Errors
    /// The database does not answer, or a stored manifest is damaged.
    pub async fn describe(&self, repository: RepositoryId, referrers: &[Referrer]) -> Result<Vec<Described>, Error> {
        let ids = json_integers(referrers.iter().map(|referrer| referrer.id.0));
        let rows = self.rows(&DESCRIBE, values![repository, &ids]).await?;
        let describe = move || rows.iter().map(described).collect();
        if referrers.iter().all(|referrer| referrer.described) {
            return describe();
        }
        let parsed = tokio::task::spawn_blocking(describe).await;
        parsed.map_err(|error| Error::caused(ErrorKind::Failed, "manifests.body", error))?
    }
}

fn referrer(row: &Row) -> Result<Referrer, Error> {
    let described = row.maybe_integer(2)?.is_some();
    let bytes = row.unsigned(if described { 2 } else { 3 })?;
    Ok(Referrer { id: ManifestId(row.integer(0)?), digest: row.parsed(1)?, bytes, described })
}

fn described(row: &Row) -> Result<Described, Error> {
    let digest: Digest = row.parsed(1)?;
    let descriptor = match (row.maybe_text(2)?, row.maybe_bytes(4)?) {
        (Some(descriptor), _) => descriptor,
        (None, body) => rebuilt(&digest, &row.text(3)?, &body.unwrap_or_default())?,
    };
    Ok(Described { id: ManifestId(row.integer(0)?), descriptor })
}

fn rebuilt(digest: &Digest, media_type: &str, body: &[u8]) -> Result<String, Error> {
    let manifest = Manifest::parse(body, Some(media_type), usize::MAX);
    let manifest = manifest.map_err(|error| Error::corrupt(format!("manifests.body of {digest}"), error))?;
    descriptor(&manifest, digest, body.len() as u64)
}
