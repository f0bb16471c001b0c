//! Trust domains that publish TUF 1.0: their roots, and a typed change of a repository's tags in, signed files out.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_storage::metadata::{self, SignerKey, Tx};
use serde::{Deserialize, Serialize};

use crate::custody::{CustodyError, ED25519};
use crate::known;
use crate::signer::Signer;
use crate::tuf::{
    self, Authors, BuildError, Change, Files, Flaw, Held, Keyholders, ROOT_DAYS, RootContent, RootRole, Standing, TAGS,
    Target,
};
use crate::wire::Unserved;
use crate::written::logged;

/// Where the signer remembers on which snapshot the last change rested, and the last version that it gave.
pub(crate) const BASE: &str = "base";
pub(crate) const VERSION: &str = "version";
/// The roles that work by themselves.
const WORKING: [RootRole; 3] = [RootRole::Targets, RootRole::Snapshot, RootRole::Timestamp];
/// For how long a root may hold, in days.
const DAYS: std::ops::RangeInclusive<i64> = 1..=10 * 365;

/// A change of what a repository's tags mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TufChange {
    /// The trust domain whose root vouches for it.
    pub domain: String,
    /// Which repository: an id that no other ever has.
    pub collection: String,
    /// Its name, which the paths of its targets begin with.
    pub repository: String,
    /// Who asked for it, for the log.
    pub caller: String,
    /// The root that holds.
    #[serde(with = "crate::forms::base64_bytes")]
    pub root: Vec<u8>,
    /// The files that hold, with those that [`tuf::needed`] names; `None` where nothing was published.
    pub standing: Option<Standing>,
    /// What changes: what a tag means from now on; `None` takes it out.
    pub changes: BTreeMap<String, Option<Target>>,
    /// How many tags there will be in the end, where a change is made anew in parts: roles are laid out for so many.
    #[serde(default)]
    pub expected: u64,
    /// How it is made.
    pub mode: TufMode,
}

/// How a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TufMode {
    /// Upon what stands, if anything changes.
    Upon,
    /// Upon what stands, whose snapshot and timestamp are made anew although nothing changes.
    Renewal,
    /// Anew: the changes are all that is named.
    Anew,
}

/// What the next root of a domain is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootPlan {
    /// Who holds the root's own keys from then on; `None`: whoever holds them now.
    pub holders: Option<Keyholders>,
    /// Roles that get new keys. `Root` is one of them only while the signer holds its key.
    pub rotate: Vec<RootRole>,
    /// For how many days it holds.
    pub days: Option<i64>,
}

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum TufRefused {
    /// A key cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// The files cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The root cannot be read, or does not follow from the one before.
    #[error("the root is refused: {0}")]
    Root(#[from] Flaw),
    /// The next root is not one that this signer could work under.
    #[error("{0}")]
    Plan(String),
    /// What the change rests on is older than what one before it rested on: a registry that was set back, or taken over, gets
    /// no fresh timestamp for old files.
    #[error("the change rests on snapshot {to}, and one before it rested on {from}")]
    Falling {
        /// What was there.
        from: i64,
        /// What the change rests on.
        to: i64,
    },
    /// The signer was told of a newer root of the domain, or of another one of this version: a registry that was set back, or
    /// taken over, draws no keys out of it and destroys none.
    #[error("the registry speaks of root {told} of this trust domain, and the signer knows another root {known}")]
    OtherRoot {
        /// The version of the one that the signer knows.
        known: i64,
        /// The version of the one that it was told of.
        told: i64,
    },
    /// The domain has no key for a role, or fewer than its root asks for.
    #[error("the signer holds too few keys for {0} of this trust domain")]
    NoKey(&'static str),
    /// It was not looked at.
    #[error(transparent)]
    Unserved(#[from] Unserved),
}

impl Signer {
    /// The first root of a trust domain, all of whose keys the signer holds: for those who start small. There is one, however often it
    /// is asked for. `caller` is who asked for it, for the log; so with the others.
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn first_root(&self, domain: &str, caller: &str, now: i64) -> Result<Vec<u8>, TufRefused> {
        self.bounds.count(domain, "", caller, now)?;
        self.first_root_counted(domain, caller, now).await
    }

    /// The same for what was counted already; so with the others.
    pub(crate) async fn first_root_counted(&self, domain: &str, caller: &str, now: i64) -> Result<Vec<u8>, TufRefused> {
        let known = self.metadata.write(domain.to_owned(), |tx, domain| Box::pin(known::first(tx, domain))).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let mut roles = BTreeMap::new();
        for role in RootRole::ALL {
            let key = self.domain_key(domain, role.as_str(), now).await?;
            roles.insert(role, Keyholders { keys: vec![tuf::public(&key.public)?], threshold: 1 });
        }
        self.domain_key(domain, TAGS, now).await?;
        let content = RootContent { version: 1, expires: tuf::expires(now, ROOT_DAYS), roles };
        let held = self.held_for(domain, RootRole::Root, &content).await?;
        let root = content.sealed(&held)?;
        self.log_root(domain, (caller, &root), &held, now).await?;
        let made = known::told(domain, &content, &root);
        // Two who ask at once are given one root.
        self.metadata.write(made, |tx, made| Box::pin(known::begin(tx, made))).await
    }

    /// The root that may follow `current`, signed by those keys of the root that the signer holds. Until somebody keeps it,
    /// nothing has changed but that keys are there which nothing names.
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn next_root(
        &self,
        domain: &str,
        current: &[u8],
        plan: RootPlan,
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        self.bounds.count(domain, "", caller, now)?;
        self.next_root_counted(domain, current, plan, (caller, now)).await
    }

    pub(crate) async fn next_root_counted(
        &self,
        domain: &str,
        current: &[u8],
        plan: RootPlan,
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        let mut content = RootContent::read(current)?;
        self.know(domain, &content, current).await?;
        let days = plan.days.unwrap_or(ROOT_DAYS);
        if !DAYS.contains(&days) {
            return Err(TufRefused::Plan("a root holds for 1 to 3650 days".to_owned()));
        }
        // A signer that lost every key may be given new ones by the people who hold the root: tags have no other way to one.
        self.domain_key(domain, TAGS, now).await?;
        for role in plan.rotate {
            if role == RootRole::Root && self.held_for(domain, role, &content).await?.is_empty() {
                return Err(TufRefused::Plan("the root's keys are held by people: name their new ones".to_owned()));
            }
            let named = content.ids(role);
            // A key that an earlier draft was given and no root names waits for the next.
            let next = self.key_for(domain, role.as_str(), Pick::Waiting(role, named), now).await?;
            let holders = Keyholders { keys: vec![tuf::public(&next.public)?], threshold: 1 };
            content.roles.insert(role, holders);
        }
        if let Some(holders) = plan.holders {
            content.roles.insert(RootRole::Root, holders);
        }
        (content.version, content.expires) = (content.next_version()?, tuf::expires(now, days));
        let draft = content.sealed(&[])?;
        match self.endorse_root_counted(domain, current, &draft, (caller, now)).await {
            // Those whom the domain is handed to sign it before the signer does.
            Err(TufRefused::Root(Flaw::TooFew { .. })) => Ok(draft),
            done => done,
        }
    }

    /// A root that may follow `current`, with the signatures of those keys of either root that the signer holds. It must name
    /// keys of this signer for every role that works by itself: under another it could publish nothing. One by which the domain
    /// changes hands is signed only when that makes it whole, and no other of its version after it.
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn endorse_root(
        &self,
        domain: &str,
        current: &[u8],
        next: &[u8],
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        self.bounds.count(domain, "", caller, now)?;
        self.endorse_root_counted(domain, current, next, (caller, now)).await
    }

    pub(crate) async fn endorse_root_counted(
        &self,
        domain: &str,
        current: &[u8],
        next: &[u8],
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        let (before, after) = (RootContent::read(current)?, RootContent::read_draft(next)?);
        let wanted = before.next_version()?;
        if after.version != wanted {
            return Err(Flaw::Version { found: after.version, wanted }.into());
        }
        // A registry whose database was set back by one root publishes that one again.
        let told = known::told(domain, &after, next);
        if self.metadata.write(told, |tx, told| Box::pin(known::is_known(tx, told))).await? {
            return Ok(next.to_vec());
        }
        self.know(domain, &before, current).await?;
        self.check_plan(domain, (&before, &after), next, now).await?;
        let mut held = self.held_for(domain, RootRole::Root, &before).await?;
        for key in self.held_for(domain, RootRole::Root, &after).await? {
            let id = key.id()?;
            if held.iter().map(Held::id).all(|other| other.is_ok_and(|other| other != id)) {
                held.push(key);
            }
        }
        if held.is_empty() {
            return Ok(next.to_vec());
        }
        let root = tuf::endorsed(next, &held)?;
        if self.changes_hands(domain, (&before, &after)).await? {
            tuf::check_successor(current, &root)?;
            let told = known::told(domain, &after, &root);
            self.metadata.write(told, |tx, told| Box::pin(known::endorse(tx, told))).await?;
        }
        self.log_root(domain, (caller, &root), &held, now).await?;
        Ok(root)
    }

    /// Refuses a root that this signer could not work under, and one that says more than is understood.
    async fn check_plan(
        &self,
        domain: &str,
        (before, after): (&RootContent, &RootContent),
        next: &[u8],
        now: i64,
    ) -> Result<(), TufRefused> {
        if after.expires <= now || after.expires > tuf::expires(now, *DAYS.end()) {
            return Err(TufRefused::Plan("a root holds for 1 to 3650 days".to_owned()));
        }
        let holders = &after.roles[&RootRole::Root];
        if holders.threshold < 1 || holders.threshold > holders.keys.len() as u64 {
            return Err(TufRefused::Plan(
                "the threshold of the root is at least 1 and at most the number of its keys".to_owned(),
            ));
        }
        holders.check().map_err(|why| TufRefused::Plan(why.to_string()))?;
        self.named_authors(domain, after, now).await?;
        self.check_replaced(domain, (before, after)).await?;
        for role in WORKING {
            // Whoever held another key beside these could vouch for anything.
            if self.held_for(domain, role, after).await?.len() != after.roles[&role].keys.len() {
                return Err(TufRefused::NoKey(role.as_str()));
            }
        }
        if !after.is_all_of(next)? {
            let why =
                "it says that snapshots are not consistent, or more than roots of this registry say; draft it anew";
            return Err(TufRefused::Plan(why.to_owned()));
        }
        Ok(())
    }

    /// Whether the root's own keys become others than they were, and not all of them, then and now, are the signer's.
    async fn changes_hands(
        &self,
        domain: &str,
        (before, after): (&RootContent, &RootContent),
    ) -> Result<bool, TufRefused> {
        let threshold = |root: &RootContent| root.roles.get(&RootRole::Root).map(|holders| holders.threshold);
        let ids = |root: &RootContent| -> BTreeSet<String> { root.ids(RootRole::Root).into_iter().collect() };
        let (was, will) = (ids(before), ids(after));
        if was == will && threshold(before) == threshold(after) {
            return Ok(false);
        }
        let keys = self.metadata.signer_keys(domain, RootRole::Root.as_str()).await?;
        Ok(!was.union(&will).all(|id| keys.iter().any(|key| key.id == *id)))
    }

    /// Refuses a root that names a key which was replaced: it may have been destroyed before the root holds.
    async fn check_replaced(
        &self,
        domain: &str,
        (before, after): (&RootContent, &RootContent),
    ) -> Result<(), TufRefused> {
        for role in RootRole::ALL {
            let (named, wanted) = (before.ids(role), after.ids(role));
            let known = self.metadata.signer_keys(domain, role.as_str()).await?;
            let is_replaced = |key: &SignerKey| {
                wanted.contains(&key.id) && !named.contains(&key.id) && !waits(key, &known, (role, &named))
            };
            if known.iter().any(is_replaced) {
                let why = format!("it names a key for {} that another has replaced; draft it anew", role.as_str());
                return Err(TufRefused::Plan(why));
            }
        }
        Ok(())
    }

    /// Gives the tags of a domain a new key, which the targets of each repository name from their next publish on.
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn rotate_tags(&self, domain: &str, now: i64) -> Result<(), TufRefused> {
        self.bounds.count(domain, "", "", now)?;
        self.rotate_tags_counted(domain, now).await
    }

    pub(crate) async fn rotate_tags_counted(&self, domain: &str, now: i64) -> Result<(), TufRefused> {
        self.key_for(domain, TAGS, Pick::New, now).await.map(drop)
    }

    /// Destroys the keys of a domain that were replaced by those that its root names; how many. Keys that wait to be named by a
    /// root that is under way stay. The root must follow from the one that is known, and name keys of this signer.
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is destroyed then.
    pub async fn retire(&self, domain: &str, root: &[u8]) -> Result<u64, TufRefused> {
        let content = RootContent::read(root)?;
        let named = RootRole::ALL.map(|role| (role, content.ids(role)));
        let told = known::told(domain, &content, root);
        self.metadata
            .write((told, named), |tx, (told, named)| {
                Box::pin(async move {
                    known::check(tx, told).await?;
                    let mut old = Vec::new();
                    for (role, named) in named {
                        let known = tx.signer_keys(&told.domain, role.as_str()).await?;
                        // By a root under which it could not work the signer destroys nothing.
                        if WORKING.contains(role) && !named.iter().all(|id| known.iter().any(|key| key.id == *id)) {
                            return Err(TufRefused::NoKey(role.as_str()));
                        }
                        let is_old = |key: &&SignerKey| !named.contains(&key.id) && !waits(key, &known, (*role, named));
                        old.extend(known.iter().filter(is_old).map(|key| key.id.clone()));
                    }
                    let mut tags = tx.signer_keys(&told.domain, TAGS).await?;
                    tags.pop();
                    old.extend(tags.into_iter().map(|key| key.id));
                    for id in &old {
                        tx.destroy_signer_key(id).await?;
                    }
                    Ok(old.len() as u64)
                })
            })
            .await
    }

    /// The key of a role of a domain, made where there is none.
    async fn domain_key(&self, domain: &str, role: &'static str, now: i64) -> Result<SignerKey, TufRefused> {
        self.key_for(domain, role, Pick::Newest, now).await
    }

    /// The key of a role of a domain that is asked for, made where there is none.
    async fn key_for(&self, domain: &str, role: &str, pick: Pick, now: i64) -> Result<SignerKey, TufRefused> {
        if let Some(key) = pick.of(&self.metadata.signer_keys(domain, role).await?) {
            return Ok(key);
        }
        let made = self.custody.make_ed25519(domain, role, now)?;
        // Two who ask at once are given one key.
        let kept: Result<SignerKey, metadata::Error> =
            self.metadata.write((made, pick), |tx, (made, pick)| Box::pin(keep_key(tx, made, pick))).await;
        Ok(kept?)
    }

    /// Remembers the root that the registry says holds, and refuses one that does not any more.
    async fn know(&self, domain: &str, content: &RootContent, root: &[u8]) -> Result<(), TufRefused> {
        let told = known::told(domain, content, root);
        self.metadata.write(told, |tx, told| Box::pin(known::check(tx, told))).await
    }

    /// The files that a change makes new; `None` when it changes nothing. A version is given, and what is signed is written
    /// down, before anything leaves.
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is published then. [`BuildError::Anew`] says that the change is to be made anew.
    pub async fn publish(&self, change: TufChange, now: i64) -> Result<Option<Files>, TufRefused> {
        self.bounds.count(&change.collection, "", &change.caller, now)?;
        self.publish_counted(change, now).await
    }

    /// The same for what was counted already.
    pub(crate) async fn publish_counted(&self, change: TufChange, now: i64) -> Result<Option<Files>, TufRefused> {
        let TufChange { domain, collection, repository, caller, root, standing, changes, expected, mode } = change;
        let authors = self.named_authors(&domain, &RootContent::read(&root)?, now).await?;
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let change = Change { repository, tags: changes, expected };
        let plan = match (mode, &standing) {
            (TufMode::Anew, standing) => {
                change.anew(standing.as_ref().map(|standing| standing.snapshot.as_slice()), &authors)?
            }
            (_, Some(standing)) => change.upon(standing, &authors, now)?,
            (_, None) => return Err(BuildError::anew("nothing was published").into()),
        };
        if plan.is_empty() && mode == TufMode::Upon {
            return Ok(None);
        }
        let base = plan.base;
        let build = |version| plan.clone().build(&authors, version, now);
        self.write_down(&collection, (&caller, base), &authors, build, now).await.map(Some)
    }

    /// The metadata of a repository of a few files, each told by its length and SHA-256, all of it made anew. Their paths are
    /// plain: letters, digits, and any of `-_./`.
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is published then.
    pub async fn publish_files(
        &self,
        (domain, root): (&str, &[u8]),
        files: &BTreeMap<String, (u64, [u8; 32])>,
        caller: &str,
        now: i64,
    ) -> Result<Files, TufRefused> {
        let is_plain = |path: &String| {
            !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        };
        if !files.keys().all(is_plain) {
            return Err(BuildError::Range.into());
        }
        let authors = self.named_authors(domain, &RootContent::read(root)?, now).await?;
        let collection = format!("{domain}/files");
        let build = |version| tuf::of_files(files, &authors, version, now);
        self.write_down(&collection, (caller, None), &authors, build, now).await
    }

    /// Writes down that a root was signed.
    async fn log_root(
        &self,
        domain: &str,
        (caller, root): (&str, &[u8]),
        keys: &[Held],
        now: i64,
    ) -> Result<(), TufRefused> {
        let version = RootContent::read_draft(root)?.version;
        let message = tuf::payload(root)?;
        let line = |key: &Held| Ok::<_, BuildError>(logged((caller, "root", version, &message), key.id()?, now));
        let lines: Vec<_> = keys.iter().map(line).collect::<Result<_, _>>()?;
        Ok(self.log(domain.to_owned(), lines).await?)
    }

    /// Those keys of a role that a root names and the signer holds, opened.
    async fn held_for(&self, domain: &str, role: RootRole, root: &RootContent) -> Result<Vec<Held>, TufRefused> {
        self.held_of(&self.metadata.signer_keys(domain, role.as_str()).await?, role, root)
    }

    /// The same of keys that were read.
    fn held_of(&self, keys: &[SignerKey], role: RootRole, root: &RootContent) -> Result<Vec<Held>, TufRefused> {
        let named = root.ids(role);
        let named = keys.iter().filter(|key| key.role == role.as_str() && named.contains(&key.id));
        Ok(named.map(|key| self.custody.open_ed25519(key)).collect::<Result<_, _>>()?)
    }

    /// The keys that a root leaves to the signer, opened; each role must have as many as must sign. No root names the key of the
    /// tags, and no backup brings it back: where there is none, one is made.
    async fn named_authors(&self, domain: &str, root: &RootContent, now: i64) -> Result<Authors, TufRefused> {
        let keys = self.metadata.signer_keys_of(domain).await?;
        let able = |role: RootRole| -> Result<Vec<Held>, TufRefused> {
            let held = self.held_of(&keys, role, root)?;
            let threshold = root.roles.get(&role).map_or(1, |holders| holders.threshold.max(1));
            if held.len() as u64 >= threshold { Ok(held) } else { Err(TufRefused::NoKey(role.as_str())) }
        };
        let (targets, snapshot) = (able(RootRole::Targets)?, able(RootRole::Snapshot)?);
        let timestamp = able(RootRole::Timestamp)?;
        let tags = match keys.iter().rfind(|key| key.role == TAGS) {
            Some(tags) => self.custody.open_ed25519(tags)?,
            None => self.custody.open_ed25519(&self.domain_key(domain, TAGS, now).await?)?,
        };
        Ok(Authors { targets, snapshot, timestamp, tags })
    }
}

/// Which key of a role is asked for.
pub(crate) enum Pick {
    /// The newest.
    Newest,
    /// One that waits to be named, behind those that the root names.
    Waiting(RootRole, Vec<String>),
    /// None that was there before.
    New,
    /// The newest of those that were given, else of those that never signed.
    Given(Vec<String>),
}

impl Pick {
    pub(crate) fn of(&self, known: &[SignerKey]) -> Option<SignerKey> {
        match self {
            Self::Newest => known.iter().rfind(|key| is_taken(key)).cloned(),
            Self::Waiting(role, named) => {
                let waits =
                    |key: &&SignerKey| is_taken(key) && !named.contains(&key.id) && waits(key, known, (*role, named));
                known.iter().find(waits).cloned()
            }
            Self::New => None,
            Self::Given(given) => {
                let waits = || known.iter().rfind(|key| key.used_at.is_none());
                known.iter().rfind(|key| given.contains(&key.id)).or_else(waits).cloned()
            }
        }
    }
}

/// Whether a key is of the kind that trust domains have.
fn is_taken(key: &SignerKey) -> bool {
    key.algorithm == ED25519
}

/// Whether a key that no root names waits for one to do so: a key that was replaced is older than the one in its place, and
/// waits for nobody. Where every key that the root names for a role is lost, the newest waits that never signed: one that came
/// back from an old backup may have been replaced. The root's own keys are lost to nobody when people hold them.
fn waits(key: &SignerKey, known: &[SignerKey], (role, named): (RootRole, &[String])) -> bool {
    match known.iter().filter(|key| named.contains(&key.id)).map(|key| key.made_at).max() {
        Some(newest) => key.made_at > newest,
        None => {
            let is_newest = known.last().is_some_and(|last| last.id == key.id);
            WORKING.contains(&role) && is_newest && key.used_at.is_none()
        }
    }
}

/// Keeps a key, unless one is there by now that is asked for as well. The keys of a role are in the order in which they were
/// made, whatever the clocks of two replicas say.
pub(crate) async fn keep_key(tx: &mut Tx, made: &SignerKey, pick: &Pick) -> Result<SignerKey, metadata::Error> {
    tx.lift_signer_floor(&made.collection, &made.role, 0).await?;
    tx.signer_floor(&made.collection, &made.role).await?;
    let known = tx.signer_keys(&made.collection, &made.role).await?;
    if let Some(key) = pick.of(&known) {
        return Ok(key);
    }
    let after = known.last().map_or(made.made_at, |last| last.made_at.saturating_add(1));
    let made = SignerKey { made_at: made.made_at.max(after), ..made.clone() };
    tx.add_signer_key(&made).await?;
    Ok(made)
}
