//! The document that describes the API: it is committed, served, and says what is there.

use std::path::Path;

use serde_json::Value;

use super::admin;
use crate::harness::{Credentials, World};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// To write it anew: `UPDATE_OPENAPI=1 cargo test -p hallmark --test it document`.
#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let world = World::open().await;
    let served = world.get("/api/v1/openapi.json").await.expect(200).json();
    let text = serde_json::to_string_pretty(&hallmark::api::document()).unwrap() + "\n";
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), served);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if option_env!("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/openapi.json is another; the head of this test says how to write it anew");
}

/// Every place that `value` points to.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn whatever_the_document_points_to_stands_in_it() {
    let document = serde_json::to_value(hallmark::api::document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for place in found {
        let pointer = place.strip_prefix('#').expect("a place in the document itself");
        assert!(document.pointer(pointer).is_some(), "{place}");
    }
}

/// A path of the document, with something in the place of each parameter.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{id}" => "1",
        "{repository}" => "none%2Fnone",
        "{on}" => "none%2F*",
        "{holder}" => "user:none",
        part if part.starts_with('{') => "none",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Each documented operation is one that the router knows: nobody in particular is asked who they are, and an administrator
/// is not told that there is nothing at the path, or no such method.
#[tokio::test]
async fn every_documented_path_is_served() {
    let world = World::open().await;
    let document = world.get("/api/v1/openapi.json").await.json();
    let mut operations = 0;
    for (path, operation) in document["paths"].as_object().unwrap() {
        for method in METHODS.into_iter().filter(|method| operation.get(*method).is_some()) {
            let (method, path) = (method.to_uppercase(), filled(path));
            let call = || world.call(&method, &path).header("content-type", "application/json").body("{}");
            assert_eq!(call().await.status, 401, "{method} {path}");
            let answer = call().by(&admin()).await;
            let nothing = "nothing is served at this path";
            assert!(!String::from_utf8_lossy(&answer.body).contains(nothing), "{method} {path}: {answer}");
            assert_ne!(answer.status, 405, "{method} {path}: {answer}");
            let documented = &operation[method.to_lowercase()]["responses"];
            assert!(
                documented.get(answer.status.as_str()).is_some(),
                "{method} {path}: {} is not documented",
                answer.status
            );
            operations += 1;
        }
    }
    assert_eq!(operations, 98);
}

/// Each method that the router knows at a documented path is documented. A path that is not in the document at all would
/// have no handler in it either, since both name the handlers: the source of the routes is read for that.
#[tokio::test]
async fn every_served_path_is_documented() {
    let world = World::open().await;
    let document = world.get("/api/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for method in METHODS {
            let call = world.call(&method.to_uppercase(), &filled(path)).header("content-type", "application/json");
            let is_served = call.body("{").by(&admin()).await.status != 405;
            assert_eq!(is_served, operations.get(method).is_some(), "{method} {path}");
        }
    }
    let source = include_str!("../../../src/api/mod.rs");
    let routes: Vec<_> = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).collect();
    let routed = routes.iter().filter(|route| !route.starts_with("/api")).collect::<Vec<_>>();
    for route in &routed {
        assert!(paths.contains_key(&format!("/api/v1{route}")), "{route} is not documented");
    }
    assert_eq!(routed.len(), paths.len());
}

#[tokio::test]
async fn the_document_is_shown_to_anybody_and_changed_by_nobody() {
    let world = World::open().await;
    world.get("/api/v1/openapi.json").by(&Credentials::bearer("bad")).await.expect(200);
    world.post("/api/v1/openapi.json").await.expect(401);
    let document = world.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
}
