//! Rights as a function of facts, row by row.

use std::collections::BTreeSet;

use hallmark_oci::{Action, RepositoryName};
use hallmark_storage::metadata::{AccountId, Principal, PrincipalId, PrincipalKind, Repository, RepositoryId};

use super::Rights;

const ANNS: AccountId = AccountId(1);
const BOBS: AccountId = AccountId(2);

fn principal(name: &str, account_id: AccountId, system_admin: bool) -> Principal {
    let kind = PrincipalKind::User;
    Principal {
        id: PrincipalId(9),
        name: name.into(),
        kind,
        account_id,
        system_admin,
        credential_epoch: 0,
        disabled: false,
    }
}

fn repository(name: &str, account_id: AccountId, public: bool) -> Repository {
    let account_name = name.parse::<RepositoryName>().unwrap().account().map(str::to_owned);
    Repository { id: RepositoryId(7), name: name.parse().unwrap(), account_id, account_name, owner: None, public }
}

fn rights(principal: Option<&Principal>, name: &str, repository: Option<&Repository>) -> &'static str {
    let rights = Rights::of(principal, &name.parse().unwrap(), repository);
    match [Action::Pull, Action::Push, Action::Delete, Action::All].map(|action| rights.allow(action)) {
        [true, true, true, true] => "all",
        [true, false, false, false] => "pull",
        [false, false, false, false] => "none",
        other => panic!("rights that nobody has: {other:?}"),
    }
}

#[test]
fn a_user_owns_what_lies_in_their_account_and_reads_what_is_public() {
    let ann = principal("ann", ANNS, false);
    assert_eq!(rights(Some(&ann), "ann/app", Some(&repository("ann/app", ANNS, false))), "all");
    assert_eq!(rights(Some(&ann), "bob/app", Some(&repository("bob/app", BOBS, false))), "none");
    assert_eq!(rights(Some(&ann), "bob/app", Some(&repository("bob/app", BOBS, true))), "pull");
    assert_eq!(rights(Some(&ann), "busybox", Some(&repository("busybox", AccountId::SYSTEM, false))), "none");
    assert_eq!(rights(Some(&ann), "busybox", Some(&repository("busybox", AccountId::SYSTEM, true))), "pull");
}

#[test]
fn a_repository_that_does_not_exist_is_that_of_who_could_make_it() {
    let ann = principal("ann", ANNS, false);
    for (name, expected) in
        [("ann/new", "all"), ("ann/a/b", "all"), ("bob/new", "none"), ("ann", "none"), ("annex/new", "none")]
    {
        assert_eq!(rights(Some(&ann), name, None), expected, "{name}");
        assert_eq!(rights(None, name, None), "none", "{name}");
    }
}

/// Threat 8: a name that is taken again inherits nothing, since a repository's account is an id.
#[test]
fn a_repository_belongs_to_its_account_and_not_to_its_name() {
    let new_ann = principal("ann", AccountId(3), false);
    assert_eq!(rights(Some(&new_ann), "ann/app", Some(&repository("ann/app", ANNS, false))), "none");
}

#[test]
fn nobody_in_particular_reads_what_is_public_and_nothing_else() {
    assert_eq!(rights(None, "ann/app", Some(&repository("ann/app", ANNS, true))), "pull");
    assert_eq!(rights(None, "ann/app", Some(&repository("ann/app", ANNS, false))), "none");
}

#[test]
fn an_administrator_may_do_everything_everywhere() {
    let admin = principal("admin", AccountId(4), true);
    for name in ["ann/app", "busybox", "admin/x"] {
        assert_eq!(rights(Some(&admin), name, None), "all");
        assert_eq!(rights(Some(&admin), name, Some(&repository(name, ANNS, false))), "all");
    }
}

#[test]
fn what_is_asked_is_cut_down_and_never_widened() {
    let public = Rights::of(None, &"a/b".parse().unwrap(), Some(&repository("a/b", ANNS, true)));
    let every = [Action::Pull, Action::Push, Action::Delete, Action::All];
    for mask in 0..16_u32 {
        let asked: BTreeSet<Action> = (0..4).filter(|bit| mask >> bit & 1 == 1).map(|bit| every[bit]).collect();
        assert_eq!(Rights::all().cut_down(&asked), asked);
        assert_eq!(Rights::none().cut_down(&asked), BTreeSet::new());
        let wants_pull = asked.contains(&Action::Pull) || asked.contains(&Action::All);
        let expected = if wants_pull { BTreeSet::from([Action::Pull]) } else { BTreeSet::new() };
        assert_eq!(public.cut_down(&asked), expected);
    }
}
