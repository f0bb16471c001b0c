//! Who refers to a manifest (distribution-spec, end-12), by subject and by the fallback tags of older clients.

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{ARTIFACT, Credentials, OCI_INDEX, OCI_MANIFEST, World, descriptor, image, index, sha256};

const SUBJECT: &str = "the subject, which was never pushed";

async fn world() -> (World, Credentials) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob(&ann, "ann/app", "{}").await;
    world.show_as(sha256(SUBJECT), "subject");
    (world, ann)
}

/// An image manifest about [`SUBJECT`] with these members besides.
fn about(members: &str) -> String {
    let subject = descriptor(OCI_MANIFEST, SUBJECT);
    image("{}", &[]).replace(",\"config\"", &format!(",{members}\"subject\":{subject},\"config\""))
}

fn path() -> String {
    format!("/v2/ann/app/referrers/{}", sha256(SUBJECT))
}

/// The digests that are listed, in order.
async fn listed(world: &World, ann: &Credentials) -> Vec<String> {
    let list = world.get(&path()).by(ann).await.expect(200).json();
    let digests = list["manifests"].as_array().unwrap().iter();
    digests.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// Pushes a signature about [`SUBJECT`] under no tag.
async fn signed(world: &World, ann: &Credentials) -> Digest {
    let body = about(&format!("\"artifactType\":\"{ARTIFACT}\",\"annotations\":{{\"by\":\"ann\"}},"));
    world.manifest(ann, ("ann/app", sha256(&body).as_str()), OCI_MANIFEST, &body, "signature").await
}

#[tokio::test]
async fn a_manifest_that_nobody_refers_to_has_an_empty_list() {
    let (world, ann) = world().await;
    assert_snapshot!(world.get(&path()).by(&ann).await, @r#"
    200 OK
    content-length: 88
    content-type: application/vnd.oci.image.index.v1+json

    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}
    "#);
}

#[tokio::test]
async fn in_a_repository_that_is_not_there_the_list_is_empty() {
    let (world, _) = world().await;
    let ann = world.all_of("ann", "ann/none").await;
    let answer = world.get(&path().replace("app", "none")).by(&ann).await.expect(200);
    assert_eq!(answer.json()["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn a_referrer_is_listed_with_its_type_and_annotations() {
    let (world, ann) = world().await;
    signed(&world, &ann).await;
    assert_snapshot!(world.get(&path()).by(&ann).await, @r#"
    200 OK
    content-length: 320
    content-type: application/vnd.oci.image.index.v1+json

    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{signature}","size":488,"artifactType":"application/vnd.test.signature+json","annotations":{"by":"ann"}}]}
    "#);
}

#[tokio::test]
async fn a_referrer_without_an_artifact_type_has_that_of_its_config() {
    let (world, ann) = world().await;
    world.manifest(&ann, ("ann/app", "plain"), OCI_MANIFEST, &about(""), "plain").await;
    let list = world.get(&path()).by(&ann).await.json();
    assert_eq!(list["manifests"][0]["artifactType"], "application/vnd.oci.image.config.v1+json");
    assert!(list["manifests"][0].get("annotations").is_none());
}

#[tokio::test]
async fn an_index_without_an_artifact_type_has_none() {
    let (world, ann) = world().await;
    let subject = descriptor(OCI_MANIFEST, SUBJECT);
    let body = index(&[]).replace(",\"manifests\"", &format!(",\"subject\":{subject},\"manifests\""));
    world.manifest(&ann, ("ann/app", "index"), OCI_INDEX, &body, "index").await;
    let list = world.get(&path()).by(&ann).await.json();
    assert_eq!(list["manifests"][0]["mediaType"], OCI_INDEX);
    assert!(list["manifests"][0].get("artifactType").is_none());
}

#[tokio::test]
async fn a_filter_that_was_applied_is_named() {
    let (world, ann) = world().await;
    signed(&world, &ann).await;
    world.manifest(&ann, ("ann/app", "plain"), OCI_MANIFEST, &about(""), "plain").await;
    let filter = |kind: &str| format!("{}?artifactType={kind}", path());
    assert_snapshot!(world.get(&filter(&ARTIFACT.replace('+', "%2B"))).by(&ann).await, @r#"
    200 OK
    content-length: 320
    content-type: application/vnd.oci.image.index.v1+json
    oci-filters-applied: artifactType

    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{signature}","size":488,"artifactType":"application/vnd.test.signature+json","annotations":{"by":"ann"}}]}
    "#);
    let unencoded = world.get(&filter(ARTIFACT)).by(&ann).await;
    assert_eq!(unencoded.json()["manifests"].as_array().unwrap().len(), 1, "a + that was not encoded is still one");
    assert_eq!(world.get(&filter("text%2Fplain")).by(&ann).await.json()["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn without_a_filter_none_is_named() {
    let (world, ann) = world().await;
    assert!(!world.get(&path()).by(&ann).await.headers.contains_key("oci-filters-applied"));
}

#[tokio::test]
async fn a_subject_that_is_no_digest_is_refused() {
    let (world, ann) = world().await;
    assert_snapshot!(world.get("/v2/ann/app/referrers/latest").by(&ann).await, @r#"
    400 Bad Request
    content-length: 152
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":null,"message":"a digest is written as sha256: and 64, or sha512: and 128 lower-case hexadecimal digits"}]}
    "#);
}

#[tokio::test]
async fn a_referrer_that_is_deleted_is_gone_from_the_list_at_once() {
    let (world, ann) = world().await;
    let signature = signed(&world, &ann).await;
    assert_eq!(listed(&world, &ann).await, [signature.as_str()]);
    world.delete(&format!("/v2/ann/app/manifests/{signature}")).by(&ann).await.expect(202);
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

#[tokio::test]
async fn a_subject_that_is_deleted_keeps_its_referrers() {
    let (world, ann) = world().await;
    let body = index(&[]);
    let subject = world.manifest(&ann, ("ann/app", "subject"), OCI_INDEX, &body, "index").await;
    let about =
        image("{}", &[]).replace(",\"config\"", &format!(",\"subject\":{},\"config\"", descriptor(OCI_INDEX, &body)));
    world.manifest(&ann, ("ann/app", "about"), OCI_MANIFEST, &about, "about").await;
    world.delete(&format!("/v2/ann/app/manifests/{subject}")).by(&ann).await.expect(202);
    let list = world.get(&format!("/v2/ann/app/referrers/{subject}")).by(&ann).await.json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn referrers_of_one_repository_are_not_those_of_another() {
    let (world, ann) = world().await;
    signed(&world, &ann).await;
    let other = world.all_of("ann", "ann/other").await;
    world.blob(&other, "ann/other", "layer").await;
    let list = world.get(&path().replace("app", "other")).by(&other).await.json();
    assert_eq!(list["manifests"], serde_json::json!([]));
}

/// An older client lists referrers in an index under a tag made of the subject's digest.
struct Fallback {
    tag: String,
    /// A signature that names no subject, so only the tag tells what it is about.
    old: String,
}

impl Fallback {
    async fn pushed(world: &World, ann: &Credentials) -> Self {
        let old = image("{}", &[]).replace(",\"config\"", &format!(",\"artifactType\":\"{ARTIFACT}\",\"config\""));
        world.manifest(ann, ("ann/app", sha256(&old).as_str()), OCI_MANIFEST, &old, "old signature").await;
        Self { tag: sha256(SUBJECT).as_str().replace(':', "-"), old }
    }

    async fn tags(&self, world: &World, ann: &Credentials, children: &[&str]) {
        world.manifest(ann, ("ann/app", &self.tag), OCI_INDEX, &index(children), "fallback index").await;
    }
}

#[tokio::test]
async fn what_a_fallback_tag_lists_is_folded_in_from_its_stored_bytes() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    fallback.tags(&world, &ann, &[&fallback.old]).await;
    assert_snapshot!(world.get(&path()).by(&ann).await, @r#"
    200 OK
    content-length: 293
    content-type: application/vnd.oci.image.index.v1+json

    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{old signature}","size":299,"artifactType":"application/vnd.test.signature+json"}]}
    "#);
    let tags = world.get("/v2/ann/app/tags/list").by(&ann).await.json();
    assert_eq!(tags["tags"], serde_json::json!([fallback.tag]), "the tag stays a tag");
}

#[tokio::test]
async fn a_manifest_without_a_fallback_tag_is_not_folded_in() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    world.manifest(&ann, ("ann/app", "other"), OCI_INDEX, &index(&[&fallback.old]), "index").await;
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

#[tokio::test]
async fn what_is_listed_both_ways_is_listed_once() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    let new = about("");
    let digest = world.manifest(&ann, ("ann/app", sha256(&new).as_str()), OCI_MANIFEST, &new, "new").await;
    fallback.tags(&world, &ann, &[&new, &fallback.old, &new]).await;
    let mut listed = listed(&world, &ann).await;
    let mut expected = vec![digest.to_string(), sha256(&fallback.old).to_string()];
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn what_a_fallback_tag_lists_goes_with_the_tag() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    fallback.tags(&world, &ann, &[&fallback.old]).await;
    world.delete(&format!("/v2/ann/app/manifests/{}", fallback.tag)).by(&ann).await.expect(202);
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

/// The index is a parent as any other (I1): what it lists goes after it.
#[tokio::test]
async fn what_a_fallback_index_lists_is_deleted_after_the_index() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    fallback.tags(&world, &ann, &[&fallback.old]).await;
    let manifest = |digest: &Digest| format!("/v2/ann/app/manifests/{digest}");
    let (old, index) = (sha256(&fallback.old), sha256(index(&[&fallback.old])));
    let answer = world.delete(&manifest(&old)).by(&ann).await;
    assert_eq!(answer.gist(), (405, "UNSUPPORTED".into()));
    assert_eq!(answer.json()["errors"][0]["detail"]["named_by"], serde_json::json!([index]));
    world.delete(&manifest(&index)).by(&ann).await.expect(202);
    world.delete(&manifest(&old)).by(&ann).await.expect(202);
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

#[tokio::test]
async fn what_a_fallback_tag_lists_changes_as_the_tag_moves() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    fallback.tags(&world, &ann, &[&fallback.old]).await;
    fallback.tags(&world, &ann, &[]).await;
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

#[tokio::test]
async fn a_fallback_tag_of_another_subject_is_not_folded_in() {
    let (world, ann) = world().await;
    let fallback = Fallback::pushed(&world, &ann).await;
    let tag = sha256("another subject").as_str().replace(':', "-");
    world.manifest(&ann, ("ann/app", &tag), OCI_INDEX, &index(&[&fallback.old]), "index").await;
    assert_eq!(listed(&world, &ann).await, [""; 0]);
}

/// Follows the list from page to page: the digests of each page, and every `Link` on the way.
async fn pages(world: &World, ann: &Credentials, query: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut pages, mut links) = (Vec::new(), Vec::new());
    let mut next = Some(format!("{}{query}", path()));
    while let Some(path) = next {
        let answer = world.get(&path).by(ann).await.expect(200);
        let list = answer.json();
        let digests = list["manifests"].as_array().unwrap().iter();
        pages.push(digests.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect());
        next = answer.headers.get("link").map(|link| {
            let link = link.to_str().unwrap().to_owned();
            let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
            links.push(link);
            path
        });
    }
    (pages, links)
}

/// Six referrers of a mebibyte each and one that a fallback tag lists: more than a page holds, and each is on one page only.
#[tokio::test]
async fn a_list_longer_than_a_page_is_told_page_by_page_and_nothing_twice() {
    let (world, ann) = world().await;
    let mut signatures = Vec::new();
    let mut others = Vec::new();
    let mut bodies = Vec::new();
    for number in 0..6 {
        let kind = if number % 2 == 0 { ARTIFACT } else { "text/plain" };
        let note = format!("{number}").repeat(1024 * 1024);
        let body = about(&format!("\"artifactType\":\"{kind}\",\"annotations\":{{\"note\":\"{note}\"}},"));
        let digest = world.manifest(&ann, ("ann/app", sha256(&body).as_str()), OCI_MANIFEST, &body, "referrer").await;
        if number % 2 == 0 {
            signatures.push(digest.to_string())
        } else {
            others.push(digest.to_string())
        }
        bodies.push(body);
    }
    // The fallback tag lists one of those again, and an older one that names no subject.
    let fallback = Fallback::pushed(&world, &ann).await;
    fallback.tags(&world, &ann, &[&bodies[0], &fallback.old, &bodies[5]]).await;
    signatures.push(sha256(&fallback.old).to_string());

    let filter = "?artifactType=application%2Fvnd.test.signature%2Bjson";
    for (query, expected) in [("", [signatures.clone(), others].concat()), (filter, signatures)] {
        let (pages, links) = pages(&world, &ann, query).await;
        assert_eq!(links.len() + 1, pages.len());
        assert!(query.is_empty() == (pages.len() > 1), "four mebibytes fill a page: {}", pages.len());
        let mut listed: Vec<_> = pages.concat();
        let mut expected = expected;
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "{query:?}");
    }
}

#[tokio::test]
async fn the_next_page_keeps_the_filter() {
    let (world, ann) = world().await;
    let mut expected = Vec::new();
    for number in 0..5 {
        let note = format!("{number}").repeat(1024 * 1024);
        for kind in [ARTIFACT, "text/plain"] {
            let body = about(&format!("\"artifactType\":\"{kind}\",\"annotations\":{{\"note\":\"{note}\"}},"));
            let digest =
                world.manifest(&ann, ("ann/app", sha256(&body).as_str()), OCI_MANIFEST, &body, "referrer").await;
            if kind == ARTIFACT {
                expected.push(digest.to_string());
            }
        }
    }
    let (pages, links) = pages(&world, &ann, "?artifactType=application%2Fvnd.test.signature%2Bjson").await;
    assert!(pages.len() > 1);
    let mut listed = pages.concat();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    for link in links {
        assert!(link.contains("&artifactType=application%2Fvnd%2Etest%2Esignature%2Bjson>"), "{link}");
    }
}

/// Pages of the list, from the first to the last: how many entries each holds.
async fn sizes(world: &World, ann: &Credentials) -> Vec<usize> {
    let (mut pages, mut next) = (Vec::new(), Some(path()));
    while let Some(path) = next {
        let answer = world.get(&path).by(ann).await.expect(200);
        pages.push(answer.json()["manifests"].as_array().unwrap().len());
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap());
        next = link.map(|link| link.trim_start_matches('<').split_once('>').unwrap().0.to_owned());
    }
    pages
}

#[tokio::test]
async fn a_page_ends_where_many_clients_stop_reading() {
    let (world, ann) = world().await;
    for (number, megabytes) in [1, 2, 3, 3, 1].into_iter().enumerate() {
        let note = "x".repeat(megabytes << 20);
        let body = about(&format!("\"annotations\":{{\"n{number}\":\"{note}\"}},"));
        world.manifest(&ann, ("ann/app", sha256(&body).as_str()), OCI_MANIFEST, &body, "large").await;
    }
    assert_eq!(sizes(&world, &ann).await, [2, 1, 1, 1], "3 and 1 MiB are some bytes too many for one page");
}

/// What a fallback tag lists is described by its stored bytes, which may be 4 MiB for an entry of a hundred.
#[tokio::test]
async fn a_page_parses_no_more_than_a_stated_number_of_bytes() {
    let (world, ann) = world().await;
    let bodies: Vec<_> = (0..5)
        .map(|number| image("{}", &[]).replacen('{', &format!("{{\"x{number}\":\"{}\",", "x".repeat(4_190_000)), 1))
        .collect();
    for body in &bodies {
        world.manifest(&ann, ("ann/app", sha256(body).as_str()), OCI_MANIFEST, body, "large").await;
    }
    let tag = sha256(SUBJECT).as_str().replace(':', "-");
    let children: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.manifest(&ann, ("ann/app", &tag), OCI_INDEX, &index(&children), "fallback index").await;
    assert_eq!(sizes(&world, &ann).await, [4, 1]);
}
