//! Cases of roles that several hold: roots that follow one another while the holders change, and other roles of three in five.

use serde_json::json;

use crate::cases::Expected::{Named, Refused};
use crate::cases::{Case, Expected, once};
use crate::forge::{Forge, Pair, next};

/// A root: who holds it, how many of them must sign the next one, and who has signed it. Each is known by a number.
type Held = (&'static [u8], u64, &'static [u8]);

const FIVE: &[u8] = &[1, 2, 3, 4, 5];
/// The five, of whom the first has made room for another.
const ONE_NEW: &[u8] = &[2, 3, 4, 5, 6];
const ALL_NEW: &[u8] = &[6, 7, 8, 9, 10];

pub(crate) fn all() -> Vec<Case> {
    let mut cases = rotations();
    cases.push(once(
        "one id twice in a role of two",
        |forge| {
            let ids = &mut forge.root["roles"]["timestamp"];
            ids["keyids"] = json!([ids["keyids"][0], ids["keyids"][0]]);
            ids["threshold"] = json!(2);
            forge.seal_root();
        },
        Refused("1 valid signatures where 2"),
    ));
    for role in ["targets", "snapshot", "timestamp", "tags"] {
        for (signers, expected) in [
            (&[0, 1, 2][..], Named(1)),
            (&[0, 2, 4], Named(1)),
            (&[4, 3, 1], Named(1)),
            (&[0, 1, 2, 3, 4], Named(1)),
            (&[1, 3], Refused("2 valid signatures where 3")),
            (&[4], Refused("1 valid signatures where 3")),
            (&[], Refused("0 valid signatures where 3")),
        ] {
            cases.push(of_five(role, signers, expected));
        }
    }
    cases
}

fn rotations() -> Vec<Case> {
    let chain = |name, second: Held, expected| roots(name, &[(FIVE, 3, &[1, 2, 3]), second], expected);
    vec![
        roots("one holder, others sign as well", &[(&[1], 1, &[1]), (&[2], 1, &[7, 1, 2, 8])], Named(1)),
        roots(
            "one holder, others sign instead",
            &[(&[1], 1, &[1]), (&[2], 1, &[2, 7, 8])],
            Refused("0 valid signatures where 1"),
        ),
        chain("three of five, others of them sign", (FIVE, 3, &[5, 2, 4]), Named(1)),
        chain("three of five, all of them sign", (FIVE, 3, FIVE), Named(1)),
        chain("three of five, two of them sign", (FIVE, 3, &[5, 2]), Refused("2 valid signatures where 3")),
        chain("three of five, one is new, three old ones sign", (ONE_NEW, 3, &[2, 3, 4]), Named(1)),
        chain("three of five, one is new, and who left signs too", (ONE_NEW, 3, &[1, 2, 3, 6]), Named(1)),
        chain(
            "three of five, one is new and the third to sign",
            (ONE_NEW, 3, &[2, 3, 6]),
            Refused("2 valid signatures where 3"),
        ),
        chain(
            "three of five, one is new, who left is the third to sign",
            (ONE_NEW, 3, &[1, 2, 3]),
            Refused("2 valid signatures where 3"),
        ),
        chain("three of five, all are new, three of each sign", (ALL_NEW, 3, &[1, 3, 5, 6, 8, 10]), Named(1)),
        chain(
            "three of five, all are new, two old ones sign",
            (ALL_NEW, 3, &[1, 3, 6, 8, 10]),
            Refused("2 valid signatures where 3"),
        ),
        chain(
            "three of five, all are new, two of them sign",
            (ALL_NEW, 3, &[1, 3, 5, 6, 8]),
            Refused("2 valid signatures where 3"),
        ),
        roots(
            "three of five, all new in two steps",
            &[(FIVE, 3, &[1, 2, 3]), (&[3, 4, 5, 6, 7], 3, &[3, 4, 5]), (ALL_NEW, 3, &[5, 6, 7, 8])],
            Named(1),
        ),
        chain("the threshold rises, enough sign", (FIVE, 5, FIVE), Named(1)),
        chain("the threshold rises, too few sign", (FIVE, 5, &[1, 2, 3, 4]), Refused("4 valid signatures where 5")),
        chain("the threshold falls, enough of before sign", (FIVE, 1, &[1, 2, 5]), Named(1)),
        chain("the threshold falls, enough of then sign", (FIVE, 1, &[1]), Refused("1 valid signatures where 3")),
        roots(
            "the threshold has fallen, one signs the next",
            &[(FIVE, 3, &[1, 2, 3]), (FIVE, 1, &[1, 2, 5]), (FIVE, 1, &[4])],
            Named(1),
        ),
    ]
}

/// Roots that follow one another, from the first, which is trusted.
fn roots(name: &'static str, chain: &[Held], expected: Expected) -> Case {
    let mut forge = Forge::new();
    let mut case = None;
    for (holders, threshold, signers) in chain {
        if case.is_some() {
            next(&mut forge.root);
        }
        let pairs = |numbers: &[u8]| numbers.iter().map(|number| Pair::ed25519(100 + number)).collect::<Vec<_>>();
        forge.keys.insert("root".to_owned(), pairs(holders));
        forge.name_keys();
        forge.root["roles"]["root"]["threshold"] = json!(threshold);
        forge.keys.insert("root".to_owned(), pairs(signers));
        forge.seal_root();
        case.get_or_insert_with(|| Case::new(name, &forge));
    }
    case.unwrap().then(&forge, expected)
}

/// A role that five hold, three of whom must sign, signed by these of them.
fn of_five(role: &'static str, signers: &[usize], expected: Expected) -> Case {
    let name: &'static str = format!("{role} of three in five, signed by {signers:?}").leak();
    let mut forge = Forge::new();
    let pairs = || (0..5_u8).map(|number| Pair::ed25519(120 + number));
    forge.keys.insert(role.to_owned(), pairs().collect());
    if role == "tags" {
        forge.roles.get_mut("targets").unwrap().as_object_mut().unwrap().remove("delegations");
        forge.delegate("targets", "tags", json!({"paths": ["acme/web/*"]}), true);
        forge.roles.get_mut("targets").unwrap()["delegations"]["roles"][0]["threshold"] = json!(3);
    } else {
        forge.name_keys();
        forge.root["roles"][role]["threshold"] = json!(3);
    }
    forge.seal_root();
    let taken = pairs().enumerate().filter_map(|(number, pair)| signers.contains(&number).then_some(pair)).collect();
    forge.keys.insert(role.to_owned(), taken);
    forge.publish();
    Case::new(name, &forge).then(&forge, expected)
}
