//! Uploads with wrong bytes, wrong ranges, wrong owners, and two writers at once.

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    http::{Body, Connection, Request, encode},
    image::{digest, noise},
    registry::{Registry, path_of},
};

use super::scene::{REPOSITORY, Scene};

const CHUNK: usize = 100_000;

fn patch(location: &str, range: &str, bytes: &[u8]) -> Request {
    Request::new("PATCH", path_of(location))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", range)
        .bytes(bytes)
}

/// A scene and an upload that holds one chunk.
fn begun() -> Outcome<(Scene, String, Vec<u8>)> {
    let scene = Scene::new()?;
    let bytes = noise(1, 2 * CHUNK);
    let location = scene.registry.begin_upload(REPOSITORY)?;
    scene.registry.append(&location, 0, &bytes[..CHUNK])?.expect(202)?;
    Ok((scene, location, bytes))
}

/// Holds that an upload stands where it stood and can be brought to its end.
fn goes_on(scene: &Scene, location: &str, bytes: &[u8]) -> Outcome<()> {
    let held = scene.registry.received(location)?;
    holds(held == CHUNK, || format!("the upload held {CHUNK} bytes and now holds {held}"))?;
    scene.registry.append(location, CHUNK, &bytes[CHUNK..])?.expect(202)?;
    scene.registry.finish(location, &digest(bytes), b"")?.expect(201)?;
    scene.registry.check_blob(REPOSITORY, &digest(bytes))?;
    Ok(())
}

#[test]
fn a_blob_that_is_not_its_digest_is_refused_and_never_seen() -> Outcome<()> {
    let scene = Scene::new()?;
    let (bytes, other) = (noise(2, 1_000), digest(b"other"));
    let location = scene.registry.begin_upload(REPOSITORY)?;
    let answer = scene.registry.finish(&location, &other, &bytes)?;
    refused(&answer, &[400], &["DIGEST_INVALID"])?;
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", encode(&other));
    let at_once = Request::new("POST", target).bytes(bytes.clone());
    scene.refuses(&at_once, &[400], &["DIGEST_INVALID"])?;
    scene.absent(&other)?;
    scene.absent(&digest(&bytes))
}

#[test]
fn an_upload_without_a_digest_at_its_end_is_refused_and_goes_on() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    scene.refuses(&Request::new("PUT", path_of(&location)).bytes(b""), &[400], &["DIGEST_INVALID"])?;
    goes_on(&scene, &location, &bytes)
}

#[test]
fn a_body_that_is_cut_off_counts_only_what_came() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let request = patch(&location, &format!("{CHUNK}-{}", 2 * CHUNK - 1), b"")
        .header("Authorization", scene.registry.client().authorization(&[&scope])?)
        .body(Body::Truncated { promised: CHUNK as u64, sent: bytes[CHUNK..CHUNK + 1_000].to_vec() });
    let mut connection = Connection::open(scene.server.port())?;
    connection.send(&request)?;
    connection.finish_writing()?;
    if let Ok(answer) = connection.receive("PATCH") {
        refused(&answer, &[400], &["SIZE_INVALID"])?;
    }
    let held = scene.registry.received(&location)?;
    holds((CHUNK..=CHUNK + 1_000).contains(&held), || format!("{held} bytes are held"))?;
    scene.registry.append(&location, held, &bytes[held..])?.expect(202)?;
    scene.registry.finish(&location, &digest(&bytes), b"")?.expect(201)?;
    Ok(())
}

#[test]
fn a_chunk_that_does_not_begin_at_the_offset_is_refused_with_416_and_the_upload_goes_on() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    let ranges = [
        // Out of order, overlapping, repeated, beyond.
        format!("{}-{}", 2 * CHUNK, 3 * CHUNK - 1),
        format!("{}-{}", CHUNK / 2, CHUNK / 2 + CHUNK - 1),
        format!("0-{}", CHUNK - 1),
        format!("{}-{}", CHUNK + 1, 2 * CHUNK),
    ];
    for range in &ranges {
        let answer = scene.refuses(&patch(&location, range, &bytes[CHUNK..]), &[416], &["RANGE_INVALID"])?;
        let told = answer.required("range")?;
        holds(told == format!("0-{}", CHUNK - 1), || format!("the refusal tells the range {told}"))?;
        answer.required("location")?;
    }
    goes_on(&scene, &location, &bytes)
}

#[test]
fn a_range_that_is_absurd_is_refused_and_the_upload_goes_on() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    let absurd = [
        "5-2",
        "x",
        "",
        "-",
        "-1-5",
        "100000-",
        "-100000",
        "100000-99999999999999999999999999",
        "18446744073709551615-18446744073709551615",
        "100000-18446744073709551615",
        "bytes 100000-199999/200000",
        "100000-199999,1-2",
        "0x186a0-199999",
        " 100000 - 199999 ",
    ];
    for range in absurd {
        scene.refuses(&patch(&location, range, &bytes[CHUNK..]), &[416], &["RANGE_INVALID"])?;
    }
    goes_on(&scene, &location, &bytes)
}

#[test]
fn a_range_of_another_length_than_the_body_is_refused_and_the_upload_goes_on() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    for end in [CHUNK, 2 * CHUNK - 2, 2 * CHUNK, 9 * CHUNK] {
        let request = patch(&location, &format!("{CHUNK}-{end}"), &bytes[CHUNK..]);
        scene.refuses(&request, &[400], &["SIZE_INVALID"])?;
    }
    goes_on(&scene, &location, &bytes)
}

#[test]
fn a_last_chunk_out_of_order_is_refused_with_416_and_the_upload_goes_on() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    let target = format!("{}?digest={}", path_of(&location), encode(&digest(&bytes)));
    let request = Request::new("PUT", target).header("Content-Range", "999999-1099998").bytes(&bytes[CHUNK..]);
    scene.refuses(&request, &[416], &["RANGE_INVALID"])?;
    goes_on(&scene, &location, &bytes)
}

#[test]
fn of_two_writers_at_once_one_is_refused_and_their_bytes_never_mix() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let authorization = scene.registry.client().authorization(&[&scope])?;
    let range = format!("{CHUNK}-{}", 2 * CHUNK - 1);
    let first = patch(&location, &range, &bytes[CHUNK..]).header("Authorization", &authorization);
    let second = patch(&location, &range, &noise(9, CHUNK)).header("Authorization", &authorization);
    let mut slow = Connection::open(scene.server.port())?;
    slow.send_head(&first)?;
    slow.write(&bytes[CHUNK..CHUNK + CHUNK / 2])?;
    let answer = Connection::open(scene.server.port())?.exchange(&second)?;
    slow.write(&bytes[CHUNK + CHUNK / 2..])?;
    let slow_answer = slow.receive("PATCH")?;
    let (taken, other) = if slow_answer.status == 202 { (&slow_answer, &answer) } else { (&answer, &slow_answer) };
    holds(taken.status == 202, || format!("one writer was to be taken: {slow_answer} and {answer}"))?;
    refused(other, &[416], &["RANGE_INVALID"])?;
    let whole = if slow_answer.status == 202 { bytes } else { [&bytes[..CHUNK], &noise(9, CHUNK)].concat() };
    scene.registry.finish(&location, &digest(&whole), b"")?.expect(201)?;
    scene.registry.check_blob(REPOSITORY, &digest(&whole))?;
    Ok(())
}

#[test]
fn an_upload_is_unknown_under_another_repository() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    scene.registry.push_image("admin/other", "1", &scene.image)?;
    let elsewhere = path_of(&location).replacen("/v2/admin/app/", "/v2/admin/other/", 1);
    is_unknown(&scene, &elsewhere, &bytes)?;
    goes_on(&scene, &location, &bytes)
}

#[test]
fn an_upload_is_unknown_to_another_user_even_one_who_may_do_everything() -> Outcome<()> {
    let scene = Scene::new()?;
    scene.server.add_user("alice", "alice has a password")?;
    let alice = Registry::new(scene.server.client("alice", "alice has a password"));
    let bytes = noise(1, 2 * CHUNK);
    let location = alice.begin_upload("alice/app")?;
    alice.append(&location, 0, &bytes[..CHUNK])?.expect(202)?;
    is_unknown(&scene, path_of(&location), &bytes)?;
    let held = alice.received(&location)?;
    holds(held == CHUNK, || format!("a stranger moved the upload to {held}"))
}

#[test]
fn an_upload_that_nobody_began_is_unknown() -> Outcome<()> {
    let scene = Scene::new()?;
    let bytes = noise(1, 2 * CHUNK);
    for id in ["0", "x", &"0".repeat(32), &"f".repeat(32), &"0".repeat(1_000), "a%20b"] {
        is_unknown(&scene, &format!("/v2/{REPOSITORY}/blobs/uploads/{id}"), &bytes)?;
    }
    Ok(())
}

#[test]
fn an_upload_that_was_cancelled_is_unknown() -> Outcome<()> {
    let (scene, location, bytes) = begun()?;
    scene.registry.client().send(&Request::new("DELETE", path_of(&location)))?.expect(204)?;
    is_unknown(&scene, path_of(&location), &bytes)
}

/// Holds that every verb on an upload answers that there is none.
fn is_unknown(scene: &Scene, location: &str, bytes: &[u8]) -> Outcome<()> {
    let finish = format!("{location}?digest={}", encode(&digest(bytes)));
    let requests = [
        Request::new("GET", location),
        patch(location, &format!("{CHUNK}-{}", 2 * CHUNK - 1), &bytes[CHUNK..]),
        Request::new("PUT", finish).bytes(&bytes[CHUNK..]),
        Request::new("DELETE", location),
    ];
    for request in &requests {
        scene.refuses(request, &[404], &["BLOB_UPLOAD_UNKNOWN"])?;
    }
    scene.absent(&digest(bytes))
}

/// A client that asks first has sent nothing when it is refused: it is told at once, and is not asked for the bytes.
#[test]
fn who_asks_before_sending_is_refused_before_sending() -> Outcome<()> {
    let scene = Scene::new()?;
    let location = scene.registry.begin_upload(REPOSITORY)?;
    let scope = format!("repository:{REPOSITORY}:pull,push");
    let token = scene.registry.client().authorization(&[&scope])?;
    let manifest = format!("/v2/{REPOSITORY}/manifests/2");
    let asks = |method: &str, target: &str, length: usize| {
        Request::new(method, target)
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Content-Length", length.to_string())
            .header("Expect", "100-continue")
    };
    for (request, expected) in [
        (asks("PATCH", path_of(&location), CHUNK), "401"),
        (asks("PUT", &manifest, CHUNK), "401"),
        (asks("PUT", &manifest, 1 << 30).header("Authorization", &token), "413"),
        (asks("PATCH", "/v2/admin/other/blobs/uploads/nothing", CHUNK).header("Authorization", &token), "404"),
    ] {
        let mut connection = Connection::open(scene.server.port())?;
        connection.send_head(&request)?;
        let answer = connection.read_some(12)?;
        let expected = format!("HTTP/1.1 {expected}");
        holds(answer == expected.as_bytes(), || {
            format!("{} {}: {}", request.method, request.target, String::from_utf8_lossy(&answer))
        })?;
    }
    // Whoever may is asked for them, and comes through.
    let bytes = noise(9, CHUNK);
    let mut connection = Connection::open(scene.server.port())?;
    connection.send_head(&asks("PATCH", path_of(&location), CHUNK).header("Authorization", &token))?;
    let asked = connection.read_some(64)?;
    holds(asked == b"HTTP/1.1 100 Continue\r\n\r\n", || String::from_utf8_lossy(&asked).into_owned())?;
    connection.write(&bytes)?;
    let answer = connection.receive("PATCH")?;
    holds(answer.status == 202, || answer.to_string())
}
