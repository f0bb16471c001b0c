//! `hallmark repo`: repositories of a registry far away. Those of a server on this machine are `hallmark repository`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Ask;
use super::table::Row;
use super::{Begins, Remote, Session};
use crate::cli::output::Failure;
use crate::people::repositories::{RepositoryLine, RepositoryView, Visibility};

#[derive(Args, Debug)]
pub(in crate::cli) struct Repo {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: RepoVerb,
}

#[derive(Debug, Subcommand)]
enum RepoVerb {
    /// List the repositories that you may see
    List {
        #[command(flatten)]
        begins: Begins,
        /// Only what anybody may pull, or only what not
        #[arg(long, value_parser = ["public", "private"])]
        visibility: Option<String>,
    },
    /// Make a repository; nobody but who has a right to it may pull, unless --public says so
    Create {
        /// The repository, such as acme/web
        name: String,
        /// Let everybody pull without a login
        #[arg(long)]
        public: bool,
        /// What it is
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Show one repository, and what you may do in it
    Show {
        /// The repository, such as acme/web
        name: String,
    },
    /// Open or close a repository, or describe it
    Set(Set),
    /// Give a repository another name in the same account; the old one rests from then on
    Rename {
        /// The repository, such as acme/web
        name: String,
        /// Its new name, in full
        to: String,
    },
    /// Hand a repository over to another account, which you govern; the old name rests from then on
    Transfer {
        /// The repository, such as acme/web
        name: String,
        /// Its new name, in full, such as beta/web
        to: String,
    },
    /// Delete a repository with all that it holds, at once; `hallmark undelete repository` brings it back for a while
    Delete {
        /// The repository, such as acme/web
        name: String,
    },
}

#[derive(Args, Debug)]
struct Set {
    /// The repository, such as acme/web
    name: String,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Let everybody pull without a login
    #[arg(long, conflicts_with = "private")]
    public: bool,
    /// Let only those pull who have a right to it
    #[arg(long)]
    private: bool,
    /// What it is
    #[arg(long)]
    description: Option<String>,
}

impl Row for RepositoryLine {
    const HEAD: &'static [&'static str] = &["NAME"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

impl Row for RepositoryView {
    const HEAD: &'static [&'static str] = &["NAME", "VISIBILITY", "YOUR RIGHTS", "MADE", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        let visibility = match self.visibility {
            Visibility::Public => "public",
            Visibility::Private => "private",
        };
        let (made, description) = (self.created_at.clone(), self.description.clone());
        vec![self.name.clone(), visibility.to_owned(), self.rights.clone(), made, description]
    }
}

impl Repo {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

impl RepoVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { begins, visibility } => {
                let ask = begins.narrow(Ask::get(&["repositories"]));
                session.list::<RepositoryLine>(ask.with("visibility", visibility)).await
            }
            Self::Create { name, public, description } => {
                let visibility = if public { "public" } else { "private" };
                let new = json!({"name": name, "visibility": visibility, "description": description});
                let ask = Ask::post(&["repositories"], new);
                session.made::<RepositoryView>(ask, &format!("{visibility} repository {name} made")).await
            }
            Self::Show { name } => session.one::<RepositoryView>(Ask::get(&["repositories", &name])).await,
            Self::Set(set) => {
                let ask = Ask::patch(&["repositories", &set.name], set.changes.value());
                session.one::<RepositoryView>(ask).await
            }
            Self::Rename { name, to } => {
                let ask = Ask::patch(&["repositories", &name], json!({"name": to}));
                session.made::<RepositoryView>(ask, &format!("repository {name} is now {to}")).await
            }
            Self::Transfer { name, to } => {
                let ask = Ask::post(&["repositories", &name, "transfer"], json!({"to": to}));
                session.made::<RepositoryView>(ask, &format!("repository {name} is now {to}")).await
            }
            Self::Delete { name } => {
                let ask = Ask::delete(&["repositories", &name]);
                session.act(ask, &format!("repository {name} deleted")).await
            }
        }
    }
}

impl Changes {
    fn value(&self) -> Value {
        let mut changes = json!({});
        if self.public || self.private {
            changes["visibility"] = Value::from(if self.public { "public" } else { "private" });
        }
        if let Some(description) = &self.description {
            changes["description"] = Value::from(description.as_str());
        }
        changes
    }
}
