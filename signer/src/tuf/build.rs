//! The files of a repository: built from what was published last and what changed since, signed role by role.
//!
//! `targets` names nothing itself: it hands everything below `<repository>/` to the role `tags`, for good, so that metadata of
//! another repository names nothing here. `tags` names the tags, or hands them on to bins (`layout.rs`).
//!
//! A change rests on what stands, and writes only the role that it touches; or it is made anew from all that is vouched for. What
//! stands and cannot be built on (of another name, near its end, signed by keys that hold no more, grown too large) is a reason
//! to begin anew, and never one to stay as it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::layout::{Layout, TAGS, is_role};
use super::write::{File, Lines, Meta, Names, canonical, described, later, sealed};
use super::{Held, Target, target_path};

const DAY: i64 = 24 * 60 * 60;
/// For how long each role's files hold, in seconds. A bin is never written before `tags`, so it does not end before that.
const TARGETS_LIFE: i64 = 3 * 365 * DAY;
/// How long before its end `tags` is made anew, in seconds.
const TARGETS_BEFORE: i64 = 90 * DAY;
const SNAPSHOT_LIFE: i64 = 30 * DAY;
const TIMESTAMP_LIFE: i64 = 7 * DAY;

/// The files that hold, each by its role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The snapshot.
    #[serde(with = "crate::forms::base64_bytes")]
    pub snapshot: Vec<u8>,
    /// Those that [`needed`] named.
    #[serde(with = "crate::forms::named_bytes")]
    pub files: BTreeMap<String, Vec<u8>>,
}

/// New files of a repository, in the order in which they may appear: the timestamp last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The role and the bytes of each.
    #[serde(with = "crate::forms::tuf_files")]
    pub files: Vec<(String, Vec<u8>)>,
    /// The version of each of them.
    pub version: u64,
    /// When the timestamp expires, in milliseconds since 1970.
    pub expires: i64,
}

/// Why files cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What stands cannot be built on; the change is to be made anew.
    #[error("what is published is made anew: {0}")]
    Anew(Cow<'static, str>),
    /// It could not be written down.
    #[error("metadata could not be written")]
    Write(#[from] serde_json::Error),
    /// A time, a name or a version outside of what metadata can say.
    #[error("a time, a name or a version is out of range")]
    Range,
}

impl BuildError {
    pub(crate) fn anew(why: &'static str) -> Self {
        Self::Anew(Cow::Borrowed(why))
    }
}

/// The roles, but for the snapshot, whose files a change of these tags rests on.
///
/// # Errors
/// [`BuildError::Anew`] when the snapshot cannot be read.
pub fn needed<'t>(
    snapshot: &[u8],
    repository: &str,
    tags: impl IntoIterator<Item = &'t str>,
) -> Result<BTreeSet<String>, BuildError> {
    let lines: Lines = part(file(snapshot)?.signed)?;
    let layout = layout(&lines)?;
    let mut roles: BTreeSet<String> = ["targets", TAGS].map(str::to_owned).into();
    roles.extend(tags.into_iter().map(|tag| layout.role_of(&target_path(repository, tag))));
    Ok(roles)
}

/// The role that names each of these tags, by a snapshot.
///
/// # Errors
/// [`BuildError::Anew`] when the snapshot cannot be read.
pub fn naming<'t>(
    snapshot: &[u8],
    repository: &str,
    tags: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<String>, BuildError> {
    let lines: Lines = part(file(snapshot)?.signed)?;
    let layout = layout(&lines)?;
    Ok(tags.into_iter().map(|tag| layout.role_of(&target_path(repository, tag))).collect())
}

/// The keys of a trust domain that are held online, opened.
pub(crate) struct Authors {
    pub(crate) targets: Vec<Held>,
    pub(crate) snapshot: Vec<Held>,
    pub(crate) timestamp: Vec<Held>,
    pub(crate) tags: Held,
}

impl Authors {
    /// Those who sign for a role.
    pub(crate) fn of(&self, role: &str) -> &[Held] {
        match role {
            "targets" => &self.targets,
            "snapshot" => &self.snapshot,
            "timestamp" => &self.timestamp,
            _ => std::slice::from_ref(&self.tags),
        }
    }
}

/// A change of a repository's tags; `None` takes a tag out.
pub(crate) struct Change {
    pub(crate) repository: String,
    pub(crate) tags: BTreeMap<String, Option<Target>>,
    /// How many tags there will be, at least.
    pub(crate) expected: usize,
}

/// What a change comes to: the roles that become others.
#[derive(Clone)]
pub(crate) struct Plan {
    /// The version of the snapshot that the change rests on; `None` where it rests on nothing.
    pub(crate) base: Option<u64>,
    meta: BTreeMap<String, Meta>,
    roles: Vec<Draft>,
}

/// A path, and what it is to mean.
type Entry = (String, Option<Box<RawValue>>);

#[derive(Clone)]
struct Draft {
    role: String,
    targets: BTreeMap<String, Box<RawValue>>,
    delegations: Option<Box<RawValue>>,
}

impl Draft {
    fn of(role: String, targets: BTreeMap<String, Box<RawValue>>) -> Self {
        Self { role, targets, delegations: None }
    }
}

impl Plan {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }
}

impl Change {
    /// All files, made from nothing: what `tags` says is all that is named. Of the snapshot `before` the lines of roles stay that
    /// are not written again: to a client that has seen it, a role that vanishes is an attack. Nobody can tell who wrote it, so
    /// that nothing else of it stays.
    pub(crate) fn anew(self, before: Option<&[u8]>, authors: &Authors) -> Result<Plan, BuildError> {
        let Self { repository, tags, expected } = self;
        let tags: BTreeMap<_, _> = tags.into_iter().filter_map(|(tag, target)| Some((tag, target?))).collect();
        let lines = before.and_then(|before| part::<Lines>(file(before).ok()?.signed).ok());
        let mut meta = lines.map(|lines| lines.meta).unwrap_or_default();
        meta.retain(|file, line| file.strip_suffix(".json").is_some_and(is_role) && line.is_plain());
        let names = || meta.keys().map(String::as_str);
        // Bins that are no layout are named on, with all that make them one: otherwise nobody could ever build on this.
        let standing = Layout::read(names()).unwrap_or_else(|| Layout::around(names()));
        let layout = Layout::of(tags.len().max(expected)).or_larger(standing);
        let mut roles: BTreeMap<String, BTreeMap<String, Box<RawValue>>> =
            layout.bins().into_iter().map(|(name, _)| (name, BTreeMap::new())).collect();
        roles.insert(TAGS.to_owned(), BTreeMap::new());
        for (tag, target) in tags {
            let path = target_path(&repository, &tag);
            roles.entry(layout.role_of(&path)).or_default().insert(path, target.entry()?);
        }
        let mut drafts: Vec<Draft> = roles.into_iter().map(|(role, targets)| Draft::of(role, targets)).collect();
        let bins = layout.bins();
        for draft in drafts.iter_mut().filter(|draft| draft.role == TAGS && !bins.is_empty()) {
            // Not for good: a path that two readings of a prefix lead to is looked for in both bins.
            let below = bins.iter().map(|(name, prefixes)| {
                delegated(authors, name, json!({"path_hash_prefixes": prefixes, "terminating": false}))
            });
            draft.delegations = Some(delegations(authors, below.collect::<Result<_, _>>()?)?);
        }
        let targets = handed_over(authors, &repository)?;
        drafts.push(Draft { role: "targets".to_owned(), targets: BTreeMap::new(), delegations: Some(targets) });
        Ok(Plan { base: None, meta, roles: drafts })
    }

    /// The difference to what stands. Every file must be the one that the snapshot names, and that must be one that these keys
    /// have signed.
    pub(crate) fn upon(self, standing: &Standing, authors: &Authors, now: i64) -> Result<Plan, BuildError> {
        let snapshot = file(&standing.snapshot)?;
        check_signed(&snapshot, &authors.snapshot)?;
        let lines: Lines = part(snapshot.signed)?;
        let layout = layout(&lines)?;
        self.check_heads(standing, &lines, authors, now)?;
        let mut changes: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (tag, target) in self.tags {
            let path = target_path(&self.repository, &tag);
            let entry = target.map(|target| target.entry()).transpose()?;
            changes.entry(layout.role_of(&path)).or_default().push((path, entry));
        }
        let mut roles = Vec::new();
        for (role, changes) in changes {
            let before: Names = part(stands(standing, &lines, &role)?.signed)?;
            let mut targets = before.targets;
            let mut changed = false;
            for (path, entry) in changes {
                changed |= targets.get(&path).map(|entry| entry.get()) != entry.as_ref().map(|entry| entry.get());
                match entry {
                    Some(entry) => targets.insert(path, entry),
                    None => targets.remove(&path),
                };
            }
            // While the parts of one change are made nothing is laid out anew: it would come to the same.
            if self.expected == 0 && layout.is_crowded(targets.len()) {
                return Err(BuildError::anew("a role names too many tags"));
            }
            if changed {
                roles.push(Draft::of(role, targets));
            }
        }
        Ok(Plan { base: Some(lines.version), meta: lines.meta, roles })
    }

    /// What is not written again must be what would be written.
    fn check_heads(&self, standing: &Standing, lines: &Lines, authors: &Authors, now: i64) -> Result<(), BuildError> {
        let targets = stands(standing, lines, "targets")?;
        check_signed(&targets, &authors.targets)?;
        let targets: Names = part(targets.signed)?;
        let told = targets.delegations.as_ref().map(|told| told.get());
        if told != Some(handed_over(authors, &self.repository)?.get()) {
            return Err(BuildError::anew("targets hands the tags to another name or key"));
        }
        let tags = stands(standing, lines, TAGS)?;
        check_signed(&tags, std::slice::from_ref(&authors.tags))?;
        for names in [targets, part(tags.signed)?] {
            let expires: jiff::Timestamp =
                names.expires.parse().map_err(|_| BuildError::anew("a time cannot be read"))?;
            if expires.as_millisecond() - now < TARGETS_BEFORE * 1_000 {
                return Err(BuildError::anew("it nears its end"));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Builds and signs the files that are new, all of this version.
    pub(crate) fn build(self, authors: &Authors, version: u64, now: i64) -> Result<Files, BuildError> {
        let Self { base, mut meta, roles } = self;
        if base.is_none() {
            // None that was ever given lies above the one that is given now.
            meta.retain(|_, line| line.version <= version);
        }
        let until = later(now, TARGETS_LIFE)?;
        let mut files = Vec::new();
        for Draft { role, targets, delegations } in roles {
            let names = Names::new(version, until.clone(), targets, delegations);
            let bytes = sealed(&names, authors.of(&role))?;
            meta.insert(format!("{role}.json"), described(&bytes, version));
            files.push((role, bytes));
        }
        let snapshot = Lines::new("snapshot", version, later(now, SNAPSHOT_LIFE)?, meta);
        let snapshot = sealed(&snapshot, &authors.snapshot)?;
        let line = BTreeMap::from([("snapshot.json".to_owned(), described(&snapshot, version))]);
        let timestamp = Lines::new("timestamp", version, later(now, TIMESTAMP_LIFE)?, line);
        let timestamp = sealed(&timestamp, &authors.timestamp)?;
        files.extend([("snapshot".to_owned(), snapshot), ("timestamp".to_owned(), timestamp)]);
        let expires = (now.div_euclid(1_000) + TIMESTAMP_LIFE) * 1_000;
        Ok(Files { files, version, expires })
    }
}

/// A repository of a few files that `targets` names itself: each by its path, with its length and SHA-256.
pub(crate) fn of_files(
    named: &BTreeMap<String, (u64, [u8; 32])>,
    authors: &Authors,
    version: u64,
    now: i64,
) -> Result<Files, BuildError> {
    let mut targets = BTreeMap::new();
    for (path, (length, sha256)) in named {
        let entry = canonical(&json!({"hashes": {"sha256": crate::hex(sha256)}, "length": length}))?;
        targets.insert(path.clone(), RawValue::from_string(entry)?);
    }
    let draft = Draft::of("targets".to_owned(), targets);
    Plan { base: None, meta: BTreeMap::new(), roles: vec![draft] }.build(authors, version, now)
}

fn file(bytes: &[u8]) -> Result<File<'_>, BuildError> {
    serde_json::from_slice(bytes).map_err(|_| BuildError::anew("a file cannot be read"))
}

fn part<'de, T: Deserialize<'de>>(signed: &'de RawValue) -> Result<T, BuildError> {
    serde_json::from_str(signed.get()).map_err(|_| BuildError::anew("a file cannot be read"))
}

fn layout(lines: &Lines) -> Result<Layout, BuildError> {
    Layout::read(lines.meta.keys().map(String::as_str))
        .ok_or(BuildError::anew("the snapshot names a number of bins that is none"))
}

/// The file of a role that stands, and is the one that the snapshot names.
fn stands<'s>(standing: &'s Standing, lines: &Lines, role: &str) -> Result<File<'s>, BuildError> {
    let bytes = standing.files.get(role).ok_or(BuildError::anew("a file is missing"))?;
    let named = lines.meta.get(&format!("{role}.json")).ok_or(BuildError::anew("the snapshot lacks a role"))?;
    if described(bytes, named.version) != *named {
        return Err(BuildError::anew("a file is not the one that the snapshot names"));
    }
    file(bytes)
}

/// Each of these keys must have signed the file, and nobody else.
fn check_signed(file: &File<'_>, keys: &[Held]) -> Result<(), BuildError> {
    let signed = |key: &Held| -> Result<bool, BuildError> {
        let id = key.id()?;
        let own = file.signatures.iter().find(|signature| signature.keyid == id);
        let sig = own.and_then(|own| unhex(&own.sig)).unwrap_or_default();
        Ok(key.has_signed(file.signed.get().as_bytes(), &sig))
    };
    for key in keys {
        if !signed(key)? {
            return Err(BuildError::anew("a key that holds now has not signed it"));
        }
    }
    if file.signatures.len() == keys.len() {
        Ok(())
    } else {
        Err(BuildError::anew("a key that holds no more signed it"))
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// What `targets` hands on: everything below the repository's name, for good.
fn handed_over(authors: &Authors, repository: &str) -> Result<Box<RawValue>, BuildError> {
    let tags = delegated(authors, TAGS, json!({"paths": [format!("{repository}/*")], "terminating": true}))?;
    delegations(authors, vec![tags])
}

fn delegated(authors: &Authors, name: &str, paths: serde_json::Value) -> Result<serde_json::Value, BuildError> {
    let mut role = json!({"keyids": [authors.tags.id()?], "name": name, "threshold": 1});
    if let (Some(role), Some(paths)) = (role.as_object_mut(), paths.as_object()) {
        role.extend(paths.clone());
    }
    Ok(role)
}

fn delegations(authors: &Authors, roles: Vec<serde_json::Value>) -> Result<Box<RawValue>, BuildError> {
    let key = super::document(aws_lc_rs::signature::KeyPair::public_key(&*authors.tags.0).as_ref());
    let document = serde_json::to_value(key)?;
    let delegations = json!({"keys": { authors.tags.id()?: document }, "roles": roles});
    Ok(RawValue::from_string(canonical(&delegations)?)?)
}
