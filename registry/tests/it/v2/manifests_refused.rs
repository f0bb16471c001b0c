//! Manifests that are not taken: each refusal says why, and nothing has changed.

use insta::assert_snapshot;

use crate::harness::{
    Answer, Credentials, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, PASSWORD, World, descriptor, image, index, pieces,
    sha256,
};

/// A world with the blobs `{}` and `layer` in `ann/app` and no manifest.
async fn prepared() -> (World, Credentials) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob(&ann, "ann/app", "{}").await;
    world.blob(&ann, "ann/app", "layer").await;
    (world, ann)
}

/// Puts what must be refused under `reference`, and looks that nothing has come of it.
async fn refused(world: &World, ann: &Credentials, reference: &str, kind: &str, body: &str) -> Answer {
    let put = world.put(&format!("/v2/ann/app/manifests/{reference}")).by(ann).header("content-type", kind);
    let answer = put.body(body.to_owned()).await;
    assert!(answer.status.is_client_error(), "{answer}");
    let left =
        "SELECT (SELECT COUNT(*) FROM manifests) + (SELECT COUNT(*) FROM tags) + (SELECT COUNT(*) FROM tag_history)";
    assert_eq!(world.look(left).await, ["0"], "something came of a refused put");
    answer
}

#[tokio::test]
async fn another_digest_than_the_path_says_is_refused() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]);
    world.show_as(sha256(&body), "manifest");
    let answer = refused(&world, &ann, sha256("other").as_str(), OCI_MANIFEST, &body).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    content-length: 265
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":{"actual":"{manifest}"},"message":"the body has the digest {manifest}, not the one in the path"}]}
    "#);
}

#[tokio::test]
async fn blobs_that_are_not_in_the_repository_are_named() {
    let (world, ann) = prepared().await;
    world.show_as(sha256("one"), "one");
    world.show_as(sha256("two"), "two");
    let body = image("{}", &["layer", "one", "two"]);
    assert_snapshot!(refused(&world, &ann, "1", OCI_MANIFEST, &body).await, @r#"
    400 Bad Request
    content-length: 301
    content-type: application/json

    {"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"unknown":["{two}","{one}"]},"message":"the manifest names content that is not in this repository; push it first"}]}
    "#);
}

#[tokio::test]
async fn a_blob_of_another_repository_of_the_same_owner_does_not_count() {
    let (world, ann) = prepared().await;
    let other = world.all_of("ann", "ann/other").await;
    world.blob(&other, "ann/other", "elsewhere").await;
    let answer = refused(&world, &ann, "1", OCI_MANIFEST, &image("{}", &["elsewhere"])).await;
    assert_eq!(answer.gist(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
}

#[tokio::test]
async fn a_child_that_is_not_in_the_repository_is_named() {
    let (world, ann) = prepared().await;
    let child = image("{}", &["layer"]);
    world.show_as(sha256(&child), "child");
    assert_snapshot!(refused(&world, &ann, "1", OCI_INDEX, &index(&[&child])).await, @r#"
    400 Bad Request
    content-length: 227
    content-type: application/json

    {"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"unknown":["{child}"]},"message":"the manifest names content that is not in this repository; push it first"}]}
    "#);
}

#[tokio::test]
async fn a_size_that_differs_from_the_contents_own_is_refused() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]).replace("\"size\":5", "\"size\":6");
    assert_snapshot!(refused(&world, &ann, "1", OCI_MANIFEST, &body).await, @r#"
    400 Bad Request
    content-length: 281
    content-type: application/json

    {"errors":[{"code":"SIZE_INVALID","detail":{"digest":"{layer}"},"message":"the manifest states a size for {layer} that differs from the content's own"}]}
    "#);
}

#[tokio::test]
async fn an_unknown_media_type_is_refused() {
    let (world, ann) = prepared().await;
    assert_snapshot!(refused(&world, &ann, "1", "application/vnd.test+json", r#"{"schemaVersion":2}"#).await, @r#"
    400 Bad Request
    content-length: 186
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the media type \"application/vnd.test+json\" is not one of a manifest; push an OCI or Docker schema 2 manifest or index"}]}
    "#);
}

#[tokio::test]
async fn schema_one_is_refused_with_what_to_do() {
    let (world, ann) = prepared().await;
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let answer = refused(&world, &ann, "1", kind, r#"{"schemaVersion":1,"fsLayers":[]}"#).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    content-length: 167
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"schema 1 images are not accepted; push the image with a client that writes OCI or schema 2 manifests"}]}
    "#);
}

#[tokio::test]
async fn a_content_type_other_than_the_bodys_own_is_refused() {
    let (world, ann) = prepared().await;
    let answer = refused(&world, &ann, "1", DOCKER_MANIFEST, &image("{}", &["layer"])).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    content-length: 151
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the Content-Type is not the mediaType that the manifest names; send the same in both"}]}
    "#);
}

#[tokio::test]
async fn a_document_that_is_image_and_index_at_once_is_refused() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]).replace(",\"layers\"", ",\"manifests\":[],\"layers\"");
    assert_eq!(refused(&world, &ann, "1", OCI_MANIFEST, &body).await.gist(), (400, "MANIFEST_INVALID".into()));
}

#[tokio::test]
async fn documents_that_readers_could_differ_about_are_refused() {
    let (world, ann) = prepared().await;
    let bodies = [
        ("not JSON", "{".to_owned()),
        ("empty", String::new()),
        ("a list", "[]".to_owned()),
        ("twice the same key", r#"{"schemaVersion":2,"schemaVersion":2}"#.to_owned()),
        ("ten thousand deep", "[".repeat(10_000)),
        (
            "deep in an unknown key",
            format!(r#"{{"schemaVersion":2,"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)),
        ),
        ("another case", image("{}", &["layer"]).replace("\"layers\"", "\"Layers\"")),
        (
            "upper-case digest",
            image("{}", &["layer"]).replace(sha256("layer").hex(), &sha256("layer").hex().to_uppercase()),
        ),
        ("unknown algorithm", image("{}", &["layer"]).replace("sha256:", "md5:")),
        ("negative size", image("{}", &["layer"]).replace("\"size\":5", "\"size\":-5")),
    ];
    for (what, body) in bodies {
        let answer = refused(&world, &ann, "1", OCI_MANIFEST, &body).await;
        assert_eq!(answer.gist(), (400, "MANIFEST_INVALID".into()), "{what}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_refused() {
    let (world, ann) = prepared().await;
    let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    assert_eq!(put.body(&b"{\"schemaVersion\":2,\"x\":\"\xff\"}"[..]).await.gist(), (400, "MANIFEST_INVALID".into()));
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_before_it_is_read_and_while_it_is_read() {
    let (world, ann) = prepared().await;
    let padding = " ".repeat(4 * 1024 * 1024);
    let body = image("{}", &["layer"]) + &padding;
    assert_snapshot!(refused(&world, &ann, "1", OCI_MANIFEST, &body).await, @r#"
    413 Payload Too Large
    content-length: 104
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the body is longer than 4194304 bytes"}]}
    "#);
    let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    assert_eq!(put.chunked(pieces(body.as_bytes(), 1 << 20)).await.gist(), (413, "MANIFEST_INVALID".into()));
}

#[tokio::test]
async fn a_manifest_of_exactly_the_limit_is_taken() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]);
    let body = format!("{body}{}", " ".repeat(4 * 1024 * 1024 - body.len()));
    let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    put.body(body).await.expect(201);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_refused() {
    let (world, ann) = prepared().await;
    let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    assert_snapshot!(put.cut(&image("{}", &["layer"]).as_bytes()[..20]).await, @r#"
    400 Bad Request
    content-length: 105
    content-type: application/json

    {"errors":[{"code":"SIZE_INVALID","detail":null,"message":"the body ended before its announced length"}]}
    "#);
    assert_eq!(world.look("SELECT COUNT(*) FROM manifests").await, ["0"]);
}

#[tokio::test]
async fn malformed_references_are_refused_where_something_is_written() {
    let (world, ann) = prepared().await;
    let short = "sha256:abc";
    let upper = format!("sha256:{}", "A".repeat(64));
    let md5 = format!("md5:{}", "0".repeat(32));
    let long = "t".repeat(129);
    let table = [
        (".1", "TAG_INVALID"),
        (&*long, "TAG_INVALID"),
        (short, "DIGEST_INVALID"),
        (&*upper, "DIGEST_INVALID"),
        (&*md5, "DIGEST_INVALID"),
    ];
    for (reference, code) in table {
        let answer = refused(&world, &ann, reference, OCI_MANIFEST, &image("{}", &["layer"])).await;
        assert_eq!(answer.gist(), (400, code.into()), "{reference}");
    }
}

#[tokio::test]
async fn more_tags_than_one_put_takes_are_refused_whole() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]);
    let tags: Vec<_> = (0..65).map(|tag| format!("tag={tag}")).collect();
    let answer = refused(&world, &ann, &format!("{}?{}", sha256(&body), tags.join("&")), OCI_MANIFEST, &body).await;
    assert_eq!(answer.gist(), (414, "TAG_INVALID".into()));
}

#[tokio::test]
async fn further_tags_beside_a_tag_are_refused() {
    let (world, ann) = prepared().await;
    let answer = refused(&world, &ann, "1?tag=2", OCI_MANIFEST, &image("{}", &["layer"])).await;
    assert_eq!(answer.gist(), (400, "TAG_INVALID".into()));
}

#[tokio::test]
async fn a_put_where_nobody_has_the_account_makes_no_repository() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    let put = world.put("/v2/nobody/app/manifests/1").by(&admin).header("content-type", OCI_INDEX);
    assert_snapshot!(put.body(index(&[])).await, @r#"
    404 Not Found
    content-length: 171
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"there is no account \"nobody\" to hold this repository; the first part of its name must be an account's name"}]}
    "#);
    assert!(world.repository("nobody/app").await.is_none());
}

#[tokio::test]
async fn a_refused_put_makes_no_repository() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/new").await;
    let put = world.put("/v2/ann/new/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    put.body(image("{}", &["layer"])).await.expect(400);
    assert!(world.repository("ann/new").await.is_none());
    assert_eq!(world.events().await, [""; 0]);
}

#[tokio::test]
async fn a_foreign_layer_without_a_url_must_be_in_the_repository() {
    let (world, ann) = prepared().await;
    let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "elsewhere");
    let body = image("{}", &[]).replace("\"layers\":[]", &format!("\"layers\":[{foreign}]"));
    let answer = refused(&world, &ann, "1", OCI_MANIFEST, &body).await;
    assert_eq!(answer.gist(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
}
