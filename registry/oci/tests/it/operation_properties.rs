//! What holds for every request line: the name that is authorized is the name that was sent, and nothing panics.

use hallmark_oci::{Operation, OperationInvalid};
use proptest::prelude::*;

use crate::model::{DIGEST, Grammar, TAG, UPLOAD, name_pattern};
use crate::strategies::operation;

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

/// Decodes a path byte by byte, as naively as it can be written.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Writes some characters of a path as escapes, all but its slashes.
fn escaped(path: &str, which: &[bool], upper: bool) -> String {
    let escape = path.bytes().zip(which.iter().cycle()).map(|(byte, escape)| match (byte, escape, upper) {
        (b'/', _, _) | (_, false, _) => char::from(byte).to_string(),
        (_, true, true) => format!("%{byte:02X}"),
        (_, true, false) => format!("%{byte:02x}"),
    });
    escape.collect()
}

/// A path of components that mean something, in any order.
fn path_of_words() -> impl Strategy<Value = String> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let words = vec![
        "a".to_owned(),
        "b.c".to_owned(),
        "blobs".to_owned(),
        "uploads".to_owned(),
        "manifests".to_owned(),
        "tags".to_owned(),
        "list".to_owned(),
        "referrers".to_owned(),
        "_catalog".to_owned(),
        "A".to_owned(),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        digest,
        "0123456789abcdef".repeat(2),
        "%2f".to_owned(),
    ];
    let likely = vec!["a", "blobs", "uploads", "manifests", "tags", "list", "referrers"];
    let word = prop_oneof![prop::sample::select(likely).prop_map(str::to_owned), prop::sample::select(words),];
    (prop::collection::vec(word, 1..7), prop::sample::select(vec!["", "/"]))
        .prop_map(|(words, end)| format!("/v2/{}{end}", words.join("/")))
}

/// What an `Ok` must look like: the operation says the path that was sent, and says itself again.
fn check_accepted(operation: &Operation, path: &str) -> Result<(), TestCaseError> {
    let target = operation.to_string();
    let (rendered_path, rendered_query) = split(&target);
    let sent = decoded(path).unwrap();
    let sent = match sent.as_str() {
        "/v2" => "/v2/",
        uploads if uploads.ends_with("/blobs/uploads") && operation.name() == "begin_upload" => &format!("{uploads}/"),
        other => other,
    };
    prop_assert_eq!(rendered_path, sent);
    if let Some(repository) = operation.repository() {
        let resource = operation.resource().unwrap_or_default();
        let roots = ["/v2", "/tuf"].map(|root| format!("{root}/{resource}/"));
        prop_assert!(
            roots.iter().any(|root| rendered_path.starts_with(root)),
            "{} names no {}",
            rendered_path,
            resource
        );
        prop_assert!(resource.ends_with(repository.as_str()));
    }
    let again = Operation::parse(operation.method(), rendered_path, rendered_query);
    prop_assert_eq!(again.as_ref(), Ok(operation));
    Ok(())
}

proptest! {
    #[test]
    fn an_operation_is_what_its_own_request_line_says(operation in operation()) {
        let target = operation.to_string();
        let (path, query) = split(&target);
        prop_assert_eq!(Operation::parse(operation.method(), path, query), Ok(operation));
    }

    #[test]
    fn escapes_do_not_change_what_is_asked(
        operation in operation(), which in prop::collection::vec(any::<bool>(), 1..40), upper: bool,
    ) {
        let target = operation.to_string();
        let (path, query) = split(&target);
        // The first component is compared before anything is decoded: clients never escape it.
        let path = format!("/v2{}", escaped(&path[3..], &which, upper));
        prop_assert_eq!(Operation::parse(operation.method(), &path, query), Ok(operation));
    }

    #[test]
    fn an_encoded_slash_is_refused_wherever_it_stands(operation in operation(), at in any::<prop::sample::Index>()) {
        let target = operation.to_string();
        let (path, query) = split(&target);
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 3).collect();
        prop_assume!(!slashes.is_empty());
        let at = slashes[at.index(slashes.len())];
        let path = format!("{}%2F{}", &path[..at], &path[at + 1..]);
        prop_assert_eq!(Operation::parse(operation.method(), &path, query), Err(OperationInvalid::Path));
    }

    #[test]
    // Every name in the noise begins with an x, as no known parameter does: a lone `&n&` would be a parameter we know.
    fn unknown_parameters_change_nothing(
        operation in operation(), noise in "x[a-z]{5,9}=[a-z%=+]{0,9}(&{1,2}x[a-z%+]{0,5}(=[a-z%=+]{0,5})?){0,3}&{0,2}",
    ) {
        let target = operation.to_string();
        let (path, query) = split(&target);
        let query = query.map_or(noise.clone(), |query| format!("{noise}&{query}&ns=docker.io"));
        prop_assert_eq!(Operation::parse(operation.method(), path, Some(&query)), Ok(operation));
    }

    #[test]
    fn no_request_line_makes_the_parser_panic(method in any::<String>(), path in any::<String>(), query: Option<String>) {
        let _ = Operation::parse(&method, &path, query.as_deref());
    }

    #[test]
    fn what_is_accepted_is_what_was_sent(
        method in prop::sample::select(vec!["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]),
        path in prop_oneof![path_of_words(), "/v2/[a-z/%2fF.]{0,30}/(manifests|blobs|tags|referrers)/[a-z0-9%:.]{1,20}"],
        query in prop::option::of("(n|last|tag|digest|mount|from|artifactType|digest-algorithm)=[a-z0-9%+&=]{0,12}"),
    ) {
        if let Ok(operation) = Operation::parse(method, &path, query.as_deref()) {
            check_accepted(&operation, &path)?;
        }
    }
}

/// The endpoint table as patterns over the decoded path.
struct Endpoints(Vec<(&'static str, &'static str, Grammar)>);

impl Endpoints {
    fn new() -> Self {
        let name = name_pattern();
        Self(vec![
            ("GET", "list_repositories", Grammar::new("/v2/_catalog")),
            ("GET", "ping", Grammar::new("/v2/?")),
            ("GET", "pull_manifest", Grammar::new(&format!("/v2/({name})/manifests/({TAG}|{DIGEST})"))),
            ("GET", "pull_blob", Grammar::new(&format!("/v2/({name})/blobs/{DIGEST}"))),
            ("GET", "list_tags", Grammar::new(&format!("/v2/({name})/tags/list"))),
            ("GET", "list_referrers", Grammar::new(&format!("/v2/({name})/referrers/{DIGEST}"))),
            ("GET", "upload_status", Grammar::new(&format!("/v2/({name})/blobs/uploads/{UPLOAD}"))),
            ("POST", "begin_upload", Grammar::new(&format!("/v2/({name})/blobs/uploads/?"))),
        ])
    }

    /// The one operation that the table knows for a path, and its repository.
    fn find(&self, method: &str, path: &str) -> Option<(&'static str, Option<String>)> {
        let mut found = self.0.iter().filter(|(known, _, pattern)| *known == method && pattern.matches(path));
        let (_, name, pattern) = found.next()?;
        assert!(found.next().is_none(), "the table is ambiguous about {path}");
        Some((name, pattern.first_group(path).map(str::to_owned)))
    }
}

#[test]
fn a_path_is_the_operation_that_the_endpoint_table_says() {
    let endpoints = Endpoints::new();
    proptest!(ProptestConfig::with_cases(2000), |(path in path_of_words(), post: bool)| {
        let method = if post { "POST" } else { "GET" };
        let expected = endpoints.find(method, &path);
        let parsed = Operation::parse(method, &path, None).ok();
        let parsed = parsed.map(|parsed| (parsed.name(), parsed.repository().map(ToString::to_string)));
        prop_assert_eq!(parsed, expected, "{} {}", method, path);
    });
}
