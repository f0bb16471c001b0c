//! The way back from the trash: manifests with what they name, tags by their history, repositories whole.

use hallmark_oci::{Digest, RepositoryName, Tag};

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::links::Linked;
use super::repositories::Repository;
use super::rows::{AccountId, BlobId, ManifestId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tags::{Move, Moved};
use super::tx::Tx;
use super::value::values;

/// How deep an index in the trash is brought back: as deep as one can be pushed.
const DEPTH: u32 = 8;

statements! {
    PAGE = [
        "SELECT t.digest, t.media_type, t.size, t.tags, t.deleted_at, t.purge_at, COALESCE(u.name, h.name || '+' || b.name)
           FROM trash t
           LEFT JOIN users u ON u.principal_id = t.deleted_by
           LEFT JOIN robots b ON b.principal_id = t.deleted_by LEFT JOIN accounts h ON h.id = b.account_id
          WHERE t.repository_id = $1 AND t.digest > $2 ORDER BY t.digest LIMIT $3"
    ];
    HOLD = ["SELECT id, tags FROM trash WHERE repository_id = $1 AND digest = $2" {update}];
    HOLD_LIVE = ["SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2" {share}];
    CHILDREN = ["SELECT child_digest FROM trash_children WHERE trash_id = $1 ORDER BY child_digest"];
    BLOBS = [
        "SELECT b.id, b.digest, b.quarantined_at, b.size FROM trash_blobs t JOIN blobs b ON b.id = t.blob_id
          WHERE t.trash_id = $1 ORDER BY b.id"
    ];
    REVIVE = [
        "INSERT INTO manifests (id, repository_id, digest, media_type, artifact_type, subject_digest, referrer, size,
                                touched_at, pushed_by, body)
         SELECT $2, repository_id, digest, media_type, artifact_type, subject_digest, referrer, size, $3, $4, body
           FROM trash WHERE id = $1 ON CONFLICT DO NOTHING"
    ];
    REVIVE_BLOBS = [
        "INSERT INTO manifest_blobs (repository_id, manifest_id, blob_id)
         SELECT $1, $2, blob_id FROM trash_blobs WHERE trash_id = $3"
    ];
    REVIVE_CHILDREN = [
        "INSERT INTO manifest_children (repository_id, parent_id, child_id)
         SELECT $1, $2, m.id FROM trash_children c
           JOIN manifests m ON m.repository_id = c.repository_id AND m.digest = c.child_digest
          WHERE c.trash_id = $3"
    ];
    FORGET = ["DELETE FROM trash WHERE id = $1"];
    IS_TAG = ["SELECT version FROM tags WHERE repository_id = $1 AND name = $2"];
    FORGET_VOUCH = ["DELETE FROM vouches WHERE repository_id = $1 AND tag = $2"];
    HISTORY = [
        "SELECT h.version, h.digest, h.at, COALESCE(u.name, o.name || '+' || b.name) FROM tag_history h
           LEFT JOIN users u ON u.principal_id = h.actor_id
           LEFT JOIN robots b ON b.principal_id = h.actor_id LEFT JOIN accounts o ON o.id = b.account_id
          WHERE h.repository_id = $1 AND h.name = $2 AND h.version < $3 ORDER BY h.version DESC LIMIT $4"
    ];
    AT = [
        "SELECT h.version, h.digest, h.at, NULL FROM tag_history h
          WHERE h.repository_id = $1 AND h.name = $2 AND h.at <= $3 ORDER BY h.at DESC LIMIT 1"
    ];
    DELETED = [
        "SELECT id, former_name, deleted_at, purge_at FROM repositories
          WHERE account_id = $1 AND name IS NULL AND purge_at > $2 AND id > $3 ORDER BY id LIMIT $4"
    ];
    HOLD_DELETED = [
        "SELECT id FROM repositories
          WHERE account_id = $1 AND name IS NULL AND former_name = $2 AND purge_at > $3
          ORDER BY deleted_at DESC LIMIT 1" {update}
    ];
    RESTORE = [
        "UPDATE repositories SET name = former_name, former_name = NULL, deleted_at = NULL, purge_at = NULL
          WHERE id = $1 AND name IS NULL"
    ];
    GIVE_UP = ["UPDATE repositories SET purge_at = 0 WHERE account_id = $1 AND name IS NULL"];
}

/// A manifest in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The size of its bytes.
    pub size: u64,
    /// The tags that pointed to it.
    pub tags: Vec<String>,
    /// When it was deleted, in milliseconds since the epoch.
    pub deleted_at: i64,
    /// Until when it can be brought back.
    pub until: i64,
    /// Who deleted it; `None` for the registry itself and for those who are gone.
    pub deleted_by: Option<String>,
}

/// One move of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagMove {
    /// Its place in the tag's history, from 1.
    pub version: i64,
    /// What it pointed to from then on; `None` when it was deleted.
    pub digest: Option<Digest>,
    /// When, in milliseconds since the epoch; it rises with the version.
    pub at: i64,
    /// Who moved it, while they are there and when it is asked for.
    pub actor: Option<String>,
}

/// A repository that was deleted and can be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRepository {
    /// Its id, by which lists go on.
    pub id: RepositoryId,
    /// The name it had.
    pub name: RepositoryName,
    /// When it was deleted, in milliseconds since the epoch.
    pub deleted_at: i64,
    /// Until when it can be brought back.
    pub until: i64,
}

/// What became of a manifest that was to be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undeleted {
    /// It is back, and these tags would point to it if they were still free.
    Back(ManifestId, Vec<Tag>),
    /// The repository holds it: it never went, or came back otherwise.
    Present(ManifestId),
    /// The trash does not hold it (any more).
    Unknown,
    /// It names these manifests, which are nowhere any more.
    Incomplete(Digest),
    /// It names this blob, whose bytes are damaged; pushed again they are whole, and then this can be tried again.
    Damaged(Digest),
}

/// What became of a tag that was to point to what it pointed to before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It stays as it is.
    Not,
    /// There was no such tag.
    Free,
    /// It pointed to another manifest.
    Overwritten,
}

impl Metadata {
    /// Manifests of a repository that are in the trash, by digest, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trash(&self, repository: RepositoryId, after: &str, limit: u32) -> Result<Vec<Trashed>, Error> {
        let rows = self.rows(&PAGE, values![repository, after, i64::from(limit)]).await?;
        rows.iter().map(trashed).collect()
    }

    /// The moves of a tag before this version, the latest first, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tag_history(
        &self,
        repository: RepositoryId,
        tag: &Tag,
        before: i64,
        limit: u32,
    ) -> Result<Vec<TagMove>, Error> {
        let rows = self.rows(&HISTORY, values![repository, tag, before, i64::from(limit)]).await?;
        rows.iter().map(tag_move).collect()
    }

    /// The last move of a tag at or before this time, in milliseconds since the epoch: what it pointed to then.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tag_at(&self, repository: RepositoryId, tag: &Tag, at: i64) -> Result<Option<TagMove>, Error> {
        self.row(&AT, values![repository, tag, at]).await?.map(|row| tag_move(&row)).transpose()
    }

    /// Repositories of an account that were deleted and can be brought back at `now`, by their ids, after this one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn deleted_repositories(
        &self,
        account: AccountId,
        now: i64,
        after: RepositoryId,
        limit: u32,
    ) -> Result<Vec<DeletedRepository>, Error> {
        let rows = self.rows(&DELETED, values![account, now, after, i64::from(limit)]).await?;
        rows.iter()
            .map(|row| {
                Ok(DeletedRepository {
                    id: RepositoryId(row.integer(0)?),
                    name: row.parsed(1)?,
                    deleted_at: row.integer(2)?,
                    until: row.integer(3)?,
                })
            })
            .collect()
    }
}

impl Tx {
    /// Brings a manifest back from the trash into a repository that [`Tx::repository`] holds, with the manifests it names that
    /// went too. Its tags are the caller's to move.
    ///
    /// # Errors
    /// The database failed.
    pub async fn undelete_manifest(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        actor: PrincipalId,
        now: i64,
    ) -> Result<Undeleted, Error> {
        self.revive(repository, digest, (actor, now), DEPTH).await
    }

    async fn revive(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        (actor, now): (PrincipalId, i64),
        depth: u32,
    ) -> Result<Undeleted, Error> {
        let id = repository.id;
        // Who ends its window holds this row too: it is brought back whole, or is gone.
        let Some(held) = self.row(&HOLD, values![id, digest]).await? else {
            let live = self.row(&HOLD_LIVE, values![id, digest]).await?;
            return live.map_or(Ok(Undeleted::Unknown), |row| Ok(Undeleted::Present(ManifestId(row.integer(0)?))));
        };
        let (trash, tags) = (held.integer(0)?, names(&held.text(1)?)?);
        for child in self.rows(&CHILDREN, values![trash]).await? {
            let child: Digest = child.parsed(0)?;
            if self.row(&HOLD_LIVE, values![id, &child]).await?.is_some() {
                continue;
            }
            if depth == 0 {
                return Ok(Undeleted::Incomplete(child));
            }
            match Box::pin(self.revive(repository, &child, (actor, now), depth - 1)).await? {
                Undeleted::Back(..) | Undeleted::Present(_) => {}
                Undeleted::Unknown => return Ok(Undeleted::Incomplete(child)),
                refused => return Ok(refused),
            }
        }
        for row in self.rows(&BLOBS, values![trash]).await? {
            let (blob, digest, size) = (BlobId(row.integer(0)?), row.parsed(1)?, row.integer(3)?);
            if row.maybe_integer(2)?.is_some() {
                return Ok(Undeleted::Damaged(digest));
            }
            // While it is in the trash it is charged: this costs nothing more.
            self.link(repository, &Linked { blob, digest: &digest, size }, now).await?;
        }
        let manifest = ManifestId(self.id()?);
        if self.execute(&REVIVE, values![trash, manifest, now, actor]).await? != 1 {
            // It was pushed at this moment, which takes it out of the trash.
            return Err(self.give_way("manifests"));
        }
        self.execute(&REVIVE_BLOBS, values![id, manifest, trash]).await?;
        self.execute(&REVIVE_CHILDREN, values![id, manifest, trash]).await?;
        self.execute(&FORGET, values![trash]).await?;
        self.touch(Slot::repository(id));
        Ok(Undeleted::Back(manifest, tags))
    }

    /// Points a tag to a manifest that was brought back, or never went; what that came to. What was vouched for it is not any
    /// more: whoever signs it looks at it anew. With `only_free`, a tag that points somewhere stays.
    ///
    /// # Errors
    /// The database failed.
    pub async fn restore_tag(
        &mut self,
        repository: &Repository,
        (tag, only_free): (&Tag, bool),
        (manifest, digest): (ManifestId, &Digest),
        actor: PrincipalId,
        now: i64,
    ) -> Result<Restored, Error> {
        if only_free && self.row(&IS_TAG, values![repository.id, tag]).await?.is_some() {
            return Ok(Restored::Not);
        }
        let to = Move { repository: repository.id, tag, manifest, digest, actor };
        let moved = self.move_tag(&to, now).await?;
        if let Moved::From(before) = moved {
            let margin = self.graces().margin;
            self.candidates(super::candidates::Item::Manifest, repository.id.0, [before.0], now + margin).await?;
        }
        let restored = match moved {
            Moved::Not => return Ok(Restored::Not),
            Moved::New => Restored::Free,
            Moved::From(_) => Restored::Overwritten,
        };
        self.execute(&FORGET_VOUCH, values![repository.id, tag]).await?;
        self.touch(Slot::repository(repository.id));
        Ok(restored)
    }

    /// The moves of a tag before this version, the latest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn moves_of(
        &mut self,
        repository: &Repository,
        tag: &Tag,
        before: i64,
        limit: u32,
    ) -> Result<Vec<TagMove>, Error> {
        let rows = self.rows(&HISTORY, values![repository.id, tag, before, i64::from(limit)]).await?;
        rows.iter().map(tag_move).collect()
    }

    /// The last move of a tag at or before this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn move_at(&mut self, repository: &Repository, tag: &Tag, at: i64) -> Result<Option<TagMove>, Error> {
        self.row(&AT, values![repository.id, tag, at]).await?.map(|row| tag_move(&row)).transpose()
    }

    /// Brings the repository of this account back that last had this name, private and without its robots; `None` when there is
    /// none to be brought back. The name must be free.
    ///
    /// # Errors
    /// The database failed.
    pub async fn undelete_repository(
        &mut self,
        account: AccountId,
        name: &RepositoryName,
        now: i64,
    ) -> Result<Option<RepositoryId>, Error> {
        let Some(row) = self.row(&HOLD_DELETED, values![account, name, now]).await? else { return Ok(None) };
        let id = RepositoryId(row.integer(0)?);
        if self.execute(&RESTORE, values![id]).await? != 1 {
            return Err(Error::new(ErrorKind::Failed, "a repository that is locked was gone"));
        }
        self.touch(Slot::name(name));
        self.touch(Slot::repository(id));
        Ok(Some(id))
    }

    /// Ends the windows of all deleted repositories of an account; whether there were any.
    pub(super) async fn give_up_deleted_repositories(&mut self, account: AccountId) -> Result<bool, Error> {
        Ok(self.execute(&GIVE_UP, values![account]).await? > 0)
    }
}

fn trashed(row: &Row) -> Result<Trashed, Error> {
    Ok(Trashed {
        digest: row.parsed(0)?,
        media_type: row.text(1)?,
        size: row.unsigned(2)?,
        tags: names(&row.text(3)?)?.iter().map(ToString::to_string).collect(),
        deleted_at: row.integer(4)?,
        until: row.integer(5)?,
        deleted_by: row.maybe_text(6)?,
    })
}

fn tag_move(row: &Row) -> Result<TagMove, Error> {
    Ok(TagMove {
        version: row.integer(0)?,
        digest: row.maybe_parsed(1)?,
        at: row.integer(2)?,
        actor: row.maybe_text(3)?,
    })
}

/// A list of tags, as the trash keeps it.
fn names(list: &str) -> Result<Vec<Tag>, Error> {
    let names: Vec<String> =
        serde_json::from_str(list).map_err(|error| Error::caused(ErrorKind::Corrupt, "trash.tags", error))?;
    let parsed: Result<_, _> = names.iter().map(|name| name.parse()).collect();
    parsed.map_err(|error| Error::caused(ErrorKind::Corrupt, "trash.tags", error))
}
