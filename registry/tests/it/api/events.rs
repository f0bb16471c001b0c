//! The audit log as it is read.

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, refuses};
use crate::harness::{Acme, World};

async fn kinds(world: &World, query: &str) -> Vec<String> {
    pages(world, &format!("/events?{query}"), &admin(), 1000, "kind").await.concat()
}

#[tokio::test]
async fn events_are_read_in_their_order_page_by_page() {
    let world = World::open().await;
    world.organization("acme", "ann").await;
    world.member("acme", "bob", "member").await;
    let answer = world.api("GET", "/events?kind=member_put", &admin()).await.expect(200);
    let mut shown = answer.json();
    for (key, there) in
        [("seq", shown["items"][0]["seq"].is_i64()), ("request_id", shown["items"][0]["request_id"].is_string())]
    {
        assert!(there, "{key} in {answer}");
        shown["items"][0][key].take();
    }
    assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap(), @r#"
    {
      "items": [
        {
          "account": "acme",
          "actor": "admin",
          "at": "2027-01-15T08:00:00Z",
          "detail": {
            "role": "member"
          },
          "kind": "member_put",
          "request_id": null,
          "seq": null,
          "subject": "bob"
        }
      ]
    }
    "#);
    let whole = kinds(&world, "").await;
    assert_eq!(pages(&world, "/events", &admin(), 2, "kind").await.concat(), whole);
    assert_eq!(&whole[whole.len() - 2..], ["organization_created", "member_put"]);
}

#[tokio::test]
async fn events_are_found_by_what_is_known_of_them() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.pass(60);
    world.api("DELETE", "/repositories/acme%2Fsite", &basic("olga")).await.expect(204);
    assert_eq!(kinds(world, "actor=olga").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "actor=user:olga&account=acme").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "since=2027-01-15T08:01:00Z").await, ["repository_deleted"]);
    assert_eq!(kinds(world, "until=2027-01-15T08:00:00Z").await, [""; 0]);
    assert_eq!(kinds(world, "actor=robot:acme%2Bci").await, [""; 0]);
    let web = kinds(world, "repository=acme/web").await;
    assert_eq!(web.first().map(String::as_str), Some("repository_created"));
    assert!(web.contains(&"grant_put".to_owned()) && web.contains(&"manifest_pushed".to_owned()), "{web:?}");
    assert_eq!(kinds(world, "repository=acme/none").await, [""; 0]);
    assert_eq!(kinds(world, "actor=eve").await, [""; 0]);
    for query in
        ["kind=A", "kind=a%00", "since=x", "until=2027", "actor=E", "actor=a%00", "repository=A", "after=x", "acount=a"]
    {
        refuses(world, world.api("GET", &format!("/events?{query}"), &admin()), 400, "INVALID").await;
    }
}

/// An owner reads what happened in their account, and learns nothing of what is elsewhere.
#[tokio::test]
async fn an_owner_reads_their_own_account_and_no_other() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let bob = world.all_of("bob", "bob/app").await;
    world.image(&bob, "bob/app", "1", "layer").await;
    let found = pages(world, "/events?account=acme", &basic("olga"), 1000, "kind").await.concat();
    assert!(found.contains(&"organization_created".to_owned()), "{found:?}");
    for query in ["account=acme&repository=bob/app", "account=acme&repository=bob/none", "account=acme&actor=eve"] {
        let answer = world.api("GET", &format!("/events?{query}"), &basic("olga")).await.expect(200);
        assert_eq!(answer.json(), json!({"items": []}), "{query}");
    }
    refuses(world, world.api("GET", "/events", &basic("olga")), 403, "DENIED").await;
    refuses(world, world.api("GET", "/events?account=acme", &basic("mia")), 403, "DENIED").await;
    refuses(world, world.api("GET", "/events?account=bob", &basic("olga")), 404, "NOT_FOUND").await;
    let own = pages(world, "/events?account=bob", &basic("bob"), 1000, "kind").await.concat();
    assert!(own.contains(&"manifest_pushed".to_owned()), "{own:?}");
}
