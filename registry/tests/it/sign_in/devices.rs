//! Programs without a browser get a token by a code that a signed-in person approves (RFC 8628).

use serde_json::{Value, json};

use super::{Browser, Scene, acme, form, granted};
use crate::harness::{Answer, Credentials, World};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A program that wants to be signed in.
pub(super) struct Device {
    pub(super) device_code: String,
    pub(super) user_code: String,
}

impl Device {
    pub(super) async fn begin(world: &World) -> Self {
        Self::asking(world, &[]).await
    }

    pub(super) async fn asking(world: &World, fields: &[(&str, &str)]) -> Self {
        let told = ask(world, fields).await.expect(200).json();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { device_code: text("device_code"), user_code: text("user_code") }
    }

    pub(super) async fn poll(&self, world: &World) -> Answer {
        poll(world, &self.device_code, "cli").await
    }

    /// The word that this device is answered with.
    async fn word(&self, world: &World) -> String {
        self.poll(world).await.expect(400).json()["error"].as_str().unwrap().to_owned()
    }
}

async fn ask(world: &World, fields: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = [("client_id", "cli")].iter().chain(fields).copied().collect();
    let named = fields.iter().filter(|(name, _)| *name == "client_id").count() > 1;
    world.post("/auth/device").body(form(&fields[usize::from(named)..])).sent_from([203, 0, 113, 5]).await
}

async fn poll(world: &World, code: &str, client: &str) -> Answer {
    let fields = [("grant_type", GRANT), ("device_code", code), ("client_id", client)];
    world.post("/auth/device/token").body(form(&fields)).await
}

/// What a form of the page would send.
pub(super) fn proof(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"proof\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Opens the page with a code, and presses a button of it.
pub(super) async fn decide(browser: &mut Browser<'_>, code: &str, decision: &str) -> Answer {
    let page = browser.get(&format!("/auth/device?user_code={code}")).await.expect(200).text();
    let fields = [("user_code", code), ("proof", &proof(&page)), ("decision", decision)];
    browser.post("/auth/device/decide", &fields).await
}

#[tokio::test]
async fn a_program_gets_the_token_that_was_approved() {
    let scene = Scene::open().await;
    let world = &scene.world;
    acme(world).await;
    let wanted = [("scope", "read  on:acme/*"), ("token_name", "laptop"), ("expires_in", "86400")];
    let told = ask(world, &wanted).await.expect(200);
    assert_eq!(told.header("cache-control"), "no-store");
    let told = told.json();
    assert_eq!(told["verification_uri"], "https://registry.test/auth/device");
    assert_eq!((&told["expires_in"], &told["interval"]), (&json!(600), &json!(5)));
    assert_eq!(told.get("verification_uri_complete"), None, "a link that needs no typing would be sent to people");
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let device = Device { device_code: text("device_code"), user_code: text("user_code") };
    for row in world.rows().await.remove("device_requests").unwrap() {
        assert!(!row.contains(&device.device_code) && !row.contains(&device.user_code.replace('-', "")), "{row}");
    }
    assert_eq!(device.word(world).await, "authorization_pending");

    let mut browser = scene.sign_in(json!({"groups": ["devs"]})).await;
    let page = browser.get(&format!("/auth/device?user_code={}", device.user_code.to_lowercase())).await.text();
    for shown in [
        "signed in as cora",
        device.user_code.as_str(),
        "<dd>cli</dd>",
        "<dd>203.0.113.5</dd>",
        "<dd>2027-01-15T08:00:00Z</dd>",
        "<dd>laptop</dd>",
        "<dd>read on:acme/*</dd>",
        "<dd>2027-01-16T08:00:00Z</dd>",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    let approved = decide(&mut browser, &device.user_code, "approve").await.expect(200);
    assert!(approved.text().contains("<h1>Approved</h1>"), "{approved}");
    let token = device.poll(world).await.expect(200);
    assert_eq!(token.header("cache-control"), "no-store");
    let token = token.json();
    let secret = token["access_token"].as_str().unwrap();
    assert!(secret.starts_with("hmp_"));
    assert_eq!((&token["username"], &token["scope"]), (&json!("cora"), &json!("read on:acme/*")));
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(86400)));
    assert_eq!(granted(world, &Credentials::basic("cora", secret)).await, "repository:acme/app:pull");
    world.get("/api/v1/me").by(&Credentials::basic("cora", secret)).await.expect(403);
    assert_eq!(device.word(world).await, "expired_token", "it is good once");
    let credential = "SELECT name, scopes, kind FROM credentials WHERE kind = 'personal'";
    assert_eq!(world.look(credential).await, ["laptop read on:acme/* personal"]);
    let events =
        "SELECT kind, subject, payload FROM events WHERE kind LIKE 'device%' OR kind = 'token_created' ORDER BY id";
    let events = world.look(events).await;
    let [approved, created] = &events[..] else { panic!("{events:?}") };
    let address = r#"device_approved cli {"address":"203.0.113.5","scopes":"read on:acme/*","token":"laptop"}"#;
    assert_eq!(approved, address);
    assert!(created.starts_with("token_created laptop "), "{created}");
    world.pass(86_400);
    world.get("/token").by(&Credentials::basic("cora", secret)).await.expect(401);
}

#[tokio::test]
async fn a_program_that_was_denied_gets_nothing() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = scene.sign_in(json!({})).await;
    let denied = decide(&mut browser, &device.user_code, "deny").await.expect(200);
    assert!(denied.text().contains("<h1>Denied</h1>"), "{denied}");
    assert_eq!(device.word(&scene.world).await, "access_denied");
    assert_eq!(device.word(&scene.world).await, "expired_token");
    assert_eq!(scene.world.look("SELECT COUNT(*) FROM credentials").await, ["0"]);
    let told = "SELECT kind, subject, payload, (SELECT name FROM users WHERE principal_id = actor_id) FROM events
                 WHERE kind LIKE 'device%'";
    let denied = r#"device_denied cli {"address":"203.0.113.5","scopes":"read write","token":"cli"} cora"#;
    assert_eq!(scene.world.look(told).await, [denied]);
}

#[tokio::test]
async fn a_program_that_asks_too_often_waits_longer_each_time() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    for (seconds, expected) in [
        (0, "authorization_pending"),
        (4, "slow_down"),
        (9, "slow_down"),
        (14, "slow_down"),
        (20, "authorization_pending"),
        (20, "authorization_pending"),
    ] {
        scene.world.pass(seconds);
        assert_eq!(device.word(&scene.world).await, expected, "after {seconds} s more");
    }
    // A decision is told at once, however often it asked.
    let mut browser = scene.sign_in(json!({})).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    device.poll(&scene.world).await.expect(200);
}

#[tokio::test]
async fn a_code_that_has_ended_is_good_for_nobody() {
    let scene = Scene::open().await;
    let (waits, approved) = (Device::begin(&scene.world).await, Device::begin(&scene.world).await);
    scene.world.pass(300);
    let mut browser = scene.sign_in(json!({})).await;
    decide(&mut browser, &approved.user_code, "approve").await.expect(200);
    let page = browser.get(&format!("/auth/device?user_code={}", waits.user_code)).await.text();
    scene.world.pass(300);
    for device in [&waits, &approved] {
        assert_eq!(device.word(&scene.world).await, "expired_token");
    }
    browser.get(&format!("/auth/device?user_code={}", waits.user_code)).await.expect(404);
    let fields = [("user_code", waits.user_code.as_str()), ("proof", &proof(&page)), ("decision", "approve")];
    browser.post("/auth/device/decide", &fields).await.expect(404);
}

#[tokio::test]
async fn a_code_is_decided_once() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = scene.sign_in(json!({})).await;
    let page = browser.get(&format!("/auth/device?user_code={}", device.user_code)).await.text();
    let proof = proof(&page);
    for (decision, status) in [("", 400), ("maybe", 400), ("deny", 200), ("approve", 404)] {
        let fields = [("user_code", device.user_code.as_str()), ("proof", &proof), ("decision", decision)];
        browser.post("/auth/device/decide", &fields).await.expect(status);
    }
    assert_eq!(device.word(&scene.world).await, "access_denied");
}

#[tokio::test]
async fn a_form_that_is_not_of_the_session_decides_nothing() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let (mut victim, mut attacker) = (scene.sign_in(json!({})).await, scene.sign_in(json!({})).await);
    let page = attacker.get(&format!("/auth/device?user_code={}", device.user_code)).await.text();
    let code = ("user_code", device.user_code.as_str());
    let of_another = proof(&page);
    for sent in [Some(of_another.as_str()), Some(""), Some("x"), None] {
        let mut fields = vec![code, ("decision", "approve")];
        fields.extend(sent.map(|sent| ("proof", sent)));
        let refused = victim.post("/auth/device/decide", &fields).await.expect(403);
        assert!(refused.text().contains("not of your session"), "{refused}");
    }
    let fields = [code, ("decision", "approve"), ("proof", &of_another)];
    let refused = Browser::new(&scene.world).post("/auth/device/decide", &fields).await.expect(403);
    assert!(refused.text().contains("not signed in"), "{refused}");
    assert_eq!(device.word(&scene.world).await, "authorization_pending");
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = scene.sign_in(json!({})).await;
    for guess in ["BBBB-BBBB", "CCCC-CCCC", "", "nonsense", "DDDD-DDDD", "FFFF-FFFF"] {
        let status = if guess.is_empty() { 200 } else { 404 };
        browser.get(&format!("/auth/device?user_code={guess}")).await.expect(status);
    }
    // Not even the right one any more, nor in another browser of the same person.
    let right = format!("/auth/device?user_code={}", device.user_code);
    let refused = browser.get(&right).await.expect(429);
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    scene.sign_in(json!({})).await.get(&right).await.expect(429);
    let other = json!({"sub": "1002", "preferred_username": "dora"});
    scene.sign_in(other).await.get(&right).await.expect(200);
    scene.world.pass(121);
    browser.get(&right).await.expect(200);
}

#[tokio::test]
async fn one_of_many_who_come_with_a_code_gets_the_token() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = scene.sign_in(json!({})).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let answers = futures_util::future::join_all((0..8).map(|_| device.poll(&scene.world))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(scene.world.look("SELECT COUNT(*) FROM credentials").await, ["1"]);
}

#[tokio::test]
async fn a_code_is_its_own_clients() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = scene.sign_in(json!({})).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    for (code, client) in [
        (device.device_code.as_str(), "another"),
        (&device.device_code[1..], "cli"),
        (device.user_code.as_str(), "cli"),
        ("\u{0}", "cli"),
    ] {
        assert_eq!(poll(&scene.world, code, client).await.expect(400).json()["error"], "expired_token");
    }
    device.poll(&scene.world).await.expect(200);
}

/// Whoever is disabled, or whose credentials were all called back, approves nothing that was not fetched yet.
#[tokio::test]
async fn an_approval_ends_with_its_persons_credentials() {
    for ends in ["disabled", "logged out"] {
        let scene = Scene::open().await;
        let device = Device::begin(&scene.world).await;
        let mut browser = scene.sign_in(json!({})).await;
        decide(&mut browser, &device.user_code, "approve").await.expect(200);
        match ends {
            "disabled" => scene.world.disable("cora").await,
            _ => drop(super::api(&scene.world, "POST", "/users/cora/logout", json!({})).await.expect(204)),
        }
        assert_eq!(device.word(&scene.world).await, "access_denied", "{ends}");
        assert_eq!(scene.world.look("SELECT COUNT(*) FROM credentials").await, ["0"]);
    }
}

#[tokio::test]
async fn a_token_that_could_not_be_made_is_not_offered() {
    let scene = Scene::open().await;
    let long = "x".repeat(101);
    for (fields, error) in [
        (&[("scope", "pull")][..], "invalid_scope"),
        (&[("scope", "on:acme/*")], "invalid_scope"),
        (&[("expires_in", "0")], "invalid_request"),
        (&[("expires_in", "31708800")], "invalid_request"),
        (&[("expires_in", "-1")], "invalid_request"),
        (&[("expires_in", "99999999999999999999")], "invalid_request"),
        (&[("client_id", "")], "invalid_request"),
        (&[("client_id", &long)], "invalid_request"),
        (&[("client_id", "cli\u{202e}")], "invalid_request"),
        (&[("token_name", "a\nb")], "invalid_request"),
    ] {
        assert_eq!(ask(&scene.world, fields).await.expect(400).json()["error"], error, "{fields:?}");
    }
    let fields = [("grant_type", "password"), ("device_code", "x"), ("client_id", "cli")];
    let refused = scene.world.post("/auth/device/token").body(form(&fields)).await.expect(400).json();
    assert_eq!(refused["error"], "unsupported_grant_type");
    let refused = scene.world.post("/auth/device/token").body(form(&fields[1..])).await.expect(400).json();
    assert_eq!(refused["error"], "unsupported_grant_type");
    let refused = scene.world.post("/auth/device/token").body(form(&[("grant_type", GRANT)])).await.expect(400).json();
    assert_eq!(refused["error"], "invalid_request");
    scene.world.post("/auth/device").body("x".repeat(20_000)).await.expect(400);
    assert_eq!(scene.world.look("SELECT COUNT(*) FROM device_requests").await, ["0"]);
}

#[tokio::test]
async fn a_hundred_tokens_of_a_person_stand_at_once() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    let token = json!({"name": "t", "scopes": "read api:write admin", "expires_at": "2027-02-01T00:00:00Z"});
    let first = Device::asking(&scene.world, &[("scope", "admin api:write")]).await;
    decide(&mut browser, &first.user_code, "approve").await.expect(200);
    let secret = first.poll(&scene.world).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let by = Credentials::basic("cora", &secret);
    for _ in 1..100 {
        let call = scene.world.post("/api/v1/me/tokens").by(&by).header("content-type", "application/json");
        call.body(token.to_string()).await.expect(201);
    }
    let device = Device::begin(&scene.world).await;
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    let refused = device.poll(&scene.world).await.expect(400).json();
    assert_eq!(refused["error"], "access_denied");
    assert!(refused["error_description"].as_str().unwrap().contains("revoke some first"), "{refused}");
    // Once there is room again the code is still good: nothing was lost.
    let id = scene.world.look("SELECT MAX(id) FROM credentials").await.remove(0);
    scene.world.delete(&format!("/api/v1/me/tokens/{id}")).by(&by).await.expect(204);
    device.poll(&scene.world).await.expect(200);
}

#[tokio::test]
async fn a_place_has_its_share_of_open_requests() {
    let scene = Scene::open().await;
    for _ in 0..20 {
        Device::begin(&scene.world).await;
    }
    let busy = ask(&scene.world, &[]).await;
    assert_eq!(busy.status, 429);
    let body: Value = busy.json();
    assert_eq!(body["error"], "temporarily_unavailable");
    scene.world.post("/auth/device").body("client_id=cli").await.expect(200);
    scene.world.pass(600);
    Device::begin(&scene.world).await;
}

#[tokio::test]
async fn those_of_one_region_open_a_small_part_of_all_requests() {
    let scene = Scene::open().await;
    let from =
        |number: u16| scene.world.post("/auth/device").body("client_id=cli").sent_from([192, 0, 2, number as u8]);
    for number in 0..200 {
        from(number).await.expect(200);
    }
    let busy = from(200).await.expect(429);
    assert_eq!((busy.json()["error"].as_str(), busy.header("retry-after")), (Some("temporarily_unavailable"), "60"));
    scene.world.post("/auth/device").body("client_id=cli").sent_from([198, 51, 100, 1]).await.expect(200);
}

#[tokio::test]
async fn a_device_that_asks_without_pause_costs_no_changes() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let before = scene.world.app.metadata.statistics().writes;
    let mut words = Vec::new();
    for _ in 0..30 {
        words.push(device.word(&scene.world).await);
    }
    assert_eq!(scene.world.app.metadata.statistics().writes - before, 5);
    assert_eq!(words.remove(0), "authorization_pending");
    assert!(words.iter().all(|word| word == "slow_down"), "{words:?}");
}

/// What is finished counts for nothing: only what is begun and left there is bounded.
#[tokio::test]
async fn an_office_behind_one_address_lets_in_as_many_programs_as_it_likes() {
    let scene = Scene::open().await;
    let mut browser = scene.sign_in(json!({})).await;
    for _ in 0..60 {
        let device = Device::begin(&scene.world).await;
        decide(&mut browser, &device.user_code, "approve").await.expect(200);
        device.poll(&scene.world).await.expect(200);
    }
}
