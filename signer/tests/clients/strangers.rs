//! python-tuf, go-tuf and tough on the same cases. Where one of them decides otherwise than ours, the case is named with the reason:
//! a difference that nobody knows of fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use futures_util::stream;
use tough::{Bytes, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

use crate::cases::{Case, Expected, all};
use crate::forge::{Files, PATH, hex, sum};

/// What a stranger said, without its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Named(String),
    Unnamed,
    Refused,
}

fn expected(case: &Case) -> Vec<Verdict> {
    let verdict = |expected: &Expected| match expected {
        Expected::Named(number) => Verdict::Named(sum(*number)),
        Expected::Unnamed => Verdict::Unnamed,
        Expected::Refused(_) => Verdict::Refused,
    };
    case.steps.iter().map(|(_, expected)| verdict(expected)).collect()
}

/// The program of a stranger that `conformance/tools` installs.
#[expect(clippy::disallowed_methods, reason = "tests are told by a variable where the tools are")]
fn program(name: &str) -> PathBuf {
    let tools = std::env::var_os("HALLMARK_TOOLS");
    let home =
        tools.unwrap_or_else(|| panic!("HALLMARK_TOOLS is not set: conformance/run installs {name} and sets it"));
    let program = Path::new(&home).join("bin").join(name);
    assert!(program.exists(), "{name} is missing: run conformance/tools/{name}");
    program
}

/// What a program said of each case, by name.
fn told(name: &str) -> BTreeMap<&'static str, Vec<(Verdict, String)>> {
    let (home, cases) = (tempfile::tempdir().unwrap(), all());
    for (number, case) in cases.iter().enumerate() {
        let folder = home.path().join(number.to_string());
        shelve(&folder, &case.root, PATH, case.steps.iter().map(|(files, _)| files));
    }
    let ran = Command::new(program(name)).arg("cases").arg(home.path()).output().unwrap();
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).unwrap();
    let mut told: BTreeMap<&'static str, Vec<(Verdict, String)>> = BTreeMap::new();
    for line in said.lines() {
        let [number, _step, verdict] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let read = match verdict.split_once(' ') {
            Some(("named", sum)) => Verdict::Named(sum.to_owned()),
            Some(("refused", _)) => Verdict::Refused,
            _ if verdict == "unnamed" => Verdict::Unnamed,
            _ => panic!("{line}"),
        };
        told.entry(cases[number.parse::<usize>().unwrap()].name).or_default().push((read, verdict.to_owned()));
    }
    told
}

/// Compares, and wants every difference to be one of `known`, and every one of these to be a difference.
fn compare(told: &BTreeMap<&'static str, Vec<(Verdict, String)>>, known: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for case in all() {
        let said = told.get(case.name).unwrap_or_else(|| panic!("nothing was said of {}", case.name));
        let agrees = said.iter().map(|(verdict, _)| verdict.clone()).collect::<Vec<_>>() == expected(&case);
        let is_known = known.iter().any(|(name, _)| *name == case.name);
        if agrees == is_known {
            wrong.push(format!("{}: {said:?} where {:?} is ours", case.name, expected(&case)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn python_tuf_decides_as_we_do() {
    compare(
        &told("python-tuf"),
        &[
            ("one key under two ids", "it counts ids"),
            ("one point under two ids", "it counts ids"),
            ("a key id that is not the key's", "it takes ids for names"),
            ("a member that nobody knows put into a key", "it takes ids for names"),
            ("hash algorithms of ids put into a key", "it takes ids for names"),
            ("a key of a kind that nobody knows beside a good one", "it does not read such a root"),
            ("snapshots that were run ahead, and new keys for them alone", "it goes by the timestamp it has seen"),
            ("more roles than are asked", "it says that nobody names the path"),
            ("thousands of roles and keys", "it says that nobody names the path"),
        ],
    );
}

#[test]
fn go_tuf_decides_as_we_do() {
    compare(
        &told("go-tuf"),
        &[
            ("another specification", "it does not look at the version"),
            ("a version below one", "it takes any number"),
            ("a time with fractions", "it takes any RFC 3339"),
            ("a time with an offset", "it takes any RFC 3339"),
            ("a point in its short form", "it reads the long one alone"),
            ("a key id that is not the key's", "it takes ids for names"),
            ("a member that nobody knows put into a key", "it takes ids for names"),
            ("hash algorithms of ids put into a key", "it takes ids for names"),
            ("an id without a key beside a good one", "it wants a key for each id"),
            ("a key of a kind that nobody knows beside a good one", "it does not read such a root"),
            ("snapshots that were run ahead, and new keys for them alone", "it goes by the timestamp it has seen"),
            ("more roles than are asked", "it says that nobody names the path"),
            ("thousands of roles and keys", "it says that nobody names the path"),
            ("the prefix of the path's hash", "it reads prefixes as base64; the signer writes both"),
            ("a delegated role that the snapshot lacks", "it passes the role over"),
        ],
    );
}

/// Files for `tough`.
#[derive(Debug, Clone)]
struct Shelf(Files);

#[async_trait]
impl Transport for Shelf {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().trim_start_matches('/').to_owned();
        match self.0.get(&name) {
            Some(bytes) => Ok(Box::pin(stream::iter([Ok(Bytes::from(bytes.clone()))]))),
            None => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
        }
    }
}

/// What `tough` says a path means, from an empty memory.
pub(crate) async fn tough_finds(root: &Vec<u8>, files: &Files, path: &str) -> Result<Option<String>, String> {
    tough_looks(root, files, path, tempfile::tempdir().unwrap().path()).await
}

async fn tough_looks(root: &Vec<u8>, files: &Files, path: &str, memory: &Path) -> Result<Option<String>, String> {
    let base = || Url::parse("tuf://cases/").unwrap();
    let loader = RepositoryLoader::new(root, base(), base()).transport(Shelf(files.clone())).datastore(memory);
    let loaded = loader.load().await.map_err(|error| error.to_string())?;
    let found = loaded.targets().signed.find_target(&TargetName::new(path).unwrap(), false);
    Ok(found.ok().map(|found| hex(&found.hashes.sha256)))
}

/// What a program says a path means, from an empty memory.
pub(crate) fn look(name: &str, root: &[u8], files: &Files, path: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let case = home.path().join("0");
    shelve(&case, root, path, [files].into_iter());
    let ran = Command::new(program(name)).arg("cases").arg(home.path()).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    said.trim().splitn(3, ' ').last().unwrap().to_owned()
}

fn shelve<'f>(folder: &Path, root: &[u8], path: &str, steps: impl Iterator<Item = &'f Files>) {
    for (step, files) in steps.enumerate() {
        let folder = folder.join(step.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        for (file, bytes) in files {
            std::fs::write(folder.join(file), bytes).unwrap();
        }
    }
    std::fs::write(folder.join("root.json"), root).unwrap();
    std::fs::write(folder.join("path"), path).unwrap();
}

#[tokio::test]
async fn tough_decides_as_we_do() {
    let mut told: BTreeMap<&'static str, Vec<(Verdict, String)>> = BTreeMap::new();
    for case in all() {
        let memory = tempfile::tempdir().unwrap();
        for (files, _) in &case.steps {
            let verdict = match tough_looks(&case.root, files, PATH, memory.path()).await {
                Err(error) => (Verdict::Refused, error),
                Ok(Some(sum)) => (Verdict::Named(sum), String::new()),
                Ok(None) => (Verdict::Unnamed, String::new()),
            };
            told.entry(case.name).or_default().push(verdict);
        }
    }
    compare(
        &told,
        &[
            ("letters in two parts", "it composes them before it verifies"),
            ("a member twice, of which the last is signed", "it reads no such file"),
            ("another specification", "it does not look at the version"),
            ("one key under two ids", "it counts ids"),
            ("one point under two ids", "it counts ids"),
            ("a document where a point belongs", "it reads both"),
            ("a key of a kind that nobody knows beside a good one", "it does not read such a root"),
            ("a wrong length", "it takes the length for the most"),
            ("a path outside of the delegation", "it refuses a role that names more than it may"),
            ("a star that would have to cross a slash", "its stars cross slashes"),
            ("a question mark for nothing", "it refuses a role that names more than it may"),
            ("another prefix", "it refuses a role that names more than it may"),
            ("a delegated role that the snapshot lacks", "it passes the role over"),
            ("more roles than are asked", "it asks them all"),
            ("thousands of roles and keys", "it passes over those that the snapshot lacks"),
            ("a role that hands on nothing that it says", "it refuses a role that names more than it may"),
            (
                "two roles that hand on to a third, of which the first for other paths",
                "it refuses a role that names more than it may",
            ),
            ("a path that not every role on the way hands on", "it refuses a role that names more than it may"),
        ],
    );
}
