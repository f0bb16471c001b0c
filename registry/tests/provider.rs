//! People sign in with a real provider: oidc-provider, which `conformance/tools/oidc-provider` installs, driven as a browser drives it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hallmark::app::App;
use hallmark::auth::directory::TeamName;
use hallmark::auth::oidc::people::{
    Authentication, ClientSecret, ClientSettings, Pending, Person, RANDOM_BYTES, SignIn, SignInRefused,
};
use hallmark::auth::oidc::{IssuerSettings, Network};
use hallmark::clock::Clock;
use hallmark::config::{self, Flag, ProviderSection, Purpose, Secret, Sources};
use hallmark::http::{router, server};
use hallmark_oci::{Algorithm, Digest};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

const CALLBACK: &str = "http://127.0.0.1:1/auth/callback";
const SECRET: &str = "a secret: with + and %";
const PASSWORD: &str = "correct horse battery";
/// The administrator's password.
const ADMIN: &str = "correct horse battery staple";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// More than any sign-in takes of redirects.
const STEPS: usize = 10;

#[expect(clippy::disallowed_methods, reason = "a real provider writes the real time into its tokens")]
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "where installed tools stand")]
fn tool(name: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache/hallmark/tools");
    let path = std::env::var("HALLMARK_TOOLS").map_or_else(|_| home(), PathBuf::from).join("bin").join(name);
    assert!(path.exists(), "{name} is missing: run conformance/tools/{name}");
    path
}

/// A provider that runs until it is dropped.
struct Running {
    issuer: String,
    _process: Child,
}

impl Running {
    async fn start() -> Self {
        Self::start_for(CALLBACK).await
    }

    async fn start_for(callback: &str) -> Self {
        let mut process = Command::new(tool("oidc-provider"))
            .arg(callback)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("the provider tells where it listens before it ends");
            let Ok(told) = serde_json::from_str::<Value>(&line) else { continue };
            let issuer = told["issuer"].as_str().unwrap().to_owned();
            return Self { issuer, _process: process };
        }
    }

    fn sign_in(&self, client_id: &str) -> SignIn {
        self.sign_in_as(client_id, Some(SECRET))
    }

    fn sign_in_as(&self, client_id: &str, secret: Option<&str>) -> SignIn {
        SignIn::open(self.issuer(), client(client_id, secret), &Network::default()).unwrap()
    }

    fn issuer(&self) -> IssuerSettings {
        IssuerSettings { issuer: self.issuer.clone(), insecure: true, ..IssuerSettings::default() }
    }
}

fn client(client_id: &str, secret: Option<&str>) -> ClientSettings {
    ClientSettings {
        client_id: client_id.to_owned(),
        client_secret: secret.map(|secret| ClientSecret::new(secret.to_owned())),
        authentication: if client_id == "post" { Authentication::Post } else { Authentication::Basic },
        scopes: ["profile", "email", "groups"].map(str::to_owned).to_vec(),
        groups_claim: Some("groups".parse().unwrap()),
    }
}

async fn begin(sign_in: &SignIn, seed: u8) -> (Url, Pending) {
    let mut random = [seed; RANDOM_BYTES];
    random.iter_mut().zip(0..).for_each(|(byte, place)| *byte ^= place);
    sign_in.begin(CALLBACK, &random, now()).await.unwrap()
}

/// Walks from `url` to the callback as a browser does, giving `password` where a name and password are asked; what the
/// callback's URL has behind its question mark.
async fn browse(url: Url, password: &str) -> String {
    let mut browser = Browser::new();
    let url = browser.walk(url, password, |url| url.as_str().starts_with(CALLBACK)).await;
    url.query().unwrap().to_owned()
}

/// A browser that keeps the cookies of each host and port.
struct Browser {
    client: reqwest::Client,
    cookies: HashMap<(String, String), String>,
    /// The groups that the provider is to say whoever signs in is in from then on.
    groups: Option<&'static str>,
}

impl Browser {
    fn new() -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, cookies: HashMap::new(), groups: None }
    }

    fn in_groups(groups: &'static str) -> Self {
        Self { groups: Some(groups), ..Self::new() }
    }

    /// Sends a request with the cookies of its host, and keeps those that come back.
    async fn send(&mut self, url: &Url, request: reqwest::RequestBuilder) -> reqwest::Response {
        let host = url.authority().to_owned();
        let sent = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let sent: Vec<_> = sent.map(|((_, name), value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, sent.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert((host.clone(), name.to_owned()), value.to_owned());
        }
        answer
    }

    /// Follows redirects from `url` until one goes to where `there` says.
    async fn walk(&mut self, url: Url, password: &str, there: impl Fn(&Url) -> bool) -> Url {
        let mut url = url;
        for _ in 0..STEPS {
            if there(&url) {
                return url;
            }
            let request = if url.path().starts_with("/interaction/") {
                let groups = self.groups.map(|groups| ("groups", groups));
                let fields: Vec<_> = [("name", "ann"), ("password", password)].into_iter().chain(groups).collect();
                self.client.post(url.clone()).body(form(&fields))
            } else {
                self.client.get(url.clone())
            };
            let answer = self.send(&url, request).await;
            let status = answer.status();
            let location = answer.headers().get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
            let Some(location) = location else { panic!("{url} answers {status}: {}", answer.text().await.unwrap()) };
            url = url.join(&location).unwrap();
        }
        panic!("not there after {STEPS} steps, but at {url}");
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// What was kept of a sign-in, with a member replaced.
fn altered(pending: &Pending, changes: Value) -> Pending {
    let mut written = serde_json::to_value(pending).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        written[name] = value.clone();
    }
    serde_json::from_value(written).unwrap()
}

#[track_caller]
fn exchange(refused: Result<Person, SignInRefused>, expected: (u16, &str)) {
    match refused {
        Err(SignInRefused::Exchange { status, error }) => assert_eq!((status, error.as_str()), expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_signs_in_with_a_real_provider() {
    let provider = Running::start().await;
    for (client, secret) in [("basic", Some(SECRET)), ("post", Some(SECRET)), ("public", None)] {
        let sign_in = provider.sign_in_as(client, secret);
        let (url, pending) = begin(&sign_in, 1).await;
        let answer = browse(url, PASSWORD).await;
        assert!(answer.contains("iss="), "the provider names itself: {answer}");
        let person = sign_in.finish(pending, &answer, now()).await.unwrap();
        let expected = Person {
            issuer: provider.issuer.clone(),
            subject: "7f1c2d".to_owned(),
            name: Some("Ann Example".to_owned()),
            preferred_username: Some("ann".to_owned()),
            email: Some("ann@example.com".to_owned()),
            groups: Some(vec!["engineering".to_owned(), "releases".to_owned()]),
        };
        assert_eq!(person, expected, "{client}");
    }
}

#[tokio::test]
async fn a_real_provider_refuses_another_verifier_redirect_or_secret() {
    let provider = Running::start().await;
    let sign_in = provider.sign_in("basic");
    for (change, expected) in [
        (json!({"verifier": "B".repeat(43)}), (400, "invalid_grant")),
        (json!({"redirect_uri": "http://127.0.0.1:1/other"}), (400, "invalid_grant")),
    ] {
        let (url, pending) = begin(&sign_in, 1).await;
        let answer = browse(url, PASSWORD).await;
        exchange(sign_in.finish(altered(&pending, change), &answer, now()).await, expected);
    }
    let stranger = provider.sign_in_as("basic", Some("wrong"));
    let (url, pending) = begin(&stranger, 1).await;
    exchange(stranger.finish(pending, &browse(url, PASSWORD).await, now()).await, (401, "invalid_client"));
}

#[tokio::test]
async fn a_code_of_a_real_provider_is_good_once() {
    let provider = Running::start().await;
    let sign_in = provider.sign_in("basic");
    let (url, pending) = begin(&sign_in, 1).await;
    let again = altered(&pending, json!({}));
    let answer = browse(url, PASSWORD).await;
    sign_in.finish(pending, &answer, now()).await.unwrap();
    exchange(sign_in.finish(again, &answer, now()).await, (400, "invalid_grant"));
}

/// Threat 18: a code that was given for one sign-in is put into another.
#[tokio::test]
async fn a_code_of_another_sign_in_is_refused_by_a_real_provider() {
    let provider = Running::start().await;
    let sign_in = provider.sign_in("basic");
    let ((url, attackers), (_, victims)) = (begin(&sign_in, 1).await, begin(&sign_in, 2).await);
    let answer = browse(url, PASSWORD).await;
    let refused = sign_in.finish(altered(&victims, json!({})), &answer, now()).await;
    assert!(matches!(refused, Err(SignInRefused::Answer)), "the state is the attacker's: {refused:?}");
    let member = |pending: &Pending, name: &str| serde_json::to_value(pending).unwrap()[name].clone();
    let state = member(&attackers, "state");
    let refused = sign_in.finish(altered(&victims, json!({ "state": state })), &answer, now()).await;
    exchange(refused, (400, "invalid_grant"));
    let (url, attackers) = begin(&sign_in, 3).await;
    let answer = browse(url, PASSWORD).await;
    let changes = json!({"state": member(&attackers, "state"), "verifier": member(&attackers, "verifier")});
    let refused = sign_in.finish(altered(&victims, changes), &answer, now()).await;
    assert!(matches!(refused, Err(SignInRefused::Nonce)), "the nonce is the victim's: {refused:?}");
}

#[tokio::test]
async fn answers_of_a_real_provider_are_bound_to_it() {
    let (one, other) = (Running::start().await, Running::start().await);
    let (here, there) = (one.sign_in("basic"), other.sign_in("basic"));
    let (url, pending) = begin(&here, 1).await;
    let answer = browse(url, PASSWORD).await;
    let refused = there.finish(altered(&pending, json!({})), &answer, now()).await;
    assert!(matches!(refused, Err(SignInRefused::OtherIssuer)), "{refused:?}");
    let refused = there.finish(altered(&pending, json!({"issuer": other.issuer})), &answer, now()).await;
    assert!(matches!(refused, Err(SignInRefused::OtherIssuer)), "the answer says where it is from: {refused:?}");
    let silent = answer.split('&').filter(|part| !part.starts_with("iss=")).collect::<Vec<_>>().join("&");
    let refused = here.finish(pending, &silent, now()).await;
    assert!(matches!(refused, Err(SignInRefused::OtherIssuer)), "which it promised to: {refused:?}");
}

#[tokio::test]
async fn a_wrong_password_at_a_real_provider_signs_nobody_in() {
    let provider = Running::start().await;
    let sign_in = provider.sign_in("basic");
    let (url, pending) = begin(&sign_in, 1).await;
    let refused = sign_in.finish(pending, &browse(url, "wrong").await, now()).await;
    assert!(matches!(&refused, Err(SignInRefused::Denied(why)) if why == "access_denied"), "{refused:?}");
}

/// A registry that runs with a real provider, in which those of the group `engineering` are in the team `acme/dev`.
struct Registry {
    base: Url,
    app: Arc<App>,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<server::Drained>,
    provider: Running,
    _data: TempDir,
}

impl Registry {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let provider = Running::start_for(base.join("/auth/corp/callback").unwrap().as_str()).await;
        let data = tempfile::tempdir().unwrap();
        let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
        let sources = Sources { flags: vec![flag], ..Sources::default() };
        let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
        config.public_url = Some(base.clone());
        config.admin_password = Some(Secret::new(ADMIN.to_owned()));
        let name = "corp".to_owned();
        let (issuer, client) = (provider.issuer(), client("basic", Some(SECRET)));
        let team = TeamName { organization: "acme".to_owned(), team: "dev".to_owned() };
        let teams = vec![("engineering".to_owned(), team)];
        config.sections.providers.push(ProviderSection {
            name,
            issuer,
            client,
            teams,
            vouched_for: None,
            create_users: true,
        });
        let app = App::open(config, Clock::System).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let http = app.config.http;
        let served = server::serve(listener, router(Arc::clone(&app)), None, http, async { drop(stopped.await) });
        let served = tokio::spawn(served);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, app, client, stop, served, provider, _data: data }
    }

    fn at(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    /// Asks the management API as the administrator.
    async fn manage(&self, method: &str, path: &str, body: Value) -> Value {
        let call = self.client.request(method.parse().unwrap(), self.at(&format!("/api/v1{path}")));
        let call = call.basic_auth("admin", Some(ADMIN)).header("content-type", "application/json");
        let answer = call.body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A program begins, a person walks with their browser from the page of devices to the provider and back, approves, and
    /// the program has a token: the person's name and the token.
    async fn signs_in(&self, scopes: &str, mut browser: Browser) -> (String, String) {
        let begin = browser.client.post(self.at("/auth/device")).body(form(&[("client_id", "cli"), ("scope", scopes)]));
        let told: Value = serde_json::from_str(&begin.send().await.unwrap().text().await.unwrap()).unwrap();
        let (device, code) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let fields = form(&[("grant_type", grant), ("device_code", device), ("client_id", "cli")]);
        let poll = || self.poll(fields.clone());
        assert_eq!(poll().await["error"], "authorization_pending");

        let begin = self.at(&format!("/auth/corp/begin?for={code}"));
        let page = browser.walk(begin, PASSWORD, |url| url.path() == "/auth/device").await;
        assert_eq!(page.query(), Some(format!("user_code={code}").as_str()));
        let shown = browser.client.get(page.clone());
        let shown = browser.send(&page, shown).await.text().await.unwrap();
        assert!(shown.contains("signed in as ann") && shown.contains("127.0.0.1"), "{shown}");
        let proof = shown.split("name=\"proof\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let approve = form(&[("user_code", code), ("proof", proof), ("decision", "approve")]);
        let approve = browser.client.post(self.at("/auth/device/decide")).body(approve);
        assert_eq!(browser.send(&self.base, approve).await.status(), 200);

        let token = poll().await;
        let word = |name: &str| token[name].as_str().unwrap().to_owned();
        (word("username"), word("access_token"))
    }

    async fn poll(&self, fields: String) -> Value {
        let answer = self.client.post(self.at("/auth/device/token")).body(fields).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Pushes an image without layers as a client does: what its token may, and what each request was answered.
    async fn push(&self, repository: &str, (user, secret): (&str, &str)) -> (String, Vec<u16>) {
        let scope = format!("/token?service=hallmark&scope=repository:{repository}:pull,push");
        let answer = self.client.get(self.at(&scope)).basic_auth(user, Some(secret)).send().await.unwrap();
        let token: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let bearer = token["token"].as_str().unwrap();
        let config = Digest::of(Algorithm::Sha256, b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.as_str(), "size": 2},
        });
        let blob = format!("/v2/{repository}/blobs/uploads/?digest={config}");
        let mut answers = Vec::new();
        for call in [
            self.client.post(self.at(&blob)).header("content-type", "application/octet-stream").body("{}"),
            self.client
                .put(self.at(&format!("/v2/{repository}/manifests/1")))
                .header("content-type", MANIFEST)
                .body(manifest.to_string()),
        ] {
            answers.push(call.bearer_auth(bearer).send().await.unwrap().status().as_u16());
        }
        (token["scope"].as_str().unwrap().to_owned(), answers)
    }

    async fn close(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        self.app.metadata.close().await;
    }
}

/// `docker login` works with the token that a program was given.
#[tokio::test]
async fn a_program_is_signed_in_by_a_person_of_a_real_provider() {
    let registry = Registry::open().await;
    let (user, secret) = registry.signs_in("read", Browser::new()).await;
    let login = registry.client.get(registry.at("/token?service=hallmark")).basic_auth(&user, Some(secret));
    assert_eq!((user.as_str(), login.send().await.unwrap().status().as_u16()), ("ann", 200));
    registry.close().await;
}

#[tokio::test]
async fn a_claim_of_a_real_provider_is_the_right_of_a_team_as_long_as_it_is_there() {
    let registry = Registry::open().await;
    for (path, body) in [
        ("/organizations", json!({"name": "acme"})),
        ("/organizations/acme/teams", json!({"name": "dev"})),
        ("/repositories", json!({"name": "acme/web"})),
        ("/repositories", json!({"name": "acme/other"})),
    ] {
        registry.manage("POST", path, body).await;
    }
    registry.manage("PUT", "/grants/acme%2Fweb/team:acme%2Fdev", json!({"rights": "write"})).await;
    let team =
        async || registry.manage("GET", "/organizations/acme/teams/dev/members", Value::Null).await["items"].clone();
    let of_team = json!([{"user": "ann", "source": registry.provider.issuer}]);
    let (may, may_not) = (("repository:acme/web:pull,push", [201, 201]), ("", [401, 401]));
    let pushes =
        async |as_whom: &(String, String), repository: &str| registry.push(repository, (&as_whom.0, &as_whom.1)).await;
    let is = |pushed: (String, Vec<u16>), expected: (&str, [u16; 2]), when: &str| {
        assert_eq!((pushed.0.as_str(), &pushed.1[..]), (expected.0, &expected.1[..]), "{when}");
    };

    let stranger = registry.signs_in("write", Browser::in_groups("releases")).await;
    assert_eq!(team().await, json!([]));
    is(pushes(&stranger, "acme/web").await, may_not, "in another group");
    let ann = registry.signs_in("write", Browser::in_groups("releases engineering")).await;
    assert_eq!(team().await, of_team);
    is(pushes(&ann, "acme/web").await, may, "in the team's group");
    is(pushes(&ann, "acme/other").await, may_not, "where the team has no right");
    // Tokens that are there are worth what the claims last said.
    is(pushes(&stranger, "acme/web").await, may, "by the token of before");
    registry.signs_in("read", Browser::in_groups("")).await;
    assert_eq!(team().await, of_team, "a token without the claim says nothing of groups");
    is(pushes(&ann, "acme/web").await, may, "without the claim");
    registry.signs_in("read", Browser::in_groups("releases")).await;
    assert_eq!(team().await, json!([]));
    for token in [&ann, &stranger] {
        is(pushes(token, "acme/web").await, may_not, "out of the team's group");
    }
    registry.close().await;
}
