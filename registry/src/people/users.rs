//! Users, as administrators manage them and as they manage themselves.

use hallmark_storage::metadata::{PrincipalKind, SystemRole, Tx, User};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, Expected, List, Names, Refused, shapes};
use crate::app::App;
use crate::auth::users::{self, UserError};

/// How many users a page looks at, at most, for each that it may show.
const LOOKS: u32 = 10;

/// What a user may do in the whole registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing but what is theirs and what was granted to them.
    #[default]
    User,
    /// Read everything, the audit log too.
    Auditor,
    /// Everything.
    Administrator,
}

impl From<SystemRole> for Role {
    fn from(role: SystemRole) -> Self {
        match role {
            SystemRole::None => Self::User,
            SystemRole::Auditor => Self::Auditor,
            SystemRole::Administrator => Self::Administrator,
        }
    }
}

impl From<Role> for SystemRole {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::None,
            Role::Auditor => Self::Auditor,
            Role::Administrator => Self::Administrator,
        }
    }
}

/// A user as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their name, and that of their account.
    pub name: String,
    /// What they may do in the whole registry.
    pub role: Role,
    /// Whether they may do nothing at present.
    pub disabled: bool,
    /// The directory or provider that they sign in with; absent when they have a password here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A user to be made.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their name.
    #[schema(value_type = shapes::Name)]
    pub name: String,
    /// Their password.
    #[schema(min_length = 8)]
    pub password: String,
    /// What they may do in the whole registry. An administrator is made by who signs in with a password.
    #[serde(default)]
    pub role: Role,
}

/// What may be changed about a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChanges {
    /// What they may do in the whole registry. An administrator is made by who signs in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether they may do nothing, and neither the robots of their account; every token and secret they have is void then,
    /// also when they come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A password to be set.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The new password. Every token made before stops working.
    #[schema(min_length = 8)]
    pub password: String,
}

/// The caller, and where they belong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MeView {
    /// The name they sign in with.
    pub name: String,
    /// `user` or `robot`.
    pub kind: String,
    /// What they may do in the whole registry.
    pub role: Role,
    /// What the credential that they showed is limited to; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// Their organizations.
    pub organizations: Vec<String>,
    /// Their teams, each as `organization/team`.
    pub teams: Vec<String>,
}

fn show(user: User) -> UserView {
    UserView {
        role: user.principal.role.into(),
        disabled: user.principal.disabled,
        name: user.principal.name,
        source: user.source,
    }
}

/// Who asks.
///
/// # Errors
/// [`Refused`].
pub async fn me(app: &App, caller: &Caller) -> Result<MeView, Refused> {
    let principal = caller.principal();
    let organizations = app.metadata.organizations_of(principal.id).await?;
    let teams = app.metadata.teams_of(principal.id).await?;
    Ok(MeView {
        name: principal.name.clone(),
        kind: if principal.kind == PrincipalKind::Robot { "robot".to_owned() } else { "user".to_owned() },
        role: principal.role.into(),
        scopes: caller.known.ceiling.limits.as_ref().map(ToString::to_string),
        organizations: organizations.into_iter().map(|(organization, _)| organization.name).collect(),
        teams: teams.into_iter().map(|(organization, team)| format!("{organization}/{team}")).collect(),
    })
}

/// All users, for who reads everything; with `disabled` those alone who may not sign in, or those who may.
///
/// Disabled users are in no order of their own: a page looks at ten users for each that it may show, and ends there.
///
/// # Errors
/// [`Refused`].
pub async fn list(
    app: &App,
    caller: &Caller,
    wanted: &Names,
    disabled: Option<bool>,
) -> Result<List<UserView>, Refused> {
    let (limit, names) = wanted.check()?;
    if !caller.reads_everything() {
        return Err(Refused::Forbidden("only administrators and auditors list the users"));
    }
    let Some(disabled) = disabled else {
        let rows = app.metadata.users(&names, limit + 1).await?;
        return Ok(List::cut(rows, limit, |row| row.principal.name.clone(), show));
    };
    let looked = limit.saturating_mul(LOOKS);
    let mut rows = app.metadata.users(&names, looked + 1).await?;
    let is_more = rows.len() > looked as usize;
    rows.truncate(looked as usize);
    let looked_to = rows.last().filter(|_| is_more).map(|row| row.principal.name.clone());
    rows.retain(|user| user.principal.disabled == disabled);
    let mut page = List::cut(rows, limit, |row| row.principal.name.clone(), show);
    page.next = page.next.or(looked_to);
    Ok(page)
}

/// One user: oneself, or anybody for who reads everything.
///
/// # Errors
/// [`Refused`].
pub async fn describe(app: &App, caller: &Caller, name: &str) -> Result<UserView, Refused> {
    let unknown = || Refused::Unknown("user");
    if !users::is_name(name) || !is_self(caller, name) && !caller.reads_everything() {
        return Err(unknown());
    }
    app.metadata.user(name).await?.map(show).ok_or_else(unknown)
}

fn is_self(caller: &Caller, name: &str) -> bool {
    caller.principal().kind == PrincipalKind::User && caller.principal().name == *name
}

fn administrators_only(caller: &Caller) -> Result<(), Refused> {
    caller.may_change()?;
    if caller.administers() {
        return Ok(());
    }
    Err(Refused::Forbidden("only an administrator may do this"))
}

/// Makes a user.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, new: NewUser) -> Result<UserView, Refused> {
    administrators_only(caller)?;
    caller.may_leave_secrets()?;
    if new.role != Role::User {
        caller.may_make_administrators()?;
    }
    users::check_name(&new.name)?;
    let password = users::hash(app, new.password, caller.client).await?;
    let making = hallmark_storage::metadata::NewUser {
        name: new.name,
        password: Some(password),
        role: new.role.into(),
        source: None,
    };
    app.metadata
        .write((caller.clone(), making), |tx, (caller, making)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                let made = tx.create_user(making, caller.now).await?;
                let made = made.ok_or_else(|| UserError::NameTaken(making.name.clone()))?;
                let payload = json!({"role": Role::from(making.role)}).to_string();
                tx.record(&caller.event_in(made.account_id, "user_added", &made.name, &payload)).await?;
                Ok(show(User { principal: made, password: None, source: None }))
            })
        })
        .await
}

/// Changes a user.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    changes: UserChanges,
    expected: Expected,
) -> Result<UserView, Refused> {
    administrators_only(caller)?;
    // Also of who is one already: whoever asks may not know.
    if changes.role.is_some_and(|role| role != Role::User) {
        caller.may_make_administrators()?;
    }
    let changed = app
        .metadata
        .write((caller.clone(), name.to_owned(), changes, expected), |tx, (caller, name, changes, expected)| {
            Box::pin(alter(tx, caller, name, (changes, expected)))
        })
        .await;
    let is_new_role = match &changed {
        Ok((_, is_new_role)) => *is_new_role,
        // Nobody knows whether it was written.
        Err(refused) => matches!(refused, Refused::Metadata(_)),
    };
    if is_new_role {
        app.passwords.forget();
    }
    changed.map(|(user, _)| user)
}

async fn held(tx: &mut Tx, name: &str) -> Result<User, Refused> {
    let user = if users::is_name(name) { tx.user(name).await? } else { None };
    user.ok_or(Refused::Unknown("user"))
}

/// What became of a user, and whether their role changed.
async fn alter(
    tx: &mut Tx,
    caller: &Caller,
    name: &str,
    (changes, expected): (&UserChanges, &Expected),
) -> Result<(UserView, bool), Refused> {
    caller.stands(tx).await?;
    let mut user = held(tx, name).await?;
    expected.hold(&show(user.clone()))?;
    let role = changes.role.map_or(user.principal.role, Into::into);
    let disabled = changes.disabled.unwrap_or(user.principal.disabled);
    // Who is let in again has what they had before.
    if user.principal.disabled && !disabled && role != SystemRole::None {
        caller.may_make_administrators()?;
    }
    let goes = user.principal.is_administrator()
        && !user.principal.disabled
        && (role != SystemRole::Administrator || disabled);
    if goes && !tx.has_other_administrators().await? {
        return Err(UserError::LastAdministrator(name.to_owned()).into());
    }
    if role == user.principal.role && disabled == user.principal.disabled {
        return Ok((show(user), false));
    }
    let is_role = role != user.principal.role;
    if is_role {
        tx.set_role(&user.principal, role).await?;
    }
    if disabled != user.principal.disabled {
        tx.set_disabled(&user.principal, disabled.then_some(caller.now)).await?;
    }
    let payload = serde_json::to_string(changes).unwrap_or_default();
    tx.record(&caller.event_in(user.principal.account_id, "user_changed", name, &payload)).await?;
    (user.principal.role, user.principal.disabled) = (role, disabled);
    Ok((show(user), is_role))
}

/// Sets a password: one's own, or anybody's for an administrator. A token changes nobody's password, and no
/// certificate does.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn set_password(app: &App, caller: &Caller, name: &str, new: NewPassword) -> Result<(), Refused> {
    caller.may_change()?;
    if !is_self(caller, name) && !caller.administers() {
        return Err(Refused::Unknown("user"));
    }
    caller.may_leave_secrets()?;
    if caller.known.credential.is_some() {
        return Err(Refused::Forbidden("sign in with a password to set one; a token may not"));
    }
    let password = users::hash(app, new.password, caller.client).await?;
    app.metadata
        .write((caller.clone(), name.to_owned(), password), |tx, (caller, name, password)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                let user = held(tx, name).await?;
                if let Some(source) = &user.source {
                    return Err(Refused::Conflict(format!(
                        "{name:?} signs in with {source:?} and has no password here"
                    )));
                }
                tx.record(&caller.event_in(user.principal.account_id, "password_changed", name, "")).await?;
                tx.set_password(&user.principal, Some(password)).await?;
                Ok(())
            })
        })
        .await
}

/// Ends every token and refresh token of a user: one's own, or anybody's for an administrator.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn log_out(app: &App, caller: &Caller, name: &str) -> Result<(), Refused> {
    caller.may_change()?;
    if !is_self(caller, name) && !caller.administers() {
        return Err(Refused::Unknown("user"));
    }
    if !caller.reaches_everything() {
        return Err(Refused::Forbidden("a limited token ends no others; sign in with a name and password"));
    }
    app.metadata
        .write((caller.clone(), name.to_owned()), |tx, (caller, name)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                let user = held(tx, name).await?;
                tx.record(&caller.event_in(user.principal.account_id, "user_logged_out", name, "")).await?;
                tx.void_tokens(&user.principal).await?;
                Ok(())
            })
        })
        .await
}

/// Removes a user who owns nothing any more.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, name: &str, expected: Expected) -> Result<(), Refused> {
    administrators_only(caller)?;
    for _ in 0..users::TURNS {
        let input = (caller.clone(), name.to_owned(), expected.clone());
        let removed: Result<bool, Refused> = app
            .metadata
            .write(input, |tx, (caller, name, expected)| {
                Box::pin(async move {
                    caller.stands(tx).await?;
                    let user = held(tx, name).await?;
                    expected.hold(&show(user.clone()))?;
                    let is_gone = users::take(tx, &user.principal, caller.now).await?;
                    if is_gone {
                        let account = user.principal.account_id;
                        tx.record(&caller.event_in(account, "user_removed", name, "")).await?;
                    }
                    Ok(is_gone)
                })
            })
            .await;
        if removed? {
            return Ok(());
        }
        hallmark_gc::empty_deleted_repositories(&app.metadata, caller.now, || true).await?;
    }
    Err(UserError::HasRepositories(name.to_owned()).into())
}
