//! Takes a good publish and breaks it by name.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::TrustRole;
use serde_json::Value as Json;

use crate::notary::FileState;
use crate::notary::publish::{Held, Life, Plan, Published, Refused, Upload, check};

use super::kit::{DEEP, Draft, END, GUN, Keys, NOW, RELEASES};

type Edit = Box<dyn FnOnce(&mut Json)>;
type Damage = Box<dyn FnOnce(&mut Vec<u8>)>;

/// A publish, and what it meets. Nothing is sealed before [`Scene::check`], so that whatever is edited is also signed.
pub(super) struct Scene {
    pub(super) keys: Keys,
    pub(super) gun: &'static str,
    pub(super) now: i64,
    /// What is published before; a snapshot of it is added.
    pub(super) published: BTreeMap<&'static str, Draft>,
    /// What is uploaded.
    pub(super) uploads: BTreeMap<&'static str, Draft>,
    /// Whether a snapshot by the client is among it.
    pub(super) by_client: bool,
    /// The keys that the server can sign with.
    pub(super) held: Held,
    /// The keys by which only the registry publishes.
    pub(super) registry: BTreeSet<String>,
    /// Says other things of the files that hold than they are.
    states: Vec<(&'static str, u64)>,
    /// How long what was published for a role was to hold, where that is not [`END`].
    lives: Vec<(&'static str, Life)>,
    /// Whether the snapshot that holds names this role no more.
    unnamed: Option<&'static str>,
    /// Changes which files a client's snapshot names.
    leaves_out: Option<fn(&mut BTreeMap<TrustRole, FileState>)>,
    edits: Vec<(&'static str, Edit)>,
    damages: Vec<(&'static str, Damage)>,
}

impl Scene {
    fn of(uploads: fn(&Keys) -> BTreeMap<&'static str, Draft>, publishes: bool) -> Self {
        let keys = Keys::make();
        let all = |keys: &Keys| {
            let targets = [("targets", keys.targets(1)), (RELEASES, keys.releases(1)), (DEEP, keys.deep(1))];
            [("root", keys.root(1))].into_iter().chain(targets).collect()
        };
        let held = Held { snapshot: [keys.snapshot.id()].into(), timestamp: [keys.timestamp.id()].into() };
        Self {
            gun: GUN,
            now: NOW,
            published: if publishes { all(&keys) } else { BTreeMap::new() },
            uploads: uploads(&keys),
            by_client: false,
            held,
            registry: BTreeSet::new(),
            states: Vec::new(),
            lives: Vec::new(),
            unnamed: None,
            leaves_out: None,
            edits: Vec::new(),
            damages: Vec::new(),
            keys,
        }
    }

    /// The first publish of a collection.
    pub(super) fn first() -> Self {
        Self::of(|keys| [("root", keys.root(1)), ("targets", keys.targets(1))].into(), false)
    }

    /// Every role of targets anew.
    pub(super) fn next() -> Self {
        let targets =
            |keys: &Keys| [("targets", keys.targets(2)), (RELEASES, keys.releases(2)), (DEEP, keys.deep(2))].into();
        Self::of(targets, true)
    }

    /// One delegation anew.
    pub(super) fn one_delegation() -> Self {
        Self::of(|keys| [(RELEASES, keys.releases(2))].into(), true)
    }

    /// Another key for the root role, with the signatures of both.
    pub(super) fn rotation() -> Self {
        let mut scene = Self::of(|_| BTreeMap::new(), true);
        let old = std::mem::replace(&mut scene.keys.root, super::keys::Key::certified(|_| ()));
        let mut root = scene.keys.root(2);
        root.signers.push(old);
        scene.uploads.insert("root", root);
        scene
    }

    /// [`Scene::next`] with a snapshot whose key is the client's.
    pub(super) fn with_snapshot() -> Self {
        let mut scene = Self::next();
        scene.by_client = true;
        scene.held.snapshot.clear();
        scene
    }

    /// Changes what an uploaded file says, before it is signed.
    pub(super) fn edit(&mut self, role: &'static str, edit: impl FnOnce(&mut Json) + 'static) {
        self.edits.push((role, Box::new(edit)));
    }

    /// Changes the bytes of an uploaded file, after it was signed.
    pub(super) fn damage(&mut self, role: &'static str, damage: impl FnOnce(&mut Vec<u8>) + 'static) {
        self.damages.push((role, Box::new(damage)));
    }

    /// Replaces a text in the bytes of an uploaded file, after it was signed.
    pub(super) fn replace(&mut self, role: &'static str, from: impl Into<String>, to: impl Into<String>) {
        let (from, to) = (from.into(), to.into());
        self.damage(role, move |bytes| {
            let text = String::from_utf8(std::mem::take(bytes)).unwrap();
            assert!(text.contains(&from), "{from} is not in {text}");
            *bytes = text.replacen(&from, &to, 1).into_bytes();
        });
    }

    /// Lets a role that is published be of another version.
    pub(super) fn stands_at(&mut self, role: &'static str, version: u64) {
        self.states.push((role, version));
    }

    /// Says how long what was published for a role was to hold.
    pub(super) fn lived(&mut self, role: &'static str, latest: i64, before: i64) {
        self.lives.push((role, Life { latest, before, lives: 0 }));
    }

    /// Lets the snapshot that holds name a role no more.
    pub(super) fn unnames(&mut self, role: &'static str) {
        self.unnamed = Some(role);
    }

    /// Changes which files the client's snapshot names.
    pub(super) fn by_snapshot(&mut self, leaves_out: fn(&mut BTreeMap<TrustRole, FileState>)) {
        self.leaves_out = Some(leaves_out);
    }

    /// What the check makes of it.
    pub(super) fn check(mut self) -> Result<Plan, Refused> {
        let published = self.published();
        let mut uploads = Vec::new();
        for (role, mut draft) in std::mem::take(&mut self.uploads) {
            self.rework(role, &mut draft);
            uploads.push(self.upload(role, &draft));
        }
        if self.by_client {
            let mut states = published.states.clone();
            states.retain(|role, _| role.as_str() == "root" || role.names_targets());
            for Upload { role, bytes } in &uploads {
                states.insert(role.clone(), FileState::of(role.clone(), 0, bytes));
            }
            if let Some(leave_out) = self.leaves_out {
                leave_out(&mut states);
            }
            let mut draft = self.keys.snapshot(2, states.values());
            self.rework("snapshot", &mut draft);
            uploads.push(self.upload("snapshot", &draft));
        }
        assert!(self.edits.is_empty() && self.damages.is_empty(), "every damage meets a file");
        check(&self.gun.parse().unwrap(), uploads, &published, (&self.held, &self.registry), self.now)
    }

    fn rework(&mut self, role: &str, draft: &mut Draft) {
        for (_, edit) in self.edits.extract_if(.., |(edited, _)| *edited == role) {
            edit(&mut draft.signed);
        }
    }

    fn upload(&mut self, role: &'static str, draft: &Draft) -> Upload {
        let mut bytes = draft.seal();
        for (_, damage) in self.damages.extract_if(.., |(damaged, _)| *damaged == role) {
            damage(&mut bytes);
        }
        Upload { role: role.parse().unwrap(), bytes }
    }

    fn published(&self) -> Published {
        let sealed: BTreeMap<TrustRole, (u64, Vec<u8>)> = self
            .published
            .iter()
            .map(|(role, draft)| (role.parse().unwrap(), (draft.signed["version"].as_u64().unwrap_or(1), draft.seal())))
            .collect();
        let mut states: BTreeMap<_, _> = sealed
            .iter()
            .map(|(role, (version, bytes))| (role.clone(), FileState::of(role.clone(), *version, bytes)))
            .collect();
        let mut snapshot = None;
        if !states.is_empty() {
            let role: TrustRole = "snapshot".parse().unwrap();
            let named = states.values().filter(|state| Some(state.role.as_str()) != self.unnamed);
            let bytes = self.keys.snapshot(1, named).seal();
            states.insert(role.clone(), FileState::of(role, 1, &bytes));
            snapshot = Some(bytes);
        }
        let mut lives: BTreeMap<_, _> =
            states.keys().map(|role| (role.clone(), Life { latest: END, before: 0, lives: 0 })).collect();
        lives.extend(self.lives.iter().map(|(role, life)| (role.parse().unwrap(), *life)));
        for (role, version) in &self.states {
            states.get_mut(&role.parse().unwrap()).unwrap().version = *version;
        }
        let mut bodies: BTreeMap<_, _> = sealed.into_iter().map(|(role, (_, bytes))| (role, bytes)).collect();
        let root = bodies.remove(&TrustRole::root());
        Published { root, snapshot, targets: bodies, states, lives }
    }
}

/// One damage and the refusal that it must meet: the variant, and how its text begins.
pub(super) type Row = (&'static str, fn() -> Scene, fn(&mut Scene), &'static str);

/// Checks every row of a table, and tells all that failed at once.
pub(super) fn refuses(table: &[Row]) {
    let mut failures = Vec::new();
    for (name, scene, damage, expected) in table {
        let mut scene = scene();
        damage(&mut scene);
        let found = match scene.check() {
            Ok(_) => "it is taken".to_owned(),
            Err(refused) => told(&refused),
        };
        if !found.starts_with(expected) {
            failures.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The variant's name and its text.
fn told(refused: &Refused) -> String {
    let variant = match refused {
        Refused::Json { .. } => "Json",
        Refused::Root(_) => "Root",
        Refused::Targets(_) => "Targets",
        Refused::Snapshot(_) => "Snapshot",
        Refused::Hierarchy { .. } => "Hierarchy",
        Refused::Validation(_) => "Validation",
        Refused::Version { .. } => "Version",
    };
    format!("{variant}: {refused}")
}
