//! The first start on an empty folder makes the administrator, and tells the password once.

use std::{fs, os::unix::fs::PermissionsExt};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    server::{ADMIN, Plan, Server},
};

use super::world::{is_refused, logs_in};

/// A server whose administrator's password nobody gave. Standard output alone is its log; standard error goes elsewhere.
fn unaided() -> Outcome<Server> {
    Plan::default().own_password().wrapper(["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/null"]).start()
}

#[test]
fn the_first_start_prints_the_generated_password_once_and_keeps_it_in_a_private_file() -> Outcome<()> {
    let mut server = unaided()?;
    let file = server.data().join("admin-password");
    let password = fs::read_to_string(&file)?.trim().to_owned();
    let mode = fs::metadata(&file)?.permissions().mode() & 0o7777;
    holds(mode == 0o600, || format!("{} has the mode {mode:o}", file.display()))?;
    holds(password.len() >= 22, || format!("a password of {} letters is not random enough", password.len()))?;
    let printed = server.log();
    holds(printed.matches(&password).count() == 1, || format!("the password was to be printed once: {printed}"))?;
    logs_in(&server, ADMIN, &password)?;
    is_refused(&server, ADMIN, "another password")?;

    server.restart()?;
    holds(server.log() == printed, || format!("the second start printed something: {}", server.log()))?;
    let kept = fs::read_to_string(&file)?;
    holds(kept.trim() == password, || "the second start wrote another password".into())?;
    logs_in(&server, ADMIN, &password)
}

#[test]
fn a_password_that_was_given_is_neither_printed_nor_kept_in_a_file() -> Outcome<()> {
    let server = Server::fresh()?;
    logs_in(&server, ADMIN, hallmark_conformance::server::PASSWORD)?;
    holds(!server.log().contains(hallmark_conformance::server::PASSWORD), || "the password was printed".into())?;
    holds(!server.data().join("admin-password").exists(), || "the password was written to a file".into())
}

#[test]
fn the_data_folder_and_its_secrets_belong_to_their_owner_alone() -> Outcome<()> {
    let server = unaided()?;
    let mode = |path: &std::path::Path| -> Outcome<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o077) };
    let folder = mode(server.data())?;
    holds(folder == 0, || format!("others may enter the data folder: {folder:o}"))?;
    let key = fs::read_dir(server.data())?.flatten().find(|entry| entry.file_name().to_string_lossy().contains("key"));
    let key = key.or_fail("there is no file of the master key")?.path();
    let key_mode = mode(&key)?;
    holds(key_mode == 0, || format!("others may read {}: {key_mode:o}", key.display()))
}
