//! The users of the registry: made, listed and removed by its operator.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{self, Event, NewUser, Principal, SystemRole, Tx, UserRemoval};

use super::password::PASSWORD_BYTES;
use super::{Client, Refused, breached, secrets};
use crate::app::{ADMINISTRATOR, App};
use crate::clock::Random;
use crate::config::Config;

/// Names that would read as something else in a path or a log, and that of the first administrator: whoever took it later
/// would be taken for one.
const RESERVED: &[&str] = &[ADMINISTRATOR, "api", "hallmark", "library", "root", "system", "token", "v1", "v2"];

/// How often somebody's deleted repositories are emptied before their account counts as having some.
pub(crate) const TURNS: usize = 3;

/// Why the users stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name cannot be the first component of a repository name.
    #[error("{0:?} cannot be a user's name: use lower-case letters and digits, joined by single '.', '_' or '-'")]
    NameInvalid(String),
    /// The name is kept for the registry itself.
    #[error("the name {0:?} is reserved")]
    NameReserved(String),
    /// A user or an organization has this name.
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    /// There is no such user.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// The user's account still holds repositories.
    #[error("{0:?} still has repositories; delete or move them first")]
    HasRepositories(String),
    /// The user's account still has robots.
    #[error("{0:?} still has robots; remove them first")]
    HasRobots(String),
    /// The user alone owns an organization.
    #[error("{0:?} alone owns the organization {1:?}; give it another owner first")]
    OwnsAlone(String, String),
    /// The last administrator cannot go.
    #[error("{0:?} is the last administrator")]
    LastAdministrator(String),
    /// The password is too short or too long.
    #[error("a password has at least {least} characters and at most {PASSWORD_BYTES} bytes")]
    PasswordLength {
        /// The fewest characters that one may have.
        least: usize,
    },
    /// The password stands in the list of those that are known.
    #[error("this password is in a list of known passwords; choose another")]
    PasswordBreached,
    /// The list of known passwords cannot be read.
    #[error("`passwords.breached`: the list {} cannot be used", .list.display())]
    BreachedUnreadable {
        /// Where it lies.
        list: PathBuf,
        /// Why it cannot be.
        source: io::Error,
    },
    /// The password begins like a token, and would be taken for one.
    #[error("a password does not begin with hmp_ or hmb_, as tokens do")]
    PasswordLikeToken,
    /// The password could not be hashed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Adds a user who owns the namespace of their name.
///
/// # Errors
/// [`UserError`]; nothing has changed then.
pub(crate) async fn add(
    app: &App,
    name: &str,
    password: String,
    administrator: bool,
    now: i64,
) -> Result<(), UserError> {
    check_name(name)?;
    insert(app, name, password, administrator, now).await
}

/// Adds the administrator of the first start, whose name nobody else can have.
///
/// # Errors
/// [`UserError`]; nothing has changed then.
pub(crate) async fn add_first(app: &App, password: String, now: i64) -> Result<(), UserError> {
    insert(app, ADMINISTRATOR, password, true, now).await
}

async fn insert(app: &App, name: &str, password: String, administrator: bool, now: i64) -> Result<(), UserError> {
    let password = hash(app, password, Client::Operator).await?;
    let role = if administrator { SystemRole::Administrator } else { SystemRole::None };
    let user = NewUser { name: name.to_owned(), password: Some(password), role, source: None };
    let added = app
        .metadata
        .write((user, now), |tx, (user, now)| {
            Box::pin(async move {
                let Some(added) = tx.create_user(user, *now).await? else { return Ok::<_, metadata::Error>(None) };
                tx.record(&event("user_added", &added, *now)).await?;
                Ok(Some(added))
            })
        })
        .await?;
    added.map(drop).ok_or_else(|| UserError::NameTaken(name.to_owned()))
}

/// Gives a user another password; every token and refresh token made before stops working.
///
/// # Errors
/// [`UserError`]; nothing has changed then.
pub(crate) async fn set_password(app: &App, name: &str, password: String, now: i64) -> Result<(), UserError> {
    let password = hash(app, password, Client::Operator).await?;
    let changed = app
        .metadata
        .write((name.to_owned(), password, now), |tx, (name, password, now)| {
            Box::pin(async move {
                let Some(user) = tx.user(name).await? else { return Ok::<_, metadata::Error>(false) };
                tx.record(&event("password_changed", &user.principal, *now)).await?;
                tx.set_password(&user.principal, Some(password)).await
            })
        })
        .await?;
    changed.then_some(()).ok_or_else(|| UserError::Unknown(name.to_owned()))
}

/// Ends what a user is logged in with, wherever that is; the password stays.
///
/// # Errors
/// [`UserError`]; nothing has changed then.
pub(crate) async fn log_out(app: &App, name: &str, now: i64) -> Result<(), UserError> {
    let done = app
        .metadata
        .write((name.to_owned(), now), |tx, (name, now)| {
            Box::pin(async move {
                let Some(user) = tx.user(name).await? else { return Ok::<_, metadata::Error>(false) };
                tx.record(&event("user_logged_out", &user.principal, *now)).await?;
                tx.void_tokens(&user.principal).await
            })
        })
        .await?;
    done.then_some(()).ok_or_else(|| UserError::Unknown(name.to_owned()))
}

/// Removes a user who owns nothing any more.
///
/// # Errors
/// [`UserError`]; nothing has changed then.
pub(crate) async fn remove(app: &App, name: &str, now: i64) -> Result<(), UserError> {
    for _ in 0..TURNS {
        let removed: Result<bool, UserError> = app
            .metadata
            .write((name.to_owned(), now), |tx, (name, now)| {
                Box::pin(async move {
                    let Some(user) = tx.user(name).await? else { return Err(UserError::Unknown(name.clone())) };
                    let is_gone = take(tx, &user.principal, *now).await?;
                    if is_gone {
                        tx.record(&event("user_removed", &user.principal, *now)).await?;
                    }
                    Ok(is_gone)
                })
            })
            .await;
        if removed? {
            return Ok(());
        }
        hallmark_gc::empty_deleted_repositories(&app.metadata, now, || true).await?;
    }
    Err(UserError::HasRepositories(name.to_owned()))
}

/// Removes a user in a change of the caller's, who records it. `false` when repositories of theirs that were deleted have to be
/// emptied first: then these can no longer be brought back, and whoever empties them may try again.
///
/// # Errors
/// [`UserError`].
pub(crate) async fn take(tx: &mut Tx, user: &Principal, now: i64) -> Result<bool, UserError> {
    let name = || user.name.clone();
    if user.is_administrator() && !user.disabled && !tx.has_other_administrators().await? {
        return Err(UserError::LastAdministrator(name()));
    }
    if let Some(organization) = tx.owned_alone(user.id).await? {
        return Err(UserError::OwnsAlone(name(), organization));
    }
    match tx.remove_user(&user.name, now).await? {
        UserRemoval::Removed => Ok(true),
        UserRemoval::GivesUpDeleted => Ok(false),
        UserRemoval::Unknown => Err(UserError::Unknown(name())),
        UserRemoval::AccountHasRobots => Err(UserError::HasRobots(name())),
        UserRemoval::AccountHasRepositories => Err(UserError::HasRepositories(name())),
    }
}

/// A password of 144 random bits for a user who has none yet.
#[must_use]
pub(crate) fn generate_password(random: &Random) -> String {
    URL_SAFE_NO_PAD.encode(random.bytes::<18>())
}

/// The operator is nobody in the registry's own list: such changes are recorded as made by the system.
fn event<'a>(kind: &'a str, principal: &'a Principal, now: i64) -> Event<'a> {
    Event { account: Some(principal.account_id), ..Event::of_system(kind, &principal.name, now) }
}

/// Whether this could be a user's name: the first component of the names of their repositories.
pub(crate) fn is_name(name: &str) -> bool {
    !name.contains('/') && name.parse::<RepositoryName>().is_ok()
}

pub(crate) fn check_name(name: &str) -> Result<(), UserError> {
    if !is_name(name) {
        return Err(UserError::NameInvalid(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(UserError::NameReserved(name.to_owned()));
    }
    Ok(())
}

/// Hashes a password that somebody is to have, in the turn of `client`.
pub(crate) async fn hash(app: &App, password: String, client: Client) -> Result<String, UserError> {
    if secrets::looks_like_one(&password) {
        return Err(UserError::PasswordLikeToken);
    }
    let least = app.config.passwords.min_length;
    if password.chars().count() < least || password.len() > PASSWORD_BYTES {
        return Err(UserError::PasswordLength { least });
    }
    let password = not_breached(app, password).await?;
    Ok(app.passwords.hash(password, client).await?)
}

/// Whether the list of known passwords, if the settings name one, can be read.
///
/// # Errors
/// [`UserError::BreachedUnreadable`].
pub(crate) fn check_breached(config: &Config) -> Result<(), UserError> {
    let Some(list) = &config.passwords.breached else { return Ok(()) };
    breached::contains(list, "")
        .map(drop)
        .map_err(|source| UserError::BreachedUnreadable { list: list.clone(), source })
}

/// The password, unless it is in the list of known ones that the configuration names.
async fn not_breached(app: &App, password: String) -> Result<String, UserError> {
    let Some(list) = app.config.passwords.breached.clone() else { return Ok(password) };
    let path = list.clone();
    let looked =
        tokio::task::spawn_blocking(move || breached::contains(&path, &password).map(|found| (found, password)));
    match looked.await.map_err(io::Error::other).flatten() {
        Ok((false, password)) => Ok(password),
        Ok((true, _)) => Err(UserError::PasswordBreached),
        Err(source) => Err(UserError::BreachedUnreadable { list, source }),
    }
}
