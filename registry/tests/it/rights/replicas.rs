//! What is taken on one replica is gone with the next request on every other one (threat 13): on PostgreSQL of two replicas, on
//! SQLite, where there is one, of the one that has it all in memory.

use std::sync::Arc;

use hallmark::app::App;
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::{Value, json};

use crate::harness::{Acme, Credentials, PASSWORD, Postgres, World};

/// The image that everybody asks for, and where pushes begin.
const IMAGE: &str = "/v2/acme/web/manifests/1";
const SITE: &str = "/v2/acme/site/manifests/1";
const PUSH: &str = "/v2/acme/web/blobs/uploads/";

/// One registry as two processes see it.
struct Replicas {
    acme: Acme,
    first: Arc<App>,
    second: Arc<App>,
    _postgres: Option<Postgres>,
}

/// Something that somebody may, and how it is taken from them.
struct Taken {
    what: &'static str,
    /// What they show, which was given out before.
    by: Credentials,
    asks: (&'static str, &'static str),
    /// Who changes it on the other replica.
    changer: &'static str,
    change: (&'static str, String, Value),
}

impl Replicas {
    async fn on_postgres() -> Self {
        let postgres = Postgres::start();
        let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
        let acme = Acme::with(|config| config.database = database).await;
        let first = Arc::clone(&acme.world.app);
        let second = App::open(first.config.clone(), first.clock.clone()).await.unwrap();
        Self { acme, first, second, _postgres: Some(postgres) }
    }

    async fn on_sqlite() -> Self {
        let acme = Acme::open().await;
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
        let Taken { what, by, asks: (method, path), changer, change } = taken;
        for _ in 0..3 {
            let answer = self.here().call(method, path).by(&by).await;
            assert!(answer.status.is_success(), "{what}: {answer}");
            let answer = self.there().call(method, path).by(&by).await;
            assert!(answer.status.is_success(), "{what}: {answer}");
        }
        let (change, at, document) = change;
        let changer = Credentials::basic(changer, PASSWORD);
        let changed = self.here().sends(change, &at, &changer, &document).await;
        assert!(changed.status.is_success(), "{what}: {changed}");
        let next = self.there().call(method, path).by(&by).await;
        assert_eq!(next.status, 401, "{what}, there: {next}");
        let next = self.here().call(method, path).by(&by).await;
        assert_eq!(next.status, 401, "{what}, here: {next}");
    }
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
    let taken = |what, by, (change, path, document): (&'static str, &str, Value)| Taken {
        what,
        by,
        asks: ("GET", IMAGE),
        changer: "admin",
        change: (change, path.to_owned(), document),
    };
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
    all
}

async fn tokens_and_robots(world: &World) -> Vec<Taken> {
    let taken = |what, by, changer, (change, path): (&'static str, String), document| Taken {
        what,
        by,
        asks: ("GET", IMAGE),
        changer,
        change: (change, path, document),
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
    replicas.second.metadata.close().await;
}

#[tokio::test]
async fn what_is_taken_on_one_replica_is_gone_with_the_next_request_on_another() {
    holds_from_the_next_request(Replicas::on_postgres().await).await;
}

#[tokio::test]
async fn what_is_taken_is_gone_with_the_next_request_of_the_only_replica() {
    holds_from_the_next_request(Replicas::on_sqlite().await).await;
}
