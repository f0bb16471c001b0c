//! `hallmark doctor`: what it finds sound, and what it says to do about what is not.

use std::fs;

use hallmark_conformance::{
    Outcome,
    check::holds,
    process::Ran,
    server::{Plan, Server},
};
use serde_json::Value;

use super::world::says;

/// The findings of one check, as the JSON form gives them.
fn findings(ran: &Ran, check: &str) -> Outcome<Vec<Value>> {
    let lines: Vec<Value> = ran.output.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|finding| finding["check"] == check).collect())
}

fn examine(server: &Server) -> Outcome<Ran> {
    let listen = format!("127.0.0.1:{}", server.port());
    server.attempt(&["doctor", "--output", "json", "--listen", &listen], "")
}

#[test]
fn a_sound_registry_is_found_sound_whether_it_runs_or_not() -> Outcome<()> {
    let mut server = Server::fresh()?;
    let running = examine(&server)?;
    says(&running, 0, &["runs with process id"])?;
    server.stop()?;
    let stopped = examine(&server)?;
    says(&stopped, 0, &["none runs on this data folder", "writes, reads and deletes"])?;
    for check in ["configuration", "data folder", "database", "store", "clock"] {
        for ran in [&running, &stopped] {
            let found = findings(ran, check)?;
            let sound = !found.is_empty() && found.iter().all(|finding| finding["verdict"] != "fail");
            holds(sound, || format!("{check} is {found:?}"))?;
        }
    }
    // It looks and changes nothing.
    server.start()
}

#[test]
fn a_store_that_cannot_be_used_is_told_with_what_to_do() -> Outcome<()> {
    let mut server = Server::fresh()?;
    server.stop()?;
    let blobs = server.data().join("blobs");
    fs::rename(&blobs, server.data().join("aside"))?;
    fs::write(&blobs, "not a folder")?;
    let ran = examine(&server)?;
    says(&ran, 1, &[])?;
    let found = findings(&ran, "store")?;
    holds(found.len() == 1 && found[0]["verdict"] == "fail", || format!("the store is {found:?}"))?;
    let advice = found[0]["advice"].as_str().unwrap_or_default();
    holds(advice.contains("storage.url"), || format!("the advice is {advice:?}"))?;
    let text = server.attempt(&["doctor"], "")?;
    says(&text, 1, &["FAIL store", "→ "])
}

#[test]
fn a_data_folder_that_others_may_read_is_a_warning() -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut server = Server::fresh()?;
    server.stop()?;
    fs::set_permissions(server.data(), fs::Permissions::from_mode(0o755))?;
    let ran = examine(&server)?;
    let found = findings(&ran, "data folder")?;
    let warned = found.iter().any(|finding| {
        finding["verdict"] == "warn" && finding["advice"].as_str().is_some_and(|advice| advice.starts_with("chmod 700"))
    });
    holds(warned, || format!("the data folder is {found:?}"))
}

#[test]
fn settings_that_a_start_refuses_are_told_and_nothing_else_is_looked_at() -> Outcome<()> {
    let server = Plan::default().variable("HALLMARK_LOG_FORMAT", "xml").prepare()?;
    let ran = examine(&server)?;
    says(&ran, 1, &["HALLMARK_LOG_FORMAT", "text or json"])?;
    holds(ran.output.lines().count() == 1, || format!("more than the refusal was told: {}", ran.output))
}

#[test]
fn an_address_that_is_taken_is_told() -> Outcome<()> {
    let (taken, mut idle) = (Server::fresh()?, Server::fresh()?);
    idle.stop()?;
    let listen = format!("127.0.0.1:{}", taken.port());
    let ran = idle.attempt(&["doctor", "--output", "json", "--listen", &listen], "")?;
    says(&ran, 1, &[&listen])
}
