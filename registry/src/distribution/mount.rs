//! A blob taken over from another repository without its bytes being sent again.

use hallmark_oci::{BeginUpload, Digest};
use hallmark_storage::metadata::{self, Mount, PrincipalId, RepositoryId, SystemRole, Tx};
use serde_json::json;

use super::Occasion;
use super::quota::{self, NoPassage, Passage, Place, Tried, Unmade};
use super::upload::UploadError;
use crate::access::{self, Granted, Standing};
use crate::app::App;

/// In how many repositories a mount without a source looks, and of how many it asks whether the caller may reach them.
const SOURCES: u32 = 64;
/// In how many accounts of the caller it looks: their own and those of organizations.
const ACCOUNTS: usize = 17;

/// Everything the transaction needs; it may run more than once.
struct Change {
    place: Place,
    source: RepositoryId,
    digest: Digest,
    passage: Option<Passage>,
}

/// Mounts what was asked for and gives its digest; `None` when that cannot be done, for whatever reason: the caller then
/// opens an upload, and nobody learns whether the blob or its repository exists.
pub(super) async fn mount(
    app: &App,
    granted: &Granted<BeginUpload>,
    actor: PrincipalId,
    standing: &Standing<'_>,
    occasion: &Occasion,
) -> Result<Option<Digest>, UploadError> {
    let Some(asked) = &granted.operation().mount else { return Ok(None) };
    let name = granted.operation().repository.clone();
    let place = Place { name, actor, ground: granted.ground(), occasion: occasion.clone() };
    for source in sources(app, granted).await? {
        let mounted = quota::with_room(app, &place, |passage| {
            let change = Change { place: place.clone(), source, digest: asked.digest.clone(), passage };
            async move {
                match app.metadata.write(change, |tx, change| Box::pin(apply(tx, change))).await {
                    Ok(mounted) => Ok(Tried::Made(mounted)),
                    Err(Unmade::Short(short)) => Ok(Tried::Short(short)),
                    Err(Unmade::Nowhere(nowhere)) => Err(NoPassage::from(nowhere)),
                }
            }
        });
        // Whoever is refused may pull the blob, so that its size is no news to them.
        if mounted.await.map_err(|barred| UploadError::barred(barred, standing))? {
            return Ok(Some(asked.digest.clone()));
        }
    }
    Ok(None)
}

/// The repositories to take it from: those that the caller and the credential may pull from, and no others.
async fn sources(app: &App, granted: &Granted<BeginUpload>) -> Result<Vec<RepositoryId>, metadata::Error> {
    let Some(asked) = &granted.operation().mount else { return Ok(Vec::new()) };
    let identity = granted.identity();
    if let Some(from) = &asked.from {
        let source = access::may_pull(app, identity, from).await?;
        return Ok(source.map(|source| source.id).into_iter().collect());
    }
    let Some(principal) = identity.principal() else { return Ok(Vec::new()) };
    // A client that names no source could not ask for a token that covers it. What bounds the search is the credential
    // that the token was made from, and a password or refresh token reaches wherever its principal does; the digest is
    // known to the caller, and nothing but repositories that they may pull from is looked at.
    if !identity.ceiling().is_everywhere() {
        return Ok(Vec::new());
    }
    let mut accounts = vec![principal.account_id];
    let organizations = app.metadata.organizations_of(principal.id).await?;
    accounts.extend(organizations.into_iter().map(|(organization, _)| organization.id));
    // What goes into an account is most likely in it, also what makes its repository.
    let target = granted.account();
    accounts.sort_by_key(|account| Some(*account) != target);
    accounts.truncate(ACCOUNTS);
    let mut sources = Vec::new();
    let mut unseen = SOURCES;
    for account in accounts {
        if unseen == 0 {
            break;
        }
        // Those that the caller may not know of count as well: each costs the question.
        for held in app.metadata.sources_in(&asked.digest, account, unseen).await? {
            unseen = unseen.saturating_sub(1);
            if let Some(source) = access::may_reach(app, principal, &held.name).await? {
                sources.push(source.id);
            }
        }
    }
    let room = SOURCES - u32::try_from(sources.len()).unwrap_or(SOURCES);
    if room > 0 {
        let everything = principal.role != SystemRole::None;
        let open = app.metadata.open_sources(&asked.digest, everything, room).await?;
        sources.extend(open.into_iter().map(|source| source.id));
    }
    sources.dedup();
    Ok(sources)
}

async fn apply(tx: &mut Tx, change: &Change) -> Result<bool, Unmade> {
    let Change { place: Place { name, actor, ground, occasion }, source, digest, passage } = change;
    let repository = occasion.repository(tx, name, *actor, ground).await?;
    let mount = Mount { repository: &repository, source: *source, digest, now: occasion.now };
    let is_mounted = tx.mount(&mount).await?.is_some();
    quota::settle(tx, repository.id, passage.as_ref()).await?;
    if !is_mounted {
        return Ok(false);
    }
    let payload = json!({"source": source.0}).to_string();
    tx.record(&occasion.event("blob_mounted", *actor, &repository, digest.as_str(), &payload)).await?;
    Ok(true)
}

#[cfg(test)]
mod tests;
