//! Layers so large that the server makes them durable step by step while they are sent: what it says of a step holds (I4).

use hallmark_conformance::{
    Outcome,
    check::holds,
    durability::{Layer, Loss, Watched},
    server::Server,
};

use crate::{
    model::shim,
    support::{alone, record, seed},
};

const REPOSITORY: &str = "admin/app";

/// Sends a layer, takes the power once a step of it is told to be durable, and starts the server again; how many bytes it had told, and
/// how many it tells now.
fn told_before_and_after(
    watched: &Watched,
    server: &mut Server,
    forgotten: &[&str],
) -> Outcome<(usize, Option<usize>, Layer)> {
    let registry = server.registry();
    let layer = Layer::begin(&registry, REPOSITORY, seed())?;
    watched.fail(forgotten)?;
    let mut unfinished = layer.send(&registry)?;
    let told = unfinished.told(&registry)?;
    server.kill()?;
    drop(unfinished);
    watched.lose_power(Loss::Everything)?;
    watched.fail(&[])?;
    server.start()?;
    let tells = registry.received(layer.location()).ok();
    Ok((told, tells, layer))
}

#[test]
fn what_was_told_of_a_layer_that_was_still_sent_survives_a_power_loss() -> Outcome<()> {
    let _alone = alone();
    let watched = Watched::new(shim())?;
    let mut server = watched.plan(&watched.folder()).start()?;
    let (told, tells, layer) = told_before_and_after(&watched, &mut server, &[])?;
    record("large-layer", &format!("{told} bytes were told to be durable before a power loss, and {tells:?} after it"));
    holds(tells.is_some_and(|tells| tells >= told), || format!("{told} bytes were told, and then {tells:?}"))?;
    layer.go_on(&server.registry())?;
    server.stop().map(drop)
}

/// What the test above would see of a server that forgets a sync of such a step.
#[test]
fn a_step_that_is_not_synced_is_missed() -> Outcome<()> {
    let _alone = alone();
    for forgotten in ["sync blob 0 0 LOST", "sync folder 0 0 LOST"] {
        let watched = Watched::new(shim())?;
        let mut server = watched.plan(&watched.folder()).start()?;
        let (told, tells, layer) = told_before_and_after(&watched, &mut server, &[forgotten])?;
        let holds_it = tells.is_some_and(|tells| tells >= told) && layer.go_on(&server.registry()).is_ok();
        holds(!holds_it, || format!("{forgotten}: {told} bytes were told, and then {tells:?}"))?;
        server.stop()?;
    }
    Ok(())
}

#[test]
fn a_step_whose_sync_fails_is_neither_told_nor_acknowledged() -> Outcome<()> {
    let _alone = alone();
    let watched = Watched::new(shim())?;
    let mut server = watched.plan(&watched.folder()).start()?;
    let registry = server.registry();
    for class in ["blob", "folder"] {
        let layer = Layer::begin(&registry, REPOSITORY, seed())?;
        watched.fail(&[&format!("sync {class} 0 1 EIO")])?;
        // The server may let go of the connection while the client still sends.
        if let Ok(answer) = layer.send(&registry).and_then(|unfinished| unfinished.end()) {
            holds(answer.status == 503, || format!("{class}: {answer}"))?;
            answer.required("retry-after")?;
        }
        let told = registry.received(layer.location())?;
        holds(told == 0, || format!("{class}: {told} bytes are told of a step whose sync failed"))?;
        watched.fail(&[])?;
        layer.go_on(&registry)?;
    }
    server.stop().map(drop)
}
