//! The drills of docs/signer.md to their ends: the master key is lost, and what clients of both dialects say before and after.

use std::fs;

use hallmark_conformance::{Outcome, check::holds};

use super::{
    client::{Notary, text},
    people::{CURRENT, by_password},
    signed_tags::Reader,
    world::World,
};

/// The master key is gone; nothing opens, and every sealed key is abandoned. With `more` words for that.
fn loses_its_master_key(world: &mut World, more: &[&str]) -> Outcome<()> {
    world.stop()?;
    fs::remove_file(world.data().join("master.key"))?;
    let refused = world.start();
    holds(refused.is_err() && world.log().contains("does not open"), || {
        format!("a registry whose keys nothing opens was to say so: {}", world.log())
    })?;
    let said = world.says(&[&["signer", "abandon", "--yes"], more].concat())?;
    holds(said.contains("keys deleted"), || format!("abandon said {said}"))?;
    world.start()
}

/// Somebody who publishes to a collection, and somebody who has read it.
fn published(world: &World) -> Outcome<(Notary, Notary, String)> {
    let (notary, old, gun) = (Notary::admin(world, "ann")?, Notary::admin(world, "old")?, world.gun("admin/app"));
    let file = notary.content("file", 500)?;
    notary.run(&["init", &gun])?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    old.lists(&gun, &["v1"])?;
    Ok((notary, old, gun))
}

/// Publishes one more, and holds that who published, who has read before and who has not all list both.
fn goes_on(world: &World, (notary, old, gun): &(Notary, Notary, String)) -> Outcome<()> {
    notary.run(&["add", gun, "v2", text(&notary.content("file", 500)?), "-p"])?;
    for client in [notary, old, &Notary::admin(world, "fresh")?] {
        client.lists(gun, &["v1", "v2"])?;
    }
    Ok(())
}

#[test]
fn who_holds_the_root_of_a_collection_names_a_new_timestamp_key_and_clients_of_notary_follow() -> Outcome<()> {
    let mut world = World::new()?;
    let site = published(&world)?;
    let (notary, _, gun) = &site;
    loses_its_master_key(&mut world, &["--new-root"])?;
    // What is published is served, and nothing more can be.
    Notary::admin(&world, "between")?.lists(gun, &["v1"])?;
    let refused = notary.attempt(&["add", gun, "lost", text(&notary.content("file", 500)?), "-p"])?;
    holds(!refused.status.success(), || format!("published with keys that are lost: {refused:?}"))?;
    notary.run(&["reset", gun, "--all"])?;
    notary.run(&["key", "rotate", gun, "timestamp", "-r"])?;
    goes_on(&world, &site)
}

/// A client of Notary's gives one role a new key at a time, and the root between would name a key that is lost: see docs/signer.md.
#[test]
fn where_the_server_signed_snapshots_too_a_backup_brings_the_keys_back_and_nobody_has_to_do_anything() -> Outcome<()> {
    let mut world = World::new()?;
    let site = published(&world)?;
    let (notary, _, gun) = &site;
    notary.run(&["key", "rotate", gun, "snapshot", "-r"])?;
    let (words, copy) = (world.path("words"), world.path("keys.bak"));
    fs::write(&words, "correct horse battery staple\n")?;
    let by = ["--passphrase-file", text(&words)];
    world.says(&[&["signer", "backup", text(&copy)], &by[..]].concat())?;
    loses_its_master_key(&mut world, &[])?;
    for role in ["timestamp", "snapshot"] {
        let refused = notary.attempt(&["key", "rotate", gun, role, "-r"])?;
        holds(!refused.status.success(), || format!("a root was taken that names a lost key: {refused:?}"))?;
    }
    world.stop()?;
    world.says(&["signer", "abandon", "--yes"])?;
    let said = world.says(&[&["signer", "restore", text(&copy)], &by[..]].concat())?;
    holds(said.contains("keys brought back"), || format!("restore said {said}"))?;
    world.start()?;
    goes_on(&world, &site)
}

#[test]
fn where_the_server_signed_snapshots_too_and_nothing_was_copied_the_collection_begins_anew() -> Outcome<()> {
    let mut world = World::new()?;
    let site = published(&world)?;
    let (notary, _, gun) = &site;
    notary.run(&["key", "rotate", gun, "snapshot", "-r"])?;
    loses_its_master_key(&mut world, &["--new-root"])?;
    notary.run(&["delete", gun, "--remote"])?;
    world.holds_nothing(gun)?;
    let file = notary.content("file", 500)?;
    notary.run(&["init", gun])?;
    notary.run(&["add", gun, "v1", text(&file), "-p"])?;
    // Who has seen the collection of before takes this one when they have put what they saw away.
    Notary::admin(&world, "put-away")?.lists(gun, &["v1"])
}

#[test]
fn people_who_hold_the_root_sign_new_keys_and_old_pins_go_on() -> Outcome<()> {
    let mut world = World::new()?;
    {
        let reader = Reader::begin(&world)?;
        let one = reader.push("1", 1)?;
        reader.hallmark(&["sign", &reader.image("1")])?;
        reader.all_find("1", Some(&one))?;
        for name in ["ann.key", "bob.key"] {
            reader.hallmark(&["trust", "root", "key", name])?;
        }
        let init = ["--key", "ann.key.pub", "--key", "bob.key.pub", "--threshold", "2", "--out", "first.draft"];
        by_password(&reader, &[&["trust", "root", "init"], &init[..]].concat())?;
        both_sign(&reader, "first.draft")?;
        by_password(&reader, &["trust", "root", "publish", "first.draft"])?;
        reader.all_find("1", Some(&one))?;
    }
    loses_its_master_key(&mut world, &[])?;

    let reader = Reader::later(&world, 0)?;
    reader.signs_in()?;
    reader.hallmark(&CURRENT)?;
    let roles = ["--role", "targets", "--role", "snapshot", "--role", "timestamp", "--out", "next.draft"];
    reader.hallmark(&[&["trust", "root", "rotate"], &roles[..]].concat())?;
    both_sign(&reader, "next.draft")?;
    reader.hallmark(&["trust", "root", "publish", "next.draft"])?;
    let two = reader.push("2", 2)?;
    reader.hallmark(&["sign", &reader.image("2")])?;
    reader.all_find("2", Some(&two))?;
    reader.all_find("1", Some(&hallmark_conformance::image::digest(&reader.pushed(1))))
}

fn both_sign(reader: &Reader<'_>, draft: &str) -> Outcome<()> {
    for key in ["ann.key", "bob.key"] {
        reader.hallmark(&["trust", "root", "sign", draft, "--key", key])?;
    }
    Ok(())
}

#[test]
fn where_the_root_was_lost_too_old_pins_are_refused_and_the_new_one_finds_what_was_signed() -> Outcome<()> {
    let mut world = World::new()?;
    let one = {
        let reader = Reader::begin(&world)?;
        let one = reader.push("1", 1)?;
        reader.hallmark(&["sign", &reader.image("1")])?;
        reader.all_find("1", Some(&one))?;
        one
    };
    loses_its_master_key(&mut world, &["--new-root"])?;
    let reader = Reader::later(&world, 0)?;
    reader.signs_in()?;
    let (pinned, old) = (reader.home().join("root.json"), reader.home().join("old.json"));
    fs::rename(&pinned, &old)?;
    reader.pins_again()?;
    reader.all_find("1", Some(&one))?;
    fs::rename(&old, &pinned)?;
    let told = reader.refused_by_verify("1")?;
    holds(told.contains("0 valid signatures"), || format!("with the old pin verify said {told}"))
}
