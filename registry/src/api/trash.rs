//! What was deleted, and its way back.

use axum::response::Response;
use serde::Deserialize;

use super::call::{Asked, At, Call, IdPageQuery, PageQuery, Sent, done, put, repository as named, shown};
use super::failure::Failures;
use super::lists::listed;
use crate::http::error::Error;
use crate::people::trash::{
    self, DeletedRepositoryView, NewRepositoryUndelete, NewUndelete, TagMoveView, TrashView, UndeletedView,
};
use crate::people::{List, Page};

/// A page of these.
type TrashList = List<TrashView>;
/// A page of these.
type TagMoveList = List<TagMoveView>;
/// A page of these.
type DeletedRepositoryList = List<DeletedRepositoryView>;

/// Which moves of a tag are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Only the move that held at this time (RFC 3339).
    #[param(format = "date-time")]
    at: Option<String>,
    /// At most so many entries; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(pattern = r"^[0-9]{0,18}$")]
    after: Option<String>,
}

/// Manifests of a repository that were deleted and can be brought back, by digest.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/trash",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        PageQuery
    ),
    responses((status = 200, description = "What was asked for", body = TrashList), Failures)
)]
pub(super) async fn list(
    call: Call,
    At(repository): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Error> {
    let page: Page = page.into();
    let given = trash::list(&call.app, &call.caller, &named(&repository)?, &page).await?;
    Ok(listed(&given))
}

/// Brings a deleted or overwritten tag back, or a deleted manifest. What was signed of its tags is to be signed anew.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/undelete",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewUndelete,
    responses((status = 200, description = "What is back", body = UndeletedView), Failures)
)]
pub(super) async fn undelete(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewUndelete>,
) -> Result<Response, Error> {
    let given = trash::undelete(&call.app, &call.caller, &named(&repository)?, sent).await?;
    Ok(put(&given))
}

/// Where a tag pointed when, the latest move first.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/tags/{tag}/history",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("tag" = String, Path, description = "The tag"),
        HistoryQuery
    ),
    responses((status = 200, description = "What was asked for", body = TagMoveList), Failures)
)]
pub(super) async fn history(
    call: Call,
    At((repository, tag)): At<(String, String)>,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Response, Error> {
    let page = Page { limit: query.limit, after: query.after };
    let name = named(&repository)?;
    let given = trash::history(&call.app, &call.caller, (&name, &tag), query.at.as_deref(), &page).await?;
    Ok(shown(&given))
}

/// Repositories of an account that were deleted and can be brought back.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/trash",
    tag = "repositories",
    params(
        ("account" = String, Path, description = "The account's name"),
        IdPageQuery
    ),
    responses((status = 200, description = "What was asked for", body = DeletedRepositoryList), Failures)
)]
pub(super) async fn deleted(
    call: Call,
    At(account): At<String>,
    Asked(page): Asked<IdPageQuery>,
) -> Result<Response, Error> {
    let page: Page = page.into();
    let given = trash::deleted(&call.app, &call.caller, &account, &page).await?;
    Ok(listed(&given))
}

/// Brings a deleted repository back, private, with all that it held.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/undelete",
    tag = "repositories",
    params(
        ("account" = String, Path, description = "The account's name")
    ),
    request_body = NewRepositoryUndelete,
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn undelete_repository(
    call: Call,
    At(account): At<String>,
    Sent(sent): Sent<NewRepositoryUndelete>,
) -> Result<Response, Error> {
    trash::undelete_repository(&call.app, &call.caller, &account, sent).await?;
    Ok(done())
}
