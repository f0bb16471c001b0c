//! Token scopes: the grammar, merging, and what they allow (the registry token protocol, "Requesting a Token").

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Action, Scope, Scopes};
use proptest::prelude::*;

fn shown<'s>(parameters: impl IntoIterator<Item = &'s str>) -> String {
    Scopes::parse(parameters).to_string()
}

#[test]
fn scopes_of_one_resource_become_one_and_are_sorted() {
    for (parameters, expected) in [
        (&["repository:a/b:push,pull"][..], "repository:a/b:pull,push"),
        (&["repository:b:pull", "repository:a:pull"], "repository:a:pull repository:b:pull"),
        (&["repository:a:push repository:a:pull", "repository:a:delete,pull"], "repository:a:pull,push,delete"),
        (&["repository(plugin):a:pull repository:a:pull"], "repository:a:pull repository(plugin):a:pull"),
        (&["repository:r.example:5000/a/b:pull"], "repository:r.example:5000/a/b:pull"),
        (&["registry:catalog:*"], "registry:catalog:*"),
        (&["other:thing:pull"], "other:thing:pull"),
        (&["repository:a:pull,scan"], "repository:a:pull"),
        (&["  repository:a:pull  "], "repository:a:pull"),
        (&[], ""),
        (&[""], ""),
    ] {
        assert_eq!(shown(parameters.iter().copied()), expected, "{parameters:?}");
    }
}

#[test]
fn what_is_no_scope_is_dropped() {
    for text in [
        "repository",
        "repository:",
        "repository:a",
        ":a:pull",
        "repository::pull",
        "repository:a:",
        "repository:a:scan",
        "repository:a:PULL",
        "repository:a:pu ll",
        "REPOSITORY:a:pull",
        "repository(:a:pull",
        "repository():a:pull",
        "repository(x)y:a:pull",
        "repository:a\"b:pull",
        "repository:a\\b:pull",
        "repository:a\nb:pull",
        "repository:é:pull",
        "repository:a,b:pull,p*",
    ] {
        assert_eq!(shown([text, "repository:ok:pull"]), "repository:ok:pull", "{text:?}");
    }
}

#[test]
fn no_more_scopes_are_taken_than_a_request_may_have() {
    let many: Vec<String> = (0..1000).map(|number| format!("repository:a{number}:pull")).collect();
    assert_eq!(Scopes::parse(many.iter().map(String::as_str)).len(), 128);
}

#[test]
fn a_star_allows_every_action_on_its_own_resource_only() {
    let scopes = Scopes::parse(["repository:a/b:* repository:c:pull repository(plugin):d:pull"]);
    for (repository, action, expected) in [
        ("a/b", Action::Delete, true),
        ("a/b", Action::All, true),
        ("a", Action::Pull, false),
        ("a/b/c", Action::Pull, false),
        ("c", Action::Pull, true),
        ("c", Action::Push, false),
        ("d", Action::Pull, false),
    ] {
        assert_eq!(scopes.allow("repository", repository, action), expected, "{repository} {action}");
    }
    let catalog = |scope| Scopes::parse([scope]).allow("registry", "catalog", Action::All);
    assert!(catalog("registry:catalog:*"));
    assert!(!catalog("registry:catalog:pull"));
    assert!(!catalog("repository:catalog:*"));
    assert!(!catalog("registry(class):catalog:*"));
}

fn scope_text() -> impl Strategy<Value = String> {
    let resource = prop::sample::select(vec!["repository", "registry", "repository(plugin)", "x9", "Repo", "r(", ""]);
    let name = prop_oneof!["[a-c]", "[a-c]/[a-c]", "[a-c]:5000/[a-c]", "[a-z:/ \"]{0,4}"];
    let actions =
        prop::collection::vec(prop::sample::select(vec!["pull", "push", "delete", "*", "scan", "P", ""]), 0..4);
    (resource, name, actions).prop_map(|(resource, name, actions)| format!("{resource}:{name}:{}", actions.join(",")))
}

/// The grammar once more, by cutting at colons and joining again.
fn modelled(text: &str) -> Option<(String, BTreeSet<&'static str>)> {
    let parts: Vec<&str> = text.split(':').collect();
    let [kind, name @ .., actions] = parts.as_slice() else { return None };
    let name = name.join(":");
    let letters = |word: &str| !word.is_empty() && word.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9'));
    let kind_is_good = match kind.find('(') {
        None => letters(kind),
        Some(at) => kind.ends_with(')') && letters(&kind[..at]) && letters(&kind[at + 1..kind.len() - 1]),
    };
    let name_is_good = !name.is_empty() && !name.contains(['"', ' ']);
    let actions: Vec<&str> = actions.split(',').collect();
    if !kind_is_good || !name_is_good || actions.contains(&"P") {
        return None;
    }
    let known = ["pull", "push", "delete", "*"].into_iter().filter(|known| actions.contains(known)).collect();
    Some((format!("{kind}:{name}"), known))
}

proptest! {
    #[test]
    fn scopes_are_what_cutting_at_colons_says(texts in prop::collection::vec(scope_text(), 0..6), together: bool) {
        let mut expected: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        // A space inside a text makes two scopes of it.
        for (resource, actions) in texts.iter().flat_map(|text| text.split(' ')).filter_map(modelled) {
            if !actions.is_empty() {
                expected.entry(resource).or_default().extend(actions);
            }
        }
        let scopes = if together {
            Scopes::parse([texts.join(" ").as_str()])
        } else {
            Scopes::parse(texts.iter().map(String::as_str))
        };
        let found: BTreeMap<String, BTreeSet<&str>> = scopes.iter().map(|scope| {
            let class = scope.class.as_ref().map(|class| format!("({class})")).unwrap_or_default();
            let resource = format!("{}{class}:{}", scope.resource_type, scope.name);
            (resource, scope.actions.iter().map(|action| action.as_str()).collect())
        }).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn scopes_are_what_they_say(texts in prop::collection::vec(scope_text(), 0..6)) {
        let scopes = Scopes::parse(texts.iter().map(String::as_str));
        prop_assert_eq!(&Scopes::parse([scopes.to_string().as_str()]), &scopes);
        for scope in &scopes {
            prop_assert_eq!(&scope.to_string().parse::<Scope>().unwrap(), scope);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = text.parse::<Scope>();
        let scopes = Scopes::parse([text.as_str()]);
        prop_assert_eq!(&Scopes::parse([scopes.to_string().as_str()]), &scopes);
    }
}
