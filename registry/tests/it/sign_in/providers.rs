//! People sign in with a provider (threat 18). None of these answers may end in a session but the first kind.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::devices::{Device, decide};
use super::{Browser, Scene, acme, api, asked, granted, provide};
use crate::harness::stage::{Answer as Script, DISCOVERY, Signer, Stage};
use crate::harness::{Answer, Credentials, PASSWORD, World};

/// The users who came from somewhere, with their source's own name of them.
async fn users(scene: &Scene) -> Vec<String> {
    scene.world.show_as(&scene.stage.url, "issuer");
    scene.world.look("SELECT name, source, source_subject FROM users WHERE source IS NOT NULL ORDER BY name").await
}

async fn sessions(world: &World) -> String {
    world.look("SELECT COUNT(*) FROM sessions").await.remove(0)
}

#[track_caller]
fn is_refused(answer: Answer, status: u16, says: &str) {
    let answer = answer.expect(status);
    assert!(answer.text().contains(says), "{says:?} is not in\n{answer}");
    let given = answer.headers.get_all("set-cookie").iter();
    let given: Vec<_> = given.filter(|cookie| !cookie.to_str().unwrap().contains("Max-Age=0")).collect();
    assert!(given.is_empty(), "{given:?}");
}

#[tokio::test]
async fn a_person_signs_in_and_is_made_a_user() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    let begun = browser.get("/auth/corp/begin").await.expect(303);
    let cookie = begun.header("set-cookie");
    let value = cookie.strip_prefix("__Host-hallmark-sign-in=").unwrap().split(';').next().unwrap();
    let attributes = cookie.split_once("; ").unwrap().1;
    assert_eq!((value.len(), attributes), (43, "Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"));
    assert!(begun.location().starts_with(&format!("{}/authorize?", scene.stage.url)));
    assert_eq!(begun.header("cache-control"), "no-store");
    let asked = asked(&begun);
    assert_eq!(asked["redirect_uri"], "https://registry.test/auth/corp/callback");
    assert_eq!((asked["code_challenge_method"].as_str(), asked["scope"].as_str()), ("S256", "openid profile"));
    // Neither the cookie nor what the answer is checked against can be read in the database.
    for row in scene.world.rows().await.remove("sign_ins").unwrap() {
        for secret in [value, &asked["state"], &asked["nonce"]] {
            assert!(!row.contains(secret), "{row}");
        }
    }
    scene.vouch(&asked["nonce"], json!({}));
    let back = browser.come_back("corp", &asked["state"]).await.expect(303);
    assert_eq!(back.location(), "https://registry.test/auth/device");
    let cookies: Vec<_> = back.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let [session, gone] = cookies[..] else { panic!("{cookies:?}") };
    assert!(session.ends_with("; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"), "{session}");
    assert!(gone.starts_with("__Host-hallmark-sign-in=; ") && gone.contains("Max-Age=0"), "{gone}");
    assert_eq!(users(&scene).await, ["cora {issuer} 1001"]);
    let page = browser.get("/auth/device").await.expect(200).text();
    assert!(page.contains("signed in as cora"), "{page}");
    let kept = scene.world.look("SELECT session FROM sessions").await;
    assert_ne!(kept, [browser.session().unwrap()], "only its hash is kept");
    assert_eq!(scene.world.look("SELECT COUNT(*) FROM sign_ins").await, ["0"]);
}

#[tokio::test]
async fn an_answer_is_looked_at_once() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    let asked = browser.begin("corp").await;
    scene.vouch(&asked["nonce"], json!({}));
    let before = browser.cookies.clone();
    browser.come_back("corp", &asked["state"]).await.expect(303);
    browser.cookies = before;
    is_refused(browser.come_back("corp", &asked["state"]).await, 400, "begin again");
    assert_eq!((sessions(&scene.world).await.as_str(), scene.stage.posted().len()), ("1", 1));
}

#[tokio::test]
async fn an_answer_in_another_browser_is_refused() {
    let scene = Scene::open().await;
    let (mut one, mut other) = (Browser::new(&scene.world), Browser::new(&scene.world));
    let asked = one.begin("corp").await;
    scene.vouch(&asked["nonce"], json!({}));
    is_refused(other.come_back("corp", &asked["state"]).await, 400, "not begun in this browser");
    // The attacker's answer in a browser that began a sign-in of its own.
    other.begin("corp").await;
    is_refused(other.come_back("corp", &asked["state"]).await, 400, "does not belong to this sign-in");
    let name = "__Host-hallmark-sign-in".to_owned();
    other.cookies.insert(name.clone(), "A".repeat(43));
    is_refused(other.come_back("corp", &asked["state"]).await, 400, "not begun in this browser");
    assert!(scene.stage.posted().is_empty(), "no code was shown to the provider");
    one.come_back("corp", &asked["state"]).await.expect(303);
    assert_eq!(sessions(&scene.world).await, "1");
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_refused() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    let asked = browser.begin("corp").await;
    scene.world.pass(600);
    scene.vouch(&asked["nonce"], json!({}));
    is_refused(browser.come_back("corp", &asked["state"]).await, 400, "begin again");
}

#[tokio::test]
async fn a_token_of_another_sign_in_is_refused() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    for (changes, status) in [
        (json!({"nonce": "of another"}), 403),
        (json!({"nonce": null}), 403),
        (json!({"aud": "another client"}), 403),
        (json!({"azp": "another client"}), 403),
        (json!({"iss": "https://issuer.example"}), 403),
        (json!({"exp": super::BEGINNING - 100}), 403),
        (json!({"groups": 7}), 403),
    ] {
        let refused = scene.sign_in_again(&mut browser, changes.clone()).await;
        is_refused(refused, status, "not accepted");
    }
    assert_eq!((sessions(&scene.world).await.as_str(), users(&scene).await.len()), ("0", 0));
}

/// An attacker who runs one provider has its answers brought to another's callback.
#[tokio::test]
async fn an_answer_of_another_provider_is_refused() {
    let key = Signer::new("ES256", "one");
    let evil = Stage::open(&[&key]).await;
    let scene = Scene::with(|config| provide(config, "evil", &evil)).await;
    let mut browser = Browser::new(&scene.world);
    let asked = browser.begin("evil").await;
    scene.vouch(&asked["nonce"], json!({}));
    is_refused(browser.come_back("corp", &asked["state"]).await, 400, "begin again");
    let asked = browser.begin("corp").await;
    scene.vouch(&asked["nonce"], json!({}));
    let path = format!("/auth/corp/callback?code=c&state={}&iss={}", asked["state"], evil.url);
    is_refused(browser.get(&path).await, 403, "not accepted");
    scene.world.write_down().await;
    let told = "SELECT subject || payload FROM events WHERE kind = 'sign_in_failed'";
    let told = scene.world.look(told).await;
    assert!(told.len() == 1 && told[0].contains(r#""how":"provider""#), "{told:?}");
    assert!(scene.stage.posted().is_empty() && evil.posted().is_empty());
    is_refused(browser.get("/auth/nobody/begin").await, 404, "no provider of this name");
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_in_its_word_alone() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    let asked = browser.begin("corp").await;
    let error = "%3Cb%3Edenied";
    let answer = browser.get(&format!("/auth/corp/callback?error={error}&state={}", asked["state"])).await;
    is_refused(answer, 403, "refused the sign-in: &lt;b&gt;denied");
}

#[tokio::test]
async fn an_address_links_to_no_account() {
    let scene = Scene::open().await;
    let ann = json!({"sub": "2002", "preferred_username": "eve", "email": "ann@example.com", "email_verified": true});
    scene.sign_in(ann).await;
    // An address as the name is cut to what stands before its @, and that finds nobody either.
    let mut browser = Browser::new(&scene.world);
    let taken = json!({"sub": "3003", "preferred_username": "ann@example.com"});
    is_refused(scene.sign_in_again(&mut browser, taken).await, 403, "nobody is let in");
    assert_eq!(users(&scene).await, ["eve {issuer} 2002"]);
}

#[tokio::test]
async fn the_name_of_a_user_is_not_taken_over() {
    let scene = Scene::open().await;
    let before = scene.world.rows().await.remove("users");
    let mut browser = Browser::new(&scene.world);
    for name in ["ann", "ANN", "admin", "token", "a/b", "", "..", "ann\u{0}"] {
        let refused = scene.sign_in_again(&mut browser, json!({"preferred_username": name})).await;
        assert_eq!(refused.status, 403, "{name:?}");
    }
    let nameless = scene.sign_in_again(&mut browser, json!({"preferred_username": null, "name": "Cora"})).await;
    is_refused(nameless, 403, "preferred_username");
    assert_eq!(scene.world.rows().await.remove("users"), before);
    assert_eq!(sessions(&scene.world).await, "0");
}

/// Threat 8: others pull by the name, and trust what they find there.
#[tokio::test]
async fn a_name_that_rests_is_not_taken_by_a_newcomer() {
    let scene = Scene::open().await;
    scene.sign_in(json!({})).await;
    let (mut newcomer, other) = (Browser::new(&scene.world), json!({"sub": "2002"}));
    api(&scene.world, "DELETE", "/users/cora", json!({})).await.expect(204);
    let refused = scene.sign_in_again(&mut newcomer, other.clone()).await;
    let told = "the user or organization &quot;cora&quot; was removed lately, and its name is kept from newcomers for a while; ask an \
        administrator to make you a user";
    is_refused(refused, 403, told);
    assert_eq!(users(&scene).await, [""; 0]);
    assert_eq!(scene.world.look("SELECT COUNT(*) FROM accounts WHERE name = 'cora'").await, ["0"]);
    // An administrator gives it to whom they like.
    api(&scene.world, "POST", "/users", json!({"name": "cora", "password": PASSWORD})).await.expect(201);
    api(&scene.world, "DELETE", "/users/cora", json!({})).await.expect(204);
    scene.world.pass(14 * 24 * 60 * 60 - 1);
    is_refused(scene.sign_in_again(&mut newcomer, other.clone()).await, 403, "its name is kept from newcomers");
    scene.world.pass(1);
    scene.sign_in_again(&mut newcomer, other).await.expect(303);
    assert_eq!(users(&scene).await, ["cora {issuer} 2002"]);
}

#[tokio::test]
async fn an_account_belongs_to_its_subject_and_keeps_its_name() {
    let scene = Scene::open().await;
    scene.sign_in(json!({})).await;
    let mut browser = scene.sign_in(json!({"preferred_username": "renamed"})).await;
    assert!(browser.get("/auth/device").await.text().contains("signed in as cora"));
    assert_eq!(users(&scene).await, ["cora {issuer} 1001"]);
    let mut other = Browser::new(&scene.world);
    is_refused(scene.sign_in_again(&mut other, json!({"sub": "1002"})).await, 403, "nobody is let in");
}

#[tokio::test]
async fn nobody_is_made_a_user_where_the_settings_say_so() {
    let scene = Scene::with(|config| config.sections.providers[0].create_users = false).await;
    let mut browser = Browser::new(&scene.world);
    is_refused(scene.sign_in_again(&mut browser, json!({})).await, 403, "nobody is let in");
    assert_eq!(users(&scene).await.len(), 0);
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_is_signed_in_nowhere() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    scene.world.disable("cora").await;
    let page = browser.get("/auth/device").await.expect(200).text();
    assert!(page.contains("Sign in with corp"), "{page}");
    is_refused(scene.sign_in_again(&mut browser, json!({})).await, 403, "nobody is let in");
}

#[tokio::test]
async fn teams_follow_the_groups() {
    let scene = Scene::open().await;
    acme(&scene.world).await;
    let rights = async |groups: Value| {
        scene.sign_in(json!({ "groups": groups })).await;
        scene.world.look("SELECT t.name, m.source FROM team_members m JOIN teams t ON t.principal_id = m.team_id").await
    };
    scene.world.show_as(&scene.stage.url, "issuer");
    assert_eq!(rights(json!(["others"])).await, [""; 0]);
    assert_eq!(rights(json!(["others", "devs"])).await, ["dev {issuer}"]);
    assert_eq!(rights(json!("devs")).await, ["dev {issuer}"]);
    assert_eq!(rights(json!([])).await, [""; 0]);
    // A token that says nothing of groups takes nothing.
    assert_eq!(rights(json!(["devs"])).await, ["dev {issuer}"]);
    assert_eq!(rights(json!(null)).await, ["dev {issuer}"]);
    assert_eq!(rights(json!([])).await, [""; 0]);
    assert_eq!(rights(json!(null)).await, [""; 0]);
    // What somebody gave by hand is not taken back by a group.
    assert_eq!(rights(json!(["devs"])).await, ["dev {issuer}"]);
    api(&scene.world, "PUT", "/organizations/acme/teams/dev/members/cora", json!({})).await.expect(200);
    assert_eq!(rights(json!([])).await, ["dev "]);
}

/// Nobody tells the registry who left a provider, so its word holds for so long, and then tokens and teams rest until it is given
/// again.
#[tokio::test]
async fn tokens_and_teams_rest_when_a_provider_has_not_vouched_for_long() {
    const DAY: i64 = 24 * 60 * 60;
    let scene = Scene::open().await;
    let world = &scene.world;
    acme(world).await;
    let groups = json!({"groups": ["devs"]});
    let mut browser = scene.sign_in(groups.clone()).await;
    let device = Device::asking(world, &[("scope", "read"), ("expires_in", "31536000")]).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let secret = device.poll(world).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let (by, alone) = (Credentials::basic("cora", &secret), Credentials::bearer(&secret));
    let teams = "SELECT u.name FROM team_members t JOIN users u ON u.principal_id = t.user_id";
    let lapse = async || hallmark::auth::signin::lapse(&world.app).await.unwrap();
    world.pass(90 * DAY - 1);
    let token = world.get("/token?service=hallmark&scope=repository:acme/app:pull").by(&by).await.expect(200).json();
    let bearer = Credentials::bearer(token["token"].as_str().unwrap());
    world.get("/v2/acme/app/tags/list").by(&bearer).await.expect(200);
    assert_eq!((lapse().await, world.look(teams).await.len()), (0, 1));
    world.pass(1);
    let refused = world.get("/token?service=hallmark").by(&by).await.expect(401);
    assert_snapshot!(refused, @r#"
    401 Unauthorized
    content-length: 170
    content-type: application/json
    www-authenticate: Basic realm="hallmark", charset="UTF-8"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"your tokens rest until you sign in again with the provider that you come from, in a browser at /auth/device"}]}
    "#);
    for by in [&by, &alone, &bearer] {
        world.get("/v2/acme/app/tags/list").by(by).await.expect(401);
    }
    world.api("GET", "/me", &alone).await.expect(401);
    assert_eq!((lapse().await, lapse().await), (1, 0));
    let members = world.look("SELECT user_id FROM members WHERE owner = 0").await;
    assert_eq!((world.look(teams).await.len(), members.len()), (0, 0));
    // With the next sign-in it is as before.
    scene.sign_in(groups).await;
    assert_eq!(granted(world, &by).await, "repository:acme/app:pull");
    assert_eq!(lapse().await, 0);
}

#[tokio::test]
async fn a_provider_whose_word_has_no_end_is_not_asked_again() {
    let scene = Scene::with(|config| config.sections.providers[0].vouched_for = None).await;
    let world = &scene.world;
    acme(world).await;
    let mut browser = scene.sign_in(json!({"groups": ["devs"]})).await;
    let device = Device::asking(world, &[("scope", "read"), ("expires_in", "31536000")]).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let secret = device.poll(world).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    world.pass(364 * 24 * 60 * 60);
    assert_eq!(hallmark::auth::signin::lapse(&world.app).await.unwrap(), 0);
    assert_eq!(granted(world, &Credentials::basic("cora", &secret)).await, "repository:acme/app:pull");
}

/// The word of a provider that the settings have no more ends as well.
#[tokio::test]
async fn a_provider_that_was_taken_from_the_settings_vouches_for_nobody_for_ever() {
    let scene = Scene::open().await;
    let world = &scene.world;
    acme(world).await;
    let mut browser = scene.sign_in(json!({"groups": ["devs"]})).await;
    let device = Device::asking(world, &[("scope", "read"), ("expires_in", "31536000")]).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let secret = device.poll(world).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let by = Credentials::basic("cora", &secret);
    for table in ["users", "members", "team_members"] {
        world.meddle(&format!("UPDATE {table} SET source = 'https://gone.example' WHERE source LIKE 'http%'")).await;
    }
    world.pass(90 * 24 * 60 * 60 - 1);
    assert_eq!(granted(world, &by).await, "repository:acme/app:pull");
    assert_eq!(hallmark::auth::signin::lapse(&world.app).await.unwrap(), 0);
    world.pass(1);
    world.get("/token?service=hallmark").by(&by).await.expect(401);
    assert_eq!(hallmark::auth::signin::lapse(&world.app).await.unwrap(), 1);
    assert_eq!(world.look("SELECT user_id FROM team_members").await, [""; 0]);
}

/// What people gave by hand is not lost with the groups: it rests, nobody holds anything by it, and it comes back with them.
#[tokio::test]
async fn what_was_granted_by_hand_rests_with_the_membership_and_comes_back() {
    let scene = Scene::open().await;
    let world = &scene.world;
    world.show_as(&scene.stage.url, "issuer");
    acme(world).await;
    let mut browser = scene.sign_in(json!({"groups": ["devs"]})).await;
    let device = Device::asking(world, &[("scope", "write"), ("expires_in", "31536000")]).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let secret = device.poll(world).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let by = Credentials::basic("cora", &secret);
    world.grant("acme/app", "user:cora", "write").await;
    world.grant("acme/*", "user:cora", "read").await;
    let catalog = async || world.get("/v2/_catalog").by(&by).await.expect(200).json()["repositories"].clone();
    let all = "repository:acme/app:pull,push";
    assert_eq!((granted(world, &by).await.as_str(), catalog().await), (all, json!(["acme/app"])));
    let before = world.count_events().await;
    scene.sign_in(json!({"groups": []})).await;
    let grants = async || {
        let events = world.events_after(before).await;
        events.into_iter().filter(|event| event.contains("grant_")).collect::<Vec<_>>()
    };
    let taken = [
        r#"system grant_taken acme/* {"holder":"user:cora","rests":true,"source":"{issuer}"}"#,
        r#"system grant_taken acme/app {"holder":"user:cora","rests":true,"source":"{issuer}"}"#,
    ];
    assert_eq!(grants().await, taken);
    assert_eq!((granted(world, &by).await.as_str(), catalog().await), ("", json!([])));
    world.get("/v2/acme/app/tags/list").by(&by).await.expect(403);
    let listed = world.api("GET", "/repositories/acme%2Fapp/grants", &super::admin()).await.expect(200).json();
    let of_cora = listed["items"].as_array().unwrap().iter().find(|grant| grant["holder"] == "user:cora").unwrap();
    assert_eq!((of_cora["rights"].as_str(), &of_cora["rests"]), (Some("write"), &json!(true)));
    // What is taken meanwhile does not come back.
    world.take("acme/*", "user:cora").await;
    scene.sign_in(json!({"groups": ["devs"]})).await;
    assert_eq!((granted(world, &by).await.as_str(), catalog().await), (all, json!(["acme/app"])));
    let again = r#"system grant_put acme/app {"holder":"user:cora","rights":"write","source":"{issuer}"}"#;
    assert_eq!(grants().await[2..], [r#"admin grant_taken acme/* {"holder":"user:cora"}"#, again]);
    let listed = world.api("GET", "/repositories/acme%2Fapp/grants", &super::admin()).await.expect(200).json();
    assert!(listed["items"].as_array().unwrap().iter().all(|grant| grant["rests"].is_null()), "{listed}");
    // Who is taken out by hand, while it rests or not, leaves nothing that could come back.
    scene.sign_in(json!({"groups": []})).await;
    world.member("acme", "cora", "member").await;
    assert_eq!(granted(world, &by).await, "", "a hand that makes a member gives back nothing");
    api(world, "DELETE", "/organizations/acme/members/cora", json!({})).await.expect(204);
    scene.sign_in(json!({"groups": ["devs"]})).await;
    assert_eq!(granted(world, &by).await, "repository:acme/app:pull");
}

/// What a group gave goes with the group, the membership too; what was granted to the member rests.
#[tokio::test]
async fn a_membership_goes_with_the_last_team_that_it_was_made_for() {
    let scene = Scene::open().await;
    let world = &scene.world;
    world.show_as(&scene.stage.url, "issuer");
    acme(world).await;
    let comes = async |groups: Value| {
        let before = world.count_events().await;
        scene.sign_in(json!({ "groups": groups })).await;
        let events = world.events_after(before).await;
        events.into_iter().filter(|event| event.contains("member")).collect::<Vec<_>>()
    };
    let members = "SELECT u.name, m.source FROM members m JOIN users u ON u.principal_id = m.user_id WHERE m.owner = 0";
    let came = [
        r#"system member_put cora {"role":"member","source":"{issuer}"}"#,
        r#"system team_member_added dev {"source":"{issuer}","user":"cora"}"#,
    ];
    assert_eq!(comes(json!(["devs"])).await, came);
    assert_eq!(world.look(members).await, ["cora {issuer}"]);
    assert_eq!(comes(json!(["devs"])).await, [""; 0]);
    world.grant("acme/app", "user:cora", "write").await;
    let left = [
        r#"system team_member_removed dev {"source":"{issuer}","user":"cora"}"#,
        r#"system member_removed cora {"source":"{issuer}"}"#,
    ];
    assert_eq!(comes(json!([])).await, left);
    assert_eq!(world.look(members).await, [""; 0]);
    let granted = "SELECT g.rights & 31 FROM repository_grants g JOIN users u ON u.principal_id = g.principal_id";
    assert_eq!(world.look(granted).await, ["0"]);
    // Whom somebody made a member, or put into a team, stays, and so does the last owner.
    comes(json!(["devs"])).await;
    api(world, "PUT", "/organizations/acme/teams/dev/members/cora", json!({})).await.expect(200);
    comes(json!([])).await;
    assert_eq!(world.look(members).await, ["cora {issuer}"]);
    api(world, "DELETE", "/organizations/acme/teams/dev/members/cora", json!({})).await.expect(204);
    world.member("acme", "cora", "member").await;
    comes(json!([])).await;
    assert_eq!(world.look(members).await, ["cora -"]);
    world.member("acme", "cora", "owner").await;
    api(world, "DELETE", "/organizations/acme/members/admin", json!({})).await.expect(204);
    world.meddle("UPDATE members SET source = (SELECT source FROM users WHERE name = 'cora')").await;
    assert_eq!(comes(json!([])).await, [""; 0]);
    assert_eq!(world.look("SELECT COUNT(*) FROM members WHERE owner = 1").await, ["1"]);
}

#[tokio::test]
async fn each_sign_in_has_a_session_of_its_own() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    let first = browser.session().unwrap();
    scene.sign_in_again(&mut browser, json!({})).await.expect(303);
    let second = browser.session().unwrap();
    assert_ne!(first, second);
    assert_eq!(sessions(&scene.world).await, "1", "the one before ended");
    // One that somebody put there beforehand is never taken up.
    let mut fixed = Browser::new(&scene.world);
    fixed.cookies.insert("__Host-hallmark-session".to_owned(), "B".repeat(43));
    scene.sign_in_again(&mut fixed, json!({})).await.expect(303);
    assert_ne!(fixed.session().unwrap(), "B".repeat(43));
    scene.world.pass(900);
    assert!(browser.get("/auth/device").await.text().contains("Sign in with corp"), "it is over");
}

#[tokio::test]
async fn a_cookie_opens_the_page_of_devices_and_nothing_else() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    browser.get("/v2/").await.expect(401);
    browser.get("/v2/_catalog").await.expect(401);
    browser.get("/api/v1/me").await.expect(401);
    browser.post("/api/v1/me/tokens", &[]).await.expect(401);
    let token = browser.get("/token?service=hallmark&scope=repository:cora/app:pull").await.expect(200).json();
    assert_eq!(token["scope"], "", "a token for nobody in particular");
    for secret in [browser.session().unwrap(), format!("hmp_{}", browser.session().unwrap())] {
        scene.world.get("/v2/").by(&Credentials::bearer(&secret)).await.expect(401);
        scene.world.get("/token").by(&Credentials::basic("cora", &secret)).await.expect(401);
    }
}

/// Who comes from a provider has no password here, and no directory is asked for one.
#[tokio::test]
async fn who_comes_from_a_provider_has_no_password() {
    let scene = Scene::open().await;
    scene.sign_in(json!({})).await;
    for password in ["", PASSWORD, "1001"] {
        scene.world.get("/token").by(&Credentials::basic("cora", password)).await.expect(401);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_and_keeps_nobody_else_out() {
    let scene = Scene::open().await;
    scene.stage.set(DISCOVERY, Script::Status(500));
    let mut browser = Browser::new(&scene.world);
    let answer = browser.get("/auth/corp/begin").await;
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    is_refused(answer, 503, "does not answer");
    acme(&scene.world).await;
    assert_eq!(granted(&scene.world, &super::admin()).await, "repository:acme/app:pull,push");
}

#[tokio::test]
async fn a_place_has_its_share_of_sign_ins_under_way() {
    let scene = Scene::open().await;
    for _ in 0..100 {
        Browser::new(&scene.world).get("/auth/corp/begin").await.expect(303);
    }
    let mut browser = Browser::new(&scene.world);
    is_refused(browser.get("/auth/corp/begin").await, 429, "too many sign-ins");
    scene.world.get("/auth/corp/begin").sent_from([198, 51, 100, 9]).await.expect(303);
    scene.world.pass(600);
    browser.get("/auth/corp/begin").await.expect(303);
}

#[tokio::test]
async fn there_is_nothing_here_without_an_address_for_browsers() {
    let world = World::open().await;
    for path in ["/auth/device", "/auth/corp/begin", "/auth/corp/callback?code=c&state=s"] {
        assert_eq!(world.get(path).await.gist(), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    assert_eq!(world.post("/auth/device").await.gist(), (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn nobody_signs_in_while_the_registry_is_read_only() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    scene.world.app.set_readonly(true).await.unwrap();
    let before = scene.world.rows().await;
    for path in ["/auth/corp/begin", "/auth/corp/callback?code=c&state=s"] {
        browser.get(path).await.expect(503);
    }
    for path in ["/auth/device", "/auth/device/decide", "/auth/device/token", "/auth/sign-in", "/auth/sign-out"] {
        browser.post(path, &[("client_id", "cli")]).await.expect(503);
    }
    browser.get("/auth/device").await.expect(200);
    assert_eq!(scene.world.rows().await, before);
}

#[tokio::test]
async fn other_methods_and_paths_are_none() {
    let scene = Scene::open().await;
    for (method, path) in [
        ("POST", "/auth/corp/begin"),
        ("HEAD", "/auth/corp/begin"),
        ("POST", "/auth/corp/callback"),
        ("PUT", "/auth/device"),
        ("GET", "/auth/device/decide"),
        ("GET", "/auth/device/token"),
        ("GET", "/auth/sign-in"),
        ("GET", "/auth/sign-out"),
    ] {
        assert_eq!(scene.world.call(method, path).await.status, 405, "{method} {path}");
    }
    for path in ["/auth/", "/auth/corp", "/auth/corp/begin/", "/auth/corp%2Fbegin", "/auth//begin"] {
        assert_eq!(scene.world.get(path).await.status, 404, "{path}");
    }
}

/// What is finished counts for nothing: only what is begun and left there is bounded.
#[tokio::test]
async fn as_many_people_of_an_office_behind_one_address_sign_in_as_there_are() {
    let scene = Scene::open().await;
    for number in 0..220 {
        let claims = json!({"sub": format!("{}", number % 7), "preferred_username": format!("p{}", number % 7)});
        scene.sign_in(claims).await;
    }
}
