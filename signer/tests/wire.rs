//! What is sent to a signer that is another process arrives as it was, and nothing else is read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;

use hallmark_oci::ServerRole;
use hallmark_signer::notary::FileState;
use hallmark_signer::notary::delegate::{Meant, StandingFile, Stands};
use hallmark_signer::tuf::{Files, Flaw};
use hallmark_signer::wire::{Answer, KeyAsked, Refusal, Request, Unserved};
use hallmark_signer::{DelegationChange, NotaryChange, NotaryFiles, SnapshotOf};
use proptest::prelude::*;
use serde_json::{Value, json};

fn state(role: &str, version: u64, bytes: &[u8]) -> FileState {
    FileState::of(role.parse().unwrap(), version, bytes)
}

fn again(answer: &Answer) -> Answer {
    serde_json::from_slice(&serde_json::to_vec(answer).unwrap()).unwrap()
}

#[test]
fn a_request_is_one_object_with_bytes_as_base64() {
    let request = Request::Sign(NotaryChange {
        collection: "notary1/1/r".to_owned(),
        caller: "7 r-1".to_owned(),
        root: b"{}".to_vec(),
        base: Vec::new(),
        snapshot: SnapshotOf::Client(vec![0, 1]),
    });
    let written = serde_json::to_value(&request).unwrap();
    let expected = json!({"sign": {
        "collection": "notary1/1/r", "caller": "7 r-1", "root": "e30=", "base": [], "snapshot": {"client": "AAE="},
    }});
    assert_eq!(written, expected);
    let asked = KeyAsked { collection: "c".to_owned(), role: ServerRole::Timestamp, named: vec!["a".to_owned()] };
    let written = serde_json::to_value(Request::NextKey(asked)).unwrap();
    assert_eq!(written, json!({"next_key": {"collection": "c", "role": "timestamp", "named": ["a"]}}));
    let asked = Request::DelegationKey { holder: "h".to_owned(), given: vec!["a".to_owned()], next: true };
    let written = serde_json::to_value(asked).unwrap();
    assert_eq!(written, json!({"delegation_key": {"holder": "h", "given": ["a"], "next": true}}));
    let file = StandingFile { role: "targets/a".parse().unwrap(), lives: 1, before: 2, bytes: Some(vec![0, 1]) };
    let untold = StandingFile { role: "targets/b".parse().unwrap(), lives: 0, before: 0, bytes: None };
    let request = Request::Delegate(DelegationChange {
        collection: "h/c".to_owned(),
        holder: "h".to_owned(),
        keys: vec!["a".to_owned()],
        caller: "publisher".to_owned(),
        stands: Stands { root: b"{}".to_vec(), targets: b"{}".to_vec(), delegations: vec![file, untold] },
        vouched: BTreeMap::from([("1".to_owned(), Meant { length: 3, sha256: [0; 32], signed_at: 4 })]),
    });
    let written = serde_json::to_value(&request).unwrap();
    let file = json!({"role": "targets/a", "lives": 1, "before": 2, "bytes": "AAE="});
    let untold = json!({"role": "targets/b", "lives": 0, "before": 0, "bytes": null});
    let meant = json!({"length": 3, "sha256": "A".repeat(43) + "=", "signed_at": 4});
    let expected = json!({"delegate": {
        "collection": "h/c", "holder": "h", "keys": ["a"], "caller": "publisher",
        "stands": {"root": "e30=", "targets": "e30=", "delegations": [file, untold]}, "vouched": {"1": meant},
    }});
    assert_eq!(written, expected);
    assert_eq!(serde_json::to_value(serde_json::from_value::<Request>(written).unwrap()).unwrap(), expected);
}

#[test]
fn a_member_that_is_not_known_is_refused() {
    let target = json!({
        "sha256": "AAAA", "length": 1, "media_type": "m", "signer": "s", "signed_at": "", "source": "signature",
    });
    let good = json!({"publish": {
        "domain": "d", "collection": "c", "repository": "r", "caller": "p", "root": "",
        "standing": {"snapshot": "", "files": [["tags", ""]]}, "changes": {"1": null}, "mode": "upon",
    }});
    let read = |value: &Value| serde_json::from_value::<Request>(value.clone());
    assert!(read(&good).is_ok(), "{:?}", read(&good));
    for (place, value) in [
        ("/publish", json!({"more": 1})),
        ("/publish", json!({"root": "%"})),
        ("/publish", json!({"mode": "otherwise"})),
        ("/publish/standing", json!({"snapshot": "%"})),
        ("/publish/changes", json!({"1": target})),
    ] {
        let mut bad = good.clone();
        let object = bad.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.extend(value.as_object().unwrap().clone());
        assert!(read(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_refusal_arrives_as_it_was() {
    for refusal in [
        Refusal::Falling { role: "root".to_owned(), from: 4, to: 3 },
        Refusal::OtherRoot { known: 4, told: 3 },
        Refusal::NoKey { role: "timestamp".to_owned() },
        Refusal::Unsigned,
        Refusal::Anew { why: "it nears its end".to_owned() },
        Refusal::Root(Flaw::Version { found: 3, wanted: 2 }),
        Refusal::Plan("no".to_owned()),
        Refusal::Unserved(Unserved::NotAllowed("no".to_owned())),
    ] {
        let answer = Answer::Refused(refusal);
        assert_eq!(again(&answer), answer);
    }
}

proptest! {
    #[test]
    fn files_arrive_as_they_were(
        one in proptest::collection::vec(any::<u8>(), 0..200),
        other in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        version in 1..u64::MAX,
    ) {
        let timestamp = (state("timestamp", version, &one), one.clone());
        let snapshot = other.clone().map(|bytes| (state("snapshot", version, &bytes), bytes));
        let signed = Answer::Signed(Box::new(NotaryFiles { snapshot, timestamp, expires: 7 }));
        prop_assert_eq!(again(&signed), signed);
        let files = vec![("bin-0f".to_owned(), one.clone()), ("timestamp".to_owned(), other.unwrap_or_default())];
        let delegated = Answer::Delegated(files.clone());
        prop_assert_eq!(again(&delegated), delegated);
        let published = Answer::Published(Some(Files { files, version, expires: 3 }));
        prop_assert_eq!(again(&published), published);
        prop_assert_eq!(again(&Answer::Root(one.clone())), Answer::Root(one));
    }

    #[test]
    fn no_text_makes_reading_panic(text in "[\\[\\]{}\":,a-z0-9_=]{0,80}") {
        let _ = serde_json::from_str::<Request>(&text);
    }
}
