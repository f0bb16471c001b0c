//! What the browser brings back from the issuer (RFC 6749 section 4.1.2, RFC 9207).

use std::borrow::Cow;

use url::form_urlencoded;

use super::{Pending, SignInRefused, same};

/// The longest answer that is looked at, and of an issuer's word for a refusal, in bytes.
const ANSWER_BYTES: usize = 8 * 1024;
const WORD_BYTES: usize = 64;

/// The code in the answer to `pending`. With `names_itself` the issuer must have said who it is.
pub(super) fn code(query: &str, pending: &Pending, names_itself: bool) -> Result<String, SignInRefused> {
    if query.len() > ANSWER_BYTES {
        return Err(SignInRefused::Answer);
    }
    let answer: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    // The state comes first: without it nothing else is an answer to us, an error neither.
    let state = one(&answer, "state")?.ok_or(SignInRefused::Answer)?;
    if !same(state, &pending.state) {
        return Err(SignInRefused::Answer);
    }
    // RFC 9207 section 2.4: compared as it stands, and refused when it is missing though promised.
    match one(&answer, "iss")? {
        Some(issuer) if issuer != pending.issuer => return Err(SignInRefused::OtherIssuer),
        None if names_itself => return Err(SignInRefused::OtherIssuer),
        Some(_) | None => {}
    }
    match (one(&answer, "error")?, one(&answer, "code")?) {
        (Some(error), None) => Err(SignInRefused::Denied(word(error))),
        (None, Some(code)) if !code.is_empty() => Ok(code.to_owned()),
        _ => Err(SignInRefused::Answer),
    }
}

/// The parameter of this name, which may stand once only.
fn one<'a>(answer: &'a [(Cow<'_, str>, Cow<'_, str>)], name: &str) -> Result<Option<&'a str>, SignInRefused> {
    let mut values = answer.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_ref());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(SignInRefused::Answer),
    }
}

/// As much of an issuer's word as a message repeats.
pub(super) fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(WORD_BYTES).collect()
}
