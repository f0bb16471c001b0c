//! What the operator types, and what it leaves in the database. How each verb looks over HTTP is for `conformance`.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{World, sha256};

/// How long the program may take to answer its first verb.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The program on a data folder, with nothing of the surroundings.
fn hallmark(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().args(words).arg("--data").arg(data);
    command
}

/// A program that serves a folder; it is killed with the value.
struct Served {
    child: Child,
}

impl Served {
    fn start(data: &Path) -> Self {
        let mut serve = hallmark(data, &["serve", "--listen", "127.0.0.1:0"]);
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut served = Self { child };
        let begin = Instant::now();
        while !hallmark(data, &["readonly", "status"]).output().unwrap().status.success() {
            assert!(served.child.try_wait().unwrap().is_none(), "the program ended before it served");
            assert!(begin.elapsed() < START_LIMIT, "the program does not answer");
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_deleted_repository_leaves_an_event_and_nothing_else() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    world.app.metadata.close().await;
    let before = world.events().await.len();

    let served = Served::start(world.data());
    let verb = |words: &[&str]| said(&hallmark(world.data(), words).output().unwrap());
    let deleted = verb(&["repository", "delete", "ann/app"]);
    assert_eq!(deleted, (Some(0), "ann/app is deleted; its name is free\n".to_owned(), String::new()));
    let again = verb(&["repository", "delete", "ann/app"]);
    let told = "hallmark: there is no repository \"ann/app\": `hallmark repository list` shows them\n";
    assert_eq!(again, (Some(1), String::new(), told.to_owned()));
    let malformed = verb(&["repository", "delete", "Ann/app"]);
    assert_eq!(malformed.0, Some(1), "{malformed:?}");
    drop(served);

    assert_eq!(world.events().await[before..], ["repository_deleted ann/app"]);
    let event = "SELECT e.actor_id, u.name FROM events e JOIN users u ON u.account_id = e.account_id
        WHERE e.kind = 'repository_deleted'";
    assert_eq!(world.look(event).await, ["0 ann"]);
    for table in ["repositories", "manifests", "tags", "tag_history", "repository_blobs", "uploads"] {
        assert_eq!(world.look(&format!("SELECT COUNT(*) FROM {table}")).await, ["0"], "{table}");
    }

    let world = world.restarted().await;
    world.get("/v2/ann/app/manifests/1").by(&ann).await.expect(404);
    world.get(&format!("/v2/ann/app/blobs/{}", sha256("layer"))).by(&ann).await.expect(404);
    world.get(&upload).by(&ann).await.expect(404);
    world.image(&ann, "ann/app", "2", "other").await;
    assert_eq!(world.get("/v2/ann/app/tags/list").by(&ann).await.json()["tags"], serde_json::json!(["2"]));
}
