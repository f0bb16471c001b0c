//! Which replica publishes: one at a time (I12). Whoever publishes without the lease does no harm, since each publish says on which
//! one it rests; but all of them would sign the same.

use hallmark_storage::metadata::{self, Engine};

use crate::app::App;

/// The setting that says who holds it, and until when: `holder time`.
const LEASE: &str = "tuf_lease";
/// For how long it is held, in milliseconds: far longer than one publish takes.
const HELD: i64 = 60 * 1_000;

/// Does the work when no other replica is at it; `None` when one is.
///
/// # Errors
/// The database's.
pub(super) async fn under<T>(
    app: &App,
    work: impl Future<Output = Result<T, metadata::Error>>,
) -> Result<Option<T>, metadata::Error> {
    // On SQLite one process holds the folder, and whoever else had the lease is dead.
    if app.metadata.engine() == Engine::Sqlite {
        return work.await.map(Some);
    }
    if !hold(app).await? {
        return Ok(None);
    }
    let done = work.await;
    let given_back = write(app, 0).await;
    let done = done?;
    given_back.map(|_| Some(done))
}

/// Takes the lease, or holds it on; whether it is held.
///
/// # Errors
/// The database's.
pub(super) async fn hold(app: &App) -> Result<bool, metadata::Error> {
    if app.metadata.engine() == Engine::Sqlite { Ok(true) } else { write(app, HELD).await }
}

async fn write(app: &App, lasts: i64) -> Result<bool, metadata::Error> {
    let now = app.clock.now();
    let seen = app.metadata.setting(LEASE).await?;
    match seen.as_deref().and_then(|text| text.split_once(' ')) {
        Some((holder, until)) if holder == app.replica => {
            let until: i64 = until.parse().unwrap_or(0);
            if lasts > 0 && until > now + HELD / 2 {
                return Ok(true);
            }
        }
        Some((_, until)) if is_held(until, now) => return Ok(false),
        _ => {}
    }
    let lease = (seen, format!("{} {}", app.replica, if lasts > 0 { now + lasts } else { 0 }));
    app.metadata
        .write(lease, |tx, (seen, lease)| Box::pin(async move { tx.move_mark(LEASE, seen.as_deref(), lease).await }))
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
