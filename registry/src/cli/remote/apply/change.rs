//! One change: the line that people see, its place in the order, and the request that makes it.

use std::fmt;

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::client::Ask;
use super::file::{Held, Rule};
use crate::people::members::MemberRole;
use crate::people::repositories::{RepositoryChanges, Visibility};
use crate::people::robots::{NewRobot, RobotChanges};

/// A difference between what is to be and what is.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) organization: String,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// The organization itself is made, with this owner.
    Made {
        owner: String,
    },
    Setting(&'static str, bool),
    /// Without a role they leave.
    Member {
        user: String,
        role: Option<MemberRole>,
        before: Option<MemberRole>,
    },
    Team {
        team: String,
        to: TeamTo,
    },
    /// By the full name.
    Repository {
        name: String,
        to: RepositoryTo,
    },
    Robot {
        robot: String,
        to: RobotTo,
    },
    /// Without rights it is taken back.
    Grant {
        held: Held,
        rights: Option<String>,
        before: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum TeamTo {
    Made { description: String },
    Described(String),
    With(String),
    Without(String),
    Removed,
}

#[derive(Debug, Clone)]
pub(super) enum RepositoryTo {
    Made { visibility: Visibility, description: String },
    Changed(RepositoryChanges),
}

#[derive(Debug, Clone)]
pub(super) enum RobotTo {
    Made(NewRobot),
    Changed(RobotChanges),
    WithRule(Rule),
    WithoutRule(Rule, i64),
    Removed,
}

impl What {
    /// Where the change stands in the order: what others need comes before them, and one owner at least stays at any time.
    /// A member who goes takes along what was granted to them, so that grants are given after.
    pub(super) fn stage(&self) -> u8 {
        match self {
            Self::Made { .. } => 0,
            Self::Setting(..) => 1,
            Self::Member { role: Some(MemberRole::Owner), .. } => 2,
            Self::Member { role: Some(MemberRole::Member), .. } => 3,
            Self::Team { to: TeamTo::Made { .. } | TeamTo::Described(_), .. } => 4,
            Self::Team { to: TeamTo::With(_), .. } => 5,
            Self::Repository { .. } => 6,
            Self::Robot { to: RobotTo::Made(_), .. } => 7,
            Self::Robot { to: RobotTo::Changed(_) | RobotTo::WithRule(_), .. } => 8,
            Self::Grant { rights: None, .. } => 9,
            Self::Robot { to: RobotTo::WithoutRule(..) | RobotTo::Removed, .. } => 10,
            Self::Team { to: TeamTo::Without(_) | TeamTo::Removed, .. } => 11,
            Self::Member { role: None, .. } => 12,
            Self::Grant { rights: Some(_), .. } => 13,
        }
    }
}

impl Change {
    /// The request that makes the change.
    pub(super) fn ask(&self) -> Ask {
        let organization = self.organization.as_str();
        match &self.what {
            What::Made { owner } => Ask::post(&["organizations"], json!({"name": organization, "owner": owner})),
            What::Setting(setting, may) => Ask::patch(&["organizations", organization], json!({*setting: may})),
            What::Member { user, role: Some(role), .. } => {
                Ask::put(&["organizations", organization, "members", user], json!({"role": role}))
            }
            What::Member { user, role: None, .. } => Ask::delete(&["organizations", organization, "members", user]),
            What::Team { team, to } => to.ask(&["organizations", organization, "teams"], team),
            What::Repository { name, to: RepositoryTo::Made { visibility, description } } => {
                let new = json!({"name": name, "visibility": visibility, "description": description});
                Ask::post(&["repositories"], new)
            }
            What::Repository { name, to: RepositoryTo::Changed(changes) } => {
                Ask::patch(&["repositories", name], value(changes))
            }
            What::Robot { robot, to } => to.ask(&["accounts", organization, "robots"], robot),
            What::Grant { held, rights: Some(rights), .. } => {
                Ask::put(&["grants", &held.on, &held.holder], json!({"rights": rights}))
            }
            What::Grant { held, rights: None, .. } => Ask::delete(&["grants", &held.on, &held.holder]),
        }
    }
}

/// Of types that always are JSON.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

impl TeamTo {
    fn ask(&self, teams: &[&str], team: &str) -> Ask {
        let one = [teams, &[team]].concat();
        let member =
            |user: &str| [one.as_slice(), &["members", user]].concat().iter().map(|part| (*part).to_owned()).collect();
        match self {
            Self::Made { description } => Ask::post(teams, json!({"name": team, "description": description})),
            Self::Described(description) => Ask::patch(&one, json!({"description": description})),
            Self::With(user) => Ask { path: member(user), ..Ask::new(Method::PUT, &[]) },
            Self::Without(user) => Ask { path: member(user), ..Ask::delete(&[]) },
            Self::Removed => Ask::delete(&one),
        }
    }
}

impl RobotTo {
    fn ask(&self, robots: &[&str], robot: &str) -> Ask {
        let one = [robots, &[robot]].concat();
        match self {
            Self::Made(new) => Ask::post(robots, value(new)),
            Self::Changed(changes) => Ask::patch(&one, value(changes)),
            Self::WithRule(rule) => Ask::post(&[one.as_slice(), &["rules"]].concat(), value(rule)),
            Self::WithoutRule(_, id) => Ask::delete(&[one.as_slice(), &["rules", &id.to_string()]].concat()),
            Self::Removed => Ask::delete(&one),
        }
    }
}

/// `+` for what is made, `~` for what is changed, `-` for what goes.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let organization = &self.organization;
        match &self.what {
            What::Made { owner } => write!(formatter, "+ organization {organization}, owned by {owner}"),
            What::Setting(setting, may) => write!(formatter, "~ organization {organization}: {setting} = {may}"),
            What::Member { user, role, before } => {
                let word = |role: &Option<MemberRole>| role.map_or("nothing", role_word);
                let (sign, from, to) = (sign(before.is_some(), role.is_some()), word(before), word(role));
                write!(formatter, "{sign} member {user} of {organization}: {from} -> {to}")
            }
            What::Team { team, to } => to.write(formatter, &format!("{organization}/{team}")),
            What::Repository { name, to } => to.write(formatter, name),
            What::Robot { robot, to } => to.write(formatter, &format!("{organization}+{robot}")),
            What::Grant { held: Held { on, holder }, rights, before } => {
                let word = |rights: &Option<String>| rights.clone().unwrap_or_else(|| "nothing".to_owned());
                let (sign, from, to) = (sign(before.is_some(), rights.is_some()), word(before), word(rights));
                write!(formatter, "{sign} grant on {on} to {holder}: {from} -> {to}")
            }
        }
    }
}

fn sign(before: bool, after: bool) -> char {
    match (before, after) {
        (false, _) => '+',
        (true, true) => '~',
        (true, false) => '-',
    }
}

fn role_word(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Member => "member",
        MemberRole::Owner => "owner",
    }
}

fn visibility_word(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    }
}

impl TeamTo {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, team: &str) -> fmt::Result {
        match self {
            Self::Made { description } => write!(formatter, "+ team {team}: {description:?}"),
            Self::Described(description) => write!(formatter, "~ team {team}: description = {description:?}"),
            Self::With(user) => write!(formatter, "+ member {user} of team {team}"),
            Self::Without(user) => write!(formatter, "- member {user} of team {team}"),
            Self::Removed => write!(formatter, "- team {team}"),
        }
    }
}

impl RepositoryTo {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        match self {
            Self::Made { visibility, description } => {
                write!(formatter, "+ repository {name}: {}, {description:?}", visibility_word(*visibility))
            }
            Self::Changed(changes) => {
                write!(formatter, "~ repository {name}:")?;
                if let Some(visibility) = changes.visibility {
                    write!(formatter, " visibility = {}", visibility_word(visibility))?;
                }
                changes.description.iter().try_for_each(|text| write!(formatter, " description = {text:?}"))
            }
        }
    }
}

impl RobotTo {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, robot: &str) -> fmt::Result {
        match self {
            Self::Made(new) => {
                write!(formatter, "+ robot {robot}: {:?}", new.description)?;
                new.repository.iter().try_for_each(|name| write!(formatter, ", only in {name}"))
            }
            Self::Changed(changes) => {
                write!(formatter, "~ robot {robot}:")?;
                changes.description.iter().try_for_each(|text| write!(formatter, " description = {text:?}"))?;
                changes.disabled.iter().try_for_each(|disabled| write!(formatter, " disabled = {disabled}"))
            }
            Self::WithRule(rule) => write!(formatter, "+ rule of robot {robot}: {rule}"),
            Self::WithoutRule(rule, _) => write!(formatter, "- rule of robot {robot}: {rule}"),
            Self::Removed => write!(formatter, "- robot {robot}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} for {}", self.issuer, self.audience)?;
        self.claims.iter().try_for_each(|(name, value)| write!(formatter, ", {name}={value}"))
    }
}
