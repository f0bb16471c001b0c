//! When a change happened and through which request: what every event remembers.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{self, AccountId, Event, PrincipalId, Repository, Rights, Tx};

use crate::access::{self, Decision, Ground};
use crate::people::repositories::{found, is_kept_from};

/// Why a push has nowhere to go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nowhere {
    /// Nobody has an account of this name.
    #[error("there is no account {0:?}")]
    AccountUnknown(String),
    /// The name became somebody else's after the push was granted.
    #[error("the repository is another's by now")]
    Foreign,
    /// There is no such repository, and a push may not make it.
    #[error("the repository {0} does not exist, and a push may not make it")]
    MayNotCreate(RepositoryName),
    /// The name was released lately, and it is not the pusher's to take again.
    #[error("the name {0} rests")]
    NameRests(RepositoryName),
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] metadata::Error),
}

/// The time of a request and its name.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// Milliseconds since 1970.
    pub now: i64,
    /// The request's id, as the log and the answer give it.
    pub request_id: String,
}

impl Occasion {
    /// An event of this occasion: `actor` did `kind` to `subject` (a digest, a tag, a name) in `repository`.
    #[must_use]
    pub(crate) fn event<'a>(
        &'a self,
        kind: &'a str,
        actor: PrincipalId,
        repository: &Repository,
        subject: &'a str,
        payload: &'a str,
    ) -> Event<'a> {
        Event {
            actor,
            kind,
            account: Some(repository.account_id),
            repository: Some(repository.id),
            subject,
            payload: if payload.is_empty() { "{}" } else { payload },
            request_id: &self.request_id,
            at: self.now,
        }
    }

    /// The repository that a push goes to, made on the first push.
    ///
    /// # Errors
    /// [`Nowhere`]
    pub(super) async fn repository(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        actor: PrincipalId,
        ground: &Ground,
    ) -> Result<Repository, Nowhere> {
        self.repository_for(tx, name, (actor, Rights::PUSH), ground).await
    }

    /// The repository in which `actor` does what needs `right`, made when it is not there. What was not there when the push was granted is decided
    /// anew, on the facts of this change: names are looked up again here, and may be another's since.
    pub(crate) async fn repository_for(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        (actor, right): (PrincipalId, Rights),
        ground: &Ground,
    ) -> Result<Repository, Nowhere> {
        if let Some(repository) = tx.repository(name).await? {
            if !ground.is(&repository) && !self.decide(tx, name, ground).await?.rights.contain(right) {
                return Err(Nowhere::Foreign);
            }
            return Ok(repository);
        }
        let account = match name.account() {
            None => AccountId::SYSTEM,
            Some(account) => match tx.account(account).await? {
                Some(account) => account.id,
                None => return Err(Nowhere::AccountUnknown(account.to_owned())),
            },
        };
        let decision = self.decide(tx, name, ground).await?;
        if !decision.may_create {
            return Err(if decision.rights.contain(right) {
                Nowhere::MayNotCreate(name.clone())
            } else {
                Nowhere::Foreign
            });
        }
        let maker = ground.principal().filter(|_| decision.by_membership);
        let template = Event { actor, request_id: &self.request_id, ..Event::of_system("", "", self.now) };
        let (repository, is_made) = found(tx, (name, account), maker, &template).await?;
        if !is_made {
            // Another push was faster: this one goes into a repository that was there, with what rights it has in it.
            let may = self.decide(tx, name, ground).await?.rights.contain(right);
            return if may { Ok(repository) } else { Err(Nowhere::Foreign) };
        }
        if is_kept_from(tx, name, decision.rights, self.now).await? {
            return Err(Nowhere::NameRests(name.clone()));
        }
        Ok(repository)
    }

    async fn decide(&self, tx: &mut Tx, name: &RepositoryName, ground: &Ground) -> Result<Decision, metadata::Error> {
        let principal = ground.principal();
        let facts = tx.facts(principal.map_or(PrincipalId::SYSTEM, |principal| principal.id), name).await?;
        Ok(access::decide(principal, &facts, |_, _| {}))
    }
}

/// `/v2/<repository>/<kind>/<rest>`: always relative, so that no proxy in front can make it wrong.
pub(super) fn location(repository: &RepositoryName, kind: &str, rest: &str) -> String {
    format!("/v2/{repository}/{kind}/{rest}")
}
