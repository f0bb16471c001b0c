//! What is printed, and how a command fails.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::config::ConfigInvalid;

/// Why a command did not do what was asked; each kind has its exit code.
#[derive(Debug)]
pub(super) enum Failure {
    /// 1: it was tried.
    Failed(String),
    /// 1, and nothing more to say: what is wrong was printed already.
    Shown,
    /// 2: what was typed cannot be done.
    Usage(String),
    /// 2: the settings are refused.
    Configuration(ConfigInvalid),
    /// 3: there is no server to ask.
    NoServer(String),
    /// 4: a registry far away knows no such thing, or does not tell us of it.
    NotFound(String),
    /// 5: a registry far away does not let us.
    NotAllowed(String),
    /// 5: a registry far away does not know who we are.
    NotSignedIn(String),
}

impl Failure {
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) | Self::Shown => 1,
            Self::Usage(_) | Self::Configuration(_) => 2,
            Self::NoServer(_) => 3,
            Self::NotFound(_) => 4,
            Self::NotAllowed(_) | Self::NotSignedIn(_) => 5,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message)
            | Self::Usage(message)
            | Self::NoServer(message)
            | Self::NotFound(message)
            | Self::NotAllowed(message)
            | Self::NotSignedIn(message) => formatter.write_str(message),
            Self::Configuration(invalid) => invalid.fmt(formatter),
            Self::Shown => Ok(()),
        }
    }
}

impl From<ConfigInvalid> for Failure {
    fn from(invalid: ConfigInvalid) -> Self {
        Self::Configuration(invalid)
    }
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one line to standard output.
pub(super) fn say(line: impl fmt::Display) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Prints a value as one line of JSON.
pub(super) fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    match serde_json::to_string(value) {
        Ok(line) => say(line),
        Err(error) => Err(Failure::Failed(format!("the answer cannot be written as JSON: {error}"))),
    }
}

/// A time as people write it, to the second; a number that is no time stays a number.
pub(super) fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Tells on standard error why the command failed.
pub(super) fn complain(failure: &Failure) {
    if !matches!(failure, Failure::Shown) {
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "hallmark: {failure}");
    }
}
