//! Docker, podman and crane sign in with each credential that there is, do what it may and no more, and are refused at once
//! when it is revoked. Start at `holds_its_bounds`; what each client does differently stands in its `impl`.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::Request,
    image::Image,
    management::Management,
    process::{Ran, attempt},
    server::Plan,
    tools,
};
use serde_json::{Value, json};

use super::{
    docker::Engine,
    issuer::{AUDIENCE, Issuer},
    podman,
    world::{World, text},
};

/// The person who signs in, and their password before and after it is changed.
const PERSON: &str = "bob";
const PASSWORD: &str = "a password of bob";
const NEXT_PASSWORD: &str = "another password of bob";
/// What the platform calls the job's repository.
const REPOSITORY_ID: &str = "74";

/// How long a signature may take to be published; a second where nothing else runs.
const PUBLISHED: Duration = Duration::from_secs(60);

/// What a refusal reads like, whichever client tells it.
const REFUSED: &[&str] = &["unauthorized", "denied", "authentication required", "invalid username/password", "401"];

/// A registry with three repositories of one organization: `app` may be written, `base` read, `other` is hidden.
struct Scene {
    world: World,
    issuer: Issuer,
}

/// A name and a secret, and the request that ends it: who makes it, its method, path and body.
struct Credential {
    user: &'static str,
    secret: String,
    end: (&'static str, String, Value),
    ended_by_its_owner: bool,
}

impl Scene {
    fn open() -> Outcome<Self> {
        let issuer = Issuer::start()?;
        let world = World::with(|folder| {
            let file = folder.join("hallmark.toml");
            std::fs::write(&file, issuer.settings())?;
            Ok(Plan::default().flag("--config").flag(file.display().to_string()))
        })?;
        let admin = Management::new(world.server.admin());
        admin.ask("POST", "/users", &json!({ "name": PERSON, "password": PASSWORD }))?;
        admin.ask("POST", "/organizations", &json!({ "name": "acme" }))?;
        for robot in ["ci", "job"] {
            admin.ask("POST", "/accounts/acme/robots", &json!({ "name": robot }))?;
        }
        for repository in ["acme/app", "acme/base", "acme/other"] {
            admin.ask("POST", "/repositories", &json!({ "name": repository }))?;
        }
        for repository in ["acme/base", "acme/other"] {
            world.registry().push_image(repository, "1", &Image::random(1, &[10_000]))?;
        }
        for holder in ["user:bob", "robot:acme+ci", "robot:acme+job"] {
            admin.grant("write", "acme/app", holder)?;
            admin.grant("read", "acme/base", holder)?;
        }
        Ok(Self { world, issuer })
    }

    fn admin(&self) -> Management {
        Management::new(self.world.server.admin())
    }

    fn person(&self) -> Management {
        Management::new(self.world.server.client(PERSON, PASSWORD))
    }

    fn password(&self) -> Credential {
        let end = ("PUT", format!("/users/{PERSON}/password"), json!({ "password": NEXT_PASSWORD }));
        Credential { user: PERSON, secret: PASSWORD.to_owned(), end, ended_by_its_owner: false }
    }

    /// It could do all that the person may, which is less.
    fn token(&self) -> Outcome<Credential> {
        let made = self.person().make_token("write")?;
        let end = ("DELETE", format!("/me/tokens/{}", made.id), Value::Null);
        Ok(Credential { user: PERSON, secret: made.secret, end, ended_by_its_owner: true })
    }

    fn robot(&self) -> Outcome<Credential> {
        let secret = self.admin().rotate("acme", "ci")?.secret;
        let end = ("POST", "/accounts/acme/robots/ci/secrets".to_owned(), json!({ "overlap_seconds": 0 }));
        Ok(Credential { user: "acme+ci", secret, end, ended_by_its_owner: false })
    }

    /// A job's own token. What ends it is the end of the rule that lets it in.
    fn workload(&self) -> Outcome<Credential> {
        let claims = json!({ "repository_id": REPOSITORY_ID, "ref": "refs/heads/main" });
        let rule = json!({ "issuer": self.issuer.url(), "audience": AUDIENCE, "claims": claims });
        let made = self.admin().ask("POST", "/accounts/acme/robots/job/rules", &rule)?.json()?;
        let end = ("DELETE", format!("/accounts/acme/robots/job/rules/{}", made["id"]), Value::Null);
        let secret = self.issuer.token(REPOSITORY_ID)?;
        Ok(Credential { user: "acme+job", secret, end, ended_by_its_owner: false })
    }

    fn revoke(&self, credential: &Credential) -> Outcome<()> {
        let by = if credential.ended_by_its_owner { self.person() } else { self.admin() };
        let (method, path, body) = &credential.end;
        by.ask(method, path, body).map(drop)
    }

    fn name(&self, image: &str) -> String {
        format!("{}/acme/{image}", self.world.host())
    }
}

/// What the clients have in common: each verb tells how it ended.
trait Client: Sized {
    /// The client with an image that it can push.
    fn ready(world: &World) -> Outcome<Self>;
    fn login(&self, world: &World, user: &str, secret: &str) -> Outcome<Ran>;
    /// Pushes its image under this full name.
    fn push(&self, world: &World, name: &str) -> Outcome<Ran>;
    fn pull(&self, world: &World, name: &str) -> Outcome<Ran>;
}

fn does(what: &str, ran: &Ran) -> Outcome<()> {
    holds(ran.status.success(), || format!("{what} was to go well: {}{}", ran.output, ran.complaints))
}

fn is_refused(what: &str, ran: &Ran) -> Outcome<()> {
    let said = format!("{}{}", ran.output, ran.complaints).to_lowercase();
    holds(!ran.status.success() && REFUSED.iter().any(|word| said.contains(word)), || {
        format!("{what} was to be refused with one of {REFUSED:?}: {said}")
    })
}

fn holds_its_bounds<C: Client>(make: impl FnOnce(&Scene) -> Outcome<Credential>) -> Outcome<()> {
    let scene = Scene::open()?;
    let (world, client) = (&scene.world, C::ready(&scene.world)?);
    let credential = make(&scene)?;
    let (user, secret) = (credential.user, credential.secret.as_str());
    is_refused("a sign-in with a wrong secret", &client.login(world, user, &format!("{secret}x"))?)?;
    does("the sign-in", &client.login(world, user, secret)?)?;

    does("a push to what may be written", &client.push(world, &scene.name("app:1"))?)?;
    world.registry().check_image("acme/app", "1")?;
    does("a pull of it", &client.pull(world, &scene.name("app:1"))?)?;
    does("a pull of what may be read", &client.pull(world, &scene.name("base:1"))?)?;
    is_refused("a push to what may be read", &client.push(world, &scene.name("base:2"))?)?;
    is_refused("a pull of what is hidden", &client.pull(world, &scene.name("other:1"))?)?;
    is_refused("a push to what is hidden", &client.push(world, &scene.name("other:2"))?)?;
    for hidden in ["base", "other"] {
        let tags = world.registry().tags(&format!("acme/{hidden}"))?;
        holds(tags == ["1"], || format!("acme/{hidden} has the tags {tags:?}"))?;
    }

    scene.revoke(&credential)?;
    is_refused("a pull after the end", &client.pull(world, &scene.name("app:1"))?)?;
    is_refused("a push after the end", &client.push(world, &scene.name("app:2"))?)?;
    is_refused("a sign-in after the end", &client.login(world, user, secret)?)
}

/// `hallmark` as a job runs it: name and secret from its surroundings, no login and no folder of its own.
fn hallmark(world: &World, credential: &Credential, words: &[&str]) -> Outcome<Ran> {
    let mut command = std::process::Command::new(tools::hallmark()?);
    command.env_clear().env("HOME", world.path("job")).args(words);
    attempt(command.env("HALLMARK_USER", credential.user).env("HALLMARK_PASSWORD", &credential.secret))
}

fn fails_with(words: &str, ran: &Ran) -> Outcome<()> {
    holds(!ran.status.success() && ran.complaints.contains(words), || format!("{words:?} was to be said: {ran:?}"))
}

/// What passed its tests is signed by whoever tested it, and another job verifies it with the pinned root and nothing else.
fn signs_and_verifies(make: impl FnOnce(&Scene) -> Outcome<Credential>) -> Outcome<()> {
    let scene = Scene::open()?;
    let world = &scene.world;
    world.registry().push_image("acme/app", "1", &Image::random(3, &[10_000]))?;
    let root = world.path("root.json");
    let served = world.server.admin().send_basic(&Request::new("GET", "/tuf/acme/app/1.root.json"))?;
    std::fs::write(&root, &served.expect(200)?.body)?;
    let credential = make(&scene)?;
    let (one, other) = (scene.name("app:1"), scene.name("base:1"));
    let sign = |image: &str| hallmark(world, &credential, &["sign", image, "--insecure-http"]);
    let verify = || hallmark(world, &credential, &["verify", &one, "--root", text(&root), "--insecure-http"]);
    holds(!verify()?.status.success(), || "what nobody has signed was verified".to_owned())?;
    does("the signature", &sign(&one)?)?;
    fails_with("this needs the right sign", &sign(&other)?)?;
    let begin = Instant::now();
    while !verify()?.status.success() {
        holds(begin.elapsed() < PUBLISHED, || format!("the signature was not published in {PUBLISHED:?}"))?;
        sleep(Duration::from_millis(100));
    }
    let listed = scene.admin().ask("GET", "/repositories/acme%2Fapp/signatures", &Value::Null)?.json()?;
    let signer = listed.to_string();
    holds(signer.contains(credential.user), || format!("{} is not named as who signed: {signer}", credential.user))?;
    scene.revoke(&credential)?;
    fails_with("the name or the password is wrong", &sign(&one)?)?;
    fails_with("the name or the password is wrong", &verify()?)
}

#[test]
fn a_robot_signs_what_it_has_tested() -> Outcome<()> {
    signs_and_verifies(Scene::robot)
}

#[test]
fn a_job_signs_what_it_has_tested_by_its_platform_s_token() -> Outcome<()> {
    signs_and_verifies(Scene::workload)
}

/// crane asks nobody when it is told a password: the sign-in is over when something was read with it.
struct Crane;

impl Client for Crane {
    fn ready(world: &World) -> Outcome<Self> {
        world.layout("image", &Image::random(2, &[50_000]))?;
        Ok(Self)
    }

    fn login(&self, world: &World, user: &str, secret: &str) -> Outcome<Ran> {
        world.run("crane", &["auth", "login", &world.host(), "-u", user, "-p", secret])?;
        attempt(world.program("crane")?.args(["digest", &format!("{}/acme/base:1", world.host())]))
    }

    fn push(&self, world: &World, name: &str) -> Outcome<Ran> {
        attempt(world.program("crane")?.args(["push", text(&world.path("image")), name]))
    }

    fn pull(&self, world: &World, name: &str) -> Outcome<Ran> {
        attempt(world.program("crane")?.args(["pull", name, text(&world.path("pulled.tar"))]))
    }
}

/// podman with one image in its store.
struct Podman {
    image: String,
}

impl Podman {
    fn attempt(&self, world: &World, words: &[&str]) -> Outcome<Ran> {
        attempt(&mut podman::podman(world, "store", words)?)
    }
}

impl Client for Podman {
    fn ready(world: &World) -> Outcome<Self> {
        Ok(Self { image: podman::load(world, &Image::random(2, &[50_000]), "loaded:1")? })
    }

    fn login(&self, world: &World, user: &str, secret: &str) -> Outcome<Ran> {
        self.attempt(world, &["login", "--tls-verify=false", "-u", user, "-p", secret, &world.host()])
    }

    fn push(&self, world: &World, name: &str) -> Outcome<Ran> {
        self.attempt(world, &["push", "-q", "--tls-verify=false", &self.image, name])
    }

    fn pull(&self, world: &World, name: &str) -> Outcome<Ran> {
        self.attempt(world, &["pull", "-q", "--tls-verify=false", name])
    }
}

/// A Docker engine with one image in its store.
struct Docker {
    engine: Engine,
    image: String,
}

impl Docker {
    fn attempt(&self, world: &World, words: &[&str]) -> Outcome<Ran> {
        attempt(&mut self.engine.command(world, words)?)
    }
}

impl Client for Docker {
    fn ready(world: &World) -> Outcome<Self> {
        tools::locate("dockerd")?;
        let engine = Engine::start(world, "engine")?;
        let image = engine.load(world, &Image::random(2, &[50_000]), "loaded:1")?;
        Ok(Self { engine, image })
    }

    fn login(&self, world: &World, user: &str, secret: &str) -> Outcome<Ran> {
        self.attempt(world, &["login", "-u", user, "-p", secret, &world.host()])
    }

    fn push(&self, world: &World, name: &str) -> Outcome<Ran> {
        does("a new name", &self.attempt(world, &["tag", &self.image, name])?)?;
        self.attempt(world, &["push", name])
    }

    fn pull(&self, world: &World, name: &str) -> Outcome<Ran> {
        self.attempt(world, &["pull", name])
    }
}

/// The twelve tests: each client with each credential.
macro_rules! with_each_credential {
    ($($client:ident: $password:ident $token:ident $robot:ident $workload:ident;)*) => {
        $(
            #[test]
            fn $password() -> Outcome<()> {
                holds_its_bounds::<$client>(|scene| Ok(scene.password()))
            }

            #[test]
            fn $token() -> Outcome<()> {
                holds_its_bounds::<$client>(Scene::token)
            }

            #[test]
            fn $robot() -> Outcome<()> {
                holds_its_bounds::<$client>(Scene::robot)
            }

            #[test]
            fn $workload() -> Outcome<()> {
                holds_its_bounds::<$client>(Scene::workload)
            }
        )*
    };
}

with_each_credential! {
    Crane: crane_signs_in_by_password crane_signs_in_by_token crane_signs_in_as_a_robot crane_signs_in_as_a_job;
    Podman: podman_signs_in_by_password podman_signs_in_by_token podman_signs_in_as_a_robot podman_signs_in_as_a_job;
    Docker: docker_signs_in_by_password docker_signs_in_by_token docker_signs_in_as_a_robot docker_signs_in_as_a_job;
}
