//! Parts of blobs (RFC 9110 section 14).

use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::{Credentials, World};

const CONTENT: &str = "0123456789";

async fn pushed() -> (World, Credentials, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let path = format!("/v2/ann/app/blobs/{}", world.blob(&ann, "ann/app", CONTENT).await);
    (world, ann, path)
}

#[tokio::test]
async fn a_part_says_which_one_it_is() {
    let (world, ann, path) = pushed().await;
    assert_snapshot!(world.get(&path).by(&ann).header("range", "bytes=2-4").await, @r#"
    206 Partial Content
    accept-ranges: bytes
    cache-control: private, max-age=31536000, immutable
    content-length: 3
    content-range: bytes 2-4/10
    content-type: application/octet-stream
    docker-content-digest: {0123456789}
    etag: "{0123456789}"

    234
    "#);
}

#[tokio::test]
async fn a_part_is_asked_for_by_its_ends_its_beginning_or_its_length() {
    let (world, ann, path) = pushed().await;
    let table = [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=5-99999999999999999999999", "56789", "bytes 5-9/10"),
        ("BYTES=0-1", "01", "bytes 0-1/10"),
    ];
    for (range, content, shown) in table {
        let answer = world.get(&path).by(&ann).header("range", range).await.expect(206);
        assert_eq!((&answer.body[..], answer.header("content-range")), (content.as_bytes(), shown), "{range}");
        assert_eq!(answer.header("content-length"), content.len().to_string());
    }
}

#[tokio::test]
async fn what_is_no_single_range_of_bytes_is_answered_whole() {
    let (world, ann, path) = pushed().await;
    for range in ["bytes=0-1,3-4", "lines=0-1", "bytes", "bytes=a-b", "bytes=--1", "0-1"] {
        let answer = world.get(&path).by(&ann).header("range", range).await.expect(200);
        assert_eq!(answer.body, CONTENT, "{range}");
    }
}

#[tokio::test]
async fn a_part_that_there_is_not_is_refused_with_the_size() {
    let (world, ann, path) = pushed().await;
    assert_snapshot!(world.get(&path).by(&ann).header("range", "bytes=10-").await, @r#"
    416 Range Not Satisfiable
    content-length: 90
    content-range: bytes */10
    content-type: application/json

    {"errors":[{"code":"RANGE_INVALID","detail":null,"message":"the blob has no such bytes"}]}
    "#);
    for range in ["bytes=10-20", "bytes=-0", "bytes=5-4", "bytes=99999999999999999999-"] {
        let answer = world.get(&path).by(&ann).header("range", range).await;
        assert_eq!(answer.gist(), (416, "RANGE_INVALID".into()), "{range}");
    }
}

#[tokio::test]
async fn a_head_with_a_range_tells_the_whole_length() {
    let (world, ann, path) = pushed().await;
    let answer = world.head(&path).by(&ann).header("range", "bytes=2-4").await.expect(200);
    assert_eq!(answer.header("content-length"), "10");
    assert!(!answer.headers.contains_key("content-range"));
}

#[tokio::test]
async fn a_part_is_only_sent_to_who_holds_the_same_bytes() {
    let (world, ann, path) = pushed().await;
    let digest = path.rsplit('/').next().unwrap();
    let ranged = |held: String| world.get(&path).by(&ann).header("range", "bytes=2-4").header("if-range", held);
    ranged(format!("\"{digest}\"")).await.expect(206);
    ranged("\"other\"".to_owned()).await.expect(200);
}

#[tokio::test]
async fn an_empty_blob_has_no_parts() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let path = format!("/v2/ann/app/blobs/{}", world.blob(&ann, "ann/app", "").await);
    world.get(&path).by(&ann).await.expect(200);
    let answer = world.get(&path).by(&ann).header("range", "bytes=0-").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */0"));
}

#[test]
fn any_part_is_the_slice_that_it_says_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, ann, path) = runtime.block_on(pushed());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&(0_usize..14, 0_usize..14), |(first, last)| {
            let range = format!("bytes={first}-{last}");
            let answer = runtime.block_on(world.get(&path).by(&ann).header("range", range).into_future());
            if first < CONTENT.len() && first <= last {
                let last = last.min(CONTENT.len() - 1);
                prop_assert_eq!(answer.status.as_u16(), 206);
                prop_assert_eq!(answer.header("content-range"), format!("bytes {first}-{last}/10"));
                prop_assert_eq!(&answer.body[..], &CONTENT.as_bytes()[first..=last]);
            } else {
                prop_assert_eq!(answer.status.as_u16(), 416);
            }
            Ok(())
        })
        .unwrap();
}
