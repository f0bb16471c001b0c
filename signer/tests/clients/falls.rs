//! Cases of versions that fall: what was seen once is not taken back, but where keys are new.

use serde_json::json;

use crate::cases::Expected::{Named, Refused};
use crate::cases::{Case, twice};
use crate::forge::{Forge, PATH, Pair, next};

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![
        twice(
            "a newer publish",
            |forge| {
                next(forge.roles.get_mut("tags").unwrap());
                forge.say("tags", PATH, 2);
                forge.publish();
            },
            Named(2),
        ),
        twice("the same files again", |_| {}, Named(1)),
        twice(
            "another timestamp of the same version",
            |forge| {
                forge.timestamp["expires"] = json!("2031-01-01T00:00:00Z");
                forge.seal_timestamp();
            },
            Named(1),
        ),
    ];
    let mut forge = Forge::new();
    let old = forge.files.clone();
    forge.publish_timestamp();
    let case = Case::new("a timestamp that falls", &forge).then(&forge, Named(1));
    forge.files = old;
    cases.push(case.then(&forge, Refused("falls from version 2 to 1")));

    let mut forge = Forge::new();
    forge.publish_snapshot();
    let case = Case::new("a snapshot that falls", &forge).then(&forge, Named(1));
    let line = forge.timestamp["meta"]["snapshot.json"].clone();
    forge.timestamp["meta"]["snapshot.json"]["version"] = json!(1);
    let mut older = line;
    older["version"] = json!(1);
    older.as_object_mut().unwrap().remove("hashes");
    older.as_object_mut().unwrap().remove("length");
    forge.timestamp["meta"]["snapshot.json"] = older;
    forge.publish_timestamp();
    cases.push(case.then(&forge, Refused("falls from version 2 to 1")));

    let mut forge = Forge::new();
    let old = forge.timestamp["meta"].clone();
    forge.publish_snapshot();
    let case = Case::new("a newer timestamp that names the whole snapshot of before", &forge).then(&forge, Named(1));
    forge.timestamp["meta"] = old;
    forge.publish_timestamp();
    cases.push(case.then(&forge, Refused("falls from version 2 to 1")));

    let mut forge = Forge::new();
    next(forge.roles.get_mut("tags").unwrap());
    forge.publish();
    let case = Case::new("a delegated role that falls", &forge).then(&forge, Named(1));
    forge.roles.get_mut("tags").unwrap()["version"] = json!(1);
    forge.publish();
    cases.push(case.then(&forge, Refused("falls from version 2 to 1")));

    cases.push(twice(
        "a role that vanishes",
        |forge| {
            forge.snapshot["meta"].as_object_mut().unwrap().remove("tags.json");
            forge.publish_snapshot();
        },
        Refused("no more"),
    ));

    let mut forge = Forge::new();
    forge.timestamp["version"] = json!(1_000_000);
    forge.seal_timestamp();
    let case = Case::new("versions that were run ahead, and new keys after it", &forge).then(&forge, Named(1));
    forge.keys.insert("timestamp".to_owned(), vec![Pair::ed25519(50)]);
    forge.name_keys();
    next(&mut forge.root);
    forge.seal_root();
    forge.timestamp["version"] = json!(3);
    forge.seal_timestamp();
    cases.push(case.then(&forge, Named(1)));
    cases.extend([
        recovered("snapshots that were run ahead, and new keys for them and the timestamp", &["snapshot", "timestamp"]),
        recovered("snapshots that were run ahead, and new keys for them alone", &["snapshot"]),
    ]);

    let mut forge = Forge::new();
    forge.roles.get_mut("targets").unwrap()["version"] = json!(1_000_000);
    forge.publish();
    let case = Case::new("targets that were run ahead, and new keys for snapshots after it", &forge);
    let case = case.then(&forge, Named(1));
    forge.roles.get_mut("targets").unwrap()["version"] = json!(2);
    renew_keys(&mut forge, &["snapshot"]);
    forge.publish();
    cases.push(case.then(&forge, Named(1)));

    let mut forge = Forge::new();
    forge.roles.get_mut("targets").unwrap()["version"] = json!(2);
    forge.publish();
    let case = Case::new("top-level targets that fall", &forge).then(&forge, Named(1));
    forge.roles.get_mut("targets").unwrap()["version"] = json!(1);
    forge.publish();
    cases.push(case.then(&forge, Refused("falls from version 2 to 1")));
    cases
}

/// The next root, with new keys for these roles.
fn renew_keys(forge: &mut Forge, roles: &[&str]) {
    for (number, role) in (50_u8..).zip(roles) {
        forge.keys.insert((*role).to_owned(), vec![Pair::ed25519(number)]);
    }
    forge.name_keys();
    next(&mut forge.root);
    forge.seal_root();
}

/// A snapshot whose version somebody ran ahead, and a root that gives these roles new keys, after which versions go on as before.
fn recovered(name: &'static str, roles: &[&str]) -> Case {
    let mut forge = Forge::new();
    forge.snapshot["version"] = json!(1_000_000);
    forge.publish_snapshot();
    let case = Case::new(name, &forge).then(&forge, Named(1));
    renew_keys(&mut forge, roles);
    forge.snapshot["version"] = json!(2);
    forge.publish_snapshot();
    case.then(&forge, Named(1))
}
