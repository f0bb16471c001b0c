use hallmark_oci::Digest;

use super::candidates::{Item, MARGIN};
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::PrincipalId;
use super::statement::{Statement, statements};
use super::tx::Tx;
use super::value::{Value, values};

/// Parents named in a refusal.
const NAMED: i64 = 16;

statements! {
    HOLD = ["SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2" {update}];
    PARENTS = [
        "SELECT p.digest FROM manifest_children e
           JOIN manifests p ON p.repository_id = e.repository_id AND p.id = e.parent_id
          WHERE e.repository_id = $1 AND e.child_id = $2 ORDER BY p.id LIMIT $3"
    ];
    HOLD_TAGS = ["SELECT name FROM tags WHERE repository_id = $1 AND manifest_id = $2 ORDER BY name" {update}];
    RECORD_TAGS = [
        "INSERT INTO tag_history (repository_id, name, version, digest, at, actor_id)
         SELECT repository_id, name, version + 1, NULL, CASE WHEN moved_at >= $3 THEN moved_at + 1 ELSE $3 END, $4
           FROM tags WHERE repository_id = $1 AND manifest_id = $2"
    ];
    DELETE_TAGS = ["DELETE FROM tags WHERE repository_id = $1 AND manifest_id = $2"];
    BLOBS = ["SELECT blob_id FROM manifest_blobs WHERE repository_id = $1 AND manifest_id = $2"];
    CHILDREN = ["SELECT child_id FROM manifest_children WHERE repository_id = $1 AND parent_id = $2"];
    DELETE = ["DELETE FROM manifests WHERE repository_id = $1 AND id = $2"];
}

/// What became of a manifest that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestDeletion {
    /// It is gone, and with it these many tags.
    Deleted {
        /// Tags that pointed to it.
        tags: u64,
    },
    /// The repository does not hold it.
    Unknown,
    /// These indexes of the repository name it (I1); at most 16 of them.
    StillNamedBy(Vec<Digest>),
}

impl Tx {
    /// Deletes a manifest and every tag that points to it, from a repository that [`Tx::repository`] holds. Those who
    /// refer to it as their subject stay.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_manifest(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        actor: PrincipalId,
        now: i64,
    ) -> Result<ManifestDeletion, Error> {
        // From this lock on no tag, parent or edge can be added.
        let Some(row) = self.row(&HOLD, values![repository.id, digest]).await? else {
            return Ok(ManifestDeletion::Unknown);
        };
        let (id, key) = (row.integer(0)?, [Value::from(repository.id), Value::from(row.integer(0)?)]);
        let parents = self.rows(&PARENTS, values![repository.id, id, NAMED]).await?;
        if !parents.is_empty() {
            let named: Result<_, Error> = parents.iter().map(|row| row.parsed(0)).collect();
            return Ok(ManifestDeletion::StillNamedBy(named?));
        }
        let tags = self.delete_tags(&key, actor, now).await?;
        let (blobs, children) = (self.integers(&BLOBS, &key).await?, self.integers(&CHILDREN, &key).await?);
        if self.execute(&DELETE, &key).await? != 1 {
            return Err(Error::new(ErrorKind::Failed, "a manifest that is locked was gone"));
        }
        self.touch(Slot::repository(repository.id));
        self.candidates(Item::Link, repository.id.0, blobs, now + MARGIN).await?;
        self.candidates(Item::Manifest, repository.id.0, children, now + MARGIN).await?;
        Ok(ManifestDeletion::Deleted { tags })
    }

    /// Takes away the tags of a manifest that is locked. They are locked as well before history is written: one that
    /// moves away meanwhile must not be recorded as deleted.
    async fn delete_tags(&mut self, key: &[Value<'_>; 2], actor: PrincipalId, now: i64) -> Result<u64, Error> {
        if self.rows(&HOLD_TAGS, key).await?.is_empty() {
            return Ok(0);
        }
        self.execute(&RECORD_TAGS, &[key[0], key[1], now.into(), actor.into()]).await?;
        self.execute(&DELETE_TAGS, key).await
    }

    async fn integers(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<i64>, Error> {
        self.rows(statement, values).await?.iter().map(|row| row.integer(0)).collect()
    }
}
