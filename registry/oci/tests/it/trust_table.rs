//! Request lines of content trust (Notary v1) and of TUF 1.0, one by one.

use hallmark_oci::{Action, ErrorCode, Gun, Operation, OperationInvalid, TrustRole};

const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const GUN: &str = "r.example:5000/a/b";

fn parse(method: &str, target: &str) -> Result<Operation, OperationInvalid> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Operation::parse(method, path, query)
}

#[test]
fn every_request_is_known_is_about_the_repository_and_reads_back_as_itself() {
    let hex512 = HEX.repeat(2);
    for (method, tail, name) in [
        ("GET", "_trust/tuf/root.json", "read_trust"),
        ("HEAD", "_trust/tuf/timestamp.json", "read_trust"),
        ("GET", "_trust/tuf/targets/releases.json", "read_trust"),
        ("GET", &format!("_trust/tuf/targets/releases.{HEX}.json"), "read_trust"),
        ("GET", &format!("_trust/tuf/snapshot.{hex512}.json"), "read_trust"),
        ("GET", "_trust/tuf/3.targets/releases.json", "read_trust"),
        ("GET", "_trust/tuf/timestamp.key", "trust_key"),
        ("POST", "_trust/tuf/snapshot.key", "trust_key"),
        ("POST", "_trust/tuf/", "publish_trust"),
        ("DELETE", "_trust/tuf/", "delete_trust"),
        ("GET", "_trust/changefeed?change_id=3&records=-5", "list_trust_changes"),
    ] {
        let operation = parse(method, &format!("/v2/{GUN}/{tail}")).unwrap_or_else(|error| panic!("{tail}: {error}"));
        assert_eq!(operation.name(), name, "{tail}");
        assert_eq!(operation.repository().unwrap().as_str(), "a/b", "{tail}");
        assert_eq!(operation.gun().unwrap().as_str(), GUN, "{tail}");
        assert_eq!(operation.scope().unwrap().name, GUN, "{tail}");
        assert_eq!(parse(operation.method(), &operation.to_string()), Ok(operation), "{tail}");
    }
    let all = parse("GET", "/v2/_trust/changefeed?records=0").unwrap();
    assert_eq!((all.repository(), all.scope().unwrap().to_string()), (None, "registry:catalog:*".to_owned()));
}

#[test]
fn a_checksum_in_capitals_is_the_same_checksum() {
    let small = parse("GET", &format!("/v2/{GUN}/_trust/tuf/root.{HEX}.json"));
    assert_eq!(parse("GET", &format!("/v2/{GUN}/_trust/tuf/root.{}.json", HEX.to_uppercase())), small);
}

#[test]
fn publishing_asks_for_push_and_what_destroys_for_everything() {
    for (method, tail, actions) in [
        ("GET", "root.json", &[Action::Pull][..]),
        ("POST", "", &[Action::Pull, Action::Push]),
        ("GET", "snapshot.key", &[Action::Pull, Action::Push]),
        ("POST", "snapshot.key", &[Action::All]),
        ("DELETE", "", &[Action::All]),
    ] {
        let operation = parse(method, &format!("/v2/{GUN}/_trust/tuf/{tail}")).unwrap();
        assert_eq!(operation.actions(), actions, "{method} {tail}");
        assert_eq!(operation.changes(), method != "GET" || tail.ends_with(".key"), "{method} {tail}");
    }
}

#[test]
fn what_is_no_such_request_is_refused_in_notary_s_words() {
    for (method, target, code) in [
        ("GET", "/v2/a/b/_trust/tuf/root.json", ErrorCode::MetadataNotFound),
        ("POST", "/v2/a/b/_trust/tuf/", ErrorCode::InvalidGun),
        ("POST", "/v2/r.example/A/_trust/tuf/", ErrorCode::InvalidGun),
        ("POST", "/v2/_trust/tuf/", ErrorCode::InvalidGun),
        ("GET", "/v2/r.example/a/_trust/tuf/other.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/targets/.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/targets/../root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/targets%2freleases.json", ErrorCode::NameInvalid),
        ("GET", "/v2/r.example/a/_trust/tuf/root", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/x.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2//_trust/changefeed", ErrorCode::MetadataNotFound),
        ("GET", "/v2//_trust/tuf/root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/+1.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/01.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/root.key", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/tuf/99999999999999999999.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/v2/r.example/a/_trust/changefeed", ErrorCode::InvalidParameters),
        ("GET", "/v2/r.example/a/_trust/changefeed?records=x", ErrorCode::InvalidParameters),
        ("GET", "/v2/r.example/a/_trust/changefeed?records=1&change_id=x", ErrorCode::InvalidParameters),
        ("GET", "/v2/r.example/a/_trust/tuf/", ErrorCode::Unsupported),
        ("PUT", "/v2/r.example/a/_trust/tuf/root.json", ErrorCode::Unsupported),
    ] {
        assert_eq!(parse(method, target).expect_err(target).code(), code, "{method} {target}");
    }
}

#[test]
fn a_collection_has_a_host_and_a_repository() {
    for good in ["localhost/a", "localhost:5000/a/b", "r.example/a", "[::1]:5000/a", "R.Example/a"] {
        let gun: Gun = good.parse().unwrap();
        assert_eq!(format!("{}/{}", gun.host(), gun.repository()), good);
    }
    for bad in [
        "",
        "a",
        "a/b",
        "localhost",
        "r.example/",
        "/a",
        "r.example//a",
        "r.example/A",
        "r_x.example/a",
        "r.example/a\n",
    ] {
        assert!(bad.parse::<Gun>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_delegation_stands_below_targets_and_names_its_parent() {
    for (role, parent) in
        [("targets/a", Some("targets")), ("targets/a/b", Some("targets/a")), ("targets", None), ("root", None)]
    {
        let role: TrustRole = role.parse().unwrap();
        assert_eq!(role.parent().map(|parent| parent.to_string()).as_deref(), parent, "{role}");
    }
    let longest = format!("targets/{}", "a".repeat(247));
    assert!(longest.parse::<TrustRole>().is_ok());
    for bad in [
        "",
        "Root",
        "targets/",
        "targets//a",
        "targets/A",
        "targets/a.b",
        "snapshot/a",
        "root/a",
        &format!("{longest}a"),
    ] {
        assert!(bad.parse::<TrustRole>().is_err(), "{bad:?}");
    }
}

#[test]
fn files_of_tuf_are_named_as_consistent_snapshots_have_them() {
    for path in [
        "/tuf/a/b/1.root.json",
        "/tuf/a/b/timestamp.json",
        "/tuf/a/b/12.snapshot.json",
        "/tuf/a/b/3.tags.json",
        &format!("/tuf/a/b/targets/a/b/{HEX}.v1.2"),
        &format!("/tuf/a/targets/a/targets/a/targets/a/{HEX}.timestamp.json"),
    ] {
        let operation = parse("GET", path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((operation.name(), operation.to_string().as_str()), ("read_tuf", path));
        assert_eq!(operation.actions(), [Action::Pull]);
    }
    for (method, path, code) in [
        ("GET", "/tuf/a/b/root.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/b/x.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/b/.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/b/+1.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/b/01.root.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/b/09.snapshot.json", ErrorCode::MetadataNotFound),
        ("GET", "/tuf/timestamp.json", ErrorCode::MetadataNotFound),
        ("GET", &format!("/tuf/a/b/targets/a/c/{HEX}.1"), ErrorCode::MetadataNotFound),
        ("GET", &format!("/tuf/a/b/targets/{HEX}.1"), ErrorCode::MetadataNotFound),
        ("GET", "/tuf/a/../b/timestamp.json", ErrorCode::NameInvalid),
        ("GET", "/tuf/A/timestamp.json", ErrorCode::NameInvalid),
        ("PUT", "/tuf/a/b/timestamp.json", ErrorCode::Unsupported),
    ] {
        assert_eq!(parse(method, path).expect_err(path).code(), code, "{method} {path}");
    }
}
