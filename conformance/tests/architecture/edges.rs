//! Which crate of the workspace may depend on which.

use super::sources::Source;

/// Every package and the packages of the workspace that it may name, all of them.
const EDGES: &[(&str, &[&str])] = &[
    ("hallmark-oci", &[]),
    ("hallmark-storage", &["hallmark-oci"]),
    ("hallmark-signer", &["hallmark-oci", "hallmark-storage"]),
    ("hallmark-gc", &["hallmark-oci", "hallmark-storage"]),
    ("hallmark", &["hallmark-oci", "hallmark-storage", "hallmark-signer", "hallmark-gc"]),
    ("hallmark-conformance", &["hallmark-oci"]),
    // The fuzz targets stand outside the workspace, beside what they fuzz.
    ("hallmark-oci-fuzz", &["hallmark-oci"]),
];

/// Each edge that is not in the table, and each package that is not.
pub(crate) fn wrong(manifests: &[Source]) -> Vec<String> {
    manifests.iter().flat_map(wrong_in).collect()
}

fn wrong_in(manifest: &Source) -> Vec<String> {
    let name = value_of(&manifest.text, "name").unwrap_or_default();
    let Some((_, allowed)) = EDGES.iter().find(|(package, _)| *package == name) else {
        return vec![format!("{}: the package {name:?} is not in the drawing", manifest.path)];
    };
    let wrong = dependencies(&manifest.text).into_iter().filter(|dependency| !allowed.contains(&dependency.as_str()));
    wrong.map(|dependency| format!("{}: {name} may not depend on {dependency}", manifest.path)).collect()
}

/// The packages of the workspace that any table of dependencies names, of the build and of tests included.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if inside && (name == "hallmark" || name.starts_with("hallmark-")) {
            names.push(name.to_owned());
        }
    }
    names
}

fn value_of(manifest: &str, key: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.split('=').next().is_some_and(|name| name.trim() == key))?;
    Some(line.split('"').nth(1)?.to_owned())
}
