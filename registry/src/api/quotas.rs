//! How much accounts and repositories may hold, and what they hold.

use axum::response::Response;

use super::call::{At, Call, Conditional, Sent, done, put, repository as named, shown};
use super::failure::Failures;
use crate::http::error::Error;
use crate::people::quotas::{self, QuotaBody, SizesView};

/// How much an account may hold; for who governs it.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/quota",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    responses((status = 200, description = "What was asked for", body = QuotaBody), Failures)
)]
pub(super) async fn account_quota(call: Call, At(account): At<String>) -> Result<Response, Error> {
    Ok(shown(&quotas::of_account(&call.app, &call.caller, &account).await?))
}

/// Sets how much an account may hold; for administrators.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{account}/quota",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    request_body = QuotaBody,
    responses((status = 200, description = "How it is now", body = QuotaBody), Failures)
)]
pub(super) async fn put_account_quota(
    call: Conditional,
    At(account): At<String>,
    Sent(sent): Sent<QuotaBody>,
) -> Result<Response, Error> {
    Ok(shown(&quotas::set_of_account(&call.app, &call.caller, &account, sent, call.expected).await?))
}

/// Takes the quota of an account away; for administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/quota",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_account_quota(call: Conditional, At(account): At<String>) -> Result<Response, Error> {
    quotas::set_of_account(&call.app, &call.caller, &account, QuotaBody::default(), call.expected).await?;
    Ok(done())
}

/// How much a repository may hold; for who manages it.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/quota",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    responses((status = 200, description = "What was asked for", body = QuotaBody), Failures)
)]
pub(super) async fn quota(call: Call, At(repository): At<String>) -> Result<Response, Error> {
    Ok(shown(&quotas::of_repository(&call.app, &call.caller, &named(&repository)?).await?))
}

/// Sets how much a repository may hold; for who governs its account.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{repository}/quota",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = QuotaBody,
    responses((status = 200, description = "How it is now", body = QuotaBody), Failures)
)]
pub(super) async fn put_quota(
    call: Conditional,
    At(repository): At<String>,
    Sent(sent): Sent<QuotaBody>,
) -> Result<Response, Error> {
    let name = named(&repository)?;
    Ok(shown(&quotas::set_of_repository(&call.app, &call.caller, &name, sent, call.expected).await?))
}

/// Takes the quota of a repository away; for who governs its account.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{repository}/quota",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_quota(call: Conditional, At(repository): At<String>) -> Result<Response, Error> {
    let name = named(&repository)?;
    quotas::set_of_repository(&call.app, &call.caller, &name, QuotaBody::default(), call.expected).await?;
    Ok(done())
}

/// Counts what an account holds; for who governs it.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/sizes",
    tag = "repositories",
    params(("account" = String, Path, description = "The account's name")),
    responses((status = 200, description = "What was asked for", body = SizesView), Failures)
)]
pub(super) async fn account_sizes(call: Call, At(account): At<String>) -> Result<Response, Error> {
    Ok(put(&quotas::sizes_of_account(&call.app, &call.caller, &account).await?))
}

/// Counts what a repository holds; for who manages it.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/sizes",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    responses((status = 200, description = "What was asked for", body = SizesView), Failures)
)]
pub(super) async fn sizes(call: Call, At(repository): At<String>) -> Result<Response, Error> {
    Ok(put(&quotas::sizes_of_repository(&call.app, &call.caller, &named(&repository)?).await?))
}
