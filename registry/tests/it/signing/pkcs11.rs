//! A master key that a token of PKCS#11 seals: SoftHSM2, as Debian packages it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::binary::{Program, Serving};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "8642-pin";

/// A program with a token of its own.
fn program() -> Program {
    assert!(Path::new(MODULE).exists(), "{MODULE} is missing: install the Debian package softhsm2");
    let mut program = Program::new();
    let (tokens, settings) = (program.path("tokens"), program.path("softhsm2.conf"));
    fs::create_dir(&tokens).unwrap();
    fs::write(&settings, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display())).unwrap();
    program.set("SOFTHSM2_CONF", &settings);
    fs::write(program.path("pin"), format!("{PIN}\n")).unwrap();
    add_token(&program, "registry");
    program
}

fn add_token(program: &Program, label: &str) {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label, "--so-pin", "1357-so", "--pin", PIN])
        .envs(program.environment.iter().cloned())
        .output()
        .expect("softhsm2-util is there: install the Debian package softhsm2");
    assert!(made.status.success(), "{made:?}");
}

fn named(program: &mut Program, token: &str, key: &str) {
    program.environment.retain(|(name, _)| !name.starts_with("HALLMARK_PKCS11"));
    program.set("HALLMARK_PKCS11_MODULE", MODULE);
    program.set("HALLMARK_PKCS11_TOKEN", token);
    program.set("HALLMARK_PKCS11_KEY", key);
    program.set("HALLMARK_PKCS11_PIN_FILE", program.path("pin"));
}

fn starts(program: &Program) {
    program.serve().unwrap_or_else(|log| panic!("{log}")).stop();
}

fn refused(program: &Program) -> String {
    program.serve().map(Serving::stop).expect_err("it does not start")
}

#[test]
fn a_registry_starts_with_its_token_and_without_it_does_not() {
    let mut program = program();
    named(&mut program, "registry", "hallmark");
    starts(&program);
    starts(&program);
    assert!(!program.data().join("master.key").exists());
    named(&mut program, "another", "hallmark");
    assert!(refused(&program).contains("no token has the label \"another\""));
    named(&mut program, "registry", "other");
    assert!(refused(&program).contains("no AES key with the label \"other\""));
    named(&mut program, "registry", "hallmark");
    fs::write(program.path("pin"), "wrong\n").unwrap();
    assert!(refused(&program).contains("showing the PIN"));
    fs::write(program.path("pin"), PIN).unwrap();
    // A token with the same name and a key of the same name opens nothing that the other one sealed.
    fs::remove_dir_all(program.path("tokens")).unwrap();
    fs::create_dir(program.path("tokens")).unwrap();
    add_token(&program, "registry");
    assert!(refused(&program).contains("no AES key"));
}

#[test]
fn a_token_takes_the_place_of_the_file_and_a_file_that_of_the_token() {
    let mut program = program();
    let serving = program.serve().unwrap();
    let pin = program.path("pin");
    let to_token =
        ["signer", "rewrap", "--pkcs11-module", MODULE, "--pkcs11-token", "registry", "--pkcs11-key", "hallmark"];
    let to_token: Vec<&str> = to_token.into_iter().chain(["--pkcs11-pin-file", pin.to_str().unwrap()]).collect();
    program.does(&to_token);
    serving.stop();
    assert!(refused(&program).contains("a token of PKCS#11"));
    named(&mut program, "registry", "hallmark");
    let serving = program.serve().unwrap();
    let new = program.path("new.key");
    program.does(&["signer", "rewrap", "--key-file", new.to_str().unwrap()]);
    serving.stop();
    program.environment.retain(|(name, _)| !name.starts_with("HALLMARK_PKCS11"));
    program.set("HALLMARK_MASTER_KEY_FILE", &new);
    starts(&program);
}
