//! The seeds of the fuzz targets, asked what the targets ask: what a seed was kept for is found at every test, and not by the next
//! long run alone. What a run has learned on this machine (`corpus/`) is asked too, where it is.
//! The functions are the targets' own, read by their path: the fuzzer is not linked.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/entries/challenge.rs"]
mod challenge;
#[path = "../../fuzz/entries/claims.rs"]
mod claims;
#[expect(unreachable_pub, reason = "what the registry shows its tests is a part of this one")]
#[path = "../../fuzz/entries/jwt.rs"]
mod jwt;
#[expect(unreachable_pub, reason = "what the registry shows its tests is a part of this one")]
#[path = "../../fuzz/entries/ldap.rs"]
mod ldap;
#[path = "../../fuzz/entries/manifest.rs"]
mod manifest;
#[path = "../../fuzz/entries/operation.rs"]
mod operation;
#[path = "../../fuzz/entries/scopes.rs"]
mod scopes;
#[path = "../../fuzz/entries/token.rs"]
mod token;

/// What a target asks about an input.
#[derive(Clone, Copy)]
enum Entry {
    Bytes(fn(&[u8])),
    Text(fn(&str)),
}

/// Every target.
const TARGETS: [(&str, Entry); 8] = [
    ("challenge", Entry::Text(challenge::run)),
    ("claims", Entry::Bytes(claims::run)),
    ("jwt", Entry::Text(jwt::run)),
    ("ldap", Entry::Bytes(ldap::run)),
    ("manifest", Entry::Bytes(manifest::run)),
    ("operation", Entry::Text(operation::run)),
    ("scopes", Entry::Text(scopes::run)),
    ("token", Entry::Text(token::run)),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, in order; none when it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Asks about every file of a folder; how many there are.
fn asked(folder: &Path, entry: Entry) -> usize {
    let names = names(folder);
    for name in &names {
        let path = folder.join(name);
        let input = fs::read(&path).unwrap();
        let outcome = panic::catch_unwind(|| match entry {
            Entry::Bytes(run) => run(&input),
            Entry::Text(run) => run(text(&input)),
        });
        assert!(outcome.is_ok(), "{} breaks what its target asks: see above", path.display());
    }
    names.len()
}

/// The text that an input begins with, as the fuzzer gives it to a target of texts.
fn text(input: &[u8]) -> &str {
    let end = std::str::from_utf8(input).map_or_else(|cut| cut.valid_up_to(), str::len);
    std::str::from_utf8(&input[..end]).unwrap()
}

#[test]
fn every_seed_of_every_target_holds() {
    for (target, entry) in TARGETS {
        let seeds = asked(&fuzz().join("seeds").join(target), entry);
        assert!(seeds > 0, "the target {target} has no seeds: put some into fuzz/seeds/{target}");
        asked(&fuzz().join("corpus").join(target), entry);
    }
}

#[test]
fn no_target_is_left_out() {
    let here: BTreeSet<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    for folder in ["fuzz_targets", "entries"] {
        let there = names(&fuzz().join(folder));
        let there: BTreeSet<_> = there.iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
        assert_eq!(there, here, "fuzz/{folder}");
    }
    assert_eq!(names(&fuzz().join("seeds")), here, "fuzz/seeds");
    // Both files list them once more: one builds, the other runs.
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let built = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let built: BTreeSet<_> = built.map(|line| line.trim_end_matches(".rs\"").to_owned()).collect();
    assert_eq!(built, here, "fuzz/Cargo.toml");
    let script = fs::read_to_string(fuzz().join("run")).unwrap();
    let run = script.lines().find_map(|line| line.split_once("|| targets=(")).unwrap().1;
    let run: BTreeSet<_> = run.trim_end_matches(')').split(' ').map(str::to_owned).collect();
    assert_eq!(run, here, "fuzz/run");
}
