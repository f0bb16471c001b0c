//! Roots of trust domains: who may change them, what becomes of what was signed under the one before, and domains of organizations.

use hallmark::trust::tuf;
use hallmark_signer::tuf::{HeldKey, check_successor, public_key, with_signature};
use serde_json::{Value, json};

use crate::harness::{Acme, Answer, Credentials, PASSWORD, World};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// The organization `acme`, whose `acme/web:1` is signed and published.
async fn acme() -> World {
    let Acme { world, .. } = Acme::open().await;
    let admin = basic("admin");
    for name in ["acme/web", "acme/site"] {
        let digest =
            world.get(&format!("/v2/{name}/manifests/1")).by(&admin).await.header("docker-content-digest").to_owned();
        let path = format!("/repositories/{}/signatures", name.replace('/', "%2F"));
        world.sends("POST", &path, &admin, &json!({"tag": "1", "digest": digest})).await.expect(201);
    }
    publish(&world).await;
    world
}

async fn publish(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}

async fn root(world: &World, path: &str) -> Value {
    world.api("GET", path, &basic("olga")).await.expect(200).json()
}

fn document(root: &Value) -> Vec<u8> {
    root["document"].as_str().unwrap().as_bytes().to_vec()
}

/// A file of a repository, which whoever renews what is waited for does meanwhile.
async fn file(world: &World, repository: &str, name: &str) -> Answer {
    let path = format!("/tuf/{repository}/{name}");
    let (admin, app) = (basic("admin"), world.app.clone());
    let renewals = async {
        for _ in 0..40 {
            tuf::renew_due(&app).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        answer = async { world.get(&path).by(&admin).await } => answer,
        () = renewals => panic!("{path} is not answered"),
    }
}

async fn keys_of(world: &World, repository: &str, name: &str) -> Vec<String> {
    let file = file(world, repository, name).await.expect(200).json();
    let signatures = file["signatures"].as_array().unwrap().iter();
    signatures.map(|signature| signature["keyid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_root_is_shown_with_its_fingerprint_to_whoever_signs_in() {
    let world = acme().await;
    let shown = root(&world, "/trust/root").await;
    let served = file(&world, "acme/web", "1.root.json").await;
    assert_eq!(document(&shown), served.body);
    assert_eq!((&shown["version"], &shown["threshold"]), (&json!(1), &json!(1)));
    let sum = crate::harness::sha256(&served.body);
    assert_eq!(shown["fingerprint"].as_str(), Some(sum.hex()));
    assert_eq!(world.call("GET", "/api/v1/trust/root").await.status, 401);
}

#[tokio::test]
async fn only_who_answers_for_a_domain_changes_its_root() {
    let world = acme().await;
    world.sends("POST", "/organizations/acme/trust", &basic("olga"), &json!({})).await.expect(201);
    let before = world.rows().await;
    let rotation = json!({"role": "timestamp"});
    for (who, of_registry, of_organization) in
        [("olga", 403, 201), ("mia", 403, 403), ("bob", 403, 404), ("aud", 403, 403)]
    {
        let answer = world.sends("POST", "/trust/rotations", &basic(who), &rotation).await;
        assert_eq!(answer.status, of_registry, "{who}: {answer}");
        let answer = world.sends("POST", "/trust/root/drafts", &basic(who), &json!({})).await;
        assert_eq!(answer.status, of_registry, "{who}: {answer}");
        let answer = world.sends("POST", "/trust/root", &basic(who), &json!({"document": "{}"})).await;
        assert_eq!(answer.status, of_registry, "{who}: {answer}");
        if who != "olga" {
            let answer = world.sends("POST", "/organizations/acme/trust/rotations", &basic(who), &rotation).await;
            assert_eq!(answer.status, of_organization, "{who}: {answer}");
        }
    }
    let after = world.rows().await;
    for table in ["trust_roots", "signer_keys", "signer_log"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    let answer = world.sends("POST", "/organizations/acme/trust/rotations", &basic("olga"), &rotation).await;
    assert_eq!(answer.status, 201, "{answer}");
    let answer = world.api("GET", "/organizations/acme/trust/root", &basic("bob")).await;
    assert_eq!(answer.status, 404, "{answer}");
}

#[tokio::test]
async fn a_role_gets_a_new_key_and_every_repository_is_signed_by_it_before_it_is_read_again() {
    let world = acme().await;
    for role in ["timestamp", "snapshot", "targets", "tags", "root"] {
        let before = root(&world, "/trust/root").await;
        let old = keys_of(&world, "acme/web", "timestamp.json").await;
        world.pass(2);
        let made = world.sends("POST", "/trust/rotations", &basic("admin"), &json!({"role": role})).await.expect(201);
        let after = made.json();
        let is_new = role != "tags";
        assert_eq!(
            after["version"].as_u64().unwrap() - before["version"].as_u64().unwrap(),
            u64::from(is_new),
            "{role}"
        );
        if is_new {
            check_successor(&document(&before), &document(&after)).unwrap();
            let name = format!("{}.root.json", after["version"]);
            for repository in ["acme/web", "acme/site"] {
                assert_eq!(file(&world, repository, &name).await.body, document(&after), "{repository}");
            }
        }
        for repository in ["acme/web", "acme/site"] {
            let now = keys_of(&world, repository, "timestamp.json").await;
            assert_eq!(now == old, role != "timestamp", "{role} of {repository}");
        }
    }
    let held: Vec<String> =
        world.look("SELECT role FROM signer_keys WHERE collection = 'tuf1/registry' ORDER BY role").await;
    assert_eq!(held, ["root", "snapshot", "tags", "targets", "timestamp"], "old keys are destroyed");
}

#[tokio::test]
async fn people_take_the_root_over_and_then_nothing_changes_without_them() {
    let world = acme().await;
    let admin = basic("admin");
    let people: Vec<HeldKey> = (0..3).map(|_| HeldKey::read(&HeldKey::generate().unwrap()).unwrap()).collect();
    let keys: Vec<Value> = people.iter().map(HeldKey::public).collect();
    let asked = json!({"keys": keys, "threshold": 2, "days": 365});
    let first = document(&root(&world, "/trust/root").await);
    let draft = document(&world.sends("POST", "/trust/root/drafts", &admin, &asked).await.expect(201).json());
    let send = async |root: &[u8]| {
        let text = std::str::from_utf8(root).unwrap();
        world.sends("POST", "/trust/root", &admin, &json!({"document": text})).await
    };
    let signed = |root: &[u8], by: &[usize]| {
        by.iter().fold(root.to_vec(), |root, who| {
            let (id, signature) = people[*who].sign_root(&root).unwrap();
            with_signature(&root, &id, &signature).unwrap()
        })
    };
    for too_few in [signed(&draft, &[]), signed(&draft, &[1])] {
        let answer = send(&too_few).await;
        assert_eq!(answer.status, 400, "{answer}");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("where 2 are needed"), "{answer}");
    }
    let answer = send(&signed(&draft, &[0, 2])).await.expect(201).json();
    assert_eq!((&answer["version"], &answer["threshold"]), (&json!(2), &json!(2)));
    check_successor(&first, &document(&answer)).unwrap();
    assert_eq!(send(&signed(&draft, &[0, 2])).await.status, 400, "the same once more");

    let answer = world.sends("POST", "/trust/rotations", &admin, &json!({"role": "snapshot"})).await;
    assert_eq!(answer.gist(), (409, "CONFLICT".to_owned()), "{answer}");
    assert_eq!(world.sends("POST", "/trust/rotations", &admin, &json!({"role": "root"})).await.status, 400);
    let draft = world.sends("POST", "/trust/root/drafts", &admin, &json!({"rotate": ["snapshot", "timestamp"]})).await;
    let draft = document(&draft.expect(201).json());
    world.pass(2);
    send(&signed(&draft, &[1, 2])).await.expect(201);
    let third = document(&root(&world, "/trust/root").await);
    let content: Value = serde_json::from_slice(&third).unwrap();
    let named = content["signed"]["roles"]["timestamp"]["keyids"].as_array().unwrap();
    assert_eq!(json!(keys_of(&world, "acme/web", "timestamp.json").await), json!(named));
}

#[tokio::test]
async fn drafts_that_make_no_sense_are_refused_by_name() {
    let world = acme().await;
    let key = HeldKey::read(&HeldKey::generate().unwrap()).unwrap().public();
    let point = public_key(include_str!("../../../../signer/tests/data/person/p256.pub")).unwrap();
    let mut other = point.clone();
    other["keyval"]["public"] = json!(point["keyval"]["public"].as_str().unwrap().replace('\n', "\r\n"));
    for (asked, says) in [
        (json!({"keys": []}), "1 to 64 keys"),
        (json!({"keys": [key], "threshold": 2}), "at most the number of keys"),
        (json!({"keys": [key], "threshold": 0}), "at least 1"),
        (json!({"keys": [key, key]}), "once"),
        (json!({"keys": [point, other]}), "key 2 is one of those before it"),
        (json!({"keys": [{"keytype": "x"}]}), "cannot be used"),
        (json!({"threshold": 1}), "given with the keys"),
        (json!({"days": 0}), "1 to 3650"),
        (json!({"days": 99_999}), "1 to 3650"),
        (json!({"rotate": ["tags"]}), "by itself"),
    ] {
        let answer = world.sends("POST", "/trust/root/drafts", &basic("admin"), &asked).await;
        assert_eq!(answer.status, 400, "{asked}: {answer}");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains(says), "{asked}: {answer}");
    }
    for document in ["", "{}", "[]", r#"{"signatures":[],"signed":{"_type":"root"}}"#, &"x".repeat(200_000)] {
        let answer = world.sends("POST", "/trust/root", &basic("admin"), &json!({"document": document})).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    assert_eq!(root(&world, "/trust/root").await["version"], json!(1));
}

#[tokio::test]
async fn an_organization_has_a_domain_of_its_own_and_others_keep_the_registry_s() {
    let world = acme().await;
    let digest = world.image(&world.all_of("ann", "ann/app").await, "ann/app", "1", "layer").await;
    let signature = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fapp/signatures", &basic("ann"), &signature).await.expect(201);
    publish(&world).await;
    let registry = document(&root(&world, "/trust/root").await);
    assert_eq!(world.api("GET", "/organizations/acme/trust/root", &basic("olga")).await.status, 404);
    world.pass(2);
    let made = world.sends("POST", "/organizations/acme/trust", &basic("olga"), &json!({})).await.expect(201);
    let own = document(&made.json());
    assert_ne!(own, registry);
    let by = world.look("SELECT caller FROM signer_log WHERE role = 'root' AND collection LIKE 'tuf1/org%'").await;
    let olga = world.look("SELECT principal_id FROM users WHERE name = 'olga'").await.remove(0);
    assert!(by.len() == 1 && by[0].starts_with(&format!("{olga} ")), "{by:?}");
    assert_eq!(world.sends("POST", "/organizations/acme/trust", &basic("olga"), &json!({})).await.status, 409);
    for repository in ["acme/web", "acme/site"] {
        assert_eq!(file(&world, repository, "1.root.json").await.body, own, "{repository}");
    }
    assert_eq!(file(&world, "ann/app", "1.root.json").await.body, registry);
    let content: Value = serde_json::from_slice(&own).unwrap();
    let named = &content["signed"]["roles"]["timestamp"]["keyids"];
    assert_eq!(json!(keys_of(&world, "acme/web", "timestamp.json").await), *named);
    assert_ne!(json!(keys_of(&world, "ann/app", "timestamp.json").await), *named);
}

#[tokio::test]
async fn a_publish_that_began_under_the_root_before_is_begun_again() {
    let world = acme().await;
    let admin = basic("admin");
    for turn in 0..10 {
        world.pass(400);
        let moved = world.image(&admin, "acme/web", "1", &format!("turn {turn}")).await;
        let signature = json!({"tag": "1", "digest": moved});
        world.sends("POST", "/repositories/acme%2Fweb/signatures", &admin, &signature).await.expect(201);
        let rotation = json!({"role": "timestamp"});
        let (answer, ()) =
            tokio::join!(async { world.sends("POST", "/trust/rotations", &admin, &rotation).await }, publish(&world));
        answer.expect(201);
        let now: Value = serde_json::from_slice(&document(&root(&world, "/trust/root").await)).unwrap();
        let named = &now["signed"]["roles"]["timestamp"]["keyids"];
        assert_eq!(json!(keys_of(&world, "acme/web", "timestamp.json").await), *named, "turn {turn}");
    }
}

#[tokio::test]
async fn rotations_at_once_leave_a_domain_that_works() {
    let world = acme().await;
    let admin = basic("admin");
    let rotate =
        async |role: &str| world.sends("POST", "/trust/rotations", &admin, &json!({"role": role})).await.status;
    for _ in 0..3 {
        world.pass(3_601);
        let (one, other, tags) = tokio::join!(rotate("timestamp"), rotate("root"), rotate("tags"));
        for status in [one, other, tags] {
            assert!([201, 409, 412].contains(&status.as_u16()), "{status}");
        }
    }
    let holds: Value = serde_json::from_slice(&document(&root(&world, "/trust/root").await)).unwrap();
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let held = world.look(&format!("SELECT id FROM signer_keys WHERE role = '{role}'")).await;
        let named = holds["signed"]["roles"][role]["keyids"][0].as_str().unwrap().to_owned();
        assert!(held.contains(&named), "{role}: {named} of {held:?}");
    }
    world.pass(3_601);
    world.sends("POST", "/trust/rotations", &admin, &json!({"role": "snapshot"})).await.expect(201);
    assert_eq!(file(&world, "acme/web", "timestamp.json").await.status, 200);
}

#[tokio::test]
async fn a_timestamp_that_cannot_be_renewed_is_told_at_once() {
    let world = acme().await;
    world.meddle("UPDATE trust_collections SET expires_at = 0, renew_at = 9000000000000000").await;
    let begin = std::time::Instant::now();
    let answer = world.get("/tuf/acme/web/timestamp.json").by(&basic("admin")).await;
    assert_eq!(answer.status, 503, "{answer}");
    assert!(begin.elapsed() < std::time::Duration::from_secs(4), "nobody waits for what was put off");
}

#[tokio::test]
async fn a_token_gives_the_root_to_nobody_and_rotates_what_the_registry_holds() {
    let world = acme().await;
    let (_, secret) = world.personal("admin", "admin api:write").await;
    let token = Credentials::bearer(&secret);
    let person = HeldKey::read(&HeldKey::generate().unwrap()).unwrap();
    let asked = json!({"keys": [person.public()], "threshold": 1});
    let answer = world.sends("POST", "/trust/root/drafts", &token, &asked).await;
    assert_eq!(answer.gist(), (403, "DENIED".to_owned()), "a draft bears the registry's own signature: {answer}");
    let draft = document(&world.sends("POST", "/trust/root/drafts", &basic("admin"), &asked).await.expect(201).json());
    let (id, signature) = person.sign_root(&draft).unwrap();
    let signed = String::from_utf8(with_signature(&draft, &id, &signature).unwrap()).unwrap();
    let answer = world.sends("POST", "/trust/root", &token, &json!({"document": signed})).await;
    assert_eq!(answer.gist(), (403, "DENIED".to_owned()), "{answer}");
    assert_eq!(root(&world, "/trust/root").await["version"], json!(1));
    world.sends("POST", "/trust/rotations", &token, &json!({"role": "timestamp"})).await.expect(201);
    let answer = world.sends("POST", "/trust/root", &basic("admin"), &json!({"document": signed})).await;
    assert_eq!(answer.status, 400, "it followed from a root that holds no more: {answer}");
}

#[tokio::test]
async fn roots_follow_one_another_ten_times_an_hour_and_drafts_leave_no_keys() {
    let world = acme().await;
    for _ in 0..9 {
        world.sends("POST", "/trust/rotations", &basic("admin"), &json!({"role": "timestamp"})).await.expect(201);
    }
    let answer = world.sends("POST", "/trust/rotations", &basic("admin"), &json!({"role": "timestamp"})).await;
    assert_eq!(answer.status, 409, "{answer}");
    for _ in 0..5 {
        let asked = json!({"rotate": ["targets", "snapshot"]});
        world.sends("POST", "/trust/root/drafts", &basic("admin"), &asked).await.expect(201);
    }
    let held = world.look("SELECT role FROM signer_keys WHERE collection = 'tuf1/registry' ORDER BY role").await;
    assert_eq!(held.len(), 5 + 3, "a waiting key for each of three roles: {held:?}");
    world.pass(3_601);
    world.sends("POST", "/trust/rotations", &basic("admin"), &json!({"role": "timestamp"})).await.expect(201);
}

#[tokio::test]
async fn the_tags_get_new_keys_as_often_as_there_are_roots_and_of_their_own_domain_alone() {
    let world = acme().await;
    world.sends("POST", "/organizations/acme/trust", &basic("olga"), &json!({})).await.expect(201);
    let digest = world.image(&world.all_of("ann", "ann/app").await, "ann/app", "1", "layer").await;
    let signature = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fapp/signatures", &basic("ann"), &signature).await.expect(201);
    publish(&world).await;
    while tuf::renew_due(&world.app).await.unwrap() {}
    let due = async || world.look("SELECT COUNT(*) FROM trust_collections WHERE renew_at = 0").await.remove(0);
    assert_eq!(due().await, "0");
    let tags = json!({"role": "tags"});
    world.sends("POST", "/trust/rotations", &basic("admin"), &tags).await.expect(201);
    assert_eq!(due().await, "1", "acme has a root of its own");
    while tuf::renew_due(&world.app).await.unwrap() {}
    world.sends("POST", "/organizations/acme/trust/rotations", &basic("olga"), &tags).await.expect(201);
    assert_eq!(due().await, "2", "those of acme");
    for _ in 0..9 {
        world.sends("POST", "/organizations/acme/trust/rotations", &basic("olga"), &tags).await.expect(201);
    }
    let keys = world.look("SELECT COUNT(*) FROM signer_keys").await;
    let answer = world.sends("POST", "/organizations/acme/trust/rotations", &basic("olga"), &tags).await;
    assert_eq!(answer.gist(), (409, "CONFLICT".to_owned()), "{answer}");
    assert_eq!(world.look("SELECT COUNT(*) FROM signer_keys").await, keys);
    world.sends("POST", "/trust/rotations", &basic("admin"), &tags).await.expect(201);
    world.pass(3_601);
    world.sends("POST", "/organizations/acme/trust/rotations", &basic("olga"), &tags).await.expect(201);
}

#[tokio::test]
async fn a_first_publish_under_way_is_begun_again_when_the_tags_get_another_key() {
    let world = acme().await;
    let admin = basic("admin");
    for turn in 0..10 {
        world.pass(400);
        let name = format!("ann/app{turn}");
        let digest = world.image(&world.all_of("ann", &name).await, &name, "1", "layer").await;
        let path = format!("/repositories/{}/signatures", name.replace('/', "%2F"));
        world.sends("POST", &path, &basic("ann"), &json!({"tag": "1", "digest": digest})).await.expect(201);
        let rotation = json!({"role": "tags"});
        let (answer, ()) =
            tokio::join!(async { world.sends("POST", "/trust/rotations", &admin, &rotation).await }, publish(&world));
        answer.expect(201);
        while tuf::renew_due(&world.app).await.unwrap() {}
        let key = world.look("SELECT id FROM signer_keys WHERE role = 'tags'").await.remove(0);
        let stale = format!(
            "SELECT COUNT(*) FROM trust_current c
               JOIN trust_metadata m ON m.collection_id = c.collection_id AND m.role = c.role AND m.version = c.version
              WHERE c.role = 'targets/tags' AND instr(m.body, '{key}') = 0"
        );
        assert_eq!(world.look(&stale).await, ["0"], "turn {turn}");
    }
}

#[tokio::test]
async fn the_root_of_an_organization_that_is_removed_is_named_no_more() {
    let world = World::open().await;
    let new = json!({"name": "gone", "owner": "ann"});
    world.sends("POST", "/organizations", &basic("admin"), &new).await.expect(201);
    world.sends("POST", "/organizations/gone/trust", &basic("ann"), &json!({})).await.expect(201);
    tuf::renew_due(&world.app).await.unwrap();
    assert_eq!(shelved(&world).await.len(), 1);
    publish(&world).await;
    world.pass(2);
    world.api("DELETE", "/organizations/gone", &basic("ann")).await.expect(204);
    publish(&world).await;
    tuf::renew_due(&world.app).await.unwrap();
    assert_eq!(shelved(&world).await, []);
}

/// What stands at `/tuf/`, asked for by nobody in particular, along the metadata as a client reads it.
async fn shelved(world: &World) -> Vec<(String, Vec<u8>)> {
    let read = async |name: String| world.get(&format!("/tuf/{name}")).await.expect(200);
    let timestamp = read("timestamp.json".to_owned()).await.json();
    let line = timestamp["signed"]["meta"]["snapshot.json"]["version"].clone();
    let snapshot = read(format!("{line}.snapshot.json")).await.json();
    let line = snapshot["signed"]["meta"]["targets.json"]["version"].clone();
    let targets = read(format!("{line}.targets.json")).await.json();
    let mut found = Vec::new();
    for (name, target) in targets["signed"]["targets"].as_object().unwrap() {
        let sum = target["hashes"]["sha256"].as_str().unwrap();
        let body = read(format!("targets/{sum}.{name}")).await.body.to_vec();
        assert_eq!(
            (target["length"].as_u64().unwrap() as usize, crate::harness::sha256(&body).hex()),
            (body.len(), sum)
        );
        found.push((name.clone(), body));
    }
    found
}

#[tokio::test]
async fn what_verifiers_need_is_read_by_anybody_beside_the_roots_of_organizations() {
    let world = acme().await;
    let admin = basic("admin");
    tuf::renew_due(&world.app).await.unwrap();
    assert_eq!(shelved(&world).await, []);
    assert_eq!(world.get("/tuf/1.root.json").await.body, document(&root(&world, "/trust/root").await));
    let put = json!({"content": "{\"a\":1}"});
    for who in ["olga", "bob", "aud"] {
        assert_eq!(world.sends("PUT", "/trust/files/trusted_root.json", &basic(who), &put).await.status, 403, "{who}");
    }
    world.sends("PUT", "/trust/files/trusted_root.json", &admin, &put).await.expect(200);
    world.sends("POST", "/organizations/acme/trust", &basic("olga"), &json!({})).await.expect(201);
    world.pass(2);
    tuf::renew_due(&world.app).await.unwrap();
    let own = document(&root(&world, "/organizations/acme/trust/root").await);
    let expected =
        [("organization.acme.root.json".to_owned(), own), ("trusted_root.json".to_owned(), b"{\"a\":1}".to_vec())];
    assert_eq!(shelved(&world).await, expected);
    let before = world.get("/tuf/timestamp.json").await.body;
    tuf::renew_due(&world.app).await.unwrap();
    assert_eq!(world.get("/tuf/timestamp.json").await.body, before, "nothing has changed");
    world.pass(4 * 24 * 60 * 60);
    tuf::renew_due(&world.app).await.unwrap();
    assert_ne!(world.get("/tuf/timestamp.json").await.body, before, "half of its life is over");
    world.api("DELETE", "/trust/files/trusted_root.json", &admin).await.expect(204);
    assert_eq!(world.api("DELETE", "/trust/files/trusted_root.json", &admin).await.status, 404);
    world.pass(2);
    tuf::renew_due(&world.app).await.unwrap();
    assert_eq!(shelved(&world).await.len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_are_refused_and_paths_lead_nowhere_else() {
    let world = acme().await;
    let admin = basic("admin");
    let put = json!({"content": "x"});
    for name in ["organization.acme.root.json", ".hidden", "a%2Fb", "a%20b", &"x".repeat(101)] {
        let answer = world.sends("PUT", &format!("/trust/files/{name}"), &admin, &put).await;
        assert_eq!(answer.status, 400, "{name}: {answer}");
    }
    assert_eq!(world.sends("PUT", "/trust/files/a", &admin, &json!({"content": ""})).await.status, 400);
    tuf::renew_due(&world.app).await.unwrap();
    let none = "0".repeat(64);
    for path in ["x.json", "0.root.json", "9.root.json", "1.timestamp.json", "-1.snapshot.json", "timestamp", "%2e%2e"]
    {
        assert_eq!(world.get(&format!("/tuf/{path}")).await.status, 404, "{path}");
    }
    assert_eq!(world.get(&format!("/tuf/targets/{none}.trusted_root.json")).await.status, 404);
    assert_eq!(world.post("/tuf/timestamp.json").await.status, 405);
    let absent = world.get("/tuf/targets/timestamp.json").await;
    assert_eq!(absent.status, 401, "a repository that is called targets: {absent}");
}
