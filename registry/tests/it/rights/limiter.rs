//! How often a password may be guessed (threat 15): by account and address, and by address.

use insta::assert_snapshot;

use crate::harness::{Acme, Answer, Credentials, PASSWORD, World};

const HERE: [u8; 4] = [203, 0, 113, 9];
const THERE: [u8; 4] = [203, 0, 113, 10];

async fn guess(world: &World, name: &str, password: &str, from: [u8; 4]) -> Answer {
    world.get("/v2/").by(&Credentials::basic(name, password)).sent_from(from).await
}

/// Guesses ten times, as often as is taken.
async fn guessed(world: &World, name: &str, from: [u8; 4]) {
    for _ in 0..10 {
        assert_eq!(guess(world, name, "wrong password", from).await.gist(), (401, "UNAUTHORIZED".into()));
    }
}

#[tokio::test]
async fn ten_wrong_passwords_for_one_name_from_one_address_are_taken() {
    let world = World::open().await;
    guessed(&world, "ann", HERE).await;
    assert_snapshot!(guess(&world, "ann", "wrong password", HERE).await, @r#"
    429 Too Many Requests
    content-length: 134
    content-type: application/json
    retry-after: 31

    {"errors":[{"code":"TOOMANYREQUESTS","detail":null,"message":"too many wrong passwords; try again in 31 s, or sign in with a token"}]}
    "#);
    let token =
        world.get("/token?service=hallmark").by(&Credentials::basic("ann", "wrong password")).sent_from(HERE).await;
    assert_snapshot!(token, @r#"
    429 Too Many Requests
    content-length: 134
    content-type: application/json
    retry-after: 31

    {"errors":[{"code":"TOOMANYREQUESTS","detail":null,"message":"too many wrong passwords; try again in 31 s, or sign in with a token"}]}
    "#);
    let api = world.api("GET", "/me", &Credentials::basic("ann", PASSWORD)).sent_from(HERE).await;
    assert_snapshot!(api, @r#"
    429 Too Many Requests
    content-length: 134
    content-type: application/json
    retry-after: 31

    {"errors":[{"code":"TOOMANYREQUESTS","detail":null,"message":"too many wrong passwords; try again in 31 s, or sign in with a token"}]}
    "#);
    let form = format!("grant_type=password&service=hallmark&client_id=test&username=ann&password={PASSWORD}");
    let post =
        world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form).sent_from(HERE);
    assert_eq!(post.await.gist(), (429, "TOOMANYREQUESTS".into()));
}

#[tokio::test]
async fn one_more_is_taken_every_half_minute() {
    let world = World::open().await;
    guessed(&world, "ann", HERE).await;
    let wait =
        guess(&world, "ann", "wrong password", HERE).await.expect(429).header("retry-after").parse::<i64>().unwrap();
    world.pass(wait);
    guess(&world, "ann", "wrong password", HERE).await.expect(401);
    guess(&world, "ann", "wrong password", HERE).await.expect(429);
    world.pass(wait);
    guess(&world, "ann", PASSWORD, HERE).await.expect(200);
    guessed(&world, "ann", HERE).await;
}

/// A stranger locks nobody out: who is signed in already, who asks from elsewhere, and who shows a token goes on.
#[tokio::test]
async fn a_victim_of_guesses_goes_on() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = world.personal("ann", "read").await.1;
    let bearer = world.token("ann", "").await;
    guessed(world, "ann", HERE).await;
    guess(world, "ann", "wrong password", HERE).await.expect(429);
    // What was verified lately is remembered, so that no client that works is stopped.
    guess(world, "ann", PASSWORD, HERE).await.expect(200);
    world.pass(301);
    guessed(world, "tim", HERE).await;
    guess(world, "tim", PASSWORD, HERE).await.expect(429);
    guess(world, "tim", PASSWORD, THERE).await.expect(200);
    guessed(world, "acme+ci", HERE).await;
    guess(world, "acme+ci", "wrong password", HERE).await.expect(429);
    for by in [Credentials::basic("ann", &token), Credentials::bearer(&token), bearer, acme.robot.clone()] {
        world.get("/v2/").by(&by).sent_from(HERE).await.expect(200);
        if by.0.as_ref().is_some_and(|value| value.starts_with("Basic")) {
            world.get("/token?service=hallmark").by(&by).sent_from(HERE).await.expect(200);
        }
    }
}

/// A way in on which a name is shown with a password.
#[derive(Clone, Copy, Debug)]
enum Way {
    Get(&'static str),
    /// The form of OAuth 2.
    Form,
    /// Token exchange, which takes a workload's token and no password.
    Exchange,
}

impl Way {
    async fn guess(self, world: &World, name: &str, from: [u8; 4]) -> Answer {
        let form = |fields: &str| {
            let call = world.post("/token").header("content-type", "application/x-www-form-urlencoded");
            call.body(format!("service=hallmark&username={name}&{fields}")).sent_from(from)
        };
        match self {
            Self::Get(path) => world.get(path).by(&Credentials::basic(name, "wrong password")).sent_from(from).await,
            Self::Form => form("grant_type=password&password=wrong+password").await,
            Self::Exchange => {
                let token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
                let kind = "urn:ietf:params:oauth:token-type:jwt";
                let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
                form(&format!("grant_type={grant}&subject_token_type={kind}&subject_token={token}")).await
            }
        }
    }
}

/// Threat 15: the same text, headers and work for names that are known and names that are not, before the bound and behind
/// it, also while who is known is remembered; on each way in.
#[tokio::test]
async fn known_and_unknown_names_are_counted_alike() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.get("/v2/").by(&Credentials::basic("ann", PASSWORD)).await.expect(200);
    world.disable("bob").await;
    // Whom a provider knows, and whom a directory knew that is no more: they have no password here.
    world.add_user("pia").await;
    world.meddle("UPDATE users SET source = 'google', source_subject = '17' WHERE name = 'pia'").await;
    let ways =
        [Way::Get("/v2/"), Way::Get("/token?service=hallmark"), Way::Get("/api/v1/me"), Way::Form, Way::Exchange];
    // From another address each, so that none is counted for another.
    for (last, way) in (50..).zip(ways) {
        let from = [203, 0, 113, last];
        let mut seen = Vec::new();
        for name in ["eve", "ann", "bob", "pia", "acme%2Bno", "acme%2Bci"] {
            let name = if matches!(way, Way::Get(_)) { name.replace("%2B", "+") } else { name.to_owned() };
            let mut of_name = Vec::new();
            for _ in 0..13 {
                let (hashes, reads) = (world.app.passwords.hashes_computed(), world.app.metadata.statistics().reads);
                let answer = way.guess(world, &name, from).await;
                let hashes = world.app.passwords.hashes_computed() - hashes;
                let reads = world.app.metadata.statistics().reads - reads;
                let (status, headers, body) = answer.visible();
                of_name.push((status.as_u16(), headers, body, hashes, reads));
            }
            seen.push(of_name);
        }
        let [unknown, known @ .., no_robot, robot] = &seen[..] else { unreachable!("six names") };
        for known in known {
            assert_eq!(known, unknown, "{way:?}");
        }
        assert_eq!(robot, no_robot, "{way:?}");
        let shape: Vec<_> = unknown.iter().map(|(status, _, _, hashes, _)| (*status, *hashes)).collect();
        let after_ten = if matches!(way, Way::Exchange) { [(401, 0), (401, 0)] } else { [(401, 1), (429, 0)] };
        assert_eq!(shape[9..11], after_ten, "{way:?}");
    }
}

/// One address cannot try every name: a hundred wrong passwords, whatever the names.
#[tokio::test]
async fn an_address_is_bounded_whatever_the_names() {
    let world = World::open().await;
    for number in 0..100 {
        guess(&world, &format!("user{number}"), "wrong password", HERE).await.expect(401);
    }
    for name in ["ann", "eve", "another"] {
        guess(&world, name, PASSWORD, HERE).await.expect(429);
    }
    guess(&world, "ann", PASSWORD, THERE).await.expect(200);
    guess(&world, "ann", PASSWORD, HERE).await.expect(200);
    world.pass(3);
    guess(&world, "bob", PASSWORD, HERE).await.expect(200);
}

/// A right password wipes the slips before it, of its own name only: who owns one account guesses no more for another.
#[tokio::test]
async fn a_right_password_wipes_no_guesses_at_another_name() {
    let world = World::open().await;
    guessed(&world, "ann", HERE).await;
    guess(&world, "bob", PASSWORD, HERE).await.expect(200);
    guess(&world, "ann", PASSWORD, HERE).await.expect(429);
}

/// A name of any length is counted, and refused without a look into the database.
#[tokio::test]
async fn names_that_nobody_can_have_are_counted_too() {
    let world = World::open().await;
    for name in ["Ann".to_owned(), "x".repeat(4000), "a\u{0}b".to_owned()] {
        guessed(&world, &name, HERE).await;
        assert_eq!(guess(&world, &name, "wrong password", HERE).await.gist(), (429, "TOOMANYREQUESTS".into()));
    }
}

/// A botnet is slowed down, and locks nobody out of where they sign in from, nor out of their tokens.
#[tokio::test]
async fn a_name_is_bounded_wherever_it_is_guessed() {
    let world = World::open().await;
    guess(&world, "ann", PASSWORD, HERE).await.expect(200);
    let token = world.personal("bob", "admin api:write").await.1;
    guess(&world, "bob", &token, HERE).await.expect(200);
    for name in ["ann", "bob"] {
        let mut taken = 0;
        for network in (0..110).map(|network| network % 11) {
            let answer = guess(&world, name, "wrong password", [10, network, 0, 1]).await;
            assert!(matches!(answer.status.as_u16(), 401 | 429), "{answer}");
            taken += usize::from(answer.status == 401);
        }
        assert_eq!(taken, 100, "{name}");
        // Longer than a password is remembered.
        world.pass(301);
        guessed(&world, name, [10, 200, 0, 1]).await;
        // From where nobody has guessed one is looked at; who has failed there a few times waits.
        for _ in 0..3 {
            guess(&world, name, "wrong password", THERE).await.expect(401);
        }
        guess(&world, name, PASSWORD, THERE).await.expect(429);
        guess(&world, name, "wrong password", [10, 201, 0, 1]).await.expect(401);
        guess(&world, name, PASSWORD, HERE).await.expect(200);
    }
    guess(&world, "bob", &token, THERE).await.expect(200);
    guess(&world, "bob", "wrong password", HERE).await.expect(401);
}

/// Who has a right password and is disabled is refused like anybody, in the same time, as often as they try.
#[tokio::test]
async fn a_right_password_of_who_is_disabled_is_never_told() {
    let world = World::open().await;
    world.disable("bob").await;
    let mut seen = Vec::new();
    for (name, password) in [("bob", PASSWORD), ("eve", "wrong password")] {
        let mut of_name = Vec::new();
        for _ in 0..11 {
            let hashes = world.app.passwords.hashes_computed();
            let answer = guess(&world, name, password, HERE).await;
            of_name.push((answer.visible(), world.app.passwords.hashes_computed() - hashes));
        }
        seen.push(of_name);
    }
    assert_eq!(seen[0], seen[1]);
}
