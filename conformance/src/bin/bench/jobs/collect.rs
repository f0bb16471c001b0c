//! What no image needs any more, collected: beside images that stay, and while others push.
//! Every grace of it is over when it is written, since it was pushed and deleted long ago by the clock that it was written with.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use hallmark_conformance::{Failure, Outcome, failure::While};
use serde_json::Value;

use super::{
    World,
    image::push_image,
    sign::{IDLE, LOOK, PATIENCE, QUIET, authorization},
};
use crate::{
    content::Image,
    load::{Pushes, Sample},
    seed::{self, Images},
    server::{Kind, Server, distribution, zot},
    token::Access,
    watch::Watch,
    wire::{Connection, Request},
};

/// Images that stay.
const FEW: usize = 10_000;
pub(super) const MANY: usize = 100_000;
pub(super) const MOST: usize = 1_000_000;
/// Images that go.
const GARBAGE: usize = 1_000;
/// The repository that they are in.
const REPOSITORY: &str = "admin/collected";
/// The repository that images are pushed to meanwhile, and how many image numbers are set aside for it.
const PUSHED: &str = "admin/pushed";
const NUMBERS: u64 = 1_000_000;
/// For how many periods pushes are timed while nothing is collected.
const PERIODS: u32 = 4;
/// Longer than the delay after which zot collects.
const DELAY: Duration = Duration::from_secs(2);
/// How often a command that runs is looked at.
const OFTEN: Duration = Duration::from_millis(10);

fn many(world: &World<'_>, live: usize, garbage: usize) -> Images {
    Images { live: live / world.scale.fewer, garbage: garbage / world.scale.fewer }
}

/// Writes images that stay, and garbage beside them.
pub(super) fn prepare(world: &World<'_>, server: &mut Server, live: usize) -> Outcome<()> {
    seed::images(server, world.setup, REPOSITORY, many(world, live, GARBAGE))
}

/// Writes as many that go as stay.
pub(super) fn prepare_half(world: &World<'_>, server: &mut Server) -> Outcome<()> {
    seed::images(server, world.setup, REPOSITORY, many(world, MANY / 2, MANY / 2))
}

/// On a server of its own whose data goes when it is done.
pub(super) fn beside_few(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let mut server = Server::start(server.kind, world.setup)?;
    prepare(world, &mut server, FEW)?;
    let sample = match server.kind {
        Kind::Hallmark => garbage(world, &server)?,
        Kind::Zot => with_a_change(world, &mut server)?,
        Kind::Distribution | Kind::Nginx | Kind::Null => stopped(world, &mut server)?,
    };
    server.remove()?;
    Ok(sample)
}

/// What a running Hallmark spends from the moment at which its collector may go on.
pub(super) fn garbage(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let Images { garbage, .. } = many(world, 0, GARBAGE);
    await_quiet(server.watch())?;
    collect(server, garbage)
}

/// The same while a client pushes, whose pushes were timed before.
pub(super) fn beside_pushes(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let Images { garbage, .. } = many(world, 0, MANY / 2);
    let token = server.authorization(world.setup, &[Access::Repository(PUSHED)])?;
    let (mut connection, mut number) = (server.connect()?, world.image_numbers(NUMBERS));
    let mut push_while = |goes_on: &dyn Fn() -> bool| {
        let mut times = Vec::new();
        while goes_on() {
            let image = Image::numbered(number);
            let begin = Instant::now();
            push_image(&mut connection, PUSHED, &format!("v{number}"), &image, token.as_deref())?;
            times.push(begin.elapsed());
            number += 1;
        }
        slowest_but_a_hundredth(times)
    };
    await_quiet(server.watch())?;
    let begin = Instant::now();
    let alone = push_while(&|| begin.elapsed() < world.scale.period * PERIODS)?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let sample = collect(server, garbage);
            ended.store(true, Ordering::Relaxed);
            sample
        });
        let beside = push_while(&|| !ended.load(Ordering::Relaxed));
        let sample = collecting.join().map_err(|_| Failure::new("the collector's client panicked"))??;
        Ok(Sample { pushes: Some(Pushes { alone, beside: beside? }), ..sample })
    })
}

fn slowest_but_a_hundredth(mut times: Vec<Duration>) -> Outcome<Duration> {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().or_fail("nothing was pushed")
}

/// Lets the collector go on, and asks it to until nothing is due.
fn collect(server: &Server, garbage: usize) -> Outcome<Sample> {
    let (mut connection, watch) = (server.connect()?, server.watch());
    if due(&mut connection)? < garbage.min(10_000) as u64 {
        return Err(Failure::new("what is to be collected is not there"));
    }
    watch.reset_peak()?;
    let (begin, before) = (Instant::now(), watch.processor_time()?);
    ask(&mut connection, "PATCH", "/api/v1/gc", r#"{"paused": false}"#)?;
    while due(&mut connection)? > 0 {
        if begin.elapsed() > PATIENCE * 6 {
            return Err(Failure::new("the collector does not come to an end"));
        }
        ask(&mut connection, "POST", "/api/v1/gc/run", "{}")?;
    }
    let wall = begin.elapsed();
    let spent = watch.processor_time()?.saturating_sub(before);
    let memory = watch.peak_memory()?;
    Ok(Sample { wall, operations: garbage as u64, server: spent, memory, ..Sample::default() })
}

/// How much there is to collect; each kind of it is counted up to 10,000.
fn due(connection: &mut Connection) -> Outcome<u64> {
    let status = ask(connection, "GET", "/api/v1/gc", "")?;
    let count = |name: &str| status[name].as_u64().or_fail("the status of the collector has no such number");
    Ok(count("trash_due")? + count("candidates_due")?)
}

fn ask(connection: &mut Connection, method: &str, target: &str, body: &str) -> Outcome<Value> {
    let (authorization, body) = (authorization(), body.as_bytes());
    let request = Request::with_body(method, target, Some(&authorization), "application/json", body);
    let mut told = Vec::new();
    connection
        .exchange_into(&request, |piece| told.extend_from_slice(piece))?
        .expect(200, "a wish to the collector")?;
    Ok(serde_json::from_slice(&told)?)
}

/// Waits until a server does nothing by itself: what its jobs find of what was written is looked at before.
fn await_quiet(watch: Watch) -> Outcome<()> {
    let (begin, mut spent, mut quiet) = (Instant::now(), watch.processor_time()?, 0);
    while quiet < QUIET {
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new("the server does not come to rest"));
        }
        sleep(LOOK);
        let now = watch.processor_time()?;
        quiet = if now.saturating_sub(spent) > IDLE { 0 } else { quiet + 1 };
        spent = now;
    }
    Ok(())
}

/// What a peer's own command spends on the data of a server that is stopped.
fn stopped(world: &World<'_>, server: &mut Server) -> Outcome<Sample> {
    let images = many(world, FEW, GARBAGE);
    let mut sample = Sample::default();
    server.while_stopped(world.setup, |data| {
        sample = watched(distribution::collector(data)?)?;
        sample.operations = images.garbage as u64;
        let is_there = |digest: &str| distribution::blob_file(data, digest).exists();
        if images.collected().any(|image| is_there(&image.layer.digest)) {
            return Err(Failure::new("not all garbage was collected"));
        }
        Ok(())
    })?;
    Ok(sample)
}

/// What zot spends on the deletion of one image, with which it looks through the repository and collects.
fn with_a_change(world: &World<'_>, server: &mut Server) -> Outcome<Sample> {
    let images = many(world, FEW, GARBAGE);
    let mut data = PathBuf::new();
    server.while_stopped(world.setup, |folder| {
        data = folder.to_owned();
        zot::let_collect(folder.parent().or_fail("the data stands in no folder")?)
    })?;
    // What is younger than its delay stays.
    sleep(DELAY);
    let token = server.authorization(world.setup, &[Access::Repository(REPOSITORY)])?;
    let (mut connection, watch) = (server.connect()?, server.watch());
    watch.reset_peak()?;
    let (begin, before) = (Instant::now(), watch.processor_time()?);
    let target = format!("/v2/{REPOSITORY}/manifests/{}", images.first().manifest.digest);
    connection.exchange(&Request::new("DELETE", &target, token.as_deref()))?.expect(202, "a deletion")?;
    let sample = Sample {
        wall: begin.elapsed(),
        operations: images.garbage as u64,
        server: watch.processor_time()?.saturating_sub(before),
        memory: watch.peak_memory()?,
        ..Sample::default()
    };
    if images.collected().any(|image| zot::blob_file(&data, REPOSITORY, &image.layer.digest).exists()) {
        return Err(Failure::new("not all garbage was collected"));
    }
    Ok(sample)
}

/// Runs a command to its end. What it spends after the last look at it is lost.
fn watched(mut command: Command) -> Outcome<Sample> {
    let begin = Instant::now();
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = spawned.or_fail("cannot start the collector")?;
    let (watch, mut sample) = (Watch::new(child.id()), Sample::default());
    let status = loop {
        // One that has just ended tells nothing of itself any more.
        sample.server = sample.server.max(watch.processor_time().unwrap_or_default());
        sample.memory = sample.memory.max(watch.peak_memory().unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(OFTEN);
    };
    sample.wall = begin.elapsed();
    if status.success() { Ok(sample) } else { Err(Failure::new(format!("the collector ended with {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_does_not_count() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect::<Vec<_>>();
        for (count, slowest) in [(1, 1), (2, 1), (100, 99), (101, 100), (1_000, 990)] {
            assert_eq!(slowest_but_a_hundredth(times(count)).unwrap(), Duration::from_millis(slowest), "of {count}");
        }
        assert!(slowest_but_a_hundredth(Vec::new()).is_err());
    }

    #[test]
    fn a_command_is_watched_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]);
        let sample = watched(command).unwrap();
        assert!(sample.wall > Duration::ZERO && sample.server <= sample.wall * 2, "{sample:?}");
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        assert!(watched(command).is_err());
    }
}
