//! Teams of an organization.

use axum::response::Response;

use super::call::{Asked, At, Call, Conditional, Sent, done, made, shown};
use super::failure::Failures;
use super::lists::{NamesQuery, listed};
use crate::http::error::Error;
use crate::people::List;
use crate::people::teams::{self, NewTeam, TeamChanges, TeamMemberView, TeamView};

/// A page of these.
type TeamMemberList = List<TeamMemberView>;
/// A page of these.
type TeamList = List<TeamView>;

/// The teams of an organization, by name.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}/teams",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        NamesQuery
    ),
    responses((status = 200, description = "What was asked for", body = TeamList), Failures)
)]
pub(super) async fn list(
    call: Call,
    At(organization): At<String>,
    Asked(query): Asked<NamesQuery>,
) -> Result<Response, Error> {
    let (names,) = query.parts();
    let given = teams::list(&call.app, &call.caller, &organization, &names).await?;
    Ok(listed(&given))
}

/// Makes a team.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization}/teams",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    request_body = NewTeam,
    responses((status = 201, description = "The team", body = TeamView), Failures)
)]
pub(super) async fn create(
    call: Call,
    At(organization): At<String>,
    Sent(sent): Sent<NewTeam>,
) -> Result<Response, Error> {
    let given = teams::create(&call.app, &call.caller, &organization, sent).await?;
    Ok(made(&given))
}

/// One team.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}/teams/{team}",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name")
    ),
    responses((status = 200, description = "What was asked for", body = TeamView), Failures)
)]
pub(super) async fn describe(call: Call, At((organization, team)): At<(String, String)>) -> Result<Response, Error> {
    let given = teams::describe(&call.app, &call.caller, &organization, &team).await?;
    Ok(shown(&given))
}

/// Changes a team.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization}/teams/{team}",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    request_body = TeamChanges,
    responses((status = 200, description = "What was asked for", body = TeamView), Failures)
)]
pub(super) async fn change(
    call: Conditional,
    At((organization, team)): At<(String, String)>,
    Sent(sent): Sent<TeamChanges>,
) -> Result<Response, Error> {
    let given = teams::change(&call.app, &call.caller, (&organization, &team), sent, call.expected).await?;
    Ok(shown(&given))
}

/// Removes a team with all that was granted to it.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization}/teams/{team}",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove(
    call: Conditional,
    At((organization, team)): At<(String, String)>,
) -> Result<Response, Error> {
    teams::remove(&call.app, &call.caller, (&organization, &team), call.expected).await?;
    Ok(done())
}

/// Who is in a team, by name.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}/teams/{team}/members",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name"),
        NamesQuery
    ),
    responses((status = 200, description = "What was asked for", body = TeamMemberList), Failures)
)]
pub(super) async fn members(
    call: Call,
    At((organization, team)): At<(String, String)>,
    Asked(query): Asked<NamesQuery>,
) -> Result<Response, Error> {
    let (names,) = query.parts();
    let given = teams::members(&call.app, &call.caller, (&organization, &team), &names).await?;
    Ok(listed(&given))
}

/// Puts a member of the organization into a team.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization}/teams/{team}/members/{user}",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name"),
        ("user" = String, Path, description = "The user's name")
    ),
    responses((status = 200, description = "What was asked for", body = TeamMemberView), Failures)
)]
pub(super) async fn add_member(
    call: Call,
    At((organization, team, user)): At<(String, String, String)>,
) -> Result<Response, Error> {
    let given = teams::add_member(&call.app, &call.caller, (&organization, &team), &user).await?;
    Ok(shown(&given))
}

/// Takes somebody out of a team.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization}/teams/{team}/members/{user}",
    tag = "teams",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("team" = String, Path, description = "The team's name"),
        ("user" = String, Path, description = "The user's name")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_member(
    call: Call,
    At((organization, team, user)): At<(String, String, String)>,
) -> Result<Response, Error> {
    teams::remove_member(&call.app, &call.caller, (&organization, &team), &user).await?;
    Ok(done())
}
