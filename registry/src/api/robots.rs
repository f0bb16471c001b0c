//! Robots of an account, their secrets and rules.

use axum::response::Response;

use super::call::{Asked, At, Call, Conditional, Sent, done, made, shown};
use super::failure::Failures;
use super::lists::{NamesQuery, listed};
use crate::http::error::Error;
use crate::people::List;
use crate::people::robots::{self, NewRobot, RobotChanges, RobotView, Rotation, SecretLine, SecretView};
use crate::people::rules::{self, NewRule, RuleView};

/// A page of these.
type RobotList = List<RobotView>;

/// The robots of an account, by name.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/robots",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        NamesQuery
    ),
    responses((status = 200, description = "What was asked for", body = RobotList), Failures)
)]
pub(super) async fn list(
    call: Call,
    At(account): At<String>,
    Asked(query): Asked<NamesQuery>,
) -> Result<Response, Error> {
    let (names,) = query.parts();
    let given = robots::list(&call.app, &call.caller, &account, &names).await?;
    Ok(listed(&given))
}

/// Makes a robot, which has no secret yet.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/robots",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name")
    ),
    request_body = NewRobot,
    responses((status = 201, description = "The robot", body = RobotView), Failures)
)]
pub(super) async fn create(call: Call, At(account): At<String>, Sent(sent): Sent<NewRobot>) -> Result<Response, Error> {
    let given = robots::create(&call.app, &call.caller, &account, sent).await?;
    Ok(made(&given))
}

/// One robot.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/robots/{robot}",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name")
    ),
    responses((status = 200, description = "What was asked for", body = RobotView), Failures)
)]
pub(super) async fn describe(call: Call, At((account, robot)): At<(String, String)>) -> Result<Response, Error> {
    let given = robots::describe(&call.app, &call.caller, &account, &robot).await?;
    Ok(shown(&given))
}

/// Changes a robot, or disables it.
#[utoipa::path(
    patch,
    path = "/api/v1/accounts/{account}/robots/{robot}",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    request_body = RobotChanges,
    responses((status = 200, description = "What was asked for", body = RobotView), Failures)
)]
pub(super) async fn change(
    call: Conditional,
    At((account, robot)): At<(String, String)>,
    Sent(sent): Sent<RobotChanges>,
) -> Result<Response, Error> {
    let given = robots::change(&call.app, &call.caller, (&account, &robot), sent, call.expected).await?;
    Ok(shown(&given))
}

/// Removes a robot with its secrets, rules and grants.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/robots/{robot}",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read; refused with 412 when it is another by now")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove(call: Conditional, At((account, robot)): At<(String, String)>) -> Result<Response, Error> {
    robots::remove(&call.app, &call.caller, (&account, &robot), call.expected).await?;
    Ok(done())
}

/// A robot's secrets, without themselves.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/robots/{robot}/secrets",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name")
    ),
    responses((status = 200, description = "What was asked for", body = Vec<SecretLine>), Failures)
)]
pub(super) async fn secrets(call: Call, At((account, robot)): At<(String, String)>) -> Result<Response, Error> {
    let given = robots::secrets_of(&call.app, &call.caller, &account, &robot).await?;
    Ok(shown(&given))
}

/// Makes a new secret, shown this once; those before it go on for a while.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/robots/{robot}/secrets",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name")
    ),
    request_body = Rotation,
    responses((status = 201, description = "The secret", body = SecretView), Failures)
)]
pub(super) async fn rotate(
    call: Call,
    At((account, robot)): At<(String, String)>,
    Sent(sent): Sent<Rotation>,
) -> Result<Response, Error> {
    let given = robots::rotate(&call.app, &call.caller, (&account, &robot), sent).await?;
    Ok(made(&given))
}

/// Ends a secret at once.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/robots/{robot}/secrets/{id}",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name"),
        ("id" = i64, Path, description = "Its id")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn revoke(call: Call, At((account, robot, id)): At<(String, String, i64)>) -> Result<Response, Error> {
    robots::revoke(&call.app, &call.caller, (&account, &robot), id).await?;
    Ok(done())
}

/// Which workloads are this robot.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/robots/{robot}/rules",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name")
    ),
    responses((status = 200, description = "What was asked for", body = Vec<RuleView>), Failures)
)]
pub(super) async fn rules(call: Call, At((account, robot)): At<(String, String)>) -> Result<Response, Error> {
    let given = rules::list(&call.app, &call.caller, &account, &robot).await?;
    Ok(shown(&given))
}

/// Lets a workload of a trusted issuer be this robot.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/robots/{robot}/rules",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name")
    ),
    request_body = NewRule,
    responses((status = 201, description = "The rule", body = RuleView), Failures)
)]
pub(super) async fn create_rule(
    call: Call,
    At((account, robot)): At<(String, String)>,
    Sent(sent): Sent<NewRule>,
) -> Result<Response, Error> {
    let given = rules::create(&call.app, &call.caller, (&account, &robot), sent).await?;
    Ok(made(&given))
}

/// Removes a rule.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{account}/robots/{robot}/rules/{id}",
    tag = "robots",
    params(
        ("account" = String, Path, description = "The account's name"),
        ("robot" = String, Path, description = "The robot's name"),
        ("id" = i64, Path, description = "Its id")
    ),
    responses((status = 204, description = "Done"), Failures)
)]
pub(super) async fn remove_rule(
    call: Call,
    At((account, robot, id)): At<(String, String, i64)>,
) -> Result<Response, Error> {
    rules::remove(&call.app, &call.caller, (&account, &robot), id).await?;
    Ok(done())
}
