//! What a file may say, and what follows from it.

use std::collections::BTreeSet;

use super::file::{Held, Wanted, parse, wrong};
use super::plan::plan;
use super::present::{self, Present};
use crate::people::members::MemberRole;
use crate::people::repositories::Visibility;

const WHOLE: &str = r#"
[organizations.acme]
create_on_push = true
writers_sign = false
owners = ["ann"]
members = ["bob", "cleo"]

[organizations.acme.teams.dev]
description = "who builds"
members = ["bob"]

[organizations.acme.repositories."web/shop"]
visibility = "public"
description = "the shop"

[organizations.acme.robots.ci]
description = "builds"
rules = [{ issuer = "https://ci.example.com", audience = "r", claims = { repository = "acme/web" } }]

[[organizations.acme.grants]]
on = "acme/web/*"
holder = "team:acme/dev"
rights = "read+write"

[[organizations.acme.grants]]
on = "acme/web/shop"
holder = "robot:acme+ci"
rights = "write"
"#;

fn file(text: &str) -> Wanted {
    let wanted = parse("x.toml", text).unwrap();
    assert_eq!(wrong(&wanted), Vec::<String>::new());
    wanted
}

/// The lines of a plan that ann makes.
fn lines(text: &str, present: &Present, prune: bool) -> Vec<String> {
    let changes = plan(&file(text), present, ("ann", prune)).unwrap();
    changes.iter().map(ToString::to_string).collect()
}

/// What is there once [`WHOLE`] was applied.
fn whole() -> Present {
    let rule = file(WHOLE).organizations["acme"].robots.as_ref().unwrap()["ci"].rules.as_ref().unwrap().clone();
    let team = present::Team { description: "who builds".to_owned(), members: [("bob".to_owned(), false)].into() };
    let repository = present::Repository { visibility: Visibility::Public, description: "the shop".to_owned() };
    let robot = present::Robot {
        description: "builds".to_owned(),
        rules: rule.into_iter().map(|rule| (rule, 1)).collect(),
        ..present::Robot::default()
    };
    let grant = |on: &str, holder: &str| (held(on, holder), "write".to_owned());
    let organization = present::Organization {
        create_on_push: true,
        writers_sign: false,
        members: members(&[("ann", MemberRole::Owner), ("bob", MemberRole::Member), ("cleo", MemberRole::Member)]),
        brought: BTreeSet::new(),
        teams: [("dev".to_owned(), team)].into(),
        repositories: [("acme/web/shop".to_owned(), repository)].into(),
        robots: [("ci".to_owned(), robot)].into(),
        grants: [grant("acme/web/*", "team:acme/dev"), grant("acme/web/shop", "robot:acme+ci")].into(),
    };
    Present { organizations: [("acme".to_owned(), organization)].into() }
}

fn members(all: &[(&str, MemberRole)]) -> std::collections::BTreeMap<String, MemberRole> {
    all.iter().map(|(user, role)| ((*user).to_owned(), *role)).collect()
}

fn held(on: &str, holder: &str) -> Held {
    Held { on: on.to_owned(), holder: holder.to_owned() }
}

fn acme(present: &mut Present) -> &mut present::Organization {
    present.organizations.get_mut("acme").unwrap()
}

#[test]
fn from_nothing_everything_is_made_in_the_order_that_it_needs() {
    assert_eq!(
        lines(WHOLE, &Present::default(), false),
        [
            "+ organization acme, owned by ann",
            "~ organization acme: create_on_push = true",
            "~ organization acme: writers_sign = false",
            "+ member bob of acme: nothing -> member",
            "+ member cleo of acme: nothing -> member",
            "+ team acme/dev: \"who builds\"",
            "+ member bob of team acme/dev",
            "+ repository acme/web/shop: public, \"the shop\"",
            "+ robot acme+ci: \"builds\"",
            "+ rule of robot acme+ci: https://ci.example.com for r, repository=acme/web",
            "+ grant on acme/web/* to team:acme/dev: nothing -> write",
            "+ grant on acme/web/shop to robot:acme+ci: nothing -> write",
        ]
    );
}

#[test]
fn what_is_as_the_file_says_is_left_alone() {
    assert!(lines(WHOLE, &whole(), false).is_empty());
    assert!(lines(WHOLE, &whole(), true).is_empty());
    assert!(lines("[organizations.acme]", &whole(), true).is_empty());
    assert!(lines("", &whole(), true).is_empty());
}

#[test]
fn what_differs_is_changed() {
    let mut present = whole();
    let organization = acme(&mut present);
    organization.create_on_push = false;
    organization.members =
        members(&[("ann", MemberRole::Member), ("bob", MemberRole::Owner), ("cleo", MemberRole::Member)]);
    organization.teams.get_mut("dev").unwrap().description.clear();
    organization.repositories.get_mut("acme/web/shop").unwrap().visibility = Visibility::Private;
    organization.robots.get_mut("ci").unwrap().description = "x".to_owned();
    organization.grants.insert(held("acme/web/*", "team:acme/dev"), "read".to_owned());
    assert_eq!(
        lines(WHOLE, &present, false),
        [
            "~ organization acme: create_on_push = true",
            "~ member ann of acme: member -> owner",
            "~ member bob of acme: owner -> member",
            "~ team acme/dev: description = \"who builds\"",
            "~ repository acme/web/shop: visibility = public",
            "~ robot acme+ci: description = \"builds\"",
            "~ grant on acme/web/* to team:acme/dev: read -> write",
        ]
    );
}

/// A present with one more of each kind than the file has.
fn with_more() -> Present {
    let mut present = whole();
    let organization = acme(&mut present);
    organization.members.extend(members(&[("dora", MemberRole::Member), ("eve", MemberRole::Owner)]));
    organization.members.extend(members(&[("gil", MemberRole::Member)]));
    organization.brought.insert("gil".to_owned());
    organization.teams.insert("old".to_owned(), present::Team::default());
    let dev = organization.teams.get_mut("dev").unwrap();
    dev.members.extend([("cleo".to_owned(), false), ("ann".to_owned(), true), ("dora".to_owned(), false)]);
    organization.robots.insert("old".to_owned(), present::Robot::default());
    let other = super::file::Rule { issuer: "i".to_owned(), audience: "a".to_owned(), claims: [].into() };
    organization.robots.get_mut("ci").unwrap().rules.insert(other, 7);
    for holder in ["user:dora", "user:zoe", "team:acme/old", "robot:acme+old"] {
        organization.grants.insert(held("acme/x", holder), "read".to_owned());
    }
    present
}

#[test]
fn nothing_goes_unless_it_is_to_be_pruned() {
    assert!(lines(WHOLE, &with_more(), false).is_empty());
    // Whoever goes takes along their grants and their places in teams; whom a directory brought
    // into the organization or put into a team stays there.
    assert_eq!(
        lines(WHOLE, &with_more(), true),
        [
            "- grant on acme/x to user:zoe: read -> nothing",
            "- rule of robot acme+ci: i for a",
            "- robot acme+old",
            "- member cleo of team acme/dev",
            "- team acme/old",
            "- member dora of acme: member -> nothing",
            "- member eve of acme: owner -> nothing",
        ]
    );
}

#[test]
fn a_list_that_is_not_there_prunes_nothing() {
    assert!(lines("[organizations.acme]\nowners = [\"ann\", \"eve\"]", &with_more(), true).is_empty());
    assert_eq!(
        lines("[organizations.acme]\nmembers = [\"ann\", \"bob\", \"cleo\"]", &with_more(), true),
        ["- member dora of acme: member -> nothing"]
    );
}

#[test]
fn a_grant_to_who_leaves_is_given_again_after() {
    let text = "[organizations.acme]\nmembers = [\"bob\", \"cleo\"]\n\
                grants = [{ on = \"acme/x\", holder = \"user:dora\", rights = \"read\" }]";
    let planned = lines(text, &with_more(), true);
    let at = |line: &str| planned.iter().position(|planned| planned == line).unwrap();
    let (leaves, granted) =
        (at("- member dora of acme: member -> nothing"), at("+ grant on acme/x to user:dora: nothing -> read"));
    assert!(leaves < granted, "{planned:?}");
}

#[test]
fn one_s_own_place_is_given_up_last() {
    let text = "[organizations.acme]\nowners = [\"bob\"]\nmembers = [\"ann\", \"cleo\", \"new\"]";
    assert_eq!(
        lines(text, &whole(), false),
        [
            "~ member bob of acme: member -> owner",
            "+ member new of acme: nothing -> member",
            "~ member ann of acme: owner -> member",
        ]
    );
}

#[test]
fn what_cannot_be_made_is_told_before_anything_is() {
    let told = |text: &str| plan(&file(text), &whole(), ("ann", true)).unwrap_err().join("\n");
    let stranger = told("[organizations.acme.teams.dev]\nmembers = [\"zoe\"]");
    assert!(stranger.contains("organizations.acme.teams.dev.members: \"zoe\" does not belong"), "{stranger}");
    let bound = told("[organizations.acme.robots.ci]\nrepository = \"acme/web/shop\"");
    assert!(bound.contains("organizations.acme.robots.ci.repository: it is bound to none"), "{bound}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let toml = parse("x.toml", "[organizations.acme]\nowner = [\"ann\"]\n").unwrap_err();
    assert!(toml.starts_with("x.toml:2:1: unknown field `owner`"), "{toml}");
    let json = parse("x.json", "{\"organizations\": {\"acme\":\n {\"owner\": []}}}").unwrap_err();
    assert!(json.starts_with("x.json:2:9: unknown field `owner`"), "{json}");
    let broken = parse("x.toml", "[organizations.acme\n").unwrap_err();
    assert!(broken.starts_with("x.toml:1:"), "{broken}");
}

#[test]
fn a_file_is_toml_or_json() {
    let json = r#" {"organizations": {"acme": {"owners": ["ann"], "grants": []}}}"#;
    assert!(parse("-", json).unwrap().organizations["acme"].grants.is_some());
}

#[test]
fn what_no_registry_could_hold_is_refused() {
    let text = r#"
        [organizations.acme]
        owners = ["ann"]
        members = ["ann"]
        repositories."Web" = {}
        grants = [
          { on = "acme/*", holder = "user:ann", rights = "read" },
          { on = "acme/", holder = "user:ann", rights = "write" },
          { on = "other/x", holder = "user:ann", rights = "read" },
          { on = "acme/x", holder = "team:other/dev", rights = "read" },
          { on = "acme/x", holder = "ann", rights = "read" },
          { on = "acme/x", holder = "user:ann", rights = "fly" },
        ]
        [organizations.empty]
        owners = []
    "#;
    let told = wrong(&parse("x.toml", text).unwrap());
    let places: Vec<_> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "organizations.acme.members",
            "organizations.acme.repositories.\"Web\"",
            "organizations.acme.grants[1]",
            "organizations.acme.grants[2]",
            "organizations.acme.grants[3]",
            "organizations.acme.grants[4]",
            "organizations.acme.grants[5]",
            "organizations.empty.owners",
        ]
    );
}

#[test]
fn each_change_is_one_request() {
    let changes = plan(&file(WHOLE), &Present::default(), ("ann", false)).unwrap();
    let asks: Vec<_> = changes.iter().map(|change| change.ask()).collect();
    let shown: Vec<_> = asks.iter().map(|ask| format!("{} {}", ask.method, ask.path.join(" "))).collect();
    assert_eq!(
        shown,
        [
            "POST organizations",
            "PATCH organizations acme",
            "PATCH organizations acme",
            "PUT organizations acme members bob",
            "PUT organizations acme members cleo",
            "POST organizations acme teams",
            "PUT organizations acme teams dev members bob",
            "POST repositories",
            "POST accounts acme robots",
            "POST accounts acme robots ci rules",
            "PUT grants acme/web/* team:acme/dev",
            "PUT grants acme/web/shop robot:acme+ci",
        ]
    );
    assert_eq!(asks[10].body, Some(serde_json::json!({"rights": "write"})));
}

/// [`WHOLE`] as YAML.
const YAML: &str = r#"# who may do what
---
organizations:
  acme:
    create_on_push: true
    writers_sign: false
    owners: [ann]
    members: [bob, cleo]
    teams:
      dev:
        description: who builds
        members: &builders [bob]
    repositories:
      web/shop: {visibility: public, description: the shop}
    robots:
      ci:
        description: builds
        rules:
          - issuer: https://ci.example.com
            audience: r
            claims: {repository: acme/web}
    grants:
      - {on: acme/web/*, holder: team:acme/dev, rights: read+write}
      - on: acme/web/shop
        holder: robot:acme+ci
        rights: write
"#;

#[test]
fn a_file_in_yaml_says_the_same_as_one_in_toml() {
    for name in ["x.yaml", "x.yml", "-", "x"] {
        let wanted = parse(name, YAML).unwrap();
        assert_eq!(format!("{wanted:?}"), format!("{:?}", file(WHOLE)), "{name}");
    }
    let alias = YAML.replace("members: [bob, cleo]", "members: &all [bob, cleo]").replace("&builders [bob]", "*all");
    let wanted = parse("x.yaml", &alias).unwrap();
    let team = &wanted.organizations["acme"].teams.as_ref().unwrap()["dev"];
    assert_eq!(team.members.as_ref().unwrap().len(), 2);
    assert!(parse("x.toml", YAML).is_err() && parse("x.json", YAML).is_err(), "the name says otherwise");
    // What looks like a number is the text that stands there where a text is wanted.
    let claims =
        "organizations: {acme: {robots: {ci: {rules: [{issuer: i, audience: a, claims: {id: 0074, at: 1e3}}]}}}}";
    let wanted = parse("x.yaml", claims).unwrap();
    let rules = wanted.organizations["acme"].robots.as_ref().unwrap()["ci"].rules.as_ref().unwrap();
    let claims = &rules.first().unwrap().claims;
    assert_eq!((claims["id"].as_str(), claims["at"].as_str()), ("0074", "1e3"));
}

#[test]
fn what_is_wrong_in_yaml_is_told_with_its_place() {
    for (text, said) in [
        ("organizations:\n  acme:\n    owner: [ann]\n", "x.yaml:3:5: unknown field `owner`"),
        ("organizations:\n  acme:\n    create_on_push: yes\n", "x.yaml:3:21: "),
        ("organizations:\n  acme: {}\n  acme: {}\n", "x.yaml:3:3: duplicate"),
        ("organizations:\n\tacme: {}\n", "x.yaml:2:2: "),
        ("organizations:\n  acme:\n    owners: {a: 1}\n", "x.yaml:3:13: "),
        ("organizations: !!python/object {}\n", "x.yaml:1:"),
        ("organizations: {}\n---\norganizations: {}\n", "x.yaml:2:1: "),
        ("organizations:\n  <<: {acme: {}}\n", "x.yaml:2:3: "),
        ("organizations:\n  acme:\n    repositories:\n      web: {visibility: secret}\n", "x.yaml:4:25: "),
        ("organisations: {}\n", "x.yaml:1:1: unknown field `organisations`"),
    ] {
        let refused = parse("x.yaml", text).unwrap_err();
        assert!(refused.starts_with(said) && !refused.contains("Options"), "{text}: {refused}");
    }
    let wanted = parse("x.yaml", "organizations: {acme: {owners: []}}").unwrap();
    assert_eq!(wrong(&wanted), ["organizations.acme.owners: an organization keeps one owner at least"]);
}

#[test]
fn yaml_that_means_harm_is_refused_and_costs_little() {
    let laughs: String = (0..12)
        .map(|n| format!("  a{n}: &a{n} {{owners: [{}]}}\n", vec![format!("*a{}", n.max(1) - 1); 9].join(", ")))
        .collect();
    let deep_lines: String = (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for (what, text) in [
        ("laughs", format!("organizations:\n{laughs}")),
        ("brackets", format!("organizations: {}", "[".repeat(1 << 20))),
        ("braces", format!("organizations: {}", "{a: ".repeat(1 << 18))),
        ("lines", format!("organizations:\n{deep_lines}")),
        ("aliases", format!("organizations: {{a: &a {{}}, {}}}", "b: *a, ".repeat(100_000))),
        ("itself", "organizations: &a {acme: *a}".to_owned()),
        ("documents", "---\n".repeat(100_000)),
    ] {
        assert!(parse("x.yaml", &text).is_err(), "{what}");
    }
}

/// The bounds are what refuses these, and what stays within them is read.
#[test]
fn yaml_is_read_up_to_its_bounds() {
    let anchors = |count: usize| {
        let names: String = (0..count).map(|n| format!("&a{n} u{n}, ")).collect();
        format!("organizations: {{acme: {{members: [{names}]}}}}")
    };
    let repeats = |count: usize| {
        let names: String = (0..2_000).map(|n| format!("u{n}, ")).collect();
        let others: String = (1..=count).map(|n| format!("  o{n}: {{members: *all}}\n")).collect();
        format!("organizations:\n  o0: {{members: &all [{names}]}}\n{others}")
    };
    let read = |text: &str| parse("x.yaml", text).map(|wanted| wanted.organizations.len());
    assert_eq!(read(&anchors(100)), Ok(1));
    assert_eq!(read(&repeats(40)), Ok(41));
    for text in [anchors(101), repeats(60)] {
        let refused = read(&text).unwrap_err();
        assert!(refused.starts_with("x.yaml:"), "{refused}");
    }
}
