//! docker keeps what it logs in with by `docker-credential-hallmark`, and needs no login where `hallmark login` was.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::Image,
    management::Management,
    process::{Ran, attempt, attempt_with_input},
    tools,
};
use serde_json::{Value, json};

use super::{docker::Engine, world::World};

const HELPER: &str = "docker-credential-hallmark";
const PERSON: &str = "bob";
const PASSWORD: &str = "a password of bob";
/// What a refusal reads like.
const REFUSED: &[&str] = &["unauthorized", "denied", "authentication required", "no basic auth"];

/// A registry, an engine, and a person whose docker asks the helper for everything.
struct Scene {
    world: World,
    engine: Engine,
    image: String,
}

impl Scene {
    fn open() -> Outcome<Self> {
        let world = World::new()?;
        let admin = Management::new(world.server.admin());
        admin.ask("POST", "/users", &json!({ "name": PERSON, "password": PASSWORD }))?;
        let (programs, settings) = (world.path("programs"), world.path("home").join("docker"));
        fs::create_dir_all(&programs)?;
        fs::create_dir_all(&settings)?;
        symlink(tools::hallmark()?.with_file_name(HELPER), programs.join(HELPER))?;
        fs::write(settings.join("config.json"), json!({ "credsStore": "hallmark" }).to_string())?;
        let engine = Engine::start(&world, "engine")?;
        let loaded = engine.load(&world, &Image::random(1, &[50_000]), "app:1")?;
        let image = format!("{}/{PERSON}/app:1", world.host());
        let scene = Self { world, engine, image };
        scene.does(&scene.engine, &["tag", &loaded, &scene.image])?;
        Ok(scene)
    }

    fn docker(&self, engine: &Engine, words: &[&str]) -> Outcome<Ran> {
        let search = format!("{}:/usr/bin:/bin", self.world.path("programs").display());
        attempt(engine.command(&self.world, words)?.env("PATH", search))
    }

    fn does(&self, engine: &Engine, words: &[&str]) -> Outcome<()> {
        let ran = self.docker(engine, words)?;
        holds(ran.status.success(), || format!("docker {words:?}: {}{}", ran.output, ran.complaints))
    }

    fn is_refused(&self, engine: &Engine, words: &[&str]) -> Outcome<()> {
        let ran = self.docker(engine, words)?;
        let said = format!("{}{}", ran.output, ran.complaints).to_lowercase();
        holds(!ran.status.success() && REFUSED.iter().any(|word| said.contains(word)), || {
            format!("docker {words:?} was to be refused with one of {REFUSED:?}: {said}")
        })
    }

    /// The person at the registry's own program, with the folder of configuration that their docker's helper has.
    fn hallmark(&self, words: &[&str], input: &str) -> Outcome<()> {
        let home = self.world.path("home");
        let mut command = Command::new(tools::hallmark()?);
        command.env_clear().env("HOME", &home).env("XDG_CONFIG_HOME", home.join("config")).args(words);
        let ran = attempt_with_input(&mut command, input)?;
        holds(ran.status.success(), || format!("hallmark {words:?}: {}{}", ran.output, ran.complaints))
    }

    /// Pushes, and pulls what was pushed by an engine that has nothing yet.
    fn pushes_and_pulls(&self, fresh: &str) -> Outcome<()> {
        self.does(&self.engine, &["push", &self.image])?;
        self.world.registry().check_image(&format!("{PERSON}/app"), "1")?;
        self.does(&Engine::start(&self.world, fresh)?, &["pull", &self.image])
    }

    /// What the helper keeps, and the mode of that file.
    fn kept(&self) -> Outcome<(String, u32)> {
        let file = self.world.path("home").join("config/hallmark/credentials.toml");
        let mode = file.metadata()?.permissions().mode() & 0o777;
        Ok((fs::read_to_string(file)?, mode))
    }

    /// What docker itself keeps.
    fn of_docker(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.world.path("home").join("docker/config.json"))?)
    }
}

#[test]
fn docker_logs_in_pushes_pulls_and_logs_out_by_the_helper() -> Outcome<()> {
    let scene = Scene::open()?;
    let (engine, host) = (&scene.engine, scene.world.host());
    scene.is_refused(engine, &["push", &scene.image])?;
    scene.is_refused(engine, &["login", "-u", PERSON, "-p", "wrong", &host])?;
    scene.does(engine, &["login", "-u", PERSON, "-p", PASSWORD, &host])?;
    // The registry gives docker a refresh token in the place of the password, which nobody keeps.
    let (kept, mode) = scene.kept()?;
    let is_token = kept.contains(&host) && kept.contains("\"hmr_") && !kept.contains(PASSWORD);
    holds(is_token && mode == 0o600, || format!("the helper keeps, with the mode {mode:o}: {kept}"))?;
    // docker leaves an empty entry of the registry, and nothing to log in with.
    let own: Value = serde_json::from_str(&scene.of_docker()?)?;
    holds(own["credsStore"] == "hallmark" && own["auths"][&host] == json!({}), || format!("docker keeps {own}"))?;
    scene.pushes_and_pulls("fresh")?;
    scene.does(engine, &["logout", &host])?;
    let (kept, _) = scene.kept()?;
    holds(!kept.contains(&host) && !kept.contains("hmr_"), || {
        format!("after docker's logout the helper keeps {kept}")
    })?;
    scene.is_refused(engine, &["pull", &scene.image])?;
    scene.is_refused(engine, &["push", &scene.image])
}

#[test]
fn docker_needs_no_login_where_the_person_signed_in_already() -> Outcome<()> {
    let scene = Scene::open()?;
    let url = format!("http://{}", scene.world.host());
    scene.hallmark(&["login", &url, "--user", PERSON, "--password-stdin"], PASSWORD)?;
    scene.pushes_and_pulls("fresh")?;
    holds(!scene.of_docker()?.contains("auth"), || "docker was not to keep anything".into())?;
    scene.hallmark(&["logout"], "")?;
    scene.is_refused(&scene.engine, &["push", &scene.image])
}
