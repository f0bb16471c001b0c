//! Who belongs to an organization.

use hallmark_storage::metadata::{Event, Member, OrganizationChange, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::caller::Standing;
use super::organizations::{member, visible};
use super::{Caller, List, Names, Refused};
use crate::app::App;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Somebody of the organization, who may be in its teams.
    Member,
    /// Everything in the organization is theirs to do.
    Owner,
}

/// A member as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The user's name.
    pub user: String,
    /// What they are.
    pub role: MemberRole,
    /// The directory or provider whose groups made them a member; absent when somebody's hand did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a member is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// What they are to be.
    pub role: MemberRole,
}

/// The members of an organization by name, and with `role` those alone who have it.
///
/// # Errors
/// [`Refused`].
pub async fn list(
    app: &App,
    caller: &Caller,
    name: &str,
    wanted: &Names,
    role: Option<MemberRole>,
) -> Result<List<MemberView>, Refused> {
    let (limit, names) = wanted.check()?;
    let organization = visible(app, caller, name).await?;
    let owners = role.map(|role| role == MemberRole::Owner);
    let rows = app.metadata.members(organization.id, &names, owners, limit + 1).await?;
    Ok(List::cut(rows, limit, |row| row.name.clone(), show))
}

fn show(member: Member) -> MemberView {
    let role = if member.owner { MemberRole::Owner } else { MemberRole::Member };
    MemberView { user: member.name, role, source: member.source }
}

/// Makes a user a member or an owner of an organization, whose groups do not take that back.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn put(
    app: &App,
    caller: &Caller,
    (organization, user): (&str, &str),
    membership: Membership,
) -> Result<MemberView, Refused> {
    let input = (caller.clone(), organization.to_owned(), user.to_owned(), membership.role);
    app.metadata
        .write(input, |tx, (caller, organization, user, role)| Box::pin(add(tx, caller, (organization, user), *role)))
        .await
}

async fn add(
    tx: &mut Tx,
    caller: &Caller,
    (organization, user): (&str, &str),
    role: MemberRole,
) -> Result<MemberView, Refused> {
    let held = caller.owned(tx, organization).await?;
    let principal = member(tx, user).await?;
    let payload = json!({"role": role}).to_string();
    tx.record(&caller.event_in(held.id, "member_put", user, &payload)).await?;
    match tx.put_member(&held, &principal, role == MemberRole::Owner).await? {
        OrganizationChange::LastOwner => Err(last_owner(organization)),
        OrganizationChange::Made
        | OrganizationChange::Unknown
        | OrganizationChange::Held
        | OrganizationChange::GivesUpDeleted => Ok(MemberView { user: user.to_owned(), role, source: None }),
    }
}

/// Takes a user out of an organization. Members may leave by themselves.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, organization: &str, user: &str) -> Result<(), Refused> {
    let input = (caller.clone(), organization.to_owned(), user.to_owned());
    app.metadata.write(input, |tx, (caller, organization, user)| Box::pin(take(tx, caller, organization, user))).await
}

async fn take(tx: &mut Tx, caller: &Caller, organization: &str, user: &str) -> Result<(), Refused> {
    // A token that is bound to some repositories speaks for none of the rest.
    let leaves = caller.principal().name == *user && caller.reaches_account(organization);
    let held = match leaves {
        true => {
            caller.may_change()?;
            caller.organization(tx, organization, Standing::Reader).await?.0
        }
        false => caller.owned(tx, organization).await?,
    };
    let principal = member(tx, user).await.map_err(|refused| refused.or_unknown("member"))?;
    tx.record(&caller.event_in(held.id, "member_removed", user, "")).await?;
    for (grant, repository) in tx.grants_in(held.id, principal.id).await? {
        let (payload, subject) = (json!({"holder": super::caller::holder(&principal)}).to_string(), grant.target());
        tx.record(&Event { repository, ..caller.event_in(held.id, "grant_taken", &subject, &payload) }).await?;
    }
    match tx.remove_member(&held, &principal).await? {
        OrganizationChange::LastOwner => Err(last_owner(organization)),
        OrganizationChange::Unknown => Err(Refused::Unknown("member")),
        OrganizationChange::Made | OrganizationChange::Held | OrganizationChange::GivesUpDeleted => Ok(()),
    }
}

fn last_owner(organization: &str) -> Refused {
    Refused::Conflict(format!("{organization:?} keeps one owner at least; give it another one first"))
}
