//! The roots of trust domains: shown to everybody, drafted and published by who answers for the domain.
//!
//! The registry has a domain, and each organization that wants one. Administrators answer for the first, owners for the others.

use hallmark_signer::tuf::{Keyholders, RootContent, RootRole, key_id};
use hallmark_signer::{RootPlan, TufRefused};
use hallmark_storage::metadata::TrustRoot;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::organizations::visible;
use super::{Caller, Refused};
use crate::app::App;
use crate::clock::rfc3339;
use crate::trust::tuf::root::{self, RootError};
use crate::trust::tuf::{DOMAIN, TufError};

/// The most people who may hold keys of a root.
const HOLDERS: usize = 64;
/// The longest root that is taken, in bytes.
const ROOT_BYTES: usize = 128 * 1024;

/// Whose domain is meant: the registry's, or this organization's.
pub type Whose<'w> = Option<&'w str>;

/// A root as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootView {
    /// Its version.
    pub version: u64,
    /// When it expires (RFC 3339).
    pub expires: String,
    /// The SHA-256 of its bytes, to be compared by people.
    pub fingerprint: String,
    /// How many of its keys must sign the next one.
    pub threshold: u64,
    /// The ids of its keys.
    pub keys: Vec<String>,
    /// The root itself: a file of TUF 1.0.
    pub document: String,
}

/// A root that is to be published.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoot {
    /// The file, signed by as many keys as the root before it and it itself ask for.
    pub document: String,
}

/// What the next root is to say.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDraft {
    /// Who holds the root from then on: public keys as TUF 1.0 writes them. Left out, it stays with whoever holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub keys: Option<Vec<Value>>,
    /// How many of these keys must sign; all of them, unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Roles that get new keys: `root` (while the registry holds it), `targets`, `snapshot`, `timestamp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotate: Vec<RotatedRole>,
    /// For how many days it holds: 1 to 3650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<i64>,
}

/// A role of a trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the role of its name")]
pub enum RotatedRole {
    Root,
    Targets,
    Snapshot,
    Timestamp,
    Tags,
}

/// A draft of a root, to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DraftView {
    /// The file, with the signatures of those keys that the registry holds itself.
    pub document: String,
}

/// A role that gets a new key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRotation {
    /// Which.
    pub role: RotatedRole,
}

impl RotatedRole {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.in_root().map_or("tags", RootRole::as_str)
    }

    /// The role as roots name it; `None` for the one that they do not.
    fn in_root(self) -> Option<RootRole> {
        match self {
            Self::Root => Some(RootRole::Root),
            Self::Targets => Some(RootRole::Targets),
            Self::Snapshot => Some(RootRole::Snapshot),
            Self::Timestamp => Some(RootRole::Timestamp),
            Self::Tags => None,
        }
    }
}

impl From<RootError> for Refused {
    fn from(error: RootError) -> Self {
        match error {
            RootError::Metadata(error) | RootError::Signer(TufRefused::Metadata(error)) => Self::Metadata(error),
            RootError::Unknown => Self::Unknown("trust domain"),
            RootError::Overtaken => Self::Changed,
            error @ (RootError::Refused(..) | RootError::Signer(TufRefused::Root(_) | TufRefused::Plan(_))) => {
                Self::invalid("document", error.to_string())
            }
            RootError::Signer(TufRefused::NoKey(role)) => {
                Self::invalid("document", format!("it names no key of this registry for the role {role}"))
            }
            error @ RootError::Signer(_) => Self::Conflict(format!("the signer did not sign: {error}")),
        }
    }
}

fn show(root: &TrustRoot) -> Result<RootView, Refused> {
    let content = RootContent::read(&root.body).map_err(|flaw| Refused::Conflict(format!("the root: {flaw}")))?;
    let sum = ring::digest::digest(&ring::digest::SHA256, &root.body);
    Ok(RootView {
        version: content.version,
        expires: rfc3339(content.expires),
        fingerprint: sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        threshold: content.roles.get(&RootRole::Root).map_or(0, |holders| holders.threshold),
        keys: content.ids(RootRole::Root),
        document: String::from_utf8_lossy(&root.body).into_owned(),
    })
}

/// The domain that is meant, when the caller may know of it.
async fn domain(app: &App, caller: &Caller, whose: Whose<'_>) -> Result<String, Refused> {
    match whose {
        None => Ok(DOMAIN.to_owned()),
        Some(name) => Ok(root::of_organization(visible(app, caller, name).await?.id)),
    }
}

/// The domain that is meant, when the caller answers for it.
async fn governed(app: &App, caller: &Caller, whose: Whose<'_>) -> Result<String, Refused> {
    caller.may_change()?;
    let input = (caller.clone(), whose.map(str::to_owned));
    app.metadata
        .write(input, |tx, (caller, whose)| {
            Box::pin(async move {
                match whose {
                    Some(name) => Ok(root::of_organization(caller.owned(tx, name).await?.id)),
                    None => {
                        caller.stands(tx).await?;
                        match caller.administers() {
                            true => Ok(DOMAIN.to_owned()),
                            false => Err(Refused::Forbidden("only an administrator changes the root of the registry")),
                        }
                    }
                }
            })
        })
        .await
}

/// The root of a domain that holds.
///
/// # Errors
/// [`Refused::Unknown`] for an organization that has none of its own.
pub async fn describe(app: &App, caller: &Caller, whose: Whose<'_>) -> Result<RootView, Refused> {
    let domain = domain(app, caller, whose).await?;
    let root = app.metadata.trust_root(&domain, None).await?;
    show(&root.ok_or(Refused::Unknown("trust domain"))?)
}

/// Gives an organization a domain of its own: its repositories are published under it from then on. Who has pinned the registry's
/// root has to pin the organization's.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn begin(app: &App, caller: &Caller, organization: &str) -> Result<RootView, Refused> {
    let domain = governed(app, caller, Some(organization)).await?;
    if app.metadata.trust_root(&domain, None).await?.is_some() {
        return Err(Refused::Conflict("the organization has a trust domain of its own already".to_owned()));
    }
    let made = root::first(app, &domain).await.map_err(|error| match error {
        TufError::Metadata(error) => Refused::Metadata(error),
        error => Refused::Conflict(format!("the signer did not sign: {error}")),
    })?;
    show(&made)
}

/// A draft of the next root.
///
/// # Errors
/// [`Refused`]; nothing holds that did not before.
pub async fn draft(app: &App, caller: &Caller, whose: Whose<'_>, new: NewDraft) -> Result<DraftView, Refused> {
    let domain = governed(app, caller, whose).await?;
    let holders = match new.keys {
        None if new.threshold.is_some() => {
            return Err(Refused::invalid("threshold", "a threshold is given with the keys that it counts"));
        }
        None => None,
        Some(keys) => Some(holders(keys, new.threshold)?),
    };
    let in_root = |role: &RotatedRole| role.in_root();
    let rotate: Option<Vec<RootRole>> = new.rotate.iter().map(in_root).collect();
    let rotate =
        rotate.ok_or_else(|| Refused::invalid("rotate", "no root names the role tags: rotate it by itself"))?;
    let document = root::draft(app, &domain, RootPlan { holders, rotate, days: new.days }).await?;
    Ok(DraftView { document: String::from_utf8_lossy(&document).into_owned() })
}

fn holders(keys: Vec<Value>, threshold: Option<u64>) -> Result<Keyholders, Refused> {
    let threshold = threshold.unwrap_or(keys.len() as u64);
    if keys.is_empty() || keys.len() > HOLDERS {
        return Err(Refused::invalid("keys", format!("a root has 1 to {HOLDERS} keys")));
    }
    if threshold < 1 || threshold > keys.len() as u64 {
        return Err(Refused::invalid("threshold", "it is at least 1 and at most the number of keys"));
    }
    let mut ids: Vec<String> = keys.iter().filter_map(|key| key_id(key).ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < keys.len() {
        return Err(Refused::invalid("keys", "each key is named once"));
    }
    Ok(Keyholders { keys, threshold })
}

/// Publishes the next root of a domain.
///
/// # Errors
/// [`Refused`]; the root that held holds on.
pub async fn publish(app: &App, caller: &Caller, whose: Whose<'_>, new: NewRoot) -> Result<RootView, Refused> {
    let domain = governed(app, caller, whose).await?;
    if new.document.len() > ROOT_BYTES {
        return Err(Refused::invalid("document", format!("a root has at most {ROOT_BYTES} bytes")));
    }
    let by = (caller.principal().id, caller.request_id.as_str());
    root::publish(app, &domain, new.document.as_bytes(), by).await?;
    show(&app.metadata.trust_root(&domain, None).await?.ok_or(Refused::Unknown("trust domain"))?)
}

/// Gives a role a new key, and publishes the root that names it. Where people hold the root, they sign: see [`draft`].
///
/// # Errors
/// [`Refused`]; the old key holds on.
pub async fn rotate(app: &App, caller: &Caller, whose: Whose<'_>, new: NewRotation) -> Result<RootView, Refused> {
    let domain = governed(app, caller, whose).await?;
    let by = (caller.principal().id, caller.request_id.as_str());
    let Some(role) = new.role.in_root() else {
        return show(&root::rotate_tags(app, &domain, by).await?);
    };
    let drafted = root::draft(app, &domain, RootPlan { rotate: vec![role], ..RootPlan::default() }).await?;
    match root::publish(app, &domain, &drafted, by).await {
        Ok(_) => {}
        Err(RootError::Refused(..)) => {
            let why = "people hold the keys of this root: draft the next one, let them sign it, and publish it";
            return Err(Refused::Conflict(why.to_owned()));
        }
        Err(error) => return Err(error.into()),
    }
    show(&app.metadata.trust_root(&domain, None).await?.ok_or(Refused::Unknown("trust domain"))?)
}
