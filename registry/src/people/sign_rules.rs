//! What the registry signs by itself in a repository, and the checks that programs report.
//!
//! A rule names a holder: whatever they push is signed, or, with the name of a check, whatever they report to have passed it. Who
//! reports needs no right to sign, and a report that no rule names is refused.

use hallmark_oci::{Digest, RepositoryName};
use hallmark_storage::metadata::{self, Event, Reported, Rights, SignRule};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::grants::{self, HolderName};
use super::repositories::manages;
use super::{Caller, List, Page, Refused, shapes};
use crate::app::App;
use crate::clock::rfc3339;

/// The most rules of a repository.
const RULES: i64 = 32;
/// The longest name of a check, in bytes.
const CHECK_BYTES: usize = 64;
/// The refusal of a report that would sign nothing.
const UNNAMED: &str = "no rule of the repository names this check and you; who administers it can make one";

/// A rule to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSignRule {
    /// Whose pushes, or whose reports: user:ann, team:acme/dev or robot:acme+ci.
    #[schema(value_type = shapes::HolderText)]
    pub holder: String,
    /// The check that must have passed. Left out, whatever the holder pushes is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_./-]{1,64}$")]
    pub check: Option<String>,
}

/// A rule as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignRuleView {
    /// By which it is removed.
    pub id: i64,
    /// Whose pushes, or whose reports.
    pub holder: String,
    /// The check that must have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// When it was made (RFC 3339).
    pub made_at: String,
}

/// A check that a manifest has passed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheck {
    /// Its name, such as `tests`.
    #[schema(pattern = "^[A-Za-z0-9_./-]{1,64}$")]
    pub name: String,
    /// The manifest.
    #[schema(value_type = shapes::Digest)]
    pub digest: String,
}

impl From<SignRule> for SignRuleView {
    fn from(rule: SignRule) -> Self {
        Self { id: rule.id, holder: rule.holder, check: rule.check, made_at: rfc3339(rule.made_at) }
    }
}

fn check_name(name: &str) -> Result<(), Refused> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if (1..=CHECK_BYTES).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    let why = format!("the name of a check has 1 to {CHECK_BYTES} letters, digits and any of - _ . /");
    Err(Refused::invalid("name", why))
}

/// The rules of a repository, for who manages it: they name its teams and robots.
///
/// # Errors
/// [`Refused`].
pub async fn list(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    page: &Page,
) -> Result<List<SignRuleView>, Refused> {
    let (limit, after) = page.check()?;
    let after =
        after.map_or(Ok(0), str::parse).map_err(|_| Refused::invalid("after", "it is no place in this list"))?;
    let repository = manages(app, caller, name).await?;
    let rows: Result<_, metadata::Error> = app.metadata.sign_rules(repository.id, after, limit + 1).await;
    Ok(List::cut(rows?, limit, |rule| rule.id.to_string(), Into::into))
}

/// Makes a rule.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    new: NewSignRule,
) -> Result<SignRuleView, Refused> {
    let holder: HolderName = new.holder.parse()?;
    if let Some(check) = &new.check {
        check_name(check)?;
    }
    app.metadata
        .write((caller.clone(), name.clone(), holder, new.check), |tx, (caller, name, holder, check)| {
            Box::pin(async move {
                caller.may_leave_secrets()?;
                let needed = "this needs the right admin on the repository";
                // Nobody lets others sign who may not sign.
                caller.with_right(tx, name, Rights::SIGN, needed).await?;
                let repository = caller.with_right(tx, name, Rights::MANAGE, needed).await?;
                let id = grants::holder_in(tx, (name, &repository), holder).await?;
                let text = holder.to_string();
                let made = tx.add_sign_rule(repository.id, (id, &text), check.as_deref(), (caller.now, RULES)).await?;
                let made = made.ok_or_else(|| Refused::Conflict(format!("a repository has at most {RULES} rules")))?;
                let payload = json!({"holder": text, "check": check}).to_string();
                let place = (repository.account_id, repository.id);
                tx.record(&caller.event_on(place, "sign_rule_created", &made.id.to_string(), &payload)).await?;
                Ok(made.into())
            })
        })
        .await
}

/// Removes a rule. What it has signed stays signed.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, name: &RepositoryName, id: i64) -> Result<(), Refused> {
    app.metadata
        .write((caller.clone(), name.clone(), id), |tx, (caller, name, id)| {
            Box::pin(async move {
                let needed = "this needs the right admin on the repository";
                let repository = caller.with_right(tx, name, Rights::MANAGE, needed).await?;
                if !tx.remove_sign_rule(repository.id, *id).await? {
                    return Err(Refused::Unknown("rule"));
                }
                let place = (repository.account_id, repository.id);
                Ok(tx.record(&caller.event_on(place, "sign_rule_removed", &id.to_string(), "")).await?)
            })
        })
        .await
}

/// Reports that a manifest has passed a check. Who is named by a rule needs no other right than to read.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn report(app: &App, caller: &Caller, name: &RepositoryName, new: NewCheck) -> Result<(), Refused> {
    check_name(&new.name)?;
    let digest: Digest = new.digest.parse().map_err(|invalid| Refused::invalid("digest", format!("{invalid}")))?;
    app.metadata
        .write((caller.clone(), name.clone(), digest, new.name), |tx, (caller, name, digest, check)| {
            Box::pin(async move {
                let needed = "this needs the right read on the repository";
                let repository = caller.with_right(tx, name, Rights::READ, needed).await?;
                let by = (check.as_str(), caller.principal().id);
                let at = match tx.report_check(repository.id, digest, by, caller.now).await? {
                    Reported::Kept { at } => at,
                    // Whoever is named may say so as often as they like, and nobody has to remember it.
                    Reported::Known => return Ok(()),
                    // Somebody who mistyped a name would wait for a signature that never comes.
                    Reported::Unnamed => return Err(Refused::Forbidden(UNNAMED)),
                    Reported::Unknown => return Err(Refused::Unknown("manifest")),
                };
                let place = (repository.account_id, repository.id);
                let payload = json!({"check": check}).to_string();
                let event = caller.event_on(place, "check_passed", digest.as_str(), &payload);
                Ok(tx.record(&Event { at, ..event }).await?)
            })
        })
        .await
}
