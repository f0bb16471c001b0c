//! Cases of roles that hand paths on to others.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::cases::Expected::{Named, Refused, Unnamed};
use crate::cases::{Case, Expected, once};
use crate::forge::{Forge, PATH, Pair, canonical, hex};

pub(crate) fn all() -> Vec<Case> {
    let named = |change: fn(&mut Forge)| {
        move |forge: &mut Forge| {
            change(forge);
            forge.publish();
        }
    };
    let below = |forge: &mut Forge, paths: Value| {
        forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
        forge.delegate("targets", "tags", paths, true);
    };
    let pattern = |name, pattern: &'static str, expected| {
        once(
            name,
            move |forge: &mut Forge| {
                below(forge, json!({"paths": [pattern]}));
                forge.publish();
            },
            expected,
        )
    };
    let prefix = |name, prefix: &'static str, expected| {
        once(
            name,
            move |forge: &mut Forge| {
                below(forge, json!({"path_hash_prefixes": [prefix]}));
                forge.publish();
            },
            expected,
        )
    };
    vec![
        once(
            "a path that nobody names",
            named(|forge| {
                forge.roles.get_mut("tags").unwrap()["targets"] = json!({});
            }),
            Unnamed,
        ),
        pattern("a path outside of the delegation", "acme/other/*", Unnamed),
        pattern("a star that would have to cross a slash", "acme/*", Unnamed),
        pattern("a star for each part", "*/*/*", Named(1)),
        pattern("question marks", "acme/w?b/?", Named(1)),
        pattern("a question mark for nothing", "acme/web/1?", Unnamed),
        prefix("the prefix of the path's hash", "61", Named(1)),
        prefix("another prefix", "60", Unnamed),
        once(
            "a delegated role signed by another's key",
            |forge| {
                forge.keys.insert("tags".to_owned(), vec![Pair::ed25519(90)]);
                forge.publish();
            },
            Refused("0 valid signatures"),
        ),
        once(
            "a delegated role that the snapshot lacks",
            |forge| {
                forge.snapshot["meta"].as_object_mut().unwrap().remove("tags.json");
                forge.publish_snapshot();
            },
            Refused("nothing names it"),
        ),
        once("targets names it before any delegation", named(|forge| forge.say("targets", PATH, 5)), Named(5)),
        once(
            "the first of two delegations",
            named(|forge| {
                forge.delegate("targets", "second", json!({"paths": ["acme/web/*"]}), false);
                forge.say("second", PATH, 6);
            }),
            Named(1),
        ),
        once(
            "after a delegation for good nobody is asked",
            named(|forge| {
                forge.roles.get_mut("tags").unwrap()["targets"] = json!({});
                forge.delegate("targets", "second", json!({"paths": ["acme/web/*"]}), false);
                forge.say("second", PATH, 6);
            }),
            Unnamed,
        ),
        once(
            "after one that is not for good the next is asked",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap()["delegations"]["roles"][0]["terminating"] = json!(false);
                forge.roles.get_mut("tags").unwrap()["targets"] = json!({});
                forge.delegate("targets", "second", json!({"paths": ["acme/web/*"]}), false);
                forge.say("second", PATH, 6);
            }),
            Named(6),
        ),
        once(
            "depth before breadth",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap()["delegations"]["roles"][0]["terminating"] = json!(false);
                forge.roles.get_mut("tags").unwrap()["targets"] = json!({});
                forge.delegate("targets", "second", json!({"paths": ["acme/web/*"]}), false);
                forge.delegate("tags", "deep", json!({"paths": ["acme/web/*"]}), false);
                forge.say("second", PATH, 6);
                forge.say("deep", PATH, 7);
            }),
            Named(7),
        ),
        once(
            "a cycle of delegations",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap()["delegations"]["roles"][0]["terminating"] = json!(false);
                forge.roles.get_mut("tags").unwrap()["targets"] = json!({});
                forge.delegate("tags", "deep", json!({"paths": ["acme/*/*"]}), false);
                forge.delegate("deep", "tags", json!({"paths": ["acme/*/*"]}), false);
            }),
            Unnamed,
        ),
        once(
            "more roles than are asked",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
                let mut parent = "targets".to_owned();
                for number in 0..60 {
                    let name = format!("deep{number:02}");
                    forge.delegate(&parent, &name, json!({"paths": ["acme/web/*"]}), false);
                    parent = name;
                }
                forge.say("deep59", PATH, 8);
            }),
            Refused("more than 32 roles"),
        ),
        once("thousands of roles and keys", named(flood), Refused("more than 32 roles")),
        once(
            "a role that hands on nothing that it says",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
                forge.delegate("targets", "tags", json!({"paths": []}), true);
            }),
            Unnamed,
        ),
        once(
            "a role with a slash in its name",
            named(|forge| {
                forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
                forge.delegate("targets", "acme/tags", json!({"paths": ["acme/web/*"]}), true);
                forge.say("acme/tags", PATH, 9);
            }),
            Named(9),
        ),
        graph(
            "two roles that hand on to a third",
            &[("targets", "first"), ("targets", "second"), ("second", "third"), ("first", "third")],
            &[("third", 7), ("second", 6)],
            Named(7),
        ),
        graph(
            "two roles that hand on to a third, of which the first for other paths",
            &[("targets", "first"), ("targets", "second"), ("second", "third"), ("first", "third for others")],
            &[("third", 7)],
            Named(7),
        ),
        graph(
            "a role below one that is asked for good",
            &[("targets", "first"), ("targets", "second"), ("first", "third for good"), ("third", "fourth")],
            &[("fourth", 7), ("second", 6)],
            Named(7),
        ),
        graph(
            "roles beside one that is asked for good two levels down",
            &[("targets", "first"), ("targets", "second"), ("first", "third for good"), ("first", "fourth")],
            &[("fourth", 7), ("second", 6)],
            Unnamed,
        ),
        graph(
            "a path that not every role on the way hands on",
            &[("targets", "first"), ("first", "second for others"), ("second", "third")],
            &[("third", 7)],
            Unnamed,
        ),
        called("a role with a question mark for a name", "?"),
        called("a role with a hash for a name", "#"),
        called("a role whose name leads up", "../x"),
        called("a role whose name leads to the root", "/x"),
    ]
}

/// Roles that hand on in this order, and which of them name the path. Behind a name may stand that it is asked `for good`, or
/// `for others` than the path.
fn graph(
    name: &'static str,
    edges: &'static [(&'static str, &'static str)],
    says: &'static [(&'static str, u8)],
    expected: Expected,
) -> Case {
    once(
        name,
        |forge| {
            forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
            for (from, to) in edges {
                let (to, how) = to.split_once(' ').unwrap_or((to, ""));
                let path = if how == "for others" { "acme/other/*" } else { "acme/web/*" };
                forge.delegate(from, to, json!({"paths": [path]}), how == "for good");
            }
            for (role, number) in says {
                forge.say(role, PATH, *number);
            }
            forge.publish();
        },
        expected,
    )
}

/// A role of this name, which is a name and no path.
fn called(name: &'static str, role: &'static str) -> Case {
    once(
        name,
        move |forge| {
            forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
            forge.delegate("targets", role, json!({"paths": ["acme/web/*"]}), true);
            forge.say(role, PATH, 9);
            forge.publish();
        },
        Named(9),
    )
}

/// As many roles as keys, each of which may name the path. Were the keys copied for each of the roles, there would be millions.
fn flood(forge: &mut Forge) {
    const MANY: usize = 3_000;
    forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
    for number in 0..40 {
        forge.delegate("targets", &format!("flood{number}"), json!({"paths": ["acme/web/*"]}), false);
    }
    let delegations = &mut forge.roles.get_mut("targets").unwrap()["delegations"];
    let like = delegations["roles"][0].clone();
    for number in 40..MANY {
        let mut role = like.clone();
        role["name"] = json!(format!("flood{number}"));
        delegations["roles"].as_array_mut().unwrap().push(role);
        let public = format!("{number:064x}");
        let key = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}});
        let id = hex(digest(&SHA256, &canonical(&key)).as_ref());
        delegations["keys"][id] = key;
    }
}
