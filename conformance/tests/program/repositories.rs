//! `hallmark repository` and `hallmark readonly`: what everybody sees of it.

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    http::Request,
    image::Image,
    server::Server,
};

use super::world::{REPOSITORY, says, with_image};

fn manifest_as_anybody(server: &Server) -> Outcome<u16> {
    // As clients do it: ask, be challenged, fetch a token without a name, ask again.
    let request = Request::new("GET", format!("/v2/{REPOSITORY}/manifests/1"));
    Ok(server.anonymous().send(&request)?.status)
}

#[test]
fn a_public_repository_is_pulled_by_anybody_until_it_is_private_again() -> Outcome<()> {
    let (server, _) = with_image()?;
    holds(manifest_as_anybody(&server)? == 401, || "a repository is private until it is opened".into())?;
    says(&server.attempt(&["repository", "public", REPOSITORY], "")?, 0, &["anyone may pull"])?;
    holds(manifest_as_anybody(&server)? == 200, || "a public repository is pulled without a login".into())?;
    let put = Request::new("POST", format!("/v2/{REPOSITORY}/blobs/uploads/"));
    holds(server.anonymous().send(&put)?.status == 401, || "anybody may push into a public repository".into())?;
    let listed = server.verb(&["repository", "list"])?;
    holds(listed == format!("public   {REPOSITORY}\n"), || format!("the list is {listed}"))?;
    says(&server.attempt(&["repository", "private", REPOSITORY], "")?, 0, &["is private"])?;
    holds(manifest_as_anybody(&server)? == 401, || "a private repository is pulled without a login".into())?;
    let listed = server.verb(&["repository", "list", "--output", "json"])?;
    let line: serde_json::Value = serde_json::from_str(listed.trim())?;
    let expected = serde_json::json!({ "name": REPOSITORY, "visibility": "private" });
    holds(line == expected, || format!("the list is {listed}"))?;
    says(&server.attempt(&["repository", "public", "admin/none"], "")?, 1, &["there is no repository \"admin/none\""])
}

#[test]
fn a_deleted_repository_is_gone_at_once_and_its_name_is_free() -> Outcome<()> {
    let (server, image) = with_image()?;
    let registry = server.registry();
    registry.push_image("admin/other", "1", &image)?;
    let upload = registry.begin_upload(REPOSITORY)?;
    registry.append(&upload, 0, b"half of it")?.expect(202)?;
    says(&server.attempt(&["repository", "delete", REPOSITORY], "")?, 0, &["is deleted"])?;

    let layer = &image.layers[0];
    for target in [
        format!("manifests/{}", image.manifest.digest),
        "manifests/1".to_owned(),
        format!("blobs/{}", layer.digest),
        "tags/list".to_owned(),
    ] {
        let answer = registry.client().send(&Request::new("GET", format!("/v2/{REPOSITORY}/{target}")))?;
        refused(&answer, &[404], &["NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN"])?;
    }
    let answer = registry.append(&upload, 10, b"the other half")?;
    refused(&answer, &[404], &["BLOB_UPLOAD_UNKNOWN", "NAME_UNKNOWN"])?;
    let catalog = registry.catalog()?;
    holds(catalog == ["admin/other"], || format!("the catalog shows {catalog:?}"))?;
    let listed = server.verb(&["repository", "list"])?;
    holds(!listed.contains(REPOSITORY), || format!("the list shows {listed}"))?;
    // What another repository holds of the same bytes stays.
    registry.check_image("admin/other", "1")?;

    says(&server.attempt(&["repository", "delete", REPOSITORY], "")?, 1, &["there is no repository \"admin/app\""])?;
    says(&server.attempt(&["repository", "delete", "Admin/app"], "")?, 1, &["repository name"])?;
    let again = Image::random(2, &[1_000]);
    registry.push_image(REPOSITORY, "2", &again)?;
    registry.check_image(REPOSITORY, "2")?;
    let tags = registry.tags(REPOSITORY)?;
    holds(tags == ["2"], || format!("the new repository of the name has the tags {tags:?}"))
}

#[test]
fn a_registry_that_is_read_only_serves_pulls_and_asks_pushes_to_come_back() -> Outcome<()> {
    let (mut server, image) = with_image()?;
    says(&server.attempt(&["readonly", "on"], "")?, 0, &["read-only is on"])?;
    reads_only(&server)?;
    says(&server.attempt(&["readonly", "status"], "")?, 0, &["read-only is on"])?;
    server.restart()?;
    reads_only(&server)?;
    says(&server.attempt(&["readonly", "off"], "")?, 0, &["read-only is off"])?;
    server.registry().push_image(REPOSITORY, "2", &image)?;
    server.stop()?;
    says(&server.attempt(&["readonly", "on", "--offline"], "")?, 0, &["read-only is on"])?;
    server.start()?;
    reads_only(&server)
}

fn reads_only(server: &Server) -> Outcome<()> {
    let registry = server.registry();
    registry.check_image(REPOSITORY, "1")?;
    let push = registry.client().send(&Request::new("POST", format!("/v2/{REPOSITORY}/blobs/uploads/")))?;
    refused(&push, &[503], &["UNAVAILABLE"])?;
    let wait = push.required("retry-after")?.parse::<u32>();
    holds(wait.is_ok_and(|seconds| seconds > 0), || format!("Retry-After is no time: {push}"))
}
