//! A directory that is down or silent says so in the time it has, and keeps nobody out whom another one knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark::auth::directory::{Cause, Directories, Directory, DirectoryConfig, DirectoryInvalid, Step};

use super::sign_in;
use super::slapd::{Setup, Slapd};
use super::trap::{Script, Trap};

/// Far more than any of these takes on a busy machine, and less than waiting without a bound.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_directory_that_is_down_says_so_in_bounded_time() {
    let mut slapd = Slapd::start(Setup::Usual, "");
    let directory = Directory::new(&slapd.config()).unwrap();
    let person = directory.sign_in("anna", "anna's own").await.unwrap().unwrap();
    slapd.stop();
    let began = Instant::now();
    for error in [
        directory.sign_in("anna", "anna's own").await.unwrap_err(),
        directory.sign_in("carl", "carl's own").await.unwrap_err(),
        directory.person(&person.subject).await.unwrap_err(),
    ] {
        assert!(matches!(error.cause, Cause::Unreachable(_)), "{error:?}");
        assert_eq!((error.directory.as_str(), error.step, error.is_outage()), ("example", Step::Connect, true));
    }
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let slapd = Slapd::start(Setup::Usual, "");
    let trap = Trap::start(Script::Silent).await;
    let timeout = Duration::from_millis(300);
    let tls = format!("ldaps://localhost:{}", trap.port()).parse().unwrap();
    for (config, step) in [
        (DirectoryConfig { url: trap.url(), timeout, ..slapd.plain() }, Step::Account),
        (DirectoryConfig { url: trap.url(), timeout, account: None, ..slapd.plain() }, Step::Find),
        (DirectoryConfig { url: trap.url(), timeout, start_tls: true, ..slapd.config() }, Step::Secure),
        (DirectoryConfig { url: tls, timeout, ..slapd.config() }, Step::Secure),
    ] {
        let began = Instant::now();
        let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
        assert!(matches!(error.cause, Cause::TimedOut), "{error:?}");
        assert_eq!((error.step, error.is_outage()), (step, true));
        assert!(began.elapsed() >= timeout && began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn no_more_connections_are_open_at_once_than_the_settings_say() {
    let slapd = Slapd::start(Setup::Usual, "");
    let trap = Trap::start(Script::Relay(slapd.port)).await;
    let directory = DirectoryConfig { url: trap.url(), connections: 2, ..slapd.plain() };
    let directory = Arc::new(Directory::new(&directory).unwrap());
    let sign_ins: Vec<_> = (0..16)
        .map(|_| {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { directory.sign_in("anna", "anna's own").await.unwrap().is_some() })
        })
        .collect();
    for sign_in in sign_ins {
        assert!(sign_in.await.unwrap());
    }
    assert_eq!(trap.connections(), 32);
    // A connection counts until the relay has seen its end, which is a moment after it.
    assert!((2..=8).contains(&trap.most_open()), "{}", trap.most_open());
}

#[tokio::test]
async fn an_outage_of_one_directory_leaves_the_people_of_another_in() {
    let (mut first, second) = (Slapd::start(Setup::Usual, ""), Slapd::start(Setup::Usual, ""));
    second.change(
        "dn: uid=ben,ou=people,dc=example,dc=com\nchangetype: modify\nreplace: userPassword\nuserPassword: 2nd\n",
    );
    let configs = [("first", first.config()), ("second", second.config())]
        .map(|(name, config)| DirectoryConfig { name: name.into(), ..config });
    let directories = Directories::new(&configs).unwrap();
    let anna = directories.sign_in("anna", "anna's own").await.unwrap().unwrap();
    let ben = directories.sign_in("ben", "2nd").await.unwrap().unwrap();
    assert_eq!((anna.directory.as_str(), ben.directory.as_str()), ("first", "second"));
    assert_eq!(directories.sign_in("ben", "neither").await.unwrap(), None);
    first.stop();
    let ben_again = directories.sign_in("ben", "2nd").await.unwrap().unwrap();
    assert_eq!(ben_again, ben);
    assert_eq!(directories.named("second").unwrap().person(&ben.subject).await.unwrap(), Some(ben));
    // Whoever nobody knows may be somebody of the directory that is down.
    let error = directories.sign_in("carl", "carl's own").await.unwrap_err();
    assert_eq!((error.directory.as_str(), error.is_outage()), ("first", true));
}

#[tokio::test]
async fn two_directories_of_one_name_are_refused() {
    let slapd = Slapd::start(Setup::Usual, "");
    let refused = Directories::new(&[slapd.config(), slapd.plain()]).unwrap_err();
    assert!(matches!(&refused, DirectoryInvalid::NameTaken(name) if name == "example"), "{refused}");
}
