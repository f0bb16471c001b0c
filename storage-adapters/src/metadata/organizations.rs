//! Organizations and their members.

use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::name_range::NameRange;
use super::names::NameKind;
use super::rows::{AccountId, PrincipalId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::usage::Scope;
use super::users::Principal;
use super::value::values;

statements! {
    TAKE_NAME = [
        "INSERT INTO accounts (id, name, kind, created_at) VALUES ($1, $2, 'organization', $3) ON CONFLICT DO NOTHING"
    ];
    FIND = ["SELECT id, name, create_on_push, writers_sign FROM accounts WHERE name = $1 AND kind = 'organization'"];
    HOLD = [
        "SELECT id, name, create_on_push, writers_sign FROM accounts WHERE name = $1 AND kind = 'organization'" {update}
    ];
    GLANCE = [
        "SELECT a.id, a.name, a.create_on_push, a.writers_sign, m.owner FROM accounts a
           LEFT JOIN members m ON m.account_id = a.id AND m.user_id = $2
          WHERE a.name = $1 AND a.kind = 'organization'"
    ];
    PAGE = [
        "SELECT id, name, create_on_push, writers_sign FROM accounts
          WHERE kind = 'organization' AND name >= $1 AND name < $2 ORDER BY name LIMIT $3"
    ];
    OF_USER = [
        "SELECT a.id, a.name, a.create_on_push, a.writers_sign, m.owner FROM members m JOIN accounts a ON a.id = m.account_id
          WHERE m.user_id = $1 ORDER BY a.name"
    ];
    SET = ["UPDATE accounts SET create_on_push = $2, writers_sign = $3 WHERE id = $1"];
    MEMBERS = [
        "SELECT user_id, user_name, owner, source FROM members
          WHERE account_id = $1 AND user_name >= $2 AND user_name < $3 ORDER BY user_name LIMIT $4"
    ];
    MEMBERS_OF_ROLE = [
        "SELECT user_id, user_name, owner, source FROM members
          WHERE account_id = $1 AND owner = $2 AND user_name >= $3 AND user_name < $4 ORDER BY user_name LIMIT $5"
    ];
    MEMBER = ["SELECT owner FROM members WHERE account_id = $1 AND user_id = $2"];
    HOLD_MEMBER = ["SELECT owner FROM members WHERE account_id = $1 AND user_id = $2" {update}];
    HOLD_PRINCIPAL = ["SELECT id FROM principals WHERE id = $1" {share}];
    HOLD_OWNED = [
        "SELECT a.id FROM members m JOIN accounts a ON a.id = m.account_id
          WHERE m.user_id = $1 AND m.owner = 1 ORDER BY a.id" {update of a}
    ];
    OTHER_OWNER = ["SELECT user_id FROM members WHERE account_id = $1 AND owner = 1 AND user_id <> $2 LIMIT 1"];
    ADD_MEMBER = [
        "INSERT INTO members (account_id, user_id, owner) VALUES ($1, $2, $3)
         ON CONFLICT (account_id, user_id) DO UPDATE SET owner = excluded.owner, source = NULL"
    ];
    ADD_MEMBER_FROM = [
        "INSERT INTO members (account_id, user_id, owner, source) VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING"
    ];
    FROM_SOURCE = [
        "SELECT a.name FROM members m JOIN accounts a ON a.id = m.account_id
          WHERE m.user_id = $1 AND m.source = $2 AND NOT EXISTS
            (SELECT 1 FROM team_members t WHERE t.account_id = m.account_id AND t.user_id = m.user_id)
          ORDER BY a.name"
    ];
    IN_TEAM = ["SELECT team_id FROM team_members WHERE account_id = $1 AND user_id = $2 LIMIT 1"];
    REMOVE_TEAMLESS = ["DELETE FROM members WHERE account_id = $1 AND user_id = $2 AND source IS NOT NULL"];
    REMOVE_MEMBER = ["DELETE FROM members WHERE account_id = $1 AND user_id = $2"];
    TAKE_GRANTS = [
        "DELETE FROM repository_grants WHERE principal_id = $2 AND EXISTS
           (SELECT 1 FROM repositories r WHERE r.id = repository_grants.repository_id AND r.account_id = $1)"
    ];
    TAKE_PREFIX_GRANTS = ["DELETE FROM prefix_grants WHERE principal_id = $2 AND account_id = $1"];
    HELD = [
        "SELECT 1 FROM repositories WHERE account_id = $1 AND name IS NOT NULL
         UNION ALL SELECT 2 FROM robots WHERE account_id = $1
         UNION ALL SELECT 3 FROM teams WHERE account_id = $1 LIMIT 1"
    ];
    BLOBS_OF = ["DELETE FROM account_blobs WHERE account_id = $1 RETURNING blob_id"];
    DELETE = ["DELETE FROM accounts WHERE id = $1"];
    OWNED_ALONE = [
        "SELECT a.name FROM members m JOIN accounts a ON a.id = m.account_id
          WHERE m.user_id = $1 AND m.owner = 1 AND NOT EXISTS
            (SELECT 1 FROM members o WHERE o.account_id = m.account_id AND o.owner = 1 AND o.user_id <> $1)
          ORDER BY a.name LIMIT 1"
    ];
}

/// An account that people share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its account.
    pub id: AccountId,
    /// Its name, the first component of its repositories' names.
    pub name: String,
    /// Whether a push by a member, or by whoever holds `write` on a prefix, makes a repository that does not exist.
    pub create_on_push: bool,
    /// Whether `write` lets sign; else `sign`, granted beside it, does.
    pub writers_sign: bool,
}

/// Somebody who belongs to an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user: PrincipalId,
    /// Their name.
    pub name: String,
    /// Whether everything in the organization is theirs to do.
    pub owner: bool,
    /// The directory or provider whose groups made them a member; none when somebody's hand did.
    pub source: Option<String>,
}

/// What became of a change to an organization's members or of the organization itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationChange {
    /// It is made.
    Made,
    /// There is no such organization or member.
    Unknown,
    /// An organization keeps one owner at least.
    LastOwner,
    /// The organization still has repositories, robots or teams.
    Held,
    /// Only repositories that were deleted are in the way. From the commit on they can no longer be brought back; once they
    /// are emptied, the organization can be removed.
    GivesUpDeleted,
}

impl Metadata {
    /// The organization of this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn organization(&self, name: &str) -> Result<Option<Organization>, Error> {
        self.row(&FIND, values![name]).await?.map(|row| organization(&row)).transpose()
    }

    /// Organizations in the byte order of their names, within this range, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn organizations(&self, names: &NameRange, limit: u32) -> Result<Vec<Organization>, Error> {
        let rows = self.rows(&PAGE, values![&names.first, &names.end, i64::from(limit)]).await?;
        rows.iter().map(organization).collect()
    }

    /// The organizations that a user belongs to, by name, and whether they own each.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn organizations_of(&self, user: PrincipalId) -> Result<Vec<(Organization, bool)>, Error> {
        let rows = self.rows(&OF_USER, values![user]).await?;
        rows.iter().map(|row| Ok((organization(row)?, row.truth(4)?))).collect()
    }

    /// Members in the byte order of their names, within this range, at most `limit`, and with `owners` those alone who own the
    /// organization or do not: a page costs what is on it, however many belong to it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn members(
        &self,
        organization: AccountId,
        names: &NameRange,
        owners: Option<bool>,
        limit: u32,
    ) -> Result<Vec<Member>, Error> {
        let (first, end, limit) = (&names.first, &names.end, i64::from(limit));
        let rows = match owners {
            None => self.rows(&MEMBERS, values![organization, first, end, limit]).await?,
            Some(owner) => self.rows(&MEMBERS_OF_ROLE, values![organization, owner, first, end, limit]).await?,
        };
        rows.iter().map(member).collect()
    }

    /// Whether a user belongs to an organization, and then whether they own it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn membership(&self, organization: AccountId, user: PrincipalId) -> Result<Option<bool>, Error> {
        self.row(&MEMBER, values![organization, user]).await?.map(|row| row.truth(0)).transpose()
    }
}

impl Tx {
    /// Makes an organization with its first owner; `None` when the name is taken by any account.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_organization(
        &mut self,
        name: &str,
        owner: PrincipalId,
        now: i64,
    ) -> Result<Option<Organization>, Error> {
        let id = AccountId(self.id()?);
        if self.execute(&TAKE_NAME, values![id, name, now]).await? == 0 {
            return Ok(None);
        }
        self.row(&HOLD_PRINCIPAL, values![owner]).await?;
        self.execute(&ADD_MEMBER, values![id, owner, true]).await?;
        self.begin_account(id, name).await?;
        Ok(Some(Organization { id, name: name.to_owned(), create_on_push: false, writers_sign: true }))
    }

    /// The organization of this name and whether a user belongs to it, as [`Self::membership`] tells, nothing held: by this is
    /// decided who may hold it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn glance_at_organization(
        &mut self,
        name: &str,
        user: PrincipalId,
    ) -> Result<Option<(Organization, Option<bool>)>, Error> {
        let Some(row) = self.row(&GLANCE, values![name, user]).await? else { return Ok(None) };
        Ok(Some((organization(&row)?, row.maybe_integer(4)?.map(|owner| owner == 1))))
    }

    /// The organization of this name, held until the change ends: changes to its members and teams follow one another.
    ///
    /// # Errors
    /// The database failed.
    pub async fn organization(&mut self, name: &str) -> Result<Option<Organization>, Error> {
        self.row(&HOLD, values![name]).await?.map(|row| organization(&row)).transpose()
    }

    /// Gives an organization these settings.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_organization(&mut self, organization: &Organization) -> Result<(), Error> {
        self.touch(Slot::account(&organization.name));
        let Organization { id, create_on_push, writers_sign, .. } = organization;
        self.execute(&SET, values![*id, *create_on_push, *writers_sign]).await.map(drop)
    }

    /// Whether a user belongs to an organization, and then whether they own it; held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn membership(&mut self, organization: AccountId, user: PrincipalId) -> Result<Option<bool>, Error> {
        self.row(&HOLD_MEMBER, values![organization, user]).await?.map(|row| row.truth(0)).transpose()
    }

    /// Makes a user a member or an owner of an organization that is held, by somebody's hand: no directory takes that back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_member(
        &mut self,
        organization: &Organization,
        user: &Principal,
        owner: bool,
    ) -> Result<OrganizationChange, Error> {
        // Whoever is being removed has counted what they own already.
        if self.row(&HOLD_PRINCIPAL, values![user.id]).await?.is_none() {
            return Ok(OrganizationChange::Unknown);
        }
        if !owner
            && self.membership(organization.id, user.id).await? == Some(true)
            && self.row(&OTHER_OWNER, values![organization.id, user.id]).await?.is_none()
        {
            return Ok(OrganizationChange::LastOwner);
        }
        self.touch(Slot::account(&organization.name));
        self.touch(Slot::principal(user.id));
        self.execute(&ADD_MEMBER, values![organization.id, user.id, owner]).await?;
        Ok(OrganizationChange::Made)
    }

    /// Makes a user a member of an organization that is held, for a directory or provider; whether they were none before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_member_from(
        &mut self,
        organization: &Organization,
        user: &Principal,
        source: &str,
    ) -> Result<bool, Error> {
        // Whoever is being removed has counted what they own already.
        if self.row(&HOLD_PRINCIPAL, values![user.id]).await?.is_none() {
            return Ok(false);
        }
        if self.execute(&ADD_MEMBER_FROM, values![organization.id, user.id, source]).await? == 0 {
            return Ok(false);
        }
        self.touch(Slot::account(&organization.name));
        self.touch(Slot::principal(user.id));
        Ok(true)
    }

    /// The names of the organizations of which this directory or provider made a user a member, and in which they are in no team.
    ///
    /// # Errors
    /// The database failed.
    pub async fn organizations_without_team(&mut self, user: PrincipalId, source: &str) -> Result<Vec<String>, Error> {
        let rows = self.rows(&FROM_SOURCE, values![user, source]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Whether a user is in any team of an organization that is held.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_in_a_team(&mut self, organization: AccountId, user: PrincipalId) -> Result<bool, Error> {
        Ok(self.row(&IN_TEAM, values![organization, user]).await?.is_some())
    }

    /// Takes a user whom a source made a member out of an organization that is held; what was granted to them themselves in it
    /// rests.
    ///
    /// # Errors
    /// The database failed.
    pub async fn part_from(
        &mut self,
        organization: &Organization,
        user: &Principal,
    ) -> Result<OrganizationChange, Error> {
        let Some(owner) = self.membership(organization.id, user.id).await? else {
            return Ok(OrganizationChange::Unknown);
        };
        if owner && self.row(&OTHER_OWNER, values![organization.id, user.id]).await?.is_none() {
            return Ok(OrganizationChange::LastOwner);
        }
        if self.execute(&REMOVE_TEAMLESS, values![organization.id, user.id]).await? == 0 {
            return Ok(OrganizationChange::Unknown);
        }
        self.rest_grants(organization, user.id).await?;
        Ok(OrganizationChange::Made)
    }

    /// Takes a user out of an organization that is held: out of its teams too, and what was granted to them in it is
    /// taken back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_member(
        &mut self,
        organization: &Organization,
        user: &Principal,
    ) -> Result<OrganizationChange, Error> {
        let Some(owner) = self.membership(organization.id, user.id).await? else {
            return Ok(OrganizationChange::Unknown);
        };
        if owner && self.row(&OTHER_OWNER, values![organization.id, user.id]).await?.is_none() {
            return Ok(OrganizationChange::LastOwner);
        }
        self.touch(Slot::account(&organization.name));
        self.touch(Slot::principal(user.id));
        self.execute(&TAKE_GRANTS, values![organization.id, user.id]).await?;
        self.execute(&TAKE_PREFIX_GRANTS, values![organization.id, user.id]).await?;
        self.execute(&REMOVE_MEMBER, values![organization.id, user.id]).await?;
        Ok(OrganizationChange::Made)
    }

    /// Removes an organization, held, that owns nothing any more. Its members stay users, and its name rests.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_organization(
        &mut self,
        organization: &Organization,
        now: i64,
    ) -> Result<OrganizationChange, Error> {
        if self.row(&HELD, values![organization.id]).await?.is_some() {
            return Ok(OrganizationChange::Held);
        }
        if self.give_up_deleted_repositories(organization.id).await? {
            return Ok(OrganizationChange::GivesUpDeleted);
        }
        self.touch(Slot::account(&organization.name));
        let mut blobs = Vec::new();
        for row in self.rows(&BLOBS_OF, values![organization.id]).await? {
            blobs.push(row.integer(0)?);
        }
        self.execute(&DELETE, values![organization.id]).await?;
        self.forget_usage(Scope::Account(organization.id)).await?;
        self.release_name((NameKind::Account, &organization.name), (organization.id, None), now).await?;
        self.candidates(super::candidates::Item::Blob, 0, blobs, now).await?;
        Ok(OrganizationChange::Made)
    }

    /// The name of an organization that a user, who is held, alone owns, if there is one. All that they own are held until
    /// the change ends: two owners who go at once would each count on the other.
    ///
    /// # Errors
    /// The database failed.
    pub async fn owned_alone(&mut self, user: PrincipalId) -> Result<Option<String>, Error> {
        self.rows(&HOLD_OWNED, values![user]).await?;
        self.row(&OWNED_ALONE, values![user]).await?.map(|row| row.text(0)).transpose()
    }
}

fn organization(row: &Row) -> Result<Organization, Error> {
    let (create_on_push, writers_sign) = (row.truth(2)?, row.truth(3)?);
    Ok(Organization { id: AccountId(row.integer(0)?), name: row.text(1)?, create_on_push, writers_sign })
}

fn member(row: &Row) -> Result<Member, Error> {
    Ok(Member {
        user: PrincipalId(row.integer(0)?),
        name: row.text(1)?,
        owner: row.truth(2)?,
        source: row.maybe_text(3)?,
    })
}
