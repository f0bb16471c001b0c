//! A delegation whose file no reader takes any more begins anew, and nothing that was published before comes back by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use hallmark_oci::TrustRole;
use proptest::prelude::*;
use serde_json::json;

use crate::notary::FileState;
use crate::notary::publish::{Held, Life, NewFile, Published, Refused, Upload, check};

use super::keys::Key;
use super::kit::{DEEP, Draft, END, GUN, Keys, NOW, RELEASES, delegation, key_map};
use super::swizzler::{Row, Scene, refuses};

const LATER: &str = "2030-01-10T00:00:00Z";
const LATER_END: i64 = END + 9 * 86_400_000;

/// A delegation stands at version 5, by somebody whom its parent names no more; who is named begins it.
fn left() -> Scene {
    let mut scene = Scene::one_delegation();
    let mut standing = scene.keys.releases(5);
    standing.signers = vec![Key::ecdsa()];
    scene.published.insert(RELEASES, standing);
    scene.uploads.insert(RELEASES, scene.keys.releases(1));
    scene.edit(RELEASES, |file| file["expires"] = json!(LATER));
    scene
}

/// The same by whom its parent names, whose file nobody named meanwhile.
fn unnamed() -> Scene {
    let mut scene = left();
    scene.published.insert(RELEASES, scene.keys.releases(5));
    scene.unnames(RELEASES);
    scene
}

/// The same where the parent that is uploaded along names it again.
fn removed() -> Scene {
    let mut scene = left();
    scene.published.insert(RELEASES, scene.keys.releases(5));
    let mut targets = scene.keys.targets(1);
    targets.signed["delegations"] = json!({"keys": {}, "roles": []});
    scene.published.insert("targets", targets);
    scene.uploads.insert("targets", scene.keys.targets(2));
    scene
}

fn begun(scene: Scene, role: &str) -> NewFile {
    let plan = scene.check().unwrap();
    plan.files.into_iter().find(|file| file.state.role.as_str() == role).unwrap()
}

#[test]
fn a_delegation_that_no_reader_takes_begins_anew() {
    for scene in [left, unnamed, removed] {
        let file = begun(scene(), RELEASES);
        assert_eq!((file.state.version, file.begins_anew), (1, true));
        assert_eq!(file.life, Life { latest: LATER_END, before: END, lives: 1 });
    }
    let mut deep = Scene::one_delegation();
    deep.published.get_mut(DEEP).unwrap().signers = vec![Key::ecdsa()];
    deep.uploads = [(DEEP, deep.keys.deep(1))].into();
    deep.edit(DEEP, |file| file["expires"] = json!(LATER));
    assert!(begun(deep, DEEP).begins_anew, "also below another");
    let mut both = removed();
    both.uploads.insert(DEEP, both.keys.deep(1));
    both.edit(DEEP, |file| file["expires"] = json!(LATER));
    assert!(begun(both, DEEP).begins_anew, "whoever was reached by a role that was removed was not reached either");
}

#[test]
fn a_role_that_comes_back_has_no_file_in_the_client_s_snapshot_until_it_is_signed() {
    let back = || {
        let mut scene = Scene::with_snapshot();
        scene.uploads = [("targets", scene.keys.targets(2))].into();
        scene.by_snapshot(|files| drop(files.remove(&RELEASES.parse::<TrustRole>().unwrap())));
        scene
    };
    let mut scene = back();
    scene.unnames(RELEASES);
    assert!(!scene.check().unwrap().makes_snapshot);
    let refused = back().check().unwrap_err();
    assert_eq!(refused.to_string(), "the snapshot does not name targets/releases as it stands");
    // Where it names one all the same, it is the one that stands.
    let mut other = Scene::with_snapshot();
    other.uploads = [("targets", other.keys.targets(2))].into();
    other.unnames(RELEASES);
    other.edit("snapshot", |file| file["meta"][RELEASES]["length"] = json!(1));
    assert_eq!(other.check().unwrap_err().to_string(), "the snapshot does not name targets/releases as it stands");
}

#[test]
fn it_may_go_on_from_the_version_that_stands_too() {
    let mut scene = left();
    scene.uploads.insert(RELEASES, scene.keys.releases(6));
    let file = begun(scene, RELEASES);
    assert_eq!((file.state.version, file.begins_anew), (6, false));
    assert_eq!(file.life, Life { latest: LATER_END, before: 0, lives: 0 });
}

#[test]
fn a_file_that_expires_earlier_takes_nothing_from_how_long_others_were_to_hold() {
    let mut scene = Scene::one_delegation();
    scene.lived(RELEASES, LATER_END, 7);
    assert_eq!(begun(scene, RELEASES).life, Life { latest: LATER_END, before: 7, lives: 0 });
}

#[test]
fn nothing_else_begins_anew() {
    const OLD: &str = "Version: version 1 of targets/releases is not newer than the published version 5";
    let table: &[Row] = &[
        ("what whoever is named has signed", left, |s| drop(s.published.insert(RELEASES, s.keys.releases(5))), OLD),
        (
            "what enough of them have signed",
            left,
            |s| {
                let (mut standing, mut targets) = (s.keys.releases(5), s.keys.targets(1));
                let other = Key::ecdsa();
                targets.signed["delegations"] = json!({
                    "keys": key_map([&s.keys.releases, &other]),
                    "roles": [delegation(RELEASES, &[&s.keys.releases, &other], 2, &["v"])],
                });
                standing.signers.push(other.clone());
                s.uploads.get_mut(RELEASES).unwrap().signers.push(other);
                s.published.extend([("targets", targets), (RELEASES, standing)]);
            },
            OLD,
        ),
        (
            "at another version than the first",
            left,
            |s| s.edit(RELEASES, |file| file["version"] = json!(2)),
            "Version: version 2 of targets/releases is not newer than the published version 5",
        ),
        (
            "expiring with what stands",
            left,
            |s| s.edit(RELEASES, |file| file["expires"] = json!("2030-01-01T00:00:00Z")),
            OLD,
        ),
        ("expiring with what stood before", left, |s| s.lived(RELEASES, LATER_END, 0), OLD),
        (
            "for longer than clients let a file hold",
            left,
            |s| s.edit(RELEASES, |file| file["expires"] = json!("2030-02-01T00:00:00Z")),
            OLD,
        ),
        ("after what nobody knows of", left, |s| s.lived(RELEASES, i64::MAX, 0), OLD),
        (
            "above the count of the store",
            left,
            |s| s.stands_at(RELEASES, 1 << 32),
            "Version: version 1 of targets/releases is not newer than the published version 4294967296",
        ),
        (
            "by a stranger",
            left,
            |s| s.uploads.get_mut(RELEASES).unwrap().signers = vec![s.keys.stranger.clone()],
            "Targets: targets/releases: 0 valid signatures where 1 are needed",
        ),
        (
            "targets",
            Scene::next,
            |s| {
                s.published.get_mut("targets").unwrap().signers = vec![Key::ecdsa()];
                s.stands_at("targets", 5);
                s.edit("targets", |file| {
                    file["version"] = json!(1);
                    file["expires"] = json!(LATER);
                });
            },
            "Version: version 1 of targets is not newer than the published version 5",
        ),
        (
            "an old file above the version at which the role is since it began anew",
            left,
            |s| {
                s.lived(RELEASES, LATER_END + 1, LATER_END);
                s.edit(RELEASES, |file| file["version"] = json!(6));
            },
            "Targets: targets/releases: it expires no later than a file from before the role began anew",
        ),
    ];
    refuses(table);
}

/// Two who sign for the role by turns.
static SIGNERS: LazyLock<[Arc<Key>; 2]> = LazyLock::new(|| [Key::ecdsa(), Key::ecdsa()]);
static KEYS: LazyLock<Keys> = LazyLock::new(Keys::make);

/// What happens to a collection.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Its owner lets those of [`SIGNERS`] sign for the role whose bits are set.
    Names(usize),
    /// One of them publishes the version that follows.
    Next(usize),
    /// One of them begins.
    First(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Step::Names),
        2 => (0..2_usize).prop_map(Step::Next),
        3 => (0..2_usize).prop_map(Step::First),
    ]
}

/// A collection whose role is signed for by whoever of [`SIGNERS`] is named.
struct Collection {
    published: Published,
    expires: i64,
    once: Vec<Vec<u8>>,
}

impl Collection {
    fn new() -> Self {
        let mut new = Self { published: Published::default(), expires: NOW / 1_000 + 86_400, once: Vec::new() };
        let files = [("root", KEYS.root(1)), ("targets", new.targets(1, 0))];
        new.takes(files.map(|(role, draft)| (role, draft.seal())).into()).unwrap();
        new
    }

    /// `targets` that lets those sign whose bits are set.
    fn targets(&self, version: u64, named: usize) -> Draft {
        let mut draft = KEYS.targets(version);
        let keys: Vec<_> = (0..2).filter(|place| named >> place & 1 == 1).map(|place| &SIGNERS[place]).collect();
        let roles = if keys.is_empty() { json!([]) } else { json!([delegation(RELEASES, &keys, 1, &["v"])]) };
        draft.signed["delegations"] = json!({"keys": key_map(keys), "roles": roles});
        draft
    }

    fn version(&self, role: &str) -> u64 {
        self.published.states.get(&role.parse().unwrap()).map_or(0, |state| state.version)
    }

    /// A file of the role that expires later than all before it, as clients' clocks go.
    fn file(&mut self, version: u64, signer: usize) -> Vec<u8> {
        self.expires += 1;
        let mut draft = KEYS.deep(version);
        draft.signed["expires"] = json!(jiff::Timestamp::from_second(self.expires).unwrap().to_string());
        draft.signers = vec![SIGNERS[signer].clone()];
        draft.seal()
    }

    /// What is to be done for a publish.
    fn check(&self, uploads: BTreeMap<&str, Vec<u8>>) -> Result<Vec<NewFile>, Refused> {
        let uploads = uploads.into_iter().map(|(role, bytes)| Upload { role: role.parse().unwrap(), bytes }).collect();
        let held = Held { snapshot: [KEYS.snapshot.id()].into(), timestamp: [KEYS.timestamp.id()].into() };
        check(&GUN.parse().unwrap(), uploads, &self.published, (&held, &BTreeSet::new()), NOW).map(|plan| plan.files)
    }

    /// Publishes, and keeps what a store keeps.
    fn takes(&mut self, uploads: BTreeMap<&str, Vec<u8>>) -> Result<(), Refused> {
        for NewFile { state, bytes, life, .. } in self.check(uploads)? {
            self.published.lives.insert(state.role.clone(), life);
            if state.role == TrustRole::root() {
                self.published.root = Some(bytes);
            } else {
                self.published.targets.insert(state.role.clone(), bytes);
            }
            self.published.states.insert(state.role.clone(), state);
        }
        let named: Vec<&FileState> = self.published.states.values().collect();
        self.published.snapshot = Some(KEYS.snapshot(1, named).seal());
        Ok(())
    }

    fn takes_role(&mut self, bytes: Vec<u8>) -> Result<(), Refused> {
        self.takes([(RELEASES, bytes.clone())].into())?;
        self.once.push(bytes);
        Ok(())
    }

    /// Files that were published and would be taken again.
    fn come_back(&self) -> usize {
        self.once.iter().filter(|old| self.check([(RELEASES, (*old).clone())].into()).is_ok()).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_is_taken_twice_and_whoever_is_named_can_publish(steps in prop::collection::vec(step(), 1..16)) {
        let mut collection = Collection::new();
        let mut named = 0;
        for step in steps {
            match step {
                Step::Names(those) => {
                    let targets = collection.targets(collection.version("targets") + 1, those).seal();
                    collection.takes([("targets", targets)].into()).unwrap();
                    named = those;
                }
                Step::Next(signer) => {
                    let next = collection.version(RELEASES) + 1;
                    let file = collection.file(next, signer);
                    let taken = collection.takes_role(file);
                    prop_assert_eq!(taken.is_ok(), named >> signer & 1 == 1, "{:?}", taken);
                }
                Step::First(signer) => {
                    let stands = collection.published.targets.get(&RELEASES.parse().unwrap()).cloned();
                    let signs = |place: &usize| named >> place & 1 == 1;
                    let is_signed = stands.is_some_and(|bytes| {
                        let text = String::from_utf8(bytes).unwrap();
                        (0..2).filter(signs).any(|place| text.contains(&SIGNERS[place].id()))
                    });
                    let file = collection.file(1, signer);
                    let taken = collection.takes_role(file);
                    prop_assert_eq!(taken.is_ok(), signs(&signer) && !is_signed, "{:?}", taken);
                }
            }
            prop_assert_eq!(collection.come_back(), 0);
        }
    }
}
