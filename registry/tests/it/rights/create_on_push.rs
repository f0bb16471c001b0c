//! Whose first push makes a repository, and what they are then given.

use std::fmt::Write as _;

use hallmark_storage::metadata::DatabaseConfig;
use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Acme, Answer, Credentials, PASSWORD, Postgres, World, sha256};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

async fn pushes(world: &World, name: &str, by: &Credentials) -> Answer {
    world.post(&format!("/v2/{name}/blobs/uploads/?digest={}", sha256("layer"))).by(by).body("layer").await
}

/// Who was granted what on a repository, and by whom.
async fn granted(world: &World, name: &str) -> Vec<String> {
    world
        .look(&format!(
            "SELECT (SELECT name FROM users WHERE users.principal_id = g.principal_id), rights FROM repository_grants g
           JOIN repositories r ON r.id = g.repository_id WHERE r.name = '{name}'"
        ))
        .await
}

#[tokio::test]
async fn the_setting_of_the_organization_and_prefixes_decide_whose_push_makes_a_repository() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.team("acme", "makers", &["mia"]).await;
    for name in ["pat", "pia", "rea"] {
        world.add_user(name).await;
    }
    world.member("acme", "rea", "member").await;
    world.grant("acme/new*", "user:pat", "write").await;
    world.grant("acme/new*", "user:pia", "admin").await;
    world.grant("acme/new*", "user:rea", "read").await;
    let robot = world.robot("acme", "cd", None).await;
    world.grant("acme/new*", "robot:acme+cd", "write").await;
    let callers = [
        ("nobody", Credentials::none()),
        ("stranger", basic("ann")),
        ("member", basic("tim")),
        ("member who reads", basic("rea")),
        ("owner", basic("olga")),
        ("auditor", basic("aud")),
        ("administrator", basic("admin")),
        ("holder of write", basic("pat")),
        ("holder of admin", basic("pia")),
        ("robot with write", robot),
        ("robot of another", acme.robot.clone()),
    ];
    let mut table = String::new();
    for setting in ["off", "on"] {
        if setting == "on" {
            world.create_on_push("acme").await;
        }
        for (who, by) in &callers {
            let world = world.copied().await;
            let before = world.rows().await;
            let answer = pushes(&world, "acme/new-shop", by).await;
            let made = world.repository("acme/new-shop").await.is_some();
            assert_eq!(made, answer.status == 201, "{who}");
            if !made {
                assert_eq!(world.rows().await, before, "{who}");
            }
            let grants = granted(&world, "acme/new-shop").await.join(", ");
            let line = format!("{setting:3} {who:17} {} {grants}", answer.status.as_u16());
            writeln!(table, "{}", line.trim_end()).unwrap();
        }
    }
    assert_snapshot!(table, @r"
    off nobody            401
    off stranger          403
    off member            403
    off member who reads  403
    off owner             201
    off auditor           403
    off administrator     201
    off holder of write   404
    off holder of admin   201
    off robot with write  404
    off robot of another  403
    on  nobody            401
    on  stranger          403
    on  member            201 tim 31
    on  member who reads  201 rea 31
    on  owner             201
    on  auditor           403
    on  administrator     201
    on  holder of write   201
    on  holder of admin   201
    on  robot with write  201
    on  robot of another  403
    ");
}

#[tokio::test]
async fn what_a_member_makes_is_theirs_and_no_other_members() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    let mia = world.all_of("mia", "acme/new").await;
    world.image(&mia, "acme/new", "1", "layer").await;
    assert_eq!(world.events().await.iter().filter(|event| *event == "repository_created acme/new").count(), 1);
    let digest = sha256("layer");
    world.get(&format!("/v2/acme/new/blobs/{digest}")).by(&mia).await.expect(200);
    let put = world.sends("PUT", "/grants/acme%2Fnew/user:ann", &basic("mia"), &json!({"rights": "read"}));
    put.await.expect(200);
    // Another member, who could make one of a free name, reads nothing, as if there were none.
    for (name, read) in [("tim", 404), ("bob", 403)] {
        assert_eq!(pushes(world, "acme/new", &basic(name)).await.gist(), (403, "DENIED".into()), "{name}");
        world.get("/v2/acme/new/tags/list").by(&basic(name)).await.expect(read);
    }
    // A token asked for while there was no such repository gives nothing in the one that somebody else made since.
    let early = world.all_of("tim", "acme/late").await;
    let mia = world.all_of("mia", "acme/late").await;
    world.image(&mia, "acme/late", "1", "layer").await;
    world.get("/v2/acme/late/tags/list").by(&early).await.expect(404);
    world.post("/v2/acme/late/blobs/uploads/").by(&early).await.expect(401);
}

#[tokio::test]
async fn a_setting_that_is_turned_off_holds_for_the_next_push() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    let token = world.all_of("mia", "acme/new").await;
    let upload = world.post("/v2/acme/new/blobs/uploads/").by(&token).await.expect(202).location();
    world.delete(&upload).by(&token).await.expect(204);
    let other = world.all_of("mia", "acme/other").await;
    let off = json!({"create_on_push": false});
    world.sends("PATCH", "/organizations/acme", &basic("olga"), &off).await.expect(200);
    assert_eq!(pushes(world, "acme/other", &other).await.status, 401);
    assert!(world.repository("acme/other").await.is_none());
}

/// Members may make a repository by the API exactly where they may by a push.
#[tokio::test]
async fn a_member_makes_a_repository_by_hand_where_a_push_would() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let make = |by: &str| world.sends("POST", "/repositories", &basic(by), &json!({"name": "acme/new"})).into_future();
    assert_eq!(make("mia").await.gist(), (403, "DENIED".into()));
    world.create_on_push("acme").await;
    assert_eq!(make("mia").await.expect(201).json()["rights"], "admin");
    assert_eq!(granted(world, "acme/new").await, ["mia 31"]);
    assert_eq!(make("tim").await.gist(), (403, "DENIED".into()));
    assert_eq!(make("mia").await.gist(), (409, "CONFLICT".into()));
}

/// Two members push first at the same moment: one makes the repository and is given it, and the other is a stranger there.
async fn push_at_once(world: &World) {
    world.create_on_push("acme").await;
    for round in 0..12 {
        let (name, other) = (format!("acme/push{round}"), format!("acme/hand{round}"));
        let digest = sha256("layer");
        let push = |who: &str| {
            let call = world.post(&format!("/v2/{name}/blobs/uploads/?digest={digest}")).by(&basic(who));
            call.body("layer").into_future()
        };
        let make = |who: &str| world.sends("POST", "/repositories", &basic(who), &json!({"name": other})).into_future();
        let answers = futures_util::join!(push("mia"), push("tim"), make("mia"), make("tim"));
        for (name, first, second) in [(&name, &answers.0, &answers.1), (&other, &answers.2, &answers.3)] {
            let mut statuses = [first.status.as_u16(), second.status.as_u16()];
            statuses.sort_unstable();
            assert!(matches!(statuses, [201, 403 | 409]), "{name}: {first}{second}");
            let id = world.repository(name).await.unwrap().id;
            let grants = world.app.metadata.grants_on(id, None, 10).await.unwrap();
            assert_eq!(grants.len(), 1, "{name} was given to both");
            let winner = if first.status == 201 { "mia" } else { "tim" };
            assert_eq!(
                grants[0].holder.as_ref().map(|(_, holder)| format!("{holder:?}")),
                Some(format!("User({winner:?})"))
            );
        }
    }
    let numbered: Result<_, hallmark_storage::metadata::Error> =
        world.app.metadata.write((), |tx, ()| Box::pin(tx.number_events(1000))).await;
    numbered.unwrap();
    let path = "/events?kind=repository_created&account=acme&limit=1000";
    let made = world.api("GET", path, &basic("admin")).await.json();
    let made = made["items"].as_array().unwrap().iter().filter(|event| event["actor"] != "admin").count();
    assert_eq!(made, 24, "each was made once");
}

async fn with_members(world: World) -> World {
    for name in ["olga", "mia", "tim"] {
        world.add_user(name).await;
    }
    world.organization("acme", "olga").await;
    for name in ["mia", "tim"] {
        world.member("acme", name, "member").await;
        world.get("/v2/").by(&basic(name)).await.expect(200);
    }
    world
}

#[tokio::test]
async fn of_two_first_pushes_at_once_one_makes_the_repository() {
    push_at_once(&with_members(World::open().await).await).await;
}

#[tokio::test]
async fn of_two_first_pushes_at_once_one_makes_the_repository_on_a_server() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 8 };
    let world = World::with(|config| config.database = database).await;
    push_at_once(&with_members(world).await).await;
}

/// Whether anybody may pull is for who has `admin`: making a repository public needs no less than publishing one.
#[tokio::test]
async fn a_repository_is_made_public_by_who_may_publish_it() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    world.add_user("pat").await;
    world.add_user("pia").await;
    world.grant("acme/new*", "user:pat", "write").await;
    world.grant("acme/new*", "user:pia", "admin").await;
    let robot = world.robot("acme", "cd", None).await;
    world.grant("acme/new*", "robot:acme+cd", "write").await;
    let limited = Credentials::bearer(&world.personal("olga", "write api:write").await.1);
    let callers = [
        (basic("pat"), 403),
        (robot, 403),
        (limited, 403),
        (basic("pia"), 201),
        // Whoever makes one as a member is given `admin` in it.
        (basic("tim"), 201),
        (basic("olga"), 201),
    ];
    for (by, status) in callers {
        let world = world.copied().await;
        let events = world.count_events().await;
        let new = json!({"name": "acme/new-shop", "visibility": "public"});
        world.sends("POST", "/repositories", &by, &new).await.expect(status);
        let made = world.repository("acme/new-shop").await;
        assert_eq!(made.map(|made| made.public), (status == 201).then_some(true), "{by:?}");
        let told = world.events_after(events).await.iter().any(|event| event.contains("repository_published"));
        assert_eq!(told, status == 201, "{by:?}");
        if status == 403 {
            let private = json!({"name": "acme/new-shop", "visibility": "private"});
            world.sends("POST", "/repositories", &by, &private).await.expect(201);
        }
    }
}

/// A fortnight, in seconds.
const REST: i64 = 14 * 24 * 60 * 60;

/// Threat 8: whoever may only delete, and make what does not exist, does not come to administer a name that others pull by.
#[tokio::test]
async fn a_name_that_rests_is_made_again_by_those_only_who_administer_it() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    world.grant("acme/web", "user:mia", "read+delete").await;
    world.api("DELETE", "/repositories/acme%2Fweb", &basic("mia")).await.expect(204);
    let before = world.rows().await;
    let refused = pushes(world, "acme/web", &basic("mia")).await;
    assert_eq!(refused.gist(), (404, "NAME_UNKNOWN".into()));
    assert!(refused.text().contains("its name is kept from others for a while"), "{refused}");
    let new = json!({"name": "acme/web"});
    let refused = world.sends("POST", "/repositories", &basic("mia"), &new).await.expect(403);
    assert!(refused.text().contains("kept from others"), "{refused}");
    assert_eq!(world.rows().await, before);
    assert_eq!(pushes(world, "acme/web", &basic("olga")).await.status, 201);
    world.api("DELETE", "/repositories/acme%2Fweb", &basic("admin")).await.expect(204);
    world.pass(REST - 1);
    assert_eq!(pushes(world, "acme/web", &basic("mia")).await.status, 404);
    world.pass(1);
    assert_eq!(pushes(world, "acme/web", &basic("mia")).await.status, 201);
}

#[tokio::test]
async fn a_repository_takes_its_own_old_name_back_and_no_other_one() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    for name in ["acme/one", "acme/other"] {
        assert_eq!(pushes(world, name, &basic("mia")).await.status, 201);
    }
    let rename = async |from: &str, to: &str, by: &str| {
        let path = format!("/repositories/acme%2F{from}");
        world.sends("PATCH", &path, &basic(by), &json!({"name": format!("acme/{to}")})).await.status.as_u16()
    };
    assert_eq!(rename("one", "two", "mia").await, 200);
    assert_eq!(pushes(world, "acme/one", &basic("tim")).await.status, 404);
    assert_eq!(rename("other", "one", "mia").await, 403);
    assert_eq!(rename("two", "one", "mia").await, 200);
    assert_eq!(rename("other", "two", "mia").await, 403);
    assert_eq!(rename("other", "two", "olga").await, 200);
}
