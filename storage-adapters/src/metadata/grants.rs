//! Grants: which user, team or robot holds which rights on a repository or on a prefix of names.

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::organizations::Organization;
use super::rights::Rights;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// How far the rights of a grant that rests are moved up in its row: no release knows a right up there, so that nobody holds any.
const RESTING: i64 = 32;

/// How many prefixes of one account one holder may have grants on: all of them are read when a right is decided.
pub const PREFIXES: u32 = 64;

statements! {
    PUT = [
        "INSERT INTO repository_grants (repository_id, principal_id, rights, granted_by, granted_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (principal_id, repository_id) DO UPDATE SET rights = excluded.rights,
           granted_by = excluded.granted_by, granted_at = excluded.granted_at"
    ];
    PUT_PREFIX = [
        "INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (principal_id, account_id, prefix) DO UPDATE SET rights = excluded.rights,
           granted_by = excluded.granted_by, granted_at = excluded.granted_at"
    ];
    HOLD_HOLDER = ["SELECT id FROM principals WHERE id = $1" {update}];
    OTHER_PREFIXES = [
        "SELECT COUNT(*) FROM prefix_grants WHERE principal_id = $1 AND account_id = $2 AND prefix <> $3"
    ];
    FIND = ["SELECT rights FROM repository_grants WHERE principal_id = $1 AND repository_id = $2" {update}];
    FIND_PREFIX = [
        "SELECT rights FROM prefix_grants WHERE principal_id = $1 AND account_id = $2 AND prefix = $3" {update}
    ];
    TAKE = ["DELETE FROM repository_grants WHERE principal_id = $1 AND repository_id = $2"];
    TAKE_PREFIX = ["DELETE FROM prefix_grants WHERE principal_id = $1 AND account_id = $2 AND prefix = $3"];
    ON_REPOSITORY = [
        "SELECT r.name, g.rights, g.granted_by, g.granted_at, p.kind, COALESCE(u.name, t.name, b.name), h.name, p.id,
                w.kind, COALESCE(wu.name, wt.name, wb.name), wh.name
           FROM repository_grants g
           JOIN repositories r ON r.id = g.repository_id
           JOIN principals p ON p.id = g.principal_id
           LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN teams t ON t.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id
           LEFT JOIN accounts h ON h.id = COALESCE(t.account_id, b.account_id)
           LEFT JOIN principals w ON w.id = g.granted_by
           LEFT JOIN users wu ON wu.principal_id = w.id
           LEFT JOIN teams wt ON wt.principal_id = w.id
           LEFT JOIN robots wb ON wb.principal_id = w.id
           LEFT JOIN accounts wh ON wh.id = COALESCE(wt.account_id, wb.account_id)
          WHERE g.repository_id = $1 AND g.principal_id > $2 AND r.name IS NOT NULL ORDER BY g.principal_id LIMIT $3"
    ];
    ON_PREFIXES = [
        "SELECT g.prefix, g.rights, g.granted_by, g.granted_at, p.kind, COALESCE(u.name, t.name, b.name), h.name, p.id,
                w.kind, COALESCE(wu.name, wt.name, wb.name), wh.name
           FROM prefix_grants g
           JOIN principals p ON p.id = g.principal_id
           LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN teams t ON t.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id
           LEFT JOIN accounts h ON h.id = COALESCE(t.account_id, b.account_id)
           LEFT JOIN principals w ON w.id = g.granted_by
           LEFT JOIN users wu ON wu.principal_id = w.id
           LEFT JOIN teams wt ON wt.principal_id = w.id
           LEFT JOIN robots wb ON wb.principal_id = w.id
           LEFT JOIN accounts wh ON wh.id = COALESCE(wt.account_id, wb.account_id)
          WHERE g.account_id = $1 AND (g.prefix > $2 OR (g.prefix = $2 AND g.principal_id > $3))
          ORDER BY g.prefix, g.principal_id LIMIT $4"
    ];
    OF_HOLDER = [
        "SELECT r.name, g.rights, g.granted_by, g.granted_at FROM repository_grants g
           JOIN repositories r ON r.id = g.repository_id
          WHERE g.principal_id = $1 AND g.repository_id > $2 AND r.name IS NOT NULL
          ORDER BY g.repository_id LIMIT $3"
    ];
    PREFIXES_OF_HOLDER = [
        "SELECT g.prefix, g.rights, g.granted_by, g.granted_at FROM prefix_grants g
          WHERE g.principal_id = $1 ORDER BY g.account_id, g.prefix LIMIT $2"
    ];
    HELD_IN = [
        "SELECT r.name, g.rights, g.granted_by, g.granted_at, r.id FROM repository_grants g
           JOIN repositories r ON r.id = g.repository_id
          WHERE g.principal_id = $1 AND r.account_id = $2 AND r.name IS NOT NULL ORDER BY r.id"
    ];
    PREFIXES_HELD_IN = [
        "SELECT prefix, rights, granted_by, granted_at FROM prefix_grants
          WHERE principal_id = $1 AND account_id = $2 ORDER BY prefix"
    ];
    REST = [
        "UPDATE repository_grants SET rights = rights << 32 WHERE principal_id = $2 AND rights < 4294967296 AND EXISTS
           (SELECT 1 FROM repositories r WHERE r.id = repository_grants.repository_id AND r.account_id = $1)"
    ];
    REST_PREFIXES = [
        "UPDATE prefix_grants SET rights = rights << 32
          WHERE principal_id = $2 AND account_id = $1 AND rights < 4294967296"
    ];
    WAKE = [
        "UPDATE repository_grants SET rights = rights >> 32 WHERE principal_id = $2 AND rights >= 4294967296 AND EXISTS
           (SELECT 1 FROM repositories r WHERE r.id = repository_grants.repository_id AND r.account_id = $1)"
    ];
    WAKE_PREFIXES = [
        "UPDATE prefix_grants SET rights = rights >> 32
          WHERE principal_id = $2 AND account_id = $1 AND rights >= 4294967296"
    ];
    HOLDER = [
        "SELECT p.kind, COALESCE(u.name, t.name, b.name), h.name FROM principals p
           LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN teams t ON t.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id
           LEFT JOIN accounts h ON h.id = COALESCE(t.account_id, b.account_id)
          WHERE p.id = $1"
    ];
}

/// What a grant is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// One repository.
    Repository(RepositoryId),
    /// Every repository of the account whose name begins with the text, which begins with the account's name and a slash.
    Prefix(AccountId, &'a str),
}

/// A grant to be put or taken in an account.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The name of the account that the target lies in.
    pub account: &'a str,
    /// On what.
    pub target: Target<'a>,
    /// Who holds it.
    pub holder: PrincipalId,
}

/// A grant as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantLine {
    /// A repository's name, or a prefix.
    pub on: String,
    /// Whether `on` is a prefix.
    pub is_prefix: bool,
    /// Who holds it; `None` in a list of one holder's grants.
    pub holder: Option<(PrincipalId, Holder)>,
    /// What they hold, or will hold again when it rests no more.
    pub rights: Rights,
    /// Whether it rests: nobody holds anything by it until a source brings the holder back into the organization.
    pub rests: bool,
    /// Who gave it.
    pub granted_by: PrincipalId,
    /// Their name; `None` when they are gone, and in a list of one holder's grants.
    pub giver: Option<Holder>,
    /// When, in milliseconds since the epoch.
    pub granted_at: i64,
}

impl GrantLine {
    /// What it is on, as people write it: `acme/web`, or `acme/web-*` for a prefix.
    #[must_use]
    pub fn target(&self) -> String {
        if self.is_prefix { format!("{}*", self.on) } else { self.on.clone() }
    }
}

/// Who holds a grant, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A user.
    User(String),
    /// A team of an organization.
    Team(String, String),
    /// A robot of an account.
    Robot(String, String),
}

impl Metadata {
    /// Grants on one repository, in the order of their holders' ids, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn grants_on(
        &self,
        repository: RepositoryId,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<GrantLine>, Error> {
        let after = after.map_or(i64::MIN, |id| id.0);
        let rows = self.rows(&ON_REPOSITORY, values![repository, after, i64::from(limit)]).await?;
        rows.iter().map(|row| line(row, false)).collect()
    }

    /// Grants on the prefixes of an account, by prefix and then by their holders' ids, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn prefix_grants(
        &self,
        account: AccountId,
        after: Option<(&str, PrincipalId)>,
        limit: u32,
    ) -> Result<Vec<GrantLine>, Error> {
        let (prefix, holder) = after.map_or(("", i64::MIN), |(prefix, holder)| (prefix, holder.0));
        let rows = self.rows(&ON_PREFIXES, values![account, prefix, holder, i64::from(limit)]).await?;
        rows.iter().map(|row| line(row, true)).collect()
    }

    /// What one holder was granted, prefixes first, at most `limit` of each.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn grants_of(&self, holder: PrincipalId, limit: u32) -> Result<Vec<GrantLine>, Error> {
        let limit = i64::from(limit);
        let prefixes = self.rows(&PREFIXES_OF_HOLDER, values![holder, limit]).await?;
        let repositories = self.rows(&OF_HOLDER, values![holder, i64::MIN, limit]).await?;
        let of = |rows: &[Row], is_prefix| rows.iter().map(|row| held(row, is_prefix)).collect::<Result<Vec<_>, _>>();
        Ok([of(&prefixes, true)?, of(&repositories, false)?].concat())
    }

    /// The name of whoever this is; `None` when they are gone.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn holder(&self, id: PrincipalId) -> Result<Option<Holder>, Error> {
        self.row(&HOLDER, values![id]).await?.map(|row| holder(&row, 0)).transpose()
    }
}

impl Tx {
    /// Gives rights, in the place of what the holder had on the same target; `false` when they hold grants on as many
    /// prefixes of the account as one may, [`PREFIXES`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_grant(
        &mut self,
        grant: &Grant<'_>,
        rights: Rights,
        by: PrincipalId,
        now: i64,
    ) -> Result<bool, Error> {
        self.touch(Slot::account(grant.account));
        match grant.target {
            Target::Repository(repository) => {
                self.execute(&PUT, values![repository, grant.holder, rights.bits(), by, now]).await?;
            }
            Target::Prefix(account, prefix) => {
                // From here on nobody else can give the holder a prefix, so that what is counted stays true.
                self.row(&HOLD_HOLDER, values![grant.holder]).await?;
                let others = self.row(&OTHER_PREFIXES, values![grant.holder, account, prefix]).await?;
                if others.map_or(Ok(0), |row| row.integer(0))? >= i64::from(PREFIXES) {
                    return Ok(false);
                }
                self.execute(&PUT_PREFIX, values![account, prefix, grant.holder, rights.bits(), by, now]).await?;
            }
        }
        Ok(true)
    }

    /// What a holder has on exactly this target, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grant(&mut self, grant: &Grant<'_>) -> Result<Option<Rights>, Error> {
        let row = match grant.target {
            Target::Repository(repository) => self.row(&FIND, values![grant.holder, repository]).await?,
            Target::Prefix(account, prefix) => self.row(&FIND_PREFIX, values![grant.holder, account, prefix]).await?,
        };
        row.map(|row| Ok(Rights::from_bits(row.integer(0)?))).transpose()
    }

    /// Takes a grant back; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_grant(&mut self, grant: &Grant<'_>) -> Result<bool, Error> {
        self.touch(Slot::account(grant.account));
        let taken = match grant.target {
            Target::Repository(repository) => self.execute(&TAKE, values![grant.holder, repository]).await?,
            Target::Prefix(account, prefix) => {
                self.execute(&TAKE_PREFIX, values![grant.holder, account, prefix]).await?
            }
        };
        Ok(taken == 1)
    }

    /// What was granted to a user themselves in an organization that is held, prefixes first, with the repository that each is on.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grants_in(
        &mut self,
        organization: AccountId,
        user: PrincipalId,
    ) -> Result<Vec<(GrantLine, Option<RepositoryId>)>, Error> {
        let mut grants = Vec::new();
        for row in self.rows(&PREFIXES_HELD_IN, values![user, organization]).await? {
            grants.push((held(&row, true)?, None));
        }
        for row in self.rows(&HELD_IN, values![user, organization]).await? {
            grants.push((held(&row, false)?, Some(RepositoryId(row.integer(4)?))));
        }
        Ok(grants)
    }

    /// Lays what was granted to a user themselves in an organization that is held to rest: it stays written down, and nobody holds
    /// anything by it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn rest_grants(&mut self, organization: &Organization, user: PrincipalId) -> Result<(), Error> {
        self.touch(Slot::account(&organization.name));
        self.touch(Slot::principal(user));
        self.execute(&REST, values![organization.id, user]).await?;
        self.execute(&REST_PREFIXES, values![organization.id, user]).await.map(drop)
    }

    /// Lets what rests of a user's grants in an organization that is held be held again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wake_grants(&mut self, organization: &Organization, user: PrincipalId) -> Result<(), Error> {
        self.touch(Slot::account(&organization.name));
        self.touch(Slot::principal(user));
        self.execute(&WAKE, values![organization.id, user]).await?;
        self.execute(&WAKE_PREFIXES, values![organization.id, user]).await.map(drop)
    }
}

fn held(row: &Row, is_prefix: bool) -> Result<GrantLine, Error> {
    let bits = row.integer(1)?;
    let rests = bits >> RESTING != 0;
    Ok(GrantLine {
        on: row.text(0)?,
        is_prefix,
        holder: None,
        rights: Rights::from_bits(if rests { bits >> RESTING } else { bits }),
        rests,
        granted_by: PrincipalId(row.integer(2)?),
        giver: None,
        granted_at: row.integer(3)?,
    })
}

fn line(row: &Row, is_prefix: bool) -> Result<GrantLine, Error> {
    let held_by = (PrincipalId(row.integer(7)?), holder(row, 4)?);
    let giver = match row.maybe_text(8)? {
        Some(_) => Some(holder(row, 8)?),
        None => None,
    };
    Ok(GrantLine { holder: Some(held_by), giver, ..held(row, is_prefix)? })
}

/// A holder from three columns, the first of which is this: kind, name, name of the account.
pub(super) fn holder(row: &Row, first: usize) -> Result<Holder, Error> {
    let name = row.text(first + 1)?;
    match row.text(first)?.as_str() {
        "user" => Ok(Holder::User(name)),
        "team" => Ok(Holder::Team(row.text(first + 2)?, name)),
        "robot" => Ok(Holder::Robot(row.text(first + 2)?, name)),
        other => Err(Error::new(ErrorKind::Corrupt, format!("principals.kind {other:?}"))),
    }
}
