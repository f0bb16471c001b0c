//! People with a name and a password here sign in on the page, and out of it.

use serde_json::Value;

use super::devices::{Device, decide, proof};
use super::{Browser, PUBLIC, form};
use crate::harness::{Answer, Credentials, PASSWORD, World};

const PAGE: &str = "/auth/device";
const WRONG: &str = "the name or the password is wrong";

/// A registry without a provider.
pub(super) async fn opened() -> World {
    World::with(|config| config.public_url = Some(PUBLIC.parse().unwrap())).await
}

/// Opens the page, and sends its form with this name and password.
pub(super) async fn sign_in(browser: &mut Browser<'_>, name: &str, password: &str) -> Answer {
    let page = browser.get(PAGE).await.expect(200).text();
    let fields = [("name", name), ("password", password), ("proof", &proof(&page))];
    browser.post("/auth/sign-in", &fields).await
}

async fn sessions(world: &World) -> usize {
    world.rows().await.remove("sessions").unwrap_or_default().len()
}

/// Somebody lets a program in by their password; what the program is given.
pub(crate) async fn let_in(world: &World, name: &str, password: &str) -> Value {
    let device = Device::begin(world).await;
    let mut browser = Browser::new(world);
    let page = browser.get(&format!("{PAGE}?user_code={}", device.user_code)).await.expect(200);
    assert!(!page.text().contains("Sign in with"), "no provider is offered where there is none: {page}");
    let code = device.user_code.replace('-', "");
    assert!(page.text().contains(&format!("name=\"user_code\" value=\"{code}\"")), "{page}");
    let fields = [("name", name), ("password", password), ("proof", &proof(&page.text())), ("user_code", &code)];
    let back = browser.post("/auth/sign-in", &fields).await.expect(303);
    assert_eq!(back.location(), format!("{PUBLIC}{PAGE}?user_code={}", device.user_code));
    let cookies: Vec<_> = back.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
    let session = cookies.iter().find(|cookie| cookie.starts_with("__Host-hallmark-session=")).unwrap();
    assert!(session.ends_with("; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"), "{session}");
    assert!(!browser.cookies.contains_key("__Host-hallmark-form"), "it is used up");
    decide(&mut browser, &device.user_code, "approve").await.expect(200);
    device.poll(world).await.expect(200).json()
}

#[tokio::test]
async fn a_local_user_lets_a_program_in() {
    let world = opened().await;
    let token = let_in(&world, "ann", PASSWORD).await;
    assert_eq!(token["username"], "ann");
    let by = Credentials::basic("ann", token["access_token"].as_str().unwrap());
    world.get("/token?service=hallmark").by(&by).await.expect(200);
}

/// Nothing that is seen, and no work, tells a name that exists from one that does not.
#[tokio::test]
async fn a_wrong_password_reads_the_same_for_everybody() {
    let world = opened().await;
    world.add_user("off").await;
    world.disable("off").await;
    let mut seen = Vec::new();
    for (name, password) in [("ann", "wrong"), ("nobody", "wrong"), ("off", PASSWORD), ("acme+ci", "wrong"), ("", "")] {
        let mut browser = Browser::new(&world);
        let before = world.app.passwords.hashes_computed();
        let refused = sign_in(&mut browser, name, password).await.expect(403);
        assert_eq!(world.app.passwords.hashes_computed() - before, 1, "{name:?}");
        assert!(refused.text().contains(WRONG) && browser.session().is_none(), "{refused}");
        seen.push(refused.text().replace(&proof(&refused.text()), "{proof}"));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_eq!(sessions(&world).await, 0);
}

#[tokio::test]
async fn a_token_is_no_password_here() {
    let world = opened().await;
    let ann = Credentials::basic("ann", PASSWORD);
    let new = r#"{"name": "t", "scopes": "read", "expires_at": "2027-06-01T00:00:00Z"}"#;
    let call = world.post("/api/v1/me/tokens").by(&ann).header("content-type", "application/json");
    let secret = call.body(new).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
    let before = world.app.passwords.hashes_computed();
    let refused = sign_in(&mut Browser::new(&world), "ann", &secret).await.expect(403);
    assert!(refused.text().contains(WRONG) && !refused.text().contains(&secret), "{refused}");
    assert_eq!((world.app.passwords.hashes_computed(), sessions(&world).await), (before, 0));
}

#[tokio::test]
async fn passwords_are_not_guessed_on_the_page() {
    let world = opened().await;
    let mut browser = Browser::new(&world);
    let mut tries = 0;
    let limited = loop {
        let answer = sign_in(&mut browser, "ann", "wrong").await;
        tries += 1;
        match answer.status.as_u16() {
            403 => assert!(tries < 100, "nothing bounds the tries"),
            _ => break answer.expect(429),
        }
    };
    assert!(limited.header("retry-after").parse::<u32>().unwrap() > 0);
    // Nor with the right one, nor at another door, until the time is over.
    sign_in(&mut browser, "ann", PASSWORD).await.expect(429);
    world.get("/token?service=hallmark").by(&Credentials::basic("ann", PASSWORD)).await.expect(429);
    world.pass(limited.header("retry-after").parse().unwrap());
    sign_in(&mut browser, "ann", PASSWORD).await.expect(303);
}

#[tokio::test]
async fn a_form_of_another_browser_or_another_site_signs_nobody_in() {
    let world = opened().await;
    let (mut victim, mut attacker) = (Browser::new(&world), Browser::new(&world));
    let own = proof(&victim.get(PAGE).await.text());
    let of_another = proof(&attacker.get(PAGE).await.text());
    for sent in [Some(of_another.as_str()), Some(""), None] {
        let mut fields = vec![("name", "ann"), ("password", PASSWORD)];
        fields.extend(sent.map(|sent| ("proof", sent)));
        let refused = victim.post("/auth/sign-in", &fields).await.expect(403);
        assert!(refused.text().contains("not of your browser") && victim.session().is_none(), "{refused}");
    }
    let fields = form(&[("name", "ann"), ("password", PASSWORD), ("proof", &own)]);
    for (origin, status) in [("https://evil.test", 403), ("null", 403), ("http://registry.test", 403), (PUBLIC, 303)] {
        let call = world.post("/auth/sign-in").header("cookie", victim.sent()).header("origin", origin);
        call.body(fields.clone()).await.expect(status);
    }
    assert_eq!(sessions(&world).await, 1);
}

#[tokio::test]
async fn who_signs_out_has_no_session_any_more() {
    let world = opened().await;
    let (mut browser, mut other) = (Browser::new(&world), Browser::new(&world));
    sign_in(&mut browser, "ann", PASSWORD).await.expect(303);
    sign_in(&mut other, "ann", PASSWORD).await.expect(303);
    let (page, of_other) = (browser.get(PAGE).await.text(), proof(&other.get(PAGE).await.text()));
    assert!(page.contains("signed in as ann") && page.contains("action=\"/auth/sign-out\""), "{page}");
    for fields in [&[("proof", of_other.as_str())][..], &[]] {
        browser.post("/auth/sign-out", fields).await.expect(403);
    }
    let stolen = browser.sent();
    let proof = proof(&page);
    let call = world.post("/auth/sign-out").header("cookie", stolen.clone()).header("origin", "https://evil.test");
    call.body(form(&[("proof", &proof)])).await.expect(403);
    assert_eq!(sessions(&world).await, 2);
    let out = browser.post("/auth/sign-out", &[("proof", &proof)]).await.expect(303);
    assert_eq!((out.location(), browser.session()), (format!("{PUBLIC}{PAGE}"), None));
    assert_eq!(sessions(&world).await, 1);
    let page = world.get(PAGE).header("cookie", stolen).await.expect(200).text();
    assert!(!page.contains("signed in as"), "the cookie opens nothing: {page}");
    assert!(other.get(PAGE).await.text().contains("signed in as ann"), "the other session stands");
    browser.post("/auth/sign-out", &[]).await.expect(303);
    world.write_down().await;
    let told = world.look("SELECT subject, payload FROM events WHERE kind = 'signed_out' AND actor_id > 0").await;
    assert_eq!(told, [r#"ann {"client":"192.0.2.7","count":1,"how":"session"}"#], "once, and by whom it was ended");
}

/// A password that is typed into a page is not sent where others can read it.
#[tokio::test]
async fn there_is_no_page_over_plain_http_but_on_loopback() {
    for (url, status) in [("http://registry.test", 404), ("http://127.0.0.1:5000", 200), ("http://[::1]:5000", 200)] {
        let world = World::with(|config| config.public_url = Some(url.parse().unwrap())).await;
        world.get(PAGE).await.expect(status);
        let sent = world.post("/auth/sign-in").body(form(&[("name", "ann"), ("password", PASSWORD)])).await;
        assert_eq!(sent.status.as_u16(), if status == 200 { 403 } else { 404 }, "{url}");
    }
}
