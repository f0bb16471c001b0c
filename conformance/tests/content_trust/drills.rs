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

#[test]
fn who_holds_the_root_of_a_collection_names_the_new_keys_and_clients_of_notary_follow() -> Outcome<()> {
    let mut world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    let old = Notary::admin(&world, "old")?;
    let file = notary.content("file", 500)?;
    notary.run(&["init", &gun])?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    old.lists(&gun, &["v1"])?;
    loses_its_master_key(&mut world, &["--new-root"])?;

    // What is published is served, and nothing more can be.
    Notary::admin(&world, "between")?.lists(&gun, &["v1"])?;
    notary.run(&["add", &gun, "v2", text(&file)])?;
    let refused = notary.attempt(&["publish", &gun])?;
    holds(!refused.status.success(), || format!("published with keys that are lost: {refused:?}"))?;
    notary.run(&["key", "rotate", &gun, "timestamp", "-r"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    notary.run(&["publish", &gun])?;
    for client in [&notary, &old, &Notary::admin(&world, "fresh")?] {
        client.lists(&gun, &["v1", "v2"])?;
    }
    Ok(())
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
    let told = reader.refused_by_verify("1")?;
    holds(told.contains("valid signatures"), || format!("with the old pin verify said {told}"))?;
    reader.signs_in()?;
    reader.pins_again()?;
    reader.all_find("1", Some(&one))
}
