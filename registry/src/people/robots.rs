//! Robots: programs that sign in with secrets of their own, or with none at all (see `rules`).

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{Account, Credential, NewCredential, NewRobot as Making, Robot, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, Expected, List, Names, Refused, check_component, check_description, shapes};
use crate::app::App;
use crate::auth::personal::stands;
use crate::auth::secrets::{self, Kind, Made};
use crate::auth::token::SERVICE;
use crate::clock::{instant, rfc3339};

/// How long an old secret goes on when nothing is said, in seconds.
const OVERLAP: u32 = 24 * 60 * 60;
/// The longest that it may be asked to go on, in seconds.
const LONGEST_OVERLAP: u32 = 30 * 24 * 60 * 60;
/// How many secrets of a robot stand at once.
const SECRETS: i64 = 8;
/// The end of a secret that does not end: the last second of the year 9999, in milliseconds since 1970.
pub(super) const NEVER: i64 = 253_402_300_799_000;

/// A robot as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RobotView {
    /// The account it belongs to.
    pub account: String,
    /// Its name, unique in the account.
    pub name: String,
    /// The name it signs in with: `<account>+<name>`.
    pub login: String,
    /// The only repository in which it can hold rights, if it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What it is for.
    pub description: String,
    /// Whether it may do nothing at present.
    pub disabled: bool,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A robot to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRobot {
    /// Its name.
    #[schema(value_type = shapes::Name)]
    pub name: String,
    /// The only repository in which it is to hold rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Repository>)]
    pub repository: Option<String>,
    /// What it is for.
    #[serde(default)]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: String,
}

/// What may be changed about a robot.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RobotChanges {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: Option<String>,
    /// Whether it may do nothing; every secret and token it has is void then, also when it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// How a robot's secret is to be changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// When the new secret ends (RFC 3339). Unless said, never, or with the token that asks, which makes none that outlives it: then it
    /// must be said if a secret stands that goes on longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// How long the secrets before it go on, in seconds; a day, unless said. 0 ends them at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_592_000)]
    pub overlap_seconds: Option<u32>,
}

/// A secret, shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// The name to sign in with.
    pub login: String,
    /// The secret, in the place of a password. It is not kept and cannot be shown again.
    pub secret: String,
    /// When it ends (RFC 3339); absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A secret of a robot, without itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretLine {
    /// Its id.
    pub id: i64,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it ends (RFC 3339); absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last used (RFC 3339, to the minute); absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Whether it stands now: it has not ended, was not revoked, and is not void since the robot was disabled.
    pub active: bool,
}

fn show(account: &str, robot: Robot) -> RobotView {
    RobotView {
        account: account.to_owned(),
        login: login(account, &robot.name),
        name: robot.name,
        repository: robot.repository_name,
        description: robot.description,
        disabled: robot.disabled,
        created_at: rfc3339(robot.created_at),
    }
}

fn login(account: &str, name: &str) -> String {
    format!("{account}+{name}")
}

pub(super) fn until(at: i64) -> Option<String> {
    (at < NEVER).then(|| rfc3339(at))
}

/// When something is to end, from RFC 3339.
pub(super) fn end(text: Option<&str>, now: i64) -> Result<i64, Refused> {
    let Some(text) = text else { return Ok(NEVER) };
    let at = instant(text).filter(|at| *at > now && *at <= NEVER);
    at.ok_or_else(|| Refused::invalid("expires_at", "name a time to come, like 2031-01-31T00:00:00Z"))
}

/// The robots of an account.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, account: &str, wanted: &Names) -> Result<List<RobotView>, Refused> {
    let (limit, names) = wanted.check()?;
    let (held, sees_all) = caller.visible_account(app, account).await?;
    let rows = app.metadata.robots(held.id, &names, limit + 1).await?;
    Ok(List::cut(rows, limit, |row| row.name.clone(), |robot| show(account, known(robot, sees_all))))
}

/// One robot.
///
/// # Errors
/// [`Refused`].
pub async fn describe(app: &App, caller: &Caller, account: &str, name: &str) -> Result<RobotView, Refused> {
    let (robot, sees_all) = seen(app, caller, account, name).await?;
    Ok(show(account, known(robot, sees_all)))
}

/// What is known of a robot to who does not see all: the repository it is bound to may be one that they may not know of.
fn known(robot: Robot, sees_all: bool) -> Robot {
    if sees_all { robot } else { Robot { repository_name: None, ..robot } }
}

/// The robot, and whether the caller sees all about it.
async fn seen(app: &App, caller: &Caller, account: &str, name: &str) -> Result<(Robot, bool), Refused> {
    let (held, sees_all) = caller.visible_account(app, account).await?;
    check_component(name).map_err(|_| Refused::Unknown("robot"))?;
    let robot = app.metadata.robot(held.id, name).await?.ok_or(Refused::Unknown("robot"))?;
    Ok((robot, sees_all))
}

/// The robot, when the caller sees all about it: how it signs in is for who governs it.
pub(super) async fn overseen(app: &App, caller: &Caller, account: &str, name: &str) -> Result<Robot, Refused> {
    match seen(app, caller, account, name).await? {
        (robot, true) => Ok(robot),
        (_, false) => Err(Refused::Forbidden("only an owner of the organization may see this")),
    }
}

/// Makes a robot, which has no secret yet.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, account: &str, new: NewRobot) -> Result<RobotView, Refused> {
    check_component(&new.name)?;
    check_description(&new.description)?;
    let invalid = |_| Refused::invalid("repository", "this is no repository's name");
    let repository: Option<RepositoryName> = new.repository.as_deref().map(str::parse).transpose().map_err(invalid)?;
    app.metadata
        .write((caller.clone(), account.to_owned(), new, repository), |tx, (caller, account, new, repository)| {
            Box::pin(make(tx, caller, account, (new, repository.as_ref())))
        })
        .await
}

async fn make(
    tx: &mut Tx,
    caller: &Caller,
    account: &str,
    (new, name): (&NewRobot, Option<&RepositoryName>),
) -> Result<RobotView, Refused> {
    let held = caller.governed(tx, account).await?;
    let repository = match name {
        Some(name) => tx.repository(name).await?.filter(|repository| repository.account_id == held.id),
        None => None,
    };
    if name.is_some() && repository.is_none() {
        return Err(Refused::invalid("repository", format!("{account:?} has no such repository")));
    }
    let making =
        Making { account: &held, repository: repository.as_ref(), name: &new.name, description: &new.description };
    let made = tx.create_robot(&making, caller.now).await?;
    let made = made.ok_or_else(|| Refused::Conflict(format!("{account:?} has a robot {:?} already", new.name)))?;
    tx.record(&caller.event_in(held.id, "robot_created", &login(account, &new.name), "")).await?;
    Ok(show(account, made))
}

/// The robot of this name in an account that the caller governs; both held.
pub(super) async fn governed(
    tx: &mut Tx,
    caller: &Caller,
    account: &str,
    name: &str,
) -> Result<(Account, Robot), Refused> {
    let held = caller.governed(tx, account).await?;
    check_component(name).map_err(|_| Refused::Unknown("robot"))?;
    let robot = tx.robot(held.id, name).await?.ok_or(Refused::Unknown("robot"))?;
    Ok((held, robot))
}

/// Changes a robot.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(
    app: &App,
    caller: &Caller,
    (account, name): (&str, &str),
    changes: RobotChanges,
    expected: Expected,
) -> Result<RobotView, Refused> {
    check_description(changes.description.as_deref().unwrap_or_default())?;
    let input = (caller.clone(), (account.to_owned(), name.to_owned()), changes, expected);
    app.metadata
        .write(input, |tx, (caller, (account, name), changes, expected)| {
            Box::pin(async move {
                let (held, mut robot) = governed(tx, caller, account, name).await?;
                expected.hold(&show(account, robot.clone()))?;
                let before = robot.clone();
                if let Some(description) = &changes.description {
                    tx.describe_robot(&robot, description).await?;
                    robot.description.clone_from(description);
                }
                if let Some(disabled) = changes.disabled.filter(|disabled| *disabled != robot.disabled) {
                    tx.set_principal_disabled(robot.id, disabled.then_some(caller.now)).await?;
                    robot.disabled = disabled;
                }
                if robot != before {
                    let payload = serde_json::to_string(changes).unwrap_or_default();
                    tx.record(&caller.event_in(held.id, "robot_changed", &login(account, name), &payload)).await?;
                }
                Ok(show(account, robot))
            })
        })
        .await
}

/// Removes a robot with its secrets, rules and grants.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(
    app: &App,
    caller: &Caller,
    (account, name): (&str, &str),
    expected: Expected,
) -> Result<(), Refused> {
    let input = (caller.clone(), (account.to_owned(), name.to_owned()), expected);
    app.metadata
        .write(input, |tx, (caller, (account, name), expected)| {
            Box::pin(async move {
                let (held, robot) = governed(tx, caller, account, name).await?;
                expected.hold(&show(account, robot.clone()))?;
                tx.record(&caller.event_in(held.id, "robot_removed", &login(account, name), "")).await?;
                Ok(tx.remove_robot(&robot, caller.now).await?)
            })
        })
        .await
}

/// Makes a new secret; those before it go on for a while, so that every machine can be told in its time. What a token asks for
/// ends with the token at the latest.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    (account, name): (&str, &str),
    rotation: Rotation,
) -> Result<SecretView, Refused> {
    caller.may_leave_secrets()?;
    let ends = match (end(rotation.expires_at.as_deref(), caller.now)?, caller.ends(app).await?) {
        (ends, Some(own)) if rotation.expires_at.is_none() => {
            replaces_nothing_longer(app, caller, (account, name), own).await?;
            ends.min(own)
        }
        (ends, Some(own)) if ends > own => {
            return Err(Refused::Forbidden("a token makes no secret that outlives it; sign in with a password"));
        }
        (ends, _) => ends,
    };
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > LONGEST_OVERLAP {
        return Err(Refused::invalid("overlap_seconds", format!("at most {LONGEST_OVERLAP} (thirty days)")));
    }
    let old_ends = caller.now + i64::from(overlap) * 1_000;
    let made = secrets::make(Kind::Robot, &app.random);
    let text = made.text.clone();
    let input = (caller.clone(), (account.to_owned(), name.to_owned()), made, (old_ends, ends));
    app.metadata
        .write(input, |tx, (caller, (account, name), made, ends)| {
            Box::pin(keep(tx, caller, (account, name), made, *ends))
        })
        .await?;
    Ok(SecretView { login: login(account, name), secret: text, expires_at: until(ends) })
}

/// Refuses to end secrets that go on longer than the token of whoever makes another without saying how long: it would end with that
/// token, and the robot with it.
async fn replaces_nothing_longer(
    app: &App,
    caller: &Caller,
    (account, name): (&str, &str),
    own: i64,
) -> Result<(), Refused> {
    let robot = overseen(app, caller, account, name).await?;
    let rows = app.metadata.credentials(robot.id, Kind::Robot.word()).await?;
    let epoch = app.metadata.principal(robot.id).await?.ok_or(Refused::Unknown("robot"))?.credential_epoch;
    if rows.iter().all(|row| !stands(row, epoch, caller.now) || row.expires_at <= own) {
        return Ok(());
    }
    let why = format!(
        "your token ends at {}, and the new secret with it, before one that it replaces; say when it ends, or sign in with a password",
        rfc3339(own)
    );
    Err(Refused::invalid("expires_at", why))
}

async fn keep(
    tx: &mut Tx,
    caller: &Caller,
    (account, name): (&str, &str),
    made: &Made,
    (old_ends, ends): (i64, i64),
) -> Result<(), Refused> {
    let (held, robot) = governed(tx, caller, account, name).await?;
    let kind = Kind::Robot.word();
    tx.shorten_credentials(robot.id, kind, old_ends).await?;
    if tx.standing_credentials(robot.id, kind, caller.now).await? >= SECRETS {
        return Err(Refused::Conflict(format!("{SECRETS} secrets of this robot stand already; revoke one first")));
    }
    let epoch = tx.credential_epoch(robot.id).await?.ok_or(Refused::Unknown("robot"))?;
    let new = NewCredential {
        principal: robot.id,
        kind,
        selector: &made.selector,
        secret_hash: &made.hash,
        service: SERVICE,
        scopes: "",
        epoch,
        expires_at: ends,
        name: "",
        rolls: false,
    };
    tx.insert_credential(&new, caller.now).await?;
    let payload = json!({"expires_at": until(ends), "others_end_at": rfc3339(old_ends)}).to_string();
    Ok(tx.record(&caller.event_in(held.id, "robot_secret_made", &login(account, name), &payload)).await?)
}

/// The secrets of a robot, without themselves, for who governs its account.
///
/// # Errors
/// [`Refused`].
pub async fn secrets_of(app: &App, caller: &Caller, account: &str, name: &str) -> Result<Vec<SecretLine>, Refused> {
    let robot = overseen(app, caller, account, name).await?;
    let rows = app.metadata.credentials(robot.id, Kind::Robot.word()).await?;
    let principal = app.metadata.principal(robot.id).await?.ok_or(Refused::Unknown("robot"))?;
    Ok(rows.iter().map(|row| line(row, principal.credential_epoch, caller.now)).collect())
}

fn line(row: &Credential, epoch: i64, now: i64) -> SecretLine {
    SecretLine {
        id: row.id,
        created_at: rfc3339(row.created_at),
        expires_at: until(row.expires_at),
        last_used_at: row.last_used_at.map(rfc3339),
        active: stands(row, epoch, now),
    }
}

/// Ends a secret at once.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn revoke(app: &App, caller: &Caller, (account, name): (&str, &str), id: i64) -> Result<(), Refused> {
    let input = (caller.clone(), (account.to_owned(), name.to_owned()), id);
    app.metadata
        .write(input, |tx, (caller, (account, name), id)| {
            Box::pin(async move {
                let (held, robot) = governed(tx, caller, account, name).await?;
                if !tx.revoke_credential_of(*id, robot.id, caller.now).await? {
                    return Err(Refused::Unknown("secret"));
                }
                Ok(tx.record(&caller.event_in(held.id, "robot_secret_revoked", &login(account, name), "")).await?)
            })
        })
        .await
}
