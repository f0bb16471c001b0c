//! What is kept on purpose, and the rules on what moves and what goes.

use axum::response::Response;

use super::call::{Asked, At, Call, PageQuery, Sent, done, made, put, repository as named};
use super::failure::Failures;
use super::lists::listed;
use crate::http::error::Error;
use crate::people::holds::{self, HoldView, NewHold};
use crate::people::policies::{self, PolicyBody, RetentionPreview};
use crate::people::{List, Page};

/// A page of these.
type HoldList = List<HoldView>;

/// What is held in a repository; for who manages it.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/holds",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        PageQuery
    ),
    responses((status = 200, description = "What was asked for", body = HoldList), Failures)
)]
pub(super) async fn list_holds(
    call: Call,
    At(repository): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Error> {
    let page: Page = page.into();
    Ok(listed(&holds::list(&call.app, &call.caller, &named(&repository)?, &page).await?))
}

/// Holds a manifest: from then on nothing deletes it, neither people nor rules nor the collector.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/holds",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewHold,
    responses((status = 201, description = "The hold", body = HoldView), Failures)
)]
pub(super) async fn place_hold(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewHold>,
) -> Result<Response, Error> {
    Ok(made(&holds::place(&call.app, &call.caller, &named(&repository)?, sent).await?))
}

/// Takes a hold away: a pin by who manages the repository, a legal hold by who governs its account.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{repository}/holds/{digest}/{kind}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("digest" = String, Path, description = "The manifest"),
        ("kind" = String, Path, description = "`pin` or `legal`")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn release_hold(
    call: Call,
    At((repository, digest, kind)): At<(String, String, String)>,
) -> Result<Response, Error> {
    holds::release(&call.app, &call.caller, &named(&repository)?, (&digest, &kind)).await?;
    Ok(done())
}

/// The rules of a repository on what moves and what is kept.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/policy",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    responses((status = 200, description = "What was asked for", body = PolicyBody), Failures)
)]
pub(super) async fn policy(call: Call, At(repository): At<String>) -> Result<Response, Error> {
    Ok(put(&policies::of_repository(&call.app, &call.caller, &named(&repository)?).await?))
}

/// Sets the rules of a repository; empty rules leave those of its account.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{repository}/policy",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = PolicyBody,
    responses((status = 200, description = "How it is now", body = PolicyBody), Failures)
)]
pub(super) async fn put_policy(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<PolicyBody>,
) -> Result<Response, Error> {
    Ok(put(&policies::set_of_repository(&call.app, &call.caller, &named(&repository)?, sent).await?))
}

/// Says what would go now by the retention of a repository, or by that of the rules sent; for who manages it. Nothing is deleted. One
/// is told after another; who waits long is told to come back, and of a repository of more than a million manifests and tags nothing is.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/retention/preview",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = PolicyBody,
    responses((status = 200, description = "What would go", body = RetentionPreview), Failures)
)]
pub(super) async fn preview_retention(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<PolicyBody>,
) -> Result<Response, Error> {
    Ok(put(&policies::preview(&call.app, &call.caller, &named(&repository)?, sent).await?))
}

/// The rules of an account for all of its repositories.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/policy",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    responses((status = 200, description = "What was asked for", body = PolicyBody), Failures)
)]
pub(super) async fn account_policy(call: Call, At(account): At<String>) -> Result<Response, Error> {
    Ok(put(&policies::of_account(&call.app, &call.caller, &account).await?))
}

/// Sets the rules of an account.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/policy",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    request_body = PolicyBody,
    responses((status = 200, description = "How it is now", body = PolicyBody), Failures)
)]
pub(super) async fn put_account_policy(
    call: Call,
    At(account): At<String>,
    Sent(sent): Sent<PolicyBody>,
) -> Result<Response, Error> {
    Ok(put(&policies::set_of_account(&call.app, &call.caller, &account, sent).await?))
}
