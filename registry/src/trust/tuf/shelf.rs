//! The registry's own repository, at `/tuf/`: what verifiers need, by name. Anybody may read it: what stands there is public.
//!
//! Files that administrators put there stand beside the roots of those organizations that have their own. It has the shape that
//! clients of sigstore read: metadata below `/tuf/`, files below `/tuf/targets/`, their hash in front of their name.

use std::collections::BTreeMap;

use hallmark_storage::metadata::{self, FilesMetadata, NamedFile, TrustRoot, Tx};

use super::{DOMAIN, TufError, root};
use crate::app::App;

/// Which change of the files was the last, as a setting.
const CHANGED: &str = "trust_files_changed";
/// How long before a timestamp expires it is made anew, in milliseconds: half of its life.
const RENEW_BEFORE: i64 = 84 * 60 * 60 * 1_000;
/// How many versions stay, for clients that have begun.
const KEPT: i64 = 24 * 60 * 60;
/// What stands before and behind the name of an organization in the name of its root.
const ROOT_BEGINS: &str = "organization.";
const ROOT_ENDS: &str = ".root.json";
/// How many files one look takes.
const PAGE: u32 = 100;

/// A file of the repository.
pub(crate) struct Shelved {
    /// Its bytes.
    pub(crate) body: Vec<u8>,
    /// Whether these bytes never change under this name.
    pub(crate) is_immutable: bool,
}

/// An organization's root, under the name that it has there.
fn root_of(organization: &str, body: Vec<u8>) -> NamedFile {
    let sha256 = ring::digest::digest(&ring::digest::SHA256, &body).as_ref().to_vec();
    NamedFile { name: format!("{ROOT_BEGINS}{organization}{ROOT_ENDS}"), sha256, body, put_at: 0 }
}

/// One file, by its name below `/tuf/`.
pub(crate) async fn file(app: &App, name: &str) -> Result<Option<Shelved>, metadata::Error> {
    if let Some(target) = name.strip_prefix("targets/") {
        return named(app, target).await;
    }
    if name == "timestamp.json" {
        let found = app.metadata.trust_files_metadata("timestamp", None).await?;
        return Ok(found.map(|found| Shelved { body: found.body, is_immutable: false }));
    }
    let parts = name.strip_suffix(".json").and_then(|stem| stem.split_once('.'));
    let Some((version, role)) = parts.and_then(|(version, role)| Some((version.parse::<i64>().ok()?, role))) else {
        return Ok(None);
    };
    let body = match role {
        "root" => app.metadata.trust_root(DOMAIN, Some(version)).await?.map(|root| root.body),
        "snapshot" | "targets" => app.metadata.trust_files_metadata(role, Some(version)).await?.map(|found| found.body),
        _ => None,
    };
    Ok(body.map(|body| Shelved { body, is_immutable: true }))
}

/// A target, by its hash and name.
async fn named(app: &App, target: &str) -> Result<Option<Shelved>, metadata::Error> {
    let Some((sum, name)) = target.split_once('.') else { return Ok(None) };
    let organization = name.strip_prefix(ROOT_BEGINS).and_then(|rest| rest.strip_suffix(ROOT_ENDS));
    // Anybody asks for these, so that one look finds one file.
    let found = match organization {
        Some(name) => app.metadata.organization_root(name).await?.map(|body| root_of(name, body)),
        None => app.metadata.named_trust_file(name).await?,
    };
    Ok(found.filter(|file| hex(&file.sha256) == sum).map(|file| Shelved { body: file.body, is_immutable: true }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file, those of the registry's own making as well.
async fn files(app: &App) -> Result<Vec<NamedFile>, metadata::Error> {
    let roots = app.metadata.organization_roots().await?.into_iter();
    let mut files: Vec<NamedFile> = roots.map(|(organization, body)| root_of(&organization, body)).collect();
    let mut after = String::new();
    loop {
        let page = app.metadata.trust_files(&after, PAGE).await?;
        let is_full = page.len() == PAGE as usize;
        after = page.last().map(|file| file.name.clone()).unwrap_or_default();
        files.extend(page);
        if !is_full {
            return Ok(files);
        }
    }
}

/// Says that the files are others by now; the metadata follows.
pub(crate) async fn changed(tx: &mut Tx, now: i64, request_id: &str) -> Result<(), metadata::Error> {
    tx.set_setting(CHANGED, Some(&format!("{now} {request_id}"))).await
}

/// Whether the files are others than were published, or that nears its end.
///
/// # Errors
/// [`TufError`]
pub(crate) async fn is_due(app: &App) -> Result<bool, TufError> {
    Ok(due(app).await?.is_some())
}

/// Under which root the files are to be published, and what that covers; `None` when nothing is to be done.
async fn due(app: &App) -> Result<Option<(TrustRoot, String)>, TufError> {
    let wanted = app.metadata.setting(CHANGED).await?.unwrap_or_default();
    let root = root::first(app, DOMAIN).await?;
    let covers = format!("root {} files {wanted}", root.version);
    let standing = app.metadata.trust_files_metadata("timestamp", None).await?;
    let is_done = |standing: FilesMetadata| standing.covers == covers && app.clock.now() < standing.renew_at;
    Ok(if standing.is_some_and(is_done) { None } else { Some((root, covers)) })
}

/// Publishes the files as they are, when they are others than were published, or when that nears its end.
///
/// # Errors
/// [`TufError`]
pub(crate) async fn follow(app: &App) -> Result<(), TufError> {
    let Some((root, covers)) = due(app).await? else { return Ok(()) };
    let now = app.clock.now();
    let mut named = BTreeMap::new();
    for file in files(app).await? {
        let sum: [u8; 32] = file.sha256.as_slice().try_into().map_err(|_| TufError::Damaged)?;
        named.insert(file.name, (file.body.len() as u64, sum));
    }
    let made = app.signer.publish_files((DOMAIN, &root.body), &named, "publisher", now).await?;
    let version = i64::try_from(made.version).map_err(|_| TufError::Damaged)?;
    let of_role = |(role, body): (String, Vec<u8>)| {
        (role, FilesMetadata { version, renew_at: made.expires - RENEW_BEFORE, covers: covers.clone(), body })
    };
    let rows: Vec<(String, FilesMetadata)> = made.files.into_iter().map(of_role).collect();
    app.metadata.write((rows, root.version, now), |tx, change| Box::pin(store(tx, change))).await
}

async fn store(tx: &mut Tx, (rows, root, now): &(Vec<(String, FilesMetadata)>, i64, i64)) -> Result<(), TufError> {
    if !tx.is_newest_root(DOMAIN, *root).await? {
        return Err(TufError::Overtaken);
    }
    for (role, metadata) in rows {
        if !tx.store_trust_files_metadata(role, metadata).await? {
            return Err(TufError::Overtaken);
        }
        // Versions are at least seconds since 1970: those of yesterday have served everybody who began then.
        let kept = if role == "timestamp" { metadata.version } else { (now / 1_000 - KEPT).min(metadata.version) };
        tx.forget_trust_files_metadata(role, kept).await?;
    }
    Ok(())
}
