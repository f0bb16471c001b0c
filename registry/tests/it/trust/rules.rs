//! What the registry signs by itself: by whose push, by whose report, and who may say so.

use hallmark::trust::tuf;
use hallmark_oci::Digest;
use serde_json::{Value, json};

use crate::harness::{Acme, Answer, Credentials, PASSWORD, World};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

const RULES: &str = "/repositories/acme%2Fweb/sign-rules";
const CHECKS: &str = "/repositories/acme%2Fweb/checks";

async fn follow(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}

async fn rule(world: &World, who: &str, document: &Value) -> Answer {
    world.sends("POST", RULES, &basic(who), document).await
}

/// Each signed tag of `acme/web` with who signed it and by what, as far as it holds.
async fn signed(world: &World) -> Vec<String> {
    follow(world).await;
    let list = world.api("GET", "/repositories/acme%2Fweb/signatures", &basic("olga")).await.expect(200).json();
    let shown = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        format!("{} {} {} {}", text("tag"), text("signer"), text("source"), one["holds"])
    };
    list["items"].as_array().unwrap().iter().map(shown).collect()
}

async fn pushed(world: &World, by: &Credentials, tag: &str, layer: &str) -> Digest {
    let token = world.all_of_by(by, "acme/web").await;
    world.image(&token, "acme/web", tag, layer).await
}

#[tokio::test]
async fn what_a_named_robot_or_team_pushes_is_signed_and_nothing_else() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    pushed(&world, &robot, "r", "by the robot").await;
    pushed(&world, &basic("tim"), "t", "by tim").await;
    pushed(&world, &basic("olga"), "o", "by olga").await;
    assert_eq!(signed(&world).await, ["r robot:acme+ci rule: push true"]);
    rule(&world, "olga", &json!({"holder": "team:acme/dev"})).await.expect(201);
    pushed(&world, &basic("tim"), "t", "by tim, later").await;
    assert_eq!(signed(&world).await, ["r robot:acme+ci rule: push true", "t team:acme/dev rule: push true"]);
    let published = world.get("/tuf/acme/web/timestamp.json").by(&basic("olga")).await;
    assert_eq!(published.status, 200, "{published}");
    pushed(&world, &basic("olga"), "r", "over it").await;
    assert_eq!(signed(&world).await, ["t team:acme/dev rule: push true"], "another's push is not the robot's");
}

#[tokio::test]
async fn what_has_passed_a_check_is_signed_by_the_report_of_who_was_named() {
    let Acme { world, robot } = Acme::open().await;
    let tests = world.robot("acme", "tests", Some("acme/web")).await;
    world.grant("acme/web", "robot:acme+tests", "read").await;
    rule(&world, "olga", &json!({"holder": "robot:acme+tests", "check": "tests"})).await.expect(201);
    let digest = pushed(&world, &robot, "1.0", "built").await;
    pushed(&world, &robot, "latest", "built").await;
    assert_eq!(signed(&world).await, [""; 0]);
    let report = async |by: &Credentials, name: &str| {
        world.sends("POST", CHECKS, by, &json!({"name": name, "digest": digest})).await.status
    };
    assert_eq!(report(&robot, "tests").await, 403, "the rule names another");
    assert_eq!(report(&tests, "lint").await, 403, "the rule names another check");
    assert_eq!(signed(&world).await, [""; 0], "neither another's report nor another check");
    assert_eq!(report(&tests, "tests").await, 204);
    let by = "robot:acme+tests rule: check tests true";
    assert_eq!(signed(&world).await, [format!("1.0 {by}"), format!("latest {by}")]);
    pushed(&world, &robot, "1.1", "built").await;
    assert_eq!(signed(&world).await.len(), 3, "a tag that comes to a digest that has passed");
    pushed(&world, &robot, "latest", "built anew").await;
    assert_eq!(signed(&world).await, [format!("1.0 {by}"), format!("1.1 {by}")]);
    assert_eq!(world.sends("POST", CHECKS, &tests, &json!({"name": "tests", "digest": sum('0')})).await.status, 404);
    assert_eq!(
        world.sends("POST", CHECKS, &basic("ann"), &json!({"name": "tests", "digest": digest})).await.status,
        404
    );
}

fn sum(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

#[tokio::test]
async fn a_person_s_signature_stays_theirs() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    let digest = pushed(&world, &robot, "1", "layer two").await;
    let signature = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/acme%2Fweb/signatures", &basic("olga"), &signature).await.expect(201);
    assert_eq!(signed(&world).await, ["1 user:olga signature true"]);
}

#[tokio::test]
async fn only_who_administers_a_repository_and_may_sign_makes_rules() {
    let Acme { world, robot } = Acme::open().await;
    let document = json!({"holder": "robot:acme+ci"});
    for (who, status) in [("mia", 404), ("tim", 403), ("aud", 403), ("bob", 404)] {
        let answer = rule(&world, who, &document).await;
        assert_eq!(answer.status, status, "{who}: {answer}");
    }
    let answer = world.sends("POST", RULES, &robot, &document).await;
    assert_eq!(answer.status, 403, "{answer}");
    for (document, says) in [
        (json!({"holder": "robot:acme+none"}), "there is no"),
        (json!({"holder": "team:other/dev"}), "only"),
        (json!({"holder": "everybody"}), "no holder"),
        (json!({"holder": "robot:acme+ci", "check": ""}), "1 to 64"),
        (json!({"holder": "robot:acme+ci", "check": "a b"}), "1 to 64"),
    ] {
        let answer = rule(&world, "olga", &document).await;
        assert_eq!(answer.status, 400, "{document}: {answer}");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains(says), "{document}: {answer}");
    }
    let made = rule(&world, "olga", &document).await.expect(201).json();
    for (who, status) in [("mia", 404), ("bob", 404), ("tim", 403)] {
        assert_eq!(world.api("GET", RULES, &basic(who)).await.status, status, "{who}");
    }
    for who in ["olga", "aud"] {
        let list = world.api("GET", RULES, &basic(who)).await.expect(200).json();
        assert_eq!(list["items"], json!([made]), "{who}");
    }
    let path = format!("{RULES}/{}", made["id"]);
    assert_eq!(world.api("DELETE", &path, &basic("tim")).await.status, 403);
    assert_eq!(world.api("DELETE", &path, &basic("olga")).await.status, 204);
    assert_eq!(world.api("DELETE", &path, &basic("olga")).await.status, 404);
    for _ in 0..32 {
        rule(&world, "olga", &document).await.expect(201);
    }
    assert_eq!(rule(&world, "olga", &document).await.status, 409);
}

#[tokio::test]
async fn a_rule_goes_with_its_holder() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    pushed(&world, &robot, "r", "by the robot").await;
    assert_eq!(signed(&world).await.len(), 1);
    world.api("DELETE", "/accounts/acme/robots/ci", &basic("olga")).await.expect(204);
    let list = world.api("GET", RULES, &basic("olga")).await.expect(200).json();
    assert_eq!(list["items"], json!([]));
    assert_eq!(signed(&world).await.len(), 1, "what it has signed stays signed");
}

/// Lets the job look at everything again that ever happened, as after a crash before it wrote down how far it came.
async fn again(world: World) -> World {
    world.meddle("DELETE FROM settings WHERE name = 'tuf_cursor'").await;
    world.restarted().await
}

#[tokio::test]
async fn what_was_withdrawn_is_signed_by_no_rule_until_the_tag_moves() {
    let Acme { world, robot } = Acme::open().await;
    let tests = world.robot("acme", "tests", Some("acme/web")).await;
    world.grant("acme/web", "robot:acme+tests", "read").await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    rule(&world, "olga", &json!({"holder": "robot:acme+tests", "check": "tests"})).await.expect(201);
    let digest = pushed(&world, &robot, "r", "bad").await;
    assert_eq!(signed(&world).await.len(), 1);
    world.pass(1);
    world.api("DELETE", "/repositories/acme%2Fweb/signatures/r", &basic("olga")).await.expect(204);
    let world = again(world).await;
    assert_eq!(signed(&world).await, [""; 0], "the push is followed once more");
    world.pass(1);
    world.sends("POST", CHECKS, &tests, &json!({"name": "tests", "digest": digest})).await.expect(204);
    pushed(&world, &robot, "r", "bad").await;
    assert_eq!(signed(&world).await, [""; 0], "a later report or push of the same is no person's word");
    pushed(&world, &robot, "r", "good").await;
    assert_eq!(signed(&world).await, ["r robot:acme+ci rule: push true"]);
}

#[tokio::test]
async fn a_rule_signs_nothing_that_happened_before_it_was_made() {
    let Acme { world, robot } = Acme::open().await;
    pushed(&world, &robot, "r", "before").await;
    world.pass(1);
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    let world = again(world).await;
    assert_eq!(signed(&world).await, [""; 0]);
    pushed(&world, &robot, "s", "after").await;
    assert_eq!(signed(&world).await, ["s robot:acme+ci rule: push true"]);
}

#[tokio::test]
async fn a_tag_that_another_sets_back_is_not_what_the_robot_pushed() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    pushed(&world, &robot, "r", "first").await;
    for layer in ["second", "first"] {
        world.pass(1);
        pushed(&world, &basic("olga"), "r", layer).await;
    }
    assert_eq!(signed(&world).await, [""; 0], "followed late");
    let world = again(world).await;
    assert_eq!(signed(&world).await, [""; 0], "and once more");
}

#[tokio::test]
async fn who_joins_a_team_later_has_signed_nothing_before() {
    let Acme { world, .. } = Acme::open().await;
    world.add_user("jan").await;
    world.member("acme", "jan", "member").await;
    world.grant("acme/web", "user:jan", "write").await;
    world.team("acme", "builders", &[]).await;
    rule(&world, "olga", &json!({"holder": "team:acme/builders"})).await.expect(201);
    pushed(&world, &basic("jan"), "r", "layer").await;
    assert_eq!(signed(&world).await, [""; 0]);
    world.pass(1);
    let path = "/organizations/acme/teams/builders/members/jan";
    assert!(world.sends("PUT", path, &basic("olga"), &json!({})).await.status.is_success());
    let world = world.restarted().await;
    assert_eq!(signed(&world).await, [""; 0], "what was followed is not followed again");
    pushed(&world, &basic("jan"), "s", "more").await;
    assert_eq!(signed(&world).await, ["s team:acme/builders rule: push true"]);
}

#[tokio::test]
async fn a_report_that_no_rule_names_is_refused_and_changes_nothing() {
    let Acme { world, robot } = Acme::open().await;
    let digest = pushed(&world, &robot, "r", "built").await;
    rule(&world, "olga", &json!({"holder": "team:acme/dev", "check": "tests"})).await.expect(201);
    world.publish("acme/web").await;
    let before = world.rows().await;
    for name in ["tests", "lint"] {
        let answer = world.sends("POST", CHECKS, &robot, &json!({"name": name, "digest": digest})).await.expect(403);
        let says = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(says.contains("names this check and you"), "{says}");
    }
    // Neither who reads everything nor a stranger to whom a repository is public is named.
    for who in ["tim", "aud", "ann"] {
        world.sends("POST", CHECKS, &basic(who), &json!({"name": "lint", "digest": digest})).await.expect(403);
    }
    let after = world.rows().await;
    for table in ["checks", "events"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    world.sends("POST", CHECKS, &basic("tim"), &json!({"name": "tests", "digest": digest})).await.expect(204);
    assert_eq!(signed(&world).await, ["r team:acme/dev rule: check tests true"]);
}

#[tokio::test]
async fn the_same_report_is_an_event_once_until_a_tag_or_a_rule_is_newer() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "team:acme/dev", "check": "tests"})).await.expect(201);
    let digest = pushed(&world, &robot, "r", "built").await;
    let reported = async || {
        let report = json!({"name": "tests", "digest": digest});
        world.sends("POST", CHECKS, &basic("tim"), &report).await.expect(204);
        world.rows().await["events"].len()
    };
    world.pass(1);
    let first = reported().await;
    for _ in 0..3 {
        world.pass(1);
        assert_eq!(reported().await, first, "nothing has changed");
    }
    world.pass(1);
    let made = rule(&world, "olga", &json!({"holder": "team:acme/dev", "check": "tests"})).await.expect(201).json();
    assert_eq!(reported().await, first + 2, "the rule, and a report that it may sign");
    assert_eq!(reported().await, first + 2, "{made}");
}

#[tokio::test]
async fn a_tag_that_comes_back_stays_unsigned_when_its_signature_was_withdrawn() {
    let Acme { world, robot } = Acme::open().await;
    rule(&world, "olga", &json!({"holder": "robot:acme+ci"})).await.expect(201);
    pushed(&world, &robot, "r", "bad").await;
    assert_eq!(signed(&world).await.len(), 1);
    world.pass(1);
    world.api("DELETE", "/repositories/acme%2Fweb/signatures/r", &basic("olga")).await.expect(204);
    let token = world.all_of("olga", "acme/web").await;
    for (layer, expected) in [("bad", 0), ("good", 1)] {
        world.pass(1);
        world.delete("/v2/acme/web/manifests/r").by(&token).await.expect(202);
        pushed(&world, &robot, "r", layer).await;
        assert_eq!(signed(&world).await.len(), expected, "{layer}");
    }
}
