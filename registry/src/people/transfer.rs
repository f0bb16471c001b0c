//! Handing a repository over to another account.
//!
//! It takes governing both accounts: nobody is given what they did not ask for, and whoever may delete a repository, which can be undone,
//! cannot carry it away.
//! What rested on the authority of the account before does not go along (`metadata/transfer.rs` of the storage), and each of it is
//! an event there. The other account has room for it as for a push: reserved, committed, looked at.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{
    self, Account, AccountId, HandedOver, MOST_HANDED_OVER, MOST_LEFT_BEHIND, Repository, RepositoryId, Rights, Room,
    SYSTEM_ACCOUNT, Scope, Tx,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::grants::HolderName;
use super::repositories::{RepositoryView, view};
use super::{Caller, Refused, shapes};
use crate::app::App;
use crate::passage::{ACCOUNT, NoRoom, Passage, TRIES, look_in};
use crate::trust;

const OTHERS: &str = "only who governs its account may hand a repository over: what is deleted there can be brought back, and this cannot";

/// Where a repository is to go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlace {
    /// Its name in another account.
    #[schema(value_type = shapes::Repository)]
    pub to: String,
}

/// All that the transaction needs; it may run more than once.
#[derive(Clone)]
struct Change {
    caller: Caller,
    name: RepositoryName,
    to: RepositoryName,
    passage: Option<Passage>,
}

/// What was done.
struct Done {
    view: RepositoryView,
    repository: RepositoryId,
    handed_over: HandedOver,
}

/// Why a change was taken back.
enum Unmade {
    Refused(Refused),
    /// It needs room in an account that has a hard limit.
    Short(Short),
}

#[derive(Clone, Copy)]
struct Short {
    repository: RepositoryId,
    account: AccountId,
    charged: i64,
    limit: u64,
}

impl From<Refused> for Unmade {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<metadata::Error> for Unmade {
    fn from(error: metadata::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// Hands a repository over to another account. The old name answers as one that nobody has from then on, and rests.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn transfer(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    place: NewPlace,
) -> Result<RepositoryView, Refused> {
    caller.may_change()?;
    let invalid = || Refused::invalid("to", format!("{:?} is no repository's name", place.to));
    let to: RepositoryName = place.to.parse().map_err(|_| invalid())?;
    if to.account() == name.account() {
        return Err(Refused::Conflict("that is in the same account; rename the repository instead".to_owned()));
    }
    let mut change = Change { caller: caller.clone(), name: name.clone(), to, passage: None };
    for _ in 0..TRIES {
        let tried = app.metadata.write(change.clone(), |tx, change| Box::pin(hand_over(tx, change))).await;
        let refused = match tried {
            Ok(done) => return Ok(settled(app, done).await),
            Err(refused) => refused,
        };
        // Ended by the change itself, unless that was taken back.
        if let Some(passage) = change.passage.take() {
            passage.leave(app).await;
        }
        match refused {
            Unmade::Refused(refused) => return Err(refused),
            Unmade::Short(short) => change.passage = Some(enter(app, &change, short).await?),
        }
    }
    if let Some(passage) = change.passage {
        passage.leave(app).await;
    }
    Err(Refused::Busy("what is in the repository kept changing; try again".to_owned()))
}

async fn hand_over(tx: &mut Tx, change: &Change) -> Result<Done, Unmade> {
    let Change { caller, name, to, passage } = change;
    // Judged before anything is held, and the accounts before what is in them.
    caller.glance(tx, name).await?;
    caller.governs_account_of(tx, name, OTHERS).await?;
    let account = target(tx, caller, to).await?;
    let (repository, _) = caller.managed_whole(tx, name).await?;
    let taken = || Refused::Conflict(format!("there is a repository {to} already"));
    let (decision, there) = caller.rights(tx, to).await?;
    if there.is_some() {
        return Err(taken().into());
    }
    // Who administers all repositories of such a name may take one that rests.
    if !decision.may_create || !decision.rights.contain(Rights::MANAGE) {
        return Err(Refused::Forbidden("you may not make a repository of the new name").into());
    }
    // An upload of the repository too: it is neither weighed nor ended with those that are open.
    let reserved = match passage {
        Some(passage) if tx.end_passage(&passage.upload).await? => passage.reserved.account,
        _ => 0,
    };
    bearable(tx, &repository).await?;
    let handed_over = tx.hand_over(&repository, (account.as_ref(), to), caller.now).await?.ok_or_else(taken)?;
    let account = account.map_or(AccountId::SYSTEM, |account| account.id);
    let charged = handed_over.charged;
    if let Some(limit) = handed_over.hard.filter(|_| charged > reserved) {
        return Err(Unmade::Short(Short { repository: repository.id, account, charged, limit }));
    }
    record(tx, change, (&repository, account), &handed_over).await?;
    let described = tx.described(repository.id).await?;
    let view = view(&Repository { name: to.clone(), ..repository.clone() }, decision.rights, described);
    Ok(Done { view, repository: repository.id, handed_over })
}

/// The account that a repository is to go to, held, when the caller governs it; `None` for the system's.
async fn target(tx: &mut Tx, caller: &Caller, to: &RepositoryName) -> Result<Option<Account>, Refused> {
    match to.account() {
        Some(account) => caller.governed(tx, account).await.map(Some),
        None if caller.administers() => Ok(None),
        None => Err(Refused::Unknown("account")),
    }
}

async fn bearable(tx: &mut Tx, repository: &Repository) -> Result<(), Refused> {
    let weight = tx.weigh(repository.id).await?;
    if weight.is_bearable() {
        return Ok(());
    }
    Err(Refused::Conflict(if weight.rows > MOST_HANDED_OVER {
        format!(
            "there is too much in it to be handed over at once: more than {MOST_HANDED_OVER} links to blobs, manifests and what waits in \
             the trash; copy it to the other account, and delete it here"
        )
    } else {
        format!("more than {MOST_LEFT_BEHIND} robots, grants and rules of it would go; take some of them away first")
    }))
}

async fn record(
    tx: &mut Tx,
    Change { caller, name, to, .. }: &Change,
    (repository, account): (&Repository, AccountId),
    done: &HandedOver,
) -> Result<(), metadata::Error> {
    let place = (repository.account_id, repository.id);
    for robot in &done.robots {
        tx.record(&caller.event_in(repository.account_id, "robot_removed", robot, "")).await?;
    }
    for holder in &done.holders {
        let payload = json!({"holder": HolderName(holder.clone()).to_string()}).to_string();
        tx.record(&caller.event_on(place, "grant_taken", name.as_str(), &payload)).await?;
    }
    for rule in &done.rules {
        tx.record(&caller.event_on(place, "sign_rule_removed", &rule.to_string(), "")).await?;
    }
    if done.had_quota {
        let payload = json!({"soft": null, "hard": null}).to_string();
        tx.record(&caller.event_on(place, "quota_changed", name.as_str(), &payload)).await?;
    }
    for (gun, root) in &done.collections {
        let root = root.as_ref().map(|root| root.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let payload = json!({"version": 0, "sha256": "", "root_sha256": root}).to_string();
        tx.record(&caller.event_on(place, "trust_deleted", gun, &payload)).await?;
    }
    let payload = json!({"to": to, "checks": done.checks, "uploads": done.uploads}).to_string();
    tx.record(&caller.event_on(place, "repository_transferred", name.as_str(), &payload)).await?;
    let payload = json!({"from": name}).to_string();
    tx.record(&caller.event_on((account, repository.id), "repository_transferred", to.as_str(), &payload)).await
}

/// What follows a transfer that is made: the signer's keys for collections that are gone sign nothing any more.
async fn settled(app: &App, done: Done) -> RepositoryView {
    let guns = done.handed_over.collections.into_iter().map(|(gun, _)| gun);
    trust::destroy_keys(app, done.repository, guns).await;
    done.view
}

/// Reserves in the other account what a change has charged that was taken back, as a push does.
async fn enter(app: &App, change: &Change, short: Short) -> Result<Passage, Refused> {
    let Short { account, charged, limit, .. } = short;
    let (passage, key) = Passage::prepared(app, Room { account: charged, repository: 0 });
    let opening = (change.clone(), passage.clone(), key, short);
    app.metadata
        .write(opening, |tx, (change, passage, key, Short { repository, account, .. })| {
            Box::pin(async move {
                let held = tx.repository(&change.name).await?.filter(|held| held.id == *repository);
                let held = held.ok_or(Refused::Unknown("repository"))?;
                let by = (change.caller.principal().id, change.caller.now);
                if passage.open(tx, key, (held.id, *account), by).await? {
                    return Ok(());
                }
                Err(Refused::Busy("you have too many uploads open; end some, or let them expire".to_owned()))
            })
        })
        .await?;
    let place = (Scope::Account(account), ACCOUNT, change.to.account().unwrap_or(SYSTEM_ACCOUNT));
    match look_in(app, place, limit, (0, charged), charged.unsigned_abs()).await {
        Ok(_) => Ok(passage),
        Err(barred) => {
            passage.leave(app).await;
            Err(match barred {
                NoRoom::Exceeded(exceeded) => {
                    app.metrics.quota_refused();
                    Refused::Exceeded(exceeded)
                }
                NoRoom::Failed(error) => error.into(),
            })
        }
    }
}
