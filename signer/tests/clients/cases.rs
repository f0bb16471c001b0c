//! Repositories that are whole or broken, each by its name, with what a client must make of them. They follow the cases that
//! conformance tests of TUF clients have.

use serde_json::{Value, json};

use crate::forge::{Files, Forge, LATER, OVER, Pair, next, sealed};

/// What a client must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The path means this number.
    Named(u8),
    /// Nobody names the path.
    Unnamed,
    /// The files are refused, for a reason in which ours says this.
    Refused(&'static str),
}

/// A client that updates once for each step from one trusted root.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) root: Vec<u8>,
    pub(crate) steps: Vec<(Files, Expected)>,
}

impl Case {
    pub(crate) fn new(name: &'static str, forge: &Forge) -> Self {
        Self { name, root: forge.file("1.root.json"), steps: Vec::new() }
    }

    pub(crate) fn then(mut self, forge: &Forge, expected: Expected) -> Self {
        self.steps.push((forge.files.clone(), expected));
        self
    }
}

use Expected::{Named, Refused};

/// A case of one step: a good repository, changed, and published again.
pub(crate) fn once(name: &'static str, change: impl FnOnce(&mut Forge), expected: Expected) -> Case {
    let mut forge = Forge::new();
    change(&mut forge);
    Case::new(name, &forge).then(&forge, expected)
}

/// A case of two: the good repository is seen first.
pub(crate) fn twice(name: &'static str, change: impl FnOnce(&mut Forge), expected: Expected) -> Case {
    let mut forge = Forge::new();
    let case = Case::new(name, &forge).then(&forge, Named(1));
    change(&mut forge);
    case.then(&forge, expected)
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = forms();
    cases.extend(signatures());
    cases.extend(keys());
    cases.extend(times());
    cases.extend(super::falls::all());
    cases.extend(sums());
    cases.extend(roots());
    cases.extend(super::thresholds::all());
    cases.extend(super::delegations::all());
    cases
}

/// Puts other bytes in the place of a file that nothing but its name tells.
fn replace(forge: &mut Forge, file: &str, with: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = with(forge.file(file));
    forge.files.insert(file.to_owned(), bytes);
}

fn forms() -> Vec<Case> {
    let timestamp = |name, with: fn(Vec<u8>) -> Vec<u8>, expected| {
        once(name, |forge| replace(forge, "timestamp.json", with), expected)
    };
    let says = |name, key: &'static str, value: Value, expected| {
        once(
            name,
            |forge| {
                forge.timestamp[key] = value;
                forge.seal_timestamp();
            },
            expected,
        )
    };
    vec![
        once("a whole repository", |_| {}, Named(1)),
        timestamp("bad JSON", |_| b"{\"signed\":".to_vec(), Refused("no metadata")),
        timestamp("an empty file", |_| Vec::new(), Refused("no metadata")),
        timestamp("extra bytes behind the JSON", |bytes| [&bytes, b"x".as_slice()].concat(), Refused("no metadata")),
        timestamp(
            "another layout of the same JSON",
            |bytes| serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&bytes).unwrap()).unwrap(),
            Named(1),
        ),
        once("no timestamp", |forge| drop(forge.files.remove("timestamp.json")), Refused("not there")),
        once("no snapshot", |forge| drop(forge.files.remove("1.snapshot.json")), Refused("not there")),
        once("no targets", |forge| drop(forge.files.remove("1.targets.json")), Refused("not there")),
        once("no delegated role", |forge| drop(forge.files.remove("1.tags.json")), Refused("not there")),
        says("a field that nobody knows", "x-unknown", json!({"deep": ["ü", 1]}), Named(1)),
        says("letters in two parts", "x-unknown", json!({"u\u{308}": ["e\u{301}"]}), Named(1)),
        says("quotes and ends of lines", "x-unknown", json!("\"\\\n\t\u{1}\u{7f}"), Named(1)),
        timestamp(
            "letters written as numbers",
            |bytes| String::from_utf8(bytes).unwrap().replace("timestamp", "\\u0074imestamp").into_bytes(),
            Named(1),
        ),
        timestamp(
            "a member twice, of which the last is signed",
            |bytes| {
                String::from_utf8(bytes)
                    .unwrap()
                    .replace("\"version\":1}}", "\"version\":9,\"version\":1}}")
                    .into_bytes()
            },
            Named(1),
        ),
        says("another type", "_type", json!("snapshot"), Refused("says that it is of the role")),
        says("a type in capitals", "_type", json!("Timestamp"), Refused("says that it is of the role")),
        says("another specification", "spec_version", json!("2.0.0"), Refused("specification")),
        says("a version below one", "version", json!(0), Refused("at least 1")),
        says("a version that is text", "version", json!("1"), Refused("no metadata")),
        timestamp(
            "a fraction for a version",
            |bytes| String::from_utf8(bytes).unwrap().replace("\"version\":1}", "\"version\":1.5}").into_bytes(),
            Refused("no metadata"),
        ),
        says("a time with fractions", "expires", json!("2030-01-01T00:00:00.5Z"), Refused("YYYY")),
        says("a time with an offset", "expires", json!("2030-01-01T00:00:00+01:00"), Refused("YYYY")),
        says("no meta", "meta", json!({}), Refused("snapshot alone")),
    ]
}

fn signatures() -> Vec<Case> {
    let by = |name, keys: Vec<Pair>, expected| {
        once(
            name,
            move |forge| {
                forge.keys.insert("timestamp".to_owned(), keys);
                forge.seal_timestamp();
            },
            expected,
        )
    };
    let both = |name, threshold: u64, keys: fn() -> Vec<Pair>, signers: usize, expected| {
        once(
            name,
            move |forge| {
                forge.keys.insert("timestamp".to_owned(), keys());
                forge.name_keys();
                forge.root["roles"]["timestamp"]["threshold"] = json!(threshold);
                forge.seal_root();
                forge.keys.get_mut("timestamp").unwrap().truncate(signers);
                forge.seal_timestamp();
            },
            expected,
        )
    };
    let two = || vec![Pair::ed25519(30), Pair::ed25519(31)];
    vec![
        by("the wrong key", vec![Pair::ed25519(77)], Refused("0 valid signatures where 1")),
        by("no signature", vec![], Refused("0 valid signatures where 1")),
        by("a foreign signature beside the right one", vec![Pair::ed25519(77), Pair::ed25519(4)], Named(1)),
        once(
            "the same signature twice",
            |forge| {
                replace(forge, "timestamp.json", |bytes| {
                    let mut file: Value = serde_json::from_slice(&bytes).unwrap();
                    let one = file["signatures"][0].clone();
                    file["signatures"].as_array_mut().unwrap().push(one);
                    serde_json::to_vec(&file).unwrap()
                });
            },
            Refused("signed twice"),
        ),
        once(
            "a signature that is no hexadecimal",
            |forge| {
                replace(forge, "timestamp.json", |bytes| {
                    let mut file: Value = serde_json::from_slice(&bytes).unwrap();
                    file["signatures"][0]["sig"] = json!("zz");
                    serde_json::to_vec(&file).unwrap()
                });
            },
            Refused("0 valid signatures"),
        ),
        once(
            "content that was changed after it was signed",
            |forge| {
                replace(forge, "timestamp.json", |bytes| {
                    let mut file: Value = serde_json::from_slice(&bytes).unwrap();
                    file["signed"]["version"] = json!(9);
                    serde_json::to_vec(&file).unwrap()
                });
            },
            Refused("0 valid signatures"),
        ),
        both("two of two keys", 2, two, 2, Named(1)),
        both("one of two keys", 2, two, 1, Refused("1 valid signatures where 2")),
        both("a threshold that no keys can meet", 3, two, 2, Refused("2 valid signatures where 3")),
        both("a threshold of none", 0, two, 2, Refused("where 0")),
    ]
}

fn keys() -> Vec<Case> {
    vec![
        once(
            "one key under two ids",
            |forge| {
                let key = Pair::ed25519(40);
                let mut other = Pair::ed25519(40);
                other.document["x"] = json!(1);
                forge.keys.insert("timestamp".to_owned(), vec![key, other]);
                forge.name_keys();
                forge.root["roles"]["timestamp"]["threshold"] = json!(2);
                forge.seal_root();
                forge.seal_timestamp();
            },
            Refused("1 valid signatures where 2"),
        ),
        once(
            "a key id that is not the key's",
            |forge| {
                let id = forge.keys["timestamp"][0].id();
                let own = forge.root["keys"].as_object_mut().unwrap().remove(&id).unwrap();
                let other = "0".repeat(64);
                forge.root["keys"][&other] = own;
                forge.root["roles"]["timestamp"]["keyids"] = json!([other]);
                forge.seal_root();
                replace(forge, "timestamp.json", |bytes| {
                    String::from_utf8(bytes).unwrap().replace(&id, &other).into_bytes()
                });
            },
            Refused("0 valid signatures where 1"),
        ),
        once(
            "an id without a key beside a good one",
            |forge| {
                let ids = forge.root["roles"]["timestamp"]["keyids"].as_array_mut().unwrap();
                ids.insert(0, json!("0".repeat(64)));
                forge.seal_root();
            },
            Named(1),
        ),
        // Departures: test_custom_fields and test_wrong_hashing_algorithm of tuf-conformance expect a client to go on. Here an id is
        // the hash of all that its key says.
        put_into_a_key("a member that nobody knows put into a key", "x-unknown", json!("y")),
        put_into_a_key("hash algorithms of ids put into a key", "keyid_hash_algorithms", json!(["md5"])),
        once(
            "keys on the curve P-256",
            |forge| {
                forge.keys.insert("timestamp".to_owned(), vec![Pair::ecdsa()]);
                forge.name_keys();
                forge.seal_root();
                forge.seal_timestamp();
            },
            Named(1),
        ),
        forms_of_a_point("a point in its short form", &[1], 1, Named(1)),
        forms_of_a_point("one point under two ids", &[0, 1], 2, Refused("1 valid signatures where 2")),
        forms_of_a_point("a document where a point belongs", &[2], 1, Refused("0 valid signatures where 1")),
        once(
            "a key of a kind that nobody knows beside a good one",
            |forge| {
                forge.root["keys"]["x"] = json!({"keytype": "future", "scheme": "future", "keyval": {"public": "x"}});
                forge.root["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(json!("x"));
                forge.seal_root();
            },
            Named(1),
        ),
    ]
}

/// A timestamp by one key that is written down in these forms.
fn forms_of_a_point(name: &'static str, forms: &'static [usize], threshold: u64, expected: Expected) -> Case {
    once(
        name,
        move |forge| {
            let all = Pair::ecdsa_in_each_form().into_iter().enumerate();
            let taken = all.filter_map(|(form, pair)| forms.contains(&form).then_some(pair)).collect();
            forge.keys.insert("timestamp".to_owned(), taken);
            forge.name_keys();
            forge.root["roles"]["timestamp"]["threshold"] = json!(threshold);
            forge.seal_root();
            forge.seal_timestamp();
        },
        expected,
    )
}

/// A key of the timestamp that says more, under the id that it had.
fn put_into_a_key(name: &'static str, member: &'static str, value: Value) -> Case {
    once(
        name,
        move |forge| {
            let id = forge.keys["timestamp"][0].id();
            forge.root["keys"][&id][member] = value;
            forge.seal_root();
        },
        Refused("0 valid signatures where 1"),
    )
}

fn times() -> Vec<Case> {
    vec![
        once(
            "an expired root",
            |forge| {
                forge.root["expires"] = json!(OVER);
                forge.seal_root();
            },
            Refused("expired"),
        ),
        once(
            "an expired timestamp",
            |forge| {
                forge.timestamp["expires"] = json!(OVER);
                forge.seal_timestamp();
            },
            Refused("expired"),
        ),
        once(
            "an expired snapshot",
            |forge| {
                forge.snapshot["expires"] = json!(OVER);
                forge.publish_snapshot();
            },
            Refused("expired"),
        ),
        once(
            "expired targets",
            |forge| {
                forge.roles.get_mut("targets").unwrap()["expires"] = json!(OVER);
                forge.publish();
            },
            Refused("expired"),
        ),
        once(
            "an expired delegated role",
            |forge| {
                forge.roles.get_mut("tags").unwrap()["expires"] = json!(OVER);
                forge.publish();
            },
            Refused("expired"),
        ),
    ]
}

fn sums() -> Vec<Case> {
    let line = |name, change: fn(&mut Value), expected| {
        once(
            name,
            move |forge| {
                change(&mut forge.snapshot["meta"]["tags.json"]);
                forge.publish_snapshot();
            },
            expected,
        )
    };
    vec![
        line("a wrong hash", |line| line["hashes"]["sha256"] = json!("0".repeat(64)), Refused("length or hash")),
        line(
            "a wrong length",
            |line| line["length"] = json!(line["length"].as_u64().unwrap() + 1),
            Refused("length or hash"),
        ),
        line("a file longer than it was named", |line| line["length"] = json!(10), Refused("more of it than 10")),
        line("neither length nor hash", |line| *line = json!({"version": 1}), Named(1)),
        line(
            "hashes by an algorithm that nobody knows",
            |line| line["hashes"] = json!({"x": "00"}),
            Refused("length or hash"),
        ),
        once(
            "another version than was named",
            |forge| {
                let bytes = forge.file("1.tags.json");
                forge.files.insert("2.tags.json".to_owned(), bytes);
                forge.snapshot["meta"]["tags.json"]["version"] = json!(2);
                forge.publish_snapshot();
            },
            Refused("version 1 where 2 was named"),
        ),
        once(
            "a snapshot of another time beside the timestamp",
            |forge| {
                let old = forge.file("1.snapshot.json");
                forge.publish_snapshot();
                forge.files.insert("2.snapshot.json".to_owned(), old);
            },
            Refused("length or hash"),
        ),
        once(
            "a snapshot that names no targets",
            |forge| {
                forge.snapshot["meta"].as_object_mut().unwrap().remove("targets.json");
                forge.publish_snapshot();
            },
            Refused("nothing names it"),
        ),
        once(
            "an endless timestamp",
            |forge| {
                replace(forge, "timestamp.json", |bytes| [bytes, vec![b' '; 17 << 20]].concat());
            },
            Refused("more of it than"),
        ),
    ]
}

/// The next root with new keys for the root itself, signed by these of the old and the new keys.
fn rotated(name: &'static str, by: [bool; 2], version: u64, expected: Expected) -> Case {
    once(
        name,
        move |forge| {
            let old = forge.keys.insert("root".to_owned(), vec![Pair::ed25519(60)]).unwrap();
            forge.name_keys();
            forge.root["version"] = json!(version);
            let new = &forge.keys["root"];
            let signers: Vec<&Pair> =
                [&old[0], &new[0]].into_iter().zip(by).filter_map(|(key, signs)| signs.then_some(key)).collect();
            let bytes = sealed(&forge.root, &signers);
            forge.files.insert("2.root.json".to_owned(), bytes);
        },
        expected,
    )
}

fn roots() -> Vec<Case> {
    let mut cases = vec![
        rotated("a root signed by old and new keys", [true, true], 2, Named(1)),
        rotated("a root signed by new keys only", [false, true], 2, Refused("0 valid signatures")),
        rotated("a root signed by old keys only", [true, false], 2, Refused("0 valid signatures")),
        rotated("a root that skips a version", [true, true], 3, Refused("version 3 where 2 was named")),
        rotated("a root of the same version", [true, true], 1, Refused("version 1 where 2 was named")),
    ];
    let mut forge = Forge::new();
    for number in 61..71 {
        let old = forge.keys.insert("root".to_owned(), vec![Pair::ed25519(number)]).unwrap();
        forge.name_keys();
        next(&mut forge.root);
        // One that has expired on the way is no obstacle.
        forge.root["expires"] = json!(if number == 70 { LATER } else { OVER });
        forge.seal_root_with(&[&old[0]]);
    }
    cases.push(Case::new("ten roots on, those on the way expired", &forge).then(&forge, Named(1)));
    let mut forge_of = |name, change: fn(&mut Value), why| {
        let forge = Forge::new();
        let mut pinned: Value = serde_json::from_slice(&forge.file("1.root.json")).unwrap();
        change(&mut pinned);
        let case = Case { name, root: serde_json::to_vec(&pinned).unwrap(), steps: Vec::new() };
        cases.push(case.then(&forge, Refused(why)));
    };
    forge_of("a pinned root that nobody signed", |root| root["signatures"] = json!([]), "0 valid signatures where 1");
    let without = |root: &mut Value| drop(root["signed"].as_object_mut().unwrap().remove("version"));
    forge_of("a pinned root without a version", without, "no metadata");
    cases.push(once("snapshots that are not consistent", inconsistent, Named(1)));
    let case = Case::new("a role whose key was changed", &forge).then(&forge, Named(1));
    let old = forge.file("timestamp.json");
    forge.keys.insert("timestamp".to_owned(), vec![Pair::ed25519(80)]);
    forge.name_keys();
    forge.root["roles"]["timestamp"]["keyids"] = json!([forge.keys["timestamp"][0].id()]);
    next(&mut forge.root);
    forge.seal_root();
    let case = case.then(&forge, Refused("0 valid signatures"));
    forge.publish_timestamp();
    let case = case.then(&forge, Named(1));
    forge.files.insert("timestamp.json".to_owned(), old);
    cases.push(case.then(&forge, Refused("0 valid signatures")));
    cases
}

/// Every file but the root under its name alone.
fn inconsistent(forge: &mut Forge) {
    forge.root["consistent_snapshot"] = json!(false);
    forge.seal_root();
    for name in ["snapshot", "targets", "tags"] {
        let bytes = forge.files.remove(&format!("1.{name}.json")).unwrap();
        forge.files.insert(format!("{name}.json"), bytes);
    }
}
