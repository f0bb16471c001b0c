//! Repositories, grants, explanations and the log.

use axum::response::Response;
use serde::Deserialize;

use super::call::{
    Asked, At, Call, Conditional, IdPageQuery, Sent, TextAndIdPageQuery, done, made, put, repository as named, shown,
};
use super::failure::Failures;
use super::lists::{RepositoriesQuery, listed};
use crate::access::{Pattern, PatternInvalid};
use crate::http::error::Error;
use crate::people::events::{self, EventView, Wanted};
use crate::people::explain::{self, Act, Explanation};
use crate::people::grants::{self, GrantView, HolderName, NewGrant};
use crate::people::repositories::{self, NewRepository, RepositoryChanges, RepositoryLine, RepositoryView};
use crate::people::transfer::{self, NewPlace};
use crate::people::{List, Page, Refused, shapes};

/// A page of these.
type EventList = List<EventView>;
/// A page of these.
type GrantList = List<GrantView>;
/// A page of these.
type RepositoryList = List<RepositoryLine>;

/// The repositories that the caller may see, by name.
#[utoipa::path(
    get,
    path = "/api/v1/repositories",
    tag = "repositories",
    params(
        RepositoriesQuery
    ),
    responses((status = 200, description = "What was asked for", body = RepositoryList), Failures)
)]
pub(super) async fn list(call: Call, Asked(query): Asked<RepositoriesQuery>) -> Result<Response, Error> {
    let (names, visibility) = query.parts();
    let given = repositories::list(&call.app, &call.caller, &names, visibility).await?;
    Ok(listed(&given))
}

/// Makes a repository.
#[utoipa::path(
    post,
    path = "/api/v1/repositories",
    tag = "repositories",
    request_body = NewRepository,
    responses((status = 201, description = "The repository", body = RepositoryView), Failures)
)]
pub(super) async fn create(call: Call, Sent(sent): Sent<NewRepository>) -> Result<Response, Error> {
    let given = repositories::create(&call.app, &call.caller, sent).await?;
    Ok(made(&given))
}

/// One repository.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    responses((status = 200, description = "What was asked for", body = RepositoryView), Failures)
)]
pub(super) async fn describe(call: Call, At(repository): At<String>) -> Result<Response, Error> {
    let given = repositories::describe(&call.app, &call.caller, &named(&repository)?).await?;
    Ok(shown(&given))
}

/// Describes, opens or closes, or renames a repository.
#[utoipa::path(
    patch,
    path = "/api/v1/repositories/{repository}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    request_body = RepositoryChanges,
    responses((status = 200, description = "What was asked for", body = RepositoryView), Failures)
)]
pub(super) async fn change(
    call: Conditional,
    At(repository): At<String>,
    Sent(sent): Sent<RepositoryChanges>,
) -> Result<Response, Error> {
    let name = named(&repository)?;
    let given = repositories::change(&call.app, &call.caller, &name, sent, call.expected).await?;
    Ok(shown(&given))
}

/// Hands a repository over to another account. What it holds goes along; grants on it, rules, robots that are bound to it, its quota and its
/// trust metadata do not. The old name answers as one that nobody has from then on, and rests.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{repository}/transfer",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F")
    ),
    request_body = NewPlace,
    responses((status = 200, description = "The repository in its new account", body = RepositoryView), Failures)
)]
pub(super) async fn transfer(
    call: Call,
    At(repository): At<String>,
    Sent(sent): Sent<NewPlace>,
) -> Result<Response, Error> {
    let given = transfer::transfer(&call.app, &call.caller, &named(&repository)?, sent).await?;
    Ok(shown(&given))
}

/// Deletes a repository with all that it holds, at once.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{repository}",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn delete(call: Conditional, At(repository): At<String>) -> Result<Response, Error> {
    repositories::delete(&call.app, &call.caller, &named(&repository)?, call.expected).await?;
    Ok(done())
}

/// What was granted on one repository.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{repository}/grants",
    tag = "repositories",
    params(
        ("repository" = String, Path, description = "The repository's name, its slashes written as %2F"),
        IdPageQuery
    ),
    responses((status = 200, description = "What was asked for", body = GrantList), Failures)
)]
pub(super) async fn grants(
    call: Call,
    At(repository): At<String>,
    Asked(page): Asked<IdPageQuery>,
) -> Result<Response, Error> {
    let page = page.into();
    let given = grants::on(&call.app, &call.caller, &named(&repository)?, &page).await?;
    Ok(listed(&given))
}

/// What was granted on prefixes of an account.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/grants",
    tag = "repositories",
    params(
        ("account" = String, Path, description = "The account's name"),
        TextAndIdPageQuery
    ),
    responses((status = 200, description = "What was asked for", body = GrantList), Failures)
)]
pub(super) async fn account_grants(
    call: Call,
    At(account): At<String>,
    Asked(page): Asked<TextAndIdPageQuery>,
) -> Result<Response, Error> {
    let page = page.into();
    let given = grants::in_account(&call.app, &call.caller, &account, &page).await?;
    Ok(listed(&given))
}

/// Gives rights on a repository or a prefix, in the place of those that were given on it before.
#[utoipa::path(
    put,
    path = "/api/v1/grants/{on}/{holder}",
    tag = "repositories",
    params(
        ("on" = shapes::PatternText, Path, description = "A repository or a prefix (acme/web-*), its slashes written as %2F"),
        ("holder" = shapes::HolderText, Path, description = "user:ann, team:acme/dev or robot:acme+ci, percent-encoded")
    ),
    request_body = NewGrant,
    responses((status = 200, description = "What was asked for", body = GrantView), Failures)
)]
pub(super) async fn put_grant(
    call: Call,
    At((on, holder)): At<(String, String)>,
    Sent(sent): Sent<NewGrant>,
) -> Result<Response, Error> {
    let target = target(&on, &holder)?;
    let given = grants::put(&call.app, &call.caller, target, sent).await?;
    Ok(put(&given))
}

/// Takes rights back.
#[utoipa::path(
    delete,
    path = "/api/v1/grants/{on}/{holder}",
    tag = "repositories",
    params(
        ("on" = shapes::PatternText, Path, description = "A repository or a prefix (acme/web-*), its slashes written as %2F"),
        ("holder" = shapes::HolderText, Path, description = "user:ann, team:acme/dev or robot:acme+ci, percent-encoded")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn take_grant(call: Call, At((on, holder)): At<(String, String)>) -> Result<Response, Error> {
    let (on, holder) = target(&on, &holder)?;
    grants::take(&call.app, &call.caller, on, holder).await?;
    Ok(done())
}

fn target(on: &str, holder: &str) -> Result<(Pattern, HolderName), Error> {
    let invalid = |error: PatternInvalid| Refused::Invalid { field: "on", why: error.to_string() };
    Ok((on.parse().map_err(invalid)?, holder.parse::<HolderName>()?))
}

/// What is to be explained.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// Who: `user:ann` or `robot:acme+ci`; anybody, when absent.
    #[param(value_type = Option<shapes::SubjectText>)]
    subject: Option<String>,
    /// What they would do: pull, push, delete, sign or admin.
    #[param(pattern = "^(pull|push|delete|sign|admin)$")]
    action: String,
    /// Where.
    #[param(value_type = shapes::Repository)]
    repository: String,
}

/// Why somebody may, or may not, do something in a repository.
#[utoipa::path(
    get,
    path = "/api/v1/explain",
    tag = "repositories",
    params(
        ExplainQuery
    ),
    responses((status = 200, description = "What was asked for", body = Explanation), Failures)
)]
pub(super) async fn explain(call: Call, Asked(query): Asked<ExplainQuery>) -> Result<Response, Error> {
    let subject = query.subject.as_deref().map(str::parse::<HolderName>).transpose()?;
    let (act, name) = (query.action.parse::<Act>()?, named(&query.repository)?);
    let given = explain::explain(&call.app, &call.caller, subject.as_ref(), (act, &name)).await?;
    Ok(shown(&given))
}

/// Which events are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// At most so many; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before. A page may be empty though others follow.
    #[param(pattern = "^[0-9]{0,18}$")]
    after: Option<String>,
    /// Of this kind.
    #[param(pattern = "^[a-z_]*$", max_length = 64)]
    kind: Option<String>,
    /// Done by `user:ann` or `robot:acme+ci`.
    #[param(value_type = Option<shapes::ActorText>)]
    actor: Option<String>,
    /// In this account.
    #[param(value_type = Option<shapes::Name>)]
    account: Option<String>,
    /// In this repository.
    #[param(value_type = Option<shapes::Repository>)]
    repository: Option<String>,
    /// Not before this time (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// What happened, the oldest first; an owner names their organization.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "repositories",
    params(
        EventQuery
    ),
    responses((status = 200, description = "What was asked for", body = EventList), Failures)
)]
pub(super) async fn events(call: Call, Asked(query): Asked<EventQuery>) -> Result<Response, Error> {
    let EventQuery { limit, after, kind, actor, account, repository, since, until } = query;
    let wanted = Wanted { kind, actor, account, repository, since, until };
    let given = events::list(&call.app, &call.caller, &wanted, &Page { limit, after }).await?;
    Ok(listed(&given))
}
