use hallmark_oci::Digest;

use super::catalog::Viewer;
use super::database::Metadata;
use super::error::Error;
use super::repositories::{Repository, repository};
use super::rows::{AccountId, BlobId, RepositoryId};
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// Links that a search looks at beyond the caller's own account: its cost stays that of a page even for the base layer
/// that a hundred thousand private repositories hold (I11).
const LOOKED_AT: i64 = 1_024;

statements! {
    HOLD_SOURCE = ["SELECT id FROM repositories WHERE id = $1 AND name IS NOT NULL" {share}];
    HOLD = [
        "SELECT b.id FROM repository_blobs l JOIN blobs b ON b.id = l.blob_id
          WHERE l.repository_id = $1 AND b.digest = $2 AND b.quarantined_at IS NULL" {share of b}
    ];
    OWN_SOURCES = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM blobs b
           JOIN repository_blobs l ON l.account_id = $2 AND l.blob_id = b.id
           JOIN repositories r ON r.id = l.repository_id
           JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE b.digest = $1 AND b.quarantined_at IS NULL AND r.name IS NOT NULL
          ORDER BY r.id LIMIT $3"
    ];
    OTHER_SOURCES = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM (SELECT l.repository_id FROM blobs b
                   JOIN account_blobs n ON n.blob_id = b.id
                   JOIN repository_blobs l ON l.account_id = n.account_id AND l.blob_id = b.id
                  WHERE b.digest = $1 AND b.quarantined_at IS NULL AND n.account_id <> $2 LIMIT $5) AS held
           JOIN repositories r ON r.id = held.repository_id
           JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE r.name IS NOT NULL AND (r.public = 1 OR $4 = 1)
          ORDER BY r.id LIMIT $3"
    ];
}

/// A blob to be linked from one repository into another.
#[derive(Clone, Copy, Debug)]
pub struct Mount<'a> {
    /// Where it goes, held by [`Tx::repository`].
    pub repository: &'a Repository,
    /// Where it comes from. The caller may pull from there, which was checked before.
    pub source: RepositoryId,
    /// The blob.
    pub digest: &'a Digest,
    /// Milliseconds since the epoch.
    pub now: i64,
}

impl Metadata {
    /// Repositories that hold this blob and that the viewer may pull from, those of their own account first, at most
    /// `limit`: where a mount without `from` looks. What the credential allows is the caller's to check.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn mount_sources(
        &self,
        digest: &Digest,
        own: AccountId,
        viewer: Viewer,
        limit: u32,
    ) -> Result<Vec<Repository>, Error> {
        let mut sources = Vec::new();
        let everything = viewer == Viewer::All;
        if everything || viewer == Viewer::Owner(own) {
            for row in self.rows(&OWN_SOURCES, values![digest, own, i64::from(limit)]).await? {
                sources.push(repository(&row)?);
            }
        }
        let room = i64::from(limit) - i64::try_from(sources.len()).unwrap_or(i64::MAX);
        if room > 0 {
            // An anonymous viewer has no account of their own; no account has this id.
            let skipped = if viewer == Viewer::Public { AccountId(-1) } else { own };
            for row in self.rows(&OTHER_SOURCES, values![digest, skipped, room, everything, LOOKED_AT]).await? {
                sources.push(repository(&row)?);
            }
        }
        Ok(sources)
    }
}

impl Tx {
    /// Links a blob of one repository into another; `None` when the source is gone or does not hold it. The source is
    /// read in the transaction that makes the link (I6).
    ///
    /// # Errors
    /// The database failed.
    pub async fn mount(&mut self, mount: &Mount<'_>) -> Result<Option<BlobId>, Error> {
        if self.row(&HOLD_SOURCE, values![mount.source]).await?.is_none() {
            return Ok(None);
        }
        let Some(row) = self.row(&HOLD, values![mount.source, mount.digest]).await? else { return Ok(None) };
        let blob = BlobId(row.integer(0)?);
        self.link(mount.repository, blob, mount.now).await?;
        Ok(Some(blob))
    }
}
