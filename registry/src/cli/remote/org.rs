//! `hallmark org`: organizations and who belongs to them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Ask;
use super::table::{Row, or_dash, yes};
use super::{Begins, Remote, Session};
use crate::cli::output::Failure;
use crate::people::members::{MemberRole, MemberView};
use crate::people::organizations::{OrganizationChanges, OrganizationView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Org {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: OrgVerb,
}

#[derive(Debug, Subcommand)]
enum OrgVerb {
    /// List the organizations that you may see
    List(Begins),
    /// Make an organization, which only an administrator may
    Create {
        /// Its name, which is the beginning of its repositories' names
        name: String,
        /// Who owns it first [default: you]
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Show one organization
    Show {
        /// The organization
        name: String,
    },
    /// Change an organization's settings
    Set {
        /// The organization
        name: String,
        /// Whether a push by a member makes a repository that does not exist
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
        create_on_push: Option<bool>,
        /// Whether `write` lets sign; where it does not, `sign` is granted beside it
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, required_unless_present = "create_on_push")]
        writers_sign: Option<bool>,
    },
    /// Remove an organization that has no repositories, robots and teams any more
    Remove {
        /// The organization
        name: String,
    },
    /// Who belongs to an organization
    #[command(subcommand)]
    Member(MemberVerb),
}

#[derive(Debug, Subcommand)]
enum MemberVerb {
    /// List the members
    List {
        /// The organization
        organization: String,
        #[command(flatten)]
        begins: Begins,
        /// Only who has this role
        #[arg(long, value_parser = ["owner", "member"])]
        role: Option<String>,
    },
    /// Make a user a member, or with --owner an owner
    Add {
        /// The organization
        organization: String,
        /// The user
        user: String,
        /// Everything in the organization is theirs to do
        #[arg(long)]
        owner: bool,
    },
    /// Take a user out, with their places in teams and what was granted to them in the organization
    Remove {
        /// The organization
        organization: String,
        /// The user
        user: String,
    },
}

impl Row for OrganizationView {
    const HEAD: &'static [&'static str] = &["NAME", "CREATE ON PUSH", "WRITERS SIGN"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), yes(self.create_on_push), yes(self.writers_sign)]
    }
}

impl Row for MemberView {
    const HEAD: &'static [&'static str] = &["USER", "ROLE", "SOURCE"];

    fn cells(&self) -> Vec<String> {
        let role = match self.role {
            MemberRole::Member => "member",
            MemberRole::Owner => "owner",
        };
        vec![self.user.clone(), role.to_owned(), or_dash(self.source.as_ref())]
    }
}

impl Org {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

impl OrgVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(begins) => session.list::<OrganizationView>(begins.narrow(Ask::get(&["organizations"]))).await,
            Self::Create { name, owner } => {
                let mut new = json!({"name": name});
                if let Some(owner) = owner {
                    new["owner"] = Value::from(owner);
                }
                let ask = Ask::post(&["organizations"], new);
                session.made::<OrganizationView>(ask, &format!("organization {name} made")).await
            }
            Self::Show { name } => session.one::<OrganizationView>(Ask::get(&["organizations", &name])).await,
            Self::Set { name, create_on_push, writers_sign } => {
                let changes = json!(OrganizationChanges { create_on_push, writers_sign });
                let ask = Ask::patch(&["organizations", &name], changes);
                session.one::<OrganizationView>(ask).await
            }
            Self::Remove { name } => {
                let ask = Ask::delete(&["organizations", &name]);
                session.act(ask, &format!("organization {name} removed")).await
            }
            Self::Member(verb) => verb.run(session).await,
        }
    }
}

impl MemberVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { organization, begins, role } => {
                let ask = begins.narrow(Ask::get(&["organizations", &organization, "members"]));
                session.list::<MemberView>(ask.with("role", role)).await
            }
            Self::Add { organization, user, owner } => {
                let role = if owner { "owner" } else { "member" };
                let ask = Ask::put(&["organizations", &organization, "members", &user], json!({"role": role}));
                session.made::<MemberView>(ask, &format!("{user} is {role} of {organization}")).await
            }
            Self::Remove { organization, user } => {
                let ask = Ask::delete(&["organizations", &organization, "members", &user]);
                session.act(ask, &format!("{user} belongs to {organization} no more")).await
            }
        }
    }
}
