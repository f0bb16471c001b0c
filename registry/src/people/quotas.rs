//! How many bytes accounts and repositories may hold, and what they hold.
//!
//! Nothing here tells of what lies beyond one account, and of what lies beyond a repository only those are told who see all of the
//! account: what is unique or shared would tell whoever manages a single repository what is in others that they may not see.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{Quota, Scope, Sizes, Tx, Usage};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::repositories::manages;
use super::{Caller, Expected, Refused};
use crate::app::App;
use crate::clock::rfc3339;

/// The largest limit, in bytes: the largest number that every reader of JSON holds exactly.
const MOST: u64 = (1 << 53) - 1;

const ADMINISTRATORS: &str = "only an administrator of the registry may set how much an account holds";
const GOVERNORS: &str = "only who governs the account may set how much a repository of it holds";
const SEE_ALL: &str = "only who governs the account is told how much it holds";

/// Sizes are counted one after another: a count of millions of rows keeps a reader of the database busy for as long as it lasts, and
/// the others are for those who pull.
static COUNTING: Semaphore = Semaphore::const_new(1);

/// How many bytes an account or a repository may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaBody {
    /// More than so many are told of by the event `quota_exceeded`; none: nothing is.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub soft: Option<u64>,
    /// What would make it more than so many is refused; none: nothing is.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub hard: Option<u64>,
}

/// What an account or a repository holds, in bytes, each blob counted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SizesView {
    /// When the count began (RFC 3339): what was changed since may be in it as it was or as it is.
    pub as_of: String,
    /// All of it, with what is in the trash.
    pub logical: u64,
    /// What no other repository of the account holds; of an account, what only one of its repositories holds. Null for who does not see
    /// all of the account.
    pub unique: Option<u64>,
    /// What other repositories of the account hold too; of an account, what several of its repositories hold. Null for who does not see
    /// all of the account.
    pub shared: Option<u64>,
    /// What goes, without anything being deleted by anybody, once nothing waits any more: what is in the trash, what no manifest
    /// names, and, of an account, deleted repositories. What another repository of the account holds too is no part of it, except for
    /// who does not see all of the account: they are told what goes from this repository.
    pub reclaimable: u64,
    /// What it is charged for; equal to `logical` when nothing is being changed.
    pub used: u64,
    /// What uploads that are open have reserved beside that.
    pub reserved: u64,
    /// How much it may hold.
    pub quota: QuotaBody,
}

impl From<Quota> for QuotaBody {
    fn from(Quota { soft, hard }: Quota) -> Self {
        Self { soft, hard }
    }
}

impl QuotaBody {
    fn checked(self) -> Result<Quota, Refused> {
        let Self { soft, hard } = self;
        for (name, limit) in [("soft", soft), ("hard", hard)] {
            if limit.is_some_and(|limit| limit > MOST) {
                return Err(Refused::invalid(name, format!("a limit is at most {MOST} bytes")));
            }
        }
        if soft.zip(hard).is_some_and(|(soft, hard)| soft > hard) {
            return Err(Refused::invalid(
                "soft",
                "the soft limit is above the hard one, and would never be passed".to_owned(),
            ));
        }
        Ok(Quota { soft, hard })
    }
}

/// The quota of an account, for who governs it.
///
/// # Errors
/// [`Refused`].
pub async fn of_account(app: &App, caller: &Caller, account: &str) -> Result<QuotaBody, Refused> {
    let scope = seen_account(app, caller, account).await?;
    Ok(app.metadata.quota(scope).await?.into())
}

async fn seen_account(app: &App, caller: &Caller, account: &str) -> Result<Scope, Refused> {
    let (account, sees_all) = caller.visible_account(app, account).await?;
    if sees_all { Ok(Scope::Account(account.id)) } else { Err(Refused::Forbidden(SEE_ALL)) }
}

/// Sets the quota of an account; none at all with a body that says nothing. For administrators: nobody gives themselves room.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn set_of_account(
    app: &App,
    caller: &Caller,
    account: &str,
    body: QuotaBody,
    expected: Expected,
) -> Result<QuotaBody, Refused> {
    let quota = body.checked()?;
    // Who may not see the account is told that there is none, whoever may set.
    let (_, _) = caller.visible_account(app, account).await?;
    caller.may_change()?;
    if !caller.administers() {
        return Err(Refused::Forbidden(ADMINISTRATORS));
    }
    app.metadata
        .write((caller.clone(), account.to_owned(), quota, expected), |tx, (caller, name, quota, expected)| {
            Box::pin(async move {
                let account = caller.governed(tx, name).await?;
                if !change(tx, Scope::Account(account.id), *quota, expected).await? {
                    return Ok((*quota).into());
                }
                tx.record(&caller.event_in(account.id, "quota_changed", name, &told(*quota))).await?;
                Ok((*quota).into())
            })
        })
        .await
}

/// Sets a quota if it is still what the caller believes it to be; whether that made a difference.
async fn change(tx: &mut Tx, scope: Scope, quota: Quota, expected: &Expected) -> Result<bool, Refused> {
    let before = tx.hold_quota(scope).await?;
    expected.hold(&QuotaBody::from(before))?;
    tx.set_quota(scope, quota).await?;
    Ok(before != quota)
}

fn told(quota: Quota) -> String {
    json!({"soft": quota.soft, "hard": quota.hard}).to_string()
}

/// The quota of a repository, for who manages it.
///
/// # Errors
/// [`Refused`].
pub async fn of_repository(app: &App, caller: &Caller, name: &RepositoryName) -> Result<QuotaBody, Refused> {
    let repository = manages(app, caller, name).await?;
    Ok(app.metadata.quota(Scope::Repository(repository.id)).await?.into())
}

/// Sets the quota of a repository; none at all with a body that says nothing. For who governs its account: whoever only manages the
/// repository does not give it room.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn set_of_repository(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    body: QuotaBody,
    expected: Expected,
) -> Result<QuotaBody, Refused> {
    let quota = body.checked()?;
    caller.may_change()?;
    app.metadata
        .write((caller.clone(), name.clone(), quota, expected), |tx, (caller, name, quota, expected)| {
            Box::pin(async move {
                caller.governs_account_of(tx, name, GOVERNORS).await?;
                let (repository, _) = caller.managed_whole(tx, name).await?;
                if !change(tx, Scope::Repository(repository.id), *quota, expected).await? {
                    return Ok((*quota).into());
                }
                let place = (repository.account_id, repository.id);
                tx.record(&caller.event_on(place, "quota_changed", name.as_str(), &told(*quota))).await?;
                Ok((*quota).into())
            })
        })
        .await
}

/// Whether the caller is told what a repository shares with others.
async fn sees_account_of(app: &App, caller: &Caller, name: &RepositoryName) -> Result<bool, Refused> {
    let Some(account) = name.account() else { return Ok(caller.reads_everything()) };
    match caller.visible_account(app, account).await {
        Ok((_, sees_all)) => Ok(sees_all),
        Err(Refused::Unknown(_)) => Ok(false),
        Err(refused) => Err(refused),
    }
}

/// Counts what an account holds, for who governs it.
///
/// # Errors
/// [`Refused`].
pub async fn sizes_of_account(app: &App, caller: &Caller, account: &str) -> Result<SizesView, Refused> {
    let (account, sees_all) = caller.visible_account(app, account).await?;
    if !sees_all {
        return Err(Refused::Forbidden(SEE_ALL));
    }
    let counting = COUNTING.acquire().await;
    let as_of = app.clock.now();
    let sizes = app.metadata.sizes_of_account(account.id).await?;
    drop(counting);
    view(app, (sizes, as_of), Scope::Account(account.id)).await
}

/// Counts what a repository holds, for who manages it.
///
/// # Errors
/// [`Refused`].
pub async fn sizes_of_repository(app: &App, caller: &Caller, name: &RepositoryName) -> Result<SizesView, Refused> {
    let repository = manages(app, caller, name).await?;
    let sees_all = sees_account_of(app, caller, name).await?;
    let counting = COUNTING.acquire().await;
    let as_of = app.clock.now();
    let sizes = app.metadata.sizes_of_repository(repository.id, repository.account_id).await?;
    drop(counting);
    let seen = view(app, (sizes, as_of), Scope::Repository(repository.id)).await?;
    if sees_all {
        return Ok(seen);
    }
    Ok(SizesView { unique: None, shared: None, reclaimable: sizes.unneeded, ..seen })
}

async fn view(app: &App, (sizes, as_of): (Sizes, i64), scope: Scope) -> Result<SizesView, Refused> {
    let as_of = rfc3339(as_of);
    let Usage { used, reserved } = app.metadata.usage(scope).await?;
    let Sizes { logical, unique, shared, reclaimable, .. } = sizes;
    let (unique, shared) = (Some(unique), Some(shared));
    let quota = app.metadata.quota(scope).await?.into();
    Ok(SizesView { as_of, logical, unique, shared, reclaimable, used, reserved, quota })
}
