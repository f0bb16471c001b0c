use hallmark_oci::Digest;

use super::database::Metadata;
use super::error::Error;
use super::links::Linked;
use super::repositories::{Repository, repository};
use super::rows::{AccountId, BlobId, RepositoryId};
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// Links that a search looks at beyond the accounts that the caller belongs to: its cost stays that of a page even for the base layer
/// that a hundred thousand private repositories hold (I11).
const LOOKED_AT: i64 = 1_024;

statements! {
    HOLD_SOURCE = ["SELECT id FROM repositories WHERE id = $1 AND name IS NOT NULL" {share}];
    HOLD = [
        "SELECT b.id, b.size FROM repository_blobs l JOIN blobs b ON b.id = l.blob_id
          WHERE l.repository_id = $1 AND b.digest = $2 AND b.quarantined_at IS NULL
            AND (l.touched_at > $3 OR EXISTS (SELECT 1 FROM manifest_blobs e
                                               WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id))" {share of b}
    ];
    SOURCES_IN = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM blobs b
           JOIN repository_blobs l ON l.account_id = $2 AND l.blob_id = b.id
           JOIN repositories r ON r.id = l.repository_id
           JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE b.digest = $1 AND b.quarantined_at IS NULL AND r.name IS NOT NULL
          ORDER BY l.repository_id LIMIT $3"
    ];
    OPEN_SOURCES = [
        "SELECT r.id, r.name, r.account_id, r.public, a.name, u.principal_id
           FROM (SELECT l.repository_id FROM blobs b
                   JOIN account_blobs n ON n.blob_id = b.id
                   JOIN repository_blobs l ON l.account_id = n.account_id AND l.blob_id = b.id
                  WHERE b.digest = $1 AND b.quarantined_at IS NULL LIMIT $4) AS held
           JOIN repositories r ON r.id = held.repository_id
           JOIN accounts a ON a.id = r.account_id LEFT JOIN users u ON u.account_id = r.account_id
          WHERE r.name IS NOT NULL AND (r.public = 1 OR $3 = 1)
          ORDER BY r.id LIMIT $2"
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
    /// Repositories of one account that hold this blob, at most `limit`: where a mount without `from` looks first. Whether
    /// the caller may pull from each is the caller's to check.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sources_in(&self, digest: &Digest, account: AccountId, limit: u32) -> Result<Vec<Repository>, Error> {
        let rows = self.rows(&SOURCES_IN, values![digest, account, i64::from(limit)]).await?;
        rows.iter().map(repository).collect()
    }

    /// Repositories of any account that hold this blob and are public, or any at all with `everything`, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_sources(&self, digest: &Digest, everything: bool, limit: u32) -> Result<Vec<Repository>, Error> {
        let rows = self.rows(&OPEN_SOURCES, values![digest, i64::from(limit), everything, LOOKED_AT]).await?;
        rows.iter().map(repository).collect()
    }
}

impl Tx {
    /// Links a blob of one repository into another; `None` when the source is gone or does not show it. The source is
    /// read in the transaction that makes the link (I6).
    ///
    /// # Errors
    /// The database failed.
    pub async fn mount(&mut self, mount: &Mount<'_>) -> Result<Option<BlobId>, Error> {
        if self.row(&HOLD_SOURCE, values![mount.source]).await?.is_none() {
            return Ok(None);
        }
        let shown_since = mount.now.saturating_sub(self.graces().shown);
        let Some(row) = self.row(&HOLD, values![mount.source, mount.digest, shown_since]).await? else {
            return Ok(None);
        };
        let blob = BlobId(row.integer(0)?);
        let linked = Linked { blob, digest: mount.digest, size: row.integer(1)? };
        self.link(mount.repository, &linked, mount.now).await?;
        Ok(Some(blob))
    }
}
