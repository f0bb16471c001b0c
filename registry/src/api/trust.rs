//! The roots of trust domains: the registry's, and those of organizations.

use axum::response::Response;

use super::call::{Asked, At, Call, PageQuery, Sent, done, made, shown};
use super::failure::Failures;
use super::lists::listed;
use crate::http::error::Error;
use crate::people::trust::{self, DraftView, NewDraft, NewRoot, NewRotation, NewTrustFile, RootView, TrustFileView};
use crate::people::{List, Page};

/// A page of these.
type TrustFileList = List<TrustFileView>;

/// The root of the registry that holds.
#[utoipa::path(
    get,
    path = "/api/v1/trust/root",
    tag = "trust",
    responses((status = 200, description = "What was asked for", body = RootView), Failures)
)]
pub(super) async fn describe(call: Call) -> Result<Response, Error> {
    let given = trust::describe(&call.app, &call.caller, None).await?;
    Ok(shown(&given))
}

/// Publishes the next root of the registry, signed as the one before it and it itself ask for.
#[utoipa::path(
    post,
    path = "/api/v1/trust/root",
    tag = "trust",
    request_body = NewRoot,
    responses((status = 201, description = "The root that holds now", body = RootView), Failures)
)]
pub(super) async fn publish(call: Call, Sent(sent): Sent<NewRoot>) -> Result<Response, Error> {
    let given = trust::publish(&call.app, &call.caller, None, sent).await?;
    Ok(made(&given))
}

/// Drafts the next root of the registry, to be signed by those who hold it.
#[utoipa::path(
    post,
    path = "/api/v1/trust/root/drafts",
    tag = "trust",
    request_body = NewDraft,
    responses((status = 201, description = "The draft", body = DraftView), Failures)
)]
pub(super) async fn draft(call: Call, Sent(sent): Sent<NewDraft>) -> Result<Response, Error> {
    let given = trust::draft(&call.app, &call.caller, None, sent).await?;
    Ok(made(&given))
}

/// Gives a role of the registry a new key, where the registry holds the root itself.
#[utoipa::path(
    post,
    path = "/api/v1/trust/rotations",
    tag = "trust",
    request_body = NewRotation,
    responses((status = 201, description = "The root that holds now", body = RootView), Failures)
)]
pub(super) async fn rotate(call: Call, Sent(sent): Sent<NewRotation>) -> Result<Response, Error> {
    let given = trust::rotate(&call.app, &call.caller, None, sent).await?;
    Ok(made(&given))
}

/// The root of an organization that has its own that holds.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization}/trust/root",
    tag = "trust",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    responses((status = 200, description = "What was asked for", body = RootView), Failures)
)]
pub(super) async fn describe_of_organization(call: Call, At(organization): At<String>) -> Result<Response, Error> {
    let given = trust::describe(&call.app, &call.caller, Some(&organization)).await?;
    Ok(shown(&given))
}

/// Publishes the next root of an organization that has its own, signed as the one before it and it itself ask for.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization}/trust/root",
    tag = "trust",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    request_body = NewRoot,
    responses((status = 201, description = "The root that holds now", body = RootView), Failures)
)]
pub(super) async fn publish_of_organization(
    call: Call,
    At(organization): At<String>,
    Sent(sent): Sent<NewRoot>,
) -> Result<Response, Error> {
    let given = trust::publish(&call.app, &call.caller, Some(&organization), sent).await?;
    Ok(made(&given))
}

/// Drafts the next root of an organization that has its own, to be signed by those who hold it.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization}/trust/root/drafts",
    tag = "trust",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    request_body = NewDraft,
    responses((status = 201, description = "The draft", body = DraftView), Failures)
)]
pub(super) async fn draft_of_organization(
    call: Call,
    At(organization): At<String>,
    Sent(sent): Sent<NewDraft>,
) -> Result<Response, Error> {
    let given = trust::draft(&call.app, &call.caller, Some(&organization), sent).await?;
    Ok(made(&given))
}

/// Gives a role of an organization that has its own a new key, where the registry holds the root itself.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization}/trust/rotations",
    tag = "trust",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    request_body = NewRotation,
    responses((status = 201, description = "The root that holds now", body = RootView), Failures)
)]
pub(super) async fn rotate_of_organization(
    call: Call,
    At(organization): At<String>,
    Sent(sent): Sent<NewRotation>,
) -> Result<Response, Error> {
    let given = trust::rotate(&call.app, &call.caller, Some(&organization), sent).await?;
    Ok(made(&given))
}

/// Gives an organization a trust domain of its own.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization}/trust",
    tag = "trust",
    params(
        ("organization" = String, Path, description = "The organization's name")
    ),
    responses((status = 201, description = "Its first root", body = RootView), Failures)
)]
pub(super) async fn begin(call: Call, At(organization): At<String>) -> Result<Response, Error> {
    let given = trust::begin(&call.app, &call.caller, &organization).await?;
    Ok(made(&given))
}

/// The files that verifiers need, which anybody reads at `/tuf/`.
#[utoipa::path(
    get,
    path = "/api/v1/trust/files",
    tag = "trust",
    params(
        PageQuery
    ),
    responses((status = 200, description = "What was asked for", body = TrustFileList), Failures)
)]
pub(super) async fn files(call: Call, Asked(page): Asked<PageQuery>) -> Result<Response, Error> {
    let page: Page = page.into();
    Ok(listed(&trust::files(&call.app, &page).await?))
}

/// Puts a file there, for everybody: a trusted root of sigstore, a public key.
#[utoipa::path(
    put,
    path = "/api/v1/trust/files/{name}",
    tag = "trust",
    params(
        ("name" = String, Path, description = "The file's name")
    ),
    request_body = NewTrustFile,
    responses((status = 200, description = "The file", body = TrustFileView), Failures)
)]
pub(super) async fn put_file(
    call: Call,
    At(name): At<String>,
    Sent(sent): Sent<NewTrustFile>,
) -> Result<Response, Error> {
    Ok(shown(&trust::put_file(&call.app, &call.caller, &name, sent).await?))
}

/// Removes a file.
#[utoipa::path(
    delete,
    path = "/api/v1/trust/files/{name}",
    tag = "trust",
    params(
        ("name" = String, Path, description = "The file's name")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_file(call: Call, At(name): At<String>) -> Result<Response, Error> {
    trust::remove_file(&call.app, &call.caller, &name).await?;
    Ok(done())
}
