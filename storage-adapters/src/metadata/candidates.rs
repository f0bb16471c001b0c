use std::collections::BTreeSet;

use super::error::{Error, ErrorKind};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, values};

/// How long one claim of a candidate holds: longer than the longest run, which claims by the time at which it began.
const CLAIM: i64 = 20 * 60 * 1_000;

statements! {
    UPSERT = [
        "INSERT INTO candidates (kind, owner_id, item_id, due_at, generation, orphaned)
         SELECT $1, $2, list.value, $3, $4, $6 FROM " {integers 5} " AS list WHERE true
         ON CONFLICT (kind, owner_id, item_id) DO UPDATE SET due_at = excluded.due_at, generation = excluded.generation,
           orphaned = CASE WHEN candidates.orphaned > excluded.orphaned THEN candidates.orphaned ELSE excluded.orphaned END,
           leased_until = 0"
    ];
    CLAIM_DUE = [
        "UPDATE candidates SET leased_until = $2 WHERE leased_until <= $1 AND (kind, owner_id, item_id) IN
           (SELECT page.kind, page.owner_id, page.item_id FROM candidates page
             WHERE page.due_at <= $1 AND page.leased_until <= $1 ORDER BY page.due_at LIMIT $3" {skip} ")
         RETURNING kind, owner_id, item_id, generation, orphaned"
    ];
    ADOPTED = ["UPDATE candidates SET orphaned = 0 WHERE kind = 'manifest' AND owner_id = $1 AND item_id = $2 AND orphaned = 1"];
    SETTLE = ["DELETE FROM candidates WHERE kind = $1 AND owner_id = $2 AND item_id = $3 AND generation = $4"];
    POSTPONE = [
        "UPDATE candidates SET due_at = $5, leased_until = 0
          WHERE kind = $1 AND owner_id = $2 AND item_id = $3 AND generation = $4"
    ];
}

/// What the collector may find unneeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A manifest of the repository that owns it.
    Manifest,
    /// A blob's link in the repository that owns it.
    Link,
    /// A blob in the account that owns it.
    Account,
    /// A blob of the store; its owner is 0.
    Blob,
}

impl Item {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Link => "link",
            Self::Account => "account",
            Self::Blob => "blob",
        }
    }

    fn of(word: &str) -> Result<Self, Error> {
        [Self::Manifest, Self::Link, Self::Account, Self::Blob]
            .into_iter()
            .find(|item| item.word() == word)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "candidates.kind"))
    }
}

/// Something that may be unneeded, claimed to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub item: Item,
    /// Whose it is: a repository, an account, or 0.
    pub owner: i64,
    /// Which it is: a manifest or a blob.
    pub id: i64,
    /// The request to look at it. A newer one has another, and is not answered by this look.
    pub generation: i64,
    /// Whether it was asked for because what it belonged to is gone.
    pub orphaned: bool,
}

pub(super) fn candidate(row: &Row) -> Result<Candidate, Error> {
    Ok(Candidate {
        item: Item::of(&row.text(0)?)?,
        owner: row.integer(1)?,
        id: row.integer(2)?,
        generation: row.integer(3)?,
        orphaned: row.truth(4)?,
    })
}

impl Tx {
    /// Asks the collector to look at these items once `due_at` has come. The generation is new each time: a review that
    /// began before this found an older world and must not take the request away.
    pub(super) async fn candidates(
        &mut self,
        item: Item,
        owner: i64,
        ids: impl IntoIterator<Item = i64>,
        due_at: i64,
    ) -> Result<(), Error> {
        self.ask_for(item, owner, ids, (due_at, false)).await
    }

    /// As [`Self::candidates`], of manifests whose parent or subject is gone. That stays known whoever asks again, until a look
    /// finds something that keeps them.
    pub(super) async fn orphans(
        &mut self,
        repository: i64,
        ids: impl IntoIterator<Item = i64>,
        due_at: i64,
    ) -> Result<(), Error> {
        self.ask_for(Item::Manifest, repository, ids, (due_at, true)).await
    }

    /// Somebody has put a manifest by its digest: it stays, whatever it belonged to before.
    pub(super) async fn adopted(&mut self, repository: i64, manifest: i64) -> Result<(), Error> {
        self.execute(&ADOPTED, values![repository, manifest]).await.map(drop)
    }

    async fn ask_for(
        &mut self,
        item: Item,
        owner: i64,
        ids: impl IntoIterator<Item = i64>,
        (due_at, orphaned): (i64, bool),
    ) -> Result<(), Error> {
        // In one order for all, each once: what refers to a manifest may bear one of its tags too.
        let ids: BTreeSet<i64> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids = json_integers(ids);
        let generation = self.id()?;
        self.execute(&UPSERT, values![item.word(), owner, due_at, generation, &ids, orphaned]).await.map(drop)
    }

    /// Claims at most `limit` candidates that are due. A claim that nothing follows ends by itself.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_candidates(&mut self, now: i64, limit: u32) -> Result<Vec<Candidate>, Error> {
        let rows = self.rows(&CLAIM_DUE, values![now, now + CLAIM, i64::from(limit)]).await?;
        rows.iter().map(candidate).collect()
    }

    /// Takes the request away that this look answered; a newer one stays.
    ///
    /// # Errors
    /// The database failed.
    pub async fn settle(&mut self, candidate: &Candidate) -> Result<(), Error> {
        let Candidate { item, owner, id, generation, .. } = *candidate;
        self.execute(&SETTLE, values![item.word(), owner, id, generation]).await.map(drop)
    }

    /// Puts the look off until `due_at`, unless there is a newer request.
    ///
    /// # Errors
    /// The database failed.
    pub async fn postpone(&mut self, candidate: &Candidate, due_at: i64) -> Result<(), Error> {
        let Candidate { item, owner, id, generation, .. } = *candidate;
        self.execute(&POSTPONE, values![item.word(), owner, id, generation, due_at]).await.map(drop)
    }
}
