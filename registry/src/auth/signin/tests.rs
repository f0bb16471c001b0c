//! What needs no request: codes, cookies, escaping and sealing.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

use super::Base;
use super::codes::{SECRET_CHARACTERS, derived, hash, normal, same, secret, shown, user_code};
use super::cookies::Cookie;
use super::guesses::Guesses;
use super::page::escaped;
use crate::clock::Random;

fn base(secure: bool) -> Base {
    let scheme = if secure { "https" } else { "http" };
    Base { url: format!("{scheme}://registry.example"), secure }
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
