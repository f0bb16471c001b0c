//! Teams of an organization and who is in them.

use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::name_range::{NEXT, NameRange};
use super::organizations::Organization;
use super::rows::{AccountId, PrincipalId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    INSERT_PRINCIPAL = ["INSERT INTO principals (id, kind) VALUES ($1, 'team')"];
    INSERT = [
        "INSERT INTO teams (principal_id, account_id, name, description) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    ];
    FIND = ["SELECT principal_id, account_id, name, description FROM teams WHERE account_id = $1 AND name = $2"];
    HOLD = [
        "SELECT principal_id, account_id, name, description FROM teams WHERE account_id = $1 AND name = $2" {update}
    ];
    PAGE = [
        "SELECT principal_id, account_id, name, description FROM teams
          WHERE account_id = $1 AND name >= $2 AND name < $3 ORDER BY name LIMIT $4"
    ];
    DESCRIBE = ["UPDATE teams SET description = $2 WHERE principal_id = $1"];
    MEMBERS = [
        "SELECT user_id, user_name, source FROM team_members
          WHERE team_id = $1 AND (user_name, source) >= ($2, $3) AND user_name < $4
          ORDER BY user_name, source LIMIT $5"
    ];
    MEMBERS_OF = ["SELECT user_id FROM team_members WHERE team_id = $1"];
    ADD = [
        "INSERT INTO team_members (team_id, account_id, user_id, source) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    ];
    REMOVE = ["DELETE FROM team_members WHERE team_id = $1 AND user_id = $2 AND source = $3"];
    FROM_SOURCE = [
        "SELECT t.principal_id, a.name, t.name FROM team_members m
           JOIN teams t ON t.principal_id = m.team_id JOIN accounts a ON a.id = t.account_id
          WHERE m.user_id = $1 AND m.source = $2 ORDER BY a.name, t.name"
    ];
    HAS_FROM_SOURCE = ["SELECT team_id FROM team_members WHERE user_id = $1 AND source = $2 LIMIT 1"];
    OF_USER = [
        "SELECT DISTINCT a.name, t.name FROM team_members m
           JOIN teams t ON t.principal_id = m.team_id JOIN accounts a ON a.id = t.account_id
          WHERE m.user_id = $1 ORDER BY a.name, t.name"
    ];
    DELETE = ["DELETE FROM teams WHERE principal_id = $1"];
    DELETE_PRINCIPAL = ["DELETE FROM principals WHERE id = $1"];
}

/// A team: members of one organization who hold rights together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// The principal that grants name.
    pub id: PrincipalId,
    /// The organization.
    pub account_id: AccountId,
    /// Its name, unique in the organization.
    pub name: String,
    /// What it is for, in people's words.
    pub description: String,
}

/// Somebody in a team, and through what: `source` is empty for a hand, else the name of a directory. Who is in it through
/// two comes twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamMember {
    /// The user.
    pub user: PrincipalId,
    /// Their name.
    pub name: String,
    /// What put them there.
    pub source: String,
}

impl Metadata {
    /// The team of this name in an organization.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn team(&self, organization: AccountId, name: &str) -> Result<Option<Team>, Error> {
        self.row(&FIND, values![organization, name]).await?.map(|row| team(&row)).transpose()
    }

    /// Teams in the byte order of their names, within this range, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn teams(&self, organization: AccountId, names: &NameRange, limit: u32) -> Result<Vec<Team>, Error> {
        let rows = self.rows(&PAGE, values![organization, &names.first, &names.end, i64::from(limit)]).await?;
        rows.iter().map(team).collect()
    }

    /// Who is in a team and through what, in the byte order of names and sources: those whose names begin with these bytes,
    /// after this pair, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn team_members(
        &self,
        team: PrincipalId,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<TeamMember>, Error> {
        let NameRange { first, end } = NameRange::of(prefix, None);
        let (name, source) = match after {
            Some((name, source)) if name >= prefix => (name, format!("{source}{NEXT}")),
            _ => (first.as_str(), String::new()),
        };
        let rows = self.rows(&MEMBERS, values![team, name, &source, &end, i64::from(limit)]).await?;
        rows.iter().map(member).collect()
    }

    /// The teams that a user is in, each as its organization's name and its own.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn teams_of(&self, user: PrincipalId) -> Result<Vec<(String, String)>, Error> {
        let rows = self.rows(&OF_USER, values![user]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    /// Whether this source put a user into any team.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_in_a_team_from(&self, user: PrincipalId, source: &str) -> Result<bool, Error> {
        Ok(self.row(&HAS_FROM_SOURCE, values![user, source]).await?.is_some())
    }
}

impl Tx {
    /// Makes a team in an organization that is held; `None` when it has one of this name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_team(
        &mut self,
        organization: &Organization,
        name: &str,
        description: &str,
    ) -> Result<Option<Team>, Error> {
        if self.team(organization.id, name).await?.is_some() {
            return Ok(None);
        }
        let id = PrincipalId(self.id()?);
        self.execute(&INSERT_PRINCIPAL, values![id]).await?;
        if self.execute(&INSERT, values![id, organization.id, name, description]).await? == 0 {
            return Err(self.give_way("teams"));
        }
        let (name, description) = (name.to_owned(), description.to_owned());
        Ok(Some(Team { id, account_id: organization.id, name, description }))
    }

    /// The team of this name in an organization, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn team(&mut self, organization: AccountId, name: &str) -> Result<Option<Team>, Error> {
        self.row(&HOLD, values![organization, name]).await?.map(|row| team(&row)).transpose()
    }

    /// Says what a team is for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn describe_team(&mut self, team: &Team, description: &str) -> Result<(), Error> {
        self.execute(&DESCRIBE, values![team.id, description]).await.map(drop)
    }

    /// Puts a member of the organization, whose row is held, into one of its teams; whether they were not in it through
    /// this source before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_to_team(&mut self, team: &Team, user: PrincipalId, source: &str) -> Result<bool, Error> {
        self.touch(Slot::principal(user));
        Ok(self.execute(&ADD, values![team.id, team.account_id, user, source]).await? == 1)
    }

    /// Takes somebody out of a team, as far as this source put them there; whether it did.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_from_team(
        &mut self,
        team: PrincipalId,
        user: PrincipalId,
        source: &str,
    ) -> Result<bool, Error> {
        self.touch(Slot::principal(user));
        Ok(self.execute(&REMOVE, values![team, user, source]).await? == 1)
    }

    /// The teams that this source put a user into: each team, its organization's name and its own.
    ///
    /// # Errors
    /// The database failed.
    pub async fn teams_from(
        &mut self,
        user: PrincipalId,
        source: &str,
    ) -> Result<Vec<(PrincipalId, String, String)>, Error> {
        let rows = self.rows(&FROM_SOURCE, values![user, source]).await?;
        rows.iter().map(|row| Ok((PrincipalId(row.integer(0)?), row.text(1)?, row.text(2)?))).collect()
    }

    /// Removes a team that is held, with all that was granted to it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_team(&mut self, organization: &Organization, team: &Team) -> Result<(), Error> {
        self.touch(Slot::account(&organization.name));
        for row in self.rows(&MEMBERS_OF, values![team.id]).await? {
            self.touch(Slot::principal(PrincipalId(row.integer(0)?)));
        }
        self.execute(&DELETE, values![team.id]).await?;
        self.execute(&DELETE_PRINCIPAL, values![team.id]).await.map(drop)
    }
}

fn team(row: &Row) -> Result<Team, Error> {
    Ok(Team {
        id: PrincipalId(row.integer(0)?),
        account_id: AccountId(row.integer(1)?),
        name: row.text(2)?,
        description: row.text(3)?,
    })
}

fn member(row: &Row) -> Result<TeamMember, Error> {
    Ok(TeamMember { user: PrincipalId(row.integer(0)?), name: row.text(1)?, source: row.text(2)? })
}
