//! Signed tags as TUF 1.0: `hallmark sign` and `verify` beside python-tuf and go-tuf, which read the same files over the network,
//! and the clients that cosign begins with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::digest,
    process::{Ran, attempt, attempt_with_input, run},
    server::{ADMIN, PASSWORD},
    tools,
};
use serde_json::{Value, json};

use super::{
    client::text,
    outages,
    people::by_password,
    world::{Person, World},
};

/// How long a signature may take to be published: a second, more where all is debugged, and a minute where it is tried again.
pub(crate) const PUBLISHED: Duration = Duration::from_secs(90);
/// More tags than one role names.
const MANY: usize = 1_100;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const REPOSITORY: &str = "admin/app";
pub(crate) const STRANGERS: [&str; 2] = ["go-tuf", "python-tuf"];

/// Somebody who is signed in as the administrator, and has pinned the first root.
pub(crate) struct Reader<'w> {
    world: &'w World,
    home: PathBuf,
    repository: &'static str,
    /// The file of the root that they pinned.
    root: &'static str,
    /// By how many days the clients' clock is ahead, as the server's is.
    days: i64,
}

impl<'w> Reader<'w> {
    /// Signs in, makes the repository, which everybody may read, and pins the root that holds.
    pub(crate) fn begin(world: &'w World) -> Outcome<Self> {
        let reader = Self::later(world, 0)?;
        reader.signs_in()?;
        reader.hallmark(&["repo", "create", REPOSITORY, "--public"])?;
        reader.pins_again()?;
        Ok(reader)
    }

    /// The same person so many days later, with what they pinned.
    pub(crate) fn later(world: &'w World, days: i64) -> Outcome<Self> {
        Ok(Self { world, home: world.home("reader")?, repository: REPOSITORY, root: "root.json", days })
    }

    /// The same person, who looks at another repository and pins the root of this file.
    pub(crate) fn of(&self, repository: &'static str, root: &'static str) -> Self {
        Self { world: self.world, home: self.home.clone(), repository, root, days: self.days }
    }

    /// Which repository they look at.
    pub(crate) fn repository(&self) -> &'static str {
        self.repository
    }

    /// Where they are, with what they wrote.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Pins the root that holds, in the place of the one before.
    pub(crate) fn pins_again(&self) -> Outcome<()> {
        self.hallmark(&["trust", "root", "get", "--out", text(&self.root())]).map(drop)
    }

    /// Signs in anew: whoever lost the keys that sign tokens takes nobody's.
    pub(crate) fn signs_in(&self) -> Outcome<()> {
        let url = format!("https://{}", self.world.host());
        let authority = self.world.authority();
        let words = ["login", &url, "--ca", text(&authority), "--user", ADMIN, "--password-stdin"];
        good(&words, &attempt_with_input(&mut self.command(&words)?, PASSWORD)?).map(drop)
    }

    fn root(&self) -> PathBuf {
        self.home.join(self.root)
    }

    /// What a tag is called from outside.
    pub(crate) fn image(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.world.host(), self.repository)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Outcome<Command> {
        let mut command = Command::new(tools::hallmark()?);
        command.env_clear().env("HOME", &self.home).current_dir(&self.home).args(words);
        Ok(command)
    }

    /// Runs a verb that must succeed, and gives what it printed.
    pub(crate) fn hallmark(&self, words: &[&str]) -> Outcome<String> {
        good(words, &attempt(&mut self.command(words)?)?)
    }

    /// Pushes an index that nobody has seen, and gives its digest.
    pub(crate) fn push(&self, tag: &str, seed: u64) -> Outcome<String> {
        self.push_all(tag, 1, seed)
    }

    /// The same under every one of the `count` tags that curl makes of a range such as `v[1-9]`, over one connection.
    fn push_all(&self, tags: &str, count: usize, seed: u64) -> Outcome<String> {
        self.put(tags, count, &self.pushed(seed))
    }

    /// The same of an index that is given.
    fn put(&self, tags: &str, count: usize, body: &[u8]) -> Outcome<String> {
        let file = self.home.join("manifest.json");
        fs::write(&file, body)?;
        let (data, kind) = (format!("@{}", file.display()), format!("Content-Type: {INDEX}"));
        let token = self.world.token(&Person::admin(), &format!("repository:{}:pull,push", self.repository))?;
        let mut command = Command::new(tools::locate("curl")?);
        command.args(["--disable", "--silent", "--show-error", "--max-time", "120", "--cacert"]);
        command.arg(self.world.authority()).args(["--request", "PUT", "--data-binary", &data, "--header", &kind]);
        command.args(["--header", &format!("Authorization: Bearer {token}"), "--write-out", "%{http_code}\n"]);
        let told = run(command.arg(format!("https://{}/v2/{}/manifests/{tags}", self.world.host(), self.repository)))?;
        let taken = told.lines().filter(|status| *status == "201").count();
        holds(taken == count, || format!("{taken} of {count} pushes were taken: {told}"))?;
        Ok(digest(body))
    }

    /// The index that is pushed of this seed.
    pub(crate) fn pushed(&self, seed: u64) -> Vec<u8> {
        let annotations = json!({"seed": seed.to_string()});
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": annotations}).to_string().into()
    }

    /// Holds that all clients find this digest under a tag, or nothing, from the first root on and with no memory.
    pub(crate) fn all_find(&self, tag: &str, expected: Option<&str>) -> Outcome<()> {
        let found = expected
            .map_or_else(|| "unnamed".to_owned(), |digest| format!("named {}", digest.trim_start_matches("sha256:")));
        // A Go program asks the kernel for the time, and takes none from whoever would give it another.
        let strangers = if self.days == 0 { &STRANGERS[..] } else { &STRANGERS[1..] };
        let begin = Instant::now();
        for stranger in strangers {
            let mut told = self.stranger(stranger, tag)?;
            while told != found {
                holds(begin.elapsed() < PUBLISHED, || {
                    format!("{stranger} told {told} of {tag}, not {found}: {}", self.world.log())
                })?;
                std::thread::sleep(Duration::from_millis(100));
                told = self.stranger(stranger, tag)?;
            }
        }
        let (root, authority, image) = (self.root(), self.world.authority(), self.image(tag));
        let words = ["verify", &image, "--root", text(&root), "--ca", text(&authority), "--output", "json"];
        let nobody = self.world.home("nobody")?;
        let ran = attempt(self.on_time(self.command(&words)?.env("HOME", &nobody)))?;
        let agrees = match expected {
            Some(digest) => ran.status.success() && ran.output.contains(digest),
            None => !ran.status.success(),
        };
        holds(agrees, || format!("{tag} was to be {found}, and verify said {ran:?}"))
    }

    /// Holds that who asks the metadata alone finds this digest.
    pub(crate) fn metadata_vouches(&self, tag: &str, digest: &str) -> Outcome<()> {
        let told = self.stranger(STRANGERS[1], tag)?;
        let found = format!("named {}", digest.trim_start_matches("sha256:"));
        holds(told == found, || format!("the metadata was to vouch for {digest}: {told}"))
    }

    /// What `verify` says of a tag that it does not verify.
    pub(crate) fn refused_by_verify(&self, tag: &str) -> Outcome<String> {
        let (root, authority, image) = (self.root(), self.world.authority(), self.image(tag));
        let words = ["verify", &image, "--root", text(&root), "--ca", text(&authority)];
        let ran = attempt(&mut self.command(&words)?)?;
        holds(!ran.status.success(), || format!("{tag} was verified: {ran:?}"))?;
        Ok(format!("{ran:?}"))
    }

    /// What a client tells of a tag, once it has downloaded what that means.
    pub(crate) fn stranger(&self, name: &str, tag: &str) -> Outcome<String> {
        let url = format!("https://{}/tuf/{}", self.world.host(), self.repository);
        let path = format!("{}/{tag}", self.repository);
        Ok(self.tool(name, &["one", text(&self.root()), &url, &path])?.trim().to_owned())
    }

    fn tool(&self, name: &str, words: &[&str]) -> Outcome<String> {
        let mut command = Command::new(tools::locate(name)?);
        run(self.on_time(command.env("SSL_CERT_FILE", self.world.authority()).args(words)))
    }

    fn on_time<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        match self.days {
            0 => command,
            days => command.envs(outages::ahead(days)),
        }
    }

    /// What both clients of cosign tell of a file of the registry's own repository.
    fn cosign(&self, root: &Path, file: &str) -> Outcome<Vec<String>> {
        let url = format!("https://{}/tuf", self.world.host());
        Ok(self.tool("go-tuf", &["cosign", text(root), &url, file])?.lines().map(str::to_owned).collect())
    }
}

fn good(words: &[&str], ran: &Ran) -> Outcome<String> {
    holds(ran.status.success(), || format!("hallmark {} failed: {ran:?}", words.join(" ")))?;
    Ok(ran.output.clone())
}

#[test]
fn strangers_follow_every_role_to_a_new_key_and_a_tag_where_it_moves() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    let one = reader.push("1", 1)?;
    reader.hallmark(&["sign", &reader.image("1")])?;
    reader.all_find("1", Some(&one))?;
    reader.all_find("absent", None)?;
    for role in ["root", "targets", "snapshot", "timestamp", "tags"] {
        reader.hallmark(&["trust", "rotate", role])?;
        reader.all_find("1", Some(&one))?;
    }
    let two = reader.push("1", 2)?;
    reader.all_find("1", None)?;
    reader.hallmark(&["sign", &reader.image("1")])?;
    reader.all_find("1", Some(&two))?;
    reader.hallmark(&["trust", "revoke", &reader.image("1")])?;
    reader.all_find("1", None)
}

/// What stands for many platforms is signed as one: its digest names its children.
#[test]
fn an_index_with_children_is_signed_and_inspected_by_its_own_digest() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    let child = |seed: u64, architecture: &str| -> Outcome<Value> {
        let (pushed, body) = (reader.push(&format!("of-{architecture}"), seed)?, reader.pushed(seed));
        let platform = json!({"os": "linux", "architecture": architecture});
        Ok(json!({"mediaType": INDEX, "digest": pushed, "size": body.len(), "platform": platform}))
    };
    let children = [child(1, "amd64")?, child(2, "arm64")?];
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
    let index = reader.put("multi", 1, body.as_bytes())?;
    reader.hallmark(&["sign", &reader.image("multi")])?;
    reader.all_find("multi", Some(&index))?;
    reader.all_find("of-amd64", None)?;
    // With the host before it as without: it is written so for `sign`.
    let listed = reader.hallmark(&["trust", "inspect", REPOSITORY, "--output", "json"])?;
    let (named, authority) = (format!("{}/{REPOSITORY}", world.host()), world.authority());
    let words = ["trust", "inspect", &named, "--ca", text(&authority), "--output", "json"];
    let of_host = by_password(&reader, &words)?;
    holds(of_host == listed, || format!("{named} was told as {of_host}"))?;
    let listed: Vec<Value> = listed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let is_it = listed.len() == 1 && listed[0]["tag"] == "multi" && listed[0]["digest"] == index;
    holds(is_it, || format!("the index alone was to be told as signed: {listed:?}"))
}

#[test]
fn strangers_find_tags_in_bins_that_a_rule_has_signed() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    reader.hallmark(&["trust", "rule", "add", REPOSITORY, "user:admin"])?;
    let pushed = reader.push_all(&format!("v[1-{MANY}]"), MANY, 1)?;
    reader.all_find(&format!("v{MANY}"), Some(&pushed))?;
    reader.all_find("v1", Some(&pushed))?;
    let listed = reader.hallmark(&["trust", "inspect", REPOSITORY, "--output", "json"])?;
    holds(listed.lines().count() == MANY, || format!("{} of {MANY} tags are signed", listed.lines().count()))?;
    let snapshot = world.ask(&[], &format!("/tuf/{REPOSITORY}/timestamp.json"))?.json()?;
    let version = &snapshot["signed"]["meta"]["snapshot.json"]["version"];
    let snapshot = world.ask(&[], &format!("/tuf/{REPOSITORY}/{version}.snapshot.json"))?.json()?;
    let meta = snapshot["signed"]["meta"].as_object().cloned().unwrap_or_default();
    let bins = meta.keys().filter(|name| name.starts_with("bin-")).count();
    holds(bins == 16, || format!("{bins} bins are named"))?;
    let moved = reader.push("v7", 2)?;
    reader.all_find("v7", Some(&moved))
}

/// What `cosign initialize --mirror URL/tuf --root FILE` does with its two clients.
#[test]
fn cosign_begins_with_the_registry_s_own_repository() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    let (root, file) = (reader.root(), reader.home.join("trusted_root.json"));
    let told = reader.cosign(&root, "trusted_root.json")?;
    holds(told.len() == 2 && told.iter().all(|told| told.starts_with("refused")), || {
        format!("{told:?} was told of a file that is not there")
    })?;
    for content in ["{\"one\": 1}", "{\"two\": 2}"] {
        fs::write(&file, content)?;
        reader.hallmark(&["trust", "file", "put", text(&file)])?;
        let named = format!("named {}", digest(content.as_bytes()).trim_start_matches("sha256:"));
        let begin = Instant::now();
        let mut told = reader.cosign(&root, "trusted_root.json")?;
        while told != [named.as_str(); 2] {
            holds(begin.elapsed() < PUBLISHED, || format!("{told:?} was told and not {named}: {}", world.log()))?;
            std::thread::sleep(Duration::from_millis(100));
            told = reader.cosign(&root, "trusted_root.json")?;
        }
        reader.hallmark(&["trust", "rotate", "root"])?;
        reader.hallmark(&["trust", "rotate", "timestamp"])?;
    }
    Ok(())
}
