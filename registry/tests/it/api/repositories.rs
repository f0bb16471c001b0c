//! `/repositories`: made, described, renamed, opened and deleted.

use std::sync::Arc;

use hallmark_storage::metadata::DatabaseConfig;
use insta::assert_snapshot;
use serde_json::json;
use tokio::sync::Notify;

use super::{admin, basic, pages, records, refuses};
use crate::harness::{Acme, Postgres, World};

const WEB: &str = "/repositories/acme%2Fweb";

#[tokio::test]
async fn a_repository_is_made_shown_changed_and_deleted() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let new = json!({"name": "acme/new", "visibility": "public", "description": "shop"});
    let before = world.count_events().await;
    let made = world.sends("POST", "/repositories", &olga, &new).await;
    assert_snapshot!(made, @r#"
    201 Created
    cache-control: no-store
    content-length: 115
    content-type: application/json
    etag: {tag}

    {"name":"acme/new","visibility":"public","description":"shop","created_at":"2027-01-15T08:00:00Z","rights":"admin"}
    "#);
    let events = ["olga repository_created acme/new {}", "olga repository_published acme/new {}"];
    assert_eq!(world.events_after(before).await, events);
    let path = "/repositories/acme%2Fnew";
    assert_snapshot!(world.api("GET", path, &basic("ann")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 114
    content-type: application/json
    etag: {tag}

    {"name":"acme/new","visibility":"public","description":"shop","created_at":"2027-01-15T08:00:00Z","rights":"read"}
    "#);
    for (change, recorded) in [
        (json!({"description": "a shop"}), "olga repository_described acme/new {}"),
        (json!({"visibility": "private"}), "olga repository_hidden acme/new {}"),
        (json!({"visibility": "public"}), "olga repository_published acme/new {}"),
        (json!({"name": "acme/newer"}), r#"olga repository_renamed acme/new {"to":"acme/newer"}"#),
    ] {
        let (_, event) = records(world, world.sends("PATCH", path, &olga, &change)).await;
        assert_eq!(event, recorded);
    }
    let before = world.rows().await;
    world.sends("PATCH", "/repositories/acme%2Fnewer", &olga, &json!({"name": "acme/newer"})).await.expect(200);
    assert_eq!(world.rows().await, before);
    assert_snapshot!(world.sends("PATCH", "/repositories/acme%2Fnewer", &olga, &json!({})).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 119
    content-type: application/json
    etag: {tag}

    {"name":"acme/newer","visibility":"public","description":"a shop","created_at":"2027-01-15T08:00:00Z","rights":"admin"}
    "#);
    let (deleted, event) = records(world, world.api("DELETE", "/repositories/acme%2Fnewer", &olga)).await;
    assert_snapshot!(deleted, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "olga repository_deleted acme/newer {}");
    assert_snapshot!(world.api("GET", "/repositories/acme%2Fnewer", &olga).await, @r#"
    404 Not Found
    cache-control: no-store
    content-length: 112
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"there is no repository of this name that you may see"}]}
    "#);
}

#[tokio::test]
async fn a_repository_that_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for name in ["", "Acme/x", "acme//x", "acme/x/", "acme/\u{0}", "acme/..", &format!("acme/{}", "a".repeat(255))] {
        refuses(world, world.sends("POST", "/repositories", &admin(), &json!({"name": name})), 400, "INVALID").await;
        refuses(world, world.sends("PATCH", WEB, &admin(), &json!({"name": name})), 400, "INVALID").await;
    }
    for new in
        [json!({"name": "acme/x", "visibility": "open"}), json!({"name": "acme/x", "description": "x".repeat(4097)})]
    {
        refuses(world, world.sends("POST", "/repositories", &admin(), &new), 400, "INVALID").await;
    }
    refuses(world, world.sends("POST", "/repositories", &admin(), &json!({"name": "acme/web"})), 409, "CONFLICT").await;
    refuses(world, world.sends("POST", "/repositories", &admin(), &json!({"name": "none/web"})), 403, "DENIED").await;
    refuses(world, world.sends("PATCH", WEB, &admin(), &json!({"name": "acme/site"})), 409, "CONFLICT").await;
    for elsewhere in ["ann/web", "none/web", "web"] {
        refuses(world, world.sends("PATCH", WEB, &admin(), &json!({"name": elsewhere})), 400, "INVALID").await;
    }
}

#[tokio::test]
async fn repositories_are_listed_as_far_as_the_caller_sees_them() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.image(&basic("ann"), "ann/app", "1", "layer").await;
    let all = ["acme/site", "acme/web", "ann/app"];
    for by in [admin(), basic("aud")] {
        assert_eq!(pages(world, "/repositories", &by, 2, "name").await, [&all[..2], &all[2..]]);
    }
    assert_eq!(pages(world, "/repositories", &basic("ann"), 5, "name").await, [["acme/site", "ann/app"]]);
    assert_eq!(pages(world, "/repositories", &basic("tim"), 1, "name").await, [["acme/site"], ["acme/web"]]);
    assert_eq!(pages(world, "/repositories", &acme.robot, 5, "name").await, [["acme/site", "acme/web"]]);
    assert_eq!(pages(world, "/repositories", &basic("mia"), 5, "name").await, [["acme/site"]]);
    assert_snapshot!(world.api("GET", "/repositories?limit=1&after=acme/site", &basic("tim")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 31
    content-type: application/json
    etag: {tag}

    {"items":[{"name":"acme/web"}]}
    "#);
}

#[tokio::test]
async fn what_is_made_opened_and_closed_holds_for_the_next_request() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = world.token("ann", "repository:acme/site:pull").await;
    world.get("/v2/acme/site/manifests/1").by(&token).await.expect(200);
    let site = "/repositories/acme%2Fsite";
    world.sends("PATCH", site, &basic("olga"), &json!({"visibility": "private"})).await.expect(200);
    world.get("/v2/acme/site/manifests/1").by(&token).await.expect(401);
    world.get("/v2/acme/site/manifests/1").await.expect(401);
    world.sends("PATCH", site, &basic("olga"), &json!({"visibility": "public"})).await.expect(200);
    world.get("/v2/acme/site/manifests/1").by(&token).await.expect(200);
}

/// Two who change one repository at once follow one another: neither decides on what the other has changed, and neither waits for
/// the other for ever.
async fn change_at_once(world: &World) {
    world.organization("acme", "ann").await;
    world.sends("POST", "/repositories", &basic("ann"), &json!({"name": "acme/web"})).await.expect(201);
    let repeats = world.app.metadata.statistics().repeats;
    for round in 0..24 {
        let visibility = if round % 2 == 0 { "public" } else { "private" };
        let change = || async {
            world.sends("PATCH", WEB, &basic("ann"), &json!({"visibility": visibility})).await.expect(200).json()
        };
        let (one, other) = futures_util::join!(change(), change());
        assert_eq!((&one["visibility"], &other["visibility"]), (&json!(visibility), &json!(visibility)));
    }
    let told = world.app.metadata.write((), |tx, ()| Box::pin(tx.number_events(1_000)));
    let told: Result<u64, hallmark_storage::metadata::Error> = told.await;
    told.unwrap();
    for kind in ["repository_published", "repository_hidden"] {
        let found = world.api("GET", &format!("/events?kind={kind}"), &basic("admin")).await.expect(200).json();
        assert_eq!(found["items"].as_array().unwrap().len(), 12, "{kind}");
    }
    assert_eq!(world.app.metadata.statistics().repeats, repeats, "nobody stood in another's way");
}

/// Of two who read the same and change it at once, one changes it, and the other is told to read again.
async fn change_what_was_read_at_once(world: &World) {
    world.organization("acme", "ann").await;
    world.sends("POST", "/repositories", &basic("ann"), &json!({"name": "acme/web"})).await.expect(201);
    world.sends("POST", "/organizations/acme/teams", &basic("ann"), &json!({"name": "dev"})).await.expect(201);
    for path in [WEB, "/organizations/acme/teams/dev"] {
        for round in 0..8 {
            let read = world.api("GET", path, &basic("ann")).await.expect(200);
            let change = async |who: &str| {
                let description = json!({"description": format!("{who} {round}")});
                world.sends("PATCH", path, &basic("ann"), &description).header("if-match", read.header("etag")).await
            };
            let (one, other) = futures_util::join!(change("one"), change("other"));
            let (changed, told) = if one.status == 200 { (one, other) } else { (other, one) };
            assert_eq!((changed.status.as_u16(), told.gist()), (200, (412, "PRECONDITION_FAILED".into())), "{path}");
            let now = world.api("GET", path, &basic("ann")).await.expect(200).json();
            assert_eq!(now["description"], changed.json()["description"]);
        }
    }
}

#[tokio::test]
async fn of_two_who_read_the_same_one_changes_it() {
    change_what_was_read_at_once(&World::open().await).await;
}

#[tokio::test]
async fn of_two_who_read_the_same_one_changes_it_on_a_server() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    change_what_was_read_at_once(&World::with(|config| config.database = database).await).await;
}

#[tokio::test]
async fn two_changes_of_a_repository_at_once_follow_one_another() {
    change_at_once(&World::open().await).await;
}

#[tokio::test]
async fn two_changes_of_a_repository_at_once_follow_one_another_on_a_server() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    change_at_once(&World::with(|config| config.database = database).await).await;
}

/// Whoever has no part in an organization or a repository makes nobody wait for it: they are refused while somebody else holds it.
#[tokio::test]
async fn nobody_waits_for_what_is_not_theirs_on_a_server() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    let world = World::with(|config| config.database = database).await;
    world.organization("acme", "ann").await;
    world.sends("POST", "/repositories", &basic("ann"), &json!({"name": "acme/web"})).await.expect(201);
    let gate = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let held = world.app.metadata.write(gate.clone(), |tx, gate| {
        Box::pin(async move {
            tx.organization("acme").await?;
            tx.hold_repository(&"acme/web".parse().unwrap()).await?;
            gate[0].notify_one();
            gate[1].notified().await;
            Ok::<_, hallmark_storage::metadata::Error>(())
        })
    });
    let strangers = async {
        gate[0].notified().await;
        for (method, path) in [
            ("DELETE", "/organizations/acme"),
            ("DELETE", "/organizations/acme/members/bob"),
            ("DELETE", "/organizations/acme/teams/dev"),
            ("DELETE", "/accounts/acme/robots/ci"),
            ("DELETE", WEB),
        ] {
            world.api(method, path, &basic("bob")).await.expect(404);
        }
        gate[1].notify_one();
    };
    // A change that waits in the middle is ended after ten seconds, which would fail it.
    let (held, ()) = futures_util::join!(held, strangers);
    held.unwrap();
}

/// The old name answers as one that nobody has; what was granted on the repository goes with it, what was granted on a
/// prefix goes by the name.
#[tokio::test]
async fn a_renamed_repository_is_found_under_its_new_name_only() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/web*", "user:mia", "read").await;
    let (old, new) = (world.all_of("tim", "acme/web").await, world.all_of("mia", "acme/web").await);
    for by in [&old, &new] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(200);
    }
    world.sends("PATCH", WEB, &basic("olga"), &json!({"name": "acme/shop"})).await.expect(200);
    world.get("/v2/acme/web/manifests/1").by(&old).await.expect(401);
    assert_eq!(world.get("/v2/acme/web/manifests/1").by(&new).await.gist(), (404, "NAME_UNKNOWN".into()));
    world.api("GET", WEB, &basic("olga")).await.expect(404);
    world.get("/v2/acme/shop/manifests/1").by(&old).await.expect(401);
    world.get("/v2/acme/shop/manifests/1").by(&basic("tim")).await.expect(200);
    world.get("/v2/acme/shop/manifests/1").by(&basic("mia")).await.expect(403);
    world.get("/v2/acme/shop/manifests/1").by(&acme.robot).await.expect(200);
    let robot = world.api("GET", "/accounts/acme/robots/ci", &basic("olga")).await.json();
    assert_eq!(robot["repository"], "acme/shop");
}

/// Whoever renames must be able to make a repository of the new name: the new name may let others in.
#[tokio::test]
async fn who_manages_one_repository_renames_it_only_where_they_may_make_one() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/web", "user:mia", "admin").await;
    let to = |name: &str| world.sends("PATCH", WEB, &basic("mia"), &json!({"name": name}));
    refuses(world, to("acme/shop"), 403, "DENIED").await;
    world.grant("acme/sho*", "user:mia", "write").await;
    refuses(world, to("acme/shop"), 403, "DENIED").await;
    world.grant("acme/sho*", "user:mia", "admin").await;
    to("acme/shop").await.expect(200);
}

/// A delete takes everything along: robots that are bound to it, grants, and who pulls is told nothing.
#[tokio::test]
async fn a_deleted_repository_is_gone_for_everybody_at_once() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = world.all_of("tim", "acme/web").await;
    let robot = world.robot("acme", "cd", None).await;
    world.grant("acme/web", "robot:acme+cd", "delete").await;
    world.get("/v2/acme/web/manifests/1").by(&token).await.expect(200);
    refuses(world, world.api("DELETE", WEB, &basic("tim")), 403, "DENIED").await;
    world.api("DELETE", WEB, &robot).await.expect(204);
    world.get("/v2/acme/web/manifests/1").by(&token).await.expect(401);
    world.get("/v2/").by(&acme.robot).await.expect(401);
    world.get("/v2/").by(&robot).await.expect(200);
    let held = "SELECT COUNT(*) FROM repository_grants g JOIN repositories r ON r.id = g.repository_id WHERE r.name IS NOT NULL";
    assert_eq!(world.look(held).await, ["0"], "they wait with the repository, and come back with it");
}

#[tokio::test]
async fn a_repository_of_the_system_is_managed_by_administrators() {
    let world = World::open().await;
    refuses(&world, world.sends("POST", "/repositories", &basic("ann"), &json!({"name": "tools"})), 403, "DENIED")
        .await;
    world.sends("POST", "/repositories", &admin(), &json!({"name": "tools"})).await.expect(201);
    world.get("/v2/tools/tags/list").by(&basic("ann")).await.expect(403);
    world.grant("tools", "user:ann", "admin").await;
    let token = world.all_of("ann", "tools").await;
    world.image(&token, "tools", "1", "layer").await;
    world.sends("PATCH", "/repositories/tools", &basic("ann"), &json!({"visibility": "public"})).await.expect(200);
    world.sends("PATCH", "/repositories/tools", &basic("ann"), &json!({"visibility": "private"})).await.expect(200);
    world.grant("tools", "user:ann", "read").await;
    world.post("/v2/tools/blobs/uploads/").by(&token).await.expect(401);
    world.get("/v2/tools/tags/list").by(&token).await.expect(200);
    world.take("tools", "user:ann").await;
    world.get("/v2/tools/tags/list").by(&token).await.expect(401);
}
