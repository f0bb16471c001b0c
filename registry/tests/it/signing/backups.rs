//! Keys that leave the data folder in a file, and come back into another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use super::binary::{PATIENCE, Program, told};

/// The keys of a running server. When they were used last is left out: the registry publishes meanwhile.
fn keys(program: &Program) -> Vec<serde_json::Value> {
    let shown = program.does(&["signer", "keys", "--output", "json"]);
    let key = |line: &str| {
        let mut key: serde_json::Value = serde_json::from_str(line).unwrap();
        key["used_at"].take();
        key
    };
    shown.lines().map(key).collect()
}

#[test]
fn a_backup_is_private_and_whole_and_comes_back_into_a_new_folder() {
    let program = Program::new();
    let (words, copy) = (program.path("words"), program.path("keys.bak"));
    fs::write(&words, "correct horse battery staple\n").unwrap();
    let (words, copy) = (words.to_str().unwrap(), copy.to_str().unwrap());
    let serving = program.serve().unwrap();
    let keys = keys(&program);
    for _ in 0..2 {
        program.does(&["signer", "backup", copy, "--passphrase-file", words]);
    }
    assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!program.path("keys.bak.new").exists());
    let busy = program.run(&["signer", "restore", copy, "--passphrase-file", words]);
    assert!(!busy.status.success() && told(&busy).contains("in use"), "{}", told(&busy));
    let nowhere = program.run(&["signer", "backup", "/nonexistent/keys.bak", "--passphrase-file", words]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", told(&nowhere));
    serving.stop();

    let other = Program::new();
    let said = other.does(&["signer", "restore", copy, "--passphrase-file", words]);
    assert!(said.starts_with("keys brought back: 4; keys that were here: 0"), "{said}");
    let serving = other.serve().unwrap();
    let is_of_tags = |key: &serde_json::Value| key["role"] == "tags";
    let but_tags =
        |keys: &[serde_json::Value]| -> Vec<_> { keys.iter().filter(|key| !is_of_tags(key)).cloned().collect() };
    assert_eq!(but_tags(&self::keys(&other)), but_tags(&keys));
    let began = Instant::now();
    let made = loop {
        if let Some(made) = self::keys(&other).into_iter().find(is_of_tags) {
            break made;
        }
        assert!(began.elapsed() < PATIENCE, "no key for tags is made");
    };
    assert!(!keys.contains(&made), "no root names it: it does not come back, and another is made");
    serving.stop();

    // A registry that has made keys of its own since keeps them.
    let third = Program::new();
    third.serve().unwrap().stop();
    let refused = third.run(&["signer", "restore", copy, "--passphrase-file", words]);
    assert!(!refused.status.success() && told(&refused).contains("has another key"), "{}", told(&refused));
    third.serve().unwrap().stop();
}
