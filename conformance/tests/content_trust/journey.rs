//! `notary` from the first publish to the deletion: targets, delegations and their bounds.

use hallmark_conformance::{Outcome, check::holds, failure::While, image::digest};

use super::{
    client::{Notary, text},
    world::{World, write_signer},
};

#[test]
fn notary_begins_adds_lists_verifies_and_removes() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    let file = notary.content("one", 500)?;
    let sum = digest(&std::fs::read(&file)?);
    notary.run(&["init", &gun])?;
    world.holds_nothing(&gun)?;
    notary.run(&["add", &gun, "v1", text(&file)])?;
    notary.run(&["publish", &gun])?;
    notary.lists(&gun, &["v1"])?;
    let held = world.held(&gun)?;
    holds(held.target("targets", "v1") == Some((sum.clone(), 500)), || "v1 is not what was added".into())?;
    notary.run(&["verify", &gun, "v1", "-i", text(&file), "-q"])?;
    let other = notary.content("other", 501)?;
    notary.refused(&["verify", &gun, "v1", "-i", text(&other), "-q"], "data not present in the trusted collection")?;

    let bare = sum.strip_prefix("sha256:").or_fail("a digest has an algorithm")?;
    notary.run(&["addhash", &gun, "v2", "1234", "--sha256", bare, "-p"])?;
    let listed = notary.list(&gun)?;
    let told: Vec<_> =
        listed.iter().map(|target| (target.name.as_str(), target.digest.as_str(), target.size)).collect();
    holds(told == [("v1", bare, 500), ("v2", bare, 1234)], || format!("listed: {listed:?}"))?;
    holds(world.held(&gun)?.target("targets", "v2") == Some((sum, 1234)), || "v2 is not what was added".into())?;

    notary.run(&["remove", &gun, "v1", "-p"])?;
    notary.lists(&gun, &["v2"])?;
    let after = world.held(&gun)?;
    holds(after.targets("targets") == ["v2"], || format!("{:?} are held", after.targets("targets")))?;
    for role in ["targets", "snapshot", "timestamp"] {
        let versions = (held.version(role), after.version(role));
        holds(versions.1 > versions.0, || format!("{role} went from version {} to {}", versions.0, versions.1))?;
    }
    Ok(())
}

/// A collection of `admin/app` with a first target, and two signers of one role, whose keys the client has.
fn delegated(world: &World, paths: &[&str]) -> Outcome<(Notary, String)> {
    let (notary, gun) = (Notary::admin(world, "ann")?, world.gun("admin/app"));
    notary.run(&["init", &gun, "-p"])?;
    for name in ["alice", "bob"] {
        let (key, certificate) = write_signer(notary.home(), name)?;
        let words = [&["delegation", "add", &gun, "targets/team", text(&certificate)], paths, &["-p"]].concat();
        notary.run(&words)?;
        notary.run(&["key", "import", text(&key), "--role", "targets/team"])?;
    }
    Ok((notary, gun))
}

/// The ids that `delegation list` prints and `delegation remove` takes: of the keys, not of their certificates.
fn signers(notary: &Notary, gun: &str) -> Outcome<Vec<String>> {
    let printed = notary.run(&["delegation", "list", gun])?;
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(printed.split_whitespace().filter(is_id).map(str::to_owned).collect())
}

#[test]
fn two_signers_of_one_role_and_of_two_roles_publish() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--all-paths"])?;
    let (key, certificate) = write_signer(notary.home(), "carol")?;
    notary.run(&["delegation", "add", &gun, "targets/releases", text(&certificate), "--all-paths", "-p"])?;
    notary.run(&["key", "import", text(&key), "--role", "targets/releases"])?;
    let (told, held) = (signers(&notary, &gun)?, world.held(&gun)?);
    let counts = [held.delegates("targets/team").len(), held.delegates("targets/releases").len()];
    holds(told.len() == 3 && counts == [2, 1], || format!("{told:?} are listed, and the server holds {counts:?}"))?;
    let file = notary.content("one", 500)?;
    for (name, role) in [("v1", "targets/team"), ("v2", "targets/releases")] {
        notary.run(&["add", &gun, name, text(&file), "--roles", role, "-p"])?;
    }
    let listed: Vec<_> = notary.list(&gun)?.into_iter().map(|target| (target.name, target.role)).collect();
    let expected = [("v1", "targets/team"), ("v2", "targets/releases")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    holds(listed == expected, || format!("listed: {listed:?}"))?;
    let held = world.held(&gun)?;
    let targets = [held.targets("targets/team"), held.targets("targets/releases")];
    holds(targets == [["v1"], ["v2"]], || format!("{targets:?} are held"))
}

#[test]
fn a_removed_role_begins_anew_with_another_signer() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--all-paths"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    let file = notary.content("one", 500)?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    notary.run(&["add", &gun, "v2", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v1", "v2"])?;
    notary.run(&["delegation", "remove", &gun, "targets/team", "-y", "-p"])?;
    notary.lists(&gun, &["v1"])?;
    holds(world.held(&gun)?.delegation("targets/team").is_none(), || "the role was to be gone".into())?;

    let (key, certificate) = write_signer(notary.home(), "carol")?;
    notary.run(&["delegation", "add", &gun, "targets/team", text(&certificate), "--all-paths", "-p"])?;
    notary.run(&["key", "import", text(&key), "--role", "targets/team"])?;
    notary.run(&["add", &gun, "v3", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v1", "v3"])?;
    notary.run(&["add", &gun, "v4", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v1", "v3", "v4"])
}

/// By the same signers, where the client signs the snapshot, which names no role that was removed.
#[test]
fn a_removed_role_begins_anew_with_those_who_signed_it_before() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--all-paths"])?;
    let file = notary.content("one", 500)?;
    for name in ["v1", "v2"] {
        notary.run(&["add", &gun, name, text(&file), "--roles", "targets/team", "-p"])?;
    }
    let before = world.held(&gun)?;
    // By its version it may be another file one day.
    for (role, kept) in [("targets/team", "no-cache"), ("targets", "immutable")] {
        let answer = world.file(&gun, &format!("{}.{role}", before.version(role)))?;
        holds(answer.status == 200 && answer.head.contains(kept), || format!("{role} is answered {}", answer.head))?;
    }
    notary.run(&["delegation", "remove", &gun, "targets/team", "-y", "-p"])?;
    let certificate = notary.home().join("alice.crt");
    notary.run(&["delegation", "add", &gun, "targets/team", text(&certificate), "--all-paths", "-p"])?;
    notary.run(&["add", &gun, "v3", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v3"])?;
    let old = world.brings_back(&gun, "targets/team", &before)?;
    holds(old.status == 400 && old.text().contains("began anew"), || format!("an old file met {}", old.text()))?;
    notary.run(&["add", &gun, "v4", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v3", "v4"])
}

/// The client's snapshot no longer names a role that `targets` no longer names: it stays published, but nobody trusts it.
#[test]
fn a_role_is_removed_where_the_client_signs_the_snapshot() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--all-paths"])?;
    let file = notary.content("one", 500)?;
    notary.run(&["add", &gun, "v1", text(&file), "--roles", "targets/team", "-p"])?;
    notary.run(&["delegation", "remove", &gun, "targets/team", "-y", "-p"])?;
    notary.lists(&gun, &[])?;
    holds(world.held(&gun)?.delegation("targets/team").is_none(), || "the role was to be gone".into())
}

#[test]
fn a_target_outside_of_a_roles_paths_is_refused_with_the_reason() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--paths", "v1/"])?;
    let file = notary.content("one", 500)?;
    notary.run(&["add", &gun, "v1/app", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v1/app"])?;
    let before = world.held(&gun)?;
    // The client itself does not sign what lies outside.
    let words = ["add", &gun, "v2/app", text(&file), "--roles", "targets/team", "-p"];
    notary.refused(&words, "Could not add all targets")?;
    notary.run(&["reset", &gun, "--all"])?;
    holds(world.held(&gun)?.0 == before.0, || "a refused target changed the collection".into())?;

    // But it signs again, unread, what the role holds, when the paths have moved away from it.
    notary.run(&["delegation", "add", &gun, "targets/team", "--paths", "v2/", "-p"])?;
    notary.run(&["delegation", "remove", &gun, "targets/team", "--paths", "v1/", "-y", "-p"])?;
    notary.lists(&gun, &[])?;
    let before = world.held(&gun)?;
    notary.refused(&["witness", &gun, "targets/team", "-p"], "it names a target outside the paths of its role")?;
    holds(world.held(&gun)?.0 == before.0, || "a refused role changed the collection".into())
}

#[test]
fn a_delegation_whose_key_is_gone_is_told_and_healed_by_witness() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = delegated(&world, &["--all-paths"])?;
    let file = notary.content("one", 500)?;
    notary.run(&["add", &gun, "v1", text(&file), "--roles", "targets/team", "-p"])?;
    let held = world.held(&gun)?;
    let signed = held.0["targets/team"]["signatures"].as_array().cloned().unwrap_or_default();
    let signer = signed.first().and_then(|signature| signature["keyid"].as_str()).or_fail("nobody signed")?.to_owned();
    // A signer who has signed nothing takes the place of those who have.
    let signers_before = signers(&notary, &gun)?;
    let (key, certificate) = write_signer(notary.home(), "carol")?;
    notary.run(&["delegation", "add", &gun, "targets/team", text(&certificate), "-p"])?;
    for id in signers_before {
        notary.run(&["delegation", "remove", &gun, "targets/team", &id, "-y", "-p"])?;
    }
    let left = world.held(&gun)?.delegates("targets/team");
    holds(left.len() == 1 && left[0] != signer, || format!("{left:?} are left"))?;
    let told = notary.run(&["list", &gun])?;
    holds(told.contains("targets/team") && !told.contains("v1 "), || {
        format!("the broken role was to be told: {told}")
    })?;

    notary.run(&["key", "import", text(&key), "--role", "targets/team"])?;
    notary.run(&["witness", &gun, "targets/team", "-p"])?;
    notary.lists(&gun, &["v1"])?;
    notary.run(&["add", &gun, "v2", text(&file), "--roles", "targets/team", "-p"])?;
    notary.lists(&gun, &["v1", "v2"])?;
    holds(world.held(&gun)?.targets("targets/team") == ["v1", "v2"], || "the role was to hold both".into())
}

#[test]
fn a_deleted_collection_is_gone_and_begins_anew() -> Outcome<()> {
    let world = World::new()?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    let file = notary.content("one", 500)?;
    notary.run(&["init", &gun])?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    let before = world.held(&gun)?;
    notary.run(&["delete", &gun, "--remote"])?;
    world.holds_nothing(&gun)?;
    notary.refused(&["list", &gun], "does not have trust data for")?;

    notary.run(&["init", &gun, "-p"])?;
    for (name, names) in [("v2", &["v2"][..]), ("v3", &["v2", "v3"])] {
        notary.run(&["add", &gun, name, text(&file), "-p"])?;
        notary.lists(&gun, names)?;
    }
    let after = world.held(&gun)?;
    holds(after.targets("targets") == ["v2", "v3"], || format!("{:?} are held", after.targets("targets")))?;
    holds(after.keys("timestamp") != before.keys("timestamp"), || "a key of a deleted collection signs again".into())
}
