//! Whose store this is. A database and its store know each other by a mark that lies in both. It changes with every comparison, so
//! that a copy of a database, set up beside it on the same store, is found out by whichever of the two comes second.

use hallmark_storage::StorageKey;
use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{self, Metadata, Tx};

/// The setting with the mark, and behind it the one before: a crash may come between the change of the two.
const MARK: &str = "store_mark";

/// The setting that says that a store once bore this database's mark: one without any is another store from then on, such as an empty
/// folder where a disk was to be mounted.
const MARKED: &str = "store_marked";

/// How often both are read before a store is said to be another's: they change one after the other, and other replicas change them too.
const LOOKS: usize = 3;

/// Whether the store is this database's own. The first store is given this database's mark.
///
/// # Errors
/// The database or the store does not answer.
pub async fn owns_store(metadata: &Metadata, blobs: &Blobs) -> Result<bool, crate::Error> {
    let marks = marks(metadata).await?;
    let unmarked = |source| crate::Error::Unmarked { source };
    let mut found = blobs.mark().await.map_err(unmarked)?;
    let was_marked = metadata.setting(MARKED).await?.is_some();
    if found.is_none() && !was_marked {
        // Another replica may be faster; what counts is what lies there then.
        blobs.change_mark(None, marks.split(' ').next().unwrap_or_default()).await.map_err(unmarked)?;
        found = blobs.mark().await.map_err(unmarked)?;
    }
    let mut is_own = bears(&marks, found.as_deref());
    for _ in 1..LOOKS {
        if is_own {
            break;
        }
        let marks = self::marks(metadata).await?;
        is_own = bears(&marks, blobs.mark().await.map_err(unmarked)?.as_deref());
    }
    if is_own && !was_marked {
        let set: Result<(), metadata::Error> =
            metadata.write((), |tx, ()| Box::pin(tx.set_setting(MARKED, Some("1")))).await;
        set?;
    }
    Ok(is_own)
}

/// Whether a store that bore this database's mark bears it no more, so that what is not in it is not lost.
///
/// # Errors
/// The database does not answer. A store that does not answer is not another one.
pub async fn is_another_store(metadata: &Metadata, blobs: &Blobs) -> Result<bool, metadata::Error> {
    if metadata.setting(MARKED).await?.is_none() {
        return Ok(false);
    }
    for _ in 0..LOOKS {
        let marks = marks(metadata).await?;
        let Ok(found) = blobs.mark().await else { return Ok(false) };
        if bears(&marks, found.as_deref()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the mark that was found is one of these.
fn bears(marks: &str, found: Option<&str>) -> bool {
    found.is_some_and(|found| marks.split(' ').any(|mark| mark == found))
}

/// Takes the store as this database's own at the next look, if it bears no mark: an operator says so.
///
/// # Errors
/// The database does not answer.
pub async fn adopt_store(tx: &mut Tx) -> Result<(), metadata::Error> {
    tx.set_setting(MARKED, None).await
}

/// Changes the mark in both, first in the database; whether the store is, and still was, this database's own.
pub(super) async fn renew_mark(metadata: &Metadata, blobs: &Blobs) -> Result<bool, crate::Error> {
    if !owns_store(metadata, blobs).await? {
        return Ok(false);
    }
    let unmarked = |source| crate::Error::Unmarked { source };
    let Some(found) = blobs.mark().await.map_err(unmarked)? else { return Ok(false) };
    let (seen, next) = (marks(metadata).await?, StorageKey::random());
    if !moved(metadata, Some(seen), format!("{next} {found}")).await? {
        return Ok(false);
    }
    blobs.change_mark(Some(&found), next.as_str()).await.map_err(unmarked)
}

/// The marks of the database, which makes one when it has none.
async fn marks(metadata: &Metadata) -> Result<String, metadata::Error> {
    if let Some(marks) = metadata.setting(MARK).await? {
        return Ok(marks);
    }
    moved(metadata, None, StorageKey::random().to_string()).await?;
    Ok(metadata.setting(MARK).await?.unwrap_or_default())
}

async fn moved(metadata: &Metadata, from: Option<String>, to: String) -> Result<bool, metadata::Error> {
    metadata
        .write((from, to), |tx, (from, to)| Box::pin(async move { tx.move_mark(MARK, from.as_deref(), to).await }))
        .await
}
