//! One sitting: every job on every server that can do it, one after another.
//! Never two at once, and never ended by a job that fails: its row is missing then, and a missing row fails its budgets.
//! Start at `hold`.

use std::time::Duration;

use hallmark_conformance::{Failure, Outcome};

use crate::{
    content::Layers,
    jobs::{Job, World},
    options::Scale,
    report::{progress, say},
    results::Results,
    server::{Kind, Server, Setup},
};

/// A server whose round of a job lasted longer gets no further round of it.
const LONG_ROUND: Duration = Duration::from_secs(60);

/// Does the jobs, each on all servers of these kinds that can do it.
///
/// # Errors
/// A server does not start or does not end. A job that fails is told in the results.
pub(crate) fn hold(jobs: &[&'static Job], kinds: &[Kind], setup: &Setup, scale: Scale) -> Outcome<Results> {
    let layers = Layers::new();
    let world = World::new(setup, scale, &layers);
    let mut results = Results::default();
    let (shared, alone) = jobs.iter().copied().partition::<Vec<&Job>, _>(|job| job.engine.is_none());
    let needed = kinds.iter().filter(|kind| shared.iter().any(|job| (job.on)(**kind)));
    let mut servers = needed.map(|kind| Server::start(*kind, setup)).collect::<Outcome<Vec<_>>>()?;
    for job in shared {
        compare(&world, job, &mut servers, &mut results)?;
    }
    servers.into_iter().try_for_each(Server::remove)?;
    // On engines last, when what the others stored is gone and none of them runs.
    for (job, engine) in alone.iter().filter_map(|job| Some((job, job.engine?))) {
        if kinds.iter().any(|kind| (job.on)(*kind)) {
            match Server::start_on(engine, setup) {
                Ok(server) => on_engine(&world, job, server, &mut results)?,
                Err(failure) => told(&mut results, job, Kind::Hallmark, failure)?,
            }
        }
    }
    Ok(results)
}

fn on_engine(world: &World<'_>, job: &'static Job, server: Server, results: &mut Results) -> Outcome<()> {
    let mut servers = [server];
    compare(world, job, &mut servers, results)?;
    servers.into_iter().try_for_each(Server::remove)
}

/// One job on every server that can do it.
fn compare(world: &World<'_>, job: &'static Job, servers: &mut [Server], results: &mut Results) -> Outcome<()> {
    let mut ready = Vec::new();
    for server in servers.iter_mut().filter(|server| (job.on)(server.kind)) {
        match (job.prepare)(world, server).and_then(|()| server.watch().peak_memory()) {
            Ok(peak) => {
                results.note_peak(job, server.kind, peak);
                ready.push(&*server);
            }
            Err(failure) => told(results, job, server.kind, failure)?,
        }
    }
    for round in 0..if job.repeats { world.scale.rounds } else { 1 } {
        for server in in_turn(&ready, round) {
            // One that has no row after the first round has failed.
            let last = results.row(job.name, server.kind).and_then(|row| row.samples.last());
            if last.map_or(round > 0, |sample| sample.wall > LONG_ROUND) {
                continue;
            }
            match (job.measure)(world, server) {
                Ok(sample) => results.add(job, server.kind, sample),
                Err(failure) => told(results, job, server.kind, failure)?,
            }
        }
    }
    for row in ready.iter().filter_map(|server| results.row(job.name, server.kind)) {
        say(&progress(job, row.kind, row))?;
    }
    Ok(())
}

/// The servers in the order of this round: every second one runs backwards, so that none always follows the same other.
pub(crate) fn in_turn<T: Copy>(servers: &[T], round: usize) -> Vec<T> {
    let mut order = servers.to_vec();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Says that a job failed, and drops what was measured of it before.
fn told(results: &mut Results, job: &Job, kind: Kind, failure: Failure) -> Outcome<()> {
    let failure = Failure::caused_by(format!("{} on {kind}", job.name), failure);
    say(&format!("error: {failure}"))?;
    results.fail(job, kind, failure.to_string());
    Ok(())
}
