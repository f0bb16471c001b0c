//! Uploads in chunks: each continues where the upload stands, and one that does not is told where that is
//! (distribution-spec, "Pushing a blob in chunks").

use insta::assert_snapshot;

use crate::harness::{Credentials, World, pieces, sha256};

const CONTENT: &[u8] = b"0123456789abcdefghij";

/// A world with an upload in `ann/app` that stands at ten bytes, and its path.
async fn at_ten() -> (World, Credentials, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    world.patch(&upload).by(&ann).header("content-range", "0-9").body(&CONTENT[..10]).await.expect(202);
    (world, ann, upload)
}

async fn finishes(world: &World, ann: &Credentials, upload: &str, content: &[u8]) {
    let digest = sha256(content);
    world.put(&format!("{upload}?digest={digest}")).by(ann).await.expect(201);
    let pulled = world.get(&format!("/v2/ann/app/blobs/{digest}")).by(ann).await.expect(200);
    assert_eq!(pulled.body, content);
}

#[tokio::test]
async fn a_chunk_that_continues_is_taken() {
    let (world, ann, upload) = at_ten().await;
    assert_snapshot!(world.patch(&upload).by(&ann).header("content-range", "10-19").body(&CONTENT[10..]).await, @r"
    202 Accepted
    content-length: 0
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-19
    ");
    finishes(&world, &ann, &upload, CONTENT).await;
}

#[tokio::test]
async fn a_chunk_out_of_order_is_told_where_the_upload_stands_and_the_upload_goes_on() {
    let (world, ann, upload) = at_ten().await;
    assert_snapshot!(world.patch(&upload).by(&ann).header("content-range", "15-19").body(&CONTENT[15..]).await, @r#"
    416 Range Not Satisfiable
    content-length: 122
    content-type: application/json
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-9

    {"errors":[{"code":"RANGE_INVALID","detail":{"received":10},"message":"the upload stands at 10 bytes; go on from there"}]}
    "#);
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-9");
    world.patch(&upload).by(&ann).header("content-range", "10-19").body(&CONTENT[10..]).await.expect(202);
    finishes(&world, &ann, &upload, CONTENT).await;
}

#[tokio::test]
async fn a_chunk_sent_again_or_overlapping_is_out_of_order() {
    let (world, ann, upload) = at_ten().await;
    for (range, body) in
        [("0-9", &CONTENT[..10]), ("5-14", &CONTENT[5..15]), ("0-19", CONTENT), ("9-9", &CONTENT[9..10])]
    {
        let answer = world.patch(&upload).by(&ann).header("content-range", range).body(body).await;
        assert_eq!((answer.status.as_u16(), answer.header("range")), (416, "0-9"), "{range}");
    }
    finishes(&world, &ann, &upload, &CONTENT[..10]).await;
}

#[tokio::test]
async fn absurd_ranges_change_nothing() {
    let (world, ann, upload) = at_ten().await;
    let ranges = [
        "bytes 10-19/20",
        "10-19/20",
        "10",
        "-19",
        "10-",
        "19-10",
        "-1-5",
        "a-b",
        "10-18446744073709551615",
        "18446744073709551616-18446744073709551625",
        "10-9223372036854775807",
    ];
    // Each is answered like a range that begins elsewhere: with the place to go on from.
    let mut told = Vec::new();
    for range in ranges {
        let answer = world.patch(&upload).by(&ann).header("content-range", range).body(&CONTENT[10..]).await;
        assert_eq!(answer.gist(), (416, "RANGE_INVALID".into()), "{range}");
        told.push(answer.to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    416 Range Not Satisfiable
    content-length: 122
    content-type: application/json
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-9

    {"errors":[{"code":"RANGE_INVALID","detail":{"received":10},"message":"the upload stands at 10 bytes; go on from there"}]}
    "#);
    finishes(&world, &ann, &upload, &CONTENT[..10]).await;
}

#[tokio::test]
async fn a_length_that_contradicts_the_range_is_refused_unread() {
    let (world, ann, upload) = at_ten().await;
    assert_snapshot!(world.patch(&upload).by(&ann).header("content-range", "10-18").body(&CONTENT[10..]).await, @r#"
    400 Bad Request
    content-length: 113
    content-type: application/json

    {"errors":[{"code":"SIZE_INVALID","detail":null,"message":"the body has another length than its Content-Range"}]}
    "#);
    let short = world.patch(&upload).by(&ann).header("content-range", "10-29").body(&CONTENT[10..]).await;
    assert_eq!(short.gist(), (400, "SIZE_INVALID".into()));
    finishes(&world, &ann, &upload, &CONTENT[..10]).await;
}

/// Without an announced length the contradiction shows while the bytes come: none past the range is kept.
#[tokio::test]
async fn a_body_that_outgrows_its_range_is_refused_and_the_upload_can_go_on() {
    let (world, ann, upload) = at_ten().await;
    let patch = world.patch(&upload).by(&ann).header("content-range", "10-14").chunked(pieces(&CONTENT[10..], 3));
    assert_eq!(patch.await.gist(), (400, "SIZE_INVALID".into()));
    let stands: usize = world.get(&upload).by(&ann).await.header("range").rsplit('-').next().unwrap().parse().unwrap();
    let stands = stands + 1;
    assert!((10..=15).contains(&stands), "{stands}");
    let range = format!("{stands}-19");
    world.patch(&upload).by(&ann).header("content-range", range).body(&CONTENT[stands..]).await.expect(202);
    finishes(&world, &ann, &upload, CONTENT).await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_leaves_the_upload_where_it_is_durable() {
    let (world, ann, upload) = at_ten().await;
    let patch = world.patch(&upload).by(&ann).header("content-range", "10-19").cut(&CONTENT[10..15]).await;
    assert_snapshot!(patch, @r#"
    400 Bad Request
    connection: close
    content-length: 105
    content-type: application/json

    {"errors":[{"code":"SIZE_INVALID","detail":null,"message":"the body ended before its announced length"}]}
    "#);
    assert_eq!(world.get(&upload).by(&ann).await.header("range"), "0-14");
    world.patch(&upload).by(&ann).header("content-range", "15-19").body(&CONTENT[15..]).await.expect(202);
    finishes(&world, &ann, &upload, CONTENT).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let (world, ann, upload) = at_ten().await;
    let world = world.restarted().await;
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-9");
    world.patch(&upload).by(&ann).header("content-range", "10-19").body(&CONTENT[10..]).await.expect(202);
    finishes(&world, &ann, &upload, CONTENT).await;
}

#[tokio::test]
async fn the_last_chunk_may_come_with_the_request_that_finishes() {
    let (world, ann, upload) = at_ten().await;
    let put = world.put(&format!("{upload}?digest={}", sha256(CONTENT))).by(&ann);
    put.header("content-range", "10-19").body(&CONTENT[10..]).await.expect(201);
}

#[tokio::test]
async fn a_last_chunk_out_of_order_is_refused_and_the_upload_is_kept() {
    let (world, ann, upload) = at_ten().await;
    let put = world.put(&format!("{upload}?digest={}", sha256(CONTENT))).by(&ann);
    assert_snapshot!(put.header("content-range", "15-19").body(&CONTENT[15..]).await, @r#"
    416 Range Not Satisfiable
    content-length: 122
    content-type: application/json
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-9

    {"errors":[{"code":"RANGE_INVALID","detail":{"received":10},"message":"the upload stands at 10 bytes; go on from there"}]}
    "#);
    finishes(&world, &ann, &upload, &CONTENT[..10]).await;
}

#[tokio::test]
async fn the_range_of_the_whole_with_an_empty_last_request_is_noise() {
    let (world, ann, upload) = at_ten().await;
    let put = world.put(&format!("{upload}?digest={}", sha256(&CONTENT[..10]))).by(&ann);
    put.header("content-range", "10-10").body("").await.expect(201);
}

#[tokio::test]
async fn an_empty_chunk_changes_nothing() {
    let (world, ann, upload) = at_ten().await;
    assert_eq!(world.patch(&upload).by(&ann).body("").await.expect(202).header("range"), "0-9");
    finishes(&world, &ann, &upload, &CONTENT[..10]).await;
}

#[tokio::test]
async fn an_upload_of_one_byte_and_one_of_none_read_alike() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    assert_eq!(world.get(&upload).by(&ann).await.header("range"), "0-0");
    assert_eq!(world.patch(&upload).by(&ann).body("x").await.expect(202).header("range"), "0-0");
    world.patch(&upload).by(&ann).header("content-range", "1-1").body("y").await.expect(202);
    finishes(&world, &ann, &upload, b"xy").await;
}

/// A body whose length is not announced is as long as it turns out to be: whole blobs of few bytes are no exception.
#[tokio::test]
async fn a_body_longer_than_its_content_range_is_refused_whatever_the_range() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    for range in ["0-99", "0-8191", "0-8999"] {
        for method in ["PUT", "PATCH"] {
            let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
            let path = if method == "PUT" { format!("{upload}?digest={}", sha256("")) } else { upload.clone() };
            let sent = world.call(method, &path).by(&ann).header("content-range", range);
            let refused = sent.chunked(pieces(&[b'x'; 9_001], 9_001)).await;
            assert_eq!(refused.gist(), (400, "SIZE_INVALID".into()), "{method} {range}: {refused}");
            assert!(refused.to_string().contains("the body has another length than its Content-Range"), "{refused}");
            assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-0");
        }
    }
}
