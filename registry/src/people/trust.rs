//! The roots of trust domains: shown to everybody, drafted and published by who answers for the domain.
//!
//! The registry has a domain, and each organization that wants one. Administrators answer for the first, owners for the others.

use hallmark_signer::tuf::{Keyholders, RootContent, RootRole};
use hallmark_signer::{RootPlan, TufRefused};
use hallmark_storage::metadata::{self, NamedFile, TrustRoot, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::organizations::visible;
use super::{Caller, List, Page, Refused};
use crate::app::App;
use crate::clock::rfc3339;
use crate::trust::tuf::root::{self, By, RootError};
use crate::trust::tuf::{DOMAIN, TufError, shelf};

/// The refusal of whoever would give the root away and shows what ends.
const PASSWORD: &str = "sign in with a password to give the root to other keys; a token or certificate may not";
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
            RootError::Signer(TufRefused::Unserved(unserved)) => Self::Unsigned(unserved),
            RootError::Unknown => Self::Unknown("trust domain"),
            RootError::Overtaken => Self::Changed,
            RootError::Many => Self::Conflict(error.to_string()),
            error @ (RootError::Refused(..) | RootError::Signer(TufRefused::Root(_) | TufRefused::Plan(_))) => {
                Self::invalid("document", error.to_string())
            }
            RootError::Signer(TufRefused::NoKey(role)) => {
                let why = format!("for the role {role} it must name keys of this registry, and no others");
                Self::invalid("document", why)
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

/// A domain that the caller answers for, and by whom it is changed.
struct Governed {
    domain: String,
    by: By,
}

/// The domain that is meant, when the caller answers for it: now, and to be asked again by whatever changes it.
async fn governed(app: &App, caller: &Caller, whose: Whose<'_>) -> Result<Governed, Refused> {
    let input = (caller.clone(), whose.map(str::to_owned));
    app.metadata.write(input, |tx, (caller, whose)| Box::pin(govern(tx, caller, whose.as_deref()))).await
}

async fn govern(tx: &mut Tx, caller: &Caller, whose: Whose<'_>) -> Result<Governed, Refused> {
    caller.may_change()?;
    let by = |account| By { actor: caller.principal().id, request_id: caller.request_id.clone(), account };
    if let Some(name) = whose {
        let id = caller.owned(tx, name).await?.id;
        return Ok(Governed { domain: root::of_organization(id), by: by(Some(id)) });
    }
    caller.stands(tx).await?;
    match caller.administers() {
        true => Ok(Governed { domain: DOMAIN.to_owned(), by: by(None) }),
        false => Err(Refused::Forbidden("only an administrator changes what the registry itself vouches by")),
    }
}

/// The root that holds, as it is shown.
async fn shown(app: &App, domain: &str) -> Result<RootView, Refused> {
    let root = app.metadata.trust_root(domain, None).await?;
    show(&root.ok_or(Refused::Unknown("trust domain"))?)
}

/// The root of a domain that holds.
///
/// # Errors
/// [`Refused::Unknown`] for an organization that has none of its own.
pub async fn describe(app: &App, caller: &Caller, whose: Whose<'_>) -> Result<RootView, Refused> {
    shown(app, &domain(app, caller, whose).await?).await
}

/// Gives an organization a domain of its own: its repositories are published under it from then on. Who has pinned the registry's
/// root has to pin the organization's.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn begin(app: &App, caller: &Caller, organization: &str) -> Result<RootView, Refused> {
    let Governed { domain, by } = governed(app, caller, Some(organization)).await?;
    if app.metadata.trust_root(&domain, None).await?.is_some() {
        return Err(Refused::Conflict("the organization has a trust domain of its own already".to_owned()));
    }
    let made = root::make(app, &domain, &by).await.map_err(|error| match error {
        TufError::Metadata(error) => Refused::Metadata(error),
        TufError::Signer(refused) => RootError::Signer(refused).into(),
        error => Refused::Conflict(format!("the signer did not sign: {error}")),
    })?;
    let change = (caller.clone(), organization.to_owned(), made);
    app.metadata
        .write(change, |tx, (caller, organization, made)| {
            Box::pin(async move {
                let Governed { by, .. } = govern(tx, caller, Some(organization)).await?;
                Ok::<_, Refused>(root::begin(tx, made, &by, caller.now).await?)
            })
        })
        .await?;
    shown(app, &domain).await
}

/// A draft of the next root.
///
/// # Errors
/// [`Refused`]; nothing holds that did not before.
pub async fn draft(app: &App, caller: &Caller, whose: Whose<'_>, new: NewDraft) -> Result<DraftView, Refused> {
    let Governed { domain, by } = governed(app, caller, whose).await?;
    let holders = match new.keys {
        None if new.threshold.is_some() => {
            return Err(Refused::invalid("threshold", "a threshold is given with the keys that it counts"));
        }
        None => None,
        // The draft bears the signature of the root that holds: whoever has it may show it to clients as it is.
        Some(_) if !caller.signed_in_with_a_password() => return Err(Refused::Forbidden(PASSWORD)),
        Some(keys) => Some(holders(keys, new.threshold)?),
    };
    let in_root = |role: &RotatedRole| role.in_root();
    let rotate: Option<Vec<RootRole>> = new.rotate.iter().map(in_root).collect();
    let rotate =
        rotate.ok_or_else(|| Refused::invalid("rotate", "no root names the role tags: rotate it by itself"))?;
    let document = root::draft(app, &domain, RootPlan { holders, rotate, days: new.days }, &by).await?;
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
    let holders = Keyholders { keys, threshold };
    holders.check().map_err(|why| Refused::invalid("keys", why.to_string()))?;
    Ok(holders)
}

/// Publishes the next root of a domain. One that gives the root to other keys takes a password: who holds them holds the domain,
/// however soon a token ends.
///
/// # Errors
/// [`Refused`]; the root that held holds on.
pub async fn publish(app: &App, caller: &Caller, whose: Whose<'_>, new: NewRoot) -> Result<RootView, Refused> {
    let Governed { domain, by } = governed(app, caller, whose).await?;
    if new.document.len() > ROOT_BYTES {
        return Err(Refused::invalid("document", format!("a root has at most {ROOT_BYTES} bytes")));
    }
    let (made, content) = root::successor(app, &domain, new.document.as_bytes(), &by).await?;
    if !root::keeps_holders(app, &domain, &content).await? && !caller.signed_in_with_a_password() {
        return Err(Refused::Forbidden(PASSWORD));
    }
    keep(app, caller, whose, made).await
}

/// Lets a root hold, and destroys the keys that it has replaced.
async fn keep(app: &App, caller: &Caller, whose: Whose<'_>, made: TrustRoot) -> Result<RootView, Refused> {
    let domain = made.domain.clone();
    let change = (caller.clone(), whose.map(str::to_owned), made);
    app.metadata
        .write(change, |tx, (caller, whose, made)| {
            Box::pin(async move {
                let Governed { by, .. } = govern(tx, caller, whose.as_deref()).await?;
                Ok::<_, Refused>(root::keep(tx, made, &by, caller.now).await?)
            })
        })
        .await?;
    root::retire(app, &domain).await?;
    shown(app, &domain).await
}

/// Gives a role a new key, and publishes the root that names it. Where people hold the root, they sign: see [`draft`].
///
/// # Errors
/// [`Refused`]; the old key holds on.
pub async fn rotate(app: &App, caller: &Caller, whose: Whose<'_>, new: NewRotation) -> Result<RootView, Refused> {
    let Governed { domain, by } = governed(app, caller, whose).await?;
    let Some(role) = new.role.in_root() else { return rotate_tags(app, caller, whose, &domain).await };
    let begun = newest(app, &domain).await?;
    let plan = RootPlan { rotate: vec![role], ..RootPlan::default() };
    let made = async {
        let drafted = root::draft(app, &domain, plan, &by).await?;
        root::successor(app, &domain, &drafted, &by).await
    };
    match made.await {
        Ok((made, _)) => keep(app, caller, whose, made).await,
        // Another root has followed the one that it was drafted on, and its keys may be gone: whatever is said of that is said of it.
        Err(error) if error.is_of_the_root() && newest(app, &domain).await? != begun => Err(Refused::Changed),
        Err(RootError::Refused(..)) => {
            let why = "people hold the keys of this root: draft the next one, let them sign it, and publish it";
            Err(Refused::Conflict(why.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The version of the root that holds.
async fn newest(app: &App, domain: &str) -> Result<Option<i64>, Refused> {
    Ok(app.metadata.trust_root(domain, None).await?.map(|root| root.version))
}

async fn rotate_tags(app: &App, caller: &Caller, whose: Whose<'_>, domain: &str) -> Result<RootView, Refused> {
    let input = (caller.clone(), domain.to_owned());
    let counted: Result<(), RootError> =
        app.metadata.write(input, |tx, (caller, domain)| Box::pin(root::count_tags(tx, domain, caller.now))).await;
    counted?;
    app.signer.rotate_tags(domain, caller.now).await.map_err(|error| Refused::from(RootError::Signer(error)))?;
    let change = (caller.clone(), whose.map(str::to_owned));
    app.metadata
        .write(change, |tx, (caller, whose)| {
            Box::pin(async move {
                let Governed { domain, by } = govern(tx, caller, whose.as_deref()).await?;
                Ok::<_, Refused>(root::renew_tags(tx, &domain, &by, caller.now).await?)
            })
        })
        .await?;
    root::retire(app, domain).await?;
    shown(app, domain).await
}

/// A file that verifiers need, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustFileView {
    /// Its name: what it is asked for by, below `/tuf/targets/`.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub length: u64,
    /// When it was put there (RFC 3339).
    pub put_at: String,
}

/// A file to be put there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrustFile {
    /// Its text: such a file is JSON or PEM.
    #[schema(min_length = 1)]
    pub content: String,
}

/// The longest name and the most files.
const NAME_BYTES: usize = 100;
const FILES: u32 = 200;
/// What the names of the registry's own files begin with.
const OWN: &str = "organization.";

fn show_file(file: NamedFile) -> TrustFileView {
    TrustFileView {
        name: file.name,
        sha256: file.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        length: file.body.len() as u64,
        put_at: rfc3339(file.put_at),
    }
}

/// The files that verifiers need, by name.
///
/// # Errors
/// [`Refused`].
pub async fn files(app: &App, page: &Page) -> Result<List<TrustFileView>, Refused> {
    let (limit, after) = page.check()?;
    let rows: Result<_, metadata::Error> = app.metadata.trust_files(after.unwrap_or_default(), limit + 1).await;
    Ok(List::cut(rows?, limit, |file| file.name.clone(), show_file))
}

/// Puts a file there, in the place of one of its name: it is published within a second or two, at `/tuf/`, for everybody.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn put_file(app: &App, caller: &Caller, name: &str, new: NewTrustFile) -> Result<TrustFileView, Refused> {
    governed(app, caller, None).await?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.');
    if !is_name || name.starts_with(OWN) {
        let why =
            format!("a name has 1 to {NAME_BYTES} letters, digits and any of - _ . and does not begin with . or {OWN}");
        return Err(Refused::invalid("name", why));
    }
    if new.content.is_empty() {
        return Err(Refused::invalid("content", "an empty file helps nobody; remove it instead"));
    }
    let sha256 = ring::digest::digest(&ring::digest::SHA256, new.content.as_bytes()).as_ref().to_vec();
    let file = NamedFile { name: name.to_owned(), sha256, body: new.content.into_bytes(), put_at: caller.now };
    let others = app.metadata.trust_files("", FILES + 1).await?;
    if others.len() >= FILES as usize && !others.iter().any(|other| other.name == name) {
        return Err(Refused::Conflict(format!("there are {FILES} files already, as many as there may be")));
    }
    app.metadata
        .write((caller.clone(), file), |tx, (caller, file)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                tx.put_trust_file(file).await?;
                shelf::changed(tx, caller.now, &caller.request_id).await?;
                let view = show_file(file.clone());
                let payload = serde_json::json!({"sha256": view.sha256}).to_string();
                tx.record(&caller.event("trust_file_put", &file.name, &payload)).await?;
                Ok(view)
            })
        })
        .await
}

/// Removes a file.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn remove_file(app: &App, caller: &Caller, name: &str) -> Result<(), Refused> {
    governed(app, caller, None).await?;
    app.metadata
        .write((caller.clone(), name.to_owned()), |tx, (caller, name)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                if !tx.remove_trust_file(name).await? {
                    return Err(Refused::Unknown("file"));
                }
                shelf::changed(tx, caller.now, &caller.request_id).await?;
                Ok(tx.record(&caller.event("trust_file_removed", name, "")).await?)
            })
        })
        .await
}
