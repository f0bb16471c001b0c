//! People, programs and workloads whom somebody else vouches for, at the registry's door.
//! Never here: what is checked of a token or of an answer (the unit tests of `auth::oidc` and `auth::workload`).
//! Start reading at the helpers here, then at the file of what signs in.

mod certificates;
mod devices;
mod exchange;
mod log;
mod pages;
pub(crate) mod passwords;
mod providers;
mod replicas;
mod workloads;

use std::collections::BTreeMap;

use hallmark::auth::directory::TeamName;
use hallmark::auth::oidc::IssuerSettings;
use hallmark::auth::oidc::people::{Authentication, ClientSecret, ClientSettings};
use hallmark::config::{Config, IssuerSection, ProviderSection};
use serde_json::{Value, json};

use crate::harness::stage::{Answer as Script, SECONDS, Signer, Stage, merge};
use crate::harness::{Answer, Credentials, PASSWORD, World};

/// What the registry is to the providers of the tests.
const CLIENT: &str = "registry";
/// Where browsers reach it.
const PUBLIC: &str = "https://registry.test";

fn admin() -> Credentials {
    Credentials::basic("admin", PASSWORD)
}

/// A request of the management API by the administrator.
async fn api(world: &World, method: &str, path: &str, body: Value) -> Answer {
    let call = world.call(method, &format!("/api/v1{path}")).by(&admin());
    call.header("content-type", "application/json").body(body.to_string()).await
}

/// The organization `acme` with the repository `acme/app`, the team `dev`, which may pull from it, and the robot `ci`, which may
/// push to it.
async fn acme(world: &World) {
    api(world, "POST", "/organizations", json!({"name": "acme"})).await.expect(201);
    api(world, "POST", "/organizations/acme/teams", json!({"name": "dev"})).await.expect(201);
    api(world, "POST", "/repositories", json!({"name": "acme/app"})).await.expect(201);
    api(world, "POST", "/accounts/acme/robots", json!({"name": "ci"})).await.expect(201);
    for (holder, rights) in [("team:acme%2Fdev", "read"), ("robot:acme%2Bci", "write")] {
        api(world, "PUT", &format!("/grants/acme%2Fapp/{holder}"), json!({"rights": rights})).await.expect(200);
    }
}

/// Trusts the workloads of a stage.
pub(crate) fn trust(config: &mut Config, stage: &Stage, bind_address: bool) {
    let name = format!("issuer-{}", config.sections.issuers.len());
    config.sections.issuers.push(IssuerSection { name, issuer: stage.settings(), bind_address });
}

/// Lets people sign in with a stage under this name; its group `devs` is the team `acme/dev`.
fn provide(config: &mut Config, name: &str, stage: &Stage) {
    config.public_url = Some(PUBLIC.parse().unwrap());
    let issuer = IssuerSettings { audiences: vec![CLIENT.to_owned()], ..stage.settings() };
    let client = ClientSettings {
        client_id: CLIENT.to_owned(),
        client_secret: Some(ClientSecret::new("a secret".to_owned())),
        authentication: Authentication::Basic,
        scopes: vec!["profile".to_owned()],
        groups_claim: Some("groups".parse().unwrap()),
    };
    let team = TeamName { organization: "acme".to_owned(), team: "dev".to_owned() };
    let teams = vec![("devs".to_owned(), team)];
    config.sections.providers.push(ProviderSection {
        name: name.to_owned(),
        issuer,
        client,
        teams,
        vouched_for: Some(std::time::Duration::from_secs(90 * 24 * 60 * 60)),
        create_users: true,
    });
}

/// A registry with one provider, `corp`.
struct Scene {
    stage: Stage,
    key: Signer,
    world: World,
}

impl Scene {
    async fn open() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let key = Signer::new("ES256", "one");
        let stage = Stage::open(&[&key]).await;
        let world = World::with(|config| {
            provide(config, "corp", &stage);
            change(config);
        })
        .await;
        Self { stage, key, world }
    }

    /// The provider answers the next code with a token of these claims, which go beside the usual ones.
    fn vouch(&self, nonce: &str, claims: Value) {
        let now = self.world.now() / 1000;
        let usual = json!({
            "iss": self.stage.url, "aud": CLIENT, "sub": "1001", "nonce": nonce, "iat": now, "exp": now + 300,
            "preferred_username": "cora",
        });
        let token = self.key.token(&merge(usual, claims));
        let answer = json!({"access_token": "unused", "token_type": "Bearer", "id_token": token});
        self.stage.set("/token", Script::Json(answer));
    }

    /// A new browser signs in as whom the provider describes by `claims`.
    async fn sign_in(&self, claims: Value) -> Browser<'_> {
        let mut browser = Browser::new(&self.world);
        self.sign_in_again(&mut browser, claims).await.expect(303);
        browser
    }

    async fn sign_in_again(&self, browser: &mut Browser<'_>, claims: Value) -> Answer {
        let asked = browser.begin("corp").await;
        self.vouch(&asked["nonce"], claims);
        browser.come_back("corp", &asked["state"]).await
    }
}

/// A browser: it keeps cookies.
struct Browser<'w> {
    world: &'w World,
    cookies: BTreeMap<String, String>,
}

impl<'w> Browser<'w> {
    fn new(world: &'w World) -> Self {
        Self { world, cookies: BTreeMap::new() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = self.world.get(path).header("cookie", self.sent()).await;
        self.keep(answer)
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.world.post(path).header("cookie", self.sent()).body(form(fields)).await;
        self.keep(answer)
    }

    fn sent(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Begins a sign-in; what the provider is asked.
    async fn begin(&mut self, provider: &str) -> BTreeMap<String, String> {
        let answer = self.get(&format!("/auth/{provider}/begin")).await.expect(303);
        asked(&answer)
    }

    async fn come_back(&mut self, provider: &str, state: &str) -> Answer {
        self.get(&format!("/auth/{provider}/callback?code=c&state={state}")).await
    }

    /// The value of the session's cookie.
    fn session(&self) -> Option<String> {
        self.cookies.get("__Host-hallmark-session").cloned()
    }
}

/// What a provider is asked by the URL that a browser is sent to.
fn asked(answer: &Answer) -> BTreeMap<String, String> {
    let url: url::Url = answer.location().parse().unwrap();
    url.query_pairs().into_owned().collect()
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// What may be done in `acme/app` by who shows this.
async fn granted(world: &World, by: &Credentials) -> String {
    let answer = world.get("/token?service=hallmark&scope=repository:acme/app:pull,push").by(by).await.expect(200);
    answer.json()["scope"].as_str().unwrap().to_owned()
}

/// An answer as an observer sees it.
type Seen = (http::StatusCode, Vec<(String, String)>, bytes::Bytes);

/// What a wrong password is answered by the token endpoint.
async fn wrong_password(world: &World) -> Seen {
    let wrong = Credentials::basic("ann", "not the password");
    world.get("/token?service=hallmark").by(&wrong).await.expect(401).visible()
}

/// Seconds since 1970 at which every world begins; tokens of stages are made around it.
const BEGINNING: i64 = SECONDS;
