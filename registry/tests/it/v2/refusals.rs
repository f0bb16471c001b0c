//! The whole answer of every kind of refusal that no other file shows.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hallmark_oci::limits::DESCRIPTORS;
use hallmark_storage::blobs::StorageConfig;
use insta::assert_snapshot;
use tokio::sync::mpsc;

use crate::harness::{Acme, Credentials, Log, OCI_INDEX, OCI_MANIFEST, PASSWORD, World, image, index, sha256};

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
    connection: close
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
    let mut told = Vec::new();
    for reference in ["sha256:totallywrong", "sha256:", &upper, "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let path = format!("/v2/ann/app/manifests/{reference}");
        let answer = world.get(&path).by(&ann).await;
        assert_eq!(answer.gist(), (400, "DIGEST_INVALID".into()), "{reference}");
        world.head(&path).by(&ann).await.expect(400);
        told.push(answer.to_string());
    }
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 133
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"this digest does not have the 64 hexadecimal digits of its algorithm"}]}

    ---
    400 Bad Request
    content-length: 152
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"a digest is written as sha256: and 64, or sha512: and 128 lower-case hexadecimal digits"}]}

    ---
    400 Bad Request
    content-length: 125
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"the hexadecimal digits of a digest are written in lower case"}]}

    ---
    400 Bad Request
    content-length: 125
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"this digest algorithm is not supported; use sha256 or sha512"}]}
    "#);
    let tag = world.get("/v2/ann/app/manifests/.INVALID_MANIFEST_NAME").by(&ann).await;
    assert_eq!(tag.gist(), (404, "MANIFEST_UNKNOWN".into()));
}

/// Where a push makes no repository, and where a name rests: whatever the push begins with is told the same.
#[tokio::test]
async fn a_push_that_may_make_no_repository_is_told_why() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let mia = Credentials::basic("mia", PASSWORD);
    world.grant("acme/new*", "user:mia", "write").await;
    world.grant("acme/web", "user:mia", "read+delete").await;
    let told = async |name: &str| {
        let begun = world.post(&format!("/v2/acme/{name}/blobs/uploads/")).by(&mia).await;
        let put = world.put(&format!("/v2/acme/{name}/manifests/1")).by(&mia).header("content-type", OCI_INDEX);
        assert_eq!(begun.visible(), put.body(index(&[])).await.visible(), "{name}");
        begun.to_string()
    };
    let none = told("new").await;
    world.create_on_push("acme").await;
    world.api("DELETE", "/repositories/acme%2Fweb", &mia).await.expect(204);
    assert_snapshot!([none, told("web").await].join("\n---\n"), @r#"
    404 Not Found
    content-length: 197
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"there is no repository acme/new, and in this organization a push makes none; ask an owner to create it, or to switch create-on-push on"}]}

    ---
    404 Not Found
    content-length: 195
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"there was a repository acme/web until lately, and its name is kept from others for a while; whoever administers it may make it again"}]}
    "#);
}

/// What a browser adds to its request tells whose page sent it: a password that the browser knows is not that page's to use.
#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = World::open().await;
    let ann = Credentials::basic("ann", PASSWORD);
    let begin = |site: &'static str| {
        world.post("/v2/ann/app/blobs/uploads/").by(&ann).header("sec-fetch-site", site).into_future()
    };
    assert_snapshot!(begin("cross-site").await, @r#"
    403 Forbidden
    content-length: 103
    content-type: application/json

    {"errors":[{"code":"DENIED","detail":null,"message":"a page of another site may change nothing here"}]}
    "#);
    begin("same-site").await.expect(403);
    assert!(world.repository("ann/app").await.is_none());
    begin("same-origin").await.expect(202);
}

#[tokio::test]
async fn a_header_that_holds_no_credentials_is_told_so() {
    let world = World::open().await;
    let mut told = Vec::new();
    for value in ["nonsense", "Digest username=ann", "Basic !"] {
        let answer = world.get("/v2/ann/app/tags/list").header("authorization", value).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()), "{value}");
        told.push(answer.to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    401 Unauthorized
    content-length: 203
    content-type: application/json
    www-authenticate: Bearer realm="http://registry.test/token",service="hallmark",scope="repository:ann/app:pull"

    {"errors":[{"code":"UNAUTHORIZED","detail":[{"Action":"pull","Class":"","Name":"ann/app","Type":"repository"}],"message":"the Authorization header holds neither a bearer token nor a name and password"}]}
    "#);
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
