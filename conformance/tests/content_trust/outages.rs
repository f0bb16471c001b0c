//! The server was off for long: what it signs itself is signed anew before the first answer.

use std::time::{Duration, Instant};

use hallmark_conformance::{Outcome, check::holds, failure::While, server::Plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    client::{Notary, text},
    signed_tags::Reader,
    world::{Held, World},
};

/// Where Debian's libfaketime puts the library that gives a process another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// How long the job may take to renew what is due when it begins.
const RENEWED: Duration = Duration::from_secs(90);

fn expiry(held: &Held, role: &str) -> Outcome<Timestamp> {
    let text = held.0.get(role).and_then(|file| file["signed"]["expires"].as_str());
    text.or_fail(format!("{role} never expires"))?.parse().or_fail("an expiry is a time")
}

/// What gives a process a time so many days ahead.
pub(crate) fn ahead(days: i64) -> [(&'static str, String); 3] {
    [
        ("LD_PRELOAD", FAKETIME.to_owned()),
        ("FAKETIME", format!("+{days}d")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// The same world, so many days after it was stopped.
fn started_after(world: World, days: i64) -> Outcome<World> {
    holds(std::path::Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    let later = |plan| ahead(days).into_iter().fold(plan, |plan: Plan, (name, value)| plan.variable(name, value));
    let mut world = world.replan(later)?;
    world.start()?;
    Ok(world)
}

/// Which of the server's files were signed anew by the first answer after this many days.
fn renewed_after(days: i64) -> Outcome<Vec<&'static str>> {
    let mut world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    notary.run(&["init", &gun])?;
    let file = notary.content("file", 500)?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let before = world.held(&gun)?;
    world.stop()?;
    let world = started_after(world, days)?;
    let after = world.held(&gun)?;
    let then = Timestamp::now() + SignedDuration::from_hours(24 * days);
    for role in ["timestamp", "snapshot"] {
        let expires = expiry(&after, role)?;
        holds(expires > then, || format!("{role} expires at {expires}, and it is {then}: {}", world.log()))?;
    }
    Notary::admin(&world, "fresh")?.lists(&gun, &["v1"])?;
    notary.lists(&gun, &["v1"])?;
    for role in ["targets", "root"] {
        holds(after.0[role] == before.0[role], || format!("{role} is not the server's to change"))?;
    }
    let roles = ["timestamp", "snapshot"];
    Ok(roles.into_iter().filter(|role| after.version(role) > before.version(role)).collect())
}

/// The job renews a week before the end: at a start ten days later it finds a timestamp that holds for four days more, which no read
/// would have renewed.
#[test]
fn a_timestamp_that_nears_its_end_is_renewed_by_the_job_before_anybody_misses_it() -> Outcome<()> {
    let mut world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    notary.run(&["init", &gun])?;
    notary.run(&["add", &gun, "v1", text(&notary.content("file", 500)?), "-p"])?;
    let before = world.held(&gun)?;
    world.stop()?;
    let world = started_after(world, 10)?;
    let then = Timestamp::now() + SignedDuration::from_hours(24 * 10);
    let ends = expiry(&before, "timestamp")?;
    holds(ends > then, || format!("the timestamp of before has expired at {ends}"))?;
    let begin = Instant::now();
    let after = loop {
        let after = world.held(&gun)?;
        if after.version("timestamp") > before.version("timestamp") {
            break after;
        }
        holds(begin.elapsed() < RENEWED, || format!("nothing was renewed: {}", world.log()))?;
        std::thread::sleep(Duration::from_millis(100));
    };
    let ends = expiry(&after, "timestamp")?;
    holds(ends > then + SignedDuration::from_hours(24 * 13), || format!("what was renewed expires at {ends}"))?;
    let events = world.manage("GET", "/events?kind=trust_renewed&limit=10", &Value::Null)?;
    let count = events["items"].as_array().map_or(0, Vec::len);
    holds(count == 1, || format!("{count} renewals were written down: {events}"))?;
    notary.lists(&gun, &["v1"])
}

#[test]
fn after_a_week_off_what_is_signed_still_holds() -> Outcome<()> {
    renewed_after(7).map(drop)
}

#[test]
fn after_three_weeks_off_the_first_answer_is_renewed() -> Outcome<()> {
    let renewed = renewed_after(20)?;
    holds(renewed == ["timestamp"], || format!("{renewed:?} were renewed"))
}

#[test]
fn after_most_of_three_years_off_the_snapshot_is_renewed_too() -> Outcome<()> {
    let renewed = renewed_after(1_090)?;
    holds(renewed == ["timestamp", "snapshot"], || format!("{renewed:?} were renewed"))
}

/// Signed tags hold a week by their timestamp, a month by their snapshot and three years by their targets.
#[test]
fn after_a_week_a_month_and_three_years_off_strangers_find_signed_tags_at_the_first_look() -> Outcome<()> {
    for days in [8, 40, 1_080] {
        let mut world = World::new()?;
        let reader = Reader::begin(&world)?;
        let pushed = reader.push("1", 1)?;
        reader.hallmark(&["sign", &reader.image("1")])?;
        reader.all_find("1", Some(&pushed))?;
        world.stop()?;
        let world = started_after(world, days)?;
        let first = world.ask(&[], "/tuf/admin/app/timestamp.json")?;
        let expires = first.json()?["signed"]["expires"].as_str().unwrap_or_default().to_owned();
        let expires: Timestamp = expires.parse().or_fail(format!("no time in {}", first.text()))?;
        let then = Timestamp::now() + SignedDuration::from_hours(24 * days);
        holds(expires > then, || format!("after {days} days the first answer expires at {expires}: {}", world.log()))?;
        Reader::later(&world, days)?.all_find("1", Some(&pushed))?;
    }
    Ok(())
}
