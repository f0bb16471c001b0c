//! `hallmark readonly`.

use clap::Subcommand;

use super::ask::{Asked, not_understood};
use super::output::{self, Failure};
use crate::control::{Answer, Command, SwitchChange};

#[derive(Debug, Subcommand)]
pub(super) enum ReadonlyVerb {
    /// Refuse writes (503 with Retry-After); pulls go on.
    On(Asked),
    /// Take writes again.
    Off(Asked),
    /// Say which it is.
    Status(Asked),
}

impl ReadonlyVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (asked, change) = match self {
            Self::On(asked) => (asked, SwitchChange::On),
            Self::Off(asked) => (asked, SwitchChange::Off),
            Self::Status(asked) => (asked, SwitchChange::Keep),
        };
        match super::block_on(asked.ask(Command::ReadOnly { change }))?? {
            Answer::ReadOnly { on: true } => output::say("read-only is on: writes are refused, pulls go on"),
            Answer::ReadOnly { on: false } => output::say("read-only is off: writes are taken"),
            _ => Err(not_understood()),
        }
    }
}
