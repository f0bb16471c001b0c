//! What a browser is shown.

use insta::assert_snapshot;
use serde_json::json;

use super::devices::{Device, proof};
use super::{Browser, Scene, asked, form};
use crate::harness::Answer;

/// A page without its head, which is the same for all.
fn body(answer: &Answer) -> String {
    let text = answer.text();
    text.split_once("<body>").unwrap().1.replace("</body></html>\n", "")
}

#[tokio::test]
async fn who_is_not_signed_in_is_offered_the_providers_and_a_form() {
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.world);
    let page = browser.get("/auth/device").await.expect(200);
    assert_snapshot!(body(&page).replace(&proof(&page.text()), "{proof}"), @r#"
    <h1>Sign a program in</h1>
    <p>Sign in to let a program act for you.</p>
    <ul>
    <li><a href="https://registry.test/auth/corp/begin">Sign in with corp</a></li>
    </ul>
    <form method="post" action="/auth/sign-in">
    <input type="hidden" name="user_code" value="">
    <input type="hidden" name="proof" value="{proof}">
    <p><label>Name: <input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required></label></p>
    <p><label>Password: <input name="password" type="password" autocomplete="current-password" required></label></p>
    <button>Sign in</button>
    </form>
    "#);
}

#[tokio::test]
async fn a_code_comes_along_through_the_sign_in() {
    let scene = Scene::open().await;
    let device = Device::begin(&scene.world).await;
    let mut browser = Browser::new(&scene.world);
    let page = browser.get(&format!("/auth/device?user_code={}", device.user_code)).await.text();
    let code = device.user_code.replace('-', "");
    assert!(page.contains(&format!("href=\"https://registry.test/auth/corp/begin?for={code}\"")), "{page}");
    let asked = asked(&browser.get(&format!("/auth/corp/begin?for={code}")).await.expect(303));
    scene.vouch(&asked["nonce"], json!({}));
    let back = browser.come_back("corp", &asked["state"]).await.expect(303).location();
    assert_eq!(back, format!("https://registry.test/auth/device?user_code={}", device.user_code));
    let page = browser.get(back.strip_prefix("https://registry.test").unwrap()).await.expect(200).text();
    assert!(page.contains(&device.user_code) && !proof(&page).is_empty(), "{page}");
}

/// Whatever stands in the place of a code leads nowhere and is not repeated.
#[tokio::test]
async fn what_is_no_code_does_not_come_along() {
    let scene = Scene::open().await;
    let hostile = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let mut browser = Browser::new(&scene.world);
    let page = browser.get(&format!("/auth/device?user_code={hostile}")).await.expect(200).text();
    assert!(!page.contains("alert") && page.contains("/auth/corp/begin\""), "{page}");
    let asked = asked(&browser.get("/auth/corp/begin?for=https://evil.example/%0d%0aX:y").await.expect(303));
    scene.vouch(&asked["nonce"], json!({}));
    let back = browser.come_back("corp", &asked["state"]).await.expect(303);
    assert_eq!(back.location(), "https://registry.test/auth/device");
    let page = browser.get(&format!("/auth/device?user_code={hostile}")).await.expect(404).text();
    assert!(!page.contains("alert"), "{page}");
}

#[tokio::test]
async fn the_page_shows_who_asks_and_nothing_that_they_wrote_is_markup() {
    let scene = Scene::open().await;
    let fields = [("client_id", "<b>&\"'"), ("token_name", "</dd><form>"), ("scope", "read")];
    let told = scene.world.post("/auth/device").body(form(&fields)).await.expect(200).json();
    let code = told["user_code"].as_str().unwrap();
    let mut browser = scene.sign_in(json!({})).await;
    let page = browser.get(&format!("/auth/device?user_code={code}")).await.expect(200);
    let shown = body(&page).replace(&proof(&page.text()), "{proof}").replace(code, "{code}");
    assert_snapshot!(shown.replace(&code.replace('-', ""), "{code}"), @r#"
    <h1>Sign a program in</h1>
    <p>You are signed in as cora. A program asks to act for you. Approve only if you started it yourself just now, and it shows the code <strong>{code}</strong>: whoever sent you this code gets the token.</p>
    <dl>
    <dt>Program</dt><dd>&lt;b&gt;&amp;&quot;&#39;</dd>
    <dt>Asks from the address</dt><dd>192.0.2.7</dd>
    <dt>Asked at</dt><dd>2027-01-15T08:00:00Z</dd>
    <dt>Name of the token</dt><dd>&lt;/dd&gt;&lt;form&gt;</dd>
    <dt>It may</dt><dd>read</dd>
    <dt>It ends</dt><dd>2027-02-14T08:00:00Z</dd>
    </dl>
    <form method="post" action="/auth/device/decide">
    <input type="hidden" name="user_code" value="{code}">
    <input type="hidden" name="proof" value="{proof}">
    <button name="decision" value="deny">Deny</button>
    <button name="decision" value="approve">Approve</button>
    </form>
    <form method="post" action="/auth/sign-out">
    <input type="hidden" name="proof" value="{proof}">
    <button>Sign out</button>
    </form>
    "#);
}
