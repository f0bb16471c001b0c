//! Which tokens match which rules (threat 19).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Difference, Pattern, PatternInvalid, Rule, RuleInvalid, RuleSettings, Why, decide};
use crate::auth::oidc::tests::stage::{AUDIENCE, NOW, github, gitlab, kubernetes, merge};
use crate::auth::oidc::{ClaimPath, Issuer, IssuerSettings, Verified};

const GITHUB: &str = "https://token.actions.example";

/// A token with these claims; what verification itself refuses is tested where it lives.
fn verified(claims: Value) -> Verified {
    let issuer = claims["iss"].as_str().unwrap().to_owned();
    let audiences = vec![AUDIENCE.to_owned(), "other".to_owned()];
    let issuer = Issuer::new(IssuerSettings { issuer, audiences, ..IssuerSettings::default() }).unwrap();
    Verified::unsigned(claims.as_object().unwrap().clone(), &issuer, NOW)
}

fn settings(claims: &[(&str, &str)]) -> RuleSettings {
    RuleSettings {
        issuer: GITHUB.to_owned(),
        audience: AUDIENCE.to_owned(),
        claims: claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        principal: 7,
    }
}

fn rule(claims: &[(&str, &str)]) -> Rule {
    Rule::new(settings(claims)).unwrap()
}

fn refused(claims: &[(&str, &str)]) -> RuleInvalid {
    Rule::new(settings(claims)).unwrap_err()
}

fn matches(rule_claims: &[(&str, &str)], token: Value) -> bool {
    decide(&[rule(rule_claims)], &verified(token)).is_ok()
}

#[test]
fn a_rule_without_an_audience_cannot_be_made() {
    for audience in ["", "  ", "*", "https://registry.*"] {
        let settings = RuleSettings { audience: audience.to_owned(), ..settings(&[("repository_id", "74")]) };
        assert_eq!(Rule::new(settings).unwrap_err(), RuleInvalid::Audience, "{audience:?}");
    }
    let settings = RuleSettings { issuer: String::new(), ..settings(&[("repository_id", "74")]) };
    assert_eq!(Rule::new(settings).unwrap_err(), RuleInvalid::Issuer);
    let text = r#"{"issuer": "https://a", "claims": {"sub": "x"}, "principal": 1}"#;
    assert!(serde_json::from_str::<RuleSettings>(text).is_err(), "nor be read from a document");
}

#[test]
fn a_rule_says_which_workload_it_is_about() {
    for claims in [
        &[][..],
        &[("ref", "refs/heads/main")],
        &[("repository_owner", "acme")],
        &[("repository_owner_id", "65"), ("event_name", "push")],
        &[("job_workflow_ref", "acme/ci/.github/workflows/x.yml@refs/heads/main")],
        &[("sub", "job_workflow_ref:acme/ci/.github/workflows/x.yml@refs/heads/main")],
        &[("sub", "environment:production")],
        &[("sub", "repository_visibility:private")],
        &[("/kubernetes.io/namespace", "builds")],
        &[("/kubernetes.io/serviceaccount/name", "pusher")],
    ] {
        assert_eq!(refused(claims), RuleInvalid::Workload, "{claims:?}");
    }
    for claims in [
        &[("sub", "repo:acme/web:ref:refs/heads/main")][..],
        &[("/sub", "some-opaque-id")],
        &[("repository_id", "74")],
        &[("project_id", "20"), ("ref", "main")],
        &[("/kubernetes.io/namespace", "builds"), ("/kubernetes.io/serviceaccount/name", "pusher")],
        &[("/kubernetes.io/serviceaccount/uid", "e6a8680e-d103-4cce-80ea-03acbbeacf7d")],
    ] {
        rule(claims);
    }
}

#[test]
fn a_rule_is_not_bent_by_spelling() {
    assert!(matches!(refused(&[("sub", "a"), ("/sub", "b")]), RuleInvalid::Twice(_)));
    assert!(matches!(refused(&[("/sub", "repo:*")]), RuleInvalid::Pattern(PatternInvalid::Owner(_))));
    for claim in ["iss", "aud", "/aud", "exp", "nbf", "iat", "jti"] {
        assert!(matches!(refused(&[("sub", "a"), (claim, "b")]), RuleInvalid::Judged(_)), "{claim}");
    }
    assert!(matches!(refused(&[("sub", "")]), RuleInvalid::Pattern(PatternInvalid::Length(_))));
    assert!(matches!(refused(&[("", "a")]), RuleInvalid::Path(_)));
    let many: Vec<_> = (0..33).map(|n| format!("claim{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(refused(&many), RuleInvalid::TooMany);
}

#[test]
fn a_wildcard_stands_at_the_end_behind_a_complete_owner() {
    let pattern = |claim: &str, text: &str| Pattern::new(&claim.parse::<ClaimPath>().unwrap(), text);
    for (claim, text) in [
        ("sub", "repo:acme/*"),
        ("sub", "repo:acme@65/web@74:*"),
        ("sub", "repo:acme/web:ref:refs/heads/*"),
        ("sub", "repo:acme/web:ref:refs/tags/v*"),
        ("sub", "repository_id:74:*"),
        ("sub", "project_path:acme/team/*"),
        ("sub", "project_path:acme/web:ref_type:branch:ref:release-*"),
        ("sub", "system:serviceaccount:builds:*"),
        ("sub", "organization:acme:project:*"),
        ("repository", "acme/*"),
        ("job_workflow_ref", "acme/ci/.github/workflows/x.yml@refs/tags/*"),
        ("ref", "refs/tags/v*"),
        ("environment", "staging-*"),
    ] {
        assert_eq!(pattern(claim, text).unwrap().to_string(), text);
    }
    for (claim, text) in [
        ("sub", "*"),
        ("sub", "repo:*"),
        ("sub", "repo:ac*"),
        ("sub", "repo:acme*"),
        ("sub", "repo:acme/we*"),
        ("sub", "repo:/*"),
        ("sub", "repo:acme//*"),
        ("sub", "repo::*"),
        ("sub", "repo:/x:*"),
        ("sub", "Repo:acme/*"),
        ("sub", "project_path:*"),
        ("sub", "project_path:acme/we*"),
        ("sub", "system:serviceaccount:*"),
        ("sub", "system:serviceaccount:bui*"),
        ("sub", "system:*"),
        ("sub", "environment:*"),
        ("sub", "actor:ann:*"),
        ("sub", "spiffe://acme/*"),
        ("sub", "unknown:acme/*"),
        ("repository", "*"),
        ("repository", "acme*"),
        ("repository", "/*"),
        ("repository", "@*"),
        ("repository_id", "7*"),
        ("repository_owner", "ac*"),
        ("project_id", "2*"),
        ("/kubernetes.io/namespace", "bui*"),
        ("event_name", "pu*"),
        ("ref", "*"),
        ("anything", "x*"),
    ] {
        assert!(matches!(pattern(claim, text), Err(PatternInvalid::Owner(_))), "{claim} {text}");
    }
    for text in ["repo:*/web", "repo:acme/*:ref:refs/heads/main", "**", "repo:acme/**"] {
        assert!(matches!(pattern("sub", text), Err(PatternInvalid::NotLast(_))), "{text}");
    }
}

#[test]
fn the_three_shapes_match_rules_on_their_immutable_ids() {
    assert!(matches(&[("repository_id", "74"), ("ref", "refs/heads/main")], github(GITHUB)));
    assert!(matches(&[("project_id", "20"), ("ref_path", "refs/heads/main")], gitlab(GITHUB)));
    let account = [("/kubernetes.io/namespace", "builds"), ("/kubernetes.io/serviceaccount/name", "pusher")];
    assert!(matches(&account, kubernetes(GITHUB)));
    assert!(matches(
        &[("/kubernetes.io/serviceaccount/uid", "e6a8680e-d103-4cce-80ea-03acbbeacf7d")],
        kubernetes(GITHUB)
    ));
    assert!(matches(&[("sub", "system:serviceaccount:builds:*")], kubernetes(GITHUB)));
    let immutable = json!({"sub": "repo:acme@65/web@74:ref:refs/heads/main"});
    assert!(matches(&[("sub", "repo:acme@65/web@74:ref:refs/heads/*")], merge(github(GITHUB), immutable)));
}

#[test]
fn a_fork_is_another_repository() {
    let fork = merge(
        github(GITHUB),
        json!({
            "sub": "repo:mallory/web:ref:refs/heads/main", "repository": "mallory/web", "repository_id": "666",
            "repository_owner": "mallory", "repository_owner_id": "665",
        }),
    );
    for claims in [
        &[("repository_id", "74")][..],
        &[("sub", "repo:acme/web:ref:refs/heads/main")],
        &[("sub", "repo:acme/*")],
        &[("repository", "acme/*")],
        &[("repository", "acme/web")],
    ] {
        assert!(matches(claims, github(GITHUB)), "{claims:?}");
        assert!(!matches(claims, fork.clone()), "{claims:?}");
    }
}

#[test]
fn a_value_is_matched_as_a_whole() {
    for (sub, repository, id) in [
        ("repo:acme/web-evil:ref:refs/heads/main", "acme/web-evil", "745"),
        ("repo:acme/webs:ref:refs/heads/main", "acme/webs", "7"),
        ("repo:Acme/web:ref:refs/heads/main", "Acme/web", "074"),
        ("xrepo:acme/web:ref:refs/heads/main", "xacme/web", " 74"),
        ("repo:acme/web:ref:refs/heads/main2", "acme/web/x", "74 "),
        ("repo:acme/web:ref:refs/heads/main\n", "acme/web\n", "74\n"),
    ] {
        let token = merge(github(GITHUB), json!({"sub": sub, "repository": repository, "repository_id": id}));
        for claims in
            [("sub", "repo:acme/web:ref:refs/heads/main"), ("repository", "acme/web"), ("repository_id", "74")]
        {
            assert!(!matches(&[claims], token.clone()), "{claims:?} {sub:?}");
        }
    }
    let other = merge(github(GITHUB), json!({"sub": "repo:acme/web:ref:refs/tags/v1"}));
    assert!(!matches(&[("sub", "repo:acme/web:ref:refs/heads/*")], other));
}

#[test]
fn a_claim_has_the_types_that_issuers_use() {
    let token = || {
        merge(
            github(GITHUB),
            json!({"number": 12, "yes": true, "fraction": 1.0, "many": ["a", 1, "b"], "object": {"a": "b"}}),
        )
    };
    for (claim, value, expected) in [
        ("number", "12", true),
        ("number", "12.0", false),
        ("yes", "true", true),
        ("yes", "True", false),
        ("fraction", "1.0", false),
        ("fraction", "1", false),
        ("many", "b", true),
        ("many", "1", false),
        ("many", "c", false),
        ("object", "b", false),
        ("/object/a", "b", true),
        ("missing", "null", false),
    ] {
        assert_eq!(matches(&[("repository_id", "74"), (claim, value)], token()), expected, "{claim} {value}");
    }
    for list in
        [json!({"repository_id": ["74", "1"]}), json!({"repository_id": {"74": "74"}}), json!({"repository_id": null})]
    {
        assert!(!matches(&[("repository_id", "74")], merge(github(GITHUB), list)));
    }
    assert!(matches(&[("repository_id", "74")], merge(github(GITHUB), json!({"repository_id": 74}))));
}

#[test]
fn pull_requests_are_off_unless_a_rule_names_the_event() {
    for (event, sub) in [
        (json!("pull_request"), "repo:acme/web:pull_request"),
        (json!("pull_request"), "repo:acme/web:environment:production"),
        (json!("pull_request_target"), "repo:acme/web:ref:refs/heads/main"),
        (json!("pull_request_review"), "repo:acme/web:ref:refs/heads/main"),
        (json!("PULL_REQUEST"), "repo:acme/web:ref:refs/heads/main"),
        (json!(["push", "pull_request"]), "repo:acme/web:ref:refs/heads/main"),
        (json!(null), "repo:acme/web:pull_request"),
        (json!("push"), "repo:acme/web:pull_request"),
    ] {
        let token = merge(github(GITHUB), json!({"event_name": event, "sub": sub}));
        for claims in [&[("repository_id", "74")][..], &[("sub", "repo:acme/web:*")], &[("sub", "repo:acme/*")]] {
            let token = verified(token.clone());
            let not = decide(&[rule(claims)], &token).unwrap_err();
            assert!(matches!(not.differences[0].why, Why::Context { claim: "event_name", .. }), "{event} {sub}");
        }
        let named = [("repository_id", "74"), ("event_name", "push")];
        assert!(!matches(&named, merge(token, json!({"event_name": "pull_request"}))));
    }
    let token = merge(github(GITHUB), json!({"event_name": "pull_request", "sub": "repo:acme/web:pull_request"}));
    assert!(matches(&[("repository_id", "74"), ("event_name", "pull_request")], token));
}

#[test]
fn what_outsiders_can_start_is_off_unless_a_rule_names_the_event() {
    let by_id = [("repository_id", "74")];
    for event in ["push", "schedule", "workflow_dispatch", "release", "merge_group", "repository_dispatch"] {
        assert!(matches(&by_id, merge(github(GITHUB), json!({"event_name": event}))), "{event}");
    }
    for event in [
        "issue_comment",
        "issues",
        "workflow_run",
        "workflow_call",
        "discussion",
        "discussion_comment",
        "watch",
        "fork",
        "pull_request_review_comment",
        "check_run",
        "status",
        "gollum",
        "create",
        "deployment",
        "Push",
        "push ",
        "",
        "new",
    ] {
        let token = merge(github(GITHUB), json!({"event_name": event}));
        let not = decide(&[rule(&by_id)], &verified(token.clone())).unwrap_err();
        assert_eq!(not.differences[0].why, Why::Context { claim: "event_name", found: event.to_owned() });
        if !event.is_empty() {
            assert!(matches(&[by_id[0], ("event_name", event)], token), "{event}");
        }
    }
}

#[test]
fn a_token_that_does_not_say_what_started_it_is_off() {
    for (mut token, id, claim) in [
        (github(GITHUB), ("repository_id", "74"), "event_name"),
        (gitlab(GITHUB), ("project_id", "20"), "pipeline_source"),
    ] {
        token.as_object_mut().unwrap().remove(claim);
        let not = decide(&[rule(&[id])], &verified(token)).unwrap_err();
        assert_eq!(not.differences[0].why, Why::Context { claim, found: format!("a token without {claim}") });
    }
    let other = merge(kubernetes(GITHUB), json!({"sub": "org:acme:project:web", "project_id": "20"}));
    assert!(matches(&[("sub", "org:acme:project:web")], other), "other platforms have no such claims");
}

#[test]
fn a_context_is_one_text_also_for_a_rule_that_names_it() {
    for (token, id) in [(github(GITHUB), ("repository_id", "74")), (gitlab(GITHUB), ("project_id", "20"))] {
        for (name, value) in [("event_name", "push"), ("pipeline_source", "push"), ("ref_protected", "true")] {
            let list = merge(token.clone(), json!({ name: [value, "other"] }));
            assert!(!matches(&[id, (name, value)], list), "{name}");
        }
    }
}

#[test]
fn merge_requests_and_unprotected_branches_are_off_unless_named() {
    for (name, value, wanted) in [
        ("pipeline_source", json!("merge_request_event"), "merge_request_event"),
        ("pipeline_source", json!("external_pull_request_event"), "external_pull_request_event"),
        // The child of a merge request's pipeline does not say so.
        ("pipeline_source", json!("parent_pipeline"), "parent_pipeline"),
        ("pipeline_source", json!("another"), "another"),
        ("ref_protected", json!("false"), "false"),
        ("ref_protected", json!(false), "false"),
    ] {
        let token = merge(gitlab(GITHUB), json!({ name: value }));
        let not = decide(&[rule(&[("project_id", "20")])], &verified(token.clone())).unwrap_err();
        assert!(matches!(not.differences[0].why, Why::Context { claim, .. } if claim == name), "{name}");
        assert!(matches(&[("project_id", "20"), (name, wanted)], token), "{name}");
    }
    for source in ["push", "web", "webide", "schedule", "api", "trigger", "pipeline"] {
        assert!(
            matches(&[("project_id", "20")], merge(gitlab(GITHUB), json!({"pipeline_source": source}))),
            "{source}"
        );
    }
    let tag = merge(github(GITHUB), json!({"ref_protected": "false", "ref": "refs/tags/v1"}));
    assert!(matches(&[("repository_id", "74"), ("ref", "refs/tags/*")], tag), "GitHub protects few");
}

#[test]
fn the_audience_of_a_rule_is_the_tokens() {
    let token = verified(merge(github(GITHUB), json!({"aud": "other"})));
    assert_eq!(decide(&[rule(&[("repository_id", "74")])], &token).unwrap_err().differences[0].why, Why::Audience);
    let other = RuleSettings { audience: "other".to_owned(), ..settings(&[("repository_id", "74")]) };
    assert_eq!(decide(&[Rule::new(other).unwrap()], &token).unwrap().principal(), 7);
}

#[test]
fn the_same_claims_of_another_issuer_match_nothing() {
    let token = verified(github("https://token.actions.example/"));
    assert_eq!(decide(&[rule(&[("repository_id", "74")])], &token).unwrap_err().differences[0].why, Why::Issuer);
}

#[test]
fn a_refusal_explains_each_rule_and_the_first_match_decides() {
    let token = verified(github(GITHUB));
    let with = |principal, claims: &[(&str, &str)]| Rule::new(RuleSettings { principal, ..settings(claims) }).unwrap();
    let rules = [
        with(1, &[("repository_id", "75")]),
        with(2, &[("repository_id", "74"), ("release", "yes")]),
        with(3, &[("repository_id", "74")]),
        with(4, &[("repository", "acme/web")]),
    ];
    assert_eq!(decide(&rules, &token).unwrap().principal(), 3);
    let not = decide(&rules[..2], &token).unwrap_err();
    let told: Vec<_> =
        not.differences.iter().map(|Difference { principal, why }| format!("{principal}: {why}")).collect();
    assert_eq!(told, ["1: repository_id should be 75 and is 74", "2: release should be yes and is missing"]);
    assert!(decide(&[], &token).unwrap_err().differences.is_empty());
    let long = verified(merge(github(GITHUB), json!({"repository_id": format!("{}\u{1b}[31m", "9".repeat(5000))})));
    let not = decide(&rules[..1], &long).unwrap_err();
    assert!(matches!(&not.differences[0].why, Why::Claim { found: Some(found), .. } if found == &"9".repeat(200)));
}

#[test]
fn rules_are_read_from_a_document() {
    let text = json!({
        "issuer": GITHUB, "audience": AUDIENCE, "principal": 7,
        "claims": {"repository_id": "74", "ref": "refs/tags/*"},
    });
    let read: RuleSettings = serde_json::from_value(text.clone()).unwrap();
    let expected: BTreeMap<_, _> =
        [("ref", "refs/tags/*"), ("repository_id", "74")].map(|(a, b)| (a.into(), b.into())).into();
    assert_eq!(read.claims, expected);
    Rule::new(read).unwrap();
    assert!(serde_json::from_value::<RuleSettings>(merge(text, json!({"claim": {}}))).is_err(), "no unknown members");
}
