//! What a client does: from a root that is trusted to what a path means, by the workflow of the specification (TUF 1.0, §5).
//!
//! This is our own and not `tough`'s, which takes a root that could not be brought for the end of the chain, and loads every
//! delegated role before it looks for one target: here a file that could not be brought ends the update, and a role is loaded
//! when the path asked for leads through it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::build::unhex;
use super::memory::{Locked, Memory};
use super::meta::{Checked, Envelope, Flaw, RoleKeys, following};

/// How many roots follow one another in one update.
const ROOTS: u64 = 1_024;
/// How often an update begins again because another one, which shares its memory, has seen more meanwhile.
const TURNS: usize = 8;
/// How many roles are asked for one path.
const ROLES: usize = 32;
/// The most bytes that are read of each role when nothing says how many it has.
const ROOT_BYTES: u64 = 512 * 1024;
const TIMESTAMP_BYTES: u64 = 64 * 1024;
const SNAPSHOT_BYTES: u64 = 4 * 1024 * 1024;
const TARGETS_BYTES: u64 = 16 * 1024 * 1024;

/// Brings a file by its name, at most so many bytes of it; `None` when there is none of this name. Of a file that is longer, at
/// least one byte more is brought, or an error.
pub type Fetch = Arc<dyn Fn(String, u64) -> BoxFuture<'static, Result<Option<Vec<u8>>, String>> + Send + Sync>;

/// Why it is not known what a path means.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A file is not to be trusted.
    #[error("{file}: {flaw}")]
    Refused {
        /// Its name.
        file: String,
        /// Why.
        flaw: Flaw,
    },
    /// A file could not be brought; what was not seen may say otherwise.
    #[error("{0}")]
    Unreachable(String),
    /// What was seen before cannot be read, or what was seen now could not be remembered.
    #[error("the memory of what was seen before, {}, cannot be used: {source}", path.display())]
    Memory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What metadata says of a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// In bytes.
    pub length: u64,
    /// Hexadecimal sums by algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What else is said.
    #[serde(default)]
    pub custom: Value,
}

/// The content of a root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Root {
    #[serde(default)]
    pub(super) consistent_snapshot: bool,
    pub(super) keys: BTreeMap<String, Value>,
    pub(super) roles: Roles,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Roles {
    pub(super) root: RoleKeys,
    pub(super) targets: RoleKeys,
    pub(super) snapshot: RoleKeys,
    pub(super) timestamp: RoleKeys,
}

#[derive(Debug, Clone, Deserialize)]
struct Lines {
    meta: BTreeMap<String, Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Line {
    version: u64,
    length: Option<u64>,
    hashes: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Targets {
    targets: BTreeMap<String, Named>,
    delegations: Option<Delegations>,
}

#[derive(Debug, Clone, Deserialize)]
struct Delegations {
    keys: BTreeMap<String, Value>,
    roles: Vec<Delegated>,
}

#[derive(Debug, Clone, Deserialize)]
struct Delegated {
    name: String,
    #[serde(flatten)]
    by: RoleKeys,
    #[serde(default)]
    terminating: bool,
    paths: Option<Vec<String>>,
    path_hash_prefixes: Option<Vec<String>>,
}

/// Reads a root that follows from `before`: of the next version, and signed as both say.
pub(super) fn follows(before: &Checked<Root>, bytes: &[u8]) -> Result<Checked<Root>, Flaw> {
    let envelope = Envelope::read(bytes)?;
    envelope.is_signed_by(&before.body.keys, &before.body.roles.root)?;
    let next = of_itself(envelope)?;
    let wanted = following(before.head.version)?;
    if next.head.version == wanted { Ok(next) } else { Err(Flaw::Version { found: next.head.version, wanted }) }
}

/// Reads a root that is trusted already.
pub(super) fn pinned(bytes: &[u8]) -> Result<Checked<Root>, Flaw> {
    of_itself(Envelope::read(bytes)?)
}

fn of_itself(envelope: Envelope) -> Result<Checked<Root>, Flaw> {
    // Its keys are read before it is known to be signed by them: nothing else can tell them.
    let (signed, content) = (envelope.clone(), envelope.content::<Root>("root")?);
    signed.is_signed_by(&content.body.keys, &content.body.roles.root)?;
    Ok(content)
}

/// A repository whose root, timestamp and snapshot hold.
pub(super) struct Repository {
    root: Checked<Root>,
    snapshot: Checked<Lines>,
    fetch: Fetch,
    now: i64,
}

fn refused(file: &str) -> impl Fn(Flaw) -> UpdateError + use<> {
    let file = file.to_owned();
    move |flaw| UpdateError::Refused { file: file.clone(), flaw }
}

impl Repository {
    /// Updates root, timestamp and snapshot, at `now` in milliseconds since 1970. In the folder `memory` the newest of them are
    /// remembered, so that older ones are refused the next time.
    pub(super) async fn update(trusted: &[u8], fetch: Fetch, memory: &Path, now: i64) -> Result<Self, UpdateError> {
        let memory = Memory::of(memory, trusted);
        let mut turns = 0;
        let (root, snapshot) = loop {
            let root = newest_root(trusted, &fetch, &memory).await?;
            root.holds_at(now).map_err(refused("root.json"))?;
            let timestamp = timestamp(&root, &fetch, &memory, now).await?;
            if let Some(snapshot) = snapshot(&root, &timestamp, &fetch, &memory, now).await? {
                break (root, snapshot);
            }
            turns += 1;
            if turns == TURNS {
                return Err(UpdateError::Unreachable("others who share the memory move on faster".to_owned()));
            }
        };
        Ok(Self { root, snapshot, fetch, now })
    }

    /// What a path means; `None` when nobody names it who may.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Named>, UpdateError> {
        let sum = crate::hex(digest(&SHA256, path.as_bytes()).as_ref());
        let top = Next {
            name: "targets".to_owned(),
            by: self.root.body.roles.targets.clone(),
            keys: Arc::new(self.root.body.keys.clone()),
        };
        let (mut stack, mut seen) = (vec![top], BTreeSet::new());
        while let Some(next) = stack.pop() {
            if !seen.insert(next.name.clone()) {
                continue;
            }
            if seen.len() > ROLES {
                return Err(refused(&format!("{}.json", next.name))(Flaw::Roles(ROLES)));
            }
            let mut role = self.role(&next).await?.body;
            if let Some(named) = role.targets.remove(path) {
                return Ok(Some(named));
            }
            let Some(Delegations { keys, roles }) = role.delegations else { continue };
            let keys = Arc::new(keys);
            let mut below: Vec<Next> = Vec::new();
            for role in roles.into_iter().filter(|role| role.is_for(path, &sum)) {
                let ends = role.terminating;
                if !seen.contains(&role.name) && below.iter().all(|other| other.name != role.name) {
                    below.push(Next { name: role.name, by: role.by, keys: Arc::clone(&keys) });
                }
                if ends {
                    // Whoever is handed the path for good is asked, and nobody after them.
                    stack.clear();
                    break;
                }
                // With one more than may be asked it is refused before any behind that one's turn comes.
                if below.len() > ROLES {
                    break;
                }
            }
            stack.extend(below.into_iter().rev());
        }
        Ok(None)
    }

    async fn role(&self, next: &Next) -> Result<Checked<Targets>, UpdateError> {
        let file = format!("{}.json", next.name);
        let refused = refused(&file);
        let line = self.snapshot.body.meta.get(&file).ok_or(Flaw::Unnamed).map_err(&refused)?;
        let encoded = encoded(&next.name);
        let name = match self.root.body.consistent_snapshot {
            true => format!("{}.{encoded}.json", line.version),
            false => format!("{encoded}.json"),
        };
        let bytes = bring(&self.fetch, &name, line.length.unwrap_or(TARGETS_BYTES)).await?;
        let checked = bytes
            .ok_or(Flaw::Missing)
            .and_then(|bytes| line.check(&bytes, "targets", |envelope| envelope.is_signed_by(&next.keys, &next.by)));
        let role: Checked<Targets> = checked.map_err(&refused)?;
        role.holds_at(self.now).map_err(&refused)?;
        Ok(role)
    }
}

/// A role that is to be asked, and who must have signed it.
struct Next {
    name: String,
    by: RoleKeys,
    /// Those of whoever hands on to it, shared by all whom they hand on to: a role may name very many of both.
    keys: Arc<BTreeMap<String, Value>>,
}

impl Line {
    /// A file that is the one that this line names.
    fn check<T: serde::de::DeserializeOwned>(
        &self,
        bytes: &[u8],
        kind: &str,
        is_signed: impl Fn(&Envelope) -> Result<(), Flaw>,
    ) -> Result<Checked<T>, Flaw> {
        let is_long = self.length.is_none_or(|length| bytes.len() as u64 == length);
        if !is_long || !has_sums(self.hashes.as_ref(), bytes) {
            return Err(Flaw::Sum);
        }
        let envelope = Envelope::read(bytes)?;
        is_signed(&envelope)?;
        let checked = envelope.content(kind)?;
        if checked.head.version == self.version {
            Ok(checked)
        } else {
            Err(Flaw::Version { found: checked.head.version, wanted: self.version })
        }
    }
}

/// Whether bytes have these sums; of those by an unknown algorithm nothing can be said, but one must be known.
fn has_sums(sums: Option<&BTreeMap<String, String>>, bytes: &[u8]) -> bool {
    let Some(sums) = sums else { return true };
    let mut known = 0;
    for (algorithm, sum) in sums {
        let algorithm = match algorithm.as_str() {
            "sha256" => &SHA256,
            "sha512" => &SHA512,
            _ => continue,
        };
        known += 1;
        if unhex(sum).as_deref() != Some(digest(algorithm, bytes).as_ref()) {
            return false;
        }
    }
    known > 0
}

impl Delegated {
    fn is_for(&self, path: &str, sum: &str) -> bool {
        let prefixes = self.path_hash_prefixes.iter().flatten();
        let mut patterns = self.paths.iter().flatten();
        prefixes.into_iter().any(|prefix| sum.starts_with(prefix.as_str()))
            || patterns.any(|pattern| matches(pattern, path))
    }
}

/// Whether a pattern of the specification matches: `*` and `?` stand for anything but `/`.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut paths) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), paths.next()) {
            (None, None) => return true,
            (Some(pattern), Some(path)) if fits(pattern.as_bytes(), path.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// One part of a pattern; after a part that fails, the last `*` takes one byte more.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(b'?') => (at, read) = (at + 1, read + 1),
            Some(byte) if *byte == text[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((from, taken)) = star else { return false };
                (at, read) = (from + 1, taken + 1);
                star = Some((from, taken + 1));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The name of a role in a file name, as clients of TUF 1.0 write it.
fn encoded(role: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let write = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    role.bytes().map(write).collect()
}

async fn bring(fetch: &Fetch, name: &str, most: u64) -> Result<Option<Vec<u8>>, UpdateError> {
    let bytes = fetch(name.to_owned(), most).await.map_err(UpdateError::Unreachable)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > most) {
        return Err(refused(name)(Flaw::Endless(most)));
    }
    Ok(bytes)
}

/// The newest root, from the newest that was verified before: one that is not brought any more holds all the same (§5.3.8).
async fn newest_root(trusted: &[u8], fetch: &Fetch, memory: &Memory) -> Result<Checked<Root>, UpdateError> {
    let mut root = pinned(trusted).map_err(refused("the trusted root"))?;
    let mut bytes = None;
    if let Some(seen) = memory.lock()?.read_root(pinned)?
        && seen.head.version > root.head.version
    {
        root = seen;
    }
    let followed = follow(&mut root, &mut bytes, fetch).await;
    // Also when it goes no further today.
    let Some(bytes) = bytes else { return followed.map(|()| root) };
    let locked = memory.lock()?;
    match locked.read_root(pinned)? {
        Some(seen) if seen.head.version >= root.head.version => root = seen,
        _ => locked.write(memory.root(), &bytes)?,
    }
    followed.map(|()| root)
}

/// Follows the chain for as long as there is a next one; the last that was taken, and its bytes.
async fn follow(root: &mut Checked<Root>, last: &mut Option<Vec<u8>>, fetch: &Fetch) -> Result<(), UpdateError> {
    for _ in 0..ROOTS {
        let next = following(root.head.version).map_err(refused("root.json"))?;
        let name = format!("{next}.root.json");
        let Some(bytes) = bring(fetch, &name, ROOT_BYTES).await? else { return Ok(()) };
        *root = follows(root, &bytes).map_err(refused(&name))?;
        *last = Some(bytes);
    }
    Err(refused("root.json")(Flaw::Endless(ROOTS)))
}

const TIMESTAMP: &str = "timestamp.json";
const SNAPSHOT: &str = "snapshot.json";

/// A timestamp by the keys of this root.
fn of_root(root: &Checked<Root>, bytes: &[u8]) -> Result<Checked<Lines>, Flaw> {
    let envelope = Envelope::read(bytes)?;
    envelope.is_signed_by(&root.body.keys, &root.body.roles.timestamp)?;
    let content: Checked<Lines> = envelope.content("timestamp")?;
    let names_one = content.body.meta.len() == 1 && content.body.meta.contains_key(SNAPSHOT);
    if names_one { Ok(content) } else { Err(Flaw::Form("a timestamp names the snapshot alone".to_owned())) }
}

async fn timestamp(
    root: &Checked<Root>,
    fetch: &Fetch,
    memory: &Memory,
    now: i64,
) -> Result<Checked<Lines>, UpdateError> {
    let refused = refused(TIMESTAMP);
    let bytes = bring(fetch, TIMESTAMP, TIMESTAMP_BYTES).await?.ok_or(Flaw::Missing).map_err(&refused)?;
    let came = of_root(root, &bytes).map_err(&refused)?;
    let locked = memory.lock()?;
    let is_anew = begins_anew(root, &locked)?;
    // What was seen before holds as long as its keys do: with new keys a new count may begin.
    if let Some(seen) = locked.read(TIMESTAMP, |bytes| of_root(root, bytes))? {
        let (from, to) = (seen.head.version, came.head.version);
        if to < from {
            return Err(refused(Flaw::Rollback { from, to }));
        }
        if to == from {
            // The same version is the same file: whatever else came says nothing.
            seen.holds_at(now).map_err(&refused)?;
            return Ok(seen);
        }
        let (from, to) = (seen.body.meta[SNAPSHOT].version, came.body.meta[SNAPSHOT].version);
        if to < from && !is_anew {
            return Err(refused(Flaw::Rollback { from, to }));
        }
    }
    came.holds_at(now).map_err(&refused)?;
    locked.write(TIMESTAMP, &bytes)?;
    if is_anew {
        // Once: from this timestamp on the new count goes up, also before a snapshot of it was brought.
        locked.forget(SNAPSHOT)?;
    }
    Ok(came)
}

/// Whether the snapshot that was seen before is by keys that hold no more: with new ones a new count may begin (§5.3.11), for
/// whoever had the old ones may have run it ahead.
fn begins_anew(root: &Checked<Root>, locked: &Locked<'_>) -> Result<bool, UpdateError> {
    let is_by_old_keys =
        |bytes: &[u8]| match Envelope::read(bytes)?.is_signed_by(&root.body.keys, &root.body.roles.snapshot) {
            Err(Flaw::TooFew { .. }) => Ok(true),
            signed => signed.map(|()| false),
        };
    Ok(locked.read(SNAPSHOT, is_by_old_keys)?.unwrap_or(false))
}

/// The snapshot that the timestamp names; `None` when the memory has seen a newer timestamp meanwhile.
async fn snapshot(
    root: &Checked<Root>,
    timestamp: &Checked<Lines>,
    fetch: &Fetch,
    memory: &Memory,
    now: i64,
) -> Result<Option<Checked<Lines>>, UpdateError> {
    let refused = refused(SNAPSHOT);
    let line = &timestamp.body.meta[SNAPSHOT];
    let is_signed = |envelope: &Envelope| envelope.is_signed_by(&root.body.keys, &root.body.roles.snapshot);
    // With its bytes, to be compared with what is named.
    let seen = |bytes: &[u8]| -> Result<(Checked<Lines>, Vec<u8>), Flaw> {
        let envelope = Envelope::read(bytes)?;
        is_signed(&envelope)?;
        Ok((envelope.content("snapshot")?, bytes.to_vec()))
    };
    let stored = memory.lock()?.read(SNAPSHOT, seen)?;
    if let Some(same) = stored.and_then(|(_, bytes)| line.check::<Lines>(&bytes, "snapshot", is_signed).ok())
        && line.hashes.is_some()
    {
        same.holds_at(now).map_err(&refused)?;
        return Ok(Some(same));
    }
    let name = if root.body.consistent_snapshot { format!("{}.{SNAPSHOT}", line.version) } else { SNAPSHOT.to_owned() };
    let bytes = bring(fetch, &name, line.length.unwrap_or(SNAPSHOT_BYTES)).await?;
    let bytes = bytes.ok_or(Flaw::Missing).map_err(&refused)?;
    let came: Checked<Lines> = line.check(&bytes, "snapshot", is_signed).map_err(&refused)?;
    let locked = memory.lock()?;
    let newest = locked.read(TIMESTAMP, |bytes| of_root(root, bytes))?;
    if newest.is_some_and(|newest| newest.head.version > timestamp.head.version) {
        return Ok(None);
    }
    if let Some((seen, _)) = locked.read(SNAPSHOT, seen)? {
        for (file, line) in &seen.body.meta {
            let now = came.body.meta.get(file).ok_or_else(|| refused(Flaw::Vanished(file.clone())))?;
            if now.version < line.version {
                return Err(refused(Flaw::Rollback { from: line.version, to: now.version }));
            }
        }
    }
    came.holds_at(now).map_err(&refused)?;
    locked.write(SNAPSHOT, &bytes)?;
    Ok(Some(came))
}
