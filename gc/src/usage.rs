//! What is in use, folded: the entries that changes append are added to totals, so that a look under a limit reads a few rows.

use hallmark_storage::metadata::{self, Engine, ErrorKind, Event, Metadata, Passed, Scope, Tx};

/// How many entries one change folds.
const BATCH: u32 = 5_000;

/// Folds what was charged and not yet added to its total, scope by scope, until nothing is left or `goes_on` says no; how many
/// entries. Where a soft limit is passed now that was not before, the event `quota_exceeded` tells of it, once for each crossing.
///
/// Replicas that fold at the same time share the work: each entry is taken by one, and what it took is added in the same transaction.
///
/// # Errors
/// The database does not answer; what was folded stays so.
pub async fn fold_usage(metadata: &Metadata, now: i64, goes_on: impl Fn() -> bool) -> Result<u64, metadata::Error> {
    let (mut after, mut folded, mut is_full) = (None, 0, false);
    while goes_on() {
        let Some(scope) = metadata.next_to_fold(after).await? else {
            // Whoever had more than one change takes has its next turn.
            if !std::mem::take(&mut is_full) {
                break;
            }
            after = None;
            continue;
        };
        let taken = metadata.write((scope, now), |tx, (scope, now)| Box::pin(fold(tx, *scope, *now))).await?;
        folded += taken;
        is_full |= taken == u64::from(BATCH);
        // A scope with more comes up again, but not before the others: a busy one holds nobody up.
        after = Some(scope);
    }
    Ok(folded)
}

/// The setting that says when all that is in use was last counted: whoever moves it counts.
const COUNTED: &str = "usage_counted";
/// How often that is done, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000;
/// And how often on the day after an upgrade, when replicas of the release before stop one after the other.
const SOON: i64 = 10 * 60 * 1_000;

/// Counts, on a server, what every account and repository holds, and puts right what they are charged: replicas of the release before,
/// which charge nothing, may have been at work there. At once after an upgrade, every ten minutes on the day of it, and once a day from
/// then on. The embedded database has one process. How many were wrong.
///
/// # Errors
/// The database does not answer; the rest is left to the next day. One that could not be counted in time is passed over, and told.
pub async fn count_usage(metadata: &Metadata, now: i64, goes_on: impl Fn() -> bool) -> Result<u64, metadata::Error> {
    if metadata.engine() == Engine::Sqlite {
        return Ok(0);
    }
    let seen = metadata.setting(COUNTED).await?;
    let last = seen.as_deref().and_then(|seen| seen.parse::<i64>().ok());
    let pause = if now < metadata.migrated_at().await?.saturating_add(DAY) { SOON } else { DAY };
    if last.is_some_and(|last| now < last.saturating_add(pause)) {
        return Ok(0);
    }
    let moved: Result<bool, metadata::Error> = metadata
        .write((seen, now.to_string()), |tx, (seen, now)| {
            Box::pin(async move { tx.move_mark(COUNTED, seen.as_deref(), now).await })
        })
        .await;
    let (mut after, mut wrong, mut failed) = (None, 0, None);
    while moved.as_ref().is_ok_and(|moved| *moved) && goes_on() {
        let Some(scope) = metadata.next_scope(after).await? else { break };
        let drift: Result<i64, metadata::Error> =
            metadata.write(scope, |tx, scope| Box::pin(async move { tx.put_usage_right(*scope).await })).await;
        match drift {
            Ok(drift) => wrong += u64::from(drift != 0),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Closed) => return Err(error),
            // One that holds too much to be counted in time keeps nobody else's from being put right.
            Err(error) => failed = Some(error),
        }
        after = Some(scope);
    }
    match failed {
        Some(error) => Err(error),
        None => moved.map(|_| wrong),
    }
}

async fn fold(tx: &mut Tx, scope: Scope, now: i64) -> Result<u64, metadata::Error> {
    let (taken, total) = tx.fold(scope, BATCH).await?;
    // What is not all of it would tell of a crossing that another batch takes back.
    if taken > 0
        && taken < u64::from(BATCH)
        && let Some(passed) = tx.judge_soft_limit(scope, total).await?
    {
        record(tx, &passed, total, now).await?;
    }
    Ok(taken)
}

async fn record(tx: &mut Tx, passed: &Passed, total: i64, now: i64) -> Result<(), metadata::Error> {
    let payload = format!(r#"{{"limit":{},"used":{total}}}"#, passed.soft);
    let event = Event::of_system("quota_exceeded", &passed.name, now);
    let place = Event { account: Some(passed.account), repository: passed.repository, ..event };
    tx.record(&Event { payload: &payload, ..place }).await
}
