//! TLS: without it nothing is said that somebody could listen to, and a server must prove who it is.

use std::fs;

use hallmark::auth::directory::{Cause, Directory, DirectoryConfig, DirectoryInvalid, Step};

use super::slapd::{Setup, Slapd, write_certificates};
use super::trap::{Script, Trap};
use super::{code, sign_in};

fn start_tls(slapd: &Slapd) -> DirectoryConfig {
    let url = format!("ldap://localhost:{}", slapd.port).parse().unwrap();
    DirectoryConfig { url, start_tls: true, ..slapd.config() }
}

#[tokio::test]
async fn start_tls_and_ldaps_with_an_authority_of_ones_own_sign_in() {
    let slapd = Slapd::start(Setup::Usual, "");
    for mut config in [slapd.config(), start_tls(&slapd)] {
        assert!(sign_in(&config, "anna", "anna's own").await.unwrap().is_some());
        let by_address = config.url.as_str().replace("localhost", "127.0.0.1");
        config.url = by_address.parse().unwrap();
        assert!(sign_in(&config, "anna", "anna's own").await.unwrap().is_some(), "{by_address}");
    }
}

#[tokio::test]
async fn start_tls_is_required_and_its_failure_is_a_failure() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    assert!(sign_in(&slapd.plain(), "anna", "anna's own").await.unwrap().is_some());
    let error = sign_in(&start_tls(&slapd), "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Secure, Some(2)));
}

/// Somebody on the path answers StartTLS with a refusal, or with nothing that is one: no password follows.
#[tokio::test]
async fn a_stripped_start_tls_is_followed_by_nothing() {
    let slapd = Slapd::start(Setup::Usual, "");
    let refusal = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00".to_vec();
    let agreement = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec();
    let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec();
    for answer in [refusal, bound, [agreement.clone(), agreement.clone()].concat(), agreement.clone()] {
        let trap = Trap::start(Script::Once(answer.clone())).await;
        let mut config = start_tls(&slapd);
        config.url = trap.url();
        config.timeout = std::time::Duration::from_secs(2);
        let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
        assert_eq!(error.step, Step::Secure, "{error:?}");
        let waits = answer == agreement;
        assert_eq!(matches!(error.cause, Cause::TimedOut), waits, "{error:?}");
        let heard = String::from_utf8_lossy(&trap.heard()).into_owned();
        assert!(heard.contains("1.3.6.1.4.1.1466.20037"), "StartTLS comes first: {heard:?}");
        assert!(!heard.contains("searcher") && !heard.contains("anna"), "{heard:?}");
    }
}

#[tokio::test]
async fn a_wrong_ca_is_refused() {
    let slapd = Slapd::start(Setup::Usual, "");
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    for mut config in [slapd.config(), start_tls(&slapd)] {
        config.ca_file = Some(folder.path().join("ca.pem"));
        let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
        assert!(matches!(error.cause, Cause::Untrusted(_)), "{error:?}");
        assert_eq!((error.step, error.is_outage()), (Step::Secure, false));
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_is_refused() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.url = format!("ldaps://127.0.0.2:{}", slapd.tls_port).parse().unwrap();
    let relay = Trap::at("127.0.0.2", Script::Relay(slapd.tls_port)).await;
    config.url.set_port(Some(relay.port())).unwrap();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert!(matches!(error.cause, Cause::Untrusted(_)), "{error:?}");
}

/// Whether a setting is refused shows before anything is connected to.
#[tokio::test]
async fn settings_that_would_send_passwords_in_the_clear_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    let slapd = Slapd::start(Setup::WithoutTls, "");
    let check = |url: &str, start_tls, insecure, ca| {
        let ca_file = if ca { Some(folder.path().join("ca.pem")) } else { None };
        let url = url.parse().unwrap();
        Directory::new(&DirectoryConfig { url, start_tls, insecure, ca_file, ..slapd.config() }).map(drop)
    };
    for url in
        ["ldap://directory.example.com", "ldap://192.0.2.1:389", "ldap://[2001:db8::1]", "ldap://localhost.example"]
    {
        assert!(matches!(check(url, false, false, false), Err(DirectoryInvalid::Plain(_))), "{url}");
        check(url, true, false, true).unwrap();
        check(url, false, true, false).unwrap();
    }
    for url in ["ldap://localhost", "ldap://LOCALHOST:1389", "ldap://127.0.0.1", "ldap://[::1]:389"] {
        check(url, false, false, false).unwrap();
    }
    for (url, start_tls, insecure, ca) in [
        ("ldaps://directory.example.com", false, true, true),
        ("ldaps://directory.example.com", true, false, true),
        ("ldap://directory.example.com", true, true, true),
        ("ldap://directory.example.com", false, true, true),
    ] {
        let refused = check(url, start_tls, insecure, ca).unwrap_err();
        assert!(matches!(refused, DirectoryInvalid::Contradiction(_)), "{refused}");
    }
    for url in
        ["https://directory.example.com", "ldap://", "ldaps://u:p@host", "ldaps://host/dc=example", "ldaps://host?x"]
    {
        assert!(matches!(check(url, false, false, true), Err(DirectoryInvalid::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn a_ca_file_that_holds_no_certificate_is_refused() {
    let slapd = Slapd::start(Setup::WithoutTls, "");
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    for file in ["empty.pem", "server.key", "absent.pem"] {
        let ca_file = Some(folder.path().join(file));
        let refused = Directory::new(&DirectoryConfig { ca_file, ..slapd.config() }).unwrap_err();
        let told = matches!(refused, DirectoryInvalid::NoAuthority(_) | DirectoryInvalid::CaFile { .. });
        assert!(told && refused.to_string().contains(file), "{refused}");
    }
}
