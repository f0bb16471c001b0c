//! Why somebody may, or may not, do something: the decision with its reasons.

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, refuses};
use crate::harness::{Acme, Credentials, World, encoded, image, sha256};

async fn explained(world: &World, by: &Credentials, subject: &str, action: &str, repository: &str) -> String {
    let path =
        format!("/explain?subject={}&action={action}&repository={repository}", encoded(subject).replace('+', "%2B"));
    let answer = world.api("GET", &path, by).await.expect(200);
    serde_json::to_string_pretty(&answer.json()).unwrap()
}

#[tokio::test]
async fn each_reason_is_told() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/we*", "user:tim", "delete").await;
    assert_snapshot!(explained(world, &admin(), "user:tim", "delete", "acme/web").await, @r#"
    {
      "allowed": true,
      "exists": true,
      "reasons": [
        {
          "because": "granted to them on acme/we*",
          "rights": "delete"
        },
        {
          "because": "granted to team:acme/dev on the repository",
          "rights": "write"
        }
      ],
      "rights": "write+delete"
    }
    "#);
    assert_snapshot!(explained(world, &admin(), "robot:acme+ci", "admin", "acme/web").await, @r#"
    {
      "allowed": false,
      "exists": true,
      "missing": "nothing gives acme+ci the right to admin on acme/web: no grant, no team, no role",
      "reasons": [
        {
          "because": "granted to them on the repository",
          "rights": "write"
        }
      ],
      "rights": "write"
    }
    "#);
    assert_snapshot!(explained(world, &admin(), "user:olga", "admin", "acme/web").await, @r#"
    {
      "allowed": true,
      "exists": true,
      "reasons": [
        {
          "because": "owns the organization",
          "rights": "admin"
        }
      ],
      "rights": "admin"
    }
    "#);
    assert_snapshot!(explained(world, &admin(), "user:aud", "pull", "acme/site").await, @r#"
    {
      "allowed": true,
      "exists": true,
      "reasons": [
        {
          "because": "the repository is public",
          "rights": "read"
        },
        {
          "because": "reads everything as an auditor of the registry",
          "rights": "read"
        }
      ],
      "rights": "read"
    }
    "#);
}

#[tokio::test]
async fn a_push_that_would_make_a_repository_is_explained() {
    let acme = Acme::open().await;
    let world = &acme.world;
    assert_snapshot!(explained(world, &admin(), "user:ann", "push", "ann/new").await, @r#"
    {
      "allowed": true,
      "exists": false,
      "reasons": [
        {
          "because": "the account is their own",
          "rights": "admin"
        }
      ],
      "rights": "admin"
    }
    "#);
    assert_snapshot!(explained(world, &admin(), "user:admin", "push", "none/new").await, @r#"
    {
      "allowed": false,
      "exists": false,
      "missing": "nobody has the account that none/new would lie in",
      "reasons": [
        {
          "because": "administers the registry",
          "rights": "admin"
        }
      ],
      "rights": "admin"
    }
    "#);
    assert_snapshot!(explained(world, &admin(), "user:mia", "push", "acme/new").await, @r#"
    {
      "allowed": false,
      "exists": false,
      "missing": "nothing gives mia the right to push on acme/new: no grant, no team, no role",
      "reasons": [],
      "rights": "none"
    }
    "#);
    world.create_on_push("acme").await;
    assert_snapshot!(explained(world, &admin(), "user:mia", "push", "acme/new").await, @r#"
    {
      "allowed": true,
      "exists": false,
      "reasons": [
        {
          "because": "members of the organization may make repositories by pushing",
          "rights": "write"
        }
      ],
      "rights": "write"
    }
    "#);
}

#[tokio::test]
async fn anybody_is_explained_by_what_is_public() {
    let acme = Acme::open().await;
    let ask = |name: &str| acme.world.api("GET", &format!("/explain?action=pull&repository={name}"), &basic("ann"));
    assert_snapshot!(ask("acme/site").await, @r#"
    200 OK
    cache-control: no-store
    content-length: 113
    content-type: application/json
    etag: {tag}

    {"allowed":true,"exists":true,"rights":"read","reasons":[{"because":"the repository is public","rights":"read"}]}
    "#);
    let (hidden, absent) = (ask("acme/web").await.expect(200), ask("acme/wex").await.expect(200));
    assert_eq!(hidden.to_string(), absent.to_string().replace("wex", "web"));
}

#[tokio::test]
async fn who_manages_a_repository_asks_about_anybody_and_others_about_themselves() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let path = |subject: &str, name: &str| format!("/explain?action=pull&repository={name}&subject={subject}");
    world.api("GET", &path("user:ann", "acme/web"), &basic("olga")).await.expect(200);
    world.api("GET", &path("user:ann", "acme/web"), &basic("aud")).await.expect(200);
    world.api("GET", &path("user:ann", "acme/web"), &basic("ann")).await.expect(200);
    world.api("GET", &path("robot:acme%2Bci", "acme/web"), &acme.robot).await.expect(200);
    refuses(world, world.api("GET", &path("user:ann", "acme/web"), &basic("tim")), 403, "DENIED").await;
    refuses(world, world.api("GET", &path("user:ann", "acme/web"), &basic("bob")), 404, "NOT_FOUND").await;
    refuses(world, world.api("GET", &path("user:eve", "acme/web"), &basic("olga")), 404, "NOT_FOUND").await;
    refuses(world, world.api("GET", &path("team:acme%2Fdev", "acme/web"), &basic("olga")), 400, "INVALID").await;
    refuses(world, world.api("GET", "/explain?action=fly&repository=acme/web", &basic("ann")), 400, "INVALID").await;
    refuses(world, world.api("GET", "/explain?action=pull", &basic("ann")), 400, "INVALID").await;
    refuses(world, world.api("GET", "/explain?action=pull&repository=A", &basic("ann")), 404, "NOT_FOUND").await;
}

/// Robots of other accounts, and roles in the whole registry, are nobody's business who manages a repository.
#[tokio::test]
async fn who_manages_a_repository_learns_nothing_of_what_is_elsewhere() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.robot("bob", "secret", None).await;
    let ask = |subject: &str, by: &str| {
        let path = format!("/explain?action=pull&repository=acme/web&subject={subject}");
        world.api("GET", &path, &basic(by))
    };
    let (elsewhere, nowhere) = (ask("robot:bob%2Bsecret", "olga").await, ask("robot:bob%2Bnone", "olga").await);
    assert_eq!((elsewhere.status.as_u16(), elsewhere.text()), (404, nowhere.text()));
    ask("robot:bob%2Bsecret", "aud").await.expect(200);
    ask("robot:acme%2Bci", "olga").await.expect(200);
    let nobody = ask("user:ann", "olga").await.expect(200).text();
    for somebody in ["aud", "admin"] {
        let told = ask(&format!("user:{somebody}"), "olga").await.expect(200).text();
        assert_eq!(told.replace(somebody, "ann"), nobody, "{somebody}");
        let own = ask(&format!("user:{somebody}"), somebody).await.expect(200).json();
        assert_eq!(own["allowed"], true, "{somebody} knows");
    }
    let by_all = ask("user:admin", "aud").await.expect(200).json();
    assert_eq!(by_all["reasons"][0]["because"], "administers the registry");
    let anybody = world.api("GET", "/explain?action=pull&repository=acme/web", &basic("olga")).await.json();
    assert_eq!((&anybody["exists"], &anybody["allowed"]), (&true.into(), &false.into()), "it is olga's to know");
}

/// A member may make repositories: one that is there and hidden from them is explained as if it were not.
#[tokio::test]
async fn a_hidden_repository_is_explained_as_one_that_is_not_there() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for setting in ["off", "on"] {
        if setting == "on" {
            world.create_on_push("acme").await;
        }
        for action in ["pull", "push", "delete", "admin"] {
            for subject in ["&subject=user:mia", ""] {
                let ask = async |name: &str| {
                    let path = format!("/explain?action={action}&repository={name}{subject}");
                    world.api("GET", &path, &basic("mia")).await.expect(200).text()
                };
                let (hidden, absent) = (ask("acme/web").await, ask("acme/wex").await);
                assert_eq!(hidden, absent.replace("wex", "web"), "{action} {subject} {setting}");
            }
        }
    }
}

/// What a limited token does not reach it learns nothing of, whatever its user may know.
#[tokio::test]
async fn a_limited_token_is_told_of_what_it_reaches() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let by = Credentials::bearer(&world.personal("olga", "admin api:read on:acme/site").await.1);
    let path = |name: &str| format!("/explain?action=pull&repository={name}&subject=user:olga");
    world.api("GET", &path("acme/site"), &by).await.expect(200);
    for name in ["acme/web", "acme/none", "none/web"] {
        refuses(world, world.api("GET", &path(name), &by), 403, "DENIED").await;
    }
}

/// A name that was released lately is explained as one that a push does not make again.
#[tokio::test]
async fn a_name_that_rests_is_explained() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    world.api("DELETE", "/repositories/acme%2Fsite", &admin()).await.expect(204);
    for (name, allowed) in [("mia", false), ("olga", true)] {
        let subject = format!("user:{name}");
        let push: serde_json::Value =
            serde_json::from_str(&explained(world, &admin(), &subject, "push", "acme/site").await).unwrap();
        assert_eq!(push["allowed"], allowed, "{push}");
        assert_eq!(push["missing"].as_str().is_some_and(|missing| missing.contains("rests")), !allowed, "{push}");
        let begin = world.post("/v2/acme/site/blobs/uploads/").by(&basic(name)).await;
        assert_eq!(begin.status == 202, allowed, "{name}: {begin}");
    }
}

/// The two never disagree: what is explained as allowed is done, and the rest is refused.
#[tokio::test]
async fn what_is_explained_is_what_is_done() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    for (name, rights) in [("sam", "read+sign"), ("dee", "delete"), ("kim", "admin")] {
        world.add_user(name).await;
        world.grant("acme/web", &format!("user:{name}"), rights).await;
    }
    let digest = sha256(image("{}", &["layer"]));
    let mut scratch = world.copied().await;
    for name in ["ann", "mia", "tim", "olga", "aud", "admin", "sam", "dee", "kim"] {
        for repository in ["acme/web", "acme/site", "acme/new", "ann/new", "none/new"] {
            let subject = format!("user:{name}");
            let pull: serde_json::Value =
                serde_json::from_str(&explained(world, &admin(), &subject, "pull", repository).await).unwrap();
            let status = world.get(&format!("/v2/{repository}/tags/list")).by(&basic(name)).await.status.as_u16();
            // A member who could make it reads of another's what they read of none.
            let hidden = pull["allowed"] == false && pull["exists"] == true && matches!(name, "mia" | "tim");
            let refused = if hidden { 404 } else { 403 };
            assert_eq!(pull["allowed"] == false, status == refused, "{name} pulls from {repository}: {status}");
            let push: serde_json::Value =
                serde_json::from_str(&explained(world, &admin(), &subject, "push", repository).await).unwrap();
            let begin = scratch.post(&format!("/v2/{repository}/blobs/uploads/")).by(&basic(name));
            let status = begin.await.status.as_u16();
            if status == 202 {
                scratch = world.copied().await;
            }
            assert_eq!(push["allowed"] == true, status == 202, "{name} pushes to {repository}: {status}");
        }
        // What is done to one that is there.
        for repository in ["acme/web", "acme/site"] {
            let path = format!("/repositories/{}", encoded(repository));
            for (action, done) in [("delete", 202), ("sign", 201), ("admin", 200)] {
                let told = explained(world, &admin(), &format!("user:{name}"), action, repository).await;
                let told: serde_json::Value = serde_json::from_str(&told).unwrap();
                let (by, manifest) = (basic(name), format!("/v2/{repository}/manifests/{digest}"));
                let call = match action {
                    "delete" => scratch.delete(&manifest).by(&by),
                    "sign" => {
                        let signature = json!({"tag": "1", "digest": digest});
                        scratch.sends("POST", &format!("{path}/signatures"), &by, &signature)
                    }
                    _ => scratch.sends("PATCH", &path, &by, &json!({"description": "another"})),
                };
                let status = call.await.status.as_u16();
                assert!(matches!(status, 403 | 404) || status == done, "{name} {action} {repository}: {status}");
                assert_eq!(told["allowed"] == true, status == done, "{name} {action} {repository}: {status}");
                if status == done {
                    scratch = world.copied().await;
                }
            }
        }
    }
}
