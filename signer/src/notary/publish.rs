//! What a publish must be to be taken: the order of the Notary v1 server, each step numbered as it takes it. Nothing is
//! stored and nothing is signed here.
//!
//! Stricter than that server in these: a root may not leave published targets without valid signatures; an uploaded snapshot
//! must name every published file as it stands; versions do not leap; a role delegates its own children only.
//!
//! Milder in one: a delegation whose file no reader takes any more begins anew at version 1 ([`NewFile::begins_anew`]). So clients
//! go on when the last of those who signed for a role has left, or a role that was removed comes back; Docker's knows no other way.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Gun, TrustRole};

use super::metadata::{Content, SIGNATURES};
use super::verify::check as check_signatures;
use super::{
    Delegation, FileMeta, FileState, KeyDocument, MetadataInvalid, PublicKey, RoleKeys, Root, Signed, Snapshot,
    Targets, expired, verify,
};

/// How far a version may lie above the one before: one that leaps to the end of all numbers could never be followed.
const LEAP: u64 = 1 << 20;
/// How much earlier than its beginning a certificate is taken, in seconds: clocks differ.
const EARLY: i64 = 24 * 60 * 60;
/// The most roles of a collection, all together.
const ROLES_OF_ALL: usize = 1_000;
/// The version at which clients begin a role.
const FIRST: u64 = 1;
/// What lies below this may be counted anew: the store sets it aside by a number above it.
const COUNTED: u64 = 1 << LIFE_BITS;
/// How many bits the versions of a role have that may begin anew.
const LIFE_BITS: u32 = 32;
/// The longest that a file may be good for by which a role begins anew: what clients give each, and a week for clocks that differ.
/// One that were good for ever would let nobody follow.
const LONGEST: i64 = (3 * 365 + 7) * 24 * 60 * 60 * 1_000;
/// The roles that every root names.
const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// One file of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its role.
    pub role: TrustRole,
    /// Its bytes, as they came.
    pub bytes: Vec<u8>,
}

/// What is published before.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// The root that holds.
    pub root: Option<Vec<u8>>,
    /// The snapshot that holds.
    pub snapshot: Option<Vec<u8>>,
    /// The files of `targets`, of the delegations that are uploaded, and of those above them.
    pub targets: BTreeMap<TrustRole, Vec<u8>>,
    /// What is known of every file that holds.
    pub states: BTreeMap<TrustRole, FileState>,
    /// How long what was published for each role was to hold.
    pub lives: BTreeMap<TrustRole, Life>,
}

/// When the files that were ever published for a role expire, in milliseconds since 1970, and how often it began anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The last of them; [`i64::MAX`] when that is not known.
    pub latest: i64,
    /// The last of those from before the role began anew: what is published since expires later. 0 when it never has.
    pub before: i64,
    /// How often the role began anew.
    pub lives: u32,
}

impl Life {
    /// A file of the role, with the version that the signer is told: one that never falls, whatever began anew.
    #[must_use]
    pub fn counted(self, state: &FileState) -> FileState {
        FileState { version: counted(state.version, self.lives), ..state.clone() }
    }
}

/// A version that never falls, of a role that began anew so often.
pub(crate) fn counted(version: u64, lives: u32) -> u64 {
    version.saturating_add(u64::from(lives) << LIFE_BITS)
}

/// The version of a role that began anew so often, which is counted so.
pub(crate) fn uncounted(version: u64, lives: u32) -> u64 {
    version.saturating_sub(u64::from(lives) << LIFE_BITS)
}

/// The ids of the keys that the server can sign with for the collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// For its snapshots.
    pub snapshot: BTreeSet<String>,
    /// For its timestamps.
    pub timestamp: BTreeSet<String>,
}

/// What is to be done: the files to store, and who signs the rest.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The files that are new; never a timestamp.
    pub files: Vec<NewFile>,
    /// The root that holds from then on.
    pub root: Vec<u8>,
    /// Whether the server makes the snapshot.
    pub makes_snapshot: bool,
}

/// A file that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// What is known of it.
    pub state: FileState,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How long what was published for its role is to hold, this one among it.
    pub life: Life,
    /// Whether its role is counted anew. No reader takes the file that held: too few have signed it of those whom the parent
    /// names now, or nobody named the role. And this one expires later than all that was ever published for the role, which is
    /// what an old file does not do that somebody brings back when its signer has become one again.
    pub begins_anew: bool,
}

/// Why a publish is not taken; the names are those that clients know.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A part is not JSON.
    #[error("{role}: {source}")]
    Json {
        /// Whose file.
        role: TrustRole,
        /// What is wrong.
        source: MetadataInvalid,
    },
    /// The root, or the keys that it names.
    #[error("{0}")]
    Root(String),
    /// `targets` or a delegation.
    #[error("{0}")]
    Targets(String),
    /// The snapshot.
    #[error("{0}")]
    Snapshot(String),
    /// A file is missing without which the rest means nothing.
    #[error("{message}")]
    Hierarchy {
        /// Its role.
        missing: &'static str,
        /// What to do.
        message: String,
    },
    /// Nothing that a collection could begin with.
    #[error("{0}")]
    Validation(String),
    /// The version is not newer than the one published.
    #[error("version {found} of {role} is not newer than the published version {published}")]
    Version {
        /// Whose file.
        role: TrustRole,
        /// What was uploaded.
        found: u64,
        /// What holds.
        published: u64,
    },
}

/// The ids under which uploaded delegations bear signatures; of what cannot be read none.
#[must_use]
pub fn signers(uploads: &[Upload]) -> BTreeSet<String> {
    #[derive(serde::Deserialize)]
    struct Signer {
        keyid: String,
    }
    #[derive(serde::Deserialize)]
    struct File {
        signatures: Vec<Signer>,
    }
    let delegations = uploads.iter().filter(|upload| upload.role.is_delegation());
    let files = delegations.filter_map(|upload| serde_json::from_slice::<File>(&upload.bytes).ok());
    files.flat_map(|file| file.signatures.into_iter().take(SIGNATURES)).map(|signer| signer.keyid).collect()
}

/// Decides what a publish to `gun` at `now` (milliseconds since 1970) comes to. The keys of the `registry` do not count in it: what
/// they have signed the registry publishes by itself, and from nobody else's hands.
///
/// # Errors
/// [`Refused`]: the first reason in the order of the steps.
pub fn check(
    gun: &Gun,
    uploads: Vec<Upload>,
    published: &Published,
    (held, registry): (&Held, &BTreeSet<String>),
    now: i64,
) -> Result<Plan, Refused> {
    let uploads: BTreeMap<TrustRole, Vec<u8>> = uploads
        .into_iter()
        .filter(|upload| upload.role.as_str() != "timestamp")
        .map(|upload| (upload.role, upload.bytes))
        .collect();
    // 1, 2, 3: the root that holds from now on.
    let (root, root_bytes) = root(gun, &uploads, published, now)?;
    // 4: parents before children.
    let mut tree = Tree {
        root: &root.content,
        registry,
        uploads: &uploads,
        published,
        now,
        known: BTreeMap::new(),
        named: Named::default(),
    };
    let mut files = Vec::new();
    for role in by_depth(&uploads) {
        tree.load(role)?;
    }
    let targets = TrustRole::targets();
    if !uploads.contains_key(&targets) && !published.states.contains_key(&targets) {
        return Err(Refused::Hierarchy { missing: "targets", message: "a collection needs targets".to_owned() });
    }
    // Departure: a new root must go on vouching for what is published.
    tree.load(&targets)?;
    for (role, bytes) in &uploads {
        let (version, expires) = match role.as_str() {
            "root" => (root.version, root.expires),
            "snapshot" => continue,
            _ => tree.known.get(role).map_or((0, 0), |known| (known.version, known.expires)),
        };
        files.push(tree.follows(FileState::of(role.clone(), version, bytes), expires, bytes)?);
    }
    // Departure: a snapshot of more files than readers read would be renewed by nobody.
    let all: BTreeSet<&TrustRole> = uploads.keys().chain(published.states.keys()).collect();
    if all.len() > ROLES_OF_ALL {
        return Err(Refused::Targets(format!("a collection has at most {ROLES_OF_ALL} roles")));
    }
    // 5: the snapshot.
    let makes_snapshot = match uploads.get(&role_named("snapshot")) {
        Some(bytes) => {
            files.push(snapshot(&tree, bytes, &files)?);
            false
        }
        None => {
            let keys = &root.content.roles["snapshot"];
            if !can_sign(keys, &held.snapshot) {
                let message = "the snapshot is missing, and its key is not the server's".to_owned();
                return Err(Refused::Hierarchy { missing: "snapshot", message });
            }
            true
        }
    };
    // 6: the timestamp is always the server's.
    if !can_sign(&root.content.roles["timestamp"], &held.timestamp) {
        return Err(Refused::Root("the root names a timestamp key that the server does not hold".to_owned()));
    }
    Ok(Plan { files, root: root_bytes, makes_snapshot })
}

/// Whether keys that the server holds suffice for the threshold.
#[must_use]
pub fn can_sign(keys: &RoleKeys, held: &BTreeSet<String>) -> bool {
    let able = keys.keyids.iter().filter(|id| held.contains(*id)).count();
    i64::try_from(able).is_ok_and(|able| able >= keys.threshold)
}

fn by_depth(uploads: &BTreeMap<TrustRole, Vec<u8>>) -> Vec<&TrustRole> {
    let mut roles: Vec<_> = uploads.keys().filter(|role| role.names_targets()).collect();
    roles.sort_by_key(|role| role.depth());
    roles
}

fn role_named(name: &str) -> TrustRole {
    name.parse().expect("the four roles are roles")
}

/// Reads a part: what is not JSON is told apart from what is JSON and no such metadata.
fn read<T: Content>(
    role: &TrustRole,
    bytes: &[u8],
    refuse: impl FnOnce(String) -> Refused,
) -> Result<Signed<T>, Refused> {
    Signed::parse(bytes).map_err(|invalid| match invalid {
        MetadataInvalid::Json(_) => Refused::Json { role: role.clone(), source: invalid },
        other => refuse(format!("{role}: {other}")),
    })
}

/// Steps 1 to 3.
fn root(
    gun: &Gun,
    uploads: &BTreeMap<TrustRole, Vec<u8>>,
    published: &Published,
    now: i64,
) -> Result<(Signed<Root>, Vec<u8>), Refused> {
    let role = TrustRole::root();
    // 1: expired is allowed; it was checked when it was published.
    let before = match &published.root {
        Some(bytes) => Some(read::<Root>(&role, bytes, Refused::Validation)?),
        None => None,
    };
    let Some(bytes) = uploads.get(&role) else {
        let (Some(before), Some(bytes)) = (before, &published.root) else {
            return Err(Refused::Validation("no root is published, and none is uploaded".to_owned()));
        };
        return Ok((before, bytes.clone()));
    };
    // 2
    let new = read::<Root>(&role, bytes, Refused::Root)?;
    for name in ROLES {
        let Some(keys) = new.content.roles.get(name) else {
            return Err(Refused::Root(format!("the root does not name the role {name}")));
        };
        if keys.keyids.iter().any(|id| !new.content.keys.contains_key(id)) {
            return Err(Refused::Root(format!("the root names a key for {name} that it does not hold")));
        }
    }
    certificates(gun, &new.content, now)?;
    let by = |root: &Root| {
        check_signatures(&new, &root.roles["root"], &root.keys)
            .map_err(|refused| Refused::Root(format!("root: {refused}")))
    };
    by(&new.content)?;
    // 3
    let last = before.as_ref().map_or(0, |before| before.version);
    if let Some(before) = &before {
        if !before.content.roles.contains_key("root") {
            return Err(Refused::Validation("the published root names no keys for itself".to_owned()));
        }
        by(&before.content)?;
    }
    let follows = new.version == last + 1 || new.version == last;
    if !follows {
        return Err(Refused::Root(format!("root version {} does not follow version {last}", new.version)));
    }
    if expired(&new, now) {
        return Err(Refused::Root("the root has expired".to_owned()));
    }
    Ok((new, bytes.clone()))
}

/// The keys of the root role are certificates made out to the collection.
fn certificates(gun: &Gun, root: &Root, now: i64) -> Result<(), Refused> {
    for id in &root.roles["root"].keyids {
        let key =
            PublicKey::parse(&root.keys[id]).map_err(|invalid| Refused::Root(format!("a root key: {invalid}")))?;
        let Some(leaf) = key.leaf() else {
            return Err(Refused::Root("the keys of the root role are certificates".to_owned()));
        };
        if let Some(fault) = &leaf.fault {
            return Err(Refused::Root(format!("a root key: {fault}")));
        }
        let is_for = match leaf.common_name.strip_suffix('*') {
            Some(prefix) => prefix.ends_with('/') && gun.as_str().starts_with(prefix),
            None => leaf.common_name == gun.as_str(),
        };
        if !is_for {
            return Err(Refused::Root(format!("a root certificate is not made out to {gun}")));
        }
        let seconds = now.div_euclid(1_000);
        if leaf.not_after < seconds || leaf.not_before > seconds + EARLY {
            return Err(Refused::Root("a root certificate does not hold now".to_owned()));
        }
    }
    Ok(())
}

/// The roles that published files name, each file read at most once, however many roles are asked for.
#[derive(Default)]
struct Named {
    by_snapshot: OnceCell<Option<BTreeSet<String>>>,
    by_parent: RefCell<BTreeMap<TrustRole, BTreeSet<String>>>,
}

impl Named {
    /// Whether the snapshot that holds names a role.
    fn in_snapshot(&self, role: &TrustRole, published: &Published) -> bool {
        let read = || Signed::<Snapshot>::parse(published.snapshot.as_ref()?).ok();
        let named = self.by_snapshot.get_or_init(|| Some(read()?.content.meta.into_keys().collect()));
        named.as_ref().is_none_or(|named| named.contains(role.as_str()))
    }

    /// Whether the files that hold name a role, from `targets` down to it.
    fn reaches(&self, role: &TrustRole, published: &Published) -> bool {
        let Some(parent) = role.parent() else { return true };
        let read = || Signed::<Targets>::parse(published.targets.get(&parent)?).ok();
        let children = || {
            let roles = read().map(|file| file.content.delegations.roles).unwrap_or_default();
            roles.into_iter().map(|child| child.name).collect()
        };
        let is_named =
            self.by_parent.borrow_mut().entry(parent.clone()).or_insert_with(children).contains(role.as_str());
        is_named && self.reaches(&parent, published)
    }
}

/// A role of targets that is verified, with the beginnings of the names that it may give.
struct Known {
    version: u64,
    expires: i64,
    content: Targets,
    paths: Vec<String>,
}

/// The roles of targets, verified from the root down.
struct Tree<'a> {
    root: &'a Root,
    registry: &'a BTreeSet<String>,
    uploads: &'a BTreeMap<TrustRole, Vec<u8>>,
    published: &'a Published,
    now: i64,
    known: BTreeMap<TrustRole, Known>,
    named: Named,
}

impl Tree<'_> {
    /// Verifies a role by its parent's word; a parent that is not uploaded by what is published.
    fn load(&mut self, role: &TrustRole) -> Result<(), Refused> {
        if self.known.contains_key(role) {
            return Ok(());
        }
        let refuse = |why: &str| Refused::Targets(format!("{role}: {why}"));
        if let Some(parent) = role.parent() {
            self.load(&parent)?;
        }
        let (mut keys, documents, paths) = self.signers(role).ok_or_else(|| refuse("its parent does not name it"))?;
        let uploaded = self.uploads.get(role);
        if uploaded.is_some() && role.is_delegation() {
            let named = keys.keyids.len();
            keys.keyids.retain(|id| !self.registry.contains(id));
            let left = keys.keyids.len();
            if left < named && i64::try_from(left).is_ok_and(|left| left < keys.threshold) {
                return Err(refuse("the registry signs for it, and publishes what needs its keys by itself"));
            }
        }
        let bytes = uploaded.or_else(|| self.published.targets.get(role));
        let bytes = bytes.ok_or_else(|| refuse("nothing is published under this name"))?;
        let file = read::<Targets>(role, bytes, Refused::Targets)?;
        let file = verify(file, &keys, &documents).map_err(|refused| refuse(&refused.to_string()))?;
        let file = file.get().clone();
        if uploaded.is_some() {
            self.check(role, &file, &paths)?;
        }
        let Signed { version, expires, content, .. } = file;
        self.known.insert(role.clone(), Known { version, expires, content, paths });
        Ok(())
    }

    /// Who signs for a role, and what it may name, by its parent's word; of a parent that was loaded.
    fn signers(&self, role: &TrustRole) -> Option<(RoleKeys, BTreeMap<String, KeyDocument>, Vec<String>)> {
        match role.parent() {
            None => Some((self.root.roles["targets"].clone(), self.root.keys.clone(), vec![String::new()])),
            Some(parent) => self.known.get(&parent)?.child(role),
        }
    }

    /// How a file of `targets`, a delegation or the root follows what is published for its role.
    fn follows(&self, state: FileState, expires: i64, bytes: &[u8]) -> Result<NewFile, Refused> {
        let Some(life) = self.published.lives.get(&state.role).copied() else {
            return newer(state, expires, bytes, self.published);
        };
        if expires <= life.before {
            let message = "it expires no later than a file from before the role began anew, and may be one of those";
            return Err(Refused::Targets(format!("{}: {message}", state.role)));
        }
        if state.version == FIRST
            && let Some(end) = self.end_of_what_is_left(&state.role)
        {
            // A release that knows nothing of it may have published what holds.
            let before = life.latest.max(end);
            if expires > before && expires - self.now <= LONGEST {
                let life = Life { latest: expires, before, lives: life.lives.saturating_add(1) };
                return Ok(NewFile { state, bytes: bytes.to_vec(), life, begins_anew: true });
            }
        }
        newer(state, expires, bytes, self.published)
    }

    /// When the file of a delegation that holds expires, if no reader takes it.
    fn end_of_what_is_left(&self, role: &TrustRole) -> Option<i64> {
        role.parent()?;
        self.published.states.get(role).filter(|state| state.version < COUNTED)?;
        let standing = Signed::<Targets>::parse(self.published.targets.get(role)?).ok()?;
        let (keys, documents, _) = self.signers(role)?;
        let is_taken = check_signatures(&standing, &keys, &documents).is_ok()
            && self.named.reaches(role, self.published)
            && self.named.in_snapshot(role, self.published);
        (!is_taken).then_some(standing.expires)
    }

    /// Whether a published role is one still: a parent that was read names it, and so on up. A parent that was not read is as it
    /// was when the role was published below it.
    fn names(&self, role: &TrustRole) -> bool {
        let Some(parent) = role.parent() else { return true };
        self.names(&parent) && self.known.get(&parent).is_none_or(|known| known.child(role).is_some())
    }

    fn check(&self, role: &TrustRole, file: &Signed<Targets>, paths: &[String]) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Targets(format!("{role}: {why}")));
        if expired(file, self.now) {
            return refuse("it has expired");
        }
        let within = |name: &String| paths.iter().any(|path| name.starts_with(path.as_str()));
        if !file.content.targets.keys().all(within) {
            return refuse("it names a target outside the paths of its role");
        }
        let own = |delegation: &Delegation| {
            delegation.name.parse::<TrustRole>().is_ok_and(|child| child.parent().as_ref() == Some(role))
        };
        if !file.content.delegations.roles.iter().all(own) {
            return refuse("it delegates to a role that is not directly below it");
        }
        Ok(())
    }
}

impl Known {
    /// What this role says of the one below it: its keys, and those of its paths that lie within this role's own.
    fn child(&self, role: &TrustRole) -> Option<(RoleKeys, BTreeMap<String, KeyDocument>, Vec<String>)> {
        let delegations = &self.content.delegations;
        let child = delegations.roles.iter().find(|child| child.name == role.as_str())?;
        let within = |path: &&String| self.paths.iter().any(|own| path.starts_with(own.as_str()));
        let paths = child.paths.iter().filter(within).cloned().collect();
        Some((child.keys(), delegations.keys.clone(), paths))
    }
}

/// 7, ahead of the store, which decides it again.
fn newer(state: FileState, expires: i64, bytes: &[u8], published: &Published) -> Result<NewFile, Refused> {
    let last = published.states.get(&state.role).map_or(0, |state| state.version);
    if state.version <= last {
        return Err(Refused::Version { role: state.role, found: state.version, published: last });
    }
    if state.version - last > LEAP {
        let message = format!("{}: version {} leaps too far ahead of version {last}", state.role, state.version);
        return Err(if state.role.as_str() == "snapshot" {
            Refused::Snapshot(message)
        } else {
            Refused::Targets(message)
        });
    }
    let life = match published.lives.get(&state.role) {
        Some(life) => Life { latest: life.latest.max(expires), ..*life },
        None => Life { latest: expires, before: 0, lives: 0 },
    };
    Ok(NewFile { state, bytes: bytes.to_vec(), life, begins_anew: false })
}

/// Step 5 for a snapshot that the client signed.
fn snapshot(tree: &Tree<'_>, bytes: &[u8], files: &[NewFile]) -> Result<NewFile, Refused> {
    let (root, published, now) = (tree.root, tree.published, tree.now);
    let role = role_named("snapshot");
    let file = read::<Snapshot>(&role, bytes, Refused::Snapshot)?;
    let file = verify(file, &root.roles["snapshot"], &root.keys)
        .map_err(|refused| Refused::Snapshot(format!("snapshot: {refused}")))?;
    let file = file.get();
    if expired(file, now) {
        return Err(Refused::Snapshot("the snapshot has expired".to_owned()));
    }
    let uploaded: BTreeMap<_, _> = files.iter().map(|file| (&file.state.role, &file.state)).collect();
    let stand = published.states.values().filter(|state| {
        let counts = state.role.as_str() == "root" || state.role.names_targets() && tree.names(&state.role);
        counts && !uploaded.contains_key(&state.role)
    });
    for state in uploaded.values().copied().chain(stand) {
        let named = file.content.meta.get(state.role.as_str());
        // A role that was removed and comes back has no file again until somebody signs one.
        let is_back = || !uploaded.contains_key(&state.role) && !tree.named.in_snapshot(&state.role, published);
        if !named.map_or_else(is_back, |named| state.is(named)) {
            return Err(Refused::Snapshot(format!("the snapshot does not name {} as it stands", state.role)));
        }
    }
    newer(FileState::of(role, file.version, bytes), file.expires, bytes, published)
}

impl FileState {
    /// Whether this is the file that a snapshot or a timestamp names: by its length, its SHA-256, and its SHA-512 where one is given.
    #[must_use]
    pub fn is(&self, meta: &FileMeta) -> bool {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let same = |name: &str, hash: &[u8]| {
            meta.hashes.get(name).map(|text| STANDARD.decode(text).is_ok_and(|named| named == hash))
        };
        u64::try_from(meta.length) == Ok(self.length)
            && same("sha256", &self.sha256) == Some(true)
            && same("sha512", &self.sha512) != Some(false)
    }
}
