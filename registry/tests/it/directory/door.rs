//! People of a directory at the registry's door: `docker login` with their own password.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hallmark::auth::directory::{DirectoryConfig, GroupMapping, TeamName};
use hallmark::auth::people::{SyncError, Synchronized, synchronize};
use hallmark::config::DirectorySection;
use hallmark_storage::metadata::SystemRole;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::slapd::{GROUPS, PEOPLE, Setup, Slapd};
use super::trap::{Script, Trap};
use crate::harness::{Answer, Credentials, PASSWORD, World};
use crate::sign_in::passwords::let_in;

/// How long a checked password is remembered, in seconds.
const REMEMBERED: i64 = 5 * 60;

pub(super) fn anna() -> Credentials {
    Credentials::basic("anna", "anna's own")
}

pub(super) fn ben() -> Credentials {
    Credentials::basic("ben", "ben's own")
}

/// A registry whose people are in a directory; those in the group `core` are in the team `acme/dev`, which may pull.
async fn opened(slapd: &Slapd) -> World {
    opened_to(slapd.config()).await
}

async fn opened_to(directory: DirectoryConfig) -> World {
    opened_with(directory, Duration::from_secs(3600)).await
}

/// The same with a directory whose people are looked up so often.
pub(super) async fn opened_with(directory: DirectoryConfig, sync_interval: Duration) -> World {
    let team = TeamName { organization: "acme".to_owned(), team: "dev".to_owned() };
    let group = format!("cn=core,{GROUPS}").parse().unwrap();
    let section =
        DirectorySection { directory, teams: vec![GroupMapping { group, team }], create_users: true, sync_interval };
    let world = World::with(|config| {
        config.public_url = Some("https://registry.test".parse().unwrap());
        config.sections.directories.push(section);
    })
    .await;
    for (path, body) in [
        ("organizations", json!({"name": "acme"})),
        ("organizations/acme/teams", json!({"name": "dev"})),
        ("repositories", json!({"name": "acme/app"})),
        ("accounts/acme/robots", json!({"name": "ci"})),
    ] {
        admin(&world, "POST", path, body).await.expect(201);
    }
    for holder in ["team:acme%2Fdev", "robot:acme%2Bci"] {
        admin(&world, "PUT", &format!("grants/acme%2Fapp/{holder}"), json!({"rights": "read"})).await.expect(200);
    }
    world
}

async fn admin(world: &World, method: &str, path: &str, body: Value) -> Answer {
    let by = Credentials::basic("admin", PASSWORD);
    let call = world.call(method, &format!("/api/v1/{path}")).by(&by);
    call.header("content-type", "application/json").body(body.to_string()).await
}

pub(super) async fn login(world: &World, by: &Credentials) -> Answer {
    world.get("/token?service=hallmark&scope=repository:acme/app:pull,push").by(by).await
}

pub(super) async fn granted(world: &World, by: &Credentials) -> String {
    login(world, by).await.expect(200).json()["scope"].as_str().unwrap().to_owned()
}

async fn users(world: &World) -> Vec<String> {
    world.look("SELECT name, source FROM users ORDER BY name").await
}

/// A personal access token of who signs in by password.
async fn personal(world: &World, by: &Credentials) -> String {
    let token = json!({"name": "t", "scopes": "read", "expires_at": "2027-06-01T00:00:00Z"});
    let call = world.post("/api/v1/me/tokens").by(by).header("content-type", "application/json");
    let made = call.body(token.to_string()).await.expect(201).json();
    made["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_of_a_directory_lets_a_program_in_on_the_page() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    let token = let_in(&world, "anna", "anna's own").await;
    let by = Credentials::basic("anna", token["access_token"].as_str().unwrap());
    assert_eq!(granted(&world, &by).await, "repository:acme/app:pull");
}

#[tokio::test]
async fn the_log_tells_who_of_a_directory_was_let_in_and_who_was_not() {
    let mut slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    login(&world, &anna()).await.expect(200);
    assert_eq!(world.sign_ins("signed_in").await, ["anna anna password 1"]);
    assert_eq!(world.sign_ins("sign_in_failed").await, [""; 0]);
    login(&world, &Credentials::basic("anna", "a wrong password")).await.expect(401);
    login(&world, &Credentials::basic("nobody", "a wrong password")).await.expect(401);
    let failed = ["system anna password 1", "system nobody password 1"];
    assert_eq!(world.sign_ins("sign_in_failed").await, failed);
    // Nobody is refused by a directory that does not answer.
    slapd.stop();
    assert_snapshot!(login(&world, &ben()).await, @r#"
    503 Service Unavailable
    content-length: 159
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the directory does not answer; try again shortly, or sign in with a token"}]}
    "#);
    assert_eq!(world.sign_ins("sign_in_failed").await, failed);
    assert_eq!(world.sign_ins("signed_in").await.len(), 1);
}

/// Threat 15: a name that has a password here, one that a directory knows and one that nobody has cost a hash each, on every way in, and
/// read the same. That a directory was asked takes time of its own (docs/sign-in.md).
#[tokio::test]
async fn whom_a_directory_knows_costs_a_hash_as_everybody_does() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    assert_eq!(granted(&world, &anna()).await, "repository:acme/app:pull");
    for path in ["/v2/", "/token?service=hallmark", "/api/v1/me"] {
        let mut seen = Vec::new();
        for name in ["ann", "anna", "nobody"] {
            let before = world.app.passwords.hashes_computed();
            let answer = world.get(path).by(&Credentials::basic(name, "a wrong password")).await;
            let (status, headers, body) = answer.expect(401).visible();
            seen.push((status, headers, body, world.app.passwords.hashes_computed() - before));
        }
        assert_eq!(seen[0].3, 1, "{path}");
        assert!(seen.iter().all(|answer| *answer == seen[0]), "{path}: {seen:?}");
    }
}

#[tokio::test]
async fn a_login_makes_the_user_with_the_teams_of_their_groups() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    assert_eq!(granted(&world, &anna()).await, "repository:acme/app:pull");
    assert_eq!(granted(&world, &ben()).await, "");
    assert_eq!(users(&world).await, ["admin -", "ann -", "anna example", "ben example", "bob -"]);
    let own = world.all_of_by(&anna(), "anna/app").await;
    world.image(&own, "anna/app", "1", "layer").await;
    let kept = world.look("SELECT COUNT(*) FROM users WHERE source IS NOT NULL AND password IS NOT NULL").await;
    assert_eq!(kept, ["0"], "no password of theirs is kept");
}

#[tokio::test]
async fn a_group_is_a_right_with_the_next_request_that_asks_the_directory() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    assert_eq!(granted(&world, &ben()).await, "");
    let member = format!("member: uid=ben,{PEOPLE}\n");
    let core = format!("dn: cn=core,{GROUPS}\nchangetype: modify\n");
    slapd.change(&format!("{core}add: member\n{member}"));
    world.pass(REMEMBERED);
    assert_eq!(granted(&world, &ben()).await, "repository:acme/app:pull");
    slapd.change(&format!("{core}delete: member\n{member}"));
    assert_eq!(granted(&world, &ben()).await, "repository:acme/app:pull", "it was just asked");
    world.pass(REMEMBERED);
    assert_eq!(
        granted(&world, &ben()).await,
        "repository:acme/app:pull",
        "whether they left every group, a look tells"
    );
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(1, 0, 0));
    assert_eq!(granted(&world, &ben()).await, "");
}

#[tokio::test]
async fn who_is_gone_from_the_directory_is_disabled_with_every_token() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    granted(&world, &ben()).await;
    let bearer = login(&world, &anna()).await.json()["token"].as_str().unwrap().to_owned();
    let secret = personal(&world, &anna()).await;
    let shown = [Credentials::bearer(&bearer), Credentials::bearer(&secret), Credentials::basic("anna", &secret)];
    for by in &shown {
        world.get("/v2/").by(by).await.expect(200);
    }
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(2, 0, 0));
    slapd.change(&format!("dn: uid=anna,{PEOPLE}\nchangetype: delete\n"));
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(2, 1, 0));
    for by in &shown {
        world.get("/v2/").by(by).await.expect(401);
    }
    login(&world, &anna()).await.expect(401);
    login(&world, &ben()).await.expect(200);
    let event = world.look("SELECT subject, payload FROM events WHERE kind = 'user_changed'").await;
    assert_eq!(event, [r#"anna {"disabled":true,"source":"example"}"#]);
}

fn looked(people: usize, disabled: usize, unreadable: usize) -> Synchronized {
    Synchronized { people, disabled, unreadable, kept: 0 }
}

/// One entry that cannot be used keeps nobody in who is gone.
#[tokio::test]
async fn an_entry_that_cannot_be_used_hides_no_leaver() {
    let slapd = Slapd::start(Setup::Usual, "");
    let change = |name: &str, what: &str| slapd.change(&format!("dn: uid={name},{PEOPLE}\nchangetype: {what}\n"));
    for name in ["anna", "ben"] {
        change(name, &format!("modify\nadd: displayName\ndisplayName: {name}"));
    }
    let world = opened_to(DirectoryConfig { name_attribute: "displayName".to_owned(), ..slapd.config() }).await;
    for by in [anna(), ben()] {
        login(&world, &by).await.expect(200);
    }
    change("anna", "modify\ndelete: displayName");
    change("ben", "delete");
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(2, 1, 1));
    let left = world
        .look("SELECT u.name, p.disabled_at IS NULL FROM users u JOIN principals p ON p.id = u.principal_id")
        .await;
    assert!(left.contains(&"anna 1".to_owned()) && left.contains(&"ben 0".to_owned()), "{left:?}");
}

/// An answer about one entry that cannot be read keeps nobody in who is gone either.
#[tokio::test]
async fn an_answer_that_cannot_be_read_hides_no_leaver() {
    let slapd = Slapd::start(Setup::Usual, "");
    // The bind succeeds; the name of the entry that is found is no text.
    let answers =
        [&[0x30, 12, 2, 1, 1, 0x61, 7, 10, 1, 0, 4, 0, 4, 0][..], &[0x30, 10, 2, 1, 2, 0x64, 5, 4, 1, 0xff, 0x30, 0]];
    let spoiled = Arc::new(AtomicUsize::new(0));
    let plain = slapd.plain();
    let trap = Trap::start(Script::Spoil(plain.url.port().unwrap(), Arc::clone(&spoiled), answers.concat())).await;
    let world = opened_to(DirectoryConfig { url: trap.url(), ..plain }).await;
    for by in [anna(), ben()] {
        login(&world, &by).await.expect(200);
    }
    let people = world.look("SELECT name FROM users WHERE source = 'example' ORDER BY source_subject").await;
    slapd.change(&format!("dn: uid={},{PEOPLE}\nchangetype: delete\n", people[1]));
    spoiled.store(trap.connections() + 1, Ordering::SeqCst);
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(2, 1, 1));
    assert_eq!(disabled(&world).await, [people[1].as_str()]);
}

async fn disabled(world: &World) -> Vec<String> {
    let all = "SELECT u.name FROM users u JOIN principals p ON p.id = u.principal_id WHERE p.disabled_at IS NOT NULL";
    world.look(all).await
}

/// A look at a directory locks nobody out of the registry for good.
#[tokio::test]
async fn the_last_administrator_stays_though_gone_from_the_directory() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    for (by, name) in [(anna(), "anna"), (ben(), "ben")] {
        login(&world, &by).await.expect(200);
        world.set_role(name, SystemRole::Administrator).await;
    }
    world.disable("admin").await;
    for name in ["anna", "ben"] {
        slapd.change(&format!("dn: uid={name},{PEOPLE}\nchangetype: delete\n"));
    }
    let kept = Synchronized { kept: 2, ..looked(2, 0, 0) };
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), kept);
    let event =
        world.look("SELECT subject, payload FROM events WHERE kind = 'last_administrator_kept' ORDER BY 1").await;
    assert_eq!(event, ["anna", "ben"].map(|name| format!(r#"{name} {{"disabled":false,"source":"example"}}"#)));
    assert_eq!(disabled(&world).await, ["admin"]);
    let before = world.rows().await;
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), kept);
    assert_eq!(world.rows().await, before, "the next look finds what this one found, and tells of it no more");
    world.set_role("ann", SystemRole::Administrator).await;
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), looked(2, 2, 0));
    assert_eq!(disabled(&world).await, ["admin", "anna", "ben"]);
    assert_eq!(world.look("SELECT name FROM settings WHERE name LIKE 'directory_kept:%'").await, [""; 0]);
}

#[tokio::test]
async fn a_silent_directory_keeps_nobody_out_whom_it_does_not_know() {
    let slapd = Slapd::start(Setup::Usual, "");
    let trap = Trap::start(Script::Silent).await;
    let timeout = Duration::from_secs(4);
    let world = opened_to(DirectoryConfig { url: trap.url(), timeout, ..slapd.plain() }).await;
    let ann = Credentials::basic("ann", PASSWORD);
    // With her, as many as may wait for a hash from one address.
    let strangers: Vec<_> =
        (0..7).map(|number| Credentials::basic(&format!("stranger{number}"), "a password")).collect();
    let waiting = futures_util::future::join_all(strangers.iter().map(|by| login(&world, by)));
    let mut waiting = std::pin::pin!(waiting);
    let signed_in = tokio::select! {
        biased;
        _ = &mut waiting => panic!("the directory answered"),
        signed_in = login(&world, &ann) => signed_in,
    };
    signed_in.expect(200);
    for answer in waiting.await {
        answer.expect(503);
    }
}

/// Whoever runs a directory learns no token of this registry, nor of an issuer.
#[tokio::test]
async fn what_is_a_token_is_shown_to_no_directory() {
    let slapd = Slapd::start(Setup::Usual, "");
    let trap = Trap::start(Script::End(Vec::new())).await;
    let world = opened_to(DirectoryConfig { url: trap.url(), ..slapd.plain() }).await;
    let refresh = "/token?service=hallmark&offline_token=true";
    let ann = world.get(refresh).by(&Credentials::basic("ann", PASSWORD)).await.expect(200).json();
    let (refresh, bearer) = (ann["refresh_token"].as_str().unwrap(), ann["token"].as_str().unwrap());
    assert!(refresh.starts_with("hmr_") && bearer.starts_with("ey"));
    for secret in [refresh, bearer, &world.personal("ann", "read").await.1, "hmr_", "hmp_cut", "hmb_cut"] {
        login(&world, &Credentials::basic("stranger", secret)).await.expect(401);
        world.get("/v2/").by(&Credentials::basic("stranger", secret)).await.expect(401);
    }
    assert_eq!(trap.connections(), 0);
    login(&world, &Credentials::basic("stranger", "a password")).await.expect(503);
    assert_eq!(trap.connections(), 1);
}

#[tokio::test]
async fn a_look_takes_teams_away_and_a_directory_that_fails_changes_nothing() {
    let mut slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    assert_eq!(granted(&world, &anna()).await, "repository:acme/app:pull");
    slapd.change(&format!("dn: cn=core,{GROUPS}\nchangetype: modify\nreplace: member\nmember: uid=ben,{PEOPLE}\n"));
    synchronize(&world.app, "example", world.now()).await.unwrap();
    assert_eq!(granted(&world, &anna()).await, "");
    slapd.stop();
    let before = world.rows().await;
    let failed = synchronize(&world.app, "example", world.now()).await;
    assert!(matches!(failed, Err(SyncError::Directory(_))), "{failed:?}");
    assert_eq!(world.rows().await, before);
}

/// When nobody is in any group at once, it is more likely that groups can be read no more.
#[tokio::test]
async fn groups_that_can_be_read_no_more_take_nobody_out_of_their_teams() {
    let name = |n: u32| format!("p{n}");
    let entry = |n| {
        format!(
            "dn: uid=p{n},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: p{n}\ncn: P\nsn: P\nuserPassword: secret {n}\n\n"
        )
    };
    let slapd = Slapd::start(Setup::Usual, &(0..12).map(entry).collect::<String>());
    let core = format!("dn: cn=core,{GROUPS}\nchangetype: modify\n");
    let members: String = (0..12).map(|n| format!("member: uid=p{n},{PEOPLE}\n")).collect();
    slapd.change(&format!("{core}add: member\n{members}"));
    let world = opened(&slapd).await;
    let by = |n: u32| Credentials::basic(&name(n), &format!("secret {n}"));
    for n in 0..12 {
        assert_eq!(granted(&world, &by(n)).await, "repository:acme/app:pull");
    }
    slapd.change(&format!("{core}replace: member\nmember: uid=ben,{PEOPLE}\n"));
    world.pass(REMEMBERED);
    assert_eq!(granted(&world, &by(0)).await, "repository:acme/app:pull", "a sign-in cannot tell");
    let looked = synchronize(&world.app, "example", world.now()).await;
    assert!(matches!(looked, Err(SyncError::TooManyGroupless { groupless: 12, people: 12 })), "{looked:?}");
    assert_eq!(world.look("SELECT COUNT(*) FROM team_members").await, ["12"]);
    // Few of many are believed.
    let back: String = (0..9).map(|n| format!("member: uid=p{n},{PEOPLE}\n")).collect();
    slapd.change(&format!("{core}add: member\n{back}"));
    assert_eq!(synchronize(&world.app, "example", world.now()).await.unwrap(), self::looked(12, 0, 0));
    assert_eq!(world.look("SELECT COUNT(*) FROM team_members").await, ["9"]);
}

#[tokio::test]
async fn an_outage_keeps_out_whom_only_the_directory_knows() {
    let mut slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    let secret = personal(&world, &anna()).await;
    let robot = admin(&world, "POST", "accounts/acme/robots/ci/secrets", json!({})).await.expect(201).json();
    slapd.stop();
    world.pass(REMEMBERED);
    for by in [anna(), ben(), Credentials::basic("carl", "carl's own")] {
        let away = login(&world, &by).await.expect(503);
        assert!(away.header("retry-after").parse::<u32>().is_ok());
    }
    assert_eq!(users(&world).await, ["admin -", "ann -", "anna example", "bob -"]);
    login(&world, &Credentials::basic("ann", PASSWORD)).await.expect(200);
    assert_eq!(granted(&world, &Credentials::basic("anna", &secret)).await, "repository:acme/app:pull");
    let robot = Credentials::basic("acme+ci", robot["secret"].as_str().unwrap());
    assert_eq!(granted(&world, &robot).await, "repository:acme/app:pull");
}

#[tokio::test]
async fn the_directory_is_not_asked_for_who_is_a_user_here() {
    let entry = format!(
        "dn: uid=ann,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: ann\ncn: Ann\nsn: Other\nuserPassword: the other's\n\n"
    );
    let mut slapd = Slapd::start(Setup::Usual, &entry);
    let world = opened(&slapd).await;
    login(&world, &Credentials::basic("ann", "the other's")).await.expect(401);
    login(&world, &Credentials::basic("ann", PASSWORD)).await.expect(200);
    assert_eq!(world.look("SELECT source FROM users WHERE name = 'ann'").await, ["-"]);
    slapd.stop();
    // Refused at once: whoever asked the directory would have to say that it is away.
    login(&world, &Credentials::basic("ann", "the other's")).await.expect(401);
}

#[tokio::test]
async fn wrong_passwords_of_the_directorys_people_are_counted() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    login(&world, &anna()).await.expect(200);
    world.pass(REMEMBERED);
    for number in 0..10 {
        login(&world, &Credentials::basic("anna", &format!("guess {number}"))).await.expect(401);
    }
    let refused = login(&world, &anna()).await.expect(429);
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    let elsewhere = world.get("/token").by(&anna()).sent_from([198, 51, 100, 9]).await;
    elsewhere.expect(200);
    world.pass(31 + REMEMBERED);
    login(&world, &anna()).await.expect(200);
}

#[tokio::test]
async fn a_password_is_remembered_for_five_minutes_and_not_after_a_change() {
    let mut slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    for by in [anna(), ben()] {
        login(&world, &by).await.expect(200);
    }
    slapd.stop();
    login(&world, &anna()).await.expect(200);
    login(&world, &Credentials::basic("anna", "another")).await.expect(503);
    admin(&world, "POST", "users/anna/logout", json!({})).await.expect(204);
    login(&world, &anna()).await.expect(503);
    world.pass(REMEMBERED - 1);
    login(&world, &ben()).await.expect(200);
    world.pass(1);
    login(&world, &ben()).await.expect(503);
}

/// Whoever knew the password before is out with the next look: what they were given for it ends, tokens with an end of their own
/// stay.
#[tokio::test]
async fn a_password_that_the_directory_changed_ends_what_the_one_before_gave() {
    let slapd = Slapd::start(Setup::Usual, "");
    let world = opened(&slapd).await;
    // Steps of 100 ns since 1601.
    let set = |at: i64, more: &str| {
        let at = (at + 11_644_473_600_000) * 10_000;
        slapd.change(&format!(
            "dn: uid=anna,{PEOPLE}\nchangetype: modify\n{more}replace: pwdLastSet\npwdLastSet: {at}\n-\n"
        ));
    };
    let refresh = async |by: &Credentials| {
        let path = "/token?service=hallmark&offline_token=true";
        world.get(path).by(by).await.expect(200).json()["refresh_token"].as_str().unwrap().to_owned()
    };
    let renews = async |token: &str| {
        let form = format!("grant_type=refresh_token&service=hallmark&client_id=test&refresh_token={token}");
        let call = world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form);
        call.await.status.as_u16()
    };
    let first = refresh(&anna()).await;
    let secret = Credentials::basic("anna", &personal(&world, &anna()).await);
    let bearer = Credentials::bearer(login(&world, &anna()).await.json()["token"].as_str().unwrap());
    set(world.now() - 60_000, "add: objectClass\nobjectClass: domainAccount\n-\n");
    synchronize(&world.app, "example", world.now()).await.unwrap();
    assert_eq!(renews(&first).await, 200, "it was given for the password that is there");
    world.pass(60);
    set(world.now(), "replace: userPassword\nuserPassword: another\n-\n");
    world.pass(1);
    login(&world, &anna()).await.expect(200);
    let before = world.count_events().await;
    synchronize(&world.app, "example", world.now()).await.unwrap();
    assert_eq!(renews(&first).await, 401);
    login(&world, &anna()).await.expect(401);
    world.get("/v2/").by(&bearer).await.expect(401);
    assert_eq!(granted(&world, &secret).await, "repository:acme/app:pull");
    let another = Credentials::basic("anna", "another");
    let second = refresh(&another).await;
    synchronize(&world.app, "example", world.now()).await.unwrap();
    assert_eq!(renews(&second).await, 200);
    let told = world.events_after(before).await;
    let told: Vec<_> = told.iter().filter(|event| event.contains("password_changed")).collect();
    assert_eq!(told, [r#"system password_changed anna {"source":"example"}"#]);
    // The sign-in with a new password sees it as well as a look does.
    world.pass(60);
    set(world.now(), "replace: userPassword\nuserPassword: third\n-\n");
    world.pass(1);
    login(&world, &Credentials::basic("anna", "third")).await.expect(200);
    assert_eq!(renews(&second).await, 401);
    login(&world, &another).await.expect(401);
}

/// Active Directory keeps names as somebody wrote them, and finds them in any case.
#[tokio::test]
async fn a_name_in_capitals_is_a_user_in_small_letters() {
    let entry = format!(
        "dn: uid=DoraE,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: DoraE\ncn: D\nsn: E\nuserPassword: dora's own\n\n"
    );
    let slapd = Slapd::start(Setup::Usual, &entry);
    let world = opened(&slapd).await;
    login(&world, &Credentials::basic("dorae", "dora's own")).await.expect(200);
    assert_eq!(world.look("SELECT source FROM users WHERE name = 'dorae'").await, ["example"]);
    login(&world, &Credentials::basic("DoraE", "dora's own")).await.expect(401);
}
