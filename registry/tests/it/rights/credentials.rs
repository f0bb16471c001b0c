//! Personal access tokens and the secrets of robots: with a name, alone, and by what the token endpoint makes of them.

use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Acme, Answer, Credentials, OCI_MANIFEST, PASSWORD, World, image, sha256};

const WEB: &str = "repository:acme/web:pull,push,delete";

async fn signs_in(world: &World, by: &Credentials, scope: &str) -> Answer {
    world.get(&format!("/token?service=hallmark&offline_token=true&scope={}", scope.replace(' ', "%20"))).by(by).await
}

async fn bearer(world: &World, by: &Credentials, scope: &str) -> Credentials {
    Credentials::bearer(signs_in(world, by, scope).await.expect(200).json()["token"].as_str().unwrap())
}

/// What is answered to pull and push, to delete a tag and a digest, to pull another repository, to list all, and to ask
/// the management API who one is.
async fn asked(world: &World, by: &Credentials) -> Vec<u16> {
    let digest = sha256(image("{}", &["layer"]));
    let begun = world.post("/v2/acme/web/blobs/uploads/").by(by).await;
    let mut statuses = vec![world.get("/v2/acme/web/manifests/1").by(by).await.status.as_u16(), begun.status.as_u16()];
    statuses.push(world.delete("/v2/acme/web/manifests/1").by(by).await.status.as_u16());
    statuses.push(world.delete(&format!("/v2/acme/web/manifests/{digest}")).by(by).await.status.as_u16());
    statuses.push(world.get("/v2/acme/db/tags/list").by(by).await.status.as_u16());
    statuses.push(world.get("/v2/_catalog").by(by).await.status.as_u16());
    statuses.push(world.api("GET", "/me", by).await.status.as_u16());
    statuses
}

/// Whatever its owner may, a token does no more than it is limited to, in whichever way it is shown.
#[tokio::test]
async fn a_token_reaches_as_far_as_its_limits() {
    let acme = Acme::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    acme.world.image(&admin, "acme/db", "1", "layer").await;
    let mut table = format!(
        "{:38} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5}",
        "", "pull", "push", "untag", "del", "other", "list", "me"
    );
    for (user, scopes) in [
        ("olga", "read"),
        ("olga", "write"),
        ("admin", "write"),
        ("olga", "delete"),
        ("olga", "sign"),
        ("admin", "admin"),
        ("olga", "admin api:read"),
        ("olga", "api:write"),
        ("admin", "admin on:acme/web"),
        ("olga", "write on:acme/w*"),
        ("olga", "admin on:acme/d*"),
        ("mia", "admin api:write"),
        ("tim", "admin"),
    ] {
        let secret = acme.world.personal(user, scopes).await.1;
        let name = Credentials::basic(user, &secret);
        let mut world = acme.world.copied().await;
        let token = bearer(&world, &name, &format!("{WEB} repository:acme/db:pull registry:catalog:*")).await;
        for (way, by) in [("name", name), ("alone", Credentials::bearer(&secret)), ("token", token)] {
            write!(table, "\n{:38}", format!("{user:5} {scopes:25} {way:5}")).unwrap();
            let statuses = asked(&world, &by).await;
            for status in &statuses {
                write!(table, " {status:>5}").unwrap();
            }
            if statuses[2..4].contains(&202) {
                world = acme.world.copied().await;
            }
        }
    }
    for (way, by) in [("name", acme.robot.clone()), ("token", bearer(&acme.world, &acme.robot, WEB).await)] {
        let world = acme.world.copied().await;
        write!(table, "\n{:38}", format!("robot {:25} {way:5}", "")).unwrap();
        for status in asked(&world, &by).await {
            write!(table, " {status:>5}").unwrap();
        }
    }
    assert_snapshot!(table, @r"
                                            pull  push untag   del other  list    me
    olga  read                      name     200   403   403   403   200   200   403
    olga  read                      alone    200   403   403   403   200   200   403
    olga  read                      token    200   401   401   401   200   200   403
    olga  write                     name     200   202   202   403   200   200   403
    olga  write                     alone    200   202   202   403   200   200   403
    olga  write                     token    200   202   202   401   200   200   403
    admin write                     name     200   202   202   403   200   200   403
    admin write                     alone    200   202   202   403   200   200   403
    admin write                     token    200   202   202   401   200   200   403
    olga  delete                    name     403   403   403   202   403   403   403
    olga  delete                    alone    403   403   403   202   403   403   403
    olga  delete                    token    401   401   401   202   401   401   403
    olga  sign                      name     403   403   403   403   403   403   403
    olga  sign                      alone    403   403   403   403   403   403   403
    olga  sign                      token    401   401   401   401   401   401   403
    admin admin                     name     200   202   202   202   200   200   403
    admin admin                     alone    200   202   202   202   200   200   403
    admin admin                     token    200   202   202   202   200   200   403
    olga  admin api:read            name     200   202   202   202   200   200   200
    olga  admin api:read            alone    200   202   202   202   200   200   200
    olga  admin api:read            token    200   202   202   202   200   200   403
    olga  api:write                 name     403   403   403   403   403   403   200
    olga  api:write                 alone    403   403   403   403   403   403   200
    olga  api:write                 token    401   401   401   401   401   401   403
    admin admin on:acme/web         name     200   202   202   202   403   403   403
    admin admin on:acme/web         alone    200   202   202   202   403   403   403
    admin admin on:acme/web         token    200   202   202   202   401   401   403
    olga  write on:acme/w*          name     200   202   202   403   403   403   403
    olga  write on:acme/w*          alone    200   202   202   403   403   403   403
    olga  write on:acme/w*          token    200   202   202   401   401   401   403
    olga  admin on:acme/d*          name     403   403   403   403   200   403   403
    olga  admin on:acme/d*          alone    403   403   403   403   200   403   403
    olga  admin on:acme/d*          token    401   401   401   401   200   401   403
    mia   admin api:write           name     403   403   403   403   403   200   200
    mia   admin api:write           alone    403   403   403   403   403   200   200
    mia   admin api:write           token    401   401   401   401   401   200   403
    tim   admin                     name     200   202   202   403   403   200   403
    tim   admin                     alone    200   202   202   403   403   200   403
    tim   admin                     token    200   202   202   401   401   200   403
    robot                           name     200   202   202   403   403   200   200
    robot                           token    200   202   202   401   401   401   403
    ");
}

/// The token endpoint names no more than the limits: `delete` for who may write is the word for tags.
#[tokio::test]
async fn the_token_endpoint_names_what_the_limits_reach() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let scope = format!("{WEB} repository:acme/site:pull,push registry:catalog:*");
    for (scopes, granted) in [
        ("read", "registry:catalog:* repository:acme/site:pull repository:acme/web:pull"),
        ("write", "registry:catalog:* repository:acme/site:pull,push repository:acme/web:pull,push,delete"),
        ("write on:acme/web", "repository:acme/web:pull,push,delete"),
        ("admin on:acme/s*", "repository:acme/site:pull,push"),
        ("sign", ""),
        ("api:write", ""),
    ] {
        let by = Credentials::basic("olga", &world.personal("olga", scopes).await.1);
        assert_eq!(signs_in(world, &by, &scope).await.expect(200).json()["scope"], granted, "{scopes}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_void_at_the_next_request_with_all_that_was_made_from_it() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let (id, secret) = world.personal("tim", "write").await;
    let name = Credentials::basic("tim", &secret);
    let token = bearer(world, &name, WEB).await;
    let upload = world.post("/v2/acme/web/blobs/uploads/").by(&token).await.expect(202).location();
    world.api("DELETE", &format!("/me/tokens/{id}"), &Credentials::basic("tim", PASSWORD)).await.expect(204);
    world.patch(&upload).by(&token).body("layer").await.expect(401);
    for by in [&name, &token, &Credentials::bearer(&secret)] {
        let answer = world.get("/v2/acme/web/manifests/1").by(by).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()), "{by:?}");
    }
    assert_eq!(signs_in(world, &name, "").await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn a_token_that_ends_takes_along_what_was_made_from_it() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let new = json!({"name": "short", "scopes": "read", "expires_at": "2027-01-15T08:05:00Z"});
    let made = world.sends("POST", "/me/tokens", &Credentials::basic("tim", PASSWORD), &new).await.expect(201).json();
    let name = Credentials::basic("tim", made["secret"].as_str().unwrap());
    let token = bearer(world, &name, WEB).await;
    world.pass(299);
    for by in [&name, &token] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(200);
    }
    world.pass(1);
    for by in [&name, &token] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(401);
    }
}

/// Threat 13: rights are those of now, also for what is limited.
#[tokio::test]
async fn a_token_falls_with_the_rights_of_its_user() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let name = Credentials::basic("tim", &world.personal("tim", "admin").await.1);
    let token = bearer(world, &name, WEB).await;
    world.take("acme/web", "team:acme/dev").await;
    world.get("/v2/acme/web/manifests/1").by(&name).await.expect(403);
    world.get("/v2/acme/web/manifests/1").by(&token).await.expect(401);
    world.set_password("tim", "another long password").await;
    for by in [&name, &token] {
        world.get("/v2/").by(by).await.expect(401);
    }
}

/// A refresh token would outlive what it was made from.
#[tokio::test]
async fn no_refresh_token_is_given_for_a_token_or_a_robot() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let secret = world.personal("tim", "write").await.1;
    let robot = world.secret("acme", "ci", 60).await;
    for (name, secret) in [("tim", &secret), ("acme+ci", &robot)] {
        let answer = signs_in(world, &Credentials::basic(name, secret), WEB).await.expect(200).json();
        assert_eq!((&answer["refresh_token"], answer["token"].is_string()), (&Value::Null, true), "{name}");
        let form = format!(
            "grant_type=password&service=hallmark&client_id=test&access_type=offline&username={}&password={secret}",
            name.replace('+', "%2B")
        );
        let post = world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = post.await.expect(200).json();
        assert_eq!((&answer["refresh_token"], answer["token"].is_string()), (&Value::Null, true), "{name}");
    }
    assert_eq!(world.look("SELECT COUNT(*) FROM credentials WHERE kind = 'refresh'").await, ["0"]);
}

#[tokio::test]
async fn a_secret_is_good_with_its_own_name_only() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.robot("acme", "cd", None).await;
    let token = world.personal("tim", "read api:read").await.1;
    let robot = world.secret("acme", "ci", 60).await;
    for name in ["mia", "admin", "eve", "", "Tim", "acme+ci", "<token>", "tim "] {
        let by = Credentials::basic(name, &token);
        world.get("/v2/").by(&by).await.expect(401);
        world.api("GET", "/me", &by).await.expect(401);
        assert_eq!(signs_in(world, &by, "").await.status, 401, "{name}");
    }
    for name in ["acme+cd", "acme", "ci", "admin", "acme+ci+", "acme/ci"] {
        world.get("/v2/").by(&Credentials::basic(name, &robot)).await.expect(401);
    }
    world.get("/v2/").by(&Credentials::basic("tim", &token)).await.expect(200);
    world.get("/v2/").by(&Credentials::bearer(&robot)).await.expect(200);
}

#[tokio::test]
async fn a_secret_that_is_not_quite_it_is_refused_without_a_hash_or_a_count() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let secret = world.personal("tim", "read").await.1;
    let hashes = world.app.passwords.hashes_computed();
    let other = world.personal("tim", "read").await.1;
    let after = world.app.passwords.hashes_computed();
    let mixed = format!("{}{}", &secret[..15], &other[15..]);
    let robots = secret.replacen("hmp_", "hmb_", 1);
    let wrong = [&secret[..52], &format!("{secret}0"), &secret.to_lowercase(), &mixed, &robots, "hmp_", "hmb_x"];
    for wrong in wrong.into_iter().chain(std::iter::repeat_n("hmp_wrong", 20)) {
        for by in [Credentials::basic("tim", wrong), Credentials::bearer(wrong)] {
            assert_eq!(world.get("/v2/").by(&by).await.gist(), (401, "UNAUTHORIZED".into()), "{wrong}");
        }
    }
    assert_eq!((hashes, world.app.passwords.hashes_computed()), (after, after));
}

#[tokio::test]
async fn a_rotated_secret_goes_on_for_as_long_as_was_said() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let old = bearer(world, &acme.robot, WEB).await;
    let secret = world.secret("acme", "ci", 600).await;
    let new = Credentials::basic("acme+ci", &secret);
    for by in [&acme.robot, &old, &new] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(200);
    }
    world.pass(600);
    for by in [&acme.robot, &old] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(401);
    }
    world.get("/v2/acme/web/manifests/1").by(&new).await.expect(200);
    world.secret("acme", "ci", 0).await;
    world.get("/v2/acme/web/manifests/1").by(&new).await.expect(401);
}

/// A later rotation never lengthens what was to end sooner.
#[tokio::test]
async fn a_rotation_gives_no_secret_a_longer_life() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.secret("acme", "ci", 60).await;
    world.secret("acme", "ci", 3600).await;
    world.pass(60);
    world.get("/v2/").by(&acme.robot).await.expect(401);
}

#[tokio::test]
async fn a_robot_that_is_disabled_may_do_nothing_and_its_secrets_do_not_come_back() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = bearer(world, &acme.robot, WEB).await;
    let (path, olga) = ("/accounts/acme/robots/ci", Credentials::basic("olga", PASSWORD));
    world.sends("PATCH", path, &olga, &json!({"disabled": true})).await.expect(200);
    for by in [&acme.robot, &token] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(401);
    }
    world.sends("PATCH", path, &olga, &json!({"disabled": false})).await.expect(200);
    for by in [&acme.robot, &token] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(401);
    }
    let secret = world.secret("acme", "ci", 0).await;
    world.get("/v2/acme/web/manifests/1").by(&Credentials::basic("acme+ci", &secret)).await.expect(200);
}

/// Whoever is let go leaves nothing behind that goes on by itself.
#[tokio::test]
async fn a_robot_of_who_is_disabled_is_refused_from_the_next_request_on() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let own = world.robot("ann", "ci", None).await;
    world.post("/v2/ann/app/blobs/uploads/").by(&Credentials::basic("ann", PASSWORD)).await.expect(202);
    world.grant("ann/*", "robot:ann+ci", "write").await;
    let token = bearer(world, &own, "repository:ann/app:pull,push").await;
    let scope = "repository:ann/app:pull,push";
    for by in [&own, &token] {
        world.post("/v2/ann/app/blobs/uploads/").by(by).await.expect(202);
    }
    let set = async |disabled: bool| {
        let (by, document) = (Credentials::basic("admin", PASSWORD), json!({"disabled": disabled}));
        world.sends("PATCH", "/users/ann", &by, &document).await.expect(200);
    };
    set(true).await;
    for by in [&own, &token] {
        world.post("/v2/ann/app/blobs/uploads/").by(by).await.expect(401);
        world.get("/v2/").by(by).await.expect(401);
    }
    world.api("GET", "/me", &own).await.expect(401);
    signs_in(world, &own, scope).await.expect(401);
    signs_in(world, &acme.robot, "").await.expect(200);
    // It comes back with its person, and as little as theirs do its secrets.
    set(false).await;
    for by in [&own, &token] {
        world.get("/v2/").by(by).await.expect(401);
    }
    let secret = world.secret("ann", "ci", 0).await;
    world.post("/v2/ann/app/blobs/uploads/").by(&Credentials::basic("ann+ci", &secret)).await.expect(202);
}

#[tokio::test]
async fn a_robot_pulls_and_pushes_where_it_is_bound_and_nowhere_else() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let admin = Credentials::basic("admin", PASSWORD);
    world.image(&admin, "acme/db", "1", "layer").await;
    let all = format!("{WEB} repository:acme/db:pull,push,delete repository:acme/new:pull,push");
    let token = bearer(world, &acme.robot, &all).await;
    world.image(&token, "acme/web", "2", "other layer").await;
    let put = world.put("/v2/acme/web/manifests/3").by(&acme.robot).header("content-type", OCI_MANIFEST);
    put.body(image("{}", &["layer"])).await.expect(201);
    for by in [&acme.robot, &token] {
        for name in ["acme/db", "acme/new", "acme/site"] {
            let push = world.post(&format!("/v2/{name}/blobs/uploads/")).by(by).await;
            assert!(matches!(push.status.as_u16(), 401 | 403), "{name}: {push}");
        }
        let pull = world.get("/v2/acme/db/manifests/1").by(by).await;
        assert!(matches!(pull.status.as_u16(), 401 | 403), "{pull}");
    }
}

#[tokio::test]
async fn when_a_secret_was_last_shown_is_written_down_by_the_job() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let (id, secret) = world.personal("tim", "read api:read").await;
    let last_used = async || {
        let tokens = world.api("GET", "/me/tokens", &Credentials::basic("tim", PASSWORD)).await.json();
        tokens[0]["last_used_at"].clone()
    };
    hallmark::auth::personal::write_down(&world.app).await.unwrap();
    assert_eq!(last_used().await, Value::Null);
    world.pass(3600);
    world.api("GET", "/me", &Credentials::bearer(&secret)).await.expect(200);
    assert_eq!(last_used().await, Value::Null, "a request that reads writes nothing");
    hallmark::auth::personal::write_down(&world.app).await.unwrap();
    assert_eq!(last_used().await, "2027-01-15T09:00:00Z");
    let before = world.rows().await;
    hallmark::auth::personal::write_down(&world.app).await.unwrap();
    assert_eq!(world.rows().await, before, "what was written down is not written again");
    // One that is gone by then is passed over.
    world.get("/v2/").by(&Credentials::bearer(&secret)).await.expect(200);
    world.meddle(&format!("DELETE FROM credentials WHERE id = {id}")).await;
    hallmark::auth::personal::write_down(&world.app).await.unwrap();
}
