//! The server was off for long: what it signs itself is signed anew before the first answer.

use hallmark_conformance::{Outcome, check::holds, failure::While, server::Plan};
use jiff::{SignedDuration, Timestamp};

use super::{
    client::{Notary, text},
    world::{Held, World},
};

/// Where Debian's libfaketime puts the library that gives a process another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

fn expiry(held: &Held, role: &str) -> Outcome<Timestamp> {
    let text = held.0.get(role).and_then(|file| file["signed"]["expires"].as_str());
    text.or_fail(format!("{role} never expires"))?.parse().or_fail("an expiry is a time")
}

/// Which of the server's files were signed anew by the first answer after this many days.
fn renewed_after(days: i64) -> Outcome<Vec<&'static str>> {
    holds(std::path::Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    let mut world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    notary.run(&["init", &gun])?;
    let file = notary.content("file", 500)?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let before = world.held(&gun)?;
    world.stop()?;
    let later = |plan: Plan| {
        let plan = plan.variable("LD_PRELOAD", FAKETIME).variable("FAKETIME", format!("+{days}d"));
        plan.variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    };
    let mut world = world.replan(later)?;
    world.start()?;
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
