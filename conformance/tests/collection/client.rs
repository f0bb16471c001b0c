//! One client with a repository of its own, who writes down what it was told. The contents are so few that all clients meet on them.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_conformance::{
    Failure, Outcome,
    durability::Random,
    http::{Client as Login, Connection, Request, Response, encode},
    image::{CONFIG, Content, LAYER, MANIFEST, digest, noise},
    registry::with_query,
    server::{ADMIN, PASSWORD},
};
use serde_json::json;

/// How many contents there are.
const CONTENTS: u64 = 48;
/// How many images a client keeps: so few that most contents are needed by nobody before long.
const KEPT: usize = 5;
/// Sizes of contents that are kept as facts, and of those that are kept as files.
const SMALL: usize = 300;
const LARGE: usize = 12_000;
/// Tags of a repository: few, so that they move often.
const TAGS: u64 = 4;

/// The content of this number: every second one is so small that it is kept with the facts.
pub(crate) fn content(number: u64) -> Content {
    let size = if number.is_multiple_of(2) { SMALL } else { LARGE + usize::try_from(number).unwrap_or(0) * 1_000 };
    Content::new("application/octet-stream", noise(number, size))
}

/// All contents.
pub(crate) fn contents() -> impl Iterator<Item = Content> {
    (0..CONTENTS).map(content)
}

/// Whether a content of this size is kept as a file.
pub(crate) fn is_file(content: &Content) -> bool {
    content.bytes.len() >= LARGE
}

/// What is known of a manifest: whether it is there. `None`: the answer did not come, or was a failure.
type Presence = Option<bool>;

/// An image of two contents.
#[derive(Clone, Debug)]
struct Image {
    manifest: Content,
    blobs: [u64; 2],
}

impl Image {
    fn of(blobs: [u64; 2]) -> Self {
        let [config, layer] = blobs.map(content);
        let describe =
            |kind, content: &Content| json!({"mediaType": kind, "digest": content.digest, "size": content.bytes.len()});
        let body = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, &config),
            "layers": [describe(LAYER, &layer)]});
        Self { manifest: Content::document(MANIFEST, &body), blobs }
    }
}

/// The server went away: what was asked may have happened or not.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<Failure> for Gone {
    fn from(_: Failure) -> Self {
        Self
    }
}

type Step<T> = Result<T, Gone>;

/// What a client was told, in numbers, and what it must never be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were answered.
    pub(crate) operations: u64,
    pub(crate) pushed: u64,
    pub(crate) mounted: u64,
    pub(crate) deleted: u64,
    /// Manifests that were pushed again after they had been deleted.
    pub(crate) again: u64,
    /// Blobs whose bytes were read and are those of their digest.
    pub(crate) rehashed: u64,
    /// Requests that a failing disk has refused.
    pub(crate) refused: u64,
    pub(crate) violations: Vec<String>,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.pushed += other.pushed;
        self.mounted += other.mounted;
        self.deleted += other.deleted;
        self.again += other.again;
        self.rehashed += other.rehashed;
        self.refused += other.refused;
        self.violations.extend(other.violations);
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    port: u16,
    repository: String,
    neighbours: Vec<String>,
    random: Random,
    authorization: String,
    connection: Option<Connection>,
    images: BTreeMap<String, (Image, Presence)>,
    /// What each tag points to, as far as that is known.
    tags: BTreeMap<String, String>,
    /// Whether the disk fails, so that anything may be refused.
    pub(crate) faulty: bool,
    pub(crate) tally: Tally,
}

impl Client {
    pub(crate) fn new(port: u16, repository: &str, neighbours: &[String], seed: u64) -> Self {
        Self {
            port,
            repository: repository.to_owned(),
            neighbours: neighbours.iter().filter(|name| *name != repository).cloned().collect(),
            random: Random::new(seed),
            authorization: String::new(),
            connection: None,
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            faulty: false,
            tally: Tally::default(),
        }
    }

    /// Signs in at a server that has just started: by its clock, every token from before has ended.
    pub(crate) fn sign_in(&mut self) -> Outcome<()> {
        self.connection = None;
        let own = format!("repository:{}:pull,push,delete", self.repository);
        let others = self.neighbours.iter().map(|name| format!("repository:{name}:pull"));
        let scopes = std::iter::once(own).chain(others).collect::<Vec<_>>();
        let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>();
        self.authorization = Login::new(self.port, ADMIN, PASSWORD).authorization(&scopes)?;
        Ok(())
    }

    /// Does one thing that clients do.
    pub(crate) fn act(&mut self) -> Step<()> {
        let kept = self.images.values().filter(|(_, known)| *known == Some(true)).count();
        match self.random.within(0..20) {
            0..=12 if kept > KEPT => self.delete_image(),
            0..=8 => {
                let blobs = [self.random.within(0..CONTENTS), self.random.within(0..CONTENTS)];
                self.push(&Image::of(blobs)).map(drop)
            }
            9..=12 => self.delete_image(),
            13 | 14 => self.push_again(),
            15 => self.delete_blob(),
            16 => {
                let number = self.random.within(0..CONTENTS);
                self.bring(number).map(drop)
            }
            _ => self.pull_one(),
        }
    }

    fn exchange(&mut self, request: Request) -> Step<Response> {
        let mut connection = self.connection.take().map_or_else(|| Connection::open(self.port), Ok)?;
        let answer = connection.exchange(&request.header("Authorization", &self.authorization))?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        // An answer to a request that was not read to its end closes the connection after it.
        if !closes && answer.status < 400 {
            self.connection = Some(connection);
        }
        self.tally.operations += 1;
        Ok(answer)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// Whether an answer has one of these statuses. A disk that fails may refuse anything; nothing else may.
    fn is(&mut self, what: &str, answer: &Response, statuses: &[u16]) -> bool {
        if statuses.contains(&answer.status) {
            return true;
        }
        if self.faulty && answer.status >= 500 {
            self.tally.refused += 1;
        } else {
            self.tally.violations.push(format!("{what} in {}: {answer}", self.repository));
        }
        false
    }

    /// Sees to it that the repository has a content, as clients do: what is shown is not sent again.
    fn bring(&mut self, number: u64) -> Step<bool> {
        let content = content(number);
        if self.random.once_in(2) {
            let head = self.exchange(Request::new("HEAD", self.path(&format!("blobs/{}", content.digest))))?;
            if head.status == 200 {
                return Ok(true);
            }
            self.is("HEAD of a blob", &head, &[404]);
        }
        let from = self.random.pick(&self.neighbours).filter(|_| number.is_multiple_of(3)).cloned();
        let query = from.map(|from| format!("?mount={}&from={}", encode(&content.digest), encode(&from)));
        let begin = Request::new("POST", self.path(&format!("blobs/uploads/{}", query.unwrap_or_default())));
        let begun = self.exchange(begin)?;
        if !self.is("POST of an upload", &begun, &[201, 202]) {
            return Ok(false);
        }
        if begun.status == 201 {
            self.tally.mounted += 1;
            return Ok(true);
        }
        let Some(location) = begun.header("location") else { return Ok(false) };
        let put = Request::new("PUT", with_query(location, "digest", &content.digest));
        let put = self.exchange(put.header("Content-Type", "application/octet-stream").bytes(content.bytes))?;
        Ok(self.is("PUT of a blob", &put, &[201]))
    }

    /// Pushes an image; whether that was acknowledged.
    fn push(&mut self, image: &Image) -> Step<bool> {
        for number in image.blobs {
            if !self.bring(number)? {
                return Ok(false);
            }
        }
        let digest = image.manifest.digest.clone();
        let tag = self.random.once_in(2).then(|| format!("t{}", self.random.within(0..TAGS)));
        let before = self.images.get(&digest).and_then(|(_, presence)| *presence);
        self.images.insert(digest.clone(), (image.clone(), before.filter(|there| *there)));
        let old = tag.as_ref().and_then(|tag| self.tags.remove(tag));
        let put = Request::new("PUT", self.path(&format!("manifests/{}", tag.as_ref().unwrap_or(&digest))));
        let put = put.header("Content-Type", MANIFEST).bytes(image.manifest.bytes.clone());
        let answer = self.exchange(put)?;
        // Whoever was shown a blob a moment ago has a day to name it, whatever the collector does.
        if !self.is("PUT of a manifest", &answer, &[201]) {
            return Ok(false);
        }
        self.tally.pushed += 1;
        self.images.insert(digest.clone(), (image.clone(), Some(true)));
        drop(old);
        if let Some(tag) = tag {
            self.tags.insert(tag, digest);
        }
        Ok(true)
    }

    fn some_image(&mut self, presence: bool) -> Option<Image> {
        let known = self.images.values().filter(|(_, known)| *known == Some(presence));
        let known = known.map(|(image, _)| image.clone()).collect::<Vec<_>>();
        self.random.pick(&known).cloned()
    }

    /// Deletes an image, and half of the time pushes it again at once.
    fn delete_image(&mut self) -> Step<()> {
        let Some(image) = self.some_image(true) else { return Ok(()) };
        let digest = &image.manifest.digest;
        self.images.insert(digest.clone(), (image.clone(), None));
        self.tags.retain(|_, target| target != digest);
        let answer = self.exchange(Request::new("DELETE", self.path(&format!("manifests/{digest}"))))?;
        if !self.is("DELETE of a manifest", &answer, &[202]) {
            return Ok(());
        }
        self.tally.deleted += 1;
        self.images.insert(digest.clone(), (image.clone(), Some(false)));
        if self.random.once_in(2) { self.again(&image) } else { Ok(()) }
    }

    /// Pushes again what was deleted, lately or long ago.
    fn push_again(&mut self) -> Step<()> {
        self.some_image(false).map_or(Ok(()), |image| self.again(&image))
    }

    fn again(&mut self, image: &Image) -> Step<()> {
        let pushed = self.push(image)?;
        self.tally.again += u64::from(pushed);
        Ok(())
    }

    /// Deletes a blob that no image of the repository may name.
    fn delete_blob(&mut self) -> Step<()> {
        let number = self.random.within(0..CONTENTS);
        let named = self.images.values().any(|(image, known)| *known != Some(false) && image.blobs.contains(&number));
        if named {
            return Ok(());
        }
        let target = self.path(&format!("blobs/{}", content(number).digest));
        let answer = self.exchange(Request::new("DELETE", target))?;
        self.is("DELETE of a blob", &answer, &[202, 404]);
        Ok(())
    }

    fn pull_one(&mut self) -> Step<()> {
        self.some_image(true).map_or(Ok(()), |image| self.pull(&image))
    }

    /// Pulls an image that is there, down to its bytes.
    fn pull(&mut self, image: &Image) -> Step<()> {
        let target = self.path(&format!("manifests/{}", image.manifest.digest));
        let answer = self.exchange(Request::new("GET", target).header("Accept", MANIFEST))?;
        if self.is("GET of a manifest that was acknowledged", &answer, &[200]) && answer.body != image.manifest.bytes {
            self.tally.violations.push(format!("{} has other bytes", image.manifest.digest));
        }
        for number in image.blobs {
            let wanted = content(number).digest;
            let answer = self.exchange(Request::new("GET", self.path(&format!("blobs/{wanted}"))))?;
            if !self.is("GET of a blob that an acknowledged manifest names", &answer, &[200]) {
                continue;
            }
            self.tally.rehashed += 1;
            if digest(&answer.body) != wanted {
                self.tally.violations.push(format!("{wanted} in {} has other bytes", self.repository));
            }
        }
        Ok(())
    }

    /// Looks at everything that was acknowledged, and at what may or may not have happened; the numbers of the contents that what
    /// is there names.
    ///
    /// # Errors
    /// The server goes away meanwhile.
    pub(crate) fn look_at_everything(&mut self) -> Step<BTreeSet<u64>> {
        let mut named = BTreeSet::new();
        for (digest, (image, known)) in self.images.clone() {
            let head = Request::new("HEAD", self.path(&format!("manifests/{digest}"))).header("Accept", MANIFEST);
            let there = self.exchange(head)?.status == 200;
            if known.is_some_and(|known| known != there) {
                self.tally.violations.push(format!("{digest} in {}: told {known:?}, found {there}", self.repository));
            }
            if there {
                self.pull(&image)?;
                named.extend(image.blobs);
            }
        }
        for (tag, target) in self.tags.clone() {
            let get = Request::new("HEAD", self.path(&format!("manifests/{tag}"))).header("Accept", MANIFEST);
            let found = self.exchange(get)?.header("docker-content-digest").map(str::to_owned);
            if found.as_ref() != Some(&target) {
                self.tally
                    .violations
                    .push(format!("{tag} in {} points to {found:?} and not {target}", self.repository));
            }
        }
        Ok(named)
    }
}
