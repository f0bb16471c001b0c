//! Whether the clock may be believed: one that jumps ahead would end every window at once.

use hallmark_storage::metadata::{self, Metadata};

/// The setting with what was told of the clock: `accepted seen since`.
const TOLD: &str = "gc_clock";
/// How far ahead of the time that the last run told a clock may lie, in milliseconds. Every run tells, each minute.
const AHEAD: i64 = 60 * 60 * 1_000;
/// How long a clock that jumped is watched at most, in milliseconds, before it is believed.
const WATCHED: i64 = 24 * 60 * 60 * 1_000;
/// How far the machine's clock may lie from that of the database, in milliseconds: nothing is collected by one that is farther off.
pub const APART: i64 = 5 * 60 * 1_000;

/// What the runs of all replicas have told of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// The newest time that is believed.
    accepted: i64,
    /// The time at the last look.
    seen: i64,
    /// Since when a time that lies ahead is watched; 0 for never.
    since: i64,
}

impl Told {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(|word| word.parse().ok());
        Some(Self { accepted: words.next()??, seen: words.next()??, since: words.next()?? })
    }
}

/// What is told from now on, and until when nothing is collected, if so. A jump ahead is believed once the clock has gone on
/// evenly for as long as it jumped, or for a day: a machine that was off looks the same.
fn look(told: Option<Told>, now: i64) -> (Told, Option<i64>) {
    let believed = |accepted| (Told { accepted, seen: now, since: 0 }, None);
    let Some(Told { accepted, seen, since }) = told else { return believed(now) };
    if now <= accepted.saturating_add(AHEAD) {
        return believed(accepted.max(now));
    }
    let is_even = since > 0 && now.abs_diff(seen) <= AHEAD.unsigned_abs();
    let since = if is_even { since } else { now };
    let until = since.saturating_add((since - accepted).min(WATCHED));
    if now >= until { believed(now) } else { (Told { accepted, seen: now, since }, Some(until)) }
}

/// Whether anything may be deleted by a clock that says `now`, and tells the others. `machine` is what compares it with the
/// database's own clock, where that is another machine's.
///
/// # Errors
/// The database does not answer; [`crate::Error::Ahead`] or [`crate::Error::Apart`]: nothing may be.
pub async fn believe_clock(metadata: &Metadata, now: i64, compares: bool) -> Result<(), crate::Error> {
    if compares && let Some(theirs) = metadata.database_clock().await? {
        let apart = now - theirs;
        if apart.abs() > APART {
            return Err(crate::Error::Apart { seconds: apart / 1_000 });
        }
    }
    let seen = metadata.setting(TOLD).await?;
    let (told, until) = look(seen.as_deref().and_then(Told::parse), now);
    let next = format!("{} {} {}", told.accepted, told.seen, told.since);
    // Of several who tell at once one is heard, which is enough.
    let moved: Result<bool, metadata::Error> = metadata
        .write((seen, next), |tx, (seen, next)| {
            Box::pin(async move { tx.move_mark(TOLD, seen.as_deref(), next).await })
        })
        .await;
    moved?;
    until.map_or(Ok(()), |until| Err(crate::Error::Ahead { until }))
}

/// Believes the clock whatever was told of it, in a change of the caller's: somebody looked.
///
/// # Errors
/// The database failed.
pub async fn trust_clock(tx: &mut metadata::Tx) -> Result<(), metadata::Error> {
    tx.set_setting(TOLD, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1_000;
    const MINUTE: i64 = 60 * 1_000;
    const START: i64 = 1_800_000_000_000;

    /// Looks each minute from `from` on; when something is collected for the first time within two days.
    fn collects_from(mut told: Told, from: i64) -> Option<i64> {
        for minute in 0..2 * 24 * 60 {
            let now = from + minute * MINUTE;
            let (next, until) = look(Some(told), now);
            if until.is_none() {
                return Some(now);
            }
            told = next;
        }
        None
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let (mut told, until) = look(None, START);
        assert_eq!(until, None);
        for minute in 1..300 {
            let (next, until) = look(Some(told), START + minute * MINUTE);
            assert_eq!((until, next.accepted), (None, START + minute * MINUTE));
            told = next;
        }
        assert_eq!(look(Some(told), START).1, None, "set back, it deletes nothing too early");
        assert_eq!(look(Some(told), START).0.accepted, told.accepted);
    }

    #[test]
    fn a_jump_ahead_is_watched_for_as_long_as_it_was_and_for_a_day_at_most() {
        let (told, _) = look(None, START);
        assert_eq!(collects_from(told, START + 2 * HOUR), Some(START + 4 * HOUR));
        assert_eq!(collects_from(told, START + 360 * HOUR), Some(START + 384 * HOUR));
    }

    #[test]
    fn a_clock_that_is_put_right_collects_at_once() {
        let (told, _) = look(None, START);
        let (jumped, until) = look(Some(told), START + 360 * HOUR);
        assert!(until.is_some());
        assert_eq!(look(Some(jumped), START + MINUTE).1, None);
    }

    #[test]
    fn one_replica_ahead_of_the_others_never_collects() {
        let (mut told, _) = look(None, START);
        for minute in 1..3_000 {
            let right = START + minute * MINUTE;
            let (next, until) = look(Some(told), right);
            assert_eq!(until, None);
            let (next, until) = look(Some(next), right + 360 * HOUR);
            assert!(until.is_some());
            told = next;
        }
    }

    #[test]
    fn a_clock_that_jumps_while_it_is_watched_is_watched_anew() {
        let (told, _) = look(None, START);
        let (told, _) = look(Some(told), START + 48 * HOUR);
        let (told, until) = look(Some(told), START + 96 * HOUR);
        assert_eq!((told.since, until), (START + 96 * HOUR, Some(START + 120 * HOUR)));
    }
}
