//! Whose store this is. A database and its store know each other by a mark that lies in both. It changes with every comparison, so
//! that a copy of a database, set up beside it on the same store, is found out by whichever of the two comes second.

use hallmark_storage::StorageKey;
use hallmark_storage::blobs::Blobs;
use hallmark_storage::metadata::{self, Metadata};

/// The setting with the mark, and behind it the one before: a crash may come between the change of the two.
const MARK: &str = "store_mark";

/// Whether the store is this database's own. A store that has no mark is given this database's.
///
/// # Errors
/// The database or the store does not answer.
pub async fn owns_store(metadata: &Metadata, blobs: &Blobs) -> Result<bool, crate::Error> {
    let marks = marks(metadata).await?;
    let unmarked = |source| crate::Error::Unmarked { source };
    if blobs.mark().await.map_err(unmarked)?.is_none() {
        // Another replica may be faster; what counts is what lies there then.
        blobs.change_mark(None, marks.split(' ').next().unwrap_or_default()).await.map_err(unmarked)?;
    }
    let found = blobs.mark().await.map_err(unmarked)?;
    Ok(found.is_some_and(|found| marks.split(' ').any(|mark| mark == found)))
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
