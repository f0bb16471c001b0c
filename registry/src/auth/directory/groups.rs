//! The groups that somebody is in, and those that these are in.

use std::collections::BTreeSet;

use super::config::{Groups, Member};
use super::connection::Connection;
use super::error::Cause;
use super::filter;
use super::message::{Scope, Search};
use super::name::DistinguishedName;
use super::person::Found;

/// In how many groups anybody can be; whoever is in more cannot sign in, rather than with some of their teams.
const GROUPS: usize = 10_000;
/// How many groups are asked for in one search, and how many are sent at once in answer.
const BATCH: usize = 50;
const PAGE: u32 = 500;
/// The list of attributes that asks for none (RFC 4511 §4.5.1.8).
const NO_ATTRIBUTES: &[&str] = &["1.1"];

impl Groups {
    /// Searches upwards level by level. A group that was seen is not asked for again, so cycles end.
    ///
    /// # Errors
    /// [`Cause::TooMany`] beyond 10,000 groups, and what breaks any search.
    pub(super) async fn of(
        &self,
        person: &Found,
        connection: &mut Connection,
    ) -> Result<BTreeSet<DistinguishedName>, Cause> {
        let mut groups = BTreeSet::new();
        let mut members = vec![match self.member {
            Member::Entry => person.dn.clone(),
            Member::Name => person.name.clone(),
        }];
        for _ in 0..self.depth {
            let mut found = Vec::new();
            for batch in members.chunks(BATCH) {
                for dn in self.naming(batch, connection).await? {
                    let name = dn.parse().map_err(|_| Cause::Unfit { dn: dn.clone(), attribute: "name".to_owned() })?;
                    if groups.insert(name) {
                        found.push(dn);
                    }
                    if groups.len() > GROUPS {
                        return Err(Cause::TooMany(GROUPS));
                    }
                }
            }
            if found.is_empty() {
                break;
            }
            members = found;
        }
        Ok(groups)
    }

    /// The names of the groups that list one of `members`, as the directory spells them.
    async fn naming(&self, members: &[String], connection: &mut Connection) -> Result<Vec<String>, Cause> {
        let filters: Vec<_> = members.iter().map(|member| self.filter.filled(member)).collect();
        let search = Search {
            base: &self.base,
            scope: Scope::Subtree,
            filter: &filter::any(&filters),
            attributes: NO_ATTRIBUTES,
            most: GROUPS,
            page: Some(PAGE),
        };
        Ok(connection.search(&search).await?.into_iter().map(|entry| entry.dn).collect())
    }
}
