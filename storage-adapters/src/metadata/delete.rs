use hallmark_oci::Digest;

use super::error::Error;
use super::holds::Hold;
use super::repositories::Repository;
use super::rows::{ManifestId, PrincipalId};
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// Parents named in a refusal.
const NAMED: i64 = 16;

statements! {
    HOLD = ["SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2" {update}];
    PARENTS = [
        "SELECT p.digest FROM manifest_children e
           JOIN manifests p ON p.repository_id = e.repository_id AND p.id = e.parent_id
          WHERE e.repository_id = $1 AND e.child_id = $2 ORDER BY p.id LIMIT $3"
    ];
}

/// What became of a manifest that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestDeletion {
    /// It is gone, and with it these many tags.
    Deleted {
        /// Tags that pointed to it.
        tags: Vec<String>,
    },
    /// The repository does not hold it.
    Unknown,
    /// These indexes of the repository name it (I1); at most 16 of them.
    StillNamedBy(Vec<Digest>),
    /// Somebody holds it.
    Held(Vec<Hold>),
}

impl Tx {
    /// Deletes a manifest and every tag that points to it, from a repository that [`Tx::repository`] holds: it goes to the
    /// trash. Those who refer to it as their subject stay until it leaves that.
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
        let id = ManifestId(row.integer(0)?);
        let parents = self.rows(&PARENTS, values![repository.id, id, NAMED]).await?;
        if !parents.is_empty() {
            let named: Result<_, Error> = parents.iter().map(|row| row.parsed(0)).collect();
            return Ok(ManifestDeletion::StillNamedBy(named?));
        }
        let holds = self.holds_on(repository.id, id.0).await?;
        if !holds.is_empty() {
            return Ok(ManifestDeletion::Held(holds));
        }
        let tags = self.bury(repository.place(), id, actor, now).await?;
        Ok(ManifestDeletion::Deleted { tags })
    }
}
