//! What needs no request: codes, cookies, escaping and sealing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hallmark_storage::metadata;
use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

use super::codes::{SECRET_CHARACTERS, derived, hash, normal, same, secret, shown, user_code};
use super::cookies::Cookie;
use super::device::{self, Asked};
use super::guesses::Guesses;
use super::page::escaped;
use super::sealed::{Kept, open, seal};
use super::{Base, forget, session};
use crate::app::{ADMINISTRATOR, App};
use crate::auth::oidc::people::Pending;
use crate::clock::{Clock, Random};
use crate::config::{self, Flag, Purpose, Secret, Sources};

fn base(secure: bool) -> Base {
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://registry.example");
    Base { origin: url.clone(), url, secure }
}

fn cookies(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (COOKIE, HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn a_code_is_typed_as_people_type() {
    let random = Random::system();
    let code = user_code(&random);
    assert_ne!(code, user_code(&random));
    let dashed = shown(&code);
    assert_eq!((dashed.len(), dashed.find('-')), (9, Some(4)));
    for typed in [code.clone(), dashed.clone(), dashed.to_lowercase(), format!(" {} ", dashed.replace('-', " - "))] {
        assert_eq!(normal(&typed).as_deref(), Some(code.as_str()), "{typed:?}");
    }
    for typed in ["", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF_GHJK", "ВCDF-GHJK", &" ".repeat(40)] {
        assert_eq!(normal(typed), None, "{typed:?}");
    }
}

#[test]
fn secrets_are_long_and_what_follows_from_one_is_another() {
    let random = Random::system();
    let (one, other) = (secret(&random), secret(&random));
    assert_eq!(one.len(), SECRET_CHARACTERS);
    assert!(same(&one, &one) && !same(&one, &other));
    assert_ne!(hash(&one), one);
    assert_ne!(derived("a", &one), derived("b", &one));
    assert_ne!(derived("a", "bc"), derived("ab", "c"));
}

#[test]
fn a_cookie_is_read_by_its_whole_name_and_once() {
    let value = secret(&Random::system());
    let pair = format!("__Host-hallmark-session={value}");
    let reads = |sent: &[&str], secure| Cookie::Session.read(&cookies(sent), &base(secure)).map(str::to_owned);
    assert_eq!(reads(&[&format!("a=b; {pair}; c=d")], true), Some(value.clone()));
    assert_eq!(reads(&["a=b", &pair], true), Some(value.clone()));
    let plain = format!("hallmark-session={value}");
    assert_eq!(reads(&[&plain], true), None, "one that plain HTTP could have put there");
    assert_eq!(reads(&[&plain], false), Some(value.clone()));
    for refused in [
        format!("{pair}; {pair}"),
        format!("__Host-hallmark-sign-in={value}"),
        format!("__host-hallmark-session={value}"),
        format!("__Host-hallmark-session={}", &value[1..]),
        format!("__Host-hallmark-session=%{}", &value[1..]),
        "__Host-hallmark-session=".to_owned(),
        String::new(),
    ] {
        assert_eq!(reads(&[&refused], true), None, "{refused}");
    }
}

#[test]
fn a_cookie_stays_with_this_host_and_away_from_scripts() {
    assert_eq!(
        Cookie::Session.give("x", 900, &base(true)),
        "__Host-hallmark-session=x; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"
    );
    assert_eq!(Cookie::SignIn.take(&base(false)), "hallmark-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}

#[test]
fn nothing_of_a_strangers_text_is_markup() {
    let hostile = "<script>\"'&\u{202e}\u{200b}\r\n</script>é";
    assert_eq!(escaped(hostile), "&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;é");
}

#[test]
fn codes_are_guessed_a_few_times_by_a_person_and_from_a_place() {
    let (guesses, here, there) = (Guesses::default(), [192, 0, 2, 1].into(), [198, 51, 100, 1].into());
    for _ in 0..5 {
        assert!(guesses.may_try(1, here, 0));
        guesses.wrong(1, here, 0);
    }
    assert!(!guesses.may_try(1, here, 0) && !guesses.may_try(1, there, 0));
    assert!(guesses.may_try(2, here, 0));
    for person in 2..17 {
        guesses.wrong(person, here, 0);
    }
    assert!(!guesses.may_try(99, here, 0) && guesses.may_try(99, there, 0));
    assert!(guesses.may_try(1, there, 120_000));
}

#[test]
fn what_is_kept_of_a_sign_in_opens_with_its_cookie_alone() {
    let random = Random::system();
    let (cookie, other) = (secret(&random), secret(&random));
    let pending = serde_json::json!({
        "issuer": "https://id.example", "state": "s", "nonce": "n", "verifier": "v", "redirect_uri": "u", "created_at": 1,
    });
    let pending: Pending = serde_json::from_value(pending).unwrap();
    let kept = Kept { provider: "corp".to_owned(), pending, code: None };
    let sealed = seal(&kept, &cookie).unwrap();
    let opened = open(&sealed, &cookie).unwrap();
    assert_eq!((opened.provider.as_str(), opened.pending.issuer()), ("corp", "https://id.example"));
    assert!(open(&sealed, &other).is_none());
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        assert!(open(std::str::from_utf8(&damaged).unwrap(), &cookie).is_none(), "letter {at}");
    }
}

#[tokio::test]
async fn what_has_ended_is_forgotten() {
    let data = tempfile::TempDir::new().unwrap();
    let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
    let sources = Sources { flags: vec![flag], ..Sources::default() };
    let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
    config.admin_password = Some(Secret::new("correct horse battery".to_owned()));
    let now = Arc::new(AtomicI64::new(1_800_000_000_000));
    let app = App::open(config, Clock::Fixed(Arc::clone(&now))).await.unwrap();
    let at = now.load(Ordering::Relaxed);
    let admin = app.metadata.user(ADMINISTRATOR).await.unwrap().unwrap().principal;
    session::open(&app, &admin, None, at).await.unwrap();
    let (client, scopes) = ("cli".to_owned(), "read".to_owned());
    let asked = Asked { name: client.clone(), client, address: [192, 0, 2, 1].into(), scopes, ends: at + 60_000 };
    device::begin(&app, &asked, at).await.unwrap();
    let shown: Result<bool, metadata::Error> =
        app.metadata.write(at, |tx, at| Box::pin(tx.show_token(("issuer", "jti"), "robot", *at + 60_000))).await;
    assert!(shown.unwrap());
    assert_eq!(forget(&app).await.unwrap(), 0, "all of it holds");
    now.store(at + 60_001, Ordering::Relaxed);
    assert_eq!(forget(&app).await.unwrap(), 1, "the token");
    now.store(at + device::LIFETIME * 1000, Ordering::Relaxed);
    assert_eq!(forget(&app).await.unwrap(), 1, "the device");
    now.store(at + session::LIFETIME * 1000, Ordering::Relaxed);
    assert_eq!(forget(&app).await.unwrap(), 1, "the session");
}
