//! The null server as a process of its own: this program, started again.
//! Never in the load client's process, whose processor time is printed beside.
//! Start at `command`.

use std::process::Command;

use hallmark_conformance::Outcome;

use crate::options::NULL_SERVER;

/// For the report.
pub(super) const CONDITIONS: &str = "the benchmark's own server, which stores, checks and reads nothing, and sends without pacing: what the load client could reach \
     at most";

/// The command that answers on `port`.
pub(super) fn command(port: u16) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(NULL_SERVER).arg(port.to_string());
    Ok(command)
}
