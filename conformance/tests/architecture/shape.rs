//! How files are called, how long they are, and how they begin.

use super::sources::Source;

/// The most lines of a file, its inline tests not counted.
const LINES: usize = 600;
/// How many lines the sign of a room or crate has, at least.
const SIGN: usize = 3;
/// Names that say nothing of what is inside, so that anything may end there.
const VAGUE: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "type", "types"];
/// What may stand at the top of the workspace beside what begins with a dot.
const TOP: [&str; 18] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "charts",
    "clippy.toml",
    "conformance",
    "deny.toml",
    "docs",
    "gc",
    "registry",
    "rustfmt.toml",
    "signer",
    "storage-adapters",
    "target",
];
/// What a run of the program leaves at the top of a checkout, never committed.
const LEFT: [&str; 1] = ["hallmark-data"];

pub(crate) fn vague_names(sources: &[Source]) -> Vec<String> {
    let vague = |source: &&Source| {
        let path = source.path.trim_end_matches(".rs");
        path.split('/').any(|component| VAGUE.contains(&component))
    };
    let found = sources.iter().filter(vague);
    found.map(|source| format!("{}: name it for what it does", source.path)).collect()
}

pub(crate) fn long_files(sources: &[Source]) -> Vec<String> {
    let counted = sources.iter().map(|source| (source, source.lines_without_tests()));
    let long = counted.filter(|(_, lines)| *lines > LINES);
    long.map(|(source, lines)| format!("{}: {lines} lines, and {LINES} are the hard line", source.path)).collect()
}

/// Crate heads and `mod.rs` that do not begin with what lives here, what never does, and where to start reading.
pub(crate) fn missing_signs(sources: &[Source]) -> Vec<String> {
    let heads = sources.iter().filter(|source| is_head(&source.path, sources));
    let bare = heads.filter(|source| {
        let lines = source.text.lines().take(SIGN).filter(|line| line.starts_with("//! "));
        lines.count() < SIGN
    });
    bare.map(|source| {
        format!("{}: begin with three `//!` lines: what lives here, what never does, where to start", source.path)
    })
    .collect()
}

/// A `mod.rs`, a `lib.rs`, or a `main.rs` that has no `lib.rs` beside it to carry the sign.
fn is_head(path: &str, sources: &[Source]) -> bool {
    let beside = |name: &str| path.rsplit_once('/').map(|(folder, _)| format!("{folder}/{name}"));
    if path.ends_with("/mod.rs") || path.ends_with("/lib.rs") {
        return true;
    }
    path.ends_with("/main.rs") && !sources.iter().any(|source| Some(&source.path) == beside("lib.rs").as_ref())
}

pub(crate) fn strangers_at_the_top(names: &[String]) -> Vec<String> {
    let known = |name: &&String| name.starts_with('.') || TOP.contains(&name.as_str()) || LEFT.contains(&name.as_str());
    let strangers = names.iter().filter(|name| !known(name));
    strangers.map(|name| format!("{name}: the top level is fixed; put it in the room that it belongs to")).collect()
}
