//! The server dies while clients publish: whatever they are told, what is left is a whole collection.

use std::time::Duration;

use hallmark_conformance::{Outcome, check::holds, settings};

use super::{
    client::{Notary, text},
    world::World,
};

/// How many publishes the server dies in.
const KILLS: u64 = 30;
/// The kills are spread over this time after the client's first read: within it, the publish is signed, sent, and stored.
const SPREAD: Duration = Duration::from_millis(90);

#[test]
fn a_server_that_dies_in_publishes_leaves_whole_collections() -> Outcome<()> {
    let mut world = World::new()?;
    let (publisher, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    publisher.run(&["init", &gun, "-p"])?;
    publisher.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let (file, kills) = (publisher.content("file", 500)?, settings::number("HALLMARK_TRUST_KILLS", KILLS));
    let (mut acknowledged, mut cut) = (Vec::new(), 0);
    for round in 0..kills {
        let name = format!("t{round:04}");
        publisher.run(&["add", &gun, &name, text(&file)])?;
        let before = world.reads();
        let publishing = publisher.begin(&["publish", &gun])?;
        world.wait_for_read(before)?;
        // Not to wait for anything: the places at which the server dies are to differ.
        std::thread::sleep(SPREAD.mul_f64(round as f64 / kills as f64));
        world.kill()?;
        let output = publishing.wait_with_output()?;
        world.start()?;
        if output.status.success() {
            // What earlier publishes left in the client's list went with it.
            acknowledged = (0..=round).map(|round| format!("t{round:04}")).collect();
        } else {
            cut += 1;
        }
        let held = world.held(&gun)?.targets("targets");
        holds(acknowledged.iter().all(|name| held.contains(name)), || {
            format!("{acknowledged:?} were acknowledged, and {held:?} are held after kill {round}")
        })?;
        let names: Vec<&str> = held.iter().map(String::as_str).collect();
        Notary::admin(&world, &format!("fresh-{round}"))?.lists(&gun, &names)?;
    }
    holds(cut > 0, || format!("none of {kills} kills met a publish"))?;
    publisher.run(&["publish", &gun])?;
    let held = world.held(&gun)?.targets("targets").len() as u64;
    holds(held == kills, || format!("{held} targets are held at the end, not {kills}"))
}
