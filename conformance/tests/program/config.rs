//! `hallmark config`, and what a start refuses: settings that are not understood, and a database from the future.

use std::{fs, process::Command, time::Duration};

use hallmark_conformance::{
    Outcome,
    check::holds,
    process::{Process, run},
    server::{Plan, Server},
    tools,
};

use super::world::says;

/// How long a program that refuses its settings may take to say so.
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);
/// What no print may show.
const CANARY: &str = "canary-of-a-secret";

/// A server that was never started, and a file of settings beside its data.
fn with_file(text: &str) -> Outcome<(Server, String)> {
    let server = Plan::default().prepare()?;
    let file = server.scratch().join("settings.toml");
    fs::write(&file, text)?;
    Ok((server, file.display().to_string()))
}

/// Holds that `config check` and `serve` refuse this file with exit code 2, naming all of it.
fn refuses(text: &str, told: &[&str]) -> Outcome<()> {
    let (server, file) = with_file(text)?;
    let told = [told, &[file.as_str()]].concat();
    says(&server.attempt(&["config", "check", "--config", &file], "")?, 2, &told)?;
    says(&server.attempt(&["serve", "--config", &file], "")?, 2, &told)
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_likely_one() -> Outcome<()> {
    refuses("lisen = \"127.0.0.1:5000\"\n", &["lisen", "did you mean `listen`?"])?;
    refuses("[http]\nidle_time = \"1m\"\n", &["http.idle_time"])
}

#[test]
fn a_bad_value_is_refused_with_its_place_and_what_is_accepted() -> Outcome<()> {
    refuses("[http]\nidle_timeout = \"soon\"\n", &["http.idle_timeout", "a time from 1s to 1h"])?;
    refuses("[log]\nformat = \"xml\"\n", &["log.format", "text or json"])?;
    refuses("listen = \"localhost\"\n", &["listen", "an IP address and a port"])
}

#[test]
fn everything_that_is_wrong_is_told_at_once() -> Outcome<()> {
    refuses("listen = 7\nnothing = 1\n[log]\nlevel = \"loud\"\n", &["listen", "nothing", "log.level"])
}

#[test]
fn an_unknown_variable_is_refused_by_its_name() -> Outcome<()> {
    let server = Plan::default().variable("HALLMARK_LISEN", "127.0.0.1:5000").prepare()?;
    says(&server.attempt(&["config", "check"], "")?, 2, &["HALLMARK_LISEN", "HALLMARK_LISTEN"])
}

#[test]
fn a_flag_holds_before_a_variable_and_a_variable_before_the_file() -> Outcome<()> {
    let plan = Plan::default().variable("HALLMARK_LOG_LEVEL", "warn").variable("HALLMARK_HTTP_IDLE_TIMEOUT", "9s");
    let server = plan.prepare()?;
    let file = server.scratch().join("settings.toml");
    fs::write(&file, "[log]\nlevel = \"error\"\n[http]\nidle_timeout = \"8s\"\nbody_timeout = \"7s\"\n")?;
    let file = file.display().to_string();
    let printed = server.verb(&["config", "print", "--config", &file, "--log-level", "debug"])?;
    for (key, value) in [("log.level", "debug"), ("http.idle_timeout", "9s"), ("http.body_timeout", "7s")] {
        let line = format!("{key} = \"{value}\"");
        holds(printed.lines().any(|printed| printed.starts_with(&line)), || format!("no {line} in:\n{printed}"))?;
    }
    Ok(())
}

#[test]
fn a_print_can_be_loaded_again_and_shows_no_secret() -> Outcome<()> {
    let text = format!(
        "[database]\nurl = \"postgres://hallmark:{CANARY}@db.example/hallmark\"\n[storage]\nurl = \"s3://images/a\"\n\
         [storage.s3]\naccess_key_id = \"name\"\nsecret_access_key = \"{CANARY}\"\n"
    );
    let plan = Plan::default().variable("HALLMARK_ADMIN_PASSWORD", CANARY);
    let server = plan.prepare()?;
    let file = server.scratch().join("settings.toml");
    fs::write(&file, text)?;
    let file = file.display().to_string();
    says(&server.attempt(&["config", "check", "--config", &file], "")?, 0, &["ok"])?;
    let printed = server.verb(&["config", "print", "--config", &file])?;
    holds(!printed.contains(CANARY), || format!("a secret is printed:\n{printed}"))?;
    holds(printed.contains("s3://images/a") && printed.contains("[secret]"), || {
        format!("this is printed:\n{printed}")
    })?;

    let (plain, again) = with_file("[http]\nidle_timeout = \"9s\"\n")?;
    let printed = plain.verb(&["config", "print", "--config", &again])?;
    fs::write(&again, &printed)?;
    says(&plain.attempt(&["config", "check", "--config", &again], "")?, 0, &["ok"])?;
    let once_more = plain.verb(&["config", "print", "--config", &again])?;
    holds(once_more.contains("idle_timeout = \"9s\""), || format!("the print lost a setting:\n{once_more}"))
}

/// What a setting names is looked at before anything is made: no half of a first start is left for the second.
#[test]
fn a_file_that_a_setting_names_and_that_cannot_be_used_is_refused_before_anything_is_made() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let empty = folder.path().join("empty.pem").display().to_string();
    let absent = folder.path().join("absent.pem").display().to_string();
    fs::write(&empty, "")?;
    for (text, told) in [
        (format!("[tls]\ncertificate = \"{empty}\"\nkey = \"{empty}\"\n"), empty.as_str()),
        (format!("[tls]\ncertificate = \"{absent}\"\nkey = \"{absent}\"\n"), absent.as_str()),
        (format!("master_key_file = \"{empty}\"\n"), empty.as_str()),
        (format!("master_passphrase_file = \"{absent}\"\n"), absent.as_str()),
    ] {
        let (server, file) = with_file(&text)?;
        says(&server.attempt(&["config", "check", "--config", &file], "")?, 1, &[told])?;
        says(&server.attempt(&["serve", "--config", &file], "")?, 1, &[told])?;
        holds(!server.data().exists(), || format!("{} was made with {text}", server.data().display()))?;
    }
    Ok(())
}

#[test]
fn a_database_of_a_newer_release_is_left_alone_and_what_to_do_is_told() -> Outcome<()> {
    let mut server = Server::fresh()?;
    server.stop()?;
    let database = server.data().join("hallmark.db");
    let newer = "INSERT INTO migrations (version, name, applied_at) VALUES (9999, 'future', 0)";
    run(Command::new(tools::locate("sqlite3")?).arg(&database).arg(newer))?;
    let told = ["the database has schema 9999", "start the release that wrote it or a newer one"];
    let mut refused = server.spawn()?;
    let status = refused.wait(REFUSAL_LIMIT)?;
    holds(status.code() == Some(1), || format!("the start ended with {status}"))?;
    let log = server.log();
    holds(told.iter().all(|word| log.contains(word)), || format!("{told:?} is not in {log}"))?;
    says(&server.attempt(&["user", "list", "--offline"], "")?, 1, &told)?;
    says(&server.attempt(&["doctor"], "")?, 1, &["the database has schema 9999", "run the release that made it"])
}

#[test]
fn i13_plain_http_where_others_can_reach_it_is_refused_before_anything_listens() -> Outcome<()> {
    let server = Plan::default().prepare()?;
    let told = ["listen", "tls.certificate", "--insecure-http"];
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000"] {
        says(&server.attempt(&["config", "check", "--listen", address], "")?, 2, &told)?;
        // Never by a plain run: one that is not refused would serve the world.
        let mut command = Command::new(tools::hallmark()?);
        command.env_clear().args(["serve", "--listen", address, "--data"]).arg(server.data());
        let log = server.scratch().join(format!("refused-{}.log", address.len()));
        let mut process = Process::start(command, &log)?;
        let status = process.wait(REFUSAL_LIMIT)?;
        let said = process.log();
        holds(status.code() == Some(2), || format!("serve on {address} ended with {status}: {said}"))?;
        holds(told.iter().all(|word| said.contains(word)), || format!("{told:?} is not in {said}"))?;
    }
    holds(!server.data().exists(), || "a refused start made its data folder".into())?;
    let allowed = ["config", "check", "--listen", "0.0.0.0:0", "--insecure-http"];
    says(&server.attempt(&allowed, "")?, 0, &["ok"])
}
