//! Lives here: the command line: what can be typed, what is printed, and the exit code.
//! Never here: what a command does to the registry; a verb asks the running server, or with `--offline` the same code.
//! Start reading at [`main`].

mod ask;
mod config;
mod doctor;
mod output;
mod password;
mod readonly;
mod repository;
mod serve;
mod settings;
mod token_key;
mod user;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::Failure;

/// Hallmark, a trusted image registry.
///
/// Settings come from flags, then from HALLMARK_* variables, then from a TOML file (--config FILE, HALLMARK_CONFIG, or
/// hallmark.toml in the data folder); `hallmark config print` shows them all with their places.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no server answers.
#[derive(Debug, Parser)]
#[command(name = "hallmark", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve images until told to stop (SIGTERM or Ctrl-C).
    ///
    /// Told to stop, no request begins any more and running ones end within http.drain_timeout (25 s unless set); 10 s
    /// later the process is gone, whatever it was at. What was acknowledged is durable, and uploads can be resumed.
    Serve(serve::Serve),
    /// Check or show the settings.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Add, remove and list users, and set their passwords.
    #[command(subcommand)]
    User(user::UserVerb),
    /// List and delete repositories, and say who may pull from them.
    #[command(subcommand)]
    Repository(repository::RepositoryVerb),
    /// Refuse writes while pulls go on, or take them again.
    #[command(subcommand)]
    Readonly(readonly::ReadonlyVerb),
    /// The keys that sign tokens.
    #[command(subcommand)]
    TokenKey(token_key::TokenKeyVerb),
    /// Check settings, folder, database, store, clock and address, and say what to do.
    Doctor(doctor::Doctor),
}

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Serve(serve) => serve.run(),
        Verb::Config(verb) => verb.run(),
        Verb::User(verb) => verb.run(),
        Verb::Repository(verb) => verb.run(),
        Verb::Readonly(verb) => verb.run(),
        Verb::TokenKey(verb) => verb.run(),
        Verb::Doctor(doctor) => doctor.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.code()
        }
    }
}

/// A runtime for a command that waits for one answer.
fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
    Ok(runtime.block_on(future))
}
