//! Signed tags: asked for, published, read and renewed.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_conformance::{
    Failure, Outcome,
    server::{ADMIN, PASSWORD},
};
use serde_json::{Value, json};

use super::{World, read::repeat_with};
use crate::{
    content::empty_index,
    load::{self, Sample, Until},
    seed,
    server::Server,
    wire::{Connection, Request},
};

/// Tags of the small and of the large repository.
pub(super) const FEW: usize = 100;
pub(super) const MANY: usize = 1_000_000;
/// Publishes that are measured.
const PUBLISHES: u64 = 20;
/// How long a publish is waited for, and how often is looked.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// A publish comes within a second of its signature, and some more: so long nobody looks, since each look costs the server.
const SOON: Duration = Duration::from_millis(1_300);
/// The slowest rate at which repositories are published or renewed that is still waited for: no more than the budget asks.
const SLOWEST: usize = 25;
/// For how long an idle server is watched.
const REST: Duration = Duration::from_secs(10);
/// A server that spends less than this from one look to the next is idle, and so many looks of that are quiet: it begins three
/// seconds after its start.
pub(super) const IDLE: Duration = Duration::from_millis(15);
pub(super) const QUIET: u32 = 50;
/// Of a server that has just begun, everything that it does by itself lies behind this.
const BEFORE: jiff::SignedDuration = jiff::SignedDuration::from_secs(3);
/// What the names of the renewed repositories begin with.
const PREFIX: &str = "admin/renewed-";

fn repository(count: usize) -> String {
    format!("admin/signed-{count}")
}

pub(super) fn authorization() -> String {
    format!("Basic {}", STANDARD.encode(format!("{ADMIN}:{PASSWORD}")))
}

fn signature(repository: &str, tag: usize) -> Request {
    let target = format!("/api/v1/repositories/{}/signatures", repository.replace('/', "%2F"));
    let digest = empty_index().digest;
    let body = json!({"tag": format!("v{tag:06}"), "digest": digest}).to_string();
    Request::with_body("POST", &target, Some(&authorization()), "application/json", body.as_bytes())
}

/// The version of a repository's timestamp; 0 where nothing was published.
fn version(connection: &mut Connection, repository: &str) -> Outcome<u64> {
    let request = Request::new("GET", &format!("/tuf/{repository}/timestamp.json"), Some(&authorization()));
    let mut body = Vec::new();
    let answer = connection.exchange_into(&request, |piece| body.extend_from_slice(piece))?;
    if answer.status == 404 {
        return Ok(0);
    }
    answer.expect(200, "a timestamp")?;
    let file: Value = serde_json::from_slice(&body)?;
    Ok(file["signed"]["version"].as_u64().unwrap_or_default())
}

/// How long so many publishes or renewals are waited for.
fn patience(count: usize) -> Duration {
    PATIENCE.max(Duration::from_secs((count / SLOWEST) as u64))
}

/// Waits until a repository has a later timestamp than this; its version.
fn await_version(connection: &mut Connection, repository: &str, before: u64) -> Outcome<u64> {
    await_version_for(PATIENCE, connection, repository, before)
}

fn await_version_for(patience: Duration, connection: &mut Connection, repository: &str, before: u64) -> Outcome<u64> {
    let begin = Instant::now();
    loop {
        let now = version(connection, repository)?;
        if now > before {
            return Ok(now);
        }
        if begin.elapsed() > patience {
            return Err(Failure::new(format!("{repository} was not published within {patience:?}")));
        }
        sleep(LOOK);
    }
}

/// Sees to it that a repository of `count` signed tags is published.
pub(super) fn prepare(world: &World<'_>, server: &mut Server, count: usize) -> Outcome<()> {
    let repository = repository(count);
    seed::signed(server, world.setup, ["signed", &repository], count)?;
    await_version(&mut server.connect()?, &repository, 0)?;
    // Many tags are published in parts, and the first of them does not tell that the last is there.
    settle(server, PATIENCE).map(drop)
}

/// Waits until a server has nothing left to do; when that was, at the latest, and what it had spent by then.
fn settle(server: &Server, patience: Duration) -> Outcome<(Instant, Duration)> {
    let begin = Instant::now();
    let (mut spent, mut active, mut quiet) = (server.watch().processor_time()?, begin, 0);
    while quiet < QUIET {
        if begin.elapsed() > patience {
            return Err(Failure::new(format!("the server was not done within {patience:?}")));
        }
        sleep(LOOK);
        let now = server.watch().processor_time()?;
        if now.saturating_sub(spent) > IDLE {
            (active, quiet) = (Instant::now(), 0);
        } else {
            quiet += 1;
        }
        spent = now;
    }
    Ok((active, spent))
}

/// One tag is signed anew, and its publish waited for. What the server spends while it waits is measured before, for as long, and
/// is no part of what a publish costs.
pub(super) fn publish(_: &World<'_>, server: &Server, count: usize) -> Outcome<Sample> {
    let repository = repository(count);
    let repository = &repository;
    let before = server.watch().processor_time()?;
    sleep(REST);
    let idle = server.watch().processor_time()?.saturating_sub(before);
    let sample = load::run(1, Until::Done(PUBLISHES), server.watch(), |_| {
        let mut connection = server.connect()?;
        let mut last = version(&mut connection, repository)?;
        Ok(move |turn| {
            let tag = usize::try_from(turn).unwrap_or(0) * 7 % count;
            connection.exchange(&signature(repository, tag))?.expect(201, "a signature")?;
            sleep(SOON);
            last = await_version(&mut connection, repository, last)?;
            Ok(0)
        })
    })?;
    let idle = idle.mul_f64(sample.wall.as_secs_f64() / REST.as_secs_f64());
    if sample.server <= idle {
        return Err(Failure::new("the server spent more at rest than at work: it was not at rest"));
    }
    Ok(Sample { server: sample.server - idle, ..sample })
}

/// Signatures, one after another for each client, each for another tag.
pub(super) fn ask(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let repository = repository(FEW);
    let repository = &repository;
    load::run(super::read::CLIENTS, Until::Elapsed(world.scale.period), server.watch(), |client| {
        let mut connection = server.connect()?;
        Ok(move |turn| {
            let tag = (usize::try_from(turn).unwrap_or(0) * super::read::CLIENTS + client) % FEW;
            connection.exchange(&signature(repository, tag))?.expect(201, "a signature")?;
            Ok(0)
        })
    })
}

/// `GET` of a repository's timestamp.
pub(super) fn timestamp(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let target = format!("/tuf/{}/timestamp.json", repository(FEW));
    let token = server.authorization(world.setup, &[crate::token::Access::Repository(&repository(FEW))])?;
    repeat_with(world, server, &[target], token)
}

/// Sees to it that there are published repositories, all of which the server finds due when it starts again.
pub(super) fn prepare_renewal(world: &World<'_>, server: &mut Server) -> Outcome<()> {
    let count = world.scale.renewals;
    seed::signed(server, world.setup, ["signed-repositories", PREFIX], count)?;
    let last = format!("{PREFIX}{:06}", count - 1);
    await_version_for(patience(count), &mut server.connect()?, &last, 0)?;
    seed::due(server, world.setup)
}

/// All of them are renewed: from the start of the server until it has nothing left to do.
pub(super) fn renew(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let count = world.scale.renewals;
    // The job begins three seconds after the server's start, which is no longer ago.
    let since = jiff::Timestamp::now() - BEFORE;
    let (begin, before) = (Instant::now(), server.watch().processor_time()?);
    let (active, spent) = settle(server, patience(count))?;
    if spent <= before {
        return Err(Failure::new("nothing was renewed"));
    }
    let memory = server.watch().peak_memory()?;
    let renewed = renewed(&mut server.connect()?, since)?;
    if renewed < count {
        return Err(Failure::new(format!("{renewed} of {count} were renewed")));
    }
    let (wall, operations) = (active - begin, count as u64);
    Ok(Sample { wall, operations, server: spent.saturating_sub(before), memory, ..Sample::default() })
}

/// How many renewals the registry has written down since a time.
fn renewed(connection: &mut Connection, since: jiff::Timestamp) -> Outcome<usize> {
    let (mut count, mut after) = (0, String::new());
    loop {
        let target = format!("/api/v1/events?kind=tuf_renewed&limit=1000&since={since:.0}{after}");
        let mut body = Vec::new();
        let request = Request::new("GET", &target, Some(&authorization()));
        connection.exchange_into(&request, |piece| body.extend_from_slice(piece))?.expect(200, "events")?;
        let page: Value = serde_json::from_slice(&body)?;
        count += page["items"].as_array().map_or(0, Vec::len);
        let Some(next) = page["next"].as_str() else { return Ok(count) };
        after = format!("&after={next}");
    }
}
