//! Servers that mean harm, and referrals that would lead to them.

use std::time::{Duration, Instant};

use hallmark::auth::directory::{Bind, Cause, DirectoryConfig, GroupConfig, Step};

use super::slapd::{GROUPS, Setup, Slapd};
use super::trap::{Script, Trap};
use super::{code, sign_in};

/// The settings of a server that is asked at once for a person, without any bind before.
fn anonymous(slapd: &Slapd, trap: &Trap) -> DirectoryConfig {
    DirectoryConfig { url: trap.url(), account: None, timeout: Duration::from_secs(10), ..slapd.plain() }
}

/// A message inside a message, `depth` times.
fn nested(depth: usize) -> Vec<u8> {
    let mut reversed = Vec::new();
    for _ in 0..depth {
        let length = u32::try_from(reversed.len()).unwrap().to_le_bytes();
        reversed.extend_from_slice(&length);
        reversed.extend_from_slice(&[0x84, 0x30]);
    }
    reversed.reverse();
    reversed
}

#[tokio::test]
async fn what_is_not_ldap_is_an_error_and_nothing_worse() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    let answers: &[(&str, Vec<u8>)] = &[
        ("a million messages inside one another", nested(1_000_000)),
        ("as many as a message may hold", nested(40_000)),
        ("four gigabytes announced", b"\x30\x84\xff\xff\xff\xff".to_vec()),
        ("a length that does not fit", b"\x30\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("an indefinite length", b"\x30\x80\x02\x01\x01\x00\x00".to_vec()),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an empty message", b"\x30\x00".to_vec()),
        ("a negative request", b"\x30\x0c\x02\x01\xff\x65\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("the answer to another request", b"\x30\x0c\x02\x01\x07\x65\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("a bind that was not asked for", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("an element that is cut off", b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x09".to_vec()),
        ("an entry that is not UTF-8", b"\x30\x0b\x02\x01\x01\x64\x06\x04\x02\xff\xfe\x30\x00".to_vec()),
        ("a request", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00".to_vec()),
    ];
    for (name, answer) in answers {
        let trap = Trap::start(Script::Once(answer.clone())).await;
        let error = sign_in(&anonymous(&slapd, &trap), "anna", "anna's own").await.unwrap_err();
        assert!(matches!(error.cause, Cause::Malformed(_)), "{name}: {error:?}");
        assert_eq!((error.step, error.is_outage()), (Step::Find, false), "{name}");
    }
}

#[tokio::test]
async fn answers_without_end_are_given_up() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    let entry = b"\x30\x0c\x02\x01\x01\x64\x07\x04\x03\x63\x3d\x61\x30\x00".to_vec();
    let reference = [b"\x30\x82\x03\xef\x02\x01\x01\x73\x82\x03\xe8".as_slice(), &[0; 1_000]].concat();
    for (answer, ambiguous) in [(entry, true), (reference, false)] {
        let trap = Trap::start(Script::Endless(answer)).await;
        let error = sign_in(&anonymous(&slapd, &trap), "anna", "anna's own").await.unwrap_err();
        assert_eq!(matches!(error.cause, Cause::Ambiguous), ambiguous, "{error:?}");
        assert_eq!(matches!(error.cause, Cause::Malformed(_)), !ambiguous, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_an_outage() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    // The second is the notice of disconnection with the code for "unavailable".
    let notice = b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00".to_vec();
    for answer in [Vec::new(), notice, b"\x30\x0c\x02\x01".to_vec()] {
        let trap = Trap::start(Script::End(answer)).await;
        let error = sign_in(&anonymous(&slapd, &trap), "anna", "anna's own").await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
    }
}

/// A byte now and then keeps a connection alive, but not a sign-in.
#[tokio::test]
async fn a_server_that_answers_byte_by_byte_is_given_up() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    let answer = [b"\x30\x82\x03\xef\x02\x01\x01\x73\x82\x03\xe8".as_slice(), &[0; 1_000]].concat();
    let trap = Trap::start(Script::Trickle(answer)).await;
    let mut config = anonymous(&slapd, &trap);
    config.timeout = Duration::from_millis(500);
    let began = Instant::now();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert!(matches!(error.cause, Cause::TimedOut), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A referral is an entry that says: ask over there. Over there is the trap, which nobody may come to.
#[tokio::test]
async fn a_referral_is_not_followed() {
    let trap = Trap::start(Script::Silent).await;
    let place = |ou: &str, base: &str| {
        format!(
            "dn: ou={ou},{base}\nobjectClass: referral\nobjectClass: extensibleObject\nou: {ou}\n\
             ref: {}/ou={ou},{base}\n\n",
            trap.url()
        )
    };
    let elsewhere = place("elsewhere", "ou=people,dc=example,dc=com");
    let slapd = Slapd::start(Setup::Usual, &(elsewhere + &place("beyond", GROUPS)));
    // On the way of a search: passed over, and what is here is found.
    let person = sign_in(&slapd.plain(), "anna", "anna's own").await.unwrap().unwrap();
    assert_eq!(person.groups.len(), 3);
    // In place of an answer: an error.
    let mut config = slapd.plain();
    config.base = "ou=elsewhere,ou=people,dc=example,dc=com".to_owned();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Find, Some(10)));
    config.bind = Bind::Direct { dn_template: format!("uid={{name}},{}", config.base) };
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Find, Some(10)));
    let groups = config.groups.map(|groups| GroupConfig { base: format!("ou=beyond,{GROUPS}"), ..groups });
    let error = sign_in(&DirectoryConfig { groups, ..slapd.plain() }, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Groups, Some(10)));
    assert_eq!(trap.connections(), 0);
}
