//! Manifests on their way in and out, when all is well (distribution-spec, end-3 and end-7).

use hallmark_oci::Digest;
use hallmark_storage::metadata::DatabaseConfig;
use insta::assert_snapshot;

use crate::harness::{
    ARTIFACT, Credentials, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Postgres, World, descriptor, image,
    index, pieces, sha256, sha512,
};

/// A world with the image `1` in `ann/app`.
async fn pushed() -> (World, Credentials, Digest) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.image(&ann, "ann/app", "1", "layer").await;
    (world, ann, digest)
}

#[tokio::test]
async fn a_manifest_is_pulled_by_its_tag() {
    let (world, ann, _) = pushed().await;
    assert_snapshot!(world.get("/v2/ann/app/manifests/1").by(&ann).await, @r#"
    200 OK
    content-length: 392
    content-type: application/vnd.oci.image.manifest.v1+json
    docker-content-digest: {image of layer}
    etag: "{image of layer}"

    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{{}}","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":5}]}
    "#);
}

#[tokio::test]
async fn a_manifest_is_pulled_by_its_digest_with_the_same_answer() {
    let (world, ann, digest) = pushed().await;
    let by_tag = world.get("/v2/ann/app/manifests/1").by(&ann).await;
    let by_digest = world.get(&format!("/v2/ann/app/manifests/{digest}")).by(&ann).await;
    assert_eq!(by_tag.visible(), by_digest.visible());
}

/// On a database server who asks, what they may and what they ask for are one statement; and each request sees what is so now.
#[tokio::test]
async fn on_a_server_a_pull_asks_the_database_once() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let world = World::with(|config| config.database = database).await;
    let ann = world.all_of("ann", "ann/app").await;
    let first = world.image(&ann, "ann/app", "1", "layer").await;
    let asked = async |reference: &str, status: u16| {
        let before = world.app.metadata.statistics().reads;
        let answer = world.get(&format!("/v2/ann/app/manifests/{reference}")).by(&ann).await.expect(status);
        // What is not found is looked for once more, by itself.
        let reads = if status == 200 { 1 } else { 2 };
        assert_eq!(world.app.metadata.statistics().reads - before, reads, "{reference}");
        if status == 200 { answer.header("docker-content-digest").to_owned() } else { String::new() }
    };
    assert_eq!(asked("1", 200).await, first.as_str());
    assert_eq!(asked(first.as_str(), 200).await, first.as_str());
    asked("2", 404).await;
    let second = world.image(&ann, "ann/app", "1", "another layer").await;
    assert_eq!(asked("1", 200).await, second.as_str());
    world.delete(&format!("/v2/ann/app/manifests/{first}")).by(&ann).await.expect(202);
    asked(first.as_str(), 404).await;
    let bob = world.all_of("bob", "ann/app").await;
    world.get("/v2/ann/app/manifests/1").by(&bob).await.expect(401);
}

#[tokio::test]
async fn a_digest_may_come_percent_encoded() {
    let (world, ann, digest) = pushed().await;
    let path = format!("/v2/ann/app/manifests/{}", digest.as_str().replace(':', "%3A"));
    world.get(&path).by(&ann).await.expect(200);
}

#[tokio::test]
async fn a_head_has_the_headers_of_the_get_and_no_body() {
    let (world, ann, _) = pushed().await;
    let get = world.get("/v2/ann/app/manifests/1").by(&ann).await;
    let head = world.head("/v2/ann/app/manifests/1").by(&ann).await;
    assert_eq!((head.visible().0, head.visible().1), (get.visible().0, get.visible().1));
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn a_manifest_that_the_client_holds_is_not_sent_again() {
    let (world, ann, digest) = pushed().await;
    let held = format!("\"{digest}\"");
    assert_snapshot!(world.get("/v2/ann/app/manifests/1").by(&ann).header("if-none-match", held).await, @r#"
    304 Not Modified
    docker-content-digest: {image of layer}
    etag: "{image of layer}"
    "#);
}

#[tokio::test]
async fn an_entity_tag_is_known_quoted_weak_bare_and_in_a_list() {
    let (world, ann, digest) = pushed().await;
    for held in [format!("\"{digest}\""), format!("W/\"{digest}\""), digest.to_string(), format!("\"x\", \"{digest}\"")]
    {
        for method in ["GET", "HEAD"] {
            let call = world.call(method, "/v2/ann/app/manifests/1").by(&ann).header("if-none-match", &held);
            call.await.expect(304);
        }
    }
    world.get("/v2/ann/app/manifests/1").by(&ann).header("if-none-match", "\"other\"").await.expect(200);
}

#[tokio::test]
async fn i7_whatever_is_accepted_the_stored_bytes_are_served() {
    let (world, ann, _) = pushed().await;
    for accept in ["application/json", "text/html", DOCKER_MANIFEST, "*/*"] {
        let answer = world.get("/v2/ann/app/manifests/1").by(&ann).header("accept", accept).await.expect(200);
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
    }
}

#[tokio::test]
async fn an_unknown_tag_a_malformed_one_and_an_unknown_digest_are_all_unknown_manifests() {
    let (world, ann, _) = pushed().await;
    let absent = sha256("absent").to_string();
    for reference in ["2", ".hidden", &absent] {
        for method in ["GET", "HEAD"] {
            let answer = world.call(method, &format!("/v2/ann/app/manifests/{reference}")).by(&ann).await;
            assert_eq!(answer.status, 404, "{method} {reference}");
        }
    }
    assert_snapshot!(world.get("/v2/ann/app/manifests/2").by(&ann).await, @r#"
    404 Not Found
    content-length: 102
    content-type: application/json

    {"errors":[{"code":"MANIFEST_UNKNOWN","detail":null,"message":"the repository has no such manifest"}]}
    "#);
    assert_snapshot!(world.get("/v2/ann/app/manifests/.hidden").by(&ann).await, @r#"
    404 Not Found
    content-length: 127
    content-type: application/json

    {"errors":[{"code":"MANIFEST_UNKNOWN","detail":null,"message":"no manifest is called so: this is neither a tag nor a digest"}]}
    "#);
}

#[tokio::test]
async fn the_owner_learns_that_a_repository_is_not_there() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/none").await;
    assert_snapshot!(world.get("/v2/ann/none/manifests/1").by(&ann).await, @r#"
    404 Not Found
    content-length: 106
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"the registry has no repository of this name"}]}
    "#);
}

#[tokio::test]
async fn a_put_by_tag_answers_where_the_manifest_is() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob(&ann, "ann/app", "{}").await;
    world.blob(&ann, "ann/app", "layer").await;
    let body = image("{}", &["layer"]);
    world.show_as(sha256(&body), "manifest");
    assert_snapshot!(world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST).body(body).await, @r"
    201 Created
    content-length: 0
    docker-content-digest: {manifest}
    location: /v2/ann/app/manifests/{manifest}
    oci-tag: 1
    ");
    assert_eq!(
        world.events().await,
        ["repository_created ann/app", "blob_pushed {{}}", "blob_pushed {layer}", "manifest_pushed {manifest}"]
    );
    assert_eq!(
        world.look("SELECT t.name, m.digest FROM tags t JOIN manifests m ON m.id = t.manifest_id").await,
        ["1 {manifest}"]
    );
}

#[tokio::test]
async fn bytes_are_served_as_they_were_pushed() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob(&ann, "ann/app", "{}").await;
    let odd = image("{}", &[]).replace(",\"layers\"", " ,\r\n\t\"un\\u006bnown\" : [ 1.0e3 ],\"layers\"") + "\n";
    world.manifest(&ann, ("ann/app", "odd"), OCI_MANIFEST, &odd, "odd").await;
    let pulled = world.get("/v2/ann/app/manifests/odd").by(&ann).await;
    assert_eq!(pulled.body, odd);
}

#[tokio::test]
async fn a_put_by_digest_takes_the_bytes_of_that_digest() {
    let (world, ann, _) = pushed().await;
    let body = image("{}", &[]);
    let digest = world.manifest(&ann, ("ann/app", sha256(&body).as_str()), OCI_MANIFEST, &body, "bare").await;
    world.get(&format!("/v2/ann/app/manifests/{digest}")).by(&ann).await.expect(200);
    assert_eq!(world.look("SELECT name FROM tags").await, ["1"], "a put by digest makes no tag");
}

#[tokio::test]
async fn a_put_by_sha512_is_pulled_by_it_and_by_a_tag_that_remembers_it() {
    let (world, ann, _) = pushed().await;
    let body = image("{}", &["layer"]);
    let digest = sha512(&body);
    let put = world.put(&format!("/v2/ann/app/manifests/{digest}?tag=strong")).by(&ann);
    put.header("content-type", OCI_MANIFEST).body(body).await.expect(201);
    for reference in [digest.as_str(), "strong"] {
        let pulled = world.get(&format!("/v2/ann/app/manifests/{reference}")).by(&ann).await.expect(200);
        assert_eq!(pulled.header("docker-content-digest"), digest.as_str());
    }
}

#[tokio::test]
async fn one_put_sets_many_tags() {
    let (world, ann, digest) = pushed().await;
    let path = format!("/v2/ann/app/manifests/{digest}?tag=a&tag=b&tag=a");
    let put = world.put(&path).by(&ann).header("content-type", OCI_MANIFEST).body(image("{}", &["layer"])).await;
    assert_snapshot!(put, @r"
    201 Created
    content-length: 0
    docker-content-digest: {image of layer}
    location: /v2/ann/app/manifests/{image of layer}
    oci-tag: a
    oci-tag: b
    ");
    assert_eq!(world.look("SELECT name FROM tags ORDER BY name").await, ["1", "a", "b"]);
}

#[tokio::test]
async fn a_put_moves_the_tag_and_the_old_manifest_stays() {
    let (world, ann, old) = pushed().await;
    let new = world.image(&ann, "ann/app", "1", "other").await;
    let pulled = world.get("/v2/ann/app/manifests/1").by(&ann).await;
    assert_eq!(pulled.header("docker-content-digest"), new.as_str());
    world.get(&format!("/v2/ann/app/manifests/{old}")).by(&ann).await.expect(200);
    let history = world.look("SELECT version, digest FROM tag_history ORDER BY version").await;
    assert_eq!(history, ["1 {image of layer}", "2 {image of other}"]);
}

#[tokio::test]
async fn a_put_of_what_is_there_already_succeeds_and_changes_no_tag() {
    let (world, ann, _) = pushed().await;
    let again = world.image(&ann, "ann/app", "1", "layer").await;
    assert_eq!(again, sha256(image("{}", &["layer"])));
    assert_eq!(world.look("SELECT COUNT(*) FROM tag_history").await, ["1"]);
}

#[tokio::test]
async fn a_body_may_come_in_pieces_without_a_length() {
    let (world, ann, _) = pushed().await;
    let body = image("{}", &["layer"]);
    let put = world.put("/v2/ann/app/manifests/2").by(&ann).header("content-type", OCI_MANIFEST);
    put.chunked(pieces(body.as_bytes(), 7)).await.expect(201);
}

#[tokio::test]
async fn every_kind_of_manifest_is_served_as_the_type_it_came_as() {
    let (world, ann, _) = pushed().await;
    let image_manifest = image("{}", &["layer"]);
    let bodies = [
        (OCI_INDEX, index(&[&image_manifest])),
        (DOCKER_MANIFEST, image_manifest.replace(OCI_MANIFEST, DOCKER_MANIFEST)),
        (DOCKER_LIST, index(&[&image_manifest]).replace(OCI_INDEX, DOCKER_LIST)),
        (OCI_MANIFEST, image_manifest.replace(&format!("\"mediaType\":\"{OCI_MANIFEST}\","), "")),
    ];
    for (kind, body) in bodies {
        world.manifest(&ann, ("ann/app", "kind"), kind, &body, "kind").await;
        let pulled = world.get("/v2/ann/app/manifests/kind").by(&ann).await.expect(200);
        assert_eq!((pulled.header("content-type"), &pulled.body[..]), (kind, body.as_bytes()));
    }
}

#[tokio::test]
async fn a_subject_that_is_not_there_is_accepted_and_acknowledged() {
    let (world, ann, _) = pushed().await;
    let subject = descriptor(OCI_MANIFEST, "never pushed");
    let bodies = [
        (OCI_MANIFEST, image("{}", &[]).replace(",\"layers\"", &format!(",\"subject\":{subject},\"layers\""))),
        (OCI_INDEX, index(&[]).replace(",\"manifests\"", &format!(",\"subject\":{subject},\"manifests\""))),
    ];
    for (kind, body) in bodies {
        let put =
            world.put("/v2/ann/app/manifests/about").by(&ann).header("content-type", kind).body(body).await.expect(201);
        assert_eq!(put.header("oci-subject"), sha256("never pushed").as_str());
    }
}

#[tokio::test]
async fn a_manifest_without_a_subject_says_nothing_of_one() {
    let (world, ann, _) = pushed().await;
    let put = world
        .put("/v2/ann/app/manifests/2")
        .by(&ann)
        .header("content-type", OCI_MANIFEST)
        .body(image("{}", &["layer"]));
    assert!(!put.await.expect(201).headers.contains_key("oci-subject"));
}

#[tokio::test]
async fn a_foreign_layer_need_not_be_in_the_repository() {
    let (world, ann, _) = pushed().await;
    let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "elsewhere");
    let foreign = foreign.replace(",\"size\"", ",\"urls\":[\"https://example.test/l\"],\"size\"");
    let body = image("{}", &[]).replace("\"layers\":[]", &format!("\"layers\":[{foreign}]"));
    world.manifest(&ann, ("ann/app", "foreign"), OCI_MANIFEST, &body, "foreign").await;
}

#[tokio::test]
async fn an_unknown_artifact_type_is_no_reason_to_refuse() {
    let (world, ann, _) = pushed().await;
    let body = image("{}", &[]).replace(",\"config\"", &format!(",\"artifactType\":\"{ARTIFACT}\",\"config\""));
    world.manifest(&ann, ("ann/app", "artifact"), OCI_MANIFEST, &body, "artifact").await;
}

#[tokio::test]
async fn a_repository_may_be_called_as_the_protocols_own_words() {
    let world = World::open().await;
    for name in ["ann/manifests", "ann/blobs/uploads", "ann/tags/list", "ann/referrers"] {
        let ann = world.all_of("ann", name).await;
        world.image(&ann, name, "latest", "layer").await;
        world.get(&format!("/v2/{name}/manifests/latest")).by(&ann).await.expect(200);
    }
}

/// An image manifest of about so many bytes, in annotations.
fn manifest_of(bytes: usize) -> String {
    image("{}", &[])
        .replace(",\"config\"", &format!(",\"annotations\":{{\"note\":\"{}\"}},\"config\"", "x".repeat(bytes)))
}

#[tokio::test]
async fn a_raised_limit_lets_larger_manifests_in_and_out_again() {
    for (limit, taken) in [(None, false), (Some(6 * 1024 * 1024), true)] {
        let world = World::with(|config| {
            config.limits.manifest_bytes = limit.unwrap_or(config.limits.manifest_bytes);
        })
        .await;
        let ann = world.all_of("ann", "ann/app").await;
        world.blob(&ann, "ann/app", "{}").await;
        let body = manifest_of(5 * 1024 * 1024);
        let put = world.put("/v2/ann/app/manifests/1").by(&ann).header("content-type", OCI_MANIFEST);
        let answer = put.body(body.clone()).await;
        let pulled = world.get("/v2/ann/app/manifests/1").by(&ann).await;
        if taken {
            answer.expect(201);
            assert!(pulled.expect(200).body == body);
        } else {
            assert_eq!(answer.gist(), (413, "MANIFEST_INVALID".into()));
            pulled.expect(404);
        }
    }
}
