//! When what is in use is counted anew.

use hallmark_gc::count_usage;
use hallmark_storage::metadata::Engine;

use crate::harness::{NOW, World, suite};

suite! {
    what_is_in_use_is_counted_often_on_the_day_of_an_upgrade_and_daily_after_it,
}

const MINUTE: i64 = 60 * 1_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn what_is_in_use_is_counted_often_on_the_day_of_an_upgrade_and_daily_after_it(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"layer", NOW).await.unwrap();
    // As a replica of the release before leaves it, which writes nothing down; the embedded database has no such neighbour.
    let counts = async |now: i64| {
        world.look("DELETE FROM usage_entries").await;
        world.look("DELETE FROM usage_totals").await;
        count_usage(&world.metadata, now, || true).await.unwrap()
    };
    let both = if world.metadata.engine() == Engine::Postgres { 2 } else { 0 };
    assert_eq!(counts(NOW).await, both, "at once");
    assert_eq!(counts(NOW + 9 * MINUTE).await, 0);
    assert_eq!(counts(NOW + 10 * MINUTE).await, both);
    assert_eq!(counts(NOW + DAY - MINUTE).await, both);
    assert_eq!(counts(NOW + DAY + 20 * MINUTE).await, 0, "that day is over");
    assert_eq!(counts(NOW + 2 * DAY).await, both);
}
