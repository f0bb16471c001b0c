//! Hallmark as a user starts it: nothing configured but the password.
//! Never a special mode for measuring.
//! Start at `command`.

use std::{path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hallmark_conformance::{
    Failure, Outcome,
    failure::While,
    process::{run, run_with_input},
    server::PASSWORD,
    settings,
};
use serde_json::Value;

use super::{Server, Setup};
use crate::{token::Access, wire::Request};

/// For the report.
pub(super) const CONDITIONS: &str = "as it is started by hand, with no setting but the password: SQLite and a folder, its own log to a \
     file, a bearer token (ES256) from its own `/token`; on loopback it sends without pacing (reno); 201 is sent after file, \
     folder entry and transaction are synced";

/// The command that serves `folder/data` on `port`.
pub(super) fn command(setup: &Setup, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(&setup.hallmark);
    command.arg("serve").arg("--data").arg(folder.join("data"));
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    forget_settings(&mut command);
    command.env("HALLMARK_ADMIN_PASSWORD", PASSWORD);
    command
}

/// The settings of the test command would be refused as variables that the program does not know.
fn forget_settings(command: &mut Command) {
    for name in settings::server_like_variables() {
        command.env_remove(name);
    }
}

/// What `hallmark --version` prints.
pub(super) fn version(setup: &Setup) -> Outcome<String> {
    let binary = &setup.hallmark;
    if !binary.exists() {
        return Err(Failure::new(format!(
            "{} is not there: run `cargo build --release -p hallmark`, or give --hallmark PATH",
            binary.display()
        )));
    }
    let printed = run(Command::new(binary).arg("--version"))?;
    Ok(printed.trim().trim_start_matches("hallmark ").to_owned())
}

/// Adds a user with the administrator's password to the data of a server that is stopped.
pub(crate) fn add_user(setup: &Setup, data: &Path, name: &str) -> Outcome<()> {
    let mut command = Command::new(&setup.hallmark);
    command.args(["user", "add", name, "--password-stdin", "--offline", "--data"]).arg(data);
    forget_settings(&mut command);
    run_with_input(&mut command, PASSWORD).map(drop)
}

/// `Bearer` and a token from the server's own token endpoint.
pub(super) fn token(server: &Server, user: &str, access: &[Access<'_>]) -> Outcome<String> {
    let mut connection = server.connect()?;
    let challenge = connection.exchange(&Request::new("GET", "/v2/", None))?.expect(401, "the ping without a token")?;
    let challenge = challenge.challenge.or_fail("the 401 has no challenge")?;
    let service = parameter(&challenge, "service").or_fail("the challenge names no service")?;
    let realm = parameter(&challenge, "realm").or_fail("the challenge names no realm")?;
    let path = realm.splitn(4, '/').nth(3).or_fail("the realm has no path")?;
    let scopes = access.iter().map(|access| format!("&scope={}", access.scope())).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{PASSWORD}")));
    let request = Request::new("GET", &format!("/{path}?service={service}{scopes}"), Some(&basic));
    let mut body = Vec::new();
    connection.exchange_into(&request, |piece| body.extend_from_slice(piece))?.expect(200, "the token endpoint")?;
    let answer = serde_json::from_slice::<Value>(&body)?;
    let token = answer["token"].as_str().or_fail("the token endpoint's answer has no token")?;
    Ok(format!("Bearer {token}"))
}

/// The quoted value of a challenge's parameter.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0)
}
