//! Another master key for a registry that runs: also where it is killed meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_signer::keys::{MasterKey, Masters};

use super::binary::{Program, told};
use crate::harness::World;

const NEW: &str = "new.key";

#[test]
fn a_registry_goes_on_and_starts_with_the_new_key_only() {
    let mut program = Program::new();
    let serving = program.serve().unwrap();
    let keys = program.does(&["signer", "keys", "--output", "json"]);
    assert_eq!(keys.lines().count(), 5, "root, targets, tags, snapshot and timestamp: {keys}");
    assert!(!keys.contains("sealed") && !keys.contains("private"), "{keys}");
    let new = program.path(NEW);
    let said = program.does(&["signer", "rewrap", "--key-file", new.to_str().unwrap()]);
    assert!(said.contains("data keys sealed under the new master key: 1; token keys: 1"), "{said}");
    program.does(&["token-key", "rotate"]);
    assert_eq!(program.does(&["signer", "keys", "--output", "json"]), keys);
    serving.stop();
    let refused = program.serve().err().expect("the key before opens nothing any more");
    assert!(refused.contains("sealed under another master key"), "{refused}");
    program.set("HALLMARK_MASTER_KEY_FILE", &new);
    fs::remove_file(program.data().join("master.key")).unwrap();
    program.serve().unwrap().stop();
}

#[test]
fn a_passphrase_takes_the_place_of_the_file() {
    let mut program = Program::new();
    let serving = program.serve().unwrap();
    let words = program.path("words");
    fs::write(&words, "correct horse battery staple\n").unwrap();
    program.does(&["signer", "rewrap", "--passphrase-file", words.to_str().unwrap()]);
    serving.stop();
    let refused = program.serve().err().expect("the settings name the file still");
    assert!(refused.contains("sealed under a passphrase"), "{refused}");
    program.environment.push(("HALLMARK_MASTER_PASSPHRASE".to_owned(), "correct horse battery stable".to_owned()));
    let refused = program.serve().err().expect("other words");
    assert!(refused.contains("not the passphrase"), "{refused}");
    program.environment.pop();
    program.set("HALLMARK_MASTER_PASSPHRASE_FILE", &words);
    program.serve().unwrap().stop();
}

#[test]
fn a_new_key_that_is_none_changes_nothing() {
    let program = Program::new();
    let serving = program.serve().unwrap();
    let (bad, short) = (program.path("bad"), program.path("short"));
    fs::write(&bad, "not a key").unwrap();
    fs::write(&short, "short\n").unwrap();
    for arguments in [
        ["signer", "rewrap", "--key-file", bad.to_str().unwrap()],
        ["signer", "rewrap", "--passphrase-file", short.to_str().unwrap()],
        ["signer", "rewrap", "--passphrase-file", "/nonexistent/words"],
    ] {
        let output = program.run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    }
    serving.stop();
    program.serve().unwrap().stop();
}

/// As a replica is, on which the operator has not named the new master key yet.
#[tokio::test]
async fn a_process_that_does_not_know_the_new_master_key_makes_no_token_key() {
    let world = World::open().await;
    let text = fs::read_to_string(world.data().join("master.key")).unwrap();
    let bytes: [u8; 32] = STANDARD.decode(text.trim()).unwrap().try_into().unwrap();
    let elsewhere = Masters::of(MasterKey::new(&bytes));
    hallmark_signer::rewrap(&world.app.metadata, &elsewhere, (MasterKey::new(&[9; 32]), None), world.now())
        .await
        .unwrap();
    let before = world.rows().await;
    let refused = world.app.rotate_token_keys().await.unwrap_err();
    assert!(refused.to_string().contains("restart this process"), "{refused}");
    assert_eq!(world.rows().await["token_keys"], before["token_keys"]);
    world.token("ann", "").await;
}

/// Wherever it is killed, one of the two keys opens everything, and the other nothing.
#[test]
fn a_registry_that_is_killed_meanwhile_starts_with_the_one_key_or_with_the_other() {
    let mut outcomes = Vec::new();
    for step in 0..8_u64 {
        let mut program = Program::new();
        let serving = program.serve().unwrap();
        let (old, new) = (program.data().join("master.key"), program.path(NEW));
        let mut asking = program.command(&["signer", "rewrap", "--key-file", new.to_str().unwrap()]).spawn().unwrap();
        // A fault at another moment each time: it waits for nothing.
        let until = Instant::now() + Duration::from_millis(step * 6);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        serving.kill();
        asking.wait().unwrap();
        let with_old = program.serve();
        let was_old = with_old.is_ok();
        if let Ok(serving) = with_old {
            serving.stop();
        }
        program.set("HALLMARK_MASTER_KEY_FILE", &new);
        let with_new = program.serve();
        assert_ne!(was_old, with_new.is_ok(), "{step}: {:?}", with_new.err());
        if let Ok(serving) = with_new {
            assert_eq!(program.does(&["signer", "keys", "--output", "json"]).lines().count(), 5);
            serving.stop();
        }
        assert!(old.exists());
        outcomes.push(was_old);
    }
    assert!(outcomes.contains(&true), "it is killed before it is done at least once");
}
