//! I5 and I8 at the door: a change and its event are one, and a GET leaves every row as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};

use hallmark::trust::tuf;
use hallmark_oci::Digest;

use crate::harness::{ARTIFACT, Answer, Credentials, OCI_MANIFEST, PASSWORD, World, descriptor, image, sha256};
use crate::signing::notary::{Client, GUN, server_keys, tuf as files_of};

/// Lets no event be written down.
const NO_EVENTS: &str = "CREATE TRIGGER no_events BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no events'); END";
/// The tables whose rows are state that a client or an operator asks for, and the events.
const STATE: [&str; 9] = [
    "repositories",
    "manifests",
    "tags",
    "tag_history",
    "blobs",
    "repository_blobs",
    "settings",
    "token_keys",
    "events",
];

/// A world with an image, a blob that nothing names, an upload that waits for its end, and who may do all there.
async fn world() -> (World, Credentials, Digest, String) {
    let world = World::open().await;
    let ann = world.token("ann", "repository:ann/app:* repository:ann/new:* repository:ann/other:*").await;
    let manifest = world.image(&ann, "ann/app", "1", "layer").await;
    world.blob(&ann, "ann/app", "loose").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    (world, ann, manifest, upload)
}

/// Every change that a request makes with its event, as method, path and body.
fn changes(manifest: &Digest, upload: &str) -> Vec<(&'static str, String, String)> {
    let (loose, whole) = (sha256("loose"), sha256("whole"));
    let of = |method, path: String, body: &str| (method, path, body.to_owned());
    vec![
        of("PUT", "/v2/ann/app/manifests/2".into(), &image("{}", &["layer"])),
        of("PUT", format!("/v2/ann/app/manifests/{}", sha256(image("{}", &[]))), &image("{}", &[])),
        of("POST", "/v2/ann/new/blobs/uploads/".into(), ""),
        of("POST", format!("/v2/ann/new/blobs/uploads/?digest={whole}"), "whole"),
        of("POST", format!("/v2/ann/other/blobs/uploads/?mount={loose}&from=ann/app"), ""),
        of("PUT", format!("{upload}?digest={}", sha256("0123456789")), ""),
        of("DELETE", "/v2/ann/app/manifests/1".into(), ""),
        of("DELETE", format!("/v2/ann/app/manifests/{manifest}"), ""),
        of("DELETE", format!("/v2/ann/app/blobs/{loose}"), ""),
    ]
}

async fn state(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut rows = world.rows().await;
    rows.retain(|table, _| STATE.contains(&table.as_str()));
    rows
}

/// I5: where the event cannot be written, the state stays as it was.
#[tokio::test]
async fn i5_a_change_whose_event_fails_does_not_happen() {
    let (world, ann, manifest, upload) = world().await;
    let before = state(&world).await;
    world.meddle(NO_EVENTS).await;
    for (method, path, body) in changes(&manifest, &upload) {
        let answer = world.call(method, &path).by(&ann).header("content-type", OCI_MANIFEST).body(body).await;
        assert_eq!(answer.gist(), (500, "UNKNOWN".into()), "{method} {path}");
        assert_eq!(state(&world).await, before, "{method} {path}");
        world.pass(60);
    }
    world.app.set_readonly(true).await.unwrap_err();
    world.app.rotate_token_keys().await.unwrap_err();
    assert_eq!(state(&world).await, before);
    assert!(!world.app.is_readonly());
    world.meddle("DROP TRIGGER no_events").await;
}

/// I5, for collections of Notary's: what is published, deleted and given a new key is told, or does not happen. What the signer did has
/// a log of its own.
#[tokio::test]
async fn i5_a_change_of_trust_whose_event_fails_does_not_happen() {
    let world = World::open().await;
    let (ann, by) = (world.all_of("ann", "ann/web").await, Credentials::basic("ann", PASSWORD));
    world.image(&ann, "ann/web", "1", "layer").await;
    let (client, keys, trust) = (Client::new(), server_keys(&world).await, files_of(GUN));
    let is_refused = async |what: &str, change: Pin<Box<dyn Future<Output = Answer> + '_>>| {
        let state = async || {
            let mut rows = world.rows().await;
            rows.retain(|table, _| !table.starts_with("signer"));
            rows
        };
        world.meddle(NO_EVENTS).await;
        let before = state().await;
        assert_eq!(change.await.status, 500, "{what}");
        assert_eq!(state().await, before, "{what}");
        world.meddle("DROP TRIGGER no_events").await;
    };
    let spin = async || world.post(&format!("{trust}timestamp.key")).by(&by).await;
    let drop_all = async || world.delete(&trust).by(&by).await;
    for version in 1..=2 {
        is_refused("a publish", Box::pin(client.publish(&world, &keys, version))).await;
        client.publish(&world, &keys, version).await.expect(200);
    }
    is_refused("another key", Box::pin(spin())).await;
    spin().await.expect(200);
    is_refused("a deletion", Box::pin(drop_all())).await;
    drop_all().await.expect(200);
    let told = world.look("SELECT kind, subject FROM events WHERE kind LIKE 'trust%' ORDER BY id").await;
    let kinds = ["trust_published", "trust_published", "trust_key_asked_for", "trust_deleted"];
    assert_eq!(told, kinds.map(|kind| format!("{kind} {GUN}")));
}

/// I5: where the state cannot be written, no event tells of it.
#[tokio::test]
async fn i5_a_change_that_fails_leaves_no_event() {
    let (world, ann, manifest, upload) = world().await;
    let before = state(&world).await;
    let refusals = [
        ("tags", "INSERT"),
        ("tags", "DELETE"),
        ("manifests", "DELETE"),
        ("blobs", "INSERT"),
        ("uploads", "INSERT"),
        ("repository_blobs", "INSERT"),
        ("repository_blobs", "DELETE"),
        ("settings", "INSERT"),
        ("token_keys", "INSERT"),
        ("manifests", "INSERT"),
    ];
    for (table, change) in refusals {
        let trigger = format!(
            "CREATE TRIGGER no_{table}_{change} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        world.meddle(&trigger).await;
    }
    for (method, path, body) in changes(&manifest, &upload) {
        let answer = world.call(method, &path).by(&ann).header("content-type", OCI_MANIFEST).body(body).await;
        assert_eq!(answer.gist(), (500, "UNKNOWN".into()), "{method} {path}");
        assert_eq!(state(&world).await, before, "{method} {path}");
        world.pass(60);
    }
    world.app.set_readonly(true).await.unwrap_err();
    world.app.rotate_token_keys().await.unwrap_err();
    assert_eq!(state(&world).await, before);
}

/// I2: bytes before facts on the way in, facts before bytes on the way out. That every row has its bytes and every file its row is
/// looked at once more when the world ends.
#[tokio::test]
async fn i2_no_fact_points_to_bytes_that_are_not_there() {
    let (world, ann, manifest, upload) = world().await;
    let blob = world.blob_in_a_file(&ann, "ann/app", "in a file").await;
    let owners = "SELECT storage_key FROM blobs UNION ALL SELECT storage_key FROM uploads
        UNION ALL SELECT storage_key FROM key_deletions";
    let large = "y".repeat(200_000);
    // Bytes first: while they come no blob is told of, and a PUT whose digest is another's leaves none.
    world.patch(&upload).by(&ann).body(large.clone()).await.expect(202);
    let wrong = format!("{upload}?digest={}", sha256("another"));
    world.put(&wrong).by(&ann).await.expect(400);
    world.head(&format!("/v2/ann/app/blobs/{}", sha256(format!("0123456789{large}")))).by(&ann).await.expect(404);
    // Facts first: what is deleted is not found from that moment on, and its bytes go later.
    world.delete(&format!("/v2/ann/app/blobs/{blob}")).by(&ann).await.expect(202);
    world.head(&format!("/v2/ann/app/blobs/{blob}")).by(&ann).await.expect(404);
    assert!(world.files() >= 1, "its bytes are still there");
    world.pass(40 * 24 * 60 * 60);
    // The bytes wait for the COMMIT of the facts' end: where that fails, neither facts nor bytes are gone.
    world.meddle("CREATE TABLE nowhere (id INTEGER REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED)").await;
    world
        .meddle("CREATE TRIGGER nowhere AFTER INSERT ON key_deletions BEGIN INSERT INTO nowhere VALUES (-1); END")
        .await;
    let facts = "SELECT storage_key FROM blobs UNION ALL SELECT storage_key FROM uploads";
    let keys = world.look(facts).await;
    let told = async || {
        let owned = |path: &PathBuf| keys.iter().any(|key| path.ends_with(key));
        (world.look(facts).await, world.paths().into_iter().filter(owned).collect::<Vec<_>>())
    };
    let before = told().await;
    assert!(!before.1.is_empty(), "there are bytes that could go too early");
    hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap_err();
    assert_eq!(told().await, before);
    world.meddle("DROP TRIGGER nowhere").await;
    world.meddle("DROP TABLE nowhere").await;
    for _ in 0..3 {
        hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    }
    assert_eq!(world.look("SELECT digest FROM blobs").await.iter().filter(|row| row.contains(blob.hex())).count(), 0);
    let owned = world.look(owners).await;
    assert!(world.files() <= owned.len(), "every file has a row that owns it");
    let ann = world.all_of("ann", "ann/app").await;
    world.get(&format!("/v2/ann/app/manifests/{manifest}")).by(&ann).await.expect(200);
}

/// I5: what the operator changes is remembered as well.
#[tokio::test]
async fn i5_an_operators_change_is_recorded() {
    let world = World::open().await;
    world.app.set_readonly(true).await.unwrap();
    world.app.set_readonly(false).await.unwrap();
    let kid = world.app.rotate_token_keys().await.unwrap();
    world.show_as(&kid, "new key");
    let recorded =
        world.look("SELECT kind, subject, actor_id FROM events WHERE kind NOT LIKE 'user%' ORDER BY id").await;
    let expected = ["readonly_began readonly 0", "readonly_ended readonly 0", "token_key_added {new key} 0"];
    assert_eq!(recorded[1..], expected, "after the key of the first start");
}

/// A server of its own on the data folder of a closed world, killed when it is dropped.
struct Served<'w> {
    world: &'w World,
    server: Child,
}

impl<'w> Served<'w> {
    fn on(world: &'w World) -> Self {
        let mut serve = command(world, &["serve", "--listen", "127.0.0.1:0"]);
        Self { world, server: serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() }
    }

    /// Runs a command until the server answers, which it may not do yet when it was just started.
    fn answers(&self, arguments: &[&str]) {
        let mut tries = (0..1_000).map(|_| command(self.world, arguments).output().unwrap());
        let answered = tries.find(|done| done.status.code() != Some(3)).expect("the server starts");
        assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().args(arguments).arg("--data").arg(world.data());
    command
}

/// I5, as the operator types it.
#[tokio::test]
async fn i5_who_may_pull_is_changed_with_an_event_that_tells_it() {
    let (world, ..) = world().await;
    world.app.metadata.close().await;
    let served = Served::on(&world);
    for word in ["public", "private"] {
        served.answers(&["repository", word, "ann/app"]);
    }
    let query = "SELECT e.kind, e.subject, r.name, a.name FROM events e
        JOIN repositories r ON r.id = e.repository_id JOIN accounts a ON a.id = e.account_id
        WHERE e.actor_id = 0 ORDER BY e.id";
    let recorded = world.look(query).await;
    assert_eq!(recorded, ["repository_published ann/app ann/app ann", "repository_hidden ann/app ann/app ann"]);
}

/// I8, for every operation that is read with GET or HEAD, found and not found, and every path beside the API.
#[tokio::test]
async fn i8_a_get_leaves_every_row_as_it_was() {
    let (world, ann, manifest, upload) = world().await;
    let about = image("{}", &[]).replace(
        ",\"config\"",
        &format!(",\"artifactType\":\"{ARTIFACT}\",\"subject\":{},\"config\"", descriptor(OCI_MANIFEST, "absent")),
    );
    world.manifest(&ann, ("ann/app", "about"), OCI_MANIFEST, &about, "about").await;
    let admin = Credentials::basic("admin", PASSWORD);
    world.get("/v2/_catalog").by(&admin).await.expect(200);
    let layer = sha256("layer");
    let paths = [
        "/v2/".to_owned(),
        "/v2/_catalog".into(),
        "/v2/_catalog?n=1".into(),
        "/v2/ann/app/manifests/1".into(),
        format!("/v2/ann/app/manifests/{manifest}"),
        "/v2/ann/app/manifests/none".into(),
        "/v2/ann/none/manifests/1".into(),
        format!("/v2/ann/app/blobs/{layer}"),
        format!("/v2/ann/app/blobs/{}", sha256("absent")),
        upload,
        "/v2/ann/app/tags/list".into(),
        "/v2/ann/app/tags/list?n=1&last=1".into(),
        format!("/v2/ann/app/referrers/{}", sha256("absent")),
        format!("/v2/ann/app/referrers/{manifest}?artifactType=x"),
        "/token?service=hallmark&scope=repository:ann/app:pull".into(),
        "/.well-known/jwks.json".into(),
        "/metrics".into(),
        "/livez".into(),
        "/readyz".into(),
        "/v2/ann/app/nothing".into(),
    ];
    let before = world.rows().await;
    for path in &paths {
        for (method, by) in [("GET", &ann), ("HEAD", &ann), ("GET", &admin), ("GET", &Credentials::none())] {
            let answer = world.call(method, path).by(by).header("range", "bytes=1-2").await;
            assert!(answer.status.as_u16() < 500, "{method} {path}: {answer}");
            assert_eq!(world.rows().await, before, "{method} {path}");
        }
    }
}

/// I8, for what is signed: also where it has expired and nobody renews it, a read waits for the job and signs nothing itself.
/// (`GET …/snapshot.key` is no read: it makes the key, as Notary has it.)
#[tokio::test]
async fn i8_a_read_of_what_has_expired_signs_nothing() {
    let world = World::open().await;
    let by = Credentials::basic("ann", PASSWORD);
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    let signature = serde_json::json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &by, &signature).await.expect(201);
    let file = serde_json::json!({"content": "cHVibGlj"});
    world.sends("PUT", "/trust/files/key.pem", &Credentials::basic("admin", PASSWORD), &file).await.expect(200);
    let keys = server_keys(&world).await;
    Client::new().publish(&world, &keys, 1).await.expect(200);
    while tuf::follow(&world.app).await.unwrap() | tuf::renew_due(&world.app).await.unwrap() {}
    let trust = files_of(GUN);
    let expired = [format!("{trust}timestamp.json"), "/tuf/ann/web/timestamp.json".to_owned()];
    let paths = [
        format!("{trust}root.json"),
        format!("{trust}1.root.json"),
        format!("{trust}targets.json"),
        format!("{trust}snapshot.json"),
        format!("{trust}targets/none.json"),
        format!("/v2/{GUN}/_trust/changefeed?change_id=0&records=5"),
        "/v2/_trust/changefeed?change_id=0&records=5".to_owned(),
        "/tuf/ann/web/1.root.json".to_owned(),
        "/tuf/ann/web/9.root.json".to_owned(),
        "/tuf/ann/web/1.snapshot.json".to_owned(),
        "/tuf/timestamp.json".to_owned(),
        "/tuf/1.root.json".to_owned(),
        "/_notary_server/health".to_owned(),
    ];
    for path in &expired {
        world.get(path).by(&by).await.expect(200);
    }
    // Three weeks in which no job has run.
    world.pass(21 * 24 * 60 * 60);
    let before = world.rows().await;
    assert!(before["signer_log"].len() >= 4, "both dialects are signed");
    for path in &paths {
        for method in ["GET", "HEAD"] {
            let answer = world.call(method, path).by(&by).await;
            assert!(answer.status.as_u16() < 500, "{method} {path}: {answer}");
            assert_eq!(world.rows().await, before, "{method} {path}");
        }
    }
    let [notary, own] = &expired;
    let waited = tokio::join!(async { world.get(notary).by(&by).await }, async { world.get(own).by(&by).await });
    for answer in [waited.0, waited.1] {
        assert_eq!(answer.status, 503, "{answer}");
        answer.header("retry-after");
    }
    assert_eq!(world.rows().await, before, "what has expired is signed by the job alone");
}
