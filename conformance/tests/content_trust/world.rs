//! What a test of content trust stands on: a server with TLS that is its own certificate authority, and what it holds.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    http::encode,
    image::{digest, hex},
    process::{Process, run},
    server::{ADMIN, PASSWORD, Plan, Server},
    settings, tools,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a server may take to serve; its first answer cannot be had without TLS.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A name and a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) secret: String,
}

impl Person {
    pub(crate) fn new(name: &str, secret: &str) -> Self {
        Self { name: name.to_owned(), secret: secret.to_owned() }
    }

    pub(crate) fn admin() -> Self {
        Self::new(ADMIN, PASSWORD)
    }

    pub(crate) fn login(&self) -> String {
        format!("{}:{}", self.name, self.secret)
    }
}

/// A server under test with TLS on. All of it goes away with the test.
pub(crate) struct World {
    process: Option<Process>,
    server: Server,
    folder: TempDir,
    tokens: RefCell<HashMap<(Person, String), String>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Outcome<Value> {
        serde_json::from_slice(&self.body).or_fail(format!("the answer {} is not JSON", self.text()))
    }

    /// Holds that this is a refusal with this status and code.
    pub(crate) fn refuses(&self, status: u16, code: &str) -> Outcome<Value> {
        let told = self.json().unwrap_or_default();
        holds(self.status == status && told.pointer("/errors/0/code").is_some_and(|told| told == code), || {
            format!("{status} {code} was expected, not {} {}", self.status, self.text())
        })?;
        Ok(told)
    }
}

impl World {
    pub(crate) fn new() -> Outcome<Self> {
        Self::with(|plan| plan)
    }

    /// A world whose server is started as `change` says, beside TLS.
    pub(crate) fn with(change: impl FnOnce(Plan) -> Plan) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let pair = generate_simple_self_signed(["localhost".to_owned()]).or_fail("a certificate can be made")?;
        let CertifiedKey { cert, signing_key } = pair;
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem())?;
        fs::write(folder.path().join("ca.crt"), cert.pem())?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let plan = Plan::default().flag("--tls-certificate").flag(path("ca.crt"));
        let server = change(plan.flag("--tls-key").flag(path("key.pem"))).prepare()?;
        let mut world = Self { process: None, server, folder, tokens: RefCell::default() };
        world.start()?;
        Ok(world)
    }

    /// Starts the server and waits until it serves.
    pub(crate) fn start(&mut self) -> Outcome<()> {
        let served = |server: &Server| server.log().matches("serving on").count();
        let before = served(&self.server);
        let mut process = self.server.spawn()?;
        let server = &self.server;
        process.wait_until("the server says that it serves", START_LIMIT, || served(server) > before)?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: no flush, no farewell.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        self.process.take().or_fail("the server does not run")?.kill()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        self.process.take().or_fail("the server does not run")?.stop().map(drop)
    }

    /// The same world, whose server from its next start on is started as `change` says.
    pub(crate) fn replan(self, change: impl FnOnce(Plan) -> Plan) -> Outcome<Self> {
        let Self { process, server, folder, .. } = self;
        holds(process.is_none(), || "a server that runs cannot be planned anew".into())?;
        let (data, port) = (folder.path().join("data"), server.port());
        fs::rename(server.data(), &data)?;
        drop(server);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let plan =
            Plan::default().flag("--tls-certificate").flag(path("ca.crt")).flag("--tls-key").flag(path("key.pem"));
        let server = change(plan.data(&data).port(port)).prepare()?;
        Ok(Self { process: None, server, folder, tokens: RefCell::default() })
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> &Path {
        self.server.data()
    }

    /// What a verb prints that is said to the folder of the server.
    pub(crate) fn says(&self, words: &[&str]) -> Outcome<String> {
        let mut command = Command::new(tools::hallmark()?);
        for name in settings::server_like_variables() {
            command.env_remove(name);
        }
        run(command.args(words).arg("--data").arg(self.data()))
    }

    /// `localhost:<port>`.
    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    /// `localhost:<port>/<repository>`: what the collection of a repository is called.
    pub(crate) fn gun(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }

    /// The file of the only certificate that clients trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A place for a test's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder for a client's files.
    pub(crate) fn home(&self, name: &str) -> Outcome<PathBuf> {
        let home = self.path(name);
        fs::create_dir_all(&home)?;
        Ok(home)
    }

    /// All that the server has printed.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// How many files of collections the server has given or refused.
    pub(crate) fn reads(&self) -> usize {
        self.log().matches("read_trust answered").count()
    }

    /// Waits for one more: a client that publishes reads what is there, and then sends what is new.
    pub(crate) fn wait_for_read(&self, before: usize) -> Outcome<()> {
        let begin = Instant::now();
        while self.reads() == before {
            holds(begin.elapsed() < START_LIMIT, || format!("nothing was read in {START_LIMIT:?}: {}", self.log()))?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Asks for a path as it is, with these words for curl before it.
    pub(crate) fn ask(&self, words: &[&str], path: &str) -> Outcome<Answer> {
        let exchange = tempfile::tempdir_in(self.folder.path())?;
        let (head, body) = (exchange.path().join("head"), exchange.path().join("body"));
        let mut command = Command::new(tools::locate("curl")?);
        command.args(["--disable", "--silent", "--show-error", "--max-time", "60", "--http1.1", "--cacert"]);
        command.arg(self.authority()).args(words).arg("--dump-header").arg(&head).arg("--output").arg(&body);
        let told = run(command.args(["--write-out", "%{http_code}", &format!("https://{}{path}", self.host())]))?;
        Ok(Answer {
            status: told.parse().or_fail("a status is a number")?,
            head: fs::read_to_string(&head)?,
            body: fs::read(&body).unwrap_or_default(),
        })
    }

    /// Asks with the token that this person gets for these actions on this repository's or collection's name.
    pub(crate) fn ask_as(
        &self,
        person: &Person,
        (name, actions): (&str, &str),
        words: &[&str],
        path: &str,
    ) -> Outcome<Answer> {
        let scope = format!("repository:{name}:{actions}");
        let known = self.tokens.borrow().get(&(person.clone(), scope.clone())).cloned();
        let token = known.map_or_else(|| self.token(person, &scope), Ok)?;
        self.tokens.borrow_mut().insert((person.clone(), scope), token.clone());
        self.ask(&[words, &["--header", &format!("Authorization: Bearer {token}")]].concat(), path)
    }

    /// The token that this person gets for a scope.
    pub(crate) fn token(&self, person: &Person, scope: &str) -> Outcome<String> {
        let path = format!("/token?service=hallmark&scope={}", encode(scope));
        let answer = self.ask(&["--user", &person.login()], &path)?;
        let told = answer.json()?;
        Ok(told["token"].as_str().or_fail(format!("the token answer {told} has no token"))?.to_owned())
    }

    /// Asks the management API as the administrator and expects a status below 300.
    pub(crate) fn manage(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let (login, text) = (Person::admin().login(), body.to_string());
        let mut words = vec!["--user", &login, "--request", method, "--header", "Content-Type: application/json"];
        if !body.is_null() {
            words.extend(["--data-binary", &text]);
        }
        let answer = self.ask(&words, &format!("/api/v1{path}"))?;
        holds(answer.status < 300, || format!("{method} {path} was answered {} {}", answer.status, answer.text()))?;
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// A new person who may do this much with a repository; nothing where `rights` is empty.
    pub(crate) fn person(&self, name: &str, rights: &str, repository: &str) -> Outcome<Person> {
        let person = Person::new(name, &format!("a password of {name}"));
        self.manage("POST", "/users", &json!({ "name": name, "password": person.secret }))?;
        if !rights.is_empty() {
            self.grant(rights, repository, &format!("user:{name}"))?;
        }
        Ok(person)
    }

    pub(crate) fn grant(&self, rights: &str, on: &str, holder: &str) -> Outcome<()> {
        let path = format!("/grants/{}/{}", encode(on), encode(holder));
        self.manage("PUT", &path, &json!({ "rights": rights })).map(drop)
    }

    /// What the administrator is answered for a file of a collection, such as `targets` or `2.root`.
    pub(crate) fn file(&self, gun: &str, file: &str) -> Outcome<Answer> {
        self.ask_as(&Person::admin(), (gun, "pull"), &[], &format!("/v2/{gun}/_trust/tuf/{file}.json"))
    }

    /// All that a collection holds now, from its timestamp down, each file fetched by its hash and checked against it.
    pub(crate) fn held(&self, gun: &str) -> Outcome<Held> {
        let timestamp = self.file(gun, "timestamp")?;
        holds(timestamp.status == 200, || format!("{gun} has no timestamp: {}", timestamp.text()))?;
        let mut files = BTreeMap::from([("timestamp".to_owned(), timestamp.json()?)]);
        let mut open: Vec<(String, Value)> = entries(&files["timestamp"]["signed"]["meta"]);
        while let Some((role, described)) = open.pop() {
            let sum = STANDARD.decode(described["hashes"]["sha256"].as_str().unwrap_or_default());
            let sum = hex(&sum.or_fail("a hash is base64")?);
            let answer = self.file(gun, &format!("{role}.{sum}"))?;
            let is_it = answer.status == 200
                && digest(&answer.body) == format!("sha256:{sum}")
                && described["length"] == answer.body.len();
            holds(is_it, || format!("{role} of {gun} is not {described}: {} {}", answer.status, answer.text()))?;
            let file = answer.json()?;
            if role == "snapshot" {
                open.extend(entries(&file["signed"]["meta"]));
            }
            files.insert(role, file);
        }
        Ok(Held(files))
    }

    /// What a server answers to whoever publishes the file of a role again that it held.
    pub(crate) fn brings_back(&self, gun: &str, role: &str, before: &Held) -> Outcome<Answer> {
        let path = self.path("old.json");
        fs::write(&path, serde_json::to_vec(before.0.get(role).or_fail(format!("{role} was not held"))?)?)?;
        let part = format!("files=@{};filename={role}", path.display());
        self.ask_as(&Person::admin(), (gun, "push,pull"), &["--form", &part], &format!("/v2/{gun}/_trust/tuf/"))
    }

    /// Holds that a collection has no file at all.
    pub(crate) fn holds_nothing(&self, gun: &str) -> Outcome<()> {
        ["timestamp", "snapshot", "root", "targets", "1.root"]
            .iter()
            .try_for_each(|role| self.file(gun, role)?.refuses(404, "METADATA_NOT_FOUND").map(drop))
    }
}

/// The files of a collection by their roles.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) BTreeMap<String, Value>);

impl Held {
    pub(crate) fn version(&self, role: &str) -> i64 {
        self.0.get(role).and_then(|file| file["signed"]["version"].as_i64()).unwrap_or(0)
    }

    /// The names of a role's targets, in order.
    pub(crate) fn targets(&self, role: &str) -> Vec<String> {
        let targets = self.0.get(role).map(|file| entries(&file["signed"]["targets"])).unwrap_or_default();
        targets.into_iter().map(|(name, _)| name).collect()
    }

    /// The digest and the size of a target.
    pub(crate) fn target(&self, role: &str, name: &str) -> Option<(String, u64)> {
        let target = self.0.get(role)?["signed"]["targets"].get(name)?;
        let sum = STANDARD.decode(target["hashes"]["sha256"].as_str()?).ok()?;
        Some((format!("sha256:{}", hex(&sum)), target["length"].as_u64()?))
    }

    /// The ids of the keys that the root names for a role.
    pub(crate) fn keys(&self, role: &str) -> Vec<String> {
        let ids = self.0.get("root").and_then(|root| root["signed"]["roles"][role]["keyids"].as_array().cloned());
        ids.into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect()
    }

    /// A delegation that `targets` names.
    pub(crate) fn delegation(&self, role: &str) -> Option<Value> {
        let roles = self.0.get("targets")?["signed"]["delegations"]["roles"].as_array()?.clone();
        roles.into_iter().find(|found| found["name"] == role)
    }

    /// The ids of the keys of a delegation.
    pub(crate) fn delegates(&self, role: &str) -> Vec<String> {
        let ids = self.delegation(role).and_then(|role| role["keyids"].as_array().cloned());
        ids.into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect()
    }
}

fn entries(object: &Value) -> Vec<(String, Value)> {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A key and a certificate of a signer, as PEM files `<name>.key` and `<name>.crt` in a folder.
pub(crate) fn write_signer(folder: &Path, name: &str) -> Outcome<(PathBuf, PathBuf)> {
    let pair = generate_simple_self_signed([name.to_owned()]).or_fail("a certificate can be made")?;
    let CertifiedKey { cert, signing_key } = pair;
    let (key, certificate) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.crt")));
    fs::write(&key, signing_key.serialize_pem())?;
    fs::write(&certificate, cert.pem())?;
    Ok((key, certificate))
}
