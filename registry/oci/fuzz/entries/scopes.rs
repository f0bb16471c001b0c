//! `Scopes::parse` over parameters, one to a line.
//! Scopes say themselves again, one to a resource, and fit a header.

use std::collections::BTreeSet;

use hallmark_oci::limits::SCOPES;
use hallmark_oci::{Action, Scope, Scopes};

pub(crate) fn run(input: &str) {
    let scopes = Scopes::parse(input.split('\n'));
    assert!(scopes.len() <= SCOPES);
    let text = scopes.to_string();
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'));
    assert_eq!(Scopes::parse([text.as_str()]), scopes);
    let resources: BTreeSet<_> = scopes.iter().map(|scope| (&scope.resource_type, &scope.class, &scope.name)).collect();
    assert_eq!(resources.len(), scopes.len());
    for scope in &scopes {
        assert_eq!(scope.to_string().parse::<Scope>().as_ref(), Ok(scope));
        check_allowed(&scopes, scope);
    }
}

fn check_allowed(scopes: &Scopes, scope: &Scope) {
    if scope.class.is_none() {
        for action in [Action::Pull, Action::Push, Action::Delete, Action::All] {
            assert_eq!(scopes.allow(&scope.resource_type, &scope.name, action), scope.allows(action));
        }
    }
}
