//! A file in YAML, with bounds: a few letters of YAML can stand for a gigabyte.

use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, UserMessageFormatter, alias_limits, budget, options};

use super::file::Wanted;

/// How deep a file goes: an organization's robot's rule's claims are at 6.
const DEPTH: usize = 16;
/// How many texts, lists and tables there are, those that an alias repeats included.
const NODES: usize = 250_000;
/// How many anchors and aliases there are, and how much of the file the aliases repeat.
const ANCHORS: usize = 100;
const ALIASES: usize = 1_000;
const REPEATED: usize = 100_000;

/// Whether a text that has no telling name is YAML: the first line that says anything is `---`, or names what all is below. No TOML
/// has such a line.
pub(super) fn is_one(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end);
    let says_something = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
    lines.find(says_something).is_some_and(|line| line.starts_with("---") || line.starts_with("organizations:"))
}

/// Reads it. A key that is there twice, one that is not known, a tag, and a value of another kind are refused, each with its place.
pub(super) fn parse(name: &str, text: &str) -> Result<Wanted, String> {
    let options = options! {
        budget: budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_nodes: NODES,
            max_documents: 1,
            max_anchors: ANCHORS,
            max_aliases: ALIASES,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: REPEATED,
            max_replay_stack_depth: DEPTH,
            max_alias_expansions_per_anchor: ALIASES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let said = error.without_snippet().render_with_formatter(&UserMessageFormatter);
        // The place stands at the beginning.
        let said = said.split_once(" at line ").map_or(said.as_str(), |(said, _)| said).replace('\n', "; ");
        match error.location() {
            Some(at) => format!("{name}:{}:{}: {said}", at.line(), at.column()),
            None => format!("{name}: {said}"),
        }
    })
}
