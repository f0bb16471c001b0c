//! What keeps a digest, and how much waits for the collector. Within one account, so that nobody learns who else holds it (I6).

use hallmark_oci::Digest;

use super::candidates::Candidate;
use super::database::Metadata;
use super::error::Error;
use super::holds::HoldKind;
use super::rows::AccountId;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// How many repositories an explanation names.
const NAMED: i64 = 100;
/// How far is counted.
const COUNTED: i64 = 10_000;

statements! {
    LINKS = [
        "SELECT COALESCE(r.name, r.former_name), r.purge_at, l.touched_at,
                (SELECT m.digest FROM manifest_blobs e
                   JOIN manifests m ON m.repository_id = e.repository_id AND m.id = e.manifest_id
                  WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id LIMIT 1),
                (SELECT c.due_at FROM candidates c
                  WHERE c.kind = 'link' AND c.owner_id = l.repository_id AND c.item_id = l.blob_id)
           FROM blobs b
           JOIN repository_blobs l ON l.account_id = $1 AND l.blob_id = b.id
           JOIN repositories r ON r.id = l.repository_id
          WHERE b.digest = $2 ORDER BY l.repository_id LIMIT $3"
    ];
    IN_TRASH = [
        "SELECT COALESCE(r.name, r.former_name), t.digest, t.purge_at
           FROM blobs b
           JOIN trash_blobs n ON n.account_id = $1 AND n.blob_id = b.id
           JOIN trash t ON t.id = n.trash_id JOIN repositories r ON r.id = t.repository_id
          WHERE b.digest = $2 ORDER BY n.repository_id, n.trash_id LIMIT $3"
    ];
    MANIFESTS = [
        "SELECT COALESCE(r.name, r.former_name), r.purge_at,
                (SELECT t.name FROM tags t WHERE t.repository_id = m.repository_id AND t.manifest_id = m.id LIMIT 1),
                (SELECT p.digest FROM manifest_children e
                   JOIN manifests p ON p.repository_id = e.repository_id AND p.id = e.parent_id
                  WHERE e.repository_id = m.repository_id AND e.child_id = m.id LIMIT 1),
                m.subject_digest,
                (SELECT c.due_at FROM candidates c
                  WHERE c.kind = 'manifest' AND c.owner_id = m.repository_id AND c.item_id = m.id AND c.orphaned = 1),
                (SELECT h.kind FROM holds h
                  WHERE h.repository_id = m.repository_id AND h.manifest_id = m.id ORDER BY h.kind LIMIT 1),
                (SELECT h.reason FROM holds h
                  WHERE h.repository_id = m.repository_id AND h.manifest_id = m.id ORDER BY h.kind LIMIT 1)
           FROM repositories r JOIN manifests m ON m.repository_id = r.id AND m.digest = $2
          WHERE r.account_id = $1 ORDER BY r.id LIMIT $3"
    ];
    TRASHED = [
        "SELECT COALESCE(r.name, r.former_name), t.purge_at
           FROM repositories r JOIN trash t ON t.repository_id = r.id AND t.digest = $2
          WHERE r.account_id = $1 ORDER BY r.id LIMIT $3"
    ];
    IN_STORE = [
        "SELECT b.size, b.quarantined_at,
                (SELECT COUNT(*) FROM (SELECT 1 FROM account_blobs a WHERE a.blob_id = b.id LIMIT $2) AS held)
           FROM blobs b WHERE b.digest = $1"
    ];
    DUE = [
        "SELECT page.kind, page.owner_id, page.item_id, page.generation, page.orphaned FROM candidates page
          WHERE page.due_at <= $1 ORDER BY page.due_at LIMIT $2"
    ];
    LAST_OF_BLOB = [
        "SELECT b.size FROM blobs b WHERE b.id = $1
            AND NOT EXISTS (SELECT 1 FROM account_blobs a WHERE a.blob_id = b.id AND a.account_id <> $2)
            AND NOT EXISTS (SELECT 1 FROM trash_blobs t WHERE t.account_id = $2 AND t.blob_id = b.id)
            AND NOT EXISTS (SELECT 1 FROM repository_blobs l
                             WHERE l.account_id = $2 AND l.blob_id = b.id AND l.repository_id <> $3)"
    ];
    ACCOUNT_OF = ["SELECT account_id FROM repositories WHERE id = $1"];
    WAITING = [
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM candidates WHERE due_at <= $1 LIMIT $2) AS held),
                (SELECT COUNT(*) FROM (SELECT 1 FROM candidates WHERE due_at > $1 LIMIT $2) AS held),
                (SELECT COUNT(*) FROM (SELECT 1 FROM trash WHERE purge_at <= $1 LIMIT $2) AS held),
                (SELECT COUNT(*) FROM (SELECT 1 FROM trash WHERE purge_at > $1 LIMIT $2) AS held),
                (SELECT COUNT(*) FROM (SELECT 1 FROM key_deletions WHERE due_at <= $1 LIMIT $2) AS held),
                (SELECT COUNT(*) FROM (SELECT 1 FROM key_deletions WHERE due_at > $1 LIMIT $2) AS held)"
    ];
}

/// What keeps a digest in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The repository, by the name it has, or had when it was deleted.
    pub repository: String,
    /// Until when it can be brought back, if it was deleted.
    pub deleted_until: Option<i64>,
    /// What keeps it there.
    pub by: KeptBy,
}

/// A reason for which something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// This manifest names the blob.
    Manifest(Digest),
    /// No manifest names the blob.
    Unnamed {
        /// When it was last pushed or mounted.
        touched_at: i64,
        /// When it is looked at, if that is known.
        due_at: Option<i64>,
    },
    /// This manifest in the trash names the blob, until this time.
    Trash(Digest, i64),
    /// This tag points to the manifest.
    Tag(String),
    /// This index names the manifest.
    Index(Digest),
    /// What the manifest belonged to is gone: it is looked at at this time.
    Orphaned(i64),
    /// The manifest was pushed, and nobody deleted it; the subject it refers to, if any.
    Pushed(Option<Digest>),
    /// Somebody holds the manifest, for this reason.
    Held(HoldKind, String),
    /// The manifest is in the trash until this time.
    Trashed(i64),
}

/// A blob in the store, whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InStore {
    /// Its size in bytes.
    pub size: u64,
    /// Since when its bytes are known to be damaged.
    pub quarantined_at: Option<i64>,
    /// How many accounts hold it, counted up to a hundred.
    pub accounts: u64,
}

/// How much waits for the collector, each counted up to ten thousand: what is due, and what will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Things to look at.
    pub candidates: (u64, u64),
    /// Manifests in the trash.
    pub trash: (u64, u64),
    /// Keys whose bytes are to be deleted.
    pub keys: (u64, u64),
}

impl Metadata {
    /// What keeps a digest in the repositories of an account, at most some hundred reasons. Costs the account's repositories.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kept(&self, account: AccountId, digest: &Digest) -> Result<Vec<Kept>, Error> {
        let asked = values![account, digest, NAMED];
        let mut kept = Vec::new();
        for row in self.rows(&LINKS, asked).await? {
            let by = match row.maybe_parsed(3)? {
                Some(manifest) => KeptBy::Manifest(manifest),
                None => KeptBy::Unnamed { touched_at: row.integer(2)?, due_at: row.maybe_integer(4)? },
            };
            kept.push(Kept { repository: row.text(0)?, deleted_until: row.maybe_integer(1)?, by });
        }
        for row in self.rows(&IN_TRASH, asked).await? {
            let by = KeptBy::Trash(row.parsed(1)?, row.integer(2)?);
            kept.push(Kept { repository: row.text(0)?, deleted_until: None, by });
        }
        for row in self.rows(&MANIFESTS, asked).await? {
            let by = match (row.maybe_text(2)?, row.maybe_parsed(3)?, row.maybe_integer(5)?) {
                (Some(tag), ..) => KeptBy::Tag(tag),
                (None, Some(index), _) => KeptBy::Index(index),
                (None, None, Some(due_at)) => KeptBy::Orphaned(due_at),
                (None, None, None) => KeptBy::Pushed(row.maybe_parsed(4)?),
            };
            let (repository, deleted_until) = (row.text(0)?, row.maybe_integer(1)?);
            if let (Some(kind), Some(reason)) = (row.maybe_text(6)?, row.maybe_text(7)?) {
                let by = KeptBy::Held(HoldKind::of(&kind)?, reason);
                kept.push(Kept { repository: repository.clone(), deleted_until, by });
            }
            kept.push(Kept { repository, deleted_until, by });
        }
        for row in self.rows(&TRASHED, asked).await? {
            let by = KeptBy::Trashed(row.integer(1)?);
            kept.push(Kept { repository: row.text(0)?, deleted_until: None, by });
        }
        Ok(kept)
    }

    /// A blob in the store, whoever holds it: for the operator alone.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn in_store(&self, digest: &Digest) -> Result<Option<InStore>, Error> {
        let row = self.row(&IN_STORE, values![digest, NAMED]).await?;
        row.map(|row| {
            Ok(InStore { size: row.unsigned(0)?, quarantined_at: row.maybe_integer(1)?, accounts: row.unsigned(2)? })
        })
        .transpose()
    }

    /// How much waits for the collector.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn waiting(&self, now: i64) -> Result<Waiting, Error> {
        let Some(row) = self.row(&WAITING, values![now, COUNTED]).await? else { return Ok(Waiting::default()) };
        let pair = |at: usize| Ok::<_, Error>((row.unsigned(at)?, row.unsigned(at + 1)?));
        Ok(Waiting { candidates: pair(0)?, trash: pair(2)?, keys: pair(4)? })
    }

    /// Candidates that are due, the first of them, without claiming any.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn due_candidates(&self, now: i64, limit: u32) -> Result<Vec<Candidate>, Error> {
        let rows = self.rows(&DUE, values![now, i64::from(limit)]).await?;
        rows.iter().map(super::candidates::candidate).collect()
    }
}

impl Tx {
    /// The bytes that become free when a candidate goes, unless something else of the same account goes with it: 0 while
    /// somebody else holds them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bytes_of(&mut self, candidate: &Candidate) -> Result<u64, Error> {
        use super::candidates::Item;
        let (account, repository) = match candidate.item {
            Item::Manifest => return Ok(0),
            Item::Link => {
                let account = self.row(&ACCOUNT_OF, values![candidate.owner]).await?;
                (account.map_or(Ok(-1), |row| row.integer(0))?, candidate.owner)
            }
            Item::Account => (candidate.owner, -1),
            Item::Blob => (-1, -1),
        };
        let last = self.row(&LAST_OF_BLOB, values![candidate.id, account, repository]).await?;
        last.map_or(Ok(0), |row| row.unsigned(0))
    }
}
