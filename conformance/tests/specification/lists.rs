//! Tags and the catalog, page by page.

use hallmark_conformance::{Outcome, check::holds, http::Request, image::Image, registry::Registry, server::Server};

const REPOSITORY: &str = "admin/spec";
/// In the order of their bytes, which is the order that `last` compares by.
const TAGS: [&str; 7] = ["0", "1.0", "A", "Z_z", "a", "a-b", "latest"];

fn scene() -> Outcome<(Server, Registry)> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let image = Image::random(1, &[100]);
    for tag in TAGS.iter().rev() {
        registry.push_image(REPOSITORY, tag, &image)?;
    }
    Ok((server, registry))
}

/// The tags of one page, and whether there is another.
fn page(registry: &Registry, query: &str) -> Outcome<(Vec<String>, bool)> {
    let request = Request::new("GET", format!("/v2/{REPOSITORY}/tags/list{query}"));
    let answer = registry.client().send(&request)?.expect(200)?;
    let body = answer.json()?;
    holds(body["name"] == REPOSITORY, || format!("the list names {}", body["name"]))?;
    let tags = body["tags"].as_array().cloned().unwrap_or_default();
    let tags = tags.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())).collect();
    Ok((tags, answer.header("link").is_some()))
}

#[test]
fn tags_are_listed_in_the_order_of_their_bytes() -> Outcome<()> {
    let (_server, registry) = scene()?;
    let (tags, more) = page(&registry, "")?;
    holds(tags == TAGS && !more, || format!("{TAGS:?} were pushed and {tags:?} are listed, more: {more}"))
}

#[test]
fn a_page_has_as_many_tags_as_were_asked_for_and_begins_after_the_last_one() -> Outcome<()> {
    let (_server, registry) = scene()?;
    for (query, expected, more) in [
        ("?n=3", &TAGS[..3], true),
        ("?n=3&last=A", &TAGS[3..6], true),
        ("?n=3&last=a-b", &TAGS[6..], false),
        ("?last=Z_z", &TAGS[4..], false),
        ("?last=B", &TAGS[3..], false),
        ("?last=zzz", &[], false),
        ("?n=0", &[], false),
        ("?n=7", &TAGS[..], false),
    ] {
        let found = page(&registry, query)?;
        let expected = (expected.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>(), more);
        holds(found == expected, || format!("{query} was answered {found:?} instead of {expected:?}"))?;
    }
    Ok(())
}

#[test]
fn following_the_links_gives_every_tag_once() -> Outcome<()> {
    let (_server, registry) = scene()?;
    let mut next = Some(format!("/v2/{REPOSITORY}/tags/list?n=2"));
    let mut tags = Vec::new();
    while let Some(target) = next {
        let answer = registry.client().send(&Request::new("GET", target))?.expect(200)?;
        let listed = answer.json()?["tags"].as_array().cloned().unwrap_or_default();
        tags.extend(listed.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())));
        next = answer.header("link").and_then(|link| Some(link.strip_prefix('<')?.split('>').next()?.to_owned()));
    }
    holds(tags == TAGS, || format!("{TAGS:?} were pushed and {tags:?} are listed"))
}

#[test]
fn the_catalog_lists_what_the_caller_may_see_and_nothing_else() -> Outcome<()> {
    let (server, registry) = scene()?;
    let image = Image::random(2, &[100]);
    registry.push_image("admin/a", "1", &image)?;
    server.add_user("alice", "alice has a password")?;
    let alice = Registry::new(server.client("alice", "alice has a password"));
    alice.push_image("alice/own", "1", &image)?;
    let (all, hers) = (registry.catalog()?, alice.catalog()?);
    holds(all == ["admin/a", REPOSITORY, "alice/own"], || format!("the admin sees {all:?}"))?;
    holds(hers == ["alice/own"], || format!("alice sees {hers:?}"))
}

#[test]
fn the_tags_of_a_repository_that_is_not_there_are_unknown() -> Outcome<()> {
    let (_server, registry) = scene()?;
    let request = Request::new("GET", "/v2/admin/nowhere/tags/list");
    let answer = registry.client().send(&request)?;
    hallmark_conformance::check::refused(&answer, &[404], &["NAME_UNKNOWN"])
}
