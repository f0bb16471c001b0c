//! Rules that ask when something was last pulled: no pull is forgotten, whatever it meets before it is written down.

use std::cell::Cell;
use std::sync::Arc;

use hallmark::app::App;
use hallmark::retention::{Went, turn, write_down_pulls};
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::json;

use super::retention::{DAY, FIRST, removes, rules, tags};
use crate::harness::{Postgres, World};

/// How long a pull counts beside the days of a rule, in seconds.
const UNWRITTEN: i64 = 10 * 60;

/// `ann/web` with these tags, of which a rule keeps what was pulled within 14 days; pulls are written down from now on.
async fn pulled(world: &World, named: &[&str]) {
    let token = world.all_of("ann", "ann/web").await;
    for tag in named {
        world.image(&token, "ann/web", tag, tag).await;
    }
    rules(world, "web", &removes("*", &[("in use", json!({"pulled_within_days": 14}))])).await;
    write_down_pulls(&world.app).await.unwrap();
}

async fn pulls(world: &World, tag: &str) {
    let token = world.all_of("ann", "ann/web").await;
    world.get(&format!("/v2/ann/web/manifests/{tag}")).by(&token).await.expect(200);
}

async fn written(world: &World) -> Vec<String> {
    world.look("SELECT COUNT(*) FROM last_pulls").await
}

#[tokio::test]
async fn a_pull_that_is_not_written_down_yet_keeps_what_was_pulled() {
    let world = World::open().await;
    pulled(&world, &["a", "b"]).await;
    world.pass(14 * DAY + UNWRITTEN - 1);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { through: true, ..Went::default() }, "not yet");
    pulls(&world, "b").await;
    let preview = "/repositories/ann%2Fweb/retention/preview";
    world.pass(DAY);
    let told = world.sends("POST", preview, &super::basic("ann"), &json!({})).await.expect(200).json();
    assert_eq!((&told["count"], &told["victims"][0]["tags"]), (&json!(1), &json!(["a"])));
    assert_eq!(written(&world).await, ["0"], "whoever looks changes nothing");
    turn(&world.app, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, ["b"]);
    assert_eq!(written(&world).await, ["1"], "the turn wrote it down first");
}

#[tokio::test]
async fn what_is_pulled_between_the_decision_and_the_deed_stays() {
    let world = World::open().await;
    pulled(&world, &["a", "b", "c"]).await;
    world.pass(15 * DAY);
    let asked = Cell::new(0);
    let goes_on = || {
        // Nothing went yet.
        if asked.replace(asked.get() + 1) == FIRST {
            let statement = format!(
                "INSERT INTO last_pulls SELECT manifest_id, {} FROM tags WHERE name = 'b'",
                world.now() - DAY * 1_000
            );
            world.meddle_at_once(&statement);
        }
        true
    };
    let went = turn(&world.app, goes_on).await.unwrap();
    assert_eq!((went.manifests, went.through), (2, true));
    assert_eq!(tags(&world, "web").await, ["b"]);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_the_next_time() {
    let world = World::open().await;
    pulled(&world, &["a"]).await;
    world.pass(DAY);
    pulls(&world, "a").await;
    world.meddle("ALTER TABLE last_pulls RENAME TO away").await;
    assert!(write_down_pulls(&world.app).await.is_err());
    world.meddle("ALTER TABLE away RENAME TO last_pulls").await;
    assert_eq!(written(&world).await, ["0"]);
    write_down_pulls(&world.app).await.unwrap();
    assert_eq!(written(&world).await, ["1"]);
}

#[tokio::test]
async fn while_the_registry_is_read_only_pulls_are_remembered_and_a_restart_forgets_none() {
    let world = World::open().await;
    pulled(&world, &["a", "b"]).await;
    world.pass(13 * DAY);
    world.app.set_readonly(true).await.unwrap();
    pulls(&world, "a").await;
    let jobs = world.jobs();
    // What was signed in with is written down once a second, and not now either: the jobs have begun when they say so.
    assert_eq!(written(&world).await, ["0"]);
    world.app.set_readonly(false).await.unwrap();
    jobs.until("the pull is written down", async || written(&world).await == ["1"]).await;
    jobs.stop().await;

    world.app.set_readonly(true).await.unwrap();
    pulls(&world, "b").await;
    world.pass(3_600);
    let world = world.restarted().await;
    assert!(world.app.is_readonly());
    world.app.set_readonly(false).await.unwrap();
    write_down_pulls(&world.app).await.unwrap();
    world.pass(14 * DAY);
    turn(&world.app, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, ["a", "b"], "nothing is known of what was pulled before the restart");
    world.pass(DAY);
    turn(&world.app, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, [""; 0]);
}

/// Two replicas on one PostgreSQL: one applies the rules, and somebody pulls from the other.
#[tokio::test]
async fn what_was_pulled_from_another_replica_is_known_before_its_days_are_over() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let world = World::with(|config| config.database = database).await;
    pulled(&world, &["a", "b"]).await;
    let first = App::open(world.app.config.clone(), world.app.clock.clone()).await.unwrap();
    world.pass(14 * DAY - 1);
    // The requests of a test go to the second one, whose pull stays unwritten while the first is at it.
    pulls(&world, "b").await;
    world.pass(UNWRITTEN);
    assert_eq!(turn(&first, || true).await.unwrap(), Went { through: true, ..Went::default() });
    assert_eq!(tags(&world, "web").await, ["a", "b"]);
    write_down_pulls(&world.app).await.unwrap();
    world.pass(DAY);
    turn(&first, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, ["b"]);
    after_read_only(&world, &first).await;
    first.metadata.close().await;
}

/// What others could not write down while the registry was read-only, they do before anything goes.
async fn after_read_only(world: &World, first: &Arc<App>) {
    world.pass(13 * DAY);
    world.pass(2 * DAY);
    for readonly in [true, false] {
        world.app.set_readonly(readonly).await.unwrap();
    }
    world.pass(UNWRITTEN - 1);
    assert_eq!(turn(first, || true).await.unwrap(), Went::default(), "others may not have written yet");
    world.pass(1);
    turn(first, || true).await.unwrap();
    assert_eq!(tags(world, "web").await, ["b"], "what was pulled from a replica that ended meanwhile is not known");
    world.pass(15 * DAY);
    turn(first, || true).await.unwrap();
    assert_eq!(tags(world, "web").await, [""; 0]);
}

#[tokio::test]
async fn only_the_end_of_read_only_says_that_pulls_are_not_known() {
    let world = World::open().await;
    pulled(&world, &["a"]).await;
    let since = async || world.look("SELECT value FROM settings WHERE name = 'pulls_since'").await;
    let before = since().await;
    world.pass(5);
    world.app.set_readonly(false).await.unwrap();
    assert_eq!(since().await, before, "it was not read-only");
    world.app.set_readonly(true).await.unwrap();
    assert_eq!(since().await, before);
    world.pass(5);
    world.app.set_readonly(false).await.unwrap();
    assert_eq!(since().await, [world.now().to_string()]);
}

/// Nothing of what was decided an hour ago goes once somebody says that pulls until now are not known.
#[tokio::test]
async fn that_pulls_are_not_known_is_heard_between_two_turns() {
    let world = World::with(|config| config.gc.retention_rate = 2).await;
    pulled(&world, &["a", "b"]).await;
    world.pass(15 * DAY);
    let went = Went { manifests: 1, tags: 1, through: false };
    assert_eq!(turn(&world.app, || true).await.unwrap(), went);
    world.meddle(&format!("UPDATE settings SET value = '{}' WHERE name = 'pulls_since'", world.now())).await;
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { through: true, ..Went::default() });
    assert_eq!(tags(&world, "web").await.len(), 1);
}

/// A repository of many manifests takes long to read: whoever stops meanwhile does not wait for all of it.
#[tokio::test]
async fn whoever_stops_while_a_repository_is_read_is_heard() {
    let world = World::open().await;
    pulled(&world, &["a", "b"]).await;
    world.pass(15 * DAY);
    let asked = Cell::new(0);
    let once = || asked.replace(asked.get() + 1) == 0;
    assert_eq!(turn(&world.app, once).await.unwrap(), Went::default());
    assert_eq!(asked.get(), 2, "before the repository, and behind its manifests");
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { manifests: 2, tags: 2, through: true });
}
