//! What goes by rule, from the policy to the trash and back: the job's turns, by a clock that a test moves.

use std::cell::Cell;
use std::sync::Arc;

use hallmark::app::App;
use hallmark::retention::{Went, turn};
use hallmark_oci::Digest;
use hallmark_storage::metadata::{DatabaseConfig, Error};
use serde_json::{Value, json};

use super::{admin, basic};
use crate::harness::{Credentials, OCI_INDEX, OCI_MANIFEST, Postgres, World, descriptor, image, index};

pub(super) const DAY: i64 = 24 * 60 * 60;

pub(super) fn path(repository: &str) -> String {
    format!("/repositories/ann%2F{repository}")
}

/// Rules by which every tag goes that matches, with rules that keep.
pub(super) fn removes(tags: &str, keeps: &[(&str, Value)]) -> Value {
    let mut rules = vec![json!({"name": "old", "do": "remove", "when": {"tag": tags}})];
    rules.extend(keeps.iter().map(|(name, when)| json!({"name": name, "do": "keep", "when": when})));
    json!({"immutable": {"tags": ["release-*"]}, "retention": {"rules": rules}})
}

pub(super) async fn rules(world: &World, repository: &str, policy: &Value) {
    world.sends("PUT", &format!("{}/policy", path(repository)), &basic("ann"), policy).await.expect(200);
}

pub(super) async fn tags(world: &World, repository: &str) -> Vec<String> {
    let token = world.all_of("ann", &format!("ann/{repository}")).await;
    let list = world.get(&format!("/v2/ann/{repository}/tags/list")).by(&token).await.expect(200).json();
    list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

async fn status(world: &World, reference: impl std::fmt::Display) -> u16 {
    let token = world.all_of("ann", "ann/web").await;
    world.head(&format!("/v2/ann/web/manifests/{reference}")).by(&token).await.status.as_u16()
}

/// The tags with which manifests wait in the trash of `ann/web`, by digest.
async fn trash(world: &World) -> Vec<(String, Vec<Value>)> {
    let trash = world.api("GET", &format!("{}/trash", path("web")), &basic("ann")).await.expect(200).json();
    let told = |item: &Value| {
        let digest = item["digest"].as_str().unwrap().to_owned();
        (digest, item["tags"].as_array().cloned().unwrap_or_default())
    };
    trash["items"].as_array().unwrap().iter().map(told).collect()
}

async fn undeletes(world: &World, digest: &str) -> Value {
    let path = format!("{}/undelete", path("web"));
    world.sends("POST", &path, &basic("ann"), &json!({"digest": digest})).await.expect(200).json()
}

/// Lets the collector run now, by a clock that somebody looked at.
async fn collects(world: &World) {
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": false})).await.expect(200);
    world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200);
}

/// An index of two images; their digests, the index first.
async fn multi(world: &World, by: &Credentials, name: &str, references: [&str; 3]) -> [String; 3] {
    let layers = [format!("{name} amd64"), format!("{name} arm64")];
    world.blob(by, "ann/web", "{}").await;
    let mut bodies = Vec::new();
    let mut digests = Vec::new();
    for (layer, reference) in layers.iter().zip(&references[1..]) {
        world.blob(by, "ann/web", layer).await;
        let body = image("{}", &[layer]);
        let digest = Digest::of(hallmark_oci::Algorithm::Sha256, body.as_bytes()).to_string();
        let reference = if reference.is_empty() { digest.as_str() } else { *reference };
        world.manifest(by, ("ann/web", reference), OCI_MANIFEST, &body, layer).await;
        digests.push(digest);
        bodies.push(body);
    }
    let body = index(&[&bodies[0], &bodies[1]]);
    let parent = world.manifest(by, ("ann/web", references[0]), OCI_INDEX, &body, name).await.to_string();
    [parent, digests.remove(0), digests.remove(0)]
}

/// The job itself, as it runs in a server, from the policy to the trash and back.
#[tokio::test]
async fn what_rules_name_goes_and_what_is_kept_on_purpose_stays() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let gone = multi(&world, &token, "gone", ["multi-1", "", ""]).await;
    let back = multi(&world, &token, "back", ["multi-2", "arm-2", ""]).await;
    let held = world.image(&token, "ann/web", "held", "held").await.to_string();
    let hold = json!({"digest": held, "kind": "legal", "reason": "case 7"});
    world.sends("POST", &format!("{}/holds", path("web")), &basic("ann"), &hold).await.expect(201);
    world.image(&token, "ann/web", "release-1", "release").await;
    let signature = format!("{}.sig", back[0].replacen(':', "-", 1));
    world.image(&token, "ann/web", &signature, "signature").await;
    let about = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[],"subject":{}}}"#,
        descriptor("application/vnd.oci.image.config.v1+json", "{}"),
        descriptor(OCI_MANIFEST, &image("{}", &["gone amd64"])),
    );
    let report = Digest::of(hallmark_oci::Algorithm::Sha256, about.as_bytes()).to_string();
    world.manifest(&token, ("ann/web", &report), OCI_MANIFEST, &about, "report").await;
    world.pass(31 * DAY);
    let token = world.all_of("ann", "ann/web").await;
    world.image(&token, "ann/web", "fresh", "fresh").await;
    rules(&world, "web", &removes("*", &[("young", json!({"pushed_within_days": 30}))])).await;

    let jobs = world.jobs();
    jobs.until("a round", async || {
        !world.look("SELECT value FROM settings WHERE name = 'retention_run'").await.is_empty()
            && world
                .look("SELECT value FROM settings WHERE name = 'retention_run' AND value LIKE '% %'")
                .await
                .is_empty()
    })
    .await;
    jobs.stop().await;

    assert_eq!(tags(&world, "web").await, ["fresh", "release-1", signature.as_str()]);
    assert_eq!(status(&world, &held).await, 200, "a tag is no reason to keep, and a hold is");
    for digest in [&gone[0], &back[0], &back[1]] {
        assert_eq!(status(&world, digest).await, 404);
    }
    for digest in [&gone[1], &gone[2], &back[2], &report] {
        assert_eq!(status(&world, digest).await, 200, "what belongs to it goes when the collector comes");
    }
    let trash = trash(&world).await;
    for (digest, tag) in [(&gone[0], "multi-1"), (&back[0], "multi-2"), (&back[1], "arm-2")] {
        assert!(trash.contains(&(digest.clone(), vec![json!(tag)])), "{trash:?}");
    }
    let told = world
        .look("SELECT kind, subject, payload FROM events WHERE kind IN ('manifest_deleted', 'tag_deleted') ORDER BY id")
        .await;
    assert_eq!(
        told,
        [
            r#"manifest_deleted {gone} {"rule":"old","tags":["multi-1"]}"#,
            r#"manifest_deleted {back} {"rule":"old","tags":["multi-2"]}"#,
            r#"manifest_deleted {back amd64} {"rule":"old","tags":["arm-2"]}"#,
            r#"tag_deleted held {"digest":"{image of held}","rule":"old"}"#,
        ]
    );

    assert_eq!(undeletes(&world, &back[1]).await["tags"], json!(["arm-2"]));
    assert_eq!(undeletes(&world, &back[0]).await["tags"], json!(["multi-2"]));
    world.pass(3 * DAY);
    collects(&world).await;
    for digest in back.iter().chain([&held]) {
        assert_eq!(status(&world, digest).await, 200, "{digest}");
    }
    for digest in &gone {
        assert_eq!(status(&world, digest).await, 404, "{digest}");
    }
    assert_eq!(status(&world, &signature).await, 200, "what it signs is back");
}

/// Three repositories with three tags each, all of which go.
async fn nine(world: &World) {
    for repository in ["one", "two", "three"] {
        let token = world.all_of("ann", &format!("ann/{repository}")).await;
        for tag in ["a", "b", "c"] {
            world.image(&token, &format!("ann/{repository}"), tag, &format!("{repository} {tag}")).await;
        }
    }
}

async fn gone_by_rule(world: &World) -> Vec<String> {
    world.look("SELECT subject FROM events WHERE kind = 'manifest_deleted' ORDER BY subject").await
}

#[tokio::test]
async fn a_turn_takes_so_many_and_the_next_goes_on_where_it_ended_also_after_a_restart() {
    let mut world = World::with(|config| config.gc.retention_rate = 4).await;
    nine(&world).await;
    rules(&world, "two", &removes("*", &[])).await;
    world.sends("PUT", "/accounts/ann/policy", &basic("ann"), &removes("*", &[])).await.expect(200);
    // A manifest and its tag each.
    let two = Went { manifests: 2, tags: 2, through: false };
    for turns in 1..=4 {
        assert_eq!(turn(&world.app, || true).await.unwrap(), two, "turn {turns}");
        world = world.restarted().await;
    }
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { manifests: 1, tags: 1, through: true });
    let gone = gone_by_rule(&world).await;
    assert_eq!(gone.len(), 9, "each once: {gone:?}");
    let token = world.all_of("ann", "ann/one").await;
    world.image(&token, "ann/one", "d", "one d").await;
    world.pass(DAY - 1);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went::default(), "the next round begins a day later");
    world.pass(1);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { manifests: 1, tags: 1, through: true });
}

#[tokio::test]
async fn a_turn_ends_when_it_is_told_to_and_never_runs_where_that_is_said() {
    let world = World::open().await;
    nine(&world).await;
    world.sends("PUT", "/accounts/ann/policy", &basic("ann"), &removes("*", &[])).await.expect(200);
    let asked = Cell::new(0);
    let twice = || asked.replace(asked.get() + 1) < FIRST + 1;
    assert_eq!(turn(&world.app, twice).await.unwrap(), Went { manifests: 1, tags: 1, through: false });
    let mut config = world.app.config.clone();
    config.gc.retention_interval = std::time::Duration::ZERO;
    world.app.metadata.close().await;
    let never = App::open(config, world.app.clock.clone()).await.unwrap();
    assert_eq!(turn(&never, || true).await.unwrap(), Went::default());
    assert_eq!(gone_by_rule(&world).await.len(), 1);
}

/// What comes after the decision and before the deed: asked once before each repository and before each victim.
/// How often a turn asks whether it goes on before it does so for the first victim of a small repository: before the repository, and
/// behind its manifests and its tags.
pub(super) const FIRST: u32 = 3;

/// A turn beside which somebody runs a statement, right before this victim.
pub(super) async fn while_it_runs(world: &World, nth: u32, statement: &str) -> Went {
    let asked = Cell::new(0);
    let goes_on = || {
        if asked.replace(asked.get() + 1) == FIRST + nth - 1 {
            world.meddle_at_once(statement);
        }
        true
    };
    turn(&world.app, goes_on).await.unwrap()
}

#[tokio::test]
async fn rules_that_change_while_they_are_applied_hold_at_once() {
    for statement in
        ["UPDATE repositories SET policy = NULL", r#"UPDATE accounts SET policy = '{"immutable": {"tags": ["*"]}}'"#]
    {
        let world = World::open().await;
        let token = world.all_of("ann", "ann/web").await;
        for tag in ["a", "b", "c"] {
            world.image(&token, "ann/web", tag, tag).await;
        }
        rules(&world, "web", &removes("*", &[])).await;
        let went = while_it_runs(&world, 2, statement).await;
        assert_eq!(went, Went { manifests: 1, tags: 1, through: true }, "the first was taken before: {statement}");
        assert_eq!(tags(&world, "web").await.len(), 2);
    }
}

#[tokio::test]
async fn a_hold_that_is_placed_while_rules_are_applied_holds_at_once() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    for tag in ["a", "b", "c"] {
        world.image(&token, "ann/web", tag, tag).await;
    }
    rules(&world, "web", &removes("*", &[])).await;
    let hold = "INSERT INTO holds (repository_id, manifest_id, kind, placed_by, reason, placed_at)
        SELECT repository_id, manifest_id, 'pin', 'ann', 'x', 1 FROM tags";
    assert_eq!(while_it_runs(&world, 2, hold).await, Went { manifests: 1, tags: 3, through: true });
    assert_eq!(world.look("SELECT COUNT(*) FROM manifests").await, ["2"], "two are held");
}

/// Two replicas on one PostgreSQL, with nine tags that go.
async fn two() -> (Postgres, World, Arc<App>) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let world = World::with(|config| {
        config.database = database;
        config.gc.retention_rate = 4;
    })
    .await;
    let second = App::open(world.app.config.clone(), world.app.clock.clone()).await.unwrap();
    nine(&world).await;
    world.sends("PUT", "/accounts/ann/policy", &basic("ann"), &removes("*", &[])).await.expect(200);
    (postgres, world, second)
}

#[tokio::test]
async fn of_two_replicas_one_goes_on_and_what_one_that_died_left_is_gone_on_with() {
    let (_postgres, world, second) = two().await;
    let lease = format!("another {}", world.now() + 60_000);
    let held: Result<(), Error> =
        second.metadata.write(lease, |tx, lease| Box::pin(tx.set_setting("retention_lease", Some(lease)))).await;
    held.unwrap();
    assert_eq!(turn(&second, || true).await.unwrap(), Went::default(), "another may be at it");
    world.pass(61);
    let (mut manifests, mut through) = (0, 0);
    for _ in 0..6 {
        let (one, other) = tokio::join!(turn(&world.app, || true), turn(&second, || true));
        for went in [one.unwrap(), other.unwrap()] {
            manifests += went.manifests;
            through += u32::from(went.through);
        }
    }
    assert_eq!((manifests, through), (9, 1), "each went once, and the round ended once");
    for repository in ["one", "two", "three"] {
        assert_eq!(tags(&world, repository).await, [""; 0]);
    }
    second.metadata.close().await;
}
