use super::error::Error;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, values};

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// How long a blob that no manifest names is shown after it was last touched.
pub(super) const SHOWN: i64 = DAY;
/// How long a client that was told of a blob has to put the manifest that names it, before anything is collected.
pub(super) const MARGIN: i64 = DAY;

statements! {
    UPSERT = [
        "INSERT INTO candidates (kind, owner_id, item_id, due_at, generation)
         SELECT $1, $2, list.value, $3, $4 FROM " {integers 5} " AS list WHERE true
         ON CONFLICT (kind, owner_id, item_id) DO UPDATE
            SET due_at = excluded.due_at, generation = excluded.generation, leased_until = 0"
    ];
}

/// What the collector may find unneeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A manifest of the repository that owns it.
    Manifest,
    /// A blob's link in the repository that owns it.
    Link,
    /// A blob in the account that owns it.
    Account,
    /// A blob of the store; its owner is 0.
    Blob,
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
        let ids = json_integers(ids);
        if ids == "[]" {
            return Ok(());
        }
        let kind = match item {
            Item::Manifest => "manifest",
            Item::Link => "link",
            Item::Account => "account",
            Item::Blob => "blob",
        };
        let generation = self.id()?;
        self.execute(&UPSERT, values![kind, owner, due_at, generation, &ids]).await.map(drop)
    }
}
