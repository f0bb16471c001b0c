//! Repositories as things that are made, described, renamed, opened and deleted.

use std::time::{Duration, Instant};

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{
    self, AccountId, Event, Grant, NameKind, Principal, Repository, Rights, SYSTEM_ACCOUNT, Target, Tx,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::caller::holder;
use super::{Caller, Expected, List, Names, Refused, check_description, shapes};
use crate::access;
use crate::app::App;
use crate::auth::Identity;
use crate::clock::rfc3339;
use crate::telemetry::chain;

/// Who may pull without being asked for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Anybody.
    Public,
    /// Nobody but who was given the right.
    Private,
}

/// A repository as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// Who may pull from it.
    pub visibility: Visibility,
    /// What it is.
    pub description: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// What the caller may do in it, joined by `+`.
    pub rights: String,
}

/// A repository in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryLine {
    /// Its name.
    pub name: String,
}

/// A repository to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRepository {
    /// Its name.
    #[schema(value_type = shapes::Repository)]
    pub name: String,
    /// Who may pull from it; private, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// What it is.
    #[serde(default)]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: String,
}

/// What may be changed about a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryChanges {
    /// Another name in the same account. The old name answers as one that nobody has from then on, and rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Repository>)]
    pub name: Option<String>,
    /// Who may pull from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[^\x00]*$")]
    pub description: Option<String>,
}

/// For how long whoever deletes a repository waits for it, and whatever else is due, to be emptied.
const EMPTYING: Duration = Duration::from_secs(5);

/// The refusal of a name that rests.
const RESTS: &str = "a repository of this name was deleted, renamed or handed over lately, and the name is kept from others for a while; \
                     whoever administers it may make it again";

fn visibility(public: bool) -> Visibility {
    if public { Visibility::Public } else { Visibility::Private }
}

/// The repositories that the caller may see, and with `visibility` those alone that have it.
///
/// # Errors
/// [`Refused`].
pub async fn list(
    app: &App,
    caller: &Caller,
    wanted: &Names,
    visibility: Option<Visibility>,
) -> Result<List<RepositoryLine>, Refused> {
    let (limit, names) = wanted.check()?;
    if !caller.known.ceiling.is_everywhere() {
        return Err(Refused::Forbidden("this token is limited to some repositories and lists none"));
    }
    let viewer = access::viewer(app, &Identity::Known(caller.known.clone())).await?;
    let visibility = visibility.map(|visibility| match visibility {
        Visibility::Public => metadata::Visibility::Public,
        Visibility::Private => metadata::Visibility::Private,
    });
    let rows = app.metadata.catalog(&viewer, &names, visibility, limit + 1).await?;
    Ok(List::cut(rows, limit, Clone::clone, |name| RepositoryLine { name }))
}

/// One repository.
///
/// # Errors
/// [`Refused`].
pub async fn describe(app: &App, caller: &Caller, name: &RepositoryName) -> Result<RepositoryView, Refused> {
    let (repository, rights) = seen(app, caller, name).await?;
    let described = app.metadata.description(repository.id).await?;
    let (description, created_at) = described.ok_or(Refused::Unknown("repository"))?;
    Ok(view(&repository, rights, (description, created_at)))
}

pub(super) fn view(
    repository: &Repository,
    rights: Rights,
    (description, created_at): (String, i64),
) -> RepositoryView {
    RepositoryView {
        name: repository.name.to_string(),
        visibility: visibility(repository.public),
        description,
        created_at: rfc3339(created_at),
        rights: rights.to_string(),
    }
}

/// The repository, when the caller may see it, and what they may do in it.
pub(super) async fn seen(app: &App, caller: &Caller, name: &RepositoryName) -> Result<(Repository, Rights), Refused> {
    let principal = caller.principal();
    // Only what exists is found in memory, which is faster than the database: time would tell that it does.
    let (facts, _) = app.metadata.without_cache().facts(Some(principal.id), name).await?;
    let rights = access::decide(Some(principal), &facts, |_, _| {}).rights;
    let rights = caller.known.ceiling.bound(name, rights);
    let repository = facts.repository.clone().filter(|_| !rights.is_empty());
    repository.map(|repository| (repository, rights)).ok_or(Refused::Unknown("repository"))
}

/// The repository, when the caller manages it.
pub(super) async fn manages(app: &App, caller: &Caller, name: &RepositoryName) -> Result<Repository, Refused> {
    let (repository, rights) = seen(app, caller, name).await?;
    if !rights.contain(Rights::MANAGE) && !caller.reads_everything() {
        return Err(Refused::Forbidden("this needs the right admin on the repository"));
    }
    Ok(repository)
}

/// Makes a repository.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, new: NewRepository) -> Result<RepositoryView, Refused> {
    caller.may_change()?;
    check_description(&new.description)?;
    let name: RepositoryName =
        new.name.parse().map_err(|_| Refused::invalid("name", format!("{:?} is no repository's name", new.name)))?;
    app.metadata
        .write((caller.clone(), name, new), |tx, (caller, name, new)| Box::pin(make(tx, caller, name, new)))
        .await
}

async fn make(
    tx: &mut Tx,
    caller: &Caller,
    name: &RepositoryName,
    new: &NewRepository,
) -> Result<RepositoryView, Refused> {
    let account = match name.account() {
        None => Some(AccountId::SYSTEM),
        Some(account) => tx.account(account).await?.map(|account| account.id),
    };
    let taken = || Refused::Conflict(format!("there is a repository {name} already"));
    let (decision, there) = caller.rights(tx, name).await?;
    if there.is_some() && !decision.rights.is_empty() {
        return Err(taken());
    }
    let (Some(account), true, None) = (account, decision.may_create, there) else {
        return Err(Refused::Forbidden("you may not make a repository of this name"));
    };
    let rights_on_name = decision.rights;
    let rights = if decision.by_membership { Rights::ADMIN } else { rights_on_name };
    let public = new.visibility == Some(Visibility::Public);
    if public && !caller.known.ceiling.bound(name, rights).contain(Rights::MANAGE) {
        return Err(Refused::Forbidden("a public repository needs the right admin on it"));
    }
    let maker = Some(caller.principal()).filter(|_| decision.by_membership);
    let (repository, is_made) = found(tx, (name, account), maker, &caller.event_in(account, "", "", "")).await?;
    if !is_made {
        return Err(taken());
    }
    if is_kept_from(tx, name, rights_on_name, caller.now).await? {
        return Err(Refused::Forbidden(RESTS));
    }
    tx.describe_repository(&repository, &new.description).await?;
    if public {
        tx.set_public(&repository, true).await?;
        let place = (account, repository.id);
        tx.record(&caller.event_on(place, "repository_published", name.as_str(), "")).await?;
    }
    Ok(view(&Repository { public, ..repository }, rights, (new.description.clone(), caller.now)))
}

/// Makes a repository in an account that is held, and records that on `occasion`. Its `maker`, when they make it as a member
/// only, is given all of it. Whether it was made: another may have been faster.
///
/// # Errors
/// The database failed.
pub(crate) async fn found(
    tx: &mut Tx,
    (name, account): (&RepositoryName, AccountId),
    maker: Option<&Principal>,
    occasion: &Event<'_>,
) -> Result<(Repository, bool), metadata::Error> {
    let (repository, is_made) = tx.make_repository(name, account, occasion.at).await?;
    if !is_made {
        return Ok((repository, false));
    }
    let place = Event { account: Some(account), repository: Some(repository.id), subject: name.as_str(), ..*occasion };
    tx.record(&Event { kind: "repository_created", ..place }).await?;
    if let Some(maker) = maker {
        let target = Target::Repository(repository.id);
        let grant = Grant { account: name.account().unwrap_or(SYSTEM_ACCOUNT), target, holder: maker.id };
        tx.put_grant(&grant, Rights::ADMIN, maker.id, occasion.at).await?;
        let payload = json!({"holder": holder(maker), "rights": Rights::ADMIN.to_string()}).to_string();
        tx.record(&Event { kind: "grant_put", payload: &payload, ..place }).await?;
    }
    Ok((repository, true))
}

/// Whether a repository's name, just taken by somebody with these `rights` on it, was released so lately that it is not theirs:
/// others pull by it and trust what they find. Whoever administers all repositories of such a name could do as they like with
/// the one before, and may take it again.
///
/// # Errors
/// The database failed.
pub(crate) async fn is_kept_from(
    tx: &mut Tx,
    name: &RepositoryName,
    rights: Rights,
    now: i64,
) -> Result<bool, metadata::Error> {
    if rights.contain(Rights::MANAGE) {
        return Ok(false);
    }
    Ok(tx.resting_name(NameKind::Repository, name.as_str(), now).await?.is_some())
}

/// Changes a repository.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    changes: RepositoryChanges,
    expected: Expected,
) -> Result<RepositoryView, Refused> {
    check_description(changes.description.as_deref().unwrap_or_default())?;
    let to = match &changes.name {
        Some(to) => Some(to.parse().map_err(|_| Refused::invalid("name", format!("{to:?} is no repository's name")))?),
        None => None,
    };
    app.metadata
        .write(
            (caller.clone(), (name.clone(), to), changes, expected),
            |tx, (caller, (name, to), changes, expected)| {
                Box::pin(alter(tx, caller, (name, to.as_ref()), changes, expected))
            },
        )
        .await
}

async fn alter(
    tx: &mut Tx,
    caller: &Caller,
    (name, to): (&RepositoryName, Option<&RepositoryName>),
    changes: &RepositoryChanges,
    expected: &Expected,
) -> Result<RepositoryView, Refused> {
    let (mut repository, rights) = caller.managed_whole(tx, name).await?;
    let (mut description, created_at) = tx.described(repository.id).await?;
    expected.hold(&view(&repository, rights, (description.clone(), created_at)))?;
    let place = (repository.account_id, repository.id);
    if let Some(new) = changes.description.as_ref().filter(|new| **new != description) {
        tx.describe_repository(&repository, new).await?;
        tx.record(&caller.event_on(place, "repository_described", name.as_str(), "")).await?;
        description.clone_from(new);
    }
    if let Some(new) = changes.visibility.map(|new| new == Visibility::Public).filter(|new| *new != repository.public) {
        tx.set_public(&repository, new).await?;
        let kind = if new { "repository_published" } else { "repository_hidden" };
        tx.record(&caller.event_on(place, kind, name.as_str(), "")).await?;
        repository.public = new;
    }
    if let Some(to) = to.filter(|to| *to != name) {
        rename(tx, caller, &repository, to).await?;
        repository.name = to.clone();
    }
    Ok(view(&repository, rights, (description, created_at)))
}

async fn rename(tx: &mut Tx, caller: &Caller, repository: &Repository, to: &RepositoryName) -> Result<(), Refused> {
    if to.account() != repository.name.account() {
        return Err(Refused::invalid(
            "name",
            "a repository keeps its account when it is renamed; transfer it to the other one",
        ));
    }
    // Somebody else may be let in by the new name, and whoever renames must be able to give that.
    let (decision, there) = caller.rights(tx, to).await?;
    if there.is_some() && !decision.rights.is_empty() {
        return Err(Refused::Conflict(format!("there is a repository {to} already")));
    }
    if !decision.may_create || there.is_some() {
        return Err(Refused::Forbidden("you may not make a repository of the new name"));
    }
    if !tx.rename_repository(repository, to, caller.now).await? {
        return Err(Refused::Conflict(format!("there is a repository {to} already")));
    }
    let rests = tx.resting_name(NameKind::Repository, to.as_str(), caller.now).await?;
    // A repository takes a name back that was its own.
    if rests.is_some_and(|rests| rests.repository != Some(repository.id)) && !decision.rights.contain(Rights::MANAGE) {
        return Err(Refused::Forbidden(RESTS));
    }
    let payload = json!({"to": to}).to_string();
    let place = (repository.account_id, repository.id);
    Ok(tx.record(&caller.event_on(place, "repository_renamed", repository.name.as_str(), &payload)).await?)
}

/// Deletes a repository with all that it holds, at once.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn delete(app: &App, caller: &Caller, name: &RepositoryName, expected: Expected) -> Result<(), Refused> {
    app.metadata
        .write((caller.clone(), name.clone(), expected), |tx, (caller, name, expected)| {
            Box::pin(async move {
                let needed = "this needs the right delete or admin on the repository";
                let (repository, rights) = caller.whole(tx, name, Rights::DELETE, needed).await?;
                let described = tx.described(repository.id).await?;
                expected.hold(&view(&repository, rights, described))?;
                if let Some(digest) = tx.legal_hold_in(repository.id).await? {
                    let why = format!("{digest} in it is under a legal hold; it can be deleted once that is released");
                    return Err(Refused::Conflict(why));
                }
                for robot in tx.robots_bound_to(&repository).await? {
                    tx.record(&caller.event_in(repository.account_id, "robot_removed", &robot, "")).await?;
                }
                if !tx.delete_repository(&repository, caller.now).await? {
                    return Err(Refused::Unknown("repository"));
                }
                let place = (repository.account_id, repository.id);
                Ok(tx.record(&caller.event_on(place, "repository_deleted", name.as_str(), "")).await?)
            })
        })
        .await?;
    let begin = Instant::now();
    // Not left to the next minute: until the row is gone, its account cannot be removed. If this fails, that one goes on.
    let emptied: Result<_, metadata::Error> =
        hallmark_gc::empty_deleted_repositories(&app.metadata, caller.now, || begin.elapsed() < EMPTYING).await;
    if let Err(error) = emptied {
        tracing::warn!(error = chain(&error), "a deleted repository is not emptied yet; it goes on in a minute");
    }
    Ok(())
}
