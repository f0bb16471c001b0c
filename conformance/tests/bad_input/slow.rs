//! Clients that send a little and then nothing: they are let go, and nobody else waits for them.

use std::time::{Duration, Instant};

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    failure::While,
    http::{Connection, Request, Response},
    registry::path_of,
    server::Plan,
};

use super::scene::{REPOSITORY, Scene};

/// How long the server waits in these tests, and how long it may take to act on it.
const PATIENCE: &str = "1s";
const LET_GO: Duration = Duration::from_secs(10);
/// How long a trickle rests between its bytes: less than the server's patience.
const TRICKLE: Duration = Duration::from_millis(200);

fn impatient() -> Outcome<Scene> {
    let plan = Plan::default()
        .variable("HALLMARK_HTTP_HEADER_TIMEOUT", PATIENCE)
        .variable("HALLMARK_HTTP_BODY_TIMEOUT", PATIENCE)
        .variable("HALLMARK_HTTP_IDLE_TIMEOUT", PATIENCE);
    Scene::with(plan)
}

/// Reads to the end of a connection that the server is to close, and gives the last answer on it, if one came.
fn let_go(mut connection: Connection, method: &str) -> Outcome<Option<Response>> {
    connection.patience(LET_GO)?;
    let answer = connection.receive(method).ok();
    holds(connection.is_closed(), || "the server holds on to a client that sends nothing".into())?;
    Ok(answer)
}

/// Holds that a client whose head was read is told why it is let go.
fn told(connection: Connection, method: &str) -> Outcome<()> {
    let answer = let_go(connection, method)?.or_fail("the connection was closed without an answer")?;
    refused(&answer, &[408], &["SIZE_INVALID"])
}

#[test]
fn a_head_that_does_not_end_is_let_go() -> Outcome<()> {
    let scene = impatient()?;
    for begin in ["", "GET", "GET /v2/ HTTP/1.1\r\n", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut connection = Connection::open(scene.server.port())?;
        connection.write(begin.as_bytes())?;
        // There is no request to answer yet.
        let answer = let_go(connection, "GET")?;
        holds(answer.is_none(), || format!("{begin:?} was answered {answer:?}"))?;
    }
    Ok(())
}

#[test]
fn a_manifest_that_does_not_end_is_let_go_and_changes_nothing() -> Outcome<()> {
    let scene = impatient()?;
    let before = scene.look()?;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let request = Request::new("PUT", format!("/v2/{REPOSITORY}/manifests/slow"))
        .header("Authorization", scene.registry.client().authorization(&[&scope])?)
        .header("Content-Type", &scene.image.manifest.media_type)
        .header("Content-Length", scene.image.manifest.bytes.len().to_string());
    let mut connection = Connection::open(scene.server.port())?;
    connection.send_head(&request)?;
    connection.write(&scene.image.manifest.bytes[..10])?;
    told(connection, "PUT")?;
    scene.is_still(&before)
}

#[test]
fn a_chunk_that_does_not_end_is_let_go_and_the_upload_goes_on() -> Outcome<()> {
    let scene = impatient()?;
    let location = scene.registry.begin_upload(REPOSITORY)?;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let request = Request::new("PATCH", path_of(&location))
        .header("Authorization", scene.registry.client().authorization(&[&scope])?)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", "1000000");
    let mut connection = Connection::open(scene.server.port())?;
    connection.send_head(&request)?;
    connection.write(&[0; 1_000])?;
    // Another client is served while this one is waited for.
    scene.registry.check_image(REPOSITORY, "1")?;
    told(connection, "PATCH")?;
    let (location, held) = scene.registry.status(&location)?;
    holds(held <= 1_000, || format!("1000 bytes were sent and {held} are held"))?;
    scene.registry.append(&location, held, &[0; 1_000])?.expect(202)?;
    Ok(())
}

#[test]
fn a_head_without_end_is_refused_before_it_fills_the_memory() -> Outcome<()> {
    let scene = impatient()?;
    let mut connection = Connection::open(scene.server.port())?;
    connection.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")?;
    let line = format!("X-Filler: {}\r\n", "a".repeat(8_000));
    // More than a mebibyte of head: at some point the server must stop to read it.
    let taken = (0..200).take_while(|_| connection.write(line.as_bytes()).is_ok()).count();
    let answer = connection.receive("GET")?;
    holds(answer.status == 431, || format!("{taken} lines of 8000 bytes were taken as a head: {answer}"))
}

/// Begins to ask for a token by a form that is long enough never to come to its end.
fn begun_form(scene: &Scene) -> Outcome<Connection> {
    let request = Request::new("POST", "/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Content-Length", "10000");
    let mut connection = Connection::open(scene.server.port())?;
    connection.send_head(&request)?;
    connection.write(b"grant_type=password&service=hallmark&username=")?;
    Ok(connection)
}

/// Holds that whoever does not send a form is let go: told so, or closed on.
fn form_is_let_go(answer: Option<Response>) -> Outcome<()> {
    answer.map_or(Ok(()), |answer| answer.expect(408).map(drop))
}

#[test]
fn a_form_for_a_token_that_does_not_end_is_let_go() -> Outcome<()> {
    let scene = impatient()?;
    let connection = begun_form(&scene)?;
    form_is_let_go(let_go(connection, "POST")?)
}

#[test]
fn a_form_for_a_token_that_trickles_is_let_go() -> Outcome<()> {
    let scene = impatient()?;
    let mut connection = begun_form(&scene)?;
    connection.patience(TRICKLE)?;
    let begin = Instant::now();
    // The wait for an answer is what keeps the bytes apart.
    while connection.write(b"a").is_ok() && begin.elapsed() < LET_GO {
        match connection.receive("POST") {
            Ok(answer) => return form_is_let_go(Some(answer)),
            Err(_) if connection.is_closed() => return Ok(()),
            Err(_) => {}
        }
    }
    let passed = begin.elapsed();
    holds(passed < LET_GO, || format!("a form that trickles was listened to for {passed:?}"))
}
