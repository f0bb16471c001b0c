//! What was deleted or overwritten, and the way back: manifests, tags and whole repositories.

use hallmark_oci::{Digest, RepositoryName, Tag};
use hallmark_storage::metadata::{
    DeletedRepository, ManifestId, Repository, RepositoryId, Restored, Rights, TagMove, Trashed, Tx, Undeleted,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::repositories::seen;
use super::{Caller, List, Page, Refused, shapes};
use crate::access::{self, Reason};
use crate::app::App;
use crate::clock::{instant, rfc3339};
use crate::keeping;

/// The right that bringing back needs: as whoever pushes it again.
const PUSH: &str = "this needs the right write on the repository";

/// A manifest in the trash as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrashView {
    /// Its digest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// The tags that pointed to it.
    pub tags: Vec<String>,
    /// When it was deleted (RFC 3339).
    pub deleted_at: String,
    /// Who deleted it; absent for the registry itself, and for who is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
    /// Until when it can be brought back (RFC 3339).
    pub until: String,
}

/// A move of a tag as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagMoveView {
    /// Its place in the tag's history, from 1.
    pub version: i64,
    /// What the tag pointed to from then on; absent when it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When (RFC 3339).
    pub at: String,
    /// Who moved it, while they are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What is to be brought back: a tag, or a manifest by its digest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUndelete {
    /// The tag: to what it pointed to before its last move or its deletion.
    #[schema(value_type = Option<shapes::Tag>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// To what the tag pointed to at this time instead (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The digest of a manifest; those of its tags come back that are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UndeletedView {
    /// The manifest.
    pub digest: String,
    /// The tags that point to it again.
    pub tags: Vec<String>,
}

/// A repository that was deleted and can be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedRepositoryView {
    /// The name it had.
    pub name: String,
    /// When it was deleted (RFC 3339).
    pub deleted_at: String,
    /// Until when it can be brought back (RFC 3339).
    pub until: String,
}

/// Which repository is to be brought back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRepositoryUndelete {
    /// The name it had, in full.
    #[schema(value_type = shapes::Repository)]
    pub repository: String,
}

fn show(trashed: Trashed) -> TrashView {
    TrashView {
        digest: trashed.digest.to_string(),
        media_type: trashed.media_type,
        tags: trashed.tags,
        deleted_at: rfc3339(trashed.deleted_at),
        deleted_by: trashed.deleted_by,
        until: rfc3339(trashed.until),
    }
}

fn show_move(moved: TagMove) -> TagMoveView {
    TagMoveView {
        version: moved.version,
        digest: moved.digest.map(|digest| digest.to_string()),
        at: rfc3339(moved.at),
        by: moved.actor,
    }
}

/// The repository, for whoever reads it with a role of their own, and whether they are told who did something: who may push.
/// What anybody may pull is what is there now, not what was taken away.
async fn insider(app: &App, caller: &Caller, name: &RepositoryName) -> Result<(Repository, bool), Refused> {
    let (repository, _) = seen(app, caller, name).await?;
    let (facts, _) = app.metadata.facts(Some(caller.principal().id), name).await?;
    let mut own = Rights::NONE;
    access::decide(Some(caller.principal()), &facts, |reason, rights| {
        if reason != Reason::Public {
            own |= rights;
        }
    });
    let own = caller.known.ceiling.bound(name, own);
    if own.is_empty() {
        return Err(Refused::Forbidden(
            "what was deleted or overwritten is shown to those who have a role in the repository",
        ));
    }
    Ok((repository, own.contain(Rights::PUSH) || caller.reads_everything()))
}

/// A page of what a repository's trash holds, by digest.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, name: &RepositoryName, page: &Page) -> Result<List<TrashView>, Refused> {
    let (limit, after) = page.check()?;
    let (repository, names) = insider(app, caller, name).await?;
    let rows = app.metadata.trash(repository.id, after.unwrap_or_default(), limit + 1).await?;
    let show =
        |trashed: Trashed| TrashView { deleted_by: trashed.deleted_by.clone().filter(|_| names), ..show(trashed) };
    Ok(List::cut(rows, limit, |trashed| trashed.digest.to_string(), show))
}

/// A page of the moves of a tag, the latest first; with `at` only the move that held then.
///
/// # Errors
/// [`Refused`].
pub async fn history(
    app: &App,
    caller: &Caller,
    (name, tag): (&RepositoryName, &str),
    at: Option<&str>,
    page: &Page,
) -> Result<List<TagMoveView>, Refused> {
    let (limit, after) = page.check()?;
    let tag: Tag = tag.parse().map_err(|_| Refused::Unknown("tag"))?;
    let (repository, names) = insider(app, caller, name).await?;
    if let Some(at) = at {
        let held = app.metadata.tag_at(repository.id, &tag, time(at)?).await?;
        return Ok(List { items: held.into_iter().map(show_move).collect(), next: None });
    }
    let before = match after {
        None => i64::MAX,
        Some(after) => after.parse().map_err(|_| Refused::invalid("after", "no page names this".to_owned()))?,
    };
    let rows = app.metadata.tag_history(repository.id, &tag, before, limit + 1).await?;
    let show = |moved: TagMove| TagMoveView { by: moved.actor.clone().filter(|_| names), ..show_move(moved) };
    Ok(List::cut(rows, limit, |moved| moved.version.to_string(), show))
}

/// Brings a tag or a manifest back. What was vouched for its tags is not any more.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn undelete(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    new: NewUndelete,
) -> Result<UndeletedView, Refused> {
    caller.may_change()?;
    let wish = Wish::of(new)?;
    let kind = if matches!(wish, Wish::Tag(..)) { "tag" } else { "manifest" };
    app.metadata
        .write((caller.clone(), name.clone(), wish), |tx, (caller, name, wish)| {
            Box::pin(async move {
                let repository = caller.with_right(tx, name, Rights::PUSH, PUSH).await?;
                match wish {
                    Wish::Tag(tag, at) => bring_tag(tx, caller, &repository, tag, *at).await,
                    Wish::Manifest(digest) => bring_manifest(tx, caller, &repository, digest).await,
                }
            })
        })
        .await
        .inspect(|_| app.metrics.undeleted(kind))
}

enum Wish {
    Tag(Tag, Option<i64>),
    Manifest(Digest),
}

impl Wish {
    fn of(new: NewUndelete) -> Result<Self, Refused> {
        match new {
            NewUndelete { tag: Some(tag), at, digest: None } => {
                let tag = tag.parse().map_err(|invalid| Refused::invalid("tag", format!("{invalid}")))?;
                Ok(Self::Tag(tag, at.as_deref().map(time).transpose()?))
            }
            NewUndelete { tag: None, at: None, digest: Some(digest) } => {
                digest.parse().map(Self::Manifest).map_err(|invalid| Refused::invalid("digest", format!("{invalid}")))
            }
            _ => Err(Refused::invalid("tag", "name a tag, and with it perhaps a time, or a digest".to_owned())),
        }
    }
}

/// A time; one that is written to the second means the end of that, as times are shown.
fn time(text: &str) -> Result<i64, Refused> {
    let at = instant(text);
    let at = at.ok_or_else(|| Refused::invalid("at", format!("{text:?} is no time such as 2026-01-31T12:00:00Z")))?;
    Ok(if at % 1_000 == 0 { at.saturating_add(999) } else { at })
}

async fn bring_tag(
    tx: &mut Tx,
    caller: &Caller,
    repository: &Repository,
    tag: &Tag,
    at: Option<i64>,
) -> Result<UndeletedView, Refused> {
    let held = match at {
        Some(at) => tx.move_at(repository, tag, at).await?,
        // The last two moves: a deletion or the move that is to be undone, and what was before it.
        None => tx.moves_of(repository, tag, i64::MAX, 2).await?.into_iter().nth(1),
    };
    let digest = held.and_then(|held| held.digest).ok_or(Refused::Unknown("earlier meaning of this tag"))?;
    let (manifest, _) = revive(tx, caller, repository, &digest).await?;
    let actor = caller.principal().id;
    let restored = tx.restore_tag(repository, (tag, false), (manifest, &digest), actor, caller.now).await?;
    if restored == Restored::Overwritten
        && let Some(fixed) = keeping::fixed(tx, repository.id, [tag.as_str()]).await?
    {
        return Err(Refused::Conflict(fixed.to_string()));
    }
    let payload = json!({"digest": digest}).to_string();
    let place = (repository.account_id, repository.id);
    tx.record(&caller.event_on(place, "tag_undeleted", tag.as_str(), &payload)).await?;
    Ok(UndeletedView { digest: digest.to_string(), tags: vec![tag.to_string()] })
}

async fn bring_manifest(
    tx: &mut Tx,
    caller: &Caller,
    repository: &Repository,
    digest: &Digest,
) -> Result<UndeletedView, Refused> {
    let (manifest, tags) = revive(tx, caller, repository, digest).await?;
    let mut restored = Vec::new();
    for tag in &tags {
        let actor = caller.principal().id;
        if tx.restore_tag(repository, (tag, true), (manifest, digest), actor, caller.now).await? != Restored::Not {
            restored.push(tag.to_string());
        }
    }
    let payload = json!({"tags": restored}).to_string();
    let place = (repository.account_id, repository.id);
    tx.record(&caller.event_on(place, "manifest_undeleted", digest.as_str(), &payload)).await?;
    Ok(UndeletedView { digest: digest.to_string(), tags: restored })
}

/// The manifest, which lives from now on, and the tags that it had. A refusal takes everything back.
async fn revive(
    tx: &mut Tx,
    caller: &Caller,
    repository: &Repository,
    digest: &Digest,
) -> Result<(ManifestId, Vec<Tag>), Refused> {
    match tx.undelete_manifest(repository, digest, caller.principal().id, caller.now).await? {
        Undeleted::Back(manifest, tags) => Ok((manifest, tags)),
        Undeleted::Present(manifest) => Ok((manifest, Vec::new())),
        Undeleted::Unknown => Err(Refused::Unknown("manifest in the trash")),
        Undeleted::Incomplete(child) => {
            Err(Refused::Conflict(format!("it names {child}, which is gone for good; push it again")))
        }
        Undeleted::Damaged(blob) => Err(Refused::Conflict(format!(
            "the bytes of {blob}, which it names, are damaged; push that blob again and try again"
        ))),
    }
}

/// A page of the repositories of an account that were deleted and can be brought back, for who governs it.
///
/// # Errors
/// [`Refused`].
pub async fn deleted(
    app: &App,
    caller: &Caller,
    account: &str,
    page: &Page,
) -> Result<List<DeletedRepositoryView>, Refused> {
    let (limit, after) = page.check()?;
    let (account, sees_all) = caller.visible_account(app, account).await?;
    if !sees_all {
        return Err(Refused::Forbidden("only who governs the account sees what was deleted in it"));
    }
    let after =
        after.map_or(Ok(0), str::parse).map_err(|_| Refused::invalid("after", "no page names this".to_owned()))?;
    let rows = app.metadata.deleted_repositories(account.id, caller.now, RepositoryId(after), limit + 1).await?;
    let show = |gone: DeletedRepository| DeletedRepositoryView {
        name: gone.name.to_string(),
        deleted_at: rfc3339(gone.deleted_at),
        until: rfc3339(gone.until),
    };
    Ok(List::cut(rows, limit, |gone| gone.id.to_string(), show))
}

/// Brings a repository back, with all that it held when it was deleted: private, without the robots that were bound to it.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn undelete_repository(
    app: &App,
    caller: &Caller,
    account: &str,
    new: NewRepositoryUndelete,
) -> Result<(), Refused> {
    caller.may_change()?;
    let name: RepositoryName =
        new.repository.parse().map_err(|invalid| Refused::invalid("repository", format!("{invalid}")))?;
    app.metadata
        .write((caller.clone(), account.to_owned(), name), |tx, (caller, account, name)| {
            Box::pin(async move {
                let account = caller.governed(tx, account).await?;
                if name.account() != Some(account.name.as_str()) {
                    return Err(Refused::invalid("repository", format!("{name} is no name in this account")));
                }
                if tx.repository(name).await?.is_some() {
                    return Err(Refused::Conflict(format!(
                        "there is a repository {name} by now; rename or delete it first"
                    )));
                }
                let Some(id) = tx.undelete_repository(account.id, name, caller.now).await? else {
                    return Err(Refused::Unknown("deleted repository"));
                };
                Ok(tx.record(&caller.event_on((account.id, id), "repository_undeleted", name.as_str(), "")).await?)
            })
        })
        .await
        .inspect(|()| app.metrics.undeleted("repository"))
}
