//! Where a password comes from. It never stands on the command line, where every user of the machine can read it.

use std::io::{self, IsTerminal, Read};

use clap::Args;

use super::output::Failure;
use crate::auth::users;
use crate::clock::Random;
use crate::config::Secret;

/// The longest password that is read, in bytes.
const PASSWORD_BYTES: u64 = 1024;

#[derive(Args, Clone, Copy, Debug, Default)]
#[group(multiple = false)]
pub(super) struct PasswordSource {
    /// Read the password from standard input, up to the first line break
    #[arg(long)]
    password_stdin: bool,
    /// Make a random password and print it once
    #[arg(long)]
    generate: bool,
    /// Ask for the password on the terminal
    #[arg(long)]
    prompt: bool,
}

/// What is done when no flag says where the password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    Generate,
    Prompt,
}

/// A password, and whether its owner has yet to be told.
pub(super) struct Chosen {
    pub(super) password: Secret,
    pub(super) generated: bool,
}

impl PasswordSource {
    pub(super) fn choose(self, otherwise: Otherwise) -> Result<Chosen, Failure> {
        let asked = self.password_stdin || self.generate || self.prompt;
        if self.password_stdin {
            return Ok(Chosen { password: from_reader(io::stdin().lock())?, generated: false });
        }
        if self.generate || (!asked && otherwise == Otherwise::Generate) {
            let password = users::generate_password(&Random::system());
            return Ok(Chosen { password: Secret::new(password), generated: true });
        }
        if !asked && !io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "there is no terminal to ask for the password on: use --password-stdin or --generate".to_owned(),
            ));
        }
        Ok(Chosen { password: from_terminal()?, generated: false })
    }
}

/// The first line, without its end; what `echo secret |` and `< file` give.
pub(super) fn from_reader(reader: impl Read) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = reader.take(PASSWORD_BYTES + 2).read_to_string(&mut text);
    if read.is_err() {
        return Err(Failure::Usage("the password on standard input is not UTF-8 text".to_owned()));
    }
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    match line.len() as u64 {
        0 => Err(Failure::Usage("there is no password on standard input".to_owned())),
        1..=PASSWORD_BYTES => Ok(Secret::new(line.to_owned())),
        _ => Err(Failure::Usage(format!("a password is at most {PASSWORD_BYTES} bytes"))),
    }
}

fn from_terminal() -> Result<Secret, Failure> {
    let ask = |question| {
        rpassword::prompt_password(question)
            .map(Secret::new)
            .map_err(|error| Failure::Failed(format!("the password cannot be read from the terminal: {error}")))
    };
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err(Failure::Failed("these were two different passwords; nothing was changed".to_owned()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests;
