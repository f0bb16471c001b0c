//! One client, who writes down what it was told. It pushes to a repository of its own, or to one that another pushes to as well: then
//! each has manifests and tags of its own, and they share the blobs.

use std::collections::BTreeMap;

use hallmark_conformance::{
    Failure, Outcome,
    durability::Random,
    http::{Client as Login, Connection, Request, Response, encode},
    registry::with_query,
    server::{ADMIN, PASSWORD},
};
use serde_json::{Value, json};

use crate::image::{CONTENTS, Image, content, two};

/// How many images a client keeps: so few that most contents are needed by nobody before long.
const KEPT: usize = 5;
/// Tags of a client: few, so that they move often.
const TAGS: u64 = 4;

/// What is known of a manifest: whether it is there. `None`: the answer did not come, or was a failure, or the server decides.
type Presence = Option<bool>;

/// A manifest, and what the client knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) image: Image,
    pub(crate) presence: Presence,
    /// What was known before its subject was deleted.
    before: Presence,
    /// The day on which it was deleted.
    deleted: Option<u64>,
    /// Whether a hold keeps it; `None`: the answer did not come.
    held: Option<bool>,
    /// Whether it is a child of an index that is not acknowledged.
    child: bool,
}

impl Known {
    fn of(image: &Image) -> Self {
        let image = image.clone();
        Self { image, presence: None, before: None, deleted: None, held: Some(false), child: false }
    }

    /// Whether it is there, and nobody but this client lets it go.
    fn is_own(&self) -> bool {
        self.presence == Some(true) && !self.child && self.held.is_some()
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

pub(crate) type Step<T> = Result<T, Gone>;

/// What a client was told, in numbers, and what it must never be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// What was done, and how often.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<String>,
}

/// What [`Tally::counts`] counts: requests that were answered; manifests that were acknowledged, those of them that had been deleted
/// before, indexes, and what refers to another; blobs that were mounted; manifests that were deleted, brought back, and kept by a hold from
/// being deleted; blobs whose bytes were read and are those of their digest; what a failing disk, and what a quota has refused.
pub(crate) const COUNTED: [&str; 11] = [
    "answered",
    "pushed",
    "again",
    "indexes",
    "referrers",
    "mounted",
    "deleted",
    "undeleted",
    "held",
    "rehashed",
    "refused",
];
/// Counted only where there is a limit.
pub(crate) const OVER: &str = "over quota";

impl Tally {
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

impl std::ops::AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.violations.extend(other.violations.iter().cloned());
    }
}

/// Who a client is and what it pushes to.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// A word that no other client has.
    pub(crate) name: String,
    pub(crate) repository: String,
    /// Whether nobody else pushes there.
    pub(crate) alone: bool,
    /// Whether a quota may refuse what it pushes.
    pub(crate) limited: bool,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    port: u16,
    pub(crate) role: Role,
    neighbours: Vec<String>,
    pub(crate) random: Random,
    authorization: String,
    connection: Option<Connection>,
    pub(crate) images: BTreeMap<String, Known>,
    /// What each tag points to, as far as that is known.
    pub(crate) tags: BTreeMap<String, String>,
    serial: u64,
    day: u64,
    /// What was asked for each digest, and how it was answered, for whoever looks into a violation.
    history: BTreeMap<String, Vec<String>>,
    /// Whether the disk fails, so that anything may be refused.
    pub(crate) faulty: bool,
    pub(crate) tally: Tally,
}

impl Client {
    pub(crate) fn new(port: u16, role: Role, repositories: &[String], seed: u64) -> Self {
        Self {
            port,
            neighbours: repositories.iter().filter(|name| **name != role.repository).cloned().collect(),
            role,
            random: Random::new(seed),
            authorization: String::new(),
            connection: None,
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            serial: 0,
            day: 0,
            history: BTreeMap::new(),
            faulty: false,
            tally: Tally::default(),
        }
    }

    /// Signs in at a server that has just started, on this day: by its clock, every token from before has ended.
    pub(crate) fn sign_in(&mut self, day: u64) -> Outcome<()> {
        (self.connection, self.day) = (None, day);
        let own = format!("repository:{}:pull,push,delete", self.role.repository);
        let others = self.neighbours.iter().map(|name| format!("repository:{name}:pull"));
        let scopes = std::iter::once(own).chain(others).collect::<Vec<_>>();
        let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>();
        self.authorization = Login::new(self.port, ADMIN, PASSWORD).authorization(&scopes)?;
        Ok(())
    }

    /// Does one thing that clients do.
    pub(crate) fn act(&mut self) -> Step<()> {
        let kept = self.images.values().filter(|known| known.is_own()).count();
        match self.random.within(0..28) {
            0..=15 if kept > KEPT => self.delete_image(),
            0..=7 => {
                let image = Image::of(two(&mut self.random), &self.role.name);
                self.push(&image).map(drop)
            }
            8 | 9 => {
                let note = self.note();
                let index = Image::index(&mut self.random, &note);
                self.push(&index).map(drop)
            }
            10 | 11 => self.refer(),
            12 => {
                let note = self.note();
                let image = Image::of(two(&mut self.random), &note).doomed();
                self.push(&image).map(drop)
            }
            13..=15 => self.delete_image(),
            16 | 17 => self.push_again(),
            18 => self.delete_blob(),
            19 => {
                let number = self.random.within(0..CONTENTS);
                self.bring(number).map(drop)
            }
            20 | 21 => self.undelete(),
            22 => self.hold(),
            _ => self.pull_one(),
        }
    }

    /// What makes a manifest differ from all others.
    fn note(&mut self) -> String {
        self.serial += 1;
        format!("{} {}", self.role.name, self.serial)
    }

    pub(crate) fn exchange(&mut self, request: Request) -> Step<Response> {
        let mut connection = self.connection.take().map_or_else(|| Connection::open(self.port), Ok)?;
        let line = format!("{} {}", request.method, request.target);
        let answer = connection.exchange(&request.header("Authorization", &self.authorization));
        self.write_down(&line, answer.as_ref().ok());
        let answer = answer?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        // An answer to a request that was not read to its end closes the connection after it.
        if !closes && answer.status < 400 {
            self.connection = Some(connection);
        }
        self.tally.add("answered");
        Ok(answer)
    }

    /// Asks the management API about the repository.
    fn manage(&mut self, method: &str, rest: &str, body: &Value) -> Step<Response> {
        let target = format!("/api/v1/repositories/{}/{rest}", encode(&self.role.repository));
        let request = Request::new(method, target).header("Content-Type", "application/json");
        let request = if body.is_null() { request } else { request.bytes(body.to_string()) };
        let answer = Login::new(self.port, ADMIN, PASSWORD).send_basic(&request);
        self.write_down(&format!("{method} {rest} {body}"), answer.as_ref().ok());
        let answer = answer?;
        self.tally.add("answered");
        Ok(answer)
    }

    /// Writes down what changes something under the digest that it names, the last one; a push by tag is named by whoever makes it.
    fn write_down(&mut self, line: &str, answer: Option<&Response>) {
        if line.starts_with("GET") || line.starts_with("HEAD") {
            return;
        }
        let Some(at) = line.rfind("sha256:") else { return };
        let digest = line[at..].chars().take("sha256:".len() + 64).collect::<String>();
        let status = answer.map_or("nothing".to_owned(), |answer| answer.status.to_string());
        let what = line.replace(&digest, "");
        self.history.entry(digest).or_default().push(format!("day {}: {what}: {status}", self.day));
    }

    /// What was asked for these digests.
    pub(crate) fn history(&self, digests: &[&str]) -> String {
        let lines = digests.iter().filter_map(|digest| Some((digest, self.history.get(*digest)?)));
        lines.map(|(digest, lines)| format!("\n  {digest}\n    {}", lines.join("\n    "))).collect()
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.role.repository)
    }

    /// Whether an answer has one of these statuses. A disk that fails may refuse anything, and a quota what would be more; nothing
    /// else may.
    pub(crate) fn is(&mut self, what: &str, answer: &Response, statuses: &[u16]) -> bool {
        if statuses.contains(&answer.status) {
            return true;
        }
        if self.faulty && answer.status >= 500 {
            self.tally.add("refused");
        } else if self.role.limited && answer.status == 403 && answer.text().contains("the quota of the repository") {
            self.tally.add(OVER);
        } else {
            self.tally.violations.push(format!("{what} in {}: {answer}", self.role.repository));
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
            self.tally.add("mounted");
            return Ok(true);
        }
        let Some(location) = begun.header("location") else { return Ok(false) };
        let put = Request::new("PUT", with_query(location, "digest", &content.digest));
        let put = self.exchange(put.header("Content-Type", "application/octet-stream").bytes(content.bytes))?;
        Ok(self.is("PUT of a blob", &put, &[201]))
    }

    /// The tag that a manifest is pushed with: what refers to another has none, or it would outlive it.
    fn tag_for(&mut self, image: &Image, child: bool) -> Option<String> {
        let name = &self.role.name;
        if image.doomed {
            return Some(format!("gone-{name}-{}", self.serial));
        }
        let number = self.random.within(0..TAGS);
        (image.subject.is_none() && !child && self.random.once_in(2)).then(|| format!("{name}-{number}"))
    }

    /// Pushes a manifest with all that it names; whether that was acknowledged.
    fn push(&mut self, image: &Image) -> Step<bool> {
        for child in &image.children {
            if !self.push_one(child, true)? {
                return Ok(false);
            }
        }
        if !self.push_one(image, false)? {
            return Ok(false);
        }
        // From here on they are its own.
        image.children.iter().for_each(|child| drop(self.images.remove(&child.manifest.digest)));
        if !image.children.is_empty() {
            self.tally.add("indexes");
        }
        if image.subject.is_some() {
            self.tally.add("referrers");
        }
        Ok(true)
    }

    fn push_one(&mut self, image: &Image, child: bool) -> Step<bool> {
        for number in image.own_blobs() {
            if !self.bring(number)? {
                return Ok(false);
            }
        }
        let digest = image.manifest.digest.clone();
        let tag = self.tag_for(image, child);
        let known = self.images.entry(digest.clone()).or_insert_with(|| Known::of(image));
        known.presence = known.presence.filter(|there| *there);
        known.child = child;
        if let Some(tag) = &tag {
            self.tags.remove(tag);
        }
        let put = Request::new("PUT", self.path(&format!("manifests/{}", tag.as_ref().unwrap_or(&digest))));
        let put = put.header("Content-Type", &image.manifest.media_type).bytes(image.manifest.bytes.clone());
        let answer = self.exchange(put);
        let status = answer.as_ref().map_or("nothing".to_owned(), |answer| answer.status.to_string());
        let line = format!("day {}: pushed as {tag:?} (child: {child}): {status}", self.day);
        self.history.entry(digest.clone()).or_default().push(line);
        let answer = answer?;
        // Whoever was shown a blob a moment ago has a day to name it, whatever the collector does.
        if !self.is("PUT of a manifest", &answer, &[201]) {
            return Ok(false);
        }
        self.tally.add("pushed");
        self.note_of(&digest, |known| known.presence = (!image.doomed).then_some(true));
        if let Some(tag) = tag.filter(|_| !image.doomed) {
            self.tags.insert(tag, digest);
        }
        Ok(true)
    }

    fn note_of(&mut self, digest: &str, note: impl FnMut(&mut Known)) {
        self.images.get_mut(digest).into_iter().for_each(note);
    }

    fn some_image(&mut self, fits: impl Fn(&Known) -> bool) -> Option<Known> {
        let known = self.images.values().filter(|known| fits(known)).cloned().collect::<Vec<_>>();
        self.random.pick(&known).cloned()
    }

    /// Pushes what refers to something that is there.
    fn refer(&mut self) -> Step<()> {
        let Some(about) = self.some_image(|known| known.is_own() && known.image.subject.is_none()) else {
            return Ok(());
        };
        let note = self.note();
        let image = Image::about(&about.image.manifest, two(&mut self.random), &note);
        self.push(&image).map(drop)
    }

    /// Deletes a manifest, and half of the time pushes it again at once. What a hold keeps stays.
    fn delete_image(&mut self) -> Step<()> {
        let Some(known) = self.some_image(Known::is_own) else { return Ok(()) };
        if self.delete(&known)? && self.random.once_in(2) { self.again(&known.image) } else { Ok(()) }
    }

    /// Pushes an image before the storm, and deletes it at once when it is to be garbage.
    pub(crate) fn seed(&mut self, image: &Image, garbage: bool) -> Step<bool> {
        if !self.push(image)? {
            return Ok(false);
        }
        match self.images.get(&image.manifest.digest).cloned() {
            Some(known) if garbage => self.delete(&known),
            known => Ok(known.is_some()),
        }
    }

    /// Whether it was deleted.
    fn delete(&mut self, known: &Known) -> Step<bool> {
        let (digest, day) = (known.image.manifest.digest.clone(), self.day);
        let request = Request::new("DELETE", self.path(&format!("manifests/{digest}")));
        if known.held == Some(true) {
            let answer = self.exchange(request)?;
            if self.is("DELETE of a manifest that is held", &answer, &[403]) {
                self.tally.add("held");
            }
            return self.release(&digest).map(|()| false);
        }
        self.note_of(&digest, |known| known.presence = None);
        for known in self.images.values_mut().filter(|known| known.image.subject.as_ref() == Some(&digest)) {
            (known.before, known.presence) = (known.presence, None);
        }
        self.tags.retain(|_, target| *target != digest);
        let answer = self.exchange(request)?;
        if !self.is("DELETE of a manifest", &answer, &[202]) {
            return Ok(false);
        }
        self.tally.add("deleted");
        self.note_of(&digest, |known| (known.presence, known.deleted) = (Some(false), Some(day)));
        Ok(true)
    }

    /// Brings back what was deleted on the same day, before the trash was emptied; and with it what refers to it.
    fn undelete(&mut self) -> Step<()> {
        let day = self.day;
        let lately = |known: &Known| known.presence == Some(false) && known.deleted == Some(day);
        let Some(known) = self.some_image(|known| lately(known) && known.image.subject.is_none()) else {
            return Ok(());
        };
        let digest = known.image.manifest.digest;
        self.note_of(&digest, |known| known.presence = None);
        // What was pushed of it meanwhile, before a quota stood in the way, is its own again.
        let children = known.image.children.iter().map(|child| &child.manifest.digest);
        children.clone().for_each(|child| self.note_of(child, |known| known.presence = None));
        let answer = self.manage("POST", "undelete", &json!({"digest": digest}))?;
        if self.is("undelete of a manifest", &answer, &[200]) {
            self.tally.add("undeleted");
            children.for_each(|child| drop(self.images.remove(child)));
            self.note_of(&digest, |known| known.presence = Some(true));
            for known in self.images.values_mut().filter(|known| known.image.subject.as_ref() == Some(&digest)) {
                known.presence = known.before.take();
            }
        }
        Ok(())
    }

    /// Holds a manifest, or lets it go again.
    fn hold(&mut self) -> Step<()> {
        let Some(known) = self.some_image(|known| known.is_own() && known.image.subject.is_none()) else {
            return Ok(());
        };
        let digest = known.image.manifest.digest;
        if known.held == Some(true) {
            return self.release(&digest);
        }
        self.note_of(&digest, |known| known.held = None);
        let answer = self.manage("POST", "holds", &json!({"digest": digest, "kind": "pin", "reason": "a storm"}))?;
        if self.is("POST of a hold", &answer, &[201]) {
            self.note_of(&digest, |known| known.held = Some(true));
        }
        Ok(())
    }

    fn release(&mut self, digest: &str) -> Step<()> {
        self.note_of(digest, |known| known.held = None);
        let answer = self.manage("DELETE", &format!("holds/{}/pin", encode(digest)), &Value::Null)?;
        if self.is("DELETE of a hold", &answer, &[204]) {
            self.note_of(digest, |known| known.held = Some(false));
        }
        Ok(())
    }

    /// Pushes again what was deleted, lately or long ago.
    fn push_again(&mut self) -> Step<()> {
        let gone = |known: &Known| known.presence == Some(false) && known.image.subject.is_none();
        self.some_image(gone).map_or(Ok(()), |known| self.again(&known.image))
    }

    fn again(&mut self, image: &Image) -> Step<()> {
        if image.subject.is_none() && self.push(image)? {
            self.tally.add("again");
        }
        Ok(())
    }

    /// Deletes a blob that no image of the repository may name. The children of an index that was deleted go a while after it.
    fn delete_blob(&mut self) -> Step<()> {
        let number = self.random.within(0..CONTENTS);
        let named = |known: &Known| {
            let may_name = known.presence != Some(false) || !known.image.children.is_empty();
            may_name && known.image.blobs().contains(&number)
        };
        if !self.role.alone || self.images.values().any(named) {
            return Ok(());
        }
        let target = self.path(&format!("blobs/{}", content(number).digest));
        let answer = self.exchange(Request::new("DELETE", target))?;
        self.is("DELETE of a blob", &answer, &[202, 404]);
        Ok(())
    }

    fn pull_one(&mut self) -> Step<()> {
        self.some_image(|known| known.presence == Some(true)).map_or(Ok(()), |known| self.pull(&known.image))
    }
}
