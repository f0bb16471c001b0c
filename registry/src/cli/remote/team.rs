//! `hallmark team`: teams of an organization and who is in them.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Ask;
use super::table::{Row, or_dash};
use super::{Begins, Remote, Session, two};
use crate::cli::output::Failure;
use crate::people::teams::{TeamMemberView, TeamView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Team {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: TeamVerb,
}

#[derive(Debug, Subcommand)]
enum TeamVerb {
    /// List the teams of an organization
    List {
        /// The organization
        organization: String,
        #[command(flatten)]
        begins: Begins,
    },
    /// Make a team
    Create {
        /// Organization and team, such as acme/dev
        team: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Show one team
    Show {
        /// Organization and team, such as acme/dev
        team: String,
    },
    /// Describe a team
    Set {
        /// Organization and team, such as acme/dev
        team: String,
        /// What it is for
        #[arg(long)]
        description: String,
    },
    /// Remove a team with what was granted to it
    Remove {
        /// Organization and team, such as acme/dev
        team: String,
    },
    /// Who is in a team
    #[command(subcommand)]
    Member(MemberVerb),
}

#[derive(Debug, Subcommand)]
enum MemberVerb {
    /// List who is in a team
    List {
        /// Organization and team, such as acme/dev
        team: String,
        #[command(flatten)]
        begins: Begins,
    },
    /// Put a member of the organization into a team
    Add {
        /// Organization and team, such as acme/dev
        team: String,
        /// The user
        user: String,
    },
    /// Take somebody out of a team
    Remove {
        /// Organization and team, such as acme/dev
        team: String,
        /// The user
        user: String,
    },
}

impl Row for TeamView {
    const HEAD: &'static [&'static str] = &["TEAM", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        vec![format!("{}/{}", self.organization, self.name), self.description.clone()]
    }
}

impl Row for TeamMemberView {
    const HEAD: &'static [&'static str] = &["USER", "SOURCE"];

    fn cells(&self) -> Vec<String> {
        vec![self.user.clone(), or_dash(self.source.as_ref())]
    }
}

impl Team {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

fn parts(team: &str) -> Result<(&str, &str), Failure> {
    two(team, '/', "team")
}

impl TeamVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { organization, begins } => {
                let ask = Ask::get(&["organizations", &organization, "teams"]);
                session.list::<TeamView>(begins.narrow(ask)).await
            }
            Self::Create { team, description } => {
                let (organization, name) = parts(&team)?;
                let new = json!({"name": name, "description": description});
                let ask = Ask::post(&["organizations", organization, "teams"], new);
                session.made::<TeamView>(ask, &format!("team {team} made")).await
            }
            Self::Show { team } => {
                let (organization, name) = parts(&team)?;
                session.one::<TeamView>(Ask::get(&["organizations", organization, "teams", name])).await
            }
            Self::Set { team, description } => {
                let (organization, name) = parts(&team)?;
                let path = ["organizations", organization, "teams", name];
                session.one::<TeamView>(Ask::patch(&path, json!({"description": description}))).await
            }
            Self::Remove { team } => {
                let (organization, name) = parts(&team)?;
                let ask = Ask::delete(&["organizations", organization, "teams", name]);
                session.act(ask, &format!("team {team} removed")).await
            }
            Self::Member(verb) => verb.run(session).await,
        }
    }
}

impl MemberVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { team, begins } => {
                let (organization, name) = parts(&team)?;
                let path = ["organizations", organization, "teams", name, "members"];
                session.list::<TeamMemberView>(begins.narrow(Ask::get(&path))).await
            }
            Self::Add { team, user } => {
                let (organization, name) = parts(&team)?;
                let path = ["organizations", organization, "teams", name, "members", &user];
                let ask = Ask::new(http::Method::PUT, &path);
                session.made::<TeamMemberView>(ask, &format!("{user} is in {team}")).await
            }
            Self::Remove { team, user } => {
                let (organization, name) = parts(&team)?;
                let ask = Ask::delete(&["organizations", organization, "teams", name, "members", &user]);
                session.act(ask, &format!("{user} is in {team} no more")).await
            }
        }
    }
}
