//! Coming up: how long it takes, and what it holds.

use std::{thread, time::Duration};

use hallmark_conformance::Outcome;

use super::World;
use crate::{load::Sample, server::Server};

/// How long a server is left alone before its memory is read.
const REST: Duration = Duration::from_secs(2);

/// The first start, on an empty folder.
pub(super) fn empty(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let started = Server::start(server.kind, world.setup)?;
    let sample = sample(&started)?;
    started.remove()?;
    Ok(sample)
}

/// A later start, on what the first one left.
pub(super) fn again(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let mut started = Server::start(server.kind, world.setup)?;
    started.while_stopped(world.setup, |_| Ok(()))?;
    let sample = sample(&started)?;
    started.remove()?;
    Ok(sample)
}

/// What a started server holds when nobody asks anything.
pub(super) fn idle(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let started = Server::start(server.kind, world.setup)?;
    thread::sleep(REST);
    let memory = started.watch().resident_memory()?;
    let sample = Sample { memory, ..sample(&started)? };
    started.remove()?;
    Ok(sample)
}

fn sample(started: &Server) -> Outcome<Sample> {
    Ok(Sample {
        wall: started.first_answer,
        operations: 1,
        server: started.watch().processor_time()?,
        memory: started.watch().peak_memory()?,
        ..Sample::default()
    })
}
