//! Attacks that go by the rules of organizations: each does nothing and learns nothing.

use hallmark_storage::metadata::SystemRole;
use serde_json::json;

use crate::harness::{Acme, Credentials, PASSWORD, World, sha256};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

async fn granted(world: &World, by: &Credentials, scope: &str) -> String {
    let path = format!("/token?service=hallmark&scope={}", scope.replace(' ', "%20"));
    world.get(&path).by(by).await.expect(200).json()["scope"].as_str().unwrap().to_owned()
}

/// Threat 13: whatever words ask for it, a scope is cut down to the right.
#[tokio::test]
async fn no_scope_is_wider_than_the_right() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for (name, scope, given) in [
        ("mia", "repository:acme/web:*", ""),
        ("mia", "repository:acme/web:pull,push,delete,*", ""),
        ("mia", "repository:acme/*:pull", ""),
        ("mia", "repository:*:pull", ""),
        ("mia", "repository:acme/web:pull repository:acme/web:*", ""),
        ("mia", "repository:ACME/web:pull", ""),
        ("mia", "repository:acme/site/../web:pull", ""),
        ("mia", "repository:acme%2Fweb:pull", ""),
        ("mia", "repository(plugin):acme/web:pull", ""),
        ("mia", "registry:other:*", ""),
        ("mia", "organization:acme:*", ""),
        ("tim", "repository:acme/web:*", "repository:acme/web:pull,push,delete"),
        ("tim", "repository:acme/web:delete", "repository:acme/web:delete"),
        ("ann", "repository:acme/site:*", "repository:acme/site:pull"),
        ("aud", "repository:acme/web:*", "repository:acme/web:pull"),
    ] {
        assert_eq!(granted(world, &basic(name), scope).await, given, "{name} {scope}");
    }
}

/// A token for one repository of an organization opens no other, although its user may do everything in both.
#[tokio::test]
async fn a_token_for_one_repository_opens_no_other_of_its_organization() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = world.all_of("olga", "acme/web").await;
    for (method, path) in [
        ("GET", "/v2/acme/site/manifests/1"),
        ("DELETE", "/v2/acme/site/manifests/1"),
        ("POST", "/v2/acme/site/blobs/uploads/"),
        ("GET", "/v2/acme/web2/tags/list"),
        ("GET", "/v2/acme/web/x/tags/list"),
        ("GET", "/v2/_catalog"),
    ] {
        assert_eq!(world.call(method, path).by(&token).await.gist(), (401, "UNAUTHORIZED".into()), "{method} {path}");
    }
    world.get("/v2/acme/web/manifests/1").by(&token).await.expect(200);
}

/// Threat 1: without pull on the source nothing is mounted, however the right was lost or never held; the answer is that
/// for a blob that is nowhere.
#[tokio::test]
async fn a_mount_takes_from_no_repository_that_the_caller_may_not_pull_from() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.add_user("sig").await;
    world.grant("acme/web", "user:sig", "sign+delete").await;
    world.add_user("rea").await;
    world.grant("acme/web", "user:rea", "read").await;
    let admin = basic("admin");
    world.blob(&admin, "acme/web", "secret").await;
    let mount = async |name: &str, digest: &str, from: &str, by: &Credentials| {
        let path = format!("/v2/{name}/app/blobs/uploads/?mount={digest}{from}");
        let answer = world.post(&path).by(by).await;
        (answer.status.as_u16(), answer.to_string().replace(name, "N"))
    };
    let (held, absent) = (sha256("secret").to_string(), sha256("absent").to_string());
    for name in ["sig", "mia", "ann"] {
        for from in ["&from=acme/web", ""] {
            let (status, shown) = mount(name, &held, from, &basic(name)).await;
            assert_eq!((status, shown), (202, mount(name, &absent, from, &basic(name)).await.1), "{name}{from}");
        }
    }
    let scope = "repository:rea/app:pull,push repository:acme/web:pull";
    let token = world.token("rea", scope).await;
    world.take("acme/web", "user:rea").await;
    for by in [&token, &basic("rea")] {
        for from in ["&from=acme/web", ""] {
            assert_eq!(mount("rea", &held, from, by).await.0, 202, "{from}");
        }
    }
    world.grant("acme/web", "user:rea", "read").await;
    assert_eq!(mount("rea", &held, "&from=acme/web", &token).await.0, 201);
    // A token that may push in one place and pull nothing elsewhere takes nothing from there.
    let limited = Credentials::basic("olga", &world.personal("olga", "write on:acme/site").await.1);
    for from in ["&from=acme/web", ""] {
        let path = format!("/v2/acme/site/blobs/uploads/?mount={held}{from}");
        world.post(&path).by(&limited).await.expect(202);
    }
    let writer = Credentials::basic("olga", &world.personal("olga", "sign").await.1);
    world.post(&format!("/v2/acme/site/blobs/uploads/?mount={held}")).by(&writer).await.expect(403);
}

/// Threat 14: a refresh token that somebody stole is void once its user logs out, wherever they do.
#[tokio::test]
async fn a_stolen_refresh_token_is_void_after_a_logout() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let stolen = world.get("/token?service=hallmark&offline_token=true").by(&basic("tim")).await.json();
    let form = format!(
        "grant_type=refresh_token&service=hallmark&client_id=thief&scope=repository:acme/web:pull&refresh_token={}",
        stolen["refresh_token"].as_str().unwrap()
    );
    let post = || world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form.clone());
    let bearer = post().await.expect(200).json();
    let bearer = Credentials::bearer(bearer["access_token"].as_str().unwrap());
    world.get("/v2/acme/web/manifests/1").by(&bearer).await.expect(200);
    world.api("POST", "/users/tim/logout", &basic("tim")).await.expect(204);
    post().await.expect(401);
    world.get("/v2/acme/web/manifests/1").by(&bearer).await.expect(401);
}

/// A token that was made while a right was held is refused once it is taken, in the middle of a push too.
#[tokio::test]
async fn a_push_that_goes_on_after_its_right_was_taken_is_refused() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for end in ["append", "finish", "status", "cancel", "manifest"] {
        let world = world.copied().await;
        let token = world.all_of("tim", "acme/web").await;
        let upload = world.post("/v2/acme/web/blobs/uploads/").by(&token).await.expect(202).location();
        world.patch(&upload).by(&token).body("more").await.expect(202);
        world.api("DELETE", "/organizations/acme/teams/dev/members/tim", &basic("olga")).await.expect(204);
        let before = world.rows().await;
        let call = match end {
            "append" => world.patch(&upload).body("and more"),
            "finish" => world.put(&format!("{upload}?digest={}", sha256("more"))),
            "status" => world.get(&upload),
            "cancel" => world.delete(&upload),
            _ => world.put("/v2/acme/web/manifests/2").body("{}"),
        };
        call.by(&token).await.expect(401);
        assert_eq!(world.rows().await, before, "{end}");
    }
}

/// The upload of another: neither its id nor the right to push is enough.
#[tokio::test]
async fn nobody_goes_on_with_the_upload_of_another() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let upload = world.post("/v2/acme/web/blobs/uploads/").by(&basic("tim")).await.expect(202).location();
    for by in [basic("olga"), basic("admin"), acme.robot.clone()] {
        for call in [world.patch(&upload).body("x"), world.get(&upload), world.delete(&upload)] {
            assert_eq!(call.by(&by).await.gist(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
        }
    }
}

/// A program that is told to act for two of them acts for one: what a robot may is not added to what its account may.
#[tokio::test]
async fn a_robot_inherits_nothing_from_its_account_or_its_maker() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let robot = world.robot("ann", "ci", None).await;
    world.get("/v2/ann/app/manifests/1").by(&robot).await.expect(403);
    world.post("/v2/ann/new/blobs/uploads/").by(&robot).await.expect(403);
    assert_eq!(world.get("/v2/_catalog").by(&robot).await.expect(200).body, r#"{"repositories":[]}"#);
    world.grant("ann/app", "robot:ann+ci", "read").await;
    world.get("/v2/ann/app/manifests/1").by(&robot).await.expect(200);
}

/// An auditor reads everything and changes nothing but what is their own.
#[tokio::test]
async fn an_auditor_changes_nothing_of_others() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let before = world.rows().await;
    let token = world.all_of("aud", "acme/web").await;
    for by in [&basic("aud"), &token] {
        world.get("/v2/acme/web/manifests/1").by(by).await.expect(200);
        for (method, path) in [
            ("POST", "/v2/acme/web/blobs/uploads/"),
            ("DELETE", "/v2/acme/web/manifests/1"),
            ("POST", "/v2/x/blobs/uploads/"),
        ] {
            let answer = world.call(method, path).by(by).await;
            assert!(matches!(answer.status.as_u16(), 401 | 403), "{method} {path}: {answer}");
        }
    }
    let grant = world.sends("PUT", "/grants/acme%2Fweb/user:aud", &basic("aud"), &json!({"rights": "admin"}));
    grant.await.expect(403);
    assert_eq!(world.rows().await, before);
}

/// Threat 13: a body may come for minutes. Whoever was disabled, demoted or robbed of their token meanwhile changes nothing:
/// a stolen token cannot keep a request waiting to make another once it is revoked.
#[tokio::test]
async fn whoever_is_shut_out_while_a_body_comes_changes_nothing() {
    for way in ["revoked", "disabled", "logged out", "demoted"] {
        for what in ["token", "user", "organization", "robot", "grant", "certificate"] {
            let acme = Acme::open().await;
            let world = &acme.world;
            world.add_user("eve").await;
            world.set_role("eve", SystemRole::Administrator).await;
            let (id, secret) = world.personal("eve", "admin api:write").await;
            let by = Credentials::bearer(&secret);
            let (method, path, body) = match what {
                "token" => {
                    let new =
                        json!({"name": "next", "scopes": "admin api:write", "expires_at": "2027-06-01T00:00:00Z"});
                    ("POST", "/api/v1/me/tokens", new)
                }
                "user" => ("POST", "/api/v1/users", json!({"name": "eva", "password": PASSWORD})),
                "organization" => ("POST", "/api/v1/organizations", json!({"name": "evil"})),
                "robot" => ("POST", "/api/v1/accounts/acme/robots", json!({"name": "evil"})),
                "grant" => ("PUT", "/api/v1/grants/acme%2Fweb/user:eve", json!({"rights": "admin"})),
                _ => (
                    "POST",
                    "/api/v1/certificates",
                    json!({"holder": "user:ann", "kind": "dns", "pattern": "eve.example"}),
                ),
            };
            // What the same request is answered while nobody is shut out.
            let copy = world.copied().await;
            let sent = copy.call(method, path).by(&by).header("content-type", "application/json");
            let sent = sent.body(body.to_string()).await;
            assert!(sent.status.is_success(), "{what}: {sent}");
            let before = std::cell::OnceCell::new();
            let call = world.call(method, path).by(&by).header("content-type", "application/json");
            let answer = call.halved(body.to_string(), async {
                match way {
                    "revoked" => {
                        drop(world.api("DELETE", &format!("/me/tokens/{id}"), &basic("eve")).await.expect(204))
                    }
                    "disabled" => world.disable("eve").await,
                    "logged out" => drop(world.api("POST", "/users/eve/logout", &basic("admin")).await.expect(204)),
                    _ => world.set_role("eve", SystemRole::None).await,
                }
                before.set(world.rows().await).unwrap();
            });
            assert_eq!(answer.await.status, 403, "{way} {what}");
            assert_eq!(&world.rows().await, before.get().unwrap(), "{way} {what}");
        }
    }
}
