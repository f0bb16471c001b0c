//! What the registry vouches for, written as one of the signers of a collection writes it: into delegations that are its own
//! alone, where it says exactly that, and into the one that all signers share.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::TrustRole;
use serde::{Deserialize, Serialize};

use super::metadata::{Delegation, Delegations, FileMeta, MetadataInvalid, RoleKeys, Root, Signed, Targets};
use super::publish::counted;
use super::{Draft, Kind, Value, verify};

/// What the signers of a collection have released: Docker's clients pull what is named here.
const RELEASES: &str = "targets/releases";
/// For how long a file holds, in milliseconds: three years, as clients let theirs.
const LIFE: i64 = 3 * YEAR;
/// How long before its end it is written anew.
const RENEW_BEFORE: i64 = YEAR;
const YEAR: i64 = 365 * 24 * 60 * 60 * 1_000;

/// Length and SHA-256 of the manifest of each tag that is vouched for.
pub type Vouched = BTreeMap<String, (u64, [u8; 32])>;

/// The files that hold, as far as they say who signs what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    /// The root.
    pub root: StandingFile,
    /// `targets`.
    pub targets: StandingFile,
    /// The delegations directly below it.
    pub delegations: Vec<StandingFile>,
}

/// A file that holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingFile {
    /// Its role.
    #[serde(with = "crate::wire::grammar")]
    pub role: TrustRole,
    /// Its version.
    pub version: u64,
    /// How often its role began anew.
    pub lives: u32,
    /// Its bytes.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Vec<u8>,
}

impl StandingFile {
    /// Its version as it never falls, whatever began anew.
    pub(crate) fn counted(&self) -> u64 {
        counted(self.version, self.lives)
    }
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

/// Why there is no next file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A file that holds cannot be read.
    #[error(transparent)]
    Invalid(#[from] MetadataInvalid),
    /// `targets` is not signed as the root says.
    #[error("targets is not signed as the root says")]
    Unsigned,
}

/// The delegations whose files are not as they should be, each with the next one: of those directly below `targets` whose keys are
/// all `held`, and, where there is one, of what is released.
///
/// A delegation of its own names what is vouched for and nothing else. In what is released, what came to be vouched for since is put
/// in the place of whatever had the name, and what is vouched for no more is removed, unless another signer signs it too; all else
/// is others', and stays as it is.
pub(crate) fn next(
    stands: &Stands,
    vouched: &Vouched,
    held: &BTreeSet<String>,
    now: i64,
) -> Result<Vec<Next>, Unreadable> {
    let root = Signed::<Root>::parse(&stands.root.bytes)?.content;
    let none = RoleKeys { keyids: Vec::new(), threshold: 1 };
    let keys = root.roles.get("targets").unwrap_or(&none);
    let targets = verify(Signed::<Targets>::parse(&stands.targets.bytes)?, keys, &root.keys);
    let targets = targets.map_err(|_| Unreadable::Unsigned)?;
    let named = &targets.get().content.delegations;
    let children: Vec<Child<'_>> = named.roles.iter().filter_map(|role| Child::of(role, named, stands)).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        children.iter().filter(|child| !child.is_releases()).partition(|child| child.is_all_of(held));
    let mut next: Vec<Next> = own.iter().filter_map(|child| child.exactly(vouched, held, now)).collect();
    let releases = children.iter().find(|child| child.is_releases() && child.is_signed_by(held));
    if let Some(releases) = releases.filter(|_| !own.is_empty()) {
        next.extend(releases.released(vouched, (&own, &others), held, now));
    }
    Ok(next)
}

/// A delegation directly below `targets`.
struct Child<'s> {
    role: TrustRole,
    says: &'s Delegation,
    /// What is published for it, and whether that is taken: with what it says then.
    file: Option<&'s StandingFile>,
    stands: Option<Signed<Targets>>,
}

impl<'s> Child<'s> {
    fn of(says: &'s Delegation, named: &Delegations, stands: &'s Stands) -> Option<Self> {
        let role: TrustRole = says.name.parse().ok()?;
        role.parent().filter(|parent| *parent == TrustRole::targets())?;
        let file = stands.delegations.iter().find(|file| file.role == role);
        // What its signers did not sign names nothing.
        let read = |file: &StandingFile| {
            let read = Signed::<Targets>::parse(&file.bytes).ok()?;
            Some(verify(read, &says.keys(), &named.keys).ok()?.get().clone())
        };
        Some(Self { role, says, file, stands: file.and_then(read) })
    }

    fn is_releases(&self) -> bool {
        self.role.as_str() == RELEASES
    }

    fn held<'h>(&'h self, held: &'h BTreeSet<String>) -> impl Iterator<Item = &'h String> {
        self.says.keyids.iter().filter(|id| held.contains(*id))
    }

    /// Whether these keys suffice.
    fn is_signed_by(&self, held: &BTreeSet<String>) -> bool {
        let able = self.held(held).count();
        able > 0 && i64::try_from(able).is_ok_and(|able| able >= self.says.threshold)
    }

    /// Whether nobody else signs for it.
    fn is_all_of(&self, held: &BTreeSet<String>) -> bool {
        self.is_signed_by(held) && self.held(held).count() == self.says.keyids.len()
    }

    fn targets(&self) -> Option<&BTreeMap<String, FileMeta>> {
        self.stands.as_ref().map(|file| &file.content.targets)
    }

    fn means(&self, tag: &str, meant: &FileMeta) -> bool {
        self.targets().and_then(|targets| targets.get(tag)).is_some_and(|found| is_same(found, meant))
    }

    /// What of this is within its paths.
    fn within(&self, vouched: &Vouched) -> BTreeMap<String, FileMeta> {
        let within = vouched.iter().filter(|(tag, _)| self.says.reaches(tag));
        within.map(|(tag, meant)| (tag.clone(), meta(*meant))).collect()
    }

    fn nears_its_end(&self, now: i64) -> bool {
        self.stands.as_ref().is_some_and(|file| file.expires - now < RENEW_BEFORE)
    }

    /// The next file of a delegation that says exactly what is vouched for, unless the one that stands does.
    fn exactly(&self, vouched: &Vouched, held: &BTreeSet<String>, now: i64) -> Option<Next> {
        let wanted = self.within(vouched);
        let says_it = match self.targets() {
            Some(targets) => targets.len() == wanted.len() && wanted.iter().all(|(tag, meant)| self.means(tag, meant)),
            None => wanted.is_empty(),
        };
        if says_it && !self.nears_its_end(now) {
            return None;
        }
        let targets = wanted.iter().map(|(tag, meant)| (tag.clone(), value(meant))).collect();
        Some(self.next(empty(), targets, held, now))
    }

    /// The next file of what is released, unless the one that stands will do.
    fn released(
        &self,
        vouched: &Vouched,
        (own, others): (&[&Self], &[&Self]),
        held: &BTreeSet<String>,
        now: i64,
    ) -> Option<Next> {
        let wanted = self.within(vouched);
        let was_vouched = |tag: &str, meant: &FileMeta| own.iter().any(|child| child.means(tag, meant));
        let Some(stands) = self.targets() else {
            // Nobody has released anything that holds.
            let targets: BTreeMap<_, _> = wanted.iter().map(|(tag, meant)| (tag.clone(), value(meant))).collect();
            return (!targets.is_empty()).then(|| self.next(empty(), targets, held, now));
        };
        let put = wanted.iter().filter(|(tag, meant)| !was_vouched(tag, meant) && !self.means(tag, meant));
        let put: BTreeMap<_, _> = put.map(|(tag, meant)| (tag.clone(), value(meant))).collect();
        let is_gone = |(tag, meant): &(&String, &FileMeta)| {
            let is_others = others.iter().any(|child| child.means(tag, meant));
            let is_vouched = vouched.get(*tag).is_some_and(|now| is_same(&meta(*now), meant));
            was_vouched(tag, meant) && !is_vouched && !is_others && !put.contains_key(*tag)
        };
        let gone: BTreeSet<&String> = stands.iter().filter(is_gone).map(|(tag, _)| tag).collect();
        // What others have released they let hold for longer themselves.
        let is_all_ours = stands.iter().all(|(tag, meant)| was_vouched(tag, meant));
        if put.is_empty() && gone.is_empty() && !(is_all_ours && self.nears_its_end(now)) {
            return None;
        }
        let mut content = self.file.and_then(|file| content(&file.bytes))?;
        let mut targets = match content.remove("targets") {
            Some(Value::Object(targets)) => targets,
            _ => BTreeMap::new(),
        };
        targets.retain(|tag, _| !gone.contains(tag));
        targets.extend(put);
        Some(self.next(content, targets, held, now))
    }

    fn next(
        &self,
        mut content: BTreeMap<String, Value>,
        targets: BTreeMap<String, Value>,
        held: &BTreeSet<String>,
        now: i64,
    ) -> Next {
        content.insert("targets".to_owned(), Value::Object(targets));
        content.insert("expires".to_owned(), Value::Text(super::build::time(now + LIFE)));
        Next {
            role: self.role.clone(),
            after: self.file.map_or(0, StandingFile::counted),
            lives: self.file.map_or(0, |file| file.lives),
            keys: self.held(held).cloned().collect(),
            content,
        }
    }
}

/// What is signed of a file, as it was written.
fn content(bytes: &[u8]) -> Option<BTreeMap<String, Value>> {
    let Value::Object(mut file) = Value::parse(bytes).ok()? else { return None };
    match file.remove("signed")? {
        Value::Object(content) => Some(content),
        _ => None,
    }
}

/// A file of targets that names nothing, without its version and its end.
fn empty() -> BTreeMap<String, Value> {
    let none = [("keys", Value::Object(BTreeMap::new())), ("roles", Value::Array(Vec::new()))];
    let delegations = none.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    BTreeMap::from([
        ("_type".to_owned(), Value::Text(Kind::Targets.word().to_owned())),
        ("delegations".to_owned(), Value::Object(delegations)),
    ])
}

fn meta((length, sha256): (u64, [u8; 32])) -> FileMeta {
    let hashes = BTreeMap::from([("sha256".to_owned(), STANDARD.encode(sha256))]);
    FileMeta { length: i64::try_from(length).unwrap_or(i64::MAX), hashes }
}

fn value(meta: &FileMeta) -> Value {
    let hashes = meta.hashes.iter().map(|(name, hash)| (name.clone(), Value::Text(hash.clone()))).collect();
    Value::Object(BTreeMap::from([
        ("hashes".to_owned(), Value::Object(hashes)),
        ("length".to_owned(), Value::Integer(meta.length)),
    ]))
}

/// Whether a file that others may have written means this: by its length and its SHA-256.
fn is_same(found: &FileMeta, meant: &FileMeta) -> bool {
    found.length == meant.length
        && found.hashes.contains_key("sha256")
        && found.hashes.get("sha256") == meant.hashes.get("sha256")
}
