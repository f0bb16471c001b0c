//! Names and passwords: who gets in, and what typing cleverly does not do.

use hallmark::auth::directory::{Account, Bind, Cause, DirectoryInvalid, Step};
use hallmark::config::Secret;

use super::slapd::{PEOPLE, SEARCHER, Setup, Slapd};
use super::trap::{Script, Trap};
use super::{code, sign_in};

const DIRECT: &str = "uid={name},ou=people,dc=example,dc=com";

fn direct() -> Bind {
    Bind::Direct { dn_template: DIRECT.to_owned() }
}

fn search(filter: &str) -> Bind {
    Bind::Search { filter: filter.to_owned() }
}

#[tokio::test]
async fn a_person_signs_in_by_search_and_by_template_and_is_the_same() {
    let slapd = Slapd::start(Setup::Usual, "");
    let searched = sign_in(&slapd.config(), "anna", "anna's own").await.unwrap().unwrap();
    let mut config = slapd.config();
    config.bind = direct();
    let direct = sign_in(&config, "anna", "anna's own").await.unwrap().unwrap();
    assert_eq!(searched, direct);
    assert_eq!((searched.directory.as_str(), searched.name.as_str()), ("example", "anna"));
    assert_eq!(searched.dn, format!("uid=anna,{PEOPLE}"));
    assert_eq!(searched.subject.len(), 36);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let slapd = Slapd::start(Setup::Usual, "");
    for bind in [direct(), search("(uid={name})")] {
        let mut config = slapd.config();
        config.bind = bind;
        for (name, password) in [("anna", "ben's own"), ("carl", "anna's own"), ("anna", "anna's own ")] {
            assert_eq!(sign_in(&config, name, password).await.unwrap(), None, "{name} {password}");
        }
    }
}

/// An unknown name costs a stranger's clock the same: as many connections are made as for a wrong password.
#[tokio::test]
async fn an_unknown_name_makes_as_many_connections_as_a_wrong_password() {
    let slapd = Slapd::start(Setup::Usual, "");
    for bind in [direct(), search("(uid={name})")] {
        let mut counted = Vec::new();
        for name in ["anna", "carl"] {
            let counter = Trap::start(Script::Relay(slapd.port)).await;
            let mut config = slapd.plain();
            config.bind = bind.clone();
            config.url = counter.url();
            assert_eq!(sign_in(&config, name, "wrong").await.unwrap(), None);
            counted.push(counter.connections());
        }
        assert_eq!(counted, [2, 2]);
    }
}

/// The server accepts the empty password as an unauthenticated bind; that is what the client refuses to ask for.
#[tokio::test]
async fn an_empty_password_is_refused_before_the_bind() {
    let slapd = Slapd::start(Setup::Usual, "");
    assert_eq!(slapd.who_am_i("uid=anna,ou=people,dc=example,dc=com", ""), Some("anonymous".to_owned()));
    for bind in [direct(), search("(uid={name})")] {
        let counter = Trap::start(Script::Relay(slapd.port)).await;
        let mut config = slapd.plain();
        config.bind = bind;
        config.url = counter.url();
        for password in ["", "\0", "\0\0\0", "anna's own\0"] {
            assert_eq!(sign_in(&config, "anna", password).await.unwrap(), None, "{password:?}");
        }
        for name in ["", "anna\0", "an\nna", "\u{7f}", &"a".repeat(257)] {
            assert_eq!(sign_in(&config, name, "anna's own").await.unwrap(), None, "{name:?}");
        }
        assert_eq!(sign_in(&config, "anna", &"a".repeat(1025)).await.unwrap(), None);
        assert_eq!(counter.connections(), 0);
    }
}

#[tokio::test]
async fn a_search_account_without_a_password_is_refused_as_a_setting() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.account = Some(Account { dn: SEARCHER.to_owned(), password: Secret::new(String::new()) });
    let refused = hallmark::auth::directory::Directory::new(&config).unwrap_err();
    assert!(matches!(refused, DirectoryInvalid::Account), "{refused}");
}

/// Each of these would find Anna, or everybody, if it were text of the filter.
#[tokio::test]
async fn a_name_full_of_filter_syntax_finds_nobody() {
    let slapd = Slapd::start(Setup::Usual, "");
    for filter in ["(uid={name})", "(&(objectClass=person)(|(uid={name})(mail={name}@example.com)))"] {
        let mut config = slapd.config();
        config.bind = search(filter);
        for name in ["*", "an*", "anna)(uid=*", "*)(objectClass=*", "anna)(&", "x)(|(uid=anna)", "\\61nna", "(anna)"] {
            assert_eq!(sign_in(&config, name, "anna's own").await.unwrap(), None, "{filter} {name}");
        }
        assert!(sign_in(&config, "anna", "anna's own").await.unwrap().is_some(), "{filter}");
    }
}

/// Whoever is called so signs in, so the characters arrive as they are.
#[tokio::test]
async fn a_name_of_special_characters_is_found_as_it_is() {
    let name = r#"*(o)\, "x"+y=z;<#>"#;
    let slapd = Slapd::start(
        Setup::Usual,
        "dn: uid=*(o)\\\\\\, \\\"x\\\"\\+y\\=z\\;\\<#\\>,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\n\
         cn: Odd\nsn: Odd\nuserPassword: odd's own\n\n",
    );
    for bind in [direct(), search("(uid={name})"), search("(uid:caseExactMatch:={name})")] {
        let mut config = slapd.config();
        config.bind = bind;
        let person = sign_in(&config, name, "odd's own").await.unwrap().unwrap();
        assert_eq!(person.name, name);
    }
}

/// The searcher is an entry beside people, and its password is known here; a template that could be left would reach it.
#[tokio::test]
async fn a_dn_template_cannot_be_escaped_from() {
    let slapd = Slapd::start(
        Setup::Usual,
        "dn: ou=shop,ou=people,dc=example,dc=com\nobjectClass: organizationalUnit\nou: shop\n\n\
         dn: uid=dora,ou=shop,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: dora\ncn: Dora\n\
         sn: Example\nuserPassword: dora's own\n\n",
    );
    let mut config = slapd.config();
    config.bind = direct();
    for name in
        ["dora,ou=shop", "dora\\,ou=shop", "dora\\2cou=shop", "dora+cn=Dora", "dora;ou=shop", "\"dora\",ou=shop"]
    {
        assert_eq!(sign_in(&config, name, "dora's own").await.unwrap(), None, "{name}");
    }
    config.bind = Bind::Direct { dn_template: "uid={name},ou=shop,ou=people,dc=example,dc=com".to_owned() };
    assert!(sign_in(&config, "dora", "dora's own").await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_that_two_people_have_is_an_error_and_not_one_of_them() {
    let slapd = Slapd::start(
        Setup::Usual,
        "dn: cn=Other,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: anna\ncn: Other\nsn: Example\n\
         userPassword: other's own\n\n",
    );
    for password in ["anna's own", "other's own"] {
        let error = sign_in(&slapd.config(), "anna", password).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Ambiguous), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_filter_demands_beside_the_name_keeps_others_out() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.bind = search("(&(uid={name})(mail=*@example.com)(!(cn=Nobody)))");
    assert!(sign_in(&config, "anna", "anna's own").await.unwrap().is_some());
    assert_eq!(sign_in(&config, "ben", "ben's own").await.unwrap(), None);
}

#[tokio::test]
async fn without_an_account_the_search_is_anonymous() {
    let slapd = Slapd::start(Setup::Open, "");
    for bind in [direct(), search("(uid={name})")] {
        let mut config = slapd.config();
        config.account = None;
        config.bind = bind;
        assert!(sign_in(&config, "anna", "anna's own").await.unwrap().is_some());
        assert_eq!(sign_in(&config, "anna", "wrong").await.unwrap(), None);
    }
}

/// Or else a person would be told that a right password is wrong, and the operator nothing.
#[tokio::test]
async fn entries_that_the_account_may_not_read_are_an_error() {
    let slapd = Slapd::start(Setup::Closed, "");
    let mut config = slapd.config();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Find, Some(32)));
    config.bind = direct();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert!(matches!(error.cause, Cause::Hidden(_)), "{error:?}");
    assert_eq!(sign_in(&config, "anna", "wrong").await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_password_of_the_account_is_an_error_and_not_the_persons() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.account = Some(Account { dn: SEARCHER.to_owned(), password: Secret::new("stale".to_owned()) });
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert_eq!((error.step, code(&error), error.is_outage()), (Step::Account, Some(49), false));
    assert!(!format!("{error:?}{error}").contains("stale"));
}

#[tokio::test]
async fn an_entry_without_the_name_attribute_is_an_error_that_names_it() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.name_attribute = "employeeNumber".to_owned();
    let error = sign_in(&config, "anna", "anna's own").await.unwrap_err();
    assert!(matches!(&error.cause, Cause::Unfit { attribute, .. } if attribute == "employeeNumber"), "{error:?}");
}
