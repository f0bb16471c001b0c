//! SIGTERM while the S3 server is silent: the registry ends in the time that the manual states, and the upload goes on.

use std::time::{Duration, Instant};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::{Connection, Request},
    image::{digest, noise},
    registry::path_of,
    scratch::Scratch,
};

use super::{Grown, SECRET};

const REPOSITORY: &str = "admin/app";
/// How long running requests may go on.
const DRAIN: &str = "2s";
/// The drain, and the ten seconds that the manual states beside it; and what a busy machine takes to see both the signal and the end.
const END_LIMIT: Duration = Duration::from_secs(2 + 10 + 3);
/// How long the lease of a writer that is no more holds the upload: ten seconds, and what a busy machine takes beside.
const LEASE_LIMIT: Duration = Duration::from_secs(60);
/// More than one part of S3, so that a part and a tail are what is acknowledged.
const HELD: usize = 12 << 20;
const MORE: usize = 1 << 20;

#[test]
fn a_registry_whose_store_is_silent_ends_in_time_and_its_upload_goes_on_where_it_was_acknowledged() -> Outcome<()> {
    let drain = [("HALLMARK_HTTP_DRAIN_TIMEOUT", DRAIN)];
    let mut grown = Grown::on(Scratch::s3(SECRET)?, &[("S3_ALLOW_HTTP", "true")], &drain)?;
    let mut process = grown.server.spawn()?;
    process.wait_until_ready(grown.server.port(), "/readyz")?;
    let (registry, bytes) = (grown.server.registry(), noise(5, HELD + MORE));
    let location = registry.begin_upload(REPOSITORY)?;
    let answer = registry.append(&location, 0, &bytes[..HELD])?.expect(202)?;
    let location = answer.required("location")?.to_owned();
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let request = Request::new("PATCH", path_of(&location))
        .header("Authorization", registry.client().authorization(&[&scope])?)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", format!("{HELD}-{}", bytes.len() - 1))
        .header("Content-Length", MORE.to_string());
    grown.store.freeze()?;
    let mut connection = Connection::open(grown.server.port())?;
    connection.send_head(&request)?;
    connection.write(&bytes[HELD..])?;
    process.signal("TERM")?;
    let status = process.wait(END_LIMIT)?;
    // The change never ended: it is left where it is, and the log tells so.
    let told = process.log().contains("stopping in the middle of work");
    holds(status.success() && told, || format!("the program ended with {status}: {}", process.log()))?;
    grown.store.thaw()?;
    grown.server.start()?;
    let registry = grown.server.registry();
    let (location, held) = registry.status(&location)?;
    holds(held == HELD, || format!("{HELD} bytes were acknowledged and {held} are held"))?;
    let begin = Instant::now();
    let answer = loop {
        let answer = registry.append(&location, held, &bytes[held..])?;
        if answer.status != 416 || begin.elapsed() > LEASE_LIMIT {
            break answer.expect(202)?;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    registry.finish(answer.required("location")?, &digest(&bytes), b"")?.expect(201)?;
    registry.check_blob(REPOSITORY, &digest(&bytes)).map(drop)
}
