//! The walls of the house that the compiler does not hold: who may name what, how files are called, how long they are.
//! Never judges taste: every rule is a fact about paths and words, with the reason that a refusal prints.
//! Start at `words::RULES`, the table.

mod edges;
mod invariants;
mod refusals;
mod shape;
mod sources;
mod words;

use sources::{Source, all};

/// Holds that nothing was found, and prints each finding on a line of its own.
#[track_caller]
fn holds(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_names_what_its_room_may_not_name() {
    let sources = all();
    holds(words::RULES.iter().flat_map(|rule| rule.broken_by(&sources)).collect());
}

#[test]
fn every_rule_about_words_fires_on_what_it_forbids_and_is_quiet_where_it_allows() {
    for rule in words::RULES {
        let (path, text) = rule.forbidden;
        let found = rule.broken_by(&[Source::new(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {text:?} was to be refused: {}", rule.because);
        let (path, text) = rule.allowed;
        holds(rule.broken_by(&[Source::new(path, text)]));
    }
}

#[test]
fn no_room_goes_through_another_room_s_door() {
    holds(words::doors_entered(&all()));
}

#[test]
fn entering_another_room_s_door_is_found() {
    let entering = |path: &str, text: &str| words::doors_entered(&[Source::new(path, text)]).len();
    assert_eq!(entering("registry/src/auth/token.rs", "use crate::access::http::answer;"), 1);
    assert_eq!(entering("registry/src/auth/token.rs", "use crate::http::error::Error;"), 0);
    assert_eq!(entering("registry/src/auth/token.rs", "use super::http::answer;"), 0);
    assert_eq!(entering("registry/src/http/mod.rs", "use crate::auth::http::get_token;"), 0);
}

#[test]
fn no_file_is_named_for_nothing_in_particular() {
    holds(shape::vague_names(&all()));
}

#[test]
fn a_vague_name_is_found() {
    let vague = |path: &str| shape::vague_names(&[Source::new(path, "")]).len();
    assert_eq!(vague("registry/src/auth/utils.rs"), 1);
    assert_eq!(vague("registry/src/common/push.rs"), 1);
    assert_eq!(vague("registry/src/auth/media_types.rs"), 0);
}

#[test]
fn no_file_is_longer_than_600_lines_without_its_tests() {
    holds(shape::long_files(&all()));
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let long = "x\n".repeat(601);
    assert_eq!(shape::long_files(&[Source::new("a/src/x.rs", &long)]).len(), 1);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "x\n".repeat(599));
    holds(shape::long_files(&[Source::new("a/src/x.rs", &tested)]));
}

#[test]
fn every_room_and_crate_begins_with_its_sign() {
    holds(shape::missing_signs(&all()));
}

#[test]
fn a_missing_sign_is_found() {
    let missing = |path: &str, text: &str| shape::missing_signs(&[Source::new(path, text)]).len();
    assert_eq!(missing("gc/src/lib.rs", "//! One line.\n\nmod x;\n"), 1);
    assert_eq!(missing("registry/src/auth/mod.rs", "//! a\n//! b\n//! c\n//! and a fourth\n"), 0);
    assert_eq!(missing("registry/src/auth/token.rs", "mod x;\n"), 0);
}

#[test]
fn the_top_level_is_what_the_drawing_shows() {
    holds(shape::strangers_at_the_top(&sources::top_level()));
}

#[test]
fn a_stranger_at_the_top_is_found() {
    let names = ["registry".to_owned(), "common".to_owned(), ".ci".to_owned()];
    assert_eq!(shape::strangers_at_the_top(&names).len(), 1);
}

/// `cargo run --release -- serve` from a fresh clone: one member is built, and of its two programs one is meant.
#[test]
fn what_cargo_runs_by_itself_is_the_registry() {
    let has = |manifest: &str, line: &str| manifest.lines().any(|found| found == line);
    assert!(has(include_str!("../../../Cargo.toml"), r#"default-members = ["registry"]"#), "the default member");
    assert!(has(include_str!("../../../registry/Cargo.toml"), r#"default-run = "hallmark""#), "its default program");
}

#[test]
fn the_crates_depend_on_each_other_only_as_drawn() {
    holds(edges::wrong(&sources::manifests()));
}

#[test]
fn a_wrong_edge_and_an_unknown_crate_are_found() {
    let wrong = |package: &str, line: &str| {
        let text = format!("[package]\nname = \"{package}\"\n[dependencies]\n{line}\n");
        edges::wrong(&[Source::new("x/Cargo.toml", &text)]).len()
    };
    assert_eq!(wrong("hallmark-oci", "hallmark-storage.workspace = true"), 1);
    assert_eq!(wrong("hallmark-conformance", "hallmark = { path = \"../registry\" }"), 1);
    assert_eq!(wrong("hallmark-gc", "hallmark-storage = { workspace = true }"), 0);
    assert_eq!(wrong("hallmark-new", ""), 1);
}

#[test]
fn every_refusal_of_images_and_tokens_is_shown_by_a_test_at_the_door() {
    holds(refusals::unseen(&all(), refusals::NEVER_TOLD));
}

#[test]
fn a_refusal_that_no_test_shows_and_an_exception_without_need_are_found() {
    let unseen = |code: &str, test: &str, never_told: &[(&str, &str)]| {
        let sources = [Source::new("registry/src/access/x.rs", code), Source::new("registry/tests/it/x.rs", test)];
        refusals::unseen(&sources, never_told).len()
    };
    let code = r#"#[error("{0:?} is no name \
        of a \"house\"")] Error::new(ErrorCode::Denied, "go away please")"#;
    let shown = r##"{"message":"\"x\" is no name of a \"house\""}
        "go away please""##;
    assert_eq!(unseen(code, shown, &[]), 0);
    assert_eq!(unseen(code, &shown.replace("no name", "none"), &[]), 1);
    assert_eq!(unseen(code, &shown.replace("\"go", "// \"go").replace("go away", "go"), &[]), 1);
    assert_eq!(unseen(code, "", &[("{0:?} is no name", ""), ("go away", "")]), 0);
    assert_eq!(unseen(code, shown, &[("go away", "")]), 1);
    let short = r#"#[error("{place} has no {key:?}")]"#;
    assert_eq!(unseen(short, "a house has no roof", &[]), 1);
    assert_eq!(unseen(short, r#"{"message":"the manifest has no \"config\""}"#, &[]), 0);
}

#[test]
fn every_invariant_is_tested_by_its_number() {
    let architecture = include_str!("../../../ARCHITECTURE.md");
    holds(invariants::untested(architecture, &all()));
}

#[test]
fn an_invariant_without_a_test_of_its_number_is_found() {
    let untested = |test: &str| {
        let list = "- **I1 Whole or absent.** …\n- **I11 Cost follows\n";
        invariants::untested(list, &[Source::new("gc/tests/x.rs", test)]).len()
    };
    assert_eq!(untested("#[test]\nfn i1_x() {}\n#[tokio::test]\nasync fn i11_y() {}"), 0);
    assert_eq!(untested("#[test]\nfn i11_y() {}"), 1);
    assert_eq!(untested("fn i1_x() {}\n#[test]\nfn i11_y() {}"), 1, "what is no test tests nothing");
    assert_eq!(invariants::untested("no list", &[]).len(), 1);
}
