//! Layers over a plain connection, which leave as files.

use std::fs::{self, File};
use std::time::Duration;

use hallmark::http::server::Drained;

use crate::harness::{Credentials, Log, Wire, World, sha256};

/// Bytes that are not the same in any two pages or windows.
fn content(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8).collect()
}

/// The path of a blob that was just pushed to `ann/app`.
async fn pushed(world: &World, ann: &Credentials, content: &[u8]) -> String {
    let digest = sha256(content);
    let upload = world.post(&format!("/v2/ann/app/blobs/uploads/?digest={digest}")).by(ann).body(content.to_vec());
    upload.await.expect(201);
    format!("/v2/ann/app/blobs/{digest}")
}

#[tokio::test]
async fn layers_parts_and_heads_follow_one_another_on_a_connection() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let (large, small) = (content((5 << 20) + 123), content(700_001));
    let (large_path, small_path) = (pushed(&world, &ann, &large).await, pushed(&world, &ann, &small).await);
    let asked: [(&str, &str, &str, &[u8]); 9] = [
        ("GET", &large_path, "", &large),
        ("HEAD", &large_path, "", &large),
        ("GET", &large_path, "bytes=5000-2500000", &large[5_000..=2_500_000]),
        ("GET", &small_path, "", &small),
        ("HEAD", &small_path, "", &small),
        ("GET", &small_path, "bytes=300000-", &small[300_000..]),
        ("GET", &small_path, "bytes=17-40", &small[17..=40]),
        ("GET", &large_path, "bytes=2097151-4194305", &large[2_097_151..=4_194_305]),
        ("GET", &large_path, "bytes=-400000", &large[large.len() - 400_000..]),
    ];
    let requests: String = asked
        .iter()
        .map(|(method, path, range, _)| {
            let headers: &[_] = if range.is_empty() { &[] } else { &[("Range", *range)] };
            Wire::request(method, path, &ann, headers)
        })
        .collect();
    let server = world.listen().await;
    let mut wire = server.connect().await;
    for _ in 0..2 {
        wire.send(&requests).await;
        for (method, path, range, expected) in asked {
            let status = if range.is_empty() { 200 } else { 206 };
            assert_eq!(wire.head().await, (status, expected.len()), "{method} {path} {range}");
            let sent = if method == "HEAD" { Vec::new() } else { wire.body(expected.len()).await };
            assert!(method == "HEAD" || sent == expected, "{method} {path} {range}");
        }
    }
    drop(wire);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_sent_breaks_the_answer_off_and_is_told() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let content = content(8 << 20);
    let path = pushed(&world, &ann, &content).await;
    let (file, server, log) = (world.paths().remove(0), world.listen().await, Log::begin());
    let mut wire = server.connect().await;
    wire.send(&Wire::request("GET", &path, &ann, &[])).await;
    assert_eq!(wire.head().await, (200, content.len()));
    File::options().write(true).open(&file).unwrap().set_len(6 << 20).unwrap();
    let sent = wire.rest().await;
    assert!(sent.len() <= 6 << 20 && content.starts_with(&sent), "{} bytes", sent.len());
    let line = log.last();
    assert_eq!((&line["level"], &line["status"]), (&"ERROR".into(), &200.into()), "{line}");
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains(file.to_str().unwrap()) && cause.contains("does not hold what was stored there"), "{line}");
    assert_eq!(log.requests().len(), 1);
    assert_eq!(world.metrics().await.of("store_errors_total"), 1.0);
    let mut next = server.connect().await;
    next.send(&Wire::request("GET", "/v2/", &ann, &[])).await;
    assert_eq!(next.head().await, (200, 2), "the process lives");
    drop(next);
    server.stop().await;
    fs::write(&file, &content).unwrap();
}

/// Of one of these lengths as much waits to be sent as hyper keeps without the body, whatever the kernel takes before.
#[tokio::test]
async fn an_answer_that_lacks_its_last_bytes_is_an_error_and_no_other_is() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let content = content(5 << 20);
    let path = pushed(&world, &ann, &content).await;
    let (file, server) = (world.paths().remove(0), world.listen().await);
    for length in (300 << 10..content.len()).step_by(100 << 10) {
        let log = Log::begin();
        let mut wire = server.connect().await;
        let range = format!("bytes=0-{}", length - 1);
        wire.send(&Wire::request("GET", &path, &ann, &[("Range", &range), ("Connection", "close")])).await;
        assert_eq!(wire.head().await, (206, length));
        File::options().write(true).open(&file).unwrap().set_len(length as u64 - 50).unwrap();
        let whole = wire.rest().await.len() == length;
        let line = log.last();
        assert_eq!(line["level"], if whole { "INFO" } else { "ERROR" }, "{length}: {line}");
        fs::write(&file, &content).unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_layer_that_is_on_its_way_at_shutdown_arrives_whole() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let content = content(8 << 20);
    let path = pushed(&world, &ann, &content).await;
    let server = world.listen().await;
    let mut wire = server.connect().await;
    wire.send(&Wire::request("GET", &path, &ann, &[])).await;
    assert_eq!(wire.head().await, (200, content.len()));
    let (drained, sent) = tokio::join!(server.stop(), wire.rest());
    assert!(sent == content, "{} bytes came", sent.len());
    assert_eq!(drained, Drained { open: 1, cut: 0 });
}

/// Its chunks end where the connection does, and not where its digest would be held against them.
#[tokio::test]
async fn a_layer_in_chunks_that_is_cut_at_shutdown_goes_on_where_it_was() {
    let world = World::with(|config| config.http.drain_timeout = Duration::from_millis(200)).await;
    let ann = world.all_of("ann", "ann/app").await;
    let (content, server) = (content(100_000), world.listen().await);
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let digest = sha256(&content);
    let mut wire = server.connect().await;
    let put = format!("{upload}?digest={digest}");
    let headers = [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    wire.send(&Wire::request("PUT", &put, &ann, &headers)).await;
    assert_eq!(wire.body(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.send(&format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000))).await;
    assert_eq!(server.stop().await, Drained { open: 1, cut: 1 });
    drop(wire);
    // What is left of the request has its own time.
    world.app.changes.close();
    world.app.changes.wait().await;
    let answer = world.get(&upload).by(&ann).await.expect(204);
    assert_eq!(answer.header("range"), "0-49999");
    world
        .patch(&upload)
        .by(&ann)
        .header("content-range", "50000-99999")
        .body(content[50_000..].to_vec())
        .await
        .expect(202);
}

/// Of a request that is refused before its body came, the rest would be taken for the next request.
#[tokio::test]
async fn a_refusal_of_a_body_that_was_not_read_ends_the_connection() {
    let world = World::open().await;
    let server = world.listen().await;
    let (path, nobody) = ("/v2/ann/app/blobs/uploads/", Credentials::none());
    let [read, cut] =
        ["1024", "4194304"].map(|length| Wire::request("POST", path, &nobody, &[("Content-Length", length)]));
    let mut wire = server.connect().await;
    wire.send(&(read + &"x".repeat(1_024) + &Wire::request("GET", "/livez", &nobody, &[("Connection", "close")])))
        .await;
    let both = String::from_utf8(wire.rest().await).unwrap();
    assert_eq!(both.matches("HTTP/1.1 ").count(), 2, "{both}");
    assert!(both.starts_with("HTTP/1.1 401 ") && both.ends_with("\r\n\r\nok\n"), "{both}");
    assert_eq!(both.matches("connection: close\r\n").count(), 1, "{both}");

    let mut wire = server.connect().await;
    wire.send(&(cut + &"x".repeat(1_024))).await;
    let only = String::from_utf8(wire.rest().await).unwrap();
    assert!(only.starts_with("HTTP/1.1 401 ") && only.contains("connection: close\r\n"), "{only}");
    server.stop().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_answered_as_all_is() {
    let world = World::open().await;
    for (method, path, allowed) in [
        ("PUT", "/token", "GET,HEAD,POST"),
        ("POST", "/.well-known/jwks.json", "GET,HEAD"),
        ("DELETE", "/metrics", "GET,HEAD"),
    ] {
        let answer = world.call(method, path).await;
        assert_eq!(answer.gist(), (405, "UNSUPPORTED".into()), "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        assert!(answer.headers.contains_key("x-request-id"), "{method} {path}");
    }
}
