//! `ClaimPath` over the text of a setting or of a rule, and over claims beside it.
//! What is accepted is written as it was read, and finds what the path of RFC 6901 finds in objects.

#![no_main]

#[path = "../../../src/auth/oidc/path.rs"]
mod path;

use libfuzzer_sys::fuzz_target;
use path::ClaimPath;
use serde_json::{Map, Value};

/// Whether the path goes through a list, into which a claim's path never steps.
fn meets_list(claims: &Value, pointer: &str) -> bool {
    let ends = pointer.match_indices('/').map(|(at, _)| at).skip(1);
    ends.filter_map(|end| claims.pointer(&pointer[..end])).any(Value::is_array)
}

fuzz_target!(|input: (&str, &str)| {
    let (text, claims) = input;
    let Ok(path) = text.parse::<ClaimPath>() else { return };
    assert_eq!((path.as_str(), path.to_string().as_str()), (text, text));
    let claims: Map<String, Value> = serde_json::from_str(claims).unwrap_or_default();
    let found = path.find(&claims);
    if text.starts_with('/') {
        let claims = Value::Object(claims.clone());
        let expected = claims.pointer(text).filter(|_| !meets_list(&claims, text));
        assert_eq!(found, expected);
    } else {
        assert_eq!(found, claims.get(text));
    }
});
