//! What narrows a list: the beginning of the names, a role, a visibility, a state.

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, refuses};
use crate::harness::{Acme, PASSWORD, World};

#[tokio::test]
async fn every_list_of_names_takes_a_prefix() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    world.image(&basic("ann"), "ann/acme", "1", "layer").await;
    world.sends("POST", "/organizations", &admin(), &json!({"name": "ac", "owner": "olga"})).await.expect(201);
    for name in ["docs", "de"] {
        world.sends("POST", "/organizations/acme/teams", &olga, &json!({"name": name})).await.expect(201);
        world.sends("POST", "/accounts/acme/robots", &olga, &json!({"name": name})).await.expect(201);
    }
    for user in ["mia", "olga"] {
        world.api("PUT", &format!("/organizations/acme/teams/de/members/{user}"), &olga).await.expect(200);
    }
    let lists = [
        ("/users", admin(), "name", "a", vec!["admin", "ann", "aud"]),
        ("/users", admin(), "name", "an", vec!["ann"]),
        ("/organizations", admin(), "name", "ac", vec!["ac", "acme"]),
        ("/organizations", olga.clone(), "name", "acm", vec!["acme"]),
        ("/organizations", basic("ann"), "name", "a", vec![]),
        ("/organizations/acme/members", olga.clone(), "user", "t", vec!["tim"]),
        ("/organizations/acme/members", olga.clone(), "user", "a", vec![]),
        ("/organizations/acme/teams", olga.clone(), "name", "de", vec!["de", "dev"]),
        ("/organizations/acme/teams/de/members", olga.clone(), "user", "m", vec!["mia"]),
        ("/accounts/acme/robots", olga.clone(), "name", "do", vec!["docs"]),
        ("/repositories", admin(), "name", "acme/", vec!["acme/site", "acme/web"]),
        ("/repositories", admin(), "name", "acme/w", vec!["acme/web"]),
        ("/repositories", basic("ann"), "name", "a", vec!["acme/site", "ann/acme"]),
        ("/repositories", basic("tim"), "name", "acme/we", vec!["acme/web"]),
    ];
    for (list, by, key, prefix, expected) in lists {
        for limit in [1, 9] {
            let seen = pages(world, &format!("{list}?prefix={prefix}"), &by, limit, key).await.concat();
            assert_eq!(seen, expected, "{list}?prefix={prefix}, {limit} at a time");
        }
        assert_eq!(pages(world, &format!("{list}?prefix="), &by, 9, key).await, pages(world, list, &by, 9, key).await);
        assert_eq!(pages(world, &format!("{list}?prefix=zz"), &by, 9, key).await, [[""; 0]], "{list}");
        for prefix in ["A", "%25", "%C3%A9", "%00", "a%20", "a*", &"a".repeat(256)] {
            let path = format!("{list}?prefix={prefix}");
            let answer = refuses(world, world.api("GET", &path, &by), 400, "INVALID").await;
            assert_eq!(answer.json()["errors"][0]["detail"], json!({"field": "prefix"}), "{path}");
        }
    }
    assert_snapshot!(world.api("GET", "/users?prefix=An", &admin()).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 148
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"prefix"},"message":"no name begins so: names have at most 255 of a-z, 0-9, '.', '_', '-' and '/'"}]}
    "#);
}

#[tokio::test]
async fn members_are_narrowed_by_role() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let members = "/organizations/acme/members";
    let of = async |query: &str| pages(world, &format!("{members}?{query}"), &basic("mia"), 1, "user").await.concat();
    assert_eq!(of("role=owner").await, ["olga"]);
    assert_eq!(of("role=member").await, ["mia", "tim"]);
    assert_eq!(of("role=member&prefix=t").await, ["tim"]);
    assert_eq!(of("role=owner&prefix=t").await, [""; 0]);
    world.sends("PUT", &format!("{members}/tim"), &basic("olga"), &json!({"role": "owner"})).await.expect(200);
    assert_eq!(of("role=owner").await, ["olga", "tim"]);
    for role in ["Owner", "", "owner,member", "admin"] {
        let path = format!("{members}?role={role}");
        refuses(world, world.api("GET", &path, &basic("mia")), 400, "INVALID").await;
    }
    assert_snapshot!(world.api("GET", &format!("{members}?role=admin"), &basic("mia")).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 153
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":null,"message":"Failed to deserialize query string: role: unknown variant `admin`, expected `member` or `owner`"}]}
    "#);
}

#[tokio::test]
async fn repositories_are_narrowed_by_visibility() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.image(&basic("ann"), "ann/app", "1", "layer").await;
    let of = async |query: &str, by: &str| {
        pages(world, &format!("/repositories?{query}"), &basic(by), 1, "name").await.concat()
    };
    // Of these `acme/site` alone is public.
    for (by, private) in
        [("aud", vec!["acme/web", "ann/app"]), ("tim", vec!["acme/web"]), ("ann", vec!["ann/app"]), ("mia", vec![])]
    {
        assert_eq!(of("visibility=public", by).await, ["acme/site"], "{by}");
        assert_eq!(of("visibility=private", by).await, private, "{by}");
    }
    assert_eq!(of("visibility=private&prefix=acme/", "aud").await, ["acme/web"]);
    assert_eq!(of("visibility=public&prefix=ann/", "aud").await, [""; 0]);
    for visibility in ["Public", "", "all", "private,public"] {
        let path = format!("/repositories?visibility={visibility}");
        refuses(world, world.api("GET", &path, &basic("tim")), 400, "INVALID").await;
    }
}

/// A page looks at ten users for each that was asked for, and tells where the next begins.
#[tokio::test]
async fn users_are_narrowed_by_whether_they_may_sign_in() {
    let world = World::open().await;
    for number in 10..34 {
        let new = json!({"name": format!("u{number}"), "password": PASSWORD});
        world.sends("POST", "/users", &admin(), &new).await.expect(201);
    }
    for name in ["u33", "bob"] {
        world.sends("PATCH", &format!("/users/{name}"), &admin(), &json!({"disabled": true})).await.expect(200);
    }
    let of = async |query: &str, limit| pages(&world, &format!("/users?{query}"), &admin(), limit, "name").await;
    // Of admin, ann, bob, u10 … u33: the first ten hold one, the second none, and the last the other.
    assert_eq!(of("disabled=true", 1).await, [vec!["bob"], vec![], vec!["u33"]]);
    assert_eq!(of("disabled=true", 100).await, [["bob", "u33"]]);
    assert_eq!(of("disabled=true&prefix=u", 100).await, [["u33"]]);
    let may = of("disabled=false", 4).await.concat();
    assert_eq!((may.len(), &may[..3]), (25, &["admin", "ann", "u10"].map(str::to_owned)[..]));
    for disabled in ["1", "", "True", "yes"] {
        let path = format!("/users?disabled={disabled}");
        refuses(&world, world.api("GET", &path, &admin()), 400, "INVALID").await;
    }
}

#[tokio::test]
async fn the_link_to_the_next_page_asks_what_this_one_was_asked() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let mut path = "/organizations/acme/members?prefix=&role=member&limit=1&after=a".to_owned();
    let mut seen = Vec::new();
    let links = loop {
        let answer = world.api("GET", &path, &basic("mia")).await.expect(200);
        seen.push(answer.json()["items"][0]["user"].as_str().unwrap().to_owned());
        let links = answer.headers.get_all("link").iter().count();
        if links == 0 {
            break seen.len();
        }
        let link = answer.header("link");
        assert_eq!(link, "</api/v1/organizations/acme/members?prefix=&role=member&limit=1&after=mia>; rel=\"next\"");
        path = link.trim_start_matches("</api/v1").split('>').next().unwrap().to_owned();
    };
    assert_eq!((links, seen), (2, vec!["mia".to_owned(), "tim".to_owned()]));
    let link = world.api("GET", "/events?kind=signed_in&kind_is=x", &admin()).await;
    assert_eq!(link.gist(), (400, "INVALID".into()), "no unknown filter is kept: it is refused");
}
