//! Manifests that are kept on purpose: a hold is a foreign key, so that nothing that goes by it can take them.

use hallmark_oci::Digest;

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::rows::RepositoryId;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    HOLD_MANIFEST = ["SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2" {share}];
    PLACE = [
        "INSERT INTO holds (repository_id, manifest_id, kind, placed_by, reason, placed_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING"
    ];
    RELEASE = [
        "DELETE FROM holds WHERE repository_id = $1 AND kind = $3 AND manifest_id =
           (SELECT m.id FROM manifests m WHERE m.repository_id = $1 AND m.digest = $2)"
    ];
    OF_MANIFEST = [
        "SELECT kind, placed_by, reason, placed_at FROM holds WHERE repository_id = $1 AND manifest_id = $2 ORDER BY kind"
    ];
    PAGE = [
        "SELECT page.kind, page.placed_by, page.reason, page.placed_at, m.digest, page.manifest_id FROM holds page
           JOIN manifests m ON m.repository_id = page.repository_id AND m.id = page.manifest_id
          WHERE page.repository_id = $1 AND (page.manifest_id > $2 OR page.manifest_id = $2 AND page.kind > $3)
          ORDER BY page.manifest_id, page.kind LIMIT $4"
    ];
    LEGAL = [
        "SELECT m.digest FROM holds page
           JOIN manifests m ON m.repository_id = page.repository_id AND m.id = page.manifest_id
          WHERE page.repository_id = $1 AND page.kind = 'legal' LIMIT 1"
    ];
}

/// What kind of hold it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldKind {
    /// Somebody wants to keep it: it goes with its repository.
    Pin,
    /// It must be kept: its repository cannot be deleted either.
    Legal,
}

impl HoldKind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Legal => "legal",
        }
    }

    pub(super) fn of(word: &str) -> Result<Self, Error> {
        [Self::Pin, Self::Legal]
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "holds.kind"))
    }
}

/// A hold on a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its kind; a manifest has one of each at most.
    pub kind: HoldKind,
    /// Who placed it, by the name they had.
    pub placed_by: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since the epoch.
    pub placed_at: i64,
}

/// What became of a hold that was to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// It is placed.
    Placed,
    /// There is one of its kind already, which stays as it is.
    Present,
    /// The repository holds no such manifest.
    Unknown,
}

impl Metadata {
    /// The holds of a repository after this manifest and kind, at most `limit`: each with the manifest's digest, and the number by
    /// which the next page goes on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn holds(
        &self,
        repository: RepositoryId,
        (after, kind): (i64, &str),
        limit: u32,
    ) -> Result<Vec<(Digest, Hold, i64)>, Error> {
        let rows = self.rows(&PAGE, values![repository, after, kind, i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((row.parsed(4)?, hold(row)?, row.integer(5)?))).collect()
    }
}

impl Tx {
    /// Places a hold in a repository that the caller holds whole.
    ///
    /// # Errors
    /// The database failed.
    pub async fn place_hold(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
        hold: &Hold,
    ) -> Result<Placing, Error> {
        let Some(row) = self.row(&HOLD_MANIFEST, values![repository, digest]).await? else {
            return Ok(Placing::Unknown);
        };
        let Hold { kind, placed_by, reason, placed_at } = hold;
        let row = values![repository, row.integer(0)?, kind.word(), placed_by.as_str(), reason.as_str(), *placed_at];
        Ok(if self.execute(&PLACE, row).await? == 1 { Placing::Placed } else { Placing::Present })
    }

    /// Takes a hold away; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release_hold(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
        kind: HoldKind,
    ) -> Result<bool, Error> {
        Ok(self.execute(&RELEASE, values![repository, digest, kind.word()]).await? == 1)
    }

    /// A manifest of a repository that must be kept by law, if there is one: then the repository cannot be deleted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn legal_hold_in(&mut self, repository: RepositoryId) -> Result<Option<Digest>, Error> {
        self.row(&LEGAL, values![repository]).await?.map(|row| row.parsed(0)).transpose()
    }

    /// The holds on a manifest that is locked.
    pub(super) async fn holds_on(&mut self, repository: RepositoryId, manifest: i64) -> Result<Vec<Hold>, Error> {
        self.rows(&OF_MANIFEST, values![repository, manifest]).await?.iter().map(hold).collect()
    }
}

fn hold(row: &Row) -> Result<Hold, Error> {
    Ok(Hold {
        kind: HoldKind::of(&row.text(0)?)?,
        placed_by: row.text(1)?,
        reason: row.text(2)?,
        placed_at: row.integer(3)?,
    })
}
