//! Who may read, publish, rotate and delete: what their clients are told, and what the server holds after it.

use std::process::Command;

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    http::encode,
    image::{Image, write_layout},
    process::attempt,
    tools,
};
use serde_json::{Value, json};

use super::{
    client::{Notary, all, text},
    world::{Person, World},
};

const REPOSITORY: &str = "acme/app";

/// What the client prints when it may not.
const REFUSED: &str = "you are not authorized to perform this operation: server returned 401";

/// A hidden repository of an organization, with one image and one target.
struct Scene {
    world: World,
    owner: Notary,
    gun: String,
}

impl Scene {
    fn open() -> Outcome<Self> {
        let world = World::new()?;
        world.manage("POST", "/organizations", &json!({ "name": "acme" }))?;
        for name in [REPOSITORY, "acme/other"] {
            world.manage("POST", "/repositories", &json!({ "name": name }))?;
        }
        let (owner, gun) = (Notary::admin(&world, "owner")?, world.gun(REPOSITORY));
        owner.run(&["init", &gun, "-p"])?;
        let file = owner.content("file", 500)?;
        owner.run(&["add", &gun, "v1", text(&file), "-p"])?;
        Ok(Self { world, owner, gun })
    }

    /// A client of somebody else who has all the keys, so that only the server can refuse.
    fn client(&self, person: &Person) -> Outcome<Notary> {
        let twin = self.owner.twin(&self.world, &format!("of-{}", person.name))?;
        Ok(twin.of(person.clone()))
    }

    fn robot(&self, rights: &str) -> Outcome<Person> {
        self.world.manage("POST", "/accounts/acme/robots", &json!({ "name": "ci" }))?;
        self.world.grant(rights, REPOSITORY, "robot:acme+ci")?;
        let path = "/accounts/acme/robots/ci/secrets";
        let made = self.world.manage("POST", path, &json!({ "overlap_seconds": 0 }))?;
        Ok(Person::new("acme+ci", made["secret"].as_str().or_fail("there is no secret in the answer")?))
    }

    /// Does something, and holds that the collection is the same after it.
    fn changes_nothing(&self, act: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        let before = self.world.held(&self.gun)?;
        act()?;
        let after = self.world.held(&self.gun)?;
        holds(before.0 == after.0, || format!("the collection was changed to {after:?}"))
    }

    fn adds_nothing(&self, client: &Notary) -> Outcome<()> {
        let file = client.content("file", 501)?;
        let words = ["add", &self.gun, "v2", text(&file), "-p"];
        self.changes_nothing(|| client.refused(&words, REFUSED))
    }

    /// Holds that somebody is refused what only an administrator of the repository may do.
    fn manages_nothing(&self, person: &Person) -> Outcome<()> {
        let (gun, tuf) = (&self.gun, format!("/v2/{}/_trust/tuf/", self.gun));
        self.changes_nothing(|| {
            for (method, path) in [("DELETE", tuf.clone()), ("POST", format!("{tuf}timestamp.key"))] {
                let answer =
                    self.world.ask_as(person, (gun, "*"), &["--request", method, "--data-binary", ""], &path)?;
                let refused = [401, 403, 404].contains(&answer.status);
                holds(refused, || format!("{method} {path} was answered {} {}", answer.status, answer.text()))?;
            }
            let client = self.client(person)?;
            client.refused(&["delete", gun, "--remote"], REFUSED)?;
            client.refused(&["key", "rotate", gun, "timestamp", "-r"], REFUSED)
        })
    }
}

#[test]
fn who_may_read_lists_and_does_not_publish() -> Outcome<()> {
    let scene = Scene::open()?;
    let reader = scene.world.person("rita", "read", REPOSITORY)?;
    let client = scene.client(&reader)?;
    client.lists(&scene.gun, &["v1"])?;
    scene.adds_nothing(&client)?;
    scene.manages_nothing(&reader)
}

#[test]
fn a_robot_that_may_sign_publishes_and_pushes_no_image() -> Outcome<()> {
    let scene = Scene::open()?;
    let robot = scene.robot("read+sign")?;
    let client = scene.client(&robot)?;
    let file = client.content("file", 501)?;
    client.run(&["add", &scene.gun, "v2", text(&file), "-p"])?;
    client.lists(&scene.gun, &["v1", "v2"])?;
    let held = scene.world.held(&scene.gun)?.targets("targets");
    holds(held == ["v1", "v2"], || format!("the server holds {held:?}"))?;

    let (layout, home) = (scene.world.path("layout"), scene.world.home("crane")?);
    write_layout(&layout, &Image::random(1, &[1_000]), "1")?;
    let crane = |words: &[&str]| {
        let mut command = Command::new(tools::locate("crane")?);
        command.env_clear().env("DOCKER_CONFIG", &home).env("SSL_CERT_FILE", scene.world.authority());
        attempt(command.args(words))
    };
    crane(&["auth", "login", &scene.world.host(), "-u", &robot.name, "-p", &robot.secret])?;
    let pushed = crane(&["push", text(&layout), &format!("{}:1", scene.gun)])?;
    let said = all(&pushed);
    holds(!pushed.status.success() && (said.contains("UNAUTHORIZED") || said.contains("DENIED")), || {
        format!("the push was to be refused: {said}")
    })?;
    let tags =
        scene.world.ask_as(&Person::admin(), (REPOSITORY, "pull"), &[], &format!("/v2/{REPOSITORY}/tags/list"))?;
    holds(tags.json()?["tags"].as_array().is_none_or(Vec::is_empty), || format!("it holds {}", tags.text()))?;
    scene.manages_nothing(&robot)
}

#[test]
fn a_stranger_is_asked_for_a_token_of_the_collection() -> Outcome<()> {
    let scene = Scene::open()?;
    let (gun, tuf) = (&scene.gun, format!("/v2/{}/_trust/tuf/", scene.gun));
    let asked = [
        ("GET", format!("{tuf}root.json"), "pull"),
        ("GET", format!("/v2/{gun}/_trust/changefeed?records=0"), "pull"),
        ("POST", tuf.clone(), "pull,push"),
        ("GET", format!("{tuf}timestamp.key"), "pull,push"),
        ("POST", format!("{tuf}timestamp.key"), "*"),
        ("DELETE", tuf, "*"),
    ];
    scene.changes_nothing(|| {
        for (method, path, actions) in &asked {
            let answer = scene.world.ask(&["--request", method], path)?;
            let scope = format!("scope=\"repository:{gun}:{actions}\"");
            let told =
                answer.head.to_ascii_lowercase().contains("www-authenticate: bearer") && answer.head.contains(&scope);
            holds(answer.status == 401 && told, || {
                format!("{method} {path}: {scope} was expected in {}", answer.head)
            })?;
        }
        Ok(())
    })?;
    let stranger = Notary::new(&scene.world, "stranger", None)?;
    stranger.refused(&["list", gun], REFUSED)
}

#[test]
fn a_user_of_another_repository_neither_reads_nor_publishes() -> Outcome<()> {
    let scene = Scene::open()?;
    let other = scene.world.person("otto", "read+write+sign", "acme/other")?;
    let client = scene.client(&other)?;
    client.refused(&["list", &scene.gun], REFUSED)?;
    scene.adds_nothing(&client)?;
    scene.manages_nothing(&other)?;
    let path = format!("/v2/{}/_trust/tuf/targets.json", scene.gun);
    let answer = scene.world.ask_as(&other, (&scene.gun, "pull"), &[], &path)?;
    holds([401, 403, 404].contains(&answer.status), || format!("the targets were given: {}", answer.text()))?;
    // A right on its own repository is one on its own collection.
    let (gun, file) = (scene.world.gun("acme/other"), client.content("file", 502)?);
    client.run(&["init", &gun])?;
    client.run(&["add", &gun, "v1", text(&file), "-p"])?;
    client.lists(&gun, &["v1"])
}

#[test]
fn who_may_administrate_the_repository_rotates_and_deletes() -> Outcome<()> {
    let scene = Scene::open()?;
    let keeper = scene.world.person("mia", "admin", REPOSITORY)?;
    let client = scene.client(&keeper)?;
    let before = scene.world.held(&scene.gun)?;
    client.run(&["key", "rotate", &scene.gun, "timestamp", "-r"])?;
    let after = scene.world.held(&scene.gun)?;
    holds(before.keys("timestamp") != after.keys("timestamp"), || "the timestamp's key was to change".into())?;
    client.run(&["delete", &scene.gun, "--remote"])?;
    scene.world.holds_nothing(&scene.gun)
}

#[test]
fn a_collection_under_a_foreign_host_is_no_collection_here() -> Outcome<()> {
    let scene = Scene::open()?;
    let gun = format!("registry.example/{REPOSITORY}");
    let (tuf, file) = (format!("/v2/{gun}/_trust/tuf/"), scene.world.path("part"));
    std::fs::write(&file, "{}")?;
    let form = format!("files=@{};filename=root", file.display());
    let admin = Person::admin();
    scene.world.ask_as(&admin, (&gun, "pull,push"), &["--form", &form], &tuf)?.refuses(400, "INVALID_GUN")?;
    for file in ["root", "timestamp"] {
        let path = format!("{tuf}{file}.json");
        scene.world.ask_as(&admin, (&gun, "pull"), &[], &path)?.refuses(404, "METADATA_NOT_FOUND")?;
    }
    Ok(())
}

/// What a client sent first, as words for curl that send it again.
fn parts(world: &World, gun: &str) -> Outcome<Vec<String>> {
    let mut words = Vec::new();
    for role in ["root", "targets", "snapshot"] {
        let path = world.path(role);
        std::fs::write(&path, world.file(gun, role)?.body)?;
        words.extend(["--form".to_owned(), format!("files=@{};filename={role}", path.display())]);
    }
    Ok(words)
}

#[test]
fn a_publish_to_a_repository_that_is_deleted_meanwhile_leaves_nothing() -> Outcome<()> {
    let scene = Scene::open()?;
    let file = scene.owner.content("file", 500)?;
    for round in 0..4 {
        let name = format!("acme/short-{round}");
        let gun = scene.world.gun(&name);
        scene.world.manage("POST", "/repositories", &json!({ "name": name }))?;
        scene.owner.run(&["init", &gun, "-p"])?;
        let form = parts(&scene.world, &gun)?;
        let form: Vec<&str> = form.iter().map(String::as_str).collect();
        scene.owner.run(&["add", &gun, "v1", text(&file)])?;
        let path = format!("/repositories/{}", encode(&name));
        let before = scene.world.reads();
        let publishing = scene.owner.begin(&["publish", &gun])?;
        scene.world.wait_for_read(before)?;
        scene.world.manage("DELETE", &path, &Value::Null)?;
        publishing.wait_with_output()?;
        scene.owner.run(&["add", &gun, "v2", text(&file)])?;
        // By the server, or before by the client itself, whose files are then of two states.
        scene.owner.refused(&["publish", &gun], "* fatal:")?;
        let answer =
            scene.world.ask_as(&Person::admin(), (&gun, "pull,push"), &form, &format!("/v2/{gun}/_trust/tuf/"))?;
        holds([400, 404].contains(&answer.status), || format!("{} {}", answer.status, answer.text()))?;
        scene.world.holds_nothing(&gun)?;
        let left = scene.world.ask(&["--user", &Person::admin().login()], &format!("/api/v1{path}"))?;
        holds(left.status == 404, || format!("the repository is there again: {}", left.text()))?;
    }
    scene.owner.lists(&scene.gun, &["v1"])
}
