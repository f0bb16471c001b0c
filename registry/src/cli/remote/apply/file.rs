//! What is to be, as a file says it. What the file does not name is not its business.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{Holder, Rights};
use serde::{Deserialize, Serialize};

use super::yaml;
use crate::access::Pattern;
use crate::cli::output::Failure;
use crate::people::grants::HolderName;
use crate::people::repositories::Visibility;

/// The longest file that is read, in bytes.
const BYTES: u64 = 4 << 20;

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    pub(super) organizations: BTreeMap<String, Organization>,
}

/// An organization. Each list that is there is whole: with `--prune`, nothing else of its kind stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Organization {
    pub(super) create_on_push: Option<bool>,
    pub(super) writers_sign: Option<bool>,
    pub(super) owners: Option<BTreeSet<String>>,
    pub(super) members: Option<BTreeSet<String>>,
    pub(super) teams: Option<BTreeMap<String, Team>>,
    /// By the name below the organization.
    pub(super) repositories: Option<BTreeMap<String, Repository>>,
    pub(super) robots: Option<BTreeMap<String, Robot>>,
    pub(super) grants: Option<Vec<Grant>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Team {
    pub(super) description: Option<String>,
    pub(super) members: Option<BTreeSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    pub(super) visibility: Option<Visibility>,
    pub(super) description: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Robot {
    /// The only repository in which it can hold rights, in full.
    pub(super) repository: Option<String>,
    pub(super) description: Option<String>,
    pub(super) disabled: Option<bool>,
    pub(super) rules: Option<BTreeSet<Rule>>,
}

/// Claims that make a workload this robot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) claims: BTreeMap<String, String>,
}

/// A grant, each part written as everywhere else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) on: String,
    pub(super) holder: String,
    pub(super) rights: String,
}

/// Reads a file and checks all that can be known without the registry.
pub(super) fn read(path: &Path) -> Result<Wanted, Failure> {
    let unreadable = |why: String| Failure::Usage(format!("{} cannot be read: {why}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BYTES + 1).read_to_string(&mut text))
    };
    if read.map_err(|error| unreadable(error.to_string()))? as u64 > BYTES {
        return Err(unreadable("it is longer than 4 MiB".to_owned()));
    }
    let wanted = parse(&path.display().to_string(), &text).map_err(Failure::Usage)?;
    let wrong = wrong(&wanted);
    if wrong.is_empty() {
        return Ok(wanted);
    }
    Err(Failure::Usage(format!("{} is refused:\n  {}", path.display(), wrong.join("\n  "))))
}

/// TOML, unless the name of the file says otherwise, or what it begins with: no TOML begins with a brace, or as YAML does.
pub(super) fn parse(name: &str, text: &str) -> Result<Wanted, String> {
    let is_toml = name.ends_with(".toml");
    if name.ends_with(".yaml") || name.ends_with(".yml") || !is_toml && !name.ends_with(".json") && yaml::is_one(text) {
        return yaml::parse(name, text);
    }
    if name.ends_with(".json") || text.trim_start().starts_with('{') {
        return serde_json::from_str(text)
            .map_err(|error| format!("{name}:{}:{}: {}", error.line(), error.column(), without_place(&error)));
    }
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{name}:{}:{column}: {}", before.matches('\n').count() + 1, error.message().replace('\n', "; "))
    })
}

/// What serde_json says, without the place that it says at the end: that stands at the beginning.
fn without_place(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.split_once(" at line ").map_or(said.clone(), |(said, _)| said.to_owned())
}

/// All that is wrong with a file whatever the registry holds, each with its place.
pub(super) fn wrong(wanted: &Wanted) -> Vec<String> {
    let each = wanted.organizations.iter().flat_map(|(name, organization)| {
        let place = format!("organizations.{name}");
        let mut wrong = wrong_members(&place, organization);
        wrong.extend(wrong_repositories(name, &place, organization));
        wrong.extend(wrong_grants(name, &place, organization));
        wrong
    });
    each.collect()
}

fn wrong_members(place: &str, organization: &Organization) -> Vec<String> {
    let mut wrong = Vec::new();
    if organization.owners.as_ref().is_some_and(BTreeSet::is_empty) {
        wrong.push(format!("{place}.owners: an organization keeps one owner at least"));
    }
    let (owners, members) = (organization.owners.iter().flatten(), organization.members.as_ref());
    let both = owners.filter(|user| members.is_some_and(|members| members.contains(*user)));
    wrong.extend(both.map(|user| format!("{place}.members: {user:?} is an owner already; name them once")));
    wrong
}

fn wrong_repositories(name: &str, place: &str, organization: &Organization) -> Vec<String> {
    let below = |below: &&String| repository(name, below).parse::<RepositoryName>().is_err();
    let wrong = organization.repositories.iter().flatten().map(|(repository, _)| repository).filter(below);
    wrong.map(|below| format!("{place}.repositories.{below:?}: {name}/{below} is no repository's name")).collect()
}

/// The full name of a repository of an organization.
pub(super) fn repository(organization: &str, below: &str) -> String {
    format!("{organization}/{below}")
}

/// A grant in the one way that the registry writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) on: String,
    pub(super) holder: String,
}

impl Grant {
    /// On what and to whom, and which rights.
    pub(super) fn normal(&self, organization: &str) -> Result<(Held, String), String> {
        let on: Pattern = self.on.parse().map_err(|error| format!("{error}"))?;
        if on.account() != Some(organization) {
            return Err(format!("{on} is not in {organization}"));
        }
        let holder: HolderName = self.holder.parse().map_err(|refused: crate::people::Refused| refused.to_string())?;
        if let Holder::Team(account, _) | Holder::Robot(account, _) = &holder.0
            && account != organization
        {
            return Err(format!("{holder} holds rights in {account} only"));
        }
        let rights: Rights = self.rights.parse().map_err(|error| format!("{error}"))?;
        Ok((Held { on: on.to_string(), holder: holder.to_string() }, rights.to_string()))
    }
}

fn wrong_grants(name: &str, place: &str, organization: &Organization) -> Vec<String> {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, grant) in organization.grants.iter().flatten().enumerate() {
        let place = format!("{place}.grants[{number}]");
        match grant.normal(name) {
            Err(why) => wrong.push(format!("{place}: {why}")),
            Ok((held, _)) => {
                if seen.contains(&held) {
                    wrong.push(format!("{place}: {} has a grant on {} already", held.holder, held.on));
                }
                seen.insert(held);
            }
        }
    }
    wrong
}
