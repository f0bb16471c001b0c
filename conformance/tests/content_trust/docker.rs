//! `docker trust`, and `docker push` and `pull` with content trust on: what is signed is what is pulled.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    engine::Engine,
    failure::While,
    image::{Image, write_layout},
    process::{Ran, attempt, attempt_with_input, run},
    server::{ADMIN, PASSWORD},
    tools,
};
use serde_json::{Value, json};

use super::{
    client::{Notary, all, copy_folder, text},
    signed_tags::{PUBLISHED, Reader},
    world::{Person, World},
};

/// A registry, an engine that is signed in, and images `1` and `2` of `admin/web` in its store.
struct Scene {
    /// Which program is the client.
    client: &'static str,
    world: World,
    engine: Engine,
}

impl Scene {
    fn open(client: &'static str) -> Outcome<Self> {
        let world = World::new()?;
        let home = world.home("docker")?;
        let folder = home.join("tls").join(world.host());
        fs::create_dir_all(&folder)?;
        fs::copy(world.authority(), folder.join("ca.crt"))?;
        let mut dockerd = Command::new(tools::locate("dockerd")?);
        dockerd.env_clear().env("HOME", &home).current_dir(&home);
        let scene = Self { client, engine: Engine::start(dockerd, &world.path("engine"))?, world };
        scene.run(&["login", "-u", ADMIN, "-p", PASSWORD, &scene.world.host()])?;
        for (tag, seed) in [("1", 1), ("2", 2)] {
            let archive = scene.world.path("archive.tar");
            Image::random(seed, &[5_000]).write_docker_archive(&archive, &scene.image(tag))?;
            scene.run(&["load", "-q", "-i", text(&archive)])?;
        }
        Ok(scene)
    }

    fn gun(&self) -> String {
        self.world.gun("admin/web")
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.gun())
    }

    fn command(&self, trusts: bool, words: &[&str]) -> Outcome<Command> {
        let home = self.world.path("docker");
        let mut command = Command::new(tools::locate(self.client)?);
        command.env_clear().env("HOME", &home).env("DOCKER_CONFIG", &home).current_dir(&home);
        command.env("DOCKER_HOST", self.engine.host()).args(words);
        for role in ["ROOT", "REPOSITORY"] {
            command.env(format!("DOCKER_CONTENT_TRUST_{role}_PASSPHRASE"), format!("a passphrase of {role}"));
        }
        if trusts {
            command.env("DOCKER_CONTENT_TRUST", "1");
        }
        Ok(command)
    }

    fn run(&self, words: &[&str]) -> Outcome<String> {
        good(words, &attempt(&mut self.command(false, words)?)?)
    }

    /// Runs it with content trust on.
    fn trusting(&self, words: &[&str]) -> Outcome<String> {
        good(words, &attempt(&mut self.command(true, words)?)?)
    }

    /// Holds that a pull with content trust on is refused since nothing was signed under this tag.
    fn pulls_nothing(&self, tag: &str) -> Outcome<()> {
        let ran = attempt(&mut self.command(true, &["pull", &self.image(tag)])?)?;
        let said = all(&ran);
        let told = ["No valid trust data for", "No trust data for", "does not have trust data for"];
        holds(!ran.status.success() && told.iter().any(|told| said.contains(told)), || {
            format!("the pull of {tag} was to find no trust data: {said}")
        })
    }

    /// The only collection that `docker trust inspect` tells of.
    fn inspect(&self) -> Outcome<Value> {
        let told: Value = serde_json::from_str(&self.run(&["trust", "inspect", &self.gun()])?)?;
        told.get(0).cloned().or_fail(format!("{told} tells of no collection"))
    }

    /// The tags that are told, each with its digest and its signers.
    fn signed(&self) -> Outcome<Vec<(String, String, Vec<String>)>> {
        let told = self.inspect()?;
        let texts = |value: &Value| {
            let texts = value.as_array().into_iter().flatten();
            let mut texts: Vec<_> = texts.filter_map(|text| Some(text.as_str()?.to_owned())).collect();
            texts.sort();
            texts
        };
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tags = told["SignedTags"].as_array().cloned().unwrap_or_default();
        let mut tags: Vec<_> =
            tags.iter().map(|tag| (word(&tag["SignedTag"]), word(&tag["Digest"]), texts(&tag["Signers"]))).collect();
        tags.sort();
        Ok(tags)
    }

    /// Makes a key and adds its owner as a signer; the first one makes the collection.
    fn add_signer(&self, name: &str) -> Outcome<()> {
        self.add_signer_with(name, name)
    }

    /// The same with a key of another name.
    fn add_signer_with(&self, name: &str, key: &str) -> Outcome<()> {
        self.run(&["trust", "key", "generate", key])?;
        let key = self.world.path("docker").join(format!("{key}.pub"));
        self.run(&["trust", "signer", "add", "--key", text(&key), name, &self.gun()]).map(drop)
    }

    /// Removes a signer, and says yes to whatever that asks.
    fn remove_signer(&self, name: &str) -> Outcome<()> {
        let words = ["trust", "signer", "remove", name, &self.gun()];
        good(&words, &attempt_with_input(&mut self.command(false, &words)?, "y\n")?).map(drop)
    }

    /// `notary` with the keys of docker's.
    fn notary(&self) -> Outcome<Notary> {
        Notary::beside_docker(&self.world, "notary", &self.world.path("docker"))
    }

    /// Has crane push images for two platforms and an index of both, and gives the index's media type.
    fn push_index(&self, tag: &str) -> Outcome<&'static str> {
        let crane = |words: &[&str]| {
            let mut crane = Command::new(tools::locate("crane")?);
            crane.env_clear().env("DOCKER_CONFIG", self.world.path("docker"));
            run(crane.env("SSL_CERT_FILE", self.world.authority()).args(words))
        };
        let images = ["amd64", "arm64"].map(|platform| self.image(platform));
        for (platform, seed) in [("amd64", 3), ("arm64", 4)] {
            let layout = self.world.path(platform);
            write_layout(&layout, &Image::for_architecture(platform, seed, &[5_000]), "1")?;
            crane(&["push", text(&layout), &self.image(platform)])?;
        }
        crane(&["index", "append", "-m", &images[0], "-m", &images[1], "-t", &self.image(tag)])?;
        Ok("application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json")
    }

    /// Waits until these tags are told, each with its digest and its signers: what was said is published in a moment.
    fn comes_to(&self, expected: &[(String, String, Vec<String>)]) -> Outcome<()> {
        let begin = Instant::now();
        let mut told = self.signed()?;
        while told != expected {
            holds(begin.elapsed() < PUBLISHED, || format!("{expected:?} were to be told, not {told:?}"))?;
            std::thread::sleep(Duration::from_millis(200));
            told = self.signed()?;
        }
        Ok(())
    }

    /// The digest of the manifest that a tag names in the registry, in hex.
    fn digest(&self, tag: &str) -> Outcome<String> {
        self.digest_as(tag, "application/vnd.docker.distribution.manifest.v2+json")
    }

    /// The same of a manifest of one of these kinds.
    fn digest_as(&self, tag: &str, kinds: &str) -> Outcome<String> {
        let accept = format!("Accept: {kinds}");
        let path = format!("/v2/admin/web/manifests/{tag}");
        let answer = self.world.ask_as(&Person::admin(), ("admin/web", "pull"), &["--header", &accept], &path)?;
        holds(answer.status == 200, || format!("{tag} is answered {}", answer.text()))?;
        Ok(hallmark_conformance::image::digest(&answer.body).trim_start_matches("sha256:").to_owned())
    }
}

fn good(words: &[&str], ran: &Ran) -> Outcome<String> {
    holds(ran.status.success(), || format!("docker {words:?} ended with {}: {}", ran.status, all(ran)))?;
    Ok(ran.output.clone())
}

fn names(told: &Value) -> Vec<&str> {
    let named = told.as_array().into_iter().flatten();
    named.filter_map(|named| named["Name"].as_str()).collect()
}

fn docker_trust_signs_tells_revokes_and_signs_again(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let (one, two) = (scene.image("1"), scene.image("2"));
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &one])?;
    scene.run(&["trust", "sign", &two])?;
    let carol = vec!["carol".to_owned()];
    let expected = [("1", scene.digest("1")?), ("2", scene.digest("2")?)];
    let expected = expected.map(|(tag, digest)| (tag.to_owned(), digest, carol.clone()));
    let signed = scene.signed()?;
    holds(signed == expected, || format!("{expected:?} were to be signed, not {signed:?}"))?;
    let told = scene.inspect()?;
    holds(names(&told["Signers"]) == ["carol"], || format!("{told}"))?;
    let mut keys = names(&told["AdministrativeKeys"]);
    keys.sort_unstable();
    holds(keys == ["Repository", "Root"], || format!("{told}"))?;
    let held = scene.world.held(&scene.gun())?;
    for role in ["targets/carol", "targets/releases"] {
        holds(held.targets(role) == ["1", "2"], || format!("{role} holds {:?}", held.targets(role)))?;
        let target = held.target(role, "1").map(|(digest, _)| digest);
        holds(target == Some(format!("sha256:{}", scene.digest("1")?)), || format!("{role} has {target:?}"))?;
    }

    scene.run(&["trust", "revoke", "-y", &one])?;
    let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, ..)| tag).collect();
    holds(signed == ["2"], || format!("{signed:?} are signed after the first revocation"))?;
    scene.pulls_nothing("1")?;
    scene.run(&["trust", "revoke", "-y", &scene.gun()])?;
    let left = scene.signed()?;
    holds(left.is_empty(), || format!("{left:?} are signed after all was revoked"))?;
    let held = scene.world.held(&scene.gun())?;
    holds(held.targets("targets/releases").is_empty(), || "the server holds targets after all was revoked".into())?;

    scene.run(&["trust", "sign", &one])?;
    let signed = scene.signed()?;
    holds(signed == expected[..1], || format!("{signed:?} are signed after the second time"))?;
    // The client signs with all the keys that it has.
    scene.add_signer("dave")?;
    scene.run(&["trust", "sign", &two])?;
    let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, _, signers)| (tag, signers.join(" "))).collect();
    let expected = [("1", "carol"), ("2", "carol dave")].map(|(tag, signers)| (tag.to_owned(), signers.to_owned()));
    holds(signed == expected, || format!("{signed:?} are signed at the end"))
}

fn docker_removes_the_last_signer(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &scene.image("1")])?;
    if client == "docker-28" {
        // Told not to ask, it sends nothing, and ends well.
        let before = scene.world.held(&scene.gun())?;
        scene.run(&["trust", "signer", "remove", "--force", "carol", &scene.gun()])?;
        holds(scene.world.held(&scene.gun())?.0 == before.0, || "carol was removed without a question".into())?;
    }
    scene.remove_signer("carol")?;
    let told = scene.inspect()?;
    holds(names(&told["Signers"]).is_empty(), || format!("{told}"))?;
    let held = scene.world.held(&scene.gun())?;
    let releases = held.delegates("targets/releases");
    holds(held.delegation("targets/carol").is_none() && releases.is_empty(), || format!("{releases:?} are left"))?;
    scene.pulls_nothing("1")
}

/// Docker's client begins a role at its first version where nobody whom it names has signed it.
fn docker_signs_on_with_another_signer_after_the_last_was_removed(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let (gun, one, two) = (scene.gun(), scene.image("1"), scene.image("2"));
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &one])?;
    scene.run(&["trust", "sign", &scene.image("2")])?;
    let reader = Notary::admin(&scene.world, "reader")?;
    reader.lists(&gun, &["1", "2"])?;
    let (cache, seen) = (scene.world.path("docker").join("trust/tuf"), scene.world.path("seen"));
    scene.trusting(&["pull", &two])?;
    copy_folder(&cache, &seen)?;
    let before = scene.world.held(&gun)?;
    scene.remove_signer("carol")?;
    scene.add_signer("dave")?;
    scene.run(&["trust", "sign", &two])?;

    let expected = [("2".to_owned(), scene.digest("2")?, vec!["dave".to_owned()])];
    let signed = scene.signed()?;
    holds(signed == expected, || format!("{expected:?} were to be signed, not {signed:?}"))?;
    let held = scene.world.held(&gun)?;
    let versions = [&before, &held].map(|held| held.version("targets/releases"));
    holds(versions[0] > 1 && versions[1] == 1, || format!("releases went from {} to {}", versions[0], versions[1]))?;
    scene.pulls_nothing("1")?;
    scene.run(&["rmi", "-f", &two])?;
    scene.trusting(&["pull", &two])?;
    reader.lists(&gun, &["2"])?;
    fs::remove_dir_all(&cache)?;
    copy_folder(&seen, &cache)?;
    scene.run(&["rmi", "-f", &two])?;
    scene.trusting(&["pull", &two])?;

    // Who was removed comes back, and goes on; what she had signed before does not come back with her.
    scene.remove_signer("dave")?;
    let carol = scene.world.path("docker").join("carol.pub");
    scene.run(&["trust", "signer", "add", "--key", text(&carol), "carol", &gun])?;
    let old = scene.world.brings_back(&gun, "targets/releases", &before)?;
    holds(old.status == 400 && old.text().contains("began anew"), || format!("an old file met {}", old.text()))?;
    scene.run(&["trust", "sign", &one])?;
    let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, _, signers)| (tag, signers.join(" "))).collect();
    holds(signed == [("1".to_owned(), "carol".to_owned())], || format!("{signed:?} are signed at the end"))?;
    scene.run(&["rmi", "-f", &one])?;
    scene.trusting(&["pull", &one]).map(drop)
}

/// Readers who have seen a later version, and nothing of the removal, refuse the role once where they still read what they kept: that
/// is where it is no longer than the new file. By then they hold what says who signs now.
fn a_reader_refuses_a_role_that_begins_anew_at_most_once(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let (gun, one, two) = (scene.gun(), scene.image("1"), scene.image("2"));
    scene.add_signer("bob")?;
    scene.run(&["trust", "sign", &two])?;
    scene.run(&["trust", "revoke", "-y", &two])?;
    scene.run(&["trust", "sign", &two])?;
    let reader = Notary::admin(&scene.world, "reader")?;
    reader.lists(&gun, &["2"])?;
    let before = scene.world.held(&gun)?.version("targets/releases");
    scene.remove_signer("bob")?;
    scene.add_signer("caroline")?;
    scene.run(&["trust", "sign", &one])?;
    scene.run(&["trust", "sign", &two])?;
    let after = scene.world.held(&gun)?.version("targets/releases");
    holds(after < before, || format!("releases went from {before} to {after}"))?;
    reader.refused(&["list", &gun], "version 2 is lower than current version 3")?;
    reader.lists(&gun, &["1", "2"])
}

fn a_signer_comes_back_with_another_key(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &scene.image("1")])?;
    scene.remove_signer("carol")?;
    scene.add_signer_with("carol", "another")?;
    for tags in [&["2"][..], &["1", "2"]] {
        scene.run(&["trust", "sign", &scene.image(if tags.len() == 1 { "2" } else { "1" })])?;
        let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, _, signers)| (tag, signers.join(" "))).collect();
        let expected: Vec<_> = tags.iter().map(|tag| ((*tag).to_owned(), "carol".to_owned())).collect();
        holds(signed == expected, || format!("{signed:?} are signed"))?;
    }
    Ok(())
}

/// What the one before had signed is kept by whoever witnesses it, until it is withdrawn.
fn another_signer_witnesses_what_the_last_had_signed(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &scene.image("1")])?;
    scene.remove_signer("carol")?;
    scene.add_signer("dave")?;
    let signed = || -> Outcome<Vec<_>> {
        Ok(scene.signed()?.into_iter().map(|(tag, _, signers)| (tag, signers.join(" "))).collect())
    };
    scene.notary()?.run(&["witness", &scene.gun(), "targets/releases", "-p"])?;
    scene.run(&["trust", "sign", &scene.image("2")])?;
    let both = signed()?;
    let tags: Vec<_> = both.iter().map(|(tag, _)| tag.as_str()).collect();
    holds(tags == ["1", "2"], || format!("{both:?} are signed"))?;
    scene.run(&["trust", "revoke", "-y", &scene.image("1")])?;
    let left = signed()?;
    holds(left == [("2".to_owned(), "dave".to_owned())], || format!("{left:?} are signed after the revocation"))
}

fn one_of_two_signers_is_removed_and_the_other_signs_on(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    for name in ["carol", "dave"] {
        scene.add_signer(name)?;
    }
    scene.run(&["trust", "sign", &scene.image("1")])?;
    scene.remove_signer("carol")?;
    let (gun, before) = (scene.gun(), scene.world.held(&scene.gun())?);
    // It says that the signer is removed, and sends nothing.
    let is_left = before.delegation("targets/carol").is_some() && before.delegates("targets/releases").len() == 2;
    holds(is_left == (client == "docker-28"), || format!("carol is left: {is_left}"))?;
    if is_left {
        let notary = scene.notary()?;
        let told = notary.run(&["delegation", "list", &gun])?;
        let line = told.lines().find(|line| line.starts_with("targets/carol")).unwrap_or_default();
        let id = line.split_whitespace().find(|word| word.len() == 64).or_fail(format!("{told} tells no key"))?;
        notary.run(&["delegation", "remove", &gun, "targets/releases", id, "-y"])?;
        notary.run(&["delegation", "remove", &gun, "targets/carol", "-y", "-p"])?;
    }
    let held = scene.world.held(&gun)?;
    let releases = held.delegates("targets/releases");
    let is_gone = held.delegation("targets/carol").is_none() && releases.len() == 1;
    holds(is_gone, || format!("{releases:?} sign releases"))?;
    scene.run(&["trust", "sign", &scene.image("2")])?;
    let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, _, signers)| (tag, signers.join(" "))).collect();
    let expected = ["1", "2"].map(|tag| (tag.to_owned(), "dave".to_owned()));
    holds(signed == expected, || format!("{signed:?} are signed"))?;
    scene.run(&["rmi", "-f", &scene.image("2")])?;
    scene.trusting(&["pull", &scene.image("2")]).map(drop)
}

fn docker_pushes_and_pulls_what_is_signed_and_nothing_else(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let (one, three) = (scene.image("1"), scene.image("3"));
    scene.trusting(&["push", &one])?;
    let signed = scene.digest("1")?;
    let target = scene.world.held(&scene.gun())?.target("targets", "1").map(|(digest, _)| digest);
    holds(target == Some(format!("sha256:{signed}")), || format!("{target:?} was signed for {signed}"))?;
    let told = scene.signed()?;
    holds(told == [("1".to_owned(), signed.clone(), vec!["Repo Admin".to_owned()])], || format!("{told:?}"))?;

    // Pushed without trust: under a new tag, and over the signed one.
    scene.run(&["tag", &scene.image("2"), &three])?;
    scene.run(&["push", &three])?;
    scene.run(&["tag", &scene.image("2"), &one])?;
    scene.run(&["push", &one])?;
    holds(scene.digest("1")? != signed, || "the tag was to move".into())?;
    scene.run(&["rmi", "-f", &one, &scene.image("2"), &three])?;
    scene.pulls_nothing("3")?;
    let said = scene.trusting(&["pull", &one])?;
    holds(said.contains(&format!("sha256:{signed}")), || format!("{signed} was to be pulled: {said}"))?;
    let digests = scene.run(&["image", "inspect", "--format", "{{json .RepoDigests}}", &one])?;
    let digests: Value = serde_json::from_str(&digests)?;
    holds(digests == json!([format!("{}@sha256:{signed}", scene.gun())]), || format!("{digests} was pulled"))
}

fn docker_pulls_what_is_signed_for_who_may_only_read(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let one = scene.image("1");
    scene.trusting(&["push", &one])?;
    let (signed, before) = (scene.digest("1")?, scene.world.held(&scene.gun())?);
    scene.run(&["rmi", "-f", &one])?;
    let reader = scene.world.person("rita", "read", "admin/web")?;
    scene.run(&["login", "-u", &reader.name, "-p", &reader.secret, &scene.world.host()])?;
    let said = scene.trusting(&["pull", &one])?;
    holds(said.contains(&format!("sha256:{signed}")), || format!("{signed} was to be pulled: {said}"))?;
    holds(scene.signed()?.len() == 1, || "a reader was to be told of the signed tag".into())?;
    // The keys lie there: only the server can refuse.
    let ran = attempt(&mut scene.command(true, &["trust", "revoke", "-y", &one])?)?;
    holds(!ran.status.success() && all(&ran).contains("not authorized"), || format!("revoked: {}", all(&ran)))?;
    holds(scene.world.held(&scene.gun())?.0 == before.0, || "a reader changed the collection".into())
}

fn an_index_is_signed_by_its_hash_and_told_by_docker(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let index = scene.push_index("multi")?;
    let answer = scene.world.ask_as(
        &Person::admin(),
        ("admin/web", "pull"),
        &["--header", &format!("Accept: {index}")],
        "/v2/admin/web/manifests/multi",
    )?;
    let digest = hallmark_conformance::image::digest(&answer.body).trim_start_matches("sha256:").to_owned();
    let (notary, gun) = (Notary::admin(&scene.world, "ann")?, scene.gun());
    notary.run(&["init", &gun])?;
    let size = answer.body.len();
    notary.run(&["addhash", &gun, "multi", &size.to_string(), "--sha256", &digest, "-p"])?;
    let told = scene.signed()?;
    holds(told == [("multi".to_owned(), digest.clone(), vec!["Repo Admin".to_owned()])], || format!("{told:?}"))?;
    let held = scene.world.held(&gun)?.target("targets", "multi");
    holds(held == Some((format!("sha256:{digest}"), size as u64)), || format!("{held:?}"))?;
    let said = scene.trusting(&["pull", &scene.image("multi")])?;
    holds(said.contains(&digest), || format!("{digest} was to be pulled: {said}"))
}

fn what_hallmark_signs_is_told_by_docker_where_its_key_is_a_signer_s(client: &'static str) -> Outcome<()> {
    let scene = Scene::open(client)?;
    let index = scene.push_index("multi")?;
    let multi = scene.digest_as("multi", index)?;
    let gun = scene.gun();
    let reader = Reader::later(&scene.world, 0)?.of("admin/web", "root.json");
    reader.signs_in()?;
    let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    reader.hallmark(&["sign", &scene.image("multi")])?;
    reader.hallmark(&["trust", "signer", "key", "admin/web", "--out", "hallmark.pub"])?;
    let key = reader.home().join("hallmark.pub");
    scene.run(&["trust", "signer", "add", "--key", text(&key), "hallmark", &gun])?;
    let of_index = ("multi".to_owned(), multi.clone(), by(&["hallmark"]));
    scene.comes_to(std::slice::from_ref(&of_index))?;
    let said = scene.trusting(&["pull", &scene.image("multi")])?;
    holds(said.contains(&multi), || format!("{multi} was to be pulled: {said}"))?;

    // Beside a signer who is a person: each signs and withdraws for themselves.
    scene.add_signer("carol")?;
    scene.run(&["trust", "sign", &scene.image("1")])?;
    let one = scene.digest("1")?;
    let of_one = |names: &[&str]| ("1".to_owned(), one.clone(), by(names));
    scene.comes_to(&[of_one(&["carol"]), of_index.clone()])?;
    reader.hallmark(&["sign", &scene.image("1")])?;
    scene.comes_to(&[of_one(&["carol", "hallmark"]), of_index.clone()])?;
    reader.hallmark(&["trust", "revoke", &scene.image("1")])?;
    scene.comes_to(&[of_one(&["carol"]), of_index])?;
    reader.hallmark(&["trust", "revoke", &scene.image("multi")])?;
    scene.comes_to(&[of_one(&["carol"])])?;
    scene.pulls_nothing("multi")?;

    // A tag that moves is signed no more, and what it means then is, once somebody says so.
    reader.hallmark(&["sign", &scene.image("multi")])?;
    scene.comes_to(&[of_one(&["carol"]), ("multi".to_owned(), multi, by(&["hallmark"]))])?;
    let moved = reader.push("multi", 7)?.trim_start_matches("sha256:").to_owned();
    scene.comes_to(&[of_one(&["carol"])])?;
    reader.hallmark(&["sign", &scene.image("multi")])?;
    let moved = ("multi".to_owned(), moved, by(&["hallmark"]));
    scene.comes_to(&[of_one(&["carol"]), moved.clone()])?;

    // A key takes the place of another, and both may be named meanwhile.
    reader.hallmark(&["trust", "signer", "key", "admin/web", "--out", "next.pub", "--next"])?;
    let next = reader.home().join("next.pub");
    holds(fs::read(&key)? != fs::read(&next)?, || "the next key is the one before".to_owned())?;
    scene.run(&["trust", "signer", "add", "--key", text(&next), "hallmark", &gun])?;
    reader.hallmark(&["sign", &scene.image("1")])?;
    scene.comes_to(&[of_one(&["carol", "hallmark"]), moved])?;
    // Carol signs on, whatever the registry signed in between.
    scene.run(&["trust", "sign", &scene.image("2")])?;
    let signed: Vec<_> = scene.signed()?.into_iter().map(|(tag, ..)| tag).collect();
    holds(signed == ["1", "2", "multi"], || format!("{signed:?} are signed"))
}

/// Each test by Debian's client, and by the last series that has `docker trust`.
macro_rules! by_each_client {
    ($($test:ident)*) => {
        mod debian {
            $(
                #[test]
                fn $test() -> super::Outcome<()> {
                    super::$test("docker")
                }
            )*
        }

        mod series_28 {
            $(
                #[test]
                fn $test() -> super::Outcome<()> {
                    super::$test("docker-28")
                }
            )*
        }
    };
}

by_each_client! {
    docker_trust_signs_tells_revokes_and_signs_again
    docker_removes_the_last_signer
    docker_signs_on_with_another_signer_after_the_last_was_removed
    a_reader_refuses_a_role_that_begins_anew_at_most_once
    a_signer_comes_back_with_another_key
    another_signer_witnesses_what_the_last_had_signed
    one_of_two_signers_is_removed_and_the_other_signs_on
    docker_pushes_and_pulls_what_is_signed_and_nothing_else
    docker_pulls_what_is_signed_for_who_may_only_read
    an_index_is_signed_by_its_hash_and_told_by_docker
    what_hallmark_signs_is_told_by_docker_where_its_key_is_a_signer_s
}
