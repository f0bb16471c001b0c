//! What a principal may do in a repository: a function of facts, without I/O. `explain` is this with its reasons.

use std::collections::BTreeSet;

use hallmark_oci::{Action, ListTrustChanges, Operation, Reference, TrustKey};
use hallmark_storage::metadata::{AccountKind, Facts, Granted, Principal, PrincipalKind, Rights, SystemRole};

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What may be done in the repository; in one that does not exist, what could be done once it did.
    pub rights: Rights,
    /// Whether the repository may be made, by a push or otherwise, when it does not exist.
    pub may_create: bool,
    /// Whether only the organization's setting lets a member make it: whoever makes it is then given it.
    pub by_membership: bool,
}

/// Why somebody has rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// They administer the registry.
    Administrator,
    /// They read everything in the registry.
    Auditor,
    /// The account is their own.
    OwnAccount,
    /// They own the organization.
    OrganizationOwner,
    /// It was granted to them or to a team of theirs.
    Grant(&'a Granted),
    /// Members of the organization may make repositories, and this one does not exist.
    MembersCreate,
    /// Anybody may pull from it.
    Public,
}

/// Decides what `who` (`None`: nobody in particular) may do by these facts, and tells each reason with the rights it gives.
/// Rights add up, and nothing takes any away but an organization's word that `write` alone does not let sign.
pub fn decide<'a>(who: Option<&Principal>, facts: &'a Facts, mut tell: impl FnMut(Reason<'a>, Rights)) -> Decision {
    let mut decision = Decision { rights: Rights::NONE, may_create: false, by_membership: false };
    let mut give = |reason, rights, creates| {
        tell(reason, rights);
        decision.rights |= rights;
        decision.may_create |= creates;
    };
    if facts.repository.as_ref().is_some_and(|repository| repository.public) {
        give(Reason::Public, Rights::PULL, false);
    }
    let Some(who) = who.filter(|who| !who.disabled) else { return decision };
    match who.role {
        SystemRole::Administrator => give(Reason::Administrator, Rights::ADMIN, true),
        SystemRole::Auditor => give(Reason::Auditor, Rights::READ, false),
        SystemRole::None => {}
    }
    let Some(account) = &facts.account else { return decision };
    if who.kind == PrincipalKind::User && account.kind == AccountKind::User && account.id == who.account_id {
        give(Reason::OwnAccount, Rights::ADMIN, true);
    }
    if facts.member == Some(true) {
        give(Reason::OrganizationOwner, Rights::ADMIN, true);
    }
    // Where an organization does not let writers sign.
    let given = |rights: Rights| rights.given(account.writers_sign);
    for grant in &facts.grants {
        let reaches_new = grant.prefix.is_some()
            && (grant.rights.contain(Rights::MANAGE) || account.create_on_push && grant.rights.contain(Rights::PUSH));
        give(Reason::Grant(grant), given(grant.rights), reaches_new);
    }
    if facts.repository.is_none() && facts.member.is_some() && account.create_on_push && !decision.may_create {
        let rights = given(Rights::WRITE);
        tell(Reason::MembersCreate, rights);
        decision = Decision { rights: decision.rights | rights, may_create: true, by_membership: true };
    }
    decision
}

/// The facts as they would be if the repository were not there, with the rights by them, when `who` has no right in it at all and could
/// make it by being a member: then nothing that only reads may tell them that somebody else has made it.
pub(super) fn as_absent(who: Option<&Principal>, facts: &Facts) -> Option<(Facts, Rights)> {
    facts.repository.as_ref()?;
    if !decide(who, facts, |_, _| {}).rights.is_empty() {
        return None;
    }
    let mut absent = Facts { repository: None, ..facts.clone() };
    absent.grants.retain(|grant| grant.prefix.is_some());
    let decision = decide(who, &absent, |_, _| {});
    decision.by_membership.then_some((absent, decision.rights))
}

/// The rights that an operation on a repository needs. Deleting a tag is writing; what a digest names is another matter.
#[must_use]
pub fn required(operation: &Operation) -> Rights {
    match operation {
        Operation::Ping
        | Operation::ListRepositories(_)
        | Operation::ListTrustChanges(ListTrustChanges { gun: None, .. }) => Rights::NONE,
        Operation::PullManifest(_)
        | Operation::PullBlob(_)
        | Operation::ListTags(_)
        | Operation::ListReferrers(_)
        | Operation::ReadTrust(_)
        | Operation::ReadTuf(_)
        | Operation::ListTrustChanges(_) => Rights::PULL,
        // Who signs may not have the right to push; who could never sign makes no key.
        Operation::PublishTrust(_) | Operation::TrustKey(TrustKey { rotate: false, .. }) => Rights::PULL | Rights::SIGN,
        Operation::TrustKey(_) | Operation::DeleteTrust(_) => Rights::MANAGE,
        Operation::PutManifest(_)
        | Operation::BeginUpload(_)
        | Operation::UploadStatus(_)
        | Operation::AppendUpload(_)
        | Operation::FinishUpload(_)
        | Operation::CancelUpload(_) => Rights::PULL | Rights::PUSH,
        Operation::DeleteManifest(delete) => match delete.reference {
            Reference::Tag(_) => Rights::PUSH,
            Reference::Digest(_) => Rights::DELETE,
        },
        Operation::DeleteBlob(_) => Rights::DELETE,
    }
}

/// Whether a token of who has `rights` may name `action`. `delete` is the word for tags as well as for what a digest names,
/// so whoever may do either can have it: the token is a ceiling, and the right is asked for again.
#[must_use]
pub fn may_name(rights: Rights, action: Action) -> bool {
    match action {
        Action::Pull => rights.contain(Rights::PULL),
        Action::Push => rights.contain(Rights::PUSH),
        Action::Delete => rights.contain(Rights::DELETE) || rights.contain(Rights::PUSH),
        Action::All => rights.contain(Rights::PULL | Rights::PUSH | Rights::DELETE),
    }
}

/// Whether a token of who has `rights` may name `action` on the trust collection of the repository: to push there is to sign,
/// and everything is for who manages the repository.
#[must_use]
pub fn may_name_in_trust(rights: Rights, action: Action) -> bool {
    match action {
        Action::Pull => rights.contain(Rights::PULL),
        Action::Push => rights.contain(Rights::PULL | Rights::SIGN),
        Action::Delete | Action::All => rights.contain(Rights::MANAGE),
    }
}

/// The part of `asked` that a token may name; `*` from somebody who lacks a part becomes the part they have.
#[must_use]
pub fn cut_down(rights: Rights, asked: &BTreeSet<Action>) -> BTreeSet<Action> {
    cut_down_by(asked, |action| may_name(rights, action))
}

/// The same for the trust collection of the repository.
#[must_use]
pub fn cut_down_in_trust(rights: Rights, asked: &BTreeSet<Action>) -> BTreeSet<Action> {
    cut_down_by(asked, |action| may_name_in_trust(rights, action))
}

fn cut_down_by(asked: &BTreeSet<Action>, may_name: impl Fn(Action) -> bool) -> BTreeSet<Action> {
    let mut kept: BTreeSet<Action> = asked.iter().copied().filter(|action| may_name(*action)).collect();
    if asked.contains(&Action::All) && !kept.contains(&Action::All) {
        kept.extend([Action::Pull, Action::Push, Action::Delete].into_iter().filter(|action| may_name(*action)));
    }
    kept
}
