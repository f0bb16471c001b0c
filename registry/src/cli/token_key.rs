//! `hallmark token-key`.

use clap::Subcommand;

use super::ask::{Asked, AskedServer, not_understood};
use super::output::{self, Failure};
use crate::control::{Answer, Command};

#[derive(Debug, Subcommand)]
pub(super) enum TokenKeyVerb {
    /// Sign tokens with a new key from now on; the old one verifies until the tokens it signed have expired.
    Rotate(AskedServer),
}

impl TokenKeyVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Rotate(asked) = self;
        let asked: Asked = asked.into();
        match super::block_on(asked.ask(Command::TokenKeyRotate))?? {
            Answer::TokenKey { kid } => output::say(format_args!("tokens are signed with key {kid} from now on")),
            _ => Err(not_understood()),
        }
    }
}
