//! Lives here: which replica does what only one needs to do (I12). Whoever works without the lease does no harm, since each step says
//! on which one it rests; but all of them would do the same.
//! Never here: the work.
//! Start reading at [`under`].

use std::time::Duration;

use hallmark_storage::metadata::{self, Engine};

use crate::app::App;
use crate::telemetry::chain;

/// For how long it is held, in milliseconds. Whoever is at work holds it on when a third of that has passed.
const HELD: i64 = 60 * 1_000;
/// How often whoever is at work looks whether that has passed.
const LOOK: Duration = Duration::from_millis(500);

/// Does the work when no other replica is at it, and holds the lease on beside it, however long it takes; `None` when another has
/// the lease, or took it over: what is left of the work is dropped then. The setting `lease` says who holds it, and until when:
/// `holder time`.
///
/// # Errors
/// The work's, or the database's.
pub(crate) async fn under<T>(
    app: &App,
    lease: &'static str,
    work: impl Future<Output = Result<T, metadata::Error>>,
) -> Result<Option<T>, metadata::Error> {
    // On SQLite one process holds the folder, and whoever else had the lease is dead.
    if app.metadata.engine() == Engine::Sqlite {
        return work.await.map(Some);
    }
    if !write(app, lease, HELD).await? {
        return Ok(None);
    }
    let done = tokio::select! {
        done = Box::pin(work) => done.map(Some),
        () = hold_on(app, lease) => Ok(None),
    };
    let given_back = write(app, lease, 0).await;
    let done = done?;
    given_back.map(|_| done)
}

/// Holds the lease on; comes back when another has it.
async fn hold_on(app: &App, lease: &'static str) {
    let mut since = app.clock.now();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = app.clock.now();
        // A clock that was set back says nothing of how long it has been.
        if (since..since + HELD / 3).contains(&now) {
            continue;
        }
        match write(app, lease, HELD).await {
            Ok(true) => since = now,
            Ok(false) => return tracing::warn!(lease, "another replica has taken over what this one was at"),
            Err(error) => tracing::warn!(error = chain(&error), lease, "the lease of what is under way is not held on"),
        }
    }
}

/// Writes that this replica has it for so long from now on, or no more; whether no other has it.
async fn write(app: &App, lease: &'static str, lasts: i64) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    let seen = app.metadata.setting(lease).await?;
    match seen.as_deref().and_then(|text| text.split_once(' ')) {
        Some((holder, until)) if holder != app.replica && is_held(until, now) => return Ok(false),
        _ => {}
    }
    let held = (lease, seen, format!("{} {}", app.replica, if lasts > 0 { now + lasts } else { 0 }));
    app.metadata
        .write(held, |tx, (lease, seen, held)| {
            Box::pin(async move { tx.move_mark(lease, seen.as_deref(), held).await })
        })
        .await
}

/// Whether a lease holds that ends then. One that ends later than any does was written by a clock that is wrong.
fn is_held(until: &str, now: i64) -> bool {
    until.parse().is_ok_and(|until: i64| (now + 1..=now + 2 * HELD).contains(&until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_none_is_for_ever() {
        let now = 1_800_000_000_000;
        let told = [-1, 0, 1, HELD, 2 * HELD, 2 * HELD + 1].map(|lasts| is_held(&(now + lasts).to_string(), now));
        assert_eq!(told, [false, false, true, true, true, false]);
        assert!(!is_held("nonsense", now));
    }
}
