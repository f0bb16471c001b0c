//! `/users`: as administrators manage them, and as they manage themselves.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{admin, basic, pages, records, refuses};
use crate::harness::{Acme, Credentials, PASSWORD, World};

fn user(name: &str) -> Value {
    json!({"name": name, "password": PASSWORD})
}

#[tokio::test]
async fn a_user_is_made_shown_changed_and_removed() {
    let world = World::open().await;
    let new = json!({"name": "eve", "password": PASSWORD, "role": "auditor"});
    let (made, event) = records(&world, world.sends("POST", "/users", &admin(), &new)).await;
    assert_snapshot!(made, @r#"
    201 Created
    cache-control: no-store
    content-length: 48
    content-type: application/json
    etag: {tag}

    {"name":"eve","role":"auditor","disabled":false}
    "#);
    assert_eq!(event, r#"admin user_added eve {"role":"auditor"}"#);
    assert_snapshot!(world.api("GET", "/users/eve", &basic("eve")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 48
    content-type: application/json
    etag: {tag}

    {"name":"eve","role":"auditor","disabled":false}
    "#);
    let (changed, event) =
        records(&world, world.sends("PATCH", "/users/eve", &admin(), &json!({"role": "user"}))).await;
    assert_snapshot!(changed, @r#"
    200 OK
    cache-control: no-store
    content-length: 45
    content-type: application/json
    etag: {tag}

    {"name":"eve","role":"user","disabled":false}
    "#);
    assert_eq!(event, r#"admin user_changed eve {"role":"user"}"#);
    let (removed, event) = records(&world, world.api("DELETE", "/users/eve", &admin())).await;
    assert_snapshot!(removed, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "admin user_removed eve {}");
    assert_snapshot!(world.api("GET", "/users/eve", &admin()).await, @r#"
    404 Not Found
    cache-control: no-store
    content-length: 106
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"there is no user of this name that you may see"}]}
    "#);
    world.api("GET", "/me", &basic("eve")).await.expect(401);
}

/// Also where a role is given and taken back within the five minutes for which a password is remembered.
#[tokio::test]
async fn a_change_of_a_role_makes_passwords_forgotten() {
    let world = World::open().await;
    let hashes = async || {
        let before = world.app.passwords.hashes_computed();
        world.api("GET", "/me", &basic("ann")).await.expect(200);
        world.app.passwords.hashes_computed() - before
    };
    assert_eq!((hashes().await, hashes().await), (1, 0), "it is remembered");
    for role in ["auditor", "user"] {
        world.sends("PATCH", "/users/ann", &admin(), &json!({"role": role})).await.expect(200);
        assert_eq!((hashes().await, hashes().await), (1, 0), "{role}");
    }
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_not_recorded() {
    let world = World::open().await;
    let before = world.rows().await;
    for nothing in [json!({}), json!({"role": "user"}), json!({"disabled": false}), json!({"role": null})] {
        world.sends("PATCH", "/users/ann", &admin(), &nothing).await.expect(200);
    }
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let world = World::open().await;
    assert_snapshot!(world.api("GET", "/users?limit=2", &admin()).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 127
    content-type: application/json
    etag: {tag}
    link: </api/v1/users?limit=2&after=ann>; rel="next"

    {"items":[{"name":"admin","role":"administrator","disabled":false},{"name":"ann","role":"user","disabled":false}],"next":"ann"}
    "#);
    assert_eq!(pages(&world, "/users", &admin(), 2, "name").await, [vec!["admin", "ann"], vec!["bob"]]);
    assert_eq!(pages(&world, "/users", &admin(), 1, "name").await, [["admin"], ["ann"], ["bob"]]);
}

#[tokio::test]
async fn a_user_who_cannot_be_is_refused() {
    let world = World::open().await;
    let long = "a".repeat(256);
    for name in [
        "", "Eve", "a/b", "a b", "-a", "a..b", "é", "a\u{0}", "a+b", "admin", "api", "library", "system", "token",
        "v2", &long,
    ] {
        refuses(&world, world.sends("POST", "/users", &admin(), &user(name)), 400, "INVALID").await;
    }
    refuses(&world, world.sends("POST", "/users", &admin(), &user("ann")), 409, "CONFLICT").await;
    world.organization("acme", "ann").await;
    refuses(&world, world.sends("POST", "/users", &admin(), &user("acme")), 409, "CONFLICT").await;
    for password in ["", "seven77", &"x".repeat(1025), "hmp_looks_like_a_token", "hmb_looks_like_a_token"] {
        let new = json!({"name": "eve", "password": password});
        refuses(&world, world.sends("POST", "/users", &admin(), &new), 400, "INVALID").await;
    }
    let new = json!({"name": "eve", "password": PASSWORD, "role": "root"});
    refuses(&world, world.sends("POST", "/users", &admin(), &new), 400, "INVALID").await;
    assert_snapshot!(world.sends("POST", "/users", &admin(), &user("admin")).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 100
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"name"},"message":"the name \"admin\" is reserved"}]}
    "#);
}

#[tokio::test]
async fn a_disabled_user_is_let_in_nowhere_from_the_next_request_on() {
    let world = World::open().await;
    let bearer = world.token("ann", "").await;
    let personal = Credentials::bearer(&world.personal("ann", "read api:read").await.1);
    world.sends("PATCH", "/users/ann", &admin(), &json!({"disabled": true})).await.expect(200);
    for by in [&bearer, &personal, &basic("ann")] {
        world.get("/v2/").by(by).await.expect(401);
        world.api("GET", "/me", by).await.expect(401);
    }
    world.sends("PATCH", "/users/ann", &admin(), &json!({"disabled": false})).await.expect(200);
    world.get("/v2/").by(&basic("ann")).await.expect(200);
    world.get("/v2/").by(&bearer).await.expect(401);
    world.get("/v2/").by(&personal).await.expect(401);
}

#[tokio::test]
async fn a_role_holds_from_the_next_request_on() {
    let world = World::open().await;
    refuses(&world, world.api("GET", "/users", &basic("ann")), 403, "DENIED").await;
    world.sends("PATCH", "/users/ann", &admin(), &json!({"role": "auditor"})).await.expect(200);
    world.api("GET", "/users", &basic("ann")).await.expect(200);
    refuses(&world, world.sends("POST", "/users", &basic("ann"), &user("eve")), 403, "DENIED").await;
    world.sends("PATCH", "/users/ann", &admin(), &json!({"role": "user"})).await.expect(200);
    refuses(&world, world.api("GET", "/users", &basic("ann")), 403, "DENIED").await;
}

#[tokio::test]
async fn one_administrator_is_left_at_least() {
    let world = World::open().await;
    for change in [json!({"disabled": true}), json!({"role": "user"}), json!({"role": "auditor"})] {
        refuses(&world, world.sends("PATCH", "/users/admin", &admin(), &change), 409, "CONFLICT").await;
    }
    refuses(&world, world.api("DELETE", "/users/admin", &admin()), 409, "CONFLICT").await;
    // One who may do nothing is none, and may go.
    world.sends("PATCH", "/users/ann", &admin(), &json!({"role": "administrator"})).await.expect(200);
    world.sends("PATCH", "/users/ann", &admin(), &json!({"disabled": true})).await.expect(200);
    refuses(&world, world.api("DELETE", "/users/admin", &admin()), 409, "CONFLICT").await;
    world.api("DELETE", "/users/ann", &admin()).await.expect(204);
    world.sends("PATCH", "/users/bob", &admin(), &json!({"role": "administrator"})).await.expect(200);
    world.api("DELETE", "/users/admin", &basic("bob")).await.expect(204);
}

#[tokio::test]
async fn who_owns_something_stays() {
    let acme = Acme::open().await;
    let world = &acme.world;
    refuses(world, world.api("DELETE", "/users/olga", &admin()), 409, "CONFLICT").await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    refuses(world, world.api("DELETE", "/users/ann", &admin()), 409, "CONFLICT").await;
    world.robot("bob", "ci", None).await;
    refuses(world, world.api("DELETE", "/users/bob", &admin()), 409, "CONFLICT").await;
    assert_snapshot!(world.api("DELETE", "/users/bob", &admin()).await, @r#"
    409 Conflict
    cache-control: no-store
    content-length: 102
    content-type: application/json

    {"errors":[{"code":"CONFLICT","detail":null,"message":"\"bob\" still has robots; remove them first"}]}
    "#);
}

#[tokio::test]
async fn a_password_is_set_by_its_owner_or_an_administrator() {
    let world = World::open().await;
    let (ann, bearer) = (basic("ann"), world.token("ann", "").await);
    let password = |text: &str| json!({"password": text});
    refuses(&world, world.sends("PUT", "/users/bob/password", &ann, &password("another password")), 404, "NOT_FOUND")
        .await;
    refuses(&world, world.sends("PUT", "/users/ann/password", &ann, &password("short")), 400, "INVALID").await;
    let call = world.sends("PUT", "/users/ann/password", &ann, &password("another password"));
    let (answer, event) = records(&world, call).await;
    assert_eq!((answer.status.as_u16(), &*event), (204, "ann password_changed ann {}"));
    world.api("GET", "/me", &ann).await.expect(401);
    world.get("/v2/").by(&bearer).await.expect(401);
    world.api("GET", "/me", &Credentials::basic("ann", "another password")).await.expect(200);
    world.sends("PUT", "/users/ann/password", &admin(), &password("a third password")).await.expect(204);
    world.api("GET", "/me", &Credentials::basic("ann", "a third password")).await.expect(200);
    refuses(
        &world,
        world.sends("PUT", "/users/eve/password", &admin(), &password("another password")),
        404,
        "NOT_FOUND",
    )
    .await;
}

/// The hashing of passwords that users set waits in their turn, and never in the operator's.
#[tokio::test]
async fn who_sets_passwords_again_and_again_takes_no_place_of_the_operator() {
    let world = World::open().await;
    world.api("GET", "/me", &basic("ann")).await.expect(200);
    let set = || world.sends("PUT", "/users/ann/password", &basic("ann"), &json!({"password": PASSWORD})).into_future();
    let operator = world.app.passwords.hash(PASSWORD.to_owned(), hallmark::auth::Client::Operator);
    let (answers, hashed) = futures_util::join!(futures_util::future::join_all((0..20).map(|_| set())), operator);
    hashed.unwrap();
    assert!(answers.iter().any(|answer| answer.status.as_u16() == 429), "nobody had to wait");
}

#[tokio::test]
async fn a_logout_ends_every_token() {
    let world = World::open().await;
    let bearer = world.token("ann", "").await;
    let personal = Credentials::bearer(&world.personal("ann", "read").await.1);
    refuses(&world, world.api("POST", "/users/ann/logout", &basic("bob")), 404, "NOT_FOUND").await;
    let (answer, event) = records(&world, world.api("POST", "/users/ann/logout", &basic("ann"))).await;
    assert_eq!((answer.status.as_u16(), &*event), (204, "ann user_logged_out ann {}"));
    for by in [&bearer, &personal] {
        world.get("/v2/").by(by).await.expect(401);
    }
    world.get("/v2/").by(&basic("ann")).await.expect(200);
    world.api("POST", "/users/ann/logout", &admin()).await.expect(204);
}

/// Threat 15: only who reads everything can tell who is there.
#[tokio::test]
async fn users_are_hidden_from_each_other() {
    let world = World::open().await;
    for (method, path) in [("GET", "/users/N"), ("POST", "/users/N/logout")] {
        let known = world.api(method, &path.replace('N', "bob"), &basic("ann")).await.expect(404);
        let unknown = world.api(method, &path.replace('N', "eve"), &basic("ann")).await.expect(404);
        assert_eq!(known.visible(), unknown.visible(), "{path}");
    }
    let password = json!({"password": "another long password"});
    for method in ["PATCH", "DELETE"] {
        let ask = async |name: &str| {
            let (path, none) = (format!("/users/{name}"), json!({}));
            world.sends(method, &path, &basic("ann"), &none).await.expect(403).visible()
        };
        assert_eq!(ask("bob").await, ask("eve").await);
    }
    let known = world.sends("PUT", "/users/bob/password", &basic("ann"), &password).await.expect(404);
    assert_eq!(known.visible(), world.sends("PUT", "/users/eve/password", &basic("ann"), &password).await.visible());
}

/// An administrator stays one when the token that made them has ended.
#[tokio::test]
async fn a_token_makes_no_administrator() {
    let world = World::open().await;
    let (_, token) = world.personal("admin", "admin api:write").await;
    let by = Credentials::basic("admin", &token);
    let new = |name: &str, role: &str| json!({"name": name, "password": PASSWORD, "role": role});
    refuses(&world, world.sends("POST", "/users", &by, &new("eve", "administrator")), 403, "DENIED").await;
    for name in ["bob", "admin"] {
        let change = json!({"role": "administrator"});
        refuses(&world, world.sends("PATCH", &format!("/users/{name}"), &by, &change), 403, "DENIED").await;
    }
    refuses(&world, world.sends("POST", "/users", &by, &new("eve", "auditor")), 403, "DENIED").await;
    refuses(&world, world.sends("PATCH", "/users/bob", &by, &json!({"role": "auditor"})), 403, "DENIED").await;
    world.sends("POST", "/users", &by, &new("eve", "user")).await.expect(201);
    world.sends("PATCH", "/users/bob", &admin(), &json!({"role": "administrator"})).await.expect(200);
    // Nor does it let one in again who was kept out, or a certificate be one.
    world.sends("PATCH", "/users/bob", &by, &json!({"disabled": true})).await.expect(200);
    refuses(&world, world.sends("PATCH", "/users/bob", &by, &json!({"disabled": false})), 403, "DENIED").await;
    let rule =
        |user: &str| json!({"holder": format!("user:{user}"), "kind": "subject", "pattern": format!("CN={user}")});
    refuses(&world, world.sends("POST", "/certificates", &by, &rule("admin")), 403, "DENIED").await;
    world.sends("POST", "/certificates", &by, &rule("eve")).await.expect(201);
    world.sends("POST", "/certificates", &admin(), &rule("admin")).await.expect(201);
    world.sends("PATCH", "/users/bob", &by, &json!({"role": "user", "disabled": false})).await.expect(200);
}
