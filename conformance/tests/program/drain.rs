//! The end by SIGTERM and SIGINT: nothing begins, what runs ends or is cut in time, and an upload goes on where it was durable.

use std::time::{Duration, Instant};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::{Connection, Request},
    image::{digest, noise},
    process::Process,
    registry::path_of,
    server::{Plan, Server},
};

use super::world::REPOSITORY;

/// How long running requests may go on in these tests.
const DRAIN: &str = "2s";
/// How long the program may take to end: the drain, and the ten seconds for last changes that the manual states beside it. Nearly
/// always it takes the two.
const END_LIMIT: Duration = Duration::from_secs(2 + 10);
/// How long a program takes at most to end where nothing runs: far less than the drain, which by default is 25 s.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// How long the signal may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(20);
const CHUNK: usize = 1 << 20;

/// A server that this test signals itself, an upload with one acknowledged chunk, and a second chunk of which half is sent.
struct Midway {
    server: Server,
    process: Process,
    location: String,
    bytes: Vec<u8>,
    connection: Connection,
}

impl Midway {
    fn begin() -> Outcome<Self> {
        let mut server = Plan::default().variable("HALLMARK_HTTP_DRAIN_TIMEOUT", DRAIN).prepare()?;
        let mut process = server.spawn()?;
        process.wait_until_ready(server.port(), "/readyz")?;
        let (registry, bytes) = (server.registry(), noise(1, 2 * CHUNK));
        let location = registry.begin_upload(REPOSITORY)?;
        let answer = registry.append(&location, 0, &bytes[..CHUNK])?.expect(202)?;
        let location = answer.required("location")?.to_owned();
        let scope = format!("repository:{REPOSITORY}:pull,push");
        let request = Request::new("PATCH", path_of(&location))
            .header("Authorization", registry.client().authorization(&[&scope])?)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{CHUNK}-{}", 2 * CHUNK - 1))
            .header("Content-Length", CHUNK.to_string())
            .header("Expect", "100-continue");
        let mut connection = Connection::open(server.port())?;
        connection.send_head(&request)?;
        // The server asks for the body: from here on the request runs.
        let asked = connection.read_some(64)?;
        holds(asked.starts_with(b"HTTP/1.1 100"), || String::from_utf8_lossy(&asked).into_owned())?;
        connection.write(&bytes[CHUNK..CHUNK + CHUNK / 2])?;
        Ok(Self { server, process, location, bytes, connection })
    }

    /// Sends SIGTERM and waits until nobody listens any more.
    fn terminate(&mut self) -> Outcome<()> {
        self.process.signal("TERM")?;
        let port = self.server.port();
        self.process.wait_until("new connections are refused", SEEN_LIMIT, || Connection::open(port).is_err())
    }

    /// Starts on the same data, and brings the upload to its end from what the registry says it holds.
    fn goes_on(mut self) -> Outcome<()> {
        self.server.start()?;
        let (registry, bytes) = (self.server.registry(), &self.bytes);
        let (location, held) = registry.status(&self.location)?;
        // Of the chunk that was cut, what came may be kept; what was acknowledged before it must be.
        holds((CHUNK..=CHUNK + CHUNK / 2).contains(&held), || {
            format!("{CHUNK} bytes were acknowledged and {held} are held")
        })?;
        let answer = registry.append(&location, held, &bytes[held..])?.expect(202)?;
        registry.finish(answer.required("location")?, &digest(bytes), b"")?.expect(201)?;
        registry.check_blob(REPOSITORY, &digest(bytes))?;
        Ok(())
    }
}

#[test]
fn a_chunk_that_comes_to_its_end_in_time_is_acknowledged_and_the_program_ends_well() -> Outcome<()> {
    let mut midway = Midway::begin()?;
    midway.terminate()?;
    let (half, whole) = (CHUNK + CHUNK / 2, 2 * CHUNK);
    midway.connection.write(&midway.bytes[half..whole])?;
    let answer = midway.connection.receive("PATCH")?.expect(202)?;
    midway.location = answer.required("location")?.to_owned();
    let status = midway.process.wait(END_LIMIT)?;
    holds(status.success(), || format!("the program ended with {status}: {}", midway.process.log()))?;
    let Midway { mut server, location, bytes, .. } = midway;
    server.start()?;
    let registry = server.registry();
    let (location, held) = registry.status(&location)?;
    holds(held == whole, || format!("{whole} bytes were acknowledged and {held} are held"))?;
    registry.finish(&location, &digest(&bytes), b"")?.expect(201)?;
    registry.check_blob(REPOSITORY, &digest(&bytes))?;
    Ok(())
}

#[test]
fn a_chunk_that_does_not_end_is_cut_in_time_and_the_upload_goes_on_where_it_was_acknowledged() -> Outcome<()> {
    let mut midway = Midway::begin()?;
    midway.terminate()?;
    let status = midway.process.wait(END_LIMIT)?;
    holds(status.success(), || format!("the program ended with {status}: {}", midway.process.log()))?;
    holds(midway.connection.is_closed(), || "the connection outlived the program".into())?;
    midway.goes_on()
}

#[test]
fn a_program_with_nothing_to_do_ends_at_once_and_well() -> Outcome<()> {
    let mut server = Server::fresh()?;
    let (unused, mut idle) = (Connection::open(server.port())?, Connection::open(server.port())?);
    idle.exchange(&Request::new("GET", "/livez"))?.expect(200)?;
    let begin = Instant::now();
    let status = server.stop()?;
    let took = begin.elapsed();
    drop((unused, idle));
    holds(took < IDLE_LIMIT, || format!("it took {took:?} with two connections on which nothing runs"))?;
    holds(status.success(), || format!("the program ended with {status}: {}", server.log()))?;
    holds(!server.data().join("control.sock").exists(), || "the control socket is left behind".into())
}

/// Ctrl-C in a terminal.
#[test]
fn an_interrupt_ends_the_program_as_sigterm_does() -> Outcome<()> {
    let mut server = Plan::default().prepare()?;
    let mut process = server.spawn()?;
    process.wait_until_ready(server.port(), "/readyz")?;
    process.signal("INT")?;
    let status = process.wait(IDLE_LIMIT)?;
    holds(status.success(), || format!("the program ended with {status}: {}", server.log()))?;
    holds(!server.data().join("control.sock").exists(), || "the control socket is left behind".into())
}
