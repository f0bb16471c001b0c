//! What keeps images and brings them back, as a person types it: `undelete`, `history`, `hold`, `policy`, `retention`, `quota`, `size`.

use std::{fs, thread};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    http::{Request, Response},
    image::Image,
    server::{ADMIN, PASSWORD, Server},
};
use serde_json::json;

use super::{remote::Person, world::REPOSITORY};

/// A server with the images `1` and `2`, and somebody who is signed in there.
fn with_two() -> Outcome<(Server, Person, [Image; 2])> {
    let server = Server::fresh()?;
    let images = [Image::random(1, &[30_000]), Image::random(2, &[40_000])];
    for (image, tag) in images.iter().zip(["1", "2"]) {
        server.registry().push_image(REPOSITORY, tag, image)?;
    }
    let person = Person::signed_in(&server, ADMIN, PASSWORD)?;
    Ok((server, person, images))
}

fn delete(server: &Server, reference: &str) -> Outcome<Response> {
    server.registry().client().send(&Request::new("DELETE", format!("/v2/{REPOSITORY}/manifests/{reference}")))
}

#[test]
fn what_was_deleted_or_moved_is_listed_and_comes_back() -> Outcome<()> {
    let (server, person, [first, second]) = with_two()?;
    let (one, two) = (&first.manifest.digest, &second.manifest.digest);
    // Times are told by the second, and until a tag moves it is what it was: so it moves in another second than it was made in.
    let made = &person.objects(&format!("history {REPOSITORY}:1"))?[0];
    let made: jiff::Timestamp = made["at"].as_str().unwrap_or_default().parse().or_fail("a move has a time")?;
    while jiff::Timestamp::now().as_second() <= made.as_second() {
        thread::yield_now();
    }
    server.registry().push_image(REPOSITORY, "1", &second)?;
    let moves = person.objects(&format!("history {REPOSITORY}:1"))?;
    let told = moves.iter().map(|moved| moved["digest"].as_str()).collect::<Vec<_>>();
    holds(told == [Some(two.as_str()), Some(one)], || format!("the latest move stands first: {moves:?}"))?;
    let at = moves[1]["at"].as_str().or_fail("a move has a time")?;
    person.types(&format!("history {REPOSITORY}:1@{{{at}}}"), 0, &[one])?;
    person.types(&format!("undelete tag {REPOSITORY}:1@{{{at}}}"), 0, &["is back"])?;
    person.types(&format!("history {REPOSITORY}:1"), 0, &["DIGEST", one, two])?;

    delete(&server, one)?.expect(202)?;
    person.types(&format!("undelete list {REPOSITORY}"), 0, &["UNTIL", one, ADMIN])?;
    person.types(&format!("undelete manifest {REPOSITORY}@{one}"), 0, &["is back"])?;
    server.registry().check_image(REPOSITORY, "1")?;
    delete(&server, "2")?.expect(202)?;
    person.types(&format!("undelete tag {REPOSITORY}:2"), 0, &["is back"])?;
    server.registry().check_image(REPOSITORY, "2")?;

    person.types(&format!("repo delete {REPOSITORY}"), 0, &["deleted"])?;
    person.types(&format!("undelete repositories {ADMIN}"), 0, &["UNTIL", REPOSITORY])?;
    person.types(&format!("undelete repository {REPOSITORY}"), 0, &["is back, private"])?;
    server.registry().check_image(REPOSITORY, "1")?;
    server.registry().check_image(REPOSITORY, "2").map(drop)
}

#[test]
fn what_is_held_stays_until_it_is_released() -> Outcome<()> {
    let (server, person, [first, _]) = with_two()?;
    let digest = &first.manifest.digest;
    person.types(&format!("hold place {REPOSITORY}@{digest} --kind legal --reason case-7"), 0, &["is held"])?;
    person.types(&format!("hold list {REPOSITORY}"), 0, &["REASON", digest, "legal", ADMIN, "case-7"])?;
    let refused = delete(&server, digest)?.expect(403)?;
    holds(refused.text().contains("case-7"), || format!("whoever deletes it is told why not: {refused}"))?;
    person.types(&format!("hold release {REPOSITORY}@{digest} --kind legal"), 0, &["is held no more"])?;
    delete(&server, digest)?.expect(202).map(drop)
}

#[test]
fn rules_are_set_shown_and_tried_before_they_hold() -> Outcome<()> {
    let (server, person, [first, second]) = with_two()?;
    let folder = tempfile::tempdir()?;
    let write = |name: &str, rules: serde_json::Value| {
        let file = folder.path().join(name);
        fs::write(&file, rules.to_string()).map(|()| file.display().to_string())
    };
    let fixed = write("fixed.json", json!({"immutable": {"tags": ["1"]}}))?;
    person.types(&format!("policy set {REPOSITORY} {fixed}"), 0, &[])?;
    person.types(&format!("policy show {REPOSITORY}"), 0, &["immutable", "\"1\""])?;
    let refused = delete(&server, "1")?.expect(412)?;
    holds(refused.text().contains("DENIED"), || format!("a tag that does not move: {refused}"))?;

    let rule = json!({"name": "old", "do": "remove", "when": {"tag": "2"}});
    let tried = write("tried.json", json!({"retention": {"rules": [rule]}}))?;
    let preview = person.types(
        &format!("retention preview {REPOSITORY} --rules {tried}"),
        0,
        &["old", &second.manifest.digest],
    )?;
    holds(!preview.output.contains(&first.manifest.digest), || format!("only what would go: {}", preview.output))?;
    server.registry().check_image(REPOSITORY, "2").map(drop)
}

#[test]
fn a_limit_is_set_shown_and_felt_and_sizes_are_counted() -> Outcome<()> {
    let (server, person, _) = with_two()?;
    for of in [REPOSITORY, ADMIN] {
        person.types(&format!("quota set {of} --soft 60kB --hard 90kB"), 0, &["is set"])?;
        person.types(&format!("quota show {of}"), 0, &["HARD", "90000"])?;
        let pushed = server.registry().push_image(REPOSITORY, "3", &Image::random(3, &[50_000]));
        let told = pushed.err().map(|failure| failure.to_string()).unwrap_or_default();
        holds(told.contains("quota") && told.contains("90000"), || {
            format!("the limit of {of} was to be felt: {told}")
        })?;
        let sizes = person.objects(&format!("size {of}"))?.remove(0);
        let logical = sizes["logical"].as_u64().unwrap_or_default();
        holds((70_000..90_000).contains(&logical), || format!("two layers and what names them: {sizes}"))?;
        person.types(&format!("size {of}"), 0, &["logical", "reclaimable", "hard limit", "as of"])?;
        person.types(&format!("quota remove {of}"), 0, &["has no quota"])?;
    }
    server.registry().push_image(REPOSITORY, "3", &Image::random(3, &[50_000])).map(drop)
}
