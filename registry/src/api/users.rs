//! `/me` and `/users`.

use axum::response::Response;

use super::call::{Asked, At, Call, Conditional, PageQuery, Sent, done, made, shown};
use super::failure::Failures;
use super::lists::{UsersQuery, listed};
use crate::http::error::Error;
use crate::people::List;
use crate::people::certificates::{self, CertificateView, NewCertificate};
use crate::people::tokens::{self, MadeToken, NewToken, TokenView};
use crate::people::users::{self, MeView, NewPassword, NewUser, UserChanges, UserView};

/// A page of these.
type CertificateList = List<CertificateView>;
/// A page of these.
type UserList = List<UserView>;

/// Who calls, and where they belong.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "users",
    responses((status = 200, description = "What was asked for", body = MeView), Failures)
)]
pub(super) async fn me(call: Call) -> Result<Response, Error> {
    let given = users::me(&call.app, &call.caller).await?;
    Ok(shown(&given))
}

/// The caller's personal access tokens.
#[utoipa::path(
    get,
    path = "/api/v1/me/tokens",
    tag = "users",
    responses((status = 200, description = "What was asked for", body = Vec<TokenView>), Failures)
)]
pub(super) async fn list_tokens(call: Call) -> Result<Response, Error> {
    let given = tokens::list(&call.app, &call.caller).await?;
    Ok(shown(&given))
}

/// Makes a personal access token; its secret is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/me/tokens",
    tag = "users",
    request_body = NewToken,
    responses((status = 201, description = "The token with its secret", body = MadeToken), Failures)
)]
pub(super) async fn create_token(call: Call, Sent(sent): Sent<NewToken>) -> Result<Response, Error> {
    let given = tokens::create(&call.app, &call.caller, sent).await?;
    Ok(made(&given))
}

/// Ends a personal access token at once, and what was made from it.
#[utoipa::path(
    delete,
    path = "/api/v1/me/tokens/{id}",
    tag = "users",
    params(
        ("id" = i64, Path, description = "Its id")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn revoke_token(call: Call, At(id): At<i64>) -> Result<Response, Error> {
    tokens::revoke(&call.app, &call.caller, id).await?;
    Ok(done())
}

/// All users, by name; for administrators and auditors.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    params(
        UsersQuery
    ),
    responses((status = 200, description = "What was asked for", body = UserList), Failures)
)]
pub(super) async fn list(call: Call, Asked(query): Asked<UsersQuery>) -> Result<Response, Error> {
    let (names, disabled) = query.parts();
    let given = users::list(&call.app, &call.caller, &names, disabled).await?;
    Ok(listed(&given))
}

/// Makes a user, who owns the repositories below their name.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    request_body = NewUser,
    responses((status = 201, description = "The user", body = UserView), Failures)
)]
pub(super) async fn create(call: Call, Sent(sent): Sent<NewUser>) -> Result<Response, Error> {
    let given = users::create(&call.app, &call.caller, sent).await?;
    Ok(made(&given))
}

/// One user.
#[utoipa::path(
    get,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(
        ("user" = String, Path, description = "The user's name")
    ),
    responses((status = 200, description = "What was asked for", body = UserView), Failures)
)]
pub(super) async fn describe(call: Call, At(user): At<String>) -> Result<Response, Error> {
    let given = users::describe(&call.app, &call.caller, &user).await?;
    Ok(shown(&given))
}

/// Changes a user's role, or disables them.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(
        ("user" = String, Path, description = "The user's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    request_body = UserChanges,
    responses((status = 200, description = "What was asked for", body = UserView), Failures)
)]
pub(super) async fn change(
    call: Conditional,
    At(user): At<String>,
    Sent(sent): Sent<UserChanges>,
) -> Result<Response, Error> {
    let given = users::change(&call.app, &call.caller, &user, sent, call.expected).await?;
    Ok(shown(&given))
}

/// Removes a user who owns nothing any more.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(
        ("user" = String, Path, description = "The user's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove(call: Conditional, At(user): At<String>) -> Result<Response, Error> {
    users::remove(&call.app, &call.caller, &user, call.expected).await?;
    Ok(done())
}

/// Sets a user's password; every token made before stops working.
#[utoipa::path(
    put,
    path = "/api/v1/users/{user}/password",
    tag = "users",
    params(
        ("user" = String, Path, description = "The user's name")
    ),
    request_body = NewPassword,
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn set_password(
    call: Call,
    At(user): At<String>,
    Sent(sent): Sent<NewPassword>,
) -> Result<Response, Error> {
    users::set_password(&call.app, &call.caller, &user, sent).await?;
    Ok(done())
}

/// Ends every token and refresh token of a user; the password stays.
#[utoipa::path(
    post,
    path = "/api/v1/users/{user}/logout",
    tag = "users",
    params(
        ("user" = String, Path, description = "The user's name")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn log_out(call: Call, At(user): At<String>) -> Result<Response, Error> {
    users::log_out(&call.app, &call.caller, &user).await?;
    Ok(done())
}

/// Whose client certificates are whose.
#[utoipa::path(
    get,
    path = "/api/v1/certificates",
    tag = "users",
    params(PageQuery),
    responses((status = 200, description = "What was asked for", body = CertificateList), Failures)
)]
pub(super) async fn certificates(call: Call, Asked(page): Asked<PageQuery>) -> Result<Response, Error> {
    let given = certificates::list(&call.app, &call.caller, &page.into()).await?;
    Ok(listed(&given))
}

/// Says whose client certificates those are that match; for administrators.
#[utoipa::path(
    post,
    path = "/api/v1/certificates",
    tag = "users",
    request_body = NewCertificate,
    responses((status = 201, description = "The rule", body = CertificateView), Failures)
)]
pub(super) async fn create_certificate(call: Call, Sent(sent): Sent<NewCertificate>) -> Result<Response, Error> {
    let given = certificates::create(&call.app, &call.caller, sent).await?;
    Ok(made(&given))
}

/// Removes a rule about client certificates.
#[utoipa::path(
    delete,
    path = "/api/v1/certificates/{id}",
    tag = "users",
    params(("id" = i64, Path, description = "Its id")),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_certificate(call: Call, At(id): At<i64>) -> Result<Response, Error> {
    certificates::remove(&call.app, &call.caller, id).await?;
    Ok(done())
}
