//! One look at what may be unneeded, and its taking away: each in the transaction that holds the item, so that between the
//! look and the deed nothing can come to need it. What follows from a look is decided elsewhere; the foreign keys judge that.

use hallmark_oci::Digest;

use super::candidates::{Candidate, Item};
use super::doomed::Passes;
use super::error::{Error, ErrorKind};
use super::events::Event;
use super::generations::Slot;
use super::rows::{AccountId, BlobId, ManifestId, PrincipalId, RepositoryId};
use super::statement::{Engine, statements};
use super::tx::Tx;
use super::usage::Scope;
use super::value::values;

statements! {
    HOLD_REPOSITORY = ["SELECT account_id FROM repositories WHERE id = $1 AND name IS NOT NULL" {share}];
    HOLD_MANIFEST = ["SELECT digest, touched_at FROM manifests WHERE repository_id = $1 AND id = $2" {update}];
    LOOK_AT_MANIFEST = [
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM tags t WHERE t.repository_id = m.repository_id AND t.manifest_id = m.id)
                  THEN 1 ELSE 0 END AS BIGINT),
                CAST(CASE WHEN EXISTS (SELECT 1 FROM manifest_children e
                                   WHERE e.repository_id = m.repository_id AND e.child_id = m.id) THEN 1 ELSE 0 END AS BIGINT),
                CAST(CASE WHEN EXISTS (SELECT 1 FROM manifests s
                                   WHERE s.repository_id = m.repository_id AND s.digest = m.subject_digest)
                       OR EXISTS (SELECT 1 FROM trash s
                                   WHERE s.repository_id = m.repository_id AND s.digest = m.subject_digest)
                  THEN 1 ELSE 0 END AS BIGINT),
                CAST(CASE WHEN EXISTS (SELECT 1 FROM holds h WHERE h.repository_id = m.repository_id AND h.manifest_id = m.id)
                  THEN 1 ELSE 0 END AS BIGINT)
           FROM manifests m WHERE m.repository_id = $1 AND m.id = $2"
    ];
    HOLD_AROUND_LINK = ["SELECT id FROM repositories WHERE id = $1" {share}];
    HOLD_BEHIND_LINK = [
        "SELECT a.blob_id FROM repository_blobs l JOIN account_blobs a ON a.account_id = l.account_id AND a.blob_id = l.blob_id
          WHERE l.repository_id = $1 AND l.blob_id = $2" {update of a}
    ];
    HOLD_LINK = ["SELECT touched_at FROM repository_blobs WHERE repository_id = $1 AND blob_id = $2" {update}];
    LOOK_AT_LINK = [
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM manifest_blobs e WHERE e.repository_id = $1 AND e.blob_id = $2)
                  THEN 1 ELSE 0 END AS BIGINT)"
    ];
    HOLD_ACCOUNT = ["SELECT blob_id FROM account_blobs WHERE account_id = $1 AND blob_id = $2" {update}];
    LOOK_AT_ACCOUNT = [
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM repository_blobs l WHERE l.account_id = $1 AND l.blob_id = $2)
                  THEN 1 ELSE 0 END AS BIGINT),
                CAST(CASE WHEN EXISTS (SELECT 1 FROM trash_blobs l WHERE l.account_id = $1 AND l.blob_id = $2)
                  THEN 1 ELSE 0 END AS BIGINT)"
    ];
    HOLD_BLOB = ["SELECT id FROM blobs WHERE id = $1" {update}];
    LOOK_AT_BLOB = [
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM account_blobs a WHERE a.blob_id = $1) THEN 1 ELSE 0 END AS BIGINT)"
    ];
    GENERATION = ["SELECT generation FROM candidates WHERE kind = $1 AND owner_id = $2 AND item_id = $3"];
    DIGEST = ["SELECT digest FROM blobs WHERE id = $1"];
    UNLINK = ["DELETE FROM repository_blobs WHERE repository_id = $1 AND blob_id = $2 RETURNING account_id"];
    LEAVE_ACCOUNT = [
        "DELETE FROM account_blobs WHERE account_id = $1 AND blob_id = $2 RETURNING (SELECT b.size FROM blobs b WHERE b.id = $2)"
    ];
    FORGET_BLOB = ["DELETE FROM blobs WHERE id = $1 RETURNING storage_key, size"];
}

/// What was found of a candidate, which the transaction now holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A newer request to look at it was made meanwhile; that one is answered when it is due.
    Overtaken,
    /// There is no such thing any more.
    Gone,
    /// It is a manifest of a repository that was deleted and can be brought back.
    Asleep,
    /// A manifest.
    Manifest(ManifestSeen),
    /// A blob's link in a repository.
    Link(LinkSeen),
    /// A blob in an account.
    Account(AccountSeen),
    /// A blob of the store.
    Blob(BlobSeen),
}

/// What keeps a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ManifestSeen {
    /// Whether the look was asked for because its parent or its subject went.
    pub orphaned: bool,
    /// Whether a tag points to it.
    pub tagged: bool,
    /// Whether an index names it.
    pub has_parent: bool,
    /// Whether its subject is here, or in the trash.
    pub has_subject: bool,
    /// Whether somebody holds it.
    pub held: bool,
    /// When it was last put, in milliseconds since the epoch.
    pub touched_at: i64,
}

/// What keeps a blob's link in a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkSeen {
    /// Whether a manifest names it.
    pub named: bool,
    /// When it was last pushed or mounted, in milliseconds since the epoch.
    pub touched_at: i64,
}

/// What keeps a blob in an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountSeen {
    /// Whether a repository of the account holds it.
    pub linked: bool,
    /// Whether something in the trash names it.
    pub in_trash: bool,
}

/// What keeps a blob in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlobSeen {
    /// Whether an account holds it.
    pub held: bool,
}

impl Tx {
    /// Holds what a candidate is about and looks at what keeps it: lock, then look, in two statements.
    ///
    /// # Errors
    /// The database failed.
    pub async fn look_at(&mut self, candidate: &Candidate) -> Result<Looked, Error> {
        let looked = match candidate.item {
            Item::Manifest => self.look_at_manifest(candidate).await?,
            Item::Link => self.look_at_link(candidate).await?,
            Item::Account => self.look_at_account(candidate).await?,
            Item::Blob => self.look_at_blob(candidate).await?,
        };
        // Read last: whoever took away what kept it asked for a look in the same transaction, and what is seen of the one
        // is seen of the other.
        let Candidate { item, owner, id, generation, .. } = *candidate;
        let current = self.row(&GENERATION, values![item.word(), owner, id]).await?;
        match current.map(|row| row.integer(0)).transpose()? {
            Some(current) if current == generation => Ok(looked),
            _ => Ok(Looked::Overtaken),
        }
    }

    async fn look_at_manifest(&mut self, candidate: &Candidate) -> Result<Looked, Error> {
        let key = values![candidate.owner, candidate.id];
        let lives = self.row(&HOLD_REPOSITORY, values![candidate.owner]).await?.is_some();
        let Some(held) = self.row(&HOLD_MANIFEST, key).await? else { return Ok(Looked::Gone) };
        if !lives {
            return Ok(Looked::Asleep);
        }
        let Some(seen) = self.row(&LOOK_AT_MANIFEST, key).await? else { return Ok(Looked::Gone) };
        Ok(Looked::Manifest(ManifestSeen {
            orphaned: candidate.orphaned,
            tagged: seen.truth(0)?,
            has_parent: seen.truth(1)?,
            has_subject: seen.truth(2)?,
            held: seen.truth(3)?,
            touched_at: held.integer(1)?,
        }))
    }

    async fn look_at_link(&mut self, candidate: &Candidate) -> Result<Looked, Error> {
        let key = values![candidate.owner, candidate.id];
        if self.engine() == Engine::Postgres {
            // The repository first: it is not handed over to another account meanwhile, where the link stands on another row.
            self.row(&HOLD_AROUND_LINK, values![candidate.owner]).await?;
            self.row(&HOLD_BEHIND_LINK, key).await?;
        }
        let Some(held) = self.row(&HOLD_LINK, key).await? else { return Ok(Looked::Gone) };
        let Some(seen) = self.row(&LOOK_AT_LINK, key).await? else { return Ok(Looked::Gone) };
        Ok(Looked::Link(LinkSeen { named: seen.truth(0)?, touched_at: held.integer(0)? }))
    }

    async fn look_at_account(&mut self, candidate: &Candidate) -> Result<Looked, Error> {
        let key = values![candidate.owner, candidate.id];
        if self.row(&HOLD_ACCOUNT, key).await?.is_none() {
            return Ok(Looked::Gone);
        }
        let Some(seen) = self.row(&LOOK_AT_ACCOUNT, key).await? else { return Ok(Looked::Gone) };
        Ok(Looked::Account(AccountSeen { linked: seen.truth(0)?, in_trash: seen.truth(1)? }))
    }

    async fn look_at_blob(&mut self, candidate: &Candidate) -> Result<Looked, Error> {
        if self.row(&HOLD_BLOB, values![candidate.id]).await?.is_none() {
            return Ok(Looked::Gone);
        }
        let Some(seen) = self.row(&LOOK_AT_BLOB, values![candidate.id]).await? else { return Ok(Looked::Gone) };
        Ok(Looked::Blob(BlobSeen { held: seen.truth(0)? }))
    }

    /// Takes away what [`Self::look_at`] holds, asks for a look at what it stood on, and settles the request. A manifest goes
    /// to the trash. How many bytes of the store became free by it, once their key is deleted.
    ///
    /// # Errors
    /// The database failed, or something still names it: then nothing is done (I1).
    pub async fn collect(&mut self, candidate: &Candidate, now: i64) -> Result<u64, Error> {
        let freed = match candidate.item {
            Item::Manifest => self.collect_manifest(candidate, now).await.map(|()| 0)?,
            Item::Link => self.collect_link(candidate, now).await.map(|()| 0)?,
            Item::Account => {
                let Some(row) = self.row(&LEAVE_ACCOUNT, values![candidate.owner, candidate.id]).await? else {
                    return Err(held_and_gone("account_blobs"));
                };
                self.charge(Scope::Account(AccountId(candidate.owner)), -row.integer(0)?).await?;
                self.candidates(Item::Blob, 0, [candidate.id], now).await?;
                0
            }
            Item::Blob => self.collect_blob(BlobId(candidate.id), now).await?,
        };
        self.settle(candidate).await?;
        Ok(freed)
    }

    async fn collect_manifest(&mut self, candidate: &Candidate, now: i64) -> Result<(), Error> {
        let repository = RepositoryId(candidate.owner);
        let Some(account) = self.row(&HOLD_REPOSITORY, values![repository]).await? else {
            return Err(held_and_gone("repositories"));
        };
        let Some(held) = self.row(&HOLD_MANIFEST, values![repository, candidate.id]).await? else {
            return Err(held_and_gone("manifests"));
        };
        let (account, digest) = (AccountId(account.integer(0)?), held.text(0)?);
        self.bury((repository, account), ManifestId(candidate.id), PrincipalId::SYSTEM, now).await?;
        let event = Event::of_system("manifest_collected", &digest, now);
        self.record(&Event { account: Some(account), repository: Some(repository), ..event }).await
    }

    async fn collect_link(&mut self, candidate: &Candidate, now: i64) -> Result<(), Error> {
        let Some(row) = self.row(&UNLINK, values![candidate.owner, candidate.id]).await? else {
            return Err(held_and_gone("repository_blobs"));
        };
        if let Some(digest) = self.row(&DIGEST, values![candidate.id]).await? {
            self.touch(Slot::blob(&digest.parsed::<Digest>(0)?));
        }
        let account = AccountId(row.integer(0)?);
        self.release_blobs((RepositoryId(candidate.owner), account), [candidate.id]).await?;
        self.candidates(Item::Account, account.0, [candidate.id], now).await
    }

    async fn collect_blob(&mut self, blob: BlobId, now: i64) -> Result<u64, Error> {
        let Some(row) = self.row(&FORGET_BLOB, values![blob]).await? else { return Err(held_and_gone("blobs")) };
        let grace = self.graces().bytes;
        self.doom(&row.parsed(0)?, None, now.saturating_add(grace), Passes::Once).await?;
        row.unsigned(1)
    }
}

fn held_and_gone(table: &'static str) -> Error {
    Error::new(ErrorKind::Failed, format!("a row of {table} that is locked was gone"))
}
