//! The audit log as it is read, and how long it is kept.

use std::time::Duration;

use hallmark::trust::tuf;
use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, refuses};
use crate::harness::{Acme, Call, Credentials, PASSWORD, World};

/// Where the people of these tests sit.
const HOME: [u8; 4] = [203, 0, 113, 9];
const ELSEWHERE: [u8; 4] = [198, 51, 100, 7];

/// The whole line of each event that was noted, as `by` reads it: who, what, to what, and how.
async fn noted(world: &World, query: &str, by: &Credentials) -> Vec<String> {
    world.write_down().await;
    let answer = world.api("GET", &format!("/events?{query}"), by).await.expect(200).json();
    let line = |event: &serde_json::Value| {
        let word = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {} {}", word("actor"), word("kind"), word("subject"), word("account"), event["detail"])
    };
    answer["items"].as_array().unwrap().iter().map(line).collect()
}

/// A sign-in at the token endpoint.
fn signs_in<'w>(world: &'w World, by: &Credentials, from: [u8; 4]) -> Call<'w> {
    world.get("/token?service=hallmark").by(by).sent_from(from)
}

async fn kinds(world: &World, query: &str) -> Vec<String> {
    pages(world, &format!("/events?{query}"), &admin(), 1000, "kind").await.concat()
}

#[tokio::test]
async fn events_are_read_in_their_order_page_by_page() {
    let world = World::open().await;
    world.organization("acme", "ann").await;
    world.member("acme", "bob", "member").await;
    let answer = world.api("GET", "/events?kind=member_put", &admin()).await.expect(200);
    let mut shown = answer.json();
    for (key, there) in
        [("seq", shown["items"][0]["seq"].is_i64()), ("request_id", shown["items"][0]["request_id"].is_string())]
    {
        assert!(there, "{key} in {answer}");
        shown["items"][0][key].take();
    }
    assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap(), @r#"
    {
      "items": [
        {
          "account": "acme",
          "actor": "admin",
          "at": "2027-01-15T08:00:00Z",
          "detail": {
            "role": "member"
          },
          "kind": "member_put",
          "request_id": null,
          "seq": null,
          "subject": "bob"
        }
      ]
    }
    "#);
    let whole = kinds(&world, "").await;
    assert_eq!(pages(&world, "/events", &admin(), 2, "kind").await.concat(), whole);
    assert_eq!(&whole[whole.len() - 2..], ["organization_created", "member_put"]);
}

#[tokio::test]
async fn events_are_found_by_what_is_known_of_them() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.pass(60);
    world.api("DELETE", "/repositories/acme%2Fsite", &basic("olga")).await.expect(204);
    assert_eq!(kinds(world, "actor=olga").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "actor=user:olga&account=acme").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "since=2027-01-15T08:01:00Z").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "until=2027-01-15T08:00:00Z").await, [""; 0]);
    assert_eq!(kinds(world, "actor=robot:acme%2Bci").await, [""; 0]);
    let web = kinds(world, "repository=acme/web").await;
    assert_eq!(web.first().map(String::as_str), Some("repository_created"));
    assert!(web.contains(&"grant_put".to_owned()) && web.contains(&"manifest_pushed".to_owned()), "{web:?}");
    assert_eq!(kinds(world, "repository=acme/none").await, [""; 0]);
    assert_eq!(kinds(world, "actor=eve").await, [""; 0]);
    for query in
        ["kind=A", "kind=a%00", "since=x", "until=2027", "actor=E", "actor=a%00", "repository=A", "after=x", "acount=a"]
    {
        refuses(world, world.api("GET", &format!("/events?{query}"), &admin()), 400, "INVALID").await;
    }
}

/// An owner reads what happened in their account, and learns nothing of what is elsewhere.
#[tokio::test]
async fn an_owner_reads_their_own_account_and_no_other() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let bob = world.all_of("bob", "bob/app").await;
    world.image(&bob, "bob/app", "1", "layer").await;
    let found = pages(world, "/events?account=acme", &basic("olga"), 1000, "kind").await.concat();
    assert!(found.contains(&"organization_created".to_owned()), "{found:?}");
    for query in ["account=acme&repository=bob/app", "account=acme&repository=bob/none", "account=acme&actor=eve"] {
        let answer = world.api("GET", &format!("/events?{query}"), &basic("olga")).await.expect(200);
        assert_eq!(answer.json(), json!({"items": []}), "{query}");
    }
    refuses(world, world.api("GET", "/events", &basic("olga")), 403, "DENIED").await;
    refuses(world, world.api("GET", "/events?account=acme", &basic("mia")), 403, "DENIED").await;
    refuses(world, world.api("GET", "/events?account=bob", &basic("olga")), 404, "NOT_FOUND").await;
    let own = pages(world, "/events?account=bob", &basic("bob"), 1000, "kind").await.concat();
    assert!(own.contains(&"manifest_pushed".to_owned()), "{own:?}");
}

/// A page looks at a part of a long log and tells where the next begins: an actor and a repository that are elsewhere are told by
/// that from those that are nowhere, unless the same is looked at for both.
#[tokio::test]
async fn who_is_elsewhere_reads_like_who_is_nowhere() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let bob = world.all_of("bob", "bob/app").await;
    world.image(&bob, "bob/app", "1", "layer").await;
    world
        .meddle(
            "INSERT INTO events (id, at, actor_id, kind, subject, payload, request_id, seq)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20001)
             SELECT -i, 0, 0, 'x', '', '{}', '', (SELECT MAX(seq) FROM events) + i FROM n",
        )
        .await;
    let ask = async |query: &str| {
        let answer = world.api("GET", &format!("/events?account=acme&{query}"), &basic("olga")).await;
        (answer.status.as_u16(), answer.json())
    };
    for [elsewhere, nowhere] in [
        ["actor=bob", "actor=eve"],
        ["actor=robot:bob%2Bci", "actor=robot:eve%2Bci"],
        ["repository=bob/app", "repository=bob/none"],
        ["actor=bob&repository=acme/none", "actor=eve&repository=acme/none"],
    ] {
        let (status, page) = ask(elsewhere).await;
        assert!(status == 200 && page["next"].is_string(), "{page}");
        assert_eq!(ask(nowhere).await, (status, page), "{nowhere}");
    }
    assert_eq!(ask("actor=eve&repository=A").await.0, ask("actor=bob&repository=A").await.0);
}

/// What is done to no facts is written down as well: who came, how and from where, who could not, and who asked for too much.
#[tokio::test]
async fn sign_ins_and_refusals_tell_who_from_where_and_how() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let (_, secret) = world.personal("bob", "read").await;
    world.write_down().await;
    world.pass(60);
    let since = "since=2027-01-15T08:01:00Z";

    signs_in(world, &basic("tim"), HOME).await.expect(200);
    signs_in(world, &Credentials::basic("bob", &secret), HOME).await.expect(200);
    signs_in(world, &acme.robot, ELSEWHERE).await.expect(200);
    for _ in 0..3 {
        signs_in(world, &Credentials::basic("tim", "a guess"), ELSEWHERE).await.expect(401);
    }
    signs_in(world, &Credentials::basic("nobody", "a guess"), ELSEWHERE).await.expect(401);
    let hidden = world.get("/v2/acme/web/tags/list").by(&basic("bob")).sent_from(HOME);
    assert!(hidden.await.status.is_client_error());
    let mut found = noted(world, since, &basic("aud")).await;
    found.sort();
    assert_snapshot!(found.join("\n"), @r#"
    acme+ci signed_in acme+ci acme {"client":"198.51.100.7","count":1,"how":"token"}
    bob access_refused acme/web - {"client":"203.0.113.9","count":1,"how":"list_tags"}
    bob signed_in bob bob {"client":"203.0.113.9","count":1,"how":"password"}
    bob signed_in bob bob {"client":"203.0.113.9","count":1,"how":"token"}
    system sign_in_failed nobody - {"client":"198.51.100.7","count":1,"how":"password"}
    system sign_in_failed tim - {"client":"198.51.100.7","count":3,"how":"password"}
    tim signed_in tim tim {"client":"203.0.113.9","count":1,"how":"password"}
    "#);

    // Each can be asked for alone, and the next page goes on where the one before ended.
    let asked = async |query: &str| kinds(world, &format!("{since}&{query}")).await;
    assert_eq!(asked("kind=access_refused").await, ["access_refused"]);
    assert_eq!(asked("kind=sign_in_failed").await, ["sign_in_failed"; 2]);
    assert_eq!(asked("actor=robot:acme%2Bci").await, ["signed_in"]);
    assert_eq!(asked("kind=signed_in&actor=tim").await, ["signed_in"]);
    assert_eq!(asked("kind=signed_in&account=acme").await, ["signed_in"], "the robot's, for its organization");
    let whole = asked("").await;
    let by_page = pages(world, &format!("/events?{since}"), &admin(), 2, "kind").await;
    assert!(by_page.iter().all(|page| page.len() <= 2), "{by_page:?}");
    assert_eq!(by_page.concat(), whole);

    world.pass(60);
    signs_in(world, &basic("tim"), HOME).await.expect(200);
    let later = noted(world, "kind=signed_in&since=2027-01-15T08:02:00Z", &admin()).await;
    assert!(
        later.iter().any(|line| line.starts_with("tim signed_in tim tim")),
        "another minute, another event: {later:?}"
    );
}

/// What is not believed is told as nobody's; a token that ran out comes from every client that pulls for long.
#[tokio::test]
async fn a_bearer_token_that_is_forged_or_void_is_told_and_one_that_ran_out_is_not() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.write_down().await;
    world.pass(60);
    let asks = async |by: &Credentials| world.get("/v2/acme/web/tags/list").by(by).sent_from(HOME).await.status;
    let (tims, bobs) = (world.all_of("tim", "acme/web").await, world.all_of("bob", "acme/web").await);
    assert_eq!(asks(&Credentials::bearer("e30.e30.forged")).await, 401);
    world.set_password("bob", "another long password").await;
    assert_eq!(asks(&bobs).await, 401);
    world.write_down().await;
    let failed = "kind=sign_in_failed&since=2027-01-15T08:01:00Z";
    let told = noted(world, failed, &admin()).await;
    assert_eq!(told, [r#"system sign_in_failed  - {"client":"203.0.113.9","count":2,"how":"bearer"}"#]);
    assert_eq!(asks(&tims).await, 200);
    world.pass(3_600);
    assert_eq!(asks(&tims).await, 401);
    world.write_down().await;
    assert_eq!(noted(world, failed, &admin()).await, told);
}

/// An auditor reads the whole log; who is nobody in particular reads what happened in their own account.
#[tokio::test]
async fn an_auditor_reads_every_sign_in_and_others_their_own() {
    let acme = Acme::open().await;
    let world = &acme.world;
    signs_in(world, &basic("tim"), HOME).await.expect(200);
    let lines = noted(world, "kind=signed_in&actor=tim", &basic("aud")).await;
    assert_eq!(lines, [r#"tim signed_in tim tim {"client":"203.0.113.9","count":1,"how":"password"}"#]);
    assert_eq!(noted(world, "kind=signed_in&actor=tim&account=tim", &basic("tim")).await, lines);
    for who in ["mia", "olga", "bob"] {
        for (query, status, code) in [("kind=signed_in", 403, "DENIED"), ("account=tim", 404, "NOT_FOUND")] {
            refuses(world, world.api("GET", &format!("/events?{query}"), &basic(who)), status, code).await;
        }
    }
    refuses(world, world.api("GET", "/events", &acme.robot), 403, "DENIED").await;
    refuses(world, world.api("GET", "/events", &Credentials::none()), 401, "UNAUTHORIZED").await;
}

#[tokio::test]
async fn pulls_are_events_only_where_the_settings_ask_for_them() {
    for pulls in [false, true] {
        let world = World::with(|config| config.audit.pulls = pulls).await;
        let ann = world.all_of("ann", "ann/app").await;
        let digest = world.image(&ann, "ann/app", "1", "layer").await;
        for path in ["manifests/1", "manifests/1", &format!("manifests/{digest}")] {
            world.get(&format!("/v2/ann/app/{path}")).by(&ann).sent_from(HOME).await.expect(200);
        }
        // To look whether it is there is no pull, and what is not there was not pulled.
        world.head("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
        world.get("/v2/ann/app/manifests/none").by(&ann).await.expect(404);
        let found = noted(&world, "kind=manifest_pulled&repository=ann/app", &admin()).await;
        let detail = |count: u32| json!({"client": "203.0.113.9", "count": count});
        let mut expected = [
            format!("ann manifest_pulled 1 ann {}", detail(2)),
            format!("ann manifest_pulled {digest} ann {}", detail(1)),
        ]
        .to_vec();
        expected.truncate(if pulls { 2 } else { 0 });
        let mut found = found;
        found.sort();
        assert_eq!(found, expected, "audit.pulls = {pulls}");
    }
}

/// A long-lived secret that comes without a name is a sign-in as well, and so is a refresh token; each that is refused is told.
#[tokio::test]
async fn tokens_that_come_alone_are_sign_ins() {
    let world = World::open().await;
    let (_, secret) = world.personal("ann", "read api:read").await;
    let path = "/token?service=hallmark&offline_token=true";
    let refresh = world.get(path).by(&basic("ann")).await.expect(200).json()["refresh_token"].clone();
    world.write_down().await;
    world.pass(60);
    for _ in 0..3 {
        world.get("/v2/").by(&Credentials::bearer(&secret)).sent_from(HOME).await.expect(200);
    }
    let wrong = format!("{}x", &secret[..secret.len() - 1]);
    world.get("/v2/").by(&Credentials::bearer(&wrong)).sent_from(HOME).await.expect(401);
    for (token, status) in [(refresh.as_str().unwrap(), 200), ("hmr_wrong", 401)] {
        let form = format!("grant_type=refresh_token&service=hallmark&client_id=test&refresh_token={token}");
        let call = world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form);
        call.sent_from(HOME).await.expect(status);
    }
    let mut found = noted(&world, "since=2027-01-15T08:01:00Z", &basic("admin")).await;
    found.sort();
    assert_snapshot!(found.join("\n"), @r#"
    ann signed_in ann ann {"client":"203.0.113.9","count":1,"how":"refresh_token"}
    ann signed_in ann ann {"client":"203.0.113.9","count":3,"how":"token"}
    system sign_in_failed  - {"client":"203.0.113.9","count":1,"how":"refresh_token"}
    system sign_in_failed  - {"client":"203.0.113.9","count":1,"how":"token"}
    "#);
}

#[tokio::test]
async fn refusals_of_the_management_api_are_told() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.write_down().await;
    world.pass(60);
    for (method, path, by, status) in [
        ("DELETE", "/repositories/acme%2Fsite", "mia", 403),
        ("GET", "/repositories/acme%2Fweb", "bob", 404),
        ("GET", "/users", "bob", 403),
        ("GET", "/repositories/acme%2Fnone", "aud", 404),
        ("GET", "/no/such/path", "bob", 404),
    ] {
        world.api(method, path, &basic(by)).sent_from(HOME).await.expect(status);
    }
    let mut found = noted(world, "kind=access_refused&since=2027-01-15T08:01:00Z", &admin()).await;
    found.sort();
    assert_snapshot!(found.join("\n"), @r#"
    bob access_refused repositories/acme%2Fweb - {"client":"203.0.113.9","count":1,"how":"api_get"}
    bob access_refused users - {"client":"203.0.113.9","count":1,"how":"api_get"}
    mia access_refused repositories/acme%2Fsite - {"client":"203.0.113.9","count":1,"how":"api_delete"}
    "#);
}

/// Whoever holds a right and shows a token that was made without it is refused for good, and told: so a stolen one is tried. A bearer
/// token that does not cover what its client did not ask for is another matter.
#[tokio::test]
async fn what_the_limits_of_a_token_refuse_is_told() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let (reads, elsewhere) =
        (world.personal("olga", "read").await.1, world.personal("olga", "write on:acme/site").await.1);
    let exchanged = world.all_of_by(&Credentials::basic("olga", &reads), "acme/web").await;
    let narrow = world.token("olga", "repository:acme/web:pull").await;
    world.write_down().await;
    world.pass(60);
    let (push, tags) = ("/v2/acme/web/blobs/uploads/", "/v2/acme/web/tags/list");
    for (method, path, by) in [
        ("POST", push, &Credentials::basic("olga", &reads)),
        ("POST", push, &Credentials::bearer(&reads)),
        ("POST", push, &exchanged),
        ("GET", tags, &Credentials::basic("olga", &elsewhere)),
        ("POST", push, &narrow),
    ] {
        let answer = world.call(method, path).by(by).sent_from(HOME).await;
        assert!(matches!(answer.status.as_u16(), 401 | 403), "{answer}");
    }
    for (path, by) in [(tags, &Credentials::basic("olga", &reads)), (tags, &exchanged), (tags, &narrow)] {
        world.get(path).by(by).sent_from(HOME).await.expect(200);
    }
    let mut found = noted(world, "kind=access_refused&since=2027-01-15T08:01:00Z", &admin()).await;
    found.sort();
    assert_snapshot!(found.join("\n"), @r#"
    olga access_refused acme/web - {"client":"203.0.113.9","count":1,"how":"list_tags"}
    olga access_refused acme/web - {"client":"203.0.113.9","count":3,"how":"begin_upload"}
    "#);
}

/// What comes and goes with a repository is told as well: all rights for the member who made it, and robots bound to it.
#[tokio::test]
async fn what_comes_and_goes_with_a_repository_is_told() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    let lines = async |before| world.events_after(before).await;
    let before = world.count_events().await;
    world.sends("POST", "/repositories", &basic("mia"), &json!({"name": "acme/made"})).await.expect(201);
    let token = world.all_of("mia", "acme/pushed").await;
    world.blob(&token, "acme/pushed", "layer").await;
    world.robot("acme", "bound", Some("acme/made")).await;
    let deleted = world.count_events().await;
    world.api("DELETE", "/repositories/acme%2Fmade", &basic("mia")).await.expect(204);
    assert_snapshot!(lines(before).await[..4].join("\n"), @r#"
    mia repository_created acme/made {}
    mia grant_put acme/made {"holder":"user:mia","rights":"admin"}
    mia repository_created acme/pushed {}
    mia grant_put acme/pushed {"holder":"user:mia","rights":"admin"}
    "#);
    assert_snapshot!(lines(deleted).await.join("\n"), @r"
    mia robot_removed acme+bound {}
    mia repository_deleted acme/made {}
    ");
}

/// The job of a running registry forgets what is older than `audit.retention` says, and nothing else.
#[tokio::test]
async fn the_job_forgets_events_by_their_age() {
    const DAY: i64 = 24 * 60 * 60;
    let world = World::with(|config| config.audit.retention = Duration::from_secs(30 * DAY as u64)).await;
    let made = async |name: &str| {
        let new = json!({"name": name, "password": PASSWORD});
        world.sends("POST", "/users", &admin(), &new).await.expect(201);
    };
    let told = async || {
        world
            .look("SELECT subject FROM events WHERE kind = 'user_added' AND subject IN ('old', 'young') ORDER BY id")
            .await
    };
    made("old").await;
    world.pass(20 * DAY);
    made("young").await;
    // What the publisher of signed tags has yet to follow stays, however old it is.
    while tuf::follow(&world.app).await.unwrap() {}
    world.pass(10 * DAY - 1);
    // When a token was last used is written down right after the log was looked at.
    let token = Credentials::bearer(&world.personal("ann", "read").await.1);
    world.get("/v2/").by(&token).await.expect(200);
    let jobs = world.jobs();
    let used = async || world.look("SELECT id FROM credentials WHERE last_used_at IS NOT NULL").await;
    jobs.until("a sweep", async || !used().await.is_empty()).await;
    jobs.stop().await;
    assert_eq!(told().await, ["old", "young"], "a second too early");
    world.pass(1 + 1);
    let jobs = world.jobs();
    jobs.until("the old event is gone", async || told().await == ["young"]).await;
    jobs.stop().await;
    world.pass(20 * DAY);
    let jobs = world.jobs();
    jobs.until("the other one is gone", async || told().await.is_empty()).await;
    jobs.stop().await;
}

/// Whoever makes names up pushes no guess at somebody's own name out of the log.
#[tokio::test]
async fn a_guess_at_a_name_of_somebody_here_is_told_among_many_made_up() {
    let world = World::open().await;
    let guess = async |name: &str| {
        signs_in(&world, &Credentials::basic(name, "a guess"), HOME).await.expect(401);
    };
    for number in 0..60 {
        guess(&format!("made-up-{number}")).await;
    }
    guess("ann").await;
    guess("nobody").await;
    let told = noted(&world, "kind=sign_in_failed&limit=1000", &admin()).await;
    let of = |name: &str| told.iter().filter(|line| line.contains(&format!(" {name} "))).count();
    assert_eq!((of("ann"), of("nobody")), (1, 0), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.contains("made-up")).count(), 32);
}
