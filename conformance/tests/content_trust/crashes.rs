//! The server dies while clients publish: whatever is told, what is left is a whole collection.

use std::time::{Duration, Instant};

use hallmark_conformance::{Outcome, check::holds, settings};

use super::{
    client::{Notary, text},
    world::World,
};

/// How many publishes the server dies in.
const KILLS: u64 = 30;

/// The kills are spread over the time that a publish takes: whatever it is at then is what dies.
#[test]
fn a_server_that_dies_in_publishes_leaves_whole_collections() -> Outcome<()> {
    let mut world = World::new()?;
    let (publisher, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    publisher.run(&["init", &gun, "-p"])?;
    publisher.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let file = publisher.content("file", 500)?;
    let begin = Instant::now();
    publisher.run(&["add", &gun, "t", text(&file), "-p"])?;
    let (usual, kills) = (begin.elapsed(), settings::number("HALLMARK_TRUST_KILLS", KILLS));
    let (mut acknowledged, mut cut) = (vec!["t".to_owned()], 0);
    for round in 0..kills {
        let name = format!("t{round:02}");
        publisher.run(&["add", &gun, &name, text(&file)])?;
        let publishing = publisher.begin(&["publish", &gun])?;
        std::thread::sleep(fraction(usual, round, kills));
        world.kill()?;
        let output = publishing.wait_with_output()?;
        world.start()?;
        let held = world.held(&gun)?.targets("targets");
        if output.status.success() {
            // Whatever earlier publishes left in the client's list went with it.
            acknowledged = (0..=round).map(|round| format!("t{round:02}")).collect();
            acknowledged.insert(0, "t".to_owned());
        } else {
            cut += 1;
        }
        holds(acknowledged.iter().all(|name| held.contains(name)), || {
            format!("{acknowledged:?} were acknowledged, and {held:?} are held after kill {round}")
        })?;
        let names: Vec<&str> = held.iter().map(String::as_str).collect();
        Notary::admin(&world, &format!("fresh-{round}"))?.lists(&gun, &names)?;
    }
    holds(cut > 0, || format!("none of {kills} kills met a publish"))?;
    publisher.run(&["publish", &gun])?;
    let held = world.held(&gun)?.targets("targets").len() as u64;
    holds(held == kills + 1, || format!("{held} targets are held at the end"))
}

fn fraction(whole: Duration, part: u64, parts: u64) -> Duration {
    whole.mul_f64(part as f64 / parts as f64)
}
