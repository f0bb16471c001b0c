//! What tags are vouched to mean.

use axum::response::Response;

use super::call::{Asked, At, Call, IdPageQuery, PageQuery, Sent, done, made, repository as named};
use super::failure::Failures;
use super::lists::listed;
use crate::http::error::Error;
use crate::people::sign_rules::{self, NewCheck, NewSignRule, SignRuleView};
use crate::people::signatures::{self, NewSignature, SignatureView};
use crate::people::signing_keys::{self, NewSigningKey, SigningKeyView};
use crate::people::{List, Page};

/// A page of these.
type SignatureList = List<SignatureView>;
/// A page of these.
type SignRuleList = List<SignRuleView>;

/// What is vouched for in a repository, by tag.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/signatures",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        PageQuery
    ),
    responses((status = 200, description = "What was asked for", body = SignatureList), Failures)
)]
pub(super) async fn list(
    call: Call,
    At(repository): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Response, Error> {
    let page: Page = page.into();
    let given = signatures::list(&call.app, &call.caller, &named(&repository)?, &page).await?;
    Ok(listed(&given))
}

/// Vouches for what a tag means: it is published within a second or two, until the tag moves.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/signatures",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewSignature,
    responses((status = 201, description = "The signature", body = SignatureView), Failures)
)]
pub(super) async fn create(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewSignature>,
) -> Result<Response, Error> {
    let given = signatures::create(&call.app, &call.caller, &named(&repository)?, sent).await?;
    Ok(made(&given))
}

/// Takes back what was vouched for a tag.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{repository}/signatures/{tag}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("tag" = String, Path, description = "The tag")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn withdraw(call: Call, At((repository, tag)): At<(String, String)>) -> Result<Response, Error> {
    signatures::withdraw(&call.app, &call.caller, &named(&repository)?, &tag).await?;
    Ok(done())
}

/// What the registry signs by itself in a repository, for who manages it.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/sign-rules",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        IdPageQuery
    ),
    responses((status = 200, description = "What was asked for", body = SignRuleList), Failures)
)]
pub(super) async fn rules(
    call: Call,
    At(repository): At<String>,
    Asked(page): Asked<IdPageQuery>,
) -> Result<Response, Error> {
    let page: Page = page.into();
    Ok(listed(&sign_rules::list(&call.app, &call.caller, &named(&repository)?, &page).await?))
}

/// Lets the registry sign what a holder pushes, or what a check passed that they report.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/sign-rules",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewSignRule,
    responses((status = 201, description = "The rule", body = SignRuleView), Failures)
)]
pub(super) async fn create_rule(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewSignRule>,
) -> Result<Response, Error> {
    Ok(made(&sign_rules::create(&call.app, &call.caller, &named(&repository)?, sent).await?))
}

/// Removes a rule; what it has signed stays signed.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{repository}/sign-rules/{id}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("id" = i64, Path, description = "The rule's id")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_rule(call: Call, At((repository, id)): At<(String, i64)>) -> Result<Response, Error> {
    sign_rules::remove(&call.app, &call.caller, &named(&repository)?, id).await?;
    Ok(done())
}

/// Reports that a manifest has passed a check that a rule of the repository names, with the holder who reports.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/checks",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewCheck,
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn report_check(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewCheck>,
) -> Result<Response, Error> {
    sign_rules::report(&call.app, &call.caller, &named(&repository)?, sent).await?;
    Ok(done())
}

/// Gives the public key by which the registry signs, as a signer of the repository's Notary collections, what is vouched for. It
/// signs where their owner names it: `docker trust signer add --key`.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/signing-key",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewSigningKey,
    responses((status = 201, description = "The key", body = SigningKeyView), Failures)
)]
pub(super) async fn give_key(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewSigningKey>,
) -> Result<Response, Error> {
    Ok(made(&signing_keys::give(&call.app, &call.caller, &named(&repository)?, sent).await?))
}
