//! `hallmark repository`.

use clap::{Args, Subcommand};

use super::ask::{Asked, AskedServer, not_understood};
use super::output::{self, Failure, Format};
use super::user::output_done;
use crate::control::{Answer, Command, RepositoryLine, Visibility};

#[derive(Debug, Subcommand)]
pub(super) enum RepositoryVerb {
    /// Let everybody pull from a repository, without a login.
    Public(Named),
    /// Let only those pull from a repository who have a right to it.
    Private(Named),
    /// Delete a repository with every tag, manifest and upload in it, at once; `undelete` brings it back for 14 days.
    Delete(Named),
    /// List the repositories and who may pull from them.
    List(List),
}

#[derive(Args, Debug)]
pub(super) struct Named {
    name: String,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

impl RepositoryVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Public(named) => named.set(Visibility::Public),
            Self::Private(named) => named.set(Visibility::Private),
            Self::Delete(named) => named.delete(),
            Self::List(list) => list.run(),
        }
    }
}

impl Named {
    fn set(self, visibility: Visibility) -> Result<(), Failure> {
        let command = Command::RepositoryVisibility { name: self.name, visibility };
        super::block_on(output_done(&self.asked.into(), command))?
    }

    fn delete(self) -> Result<(), Failure> {
        let command = Command::RepositoryDelete { name: self.name };
        super::block_on(output_done(&self.asked.into(), command))?
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let asked: Asked = self.asked.into();
        let pages = asked.converse(|answer| {
            let Some(answer) = answer else { return Ok(Some(Command::RepositoryList { after: None })) };
            let Answer::Repositories { repositories, next } = answer else { return Err(not_understood()) };
            for repository in &repositories {
                show(repository, self.output)?;
            }
            Ok(next.map(|after| Command::RepositoryList { after: Some(after) }))
        });
        super::block_on(pages)?
    }
}

/// One line a repository; with JSON one object a line, so that a list of any length can be read as it comes.
fn show(repository: &RepositoryLine, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::say_json(repository),
        Format::Text => {
            let visibility = match repository.visibility {
                Visibility::Public => "public",
                Visibility::Private => "private",
            };
            output::say(format_args!("{visibility:<8} {}", repository.name))
        }
    }
}
