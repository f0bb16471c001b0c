//! When manifests were last pulled: remembered while they are, written down by a job.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hallmark_storage::metadata::{self, ManifestId};

use super::{PAGE, PULLS_SINCE};
use crate::app::App;

/// How many manifests are remembered as pulled until the next minute; those beyond are not written down in that minute.
const REMEMBERED: usize = 100_000;

/// When manifests were last pulled, until a job writes that down (I8).
#[derive(Debug, Default)]
pub struct Pulls(Mutex<HashMap<ManifestId, i64>>);

impl Pulls {
    /// Remembers that a manifest was pulled.
    pub(crate) fn note(&self, manifest: ManifestId, now: i64) {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pulls.len() < REMEMBERED || pulls.contains_key(&manifest) {
            pulls.insert(manifest, now);
        }
    }

    fn take(&self) -> HashMap<ManifestId, i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes down which manifests were pulled since this was last done.
///
/// # Errors
/// The database's; what was noted is then lost, and images seem a little older than they are.
pub(crate) async fn write_down_pulls(app: &App) -> Result<(), metadata::Error> {
    let now = app.clock.now();
    if app.metadata.setting(PULLS_SINCE).await?.is_none() {
        let since: Result<bool, metadata::Error> = app
            .metadata
            .write(now.to_string(), |tx, now| Box::pin(async move { tx.move_mark(PULLS_SINCE, None, now).await }))
            .await;
        since?;
    }
    let pulls = app.pulls.take();
    let ids: Vec<ManifestId> = pulls.keys().copied().collect();
    for ids in ids.chunks(PAGE as usize) {
        let at = ids.iter().filter_map(|id| pulls.get(id)).copied().max().unwrap_or(now);
        let noted: Result<(), metadata::Error> = app
            .metadata
            .write((ids.to_vec(), at), |tx, (ids, at)| Box::pin(async move { tx.note_pulls(ids, *at).await }))
            .await;
        noted?;
    }
    Ok(())
}
