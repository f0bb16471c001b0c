//! The registry as one of the signers of a collection: what is vouched for stands where the owner has named its key, and nowhere else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark::trust::tuf;
use hallmark_oci::Digest;
use hallmark_signer::notary::KeyDocument;
use serde_json::{Value, json};

use crate::harness::{Answer, Credentials, PASSWORD, World};
use crate::signing::Site;
use crate::signing::notary::{Client, GUN, form, server_keys, tuf as collection};

const OWN: &str = "targets/hallmark";
const ANN: &str = "targets/ann";
const RELEASES: &str = "targets/releases";
const EXPIRES: &str = "2030-01-01T00:00:00Z";
const KEY: &str = "/repositories/ann%2Fweb/signing-key";
const SIGNATURES: &str = "/repositories/ann%2Fweb/signatures";

fn ann() -> Credentials {
    Credentials::basic("ann", PASSWORD)
}

async fn follow(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}

/// Asks for the key of `ann/web`.
async fn asked(world: &World, sent: Value) -> KeyDocument {
    let given = world.sends("POST", KEY, &ann(), &sent).await.expect(201).json();
    let pem: String = given["key"].as_str().unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    let key = KeyDocument::of("ecdsa", &STANDARD.decode(pem).unwrap());
    assert_eq!(given["id"], json!(key.id()));
    key
}

/// A collection of `ann/web`, whose owner has made the registry and herself signers.
struct Owner {
    client: Client,
    server: [(&'static str, KeyDocument); 2],
    given: KeyDocument,
}

impl Owner {
    async fn begin(world: &World) -> Self {
        // The repository is there before anything asks for its key.
        world.image(&world.all_of("ann", "ann/web").await, "ann/web", "0", "nothing").await;
        let owner =
            Self { client: Client::new(), server: server_keys(world).await, given: asked(world, json!({})).await };
        owner.publish(world, &owner.files(1, &[&owner.given])).await.expect(200);
        owner
    }

    /// Root and targets of this version, which name these keys of the registry.
    fn files(&self, version: u64, keys: &[&KeyDocument]) -> Vec<(&'static str, String)> {
        let mut files = self.client.files(&self.server, 1);
        let own = self.client.key();
        let ids: Vec<String> = keys.iter().map(|key| key.id()).collect();
        let all: Vec<String> = ids.iter().cloned().chain([own.id()]).collect();
        let role = |name: &str, ids: &[String]| json!({"name": name, "keyids": ids, "threshold": 1, "paths": [""]});
        let documents: serde_json::Map<_, _> =
            keys.iter().copied().chain([own]).map(|key| (key.id(), json!(key))).collect();
        let targets = json!({
            "_type": "Targets", "expires": EXPIRES, "version": version, "targets": {},
            "delegations": {"keys": documents, "roles": [role(OWN, &ids), role(ANN, &all[ids.len()..]), role(RELEASES, &all)]},
        });
        files[1].1 = self.client.seals("targets", &targets);
        if version > 1 {
            files.remove(0);
        }
        files
    }

    /// A delegation by ann's own key.
    fn of_ann(&self, role: &'static str, version: u64, targets: &Value) -> (&'static str, String) {
        let signed = json!({
            "_type": "Targets", "expires": EXPIRES, "version": version, "targets": targets,
            "delegations": {"keys": {}, "roles": []},
        });
        (role, self.client.seals("targets", &signed))
    }

    async fn publish(&self, world: &World, files: &[(&str, String)]) -> Answer {
        publish_to(world, GUN, files).await
    }
}

async fn publish_to(world: &World, gun: &str, files: &[(&str, String)]) -> Answer {
    let kind = "multipart/form-data; boundary=edge";
    world.post(&collection(gun)).by(&ann()).header("content-type", kind).body(form(files)).await
}

async fn sign(world: &World, tag: &str, layer: &str) -> Digest {
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", tag, layer).await;
    let document = json!({"tag": tag, "digest": digest});
    world.sends("POST", SIGNATURES, &ann(), &document).await.expect(201);
    digest
}

async fn withdraw(world: &World, tag: &str) {
    world.api("DELETE", &format!("{SIGNATURES}/{tag}"), &ann()).await.expect(204);
}

/// What a delegation says: each tag with its digest in base64, and its version; nothing where it has no file.
async fn says(world: &World, role: &str) -> (Vec<(String, String)>, u64) {
    let answer = Client::file(world, role).await;
    if answer.status == 404 {
        return (Vec::new(), 0);
    }
    let signed = answer.expect(200).json()["signed"].take();
    let sum = |target: &Value| target["hashes"]["sha256"].as_str().unwrap().to_owned();
    let targets = signed["targets"].as_object().unwrap().iter().map(|(tag, target)| (tag.clone(), sum(target)));
    (targets.collect(), signed["version"].as_u64().unwrap())
}

async fn tags(world: &World, role: &str) -> Vec<String> {
    says(world, role).await.0.into_iter().map(|(tag, _)| tag).collect()
}

fn sum(digest: &Digest) -> String {
    let hex = digest.hex();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    STANDARD.encode((0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>())
}

#[tokio::test]
async fn what_is_vouched_for_stands_where_the_key_is_named_and_leaves_when_it_is_not() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    let (one, two) = (sign(&world, "1", "one").await, sign(&world, "2", "two").await);
    follow(&world).await;
    let both = vec![("1".to_owned(), sum(&one)), ("2".to_owned(), sum(&two))];
    assert_eq!(says(&world, OWN).await, (both.clone(), 1));
    assert_eq!(says(&world, RELEASES).await, (both, 1));
    let snapshot = Client::file(&world, "snapshot").await.expect(200).json();
    for role in [OWN, RELEASES] {
        let file = Client::file(&world, role).await.expect(200);
        assert_eq!(snapshot["signed"]["meta"][role]["length"], json!(file.body.len()), "{role}");
        assert_eq!(file.json()["signatures"][0]["keyid"], json!(owner.given.id()), "{role}");
    }
    // Beside what somebody else has released, until it moves or is withdrawn.
    let theirs = json!({"a": {"hashes": {"sha256": sum(&one)}, "length": 1}, "1": {"hashes": {"sha256": sum(&one)}, "length": 7}});
    owner.publish(&world, &[owner.of_ann(RELEASES, 2, &theirs)]).await.expect(200);
    world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "moved").await;
    follow(&world).await;
    assert_eq!(
        (tags(&world, OWN).await, tags(&world, RELEASES).await),
        (vec!["2".to_owned()], vec!["1".to_owned(), "a".to_owned()])
    );
    withdraw(&world, "2").await;
    follow(&world).await;
    assert_eq!((tags(&world, OWN).await, says(&world, OWN).await.1), (Vec::new(), 3));
    // There is nothing more to do, however often it is looked.
    let events = world.count_events().await;
    for _ in 0..3 {
        world.pass(100);
        follow(&world).await;
    }
    assert_eq!(world.count_events().await, events);
    let log = world.look("SELECT DISTINCT caller FROM signer_log WHERE role = 'targets/hallmark'").await;
    assert_eq!(log, ["publisher"]);
}

#[tokio::test]
async fn nothing_is_signed_where_no_key_that_was_given_is_named() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    let next = asked(&world, json!({"next": true})).await;
    assert_eq!(next, owner.given, "it has not signed yet");
    owner.publish(&world, &owner.files(2, &[])).await.expect(200);
    sign(&world, "1", "one").await;
    follow(&world).await;
    assert_eq!((tags(&world, OWN).await, tags(&world, RELEASES).await), (Vec::new(), Vec::new()));
    // As soon as it is named, what was vouched for before stands there too.
    owner.publish(&world, &owner.files(3, &[&owner.given])).await.expect(200);
    follow(&world).await;
    assert_eq!(tags(&world, RELEASES).await, ["1"]);
    // Another key takes its place, and what was given to nobody signs nothing.
    let next = asked(&world, json!({"next": true})).await;
    assert_ne!(next, owner.given);
    assert_eq!(asked(&world, json!({})).await, next, "the newest");
    owner.publish(&world, &owner.files(4, &[&owner.given, &next])).await.expect(200);
    follow(&world).await;
    assert_eq!(Client::file(&world, OWN).await.json()["signatures"].as_array().unwrap().len(), 2);
    owner.publish(&world, &owner.files(5, &[&next])).await.expect(200);
    withdraw(&world, "1").await;
    follow(&world).await;
    assert_eq!((tags(&world, OWN).await, tags(&world, RELEASES).await), (Vec::new(), Vec::new()));
    world.meddle("UPDATE signing_keys SET taken_at = 1").await;
    sign(&world, "2", "two").await;
    follow(&world).await;
    assert_eq!(tags(&world, OWN).await, [""; 0]);
}

#[tokio::test]
async fn what_the_registry_has_signed_is_published_by_nobody_else() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    sign(&world, "1", "one").await;
    follow(&world).await;
    let text = |answer: Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    let (own, released) = (text(Client::file(&world, OWN).await), text(Client::file(&world, RELEASES).await));
    withdraw(&world, "1").await;
    follow(&world).await;
    // Whoever may sign begins the collection anew, and brings back what stood there before.
    world.delete(&collection(GUN)).by(&ann()).await.expect(200);
    let owner = Owner { server: server_keys(&world).await, ..owner };
    owner.publish(&world, &owner.files(1, &[&owner.given])).await.expect(200);
    for (role, file, why) in [
        (OWN, &own, "publishes what needs its keys by itself"),
        (RELEASES, &released, "0 valid signatures"),
        (RELEASES, &own, "0 valid"),
    ] {
        let answer = owner.publish(&world, &[(role, file.clone())]).await;
        assert_eq!(answer.gist(), (400, "INVALID_UPDATE".to_owned()), "{role}: {answer}");
        assert!(answer.to_string().contains(why), "{role}: {answer}");
    }
    follow(&world).await;
    assert_eq!((tags(&world, OWN).await, tags(&world, RELEASES).await), (Vec::new(), Vec::new()));
    owner.publish(&world, &[owner.of_ann(RELEASES, 1, &json!({}))]).await.expect(200);
}

#[tokio::test]
async fn what_was_signed_for_one_repository_is_published_in_no_other_that_names_its_key() {
    const OTHER: &str = "registry.test/ann/other";
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    sign(&world, "1", "one").await;
    follow(&world).await;
    let own = String::from_utf8(Client::file(&world, OWN).await.body.to_vec()).unwrap();
    let mut server = Vec::new();
    for role in ["snapshot", "timestamp"] {
        let answer = world.get(&format!("{}{role}.key", collection(OTHER))).by(&ann()).await.expect(200);
        server.push((role, serde_json::from_slice(&answer.body).unwrap()));
    }
    let server = server.try_into().unwrap();
    let other = Owner { client: Client::of(OTHER), server, given: owner.given.clone() };
    publish_to(&world, OTHER, &other.files(1, &[&owner.given])).await.expect(200);
    for role in [OWN, RELEASES] {
        let answer = publish_to(&world, OTHER, &[(role, own.clone())]).await;
        assert_eq!(answer.gist(), (400, "INVALID_UPDATE".to_owned()), "{role}: {answer}");
    }
    publish_to(&world, OTHER, &[other.of_ann(RELEASES, 1, &json!({}))]).await.expect(200);
}

#[tokio::test]
async fn a_collection_that_was_deleted_and_one_of_another_name_are_left_alone() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    sign(&world, "1", "one").await;
    world.delete(&collection(GUN)).by(&ann()).await.expect(200);
    follow(&world).await;
    assert_eq!(Client::file(&world, OWN).await.status, 404);
    let owner = Owner { server: server_keys(&world).await, ..owner };
    owner.publish(&world, &owner.files(1, &[&owner.given])).await.expect(200);
    follow(&world).await;
    assert_eq!(tags(&world, RELEASES).await, ["1"], "the key stays the repository's");
    let renamed = json!({"name": "ann/site"});
    world.sends("PATCH", "/repositories/ann%2Fweb", &ann(), &renamed).await.expect(200);
    let digest = world.image(&world.all_of("ann", "ann/site").await, "ann/site", "2", "two").await;
    let document = json!({"tag": "2", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fsite/signatures", &ann(), &document).await.expect(201);
    follow(&world).await;
    let bodies = world.look("SELECT COUNT(*) FROM trust_current WHERE role = 'targets/releases' AND version > 1").await;
    assert_eq!(bodies, ["0"], "nobody reads the collection of the old name");
    // Another account is given another key.
    world.organization("beta", "ann").await;
    world.sends("POST", "/repositories/ann%2Fsite/transfer", &ann(), &json!({"to": "beta/web"})).await.expect(200);
    assert_eq!(world.look("SELECT COUNT(*) FROM signing_keys WHERE taken_at IS NULL").await, ["0"]);
    let given = world.sends("POST", "/repositories/beta%2Fweb/signing-key", &ann(), &json!({})).await.expect(201);
    assert_ne!(given.json()["id"], json!(owner.given.id()));
}

#[tokio::test]
async fn what_waits_for_a_signer_that_is_away_is_published_when_it_is_back() {
    let site = Site::open().await;
    let owner = Owner::begin(&site.world).await;
    sign(&site.world, "1", "one").await;
    follow(&site.world).await;
    assert_eq!(tags(&site.world, RELEASES).await, ["1"]);
    let (world, stopped) = site.without_signer().await;
    let answer = world.sends("POST", KEY, &ann(), &json!({})).await;
    assert_eq!(answer.gist(), (503, "UNAVAILABLE".to_owned()), "{answer}");
    withdraw(&world, "1").await;
    sign(&world, "2", "two").await;
    follow(&world).await;
    assert_eq!(tags(&world, RELEASES).await, ["1"]);
    let signer = stopped.start().await;
    world.pass(61);
    follow(&world).await;
    assert_eq!((tags(&world, OWN).await, tags(&world, RELEASES).await), (vec!["2".to_owned()], vec!["2".to_owned()]));
    assert_eq!(asked(&world, json!({})).await, owner.given);
    signer.stop().await;
}

#[tokio::test]
async fn what_cannot_be_released_keeps_nothing_from_being_withdrawn() {
    let world = World::open().await;
    let _owner = Owner::begin(&world).await;
    sign(&world, "1", "one").await;
    sign(&world, "2", "two").await;
    follow(&world).await;
    // A version that leaps too far is refused.
    world.meddle("UPDATE signer_floors SET version = 9000000 WHERE role = 'next targets/releases'").await;
    withdraw(&world, "1").await;
    follow(&world).await;
    let both = vec!["1".to_owned(), "2".to_owned()];
    assert_eq!((tags(&world, OWN).await, tags(&world, RELEASES).await), (vec!["2".to_owned()], both));
    // Its own publish is followed too.
    follow(&world).await;
    world.meddle("UPDATE signer_floors SET version = 5 WHERE role = 'next targets/releases'").await;
    follow(&world).await;
    assert_eq!(tags(&world, RELEASES).await.len(), 2);
    world.pass(3_601);
    follow(&world).await;
    assert_eq!(tags(&world, RELEASES).await, ["2"], "it was not forgotten");
}

#[tokio::test]
async fn a_signer_who_rests_on_what_the_registry_has_replaced_is_refused_and_loses_nothing() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    let of_ann = json!({"a": {"hashes": {"sha256": STANDARD.encode([1; 32])}, "length": 1}});
    owner.publish(&world, &[owner.of_ann(RELEASES, 1, &of_ann)]).await.expect(200);
    let (_, seen) = says(&world, RELEASES).await;
    sign(&world, "1", "one").await;
    follow(&world).await;
    let stale = owner.publish(&world, &[owner.of_ann(RELEASES, seen + 1, &json!({}))]).await;
    assert_eq!(stale.code(), "VERSION", "{stale}");
    assert_eq!(tags(&world, RELEASES).await, ["1", "a"]);
}

/// Ann releases tags while the registry does: none of either is lost, and each says in the end what was said last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_signers_release_at_once_is_all_there() {
    let world = Arc::new(World::open().await);
    let owner = Arc::new(Owner::begin(&world).await);
    let jobs = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for number in 0..12 {
                sign(&world, &format!("r{number}"), &format!("r{number}")).await;
                follow(&world).await;
                if number % 3 == 0 {
                    withdraw(&world, &format!("r{number}")).await;
                }
                follow(&world).await;
            }
        })
    };
    let mut overtaken = 0;
    for number in 0..12 {
        loop {
            let answer = Client::file(&world, RELEASES).await;
            let standing = if answer.status == 404 { json!({}) } else { answer.expect(200).json()["signed"].take() };
            let version = standing["version"].as_u64().unwrap_or(0);
            let mut targets = standing["targets"].as_object().cloned().unwrap_or_default();
            targets
                .insert(format!("a{number:02}"), json!({"hashes": {"sha256": STANDARD.encode([1; 32])}, "length": 1}));
            let answer = owner.publish(&world, &[owner.of_ann(RELEASES, version + 1, &json!(targets))]).await;
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.code(), "VERSION", "{answer}");
            overtaken += 1;
            assert!(overtaken < 1_000, "ann gets nowhere");
        }
    }
    jobs.await.unwrap();
    follow(&world).await;
    let mut of_registry: Vec<String> =
        (0..12).filter(|number| number % 3 != 0).map(|number| format!("r{number}")).collect();
    of_registry.sort();
    assert_eq!(tags(&world, OWN).await, of_registry);
    let of_ann = (0..12).map(|number| format!("a{number:02}"));
    let all: Vec<String> = of_ann.chain(of_registry).collect();
    assert_eq!(tags(&world, RELEASES).await, all);
}

#[tokio::test]
async fn where_clients_sign_the_snapshots_only_they_publish() {
    let world = World::open().await;
    let owner = Owner::begin(&world).await;
    let mut files = owner.files(1, &[&owner.given]);
    world.delete(&collection(GUN)).by(&ann()).await.expect(200);
    let [_, timestamp] = server_keys(&world).await;
    let server = [("snapshot", owner.client.key().clone()), timestamp];
    files[0] = owner.client.files(&server, 1).remove(0);
    let meta = |text: &str| {
        let (length, sum) = (text.len(), STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes())));
        json!({"length": length, "hashes": {"sha256": sum}})
    };
    let meta: serde_json::Map<_, _> = files.iter().map(|(role, text)| ((*role).to_owned(), meta(text))).collect();
    let snapshot = json!({"_type": "Snapshot", "expires": EXPIRES, "version": 1, "meta": meta});
    files.push(("snapshot", owner.client.seals("snapshot", &snapshot)));
    owner.publish(&world, &files).await.expect(200);
    sign(&world, "1", "one").await;
    follow(&world).await;
    assert_eq!(Client::file(&world, OWN).await.status, 404);
    assert_eq!(world.look("SELECT * FROM signer_log WHERE role = 'targets/hallmark'").await, [""; 0]);
}
