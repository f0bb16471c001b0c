//! Two who publish to one collection at once: one wins, the other is told so, and both go on.

use std::process::Output;

use hallmark_conformance::{Outcome, check::holds};

use super::{
    client::{Notary, text},
    world::{Person, World},
};

/// How often two publish at once.
const ROUNDS: usize = 8;

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn of_two_publishers_at_once_one_wins_and_both_go_on() -> Outcome<()> {
    let world = World::new()?;
    let (ann, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    ann.run(&["init", &gun, "-p"])?;
    ann.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let bob = ann.twin(&world, "bob")?;
    let (mut expected, mut lost) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut running = Vec::new();
        for (name, client) in [("ann", &ann), ("bob", &bob)] {
            let (target, file) = (format!("{name}-{round}"), client.content("file", 500 + round)?);
            client.run(&["add", &gun, &target, text(&file)])?;
            expected.push(target);
        }
        for client in [&ann, &bob] {
            running.push((client, client.begin(&["publish", &gun])?));
        }
        let mut losers = Vec::new();
        for (client, child) in running {
            let output = child.wait_with_output()?;
            if !output.status.success() {
                let said = said(&output);
                holds(said.contains("trust server rejected operation"), || format!("the loser said {said}"))?;
                losers.push(client);
            }
        }
        holds(losers.len() < 2, || "nobody won".into())?;
        lost += losers.len();
        losers.iter().try_for_each(|loser| loser.run(&["publish", &gun]).map(drop))?;
    }
    expected.sort();
    let names: Vec<&str> = expected.iter().map(String::as_str).collect();
    [&ann, &bob].iter().try_for_each(|client| client.lists(&gun, &names))?;
    let held = world.held(&gun)?.targets("targets");
    holds(held == expected, || format!("the server holds {held:?}"))?;
    holds(lost > 0, || format!("in {ROUNDS} rounds the two never met: more rounds are needed"))
}

#[test]
fn a_version_that_is_taken_is_refused_as_such() -> Outcome<()> {
    let world = World::new()?;
    let (ann, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    ann.run(&["init", &gun, "-p"])?;
    ann.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let file = ann.content("file", 500)?;
    let old = world.file(&gun, "targets")?.body;
    ann.run(&["add", &gun, "v1", text(&file), "-p"])?;
    let (before, part) = (world.held(&gun)?, world.path("part"));
    for body in [old, world.file(&gun, "targets")?.body] {
        std::fs::write(&part, body)?;
        let form = format!("files=@{};filename=targets", part.display());
        let path = format!("/v2/{gun}/_trust/tuf/");
        let answer = world.ask_as(&Person::admin(), (&gun, "pull,push"), &["--form", &form], &path)?;
        let told = answer.refuses(400, "VERSION")?;
        let count = told["errors"].as_array().map_or(0, Vec::len);
        holds(count == 1 && answer.body.len() < 1024, || format!("clients read no more than one error: {told}"))?;
    }
    holds(world.held(&gun)?.0 == before.0, || "a refused publish changed the collection".into())?;
    ann.run(&["add", &gun, "v2", text(&file), "-p"])?;
    ann.lists(&gun, &["v1", "v2"])
}
