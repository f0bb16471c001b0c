//! Two requests at one upload: one writes, and one that has fallen silent loses it (the lease and its fence).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallmark_storage::metadata::Error;
use insta::assert_snapshot;
use tokio::sync::{Notify, mpsc};

use crate::harness::{Credentials, World, sha256};

async fn opened() -> (World, Credentials, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    (world, ann, upload)
}

#[tokio::test]
async fn a_second_writer_is_told_where_the_upload_stands_and_never_interleaves() {
    let (world, ann, upload) = opened().await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    let second = async {
        // The second piece finds room only after the first one was taken, so the first writer holds the upload by then.
        feed.send(Bytes::from("01234")).await.unwrap();
        feed.send(Bytes::from("56789")).await.unwrap();
        let refused = world.patch(&upload).by(&ann).header("content-range", "0-4").body("xxxxx").await;
        drop(feed);
        refused
    };
    let (first, second) = tokio::join!(first.into_future(), second);
    assert_eq!((first.status.as_u16(), first.header("range")), (202, "0-9"));
    assert_eq!((second.status.as_u16(), second.header("range"), second.location()), (416, "0-0", upload.clone()));
    world.show_as(upload.rsplit('/').next().unwrap(), "upload");
    assert_snapshot!(second, @r#"
    416 Range Not Satisfiable
    content-length: 140
    content-type: application/json
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-0

    {"errors":[{"code":"RANGE_INVALID","detail":{"received":0},"message":"another request is sending to this upload, which stands at 0 bytes"}]}
    "#);
    world.put(&format!("{upload}?digest={}", sha256("0123456789"))).by(&ann).await.expect(201);
}

#[tokio::test]
async fn a_writer_that_fell_silent_loses_the_upload_and_its_bytes_do_not_count() {
    let (world, ann, upload) = opened().await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    let second = async {
        feed.send(Bytes::from("xxxxx")).await.unwrap();
        feed.send(Bytes::from("xxxxx")).await.unwrap();
        world.pass(11);
        let taken = world.patch(&upload).by(&ann).header("content-range", "0-4").body("01234").await;
        drop(feed);
        taken
    };
    let (first, second) = tokio::join!(first.into_future(), second);
    assert_eq!((second.status.as_u16(), second.header("range")), (202, "0-4"));
    assert_snapshot!(first, @r#"
    404 Not Found
    content-length: 127
    content-type: application/json

    {"errors":[{"code":"BLOB_UPLOAD_INVALID","detail":null,"message":"another request took this upload over; ask for its status"}]}
    "#);
    world.put(&format!("{upload}?digest={}", sha256("01234"))).by(&ann).await.expect(201);
}

/// A lease begins when it is taken, not when it was asked for: behind other changes it would else be over already.
#[tokio::test]
async fn a_lease_that_waited_for_other_changes_is_whole() {
    let (world, ann, upload) = opened().await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (metadata, input) = (world.app.metadata.clone(), (Arc::clone(&began), Arc::clone(&go)));
    let held = tokio::spawn(async move {
        let held: Result<(), Error> = metadata
            .write(input, |_, (began, go)| {
                Box::pin(async move {
                    began.notify_one();
                    go.notified().await;
                    Ok(())
                })
            })
            .await;
        held.unwrap();
    });
    began.notified().await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    let second = async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        world.pass(11);
        go.notify_one();
        held.await.unwrap();
        feed.send(Bytes::from("01234")).await.unwrap();
        feed.send(Bytes::from("56789")).await.unwrap();
        let refused = world.patch(&upload).by(&ann).header("content-range", "0-4").body("xxxxx").await;
        drop(feed);
        refused
    };
    let (first, second) = tokio::join!(first.into_future(), second);
    assert_eq!((first.status.as_u16(), first.header("range")), (202, "0-9"));
    assert_eq!((second.status.as_u16(), second.header("range")), (416, "0-0"));
}

/// The writer began just before the upload would have expired, and was silent for longer than its lease.
#[tokio::test]
async fn an_upload_does_not_expire_while_it_is_written() {
    let (world, _, upload) = opened().await;
    world.pass(i64::try_from(world.app.config.uploads.expiry.as_secs()).unwrap() - 1);
    let ann = world.all_of("ann", "ann/app").await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    let meanwhile = async {
        feed.send(Bytes::from("01234")).await.unwrap();
        feed.send(Bytes::from("56789")).await.unwrap();
        world.pass(20);
        let report = hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
        assert_eq!(report.uploads, 0);
        drop(feed);
    };
    let (first, ()) = tokio::join!(first.into_future(), meanwhile);
    first.expect(202);
}

/// Within a second the decision stands; `lapsed` holds what happens after that.
#[tokio::test]
async fn a_token_that_ends_in_mid_upload_ends_no_request_that_began_just_now() {
    let (world, ann, upload) = opened().await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    let meanwhile = async {
        feed.send(Bytes::from("01234")).await.unwrap();
        feed.send(Bytes::from("56789")).await.unwrap();
        world.set_password("ann", "another long password").await;
        drop(feed);
    };
    let (first, ()) = tokio::join!(first.into_future(), meanwhile);
    first.expect(202);
    world.get(&upload).by(&ann).await.expect(401);
}

/// A client that goes away does not stop a change that began: what it sent is kept, and the lease is given back.
#[tokio::test]
async fn a_client_that_goes_away_leaves_the_upload_where_its_bytes_end() {
    let (world, ann, upload) = opened().await;
    let (feed, body) = mpsc::channel(1);
    let first = world.patch(&upload).by(&ann).fed(body);
    tokio::select! {
        answer = first.into_future() => panic!("nothing ends this request yet: {answer}"),
        () = async {
            feed.send(Bytes::from("01234")).await.unwrap();
            feed.send(Bytes::from("56789")).await.unwrap();
        } => {}
    }
    drop(feed);
    world.app.changes.close();
    world.app.changes.wait().await;
    world.app.changes.reopen();
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-9");
    world.put(&format!("{upload}?digest={}", sha256("0123456789"))).by(&ann).await.expect(201);
}

/// A panic costs its request an answer of 500, and nobody else anything: what was durable is, and the next to come goes on.
#[tokio::test]
async fn a_change_that_panics_is_answered_and_has_ended() {
    let (world, ann, upload) = opened().await;
    let answer = world.patch(&upload).by(&ann).panicking(b"01234").await;
    assert_eq!(answer.gist(), (500, "UNKNOWN".into()));
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(world.app.changes.len(), 0);
    world.pass(20);
    let rest = world.patch(&upload).by(&ann).header("content-range", "0-4").body("01234");
    rest.await.expect(202);
    world.put(&format!("{upload}?digest={}", sha256("01234"))).by(&ann).await.expect(201);
}

#[tokio::test]
async fn a_client_that_stalls_is_let_go_and_what_it_sent_is_kept() {
    let world = World::with(|config| config.http.body_timeout = Duration::from_millis(50)).await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let (feed, body) = mpsc::channel(1);
    feed.send(Bytes::from("01234")).await.unwrap();
    let answer = world.patch(&upload).by(&ann).fed(body).await;
    assert_eq!(answer.gist(), (408, "SIZE_INVALID".into()));
    drop(feed);
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-4");
}
