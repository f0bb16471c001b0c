//! Request lines one by one: what each is, and what answers the malformed ones (distribution-spec, "Endpoints").

use hallmark_oci::{
    Action, Algorithm, BeginUpload, Digest, ErrorCode, ListReferrers, ListRepositories, ListTags, Operation,
    OperationInvalid, Page, PullManifest, PutManifest,
};

const SHA256: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const UPLOAD: &str = "00112233445566778899aabbccddeeff";

fn parse(method: &str, target: &str) -> Result<Operation, OperationInvalid> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Operation::parse(method, path, query)
}

fn name_and_repository(method: &str, target: &str) -> (&'static str, Option<String>) {
    let operation = parse(method, target).unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    (operation.name(), operation.repository().map(ToString::to_string))
}

fn refused(method: &str, target: &str) -> (&'static str, u16) {
    let code = parse(method, target).expect_err(target).code();
    (code.word(), code.status())
}

fn sha512() -> Digest {
    Digest::of(Algorithm::Sha512, b"{}")
}

#[test]
fn every_endpoint_is_known_by_method_and_path() {
    for (method, path, name) in [
        ("GET", "/v2/", "ping"),
        ("GET", "/v2", "ping"),
        ("HEAD", "/v2/", "ping"),
        ("GET", "/v2/_catalog", "list_repositories"),
        ("GET", "/v2/a/b/manifests/latest", "pull_manifest"),
        ("HEAD", "/v2/a/b/manifests/latest", "pull_manifest"),
        ("PUT", "/v2/a/b/manifests/latest", "put_manifest"),
        ("DELETE", "/v2/a/b/manifests/latest", "delete_manifest"),
        ("GET", "/v2/a/b/blobs/{digest}", "pull_blob"),
        ("HEAD", "/v2/a/b/blobs/{digest}", "pull_blob"),
        ("DELETE", "/v2/a/b/blobs/{digest}", "delete_blob"),
        ("POST", "/v2/a/b/blobs/uploads/", "begin_upload"),
        ("POST", "/v2/a/b/blobs/uploads", "begin_upload"),
        ("GET", "/v2/a/b/blobs/uploads/{upload}", "upload_status"),
        ("HEAD", "/v2/a/b/blobs/uploads/{upload}", "upload_status"),
        ("PATCH", "/v2/a/b/blobs/uploads/{upload}", "append_upload"),
        ("PUT", "/v2/a/b/blobs/uploads/{upload}?digest={digest}", "finish_upload"),
        ("DELETE", "/v2/a/b/blobs/uploads/{upload}", "cancel_upload"),
        ("GET", "/v2/a/b/tags/list", "list_tags"),
        ("GET", "/v2/a/b/referrers/{digest}", "list_referrers"),
    ] {
        let target = path.replace("{digest}", SHA256).replace("{upload}", UPLOAD);
        let repository = path.contains("/a/b/").then(|| "a/b".to_owned());
        assert_eq!(name_and_repository(method, &target), (name, repository), "{method} {target}");
    }
}

#[test]
fn a_path_is_read_from_its_right_end() {
    for (method, path, name, repository) in [
        ("GET", "/v2/a/manifests/manifests/latest", "pull_manifest", "a/manifests"),
        ("GET", "/v2/manifests/manifests/manifests", "pull_manifest", "manifests"),
        ("GET", "/v2/a/tags/manifests/list", "pull_manifest", "a/tags"),
        ("GET", "/v2/a/manifests/tags/list", "list_tags", "a/manifests"),
        ("GET", "/v2/tags/list/tags/list", "list_tags", "tags/list"),
        ("POST", "/v2/a/blobs/uploads/blobs/uploads/", "begin_upload", "a/blobs/uploads"),
        ("POST", "/v2/blobs/uploads/blobs/uploads", "begin_upload", "blobs/uploads"),
        ("GET", "/v2/a/blobs/uploads/manifests/latest", "pull_manifest", "a/blobs/uploads"),
        ("GET", "/v2/blobs/manifests/latest", "pull_manifest", "blobs"),
        ("GET", "/v2/a/referrers/referrers/{digest}", "list_referrers", "a/referrers"),
        ("PATCH", "/v2/a/uploads/blobs/uploads/{upload}", "append_upload", "a/uploads"),
        ("PATCH", "/v2/a/blobs/uploads/blobs/uploads/{upload}", "append_upload", "a/blobs/uploads"),
        ("GET", "/v2/a/uploads/blobs/{digest}", "pull_blob", "a/uploads"),
    ] {
        let target = path.replace("{digest}", SHA256).replace("{upload}", UPLOAD);
        assert_eq!(name_and_repository(method, &target), (name, Some(repository.to_owned())), "{method} {target}");
    }
}

#[test]
fn nothing_else_is_served() {
    for path in [
        "",
        "/",
        "/v1/",
        "/v3/",
        "/v2x",
        "v2/",
        "/V2/",
        "/v2/a",
        "/v2/a/b",
        "/v2/manifests/latest",
        "/v2/blobs/uploads/x",
        "/v2/tags/list",
        "/v2/a/tags",
        "/v2/a/tags/lists",
        "/v2/a/manifest/latest",
        "/v2/a/uploads/x",
        "/v2/a/_catalog",
        "/v2/_oci/ext/discover",
        "/v2/a/blobs",
        "/token",
    ] {
        assert_eq!(refused("GET", path), ("NOT_FOUND", 404), "{path}");
    }
}

#[test]
fn another_method_is_unsupported_and_the_allowed_ones_are_named() {
    for (method, path, expected) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PATCH", "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/v2/a/blobs/{digest}", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/a/blobs/uploads/{upload}", "GET, HEAD, PATCH, PUT, DELETE"),
        ("PUT", "/v2/a/tags/list", "GET, HEAD"),
        ("DELETE", "/v2/a/referrers/{digest}", "GET, HEAD"),
        ("get", "/v2/", "GET, HEAD"),
        ("BREW", "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        ("", "/v2/", "GET, HEAD"),
    ] {
        let target = path.replace("{digest}", SHA256).replace("{upload}", UPLOAD);
        let error = parse(method, &target).unwrap_err();
        assert_eq!(error, OperationInvalid::Method { allowed: expected }, "{method} {target}");
        assert_eq!((error.code().word(), error.code().status()), ("UNSUPPORTED", 405));
    }
}

#[test]
fn a_path_is_decoded_exactly_once() {
    let pull = parse("GET", &format!("/v2/a/manifests/{}", SHA256.replace(':', "%3A"))).unwrap();
    assert_eq!(pull, parse("GET", &format!("/v2/a/manifests/{SHA256}")).unwrap());
    assert_eq!(pull, parse("GET", &format!("/v2/%61/manifests/{}", SHA256.replace(':', "%3a"))).unwrap());
    assert_eq!(name_and_repository("GET", "/v2/%5fcatalog"), ("list_repositories", None));
    // A second decoding would make these a slash, a dot segment and a letter.
    assert_eq!(refused("GET", "/v2/a%252fb/manifests/latest"), ("NAME_INVALID", 400));
    assert_eq!(refused("GET", "/v2/%252e%252e/manifests/latest"), ("NAME_INVALID", 400));
    assert_eq!(refused("GET", "/v2/%2561/manifests/latest"), ("NAME_INVALID", 400));
}

#[test]
fn path_tricks_are_refused() {
    for path in [
        "/v2//a/manifests/latest",
        "/v2/a//b/manifests/latest",
        "/v2/a/manifests//latest",
        "/v2/a/manifests/",
        "/v2/a/manifests/latest/",
        "/v2/a/tags/list/",
        "/v2/_catalog/",
        "/v2//",
        "/v2/../manifests/latest",
        "/v2/a/../b/manifests/latest",
        "/v2/a/./b/manifests/latest",
        "/v2/%2e%2e/b/manifests/latest",
        "/v2/a/%2E%2E/b/manifests/latest",
        "/v2/a/manifests/..",
        "/v2/a%2fb/manifests/latest",
        "/v2/a%2Fb/manifests/latest",
        "/v2/a/manifests%2flatest",
        "/v2/a%00/manifests/latest",
        "/v2/a/manifests/latest%00",
        "/v2/a%/manifests/latest",
        "/v2/a%6/manifests/latest",
        "/v2/a%zz/manifests/latest",
        "/v2/a/manifests/latest%",
        "/v2/a%ff/manifests/latest",
        "/v2/a%c0%af/manifests/latest",
        "/v2/a/blobs/uploads//",
    ] {
        assert_eq!(refused("GET", path), ("NAME_INVALID", 400), "{path}");
        assert_eq!(parse("GET", path), Err(OperationInvalid::Path), "{path}");
    }
}

#[test]
fn a_malformed_name_is_name_invalid() {
    for path in [
        "/v2/A/manifests/latest",
        "/v2/a%5cb/manifests/latest",
        "/v2/a%20b/manifests/latest",
        "/v2/a%3Fb/manifests/latest",
        "/v2/-a/tags/list",
        "/v2/_a/tags/list",
        "/v2/é/tags/list",
        &format!("/v2/{}/tags/list", "a".repeat(256)),
    ] {
        assert_eq!(refused("GET", path), ("NAME_INVALID", 400), "{path}");
        assert!(matches!(parse("GET", path), Err(OperationInvalid::Name(_))), "{path}");
    }
    assert_eq!(refused("POST", "/v2/A/blobs/uploads/"), ("NAME_INVALID", 400));
    assert_eq!(refused("PATCH", &format!("/v2/A/blobs/uploads/{UPLOAD}")), ("NAME_INVALID", 400));
}

#[test]
fn reading_what_can_be_no_tag_is_manifest_unknown() {
    for reference in [".INVALID_MANIFEST_NAME", "a%20b", &"a".repeat(129)] {
        for method in ["GET", "HEAD"] {
            let target = format!("/v2/a/manifests/{reference}");
            assert_eq!(refused(method, &target), ("MANIFEST_UNKNOWN", 404), "{target}");
        }
    }
}

#[test]
fn reading_by_a_malformed_digest_is_digest_invalid() {
    for reference in ["sha256:totallywrong", "sha256:", &SHA256.to_uppercase(), &format!("md5:{}", "0".repeat(32))] {
        for method in ["GET", "HEAD"] {
            let target = format!("/v2/a/manifests/{reference}");
            assert_eq!(refused(method, &target), ("DIGEST_INVALID", 400), "{target}");
        }
    }
}

#[test]
fn writing_or_deleting_what_is_neither_tag_nor_digest_is_refused_by_its_kind() {
    for method in ["PUT", "DELETE"] {
        assert_eq!(refused(method, "/v2/a/manifests/.INVALID"), ("TAG_INVALID", 400));
        assert_eq!(refused(method, &format!("/v2/a/manifests/{}", "a".repeat(129))), ("TAG_INVALID", 400));
        assert_eq!(refused(method, "/v2/a/manifests/sha256:baddigeststring"), ("DIGEST_INVALID", 400));
        assert_eq!(refused(method, &format!("/v2/a/manifests/{}", SHA256.to_uppercase())), ("DIGEST_INVALID", 400));
        assert_eq!(refused(method, &format!("/v2/a/manifests/md5:{}", "0".repeat(32))), ("DIGEST_INVALID", 400));
    }
}

#[test]
fn a_malformed_digest_of_a_blob_or_subject_is_digest_invalid() {
    for (method, path) in [
        ("GET", "/v2/a/blobs/sha256:x"),
        ("HEAD", "/v2/a/blobs/latest"),
        ("DELETE", "/v2/a/blobs/sha256:x"),
        ("GET", "/v2/a/referrers/latest"),
        ("GET", "/v2/a/referrers/sha512:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
    ] {
        assert_eq!(refused(method, path), ("DIGEST_INVALID", 400), "{method} {path}");
    }
}

#[test]
fn a_malformed_upload_id_is_an_unknown_upload() {
    for id in ["x", "uploads", &UPLOAD[1..], &UPLOAD.to_uppercase(), &format!("{UPLOAD}0"), "7f3c-7f3c"] {
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(refused(method, &format!("/v2/a/blobs/uploads/{id}")), ("BLOB_UPLOAD_UNKNOWN", 404), "{id}");
        }
        let finish = format!("/v2/a/blobs/uploads/{id}?digest={SHA256}");
        assert_eq!(refused("PUT", &finish), ("BLOB_UPLOAD_UNKNOWN", 404), "{id}");
    }
}

#[test]
fn an_upload_is_finished_with_one_digest() {
    let upload = format!("/v2/a/blobs/uploads/{UPLOAD}");
    for query in ["", "?", "?digest=", "?digest", "?digest=sha256:x", "?digest=%zz", "?Digest=x"] {
        assert_eq!(refused("PUT", &format!("{upload}{query}")), ("DIGEST_INVALID", 400), "{query}");
    }
    let two = format!("{upload}?digest={SHA256}&digest={}", sha512());
    assert_eq!(parse("PUT", &two), Err(OperationInvalid::DigestMissing));
    for query in [
        format!("digest={SHA256}"),
        format!("digest={}", SHA256.replace(':', "%3A")),
        format!("%64igest={SHA256}"),
        format!("_state=abc&digest={SHA256}&x"),
        format!("&&digest={SHA256}&digest={SHA256}&%zz=1"),
    ] {
        assert_eq!(name_and_repository("PUT", &format!("{upload}?{query}")).0, "finish_upload", "{query}");
    }
    // The status of an upload may be asked with a left-over digest.
    assert_eq!(name_and_repository("GET", &format!("{upload}?digest=nonsense")).0, "upload_status");
}

fn begin(query: &str) -> BeginUpload {
    match parse("POST", &format!("/v2/a/blobs/uploads/?{query}")) {
        Ok(Operation::BeginUpload(begin)) => begin,
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn a_mount_names_a_digest_and_perhaps_a_source() {
    let mount = begin(&format!("from=lib%2Fbase&mount={}", SHA256.replace(':', "%3A"))).mount.unwrap();
    assert_eq!(mount.digest.as_str(), SHA256);
    assert_eq!(mount.from.unwrap().as_str(), "lib/base");
    assert_eq!(begin(&format!("mount={SHA256}")).mount.unwrap().from, None);
    assert_eq!(begin(&format!("mount={SHA256}&from=")).mount.unwrap().from, None);
    assert_eq!(begin(&format!("mount={SHA256}&from=a&origin=docker.io")).mount.unwrap().from.unwrap().as_str(), "a");
}

#[test]
fn a_mount_that_cannot_be_read_opens_a_plain_upload() {
    for query in [
        "mount=sha256:x&from=a".to_owned(),
        format!("mount={SHA256}&from=A"),
        format!("mount={SHA256}&from=../b"),
        format!("mount={SHA256}&from=%ff"),
        format!("mount={SHA256}&from=a&from=b"),
        format!("mount={SHA256}&mount={}", sha512()),
        "from=a".to_owned(),
        "mount=&from=a".to_owned(),
        String::new(),
    ] {
        let begin = begin(&query);
        assert_eq!((begin.mount, begin.digest, begin.algorithm), (None, None, None), "{query}");
    }
}

#[test]
fn a_blob_may_come_with_the_post_or_announce_its_algorithm() {
    assert_eq!(begin(&format!("digest={}", sha512())).digest, Some(sha512()));
    assert_eq!(begin("digest-algorithm=sha512").algorithm, Some(Algorithm::Sha512));
    for query in ["digest=sha256:x", "digest-algorithm=md5", "digest-algorithm=sha256&digest-algorithm=sha512"] {
        assert_eq!(refused("POST", &format!("/v2/a/blobs/uploads/?{query}")), ("DIGEST_INVALID", 400), "{query}");
    }
}

fn put(target: &str) -> PutManifest {
    match parse("PUT", target) {
        Ok(Operation::PutManifest(put)) => put,
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn a_put_by_digest_sets_many_tags_each_once() {
    let tags = put(&format!("/v2/a/manifests/{SHA256}?tag=b&tag=a&tag=b&ns=x")).tags;
    assert_eq!(tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["b", "a"]);
    let many: Vec<String> = (0..64).map(|number| format!("tag=t{number}")).collect();
    assert_eq!(put(&format!("/v2/a/manifests/{SHA256}?{}", many.join("&"))).tags.len(), 64);
    let too_many = format!("/v2/a/manifests/{SHA256}?{}&tag=x", many.join("&"));
    assert_eq!(refused("PUT", &too_many), ("TAG_INVALID", 414));
}

#[test]
fn a_bad_tag_parameter_refuses_the_put() {
    for query in ["tag=.a", "tag=", "tag=a&tag=%zz", "tag=a%20b", "tag=a+b"] {
        assert_eq!(refused("PUT", &format!("/v2/a/manifests/{SHA256}?{query}")), ("TAG_INVALID", 400), "{query}");
    }
    assert_eq!(parse("PUT", "/v2/a/manifests/v1?tag=v2"), Err(OperationInvalid::TagsWithoutDigest));
    assert_eq!(name_and_repository("GET", "/v2/a/manifests/v1?tag=.a").0, "pull_manifest");
}

fn page(query: &str) -> Page {
    match parse("GET", &format!("/v2/a/tags/list?{query}")) {
        Ok(Operation::ListTags(ListTags { page, .. })) => page,
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn a_page_has_a_limit_and_a_cursor() {
    for (query, limit, after) in [
        ("", None, None),
        ("n=0", Some(0), None),
        ("n=5&last=v1.0", Some(5), Some("v1.0")),
        ("last=v1", None, Some("v1")),
        ("n=&last=", None, None),
        ("n=18446744073709551615", Some(u64::MAX), None),
        ("n=18446744073709551616", Some(u64::MAX), None),
        ("last=not%2Fa%20tag", None, Some("not/a tag")),
        ("n=5&n=5&unknown=1", Some(5), None),
    ] {
        assert_eq!(page(query), Page { limit, after: after.map(str::to_owned) }, "{query}");
    }
    let catalog = parse("GET", "/v2/_catalog?n=2&last=a%2Fb").unwrap();
    let page = Page { limit: Some(2), after: Some("a/b".to_owned()) };
    assert_eq!(catalog, Operation::ListRepositories(ListRepositories { page }));
}

#[test]
fn a_bad_page_is_pagination_number_invalid() {
    let long = format!("last={}", "a".repeat(256));
    for query in ["n=-1", "n=x", "n=1.0", "n=+1", "n=%31%zz", "n=1&n=2", "n=%E2%91%A0", "last=%00", "last=%ff", &long] {
        for path in ["/v2/a/tags/list", "/v2/_catalog"] {
            assert_eq!(refused("GET", &format!("{path}?{query}")), ("PAGINATION_NUMBER_INVALID", 400), "{query}");
        }
    }
}

#[test]
fn referrers_are_filtered_by_a_type_whose_plus_may_arrive_as_a_space() {
    for (query, expected) in [
        ("", None),
        ("artifactType=", None),
        ("artifactType=application%2Fvnd.x%2Bjson", Some("application/vnd.x+json")),
        ("artifactType=application/vnd.x+json", Some("application/vnd.x+json")),
        ("artifactType=application/vnd.x%20json", Some("application/vnd.x+json")),
        // What no manifest can have filters nothing, as answering all is always allowed and refusing never.
        ("artifactType=a%00", None),
        ("artifactType=%ff", None),
        ("artifactType=a&artifactType=b", None),
    ] {
        let listed = parse("GET", &format!("/v2/a/referrers/{SHA256}?{query}")).unwrap();
        let Operation::ListReferrers(ListReferrers { artifact_type, .. }) = listed else { panic!("{query}") };
        assert_eq!(artifact_type.as_deref(), expected, "{query}");
    }
}

#[test]
fn an_upstream_namespace_is_a_host_or_nothing() {
    for (query, expected) in [
        (None, None),
        (Some(""), None),
        (Some("ns=docker.io"), Some("docker.io")),
        (Some("x=1&ns=localhost%3A5000"), Some("localhost:5000")),
        (Some("ns=[::1]:5000"), Some("[::1]:5000")),
        (Some("ns=a%0D%0AX:1"), None),
        (Some("ns=a%20b"), None),
        (Some("ns=a&ns=b"), None),
    ] {
        assert_eq!(Operation::namespace(query).as_deref(), expected, "{query:?}");
    }
}

#[test]
fn each_operation_asks_for_the_actions_that_clients_ask_for() {
    use Action::{All, Delete, Pull, Push};
    for (method, target, actions, scope) in [
        ("GET", "/v2/".to_owned(), &[][..], None),
        ("GET", "/v2/a/b/tags/list".to_owned(), &[Pull], Some("repository:a/b:pull")),
        ("PUT", "/v2/a/b/manifests/v1".to_owned(), &[Pull, Push], Some("repository:a/b:pull,push")),
        ("POST", "/v2/a/b/blobs/uploads/".to_owned(), &[Pull, Push], Some("repository:a/b:pull,push")),
        ("DELETE", format!("/v2/a/b/blobs/uploads/{UPLOAD}"), &[Pull, Push], Some("repository:a/b:pull,push")),
        ("DELETE", format!("/v2/a/b/blobs/{SHA256}"), &[Delete], Some("repository:a/b:delete")),
        ("DELETE", "/v2/a/b/manifests/v1".to_owned(), &[Delete], Some("repository:a/b:delete")),
        ("GET", "/v2/_catalog".to_owned(), &[All], Some("registry:catalog:*")),
    ] {
        let operation = parse(method, &target).unwrap();
        assert_eq!(operation.actions(), actions, "{method} {target}");
        assert_eq!(operation.scope().map(|scope| scope.to_string()).as_deref(), scope, "{method} {target}");
    }
}

#[test]
fn locations_are_relative_and_keep_their_colons() {
    let pull = Operation::PullManifest(PullManifest {
        repository: "a/b".parse().unwrap(),
        reference: SHA256.parse().unwrap(),
        head: true,
    });
    assert_eq!(pull.method(), "HEAD");
    assert_eq!(pull.to_string(), format!("/v2/a/b/manifests/{SHA256}"));
    let page = Page { limit: Some(2), after: Some("a b+c&d/é".to_owned()) };
    let list = ListTags { repository: "a".parse().unwrap(), page };
    assert_eq!(list.to_string(), "/v2/a/tags/list?n=2&last=a%20b%2Bc%26d/%C3%A9");
}

#[test]
fn every_refusal_has_a_code_and_a_sentence() {
    for (error, code) in [
        (OperationInvalid::Path, ErrorCode::NameInvalid),
        (OperationInvalid::Route, ErrorCode::NotFound),
        (OperationInvalid::ReferenceUnknown, ErrorCode::ManifestUnknown),
        (OperationInvalid::UploadUnknown, ErrorCode::BlobUploadUnknown),
        (OperationInvalid::TagsTooMany, ErrorCode::TagsTooMany),
    ] {
        assert_eq!(error.code(), code);
        assert!(error.to_string().len() > 20, "{error}");
    }
}
