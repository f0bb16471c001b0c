//! What is taken on one replica is gone with the next request on every other one (threat 13), and what is given is there: on
//! PostgreSQL of two replicas, on SQLite, where there is one, of the one that has it all in memory.

use std::sync::Arc;

use hallmark::app::App;
use hallmark::config::Config;
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::{Value, json};

use crate::harness::stage::{AUDIENCE, Signer, Stage, github};
use crate::harness::{Acme, Credentials, PASSWORD, Postgres, World};
use crate::sign_in::trust;

/// The image that everybody asks for, and where pushes begin.
const IMAGE: &str = "/v2/acme/web/manifests/1";
const SITE: &str = "/v2/acme/site/manifests/1";
const PUSH: &str = "/v2/acme/web/blobs/uploads/";
/// What only who may sign is given.
const KEY: &str = "/v2/registry.test/acme/web/_trust/tuf/timestamp.key";

/// One registry as two processes see it.
struct Replicas {
    acme: Acme,
    first: Arc<App>,
    second: Arc<App>,
    _postgres: Option<Postgres>,
}

/// Something that somebody may, and how it is taken from them; or may not, and how it is given.
struct Taken {
    what: &'static str,
    /// What they show, which was given out before.
    by: Credentials,
    asks: (&'static str, &'static str),
    /// What they are answered without it.
    refused: u16,
    /// Who changes it on the other replica.
    changer: &'static str,
    change: (&'static str, String, Value),
}

impl Replicas {
    async fn on_postgres(change: impl FnOnce(&mut Config)) -> Self {
        let postgres = Postgres::start();
        let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
        let acme = Acme::with(|config| {
            config.database = database;
            change(config);
        })
        .await;
        let first = Arc::clone(&acme.world.app);
        let second = App::open(first.config.clone(), first.clock.clone()).await.unwrap();
        Self { acme, first, second, _postgres: Some(postgres) }
    }

    async fn on_sqlite(change: impl FnOnce(&mut Config)) -> Self {
        let acme = Acme::with(change).await;
        let (first, second) = (Arc::clone(&acme.world.app), Arc::clone(&acme.world.app));
        Self { acme, first, second, _postgres: None }
    }

    /// The registry as the first replica answers for it.
    fn here(&mut self) -> &World {
        self.acme.world.app = Arc::clone(&self.first);
        &self.acme.world
    }

    /// The same as the second does.
    fn there(&mut self) -> &World {
        self.acme.world.app = Arc::clone(&self.second);
        &self.acme.world
    }

    /// Warms both replicas with what is still allowed, takes it on the first, and asks the second once more.
    async fn take(&mut self, taken: Taken) {
        for _ in 0..3 {
            let answers = [taken.ask(self.here()).await, taken.ask(self.there()).await];
            assert!(answers.iter().all(|status| (200..300).contains(status)), "{}: {answers:?}", taken.what);
        }
        taken.change(self.here()).await;
        assert_eq!(taken.ask(self.there()).await, taken.refused, "{}, there", taken.what);
        assert_eq!(taken.ask(self.here()).await, taken.refused, "{}, here", taken.what);
    }

    /// The other way round: what both replicas refuse is given on the first, and asked of the second.
    async fn give(&mut self, given: Taken) {
        for _ in 0..2 {
            let answers = [given.ask(self.here()).await, given.ask(self.there()).await];
            assert_eq!(answers, [given.refused; 2], "{}", given.what);
        }
        given.change(self.here()).await;
        assert_eq!(given.ask(self.there()).await, 200, "{}, there", given.what);
        assert_eq!(given.ask(self.here()).await, 200, "{}, here", given.what);
    }

    /// Whether pushes of members make repositories, which each does once.
    async fn settle_what_pushes_make(&mut self) {
        let mia = Credentials::basic("mia", PASSWORD);
        let pushes = async |world: &World, name: &str| {
            world.post(&format!("/v2/acme/{name}/blobs/uploads/")).by(&mia).await.status.as_u16()
        };
        for (number, setting, status) in [(0, false, 403), (1, true, 202), (2, false, 403)] {
            let document = json!({"create_on_push": setting});
            let admin = Credentials::basic("admin", PASSWORD);
            self.here().sends("PATCH", "/organizations/acme", &admin, &document).await.expect(200);
            assert_eq!(pushes(self.there(), &format!("there-{number}")).await, status, "there, {setting}");
            assert_eq!(pushes(self.here(), &format!("here-{number}")).await, status, "here, {setting}");
        }
    }
}

impl Taken {
    async fn ask(&self, world: &World) -> u16 {
        let (method, path) = self.asks;
        world.call(method, path).by(&self.by).await.status.as_u16()
    }

    async fn change(&self, world: &World) {
        let (method, path, document) = &self.change;
        let changer = Credentials::basic(self.changer, PASSWORD);
        let changed = world.sends(method, path, &changer, document).await;
        assert!(changed.status.is_success(), "{}: {changed}", self.what);
    }
}

/// What an administrator takes from whoever pulls the image, or gives.
fn taken(what: &'static str, by: Credentials, (change, path, document): (&'static str, &str, Value)) -> Taken {
    let change = (change, path.to_owned(), document);
    Taken { what, by, asks: ("GET", IMAGE), refused: 401, changer: "admin", change }
}

/// Everything that can be taken from somebody, one after another.
async fn everything(world: &World) -> Vec<Taken> {
    for (name, rights) in [("gwen", "read"), ("walt", "write"), ("dora", "read"), ("pam", "read")] {
        world.add_user(name).await;
        world.grant("acme/web", &format!("user:{name}"), rights).await;
    }
    world.team("acme", "ops", &["mia"]).await;
    world.grant("acme/*", "team:acme/ops", "read").await;
    world.member("acme", "bob", "owner").await;
    let of = async |user: &str| world.all_of(user, "acme/web").await;
    let lowered = ("PUT", "/grants/acme%2Fweb/user:walt", json!({"rights": "read"}));
    let hidden = ("PATCH", "/repositories/acme%2Fsite", json!({"visibility": "private"}));
    let mut all = vec![
        taken("a grant", of("gwen").await, ("DELETE", "/grants/acme%2Fweb/user:gwen", json!({}))),
        Taken { asks: ("POST", PUSH), ..taken("a higher right", of("walt").await, lowered) },
        taken("a team", of("mia").await, ("DELETE", "/organizations/acme/teams/ops/members/mia", json!({}))),
        taken("a membership", of("tim").await, ("DELETE", "/organizations/acme/members/tim", json!({}))),
        taken("ownership", of("bob").await, ("PUT", "/organizations/acme/members/bob", json!({"role": "member"}))),
        taken("an auditor's role", of("aud").await, ("PATCH", "/users/aud", json!({"role": "user"}))),
        taken("an account", of("dora").await, ("PATCH", "/users/dora", json!({"disabled": true}))),
        taken("a password", of("pam").await, ("PUT", "/users/pam/password", json!({"password": "quite another one"}))),
        Taken { asks: ("GET", SITE), ..taken("what was public", world.all_of("ann", "acme/site").await, hidden) },
    ];
    all.extend(tokens_and_robots(world).await);
    all.extend(shown_with_a_name(world).await);
    all
}

/// Passwords, which a replica remembers by itself once it has checked them, and secrets of robots.
async fn shown_with_a_name(world: &World) -> Vec<Taken> {
    for name in ["paul", "dina", "wim"] {
        world.add_user(name).await;
        world.grant("acme/web", &format!("user:{name}"), "write").await;
    }
    let robot = world.robot("acme", "three", None).await;
    world.grant("acme/web", "robot:acme+three", "read").await;
    let secrets = "/accounts/acme/robots/three/secrets";
    let listed = world.api("GET", secrets, &Credentials::basic("olga", PASSWORD)).await.expect(200).json();
    let secret = format!("{secrets}/{}", listed[0]["id"]);
    let of = |name: &str| Credentials::basic(name, PASSWORD);
    let unsigned = ("PATCH", "/organizations/acme", json!({"writers_sign": false}));
    vec![
        taken("a password", of("paul"), ("PUT", "/users/paul/password", json!({"password": "quite another one"}))),
        taken("an account", of("dina"), ("PATCH", "/users/dina", json!({"disabled": true}))),
        taken("a robot's secret", robot, ("DELETE", &secret, json!({}))),
        Taken { asks: ("GET", KEY), refused: 403, ..taken("that writers sign", of("wim"), unsigned) },
    ]
}

/// Everything that can be given to somebody, one after another; it begins where all was taken.
async fn gifts(world: &World) -> Vec<Taken> {
    for name in ["nell", "nora", "rolf", "dan"] {
        world.add_user(name).await;
    }
    world.member("acme", "nora", "member").await;
    world.grant("acme/web", "user:dan", "read").await;
    world.disable("dan").await;
    let given = |what, name: &str, refused, change| Taken {
        refused,
        ..taken(what, Credentials::basic(name, PASSWORD), change)
    };
    let signed = ("PATCH", "/organizations/acme", json!({"writers_sign": true}));
    let opened = ("PATCH", "/repositories/acme%2Fweb", json!({"visibility": "public"}));
    vec![
        given("a grant", "nell", 403, ("PUT", "/grants/acme%2Fweb/user:nell", json!({"rights": "read"}))),
        given("a team", "nora", 403, ("PUT", "/organizations/acme/teams/ops/members/nora", json!({}))),
        given("ownership", "bob", 403, ("PUT", "/organizations/acme/members/bob", json!({"role": "owner"}))),
        given("an auditor's role", "rolf", 403, ("PATCH", "/users/rolf", json!({"role": "auditor"}))),
        given("an account", "dan", 401, ("PATCH", "/users/dan", json!({"disabled": false}))),
        Taken { asks: ("GET", KEY), ..given("that writers sign", "wim", 403, signed) },
        taken("what is public", Credentials::none(), opened),
    ]
}

async fn tokens_and_robots(world: &World) -> Vec<Taken> {
    let taken = |what, by, changer, (change, path): (&'static str, String), document| Taken {
        changer,
        ..taken(what, by, (change, &path, document))
    };
    let mut all = Vec::new();
    for what in ["a token", "what a token was exchanged for"] {
        let (id, secret) = world.personal("olga", "read").await;
        let exchanged = world.all_of_by(&Credentials::basic("olga", &secret), "acme/web").await;
        let shown = if what == "a token" { Credentials::bearer(&secret) } else { exchanged };
        all.push(taken(what, shown, "olga", ("DELETE", format!("/me/tokens/{id}")), json!({})));
    }
    for (name, change) in [("one", "PATCH"), ("two", "DELETE")] {
        let robot = world.robot("acme", name, None).await;
        world.grant("acme/web", &format!("robot:acme+{name}"), "read").await;
        let path = format!("/accounts/acme/robots/{name}");
        let document = if change == "PATCH" { json!({"disabled": true}) } else { json!({}) };
        let shown = world.all_of_by(&robot, "acme/web").await;
        all.push(taken("a robot", shown, "olga", (change, path), document));
    }
    let olga = world.all_of("olga", "acme/web").await;
    all.push(taken("all that was given out", olga, "olga", ("POST", "/users/olga/logout".to_owned()), json!({})));
    all
}

async fn holds_from_the_next_request(mut replicas: Replicas) {
    for taken in everything(replicas.here()).await {
        replicas.take(taken).await;
    }
    for given in gifts(replicas.here()).await {
        replicas.give(given).await;
    }
    replicas.settle_what_pushes_make().await;
    replicas.second.metadata.close().await;
}

#[tokio::test]
async fn what_is_taken_or_given_on_one_replica_holds_with_the_next_request_on_another() {
    holds_from_the_next_request(Replicas::on_postgres(|_| {}).await).await;
}

#[tokio::test]
async fn what_is_taken_or_given_holds_with_the_next_request_of_the_only_replica() {
    holds_from_the_next_request(Replicas::on_sqlite(|_| {}).await).await;
}

/// The rule by which a workload is a robot, and what was given out by it.
async fn a_rule_of_workloads_holds(mut replicas: Replicas, stage: &Stage, key: &Signer) {
    let olga = Credentials::basic("olga", PASSWORD);
    for exchanged in [false, true] {
        let world = replicas.here();
        let rule = json!({"issuer": stage.url, "audience": AUDIENCE, "claims": {"repository_id": "74"}});
        let made = world.sends("POST", "/accounts/acme/robots/ci/rules", &olga, &rule).await.expect(201).json();
        let shown = Credentials::basic("acme+ci", &key.token(&github(&stage.url)));
        let by = if exchanged { world.all_of_by(&shown, "acme/web").await } else { shown };
        let path = format!("/accounts/acme/robots/ci/rules/{}", made["id"]);
        replicas.take(taken("a workload's rule", by, ("DELETE", &path, json!({})))).await;
    }
    replicas.second.metadata.close().await;
}

#[tokio::test]
async fn a_rule_of_workloads_that_is_removed_on_one_replica_is_gone_with_the_next_request_on_another() {
    let key = Signer::new("ES256", "one");
    let stage = Stage::open(&[&key]).await;
    let replicas = Replicas::on_postgres(|config| trust(config, &stage, false)).await;
    a_rule_of_workloads_holds(replicas, &stage, &key).await;
    let replicas = Replicas::on_sqlite(|config| trust(config, &stage, false)).await;
    a_rule_of_workloads_holds(replicas, &stage, &key).await;
}
