//! `hallmark robot`: programs that sign in, their secrets, and the workloads that are one without a secret.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Ask;
use super::span::Span;
use super::table::{Row, or_dash, yes};
use super::{Begins, Remote, Session, two};
use crate::cli::output::{self, Failure, Format};
use crate::people::robots::{RobotView, SecretLine, SecretView};
use crate::people::rules::RuleView;

#[derive(Args, Debug)]
pub(in crate::cli) struct Robot {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: RobotVerb,
}

#[derive(Debug, Subcommand)]
enum RobotVerb {
    /// List the robots of an account
    List {
        /// The account: a user or an organization
        account: String,
        #[command(flatten)]
        begins: Begins,
    },
    /// Make a robot; it has no secret until `hallmark robot rotate`
    Create {
        /// The name it signs in with, such as acme+ci
        robot: String,
        /// The only repository in which it can hold rights
        #[arg(long, value_name = "NAME")]
        repository: Option<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Show one robot
    Show {
        /// The name it signs in with, such as acme+ci
        robot: String,
    },
    /// Describe, disable or enable a robot
    Set(Set),
    /// Remove a robot with its secrets, rules and grants
    Remove {
        /// The name it signs in with, such as acme+ci
        robot: String,
    },
    /// Make a new secret and print it once; those before it go on for a while
    Rotate {
        /// The name it signs in with, such as acme+ci
        robot: String,
        /// When the new secret ends, such as 90d, at the latest with the token of the context [default: with that]
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
        /// How long the secrets before it go on, such as 1h; 0s ends them at once
        #[arg(long, value_name = "TIME", default_value = "1d")]
        overlap: Span,
    },
    /// List the secrets of a robot, without themselves
    Secrets {
        /// The name it signs in with, such as acme+ci
        robot: String,
    },
    /// End a secret at once
    Revoke {
        /// The name it signs in with, such as acme+ci
        robot: String,
        /// The id that `hallmark robot secrets` shows
        id: i64,
    },
    /// Which workloads of trusted issuers are this robot
    #[command(subcommand)]
    Rule(RuleVerb),
}

#[derive(Args, Debug)]
struct Set {
    /// The name it signs in with, such as acme+ci
    robot: String,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Changes {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Let it do nothing; every secret of it is void then, also when it comes back
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Let it act again
    #[arg(long)]
    enable: bool,
}

#[derive(Debug, Subcommand)]
enum RuleVerb {
    /// List the rules of a robot
    List {
        /// The name it signs in with, such as acme+ci
        robot: String,
    },
    /// Let a workload be this robot when its token has all these claims
    Add {
        /// The name it signs in with, such as acme+ci
        robot: String,
        /// A trusted issuer of the registry's settings
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The audience that its tokens must name: this registry
        #[arg(long)]
        audience: String,
        /// A claim with its whole value; can be given again
        #[arg(long = "claim", value_name = "NAME=VALUE", required = true, value_parser = claim)]
        claims: Vec<(String, String)>,
    },
    /// Remove a rule
    Remove {
        /// The name it signs in with, such as acme+ci
        robot: String,
        /// The id that `hallmark robot rule list` shows
        id: i64,
    },
}

fn claim(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

impl Row for RobotView {
    const HEAD: &'static [&'static str] = &["ROBOT", "STATE", "REPOSITORY", "MADE", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        let state = if self.disabled { "disabled" } else { "active" }.to_owned();
        let (made, description) = (self.created_at.clone(), self.description.clone());
        vec![self.login.clone(), state, or_dash(self.repository.as_ref()), made, description]
    }
}

impl Row for SecretLine {
    const HEAD: &'static [&'static str] = &["ID", "ACTIVE", "MADE", "ENDS", "LAST USED"];

    fn cells(&self) -> Vec<String> {
        let (ends, used) = (or_dash(self.expires_at.as_ref()), or_dash(self.last_used_at.as_ref()));
        vec![self.id.to_string(), yes(self.active), self.created_at.clone(), ends, used]
    }
}

impl Row for RuleView {
    const HEAD: &'static [&'static str] = &["ID", "ISSUER", "AUDIENCE", "CLAIMS"];

    fn cells(&self) -> Vec<String> {
        let claims: Vec<_> = self.claims.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![self.id.to_string(), self.issuer.clone(), self.audience.clone(), claims.join(" ")]
    }
}

impl Robot {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

fn parts(robot: &str) -> Result<(&str, &str), Failure> {
    two(robot, '+', "robot")
}

impl RobotVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { account, begins } => {
                let ask = Ask::get(&["accounts", &account, "robots"]);
                session.list::<RobotView>(begins.narrow(ask)).await
            }
            Self::Create { robot, repository, description } => {
                let (account, name) = parts(&robot)?;
                let mut new = json!({"name": name, "description": description});
                if let Some(repository) = repository {
                    new["repository"] = Value::from(repository);
                }
                let done = format!("robot {robot} made; `hallmark robot rotate {robot}` gives it a secret");
                session.made::<RobotView>(Ask::post(&["accounts", account, "robots"], new), &done).await
            }
            Self::Show { robot } => {
                let (account, name) = parts(&robot)?;
                session.one::<RobotView>(Ask::get(&["accounts", account, "robots", name])).await
            }
            Self::Set(set) => {
                let (account, name) = parts(&set.robot)?;
                let ask = Ask::patch(&["accounts", account, "robots", name], set.changes.value());
                session.one::<RobotView>(ask).await
            }
            Self::Remove { robot } => {
                let (account, name) = parts(&robot)?;
                let ask = Ask::delete(&["accounts", account, "robots", name]);
                session.act(ask, &format!("robot {robot} removed")).await
            }
            Self::Rotate { robot, expires, overlap } => rotate(session, &robot, (expires, overlap)).await,
            Self::Secrets { robot } => {
                let (account, name) = parts(&robot)?;
                session.whole_list::<SecretLine>(Ask::get(&["accounts", account, "robots", name, "secrets"])).await
            }
            Self::Revoke { robot, id } => {
                let (account, name) = parts(&robot)?;
                let ask = Ask::delete(&["accounts", account, "robots", name, "secrets", &id.to_string()]);
                session.act(ask, &format!("secret {id} of robot {robot} revoked")).await
            }
            Self::Rule(verb) => verb.run(session).await,
        }
    }
}

impl Changes {
    fn value(&self) -> Value {
        let mut changes = json!({});
        if self.disable || self.enable {
            changes["disabled"] = Value::from(self.disable);
        }
        if let Some(description) = &self.description {
            changes["description"] = Value::from(description.as_str());
        }
        changes
    }
}

async fn rotate(session: &Session, robot: &str, (expires, overlap): (Option<Span>, Span)) -> Result<(), Failure> {
    let (account, name) = parts(robot)?;
    let mut rotation = json!({"overlap_seconds": overlap.seconds()});
    if let Some(expires) = expires {
        rotation["expires_at"] = Value::from(expires.end());
    }
    let ask = Ask::post(&["accounts", account, "robots", name, "secrets"], rotation);
    let made: SecretView = session.client.ask(ask).await?;
    match session.format {
        Format::Json => output::say_json(&made),
        Format::Text => {
            let ends = made.expires_at.as_deref().unwrap_or("never");
            output::print(&format!("login: {}\nsecret: {}\nends: {ends}\n", made.login, made.secret))
        }
    }
}

impl RuleVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { robot } => {
                let (account, name) = parts(&robot)?;
                session.whole_list::<RuleView>(Ask::get(&["accounts", account, "robots", name, "rules"])).await
            }
            Self::Add { robot, issuer, audience, claims } => {
                let (account, name) = parts(&robot)?;
                let claims: BTreeMap<_, _> = claims.into_iter().collect();
                let new = json!({"issuer": issuer, "audience": audience, "claims": claims});
                let ask = Ask::post(&["accounts", account, "robots", name, "rules"], new);
                session.one::<RuleView>(ask).await
            }
            Self::Remove { robot, id } => {
                let (account, name) = parts(&robot)?;
                let ask = Ask::delete(&["accounts", account, "robots", name, "rules", &id.to_string()]);
                session.act(ask, &format!("rule {id} of robot {robot} removed")).await
            }
        }
    }
}
