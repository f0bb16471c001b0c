//! Rights as a function of facts: row by row, and against a naive model.

use std::collections::BTreeSet;

use hallmark_oci::{Action, RepositoryName};
use hallmark_storage::metadata::{
    AccountFacts, AccountId, AccountKind, Facts, Granted, Principal, PrincipalId, PrincipalKind, Repository,
    RepositoryId, Rights, SystemRole,
};
use proptest::prelude::*;

use super::decision::as_absent;
use super::{Decision, Reason, cut_down_actions, decide};

const ANNS: AccountId = AccountId(1);
const ACME: AccountId = AccountId(2);
const ANN: PrincipalId = PrincipalId(9);

fn principal(kind: PrincipalKind, role: SystemRole) -> Principal {
    Principal {
        id: ANN,
        name: "ann".into(),
        kind,
        account_id: ANNS,
        role,
        credential_epoch: 0,
        disabled: false,
        vouched: None,
    }
}

fn ann() -> Principal {
    principal(PrincipalKind::User, SystemRole::None)
}

fn repository(account_id: AccountId, public: bool) -> Repository {
    let name: RepositoryName = "x/app".parse().unwrap();
    Repository { id: RepositoryId(7), name, account_id, account_name: Some("x".into()), owner: None, public }
}

fn of_account(id: AccountId, kind: AccountKind) -> Facts {
    Facts { account: Some(AccountFacts { id, kind, create_on_push: false, writers_sign: true }), ..Facts::default() }
}

fn rights(who: Option<&Principal>, facts: &Facts) -> String {
    let Decision { rights, may_create, .. } = decide(who, facts, |_, _| {});
    format!("{rights}{}", if may_create { ", may create" } else { "" })
}

#[test]
fn a_user_owns_what_lies_in_their_account() {
    let mut facts = of_account(ANNS, AccountKind::User);
    assert_eq!(rights(Some(&ann()), &facts), "admin, may create");
    facts.repository = Some(repository(ANNS, false));
    assert_eq!(rights(Some(&ann()), &facts), "admin, may create");
    assert_eq!(rights(None, &facts), "none");
    let robot = principal(PrincipalKind::Robot, SystemRole::None);
    assert_eq!(rights(Some(&robot), &facts), "none", "a robot of the account owns nothing in it");
}

/// Threat 8: a name that is taken again inherits nothing, since an account is an id.
#[test]
fn a_repository_belongs_to_its_account_and_not_to_its_name() {
    let facts = of_account(AccountId(3), AccountKind::User);
    assert_eq!(rights(Some(&ann()), &facts), "none");
}

#[test]
fn anybody_pulls_what_is_public_and_nothing_else() {
    let mut facts = of_account(ACME, AccountKind::Organization);
    facts.repository = Some(repository(ACME, true));
    assert_eq!(rights(None, &facts), "read");
    assert_eq!(rights(Some(&ann()), &facts), "read");
    let gone = Principal { disabled: true, role: SystemRole::Administrator, ..ann() };
    assert_eq!(rights(Some(&gone), &facts), "read");
}

#[test]
fn an_administrator_does_everything_and_an_auditor_reads_everything() {
    let (admin, auditor) =
        [SystemRole::Administrator, SystemRole::Auditor].map(|role| principal(PrincipalKind::User, role)).into();
    let private = Facts { repository: Some(repository(ACME, false)), ..of_account(ACME, AccountKind::Organization) };
    for facts in [&private, &Facts::default()] {
        assert_eq!(rights(Some(&admin), facts), "admin, may create");
        assert_eq!(rights(Some(&auditor), facts), "read");
    }
    assert_eq!(rights(Some(&auditor), &of_account(ANNS, AccountKind::User)), "admin, may create", "what is their own");
}

#[test]
fn a_member_makes_repositories_only_where_the_organization_says_so() {
    let mut facts = Facts { member: Some(false), ..of_account(ACME, AccountKind::Organization) };
    assert_eq!(rights(Some(&ann()), &facts), "none");
    facts.account.as_mut().unwrap().create_on_push = true;
    assert_eq!(rights(Some(&ann()), &facts), "write, may create");
    assert!(decide(Some(&ann()), &facts, |_, _| {}).by_membership);
    facts.repository = Some(repository(ACME, false));
    assert_eq!(rights(Some(&ann()), &facts), "none", "what others have made is theirs");
    let (absent, rights_there) = as_absent(Some(&ann()), &facts).unwrap();
    assert_eq!((absent.repository, rights_there), (None, Rights::WRITE), "and reads like what nobody has made");
    let public = Facts { repository: Some(repository(ACME, true)), ..facts.clone() };
    assert_eq!(as_absent(Some(&ann()), &public), None);
    assert_eq!(as_absent(None, &facts), None);
    facts.member = Some(true);
    assert_eq!(rights(Some(&ann()), &facts), "admin, may create");
}

#[test]
fn a_grant_on_a_prefix_makes_repositories_by_admin_or_by_the_setting() {
    for (granted, create_on_push, expected) in [
        ("write", false, "write"),
        ("write", true, "write, may create"),
        ("read", true, "read"),
        ("sign", true, "sign"),
        ("admin", false, "admin, may create"),
    ] {
        let mut facts = of_account(ACME, AccountKind::Organization);
        facts.account.as_mut().unwrap().create_on_push = create_on_push;
        facts.grants = vec![Granted { holder: ANN, prefix: Some("acme/".into()), rights: granted.parse().unwrap() }];
        assert_eq!(rights(Some(&ann()), &facts), expected, "{granted} {create_on_push}");
    }
}

/// "Write: read, push, delete tags, sign if a policy lets them."
#[test]
fn where_writers_do_not_sign_who_was_given_it_does() {
    for (granted, expected) in [
        ("write", Rights::PULL | Rights::PUSH),
        ("write+sign", Rights::WRITE),
        ("read+sign", Rights::READ | Rights::SIGN),
        ("admin", Rights::ADMIN),
    ] {
        let mut facts = of_account(ACME, AccountKind::Organization);
        facts.repository = Some(repository(ACME, false));
        facts.grants = vec![Granted { holder: ANN, prefix: None, rights: granted.parse().unwrap() }];
        assert!(decide(Some(&ann()), &facts, |_, _| {}).rights.contain(Rights::SIGN) || granted == "read");
        facts.account.as_mut().unwrap().writers_sign = false;
        assert_eq!(decide(Some(&ann()), &facts, |_, _| {}).rights, expected, "{granted}");
    }
    let mut facts = Facts { member: Some(false), ..of_account(ACME, AccountKind::Organization) };
    facts.account = facts.account.map(|account| AccountFacts { create_on_push: true, writers_sign: false, ..account });
    assert_eq!(decide(Some(&ann()), &facts, |_, _| {}).rights, Rights::PULL | Rights::PUSH, "who may make one");
    facts.member = Some(true);
    assert_eq!(decide(Some(&ann()), &facts, |_, _| {}).rights, Rights::ADMIN, "an owner");
}

#[test]
fn what_a_token_may_name_is_cut_down_and_never_widened() {
    let every = [Action::Pull, Action::Push, Action::Delete, Action::All];
    for mask in 0..16_u32 {
        let asked: BTreeSet<Action> = (0..4).filter(|bit| mask >> bit & 1 == 1).map(|bit| every[bit]).collect();
        assert_eq!(cut_down_actions(Rights::ADMIN, &asked), asked);
        assert_eq!(cut_down_actions(Rights::NONE, &asked), BTreeSet::new());
        let wants = |action| asked.contains(&action) || asked.contains(&Action::All);
        let kept = |allowed: &[Action]| allowed.iter().copied().filter(|action| wants(*action)).collect();
        assert_eq!(cut_down_actions(Rights::READ, &asked), kept(&[Action::Pull]));
        // Whoever pushes may delete tags, for which a token says `delete`.
        let writer: BTreeSet<Action> = kept(&[Action::Pull, Action::Push, Action::Delete]);
        let cut = cut_down_actions(Rights::WRITE, &asked);
        assert_eq!(cut, writer);
        assert!(!cut.contains(&Action::All));
    }
}

/// The rules once more, as a list that any single line of is enough: the words of the documentation.
fn naive(who: Option<&Principal>, facts: &Facts, wanted: Rights) -> bool {
    let public = facts.repository.as_ref().is_some_and(|repository| repository.public) && wanted == Rights::PULL;
    let Some(who) = who else { return public };
    if who.disabled {
        return public;
    }
    let organization = facts.account.as_ref().filter(|account| account.kind == AccountKind::Organization);
    let writers_sign = facts.account.as_ref().is_none_or(|account| account.writers_sign);
    let lines = [
        public,
        who.role == SystemRole::Administrator,
        who.role == SystemRole::Auditor && wanted == Rights::PULL,
        who.kind == PrincipalKind::User
            && facts.account.as_ref().is_some_and(|account| account.kind == AccountKind::User && account.id == ANNS),
        facts.account.is_some() && facts.member == Some(true),
        facts.account.is_some()
            && facts.grants.iter().any(|grant| match wanted {
                // Who was given it by its name, or administers.
                Rights::SIGN if !writers_sign => grant.rights.words().any(|word| word == "sign" || word == "admin"),
                _ => grant.rights.contain(wanted),
            }),
        organization.is_some_and(|account| account.create_on_push)
            && facts.member.is_some()
            && facts.repository.is_none()
            && Rights::WRITE.contain(wanted)
            && (wanted != Rights::SIGN || writers_sign),
    ];
    lines.contains(&true)
}

/// Who may make the repository by pushing to it, where there is none.
fn naively_makes(who: Option<&Principal>, facts: &Facts) -> bool {
    let Some(who) = who.filter(|who| !who.disabled) else { return false };
    let Some(account) = &facts.account else { return who.role == SystemRole::Administrator };
    let on_prefix =
        |wanted: Rights| facts.grants.iter().any(|grant| grant.prefix.is_some() && grant.rights.contain(wanted));
    who.role == SystemRole::Administrator
        || who.kind == PrincipalKind::User && account.kind == AccountKind::User && account.id == ANNS
        || facts.member == Some(true)
        || on_prefix(Rights::MANAGE)
        || account.create_on_push && (on_prefix(Rights::PUSH) || facts.member.is_some() && facts.repository.is_none())
}

fn worlds() -> impl Strategy<Value = (Option<Principal>, Facts)> {
    let who = (any::<bool>(), 0..3_u8, prop::bool::weighted(0.1)).prop_map(|(robot, role, disabled)| {
        let kind = if robot { PrincipalKind::Robot } else { PrincipalKind::User };
        let role = match role {
            _ if robot => SystemRole::None,
            0 => SystemRole::Administrator,
            1 => SystemRole::Auditor,
            _ => SystemRole::None,
        };
        Principal { disabled, ..principal(kind, role) }
    });
    let account = (0..4_u8, any::<bool>(), any::<bool>()).prop_map(|(kind, create_on_push, writers_sign)| {
        let (id, kind) = match kind {
            0 => return None,
            1 => (ANNS, AccountKind::User),
            2 => (AccountId(5), AccountKind::User),
            _ => (ACME, AccountKind::Organization),
        };
        let create_on_push = create_on_push && kind == AccountKind::Organization;
        Some(AccountFacts { id, kind, create_on_push, writers_sign })
    });
    let words = prop::sample::subsequence(vec!["read", "write", "admin", "delete", "sign"], 1..3);
    let grant = (any::<bool>(), words).prop_map(|(prefix, words)| Granted {
        holder: ANN,
        prefix: prefix.then(|| "x/".to_owned()),
        rights: words.join("+").parse().unwrap(),
    });
    let rest = (any::<Option<bool>>(), any::<Option<bool>>(), prop::collection::vec(grant, 0..4));
    (prop::option::weighted(0.9, who), account, rest).prop_map(|(who, account, (public, member, grants))| {
        let id = account.as_ref().map(|account| account.id);
        let member =
            member.filter(|_| account.as_ref().is_some_and(|account| account.kind == AccountKind::Organization));
        let repository = id.zip(public).map(|(id, public)| repository(id, public));
        // A grant on a repository is found only where there is one.
        let grants = grants.into_iter().filter(|grant| grant.prefix.is_some() || repository.is_some()).collect();
        (who, Facts { account, repository, member, grants })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// `explain` is `decide` with its reasons kept: the rights are the sum of what the reasons give, each right is one that
    /// the naive model gives, and the other way round.
    #[test]
    fn decisions_are_those_of_the_naive_model((who, facts) in worlds()) {
        let (mut sum, mut reasons) = (Rights::NONE, Vec::new());
        let decision = decide(who.as_ref(), &facts, |reason, rights| {
            sum |= rights;
            reasons.push(reason);
        });
        prop_assert_eq!(decision.rights, sum);
        for right in [Rights::PULL, Rights::PUSH, Rights::DELETE, Rights::SIGN, Rights::MANAGE] {
            prop_assert_eq!(decision.rights.contain(right), naive(who.as_ref(), &facts, right), "{:?}", right);
        }
        prop_assert_eq!(decision.by_membership, reasons.contains(&Reason::MembersCreate));
        prop_assert_eq!(decision.may_create, naively_makes(who.as_ref(), &facts));
        prop_assert!(!decision.may_create || decision.rights.contain(Rights::PUSH), "who may make one may push to it");
    }
}
