//! What the operator types, and what it leaves in the database. How each verb looks over HTTP is for `conformance`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{PASSWORD, World, sha256};

/// How long the program may take to answer its first verb.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The program on a data folder, with nothing of the surroundings.
fn hallmark(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().args(words).arg("--data").arg(data);
    command
}

/// A program that serves a folder; it is killed with the value.
struct Served {
    child: Child,
}

impl Served {
    fn start(data: &Path) -> Self {
        Self::with(data, &["--listen", "127.0.0.1:0"])
    }

    /// The program at a free port of loopback, with a page for browsers there; and its address.
    fn with_page(data: &Path) -> (Self, String) {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let url = format!("http://{address}");
        (Self::with(data, &["--listen", &address, "--public-url", &url]), url)
    }

    fn with(data: &Path, flags: &[&str]) -> Self {
        let mut serve = hallmark(data, &[&["serve"], flags].concat());
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut served = Self { child };
        let begin = Instant::now();
        while !hallmark(data, &["readonly", "status"]).output().unwrap().status.success() {
            assert!(served.child.try_wait().unwrap().is_none(), "the program ended before it served");
            assert!(begin.elapsed() < START_LIMIT, "the program does not answer");
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_deleted_repository_leaves_an_event_and_is_out_of_sight() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    world.app.metadata.close().await;
    let before = world.events().await.len();

    let served = Served::start(world.data());
    let verb = |words: &[&str]| said(&hallmark(world.data(), words).output().unwrap());
    let deleted = verb(&["repository", "delete", "ann/app"]);
    assert_eq!(deleted, (Some(0), "ann/app is deleted; its name rests\n".to_owned(), String::new()));
    let again = verb(&["repository", "delete", "ann/app"]);
    let told = "hallmark: there is no repository \"ann/app\": `hallmark repository list` shows them\n";
    assert_eq!(again, (Some(1), String::new(), told.to_owned()));
    let malformed = verb(&["repository", "delete", "Ann/app"]);
    assert_eq!(malformed.0, Some(1), "{malformed:?}");
    drop(served);

    assert_eq!(world.events().await[before..], ["repository_deleted ann/app"]);
    let event = "SELECT e.actor_id, u.name FROM events e JOIN users u ON u.account_id = e.account_id
        WHERE e.kind = 'repository_deleted'";
    assert_eq!(world.look(event).await, ["0 ann"]);
    let left = world.look("SELECT COUNT(*), COUNT(name), COUNT(purge_at) FROM repositories").await;
    assert_eq!(left, ["1 0 1"], "it waits out of sight to be brought back");

    let world = world.restarted().await;
    world.get("/v2/ann/app/manifests/1").by(&ann).await.expect(404);
    world.get(&format!("/v2/ann/app/blobs/{}", sha256("layer"))).by(&ann).await.expect(404);
    world.get(&upload).by(&ann).await.expect(404);
    world.image(&ann, "ann/app", "2", "other").await;
    assert_eq!(world.get("/v2/ann/app/tags/list").by(&ann).await.json()["tags"], serde_json::json!(["2"]));
}

/// A person's program that shows a code and waits; it is killed with the value.
struct Login {
    child: Child,
    said: BufReader<ChildStderr>,
    /// What it says until it waits.
    begin: String,
}

impl Login {
    fn start(home: &Path, url: &str) -> Self {
        let mut login = person(home, &["login", url, "--device", "--name", "test"]);
        let mut child = login.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut begin = String::new();
        while !begin.contains("minutes") && said.read_line(&mut begin).unwrap() > 0 {}
        Self { child, said, begin }
    }

    fn code(&self) -> &str {
        let (_, rest) = self.begin.split_once("type the code ").unwrap_or_else(|| panic!("no code in {}", self.begin));
        rest.lines().next().unwrap()
    }

    /// Its exit code, what it printed, and all that it said.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut printed, mut said) = (String::new(), self.begin.clone());
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), printed, said)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn person(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().env("HOME", home).args(words);
    command
}

/// A browser in which somebody is signed in by password.
struct Browser {
    http: reqwest::Client,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn of(url: &str, name: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let http = http.tls_certs_only([]).build().unwrap();
        let mut browser = Self { http, url: url.to_owned(), cookies: BTreeMap::new() };
        let page = browser.get("/auth/device").await;
        let fields = [("name", name), ("password", PASSWORD), ("proof", &proof(&page))];
        assert_eq!(browser.post("/auth/sign-in", &fields).await, 303);
        browser
    }

    async fn get(&mut self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url)).header("cookie", self.sent()).send().await.unwrap();
        self.keep(&answer);
        answer.text().await.unwrap()
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> u16 {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let call = self.http.post(format!("{}{path}", self.url)).header("origin", &self.url);
        let answer = call.header("cookie", self.sent()).body(body).send().await.unwrap();
        self.keep(&answer);
        answer.status().as_u16()
    }

    async fn decide(&mut self, code: &str, decision: &str) {
        let page = self.get(&format!("/auth/device?user_code={code}")).await;
        let fields = [("user_code", code), ("proof", &proof(&page)), ("decision", decision)];
        assert_eq!(self.post("/auth/device/decide", &fields).await, 200);
    }

    fn sent(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: &reqwest::Response) {
        for cookie in answer.headers().get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn proof(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"proof\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_signs_in_by_a_code_that_they_approve_in_a_browser() {
    let world = World::open().await;
    world.app.metadata.close().await;
    let (_served, url) = Served::with_page(world.data());
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [approved, denied] = homes.each_ref().map(|home| Login::start(home.path(), &url));
    assert!(approved.begin.contains(&format!("Open {url}/auth/device in a browser")), "{}", approved.begin);
    let mut browser = Browser::of(&url, "ann").await;
    browser.decide(approved.code(), "approve").await;
    browser.decide(denied.code(), "deny").await;

    let (code, printed, said) = approved.end();
    assert_eq!(code, Some(0), "{printed}{said}");
    assert!(
        printed.starts_with(&format!("signed in to {url}/ as ann; test is the current context until ")),
        "{printed}"
    );
    let kept = std::fs::read_to_string(homes[0].path().join(".config/hallmark/contexts.toml")).unwrap();
    assert!(kept.contains("token = \"hmp_") && kept.contains("scopes = \"admin api:write\""), "no token is kept");
    assert!(!printed.contains("hmp_") && !said.contains("hmp_"), "{printed}{said}");
    let listed = said_by(&homes[0], &["token", "list", "--output", "json"]);
    assert!(listed.0 == Some(0) && listed.1.contains("hallmark login (test)"), "{listed:?}");
    let out = said_by(&homes[0], &["logout"]);
    assert_eq!(out, (Some(0), "signed out: the token of test is revoked\n".to_owned(), String::new()));

    let (code, printed, said) = denied.end();
    assert_eq!((code, printed.as_str()), (Some(5), ""), "{said}");
    assert!(said.ends_with("hallmark: the sign-in is refused: the person did not let this program in\n"), "{said}");
    let none = said_by(&homes[1], &["token", "list"]);
    assert_eq!(none.0, Some(5), "{none:?}");
}

fn said_by(home: &tempfile::TempDir, words: &[&str]) -> (Option<i32>, String, String) {
    said(&person(home.path(), words).output().unwrap())
}

#[tokio::test]
async fn a_registry_without_a_page_says_how_else_to_sign_in() {
    let world = World::open().await;
    world.app.metadata.close().await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _served = Served::with(world.data(), &["--listen", &address]);
    let home = tempfile::tempdir().unwrap();
    let told = said_by(&home, &["login", &format!("http://{address}"), "--device"]);
    assert_eq!(told.0, Some(4), "{told:?}");
    assert!(told.2.contains("no page to approve a code on") && told.2.contains("--user"), "{told:?}");
}

#[tokio::test]
async fn an_administrator_says_whose_certificates_are_whose() {
    let world = World::open().await;
    world.app.metadata.close().await;
    let (_served, url) = Served::with_page(world.data());
    let home = tempfile::tempdir().unwrap();
    let login = Login::start(home.path(), &url);
    Browser::of(&url, "admin").await.decide(login.code(), "approve").await;
    assert_eq!(login.end().0, Some(0));
    let made = said_by(&home, &["certificate", "add", "user:ann", "dns", "*.build.example.com", "--output", "json"]);
    assert_eq!(made.0, Some(0), "{made:?}");
    let made: serde_json::Value = serde_json::from_str(&made.1).unwrap();
    let id = made["id"].to_string();
    let listed = said_by(&home, &["certificate", "list"]);
    assert!(listed.0 == Some(0) && listed.1.contains("*.build.example.com"), "{listed:?}");
    let refused = said_by(&home, &["certificate", "add", "user:nobody", "dns", "a.example.com"]);
    assert_ne!(refused.0, Some(0), "{refused:?}");
    let removed = said_by(&home, &["certificate", "remove", &id]);
    assert_eq!(removed, (Some(0), format!("rule {id} removed\n"), String::new()));
    assert_eq!(said_by(&home, &["certificate", "remove", &id]).0, Some(4));
}
