//! Which teams somebody is in because of their groups.

use std::collections::BTreeSet;

use super::name::DistinguishedName;

/// A team, by its organization's name and its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamName {
    /// The organization.
    pub organization: String,
    /// The team in it.
    pub team: String,
}

/// Whoever is in the group is in the team. A group makes nobody an administrator of the registry: it names teams alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMapping {
    /// The group, in whatever spelling it was given.
    pub group: DistinguishedName,
    /// The team.
    pub team: TeamName,
}

/// The teams of somebody who is in `groups`. Names of groups are compared in their one spelling, so neither case nor spaces
/// around separators matter.
#[must_use]
pub fn teams_of(mapping: &[GroupMapping], groups: &BTreeSet<DistinguishedName>) -> BTreeSet<TeamName> {
    mapping.iter().filter(|mapping| groups.contains(&mapping.group)).map(|mapping| mapping.team.clone()).collect()
}
