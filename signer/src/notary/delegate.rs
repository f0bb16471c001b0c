//! What the registry vouches for, written as one of the signers of a collection writes it: into delegations that are its own
//! alone, where it says exactly that, and into the one that all signers share.
//!
//! A delegation of its own also remembers what of that stands in the shared one. So what is withdrawn leaves that too, and what others
//! have put or withdrawn there is left to them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::TrustRole;
use serde::{Deserialize, Serialize};

use super::canonical::{MARKS, marks};
use super::metadata::{Delegation, Delegations, FileMeta, MetadataInvalid, RoleKeys, Root, Signed, Targets};
use super::publish::counted;
use super::verify::check;
use super::{Draft, KeyDocument, Kind, Value, expired, verify};

/// What the signers of a collection have released: Docker's clients pull what is named here.
pub const RELEASES: &str = "targets/releases";
/// How many delegations are the registry's own: the first of those whose keys all are.
const OWN: usize = 1;
/// The most of what could not be removed that is remembered.
const WITHDRAWN: usize = TAGS / 2;
/// The most tags that are vouched for in one collection: a file of more is read by nobody.
pub const TAGS: usize = 30_000;
/// For how long a file holds, in milliseconds: three years, as clients let theirs.
const LIFE: i64 = 3 * YEAR;
/// How long before its end it is written anew.
const RENEW_BEFORE: i64 = YEAR;
const YEAR: i64 = 365 * 24 * 60 * 60 * 1_000;
/// How much of a shared file is left to others, in commas and opening brackets: they put tags there too.
const ROOM: usize = 1 << 14;

/// What is vouched for, by tag.
pub type Vouched = BTreeMap<String, Meant>;

/// What a tag means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meant {
    /// The manifest's size in bytes.
    pub length: u64,
    /// SHA-256 of the manifest.
    #[serde(with = "crate::forms::base64_bytes")]
    pub sha256: [u8; 32],
    /// When that was said last, in milliseconds since 1970.
    pub signed_at: i64,
}

/// The files that hold, as far as they say who signs what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    /// The root.
    #[serde(with = "crate::forms::base64_bytes")]
    pub root: Vec<u8>,
    /// `targets`.
    #[serde(with = "crate::forms::base64_bytes")]
    pub targets: Vec<u8>,
    /// The delegations directly below it.
    pub delegations: Vec<StandingFile>,
}

/// The file of a delegation that holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingFile {
    /// Its role.
    #[serde(with = "crate::forms::grammar")]
    pub role: TrustRole,
    /// How often the role began anew.
    pub lives: u32,
    /// When the last file of before it began anew expires, in milliseconds since 1970: what follows expires later.
    pub before: i64,
    /// Its bytes; `None` for a file that is too large, or is to be left as it is.
    #[serde(with = "crate::forms::maybe_bytes")]
    pub bytes: Option<Vec<u8>>,
}

/// Which delegations directly below a `targets` concern whoever has these keys.
#[derive(Debug, Default)]
pub struct Concerned {
    /// Those that are theirs alone; none where nothing is to be signed.
    pub own: BTreeSet<TrustRole>,
    /// What all signers share, where that names one of the keys.
    pub released: BTreeSet<TrustRole>,
    /// The others: what they name as well is not withdrawn for them.
    pub beside: BTreeSet<TrustRole>,
}

impl Concerned {
    /// Of a `targets` that holds.
    ///
    /// # Errors
    /// [`MetadataInvalid`]
    pub fn of(targets: &[u8], keys: &BTreeSet<String>) -> Result<Self, MetadataInvalid> {
        let mut concerned = Self::default();
        for says in Signed::<Targets>::parse(targets)?.content.delegations.roles {
            let Some(role) = directly_below_targets(&says) else { continue };
            let ours = says.keyids.iter().filter(|id| keys.contains(*id)).count();
            match role.as_str() {
                RELEASES if ours > 0 => concerned.released.insert(role),
                RELEASES => concerned.beside.insert(role),
                _ if ours > 0 && ours == says.keyids.len() && concerned.own.len() < OWN => concerned.own.insert(role),
                _ => concerned.beside.insert(role),
            };
        }
        Ok(concerned)
    }
}

fn directly_below_targets(role: &Delegation) -> Option<TrustRole> {
    let role: TrustRole = role.name.parse().ok()?;
    (role.parent()? == TrustRole::targets()).then_some(role)
}

/// The next file of a delegation, but for its version.
#[derive(Debug)]
pub(crate) struct Next {
    /// The delegation.
    pub(crate) role: TrustRole,
    /// What its version lies above, counted.
    pub(crate) after: u64,
    /// How often the role began anew.
    pub(crate) lives: u32,
    /// Those of its keys that sign.
    pub(crate) keys: Vec<String>,
    content: BTreeMap<String, Value>,
}

impl Next {
    /// The file with this version, to be signed.
    pub(crate) fn draft(mut self, version: u64) -> Draft {
        self.content.insert("version".to_owned(), Value::Integer(i64::try_from(version).unwrap_or(i64::MAX)));
        Draft::of(&Value::Object(self.content))
    }
}

/// What is to be signed, and what that rests on.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The next files.
    pub(crate) next: Vec<Next>,
    /// The versions of the files that hold, counted, by role.
    pub(crate) base: BTreeMap<String, u64>,
    /// The root.
    pub(crate) root: Root,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A file that holds cannot be read.
    #[error(transparent)]
    Invalid(#[from] MetadataInvalid),
    /// `targets` is not signed as the root says.
    #[error("targets is not signed as the root says")]
    Unsigned,
}

/// The next files of the delegations directly below `targets` that say something else than they should.
///
/// A delegation whose keys are all `ours` is ours, and names what is vouched for and nothing else. In what is released, where that
/// names a key of ours and hands nothing on to others, whatever was said since is put in the place of what had the name, and what is
/// vouched for no more is removed, unless another signer signs it too. All else there is others', and stays as it is.
pub(crate) fn plan(
    stands: &Stands,
    vouched: &Vouched,
    ours: &BTreeMap<String, KeyDocument>,
    now: i64,
) -> Result<Plan, Unreadable> {
    let root = Signed::<Root>::parse(&stands.root)?;
    let targets = Signed::<Targets>::parse(&stands.targets)?;
    let mut base = BTreeMap::from([("root".to_owned(), root.version), ("targets".to_owned(), targets.version)]);
    let root = root.content;
    let none = RoleKeys { keyids: Vec::new(), threshold: 1 };
    let keys = root.roles.get("targets").unwrap_or(&none);
    let targets = verify(targets, keys, &root.keys).map_err(|_| Unreadable::Unsigned)?;
    let named = &targets.get().content.delegations;
    let mut children = Vec::new();
    for says in &named.roles {
        if let Some(role) = directly_below_targets(says) {
            let child = Child::read(role, (says, named), stands, ours)?;
            base.extend(child.file.as_ref().map(|file| (child.role.to_string(), file.counted)));
            children.push(child);
        }
    }
    let (mut own, rest): (Vec<_>, Vec<_>) = children.iter().partition(|child| child.is_own());
    own.truncate(OWN);
    let (released, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|child| child.role.as_str() == RELEASES);
    let life = stands.delegations.iter().find(|file| file.role.as_str() == RELEASES).map_or(0, |file| file.lives);
    let own = Own::of(own, (released.first().copied(), life), vouched, now);
    let shared = own.shared(&others);
    let mut next: Vec<Next> = own.children.iter().filter_map(|child| own.exactly(child, &shared)).collect();
    next.extend(shared.next);
    Ok(Plan { next, base, root })
}

/// A delegation directly below `targets`.
struct Child<'s> {
    role: TrustRole,
    says: &'s Delegation,
    documents: &'s BTreeMap<String, KeyDocument>,
    /// Its keys that are ours.
    ours: Vec<&'s String>,
    /// How often the role began anew.
    lives: u32,
    /// Whether a file holds that was not told.
    is_untold: bool,
    file: Option<File>,
    /// What we said in it, whichever of our keys was named then.
    memory: Memory,
}

/// The file that holds for a delegation.
struct File {
    counted: u64,
    before: i64,
    file: Signed<Targets>,
    /// Whether readers take it.
    is_taken: bool,
    content: BTreeMap<String, Value>,
}

/// What we said of a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Said {
    meant: Meant,
    /// In which life of what is released it stands there.
    released: Option<u32>,
}

/// What a file of ours says, and remembers.
#[derive(Default, PartialEq, Eq)]
struct Memory {
    said: BTreeMap<String, Said>,
    /// What is vouched for no more, and could not be removed yet.
    withdrawn: BTreeMap<String, Said>,
}

impl<'s> Child<'s> {
    fn read(
        role: TrustRole,
        (says, named): (&'s Delegation, &'s Delegations),
        stands: &Stands,
        ours: &BTreeMap<String, KeyDocument>,
    ) -> Result<Self, MetadataInvalid> {
        let is_ours = |id: &&String| ours.contains_key(*id) && named.keys.contains_key(*id);
        let standing = stands.delegations.iter().find(|file| file.role == role);
        let mut child = Self {
            role,
            says,
            documents: &named.keys,
            ours: says.keyids.iter().filter(is_ours).collect(),
            lives: standing.map_or(0, |file| file.lives),
            is_untold: standing.is_some_and(|file| file.bytes.is_none()),
            file: None,
            memory: Memory::default(),
        };
        let Some((standing, bytes)) = standing.and_then(|file| Some((file, file.bytes.as_ref()?))) else {
            return Ok(child);
        };
        let file = Signed::<Targets>::parse(bytes)?;
        let content = content(bytes);
        let any = RoleKeys { keyids: ours.keys().cloned().collect(), threshold: 1 };
        if check(&file, &any, ours).is_ok() {
            child.memory = Memory::read(&content);
        }
        child.file = Some(File {
            counted: counted(file.version, standing.lives),
            before: standing.before,
            is_taken: check(&file, &says.keys(), &named.keys).is_ok(),
            file,
            content,
        });
        Ok(child)
    }

    /// Whether our keys suffice.
    fn takes_ours(&self) -> bool {
        !self.ours.is_empty() && i64::try_from(self.ours.len()).is_ok_and(|able| able >= self.says.threshold)
    }

    /// Whether nobody else signs for it. What all share is nobody's own.
    fn is_own(&self) -> bool {
        let is_ours = self.takes_ours() && self.ours.len() == self.says.keyids.len();
        self.role.as_str() != RELEASES && is_ours && !self.is_untold
    }

    /// The file that holds, where readers take it.
    fn taken(&self) -> Option<&File> {
        self.file.as_ref().filter(|file| file.is_taken)
    }

    /// Whether it names this for a tag, for readers at `now`.
    fn means(&self, tag: &str, meant: &Meant, now: i64) -> bool {
        let taken = self.taken().filter(|taken| !expired(&taken.file, now));
        taken.and_then(|taken| taken.file.content.targets.get(tag)).is_some_and(|found| meant.is(found))
    }

    /// How many of our keys have signed the file that holds.
    fn signed(&self) -> usize {
        let Some(taken) = self.taken() else { return 0 };
        let alone = |id: &&&String| {
            let key = RoleKeys { keyids: vec![(**id).clone()], threshold: 1 };
            check(&taken.file, &key, self.documents).is_ok()
        };
        self.ours.iter().filter(alone).count()
    }

    fn next(&self, mut content: BTreeMap<String, Value>, targets: BTreeMap<String, Value>, now: i64) -> Next {
        // In whole seconds, as it is written.
        let before = self.file.as_ref().map_or(0, |file| file.before.saturating_add(1_000));
        content.insert("targets".to_owned(), Value::Object(targets));
        content.insert("expires".to_owned(), Value::Text(super::build::time((now + LIFE).max(before))));
        Next {
            role: self.role.clone(),
            after: self.file.as_ref().map_or(0, |file| file.counted),
            lives: self.lives,
            keys: self.ours.iter().map(|id| (*id).clone()).collect(),
            content,
        }
    }
}

/// The delegations that are ours, and what they are to say.
struct Own<'c, 's> {
    children: Vec<&'c Child<'s>>,
    releases: Option<&'c Child<'s>>,
    /// How often what is released began anew.
    life: u32,
    vouched: &'c Vouched,
    /// What we said that stands in what is released, unless somebody has changed it since.
    released: BTreeMap<&'c str, Meant>,
    now: i64,
}

/// What is released.
#[derive(Default)]
struct Shared {
    next: Option<Next>,
    /// The tags that stand there because we said so, or as we say.
    holds: BTreeSet<String>,
    /// What is to be removed, and cannot be now.
    withdrawn: BTreeMap<String, Meant>,
}

impl<'c, 's> Own<'c, 's> {
    fn of(
        children: Vec<&'c Child<'s>>,
        (releases, life): (Option<&'c Child<'s>>, u32),
        vouched: &'c Vouched,
        now: i64,
    ) -> Self {
        let mut released = BTreeMap::new();
        // Of another life nothing stands there, or others have said it.
        for child in &children {
            for (tag, said) in child.memory.withdrawn.iter().chain(&child.memory.said) {
                if said.released == Some(life) {
                    released.insert(tag.as_str(), said.meant);
                }
            }
        }
        Self { children, releases, life, vouched, released, now }
    }

    /// The next file of a delegation that says exactly what is vouched for, unless the one that stands does.
    fn exactly(&self, child: &Child<'_>, shared: &Shared) -> Option<Next> {
        let said = |(tag, meant): (&String, &Meant)| {
            (tag.clone(), Said { meant: *meant, released: shared.holds.contains(tag).then_some(self.life) })
        };
        let withdrawn =
            |(tag, meant): (&String, &Meant)| (tag.clone(), Said { meant: *meant, released: Some(self.life) });
        let withdrawn: BTreeMap<_, _> = shared.withdrawn.iter().take(WITHDRAWN).map(withdrawn).collect();
        // What is withdrawn comes before what is said: a file of more is read by nobody.
        let room = TAGS - withdrawn.len();
        let within = self.vouched.iter().filter(|(tag, _)| child.says.reaches(tag)).take(room);
        let wanted = Memory { said: within.map(said).collect(), withdrawn };
        let is_good = match child.taken() {
            Some(taken) => {
                child.memory == wanted
                    && taken.file.content.targets.len() == wanted.said.len()
                    && child.signed() == child.ours.len()
                    && taken.file.expires - self.now >= RENEW_BEFORE
            }
            None => wanted == Memory::default(),
        };
        (!is_good).then(|| {
            let (content, targets) = wanted.written();
            child.next(content, targets, self.now)
        })
    }

    /// What is to be released.
    fn shared(&self, others: &[&Child<'_>]) -> Shared {
        let reaches = |tag: &str| {
            let released = self.releases.is_none_or(|child| child.says.reaches(tag));
            released && self.children.iter().any(|own| own.says.reaches(tag))
        };
        let wanted: BTreeMap<&str, &Meant> =
            self.vouched.iter().map(|(tag, meant)| (tag.as_str(), meant)).filter(|(tag, _)| reaches(tag)).collect();
        // What was said before stands there, or somebody has withdrawn it since.
        let said_before = |tag: &str, meant: &Meant| self.released.get(tag) == Some(meant);
        let taken = |child: &'c Child<'s>| child.taken().filter(|taken| !expired(&taken.file, self.now));
        let delegates =
            |child: &'c Child<'s>| taken(child).is_some_and(|stands| !stands.file.content.delegations.roles.is_empty());
        // Whom others hand something on to there we do not sign for.
        let signs = |child: &&'c Child<'s>| {
            !self.children.is_empty() && child.takes_ours() && !child.is_untold && !delegates(child)
        };
        let Some(child) = self.releases.filter(signs) else {
            // Where we do not sign it stays as it is.
            let holds = wanted.iter().filter(|(tag, meant)| said_before(tag, meant));
            let withdrawn = self.released.iter().filter(|(tag, said)| wanted.get(*tag) != Some(said));
            return Shared {
                next: None,
                holds: holds.map(|(tag, _)| (*tag).to_owned()).collect(),
                withdrawn: withdrawn.map(|(tag, said)| ((*tag).to_owned(), *said)).collect(),
            };
        };
        let stands = taken(child);
        let Some(stands) = stands else {
            // Nobody has released anything that holds.
            let targets: BTreeMap<_, _> =
                wanted.iter().map(|(tag, meant)| ((*tag).to_owned(), meant.value())).collect();
            let holds = targets.keys().cloned().collect();
            let next = (!targets.is_empty()).then(|| child.next(empty(), targets, self.now));
            return Shared { next, holds, withdrawn: BTreeMap::new() };
        };
        let there = &stands.file.content.targets;
        let mut holds: BTreeSet<String> = wanted.keys().map(|tag| (*tag).to_owned()).collect();
        let put = wanted.iter().filter(|(tag, meant)| !said_before(tag, meant));
        let put = put.filter(|(tag, meant)| there.get(**tag).is_none_or(|found| !meant.is(found)));
        let mut put: BTreeMap<_, _> = put.map(|(tag, meant)| ((*tag).to_owned(), meant.value())).collect();
        let is_gone = |tag: &str, found: &FileMeta| {
            let said = self.released.get(tag).filter(|said| said.is(found));
            said.is_some_and(|said| {
                let is_vouched = wanted.get(tag).is_some_and(|now| now.is(found));
                !is_vouched && !others.iter().any(|child| child.means(tag, said, self.now))
            })
        };
        let gone: BTreeSet<&String> =
            there.iter().filter(|(tag, found)| is_gone(tag, found)).map(|(tag, _)| tag).collect();
        let mut content = stands.content.clone();
        let mut targets = match content.remove("targets") {
            Some(Value::Object(targets)) => targets,
            _ => BTreeMap::new(),
        };
        // What it may name no more nobody would take.
        targets.retain(|tag, _| !gone.contains(tag) && child.says.reaches(tag));
        if !put.is_empty() && count(&content) + count(&targets) + count(&put) + ROOM > MARKS {
            holds.retain(|tag| !put.contains_key(tag));
            put.clear();
        }
        // What others have released they let hold for longer themselves.
        let is_all_ours = there.keys().all(|tag| self.released.contains_key(tag.as_str()));
        let nears_its_end = stands.file.expires - self.now < RENEW_BEFORE;
        let lacks_a_key = (1..child.ours.len()).contains(&child.signed());
        let changes = !put.is_empty() || !gone.is_empty() || lacks_a_key || is_all_ours && nears_its_end;
        targets.extend(put);
        let next = changes.then(|| child.next(content, targets, self.now));
        Shared { next, holds, withdrawn: BTreeMap::new() }
    }
}

/// How many commas and opening brackets these members have.
fn count(members: &BTreeMap<String, Value>) -> usize {
    marks(&Value::Object(members.clone()).canonical())
}

impl Meant {
    /// Whether a file that others may have written means this.
    fn is(&self, found: &FileMeta) -> bool {
        let sum = found.hashes.get("sha256").and_then(|text| STANDARD.decode(text).ok());
        u64::try_from(found.length) == Ok(self.length) && sum.is_some_and(|sum| sum == self.sha256)
    }

    fn value(&self) -> Value {
        object([
            ("hashes", object([("sha256", Value::Text(STANDARD.encode(self.sha256)))])),
            ("length", Value::Integer(i64::try_from(self.length).unwrap_or(i64::MAX))),
        ])
    }
}

impl Said {
    /// As it stands in a file of ours.
    fn value(&self) -> Value {
        let mut ours = BTreeMap::from([("signed_at".to_owned(), Value::Integer(self.meant.signed_at))]);
        ours.extend(self.released.map(|life| ("released".to_owned(), Value::Integer(i64::from(life)))));
        let Value::Object(mut members) = self.meant.value() else { return Value::Null };
        members.insert("custom".to_owned(), object([("hallmark", Value::Object(ours))]));
        Value::Object(members)
    }

    /// From a file of ours; `None` for what is none.
    fn read(target: &Value) -> Option<Self> {
        let number = |value: &Value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let Value::Text(sum) = member(member(target, "hashes")?, "sha256")? else { return None };
        let ours = member(member(target, "custom")?, "hallmark")?;
        let released = member(ours, "released").and_then(number);
        Some(Self {
            meant: Meant {
                length: u64::try_from(number(member(target, "length")?)?).ok()?,
                sha256: STANDARD.decode(sum).ok()?.try_into().ok()?,
                signed_at: number(member(ours, "signed_at")?)?,
            },
            released: released.and_then(|life| u32::try_from(life).ok()),
        })
    }
}

impl Memory {
    fn read(content: &BTreeMap<String, Value>) -> Self {
        let all = |targets: Option<&Value>| match targets {
            Some(Value::Object(targets)) => {
                targets.iter().filter_map(|(tag, target)| Some((tag.clone(), Said::read(target)?))).collect()
            }
            _ => BTreeMap::new(),
        };
        let withdrawn = content.get("hallmark").and_then(|ours| member(ours, "withdrawn"));
        Self { said: all(content.get("targets")), withdrawn: all(withdrawn) }
    }

    /// The file but for its targets, and those.
    fn written(&self) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
        let all = |said: &BTreeMap<String, Said>| said.iter().map(|(tag, said)| (tag.clone(), said.value())).collect();
        let mut content = empty();
        if !self.withdrawn.is_empty() {
            content.insert("hallmark".to_owned(), object([("withdrawn", Value::Object(all(&self.withdrawn)))]));
        }
        (content, all(&self.said))
    }
}

fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(name),
        _ => None,
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What is signed of a file that was read before, as it was written.
fn content(bytes: &[u8]) -> BTreeMap<String, Value> {
    match Value::parse(bytes) {
        Ok(Value::Object(mut file)) => match file.remove("signed") {
            Some(Value::Object(content)) => content,
            _ => BTreeMap::new(),
        },
        _ => BTreeMap::new(),
    }
}

/// A file of targets that names nothing, without its version and its end.
fn empty() -> BTreeMap<String, Value> {
    let delegations = object([("keys", object([])), ("roles", Value::Array(Vec::new()))]);
    BTreeMap::from([
        ("_type".to_owned(), Value::Text(Kind::Targets.word().to_owned())),
        ("delegations".to_owned(), delegations),
    ])
}
