//! The difference between what is to be and what is: a function of the two, without the registry.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, RepositoryTo, RobotTo, TeamTo, What};
use super::file::{self, Rule, Wanted};
use super::present::{self, Present};
use crate::people::members::MemberRole;
use crate::people::repositories::{RepositoryChanges, Visibility};
use crate::people::robots::{NewRobot, RobotChanges};

/// The changes in the order in which they can be made, for the user `who`; or all that cannot be made.
pub(super) fn plan(wanted: &Wanted, present: &Present, (who, prune): (&str, bool)) -> Result<Vec<Change>, Vec<String>> {
    let (mut changes, mut wrong) = (Vec::new(), Vec::new());
    for (name, organization) in &wanted.organizations {
        let found = present.organizations.get(name);
        let made = found.is_none().then(|| made(organization, who));
        let mut planned = Planned { wanted: organization, name, prune, changes: Vec::new(), wrong: Vec::new() };
        if let Some((owner, empty)) = made {
            planned.add(What::Made { owner });
            planned.all(&empty);
        } else if let Some(found) = found {
            planned.all(found);
        }
        // The own place is given up last, or what comes after could not be done any more.
        planned.changes.sort_by_key(|change| {
            let leaves = matches!(&change.what, What::Member { user, role, .. } if *role != Some(MemberRole::Owner) && user == who);
            (leaves, change.what.stage())
        });
        changes.append(&mut planned.changes);
        wrong.append(&mut planned.wrong);
    }
    if wrong.is_empty() { Ok(changes) } else { Err(wrong) }
}

/// The first owner of an organization that is to be made, and what it is like then.
fn made(wanted: &file::Organization, who: &str) -> (String, present::Organization) {
    let owner = wanted.owners.as_ref().and_then(BTreeSet::first).map_or_else(|| who.to_owned(), Clone::clone);
    let members = BTreeMap::from([(owner.clone(), MemberRole::Owner)]);
    (owner, present::Organization { members, writers_sign: true, ..present::Organization::default() })
}

/// The plan for one organization, as it grows.
struct Planned<'a> {
    wanted: &'a file::Organization,
    name: &'a str,
    prune: bool,
    changes: Vec<Change>,
    wrong: Vec<String>,
}

impl Planned<'_> {
    fn add(&mut self, what: What) {
        self.changes.push(Change { organization: self.name.to_owned(), what });
    }

    fn all(&mut self, present: &present::Organization) {
        for (setting, wanted, is) in [
            ("create_on_push", self.wanted.create_on_push, present.create_on_push),
            ("writers_sign", self.wanted.writers_sign, present.writers_sign),
        ] {
            if let Some(may) = wanted.filter(|may| *may != is) {
                self.add(What::Setting(setting, may));
            }
        }
        let gone = self.members(present);
        self.teams(present, &gone);
        self.repositories(present);
        self.robots(present);
        self.grants(present);
    }

    /// The users who leave.
    fn members(&mut self, present: &present::Organization) -> BTreeSet<String> {
        let (owners, members) = (self.wanted.owners.as_ref(), self.wanted.members.as_ref());
        let role = |role: MemberRole| move |user: &String| (user.clone(), role);
        let to_be: BTreeMap<String, MemberRole> = (owners.into_iter().flatten().map(role(MemberRole::Owner)))
            .chain(members.into_iter().flatten().map(role(MemberRole::Member)))
            .collect();
        for (user, role) in &to_be {
            let before = present.members.get(user).copied();
            // A file that says nothing about owners makes no owner less.
            let kept = before == Some(MemberRole::Owner) && owners.is_none();
            if before != Some(*role) && !kept {
                self.add(What::Member { user: user.clone(), role: Some(*role), before });
            }
        }
        let listed = |role: &MemberRole| match role {
            MemberRole::Owner => owners.is_some(),
            MemberRole::Member => members.is_some(),
        };
        let stays = |user: &String| to_be.contains_key(user) || present.brought.contains(user);
        let leave = |(user, role): &(&String, &MemberRole)| self.prune && listed(role) && !stays(user);
        let gone: Vec<_> = present.members.iter().filter(leave).map(|(user, role)| (user.clone(), *role)).collect();
        for (user, role) in &gone {
            self.add(What::Member { user: user.clone(), role: None, before: Some(*role) });
        }
        gone.into_iter().map(|(user, _)| user).collect()
    }

    fn teams(&mut self, present: &present::Organization, gone: &BTreeSet<String>) {
        let Some(wanted) = &self.wanted.teams else { return };
        for (team, to_be) in wanted {
            let found = present.teams.get(team);
            let described = to_be.description.as_ref();
            match (found, described) {
                (None, _) => {
                    let description = described.cloned().unwrap_or_default();
                    self.team(team, TeamTo::Made { description });
                }
                (Some(found), Some(description)) if *description != found.description => {
                    self.team(team, TeamTo::Described(description.clone()));
                }
                (Some(_), _) => {}
            }
            let nobody = present::Team::default();
            self.team_members((team, to_be), found.unwrap_or(&nobody), (present, gone));
        }
        if self.prune {
            let others: Vec<_> = present.teams.keys().filter(|team| !wanted.contains_key(*team)).cloned().collect();
            others.iter().for_each(|team| self.team(team, TeamTo::Removed));
        }
    }

    fn team(&mut self, team: &str, to: TeamTo) {
        self.add(What::Team { team: team.to_owned(), to });
    }

    fn team_members(
        &mut self,
        (team, to_be): (&str, &file::Team),
        found: &present::Team,
        (organization, gone): (&present::Organization, &BTreeSet<String>),
    ) {
        let Some(members) = &to_be.members else { return };
        for user in members {
            let named = [&self.wanted.owners, &self.wanted.members].into_iter().flatten().any(|all| all.contains(user));
            let stays = organization.members.contains_key(user) && !gone.contains(user);
            if !named && !stays {
                let (name, why) = (self.name, "does not belong to the organization: name them in its members");
                self.wrong.push(format!("organizations.{name}.teams.{team}.members: {user:?} {why}"));
            } else if !found.members.contains_key(user) {
                self.team(team, TeamTo::With(user.clone()));
            }
        }
        // Whom a directory put there, that takes out; and who leaves the organization leaves its teams.
        let by_hand = |(user, from_directory): &(&String, &bool)| {
            self.prune && !**from_directory && !members.contains(*user) && !gone.contains(*user)
        };
        let others: Vec<_> = found.members.iter().filter(by_hand).map(|(user, _)| user.clone()).collect();
        others.into_iter().for_each(|user| self.team(team, TeamTo::Without(user)));
    }

    fn repositories(&mut self, present: &present::Organization) {
        for (below, to_be) in self.wanted.repositories.iter().flatten() {
            let name = file::repository(self.name, below);
            let Some(found) = present.repositories.get(&name) else {
                let visibility = to_be.visibility.unwrap_or(Visibility::Private);
                let description = to_be.description.clone().unwrap_or_default();
                self.add(What::Repository { name, to: RepositoryTo::Made { visibility, description } });
                continue;
            };
            let changes = RepositoryChanges {
                name: None,
                visibility: to_be.visibility.filter(|visibility| *visibility != found.visibility),
                description: to_be.description.clone().filter(|description| *description != found.description),
            };
            if changes.visibility.is_some() || changes.description.is_some() {
                self.add(What::Repository { name, to: RepositoryTo::Changed(changes) });
            }
        }
    }

    fn robots(&mut self, present: &present::Organization) {
        let Some(wanted) = &self.wanted.robots else { return };
        for (robot, to_be) in wanted {
            let new;
            let found = match present.robots.get(robot) {
                Some(found) => found,
                None => {
                    let description = to_be.description.clone().unwrap_or_default();
                    let repository = to_be.repository.clone();
                    new = present::Robot { description, repository, ..present::Robot::default() };
                    let (description, repository) = (new.description.clone(), new.repository.clone());
                    self.robot(robot, RobotTo::Made(NewRobot { name: robot.clone(), repository, description }));
                    &new
                }
            };
            self.robot_settings((robot, to_be), found);
            self.rules((robot, to_be), &found.rules);
        }
        if self.prune {
            let others: Vec<_> = present.robots.keys().filter(|robot| !wanted.contains_key(*robot)).cloned().collect();
            others.iter().for_each(|robot| self.robot(robot, RobotTo::Removed));
        }
    }

    fn robot(&mut self, robot: &str, to: RobotTo) {
        self.add(What::Robot { robot: robot.to_owned(), to });
    }

    fn robot_settings(&mut self, (robot, to_be): (&str, &file::Robot), found: &present::Robot) {
        if to_be.repository.is_some() && to_be.repository != found.repository {
            let bound = found.repository.as_deref().unwrap_or("none");
            let why = format!("it is bound to {bound} and stays so: remove the robot first, or give it another name");
            self.wrong.push(format!("organizations.{}.robots.{robot}.repository: {why}", self.name));
        }
        let changes = RobotChanges {
            description: to_be.description.clone().filter(|description| *description != found.description),
            disabled: to_be.disabled.filter(|disabled| *disabled != found.disabled),
        };
        if changes.description.is_some() || changes.disabled.is_some() {
            self.robot(robot, RobotTo::Changed(changes));
        }
    }

    fn rules(&mut self, (robot, to_be): (&str, &file::Robot), found: &BTreeMap<Rule, i64>) {
        let Some(rules) = &to_be.rules else { return };
        for rule in rules.iter().filter(|rule| !found.contains_key(rule)) {
            self.robot(robot, RobotTo::WithRule(rule.clone()));
        }
        for (rule, id) in found.iter().filter(|(rule, _)| self.prune && !rules.contains(rule)).collect::<Vec<_>>() {
            self.robot(robot, RobotTo::WithoutRule(rule.clone(), *id));
        }
    }

    /// Whoever goes takes their grants along, so that those are not taken one by one, and given again if they are to stay.
    fn grants(&mut self, present: &present::Organization) {
        let Some(wanted) = &self.wanted.grants else { return };
        let goes: BTreeSet<String> = self.changes.iter().filter_map(holder_who_goes).collect();
        let wanted: BTreeMap<_, _> = wanted.iter().filter_map(|grant| grant.normal(self.name).ok()).collect();
        for (held, rights) in &wanted {
            let before = present.grants.get(held).filter(|_| !goes.contains(&held.holder)).cloned();
            if before.as_ref() != Some(rights) {
                self.add(What::Grant { held: held.clone(), rights: Some(rights.clone()), before });
            }
        }
        let others =
            present.grants.iter().filter(|(held, _)| !wanted.contains_key(*held) && !goes.contains(&held.holder));
        let others: Vec<_> = others.filter(|_| self.prune).collect();
        for (held, rights) in others {
            self.add(What::Grant { held: held.clone(), rights: None, before: Some(rights.clone()) });
        }
    }
}

/// As a holder of grants is written.
fn holder_who_goes(change: &Change) -> Option<String> {
    let organization = &change.organization;
    match &change.what {
        What::Member { user, role: None, .. } => Some(format!("user:{user}")),
        What::Team { team, to: TeamTo::Removed } => Some(format!("team:{organization}/{team}")),
        What::Robot { robot, to: RobotTo::Removed } => Some(format!("robot:{organization}+{robot}")),
        _ => None,
    }
}
