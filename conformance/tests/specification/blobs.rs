//! Every way to push a blob, with both algorithms, and what may go wrong on it.

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    failure::While,
    http::{Body, Request, Response, encode},
    image::{digest, digest_sha512, noise},
    registry::{Registry, path_of, with_query},
    server::Server,
};

const REPOSITORY: &str = "admin/spec";
const CHUNK: usize = 1024;

/// A way to push bytes under a digest; the answer to its last request.
type Way = fn(&Registry, &str, &[u8]) -> Outcome<Response>;

/// Every way that the specification knows.
const WAYS: [(&str, Way); 6] = [
    ("post only", post_only),
    ("post and put", post_and_put),
    ("one chunk", one_chunk),
    ("stream", stream),
    ("chunks", chunks),
    ("chunks, the last one in the put", chunks_and_put),
];

fn post_only(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", encode(digest));
    registry.client().send(&Request::new("POST", target).bytes(bytes))
}

fn post_and_put(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let location = registry.begin_upload(REPOSITORY)?;
    registry.finish(&location, digest, bytes)
}

fn one_chunk(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let location = registry.begin_upload(REPOSITORY)?;
    let answer =
        if bytes.is_empty() { empty_patch(registry, &location)? } else { registry.append(&location, 0, bytes)? };
    registry.finish(answer.expect(202)?.required("location")?, digest, b"")
}

/// A range cannot say "nothing", so nothing is streamed.
fn empty_patch(registry: &Registry, location: &str) -> Outcome<Response> {
    registry.client().send(&Request::new("PATCH", path_of(location)).bytes(b""))
}

fn stream(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let location = registry.begin_upload(REPOSITORY)?;
    let pieces = bytes.chunks(100).map(<[u8]>::to_vec).collect();
    let request = Request::new("PATCH", path_of(&location))
        .header("Content-Type", "application/octet-stream")
        .body(Body::Chunked(pieces));
    let answer = registry.client().send(&request)?.expect(202)?;
    registry.finish(answer.required("location")?, digest, b"")
}

/// Sends all whole chunks and gives where the upload goes on, with the bytes that are left.
fn whole_chunks<'a>(registry: &Registry, bytes: &'a [u8]) -> Outcome<(String, &'a [u8])> {
    let mut location = registry.begin_upload(REPOSITORY)?;
    let whole = bytes.len() / CHUNK * CHUNK;
    for start in (0..whole).step_by(CHUNK) {
        let answer = registry.append(&location, start, &bytes[start..start + CHUNK])?.expect(202)?;
        let (told, expected) = (answer.required("range")?, format!("0-{}", start + CHUNK - 1));
        holds(told == expected, || format!("the range {told} is not {expected}"))?;
        answer.required("location")?.clone_into(&mut location);
    }
    Ok((location, &bytes[whole..]))
}

fn chunks(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let (mut location, rest) = whole_chunks(registry, bytes)?;
    if !rest.is_empty() {
        let answer = registry.append(&location, bytes.len() - rest.len(), rest)?.expect(202)?;
        answer.required("location")?.clone_into(&mut location);
    }
    registry.finish(&location, digest, b"")
}

fn chunks_and_put(registry: &Registry, digest: &str, bytes: &[u8]) -> Outcome<Response> {
    let (location, rest) = whole_chunks(registry, bytes)?;
    let start = bytes.len() - rest.len();
    let mut request = Request::new("PUT", with_query(&location, "digest", digest)).bytes(rest);
    if !rest.is_empty() {
        request = request.header("Content-Range", format!("{start}-{}", bytes.len() - 1));
    }
    registry.client().send(&request)
}

/// Holds that a blob was taken, that its Location is its blob, that HEAD and GET agree, and that its deletion is seen at
/// once.
fn holds_blob(registry: &Registry, answer: Response, digest: &str, bytes: &[u8]) -> Outcome<()> {
    let answer = answer.expect(201)?;
    let told = answer.required("docker-content-digest")?;
    holds(told == digest, || format!("{digest} was pushed and {told} was answered"))?;
    let location = path_of(answer.required("location")?).to_owned();
    let found = registry.client().send(&Request::new("GET", location))?.expect(200)?;
    holds(found.body == bytes, || format!("the blob at {answer} has other bytes"))?;
    for method in ["HEAD", "GET"] {
        let request = Request::new(method, format!("/v2/{REPOSITORY}/blobs/{digest}"));
        let found = registry.client().send(&request)?.expect(200)?;
        let length = found.required("content-length")?;
        holds(length == bytes.len().to_string(), || format!("{method} tells the length {length}"))?;
        holds(found.required("docker-content-digest")? == digest, || {
            format!("{method} tells another digest: {found}")
        })?;
    }
    registry.delete_blob(REPOSITORY, digest)?.expect(202)?;
    let gone = Request::new("HEAD", format!("/v2/{REPOSITORY}/blobs/{digest}"));
    registry.client().send(&gone)?.expect(404)?;
    Ok(())
}

fn by_every_way(bytes: &[u8]) -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    for (name, way) in WAYS {
        for digest in [digest(bytes), digest_sha512(bytes)] {
            let pushed = way(&registry, &digest, bytes);
            let held = pushed.and_then(|answer| holds_blob(&registry, answer, &digest, bytes));
            held.or_fail(format!("by {name}, {digest}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_blob_is_pushed_by_every_way_with_both_algorithms() -> Outcome<()> {
    by_every_way(&noise(1, 3 * CHUNK + 100))
}

#[test]
fn a_blob_of_no_bytes_is_pushed_by_every_way() -> Outcome<()> {
    by_every_way(b"")
}

#[test]
fn the_empty_json_object_is_pushed_by_every_way() -> Outcome<()> {
    by_every_way(b"{}")
}

#[test]
fn a_digest_of_other_bytes_is_refused_by_every_way() -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let (bytes, other) = (noise(2, 2 * CHUNK + 10), noise(3, 10));
    for (_, way) in WAYS {
        for digest in [digest(&other), digest_sha512(&other)] {
            refused(&way(&registry, &digest, &bytes)?, &[400], &["DIGEST_INVALID"])?;
            refused(&registry.blob(REPOSITORY, &digest)?, &[404], &["BLOB_UNKNOWN", "NAME_UNKNOWN"])?;
        }
    }
    Ok(())
}

#[test]
fn a_chunk_out_of_order_gets_416_at_every_step_and_status_tells_the_offset() -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let bytes = noise(4, 3 * CHUNK);
    let location = registry.begin_upload(REPOSITORY)?;
    for start in (0..bytes.len()).step_by(CHUNK) {
        let wrong = if start == 0 { CHUNK } else { 0 };
        let refusal = registry.append(&location, wrong, &bytes[..CHUNK])?;
        refused(&refusal, &[416], &["RANGE_INVALID", "BLOB_UPLOAD_INVALID"])?;
        // The official suite asks with a leftover query.
        let held = registry.received(&with_query(&location, "digest", &digest(&bytes)))?;
        holds(held == start, || format!("{start} bytes were taken and the status tells {held}"))?;
        registry.append(&location, start, &bytes[start..start + CHUNK])?.expect(202)?;
    }
    registry.finish(&location, &digest(&bytes), b"")?.expect(201)?;
    Ok(())
}

#[test]
fn a_cancelled_upload_is_gone() -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let location = registry.begin_upload(REPOSITORY)?;
    let cancel = Request::new("DELETE", path_of(&location));
    registry.client().send(&cancel)?.expect(204)?;
    refused(&registry.client().send(&cancel)?, &[404], &["BLOB_UPLOAD_UNKNOWN"])
}

#[test]
fn a_blob_is_mounted_with_and_without_its_source_and_a_missing_one_begins_an_upload() -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let digest = registry.push_blob("admin/source", &noise(5, 512))?;
    for (target, from) in [("admin/named", Some("admin/source")), ("admin/unnamed", None)] {
        let scopes = [format!("repository:{target}:pull,push"), "repository:admin/source:pull".to_owned()];
        let scopes = scopes.each_ref().map(String::as_str);
        let from = from.map(|from| format!("&from={}", encode(from))).unwrap_or_default();
        let request = Request::new("POST", format!("/v2/{target}/blobs/uploads/?mount={}{from}", encode(&digest)));
        let authorization = registry.client().authorization(&scopes)?;
        let answer = registry.client().send_plain(&request.header("Authorization", authorization))?.expect(201)?;
        let location = path_of(answer.required("location")?);
        holds(location == format!("/v2/{target}/blobs/{digest}"), || format!("the mount is at {location}"))?;
        registry.check_blob(target, &digest)?;
    }
    let missing = hallmark_conformance::image::digest(b"nobody pushed this");
    for from in [Some("admin/source"), Some("admin/nowhere"), Some("Not A Name"), None] {
        let answer = registry.mount("admin/named", &missing, from)?.expect(202)?;
        answer.required("location")?;
    }
    Ok(())
}

#[test]
fn a_range_is_answered_with_its_bytes_and_one_outside_with_416() -> Outcome<()> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let bytes = noise(6, 2048);
    let digest = registry.push_blob(REPOSITORY, &bytes)?;
    let ask = |method: &str, range: &str| {
        let request = Request::new(method, format!("/v2/{REPOSITORY}/blobs/{digest}")).header("Range", range);
        registry.client().send(&request)
    };
    for (range, first, last) in [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("bytes=0-0", 0, 0),
    ] {
        let answer = ask("GET", range)?.expect(206)?;
        let told = answer.required("content-range")?;
        holds(told == format!("bytes {first}-{last}/2048"), || format!("{range} was answered with {told}"))?;
        holds(answer.body == bytes[first..=last], || format!("{range} was answered with other bytes"))?;
    }
    for range in ["bytes=500-0", "bytes=5000-10000", "bytes=2048-"] {
        let answer = ask("GET", range)?.expect(416)?;
        let told = answer.required("content-range")?;
        holds(told == "bytes */2048", || format!("{range} was answered with {told}"))?;
    }
    let whole = ask("HEAD", "bytes=0-9")?.expect(200)?;
    holds(whole.header("content-length") == Some("2048"), || format!("a HEAD tells the whole length: {whole}"))
}
