//! `/organizations` and their members.

use axum::response::Response;

use super::call::{Asked, At, Call, Conditional, Sent, done, made, put, shown};
use super::failure::Failures;
use super::lists::{MembersQuery, NamesQuery, listed};
use crate::http::error::Error;
use crate::people::List;
use crate::people::members::{self, MemberView, Membership};
use crate::people::organizations::{self, NewOrganization, OrganizationChanges, OrganizationView};

/// A page of these.
type MemberList = List<MemberView>;
/// A page of these.
type OrganizationList = List<OrganizationView>;

/// The organizations that the caller may see, by name.
#[utoipa::path(
    get,
    path = "/api/v1/organizations",
    tag = "organizations",
    params(
        NamesQuery
    ),
    responses((status = 200, description = "What was asked for", body = OrganizationList), Failures)
)]
pub(super) async fn list(call: Call, Asked(query): Asked<NamesQuery>) -> Result<Response, Error> {
    let (names,) = query.parts();
    let given = organizations::list(&call.app, &call.caller, &names).await?;
    Ok(listed(&given))
}

/// Makes an organization; for administrators.
#[utoipa::path(
    post,
    path = "/api/v1/organizations",
    tag = "organizations",
    request_body = NewOrganization,
    responses((status = 201, description = "The organization", body = OrganizationView), Failures)
)]
pub(super) async fn create(call: Call, Sent(sent): Sent<NewOrganization>) -> Result<Response, Error> {
    let given = organizations::create(&call.app, &call.caller, sent).await?;
    Ok(made(&given))
}

/// One organization.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    responses((status = 200, description = "What was asked for", body = OrganizationView), Failures)
)]
pub(super) async fn describe(call: Call, At(organization): At<String>) -> Result<Response, Error> {
    let given = organizations::describe(&call.app, &call.caller, &organization).await?;
    Ok(shown(&given))
}

/// Changes an organization's settings.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    request_body = OrganizationChanges,
    responses((status = 200, description = "What was asked for", body = OrganizationView), Failures)
)]
pub(super) async fn change(
    call: Conditional,
    At(organization): At<String>,
    Sent(sent): Sent<OrganizationChanges>,
) -> Result<Response, Error> {
    let given = organizations::change(&call.app, &call.caller, &organization, sent, call.expected).await?;
    Ok(shown(&given))
}

/// Removes an organization that owns nothing any more.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove(call: Conditional, At(organization): At<String>) -> Result<Response, Error> {
    organizations::remove(&call.app, &call.caller, &organization, call.expected).await?;
    Ok(done())
}

/// The members of an organization, by name.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}/members",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        MembersQuery
    ),
    responses((status = 200, description = "What was asked for", body = MemberList), Failures)
)]
pub(super) async fn members(
    call: Call,
    At(organization): At<String>,
    Asked(query): Asked<MembersQuery>,
) -> Result<Response, Error> {
    let (names, role) = query.parts();
    let given = members::list(&call.app, &call.caller, &organization, &names, role).await?;
    Ok(listed(&given))
}

/// Makes a user a member or an owner.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization}/members/{user}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("user" = String, Path, description = "The user's name")
    ),
    request_body = Membership,
    responses((status = 200, description = "What was asked for", body = MemberView), Failures)
)]
pub(super) async fn put_member(
    call: Call,
    At((organization, user)): At<(String, String)>,
    Sent(sent): Sent<Membership>,
) -> Result<Response, Error> {
    let given = members::put(&call.app, &call.caller, (&organization, &user), sent).await?;
    Ok(put(&given))
}

/// Takes a user out of an organization, out of its teams, and takes back what was granted to them in it.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization}/members/{user}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's name"),
        ("user" = String, Path, description = "The user's name")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_member(
    call: Call,
    At((organization, user)): At<(String, String)>,
) -> Result<Response, Error> {
    members::remove(&call.app, &call.caller, &organization, &user).await?;
    Ok(done())
}
