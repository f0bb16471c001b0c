//! Who manages, how far the credential they showed reaches, and on what occasion.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{
    Account, AccountId, AccountKind, Event, Organization, Principal, PrincipalKind, Repository, RepositoryId, Rights,
    SystemRole, Tx,
};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::Refused;
use crate::access::{self, Pattern};
use crate::app::App;
use crate::auth::limits::Api;
use crate::auth::{Authenticated, Client};

/// The refusal of who does not manage a repository.
const MANAGE: &str = "this needs the right admin on the repository";

/// No account has this id: whoever belongs to an account that is not there is asked for all the same, since time would tell.
pub(super) const NO_ACCOUNT: AccountId = AccountId(-1);

/// Somebody who asks to see or to change something about people, rights or repositories.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who they are, and how far what they showed reaches.
    pub known: Authenticated,
    /// From where they ask.
    pub client: Client,
    /// Milliseconds since 1970.
    pub now: i64,
    /// The request's id.
    pub request_id: String,
}

/// What the caller believes a thing to be: the entity tags of `If-Match`, separated by commas, when there are any.
#[derive(Debug, Clone, Default)]
pub struct Expected(pub Option<String>);

/// How a caller stands in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// They read it, as auditors of the registry do.
    Reader,
    /// They belong to it.
    Member,
    /// Everything in it is theirs to do.
    Owner,
}

impl Expected {
    /// Whether the thing is still what the caller believes it to be.
    ///
    /// # Errors
    /// [`Refused::Changed`] when it is not.
    pub fn hold(&self, thing: &impl Serialize) -> Result<(), Refused> {
        match &self.0 {
            Some(expected) => {
                let tag = tag(thing);
                let holds = expected.split(',').any(|expected| expected.trim() == tag);
                if holds { Ok(()) } else { Err(Refused::Changed) }
            }
            None => Ok(()),
        }
    }
}

/// The entity tag of a thing as it is shown: 128 bits of its SHA-256, quoted.
#[must_use]
pub fn tag(thing: &impl Serialize) -> String {
    let text = serde_json::to_vec(thing).unwrap_or_default();
    let digest = digest(&SHA256, &text);
    let hex: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// A principal, as a holder of grants is written.
pub(super) fn holder(principal: &Principal) -> String {
    let kind = if principal.kind == PrincipalKind::Robot { "robot" } else { "user" };
    format!("{kind}:{}", principal.name)
}

impl Caller {
    pub(super) fn principal(&self) -> &Principal {
        &self.known.principal
    }

    /// Whether they administer the registry, and the credential reaches that far.
    #[must_use]
    pub fn administers(&self) -> bool {
        self.principal().is_administrator() && self.reaches_everything()
    }

    /// Whether they may read everything.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        self.principal().role != SystemRole::None && self.known.ceiling.is_everywhere()
    }

    /// Whether the credential may change things at all.
    ///
    /// # Errors
    /// [`Refused::Forbidden`].
    pub fn may_change(&self) -> Result<(), Refused> {
        if self.known.ceiling.api() == Api::Write {
            return Ok(());
        }
        Err(Refused::Forbidden("this token may not change anything here: it needs the scope api:write"))
    }

    /// Whether what was shown may leave a secret behind: a certificate ends, and what was made by it would go on.
    ///
    /// # Errors
    /// [`Refused::Forbidden`].
    pub(super) fn may_leave_secrets(&self) -> Result<(), Refused> {
        match self.known.certificate {
            None => Ok(()),
            Some(_) => Err(Refused::Forbidden(
                "a client certificate sets no password and makes no token, secret or rule, which would outlive it; sign in otherwise",
            )),
        }
    }

    /// Whether what was shown may give anybody a role in the whole registry, or a way to it: they have it still when it has ended.
    ///
    /// # Errors
    /// [`Refused::Forbidden`].
    pub(super) fn may_make_administrators(&self) -> Result<(), Refused> {
        if self.signed_in_with_a_password() {
            return Ok(());
        }
        Err(Refused::Forbidden(
            "sign in with a password to make an administrator or auditor, or to give one a way in; a token or certificate may not",
        ))
    }

    /// Whether they showed what is theirs for good, and neither a token nor a certificate, which end.
    pub(super) fn signed_in_with_a_password(&self) -> bool {
        self.known.credential.is_none() && self.known.certificate.is_none()
    }

    /// When the token ends that was shown, in milliseconds since 1970; `None` for what is no such token.
    pub(super) async fn ends(&self, app: &App) -> Result<Option<i64>, Refused> {
        let Some(own) = self.known.credential else { return Ok(None) };
        // Of one that is gone meanwhile nothing outlives anything.
        Ok(Some(app.metadata.credential_of_id(own).await?.map_or(self.now, |own| own.expires_at)))
    }

    /// Whether the credential is bound to no part of what its principal may manage.
    pub(super) fn reaches_everything(&self) -> bool {
        self.known.ceiling.is_whole()
    }

    /// Whether the credential reaches all of an account.
    pub(super) fn reaches_account(&self, account: &str) -> bool {
        let whole = Pattern::Prefix(format!("{account}/"));
        self.known.ceiling.limits.as_ref().is_none_or(|limits| {
            limits.rights.contain(Rights::ADMIN) && (limits.on.is_empty() || limits.on.contains(&whole))
        })
    }

    /// Who they are, as a holder of grants is written.
    pub(super) fn name(&self) -> String {
        holder(self.principal())
    }

    /// What of `rights` on all names that begin with `prefix` the credential reaches.
    pub(super) fn bound_prefix(&self, prefix: &str, rights: Rights) -> Rights {
        let Some(limits) = &self.known.ceiling.limits else { return rights };
        let reaches = |pattern: &Pattern| matches!(pattern, Pattern::Prefix(within) if prefix.starts_with(within));
        if limits.on.is_empty() || limits.on.iter().any(reaches) { rights.and(limits.rights) } else { Rights::NONE }
    }

    /// An event of this occasion.
    pub(super) fn event<'a>(&'a self, kind: &'a str, subject: &'a str, payload: &'a str) -> Event<'a> {
        Event {
            actor: self.principal().id,
            kind,
            account: None,
            repository: None,
            subject,
            payload: if payload.is_empty() { "{}" } else { payload },
            request_id: &self.request_id,
            at: self.now,
        }
    }

    /// An event that happened in an account.
    pub(super) fn event_in<'a>(
        &'a self,
        account: AccountId,
        kind: &'a str,
        subject: &'a str,
        payload: &'a str,
    ) -> Event<'a> {
        Event { account: Some(account), ..self.event(kind, subject, payload) }
    }

    /// An event that happened in a repository.
    pub(super) fn event_on<'a>(
        &'a self,
        (account, repository): (AccountId, RepositoryId),
        kind: &'a str,
        subject: &'a str,
        payload: &'a str,
    ) -> Event<'a> {
        Event { repository: Some(repository), ..self.event_in(account, kind, subject, payload) }
    }

    /// Whether the caller is still who they were when the request came, by the facts of a change: its body may have taken
    /// minutes. Every change begins with this.
    ///
    /// # Errors
    /// [`Refused::Forbidden`] when they were disabled, have other credentials or another role, or showed what was revoked.
    pub(crate) async fn stands(&self, tx: &mut Tx) -> Result<(), Refused> {
        if tx.stands(self.principal(), self.known.credential, self.now).await? {
            return Ok(());
        }
        Err(Refused::Forbidden("your credentials changed meanwhile; sign in again"))
    }

    /// The organization of this name, held, when the caller stands in it at least so, and how they do. It is looked at before it
    /// is held: nobody makes others wait for what is not theirs.
    pub(super) async fn organization(
        &self,
        tx: &mut Tx,
        name: &str,
        least: Standing,
    ) -> Result<(Organization, Standing), Refused> {
        self.stands(tx).await?;
        let unknown = || Refused::Unknown("organization");
        if !crate::auth::users::is_name(name) {
            return Err(unknown());
        }
        let suffices = |standing: Standing| match standing >= least {
            true => Ok(standing),
            false => Err(Refused::Forbidden("only an owner of the organization may do this")),
        };
        let seen = tx.glance_at_organization(name, self.principal().id).await?;
        let member = seen.and_then(|(_, member)| self.standing(name, member));
        suffices(member.ok_or_else(unknown)?)?;
        let organization = tx.organization(name).await?.ok_or_else(unknown)?;
        let member = tx.membership(organization.id, self.principal().id).await?;
        let standing = suffices(self.standing(name, member).ok_or_else(unknown)?)?;
        Ok((organization, standing))
    }

    /// The organization of this name, when the caller owns it.
    pub(super) async fn owned(&self, tx: &mut Tx, name: &str) -> Result<Organization, Refused> {
        self.may_change()?;
        Ok(self.organization(tx, name, Standing::Owner).await?.0)
    }

    /// How the caller stands in an organization in which they are a `member`; `None` when they may not know of it.
    pub(super) fn standing(&self, organization: &str, member: Option<bool>) -> Option<Standing> {
        let reaches = self.reaches_account(organization);
        match member {
            _ if self.administers() => Some(Standing::Owner),
            Some(true) if reaches => Some(Standing::Owner),
            Some(_) => Some(Standing::Member),
            None if self.reads_everything() => Some(Standing::Reader),
            None => None,
        }
    }

    /// The account of this name, held, when the caller governs it: their own, or an organization's that they own.
    pub(super) async fn governed(&self, tx: &mut Tx, name: &str) -> Result<Account, Refused> {
        self.may_change()?;
        let unknown = || Refused::Unknown("account");
        // Held as an organization first, whatever it is: who took the weaker lock before would wait for another who did.
        self.stands(tx).await?;
        let is_organization = match self.owned(tx, name).await {
            Ok(_) => true,
            Err(Refused::Unknown(_)) => false,
            Err(refused) => return Err(refused),
        };
        let is_own = self.principal().kind == PrincipalKind::User && self.principal().name == *name;
        let governs = is_organization || self.administers() || is_own && self.reaches_account(name);
        let may_be = governs && crate::auth::users::is_name(name);
        let found = if may_be { tx.account(name).await? } else { None };
        let found = found.filter(|account| is_organization == (account.kind == AccountKind::Organization));
        found.ok_or_else(unknown)
    }

    /// The account of this name, when the caller may see what is in it: who governs it or belongs to it, and who reads
    /// everything; and whether they see all that is in it, as mere members do not.
    pub(super) async fn visible_account(&self, app: &App, name: &str) -> Result<(Account, bool), Refused> {
        let found = if crate::auth::users::is_name(name) { app.metadata.account(name).await? } else { None };
        let id = found.as_ref().map_or(NO_ACCOUNT, |account| account.id);
        let member = app.metadata.membership(id, self.principal().id).await?;
        let is_own = self.principal().kind == PrincipalKind::User && id == self.principal().account_id;
        let owns = member.is_some() && self.standing(name, member) == Some(Standing::Owner);
        let sees_all = self.reads_everything() || is_own && self.reaches_account(name) || owns;
        let sees = sees_all || member.is_some();
        found.filter(|_| sees).map(|account| (account, sees_all)).ok_or(Refused::Unknown("account"))
    }

    /// What the caller may do in the repository of this name by the facts of a change, and the repository.
    pub(super) async fn rights(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
    ) -> Result<(access::Decision, Option<Repository>), Refused> {
        self.stands(tx).await?;
        let facts = tx.facts(self.principal().id, name).await?;
        let decision = access::decide(Some(self.principal()), &facts, |_, _| {});
        let rights = self.known.ceiling.bound(name, decision.rights);
        let may_create = decision.may_create && rights.contain(Rights::PUSH);
        Ok((access::Decision { rights, may_create, ..decision }, facts.repository))
    }

    /// The repository of this name, held, when the caller may manage it. Who may not see it learns nothing.
    pub(super) async fn managed(&self, tx: &mut Tx, name: &RepositoryName) -> Result<Repository, Refused> {
        self.with_right(tx, name, Rights::MANAGE, MANAGE).await
    }

    /// The repository of this name, held, when the caller has this right in it. It is judged before it is held: nobody makes
    /// others wait for what is not theirs.
    pub(super) async fn with_right(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        right: Rights,
        otherwise: &'static str,
    ) -> Result<Repository, Refused> {
        self.may_change()?;
        self.judge(tx, name, (right, otherwise)).await?;
        let held = tx.repository(name).await?;
        let (repository, _) = self.judge(tx, name, (right, otherwise)).await?;
        held.filter(|held| held.id == repository.id).ok_or(Refused::Unknown("repository"))
    }

    /// The repository of this name as it is now, when the caller may manage it, and what they may do in it. Nothing else changes it
    /// until the change ends.
    pub(super) async fn managed_whole(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
    ) -> Result<(Repository, Rights), Refused> {
        self.whole(tx, name, Rights::MANAGE, MANAGE).await
    }

    /// Refuses whoever does not govern the account of a repository, which is held; the account comes before what is in it.
    pub(super) async fn governs_account_of(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        otherwise: &'static str,
    ) -> Result<(), Refused> {
        let governs = match name.account() {
            Some(account) => match self.governed(tx, account).await {
                Ok(_) => true,
                Err(Refused::Unknown(_) | Refused::Forbidden(_)) => false,
                Err(refused) => return Err(refused),
            },
            None => self.administers(),
        };
        if governs {
            return Ok(());
        }
        // Who may not see it learns nothing, and who manages it, why that is not enough.
        self.managed_whole(tx, name).await?;
        Err(Refused::Forbidden(otherwise))
    }

    /// The repository of this name as it is now, when the caller has this right in it, and what they may do in it. Nothing else
    /// changes it until the change ends.
    pub(super) async fn whole(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        right: Rights,
        otherwise: &'static str,
    ) -> Result<(Repository, Rights), Refused> {
        self.may_change()?;
        self.judge(tx, name, (right, otherwise)).await?;
        let held = tx.hold_repository(name).await?;
        let (repository, rights) = self.judge(tx, name, (right, otherwise)).await?;
        let held = held.filter(|held| held.id == repository.id).ok_or(Refused::Unknown("repository"))?;
        Ok((held, rights))
    }

    /// The repository of this name, when the caller may manage it. Nothing is held.
    pub(super) async fn glance(&self, tx: &mut Tx, name: &RepositoryName) -> Result<Repository, Refused> {
        self.may_change()?;
        Ok(self.judge(tx, name, (Rights::MANAGE, MANAGE)).await?.0)
    }

    /// The repository of this name, when the caller has this right in it, and what they may do in it. Nothing is held.
    async fn judge(
        &self,
        tx: &mut Tx,
        name: &RepositoryName,
        (right, otherwise): (Rights, &'static str),
    ) -> Result<(Repository, Rights), Refused> {
        let (decision, repository) = self.rights(tx, name).await?;
        let repository = repository.filter(|_| !decision.rights.is_empty()).ok_or(Refused::Unknown("repository"))?;
        if !decision.rights.contain(right) {
            return Err(Refused::Forbidden(otherwise));
        }
        Ok((repository, decision.rights))
    }
}
