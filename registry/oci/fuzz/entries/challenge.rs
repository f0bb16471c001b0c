//! `Challenge::parse` over a header, and `Challenge::new` over a realm and a service.
//! What is read can be written and read again; what is written stays on one line and in its quotes.

use hallmark_oci::{Challenge, ChallengeError, Scopes};

pub(crate) fn run(input: &str) {
    if let Ok(challenge) = Challenge::parse(input) {
        assert_eq!(Challenge::parse(&written(&challenge)).as_ref(), Ok(&challenge));
    }
    let mut lines = input.splitn(3, '\n');
    let (realm, service) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let scopes = Scopes::parse(lines.next());
    if let Ok(challenge) = Challenge::new(realm, service) {
        let challenge = challenge.with_scopes(&scopes).with_error(ChallengeError::InvalidToken);
        let header = written(&challenge);
        assert!(header.starts_with(&format!("Bearer realm=\"{realm}\",service=\"{service}\"")));
        assert_eq!(header.matches('"').count() % 2, 0);
        // A scope may be longer than what is read from strangers.
        if let Ok(read) = Challenge::parse(&header) {
            assert_eq!(read, challenge);
        } else {
            assert!(challenge.scope().is_some_and(|scope| scope.len() > 4096));
        }
    }
}

fn written(challenge: &Challenge<'_>) -> String {
    let header = challenge.to_string();
    assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    header
}
