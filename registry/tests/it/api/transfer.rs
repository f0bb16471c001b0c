//! Repositories that are handed over to another account: by whom, what goes along, and what comes at the same moment.

use futures_util::future::join_all;
use hallmark_storage::metadata::{DatabaseConfig, Scope, Usage};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{admin, basic, refuses};
use crate::harness::{Acme, Credentials, Postgres, World, encoded};

const WEB: &str = "/repositories/acme%2Fweb";

/// Asks to hand a repository over.
async fn hands_over(world: &World, by: &Credentials, from: &str, to: &str) -> crate::harness::Answer {
    world.sends("POST", &format!("/repositories/{}/transfer", encoded(from)), by, &json!({"to": to})).await
}

async fn usage(world: &World, account: &str) -> Usage {
    let account = world.app.metadata.account(account).await.unwrap().unwrap();
    world.app.metadata.usage(Scope::Account(account.id)).await.unwrap()
}

async fn limit(world: &World, account: &str, hard: u64) {
    let path = format!("/accounts/{account}/quota");
    world.sends("PUT", &path, &admin(), &json!({"hard": hard})).await.expect(200);
}

#[tokio::test]
async fn a_repository_is_handed_over_with_what_it_holds() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    world.image(&admin(), "acme/web", "2", "another layer").await;
    world.delete("/v2/acme/web/manifests/2").by(&admin()).await.expect(202);
    world.sends("PUT", &format!("{WEB}/quota"), &olga, &json!({"hard": 1_000_000})).await.expect(200);
    world.sends("PUT", &format!("{WEB}/policy"), &olga, &json!({"immutable": {"tags": ["1"]}})).await.expect(200);
    world.sends("POST", &format!("{WEB}/sign-rules"), &olga, &json!({"holder": "user:tim"})).await.expect(201);
    let (old, new) = (world.all_of("tim", "acme/web").await, world.all_of("olga", "olga/shop").await);
    let upload = world.post("/v2/acme/web/blobs/uploads/").by(&old).await.expect(202).location();
    let before = world.count_events().await;

    let answer = hands_over(world, &olga, "acme/web", "olga/shop").await;
    assert_snapshot!(answer, @r#"
    200 OK
    cache-control: no-store
    content-length: 113
    content-type: application/json
    etag: {tag}

    {"name":"olga/shop","visibility":"private","description":"","created_at":"2027-01-15T08:00:00Z","rights":"admin"}
    "#);
    let events = world.events_after(before).await;
    let told: Vec<_> = events.iter().filter(|event| !event.contains("sign_rule_removed")).cloned().collect();
    assert_eq!(
        told,
        [
            "olga robot_removed acme+ci {}",
            r#"olga grant_taken acme/web {"holder":"team:acme/dev"}"#,
            r#"olga quota_changed acme/web {"hard":null,"soft":null}"#,
            r#"olga repository_transferred acme/web {"checks":0,"to":"olga/shop","uploads":1}"#,
            r#"olga repository_transferred olga/shop {"from":"acme/web"}"#,
        ]
    );
    assert_eq!(events.len(), told.len() + 1);
    let accounts = "SELECT a.name, e.subject FROM events e JOIN accounts a ON a.id = e.account_id
         WHERE e.kind = 'repository_transferred' ORDER BY e.id";
    assert_eq!(world.look(accounts).await, ["acme acme/web", "olga olga/shop"], "each account reads its own");

    // From the next request on.
    world.get("/v2/acme/web/manifests/1").by(&old).await.expect(401);
    world.patch(&upload).by(&old).body("late").await.expect(401);
    world.get("/v2/").by(&acme.robot).await.expect(401);
    world.api("GET", WEB, &olga).await.expect(404);
    world.get("/v2/olga/shop/manifests/1").by(&basic("tim")).await.expect(403);
    world.get("/v2/olga/shop/manifests/1").await.expect(401);
    world.get("/v2/olga/shop/manifests/1").by(&new).await.expect(200);
    world.get(&format!("/v2/olga/shop/blobs/{}", crate::harness::sha256("layer"))).by(&new).await.expect(200);
    let shop = "/repositories/olga%2Fshop";
    world.sends("POST", &format!("{shop}/undelete"), &olga, &json!({"tag": "2"})).await.expect(200);
    world.get("/v2/olga/shop/manifests/2").by(&new).await.expect(200);
    let policy = world.api("GET", &format!("{shop}/policy"), &olga).await.expect(200).json();
    assert_eq!(policy["immutable"]["tags"], json!(["1"]), "what is kept in it is its own rule");
    let quota = world.api("GET", &format!("{shop}/quota"), &olga).await.expect(200).json();
    assert_eq!(quota["hard"], Value::Null);
    assert_eq!(world.look("SELECT COUNT(*) FROM sign_rules").await, ["0"]);
    for account in ["acme", "olga"] {
        let sizes = world.api("GET", &format!("/accounts/{account}/sizes"), &olga).await.expect(200).json();
        assert_eq!(sizes["logical"], sizes["used"], "{account}");
        assert_eq!(sizes["reserved"], json!(0));
    }
}

/// The account that is left with nothing can go.
#[tokio::test]
async fn an_account_is_removed_once_its_repositories_are_handed_over() {
    let world = World::open().await;
    world.image(&world.all_of("ann", "ann/app").await, "ann/app", "1", "layer").await;
    world.add_user("cleo").await;
    world.api("DELETE", "/users/ann", &admin()).await.expect(409);
    hands_over(&world, &admin(), "ann/app", "cleo/app").await.expect(200);
    world.api("DELETE", "/users/ann", &admin()).await.expect(204);
    let cleo = world.all_of("cleo", "cleo/app").await;
    world.get("/v2/cleo/app/manifests/1").by(&cleo).await.expect(200);
    // To the registry itself, and from there, by administrators alone.
    assert_eq!(hands_over(&world, &basic("cleo"), "cleo/app", "app").await.gist(), (404, "NOT_FOUND".into()));
    hands_over(&world, &admin(), "cleo/app", "app").await.expect(200);
    world.grant("app", "user:cleo", "admin").await;
    assert_eq!(hands_over(&world, &basic("cleo"), "app", "cleo/app").await.gist(), (403, "DENIED".into()));
    hands_over(&world, &admin(), "app", "cleo/app").await.expect(200);
}

/// It takes governing both accounts; who may see neither is told the same as of what is not there.
#[tokio::test]
async fn it_takes_governing_both_accounts() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.organization("beta", "bob").await;
    world.member("beta", "mia", "member").await;
    world.grant("acme/web", "user:mia", "admin").await;
    world.grant("beta/*", "user:mia", "admin").await;
    world.grant("acme/web", "user:bob", "write").await;
    world.grant("acme/web", "robot:acme+ci", "admin").await;
    let token = |who: &'static str, scopes: &'static str| async move {
        Credentials::bearer(&world.personal(who, scopes).await.1)
    };
    let path = |from: &str| format!("/repositories/{}/transfer", encoded(from));
    for (by, from, to, status) in [
        (Credentials::none(), "acme/web", "ann/web", 401),
        (basic("ann"), "acme/web", "ann/web", 404),
        (basic("ann"), "acme/none", "ann/web", 404),
        (basic("ann"), "acme/site", "ann/site", 403),
        (basic("bob"), "acme/web", "bob/web", 403),
        (basic("tim"), "acme/web", "tim/web", 403),
        (basic("aud"), "acme/web", "aud/web", 403),
        // A right on a prefix makes nobody the one who speaks for the account.
        (basic("mia"), "acme/web", "beta/web", 403),
        // Who manages a repository may delete it, which can be undone, and not carry it away.
        (basic("mia"), "acme/web", "mia/web", 403),
        (basic("mia"), "acme/web", "nobody/web", 403),
        (basic("olga"), "acme/web", "beta/web", 404),
        (basic("olga"), "acme/web", "ann/web", 404),
        (basic("olga"), "acme/web", "nobody/web", 404),
        (acme.robot.clone(), "acme/web", "olga/web", 403),
        (token("olga", "admin api:read").await, "acme/web", "olga/web", 403),
        (token("olga", "write api:write").await, "acme/web", "olga/web", 403),
        (token("olga", "admin api:write on:acme/*").await, "acme/web", "olga/web", 404),
        (token("olga", "admin api:write on:olga/*").await, "acme/web", "olga/web", 404),
        (token("mia", "admin api:write on:acme/web").await, "acme/web", "mia/web", 403),
    ] {
        let code =
            ["UNAUTHORIZED", "DENIED", "NOT_FOUND"][[401, 403, 404].iter().position(|one| *one == status).unwrap()];
        let asked = world.sends("POST", &path(from), &by, &json!({"to": to}));
        refuses(world, asked, status, code).await;
    }
    let told =
        async |by: &str, from: &str, to: &str| hands_over(world, &basic(by), from, to).await.expect(404).visible();
    assert_eq!(told("ann", "acme/web", "ann/web").await, told("ann", "acme/none", "ann/web").await);
    assert_eq!(told("olga", "acme/web", "ann/web").await, told("olga", "acme/web", "nobody/web").await);
    assert_eq!(told("ann", "acme/web", "bob/web").await, told("ann", "acme/none", "nobody/web").await);
    world.member("acme", "mia", "owner").await;
    hands_over(world, &token("mia", "admin api:write").await, "acme/web", "mia/web").await.expect(200);
    hands_over(world, &admin(), "mia/web", "beta/web").await.expect(200);
    let bob = hands_over(world, &basic("bob"), "beta/web", "bob/web").await.expect(200);
    assert_eq!(bob.json()["rights"], json!("admin"));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let transfer = format!("{WEB}/transfer");
    for to in ["", "Olga/x", "olga//x", "olga/..", "olga/\u{0}", &format!("olga/{}", "a".repeat(255))] {
        refuses(world, world.sends("POST", &transfer, &olga, &json!({"to": to})), 400, "INVALID").await;
    }
    for document in [json!({}), json!({"to": "olga/web", "force": true}), json!({"to": 1})] {
        refuses(world, world.sends("POST", &transfer, &olga, &document), 400, "INVALID").await;
    }
    let same =
        refuses(world, world.sends("POST", &transfer, &olga, &json!({"to": "acme/shop"})), 409, "CONFLICT").await;
    assert!(same.text().contains("rename the repository instead"), "{same}");
    // Names that would read as something else are nobody's.
    for to in ["api/web", "v2/web", "none/web"] {
        refuses(world, world.sends("POST", &transfer, &admin(), &json!({"to": to})), 404, "NOT_FOUND").await;
    }
    world.image(&world.all_of("olga", "olga/web").await, "olga/web", "1", "layer").await;
    refuses(world, world.sends("POST", &transfer, &olga, &json!({"to": "olga/web"})), 409, "CONFLICT").await;
    refuses(world, world.sends("POST", &transfer, &admin(), &json!({"to": "olga/web"})), 409, "CONFLICT").await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_what_to_do() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let of_web = "(SELECT id FROM repositories WHERE name = 'acme/web')";
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)";
    world
        .meddle(&format!(
            "{numbers} INSERT INTO manifests (id, repository_id, digest, media_type, size, touched_at, pushed_by, body)
             SELECT 9000000 + i, {of_web}, 'sha256:' || i, 'm', 1, 0, 0, x'00' FROM n"
        ))
        .await;
    let asked = || world.sends("POST", "/repositories/acme%2Fweb/transfer", &olga, &json!({"to": "olga/web"}));
    let refused = refuses(world, asked(), 409, "CONFLICT").await;
    assert!(refused.text().contains("more than 10000 links to blobs, manifests"), "{refused}");
    world.meddle("DELETE FROM manifests WHERE media_type = 'm'").await;
    let rules = numbers.replace("10000", "1000");
    world
        .meddle(&format!(
            "{rules} INSERT INTO sign_rules (id, repository_id, holder_id, holder, made_at)
             SELECT 9000000 + i, {of_web}, (SELECT principal_id FROM users WHERE name = 'olga'), 'user:olga', 0 FROM n"
        ))
        .await;
    let refused = refuses(world, asked(), 409, "CONFLICT").await;
    assert!(refused.text().contains("more than 1000 robots, grants and rules"), "{refused}");
    world.meddle("DELETE FROM sign_rules").await;
    // As much as can be, where room for it is reserved too: two blobs and a manifest are there.
    let most = numbers.replace("10000", "9997");
    world
        .meddle(&format!(
            "{most} INSERT INTO manifests (id, repository_id, digest, media_type, size, touched_at, pushed_by, body)
             SELECT 9000000 + i, {of_web}, 'sha256:' || i, 'm', 1, 0, 0, x'00' FROM n"
        ))
        .await;
    limit(world, "olga", 1_000_000).await;
    asked().await.expect(200);
}

/// Holds come along. Whoever is to be kept from deleting something must not carry it to where they govern.
#[tokio::test]
async fn what_is_held_is_handed_over_by_who_governs_its_account() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/web", "user:mia", "admin").await;
    let image = world.get("/v2/acme/web/manifests/1").by(&admin()).await.expect(200);
    let digest = image.header("docker-content-digest").to_owned();
    for kind in ["legal", "pin"] {
        let hold = json!({"digest": digest, "kind": kind, "reason": "a case"});
        world.sends("POST", &format!("{WEB}/holds"), &basic("mia"), &hold).await.expect(201);
    }
    let to = json!({"to": "mia/web"});
    let refused =
        refuses(world, world.sends("POST", &format!("{WEB}/transfer"), &basic("mia"), &to), 403, "DENIED").await;
    assert!(refused.text().contains("only who governs its account"), "{refused}");
    hands_over(world, &basic("olga"), "acme/web", "olga/web").await.expect(200);
    let held = world.api("GET", "/repositories/olga%2Fweb/holds", &basic("olga")).await.expect(200).json();
    assert_eq!(held["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_old_name_rests() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    world.create_on_push("acme").await;
    hands_over(world, &olga, "acme/web", "olga/web").await.expect(200);
    let mia = world.all_of("mia", "acme/web").await;
    assert_eq!(world.post("/v2/acme/web/blobs/uploads/").by(&mia).await.gist(), (404, "NAME_UNKNOWN".into()));
    refuses(world, world.sends("POST", "/repositories", &basic("mia"), &json!({"name": "acme/web"})), 403, "DENIED")
        .await;
    // Back to where it was, and whoever administers the name may make it again.
    hands_over(world, &olga, "olga/web", "acme/web").await.expect(200);
    hands_over(world, &olga, "acme/web", "olga/web").await.expect(200);
    world.sends("POST", "/repositories", &olga, &json!({"name": "acme/web"})).await.expect(201);
}

/// The same as a push: no room is told with the numbers, and a limit can be met exactly.
#[tokio::test]
async fn the_other_account_must_have_room() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let bytes = usage(world, "acme").await.used;
    world.api("DELETE", "/repositories/acme%2Fsite", &admin()).await.expect(204);
    let of_web = world.api("GET", &format!("{WEB}/sizes"), &olga).await.expect(200).json()["logical"].as_u64().unwrap();
    limit(world, "olga", of_web - 1).await;
    let asked = world.sends("POST", &format!("{WEB}/transfer"), &olga, &json!({"to": "olga/web"}));
    let refused = refuses(world, asked, 403, "DENIED").await.json();
    let numbers = json!({"account": "olga", "limit": of_web - 1, "requested": of_web, "used": 0, "reserved": 0});
    assert_eq!(refused["errors"][0]["detail"], numbers);
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("the quota of the account olga"), "{refused}");
    assert!(world.metrics().await.of("quota_refusals_total") == 1.0);
    assert_eq!(usage(world, "olga").await, Usage::default());
    limit(world, "olga", of_web).await;
    hands_over(world, &olga, "acme/web", "olga/web").await.expect(200);
    assert_eq!(usage(world, "olga").await, Usage { used: of_web, reserved: 0 });
    assert_eq!(usage(world, "acme").await, Usage { used: bytes - manifests(world).await, reserved: 0 });
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"]);
    // A limit of the account that it leaves is no matter.
    limit(world, "olga", 0).await;
    limit(world, "acme", 0).await;
    let back = hands_over(world, &olga, "olga/web", "acme/web").await;
    // What the deleted one holds as well is there already, and the manifest alone has no room.
    assert_eq!(back.gist(), (403, "DENIED".into()));
}

/// The bytes of the manifests in `olga/web`.
async fn manifests(world: &World) -> u64 {
    let query =
        "SELECT SUM(m.size) FROM manifests m JOIN repositories r ON r.id = m.repository_id WHERE r.name = 'olga/web'";
    world.look(query).await[0].parse().unwrap()
}

async fn server() -> (Postgres, World) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    let world = World::with(|config| config.database = database).await;
    (postgres, world)
}

/// Of several that have room one by one, never so many are let in that a limit is passed.
async fn at_the_brink(world: &World) {
    world.add_user("cleo").await;
    for round in 0..6 {
        let mut names = Vec::new();
        for number in 0..4 {
            let name = format!("ann/{round}-{number}");
            world.image(&world.all_of("ann", &name).await, &name, "1", &format!("layer {round} {number}")).await;
            names.push(name);
        }
        let one = world.api("GET", &format!("/repositories/{}/sizes", encoded(&names[0])), &admin()).await.json();
        let (size, before) = (one["logical"].as_u64().unwrap(), usage(world, "cleo").await.used);
        let hard = before + size + size / 2;
        limit(world, "cleo", hard).await;
        let answers = join_all(names.iter().map(|name| async {
            let to = name.replace("ann/", "cleo/");
            hands_over(world, &admin(), name, &to).await
        }))
        .await;
        let arrived = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(arrived <= 1, "{arrived}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.gist(), (403, "DENIED".to_owned()), "{answer}");
        }
        let after = usage(world, "cleo").await;
        assert!(after.used <= hard && after.reserved == 0, "{after:?} under {hard}");
        assert_eq!(after.used > before, arrived == 1);
    }
}

#[tokio::test]
async fn transfers_at_the_brink_never_pass_a_limit() {
    at_the_brink(&World::open().await).await;
}

#[tokio::test]
async fn transfers_at_the_brink_never_pass_a_limit_on_a_server() {
    let (_postgres, world) = server().await;
    at_the_brink(&world).await;
}

/// What is acknowledged is whole, wherever it is by then (I1); and what comes too late is refused.
async fn pushes_meanwhile(world: &World) {
    world.add_user("cleo").await;
    let (mut from, mut to) = ("ann/app", "cleo/app");
    let mut kept = vec![("0".to_owned(), world.image(&world.all_of("ann", from).await, from, "0", "first").await)];
    for round in 1..12 {
        let by = world.all_of_by(&admin(), from).await;
        let (tag, layer) = (round.to_string(), format!("layer {round}"));
        let push = async {
            let (config, layer) = ("{}", layer.as_str());
            for blob in [config, layer] {
                let digest = crate::harness::sha256(blob);
                let path = format!("/v2/{from}/blobs/uploads/?digest={digest}");
                if world.post(&path).by(&by).body(blob.to_owned()).await.status != 201 {
                    return None;
                }
            }
            let manifest = crate::harness::image(config, &[layer]);
            let put = world.put(&format!("/v2/{from}/manifests/{tag}")).by(&by);
            let put = put.header("content-type", crate::harness::OCI_MANIFEST).body(manifest.clone()).await;
            assert!(put.status.as_u16() < 500, "{put}");
            (put.status == 201).then(|| crate::harness::sha256(manifest))
        };
        let by_admin = admin();
        let (pushed, done) = futures_util::join!(push, hands_over(world, &by_admin, from, to));
        assert_eq!(done.status, 200, "{done}");
        // An administrator's push makes the old name anew where it comes after.
        let anew = world.repository(from).await;
        if let (Some(digest), None) = (pushed, &anew) {
            kept.push((tag, digest));
        }
        if anew.is_some() {
            world.api("DELETE", &format!("/repositories/{}", encoded(from)), &admin()).await.expect(204);
        }
        let pull = world.all_of_by(&admin(), to).await;
        for (tag, digest) in &kept {
            let manifest = world.get(&format!("/v2/{to}/manifests/{tag}")).by(&pull).await.expect(200);
            assert_eq!(manifest.header("docker-content-digest"), digest.as_str());
            for layer in manifest.json()["layers"].as_array().unwrap() {
                let path = format!("/v2/{to}/blobs/{}", layer["digest"].as_str().unwrap());
                world.get(&path).by(&pull).await.expect(200);
            }
        }
        std::mem::swap(&mut from, &mut to);
    }
}

#[tokio::test]
async fn a_push_that_comes_meanwhile_is_whole_or_refused() {
    pushes_meanwhile(&World::open().await).await;
}

#[tokio::test]
async fn a_push_that_comes_meanwhile_is_whole_or_refused_on_a_server() {
    let (_postgres, world) = server().await;
    pushes_meanwhile(&world).await;
}

/// How often what may come between is tried, each time a little later.
const ROUNDS: u32 = 16;

/// Lets a part of what goes on beside it happen: so many reads of the database.
async fn passes(world: &World, reads: u32) {
    for _ in 0..reads {
        world.app.metadata.without_cache().user("ann").await.unwrap();
    }
}

/// What is mounted from a repository that goes, or into it, is there afterwards where it was promised (I1, I6).
async fn mounts_meanwhile(world: &World) {
    world.add_user("cleo").await;
    world.blob(&world.all_of("bob", "bob/lent").await, "bob/lent", "lent").await;
    for round in 0..ROUNDS {
        let (from, to, copy) = (format!("ann/m-{round}"), format!("cleo/m-{round}"), format!("bob/m-{round}"));
        let own = format!("own {round}");
        let scopes = [&from, &to, &copy, "bob/lent"].map(|name| format!("repository:{name}:pull,push"));
        let by = world.token("admin", &scopes.join(" ")).await;
        world.blob(&by, &from, &own).await;
        let mount = async |into: &str, content: &str, source: &str| {
            let digest = crate::harness::sha256(content);
            passes(world, round).await;
            let answer = world.post(&format!("/v2/{into}/blobs/uploads/?mount={digest}&from={source}")).by(&by).await;
            assert!(matches!(answer.status.as_u16(), 201 | 202 | 404), "{answer}");
            answer.status == 201
        };
        let by_admin = admin();
        let (done, out, within) = futures_util::join!(
            hands_over(world, &by_admin, &from, &to),
            mount(&copy, &own, &from),
            mount(&from, "lent", "bob/lent")
        );
        assert_eq!(done.status, 200, "{done}");
        let has = async |name: &str, content: &str| {
            world.get(&format!("/v2/{name}/blobs/{}", crate::harness::sha256(content))).by(&by).await.status == 200
        };
        assert!(has(&to, &own).await, "what it held goes along");
        assert_eq!(has(&copy, &own).await, out, "mounted from it");
        // An administrator's push makes the old name anew where it comes after.
        let place = if world.repository(&from).await.is_some() { &from } else { &to };
        assert_eq!(has(place, "lent").await, within, "mounted into it");
    }
}

#[tokio::test]
async fn a_mount_that_comes_meanwhile_is_whole_or_refused() {
    mounts_meanwhile(&World::open().await).await;
}

#[tokio::test]
async fn a_mount_that_comes_meanwhile_is_whole_or_refused_on_a_server() {
    let (_postgres, world) = server().await;
    mounts_meanwhile(&world).await;
}

/// What is deleted while it goes is gone wherever it is by then, or was not found and stays.
async fn deletes_meanwhile(world: &World) {
    world.add_user("cleo").await;
    for round in 0..ROUNDS {
        let (from, to) = (format!("ann/d-{round}"), format!("cleo/d-{round}"));
        let by = world.token("admin", &format!("repository:{from}:pull,push,delete repository:{to}:pull,push")).await;
        let digest = world.image(&by, &from, "1", "layer").await;
        let delete = async || {
            passes(world, round).await;
            world.delete(&format!("/v2/{from}/manifests/{digest}")).by(&by).await
        };
        let by_admin = admin();
        let (done, gone) = futures_util::join!(hands_over(world, &by_admin, &from, &to), delete());
        assert_eq!(done.status, 200, "{done}");
        assert!(matches!(gone.status.as_u16(), 202 | 404), "{gone}");
        let left = world.get(&format!("/v2/{to}/manifests/1")).by(&by).await;
        assert_eq!(left.status == 404, gone.status == 202, "{gone}{left}");

        // The whole repository: it goes to the other account, or is deleted, and never both.
        world.image(&by, &from, "1", "layer").await;
        let (to, path) = (format!("cleo/e-{round}"), format!("/repositories/{}", encoded(&from)));
        let remove = async || {
            passes(world, round).await;
            world.api("DELETE", &path, &by_admin).await
        };
        let (done, gone) = futures_util::join!(hands_over(world, &by_admin, &from, &to), remove());
        match done.status.as_u16() {
            200 => assert_eq!(gone.gist(), (404, "NOT_FOUND".to_owned())),
            _ => assert_eq!((done.gist(), gone.status.as_u16()), ((404, "NOT_FOUND".to_owned()), 204)),
        }
        assert_eq!(world.repository(&to).await.is_some(), done.status == 200);
        assert!(world.repository(&from).await.is_none());
    }
}

#[tokio::test]
async fn a_deletion_that_comes_meanwhile_is_done_or_finds_nothing() {
    deletes_meanwhile(&World::open().await).await;
}

#[tokio::test]
async fn a_deletion_that_comes_meanwhile_is_done_or_finds_nothing_on_a_server() {
    let (_postgres, world) = server().await;
    deletes_meanwhile(&world).await;
}

/// Two who want the same repository: one has it, and the other finds nothing.
async fn two_at_once(world: &World) {
    for name in ["cleo", "dora"] {
        world.add_user(name).await;
    }
    for round in 0..8 {
        let name = format!("ann/app-{round}");
        world.image(&world.all_of("ann", &name).await, &name, "1", "layer").await;
        let (cleo, dora) = (format!("cleo/{round}"), format!("dora/{round}"));
        let by = admin();
        let (one, other) =
            futures_util::join!(hands_over(world, &by, &name, &cleo), hands_over(world, &by, &name, &dora));
        let (done, late) = if one.status == 200 { (one, other) } else { (other, one) };
        assert_eq!((done.status.as_u16(), late.gist()), (200, (404, "NOT_FOUND".into())));
        // Two who want the same name.
        let (first, second) = (format!("ann/first-{round}"), format!("ann/second-{round}"));
        for name in [&first, &second] {
            world.image(&world.all_of("ann", name).await, name, "1", "layer").await;
        }
        let same = format!("cleo/same-{round}");
        let (one, other) =
            futures_util::join!(hands_over(world, &by, &first, &same), hands_over(world, &by, &second, &same));
        let (done, late) = if one.status == 200 { (one, other) } else { (other, one) };
        assert_eq!((done.status.as_u16(), late.gist()), (200, (409, "CONFLICT".into())));
    }
}

#[tokio::test]
async fn of_two_transfers_at_once_one_is_made() {
    two_at_once(&World::open().await).await;
}

#[tokio::test]
async fn of_two_transfers_at_once_one_is_made_on_a_server() {
    let (_postgres, world) = server().await;
    two_at_once(&world).await;
}

/// Another replica answers by the new account from the next request on.
#[tokio::test]
async fn another_replica_sees_it_at_once() {
    let (_postgres, world) = server().await;
    let other = world.replica().await;
    world.add_user("cleo").await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    other.get("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
    let cleo = other.all_of("cleo", "cleo/app").await;
    hands_over(&world, &admin(), "ann/app", "cleo/app").await.expect(200);
    assert_eq!(other.get("/v2/ann/app/manifests/1").by(&ann).await.gist(), (404, "NAME_UNKNOWN".into()));
    other.get("/v2/cleo/app/manifests/1").by(&cleo).await.expect(200);
}

/// A name may tell what its account does not want to be known.
#[tokio::test]
async fn the_account_before_does_not_read_what_it_is_called_later() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let log = async || world.api("GET", "/events?account=acme&limit=1000", &olga).await.expect(200).text();
    assert!(log().await.contains(r#""repository":"acme/web""#), "{}", log().await);
    hands_over(world, &olga, "acme/web", "olga/web").await.expect(200);
    world.sends("PATCH", "/repositories/olga%2Fweb", &olga, &json!({"name": "olga/secret"})).await.expect(200);
    let told = log().await;
    assert!(told.contains("repository_transferred") && !told.contains("olga/secret"), "{told}");
    let own = world.api("GET", "/events?account=olga&limit=1000", &olga).await.expect(200).text();
    assert!(own.contains("olga/secret"), "{own}");
}
