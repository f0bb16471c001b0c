//! An upload whose server dies within one long request: what became durable before is told, and the rest goes on from there.

use std::time::{Duration, Instant};

use crate::{
    Outcome,
    check::holds,
    http::{Connection, Request},
    image::{digest, noise},
    registry::path_of,
    server::Server,
};

/// The bytes of one request, and how many of them are sent before the server dies.
const WHOLE: usize = 160 << 20;
const SENT: usize = 140 << 20;
/// A registry makes a long request durable at least this often, in bytes.
const STEP: usize = 64 << 20;
/// How long a step may take to become durable once its bytes are sent.
const DURABLE_LIMIT: Duration = Duration::from_secs(120);

/// Sends most of a blob in one request, waits until a part of it is durable, kills the server, starts it again, and sends what it does
/// not hold. How many bytes it held.
///
/// # Errors
/// No byte of the request was durable before it ended, or fewer than were told are held afterwards, or the blob is another.
pub fn within_a_request(server: &mut Server, repository: &str) -> Outcome<usize> {
    let registry = server.registry();
    let bytes = noise(3, WHOLE);
    let location = registry.begin_upload(repository)?;
    let scope = format!("repository:{repository}:pull,push");
    let request = Request::new("PATCH", path_of(&location))
        .header("Authorization", server.admin().authorization(&[&scope])?)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", WHOLE.to_string())
        .header("Content-Range", format!("0-{}", WHOLE - 1));
    let mut connection = Connection::open(server.port())?;
    connection.send_head(&request)?;
    for piece in bytes[..SENT].chunks(1 << 20) {
        connection.write(piece)?;
    }
    let begin = Instant::now();
    let durable = loop {
        let (_, received) = registry.status(&location)?;
        if received >= STEP {
            break received;
        }
        holds(begin.elapsed() < DURABLE_LIMIT, || {
            format!("of {SENT} bytes that were sent {received} are durable after {DURABLE_LIMIT:?}")
        })?;
    };
    server.kill_and_start()?;
    let (location, held) = registry.status(&location)?;
    holds((durable..=SENT).contains(&held), || format!("{held} bytes are held after {durable} were durable"))?;
    // Where others may serve the upload too, whoever died holds it until their lease has ended.
    let begin = Instant::now();
    let answer = loop {
        let answer = registry.append(&location, held, &bytes[held..])?;
        if answer.status != 416 || begin.elapsed() > DURABLE_LIMIT {
            break answer.expect(202)?;
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    registry.finish(answer.required("location")?, &digest(&bytes), b"")?.expect(201)?;
    registry.check_blob(repository, &digest(&bytes))?;
    Ok(held)
}
