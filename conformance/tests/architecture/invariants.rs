//! Every invariant of ARCHITECTURE.md has a test whose name begins with its number.
//! Never judges whether the test shows enough: that is read, not counted.
//! Start at [`untested`].

use super::sources::Source;

/// How an invariant begins in ARCHITECTURE.md, before its number.
const ENTRY: &str = "- **I";

/// Each number of the list that no test is called by.
pub(crate) fn untested(architecture: &str, sources: &[Source]) -> Vec<String> {
    let entries = architecture.lines().filter_map(|line| line.strip_prefix(ENTRY));
    let numbers: Vec<u32> = entries.filter_map(|entry| entry.split(' ').next()?.parse().ok()).collect();
    if numbers.is_empty() {
        return vec!["ARCHITECTURE.md lists no invariants".to_owned()];
    }
    let untested = numbers.into_iter().filter(|number| !sources.iter().any(|source| tests(&source.text, *number)));
    untested.map(|number| format!("no test begins with i{number}_, for the invariant I{number}")).collect()
}

/// Whether a file has a test of this invariant's number: a function called so, right below the attribute of a test.
fn tests(text: &str, number: u32) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let names = [format!("fn i{number}_"), format!("async fn i{number}_")];
    lines.windows(2).any(|pair| {
        pair[0].starts_with("#[") && pair[0].contains("test") && names.iter().any(|name| pair[1].starts_with(name))
    })
}
