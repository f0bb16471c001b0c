//! The list of tags (distribution-spec, end-8): pages in byte order that follow each other without gap or repeat.

use insta::assert_snapshot;

use crate::harness::{Credentials, OCI_INDEX, World, index, sha256};

/// Tags in the order in which bytes stand: digits, capitals, underscore, small letters.
const ORDERED: &[&str] = &["0.1", "1", "10", "2", "A", "Z", "_x", "a", "a-b", "a.b", "a_b", "ab", "z"];

async fn tagged() -> (World, Credentials) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let body = index(&[]);
    for tags in ORDERED.chunks(5).rev() {
        let tags: Vec<_> = tags.iter().rev().map(|tag| format!("tag={tag}")).collect();
        let put = world.put(&format!("/v2/ann/app/manifests/{}?{}", sha256(&body), tags.join("&"))).by(&ann);
        put.header("content-type", OCI_INDEX).body(body.clone()).await.expect(201);
    }
    (world, ann)
}

/// All pages from `path` on, each as its names.
async fn pages(world: &World, by: &Credentials, path: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = world.get(&path).by(by).await.expect(200);
        let names = answer.json()[key].as_array().unwrap().clone();
        pages.push(names.iter().map(|name| name.as_str().unwrap().to_owned()).collect());
        assert!(pages.len() < 100, "links that never end");
        next = answer.headers.get("link").map(|link| {
            let link = link.to_str().unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            link.strip_prefix('<').unwrap().to_owned()
        });
    }
    pages
}

#[tokio::test]
async fn tags_are_listed_in_byte_order() {
    let (world, ann) = tagged().await;
    assert_snapshot!(world.get("/v2/ann/app/tags/list").by(&ann).await, @r#"
    200 OK
    content-length: 90
    content-type: application/json

    {"name":"ann/app","tags":["0.1","1","10","2","A","Z","_x","a","a-b","a.b","a_b","ab","z"]}
    "#);
}

#[tokio::test]
async fn a_page_links_to_the_next_one() {
    let (world, ann) = tagged().await;
    assert_snapshot!(world.get("/v2/ann/app/tags/list?n=3").by(&ann).await, @r#"
    200 OK
    content-length: 42
    content-type: application/json
    link: </v2/ann/app/tags/list?n=3&last=10>; rel="next"

    {"name":"ann/app","tags":["0.1","1","10"]}
    "#);
}

#[tokio::test]
async fn pages_of_any_length_give_every_tag_once_and_in_order() {
    let (world, ann) = tagged().await;
    for n in 1..=ORDERED.len() + 1 {
        let pages = pages(&world, &ann, &format!("/v2/ann/app/tags/list?n={n}"), "tags").await;
        assert_eq!(pages.len(), ORDERED.len().div_ceil(n), "n={n}");
        assert_eq!(pages.concat(), ORDERED, "n={n}");
    }
}

#[tokio::test]
async fn a_page_of_none_is_empty_and_has_no_next_one() {
    let (world, ann) = tagged().await;
    assert_snapshot!(world.get("/v2/ann/app/tags/list?n=0").by(&ann).await, @r#"
    200 OK
    content-length: 28
    content-type: application/json

    {"name":"ann/app","tags":[]}
    "#);
}

#[tokio::test]
async fn the_list_goes_on_after_a_name_that_need_not_be_a_tag() {
    let (world, ann) = tagged().await;
    for (last, first) in [("a", "a-b"), ("9", "A"), ("zz", ""), ("%C3%A9", "")] {
        let answer = world.get(&format!("/v2/ann/app/tags/list?last={last}")).by(&ann).await.expect(200);
        assert_eq!(answer.json()["tags"][0].as_str().unwrap_or_default(), first, "{last}");
    }
}

#[tokio::test]
async fn more_than_a_page_may_hold_is_cut_to_it() {
    let (world, ann) = tagged().await;
    // They sort behind all others, and the last of them stands on the second page.
    world.meddle_at_once(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO tags SELECT repository_id, 'zz-' || printf('%04d', i), manifest_id, 1, moved_at FROM tags, n WHERE name = 'a'",
    );
    for n in ["", "n=1000", "n=1001", "n=18446744073709551616", "n=99999999999999999999999999"] {
        let pages = pages(&world, &ann, &format!("/v2/ann/app/tags/list?{n}"), "tags").await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, ORDERED.len()], "{n}");
        assert_eq!(pages[0][..ORDERED.len()], *ORDERED, "{n}");
        assert_eq!(pages[1].last().unwrap(), "zz-1000", "{n}");
    }
}

/// Whoever goes from page to page sees each tag that was there all the time once, whatever comes and goes meanwhile.
#[tokio::test]
async fn pages_stay_in_step_while_tags_come_and_go() {
    let (world, ann) = tagged().await;
    let first = world.get("/v2/ann/app/tags/list?n=4").by(&ann).await.expect(200);
    assert_eq!(first.json()["tags"], serde_json::json!(["0.1", "1", "10", "2"]));
    let next = first.header("link").trim_start_matches('<').split_once('>').unwrap().0.to_owned();
    // The one that the next page begins after, one that was shown, and one that was not.
    for gone in ["2", "0.1", "_x"] {
        world.call("DELETE", &format!("/v2/ann/app/manifests/{gone}")).by(&ann).await.expect(202);
    }
    // Before and after the place where the next page begins.
    let body = index(&[]);
    for new in ["0.2", "3", "zz"] {
        let put = world.put(&format!("/v2/ann/app/manifests/{new}")).by(&ann);
        put.header("content-type", OCI_INDEX).body(body.clone()).await.expect(201);
    }
    let rest = pages(&world, &ann, &next, "tags").await;
    assert_eq!(rest.concat(), ["3", "A", "Z", "a", "a-b", "a.b", "a_b", "ab", "z", "zz"]);
}

#[tokio::test]
async fn a_number_that_is_none_is_refused() {
    let (world, ann) = tagged().await;
    assert_snapshot!(world.get("/v2/ann/app/tags/list?n=-1").by(&ann).await, @r#"
    400 Bad Request
    content-length: 111
    content-type: application/json

    {"errors":[{"code":"PAGINATION_NUMBER_INVALID","detail":null,"message":"n is a whole number of zero or more"}]}
    "#);
    for n in ["x", "1.5", "+1", "0x1", "1&n=2"] {
        let answer = world.get(&format!("/v2/ann/app/tags/list?n={n}")).by(&ann).await;
        assert_eq!(answer.gist(), (400, "PAGINATION_NUMBER_INVALID".into()), "{n}");
    }
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob(&ann, "ann/app", "layer").await;
    assert_eq!(world.get("/v2/ann/app/tags/list").by(&ann).await.body, r#"{"name":"ann/app","tags":[]}"#);
}

#[tokio::test]
async fn the_owner_learns_that_a_repository_is_not_there() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/none").await;
    assert_snapshot!(world.get("/v2/ann/none/tags/list").by(&ann).await, @r#"
    404 Not Found
    content-length: 106
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"the registry has no repository of this name"}]}
    "#);
}

#[tokio::test]
async fn a_head_of_the_list_has_no_body() {
    let (world, ann) = tagged().await;
    let get = world.get("/v2/ann/app/tags/list").by(&ann).await;
    let head = world.head("/v2/ann/app/tags/list").by(&ann).await.expect(200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), get.body.len().to_string());
}
