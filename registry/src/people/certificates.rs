//! Which client certificates are whose. The authority is one for the whole registry, so only administrators say so.

use hallmark_storage::metadata::{CertificateKind, CertificateRule, Holder, PrincipalId, SystemRole, Tx, User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grants::HolderName;
use super::{Caller, List, Page, Refused, shapes};
use crate::app::App;
use crate::auth::subject;
use crate::clock::rfc3339;

/// The longest pattern, in bytes.
const PATTERN_BYTES: usize = 1_024;

/// A rule as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Its id.
    pub id: i64,
    /// Who shows such a certificate: `user:ann` or `robot:acme+ci`.
    pub holder: String,
    /// Which name of the certificate is compared: `subject`, `dns`, `uri` or `email`.
    pub kind: String,
    /// What it must be, a subject as RFC 4514 spells it. `*.` before the end of a host's name and `/*` behind the beginning of a URI stand for the rest.
    pub pattern: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A rule to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// Who shows such a certificate: `user:ann` or `robot:acme+ci`.
    #[schema(value_type = shapes::SubjectText)]
    pub holder: String,
    /// Which name of the certificate is compared: `subject`, `dns`, `uri` or `email`.
    #[schema(pattern = "^(subject|dns|uri|email)$")]
    pub kind: String,
    /// What it must be; a subject as RFC 4514 spells it, the last part first: `CN=ci,OU=Builds,O=Example`.
    #[schema(min_length = 1, max_length = 1024)]
    pub pattern: String,
}

/// All rules, for administrators and auditors.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, page: &Page) -> Result<List<CertificateView>, Refused> {
    let (limit, after) = page.check()?;
    if !caller.reads_everything() {
        return Err(Refused::Forbidden("only administrators and auditors list whose certificates are whose"));
    }
    let after = after.map(str::parse).transpose().map_err(|_| Refused::invalid("after", "use the `next` of before"))?;
    let rows = app.metadata.certificate_rules(after.unwrap_or(i64::MIN), limit + 1).await?;
    let page = List::cut(rows, limit, |row| row.id.to_string(), |row| row);
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        items.push(show(app, row).await?);
    }
    Ok(List { items, next: page.next })
}

async fn show(app: &App, rule: CertificateRule) -> Result<CertificateView, Refused> {
    let holder = app.metadata.holder(rule.principal).await?;
    Ok(CertificateView {
        id: rule.id,
        holder: holder.map(|holder| HolderName(holder).to_string()).unwrap_or_default(),
        kind: rule.kind.word().to_owned(),
        pattern: rule.pattern,
        created_at: rfc3339(rule.created_at),
    })
}

/// Says whose certificates those are that match.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(app: &App, caller: &Caller, new: NewCertificate) -> Result<CertificateView, Refused> {
    administers(caller)?;
    caller.may_leave_secrets()?;
    let kind: CertificateKind =
        new.kind.parse().map_err(|()| Refused::invalid("kind", "use subject, dns, uri or email"))?;
    let holder: HolderName = new.holder.parse()?;
    check(kind, &new.pattern)?;
    let pattern = spelled(kind, new.pattern)?;
    let id = app
        .metadata
        .write((caller.clone(), holder, kind, pattern.clone()), |tx, (caller, holder, kind, pattern)| {
            Box::pin(add(tx, caller, holder, (*kind, pattern)))
        })
        .await?;
    let NewCertificate { holder, kind, .. } = new;
    Ok(CertificateView { id, holder, kind, pattern, created_at: rfc3339(caller.now) })
}

fn administers(caller: &Caller) -> Result<(), Refused> {
    caller.may_change()?;
    if caller.administers() {
        return Ok(());
    }
    Err(Refused::Forbidden("only an administrator says whose certificates are whose"))
}

/// A star stands for whole parts: before the last two of a host's name at least, behind the host of a URI at least.
fn check(kind: CertificateKind, pattern: &str) -> Result<(), Refused> {
    let invalid = |why: &str| Err(Refused::invalid("pattern", why));
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES || pattern.chars().any(char::is_control) {
        return invalid("a pattern has 1 to 1024 bytes, none of control");
    }
    let stars = pattern.matches('*').count();
    match kind {
        _ if stars == 0 => Ok(()),
        CertificateKind::Dns if stars == 1 && pattern.starts_with("*.") && pattern[2..].contains('.') => Ok(()),
        CertificateKind::Uri if stars == 1 && pattern.ends_with("/*") => {
            let behind = pattern.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
            // At least the trust domain or host is named.
            if behind.find('/').is_some_and(|slash| slash > 0) {
                Ok(())
            } else {
                invalid("name the host of the URI in full")
            }
        }
        CertificateKind::Dns => invalid("a host's pattern is a name, or *. before at least two parts"),
        CertificateKind::Uri => invalid("a URI's pattern is a URI, or one that ends in /*"),
        CertificateKind::Subject | CertificateKind::Email => invalid("subjects and addresses are compared whole"),
    }
}

/// The pattern as the names of certificates are spelled, since they are compared whole.
fn spelled(kind: CertificateKind, pattern: String) -> Result<String, Refused> {
    match kind {
        CertificateKind::Dns => Ok(pattern.to_ascii_lowercase()),
        CertificateKind::Subject => subject::respell(&pattern).ok_or_else(|| {
            Refused::invalid(
                "pattern",
                "a subject is spelled by RFC 4514, the last part first, like CN=ci,OU=Builds,O=Example",
            )
        }),
        CertificateKind::Uri | CertificateKind::Email => Ok(pattern),
    }
}

async fn add(
    tx: &mut Tx,
    caller: &Caller,
    holder: &HolderName,
    (kind, pattern): (CertificateKind, &str),
) -> Result<i64, Refused> {
    caller.stands(tx).await?;
    let (principal, role) = principal(tx, holder).await?;
    if role != SystemRole::None {
        caller.may_make_administrators()?;
    }
    let id = tx.add_certificate_rule(principal, (kind, pattern), caller.now).await?;
    let id = id.ok_or_else(|| Refused::Conflict(format!("{pattern:?} is somebody's already")))?;
    let payload = serde_json::json!({"holder": holder.to_string(), "kind": kind.word()}).to_string();
    tx.record(&caller.event("certificate_rule_created", pattern, &payload)).await?;
    Ok(id)
}

async fn principal(tx: &mut Tx, holder: &HolderName) -> Result<(PrincipalId, SystemRole), Refused> {
    let unknown = || Refused::invalid("holder", format!("there is no {holder}"));
    match &holder.0 {
        Holder::User(name) => {
            tx.user(name).await?.map(|User { principal, .. }| (principal.id, principal.role)).ok_or_else(unknown)
        }
        Holder::Robot(account, name) => {
            let account = tx.account(account).await?.ok_or_else(unknown)?;
            tx.robot(account.id, name).await?.map(|robot| (robot.id, SystemRole::None)).ok_or_else(unknown)
        }
        Holder::Team(..) => Err(Refused::invalid("holder", "a team shows no certificate")),
    }
}

/// Removes a rule.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove(app: &App, caller: &Caller, id: i64) -> Result<(), Refused> {
    administers(caller)?;
    app.metadata
        .write((caller.clone(), id), |tx, (caller, id)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                if !tx.remove_certificate_rule(*id).await? {
                    return Err(Refused::Unknown("rule"));
                }
                Ok(tx.record(&caller.event("certificate_rule_removed", &id.to_string(), "")).await?)
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_never_stands_for_everything() {
        for (kind, pattern) in [
            (CertificateKind::Dns, "ci.example.com"),
            (CertificateKind::Dns, "*.example.com"),
            (CertificateKind::Uri, "spiffe://example/ns/prod/*"),
            (CertificateKind::Uri, "spiffe://example/*"),
            (CertificateKind::Subject, "CN=ci,O=Example"),
        ] {
            assert!(check(kind, pattern).is_ok(), "{pattern}");
        }
        for (kind, pattern) in [
            (CertificateKind::Dns, "*"),
            (CertificateKind::Dns, "*.com"),
            (CertificateKind::Dns, "ci.*"),
            (CertificateKind::Uri, "*"),
            (CertificateKind::Uri, "spiffe://*"),
            (CertificateKind::Uri, "spiffe:///*"),
            (CertificateKind::Uri, "spiffe://example/ns-*"),
            (CertificateKind::Subject, "CN=*"),
            (CertificateKind::Email, "*@example.com"),
            (CertificateKind::Email, ""),
        ] {
            assert!(check(kind, pattern).is_err(), "{pattern}");
        }
    }
}
