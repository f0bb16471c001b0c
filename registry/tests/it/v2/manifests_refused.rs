//! Manifests that are not taken: each refusal says why, and nothing has changed.

use hallmark_oci::limits::{JSON_DEPTH, JSON_VALUES};
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
    assert_snapshot!(refused(&world, &ann, "1", OCI_MANIFEST, &body).await, @r#"
    400 Bad Request
    content-length: 117
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"a document of this media type has no \"manifests\""}]}
    "#);
}

/// Documents that one reader takes and another does not, or reads otherwise, and what is wrong with each.
fn ambiguous() -> Vec<(&'static str, String)> {
    let whole = image("{}", &["layer"]);
    let unknown = |value: &str| format!(r#"{{"schemaVersion":2,"x":{value}}}"#);
    vec![
        ("not JSON", "{".to_owned()),
        ("empty", String::new()),
        ("a list", "[]".to_owned()),
        ("twice the same key", r#"{"schemaVersion":2,"schemaVersion":2}"#.to_owned()),
        ("ten thousand deep", "[".repeat(10_000)),
        ("deep in an unknown key", unknown(&format!("{}{}", "[".repeat(JSON_DEPTH), "]".repeat(JSON_DEPTH)))),
        ("more values than are read", unknown(&format!("[{}0]", "0,".repeat(JSON_VALUES)))),
        ("another schemaVersion", whole.replace("\"schemaVersion\":2", "\"schemaVersion\":3")),
        ("another case", whole.replace("\"layers\"", "\"Layers\"")),
        ("no layers", whole.replace("\"layers\"", "\"x\"")),
        ("a layer that is none", whole.replace("\"layers\":[", "\"layers\":[1,")),
        ("upper-case digest", whole.replace(sha256("layer").hex(), &sha256("layer").hex().to_uppercase())),
        ("unknown algorithm", whole.replace("sha256:", "md5:")),
        ("a short digest", whole.replace(sha256("layer").hex(), "abc")),
        ("a media type that is none", whole.replace("application/vnd.oci.image.layer.v1.tar", "tar")),
        ("negative size", whole.replace("\"size\":5", "\"size\":-5")),
    ]
}

#[tokio::test]
async fn documents_that_readers_could_differ_about_are_refused() {
    let (world, ann) = prepared().await;
    let mut told = Vec::new();
    for (what, body) in ambiguous() {
        let answer = refused(&world, &ann, "1", OCI_MANIFEST, &body).await;
        assert_eq!(answer.gist(), (400, "MANIFEST_INVALID".into()), "{what}");
        told.push(format!("{what}: {answer}"));
    }
    assert_snapshot!(told.join("\n---\n"), @r#"
    not JSON: 400 Bad Request
    content-length: 109
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document is not JSON: line 1, column 1"}]}

    ---
    empty: 400 Bad Request
    content-length: 109
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document is not JSON: line 1, column 0"}]}

    ---
    a list: 400 Bad Request
    content-length: 96
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the manifest is not an object"}]}

    ---
    twice the same key: 400 Bad Request
    content-length: 119
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the key \"schemaVersion\" stands twice in one object"}]}

    ---
    ten thousand deep: 400 Bad Request
    content-length: 111
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document is nested deeper than 32 levels"}]}

    ---
    deep in an unknown key: 400 Bad Request
    content-length: 111
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document is nested deeper than 32 levels"}]}

    ---
    more values than are read: 400 Bad Request
    content-length: 107
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document has more than 262144 values"}]}

    ---
    another schemaVersion: 400 Bad Request
    content-length: 103
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the schemaVersion of a manifest is 2"}]}

    ---
    another case: 400 Bad Request
    content-length: 142
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the manifest has the key \"Layers\", which some clients read as another one"}]}

    ---
    no layers: 400 Bad Request
    content-length: 97
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the manifest has no \"layers\""}]}

    ---
    a layer that is none: 400 Bad Request
    content-length: 93
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"layers[0] is not an object"}]}

    ---
    upper-case digest: 400 Bad Request
    content-length: 165
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the digest of layers[0] is not valid: the hexadecimal digits of a digest are written in lower case"}]}

    ---
    unknown algorithm: 400 Bad Request
    content-length: 162
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the digest of config is not valid: this digest algorithm is not supported; use sha256 or sha512"}]}

    ---
    a short digest: 400 Bad Request
    content-length: 173
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the digest of layers[0] is not valid: this digest does not have the 64 hexadecimal digits of its algorithm"}]}

    ---
    a media type that is none: 400 Bad Request
    content-length: 189
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the mediaType of layers[0] is not valid: a media type is written as type/subtype in at most 255 printable ASCII characters"}]}

    ---
    negative size: 400 Bad Request
    content-length: 138
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"\"size\" of layers[0] is not a whole number of bytes from 0 to 2^63 - 1"}]}
    "#);
}

/// Where neither the request nor the document says what it is, nothing is guessed.
#[tokio::test]
async fn a_document_that_nobody_names_is_refused() {
    let (world, ann) = prepared().await;
    let body = image("{}", &["layer"]).replace(&format!("\"mediaType\":\"{OCI_MANIFEST}\","), "");
    assert_snapshot!(world.put("/v2/ann/app/manifests/1").by(&ann).body(body).await, @r#"
    400 Bad Request
    content-length: 149
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the manifest names no mediaType, and the request no Content-Type; send one of them"}]}
    "#);
    assert_eq!(world.look("SELECT COUNT(*) FROM manifests").await, ["0"]);
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_refused() {
    let (world, ann) = prepared().await;
    let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
    assert_snapshot!(put.body(&b"{\"schemaVersion\":2,\"x\":\"\xff\"}"[..]).await, @r#"
    400 Bad Request
    content-length: 92
    content-type: application/json

    {"errors":[{"code":"MANIFEST_INVALID","detail":null,"message":"the document is not UTF-8"}]}
    "#);
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
    connection: close
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
    let none = format!("{}?tag=", sha256(image("{}", &["layer"])));
    let table = [
        (".1", "TAG_INVALID"),
        (&*none, "TAG_INVALID"),
        (&*long, "TAG_INVALID"),
        (short, "DIGEST_INVALID"),
        (&*upper, "DIGEST_INVALID"),
        (&*md5, "DIGEST_INVALID"),
    ];
    let mut told = Vec::new();
    for (reference, code) in table {
        let answer = refused(&world, &ann, reference, OCI_MANIFEST, &image("{}", &["layer"])).await;
        assert_eq!(answer.gist(), (400, code.into()), "{reference}");
        told.push(answer.to_string());
    }
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 162
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"a tag is made of letters, digits, underscores, dots and dashes, and begins with none of the last two"}]}

    ---
    400 Bad Request
    content-length: 80
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"the tag is missing"}]}

    ---
    400 Bad Request
    content-length: 94
    content-type: application/json

    {"errors":[{"code":"TAG_INVALID","detail":null,"message":"a tag has at most 128 characters"}]}

    ---
    400 Bad Request
    content-length: 133
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"this digest does not have the 64 hexadecimal digits of its algorithm"}]}

    ---
    400 Bad Request
    content-length: 125
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"the hexadecimal digits of a digest are written in lower case"}]}

    ---
    400 Bad Request
    content-length: 125
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"this digest algorithm is not supported; use sha256 or sha512"}]}
    "#);
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
