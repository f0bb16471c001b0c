//! How long after a tag has moved, or was deleted, the targets name what it was: by the times that the registry wrote down itself,
//! so that a machine that is slow to ask changes nothing.

use std::time::{Duration, Instant};

use hallmark_conformance::{Outcome, check::holds, failure::While};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    signed_tags::{REPOSITORY, Reader},
    world::{Person, World},
};

/// The longest that the targets may name what a tag points to no more.
const LEFT: SignedDuration = SignedDuration::from_secs(5);
/// For how long a timestamp holds: by it is known when one was made.
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The longest that this looks at all.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client finds from the timestamp down: the digest of a tag, and when the timestamp was made, to the second.
fn found(world: &World, tag: &str) -> Outcome<(Option<String>, Timestamp)> {
    let file = |name: &str| world.ask(&[], &format!("/tuf/{REPOSITORY}/{name}"))?.json();
    let timestamp = file("timestamp.json")?;
    let snapshot = file(&format!("{}.snapshot.json", timestamp["signed"]["meta"]["snapshot.json"]["version"]))?;
    let tags = file(&format!("{}.tags.json", snapshot["signed"]["meta"]["tags.json"]["version"]))?;
    let named = tags["signed"]["targets"][format!("{REPOSITORY}/{tag}")]["hashes"]["sha256"].as_str();
    let expires = timestamp["signed"]["expires"].as_str().unwrap_or_default();
    let expires = expires.parse::<Timestamp>().or_fail("a timestamp says when it expires")?;
    Ok((named.map(|sum| format!("sha256:{sum}")), expires - LIFE))
}

/// When the newest event of a kind in the repository happened.
fn happened(world: &World, kind: &str) -> Outcome<Timestamp> {
    let path = format!("/events?kind={kind}&repository=admin%2Fapp&limit=100");
    let events = world.manage("GET", &path, &Value::Null)?;
    let newest = events["items"].as_array().and_then(|events| events.last()).or_fail(format!("no {kind}: {events}"))?;
    newest["at"].as_str().unwrap_or_default().parse::<Timestamp>().or_fail("an event says when it happened")
}

/// Waits until a tag means nothing that is signed, and holds that the file which says so was made in time.
fn leaves(world: &World, tag: &str, kind: &str) -> Outcome<()> {
    let begin = Instant::now();
    let made = loop {
        let (named, made) = found(world, tag)?;
        if named.is_none() {
            break made;
        }
        holds(begin.elapsed() < PATIENCE, || format!("{tag} is still named: {}", world.log()))?;
        std::thread::sleep(Duration::from_millis(50));
    };
    let event = happened(world, kind)?;
    let took = made.duration_since(event);
    // A timestamp tells whole seconds.
    let is_after = took >= -SignedDuration::from_secs(1);
    holds(is_after && took <= LEFT, || format!("{kind} was at {event}, and the timestamp without {tag} at {made}"))
}

#[test]
fn a_tag_that_moves_or_is_deleted_leaves_the_targets_within_five_seconds() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    for (tag, seed) in [("moved", 1), ("deleted", 2)] {
        let pushed = reader.push(tag, seed)?;
        reader.hallmark(&["sign", &reader.image(tag)])?;
        reader.all_find(tag, Some(&pushed))?;
    }
    reader.push("moved", 3)?;
    leaves(&world, "moved", "manifest_pushed")?;
    let path = format!("/v2/{REPOSITORY}/manifests/deleted");
    let words = ["--request", "DELETE"];
    let deleted = world.ask_as(&Person::admin(), (REPOSITORY, "pull,delete"), &words, &path)?;
    holds(deleted.status == 202, || format!("a delete was answered {} {}", deleted.status, deleted.text()))?;
    leaves(&world, "deleted", "tag_deleted")
}
