//! When manifests were last pulled: remembered while they are, written down by a job.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hallmark_storage::metadata::{self, ManifestId};
use tokio::sync::Notify;

use super::{PAGE, PULLS_SINCE};
use crate::app::App;

/// How many manifests are remembered as pulled until that is written down, some 3 MiB. Of further ones is only remembered that there
/// were some: then every manifest counts as pulled.
const REMEMBERED: usize = 100_000;
/// With so many it is written down at once.
const MANY: usize = REMEMBERED / 4;

/// When manifests were last pulled, until that is written down (I8).
#[derive(Debug, Default)]
pub struct Pulls {
    noted: Mutex<Noted>,
    many: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    /// What is not written down yet.
    at: HashMap<ManifestId, i64>,
    /// When a manifest was last pulled that is not among them.
    others: Option<i64>,
}

impl Pulls {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a manifest was pulled.
    pub(crate) fn note(&self, manifest: ManifestId, now: i64) {
        let mut noted = self.noted();
        let known = noted.at.len();
        match noted.at.get_mut(&manifest) {
            Some(at) => *at = now.max(*at),
            None if known < REMEMBERED => drop(noted.at.insert(manifest, now)),
            None => noted.others = noted.others.max(Some(now)),
        }
        if known + 1 == MANY {
            self.many.notify_one();
        }
    }

    /// Remembers that manifests were pulled until now of which nothing is known.
    pub(crate) fn note_others(&self, now: i64) {
        let mut noted = self.noted();
        noted.others = noted.others.max(Some(now));
    }

    /// When one of these was last pulled, as far as that is not written down yet.
    pub(crate) fn latest(&self, manifests: impl IntoIterator<Item = ManifestId>) -> Option<i64> {
        let noted = self.noted();
        manifests.into_iter().filter_map(|manifest| noted.at.get(&manifest).copied()).max().max(noted.others)
    }

    /// Waits until many manifests are remembered.
    pub(crate) async fn are_many(&self) {
        self.many.notified().await;
    }

    /// What is to be written down, from the longest ago on.
    fn unwritten(&self) -> (Vec<(ManifestId, i64)>, Option<i64>) {
        let noted = self.noted();
        let mut pulls: Vec<_> = noted.at.iter().map(|(manifest, at)| (*manifest, *at)).collect();
        let others = noted.others;
        drop(noted);
        pulls.sort_unstable_by_key(|(_, at)| *at);
        (pulls, others)
    }

    /// Forgets what is written down, unless it was pulled again meanwhile.
    fn written(&self, pulls: &[(ManifestId, i64)]) {
        let mut noted = self.noted();
        for (manifest, at) in pulls {
            if noted.at.get(manifest) == Some(at) {
                noted.at.remove(manifest);
            }
        }
        if noted.at.is_empty() {
            // What a flood took is given back.
            noted.at.shrink_to(PAGE as usize);
        }
    }

    fn others_written(&self, at: i64) {
        let mut noted = self.noted();
        noted.others = noted.others.filter(|others| *others > at);
    }
}

/// Writes down which manifests were pulled since this was last done. Until it is written, each is remembered.
///
/// # Errors
/// The database's; what was not written down is the next time.
pub async fn write_down_pulls(app: &App) -> Result<(), metadata::Error> {
    let (pulls, others) = app.pulls.unwritten();
    let seen = app.metadata.setting(PULLS_SINCE).await?;
    let since = seen.as_deref().and_then(|since| since.parse::<i64>().ok());
    let begins = match (since, others) {
        (None, _) => Some(app.clock.now()),
        // What is remembered begins anew: nothing counts as pulled before.
        (Some(since), Some(others)) => (others > since).then_some(others),
        (Some(_), None) => None,
    };
    let has_begun = match begins {
        Some(begins) => begin_anew(app, seen, begins).await?,
        None => true,
    };
    // Where another replica was faster, it is looked at the next time.
    if let Some(others) = others.filter(|_| has_begun) {
        app.pulls.others_written(others);
    }
    for page in pulls.chunks(PAGE as usize) {
        let at = page.iter().map(|(_, at)| *at).max().unwrap_or_default();
        let ids = page.iter().map(|(manifest, _)| *manifest).collect::<Vec<_>>();
        let noted: Result<(), metadata::Error> =
            app.metadata.write((ids, at), |tx, (ids, at)| Box::pin(async move { tx.note_pulls(ids, *at).await })).await;
        noted?;
        app.pulls.written(page);
    }
    Ok(())
}

/// Says that nothing is known of what was pulled before; whether nobody else has said so meanwhile.
async fn begin_anew(app: &App, seen: Option<String>, at: i64) -> Result<bool, metadata::Error> {
    app.metadata
        .write((seen, at.to_string()), |tx, (seen, at)| {
            Box::pin(async move { tx.move_mark(PULLS_SINCE, seen.as_deref(), at).await })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pulled_while_it_is_written_down_is_written_down_again() {
        let pulls = Pulls::default();
        let (one, two) = (ManifestId(1), ManifestId(2));
        pulls.note(one, 7);
        pulls.note(two, 5);
        pulls.note(two, 3);
        let (unwritten, others) = pulls.unwritten();
        assert_eq!((&unwritten[..], others), (&[(two, 5), (one, 7)][..], None));
        pulls.note(one, 9);
        assert_eq!(pulls.latest([one, two]), Some(9), "it is known until it is written");
        pulls.written(&unwritten);
        assert_eq!(pulls.unwritten().0, [(one, 9)]);
        assert_eq!(pulls.latest([two]), None);
    }

    #[test]
    fn of_more_than_are_remembered_is_known_that_there_were_some() {
        let pulls = Pulls::default();
        for number in 0..REMEMBERED as i64 + 3 {
            pulls.note(ManifestId(number), number);
        }
        let (unwritten, others) = pulls.unwritten();
        assert_eq!((unwritten.len(), others), (REMEMBERED, Some(REMEMBERED as i64 + 2)));
        assert_eq!(pulls.latest([ManifestId(1)]), others, "it may have been that one");
        pulls.written(&unwritten);
        pulls.others_written(REMEMBERED as i64 + 1);
        assert_eq!(pulls.latest([ManifestId(1)]), others, "one was pulled after that was read");
        pulls.others_written(REMEMBERED as i64 + 2);
        assert_eq!(pulls.latest([ManifestId(1)]), None);
    }
}
