//! The whole answer of every kind of refusal that no other file shows.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hallmark_oci::limits::DESCRIPTORS;
use hallmark_storage::blobs::StorageConfig;
use insta::assert_snapshot;
use tokio::sync::mpsc;

use crate::harness::{Credentials, Log, OCI_MANIFEST, PASSWORD, World, image, sha256};

#[tokio::test]
async fn a_name_and_password_without_the_right_are_denied() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    assert_snapshot!(world.get("/v2/ann/app/manifests/1").by(&Credentials::basic("bob", PASSWORD)).await, @r#"
    403 Forbidden
    content-length: 161
    content-type: application/json

    {"errors":[{"code":"DENIED","detail":[{"Action":"pull","Class":"","Name":"ann/app","Type":"repository"}],"message":"you do not have the right to do this here"}]}
    "#);
}

/// How many stand in the line at one moment is for its own tests. Here a slow machine may finish some before the last one
/// comes, and whoever was let in had a hash computed.
#[tokio::test]
async fn more_sign_ins_than_an_address_may_have_in_the_line_are_asked_to_come_back() {
    let world = World::open().await;
    let before = world.app.passwords.hashes_computed();
    let calls = (0..80).map(|number| {
        let stranger = Credentials::basic(&format!("user{number}"), "wrong password");
        world.get("/v2/").by(&stranger).into_future()
    });
    let answers = join_all(calls).await;
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    let let_in = world.app.passwords.hashes_computed() - before;
    assert_eq!(busy.len() + let_in, 80, "whoever is sent away costs no hash");
    assert!(let_in >= 8 && !busy.is_empty(), "an address may have 8 in the line, and {let_in} of 80 were let in");
    assert_snapshot!(busy[0], @r#"
    429 Too Many Requests
    content-length: 110
    content-type: application/json
    retry-after: 1

    {"errors":[{"code":"TOOMANYREQUESTS","detail":null,"message":"too many sign-ins at once; try again shortly"}]}
    "#);
}

#[tokio::test]
async fn a_body_that_stalls_is_told_so() {
    let world = World::with(|config| config.http.body_timeout = Duration::from_millis(50)).await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let (feed, body) = mpsc::channel(1);
    feed.send(Bytes::from("01234")).await.unwrap();
    assert_snapshot!(world.patch(&upload).by(&ann).fed(body).await, @r#"
    408 Request Timeout
    content-length: 95
    content-type: application/json

    {"errors":[{"code":"SIZE_INVALID","detail":null,"message":"too little was sent for too long"}]}
    "#);
    drop(feed);
}

#[tokio::test]
async fn a_malformed_tag_is_refused_where_it_is_written() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let put = world.put("/v2/ann/app/manifests/.bad").by(&ann).header("content-type", OCI_MANIFEST);
    assert_snapshot!(put.body(image("{}", &[])).await, @r#"
    400 Bad Request
    content-length: 162
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"a tag is made of letters, digits, underscores, dots and dashes, and begins with none of the last two"}]}
    "#);
}

#[tokio::test]
async fn what_is_refused_for_its_form_tells_what_is_wrong_with_it() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let body = image("{}", &[]);
    let tags: Vec<_> = (0..65).map(|tag| format!("tag={tag}")).collect();
    let many = image("{}", &vec!["layer"; DESCRIPTORS]);
    let put = |reference: &str, body: &str| {
        let put = world.put(&format!("/v2/ann/app/manifests/{reference}")).by(&ann);
        put.header("content-type", OCI_MANIFEST).body(body.to_owned())
    };
    let answers = [
        put(&format!("{}?{}", sha256(&body), tags.join("&")), &body).await,
        put("1?tag=2", &body).await,
        put("1", &many).await,
        world.put(&upload).by(&ann).await,
        world.patch("/v2/ann/app/blobs/uploads/no-id").by(&ann).body("x").await,
        world.get(&format!("/v2/ann/app/tags/list?last={}", "x".repeat(256))).by(&ann).await,
    ];
    assert_snapshot!(answers.map(|answer| answer.to_string()).join("\n---\n"), @r#"
    414 URI Too Long
    content-length: 134
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"one request sets at most 64 tags; put the manifest again with the others"}]}

    ---
    400 Bad Request
    content-length: 128
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"further tags can be given only where the manifest is put by digest"}]}

    ---
    400 Bad Request
    content-length: 105
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"a manifest names at most 4096 contents"}]}

    ---
    400 Bad Request
    content-length: 120
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"an upload is finished with exactly one digest parameter"}]}

    ---
    404 Not Found
    content-length: 108
    content-type: application/json

    {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","detail":null,"message":"no upload has this id; begin a new one"}]}

    ---
    400 Bad Request
    content-length: 128
    content-type: application/json

    {"errors":[{"code":"PAGINATION_NUMBER_INVALID","detail":null,"message":"last is an entry of the list, at most 255 characters"}]}
    "#);
}

/// The parts of an upload are gone from the store. The client is told to begin anew, and nothing of the inside; the
/// operator finds in the log what happened.
#[tokio::test]
async fn an_upload_that_the_store_has_lost_cannot_go_on() {
    let world = World::with(|config| config.storage = StorageConfig::Memory).await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let content = vec![b'x'; 9 * 1024 * 1024];
    world.patch(&upload).by(&ann).body(content.clone()).await.expect(202);
    let row = world.look("SELECT storage_key, multipart_id FROM uploads").await.remove(0);
    let (key, multipart) = row.split_once(' ').unwrap();
    world.app.blobs.delete(&key.parse().unwrap(), Some(multipart)).await.unwrap();
    let log = Log::begin();
    assert_snapshot!(world.put(&format!("{upload}?digest={}", sha256(&content))).by(&ann).await, @r#"
    404 Not Found
    content-length: 111
    content-type: application/json

    {"errors":[{"code":"BLOB_UPLOAD_INVALID","detail":null,"message":"this upload cannot go on; begin a new one"}]}
    "#);
    let line = log.last();
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(line["cause"].as_str().unwrap().contains(key), "{line}");
}

/// Protocols tell apart what is malformed from what is absent: a digest is refused wherever it stands, and a tag that
/// nothing can have is one that nothing has.
#[tokio::test]
async fn reading_by_a_malformed_digest_is_refused_and_by_a_malformed_tag_finds_nothing() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let upper = sha256("layer").as_str().to_uppercase().replace("SHA", "sha");
    for reference in ["sha256:totallywrong", "sha256:", &upper, "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let path = format!("/v2/ann/app/manifests/{reference}");
        assert_eq!(world.get(&path).by(&ann).await.gist(), (400, "DIGEST_INVALID".into()), "{reference}");
        world.head(&path).by(&ann).await.expect(400);
    }
    let tag = world.get("/v2/ann/app/manifests/.INVALID_MANIFEST_NAME").by(&ann).await;
    assert_eq!(tag.gist(), (404, "MANIFEST_UNKNOWN".into()));
}

/// Two requests that fail for the same reason are told apart by their ids alone, which the log has too.
#[tokio::test]
async fn a_failure_inside_names_its_request_in_the_body() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.app.metadata.close().await;
    let log = Log::begin();
    let answers =
        [world.delete("/v2/ann/app/manifests/1").by(&ann).await, world.get("/v2/ann/app/tags/list").by(&ann).await];
    let told = answers.map(|answer| answer.expect(503).json()["errors"][0]["detail"]["request_id"].clone());
    let logged: Vec<_> = log.requests().into_iter().map(|line| line["request.id"].clone()).collect();
    assert_eq!(told.to_vec(), logged);
}
