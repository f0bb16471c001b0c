//! The document that describes the API: made from the handlers and from what they read and show.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, OpenApiVersion};
use utoipa::{Modify, OpenApi};

use super::failure::{Failure, FailureLine};
use super::{gc, keeping, organizations, quotas, repositories, robots, signatures, teams, trash, trust, users};
use crate::people::shapes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hallmark",
        description = "Users, organizations, teams, robots, repositories and their rights. Sign in with a name and \
                       password, or with a personal access token (as the password, or as a bearer token). Failures have one \
                       envelope. A thing's ETag sent back as If-Match makes a change happen only to what was read; a change of what has none is refused with If-Match."
    ),
    paths(
        users::me,
        users::list_tokens,
        users::create_token,
        users::revoke_token,
        users::list,
        users::create,
        users::describe,
        users::change,
        users::remove,
        users::set_password,
        users::log_out,
        users::certificates,
        users::create_certificate,
        users::remove_certificate,
        organizations::list,
        organizations::create,
        organizations::describe,
        organizations::change,
        organizations::remove,
        organizations::members,
        organizations::put_member,
        organizations::remove_member,
        teams::list,
        teams::create,
        teams::describe,
        teams::change,
        teams::remove,
        teams::members,
        teams::add_member,
        teams::remove_member,
        robots::list,
        robots::create,
        robots::describe,
        robots::change,
        robots::remove,
        robots::secrets,
        robots::rotate,
        robots::revoke,
        robots::rules,
        robots::create_rule,
        robots::remove_rule,
        repositories::list,
        repositories::create,
        repositories::describe,
        repositories::change,
        repositories::delete,
        repositories::transfer,
        repositories::grants,
        signatures::list,
        signatures::create,
        signatures::withdraw,
        signatures::rules,
        signatures::create_rule,
        signatures::remove_rule,
        signatures::report_check,
        signatures::give_key,
        trust::describe,
        trust::publish,
        trust::draft,
        trust::rotate,
        trust::begin,
        trust::files,
        trust::put_file,
        trust::remove_file,
        trust::describe_of_organization,
        trust::publish_of_organization,
        trust::draft_of_organization,
        trust::rotate_of_organization,
        trash::list,
        trash::undelete,
        trash::history,
        trash::deleted,
        trash::undelete_repository,
        gc::status,
        gc::change,
        gc::run,
        gc::explain,
        keeping::list_holds,
        keeping::place_hold,
        keeping::release_hold,
        keeping::policy,
        keeping::put_policy,
        keeping::preview_retention,
        keeping::account_policy,
        keeping::put_account_policy,
        quotas::quota,
        quotas::put_quota,
        quotas::remove_quota,
        quotas::sizes,
        quotas::account_quota,
        quotas::put_account_quota,
        quotas::remove_account_quota,
        quotas::account_sizes,
        repositories::account_grants,
        repositories::put_grant,
        repositories::take_grant,
        repositories::explain,
        repositories::events
    ),
    components(schemas(
        Failure,
        FailureLine,
        shapes::ActorText,
        shapes::HolderText,
        shapes::Name,
        shapes::PatternText,
        shapes::Repository,
        shapes::SubjectText
    )),
    modifiers(&SignIn),
    security(("basic" = []), ("token" = []))
)]
struct Api;

/// How one signs in.
struct SignIn;

impl Modify for SignIn {
    fn modify(&self, document: &mut Document) {
        document.openapi = OpenApiVersion::Version31;
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The document, as it is served.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}
