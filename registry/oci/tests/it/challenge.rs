//! The bearer challenge: the one form that every client reads, and no way out of its quotes.

use std::collections::BTreeSet;

use hallmark_oci::{Action, Challenge, ChallengeError, ChallengeInvalid, Scope, Scopes};
use proptest::prelude::*;

const REALM: &str = "https://r.example/token";

fn scopes(text: &str) -> Scopes {
    Scopes::parse([text])
}

#[test]
fn a_challenge_is_quoted_and_separated_by_commas_without_spaces() {
    let ping = Challenge::new(REALM, "r.example").unwrap();
    assert_eq!(ping.to_string(), r#"Bearer realm="https://r.example/token",service="r.example""#);
    let push = ping.clone().with_scopes(&scopes("repository:a/b:push,pull"));
    assert_eq!(
        push.to_string(),
        r#"Bearer realm="https://r.example/token",service="r.example",scope="repository:a/b:pull,push""#
    );
    let mount = ping.clone().with_scopes(&scopes("repository:team/app:pull,push repository:lib/base:pull"));
    assert_eq!(mount.scope(), Some("repository:lib/base:pull repository:team/app:pull,push"));
    let refused = push.with_error(ChallengeError::InsufficientScope);
    assert!(refused.to_string().ends_with(r#":pull,push",error="insufficient_scope""#), "{refused}");
    assert_eq!(
        ping.with_scopes(&Scopes::default()).with_error(ChallengeError::InvalidToken).to_string(),
        r#"Bearer realm="https://r.example/token",service="r.example",error="invalid_token""#
    );
}

#[test]
fn a_realm_or_service_stays_inside_its_quotes_and_no_service_names_a_scheme() {
    for (realm, service, expected) in [
        ("", "s", ChallengeInvalid::Value),
        (REALM, "", ChallengeInvalid::Value),
        ("https://r/\"", "s", ChallengeInvalid::Value),
        ("https://r/\\", "s", ChallengeInvalid::Value),
        ("https://r/\r\nX: y", "s", ChallengeInvalid::Value),
        ("https://r/ x", "s", ChallengeInvalid::Value),
        ("https://é/", "s", ChallengeInvalid::Value),
        (REALM, "a\0", ChallengeInvalid::Value),
        (REALM, "my-BASIC-service", ChallengeInvalid::SchemeWord),
        (REALM, "bearer", ChallengeInvalid::SchemeWord),
    ] {
        assert_eq!(Challenge::new(realm, service), Err(expected), "{realm:?} {service:?}");
    }
    assert_eq!(Challenge::new(&"a".repeat(4097), "s"), Err(ChallengeInvalid::Value));
}

#[test]
fn a_registry_may_be_called_basic() {
    assert!(Challenge::new("https://basic-images.example/token", "s").is_ok());
}

#[test]
fn a_hostile_scope_cannot_add_a_parameter() {
    let hostile = Scope {
        resource_type: "repository".to_owned(),
        class: None,
        name: "a\",realm=\"https://evil\r\n\\".to_owned(),
        actions: BTreeSet::from([Action::Pull]),
    };
    let header = Challenge::new(REALM, "s").unwrap().with_scopes(&[hostile].into_iter().collect()).to_string();
    assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header}");
    let read = Challenge::parse(&header).unwrap();
    assert_eq!(read.realm(), REALM);
    assert!(read.scope().unwrap().contains("realm=\"https://evil??"), "{header}");
}

#[test]
fn a_challenge_is_read_as_other_registries_write_it() {
    for (header, realm, service, scope) in [
        (
            r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#,
            "https://a/t",
            "s",
            Some("repository:x:pull"),
        ),
        (r#"bearer  service="s" , realm=https://a/t,unknown="x,y""#, "https://a/t", "s", None),
        (r#"BEARER REALM="a\"b\\",error="weird""#, "a\"b\\", "", None),
        (r#"Bearer realm="a,b=c" "#, "a,b=c", "", None),
        (r#"Bearer realm="a","#, "a", "", None),
    ] {
        let challenge = Challenge::parse(header).unwrap_or_else(|error| panic!("{header}: {error}"));
        assert_eq!((challenge.realm(), challenge.service(), challenge.scope()), (realm, service, scope), "{header}");
        assert_eq!(challenge.error(), None);
    }
}

#[test]
fn a_broken_challenge_is_refused() {
    for (header, expected) in [
        ("", ChallengeInvalid::Scheme),
        ("Bearer", ChallengeInvalid::Scheme),
        (r#"Basic realm="x""#, ChallengeInvalid::Scheme),
        (r#"Bearer service="x""#, ChallengeInvalid::Incomplete),
        (r#"Bearer realm"#, ChallengeInvalid::Syntax),
        (r#"Bearer realm="x"#, ChallengeInvalid::Syntax),
        (r#"Bearer realm="x\"#, ChallengeInvalid::Syntax),
        (r#"Bearer realm="x" service="y""#, ChallengeInvalid::Syntax),
        (r#"Bearer realm="x",realm="y""#, ChallengeInvalid::Syntax),
        (r#"Bearer ="x""#, ChallengeInvalid::Syntax),
        ("Bearer realm=\"x\u{7f}\"", ChallengeInvalid::Value),
        ("Bearer realm=\"é\"", ChallengeInvalid::Value),
    ] {
        assert_eq!(Challenge::parse(header), Err(expected), "{header}");
    }
    assert_eq!(Challenge::parse(&format!("Bearer realm=\"{}\"", "a".repeat(4097))), Err(ChallengeInvalid::Value));
}

proptest! {
    #[test]
    fn a_challenge_is_read_as_it_was_written(
        realm in "https://[a-z]{1,9}\\.example/[a-z?=&%]{0,9}",
        service in "[a-zA-Z0-9.:-]{1,20}",
        names in prop::collection::vec("[a-z]{1,5}(/[a-z]{1,5})?", 0..3),
        error in prop::option::of(prop::sample::select(vec![ChallengeError::InvalidToken, ChallengeError::InsufficientScope])),
    ) {
        let scopes = Scopes::parse(names.iter().map(|name| format!("repository:{name}:pull")).collect::<Vec<_>>().iter().map(String::as_str));
        let Ok(challenge) = Challenge::new(&realm, &service) else {
            let words = service.to_ascii_lowercase();
            prop_assert!(words.contains("basic") || words.contains("bearer"));
            return Ok(());
        };
        let challenge = challenge.with_scopes(&scopes);
        let challenge = error.into_iter().fold(challenge, Challenge::with_error);
        prop_assert_eq!(Challenge::parse(&challenge.to_string()), Ok(challenge));
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again(header in "Bearer [a-z]{1,5}=(\"[ -~]{0,12}\"|[!-~]{0,8})(,realm=\"[ -~]{0,9}\")?") {
        if let Ok(challenge) = Challenge::parse(&header) {
            prop_assert_eq!(Challenge::parse(&challenge.to_string()), Ok(challenge));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Challenge::parse(&text);
        let _ = Challenge::parse(&format!("Bearer {text}"));
    }
}
