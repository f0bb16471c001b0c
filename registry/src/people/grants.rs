//! Grants: who gives which rights on what to whom. Nobody gives more than they hold.

use std::fmt;
use std::str::FromStr;

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{
    Account, Grant, GrantLine, Holder, PREFIXES, PrincipalId, Repository, Rights, SYSTEM_ACCOUNT, Target, Tx,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, List, Page, Refused, page, shapes};
use crate::access::Pattern;
use crate::app::App;
use crate::auth::users;
use crate::clock::rfc3339;

/// A grant as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// A repository (`acme/web`) or a prefix of names (`acme/web-*`).
    pub on: String,
    /// Who holds it: `user:ann`, `team:acme/dev` or `robot:acme+ci`.
    pub holder: String,
    /// What they hold: `read`, `write`, `admin`, `delete`, `sign`, joined by `+`.
    pub rights: String,
    /// Who gave it, as a holder is written; absent when they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<String>,
    /// When (RFC 3339).
    pub granted_at: String,
    /// Whether it rests: nothing is held by it until the directory or provider that took its holder out of the organization brings
    /// them back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rests: bool,
}

/// What somebody is to hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The rights, in the place of those held on the same target before.
    #[schema(value_type = shapes::RightsText)]
    pub rights: String,
}

/// Who may hold a grant, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderName(pub Holder);

impl FromStr for HolderName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let invalid = || {
            Refused::invalid("holder", format!("{text:?} is no holder: write user:ann, team:acme/dev or robot:acme+ci"))
        };
        let is_name = |name: &str| users::is_name(name);
        let two = |rest: &str, by: char| {
            let (account, name) = rest.split_once(by)?;
            (is_name(account) && is_name(name)).then(|| (account.to_owned(), name.to_owned()))
        };
        let holder = match text.split_once(':').ok_or_else(invalid)? {
            ("user", name) if is_name(name) => Holder::User(name.to_owned()),
            ("team", rest) => two(rest, '/').map(|(account, name)| Holder::Team(account, name)).ok_or_else(invalid)?,
            ("robot", rest) => {
                two(rest, '+').map(|(account, name)| Holder::Robot(account, name)).ok_or_else(invalid)?
            }
            _ => return Err(invalid()),
        };
        Ok(Self(holder))
    }
}

impl fmt::Display for HolderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Holder::User(name) => write!(formatter, "user:{name}"),
            Holder::Team(account, name) => write!(formatter, "team:{account}/{name}"),
            Holder::Robot(account, name) => write!(formatter, "robot:{account}+{name}"),
        }
    }
}

/// A target in the change that acts on it.
struct Held {
    account: Account,
    repository: Option<Repository>,
    /// What the caller holds on all of it.
    rights: Rights,
}

impl Held {
    fn grant<'a>(&'a self, on: &'a Pattern, holder: PrincipalId) -> Grant<'a> {
        let target = match (on, &self.repository) {
            (Pattern::Prefix(prefix), _) => Target::Prefix(self.account.id, prefix),
            (Pattern::Repository(_), repository) => Target::Repository(
                repository.as_ref().map_or(hallmark_storage::metadata::RepositoryId(-1), |held| held.id),
            ),
        };
        Grant { account: &self.account.name, target, holder }
    }
}

/// Gives rights, or changes those that were given on the same target.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn put(
    app: &App,
    caller: &Caller,
    (on, holder): (Pattern, HolderName),
    new: NewGrant,
) -> Result<GrantView, Refused> {
    let rights: Rights = new.rights.parse().map_err(|invalid: hallmark_storage::metadata::RightsInvalid| {
        Refused::invalid("rights", invalid.to_string())
    })?;
    let input = (caller.clone(), on, holder, rights);
    app.metadata
        .write(input, |tx, (caller, on, holder, rights)| Box::pin(give(tx, caller, (on, holder), *rights)))
        .await
}

async fn give(
    tx: &mut Tx,
    caller: &Caller,
    (on, holder): (&Pattern, &HolderName),
    rights: Rights,
) -> Result<GrantView, Refused> {
    let held = target(tx, caller, on).await?;
    if !held.rights.contain(rights) {
        return Err(Refused::Forbidden("nobody gives more than they hold themselves"));
    }
    let principal = principal(tx, &held, holder).await?;
    if !tx.put_grant(&held.grant(on, principal), rights, caller.principal().id, caller.now).await? {
        return Err(Refused::Conflict(format!("a holder has grants on at most {PREFIXES} prefixes of an account")));
    }
    record(tx, caller, &held, ("grant_put", on, holder, Some(rights))).await?;
    Ok(GrantView {
        on: on.to_string(),
        holder: holder.to_string(),
        rights: rights.to_string(),
        granted_by: Some(caller.name()),
        granted_at: rfc3339(caller.now),
        rests: false,
    })
}

async fn record(
    tx: &mut Tx,
    caller: &Caller,
    held: &Held,
    (kind, on, holder, rights): (&str, &Pattern, &HolderName, Option<Rights>),
) -> Result<(), Refused> {
    let payload = match rights {
        Some(rights) => json!({"holder": holder.to_string(), "rights": rights.to_string()}),
        None => json!({"holder": holder.to_string()}),
    };
    let (payload, subject) = (payload.to_string(), on.to_string());
    let event = caller.event_in(held.account.id, kind, &subject, &payload);
    let repository = held.repository.as_ref().map(|repository| repository.id);
    Ok(tx.record(&hallmark_storage::metadata::Event { repository, ..event }).await?)
}

/// Takes a grant back.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn take(app: &App, caller: &Caller, on: Pattern, holder: HolderName) -> Result<(), Refused> {
    app.metadata
        .write((caller.clone(), on, holder), |tx, (caller, on, holder)| {
            Box::pin(async move {
                let held = target(tx, caller, on).await?;
                let principal = principal(tx, &held, holder).await.map_err(|refused| refused.or_unknown("grant"))?;
                if !tx.take_grant(&held.grant(on, principal)).await? {
                    return Err(Refused::Unknown("grant"));
                }
                record(tx, caller, &held, ("grant_taken", on, holder, None)).await
            })
        })
        .await
}

/// The target, held, when the caller manages all of it. Who may not see it learns nothing.
async fn target(tx: &mut Tx, caller: &Caller, on: &Pattern) -> Result<Held, Refused> {
    caller.may_change()?;
    match on {
        Pattern::Repository(name) => on_repository(tx, caller, name).await,
        Pattern::Prefix(prefix) => on_prefix(tx, caller, prefix).await,
    }
}

async fn on_repository(tx: &mut Tx, caller: &Caller, name: &RepositoryName) -> Result<Held, Refused> {
    let repository = caller.managed(tx, name).await?;
    let account = account(tx, name.account()).await?;
    let rights = caller.rights(tx, name).await?.0.rights;
    Ok(Held { account, repository: Some(repository), rights })
}

async fn account(tx: &mut Tx, name: Option<&str>) -> Result<Account, Refused> {
    tx.account(name.unwrap_or(SYSTEM_ACCOUNT)).await?.ok_or(Refused::Unknown("account"))
}

/// A prefix is managed by who governs its account, and by who holds `admin` on it or on one that it begins with: a name
/// that begins with the prefix, and that nothing else is granted on, stands for all of them.
async fn on_prefix(tx: &mut Tx, caller: &Caller, prefix: &str) -> Result<Held, Refused> {
    caller.stands(tx).await?;
    let unknown = || Refused::Unknown("prefix");
    let name = prefix.split_once('/').map(|(account, _)| account);
    let some: RepositoryName = format!("{prefix}0").parse().map_err(|_| unknown())?;
    let account = tx.account(name.unwrap_or_default()).await?;
    let facts = tx.facts(caller.principal().id, &some).await?;
    // What is granted on one repository of the prefix, or on a longer prefix, does not reach all of it.
    let facts = hallmark_storage::metadata::Facts {
        repository: None,
        grants: facts
            .grants
            .into_iter()
            .filter(|grant| grant.prefix.as_deref().is_some_and(|granted| prefix.starts_with(granted)))
            .collect(),
        ..facts
    };
    let rights = crate::access::decide(Some(caller.principal()), &facts, |_, _| {}).rights;
    let rights = caller.bound_prefix(prefix, rights);
    let Some(account) = account.filter(|_| !rights.is_empty()) else { return Err(unknown()) };
    if !rights.contain(Rights::MANAGE) {
        return Err(Refused::Forbidden("this needs the right admin on the whole prefix"));
    }
    Ok(Held { account, repository: None, rights })
}

/// The principal of this name, who could hold rights in a repository.
pub(super) async fn holder_in(
    tx: &mut Tx,
    (name, repository): (&RepositoryName, &Repository),
    holder: &HolderName,
) -> Result<PrincipalId, Refused> {
    let account = name.as_str().split('/').next().unwrap_or_default();
    let account = tx.account(account).await?.ok_or(Refused::Unknown("repository"))?;
    principal(tx, &Held { account, repository: Some(repository.clone()), rights: Rights::NONE }, holder).await
}

/// The principal of this name. A team or a robot holds rights in its own account only, and a robot that is bound to a
/// repository only there.
async fn principal(tx: &mut Tx, held: &Held, holder: &HolderName) -> Result<PrincipalId, Refused> {
    let invalid = |why: String| Refused::invalid("holder", why);
    let elsewhere = |account: &str| *account != held.account.name;
    match &holder.0 {
        Holder::User(name) => {
            let user = tx.user(name).await?;
            user.map(|user| user.principal.id).ok_or_else(|| invalid(format!("there is no user {name:?}")))
        }
        Holder::Team(account, _) | Holder::Robot(account, _) if elsewhere(account) => {
            Err(invalid(format!("{holder} holds rights in {account:?} only")))
        }
        Holder::Team(_, name) => {
            let team = tx.team(held.account.id, name).await?;
            team.map(|team| team.id).ok_or_else(|| invalid(format!("there is no {holder}")))
        }
        Holder::Robot(_, name) => {
            let robot = tx.robot(held.account.id, name).await?;
            let robot = robot.ok_or_else(|| invalid(format!("there is no {holder}")))?;
            let here = held.repository.as_ref().map(|repository| repository.id);
            if robot.repository.is_some() && robot.repository != here {
                return Err(invalid(format!("{holder} is bound to one repository and holds rights there only")));
            }
            Ok(robot.id)
        }
    }
}

/// Grants on a repository, for who manages it.
///
/// # Errors
/// [`Refused`].
pub async fn on(app: &App, caller: &Caller, name: &RepositoryName, wanted: &Page) -> Result<List<GrantView>, Refused> {
    let (limit, after) = wanted.check()?;
    let after = after.map(page::id).transpose()?;
    let repository = super::repositories::manages(app, caller, name).await?;
    let rows = app.metadata.grants_on(repository.id, after, limit + 1).await?;
    Ok(List::cut(rows, limit, |row| row.holder.as_ref().map_or(0, |(id, _)| id.0).to_string(), show))
}

/// Grants on the prefixes of an account, for who governs it.
///
/// # Errors
/// [`Refused`].
pub async fn in_account(app: &App, caller: &Caller, name: &str, wanted: &Page) -> Result<List<GrantView>, Refused> {
    let (limit, after) = wanted.check()?;
    let after = after.map(page::text_and_id).transpose()?;
    let (account, governs) = caller.visible_account(app, name).await?;
    if !governs {
        // Prefixes are parts of names that not every member may know of.
        return Err(Refused::Forbidden("only an owner of the organization sees what was granted on its prefixes"));
    }
    let rows = app.metadata.prefix_grants(account.id, after, limit + 1).await?;
    let cursor = |row: &GrantLine| format!("{} {}", row.on, row.holder.as_ref().map_or(0, |(id, _)| id.0));
    Ok(List::cut(rows, limit, cursor, show))
}

fn show(row: GrantLine) -> GrantView {
    GrantView {
        on: row.target(),
        holder: row.holder.map(|(_, holder)| HolderName(holder).to_string()).unwrap_or_default(),
        rights: row.rights.to_string(),
        granted_by: row.giver.map(|giver| HolderName(giver).to_string()),
        granted_at: rfc3339(row.granted_at),
        rests: row.rests,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_written_as_it_is_read() {
        for text in ["user:ann", "team:acme/dev", "robot:acme+ci"] {
            assert_eq!(text.parse::<HolderName>().unwrap().to_string(), text);
        }
        for text in ["ann", "user:", "user:Ann", "team:dev", "team:acme/dev/x", "robot:acme/ci", "group:x", "user:a/b"]
        {
            assert!(text.parse::<HolderName>().is_err(), "{text:?}");
        }
    }
}
