//! What the registry vouches for, written as one of the signers of a collection writes it: into delegations that are its own
//! alone, where it says exactly that, and into the one that all signers share.
//!
//! A delegation of its own also remembers which of its tags stand in the shared one. So what is withdrawn leaves that too, and what
//! others have put or withdrawn there is left to them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::TrustRole;
use serde::{Deserialize, Serialize};

use super::canonical::MARKS;
use super::metadata::{Delegation, Delegations, FileMeta, MetadataInvalid, RoleKeys, Root, Signed, Targets};
use super::publish::counted;
use super::verify::check;
use super::{Draft, KeyDocument, Kind, Value, expired, verify};

/// What the signers of a collection have released: Docker's clients pull what is named here.
const RELEASES: &str = "targets/releases";
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
    #[serde(with = "crate::wire::base64_bytes")]
    pub sha256: [u8; 32],
    /// When that was said last, in milliseconds since 1970.
    pub signed_at: i64,
}

/// The files that hold, as far as they say who signs what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    /// The root.
    #[serde(with = "crate::wire::base64_bytes")]
    pub root: Vec<u8>,
    /// `targets`.
    #[serde(with = "crate::wire::base64_bytes")]
    pub targets: Vec<u8>,
    /// The delegations that [`named`] tells of.
    pub delegations: Vec<StandingFile>,
}

/// The file of a delegation that holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingFile {
    /// Its role.
    #[serde(with = "crate::wire::grammar")]
    pub role: TrustRole,
    /// How often the role began anew.
    pub lives: u32,
    /// When the last file of before it began anew expires, in milliseconds since 1970: what follows expires later.
    pub before: i64,
    /// Its bytes.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Vec<u8>,
}

/// The delegations directly below a `targets` that name one of these keys, none where nothing is to be signed, and the others: what
/// they name as well is not withdrawn for them.
///
/// # Errors
/// [`MetadataInvalid`]
pub fn named(
    targets: &[u8],
    keys: &BTreeSet<String>,
) -> Result<(BTreeSet<TrustRole>, BTreeSet<TrustRole>), MetadataInvalid> {
    let named = Signed::<Targets>::parse(targets)?.content.delegations.roles;
    let is_ours = |role: &&Delegation| role.keyids.iter().any(|id| keys.contains(id));
    let (own, beside): (Vec<_>, Vec<_>) = named.iter().partition(is_ours);
    let roles = |named: Vec<&Delegation>| named.into_iter().filter_map(directly_below_targets).collect();
    Ok((roles(own), roles(beside)))
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
    let (own, rest): (Vec<_>, Vec<_>) = children.iter().partition(|child| child.is_own());
    let (released, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|child| child.role.as_str() == RELEASES);
    let releases = released.first();
    let own = Own { children: own, vouched, now };
    let signs = |child: &&&Child<'_>| !own.children.is_empty() && child.takes_ours();
    let shared = releases.filter(signs).map(|child| own.released(child, &others));
    let is_released = |tag: &str, meant: &Meant| match &shared {
        Some(shared) => shared.holds.contains(tag),
        // Where we sign no more it stays as it was.
        None => releases.is_some() && own.released_as(tag).is_some_and(|said| said == *meant),
    };
    let mut next: Vec<Next> = own.children.iter().filter_map(|child| own.exactly(child, is_released)).collect();
    next.extend(shared.and_then(|shared| shared.next));
    Ok(Plan { next, base, root })
}

/// A delegation directly below `targets`.
struct Child<'s> {
    role: TrustRole,
    says: &'s Delegation,
    documents: &'s BTreeMap<String, KeyDocument>,
    /// Its keys that are ours.
    ours: Vec<&'s String>,
    file: Option<File>,
    /// What we said in it, whichever of our keys was named then.
    said: BTreeMap<String, Said>,
}

/// The file that holds for a delegation.
struct File {
    counted: u64,
    lives: u32,
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
    /// Whether that stands in what is released.
    released: bool,
}

impl<'s> Child<'s> {
    fn read(
        role: TrustRole,
        (says, named): (&'s Delegation, &'s Delegations),
        stands: &Stands,
        ours: &BTreeMap<String, KeyDocument>,
    ) -> Result<Self, MetadataInvalid> {
        let standing = stands.delegations.iter().find(|file| file.role == role);
        let mut child = Self {
            role,
            says,
            documents: &named.keys,
            ours: says.keyids.iter().filter(|id| ours.contains_key(*id)).collect(),
            file: None,
            said: BTreeMap::new(),
        };
        let Some(standing) = standing else { return Ok(child) };
        let file = Signed::<Targets>::parse(&standing.bytes)?;
        let content = content(&standing.bytes);
        let any = RoleKeys { keyids: ours.keys().cloned().collect(), threshold: 1 };
        if check(&file, &any, ours).is_ok() {
            child.said = said(&content);
        }
        child.file = Some(File {
            counted: counted(file.version, standing.lives),
            lives: standing.lives,
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
        self.role.as_str() != RELEASES && self.takes_ours() && self.ours.len() == self.says.keyids.len()
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

    /// Which of our keys have signed the file that holds.
    fn signed(&self) -> usize {
        let Some(taken) = self.taken() else { return 0 };
        let alone = |id: &&&String| {
            let key = RoleKeys { keyids: vec![(**id).clone()], threshold: 1 };
            check(&taken.file, &key, self.documents).is_ok()
        };
        self.ours.iter().filter(alone).count()
    }

    fn next(&self, mut content: BTreeMap<String, Value>, targets: BTreeMap<String, Value>, now: i64) -> Next {
        let file = self.file.as_ref();
        // In whole seconds, as it is written.
        let ends = (now + LIFE).max(file.map_or(0, |file| file.before.saturating_add(1_000)));
        content.insert("targets".to_owned(), Value::Object(targets));
        content.insert("expires".to_owned(), Value::Text(super::build::time(ends)));
        Next {
            role: self.role.clone(),
            after: file.map_or(0, |file| file.counted),
            lives: file.map_or(0, |file| file.lives),
            keys: self.ours.iter().map(|id| (*id).clone()).collect(),
            content,
        }
    }
}

/// The delegations that are ours, and what they are to say.
struct Own<'c, 's> {
    children: Vec<&'c Child<'s>>,
    vouched: &'c Vouched,
    now: i64,
}

/// What is released.
struct Shared {
    next: Option<Next>,
    /// The tags that stand there because we said so, or as we say.
    holds: BTreeSet<String>,
}

impl Own<'_, '_> {
    /// What we said of a tag that stands in what is released.
    fn released_as(&self, tag: &str) -> Option<Meant> {
        let said = self.children.iter().find_map(|child| child.said.get(tag).filter(|said| said.released));
        said.map(|said| said.meant)
    }

    /// The next file of a delegation that says exactly what is vouched for, unless the one that stands does.
    fn exactly(&self, child: &Child<'_>, is_released: impl Fn(&str, &Meant) -> bool) -> Option<Next> {
        let within = self.vouched.iter().filter(|(tag, _)| child.says.reaches(tag));
        let wanted: BTreeMap<_, _> = within
            .map(|(tag, meant)| (tag.clone(), Said { meant: *meant, released: is_released(tag, meant) }))
            .collect();
        let is_good = match child.taken() {
            Some(taken) => {
                child.said == wanted
                    && taken.file.content.targets.len() == wanted.len()
                    && child.signed() == child.ours.len()
                    && taken.file.expires - self.now >= RENEW_BEFORE
            }
            None => wanted.is_empty(),
        };
        if is_good {
            return None;
        }
        let targets = wanted.iter().map(|(tag, said)| (tag.clone(), said.value())).collect();
        Some(child.next(empty(), targets, self.now))
    }

    /// What is to be released.
    fn released(&self, child: &Child<'_>, others: &[&Child<'_>]) -> Shared {
        let stands = child.taken().filter(|taken| !expired(&taken.file, self.now));
        let reaches = |tag: &str| child.says.reaches(tag) && self.children.iter().any(|own| own.says.reaches(tag));
        let wanted: BTreeMap<&String, &Meant> = self.vouched.iter().filter(|(tag, _)| reaches(tag)).collect();
        // What was said before stands there, or somebody has withdrawn it since; where nothing stands nobody has.
        let said_before =
            |tag: &str, meant: &Meant| stands.is_some() && self.released_as(tag).is_some_and(|said| said == *meant);
        let mut holds: BTreeSet<String> =
            wanted.iter().filter(|(tag, meant)| said_before(tag, meant)).map(|(tag, _)| (*tag).clone()).collect();
        let Some(stands) = stands.filter(|stands| stands.file.content.delegations.roles.is_empty()) else {
            // Whom others hand something on to there we do not sign for; and nobody has released anything that holds.
            let is_free = stands.is_none();
            let targets: BTreeMap<_, _> =
                wanted.iter().filter(|_| is_free).map(|(tag, meant)| ((*tag).clone(), meant.value())).collect();
            holds.extend(targets.keys().cloned());
            let next = (!targets.is_empty()).then(|| child.next(empty(), targets, self.now));
            return Shared { next, holds };
        };
        let there = &stands.file.content.targets;
        let mut put: BTreeMap<String, Value> = BTreeMap::new();
        for (tag, meant) in &wanted {
            if said_before(tag, meant) {
                continue;
            }
            if there.get(*tag).is_none_or(|found| !meant.is(found)) {
                put.insert((*tag).clone(), meant.value());
            }
            holds.insert((*tag).clone());
        }
        let is_gone = |tag: &str, found: &FileMeta| {
            let said = self.released_as(tag).filter(|said| said.is(found));
            said.is_some_and(|said| {
                let is_vouched = wanted.get(&tag.to_owned()).is_some_and(|now| now.is(found));
                !is_vouched && !others.iter().any(|child| child.means(tag, &said, self.now))
            })
        };
        let gone: BTreeSet<&String> =
            there.iter().filter(|(tag, found)| is_gone(tag, found)).map(|(tag, _)| tag).collect();
        let mut targets = match stands.content.get("targets") {
            Some(Value::Object(targets)) => targets.clone(),
            _ => BTreeMap::new(),
        };
        targets.retain(|tag, _| !gone.contains(tag));
        if !fits(&targets, &put) {
            holds.retain(|tag| !put.contains_key(tag));
            put.clear();
        }
        // What others have released they let hold for longer themselves.
        let is_all_ours = there.keys().all(|tag| self.released_as(tag).is_some());
        let nears_its_end = stands.file.expires - self.now < RENEW_BEFORE;
        let lacks_a_key = (1..child.ours.len()).contains(&child.signed());
        if put.is_empty() && gone.is_empty() && !lacks_a_key && !(is_all_ours && nears_its_end) {
            return Shared { next: None, holds };
        }
        targets.extend(put);
        Shared { next: Some(child.next(stands.content.clone(), targets, self.now)), holds }
    }
}

/// Whether what is put leaves others room in a file.
fn fits(there: &BTreeMap<String, Value>, put: &BTreeMap<String, Value>) -> bool {
    let marks = |targets: &BTreeMap<String, Value>| {
        let whole = Value::Object(targets.clone()).canonical();
        whole.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count()
    };
    put.is_empty() || marks(there) + marks(put) + ROOM <= MARKS
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
        let Value::Object(mut members) = self.meant.value() else { return Value::Null };
        let ours =
            object([("released", Value::Bool(self.released)), ("signed_at", Value::Integer(self.meant.signed_at))]);
        members.insert("custom".to_owned(), object([("hallmark", ours)]));
        Value::Object(members)
    }

    /// From a file of ours; `None` for what is none.
    fn read(target: &Value) -> Option<Self> {
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let number = |value: &Value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let ours = member(member(target, "custom")?, "hallmark")?;
        let sha256 = STANDARD.decode(text(member(member(target, "hashes")?, "sha256")?)?).ok()?;
        Some(Self {
            meant: Meant {
                length: u64::try_from(number(member(target, "length")?)?).ok()?,
                sha256: sha256.try_into().ok()?,
                signed_at: number(member(ours, "signed_at")?)?,
            },
            released: *member(ours, "released")? == Value::Bool(true),
        })
    }
}

/// What a file of ours says.
fn said(content: &BTreeMap<String, Value>) -> BTreeMap<String, Said> {
    let Some(Value::Object(targets)) = content.get("targets") else { return BTreeMap::new() };
    targets.iter().filter_map(|(tag, target)| Some((tag.clone(), Said::read(target)?))).collect()
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
