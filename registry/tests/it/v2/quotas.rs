//! Hard limits: what is refused, with which numbers, and every way around them (threats 2, 36).

use futures_util::future::join_all;
use hallmark_storage::metadata::{DatabaseConfig, Error, Scope, Usage};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Credentials, OCI_MANIFEST, PASSWORD, Postgres, World, image, pieces, sha256};

const UPLOADS: &str = "/v2/ann/app/blobs/uploads/";

fn admin() -> Credentials {
    Credentials::basic("admin", PASSWORD)
}

/// Where the account `ann` may hold so much, and her token for a repository.
async fn limited(hard: u64) -> (World, Credentials) {
    let world = World::open().await;
    limit(&world, "/accounts/ann", hard).await;
    let ann = world.all_of("ann", "ann/app").await;
    (world, ann)
}

async fn limit(world: &World, of: &str, hard: u64) {
    world.sends("PUT", &format!("{of}/quota"), &admin(), &json!({"hard": hard})).await.expect(200);
}

async fn usage(world: &World) -> Usage {
    let account = world.app.metadata.account("ann").await.unwrap().unwrap();
    world.app.metadata.usage(Scope::Account(account.id)).await.unwrap()
}

async fn opened(world: &World, by: &Credentials) -> String {
    world.post(UPLOADS).by(by).await.expect(202).location()
}

/// The numbers of a refusal.
fn detail(refusal: &Value) -> &Value {
    assert_eq!(refusal["errors"][0]["code"], json!("DENIED"), "{refusal}");
    &refusal["errors"][0]["detail"]
}

#[tokio::test]
async fn a_blob_that_has_no_room_is_refused_with_the_numbers() {
    let (world, ann) = limited(12).await;
    world.blob(&ann, "ann/app", "01234567").await;
    let digest = sha256("56789");
    let refused = world.post(&format!("{UPLOADS}?digest={digest}")).by(&ann).body("56789").await;
    assert_snapshot!(refused, @r#"
    403 Forbidden
    content-length: 303
    content-type: application/json

    {"errors":[{"code":"DENIED","detail":{"account":"ann","limit":12,"requested":5,"reserved":0,"used":8},"message":"the quota of the account ann is 12 bytes: 8 bytes are in use and 0 are reserved by other uploads, so that there is no room for 5 bytes; what is deleted counts until it has left the trash"}]}
    "#);
    assert_eq!(usage(&world).await, Usage { used: 8, reserved: 0 });
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"], "what was reserved is given back");
    world.blob(&ann, "ann/app", "5678").await;
    assert_eq!(usage(&world).await, Usage { used: 12, reserved: 0 }, "a limit can be met exactly");
    assert!(world.metrics().await.of("quota_refusals_total") == 1.0);
}

#[tokio::test]
async fn a_large_body_that_was_announced_is_refused_before_it_is_read_and_the_upload_stays() {
    let (world, ann) = limited(20_000).await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body(vec![b'a'; 9_000]).await.expect(202);
    let refused = world.patch(&upload).by(&ann).body(vec![b'a'; 11_001]).await.expect(403).json();
    let numbers = json!({"account": "ann", "limit": 20_000, "used": 0, "reserved": 0, "requested": 20_001});
    assert_eq!(detail(&refused), &numbers);
    assert_eq!(usage(&world).await, Usage { used: 0, reserved: 9_000 }, "what has come is still reserved");
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-8999");
    world.patch(&upload).by(&ann).body(vec![b'a'; 11_000]).await.expect(202);
    let digest = sha256(vec![b'a'; 20_000]);
    world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 20_000, reserved: 0 });
}

#[tokio::test]
async fn a_body_of_unknown_length_is_stopped_where_the_room_ends() {
    let (world, ann) = limited(10_000).await;
    let upload = opened(&world, &ann).await;
    let refused = world.patch(&upload).by(&ann).chunked(pieces(&[b'a'; 12_000], 1_000)).await.expect(403).json();
    let numbers = json!({"account": "ann", "limit": 10_000, "used": 0, "reserved": 0, "requested": 11_000});
    assert_eq!(detail(&refused), &numbers);
    let reserved = usage(&world).await.reserved;
    assert!(reserved <= 10_000, "{reserved}");
    // What had room is kept, and can be made a blob.
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-9999");
    let digest = sha256([b'a'; 10_000]);
    world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 10_000, reserved: 0 });
}

#[tokio::test]
async fn a_body_of_unknown_length_that_fits_is_taken_though_a_whole_step_would_not_fit() {
    let (world, ann) = limited(5_000).await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).chunked(pieces(&[b'a'; 5_000], 700)).await.expect(202);
    world.put(&format!("{upload}?digest={}", sha256([b'a'; 5_000]))).by(&ann).await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 5_000, reserved: 0 });
}

#[tokio::test]
async fn uploads_that_were_abandoned_keep_their_room_until_they_expire() {
    let (world, ann) = limited(10_000).await;
    for _ in 0..2 {
        let upload = opened(&world, &ann).await;
        world.patch(&upload).by(&ann).body(vec![b'a'; 5_000]).await.expect(202);
    }
    let next = opened(&world, &ann).await;
    let refused = world.patch(&next).by(&ann).body("b").await.expect(403).json();
    let numbers = json!({"account": "ann", "limit": 10_000, "used": 0, "reserved": 10_000, "requested": 1});
    assert_eq!(detail(&refused), &numbers);
    let until: i64 = world.look("SELECT MAX(expires_at) FROM uploads").await[0].parse().unwrap();
    world.pass((until - world.now()) / 1_000 - 1);
    hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    assert_eq!(usage(&world).await, Usage { used: 0, reserved: 10_000 }, "not before");
    world.pass(2);
    hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    assert_eq!(usage(&world).await, Usage::default());
}

#[tokio::test]
async fn parallel_uploads_at_the_brink_never_pass_the_limit() {
    let (world, ann) = limited(100_000).await;
    let contents: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 9_000]).collect();
    let push = async |content: &Vec<u8>| {
        let upload = opened(&world, &ann).await;
        let sent = world.patch(&upload).by(&ann).chunked(pieces(content, 3_000)).await.status;
        let seen = usage(&world).await;
        let put = world.put(&format!("{upload}?digest={}", sha256(content))).by(&ann).await.status;
        (sent == 202 && put == 201, seen)
    };
    let pushed = join_all(contents.iter().map(push)).await;
    let made = pushed.iter().filter(|(made, _)| *made).count() as u64;
    let now = usage(&world).await;
    assert!(made <= 11, "{made}");
    assert!(now.used <= 100_000, "{now:?}");
    assert!(pushed.iter().all(|(_, seen)| seen.used <= 100_000));
    let linked =
        world.look("SELECT COALESCE(SUM(b.size), 0) FROM account_blobs a JOIN blobs b ON b.id = a.blob_id").await;
    assert_eq!(linked, [now.used.to_string()], "what is used is what is held");
    // Those who were refused keep what had room until they end; then others find it.
    for upload in world.look("SELECT id FROM uploads").await {
        world.delete(&format!("{UPLOADS}{upload}")).by(&ann).await.expect(204);
    }
    let mut alone = made;
    for number in 100..124 {
        alone += u64::from(push(&vec![number; 9_000]).await.0);
    }
    assert_eq!((alone, usage(&world).await.used), (11, 99_000));
}

#[tokio::test]
async fn small_blobs_that_come_whole_at_once_never_pass_the_limit() {
    let (world, ann) = limited(95).await;
    let push = async |number: u32| {
        let content = format!("content {number:02}");
        let path = format!("{UPLOADS}?digest={}", sha256(&content));
        world.post(&path).by(&ann).body(content).await.status.as_u16()
    };
    let answers = join_all((0..20).map(push)).await;
    let made = answers.iter().filter(|status| **status == 201).count() as u64;
    assert!(answers.iter().all(|status| matches!(status, 201 | 403)), "{answers:?}");
    assert!(made <= 9, "{answers:?}");
    assert_eq!(usage(&world).await, Usage { used: 10 * made, reserved: 0 });
    // Alone, the next finds the room that those who met at the brink left, who may all have been refused.
    for number in 20..30 {
        push(number).await;
    }
    assert_eq!(usage(&world).await.used, 90);
}

/// What one replica lets in the other sees, though each asks the database for itself.
#[tokio::test]
async fn two_replicas_never_pass_a_limit_together() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    let first = World::with(|config| config.database = database).await;
    limit(&first, "/accounts/ann", 30_095).await;
    let (second, ann) = (first.replica().await, first.all_of("ann", "ann/app").await);
    let large = async |number: u8| {
        let world = if number.is_multiple_of(2) { &first } else { &second };
        let content = vec![number; 9_000];
        let upload = opened(world, &ann).await;
        let sent = world.patch(&upload).by(&ann).chunked(pieces(&content, 3_000)).await.status;
        let put = world.put(&format!("{upload}?digest={}", sha256(&content))).by(&ann).await.status;
        (9_000 * u64::from(sent == 202 && put == 201), usage(world).await)
    };
    let small = async |number: u32| {
        let world = if number.is_multiple_of(2) { &first } else { &second };
        let content = format!("content {number:02}");
        let path = format!("{UPLOADS}?digest={}", sha256(&content));
        let status = world.post(&path).by(&ann).body(content).await.status;
        (10 * u64::from(status == 201), usage(world).await)
    };
    let (large, small) = tokio::join!(join_all((0..12).map(large)), join_all((0..20).map(small)));
    let all = || large.iter().chain(&small);
    let made: u64 = all().map(|(bytes, _)| bytes).sum();
    assert!(all().all(|(_, seen)| seen.used <= 30_095), "{large:?} {small:?}");
    assert!(made > 0, "nothing had room");
    assert_eq!(usage(&second).await.used, made, "what is used is what was stored");
}

#[tokio::test]
async fn a_small_blob_that_ends_an_upload_is_counted() {
    let (world, ann) = limited(10).await;
    let upload = opened(&world, &ann).await;
    let put = |content: &'static str| world.put(&format!("{upload}?digest={}", sha256(content))).by(&ann).body(content);
    let refused = put("0123456789x").await.expect(403).json();
    assert_eq!(detail(&refused)["requested"], json!(11));
    assert_eq!(usage(&world).await, Usage::default());
    put("0123456789").await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 10, reserved: 0 });
}

#[tokio::test]
async fn a_mount_from_elsewhere_is_counted_and_within_the_account_it_costs_nothing() {
    let (world, ann) = limited(12).await;
    let bob = world.all_of("bob", "bob/app").await;
    let theirs = world.blob(&bob, "bob/app", "a layer of bob").await;
    world.publish("bob/app").await;
    let scope = "repository:ann/app:pull,push repository:bob/app:pull repository:ann/two:pull,push";
    let both = world.token("ann", scope).await;
    let path = format!("{UPLOADS}?mount={theirs}&from=bob/app");
    let refused = world.post(&path).by(&both).await.expect(403).json();
    let numbers = json!({"account": "ann", "limit": 12, "used": 0, "reserved": 0, "requested": 14});
    assert_eq!(detail(&refused), &numbers);
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"]);
    let own = world.blob(&ann, "ann/app", "0123456789ab").await;
    let within = world.post(&format!("/v2/ann/two/blobs/uploads/?mount={own}&from=ann/app")).by(&both).await;
    within.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 12, reserved: 0 });
    limit(&world, "/repositories/ann%2Ftwo", 12).await;
    limit(&world, "/accounts/ann", 100).await;
    let refused = world.post(&format!("/v2/ann/two/blobs/uploads/?mount={theirs}&from=bob/app")).by(&both).await;
    let numbers = json!({"repository": "ann/two", "limit": 12, "used": 12, "reserved": 0, "requested": 14});
    assert_eq!(detail(&refused.expect(403).json()), &numbers);
}

#[tokio::test]
async fn a_manifest_is_counted_and_a_tag_that_moves_costs_nothing() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "v1", "layer").await;
    let used = usage(&world).await.used;
    limit(&world, "/accounts/ann", used + 10).await;
    let body = world.get("/v2/ann/app/manifests/v1").by(&ann).await.expect(200).body.to_vec();
    let put = |tag: &str, body: &[u8]| {
        world
            .put(&format!("/v2/ann/app/manifests/{tag}"))
            .by(&ann)
            .header("content-type", OCI_MANIFEST)
            .body(body.to_vec())
    };
    put("v2", &body).await.expect(201);
    let other = image("layer", &["{}"]);
    let refused = put("v3", other.as_bytes()).await.expect(403).json();
    assert_eq!((&detail(&refused)["limit"], &detail(&refused)["requested"]), (&json!(used + 10), &json!(other.len())));
    assert_eq!(world.get("/v2/ann/app/manifests/v3").by(&ann).await.status, 404);
    limit(&world, "/accounts/ann", used + other.len() as u64).await;
    put("v3", other.as_bytes()).await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: used + other.len() as u64, reserved: 0 });
}

#[tokio::test]
async fn deleting_makes_no_room_before_the_trash_is_purged() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.image(&ann, "ann/app", "v1", "layer").await;
    let used = usage(&world).await.used;
    limit(&world, "/accounts/ann", used).await;
    limit(&world, "/repositories/ann%2Fapp", used).await;
    world.delete(&format!("/v2/ann/app/manifests/{digest}")).by(&ann).await.expect(202);
    world.delete(&format!("/v2/ann/app/blobs/{}", sha256("layer"))).by(&ann).await.expect(202);
    assert_eq!(usage(&world).await.used, used);
    let more = format!("{UPLOADS}?digest={}", sha256("x"));
    world.post(&more).by(&ann).body("x").await.expect(403);
    let wish = json!({"digest": digest.to_string()});
    world.sends("POST", "/repositories/ann%2Fapp/undelete", &basic("ann"), &wish).await.expect(200);
    assert_eq!(usage(&world).await.used, used, "what comes back costs nothing: it never left");
    world.delete(&format!("/v2/ann/app/manifests/{digest}")).by(&ann).await.expect(202);
    for day in [1, 2, 15, 17, 18, 19] {
        world.pass(day * 24 * 60 * 60);
        hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    }
    assert_eq!(usage(&world).await.used, 0);
    let ann = world.all_of("ann", "ann/app").await;
    world.post(&more).by(&ann).body("x").await.expect(201);
}

#[tokio::test]
async fn a_limit_that_is_set_while_an_upload_is_open_holds_for_it() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body(vec![b'a'; 9_000]).await.expect(202);
    limit(&world, "/accounts/ann", 8_999).await;
    let digest = sha256(vec![b'a'; 9_000]);
    let refused = world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(403).json();
    assert_eq!(detail(&refused)["requested"], json!(9_000));
    limit(&world, "/accounts/ann", 9_000).await;
    world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 9_000, reserved: 0 });
}

/// Whether somebody else holds the same content changes no answer and no number.
#[tokio::test]
async fn refusals_and_sizes_tell_nothing_of_strangers() {
    let mut seen = Vec::new();
    for strangers_hold_it in [false, true] {
        let (world, ann) = limited(12).await;
        let bob = world.all_of("bob", "bob/app").await;
        if strangers_hold_it {
            world.blob(&bob, "bob/app", "fourteen bytes").await;
            world.blob(&bob, "bob/app", "twelve bytes").await;
        }
        let path = format!("{UPLOADS}?digest={}", sha256("fourteen bytes"));
        let refused = world.post(&path).by(&ann).body("fourteen bytes").await.expect(403).json();
        let mount = format!("{UPLOADS}?mount={}", sha256("fourteen bytes"));
        let mounted = world.post(&mount).by(&ann).await.status;
        world.blob(&ann, "ann/app", "twelve bytes").await;
        let sizes = world.api("GET", "/accounts/ann/sizes", &basic("ann")).await.expect(200).json();
        let of_app = world.api("GET", "/repositories/ann%2Fapp/sizes", &basic("ann")).await.expect(200).json();
        seen.push((detail(&refused).clone(), mounted, sizes, of_app));
        for path in ["/accounts/ann/sizes", "/accounts/ann/quota", "/repositories/ann%2Fapp/sizes"] {
            assert_eq!(world.api("GET", path, &basic("bob")).await.status, 404, "{path}");
        }
    }
    assert_eq!(seen[0], seen[1]);
}

/// A crash between what was reserved and the look at it leaves an upload that nobody ends, and that expires.
#[tokio::test]
async fn what_a_crash_leaves_reserved_is_given_back() {
    use hallmark_oci::UploadId;
    use hallmark_storage::StorageKey;
    use hallmark_storage::metadata::{NewUpload, Room};
    let (world, ann) = limited(50).await;
    world.blob(&ann, "ann/app", "0123456789").await;
    let repository = world.repository("ann/app").await.unwrap();
    let input = (repository, UploadId::from_bytes([7; 16]), StorageKey::random(), world.now());
    let left: Result<bool, Error> = world
        .app
        .metadata
        .write(input, |tx, (repository, id, key, now)| {
            Box::pin(async move {
                let principal = repository.owner.unwrap();
                let (repository, account) = (repository.id, repository.account_id);
                let new = NewUpload {
                    id,
                    repository,
                    principal,
                    key,
                    hash_state: b"",
                    leased_until: 0,
                    expires_at: *now + 300_000,
                };
                tx.begin_upload(&new).await?;
                tx.reserve((id, 0), (repository, account), Room { account: 40, repository: 0 }).await
            })
        })
        .await;
    assert!(left.unwrap());
    let path = format!("{UPLOADS}?digest={}", sha256("x"));
    let refused = world.post(&path).by(&ann).body("x").await.expect(403).json();
    assert_eq!(detail(&refused)["reserved"], json!(40));
    world.pass(301);
    hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    let ann = world.all_of("ann", "ann/app").await;
    world.post(&path).by(&ann).body("x").await.expect(201);
    assert_eq!(usage(&world).await, Usage { used: 11, reserved: 0 });
}

/// A crash between what an open upload reserved and the look at it: whoever goes on with the upload has nothing of it.
#[tokio::test]
async fn what_a_crash_left_reserved_lets_nobody_in() {
    use hallmark_storage::metadata::Room;
    let (world, ann) = limited(50).await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body(vec![b'a'; 9]).await.expect(202);
    let repository = world.repository("ann/app").await.unwrap();
    let id: hallmark_oci::UploadId = upload.rsplit('/').next().unwrap().parse().unwrap();
    let reserved: Result<bool, Error> = world
        .app
        .metadata
        .write((repository, id), |tx, (repository, id)| {
            let place = (repository.id, repository.account_id);
            Box::pin(tx.reserve((id, 1), place, Room { account: 1_009, repository: 0 }))
        })
        .await;
    assert!(reserved.unwrap());
    assert_eq!(usage(&world).await, Usage { used: 0, reserved: 1_009 });
    let digest = sha256([b'a'; 54]);
    let put = world.put(&format!("{upload}?digest={digest}")).by(&ann).chunked(pieces(&[b'a'; 45], 9));
    assert_eq!(detail(&put.await.expect(403).json())["requested"], json!(54));
    assert!(usage(&world).await.reserved <= 50);
    world.delete(&upload).by(&ann).await.expect(204);
    assert_eq!(usage(&world).await, Usage::default());
}

/// Many requests of one upload leave one entry: no look reads more, however small they are.
#[tokio::test]
async fn a_thousand_requests_of_one_upload_are_one_reservation() {
    let (world, ann) = limited(5_000).await;
    let upload = opened(&world, &ann).await;
    for _ in 0..1_000 {
        world.patch(&upload).by(&ann).body("a").await.expect(202);
    }
    assert_eq!(usage(&world).await, Usage { used: 0, reserved: 1_000 });
    assert_eq!(world.look("SELECT COUNT(*) FROM usage_entries WHERE upload_id IS NOT NULL").await, ["1"]);
}

#[tokio::test]
async fn a_mount_within_the_account_is_counted_where_the_repository_has_a_limit() {
    let world = World::open().await;
    let scope = "repository:ann/app:pull,push repository:ann/two:pull,push";
    let both = world.token("ann", scope).await;
    let mut blobs = Vec::new();
    for number in 0..10 {
        blobs.push(world.blob(&both, "ann/app", &format!("blob {number:03}")).await);
    }
    world.blob(&both, "ann/two", "0123").await;
    limit(&world, "/repositories/ann%2Ftwo", 25).await;
    let mount = async |digest: &hallmark_oci::Digest| {
        let path = format!("/v2/ann/two/blobs/uploads/?mount={digest}&from=ann/app");
        world.post(&path).by(&both).await
    };
    let mounted = join_all(blobs.iter().map(&mount)).await;
    assert!(mounted.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 403)));
    let repository = world.repository("ann/two").await.unwrap();
    let used = async || world.app.metadata.usage(Scope::Repository(repository.id)).await.unwrap();
    assert!(used().await.used <= 25 && used().await.reserved == 0);
    for digest in &blobs {
        mount(digest).await;
    }
    assert_eq!(used().await.used, 20, "two of eight bytes have room beside four");
    let mut refused = None;
    for digest in &blobs {
        let answer = mount(digest).await;
        if answer.status == 403 {
            refused = Some(answer.json());
        }
    }
    let numbers = json!({"repository": "ann/two", "limit": 25, "used": 20, "reserved": 0, "requested": 8});
    assert_eq!(detail(&refused.unwrap()), &numbers);
    assert_eq!(usage(&world).await.used, 84, "the account has each of them once");
}

#[tokio::test]
async fn a_limit_is_passed_by_at_most_the_uploads_in_flight_when_it_was_set() {
    is_passed_by_what_was_in_flight(&[&World::open().await]).await;
}

/// On a server, where changes run beside each other, and uploads go through the one replica and the other.
#[tokio::test]
async fn a_limit_set_on_one_of_two_replicas_is_passed_by_at_most_the_uploads_in_flight_on_both() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 6 };
    let world = World::with(|config| config.database = database).await;
    let second = world.replica().await;
    is_passed_by_what_was_in_flight(&[&world, &second]).await;
}

/// Uploads that were under way when a limit was set may pass it, and nothing else does.
async fn is_passed_by_what_was_in_flight(worlds: &[&World]) {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    const SIZE: u64 = 9_000;
    let world = worlds[0];
    let ann = world.all_of("ann", "ann/app").await;
    let (begun, ended, left) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let push = async |number: u8| {
        let world = worlds[usize::from(number) % worlds.len()];
        let content = vec![number; SIZE as usize];
        let upload = opened(world, &ann).await;
        begun.fetch_add(1, Ordering::Relaxed);
        world.patch(&upload).by(&ann).chunked(pieces(&content, 3_000)).await;
        let put = world.put(&format!("{upload}?digest={}", sha256(&content))).by(&ann).await.status;
        ended.fetch_add(1, Ordering::Relaxed);
        if put != 201 {
            left.lock().unwrap().push(upload);
        }
        put == 201
    };
    let set = async {
        while ended.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        limit(world, "/accounts/ann", 10 * SIZE).await;
        (begun.load(Ordering::Relaxed) - ended.load(Ordering::Relaxed), usage(world).await.used)
    };
    let pushes = async {
        let mut made = 0;
        for wave in 0..5 {
            made +=
                join_all((0..10).map(|number| push(wave * 10 + number))).await.into_iter().filter(|made| *made).count();
        }
        made as u64
    };
    let ((in_flight, before), made) = futures_util::join!(set, pushes);
    let now = usage(world).await;
    assert!(in_flight <= 10, "{in_flight}");
    assert_eq!(now.used, made * SIZE);
    assert!(now.used <= before.max(10 * SIZE) + in_flight * SIZE, "{now:?}, {before} before, {in_flight} in flight");
    let refused = std::mem::take(&mut *left.lock().unwrap());
    for upload in refused {
        // One of which nothing was taken has another digest than was asked for, and is given up already.
        let ended = world.delete(&upload).by(&ann).await.status.as_u16();
        assert!(matches!(ended, 204 | 404), "{ended}");
    }
    let room = (10 * SIZE).saturating_sub(now.used) / SIZE;
    let mut more = 0;
    for number in 100..115 {
        more += u64::from(push(number).await);
    }
    assert_eq!(more, room, "what begins later passes nothing");
}

/// Who only pushes is told the limit and what they asked for: what is in use moves with repositories that they may not see.
#[tokio::test]
async fn a_pusher_is_not_told_what_is_in_use() {
    let (world, ann) = limited(20).await;
    world.blob(&ann, "ann/app", "01234567").await;
    world.grant("ann/app", "user:bob", "write").await;
    let bob = world.all_of("bob", "ann/app").await;
    let path = format!("{UPLOADS}?digest={}", sha256("fifteen bytes !"));
    let refused = async |by: &Credentials| {
        let whole = world.post(&path).by(by).body("fifteen bytes !").await.expect(403).json();
        let upload = opened(&world, by).await;
        let sent = world.patch(&upload).by(by).body("fifteen bytes !").await.expect(403).json();
        assert_eq!(detail(&whole), detail(&sent));
        world.delete(&upload).by(by).await.expect(204);
        whole
    };
    let before = refused(&bob).await;
    assert_eq!(detail(&before), &json!({"account": "ann", "limit": 20, "requested": 15}));
    let message = "the quota of the account ann is 20 bytes, and there is no room for 15 bytes; what is deleted counts until it has \
                   left the trash";
    assert_eq!(before["errors"][0]["message"], json!(message));
    let two = world.all_of("ann", "ann/two").await;
    world.blob(&two, "ann/two", "a secret").await;
    assert_eq!(refused(&bob).await, before, "what a sibling holds makes no difference");
    let numbers = json!({"account": "ann", "limit": 20, "used": 16, "reserved": 0, "requested": 15});
    assert_eq!(detail(&refused(&ann).await), &numbers, "the owner");
    let by_admin = world.all_of("admin", "ann/app").await;
    assert_eq!(detail(&refused(&by_admin).await), &numbers, "an administrator");
    world.grant("ann/app", "user:bob", "admin").await;
    let bob = world.all_of("bob", "ann/app").await;
    assert_eq!(refused(&bob).await, before, "who manages a repository is not told of the account");
    limit(&world, "/accounts/ann", 1_000).await;
    limit(&world, "/repositories/ann%2Fapp", 20).await;
    let numbers = json!({"repository": "ann/app", "limit": 20, "used": 8, "reserved": 0, "requested": 15});
    assert_eq!(detail(&refused(&bob).await), &numbers, "but of the repository");
    world.grant("ann/app", "user:bob", "write").await;
    let bob = world.all_of("bob", "ann/app").await;
    assert_eq!(detail(&refused(&bob).await), &json!({"repository": "ann/app", "limit": 20, "requested": 15}));
}

#[tokio::test]
async fn a_soft_limit_refuses_nothing_and_is_told_of_once() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.sends("PUT", "/accounts/ann/quota", &admin(), &json!({"soft": 10})).await.expect(200);
    for content in ["01234567", "89abcdef", "more of it"] {
        world.blob(&ann, "ann/app", content).await;
        hallmark_gc::fold_usage(&world.app.metadata, world.now(), || true).await.unwrap();
    }
    let told = world.look("SELECT subject, payload FROM events WHERE kind = 'quota_exceeded'").await;
    assert_eq!(told, [r#"ann {"limit":10,"used":16}"#]);
    let sizes = world.api("GET", "/accounts/ann/sizes", &basic("ann")).await.expect(200).json();
    assert_eq!((&sizes["used"], &sizes["logical"]), (&json!(26), &json!(26)));
}

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}
