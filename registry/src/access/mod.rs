//! Lives here: may they. Rights are worked out from current facts and end in a [`Granted`] operation.
//! Never here: how somebody proved who they are, what an operation then does, and HTTP but for the door.
//! Start reading at [`authorize`].

mod decision;
mod granted;
pub(crate) mod http;
mod pattern;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use hallmark_oci::{Action, Gun, ListTrustChanges, Operation, RepositoryName, Scope, Scopes};
use hallmark_storage::metadata::{self, Facts, Principal, Repository, Rights, Source, SystemRole, Viewer};

pub use decision::{
    Decision, Reason, cut_down as cut_down_actions, cut_down_in_trust, decide, may_name, may_name_in_trust, required,
};
pub use granted::{Grant, Granted, Ground, Target, TrustWork, Work};
pub use pattern::{Pattern, PatternInvalid};
pub use standing::{Lapsed, Shown, Standing};

use crate::app::App;
use crate::auth::{Client, Identity};
use crate::events::Happening;

/// Why an operation is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The caller lacks a right, or has not said who they are; whether the repository exists is not told.
    #[error("this needs the right to {}", .needed.to_string())]
    Lacking {
        /// What a token for this very request must cover.
        needed: Scopes,
        /// Whether the caller is somebody who lacks the right, or shows what was limited to less, and not only a token that covers it.
        right: bool,
    },
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Remembers that somebody asked for what they have no right to. A token that merely does not cover it is no refusal: its
/// client asks for another.
pub(crate) fn remember_refusal(
    app: &App,
    refused: &Refused,
    identity: &Identity,
    (operation, client): (&'static str, Client),
) {
    let Refused::Lacking { needed, right: true } = refused else { return };
    let Some(principal) = identity.principal() else { return };
    let subject = needed.iter().next().map(|scope| scope.name.clone()).unwrap_or_default();
    let happening = Happening {
        kind: "access_refused",
        actor: principal.id,
        account: None,
        repository: None,
        subject,
        how: operation,
        client: client.address(),
    };
    app.recorder.note(happening, app.clock.now());
}

/// Decides whether `identity` may do `operation`, by facts that hold now and by the ceiling of what was shown.
///
/// The one maker of [`Granted`]. Absent and forbidden repositories take the same path and get the same refusal.
///
/// # Errors
/// [`Refused::Lacking`] names the scopes that a credential would need; [`Refused::Metadata`] when facts cannot be read.
pub async fn authorize(app: &App, identity: &Identity, operation: Operation) -> Result<Granted<Operation>, Refused> {
    match &operation {
        Operation::Ping => match identity {
            Identity::Anonymous => Err(Refused::Lacking { needed: Scopes::default(), right: false }),
            Identity::Stranger(_) | Identity::Known(_) => Ok(Granted::make(operation, Grant::of(identity, None))),
        },
        Operation::ListRepositories(_) => {
            let ceiling = identity.ceiling();
            let may = ceiling.covers("registry", "catalog", Action::All)
                && ceiling.is_everywhere()
                && !matches!(identity, Identity::Anonymous);
            if !may {
                return Err(Refused::Lacking { needed: needed_by(&operation), right: false });
            }
            Ok(Granted::make(operation, Grant::of(identity, None)))
        }
        // It tells the names of all repositories that have trust data.
        Operation::ListTrustChanges(ListTrustChanges { gun: None, .. }) => {
            let ceiling = identity.ceiling();
            let may = ceiling.covers("registry", "catalog", Action::All) && ceiling.is_everywhere();
            let sees_all = identity.principal().is_some_and(|who| !who.disabled && who.role != SystemRole::None);
            if may && sees_all {
                return Ok(Granted::make(operation, Grant::of(identity, None)));
            }
            Err(Refused::Lacking { needed: needed_by(&operation), right: !sees_all && identity.principal().is_some() })
        }
        _ => on_repository(app, identity, operation).await,
    }
}

async fn on_repository(app: &App, identity: &Identity, operation: Operation) -> Result<Granted<Operation>, Refused> {
    let Some(name) = operation.repository().cloned() else {
        return Err(Refused::Lacking { needed: Scopes::default(), right: false });
    };
    let ceiling = identity.ceiling();
    let needed = required(&operation);
    let resource = operation.resource().unwrap_or_default();
    let covered = operation.actions().iter().all(|action| ceiling.covers("repository", resource, *action));
    let suffices = |rights: Rights| covered && ceiling.bound(&name, rights).contain(needed);
    let (mut facts, mut rights) = look(app, identity, &name, suffices).await?;
    let mut hidden = false;
    if !suffices(rights)
        && !operation.changes()
        && let Some(absent) = decision::as_absent(identity.principal(), &facts)
    {
        // Whoever could make it is answered as if it were not there; that a push is refused tells them that the name is taken.
        (facts, rights, hidden) = (Arc::new(absent.0), absent.1, true);
    }
    if !suffices(rights) {
        // What the limits of a personal token leave out is lacking for good: no other token made of it covers more.
        let right = identity.principal().is_some() && !ceiling.bound(&name, rights).contain(needed);
        return Err(Refused::Lacking { needed: needed_by(&operation), right });
    }
    if let Some(source) = mount_source(&operation)
        && lacks_only_the_token(app, identity, source).await?
    {
        return Err(Refused::Lacking { needed: needed_by(&operation), right: false });
    }
    Ok(Granted::make(operation, Grant::of(identity, Some(Target { name, facts, hidden }))))
}

/// The facts about this name as they stand, and the rights of `identity` by them: those that were seen with who it is, else
/// those that are asked for now.
async fn look(
    app: &App,
    identity: &Identity,
    name: &RepositoryName,
    suffices: impl Fn(Rights) -> bool,
) -> Result<(Arc<Facts>, Rights), metadata::Error> {
    if let Some(sight) = identity.sight(name) {
        let rights = decide(identity.principal(), &sight.facts, |_, _| {}).rights;
        return Ok((Arc::clone(&sight.facts), rights));
    }
    look_up(app, identity.principal(), name, suffices).await
}

/// The facts about this name as they stand, and the rights of `principal` by them.
///
/// Rights that do not suffice cost the same whether there is such a repository or not: what is absent is always asked of
/// the database, so facts that were remembered are asked for once more, and that answer is thrown away.
async fn look_up(
    app: &App,
    principal: Option<&Principal>,
    name: &RepositoryName,
    suffices: impl Fn(Rights) -> bool,
) -> Result<(Arc<Facts>, Rights), metadata::Error> {
    let id = principal.map(|principal| principal.id);
    let (facts, source) = app.metadata.facts(id, name).await?;
    let rights = decide(principal, &facts, |_, _| {}).rights;
    if source == Source::Memory && !suffices(rights) {
        app.metadata.without_cache().facts(id, name).await?;
    }
    Ok((facts, rights))
}

/// What a token for `operation` would have to cover. A mount asks for its source too, although it goes on without.
#[must_use]
pub fn needed_by(operation: &Operation) -> Scopes {
    let source = mount_source(operation).map(|source| Scope::repository(source, [Action::Pull]));
    operation.scope().into_iter().chain(source).collect()
}

/// The repository that a mount names as its source.
fn mount_source(operation: &Operation) -> Option<&RepositoryName> {
    let Operation::BeginUpload(begin) = operation else { return None };
    begin.mount.as_ref()?.from.as_ref()
}

/// Whether `identity` may pull from `source` and only the token that it shows does not reach there: such a client is told
/// which token to ask for. Who may not pull there learns nothing, and opens an upload instead.
async fn lacks_only_the_token(
    app: &App,
    identity: &Identity,
    source: &RepositoryName,
) -> Result<bool, metadata::Error> {
    if identity.ceiling().covers("repository", source.as_str(), Action::Pull) {
        return Ok(false);
    }
    let may_pull = |rights: Rights| identity.ceiling().bound(source, rights).contain(Rights::PULL);
    let (facts, rights) = look(app, identity, source, may_pull).await?;
    Ok(facts.repository.is_some() && may_pull(rights))
}

/// The repository `name`, when both the right of `identity` and the ceiling of its credential reach a pull from it now:
/// what a mount asks of its source.
///
/// # Errors
/// The database's.
pub async fn may_pull(
    app: &App,
    identity: &Identity,
    name: &RepositoryName,
) -> Result<Option<Repository>, metadata::Error> {
    if !identity.ceiling().covers("repository", name.as_str(), Action::Pull) {
        return Ok(None);
    }
    let may_pull = |rights: Rights| identity.ceiling().bound(name, rights).contain(Rights::PULL);
    let (facts, rights) = look(app, identity, name, may_pull).await?;
    Ok(facts.repository.clone().filter(|_| may_pull(rights)))
}

/// The repository `name`, when `principal` may pull from it, whatever credential they show.
///
/// # Errors
/// The database's.
pub async fn may_reach(
    app: &App,
    principal: &Principal,
    name: &RepositoryName,
) -> Result<Option<Repository>, metadata::Error> {
    let may_pull = |rights: Rights| rights.contain(Rights::PULL);
    let (facts, rights) = look_up(app, Some(principal), name, may_pull).await?;
    Ok(facts.repository.clone().filter(|_| rights.contain(Rights::PULL)))
}

/// Cuts `asked` down to what `identity` may do now; what is not allowed is left out without a word.
///
/// # Errors
/// The database's.
pub async fn cut_down(app: &App, identity: &Identity, asked: &Scopes) -> Result<Scopes, metadata::Error> {
    let mut kept = Vec::new();
    for scope in asked.iter() {
        let mut scope = scope.clone();
        let ceiling = identity.ceiling();
        let sees_catalog = identity.principal().is_some() && ceiling.is_everywhere();
        scope.actions = match scope.resource_type.as_str() {
            "repository" => on_resource(app, identity, &scope).await?,
            "registry" if scope.name == "catalog" && sees_catalog => cut_down_actions(Rights::ADMIN, &scope.actions),
            _ => BTreeSet::new(),
        };
        if !scope.actions.is_empty() {
            kept.push(scope);
        }
    }
    Ok(kept.into_iter().collect())
}

/// What a token may name on what a scope calls a repository. A name with a dot before its first slash may be a repository's or,
/// with a host in front, that of a trust collection: it is kept for what either reading allows, since the request itself is
/// asked for its own right again.
async fn on_resource(app: &App, identity: &Identity, scope: &Scope) -> Result<BTreeSet<Action>, metadata::Error> {
    let ceiling = identity.ceiling();
    let mut kept = BTreeSet::new();
    if let Ok(name) = scope.name.parse::<RepositoryName>() {
        let cut = |rights: Rights| cut_down_actions(ceiling.bound(&name, rights), &scope.actions);
        kept.extend(cut(shown(app, identity, &name, |rights| !cut(rights).is_empty()).await?));
    }
    if let Ok(gun) = scope.name.parse::<Gun>() {
        let cut = |rights: Rights| cut_down_in_trust(ceiling.bound(gun.repository(), rights), &scope.actions);
        kept.extend(cut(shown(app, identity, gun.repository(), |rights| !cut(rights).is_empty()).await?));
    }
    Ok(kept)
}

/// The rights that a token of `identity` may name on this repository: on one that it may not know of, those on one that is not there.
async fn shown(
    app: &App,
    identity: &Identity,
    name: &RepositoryName,
    suffices: impl Fn(Rights) -> bool,
) -> Result<Rights, metadata::Error> {
    let (facts, rights) = look(app, identity, name, suffices).await?;
    Ok(decision::as_absent(identity.principal(), &facts).map_or(rights, |absent| absent.1))
}

/// What part of the catalog `identity` may see.
///
/// # Errors
/// The database's.
pub async fn viewer(app: &App, identity: &Identity) -> Result<Viewer, metadata::Error> {
    match identity.principal() {
        None => Ok(Viewer::Public),
        Some(principal) if principal.role != SystemRole::None => Ok(Viewer::All),
        Some(principal) => app.metadata.sight(principal.id).await.map(Viewer::Principal),
    }
}
