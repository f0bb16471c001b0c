//! `Operation::parse` over a method, a path and a query, one to a line.
//! What is accepted says the path that was sent, names what it touches, and says itself again.

use hallmark_oci::limits::{CURSOR_BYTES, NAME_BYTES, TAGS_PER_PUT};
use hallmark_oci::{Operation, ReadTrust, TrustVersion};

pub(crate) fn run(input: &str) {
    let mut lines = input.splitn(3, '\n');
    let method = lines.next().unwrap_or_default();
    let path = lines.next().unwrap_or_default();
    let query = lines.next();
    match Operation::parse(method, path, query) {
        Ok(operation) => check(&operation, path),
        Err(error) => {
            assert!((400..500).contains(&error.code().status()));
            assert!(!error.to_string().contains(['\n', '\0']));
        }
    }
    if let Some(namespace) = Operation::namespace(query) {
        assert!(namespace.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

fn check(operation: &Operation, path: &str) {
    let target = operation.to_string();
    let (rendered, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    let sent = decoded(path);
    // A checksum of Notary is taken in capitals too, and a digest has none.
    let is_same = |sent: &str| sent == rendered || is_checksum(operation) && sent.eq_ignore_ascii_case(rendered);
    assert!(is_same(&sent) || is_same(&format!("{sent}/")), "{sent} is not {rendered}");
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target} fits no header");
    if let Some(repository) = operation.repository() {
        // A trust collection may have a host in front of the repository that it is about.
        let resource = operation.resource().unwrap_or_default();
        let roots = ["/v2", "/tuf"].map(|root| format!("{root}/{resource}/"));
        assert!(roots.iter().any(|root| rendered.starts_with(root)), "{rendered} names no {resource}");
        assert!(resource == repository.as_str() || resource.ends_with(&format!("/{repository}")));
        assert!(repository.as_str().len() <= NAME_BYTES);
        assert_eq!(operation.scope().map(|scope| scope.name).as_deref(), Some(resource));
    }
    match operation {
        Operation::PutManifest(put) => assert!(put.tags.len() <= TAGS_PER_PUT),
        Operation::ListTags(list) => assert!(list.page.after.as_ref().is_none_or(|last| last.len() <= CURSOR_BYTES)),
        _ => {}
    }
    assert_eq!(Operation::parse(operation.method(), rendered, query).as_ref(), Ok(operation));
}

fn is_checksum(operation: &Operation) -> bool {
    matches!(operation, Operation::ReadTrust(ReadTrust { version: TrustVersion::Checksum(_), .. }))
}

/// The path with its escapes decoded, in the plainest way.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("an accepted path has whole escapes"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("an accepted path is UTF-8")
}
