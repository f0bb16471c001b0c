//! Organizations: made by administrators, governed by their owners.

use hallmark_storage::metadata::{Organization, OrganizationChange, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::caller::NO_ACCOUNT;
use super::{Caller, Expected, List, Names, Refused, shapes};
use crate::app::App;
use crate::auth::users;
use crate::auth::users::TURNS;

/// An organization as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganizationView {
    /// Its name: the first component of its repositories' names.
    pub name: String,
    /// Whether a push by a member, or by whoever holds `write` on a prefix, makes a repository that does not exist.
    pub create_on_push: bool,
    /// Whether the role `write` lets sign. Where it does not, who administers signs, and who was granted `sign`, alone or beside
    /// `write`.
    pub writers_sign: bool,
}

/// An organization to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// Its name; users and organizations share one list of names.
    #[schema(value_type = shapes::Name)]
    pub name: String,
    /// The user who owns it first; whoever makes it, unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Name>)]
    pub owner: Option<String>,
}

/// What may be changed about an organization.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChanges {
    /// Whether a push makes repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_on_push: Option<bool>,
    /// Whether the role `write` lets sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writers_sign: Option<bool>,
}

impl From<Organization> for OrganizationView {
    fn from(organization: Organization) -> Self {
        let Organization { name, create_on_push, writers_sign, .. } = organization;
        Self { name, create_on_push, writers_sign }
    }
}

/// The organizations that the caller may see: all for who reads everything, else their own.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, wanted: &Names) -> Result<List<OrganizationView>, Refused> {
    let (limit, names) = wanted.check()?;
    let rows = if caller.reads_everything() {
        app.metadata.organizations(&names, limit + 1).await?
    } else {
        let own = app.metadata.organizations_of(caller.principal().id).await?;
        let own = own.into_iter().map(|(organization, _)| organization);
        own.filter(|organization| names.contains(&organization.name)).take(limit as usize + 1).collect()
    };
    Ok(List::cut(rows, limit, |row| row.name.clone(), Into::into))
}

/// One organization.
///
/// # Errors
/// [`Refused::Unknown`] when there is none or the caller may not know of it.
pub async fn describe(app: &App, caller: &Caller, name: &str) -> Result<OrganizationView, Refused> {
    visible(app, caller, name).await.map(Into::into)
}

/// The organization of this name, when the caller may see it.
pub(super) async fn visible(app: &App, caller: &Caller, name: &str) -> Result<Organization, Refused> {
    let unknown = || Refused::Unknown("organization");
    if !users::is_name(name) {
        return Err(unknown());
    }
    let organization = app.metadata.organization(name).await?;
    let id = organization.as_ref().map_or(NO_ACCOUNT, |organization| organization.id);
    let member = app.metadata.membership(id, caller.principal().id).await?;
    organization.filter(|_| caller.standing(name, member).is_some()).ok_or_else(unknown)
}

/// Makes an organization.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, new: NewOrganization) -> Result<OrganizationView, Refused> {
    caller.may_change()?;
    if !caller.administers() {
        return Err(Refused::Forbidden("only an administrator makes organizations"));
    }
    users::check_name(&new.name)?;
    app.metadata.write((caller.clone(), new), |tx, (caller, new)| Box::pin(make(tx, caller, new))).await
}

async fn make(tx: &mut Tx, caller: &Caller, new: &NewOrganization) -> Result<OrganizationView, Refused> {
    caller.stands(tx).await?;
    let owner = match &new.owner {
        Some(owner) => member(tx, owner).await?,
        None => caller.principal().clone(),
    };
    let made = tx.create_organization(&new.name, owner.id, caller.now).await?;
    let made = made.ok_or_else(|| Refused::Conflict(format!("the name {:?} is taken", new.name)))?;
    let payload = json!({"owner": owner.name}).to_string();
    tx.record(&caller.event_in(made.id, "organization_created", &new.name, &payload)).await?;
    Ok(made.into())
}

/// The user of this name, held, to be put into an organization. Who governs one may learn which users there are.
pub(super) async fn member(tx: &mut Tx, name: &str) -> Result<hallmark_storage::metadata::Principal, Refused> {
    let found = if users::is_name(name) { tx.user(name).await? } else { None };
    found.map(|user| user.principal).ok_or_else(|| Refused::invalid("user", format!("there is no user {name:?}")))
}

/// Changes an organization's settings.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    changes: OrganizationChanges,
    expected: Expected,
) -> Result<OrganizationView, Refused> {
    let input = (caller.clone(), name.to_owned(), changes, expected);
    app.metadata
        .write(input, |tx, (caller, name, changes, expected)| {
            Box::pin(async move {
                let before = caller.owned(tx, name).await?;
                expected.hold(&OrganizationView::from(before.clone()))?;
                let mut organization = before.clone();
                let mut told = serde_json::Map::new();
                for (setting, may, is) in [
                    ("create_on_push", changes.create_on_push, &mut organization.create_on_push),
                    ("writers_sign", changes.writers_sign, &mut organization.writers_sign),
                ] {
                    if let Some(may) = may.filter(|may| may != is) {
                        *is = may;
                        told.insert(setting.to_owned(), may.into());
                    }
                }
                if organization != before {
                    tx.set_organization(&organization).await?;
                    let payload = json!(told).to_string();
                    tx.record(&caller.event_in(organization.id, "organization_changed", name, &payload)).await?;
                }
                Ok(organization.into())
            })
        })
        .await
}

/// Removes an organization that has nothing any more.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, name: &str, expected: Expected) -> Result<(), Refused> {
    let held = || Refused::Conflict(format!("{name:?} still has repositories, robots or teams; delete them first"));
    for _ in 0..TURNS {
        let input = (caller.clone(), name.to_owned(), expected.clone());
        let removed: Result<OrganizationChange, Refused> = app
            .metadata
            .write(input, |tx, (caller, name, expected)| {
                Box::pin(async move {
                    let organization = caller.owned(tx, name).await?;
                    expected.hold(&OrganizationView::from(organization.clone()))?;
                    let change = tx.remove_organization(&organization, caller.now).await?;
                    if change == OrganizationChange::Made {
                        tx.record(&caller.event_in(organization.id, "organization_removed", name, "")).await?;
                    }
                    Ok(change)
                })
            })
            .await;
        match removed? {
            // What was deleted in it can no longer be brought back, and is in the way until it is emptied.
            OrganizationChange::GivesUpDeleted => {
                hallmark_gc::empty_deleted_repositories(&app.metadata, caller.now, || true).await?;
            }
            OrganizationChange::Held => return Err(held()),
            OrganizationChange::Made | OrganizationChange::Unknown | OrganizationChange::LastOwner => return Ok(()),
        }
    }
    Err(held())
}
