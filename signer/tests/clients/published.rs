//! What the signer publishes, read by every client: flat and in bins, through rotations, renames and renewals.

use std::collections::BTreeMap;
use std::path::Path;

use hallmark_signer::keys::MasterKey;
use hallmark_signer::tuf::{
    BuildError, Files as Made, Keyholders, RootContent, RootRole, Standing, Target, VerifyError, check_successor,
    needed, payload, verify, with_signature,
};
use hallmark_signer::{RootPlan, Signer, TufChange, TufMode, TufRefused};
use hallmark_storage::metadata::{DatabaseConfig, Metadata};
use serde_json::Value;
use tempfile::TempDir;

use crate::forge::{Files, NOW, Pair, canonical};
use crate::ours::fetch;
use crate::strangers::{look, tough_finds};

const DOMAIN: &str = "tuf1/registry";
const DAY: i64 = 24 * 60 * 60 * 1_000;

/// A signer, and a registry that stores what it signs.
pub(crate) struct Registry {
    _folder: TempDir,
    pub(crate) signer: Signer,
    pub(crate) metadata: Metadata,
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) facts: BTreeMap<String, Target>,
    pub(crate) standing: BTreeMap<String, Vec<u8>>,
    pub(crate) served: Files,
    pub(crate) name: String,
    pub(crate) now: i64,
}

pub(crate) fn target(number: u64) -> Target {
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&number.to_be_bytes());
    Target {
        sha256,
        length: 400 + number,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        signer: "robot:acme+ci".to_owned(),
        signed_at: "2027-01-15T08:00:00Z".to_owned(),
        source: "signature".to_owned(),
    }
}

impl Registry {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = DatabaseConfig::Sqlite { path: folder.path().join("signer.db") };
        let metadata = Metadata::open(&place, NOW).await.unwrap();
        let signer = Signer::open(metadata.clone(), &MasterKey::new(&[7; 32]), NOW).await.unwrap();
        let root = signer.first_root(DOMAIN, "test", NOW).await.unwrap();
        Self {
            _folder: folder,
            signer,
            metadata,
            served: Files::from([("1.root.json".to_owned(), root.clone())]),
            roots: vec![root],
            facts: BTreeMap::new(),
            standing: BTreeMap::new(),
            name: "acme/web".to_owned(),
            now: NOW,
        }
    }

    fn change(&self, tags: &[&str], mode: TufMode) -> TufChange {
        let standing = self.standing.get("snapshot").map(|snapshot| {
            let roles = needed(snapshot, &self.name, tags.iter().copied()).unwrap();
            let files = roles.iter().filter_map(|role| Some((role.clone(), self.standing.get(role)?.clone())));
            Standing { snapshot: snapshot.clone(), files: files.collect() }
        });
        let changes: BTreeMap<String, Option<Target>> = match mode {
            TufMode::Anew => self.facts.iter().map(|(tag, target)| (tag.clone(), Some(target.clone()))).collect(),
            _ => tags.iter().map(|tag| ((*tag).to_owned(), self.facts.get(*tag).cloned())).collect(),
        };
        TufChange {
            domain: DOMAIN.to_owned(),
            collection: "tuf1/repository/7".to_owned(),
            repository: self.name.clone(),
            caller: "test".to_owned(),
            root: self.roots.last().unwrap().clone(),
            standing,
            changes,
            expected: 0,
            mode,
        }
    }

    /// One publish as it is asked for; whether it had to be made anew.
    pub(crate) async fn publish(&mut self, tags: &[&str], mode: TufMode) -> Option<String> {
        let mode = if self.standing.is_empty() { TufMode::Anew } else { mode };
        let (made, why) = match self.signer.publish(self.change(tags, mode), self.now).await {
            Err(TufRefused::Build(BuildError::Anew(why))) => {
                let why = why.to_string();
                (self.signer.publish(self.change(tags, TufMode::Anew), self.now).await, Some(why))
            }
            made => (made, None),
        };
        if let Some(made) = made.unwrap() {
            self.store(made);
        }
        why
    }

    pub(crate) fn store(&mut self, made: Made) {
        for (role, bytes) in made.files {
            let name =
                if role == "timestamp" { "timestamp.json".to_owned() } else { format!("{}.{role}.json", made.version) };
            self.served.insert(name, bytes.clone());
            self.standing.insert(role, bytes);
        }
    }

    /// Vouches for tags numbered so, and publishes them.
    pub(crate) async fn vouch(&mut self, numbers: std::ops::Range<u64>) -> Option<String> {
        let tags: Vec<String> = numbers.clone().map(|number| format!("v{number}")).collect();
        self.facts.extend(tags.iter().cloned().zip(numbers.map(target)));
        self.publish(&tags.iter().map(String::as_str).collect::<Vec<_>>(), TufMode::Upon).await
    }

    pub(crate) async fn take_root(&mut self, root: Vec<u8>) {
        let root =
            self.signer.endorse_root(DOMAIN, self.roots.last().unwrap(), &root, ("test", self.now)).await.unwrap();
        let content = check_successor(self.roots.last().unwrap(), &root).unwrap();
        self.served.insert(format!("{}.root.json", content.version), root.clone());
        self.roots.push(root);
        self.signer.retire(DOMAIN, self.roots.last().unwrap()).await.unwrap();
    }

    async fn rotate(&mut self, role: RootRole) {
        let plan = RootPlan { rotate: vec![role], ..RootPlan::default() };
        let root = self.signer.next_root(DOMAIN, self.roots.last().unwrap(), plan, ("test", self.now)).await.unwrap();
        self.take_root(root).await;
    }

    async fn found(&self, tag: &str, memory: &Path) -> Result<Target, VerifyError> {
        verify(&self.roots[0], (&self.name, tag), fetch(self.served.clone()), (memory, self.now)).await
    }

    /// Every client must find these, each beginning with the first root, and must not find what is not there.
    async fn all_find(&self, memory: &Path, numbers: &[u64]) {
        for number in numbers {
            assert_eq!(self.found(&format!("v{number}"), memory).await.unwrap(), target(*number));
            let path = format!("{}/v{number}", self.name);
            let sum = crate::forge::hex(&target(*number).sha256);
            assert_eq!(tough_finds(&self.roots[0], &self.served, &path).await, Ok(Some(sum.clone())), "tough, {path}");
            for stranger in ["python-tuf", "go-tuf"] {
                assert_eq!(
                    look(stranger, &self.roots[0], &self.served, &path),
                    format!("named {sum}"),
                    "{stranger}, {path}"
                );
            }
        }
        assert!(matches!(self.found("absent", memory).await, Err(VerifyError::Unnamed)));
    }

    fn bins(&self) -> usize {
        self.standing.keys().filter(|role| role.starts_with("bin-")).count()
    }

    fn version(&self, role: &str) -> u64 {
        let file: Value = serde_json::from_slice(&self.standing[role]).unwrap();
        file["signed"]["version"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn what_is_signed_is_in_canonical_form_as_it_stands() {
    let mut registry = Registry::open().await;
    registry.vouch(0..1_200).await;
    for (role, bytes) in &registry.standing {
        let file: Value = serde_json::from_slice(bytes).unwrap();
        let signed = String::from_utf8(canonical(&file["signed"])).unwrap();
        assert!(String::from_utf8(bytes.clone()).unwrap().ends_with(&format!("\"signed\":{signed}}}")), "{role}");
    }
}

#[tokio::test]
async fn tags_past_a_thousand_stand_in_bins_and_a_move_costs_one_of_them() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..900).await;
    assert_eq!(registry.bins(), 0);
    registry.all_find(memory.path(), &[0, 899]).await;
    assert_eq!(registry.vouch(900..1_100).await.as_deref(), Some("a role names too many tags"));
    assert_eq!(registry.bins(), 16);
    registry.all_find(memory.path(), &[0, 899, 1_099]).await;
    let before = registry.standing.clone();
    registry.now += 5_000;
    registry.facts.insert("v7".to_owned(), target(77));
    assert_eq!(registry.publish(&["v7"], TufMode::Upon).await, None);
    let changed = |role: &&String| registry.standing[*role] != before[*role];
    let changed: Vec<&str> = registry.standing.keys().filter(changed).map(String::as_str).collect();
    assert_eq!((changed.len(), &changed[1..]), (3, ["snapshot", "timestamp"].as_slice()));
    assert!(changed[0].starts_with("bin-"), "{changed:?}");
    assert_eq!(registry.found("v7", memory.path()).await.unwrap(), target(77));
    registry.facts.remove("v7");
    registry.publish(&["v7"], TufMode::Upon).await;
    assert!(matches!(registry.found("v7", memory.path()).await, Err(VerifyError::Unnamed)));
    assert_eq!(registry.publish(&["v7"], TufMode::Upon).await, None);
}

#[tokio::test]
async fn bins_that_grow_too_large_are_four_times_as_many_and_a_client_follows() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..15_000).await;
    assert_eq!(registry.bins(), 16);
    registry.all_find(memory.path(), &[1]).await;
    assert_eq!(registry.vouch(15_000..35_000).await.as_deref(), Some("a role names too many tags"));
    assert_eq!(registry.bins(), 16 + 64, "the old ones stay named");
    registry.all_find(memory.path(), &[1, 34_999]).await;
    registry.facts.retain(|tag, _| tag.len() < 3);
    registry.publish(&[], TufMode::Anew).await;
    assert_eq!(registry.bins(), 16 + 64, "they are never fewer again");
    registry.all_find(memory.path(), &[1]).await;
}

#[tokio::test]
async fn every_role_gets_a_new_key_and_clients_follow_from_the_first_root() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..3).await;
    registry.all_find(memory.path(), &[1]).await;
    for role in [RootRole::Root, RootRole::Timestamp, RootRole::Snapshot, RootRole::Targets] {
        registry.rotate(role).await;
        registry.now += DAY;
        let why = registry.publish(&[], TufMode::Renewal).await;
        let is_anew = matches!(role, RootRole::Snapshot | RootRole::Targets);
        assert_eq!(why.is_some(), is_anew, "{role:?}: {why:?}");
        registry.all_find(memory.path(), &[1]).await;
    }
    registry.signer.rotate_tags(DOMAIN, registry.now).await.unwrap();
    assert_eq!(
        registry.publish(&[], TufMode::Renewal).await.as_deref(),
        Some("targets hands the tags to another name or key")
    );
    registry.all_find(memory.path(), &[1]).await;
    for role in ["root", "targets", "snapshot", "timestamp"] {
        assert_eq!(
            registry.metadata.signer_keys(DOMAIN, role).await.unwrap().len(),
            1,
            "{role}: the old key is destroyed"
        );
    }
}

#[tokio::test]
async fn people_take_the_root_over_and_two_of_three_must_sign() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..3).await;
    let people: Vec<Pair> = (1..4).map(Pair::ed25519).collect();
    let keys = people.iter().map(|person| person.document.clone()).collect();
    let plan = RootPlan { holders: Some(Keyholders { keys, threshold: 2 }), days: Some(365), ..RootPlan::default() };
    let draft = registry.signer.next_root(DOMAIN, &registry.roots[0], plan, ("test", NOW)).await.unwrap();
    let message = payload(&draft).unwrap();
    let signed = |root: Vec<u8>, by: &[usize]| {
        by.iter().fold(root, |root, who| {
            with_signature(&root, &people[*who].id(), &people[*who].sign_bytes(&message)).unwrap()
        })
    };
    let first = registry.roots[0].clone();
    let one = signed(draft.clone(), &[0]);
    registry.signer.endorse_root(DOMAIN, &first, &one, ("test", NOW)).await.unwrap_err();
    assert!(check_successor(&first, &one).unwrap_err().to_string().contains("valid signatures where"));
    registry.take_root(signed(draft, &[0, 2])).await;
    assert!(registry.metadata.signer_keys(DOMAIN, "root").await.unwrap().is_empty(), "no root key is online any more");
    registry.all_find(memory.path(), &[1]).await;

    let plan = RootPlan { rotate: vec![RootRole::Timestamp], days: Some(365), ..RootPlan::default() };
    let draft = registry.signer.next_root(DOMAIN, registry.roots.last().unwrap(), plan, ("test", NOW)).await.unwrap();
    let message = payload(&draft).unwrap();
    let alone =
        registry.signer.endorse_root(DOMAIN, registry.roots.last().unwrap(), &draft, ("test", NOW)).await.unwrap();
    assert!(check_successor(registry.roots.last().unwrap(), &alone).is_err(), "the signer alone changes nothing");
    let both = [1, 2].iter().fold(draft, |root, who| {
        with_signature(&root, &people[*who].id(), &people[*who].sign_bytes(&message)).unwrap()
    });
    registry.take_root(both).await;
    registry.publish(&[], TufMode::Renewal).await;
    registry.all_find(memory.path(), &[2]).await;
}

#[tokio::test]
async fn a_root_under_which_the_signer_could_not_work_is_not_endorsed() {
    let registry = Registry::open().await;
    let first = registry.roots[0].clone();
    let draft = |change: fn(&mut Value)| {
        let mut root: Value = serde_json::from_slice(&first).unwrap();
        root["signatures"] = serde_json::json!([]);
        root["signed"]["version"] = serde_json::json!(2);
        change(&mut root["signed"]);
        serde_json::to_vec(&root).unwrap()
    };
    let endorse = async |root: Vec<u8>| registry.signer.endorse_root(DOMAIN, &first, &root, ("test", NOW)).await;
    endorse(draft(|_| {})).await.unwrap();
    let foreign = |root: &mut Value| {
        let pair = Pair::ed25519(9);
        root["keys"][pair.id()] = pair.document.clone();
        root["roles"]["timestamp"]["keyids"] = serde_json::json!([pair.id()]);
    };
    assert!(matches!(endorse(draft(foreign)).await, Err(TufRefused::NoKey("timestamp"))));
    let beside = |root: &mut Value| {
        let pair = Pair::ed25519(9);
        root["keys"][pair.id()] = pair.document.clone();
        root["roles"]["snapshot"]["keyids"].as_array_mut().unwrap().push(serde_json::json!(pair.id()));
    };
    assert!(matches!(endorse(draft(beside)).await, Err(TufRefused::NoKey("snapshot"))), "one beside ours");
    let twice = |root: &mut Value| {
        let own = root["roles"]["targets"]["keyids"][0].clone();
        root["roles"]["targets"]["keyids"].as_array_mut().unwrap().push(own);
    };
    assert!(matches!(endorse(draft(twice)).await, Err(TufRefused::Root(_))), "a key twice");
    let refused: [fn(&mut Value); 9] = [
        |root| root["consistent_snapshot"] = serde_json::json!(false),
        |root| drop(root.as_object_mut().unwrap().remove("consistent_snapshot")),
        |root| root["x-unknown"] = serde_json::json!("signed as well"),
        |root| root["keys"]["0"] = serde_json::json!({"keytype": "of nobody"}),
        |root| root["version"] = serde_json::json!(3),
        |root| root["expires"] = serde_json::json!("2020-01-01T00:00:00Z"),
        |root| root["expires"] = serde_json::json!("2099-01-01T00:00:00Z"),
        |root| root["roles"]["root"]["threshold"] = serde_json::json!(0),
        |root| root["roles"]["root"]["threshold"] = serde_json::json!(2),
    ];
    for change in refused {
        endorse(draft(change)).await.unwrap_err();
    }
}

#[tokio::test]
async fn another_name_has_metadata_of_its_own_and_names_nothing_under_the_old() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..3).await;
    registry.name = "acme/site".to_owned();
    assert_eq!(
        registry.publish(&["v1"], TufMode::Upon).await.as_deref(),
        Some("targets hands the tags to another name or key")
    );
    registry.all_find(memory.path(), &[1]).await;
    registry.name = "acme/web".to_owned();
    assert!(matches!(registry.found("v1", memory.path()).await, Err(VerifyError::Unnamed)));
}

#[tokio::test]
async fn a_renewal_signs_no_name_again_until_three_months_before_the_end() {
    let mut registry = Registry::open().await;
    let memory = tempfile::tempdir().unwrap();
    registry.vouch(0..3).await;
    let tags = registry.version("tags");
    for _ in 0..2 {
        registry.now += 20 * DAY;
        assert_eq!(registry.publish(&[], TufMode::Renewal).await, None);
        assert_eq!(registry.version("tags"), tags);
        assert_eq!(registry.found("v1", memory.path()).await.unwrap(), target(1));
    }
    registry.now = NOW + (3 * 365 - 89) * DAY;
    assert_eq!(registry.publish(&[], TufMode::Renewal).await.as_deref(), Some("it nears its end"));
    assert!(registry.version("tags") > tags);
    assert_eq!(registry.found("v1", memory.path()).await.unwrap(), target(1));
}

#[tokio::test]
async fn files_that_were_changed_or_set_back_are_not_built_on() {
    let mut registry = Registry::open().await;
    registry.vouch(0..3).await;
    let old = registry.standing.clone();
    registry.now += 5_000;
    registry.vouch(3..4).await;
    registry.now += 5_000;
    registry.vouch(4..5).await;
    let now = registry.standing.clone();
    registry.standing = old.clone();
    let refused = registry.signer.publish(registry.change(&["v1"], TufMode::Renewal), registry.now).await;
    assert!(matches!(refused, Err(TufRefused::Falling { .. })), "{refused:?}");
    for role in ["targets", "tags", "snapshot"] {
        registry.standing = now.clone();
        let text = String::from_utf8(registry.standing[role].clone()).unwrap();
        registry.standing.insert(
            role.to_owned(),
            text.replace("2029-", "2039-").replace("2027-", "2037-").replace("2030-", "2040-").into_bytes(),
        );
        let refused = registry.signer.publish(registry.change(&["v1"], TufMode::Renewal), registry.now).await;
        assert!(matches!(refused, Err(TufRefused::Build(BuildError::Anew(_)))), "{role}: {refused:?}");
    }
    registry.standing = now;
    registry.standing.insert("tags".to_owned(), old["tags"].clone());
    let refused = registry.signer.publish(registry.change(&["v1"], TufMode::Renewal), registry.now).await;
    assert!(matches!(refused, Err(TufRefused::Build(BuildError::Anew(_)))), "{refused:?}");
}

#[tokio::test]
async fn each_signature_is_written_down_with_the_key_that_made_it() {
    let mut registry = Registry::open().await;
    registry.vouch(0..3).await;
    let root = RootContent::read(&registry.roots[0]).unwrap();
    for (role, of) in
        [("targets", RootRole::Targets), ("snapshot", RootRole::Snapshot), ("timestamp", RootRole::Timestamp)]
    {
        let log = registry.metadata.signer_log("tuf1/repository/7", role, 10).await.unwrap();
        assert_eq!(log.len(), 1, "{role}");
        assert_eq!((vec![log[0].key_id.clone()], log[0].caller.as_str()), (root.ids(of), "test"));
        assert_eq!(log[0].sha256, signed_sum(&registry.standing[role]), "{role}");
    }
    let log = registry.metadata.signer_log(DOMAIN, "root", 10).await.unwrap();
    assert_eq!((log.len(), log[0].version), (1, 1));
    assert_eq!(log[0].sha256, signed_sum(&registry.roots[0]));
}

/// The sum of what of a file is signed, and not of the file with its signatures.
fn signed_sum(file: &[u8]) -> Vec<u8> {
    let file: Value = serde_json::from_slice(file).unwrap();
    ring::digest::digest(&ring::digest::SHA256, &canonical(&file["signed"])).as_ref().to_vec()
}

#[tokio::test]
async fn what_is_made_anew_keeps_the_roles_that_clients_have_seen_and_nothing_else() {
    let mut registry = Registry::open().await;
    registry.vouch(0..3).await;
    let line =
        |version: u64, sum: &str| serde_json::json!({"hashes": {"sha256": sum}, "length": 1, "version": version});
    let sum = "0".repeat(64);
    let mut snapshot: Value = serde_json::from_slice(&registry.standing["snapshot"]).unwrap();
    let meta = snapshot["signed"]["meta"].as_object_mut().unwrap();
    for bin in 0..16 {
        meta.insert(format!("bin-{bin:x}.json"), line(7, &sum));
    }
    let foreign =
        ["other.json", "a\"b.json", "bin-zz.json", "bin-0000.json", "bin-A.json", "bin-.json", "root.json", "tags"];
    meta.extend(foreign.iter().map(|name| ((*name).to_owned(), line(7, &sum))));
    meta.insert("bin-01.json".to_owned(), line(u64::MAX, &sum));
    meta.insert("bin-02.json".to_owned(), line(7, "a\"b"));
    let snapshot = serde_json::to_vec(&snapshot).unwrap();
    let standing = Some(Standing { snapshot, files: BTreeMap::new() });
    let change = TufChange { standing, ..registry.change(&[], TufMode::Anew) };
    let made = registry.signer.publish(change, registry.now).await.unwrap().unwrap();
    registry.store(made);
    let made: Value = serde_json::from_slice(&registry.standing["snapshot"]).unwrap();
    let named: Vec<&String> = made["signed"]["meta"].as_object().unwrap().keys().collect();
    let bins = (0..16).map(|bin| format!("bin-{bin:x}.json"));
    let expected: Vec<String> = bins.chain(["tags.json", "targets.json"].map(str::to_owned)).collect();
    assert_eq!(named, expected.iter().collect::<Vec<_>>());
    let text = String::from_utf8(canonical(&made["signed"])).unwrap();
    assert!(String::from_utf8(registry.standing["snapshot"].clone()).unwrap().ends_with(&format!("{text}}}")));
}
