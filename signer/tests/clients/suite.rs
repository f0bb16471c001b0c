//! The tests of tuf-conformance by their names, and which of our cases stands for each, so that what is missing here is seen by comparing
//! names. What the suite counts by requests (which roles are asked in which order) is told here by who names the path.

use std::collections::BTreeSet;

use crate::cases::all;

/// A test of the suite, with its parameter behind a colon, and our cases.
type Followed = (&'static str, &'static [&'static str]);

const BASIC: &[Followed] = &[
    ("test_basic_init_and_refresh", &["a whole repository"]),
    ("test_implicit_refresh", &["a path that nobody names"]),
    ("test_timestamp_content_changes", &["another timestamp of the same version"]),
    ("test_timestamp_eq_versions_check", &["another timestamp of the same version"]),
    ("test_new_targets_hash_mismatch", &["a wrong hash"]),
    ("test_new_targets_version_mismatch", &["another version than was named"]),
    ("test_invalid_initial_root", &["a pinned root without a version"]),
    ("test_unsigned_initial_root", &["a pinned root that nobody signed"]),
    ("test_custom_fields", &["a field that nobody knows", "a member that nobody knows put into a key"]),
    ("test_root_expired", &["an expired root"]),
    ("test_timestamp_expired", &["an expired timestamp"]),
    ("test_snapshot_expired", &["an expired snapshot"]),
    ("test_targets_expired", &["expired targets"]),
    ("test_delegated_expiration", &["an expired delegated role"]),
    ("test_unusual_role_name:?", &["a role with a question mark for a name"]),
    ("test_unusual_role_name:#", &["a role with a hash for a name"]),
    ("test_unusual_role_name:/delegatedrole", &["a role whose name leads to the root"]),
    ("test_unusual_role_name:../delegatedrole", &["a role whose name leads up"]),
];

const ROLLBACKS: &[Followed] = &[
    ("test_simple_snapshot_rollback", &["a snapshot of another time beside the timestamp"]),
    ("test_new_timestamp_version_rollback", &["a timestamp that falls"]),
    ("test_snapshot_rollback:basic", &["a snapshot that falls"]),
    ("test_snapshot_rollback:with hashes", &["a newer timestamp that names the whole snapshot of before"]),
    ("test_new_snapshot_version_mismatch", &["another version than was named"]),
    ("test_targets_rollback", &["top-level targets that fall", "a delegated role that falls"]),
    ("test_new_timestamp_fast_forward_recovery", &["versions that were run ahead, and new keys after it"]),
    (
        "test_new_snapshot_fast_forward_recovery",
        &["snapshots that were run ahead, and new keys for them and the timestamp"],
    ),
    ("test_new_targets_fast_forward_recovery", &["targets that were run ahead, and new keys for snapshots after it"]),
];

const KEYS: &[Followed] = &[
    ("test_root_has_keys_but_not_snapshot", &["a threshold that no keys can meet", "one id twice in a role of two"]),
    ("test_wrong_hashing_algorithm", &["hash algorithms of ids put into a key"]),
    ("test_snapshot_threshold", &["snapshot of three in five, signed by [1, 3]"]),
    ("test_duplicate_keys_root", &["one key under two ids"]),
    ("test_root_rotation:1-of-1-key-rotation", &["a root signed by old and new keys"]),
    ("test_root_rotation:1-of-1-key-rotation-unused-signatures", &["one holder, others sign as well"]),
    ("test_root_rotation:3-of-5-sign-with-different-keycombos", &["three of five, others of them sign"]),
    ("test_root_rotation:3-of-5-one-key-rotated", &["three of five, one is new, three old ones sign"]),
    (
        "test_root_rotation:3-of-5-one-key-rotated-with-intermediate-step",
        &["three of five, one is new, and who left signs too"],
    ),
    (
        "test_root_rotation:3-of-5-all-keys-rotated-with-intermediate-step",
        &["three of five, all are new, three of each sign", "three of five, all new in two steps"],
    ),
    ("test_root_rotation:1-of-3-threshold-increase-to-2-of-3", &["the threshold rises, enough sign"]),
    (
        "test_root_rotation:2-of-3-threshold-decrease-to-1-of-3",
        &["the threshold falls, enough of before sign", "the threshold has fallen, one signs the next"],
    ),
    ("test_root_rotation:1-of-2-threshold-increase-to-2-of-2", &["the threshold rises, enough sign"]),
    ("test_root_rotation:1-of-1-key-rotation-fail-not-signed-with-old-key", &["a root signed by new keys only"]),
    ("test_root_rotation:1-of-1-key-rotation-fail-not-signed-with-new-key", &["a root signed by old keys only"]),
    (
        "test_root_rotation:3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys",
        &["three of five, one is new, who left is the third to sign"],
    ),
    (
        "test_root_rotation:3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys",
        &["three of five, one is new and the third to sign"],
    ),
    (
        "test_root_rotation:1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-reached",
        &["the threshold rises, too few sign"],
    ),
    (
        "test_root_rotation:2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-eached",
        &["the threshold falls, enough of then sign"],
    ),
    ("test_non_root_rotations:1-of-1-key-rotation", &["a role whose key was changed"]),
    ("test_non_root_rotations:1-of-1-key-rotation-unused-signatures", &["a foreign signature beside the right one"]),
    ("test_non_root_rotations:1-of-1-key-rotation-fail-not-signed-with-new-key", &["a role whose key was changed"]),
    (
        "test_non_root_rotations:2-of-5-one-key-signature-mising-threshold-not-reached",
        &["targets of three in five, signed by [1, 3]", "timestamp of three in five, signed by [4]"],
    ),
    ("test_non_root_rotations:3-of-5-sign-first-combo", &["targets of three in five, signed by [0, 2, 4]"]),
    ("test_non_root_rotations:3-of-5-sign-second-combo", &["snapshot of three in five, signed by [4, 3, 1]"]),
    ("test_non_root_rotations:3-of-5-sign-third-combo", &["timestamp of three in five, signed by [0, 1, 2]"]),
];

const GRAPHS: &[Followed] = &[
    ("test_graph_traversal:basic-delegation", &["a whole repository"]),
    ("test_graph_traversal:single-level-delegations", &["after one that is not for good the next is asked"]),
    ("test_graph_traversal:two-level-delegations", &["depth before breadth"]),
    ("test_graph_traversal:two-level-test-DFS-order-of-traversal", &["depth before breadth"]),
    ("test_graph_traversal:three-level-delegation-test-DFS-order-of-traversal", &["depth before breadth"]),
    (
        "test_graph_traversal:two-level-terminating-ignores-all-but-roles-descendants",
        &["roles beside one that is asked for good two levels down"],
    ),
    (
        "test_graph_traversal:three-level-terminating-ignores-all-but-roles-descendants",
        &["a role below one that is asked for good"],
    ),
    ("test_graph_traversal:two-level-ignores-all-branches-not-matching-paths", &["a path outside of the delegation"]),
    (
        "test_graph_traversal:three-level-ignores-all-branches-not-matching-paths",
        &["a path that not every role on the way hands on"],
    ),
    ("test_graph_traversal:cyclic-graph", &["a cycle of delegations"]),
    ("test_graph_traversal:two-roles-delegating-to-a-third", &["two roles that hand on to a third"]),
    (
        "test_graph_traversal:two-roles-delegating-to-a-third-different-paths",
        &["two roles that hand on to a third, of which the first for other paths"],
    ),
    ("test_targetfile_search:no delegations", &["targets names it before any delegation"]),
    ("test_targetfile_search:targetpath matches wildcard", &["question marks"]),
    ("test_targetfile_search:targetpath with separators", &["a star for each part"]),
    (
        "test_targetfile_search:targetpath is not delegated by all roles in the chain",
        &["a path that not every role on the way hands on"],
    ),
];

/// Those that no files of a moment can show, and where they are shown.
const ELSEWHERE: &[(&str, &str)] = &[
    ("test_expired_metadata", "ours.rs: a timestamp that has expired in the memory counts still"),
    ("test_client_downloads_expected_file", "conformance/tests/content_trust/signed_tags.rs: strangers download"),
    ("test_client_downloads_expected_file_in_sub_dir", "the same: every path has two parts before its tag"),
    ("test_repository_substitutes_target_file", "registry/tests/verify/program.rs: other bytes than its digest says"),
    ("test_multiple_changes_to_target", "conformance/tests/content_trust/signed_tags.rs: a tag where it moves"),
    ("test_static_repository", "the live repositories of tests/clients/published.rs"),
];

#[test]
fn every_test_of_the_suite_has_a_case_here() {
    let ours: BTreeSet<&str> = all().iter().map(|case| case.name).collect();
    let mut names: Vec<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    for (name, cases) in [BASIC, ROLLBACKS, KEYS, GRAPHS].concat() {
        let absent: Vec<_> = cases.iter().filter(|case| !ours.contains(**case)).collect();
        assert!(!cases.is_empty() && absent.is_empty(), "{name}: {absent:?}");
        names.push(name);
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
}
