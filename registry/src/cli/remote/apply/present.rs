//! What is, as far as a file is about it: read over the API.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::super::Session;
use super::super::client::{Ask, Page};
use super::file::{self, Held, Rule, Wanted};
use crate::cli::output::Failure;
use crate::people::grants::GrantView;
use crate::people::members::{MemberRole, MemberView};
use crate::people::organizations::OrganizationView;
use crate::people::repositories::{RepositoryLine, RepositoryView, Visibility};
use crate::people::robots::RobotView;
use crate::people::rules::RuleView;
use crate::people::teams::{TeamMemberView, TeamView};

/// The organizations of a file that are there.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) organizations: BTreeMap<String, Organization>,
}

/// An organization. Of what the file says nothing about, nothing is read.
#[derive(Debug, Default)]
pub(super) struct Organization {
    pub(super) create_on_push: bool,
    pub(super) writers_sign: bool,
    pub(super) members: BTreeMap<String, MemberRole>,
    /// The members whom a directory or provider brought, whose business it is to take them out.
    pub(super) brought: BTreeSet<String>,
    pub(super) teams: BTreeMap<String, Team>,
    /// By their full names.
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) robots: BTreeMap<String, Robot>,
    pub(super) grants: BTreeMap<Held, String>,
}

#[derive(Debug, Default)]
pub(super) struct Team {
    pub(super) description: String,
    /// Whether a directory or provider put them there, whose business it is to take them out.
    pub(super) members: BTreeMap<String, bool>,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) visibility: Visibility,
    pub(super) description: String,
}

#[derive(Debug, Default)]
pub(super) struct Robot {
    pub(super) repository: Option<String>,
    pub(super) description: String,
    pub(super) disabled: bool,
    pub(super) rules: BTreeMap<Rule, i64>,
}

/// Reads what is. With `prune`, also the grants of repositories that the file does not name.
pub(super) async fn read(session: &Session, wanted: &Wanted, prune: bool) -> Result<Present, Failure> {
    let mut present = Present::default();
    for (name, wanted) in &wanted.organizations {
        if let Some(organization) = organization(session, (name, wanted), prune).await? {
            present.organizations.insert(name.clone(), organization);
        }
    }
    Ok(present)
}

async fn organization(
    session: &Session,
    (name, wanted): (&str, &file::Organization),
    prune: bool,
) -> Result<Option<Organization>, Failure> {
    let found: Option<OrganizationView> = session.client.find(Ask::get(&["organizations", name])).await?;
    let Some(found) = found else { return Ok(None) };
    let members: Vec<MemberView> = all(session, &["organizations", name, "members"]).await?;
    let is_brought = |member: &&MemberView| member.source.is_some();
    Ok(Some(Organization {
        create_on_push: found.create_on_push,
        writers_sign: found.writers_sign,
        brought: members.iter().filter(is_brought).map(|member| member.user.clone()).collect(),
        members: members.into_iter().map(|member| (member.user, member.role)).collect(),
        teams: teams(session, (name, wanted)).await?,
        repositories: repositories(session, (name, wanted)).await?,
        robots: robots(session, (name, wanted)).await?,
        grants: grants(session, (name, wanted), prune).await?,
    }))
}

async fn all<T: DeserializeOwned>(session: &Session, path: &[&str]) -> Result<Vec<T>, Failure> {
    session.client.all(Ask::get(path)).await
}

async fn teams(
    session: &Session,
    (name, wanted): (&str, &file::Organization),
) -> Result<BTreeMap<String, Team>, Failure> {
    let Some(wanted) = &wanted.teams else { return Ok(BTreeMap::new()) };
    let found: Vec<TeamView> = all(session, &["organizations", name, "teams"]).await?;
    let mut teams = BTreeMap::new();
    for view in found {
        let mut team = Team { description: view.description, ..Team::default() };
        if wanted.get(&view.name).is_some_and(|wanted| wanted.members.is_some()) {
            let path = ["organizations", name, "teams", &view.name, "members"];
            let members: Vec<TeamMemberView> = all(session, &path).await?;
            for member in members {
                let is_brought = team.members.entry(member.user).or_insert(true);
                *is_brought &= member.source.is_some();
            }
        }
        teams.insert(view.name, team);
    }
    Ok(teams)
}

async fn repositories(
    session: &Session,
    (name, wanted): (&str, &file::Organization),
) -> Result<BTreeMap<String, Repository>, Failure> {
    let mut repositories = BTreeMap::new();
    for below in wanted.repositories.iter().flatten().map(|(below, _)| below) {
        let full = file::repository(name, below);
        let found: Option<RepositoryView> = session.client.find(Ask::get(&["repositories", &full])).await?;
        if let Some(RepositoryView { visibility, description, .. }) = found {
            repositories.insert(full, Repository { visibility, description });
        }
    }
    Ok(repositories)
}

async fn robots(
    session: &Session,
    (name, wanted): (&str, &file::Organization),
) -> Result<BTreeMap<String, Robot>, Failure> {
    let Some(wanted) = &wanted.robots else { return Ok(BTreeMap::new()) };
    let found: Vec<RobotView> = all(session, &["accounts", name, "robots"]).await?;
    let mut robots = BTreeMap::new();
    for view in found {
        let rules = match wanted.get(&view.name) {
            Some(file::Robot { rules: Some(_), .. }) => {
                session.client.ask(Ask::get(&["accounts", name, "robots", &view.name, "rules"])).await?
            }
            _ => Vec::new(),
        };
        let rule = |RuleView { id, issuer, audience, claims, .. }| (Rule { issuer, audience, claims }, id);
        let (repository, description, disabled) = (view.repository, view.description, view.disabled);
        let rules = rules.into_iter().map(rule).collect();
        robots.insert(view.name, Robot { repository, description, disabled, rules });
    }
    Ok(robots)
}

async fn grants(
    session: &Session,
    (name, wanted): (&str, &file::Organization),
    prune: bool,
) -> Result<BTreeMap<Held, String>, Failure> {
    let Some(wanted) = &wanted.grants else { return Ok(BTreeMap::new()) };
    let mut found: Vec<GrantView> = all(session, &["accounts", name, "grants"]).await?;
    let named = wanted.iter().map(|grant| grant.on.clone()).filter(|on| !on.ends_with(['*', '/']));
    let on: BTreeSet<String> =
        if prune { named.chain(repositories_of(session, name).await?).collect() } else { named.collect() };
    for repository in on {
        // One that is not there yet has no grants.
        match all(session, &["repositories", &repository, "grants"]).await {
            Ok(more) => found.extend::<Vec<GrantView>>(more),
            Err(Failure::NotFound(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    let grant = |GrantView { on, holder, rights, .. }| (Held { on, holder }, rights);
    Ok(found.into_iter().map(grant).collect())
}

/// The names of an organization's repositories: they stand beside each other in the list of all.
async fn repositories_of(session: &Session, name: &str) -> Result<Vec<String>, Failure> {
    let first = file::repository(name, "");
    let (mut names, mut after) = (Vec::new(), first.clone());
    loop {
        let page: Page<RepositoryLine> = session.client.page(Ask::get(&["repositories"]), Some(after)).await?;
        let of_page = page.items.len();
        names.extend(page.items.into_iter().map(|line| line.name).take_while(|name| name.starts_with(&first)));
        match page.next {
            Some(next) if of_page > 0 && next.starts_with(&first) => after = next,
            _ => return Ok(names),
        }
    }
}
