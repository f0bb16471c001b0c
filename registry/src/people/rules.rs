//! Which workloads are a robot: the claims that a token of a trusted issuer must have, so that nothing secret is stored.

use std::collections::BTreeMap;

use hallmark_storage::metadata::{RULES, WorkloadRule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Caller, Refused, robots};
use crate::app::App;
use crate::auth::workload::RuleSettings;
use crate::auth::workloads::RuleRefused;
use crate::clock::rfc3339;

/// A rule as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its id.
    pub id: i64,
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The audience that its tokens must name.
    pub audience: String,
    /// The claims that its tokens must have, each with its whole value.
    pub claims: BTreeMap<String, String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A rule to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// A trusted issuer of the registry's settings.
    pub issuer: String,
    /// The audience that its tokens must name: this registry.
    pub audience: String,
    /// The claims that its tokens must have.
    pub claims: BTreeMap<String, String>,
}

fn show(rule: WorkloadRule) -> RuleView {
    RuleView {
        id: rule.id,
        issuer: rule.issuer,
        audience: rule.audience,
        claims: serde_json::from_str(&rule.claims).unwrap_or_default(),
        created_at: rfc3339(rule.created_at),
    }
}

/// The rules of a robot.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, account: &str, robot: &str) -> Result<Vec<RuleView>, Refused> {
    let robot = robots::overseen(app, caller, account, robot).await?;
    Ok(app.metadata.workload_rules(robot.id).await?.into_iter().map(show).collect())
}

/// Adds a rule to a robot.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(
    app: &App,
    caller: &Caller,
    (account, robot): (&str, &str),
    new: NewRule,
) -> Result<RuleView, Refused> {
    caller.may_leave_secrets()?;
    let settings = RuleSettings {
        issuer: new.issuer.clone(),
        audience: new.audience.clone(),
        claims: new.claims.clone(),
        principal: 0,
    };
    app.workloads.check(settings).map_err(|refused| {
        let field = match &refused {
            RuleRefused::Issuer(_) => "issuer",
            RuleRefused::Audience(_) => "audience",
            RuleRefused::Rule(_) => "claims",
        };
        Refused::invalid(field, refused.to_string())
    })?;
    let claims = serde_json::to_string(&new.claims).unwrap_or_default();
    let input = (caller.clone(), (account.to_owned(), robot.to_owned()), new.clone(), claims);
    let id = app
        .metadata
        .write(input, |tx, (caller, (account, name), new, claims)| {
            Box::pin(async move {
                let (held, robot) = robots::governed(tx, caller, account, name).await?;
                let rule = (new.issuer.as_str(), new.audience.as_str(), claims.as_str());
                let id = tx.add_workload_rule(robot.id, rule, caller.now).await?;
                let id = id.ok_or_else(|| Refused::Conflict(format!("a robot has at most {RULES} rules")))?;
                let payload = serde_json::to_string(new).unwrap_or_default();
                let subject = format!("{account}+{name}");
                tx.record(&caller.event_in(held.id, "workload_rule_created", &subject, &payload)).await?;
                Ok::<_, Refused>(id)
            })
        })
        .await?;
    let NewRule { issuer, audience, claims } = new;
    Ok(RuleView { id, issuer, audience, claims, created_at: rfc3339(caller.now) })
}

/// Removes a rule of a robot.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, (account, robot): (&str, &str), id: i64) -> Result<(), Refused> {
    let input = (caller.clone(), (account.to_owned(), robot.to_owned()), id);
    app.metadata
        .write(input, |tx, (caller, (account, name), id)| {
            Box::pin(async move {
                let (held, robot) = robots::governed(tx, caller, account, name).await?;
                if !tx.remove_workload_rule(*id, robot.id).await? {
                    return Err(Refused::Unknown("rule"));
                }
                let subject = format!("{account}+{name}");
                Ok(tx.record(&caller.event_in(held.id, "workload_rule_removed", &subject, "")).await?)
            })
        })
        .await
}
