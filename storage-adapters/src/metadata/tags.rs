use hallmark_oci::{Digest, Tag};

use super::candidates::Item;
use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::{ManifestId, PrincipalId, RepositoryId};
use super::statement::statements;
use super::tx::{TURNS, Tx};
use super::value::values;

statements! {
    PAGE = ["SELECT name FROM tags WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3"];
    HOLD = ["SELECT manifest_id, version, moved_at FROM tags WHERE repository_id = $1 AND name = $2" {update}];
    MOVE = ["UPDATE tags SET manifest_id = $3, version = $4, moved_at = $5 WHERE repository_id = $1 AND name = $2"];
    INSERT = [
        "INSERT INTO tags (repository_id, name, manifest_id, version, moved_at)
         SELECT $1, $2, $3, COALESCE(MAX(last.version), 0) + 1,
                CASE WHEN MAX(last.at) >= $4 THEN MAX(last.at) + 1 ELSE $4 END
           FROM (SELECT version, at FROM tag_history WHERE repository_id = $1 AND name = $2
                  ORDER BY version DESC LIMIT 1) AS last
          WHERE true
         ON CONFLICT DO NOTHING RETURNING version, moved_at"
    ];
    RECORD = [
        "INSERT INTO tag_history (repository_id, name, version, digest, at, actor_id) VALUES ($1, $2, $3, $4, $5, $6)"
    ];
    POINTED_AT = ["SELECT digest FROM manifests WHERE repository_id = $1 AND id = $2"];
    DELETE = ["DELETE FROM tags WHERE repository_id = $1 AND name = $2"];
}

/// A tag to be pointed at a manifest of the same repository, which the caller holds.
pub(super) struct Move<'a> {
    pub(super) repository: RepositoryId,
    pub(super) tag: &'a Tag,
    pub(super) manifest: ManifestId,
    pub(super) digest: &'a Digest,
    pub(super) actor: PrincipalId,
}

/// What pointing a tag came to.
pub(super) enum Moved {
    /// It pointed there already.
    Not,
    /// There was no such tag.
    New,
    /// It pointed to another manifest.
    From(ManifestId),
}

impl Metadata {
    /// Tags of a repository in byte order, after this one, at most `limit`. A page costs a page (I11).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tags(&self, repository: RepositoryId, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let rows = self.rows(&PAGE, values![repository, after.unwrap_or_default(), i64::from(limit)]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

impl Tx {
    /// Points a tag at a manifest. The order of moves is the version, counted under the row's lock; times are forced to
    /// rise with it, so that a replica's wrong clock cannot reorder history.
    pub(super) async fn move_tag(&mut self, to: &Move<'_>, now: i64) -> Result<Moved, Error> {
        let Move { repository, tag, manifest, .. } = *to;
        for _ in 0..TURNS {
            if let Some(row) = self.row(&HOLD, values![repository, tag]).await? {
                let before = ManifestId(row.integer(0)?);
                if before == manifest {
                    return Ok(Moved::Not);
                }
                let (version, at) = (row.integer(1)? + 1, now.max(row.integer(2)? + 1));
                self.execute(&MOVE, values![repository, tag, manifest, version, at]).await?;
                self.remember(to, version, at).await?;
                return Ok(Moved::From(before));
            }
            if let Some(row) = self.row(&INSERT, values![repository, tag, manifest, now]).await? {
                self.remember(to, row.integer(0)?, row.integer(1)?).await?;
                return Ok(Moved::New);
            }
        }
        Err(self.give_way("tags"))
    }

    async fn remember(&mut self, to: &Move<'_>, version: i64, at: i64) -> Result<(), Error> {
        self.execute(&RECORD, values![to.repository, to.tag, version, to.digest, at, to.actor]).await.map(drop)
    }

    /// Takes a tag away; the manifest it pointed to stays. The digest of that manifest, or `None` when there was no such
    /// tag.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_tag(
        &mut self,
        repository: &Repository,
        tag: &Tag,
        actor: PrincipalId,
        now: i64,
    ) -> Result<Option<Digest>, Error> {
        self.remove_tag(repository.id, tag, actor, now).await
    }

    /// As [`Self::delete_tag`], of a repository that is known by its id.
    pub(super) async fn remove_tag(
        &mut self,
        id: RepositoryId,
        tag: &Tag,
        actor: PrincipalId,
        now: i64,
    ) -> Result<Option<Digest>, Error> {
        // Lock, then look, in two statements: joined in one, the manifest would be the one from before the wait for the lock,
        // and a tag that was moved meanwhile would seem to be gone.
        let Some(row) = self.row(&HOLD, values![id, tag]).await? else { return Ok(None) };
        let manifest = row.integer(0)?;
        let (version, at) = (row.integer(1)? + 1, now.max(row.integer(2)? + 1));
        let Some(pointed_at) = self.row(&POINTED_AT, values![id, manifest]).await? else {
            return Err(Error::new(ErrorKind::Corrupt, "a tag points to no manifest"));
        };
        if self.execute(&DELETE, values![id, tag]).await? != 1 {
            return Err(Error::new(ErrorKind::Failed, "a tag that is locked was gone"));
        }
        self.execute(&RECORD, values![id, tag, version, None::<&str>, at, actor]).await?;
        self.touch(Slot::repository(id));
        let margin = self.graces().margin;
        self.candidates(Item::Manifest, id.0, [manifest], now + margin).await?;
        pointed_at.parsed(0).map(Some)
    }
}
