//! Teams of an organization and who is in them.

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, records, refuses};
use crate::harness::Acme;

const TEAMS: &str = "/organizations/acme/teams";

#[tokio::test]
async fn a_team_is_made_shown_changed_and_removed() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let new = json!({"name": "ops", "description": "operators"});
    let (made, event) = records(world, world.sends("POST", TEAMS, &olga, &new)).await;
    assert_snapshot!(made, @r#"
    201 Created
    cache-control: no-store
    content-length: 62
    content-type: application/json
    etag: {tag}

    {"organization":"acme","name":"ops","description":"operators"}
    "#);
    assert_eq!(event, "olga team_created ops {}");
    let path = format!("{TEAMS}/ops");
    assert_snapshot!(world.api("GET", &path, &basic("mia")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 62
    content-type: application/json
    etag: {tag}

    {"organization":"acme","name":"ops","description":"operators"}
    "#);
    let (changed, event) = records(world, world.sends("PATCH", &path, &olga, &json!({"description": ""}))).await;
    assert_snapshot!(changed, @r#"
    200 OK
    cache-control: no-store
    content-length: 53
    content-type: application/json
    etag: {tag}

    {"organization":"acme","name":"ops","description":""}
    "#);
    assert_eq!(event, "olga team_changed ops {}");
    assert_snapshot!(world.api("GET", &format!("{TEAMS}?limit=1"), &basic("mia")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 78
    content-type: application/json
    etag: {tag}
    link: </api/v1/organizations/acme/teams?limit=1&after=dev>; rel="next"

    {"items":[{"organization":"acme","name":"dev","description":""}],"next":"dev"}
    "#);
    assert_eq!(pages(world, TEAMS, &basic("mia"), 1, "name").await, [["dev"], ["ops"]]);
    let (removed, event) = records(world, world.api("DELETE", &path, &olga)).await;
    assert_snapshot!(removed, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "olga team_removed ops {}");
    assert_snapshot!(world.api("GET", &path, &olga).await, @r#"
    404 Not Found
    cache-control: no-store
    content-length: 106
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"there is no team of this name that you may see"}]}
    "#);
}

#[tokio::test]
async fn a_team_that_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for name in ["", "Dev", "a/b", "a\u{0}", "api", "v1", &"a".repeat(256)] {
        refuses(world, world.sends("POST", TEAMS, &admin(), &json!({"name": name})), 400, "INVALID").await;
    }
    for description in ["x".repeat(4097), "a\u{0}".to_owned()] {
        let new = json!({"name": "ops", "description": description});
        refuses(world, world.sends("POST", TEAMS, &admin(), &new), 400, "INVALID").await;
    }
    refuses(world, world.sends("POST", TEAMS, &admin(), &json!({"name": "dev"})), 409, "CONFLICT").await;
    refuses(
        world,
        world.sends("POST", "/organizations/ann/teams", &admin(), &json!({"name": "dev"})),
        404,
        "NOT_FOUND",
    )
    .await;
}

#[tokio::test]
async fn people_are_put_into_a_team_listed_and_taken_out() {
    let acme = Acme::open().await;
    let (world, olga, members) = (&acme.world, basic("olga"), format!("{TEAMS}/dev/members"));
    let (answer, event) = records(world, world.api("PUT", &format!("{members}/mia"), &olga)).await;
    assert_snapshot!(answer, @r#"
    200 OK
    cache-control: no-store
    content-length: 14
    content-type: application/json
    etag: {tag}

    {"user":"mia"}
    "#);
    assert_eq!(event, r#"olga team_member_added dev {"user":"mia"}"#);
    let before = world.rows().await;
    world.api("PUT", &format!("{members}/mia"), &olga).await.expect(200);
    assert_eq!(world.rows().await, before, "who is in it already is not put into it again");
    assert_snapshot!(world.api("GET", &members, &basic("mia")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 41
    content-type: application/json
    etag: {tag}

    {"items":[{"user":"mia"},{"user":"tim"}]}
    "#);
    assert_eq!(pages(world, &members, &basic("mia"), 1, "user").await, [["mia"], ["tim"]]);
    // Who was put there by a hand and by a directory is shown with both, wherever a page ends.
    world
        .meddle(
            "INSERT INTO team_members (team_id, account_id, user_id, source)
             SELECT team_id, account_id, user_id, 'https://issuer.example/a' FROM team_members",
        )
        .await;
    for limit in [1, 2, 3, 100] {
        let shown = pages(world, &members, &basic("mia"), limit, "user").await;
        assert!(shown.iter().all(|page| page.len() <= limit as usize), "{shown:?}");
        assert_eq!(shown.concat(), ["mia", "mia", "tim", "tim"], "{limit} at a time");
    }
    let all = world.api("GET", &members, &basic("mia")).await.expect(200).json();
    assert_eq!(all["items"][1], json!({"user": "mia", "source": "https://issuer.example/a"}));
    world.meddle("DELETE FROM team_members WHERE source <> ''").await;
    let (answer, event) = records(world, world.api("DELETE", &format!("{members}/mia"), &olga)).await;
    assert_snapshot!(answer, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, r#"olga team_member_removed dev {"user":"mia"}"#);
    for user in ["mia", "ann", "eve", "M", "acme+ci"] {
        refuses(world, world.api("DELETE", &format!("{members}/{user}"), &olga), 404, "NOT_FOUND").await;
    }
    for user in ["ann", "eve", "M", "acme+ci"] {
        refuses(world, world.api("PUT", &format!("{members}/{user}"), &olga), 400, "INVALID").await;
    }
    refuses(world, world.api("PUT", &format!("{TEAMS}/ops/members/mia"), &olga), 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn what_a_team_holds_its_people_hold_from_the_next_request_on_and_no_longer() {
    let acme = Acme::open().await;
    let (world, member) = (&acme.world, format!("{TEAMS}/dev/members/mia"));
    world.get("/v2/acme/web/tags/list").by(&basic("mia")).await.expect(403);
    world.api("PUT", &member, &admin()).await.expect(200);
    world.get("/v2/acme/web/tags/list").by(&basic("mia")).await.expect(200);
    let token = world.all_of("mia", "acme/web").await;
    world.post("/v2/acme/web/blobs/uploads/").by(&token).await.expect(202);
    world.api("DELETE", &member, &admin()).await.expect(204);
    world.post("/v2/acme/web/blobs/uploads/").by(&token).await.expect(401);
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
    let token = world.all_of("tim", "acme/web").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(200);
    world.api("DELETE", &format!("{TEAMS}/dev"), &admin()).await.expect(204);
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
}
