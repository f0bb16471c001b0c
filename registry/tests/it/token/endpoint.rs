//! `GET` and `POST /token`: who asks gets a token for as much of what they ask as they may do.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use insta::assert_snapshot;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::{Answer, Credentials, PASSWORD, World};

fn ann() -> Credentials {
    Credentials::basic("ann", PASSWORD)
}

/// The answer with its secrets masked, which are new in every run.
fn masked(world: &World, answer: Answer) -> Answer {
    let body = answer.json();
    for (key, shown) in [("token", "token"), ("access_token", "token"), ("refresh_token", "refresh token")] {
        if let Some(secret) = body[key].as_str() {
            world.show_as(secret, shown);
        }
    }
    Answer { names: world.names(), ..answer }
}

/// Asks for scopes as `by`; what was granted.
async fn granted(world: &World, by: &Credentials, query: &str) -> String {
    let answer = world.get(&format!("/token?service=hallmark&{query}")).by(by).await.expect(200);
    answer.json()["scope"].as_str().unwrap().to_owned()
}

async fn posted(world: &World, form: &str) -> Answer {
    world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form.to_owned()).await
}

fn by_password(more: &str) -> String {
    format!(
        "grant_type=password&service=hallmark&client_id=test&username=ann&password={}{more}",
        PASSWORD.replace(' ', "+")
    )
}

#[tokio::test]
async fn a_token_is_given_by_get() {
    let world = World::open().await;
    let path = "/token?account=ann&client_id=docker&scope=repository%3Aann%2Fapp%3Apush%2Cpull&service=hallmark";
    let answer = world.get(path).by(&ann()).await;
    assert_snapshot!(masked(&world, answer), @r#"
    200 OK
    cache-control: no-store
    content-length: 1099
    content-type: application/json

    {"access_token":"{token}","expires_in":900,"issued_at":"2027-01-15T08:00:00Z","scope":"repository:ann/app:pull,push","token":"{token}"}
    "#);
}

#[tokio::test]
async fn a_token_is_given_by_post() {
    let world = World::open().await;
    let answer = posted(&world, &by_password("&scope=repository:ann/app:pull,push")).await;
    assert_snapshot!(masked(&world, answer), @r#"
    200 OK
    cache-control: no-store
    content-length: 1099
    content-type: application/json

    {"access_token":"{token}","expires_in":900,"issued_at":"2027-01-15T08:00:00Z","scope":"repository:ann/app:pull,push","token":"{token}"}
    "#);
}

#[tokio::test]
async fn a_refresh_token_comes_only_when_it_is_asked_for() {
    let world = World::open().await;
    let answer = world.get("/token?service=hallmark&offline_token=true").by(&ann()).await;
    assert_snapshot!(masked(&world, answer), @r#"
    200 OK
    cache-control: no-store
    content-length: 979
    content-type: application/json

    {"access_token":"{token}","expires_in":900,"issued_at":"2027-01-15T08:00:00Z","refresh_token":"{refresh token}","scope":"","token":"{token}"}
    "#);
    let offline = posted(&world, &by_password("&access_type=offline")).await.expect(200).json();
    assert!(offline["refresh_token"].is_string());
    let online = posted(&world, &by_password("")).await.expect(200).json();
    assert_eq!(online["refresh_token"], Value::Null);
}

#[tokio::test]
async fn a_refresh_token_gives_a_token_and_itself_back() {
    let world = World::open().await;
    let login = world.get("/token?service=hallmark&offline_token=true").by(&ann()).await.expect(200).json();
    let refresh = login["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&service=hallmark&refresh_token={refresh}");
    let answer = posted(&world, &form).await;
    assert_snapshot!(masked(&world, answer), @r#"
    200 OK
    cache-control: no-store
    content-length: 979
    content-type: application/json

    {"access_token":"{token}","expires_in":900,"issued_at":"2027-01-15T08:00:00Z","refresh_token":"{refresh token}","scope":"","token":"{token}"}
    "#);
}

#[tokio::test]
async fn nobody_in_particular_gets_a_token_and_no_refresh_token() {
    let world = World::open().await;
    let answer = world.get("/token?service=hallmark&scope=repository:ann/app:pull&offline_token=true").await;
    assert_snapshot!(masked(&world, answer), @r#"
    200 OK
    cache-control: no-store
    content-length: 849
    content-type: application/json

    {"access_token":"{token}","expires_in":900,"issued_at":"2027-01-15T08:00:00Z","scope":"","token":"{token}"}
    "#);
}

#[tokio::test]
async fn nobody_in_particular_asks_for_few_scopes_at_once() {
    let world = World::open().await;
    let path = |count: usize| {
        let scopes: Vec<_> = (0..count).map(|number| format!("scope=repository:ann/app{number}:pull")).collect();
        format!("/token?service=hallmark&{}", scopes.join("&"))
    };
    world.get(&path(16)).await.expect(200);
    let refused = world.get(&path(17)).await.expect(400).json();
    let told = refused["errors"][0]["message"].as_str().unwrap();
    assert_eq!(told, "who is not signed in asks for at most 16 scopes at once");
    world.get(&path(17)).by(&Credentials::basic("ann", PASSWORD)).await.expect(200);
}

#[tokio::test]
async fn an_anonymous_token_is_good_for_a_ping() {
    let world = World::open().await;
    let token = world.get("/token?service=hallmark").await.json();
    world.get("/v2/").by(&Credentials::bearer(token["token"].as_str().unwrap())).await.expect(200);
}

#[tokio::test]
async fn what_is_asked_for_is_cut_down_to_what_is_allowed() {
    let world = World::open().await;
    let table = [
        ("scope=repository:ann/app:push,pull", "repository:ann/app:pull,push"),
        ("scope=repository:ann/app:*", "repository:ann/app:*"),
        ("scope=repository:ann/app:pull,fly", "repository:ann/app:pull"),
        ("scope=repository:bob/app:pull,push", ""),
        ("scope=repository:ann/app:pull%20repository:bob/app:pull", "repository:ann/app:pull"),
        ("scope=repository:ann/app:pull&scope=repository:ann/app:push", "repository:ann/app:pull,push"),
        ("scope=repository:ann/b:pull&scope=repository:ann/a:pull", "repository:ann/a:pull repository:ann/b:pull"),
        ("scope=repository:ann:pull", ""),
        ("scope=repository:busybox:pull", ""),
        ("scope=repository:annex/app:pull", ""),
        ("scope=repository:ann/app:pull:push", ""),
        // A trust collection, with a host in front: a name that is not the registry's is refused by the request itself.
        ("scope=repository:host:5000/ann/app:pull,push", "repository:host:5000/ann/app:pull,push"),
        ("scope=repository:host:5000/ann/app:*", "repository:host:5000/ann/app:*"),
        ("scope=repository:host:5000/bob/app:pull,push", ""),
        ("scope=repository:host:5000/*:pull", ""),
        ("scope=repository:*:*", ""),
        ("scope=repository:ann/*:pull", ""),
        ("scope=repository:ann/../bob/app:pull", ""),
        ("scope=registry:catalog:*", "registry:catalog:*"),
        ("scope=registry:users:*", ""),
        ("scope=everything:x:*", ""),
        ("scope=nonsense", ""),
        ("scope=", ""),
        ("", ""),
    ];
    for (query, expected) in table {
        assert_eq!(granted(&world, &ann(), query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn an_administrator_is_granted_whatever_is_asked() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    let query = "scope=repository:bob/app:pull,push,delete repository:busybox:* registry:catalog:*".replace(' ', "%20");
    assert_eq!(
        granted(&world, &admin, &query).await,
        "registry:catalog:* repository:bob/app:pull,push,delete repository:busybox:*"
    );
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_a_basic_challenge() {
    let world = World::open().await;
    assert_snapshot!(world.get("/token?service=hallmark").by(&Credentials::basic("ann", "wrong password")).await, @r#"
    401 Unauthorized
    content-length: 96
    content-type: application/json
    www-authenticate: Basic realm="hallmark", charset="UTF-8"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"the name or the password is wrong"}]}
    "#);
    let unknown = world.get("/token?service=hallmark").by(&Credentials::basic("nobody", "wrong password")).await;
    let wrong = world.get("/token?service=hallmark").by(&Credentials::basic("ann", "wrong password")).await;
    assert_eq!(unknown.visible(), wrong.visible());
    let form = "grant_type=password&service=hallmark&username=ann&password=wrong+password";
    assert_eq!(posted(&world, form).await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn a_bearer_token_gets_no_other_token() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/app").await;
    assert_eq!(world.get("/token?service=hallmark").by(&token).await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn another_service_is_refused() {
    let world = World::open().await;
    assert_snapshot!(world.get("/token?service=other.test").by(&ann()).await, @r#"
    400 Bad Request
    content-length: 122
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"this endpoint makes tokens for the service \"hallmark\" only"}]}
    "#);
    assert_eq!(posted(&world, &by_password("").replace("hallmark", "other")).await.status, 400);
}

#[tokio::test]
async fn forms_that_are_incomplete_are_refused() {
    let world = World::open().await;
    let long = format!("grant_type=password&username=ann&password={}", "x".repeat(70_000));
    let forms = [
        "",
        "grant_type=client_credentials",
        "grant_type=password&username=ann",
        "grant_type=password&password=x",
        "grant_type=refresh_token",
        "\0\u{ff}",
        &long,
    ];
    let mut told = Vec::new();
    for form in forms {
        let answer = posted(&world, form).await;
        assert_eq!(answer.status, 400, "{}", form.chars().take(60).collect::<String>());
        told.push(answer.to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 133
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"grant_type must be password, refresh_token or the one of token exchange"}]}

    ---
    400 Bad Request
    content-length: 108
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"the password grant needs username and password"}]}

    ---
    400 Bad Request
    content-length: 105
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"the refresh_token grant needs refresh_token"}]}

    ---
    400 Bad Request
    content-length: 133
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"grant_type must be password, refresh_token or the one of token exchange"}]}

    ---
    400 Bad Request
    content-length: 103
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"the form is cut off or longer than 64 KiB"}]}
    "#);
}

/// Clients ask for several repositories in one field or in a field for each (the token specification shows both).
#[tokio::test]
async fn scopes_are_asked_for_together_or_one_by_one() {
    let world = World::open().await;
    for scopes in [
        "&scope=repository:ann/app:pull+repository:ann/web:push",
        "&scope=repository:ann/app:pull&scope=repository:ann/web:push",
    ] {
        let answer = posted(&world, &by_password(scopes)).await.expect(200).json();
        assert_eq!(answer["scope"], "repository:ann/app:pull repository:ann/web:push", "{scopes}");
        assert_eq!(granted(&world, &ann(), &scopes[1..]).await, answer["scope"].as_str().unwrap(), "{scopes}");
    }
}

/// A form that never ends would hold a connection and a task as surely as a silent one.
#[tokio::test]
async fn a_form_that_stalls_is_let_go() {
    let world = World::with(|config| config.http.body_timeout = Duration::from_millis(50)).await;
    let (feed, body) = mpsc::channel(1);
    feed.send(Bytes::from("grant_type=password")).await.unwrap();
    assert_snapshot!(world.post("/token").fed(body).await, @r#"
    408 Request Timeout
    connection: close
    content-length: 86
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"the form came too slowly"}]}
    "#);
    drop(feed);
}

#[tokio::test]
async fn a_user_who_is_disabled_gets_no_token() {
    let world = World::open().await;
    world.disable("ann").await;
    assert_eq!(world.get("/token?service=hallmark").by(&ann()).await.gist(), (401, "UNAUTHORIZED".into()));
    assert_eq!(posted(&world, &by_password("")).await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn a_name_with_a_nul_or_of_any_length_is_a_wrong_name() {
    let world = World::open().await;
    for name in ["", "ann\0", &"a".repeat(4_000), "ann' OR 1=1 --", "ANN"] {
        let answer = world.get("/token?service=hallmark").by(&Credentials::basic(name, PASSWORD)).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()), "{name:?}");
    }
}

#[tokio::test]
async fn the_claims_of_a_token_say_who_and_what_and_until_when() {
    use base64::Engine as _;
    let world = World::open().await;
    let Credentials(Some(token)) = world.all_of("ann", "ann/app").await else { panic!("a token") };
    let claims = token.split('.').nth(1).unwrap();
    let mut claims: Value =
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for random in ["jti", "hid"] {
        claims[random] = Value::from("…");
    }
    assert_eq!(
        claims,
        serde_json::json!({
            "iss": "hallmark", "sub": "ann", "aud": "hallmark",
            "iat": 1_800_000_000, "nbf": 1_799_999_995, "exp": 1_800_000_900,
            "jti": "…", "hid": "…", "hep": 0,
            "access": [{"type": "repository", "name": "ann/app", "actions": ["pull", "push", "delete"]}],
        })
    );
}

/// Threat 15: whoever fills the line of sign-ins fills their own part of it.
#[tokio::test]
async fn one_address_does_not_keep_others_from_signing_in() {
    let world = World::open().await;
    // Her row is remembered from here on, so all of them stand in the line before any hash is done.
    world.app.metadata.user("ann").await.unwrap();
    let flood: Vec<_> = (0..40)
        .map(|number| {
            let by = Credentials::basic("ann", &format!("wrong {number}"));
            let call = if number % 2 == 0 { world.get("/v2/") } else { world.get("/token?service=hallmark") };
            call.by(&by).sent_from([192, 0, 2, 66]).into_future()
        })
        .collect();
    let ann = world.get("/v2/").by(&Credentials::basic("ann", PASSWORD)).sent_from([192, 0, 2, 67]).into_future();
    let (flooded, ann) = tokio::join!(futures_util::future::join_all(flood), ann);
    ann.expect(200);
    let busy = flooded.iter().filter(|answer| answer.status.as_u16() == 429).count();
    assert_eq!(busy, 32, "8 wait, 32 are sent away");
}

/// Threat 9: a form that is sent slowly holds nobody up who pushes, and of one address only so many are waited for.
#[tokio::test]
async fn stalled_forms_of_strangers_take_no_place_from_pushes() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let (mut feeds, mut stalled) = (Vec::new(), Vec::new());
    for number in 0..hallmark::app::CHANGES {
        let (feed, body) = mpsc::channel(1);
        feeds.push(feed);
        let place = u8::try_from(number / 64).unwrap();
        stalled.push(world.post("/token").sent_from([192, 0, place, 1]).fed(body).into_future());
    }
    for form in &mut stalled {
        assert!(form.now_or_never().is_none());
    }
    let another = world.post("/token").sent_from([192, 0, 7, 1]).body("grant_type=password").await;
    let another = another.expect(429);
    let push = world.post("/v2/ann/app/blobs/uploads/").by(&ann).into_future();
    tokio::time::timeout(Duration::from_secs(20), push).await.expect("the push waits for a place").expect(202);
    assert_eq!(another.header("retry-after"), "1");
    drop(feeds);
    for form in stalled {
        form.await.expect(400);
    }
    world.post("/token").sent_from([192, 0, 1, 1]).body("grant_type=password").await.expect(400);
}
