//! Groups: nested ones are followed, and the search ends whatever they say.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hallmark::auth::directory::{
    Directory, DirectoryConfig, DirectoryInvalid, GroupConfig, GroupMapping, Person, Step, TeamName, teams_of,
};

use super::slapd::{GROUPS, PEOPLE, Setup, Slapd};
use super::{code, sign_in};

fn group(name: &str, members: &[&str]) -> String {
    let mut ldif = format!("dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n");
    for member in members {
        writeln!(ldif, "member: {member}").unwrap();
    }
    ldif + "\n"
}

fn names(person: &Person) -> Vec<&str> {
    let name = |dn: &'_ str| dn.len() - ",ou=groups,dc=example,dc=com".len();
    person.groups.iter().map(|group| &group.as_str()["cn=".len()..name(group.as_str())]).collect()
}

async fn anna(config: &DirectoryConfig) -> Person {
    sign_in(config, "anna", "anna's own").await.unwrap().unwrap()
}

fn with_depth(slapd: &Slapd, depth: u32) -> DirectoryConfig {
    let groups = slapd.config().groups.map(|groups| GroupConfig { depth, ..groups });
    DirectoryConfig { groups, ..slapd.config() }
}

#[tokio::test]
async fn nested_groups_are_followed_and_cycles_end() {
    let anna_dn = format!("uid=anna,{PEOPLE}");
    let (one, two, itself) = (format!("cn=One,{GROUPS}"), format!("cn=two,{GROUPS}"), format!("cn=itself,{GROUPS}"));
    let cycle = group("One", &[&anna_dn, &two]) + &group("two", &[&one]) + &group("itself", &[&itself, &anna_dn]);
    let slapd = Slapd::start(Setup::Usual, &(cycle + &group("strangers", &[&format!("uid=ben,{PEOPLE}")])));
    let person = anna(&slapd.config()).await;
    assert_eq!(names(&person), ["core", "engineering", "itself", "one", "platform", "two"]);
    let ben = sign_in(&slapd.config(), "ben", "ben's own").await.unwrap().unwrap();
    assert_eq!(names(&ben), ["strangers"]);
}

#[tokio::test]
async fn as_many_levels_are_followed_as_the_depth_says() {
    let mut chain = group("level-01", &[&format!("uid=anna,{PEOPLE}")]);
    for level in 2..=12 {
        chain += &group(&format!("level-{level:02}"), &[&format!("cn=level-{:02},{GROUPS}", level - 1)]);
    }
    let slapd = Slapd::start(Setup::Usual, &chain);
    for depth in [1, 2, 8, 12, 32] {
        let person = anna(&with_depth(&slapd, depth)).await;
        let levels = names(&person).iter().filter(|name| name.starts_with("level-")).count();
        assert_eq!(levels, depth.min(12) as usize, "a depth of {depth}");
    }
}

/// The server gives this account no more than 500 entries at once, and its groups are found in batches of names.
#[tokio::test]
async fn more_groups_than_one_page_are_read_in_pages() {
    let mut many: String =
        (0..1_200).map(|index| group(&format!("g{index}"), &[&format!("uid=anna,{PEOPLE}")])).collect();
    many += &group("above", &[&format!("cn=g1199,{GROUPS}")]);
    let slapd = Slapd::start(Setup::Usual, &many);
    let person = anna(&slapd.config()).await;
    assert_eq!(person.groups.len(), 1_200 + 3 + 1);
}

#[tokio::test]
async fn whoever_is_in_more_groups_than_are_read_is_an_error() {
    let many: String =
        (0..=10_000).map(|index| group(&format!("g{index}"), &[&format!("uid=anna,{PEOPLE}")])).collect();
    let slapd = Slapd::start(Setup::Usual, &many);
    let mut config = slapd.config();
    config.timeout = std::time::Duration::from_secs(60);
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, error.is_outage()), (Step::Groups, false), "{error:?}");
}

#[tokio::test]
async fn groups_that_list_names_are_found_by_name() {
    let ldif = format!("dn: cn=unix,{GROUPS}\nobjectClass: posixGroup\ncn: unix\ngidNumber: 100\nmemberUid: anna\n\n");
    let slapd = Slapd::start(Setup::Usual, &ldif);
    let groups = GroupConfig { base: GROUPS.to_owned(), filter: "(memberUid={name})".to_owned(), depth: 1 };
    let config = DirectoryConfig { groups: Some(groups.clone()), ..slapd.config() };
    assert_eq!(names(&anna(&config).await), ["unix"]);
    let deeper = DirectoryConfig { groups: Some(GroupConfig { depth: 2, ..groups }), ..slapd.config() };
    assert!(matches!(Directory::new(&deeper), Err(DirectoryInvalid::Depth)));
}

/// Nobody loses their teams because a server was set up anew with its groups elsewhere.
#[tokio::test]
async fn a_base_of_groups_that_is_not_there_is_an_error() {
    let slapd = Slapd::start(Setup::Usual, "");
    let groups = slapd.config().groups.map(|groups| GroupConfig { base: "ou=gone,dc=example,dc=com".into(), ..groups });
    let error = sign_in(&DirectoryConfig { groups, ..slapd.config() }, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Groups, Some(32)));
}

#[tokio::test]
async fn a_group_maps_to_a_team_in_whatever_spelling_it_was_given() {
    let slapd = Slapd::start(Setup::Usual, "");
    let team = |team: &str| TeamName { organization: "acme".to_owned(), team: team.to_owned() };
    let mapping = [
        GroupMapping { group: "CN=Platform , OU = Groups,DC=example, dc=COM".parse().unwrap(), team: team("platform") },
        GroupMapping { group: "cn=platforms,ou=groups,dc=example,dc=com".parse().unwrap(), team: team("others") },
    ];
    let person = anna(&slapd.config()).await;
    assert_eq!(teams_of(&mapping, &person.groups), BTreeSet::from([team("platform")]));
    assert_eq!(teams_of(&mapping, &BTreeSet::new()), BTreeSet::new());
}
