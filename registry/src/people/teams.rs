//! Teams of an organization.

use hallmark_storage::metadata::{Organization, Team, TeamMember, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::organizations::{member, visible};
use super::{Caller, Expected, List, Names, Refused, check_component, check_description, shapes};
use crate::app::App;

/// A team as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamView {
    /// The organization.
    pub organization: String,
    /// Its name, unique in the organization.
    pub name: String,
    /// What it is for.
    pub description: String,
}

/// A team to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Its name.
    #[schema(value_type = shapes::Name)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: String,
}

/// What may be changed about a team.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamChanges {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: Option<String>,
}

/// Somebody in a team as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamMemberView {
    /// The user's name.
    pub user: String,
    /// The directory or provider that put them there; absent when somebody's hand did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

fn show(organization: &str, team: Team) -> TeamView {
    TeamView { organization: organization.to_owned(), name: team.name, description: team.description }
}

/// The teams of an organization.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, organization: &str, wanted: &Names) -> Result<List<TeamView>, Refused> {
    let (limit, names) = wanted.check()?;
    let held = visible(app, caller, organization).await?;
    let rows = app.metadata.teams(held.id, &names, limit + 1).await?;
    Ok(List::cut(rows, limit, |row| row.name.clone(), |team| show(organization, team)))
}

/// One team.
///
/// # Errors
/// [`Refused`].
pub async fn describe(app: &App, caller: &Caller, organization: &str, name: &str) -> Result<TeamView, Refused> {
    found(app, caller, organization, name).await.map(|team| show(organization, team))
}

async fn found(app: &App, caller: &Caller, organization: &str, name: &str) -> Result<Team, Refused> {
    let held = visible(app, caller, organization).await?;
    check_component(name).map_err(|_| Refused::Unknown("team"))?;
    app.metadata.team(held.id, name).await?.ok_or(Refused::Unknown("team"))
}

/// Makes a team.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, organization: &str, new: NewTeam) -> Result<TeamView, Refused> {
    check_component(&new.name)?;
    check_description(&new.description)?;
    app.metadata
        .write((caller.clone(), organization.to_owned(), new), |tx, (caller, organization, new)| {
            Box::pin(async move {
                let held = caller.owned(tx, organization).await?;
                let made = tx.create_team(&held, &new.name, &new.description).await?;
                let made = made
                    .ok_or_else(|| Refused::Conflict(format!("{organization:?} has a team {:?} already", new.name)))?;
                tx.record(&caller.event_in(held.id, "team_created", &new.name, "")).await?;
                Ok(show(organization, made))
            })
        })
        .await
}

/// The team of this name in an organization that the caller owns; both held.
async fn owned(tx: &mut Tx, caller: &Caller, organization: &str, name: &str) -> Result<(Organization, Team), Refused> {
    let held = caller.owned(tx, organization).await?;
    check_component(name).map_err(|_| Refused::Unknown("team"))?;
    let team = tx.team(held.id, name).await?.ok_or(Refused::Unknown("team"))?;
    Ok((held, team))
}

/// Changes a team.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(
    app: &App,
    caller: &Caller,
    (organization, name): (&str, &str),
    changes: TeamChanges,
    expected: Expected,
) -> Result<TeamView, Refused> {
    check_description(changes.description.as_deref().unwrap_or_default())?;
    let input = (caller.clone(), (organization.to_owned(), name.to_owned()), changes, expected);
    app.metadata
        .write(input, |tx, (caller, (organization, name), changes, expected)| {
            Box::pin(async move {
                let (held, mut team) = owned(tx, caller, organization, name).await?;
                expected.hold(&show(organization, team.clone()))?;
                if let Some(description) = changes.description.as_ref().filter(|new| **new != team.description) {
                    tx.describe_team(&team, description).await?;
                    tx.record(&caller.event_in(held.id, "team_changed", name, "")).await?;
                    team.description.clone_from(description);
                }
                Ok(show(organization, team))
            })
        })
        .await
}

/// Removes a team with what was granted to it.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(
    app: &App,
    caller: &Caller,
    (organization, name): (&str, &str),
    expected: Expected,
) -> Result<(), Refused> {
    let input = (caller.clone(), (organization.to_owned(), name.to_owned()), expected);
    app.metadata
        .write(input, |tx, (caller, (organization, name), expected)| {
            Box::pin(async move {
                let (held, team) = owned(tx, caller, organization, name).await?;
                expected.hold(&show(organization, team.clone()))?;
                tx.record(&caller.event_in(held.id, "team_removed", name, "")).await?;
                Ok(tx.remove_team(&held, &team).await?)
            })
        })
        .await
}

/// Who is in a team, by name: each once for everything that put them there.
///
/// # Errors
/// [`Refused`].
pub async fn members(
    app: &App,
    caller: &Caller,
    (organization, name): (&str, &str),
    wanted: &Names,
) -> Result<List<TeamMemberView>, Refused> {
    let ((limit, after), prefix) = (wanted.page.check()?, wanted.prefix()?);
    let after = after.map(|after| after.split_once(' ').unwrap_or((after, "")));
    let team = found(app, caller, organization, name).await?;
    let rows = app.metadata.team_members(team.id, prefix, after, limit + 1).await?;
    Ok(List::cut(rows, limit, |row| format!("{} {}", row.name, row.source).trim_end().to_owned(), show_member))
}

fn show_member(member: TeamMember) -> TeamMemberView {
    TeamMemberView { user: member.name, source: Some(member.source).filter(|source| !source.is_empty()) }
}

/// Puts a member of the organization into a team, by hand.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn add_member(
    app: &App,
    caller: &Caller,
    (organization, name): (&str, &str),
    user: &str,
) -> Result<TeamMemberView, Refused> {
    let input = (caller.clone(), (organization.to_owned(), name.to_owned()), user.to_owned());
    app.metadata
        .write(input, |tx, (caller, (organization, name), user)| {
            Box::pin(async move {
                let (held, team) = owned(tx, caller, organization, name).await?;
                let principal = member(tx, user).await?;
                if tx.membership(held.id, principal.id).await?.is_none() {
                    return Err(Refused::invalid(
                        "user",
                        format!("{user:?} does not belong to {organization:?}; make them a member first"),
                    ));
                }
                if tx.add_to_team(&team, principal.id, "").await? {
                    let payload = json!({"user": user}).to_string();
                    tx.record(&caller.event_in(held.id, "team_member_added", name, &payload)).await?;
                }
                Ok(TeamMemberView { user: user.clone(), source: None })
            })
        })
        .await
}

/// Takes somebody out of a team, as far as somebody's hand put them there.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove_member(
    app: &App,
    caller: &Caller,
    (organization, name): (&str, &str),
    user: &str,
) -> Result<(), Refused> {
    let input = (caller.clone(), (organization.to_owned(), name.to_owned()), user.to_owned());
    app.metadata
        .write(input, |tx, (caller, (organization, name), user)| {
            Box::pin(async move {
                let (held, team) = owned(tx, caller, organization, name).await?;
                let principal = member(tx, user).await.map_err(|refused| refused.or_unknown("member"))?;
                if !tx.remove_from_team(team.id, principal.id, "").await? {
                    return Err(Refused::Unknown("member"));
                }
                let payload = json!({"user": user}).to_string();
                Ok(tx.record(&caller.event_in(held.id, "team_member_removed", name, &payload)).await?)
            })
        })
        .await
}
