//! The collector of a registry from end to end: what its jobs do and leave, on one replica and on two, and what is counted of it.

use std::sync::Arc;

use hallmark::app::App;
use hallmark::retention::{turn, write_down_pulls};
use hallmark_gc::Collected;
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::{Value, json};

use super::retention::{DAY, path, removes, rules, tags};
use super::{admin, basic};
use crate::harness::{Credentials, OCI_INDEX, OCI_MANIFEST, Postgres, World, descriptor, image, index, sha256};

/// How many images are garbage that two replicas share.
const GARBAGE: u64 = 40;

/// Two replicas on one PostgreSQL and one folder.
async fn two() -> (World, World, Postgres) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 6 };
    let world = World::with(|config| config.database = database).await;
    let second = world.replica().await;
    (world, second, postgres)
}

async fn pauses(world: &World, paused: bool) {
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": paused})).await.expect(200);
}

async fn collects(world: &World) -> Value {
    // Somebody says that the clock is right.
    pauses(world, false).await;
    world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200).json()
}

/// Somebody pulls, the job writes that down, and a rule on pulls keeps what was pulled.
#[tokio::test]
async fn what_is_pulled_is_written_down_by_the_job_and_kept_by_the_rule() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    for tag in ["pulled", "idle"] {
        world.image(&token, "ann/web", tag, tag).await;
    }
    rules(&world, "web", &removes("*", &[("in use", json!({"pulled_within_days": 14}))])).await;
    write_down_pulls(&world.app).await.unwrap();
    world.pass(10 * DAY);
    let token = world.all_of("ann", "ann/web").await;
    world.get("/v2/ann/web/manifests/pulled").by(&token).await.expect(200);
    let jobs = world.jobs();
    let pulls = "SELECT t.name FROM last_pulls p JOIN tags t ON t.manifest_id = p.manifest_id";
    jobs.until("the pull is written down", async || world.look(pulls).await == ["pulled"]).await;
    jobs.stop().await;
    // The process that served it is gone: what is known is what was written.
    let world = world.restarted().await;
    world.pass(5 * DAY);
    pauses(&world, false).await;
    let jobs = world.jobs();
    jobs.until("the rules are applied", async || tags(&world, "web").await == ["pulled"]).await;
    jobs.stop().await;
}

/// While the collector is paused no job of it does anything, after a restart too; then they go on.
#[tokio::test]
async fn while_it_is_paused_its_jobs_rest() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let gone = world.image(&token, "ann/web", "gone", "gone").await;
    world.image(&token, "ann/web", "old", "old").await;
    rules(&world, "web", &removes("old", &[])).await;
    world.delete(&format!("/v2/ann/web/manifests/{gone}")).by(&token).await.expect(202);
    world.sends("PUT", "/accounts/ann/quota", &admin(), &json!({"soft": 1})).await.expect(200);
    world.pass(30 * DAY);
    pauses(&world, true).await;
    let world = world.restarted().await;
    world.app.refresh().await.unwrap();
    assert_eq!(world.metrics().await.of("collector_paused"), 1.0);
    let happened =
        async |kind: &str| !world.look(&format!("SELECT 1 FROM events WHERE kind = '{kind}'")).await.is_empty();
    let jobs = world.jobs();
    // Folding is no part of the collector, and begins when the rules do, three seconds after it.
    jobs.until("a look at a soft limit", async || happened("quota_exceeded").await).await;
    jobs.stop().await;
    assert!(!happened("manifest_purged").await && tags(&world, "web").await == ["old"]);
    pauses(&world, false).await;
    let jobs = world.jobs();
    jobs.until("the end of a window", async || happened("manifest_purged").await).await;
    jobs.until("the rules are applied", async || tags(&world, "web").await.is_empty()).await;
    jobs.stop().await;
    assert_eq!(world.metrics().await.of("collector_paused"), 0.0);
}

/// A report on a manifest.
fn refers(report: &str, subject: &str) -> String {
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", report);
    let (config, subject) =
        (descriptor("application/vnd.oci.image.config.v1+json", "{}"), descriptor(OCI_MANIFEST, subject));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layer}],"subject":{subject}}}"#
    )
}

/// What a preview says is what is free once the rules were applied and the collector came: an index with its children, of which one
/// has a tag of its own and one shares a layer with what stays, and with what signs and describes them.
#[tokio::test]
async fn a_preview_says_the_bytes_that_are_freed_in_the_end() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let layers = ["amd64", "arm64 is longer", "shared by two", "of a child that stays"];
    for layer in layers.iter().chain(&["{}"]) {
        world.blob(&token, "ann/web", layer).await;
    }
    let children = [&layers[..1], &layers[1..3], &layers[3..]].map(|layers| image("{}", layers));
    for (child, tag) in children.iter().zip(["", "", "stays"]) {
        let digest = sha256(child).to_string();
        let reference = if tag.is_empty() { digest.as_str() } else { tag };
        world.manifest(&token, ("ann/web", reference), OCI_MANIFEST, child, "a child").await;
    }
    let all = index(&[&children[0], &children[1], &children[2]]);
    world.manifest(&token, ("ann/web", "old-1"), OCI_INDEX, &all, "an index").await;
    world.image(&token, "ann/web", "kept", "shared by two").await;
    // A signature as cosign tags it, which shares the layer of what it signs; one of a child that goes, which is signed itself; and one
    // of what stays.
    let signs = |body: &str| format!("{}.sig", sha256(body).to_string().replacen(':', "-", 1));
    let signature = image("{}", &["a signature", layers[0]]);
    for content in ["a signature", "of the signature", "of what stays"] {
        world.blob(&token, "ann/web", content).await;
    }
    for (tag, body) in [
        (signs(&all), signature.clone()),
        (signs(&signature), image("{}", &["of the signature"])),
        (signs(&children[2]), image("{}", &["of what stays"])),
    ] {
        world.manifest(&token, ("ann/web", &tag), OCI_MANIFEST, &body, "a signature").await;
    }
    for (subject, report) in [(&children[0], "a report"), (&children[2], "a report on what stays")] {
        world.blob(&token, "ann/web", report).await;
        let body = refers(report, subject);
        let digest = sha256(&body).to_string();
        world.manifest(&token, ("ann/web", &digest), OCI_MANIFEST, &body, "a report").await;
    }
    let going = [layers[0], layers[1], "a signature", "of the signature", "a report"];
    let going: usize = going.iter().map(|content| content.len()).sum();
    rules(&world, "web", &removes("old-*", &[])).await;
    let preview = format!("{}/retention/preview", path("web"));
    let told = world.sends("POST", &preview, &basic("ann"), &json!({})).await.expect(200).json();
    assert_eq!(told["bytes"], json!(going), "{told}");
    let before = world.look("SELECT COALESCE(SUM(size), 0) FROM blobs").await[0].parse::<u64>().unwrap();
    turn(&world.app, || true).await.unwrap();
    let mut freed = 0;
    // Each turn of the window takes what belonged to what went in the one before.
    for _ in 0..8 {
        world.pass(20 * DAY);
        freed += collects(&world).await["bytes"].as_u64().unwrap();
    }
    let mut stay = ["kept".to_owned(), "stays".to_owned(), signs(&children[2])];
    stay.sort();
    assert_eq!(tags(&world, "web").await, stay);
    let after = world.look("SELECT COALESCE(SUM(size), 0) FROM blobs").await[0].parse::<u64>().unwrap();
    assert_eq!((json!(freed), json!(before - after)), (told["bytes"].clone(), told["bytes"].clone()));
}

/// Two replicas collect the same garbage at once: each thing is looked at by one of them, goes once, and nothing else does.
#[tokio::test]
async fn two_replicas_share_what_is_to_be_collected() {
    let (world, second, _postgres) = two().await;
    let token = world.all_of("ann", "ann/web").await;
    world.image(&token, "ann/web", "kept", "kept").await;
    let mut size = 0;
    for number in 0..GARBAGE {
        // Nothing is shared: what is asked for twice would be looked at twice, by whichever replica.
        let contents = [format!("config {number}"), format!("layer {number}")];
        for content in &contents {
            world.blob(&token, "ann/web", content).await;
            size += content.len() as u64;
        }
        let body = image(&contents[0], &[&contents[1]]);
        let digest = world.manifest(&token, ("ann/web", &format!("t{number}")), OCI_MANIFEST, &body, "gone").await;
        world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&token).await.expect(202);
    }
    let mut sums = [Collected::default(); 2];
    // The links first, then the windows and what they kept, then the keys.
    for days in [3, 20, 20] {
        world.pass(days * DAY);
        pauses(&world, false).await;
        let now = world.now();
        let run = async |app: &Arc<App>| hallmark_gc::clean(&app.metadata, &app.blobs, now, || true).await.unwrap();
        let (one, other) = tokio::join!(run(&world.app), run(&second.app));
        for (sum, run) in sums.iter_mut().zip([one.collected, other.collected]) {
            sum.looked += run.looked;
            sum.purged += run.purged;
            sum.blobs += run.blobs;
            sum.bytes += run.bytes;
        }
    }
    let sum = |of: fn(&Collected) -> u64| sums.iter().map(of).sum::<u64>();
    assert_eq!((sum(|run| run.purged), sum(|run| run.blobs), sum(|run| run.bytes)), (GARBAGE, 2 * GARBAGE, size));
    // Each blob in its repository, twice in its account, which the trash keeps it in at first, and in the store; and the two that stay.
    assert_eq!(sum(|run| run.looked), 8 * GARBAGE + 2, "what one has claimed the other leaves: {sums:?}");
    assert!(sums.iter().all(|run| run.looked > 0), "one did everything: {sums:?}");
    let token = world.all_of("ann", "ann/web").await;
    assert_eq!(second.app.metadata.waiting(world.now()).await.unwrap().keys, (0, 0), "no key is left");
    world.get("/v2/ann/web/manifests/kept").by(&token).await.expect(200);
    world.get(&format!("/v2/ann/web/blobs/{}", sha256("kept"))).by(&token).await.expect(200);
}

/// What was paused on one replica rests on the other at once for whoever asks, and is seen by its metrics within a second.
#[tokio::test]
async fn a_pause_is_heard_by_another_replica() {
    let (first, second, _postgres) = two().await;
    for (paused, status) in [(true, 409), (false, 200)] {
        pauses(&first, paused).await;
        second.app.refresh().await.unwrap();
        assert_eq!(second.metrics().await.of("collector_paused"), f64::from(u8::from(paused)));
        second.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(status);
    }
}

/// A dry run tells what a run does, and changes nothing.
#[tokio::test]
async fn a_dry_run_says_what_goes_and_takes_nothing() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let gone = world.image(&token, "ann/web", "gone", "layer").await;
    world.image(&token, "ann/web", "kept", "kept").await;
    world.blob_in_a_file(&token, "ann/web", "that nothing names").await;
    world.delete(&format!("/v2/ann/web/manifests/{gone}")).by(&token).await.expect(202);
    let files = world.files();
    let runs = async || {
        // Somebody says that the clock is right, which is no part of either.
        pauses(&world, false).await;
        let before = world.rows().await;
        let told = world.sends("POST", "/gc/run", &admin(), &json!({"dry_run": true})).await.expect(200).json();
        assert_eq!(world.rows().await, before, "nothing has changed");
        let done = world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200).json();
        (told, done)
    };
    let same = |told: &Value, done: &Value, keys: &[&str]| {
        for key in keys {
            assert_eq!(told[key], done[key], "{key} of {told} and {done}");
        }
    };
    world.pass(3 * DAY);
    let (told, done) = runs().await;
    // The layer of the image, which the trash keeps in the account, and the blob; the configuration is named by what stays.
    assert_eq!((&told["links"], &told["bytes"], &told["purged"]), (&json!(2), &json!(18), &json!(0)), "{told}");
    same(&told, &done, &["links", "bytes", "purged", "manifests", "keys"]);
    assert_eq!(world.files(), files, "its bytes are kept for a while");
    world.pass(30 * DAY);
    let (told, done) = runs().await;
    assert_eq!((&told["purged"], &told["keys"]), (&json!(1), &json!(1)), "{told}");
    same(&told, &done, &["purged", "keys", "links", "manifests"]);
    assert_eq!(world.files(), files - 1);
    assert_eq!(done["bytes"], json!(5), "what the end of a window frees is told only of the run: {told}");
}

async fn holds(world: &World, by: &Credentials, digest: &str) {
    let hold = json!({"digest": digest, "kind": "pin", "reason": "x"});
    world.sends("POST", &format!("{}/holds", path("web")), by, &hold).await.expect(201);
    world.api("DELETE", &format!("{}/holds/{digest}/pin", path("web")), by).await.expect(204);
}

/// Each deed of the collector, and of those who undo or forbid it, is counted once.
#[tokio::test]
async fn what_is_collected_brought_back_and_held_is_counted() {
    let world = World::open().await;
    let (ann, token) = (basic("ann"), world.all_of("ann", "ann/web").await);
    let digest = world.image(&token, "ann/web", "a", "layer").await.to_string();
    holds(&world, &ann, &digest).await;
    let undelete = format!("{}/undelete", path("web"));
    for wish in [json!({"digest": digest}), json!({"tag": "a"})] {
        let reference = if wish["tag"].is_null() { digest.as_str() } else { "a" };
        world.delete(&format!("/v2/ann/web/manifests/{reference}")).by(&token).await.expect(202);
        world.sends("POST", &undelete, &ann, &wish).await.expect(200);
    }
    world.api("DELETE", &path("web"), &ann).await.expect(204);
    let wish = json!({"repository": "ann/web"});
    world.sends("POST", "/accounts/ann/undelete", &ann, &wish).await.expect(204);
    rules(&world, "web", &removes("*", &[])).await;
    turn(&world.app, || true).await.unwrap();
    // An index that is deleted leaves its child, a blob that nothing names a file, and an upload that nobody ends a key.
    world.blob(&token, "ann/web", "of the child").await;
    let child = image("{}", &["of the child"]);
    let digest = sha256(&child).to_string();
    world.manifest(&token, ("ann/web", &digest), OCI_MANIFEST, &child, "the child").await;
    let parent = world.manifest(&token, ("ann/web", "multi"), OCI_INDEX, &index(&[&child]), "the index").await;
    world.delete(&format!("/v2/ann/web/manifests/{parent}")).by(&token).await.expect(202);
    world.blob_in_a_file(&token, "ann/web", "file").await;
    let upload = world.post("/v2/ann/web/blobs/uploads/").by(&token).await.expect(202).location();
    world.patch(&upload).by(&token).body(vec![b'a'; 9_000]).await.expect(202);
    for _ in 0..6 {
        world.pass(20 * DAY);
        collects(&world).await;
    }
    let metrics = world.metrics().await;
    for (series, count) in [
        (r#"holds_total{change="placed",kind="pin"}"#, 1.0),
        (r#"holds_total{change="released",kind="pin"}"#, 1.0),
        (r#"undeleted_total{kind="manifest"}"#, 1.0),
        (r#"undeleted_total{kind="tag"}"#, 1.0),
        (r#"undeleted_total{kind="repository"}"#, 1.0),
        (r#"collected_total{kind="retired_manifest"}"#, 1.0),
        (r#"collected_total{kind="retired_tag"}"#, 1.0),
        (r#"collected_total{kind="manifest"}"#, 1.0),
        (r#"collected_total{kind="upload"}"#, 1.0),
        // The image, the index and its child.
        (r#"collected_total{kind="trash"}"#, 3.0),
        // The configuration, two layers and the file.
        (r#"collected_total{kind="link"}"#, 4.0),
        (r#"collected_total{kind="account_blob"}"#, 4.0),
        (r#"collected_total{kind="blob"}"#, 4.0),
        // Each blob has a key, also one whose bytes are with the facts, and so has the upload, whose key is deleted twice: somebody may
        // still have been writing to it.
        (r#"collected_total{kind="key"}"#, 6.0),
        ("collected_bytes_total", 23.0),
    ] {
        assert_eq!(metrics.of(series), count, "{series}");
    }
    let events = world.look("SELECT kind, COUNT(*) FROM events GROUP BY kind").await;
    for told in ["manifest_collected 1", "manifest_undeleted 1", "manifest_purged 3"] {
        assert!(events.iter().any(|event| event == told), "{told} is not in {events:?}");
    }
}
