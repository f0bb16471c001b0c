//! The rules of a repository and of an account on what moves and what is kept.

mod changes;

use hallmark_gc::policy::Policy;
use hallmark_oci::RepositoryName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::repositories::{manages, seen};
use super::{Caller, Refused};
use crate::app::App;
use crate::retention::{self, Undecided};

/// Rules, as they are set and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// Which tags do not move once they point somewhere.
    #[serde(default)]
    pub immutable: ImmutableBody,
    /// What is kept and what goes; a repository that says nothing has what its account says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionBody>,
}

/// Which tags do not move. A pattern is a glob (`v*`), or `re:` and a regular expression, for the whole tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImmutableBody {
    /// Patterns of tags that do not move.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub tags: Vec<String>,
    /// Patterns of tags that do all the same, also where the rules of the account say otherwise.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub except: Vec<String>,
}

/// What is kept and what goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionBody {
    /// The rules. What none names stays, and what one keeps stays, whatever others say.
    #[schema(max_items = 32)]
    pub rules: Vec<RetentionRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// How it is called where it is told what went by it.
    pub name: String,
    /// Whether what it matches is kept or goes.
    #[serde(rename = "do")]
    pub action: RetentionAction,
    /// What it matches: `{"tag": PATTERN}`, `{"untagged": true}`, `{"pushed_within_days": N}`, `{"pulled_within_days": N}`,
    /// `{"newest": {"count": N, "tags": PATTERN}}`, `{"newest_versions": {"count": N, "per": "major"}}`, joined by `all`, `any`, `not`.
    #[schema(value_type = Object)]
    pub when: serde_json::Value,
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetentionAction {
    /// It stays.
    Keep,
    /// It goes, unless another rule keeps it.
    Remove,
}

impl PolicyBody {
    /// As it is kept; `None` when it says nothing.
    fn checked(&self) -> Result<Option<String>, Refused> {
        let text = serde_json::to_string(self).map_err(|error| Refused::invalid("retention", error.to_string()))?;
        let policy = Policy::parse(&text).map_err(|invalid| Refused::invalid("policy", invalid.to_string()))?;
        Ok((!policy.is_empty()).then_some(text))
    }

    fn read(text: Option<&str>) -> Self {
        // What was kept was checked; what a later release wrote says nothing here.
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// The rules of a repository, for who reads it.
///
/// # Errors
/// [`Refused`].
pub async fn of_repository(app: &App, caller: &Caller, name: &RepositoryName) -> Result<PolicyBody, Refused> {
    let (repository, _) = seen(app, caller, name).await?;
    Ok(PolicyBody::read(app.metadata.policies(repository.id).await?.repository.as_deref()))
}

/// Sets the rules of a repository; rules that are what they were are no change.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn set_of_repository(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    policy: PolicyBody,
) -> Result<PolicyBody, Refused> {
    let text = policy.checked()?;
    app.metadata
        .write((caller.clone(), name.clone(), text, policy), |tx, (caller, name, text, policy)| {
            Box::pin(async move {
                let (repository, _) = caller.managed_whole(tx, name).await?;
                let before = tx.policies(repository.id).await?.repository;
                if before == *text {
                    return Ok(policy.clone());
                }
                tx.set_policy(repository.id, text.as_deref()).await?;
                let payload = changes::told(&PolicyBody::read(before.as_deref()), policy);
                let place = (repository.account_id, repository.id);
                tx.record(&caller.event_on(place, "policy_changed", name.as_str(), &payload)).await?;
                Ok(policy.clone())
            })
        })
        .await
}

/// What goes by rules: a tag alone, or a manifest with its tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VictimView {
    /// The manifest.
    pub digest: String,
    /// Those of its tags that go.
    pub tags: Vec<String>,
    /// Whether it goes itself, into the trash.
    pub whole: bool,
    /// The rule that says so.
    pub rule: String,
}

/// What would go by rules now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionPreview {
    /// Everything that goes; at most 10,000 are listed.
    pub victims: Vec<VictimView>,
    /// How many go, listed or not.
    pub count: u64,
    /// The bytes that nothing in the account names any more then, each blob counted once, with what goes with the victims: children, what
    /// refers to them, signatures; free once all of it has left the trash.
    pub bytes: u64,
}

/// The most victims that an answer lists.
const LISTED: usize = 10_000;

/// What would go now by the rules of a repository, or by others that are tried.
///
/// # Errors
/// [`Refused`].
pub async fn preview(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    tried: PolicyBody,
) -> Result<RetentionPreview, Refused> {
    let repository = manages(app, caller, name).await?;
    let tried = tried.checked()?.map(|text| Policy::parse(&text));
    let tried = tried.transpose().map_err(|invalid| Refused::invalid("policy", invalid.to_string()))?;
    let instead = tried.and_then(|policy| policy.retention);
    let place = (repository.id, repository.account_id);
    let going =
        retention::preview(app, place, instead.as_ref(), LISTED).await.map_err(|undecided| match undecided {
            Undecided::Metadata(error) => Refused::Metadata(error),
            Undecided::Thread(error) => Refused::Ended(error),
            Undecided::Busy | Undecided::Stopped => Refused::Busy(undecided.to_string()),
            Undecided::Rules(_) | Undecided::TooLarge => Refused::Conflict(undecided.to_string()),
        })?;
    let victims = going.listed.into_iter().map(|(victim, digest)| VictimView {
        digest: digest.to_string(),
        tags: victim.tags,
        whole: victim.whole,
        rule: victim.rule,
    });
    Ok(RetentionPreview { victims: victims.collect(), count: going.count, bytes: going.bytes })
}

/// The rules of an account, for who belongs to it.
///
/// # Errors
/// [`Refused`].
pub async fn of_account(app: &App, caller: &Caller, account: &str) -> Result<PolicyBody, Refused> {
    let (account, _) = caller.visible_account(app, account).await?;
    Ok(PolicyBody::read(app.metadata.account_policy(account.id).await?.as_deref()))
}

/// Sets the rules of an account, for who governs it; rules that are what they were are no change.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn set_of_account(
    app: &App,
    caller: &Caller,
    account: &str,
    policy: PolicyBody,
) -> Result<PolicyBody, Refused> {
    let text = policy.checked()?;
    app.metadata
        .write((caller.clone(), account.to_owned(), text, policy), |tx, (caller, name, text, policy)| {
            Box::pin(async move {
                let account = caller.governed(tx, name).await?;
                let before = tx.account_policy(account.id).await?;
                if before == *text {
                    return Ok(policy.clone());
                }
                tx.set_account_policy(account.id, text.as_deref()).await?;
                let payload = changes::told(&PolicyBody::read(before.as_deref()), policy);
                tx.record(&caller.event_in(account.id, "policy_changed", name, &payload)).await?;
                Ok(policy.clone())
            })
        })
        .await
}
