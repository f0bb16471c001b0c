//! The collector, for administrators; and what keeps a digest, for who governs an account.

use std::sync::atomic::Ordering;

use hallmark_gc::Report;
use hallmark_oci::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Caller, Refused};
use crate::app::App;
use crate::reclaim::{self, Reason, Status};

const ADMINISTRATORS: &str = "only an administrator may do this";

/// How the collector is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcView {
    /// Whether it rests.
    pub paused: bool,
    /// Things to look at that are due; each number here is counted up to 10,000.
    pub candidates_due: u64,
    /// Things to look at later.
    pub candidates_waiting: u64,
    /// Manifests in the trash whose window is over.
    pub trash_due: u64,
    /// Manifests in the trash that can be brought back.
    pub trash_waiting: u64,
    /// Keys whose bytes are to be deleted.
    pub keys_due: u64,
    /// Keys whose bytes are kept for a while.
    pub keys_waiting: u64,
}

/// Changes to how the collector is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GcChanges {
    /// Whether it rests, on every replica and also after a restart.
    pub paused: bool,
}

/// A run of the collector that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGcRun {
    /// Whether to delete nothing, and only say what would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a run of the collector did, or would do. A dry run looks at the first 1,000 things that are due, and does not follow what their
/// going makes unneeded; windows and keys it counts up to 10,000, and uploads not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcRunView {
    /// Things it looked at.
    pub looked: u64,
    /// Manifests whose window in the trash ended.
    pub purged: u64,
    /// Manifests that went to the trash because what they belonged to is gone.
    pub manifests: u64,
    /// Blobs that a repository let go of.
    pub links: u64,
    /// Blobs that the store let go of.
    pub blobs: u64,
    /// The bytes that became free, or will be when their keys are deleted.
    pub bytes: u64,
    /// Keys whose bytes were deleted.
    pub keys: u64,
    /// Uploads that were given up.
    pub uploads: u64,
}

impl From<Report> for GcRunView {
    fn from(report: Report) -> Self {
        let collected = report.collected;
        Self {
            looked: collected.looked,
            purged: collected.purged,
            manifests: collected.manifests,
            links: collected.links,
            blobs: collected.blobs,
            bytes: collected.bytes,
            keys: report.keys,
            uploads: report.uploads,
        }
    }
}

impl From<Status> for GcView {
    fn from(status: Status) -> Self {
        let waiting = status.waiting;
        Self {
            paused: status.paused,
            candidates_due: waiting.candidates.0,
            candidates_waiting: waiting.candidates.1,
            trash_due: waiting.trash.0,
            trash_waiting: waiting.trash.1,
            keys_due: waiting.keys.0,
            keys_waiting: waiting.keys.1,
        }
    }
}

fn administrators_only(caller: &Caller) -> Result<(), Refused> {
    if caller.administers() { Ok(()) } else { Err(Refused::Forbidden(ADMINISTRATORS)) }
}

/// How the collector is, for who reads everything.
///
/// # Errors
/// [`Refused`].
pub async fn status(app: &App, caller: &Caller) -> Result<GcView, Refused> {
    if !caller.reads_everything() {
        return Err(Refused::Forbidden(ADMINISTRATORS));
    }
    Ok(reclaim::status(app).await?.into())
}

/// Lets the collector rest, or go on.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn change(app: &App, caller: &Caller, changes: GcChanges) -> Result<GcView, Refused> {
    caller.may_change()?;
    administrators_only(caller)?;
    app.metadata
        .write((caller.clone(), changes.paused), |tx, (caller, paused)| {
            Box::pin(async move {
                caller.stands(tx).await?;
                reclaim::set_paused(tx, *paused).await?;
                let kind = reclaim::paused_event(*paused);
                Ok::<_, Refused>(tx.record(&caller.event(kind, "gc", "")).await?)
            })
        })
        .await?;
    app.gc_paused.store(changes.paused, Ordering::Relaxed);
    status(app, caller).await
}

/// Collects what is due, or says what would go.
///
/// # Errors
/// [`Refused`].
pub async fn run(app: &App, caller: &Caller, new: NewGcRun) -> Result<GcRunView, Refused> {
    caller.may_change()?;
    administrators_only(caller)?;
    if new.dry_run {
        return Ok(reclaim::preview(app).await?.into());
    }
    let rests = || Refused::Conflict("the collector is paused; let it go on first".to_owned());
    if reclaim::is_paused(app).await? {
        return Err(rests());
    }
    app.metadata
        .write(caller.clone(), |tx, caller| {
            Box::pin(async move {
                caller.stands(tx).await?;
                Ok::<_, Refused>(tx.record(&caller.event("gc_run_asked_for", "gc", "")).await?)
            })
        })
        .await?;
    match reclaim::run(app, reclaim::for_a_request()).await {
        Ok(Some(report)) => Ok(report.into()),
        Ok(None) => Err(rests()),
        Err(hallmark_gc::Error::Metadata(error)) => Err(error.into()),
        Err(error) => {
            Err(Refused::Conflict(format!("not everything could be collected: {}", crate::telemetry::chain(&error))))
        }
    }
}

/// What keeps a digest in the repositories of an account that the caller governs. Who else holds it, nobody is told.
///
/// # Errors
/// [`Refused`].
pub async fn explain(app: &App, caller: &Caller, account: &str, digest: &str) -> Result<Vec<Reason>, Refused> {
    let digest: Digest = digest.parse().map_err(|invalid| Refused::invalid("digest", format!("{invalid}")))?;
    let (account, sees_all) = caller.visible_account(app, account).await?;
    if !sees_all {
        return Err(Refused::Forbidden("only who governs the account is told what keeps a digest in it"));
    }
    Ok(reclaim::explain(app, account.id, &digest).await?)
}
