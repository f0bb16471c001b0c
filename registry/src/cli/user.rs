//! `hallmark user`: the users of the server on this machine, or with `--context` those of a registry far away.

use clap::{Args, Subcommand};

use super::ask::{Asked, not_understood};
use super::output::{self, Failure, Format};
use super::password::{Chosen, Otherwise, PasswordSource};
use super::remote::{self, Remote};
use crate::control::{Answer, Command, UserLine};

#[derive(Debug, Subcommand)]
pub(super) enum UserVerb {
    /// Add a user, who owns the repositories under their name; without a flag a password is generated and printed once.
    Add(Add),
    /// Remove a user whose repositories were moved or deleted.
    Remove(Remove),
    /// Set a user's password, asked for on the terminal unless a flag says otherwise; every token of theirs ends.
    Password(Password),
    /// Log a user out everywhere: every token and refresh token of theirs ends, the password stays.
    Logout(Logout),
    /// List the users.
    List(List),
    /// Show one user of the registry of a context.
    Show(Shown),
    /// Change what a user of the registry of a context may do in all of it; no token of a context makes an administrator.
    Role(Role),
    /// Let a user of the registry of a context do nothing; every token of theirs is void, also when they come back.
    Disable(Shown),
    /// Let a user of the registry of a context act again.
    Enable(Shown),
}

/// Whether a registry far away is meant.
#[derive(Args, Debug)]
pub(super) struct Far {
    /// Ask the registry of this context over the network, and not the server on this machine
    #[arg(long, value_name = "NAME", conflicts_with_all = ["data", "config", "offline"])]
    context: Option<String>,
}

impl Far {
    fn remote(&self, output: Format) -> Option<Remote> {
        self.context.clone().map(|name| Remote::new(Some(name), output))
    }
}

#[derive(Args, Debug)]
pub(super) struct Shown {
    /// The user
    name: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Debug)]
pub(super) struct Role {
    /// The user
    name: String,
    /// What they are to be in the whole registry
    #[arg(value_parser = ["user", "auditor", "administrator"])]
    role: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Debug)]
pub(super) struct Add {
    name: String,
    /// The user may do everything in every repository
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    far: Far,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    name: String,
    #[command(flatten)]
    far: Far,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args, Debug)]
pub(super) struct Password {
    name: String,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args, Debug)]
pub(super) struct Logout {
    name: String,
    #[command(flatten)]
    far: Far,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// Only names that begin with this; with --context
    #[arg(long, value_name = "TEXT", requires = "context")]
    prefix: Option<String>,
    /// Only who may not sign in at present, or only who may; with --context
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, requires = "context")]
    disabled: Option<bool>,
    #[command(flatten)]
    far: Far,
    #[command(flatten)]
    asked: Asked,
}

impl UserVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => {
                let chosen = add.password.choose(Otherwise::Generate)?;
                if let Some(remote) = add.far.remote(Format::Text) {
                    remote::user::add(remote, &add.name, &chosen.password, add.admin)?;
                    return tell(&chosen);
                }
                let password = chosen.password.clone();
                let command = Command::UserAdd { name: add.name, password, admin: add.admin };
                with_password(&add.asked, command, &chosen)
            }
            Self::Remove(remove) => match remove.far.remote(Format::Text) {
                Some(remote) => remote::user::remove(remote, &remove.name),
                None => super::block_on(output_done(&remove.asked, Command::UserRemove { name: remove.name }))?,
            },
            Self::Password(change) => {
                let chosen = change.password.choose(Otherwise::Prompt)?;
                let command = Command::UserPassword { name: change.name, password: chosen.password.clone() };
                with_password(&change.asked, command, &chosen)
            }
            Self::Logout(logout) => match logout.far.remote(Format::Text) {
                Some(remote) => remote::user::log_out(remote, &logout.name),
                None => super::block_on(output_done(&logout.asked, Command::UserLogout { name: logout.name }))?,
            },
            Self::List(list) => match list.far.remote(list.output) {
                Some(remote) => remote::user::list(remote, list.prefix, list.disabled),
                None => list.run(),
            },
            Self::Show(shown) => remote::user::show(shown.remote, &shown.name),
            Self::Role(Role { name, role, remote }) => remote::user::change(remote, &name, ("role", role.into())),
            Self::Disable(shown) => remote::user::change(shown.remote, &shown.name, ("disabled", true.into())),
            Self::Enable(shown) => remote::user::change(shown.remote, &shown.name, ("disabled", false.into())),
        }
    }
}

/// Does the command and, when it is done and not before, tells a password that nobody knows yet.
fn with_password(asked: &Asked, command: Command, chosen: &Chosen) -> Result<(), Failure> {
    super::block_on(output_done(asked, command))??;
    tell(chosen)
}

/// Tells a password that nobody knows yet.
fn tell(chosen: &Chosen) -> Result<(), Failure> {
    if chosen.generated {
        output::say(format_args!("password: {}", chosen.password.expose()))?;
    }
    Ok(())
}

/// Does a command whose answer is a sentence, and prints it.
pub(super) async fn output_done(asked: &Asked, command: Command) -> Result<(), Failure> {
    match asked.ask(command).await? {
        Answer::Done { message } => output::say(message),
        _ => Err(not_understood()),
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let mut first = true;
        let pages = self.asked.converse(|answer| {
            let Some(answer) = answer else { return Ok(Some(Command::UserList { after: None })) };
            let Answer::Users { users, next } = answer else { return Err(not_understood()) };
            for user in &users {
                if std::mem::take(&mut first) && self.output == Format::Text {
                    output::say(format_args!("{:<32} {:<8} {}", "NAME", "ADMIN", "STATE"))?;
                }
                show(user, self.output)?;
            }
            Ok(next.map(|after| Command::UserList { after: Some(after) }))
        });
        super::block_on(pages)?
    }
}

/// One line a user; with JSON one object a line, so that a list of any length can be read as it comes.
fn show(user: &UserLine, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::say_json(user),
        Format::Text => {
            let admin = if user.admin { "yes" } else { "no" };
            let state = if user.disabled { "disabled" } else { "active" };
            output::say(format_args!("{:<32} {admin:<8} {state}", user.name))
        }
    }
}
