//! Manifests that are kept on purpose: pins, and legal holds.

use hallmark_oci::{Digest, RepositoryName};
use hallmark_storage::metadata::{Hold, HoldKind, Placing};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::repositories::manages;
use super::{Caller, List, Page, Refused, shapes};
use crate::app::App;
use crate::clock::rfc3339;

/// The longest reason, in bytes.
const REASON_BYTES: usize = 1_024;
const GOVERNORS: &str = "a legal hold is released by who governs the account of the repository, or an administrator";

/// What kind of hold it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldWord {
    /// It is kept until its repository is deleted.
    Pin,
    /// It must be kept: its repository cannot be deleted either.
    Legal,
}

impl From<HoldWord> for HoldKind {
    fn from(word: HoldWord) -> Self {
        match word {
            HoldWord::Pin => Self::Pin,
            HoldWord::Legal => Self::Legal,
        }
    }
}

/// A hold to be placed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// The manifest.
    #[schema(value_type = shapes::Digest)]
    pub digest: String,
    /// Its kind.
    pub kind: HoldWord,
    /// Why: whoever wants to delete it is told.
    #[schema(min_length = 1, max_length = 1024)]
    pub reason: String,
}

/// A hold as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// The manifest.
    pub digest: String,
    /// Its kind.
    pub kind: HoldWord,
    /// Why.
    pub reason: String,
    /// Who placed it, by the name they had.
    pub placed_by: String,
    /// When (RFC 3339).
    pub placed_at: String,
}

fn show(digest: &Digest, hold: Hold) -> HoldView {
    let kind = match hold.kind {
        HoldKind::Pin => HoldWord::Pin,
        HoldKind::Legal => HoldWord::Legal,
    };
    let Hold { placed_by, reason, placed_at, .. } = hold;
    HoldView { digest: digest.to_string(), kind, reason, placed_by, placed_at: rfc3339(placed_at) }
}

/// A page of the holds of a repository, for who manages it.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, name: &RepositoryName, page: &Page) -> Result<List<HoldView>, Refused> {
    let (limit, after) = page.check()?;
    let repository = manages(app, caller, name).await?;
    let (after, kind) = after.unwrap_or("0").split_once('.').unwrap_or((after.unwrap_or("0"), ""));
    let after = after.parse().map_err(|_| Refused::invalid("after", "no page names this"))?;
    let rows = app.metadata.holds(repository.id, (after, kind), limit + 1).await?;
    let place = |(_, hold, at): &(Digest, Hold, i64)| format!("{at}.{}", hold.kind.word());
    Ok(List::cut(rows, limit, place, |(digest, hold, _)| show(&digest, hold)))
}

/// Places a hold. From then on nothing deletes the manifest, neither people nor rules nor the collector.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn place(app: &App, caller: &Caller, name: &RepositoryName, new: NewHold) -> Result<HoldView, Refused> {
    caller.may_change()?;
    let digest: Digest = new.digest.parse().map_err(|invalid| Refused::invalid("digest", format!("{invalid}")))?;
    if !(1..=REASON_BYTES).contains(&new.reason.len()) || new.reason.contains('\0') {
        return Err(Refused::invalid("reason", format!("a reason has 1 to {REASON_BYTES} bytes and no NUL")));
    }
    let kind = new.kind;
    let hold = Hold { kind: kind.into(), placed_by: caller.name(), reason: new.reason, placed_at: caller.now };
    app.metadata
        .write((caller.clone(), name.clone(), digest, hold), |tx, (caller, name, digest, hold)| {
            Box::pin(async move {
                // Held whole: a repository with a legal hold is not deleted at the same moment.
                let (repository, _) = caller.managed_whole(tx, name).await?;
                match tx.place_hold(repository.id, digest, hold).await? {
                    Placing::Placed => {}
                    Placing::Unknown => return Err(Refused::Unknown("manifest")),
                    Placing::Present => {
                        return Err(Refused::Conflict(format!(
                            "there is a hold of the kind {} already",
                            hold.kind.word()
                        )));
                    }
                }
                let payload = json!({"kind": hold.kind.word(), "reason": hold.reason}).to_string();
                let place = (repository.account_id, repository.id);
                tx.record(&caller.event_on(place, "hold_placed", digest.as_str(), &payload)).await?;
                Ok(show(digest, hold.clone()))
            })
        })
        .await
        .inspect(|_| app.metrics.hold("placed", HoldKind::from(kind).word()))
}

/// Takes a hold away: a pin by who manages the repository, a legal hold by who governs its account: whoever is to be kept from deleting
/// something must not be able to let it go.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn release(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    (digest, kind): (&str, &str),
) -> Result<(), Refused> {
    caller.may_change()?;
    let digest: Digest = digest.parse().map_err(|_| Refused::Unknown("hold"))?;
    let kind = match kind {
        "pin" => HoldKind::Pin,
        "legal" => HoldKind::Legal,
        _ => return Err(Refused::Unknown("hold")),
    };
    app.metadata
        .write((caller.clone(), name.clone(), digest, kind), |tx, (caller, name, digest, kind)| {
            Box::pin(async move {
                if *kind == HoldKind::Legal {
                    caller.governs_account_of(tx, name, GOVERNORS).await?;
                }
                let (repository, _) = caller.managed_whole(tx, name).await?;
                if !tx.release_hold(repository.id, digest, *kind).await? {
                    return Err(Refused::Unknown("hold"));
                }
                let payload = json!({"kind": kind.word()}).to_string();
                let place = (repository.account_id, repository.id);
                Ok(tx.record(&caller.event_on(place, "hold_released", digest.as_str(), &payload)).await?)
            })
        })
        .await
        .inspect(|()| app.metrics.hold("released", kind.word()))
}
