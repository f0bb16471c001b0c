//! Passwords and users below the door: how much work a sign-in is, and which users there can be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hallmark_oci::Scopes;
use hallmark_storage::metadata::SystemRole;
use tempfile::TempDir;

use super::users::{self, UserError};
use super::{Client, Identity, Refused, password, refresh, token};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Config, Flag, Passwords, Purpose, Secret, Sources};

const NOW: i64 = 1_800_000_000_000;
const PASSWORD: &str = "correct horse battery";
const HOME: Client = Client::At(IpAddr::V4(Ipv4Addr::LOCALHOST));

/// A registry with the administrator `admin` and the user `ann`.
async fn app() -> (Arc<App>, TempDir) {
    app_with(|_| {}).await
}

async fn app_with(change: impl FnOnce(&mut Config)) -> (Arc<App>, TempDir) {
    let data = TempDir::new().unwrap();
    let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
    let sources = Sources { flags: vec![flag], ..Sources::default() };
    let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
    config.admin_password = Some(Secret::new(PASSWORD.to_owned()));
    change(&mut config);
    let app = App::open(config, Clock::Fixed(Arc::new(AtomicI64::new(NOW)))).await.unwrap();
    add(&app, "ann").await.unwrap();
    (app, data)
}

async fn add(app: &App, name: &str) -> Result<(), UserError> {
    users::add(app, name, PASSWORD.to_owned(), false, NOW).await
}

/// How many hashes are computed while `name` signs in, and whether that succeeds.
async fn signs_in(app: &App, name: &str, secret: &str) -> (usize, bool) {
    let before = app.passwords.hashes_computed();
    let identified = password::identify(app, name, secret, HOME).await;
    assert!(matches!(identified, Ok(_) | Err(Refused::WrongPassword)), "{identified:?}");
    (app.passwords.hashes_computed() - before, identified.is_ok())
}

/// Threat 15: the work does not tell which names there are.
#[tokio::test]
async fn a_wrong_password_costs_the_same_for_known_and_unknown_names() {
    let (app, _data) = app().await;
    for name in ["ann", "nobody", "", "ann\0"] {
        assert_eq!(signs_in(&app, name, "wrong password").await, (1, false), "{name:?}");
    }
    let user = app.metadata.user("ann").await.unwrap().unwrap().principal;
    let disabled: Result<_, hallmark_storage::metadata::Error> =
        app.metadata.write(user, |tx, user| Box::pin(tx.set_disabled(user, Some(NOW)))).await;
    assert!(disabled.unwrap());
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, false), "a disabled user with the right password");
}

/// PostgreSQL refuses a NUL in a text, which would be answered as a failure of ours.
#[tokio::test]
async fn what_cannot_be_a_name_or_a_refresh_token_is_not_asked_for() {
    let (app, _data) = app().await;
    for name in ["", "ann\0", "Ann", "ann/app", "ä", "<token>"] {
        let before = app.metadata.statistics().reads;
        assert_eq!(signs_in(&app, name, "wrong password").await, (1, false), "{name:?}");
        assert_eq!(app.metadata.statistics().reads, before, "{name:?}");
    }
    let (selector, secret) = ("a".repeat(11), "b".repeat(43));
    for (token, reads) in [
        (format!("hmr_{selector}_{secret}"), 1),
        (format!("hmr_{}\0_{secret}", &selector[1..]), 0),
        (format!("hmr_{}+_{secret}", &selector[1..]), 0),
        (format!("hmr_{selector}_{}\0", &secret[1..]), 0),
    ] {
        let before = app.metadata.statistics().reads;
        assert!(matches!(refresh::identify(&app, &token, NOW).await, Err(Refused::RefreshToken)));
        assert_eq!(app.metadata.statistics().reads - before, reads, "{token:?}");
    }
}

#[tokio::test]
async fn a_password_that_was_right_is_remembered_and_not_hashed_again() {
    let (app, _data) = app().await;
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true));
    for _ in 0..3 {
        assert_eq!(signs_in(&app, "ann", PASSWORD).await, (0, true));
    }
}

/// Whoever holds a password that leaked keeps it no longer than the registry remembers it.
#[tokio::test]
async fn a_password_is_remembered_for_at_most_five_minutes() {
    let (app, _data) = app().await;
    let Clock::Fixed(clock) = &app.clock else { panic!("a clock that stands still") };
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true));
    clock.store(NOW + 5 * 60 * 1_000 - 1, Ordering::Relaxed);
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (0, true));
    clock.store(NOW + 5 * 60 * 1_000, Ordering::Relaxed);
    assert_eq!(
        signs_in(&app, "ann", PASSWORD).await,
        (1, true),
        "counted from its verification, not from its last use"
    );
    clock.store(NOW, Ordering::Relaxed);
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true), "a clock that was put back");
}

#[tokio::test]
async fn any_change_of_a_user_makes_their_password_forgotten() {
    let (app, _data) = app().await;
    signs_in(&app, "ann", PASSWORD).await;
    for disabled in [Some(NOW), None] {
        let user = app.metadata.user("ann").await.unwrap().unwrap().principal;
        let changed: Result<_, hallmark_storage::metadata::Error> =
            app.metadata.write((user, disabled), |tx, (user, at)| Box::pin(tx.set_disabled(user, *at))).await;
        assert!(changed.unwrap());
    }
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true), "disabled and enabled again");
    // Another replica changes a role: what was verified here is not found under the new one.
    let user = app.metadata.user("ann").await.unwrap().unwrap().principal;
    let changed: Result<_, hallmark_storage::metadata::Error> =
        app.metadata.write(user, |tx, user| Box::pin(tx.set_role(user, SystemRole::Auditor))).await;
    changed.unwrap();
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true));
}

#[tokio::test]
async fn a_password_that_was_wrong_is_not_remembered() {
    let (app, _data) = app().await;
    for _ in 0..2 {
        assert_eq!(signs_in(&app, "ann", "wrong password").await, (1, false));
    }
}

#[tokio::test]
async fn what_is_remembered_of_one_user_is_worth_nothing_to_another() {
    let (app, _data) = app().await;
    add(&app, "bob").await.unwrap();
    signs_in(&app, "ann", PASSWORD).await;
    assert_eq!(signs_in(&app, "bob", PASSWORD).await, (1, true), "the same password is another secret");
}

#[tokio::test]
async fn a_changed_password_is_forgotten_at_once() {
    let (app, _data) = app().await;
    signs_in(&app, "ann", PASSWORD).await;
    users::set_password(&app, "ann", "another long password".to_owned(), NOW).await.unwrap();
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, false));
    assert_eq!(signs_in(&app, "ann", "another long password").await, (1, true));
}

/// The same password again is another hash, so even then nothing is found.
#[tokio::test]
async fn a_password_set_to_what_it_was_is_hashed_again() {
    let (app, _data) = app().await;
    signs_in(&app, "ann", PASSWORD).await;
    users::set_password(&app, "ann", PASSWORD.to_owned(), NOW).await.unwrap();
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true));
}

#[tokio::test]
async fn a_removed_user_is_forgotten_at_once() {
    let (app, _data) = app().await;
    signs_in(&app, "ann", PASSWORD).await;
    users::remove(&app, "ann", NOW).await.unwrap();
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, false));
}

#[tokio::test]
async fn more_sign_ins_than_the_line_holds_are_asked_to_come_back() {
    let (app, _data) = app().await;
    let from = |number: u8| Client::At(Ipv4Addr::new(192, 0, number / 4, 1).into());
    assert_eq!(busy(&app, (0..80).map(from)).await, 16, "64 wait, 16 are sent away");
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true), "and then there is room again");
}

#[tokio::test]
async fn who_is_logged_out_keeps_the_password_and_loses_every_token() {
    let (app, _data) = app().await;
    let ann = password::identify(&app, "ann", PASSWORD, HOME).await.unwrap();
    let refresh_token = refresh::issue(&app, &ann.principal, NOW).await.unwrap().unwrap();
    let bearer = token::issue(&app, &Identity::Known(ann), &Scopes::default(), NOW).await.unwrap().token;
    refresh::identify(&app, &refresh_token, NOW).await.unwrap();
    token::identify(&app, &bearer, None, NOW).await.unwrap();
    users::log_out(&app, "ann", NOW).await.unwrap();
    assert!(matches!(refresh::identify(&app, &refresh_token, NOW).await, Err(Refused::RefreshToken)));
    assert!(matches!(token::identify(&app, &bearer, None, NOW).await, Err(Refused::Token(_))));
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true), "whatever changes a user forgets what was remembered");
    assert!(matches!(users::log_out(&app, "eve", NOW).await, Err(UserError::Unknown(_))));
}

/// How many of these are sent away when they all sign in at once.
async fn busy(app: &App, clients: impl Iterator<Item = Client>) -> usize {
    // Her row is remembered from here on, so all of them stand in the line before any hash is done.
    app.metadata.user("ann").await.unwrap();
    let all = clients.map(|client| password::identify(app, "ann", "wrong password", client));
    let answers = futures_util::future::join_all(all).await;
    answers.iter().filter(|answer| matches!(answer, Err(Refused::Busy))).count()
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_share_of_the_line() {
    let (app, _data) = app().await;
    assert_eq!(busy(&app, [HOME; 20].into_iter()).await, 12);
    let network = |last: u16| Client::At(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into());
    assert_eq!(busy(&app, (0..20).map(network)).await, 12, "an IPv6 network is one client");
    let mapped = Client::At(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());
    assert_eq!(busy(&app, [HOME, mapped].into_iter().cycle().take(20)).await, 12);
}

#[tokio::test]
async fn sign_ins_do_not_shut_the_operator_out() {
    let (app, _data) = app().await;
    let from = |number: u8| Client::At(Ipv4Addr::new(192, 0, number / 4, 1).into());
    let (busy, set) =
        futures_util::join!(busy(&app, (0..80).map(from)), users::set_password(&app, "ann", PASSWORD.to_owned(), NOW));
    assert_eq!(busy, 16);
    set.unwrap();
}

#[tokio::test]
async fn a_name_that_is_no_component_of_a_path_is_no_users() {
    let (app, _data) = app().await;
    for name in ["", "Ann", "a/b", "-a", "a..b", "_system", "a b", "ä", "a:b", "<token>"] {
        assert!(matches!(add(&app, name).await, Err(UserError::NameInvalid(_))), "{name:?}");
    }
}

#[tokio::test]
async fn reserved_and_taken_names_are_refused() {
    let (app, _data) = app().await;
    for name in ["library", "v2", "token", "hallmark", "admin"] {
        assert!(matches!(add(&app, name).await, Err(UserError::NameReserved(_))), "{name}");
    }
    assert!(matches!(add(&app, "ann").await, Err(UserError::NameTaken(_))));
}

/// The name of the first administrator is good for the first start only: its next owner would be taken for one.
#[tokio::test]
async fn the_name_of_the_first_administrator_is_nobodys_after_them() {
    let (app, _data) = app().await;
    users::add(&app, "carol", PASSWORD.to_owned(), true, NOW).await.unwrap();
    users::remove(&app, "admin", NOW).await.unwrap();
    for administrator in [false, true] {
        let added = users::add(&app, "admin", PASSWORD.to_owned(), administrator, NOW).await;
        assert!(matches!(added, Err(UserError::NameReserved(_))), "{added:?}");
    }
}

#[tokio::test]
async fn a_password_has_a_shortest_and_a_longest_length() {
    let (app, _data) = app().await;
    for (length, taken) in [(7, false), (8, true), (1024, true), (1025, false)] {
        let set = users::set_password(&app, "ann", "x".repeat(length), NOW).await;
        assert_eq!(set.is_ok(), taken, "{length}");
        assert!(taken || matches!(set, Err(UserError::PasswordLength { least: 8 })), "{length}");
    }
}

/// The list has one password, "password", as Pwned Passwords spells it.
#[tokio::test]
async fn a_password_of_the_list_of_known_ones_is_not_taken() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("known");
    std::fs::write(&list, "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:52256179\n").unwrap();
    let (app, _data) = app_with(|config| {
        config.passwords = Passwords { min_length: 7, breached: Some(list.clone()) };
    })
    .await;
    let known = users::set_password(&app, "ann", "password".to_owned(), NOW).await;
    assert!(matches!(known, Err(UserError::PasswordBreached)), "{known:?}");
    assert!(signs_in(&app, "ann", PASSWORD).await.1, "a refused password changed the one before");
    users::set_password(&app, "ann", "passw0rd".to_owned(), NOW).await.unwrap();
    std::fs::remove_file(&list).unwrap();
    let blind = users::set_password(&app, "ann", PASSWORD.to_owned(), NOW).await;
    assert!(matches!(blind, Err(UserError::BreachedUnreadable { .. })), "{blind:?}");
}

#[tokio::test]
async fn a_password_is_stored_as_argon2id_with_a_salt_of_its_own() {
    let (app, _data) = app().await;
    add(&app, "bob").await.unwrap();
    let mut stored = Vec::new();
    for name in ["ann", "bob"] {
        stored.push(app.metadata.user(name).await.unwrap().unwrap().password.unwrap());
    }
    assert!(stored.iter().all(|hash| hash.starts_with("$argon2id$v=19$")), "{stored:?}");
    assert_ne!(stored[0], stored[1]);
}

#[tokio::test]
async fn the_last_administrator_stays_until_there_is_another() {
    let (app, _data) = app().await;
    assert!(matches!(users::remove(&app, "admin", NOW).await, Err(UserError::LastAdministrator(_))));
    users::add(&app, "root2", PASSWORD.to_owned(), true, NOW).await.unwrap();
    users::remove(&app, "admin", NOW).await.unwrap();
}

#[tokio::test]
async fn a_user_with_repositories_stays() {
    let (app, _data) = app().await;
    let account = app.metadata.account("ann").await.unwrap().unwrap().id;
    let made: Result<_, hallmark_storage::metadata::Error> = app
        .metadata
        .write(account, |tx, account| {
            Box::pin(async move { tx.create_repository(&"ann/app".parse().unwrap(), *account, NOW).await })
        })
        .await;
    made.unwrap();
    assert!(matches!(users::remove(&app, "ann", NOW).await, Err(UserError::HasRepositories(_))));
    assert_eq!(signs_in(&app, "ann", PASSWORD).await, (1, true));
}

#[tokio::test]
async fn an_unknown_user_is_neither_changed_nor_removed() {
    let (app, _data) = app().await;
    let set = users::set_password(&app, "nobody", PASSWORD.to_owned(), NOW).await;
    assert!(matches!(set, Err(UserError::Unknown(_))));
    assert!(matches!(users::remove(&app, "nobody", NOW).await, Err(UserError::Unknown(_))));
}
