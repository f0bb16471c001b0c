//! A root that three people hold, one of them with a key that another program keeps, and the verbs by which they and others say who
//! signs what.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    process::{attempt, run},
    server::{ADMIN, PASSWORD},
    tools,
};
use serde_json::{Value, json};

use super::{
    signed_tags::{REPOSITORY, Reader, STRANGERS},
    world::World,
};

/// Writes down the root that holds, for who signs the next; the pinned one stays the first.
pub(crate) const CURRENT: [&str; 5] = ["trust", "root", "get", "--out", "current.json"];

/// Runs a verb of somebody who shows a password: no token may give the root away.
pub(crate) fn by_password(reader: &Reader<'_>, words: &[&str]) -> Outcome<String> {
    let mut command = reader.command(words)?;
    let ran = attempt(command.env("HALLMARK_USER", ADMIN).env("HALLMARK_PASSWORD", PASSWORD))?;
    holds(ran.status.success(), || format!("hallmark {} failed: {ran:?}", words.join(" ")))?;
    Ok(ran.output)
}

/// Holds that a verb fails and says this.
pub(crate) fn fails(reader: &Reader<'_>, words: &[&str], says: &str) -> Outcome<()> {
    let ran = attempt(&mut reader.command(words)?)?;
    holds(!ran.status.success() && format!("{ran:?}").contains(says), || {
        format!("hallmark {} was to fail with {says:?}: {ran:?}", words.join(" "))
    })
}

/// Runs a verb that lists, and gives the objects.
fn listed(reader: &Reader<'_>, words: &[&str]) -> Outcome<Vec<Value>> {
    let told = reader.hallmark(&[words, &["--output", "json"]].concat())?;
    Ok(told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

pub(crate) fn openssl(home: &Path, words: &[&str]) -> Outcome<()> {
    let mut command = Command::new(tools::locate("openssl")?);
    run(command.current_dir(home).args(words)).map(drop)
}

/// The id by which a draft names the key of a P-256 pair that another program keeps.
pub(crate) fn id_of_the_point(home: &Path, draft: &str) -> Outcome<String> {
    let content: Value = serde_json::from_slice(&fs::read(home.join(draft))?)?;
    let keys = content["signed"]["keys"].as_object().cloned().unwrap_or_default();
    let own = keys.iter().find(|(_, key)| key["keytype"] == "ecdsa").map(|(id, _)| id.clone());
    own.or_fail("the draft names the key of another program")
}

/// Three who hold a root: two with keys that `hallmark` made, and one with a key of OpenSSL's.
struct Holders<'r> {
    reader: &'r Reader<'r>,
    home: PathBuf,
}

impl<'r> Holders<'r> {
    fn begin(reader: &'r Reader<'r>) -> Outcome<Self> {
        let home = reader.home().to_owned();
        reader.hallmark(&CURRENT)?;
        for name in ["ann.key", "bob.key"] {
            reader.hallmark(&["trust", "root", "key", name])?;
        }
        openssl(&home, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "eve.pem"])?;
        openssl(&home, &["pkey", "-in", "eve.pem", "-pubout", "-out", "eve.pub"])?;
        Ok(Self { reader, home })
    }

    /// What a token would do: the payload goes to OpenSSL, and its signature is put in.
    fn eve_signs(&self, draft: &str) -> Outcome<()> {
        let own = id_of_the_point(&self.home, draft)?;
        self.reader.hallmark(&["trust", "root", "payload", draft, "--out", "payload"])?;
        openssl(&self.home, &["dgst", "-sha256", "-sign", "eve.pem", "-out", "eve.sig", "payload"])?;
        let words = ["trust", "root", "sign", draft, "--signature", "eve.sig", "--key-id", &own];
        let told = self.reader.hallmark(&words)?;
        holds(told.contains(&own), || format!("who has signed is not told: {told}"))
    }

    fn signs(&self, draft: &str, key: &str) -> Outcome<String> {
        self.reader.hallmark(&["trust", "root", "sign", draft, "--key", key, "--current", "current.json"])
    }
}

#[test]
fn three_people_of_whom_two_sign_hold_the_root_and_an_old_pin_follows() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    let one = reader.push("1", 1)?;
    reader.hallmark(&["sign", &reader.image("1")])?;
    reader.all_find("1", Some(&one))?;
    let people = Holders::begin(&reader)?;
    let init = ["--key", "ann.key.pub", "--key", "bob.key.pub", "--key", "eve.pub", "--threshold", "2"];
    let words = [&["trust", "root", "init"][..], &init, &["--out", "first.draft"]].concat();
    fails(&reader, &words, "sign in with a password")?;
    by_password(&reader, &words)?;
    people.signs("first.draft", "ann.key")?;
    fails(&reader, &["trust", "root", "publish", "first.draft"], "where 2 are needed")?;
    people.eve_signs("first.draft")?;
    fails(&reader, &["trust", "root", "publish", "first.draft"], "sign in with a password")?;
    by_password(&reader, &["trust", "root", "publish", "first.draft"])?;
    reader.all_find("1", Some(&one))?;

    reader.hallmark(&CURRENT)?;
    fails(&reader, &["trust", "rotate", "snapshot"], "people hold the keys")?;
    let rotate = ["trust", "root", "rotate", "--role", "snapshot", "--role", "timestamp", "--role", "targets"];
    reader.hallmark(&[&rotate[..], &["--out", "second.draft"]].concat())?;
    people.eve_signs("second.draft")?;
    people.signs("second.draft", "bob.key")?;
    reader.hallmark(&["trust", "root", "publish", "second.draft"])?;
    let held = listed(&reader, &["trust", "root", "get", "--out", "held.json"])?;
    holds(held[0]["version"] == 3 && held[0]["threshold"] == 2, || format!("{held:?} holds"))?;
    reader.all_find("1", Some(&one))
}

#[test]
fn an_organization_begins_a_root_of_its_own() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    world.manage("POST", "/organizations", &json!({ "name": "acme" }))?;
    reader.hallmark(&["trust", "root", "begin", "acme"])?;
    let words = ["trust", "root", "get", "--organization", "acme", "--out", "acme.json"];
    let own = listed(&reader, &words)?;
    let registry = listed(&reader, &["trust", "root", "get", "--out", "root.json"])?;
    holds(own[0]["fingerprint"] != registry[0]["fingerprint"], || format!("{own:?} is the registry's"))?;
    // The root that everybody pins is the first, and written down once.
    let ways = [("acme/web", 1), ("acme/site", 2)].map(|(repository, seed)| (reader.of(repository, "acme.json"), seed));
    let mut signed = Vec::new();
    for (way, seed) in &ways {
        way.hallmark(&["repo", "create", way.repository(), "--public"])?;
        let pushed = way.push("1", *seed)?;
        way.hallmark(&["sign", &way.image("1")])?;
        signed.push((way, pushed));
    }
    let all_find = || signed.iter().try_for_each(|(way, pushed)| way.all_find("1", Some(pushed)));
    all_find()?;
    for (way, _) in &ways {
        let of_registry = reader.of(way.repository(), "root.json");
        for stranger in STRANGERS {
            let told = of_registry.stranger(stranger, "1")?;
            holds(told.starts_with("refused"), || format!("by the registry's root {stranger} told {told}"))?;
        }
        let told = of_registry.refused_by_verify("1")?;
        holds(told.contains("0 valid signatures"), || format!("verify told {told}"))?;
    }
    reader.hallmark(&["trust", "rotate", "snapshot", "--organization", "acme"])?;
    let after = listed(&reader, &["trust", "root", "get", "--organization", "acme", "--out", "second.json"])?;
    holds(after[0]["version"] == 2, || format!("{after:?} is no second root"))?;
    all_find()
}

#[test]
fn who_signs_and_what_is_signed_by_itself_is_said_by_verbs() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    world.person("carol", "", REPOSITORY)?;
    let signer = |verb: &str| reader.hallmark(&["trust", "signer", verb, REPOSITORY, "user:carol"]);
    let rights = || -> Outcome<Option<String>> {
        let grants = world.manage("GET", "/repositories/admin%2Fapp/grants", &Value::Null)?;
        let grants = grants["items"].as_array().cloned().unwrap_or_default();
        let own = grants.iter().find(|grant| grant["holder"] == "user:carol");
        Ok(own.and_then(|grant| grant["rights"].as_str()).map(str::to_owned))
    };
    signer("add")?;
    holds(rights()?.as_deref() == Some("sign"), || "carol was to hold `sign`".into())?;
    let again = signer("add")?;
    holds(again.contains("already"), || format!("the second time it said {again}"))?;
    signer("remove")?;
    holds(rights()?.is_none(), || "carol was to hold nothing".into())?;
    fails(&reader, &["trust", "signer", "remove", REPOSITORY, "user:carol"], "no grant to sign")?;

    reader.hallmark(&["trust", "rule", "add", REPOSITORY, "user:admin", "--check", "tests"])?;
    let rules = listed(&reader, &["trust", "rule", "list", REPOSITORY])?;
    holds(rules.len() == 1 && rules[0]["check"] == "tests", || format!("the rules are {rules:?}"))?;
    let passed = reader.push("2", 2)?;
    let told = reader.hallmark(&["trust", "check", "tests", &reader.image("2")])?;
    holds(told.contains(&passed), || format!("what has passed is not told: {told}"))?;
    reader.all_find("2", Some(&passed))?;
    reader.hallmark(&["trust", "rule", "remove", REPOSITORY, &rules[0]["id"].to_string()])?;
    let rules = listed(&reader, &["trust", "rule", "list", REPOSITORY])?;
    holds(rules.is_empty(), || format!("the rule is still there: {rules:?}"))?;

    fs::write(reader.home().join("key.pem"), "a key")?;
    reader.hallmark(&["trust", "file", "put", "key.pem", "--name", "other.pem"])?;
    let files = listed(&reader, &["trust", "file", "list"])?;
    holds(files.len() == 1 && files[0]["name"] == "other.pem", || format!("the files are {files:?}"))?;
    reader.hallmark(&["trust", "file", "remove", "other.pem"])?;
    holds(listed(&reader, &["trust", "file", "list"])?.is_empty(), || "the file is still there".into())
}
