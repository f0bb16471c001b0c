//! `hallmark token-key`.

use clap::{Args, Subcommand};

use super::ask::{Asked, AskedServer, not_understood};
use super::output::{self, Failure, Format, time};
use crate::control::{Answer, Command, TokenKeyLine};

#[derive(Debug, Subcommand)]
pub(super) enum TokenKeyVerb {
    /// Sign tokens with a new key from now on; the old one verifies until the tokens it signed have expired.
    Rotate(AskedServer),
    /// List the keys that tokens are signed and verified with
    List(List),
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

impl TokenKeyVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let asked = match self {
            Self::Rotate(asked) => Asked::from(asked),
            Self::List(list) => return list.run(),
        };
        match super::block_on(asked.ask(Command::TokenKeyRotate))?? {
            Answer::TokenKey { kid } => output::say(format_args!("tokens are signed with key {kid} from now on")),
            _ => Err(not_understood()),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let Answer::TokenKeys { keys } = super::block_on(Asked::from(self.asked).ask(Command::TokenKeyList))?? else {
            return Err(not_understood());
        };
        if self.output == Format::Json {
            return keys.iter().try_for_each(output::say_json);
        }
        output::say(format_args!("{:<44} {:<22} {}", "KEY", "MADE", "STATE"))?;
        keys.iter().try_for_each(show)
    }
}

fn show(key: &TokenKeyLine) -> Result<(), Failure> {
    let state = match key.retires_at {
        None => "signs".to_owned(),
        Some(at) => format!("verifies until {}", time(at)),
    };
    output::say(format_args!("{:<44} {:<22} {state}", key.kid, time(key.created_at)))
}
