//! Lives here: one registry on a folder of its own, with a clock that stands still, asked through its router.
//! Never here: a clause; what is asserted about an answer stands in the test that asks for it.
//! Start reading at [`World`].

mod answer;
mod call;
mod images;
mod jobs;
mod log;
pub(crate) mod metrics;
mod people;
mod postgres;
pub(crate) mod rows;
#[path = "../../../src/auth/oidc/tests/stage.rs"]
#[expect(dead_code, reason = "the unit tests use the rest")]
pub(crate) mod stage;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hallmark::app::App;
use hallmark::auth::Client;
use hallmark::clock::Clock;
use hallmark::config::{self, Config, Flag, MasterKey, Purpose, Secret, Sources};
use hallmark::http::server::PeerAddress;
use hallmark_oci::{Algorithm, Digest, RepositoryName};
use hallmark_storage::blobs::StorageConfig;
use hallmark_storage::metadata::{DatabaseConfig, Error, NewUser, Principal, Repository, SystemRole};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

pub(crate) use answer::Answer;
pub(crate) use call::{Call, Credentials};
pub(crate) use images::{ARTIFACT, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, descriptor, image, index};
pub(crate) use log::Log;
pub(crate) use metrics::Metrics;
pub(crate) use people::{Acme, encoded};
pub(crate) use postgres::Postgres;
pub(crate) use wire::{Listening, Wire};

/// The time at which every world begins: 2027-01-15T08:00:00Z.
pub(crate) const NOW: i64 = 1_800_000_000_000;
/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// One registry with the users `admin`, `ann` and `bob`. Dropping it looks at what the test leaves behind.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    now: Arc<AtomicI64>,
    names: Mutex<Vec<(String, String)>>,
    data: TempDir,
    in_folder: bool,
}

impl World {
    /// A registry with default settings, on SQLite and a folder.
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A registry whose settings are changed first.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = folder();
        let mut config = settings(data.path());
        change(&mut config);
        let in_folder = matches!(config.storage, StorageConfig::Folder { .. });
        let now = Arc::new(AtomicI64::new(NOW));
        let app = App::open(config, Clock::Fixed(Arc::clone(&now))).await.unwrap();
        let world = Self { app, now, names: Mutex::default(), data, in_folder };
        for name in ["ann", "bob"] {
            world.add_user(name).await;
        }
        world
    }

    /// Another registry that begins as this one stands, which nobody asks for anything meanwhile.
    pub(crate) async fn copied(&self) -> Self {
        let data = folder();
        copy(self.data.path(), data.path());
        let mut config = settings(data.path());
        config.sections.clone_from(&self.app.config.sections);
        let now = Arc::new(AtomicI64::new(self.now()));
        let app = App::open(config, Clock::Fixed(Arc::clone(&now))).await.unwrap();
        Self { app, now, names: Mutex::new(self.names()), data, in_folder: self.in_folder }
    }

    /// Another replica of a registry on PostgreSQL, with the same clock.
    pub(crate) async fn replica(&self) -> Self {
        let app = App::open(self.app.config.clone(), self.app.clock.clone()).await.unwrap();
        let (now, names) = (Arc::clone(&self.now), Mutex::new(self.names()));
        Self { app, now, names, data: folder(), in_folder: self.in_folder }
    }

    /// The same data folder opened again, as after a restart.
    pub(crate) async fn restarted(mut self) -> Self {
        self.app.metadata.close().await;
        let config = self.app.config.clone();
        self.app = App::open(config, Clock::Fixed(Arc::clone(&self.now))).await.unwrap();
        self
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Writes down what was noted since, as the job of a running registry does.
    pub(crate) async fn write_down(&self) {
        hallmark::events::write_down(&self.app).await.unwrap();
    }

    /// Moves the clock on by so many seconds.
    pub(crate) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(self, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn head(&self, path: &str) -> Call<'_> {
        self.call("HEAD", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call("PUT", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        self.call("PATCH", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call("DELETE", path)
    }

    /// The head of an answer, and its body still to be read.
    async fn begin(
        &self,
        mut request: Request<call::Sent>,
        peer: SocketAddr,
    ) -> Response<impl Body<Data = Bytes, Error: std::fmt::Debug>> {
        request.extensions_mut().insert(PeerAddress(peer));
        hallmark::http::router(Arc::clone(&self.app)).oneshot(request).await.unwrap()
    }

    async fn send(&self, request: Request<call::Sent>, peer: SocketAddr) -> Answer {
        let of_api =
            ["/v2", "/token", "/.well-known", "/api"].iter().any(|path| request.uri().path().starts_with(path));
        let of_sign_in = request.uri().path().starts_with("/auth/");
        let response = self.begin(request, peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("an answer ends as it began").to_bytes();
        let names = self.names();
        let answer = Answer { status: parts.status, headers: parts.headers, body, names, of_api, of_sign_in };
        answer.follows_the_rules();
        answer
    }

    /// Shows `hidden` as `{name}` in snapshots from now on.
    pub(crate) fn show_as(&self, hidden: impl ToString, name: &str) {
        self.names.lock().unwrap().push((hidden.to_string(), format!("{{{name}}}")));
    }

    /// What snapshots show by name.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        self.names.lock().unwrap().clone()
    }

    /// A token of `user` that asks for these scopes, from the token endpoint.
    pub(crate) async fn token(&self, user: &str, scope: &str) -> Credentials {
        self.token_by(&Credentials::basic(user, PASSWORD), scope).await
    }

    async fn token_by(&self, credentials: &Credentials, scope: &str) -> Credentials {
        let path = format!("/token?service=hallmark&scope={}", scope.replace(' ', "%20"));
        let answer = self.get(&path).by(credentials).await.expect(200);
        Credentials::bearer(answer.json()["token"].as_str().unwrap())
    }

    /// A token of `user` for everything in one repository.
    pub(crate) async fn all_of(&self, user: &str, repository: &str) -> Credentials {
        self.token(user, &format!("repository:{repository}:pull,push,delete")).await
    }

    /// The same for who shows these credentials.
    pub(crate) async fn all_of_by(&self, credentials: &Credentials, repository: &str) -> Credentials {
        self.token_by(credentials, &format!("repository:{repository}:pull,push,delete")).await
    }

    /// Adds a user with [`PASSWORD`].
    pub(crate) async fn add_user(&self, name: &str) -> Principal {
        let password = Some(hash(&self.app).await);
        let new = NewUser { name: name.to_owned(), password, role: SystemRole::None, source: None };
        let now = self.now();
        let made: Result<_, Error> =
            self.app.metadata.write((new, now), |tx, (new, now)| Box::pin(tx.create_user(new, *now))).await;
        made.unwrap().expect("the name is free")
    }

    pub(crate) async fn remove_user(&self, name: &str) {
        let input = (name.to_owned(), self.now());
        let removed: Result<_, Error> =
            self.app.metadata.write(input, |tx, (name, now)| Box::pin(tx.remove_user(name, *now))).await;
        assert_eq!(removed.unwrap(), hallmark_storage::metadata::UserRemoval::Removed);
    }

    pub(crate) async fn set_password(&self, name: &str, password: &str) {
        let user = self.app.metadata.user(name).await.unwrap().unwrap().principal;
        let hash = self.app.passwords.hash(password.to_owned(), Client::Operator).await.unwrap();
        let changed: Result<_, Error> =
            self.app.metadata.write((user, hash), |tx, (user, hash)| Box::pin(tx.set_password(user, Some(hash)))).await;
        assert!(changed.unwrap());
    }

    pub(crate) async fn disable(&self, name: &str) {
        let user = self.app.metadata.user(name).await.unwrap().unwrap().principal;
        let now = self.now();
        let changed: Result<_, Error> =
            self.app.metadata.write((user, now), |tx, (user, now)| Box::pin(tx.set_disabled(user, Some(*now)))).await;
        assert!(changed.unwrap());
    }

    /// The repository as the database holds it.
    pub(crate) async fn repository(&self, name: &str) -> Option<Repository> {
        let name: RepositoryName = name.parse().unwrap();
        self.app.metadata.without_cache().repository(&name).await.unwrap()
    }

    /// Lets anybody pull from a repository.
    pub(crate) async fn publish(&self, name: &str) {
        self.set_public(name, true).await;
    }

    /// Lets nobody but its owner pull from a repository.
    pub(crate) async fn hide(&self, name: &str) {
        self.set_public(name, false).await;
    }

    async fn set_public(&self, name: &str, public: bool) {
        let input = (self.repository(name).await.unwrap(), public);
        let changed: Result<_, Error> = self
            .app
            .metadata
            .write(input, |tx, (repository, public)| Box::pin(tx.set_public(repository, *public)))
            .await;
        assert!(changed.unwrap());
    }

    /// Pushes a blob in one request; its digest, which snapshots show as the content.
    pub(crate) async fn blob(&self, by: &Credentials, repository: &str, content: &str) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.post(&path).by(by).body(content.to_owned()).await.expect(201);
        self.show_as(&digest, content);
        digest
    }

    /// Pushes a blob as large ones come, so that its bytes are in a file and not a fact; its digest, shown as the content.
    pub(crate) async fn blob_in_a_file(&self, by: &Credentials, repository: &str, content: &str) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let upload = self.post(&format!("/v2/{repository}/blobs/uploads/")).by(by).await.expect(202).location();
        self.patch(&upload).by(by).body(content.to_owned()).await.expect(202);
        self.put(&format!("{upload}?digest={digest}")).by(by).await.expect(201);
        self.show_as(&digest, content);
        digest
    }

    /// Puts a manifest; its digest, which snapshots show as `shown`.
    pub(crate) async fn manifest(
        &self,
        by: &Credentials,
        at: (&str, &str),
        kind: &str,
        body: &str,
        shown: &str,
    ) -> Digest {
        let (repository, reference) = at;
        let digest = Digest::of(Algorithm::Sha256, body.as_bytes());
        self.show_as(&digest, shown);
        let put = self.put(&format!("/v2/{repository}/manifests/{reference}")).by(by);
        put.header("content-type", kind).body(body.to_owned()).await.expect(201);
        digest
    }

    /// Pushes an image of a config `{}` and one layer under a tag; the manifest's digest.
    pub(crate) async fn image(&self, by: &Credentials, repository: &str, tag: &str, layer: &str) -> Digest {
        self.blob(by, repository, "{}").await;
        self.blob(by, repository, layer).await;
        self.manifest(by, (repository, tag), OCI_MANIFEST, &image("{}", &[layer]), &format!("image of {layer}")).await
    }

    /// What a query finds in the database, behind the server's back.
    pub(crate) async fn look(&self, query: &str) -> Vec<String> {
        let names = self.names();
        let named = |text: String| names.iter().fold(text, |text, (hidden, name)| text.replace(hidden, name));
        rows::look(&self.database(), query).await.into_iter().map(named).collect()
    }

    /// Changes the database behind the server's back.
    pub(crate) async fn meddle(&self, statement: &str) {
        assert_eq!(rows::look(&self.database(), statement).await, [""; 0]);
    }

    /// Changes the database behind the server's back, from where nothing can be waited for.
    pub(crate) fn meddle_at_once(&self, statements: &str) {
        rows::change(&self.database(), statements);
    }

    /// Every row of every table.
    pub(crate) async fn rows(&self) -> BTreeMap<String, Vec<String>> {
        rows::all(&self.database()).await
    }

    /// What was recorded since the first user was made: kinds and subjects, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        self.look("SELECT kind, subject FROM events WHERE kind NOT LIKE 'user%' AND kind NOT LIKE 'token%' ORDER BY id")
            .await
    }

    /// The files that hold bytes.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        rows::files(self.data.path()).iter().map(|key| rows::path(self.data.path(), key)).collect()
    }

    /// Where the registry keeps its data.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Everything counted, as `/metrics` tells it.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics").await.expect(200);
        assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
        Metrics::read(std::str::from_utf8(&answer.body).unwrap())
    }

    /// How many files hold bytes.
    pub(crate) fn files(&self) -> usize {
        rows::files(self.data.path()).len()
    }

    fn database(&self) -> PathBuf {
        self.data.path().join("hallmark.db")
    }
}

impl Drop for World {
    /// A test that leaves an upload leased or a file without an owner fails, whatever else it asserted. The look has a
    /// thread and a connection of its own, since nothing can be awaited here.
    fn drop(&mut self) {
        let embedded = matches!(self.app.config.database, DatabaseConfig::Sqlite { .. });
        if std::thread::panicking() || !embedded {
            return;
        }
        let (data, in_folder, now) = (self.data.path().to_owned(), self.in_folder, self.now());
        let look = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(rows::is_sound(&data, in_folder, now));
        });
        if let Err(found) = look.join() {
            std::panic::resume_unwind(found);
        }
    }
}

/// A folder of its own, in memory where the system has one: what is synced is proven where power is cut, not here, and
/// hundreds of worlds that each wait for a disk take minutes.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn settings(data: &Path) -> Config {
    let flag = Flag { key: "data", flag: "--data", text: data.display().to_string() };
    let sources = Sources { flags: vec![flag], ..Sources::default() };
    let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
    config.admin_password = Some(Secret::new(PASSWORD.to_owned()));
    config.master_key = MasterKey::File(data.join("master.key"));
    config
}

/// The hash of [`PASSWORD`], worked out once.
async fn hash(app: &App) -> String {
    static HASH: OnceCell<String> = OnceCell::const_new();
    HASH.get_or_init(|| async { app.passwords.hash(PASSWORD.to_owned(), Client::Operator).await.unwrap() })
        .await
        .clone()
}

/// `content` in pieces of at most `size` bytes.
pub(crate) fn pieces(content: &[u8], size: usize) -> Vec<Bytes> {
    content.chunks(size.max(1)).map(Bytes::copy_from_slice).collect()
}

pub(crate) fn sha256(content: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_ref())
}

pub(crate) fn sha512(content: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha512, content.as_ref())
}
