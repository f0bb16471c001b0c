//! The pages of this room: plain HTML without scripts, every text from elsewhere escaped.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderValue, StatusCode};
use ring::digest::{SHA256, digest};

use super::Base;
use super::codes::shown;
use super::device::Asked;
use super::session::SignedIn;
use crate::clock::rfc3339;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;color:#1b1f24;\
                     background:#fff}dt{font-weight:600}dd{margin:0 0 .5rem}input,button{font:inherit;padding:.4rem .8rem}\
                     .refused{border-left:.3rem solid #b42318;padding-left:.8rem}";

/// Nothing is loaded, nobody frames the page, and its forms go to this registry only.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// A text in HTML, also within an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Nothing that turns the direction of the text around it, or cannot be seen, reaches the page.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}

/// A page of this title around `body`, which is HTML.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n\
         {body}</body></html>\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says why something is not done.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let body =
        format!("<p class=\"refused\">{}</p>\n<p><a href=\"/auth/device\">Sign a program in</a></p>\n", escaped(why));
    page(status, "Not signed in", &body)
}

/// What somebody who is not signed in is offered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) base: &'a Base,
    /// The code of the device that brought them here.
    pub(super) code: Option<&'a str>,
    /// What the form for name and password must bring back.
    pub(super) proof: &'a str,
    /// Why they are not signed in after what they sent.
    pub(super) refused: Option<(StatusCode, &'a str)>,
}

/// Offers the providers, and a form for a name and a password, to who is not signed in.
pub(super) fn sign_in<'a>(offer: Offer<'_>, providers: impl Iterator<Item = &'a str>) -> Response {
    let mut body = "<p>Sign in to let a program act for you.</p>\n".to_owned();
    if let Some((_, why)) = offer.refused {
        let _ = writeln!(body, "<p class=\"refused\">{}</p>", escaped(why));
    }
    let mut list = String::new();
    for name in providers {
        let query = offer.code.map(|code| format!("?for={code}")).unwrap_or_default();
        let to = offer.base.at(&format!("/auth/{name}/begin{query}"));
        let (to, name) = (escaped(&to), escaped(name));
        let _ = writeln!(list, "<li><a href=\"{to}\">Sign in with {name}</a></li>");
    }
    if !list.is_empty() {
        let _ = write!(body, "<ul>\n{list}</ul>\n");
    }
    let _ = writeln!(
        body,
        "<form method=\"post\" action=\"/auth/sign-in\">\n<input type=\"hidden\" name=\"user_code\" value=\"{}\">\n\
         <input type=\"hidden\" name=\"proof\" value=\"{}\">\n\
         <p><label>Name: <input name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
         required></label></p>\n\
         <p><label>Password: <input name=\"password\" type=\"password\" autocomplete=\"current-password\" \
         required></label></p>\n<button>Sign in</button>\n</form>",
        escaped(offer.code.unwrap_or_default()),
        escaped(offer.proof)
    );
    page(offer.refused.map_or(StatusCode::OK, |(status, _)| status), "Sign a program in", &body)
}

/// The button that ends the session.
fn sign_out(by: &SignedIn) -> String {
    format!(
        "<form method=\"post\" action=\"/auth/sign-out\">\n<input type=\"hidden\" name=\"proof\" value=\"{}\">\n\
         <button>Sign out</button>\n</form>\n",
        escaped(&by.proof)
    )
}

/// Asks for a code, having refused one before or not.
pub(super) fn ask(by: &SignedIn, refused: Option<(StatusCode, &str)>) -> Response {
    let mut body = format!("<p>You are signed in as {}.</p>\n", escaped(&by.principal.name));
    if let Some((_, why)) = refused {
        let _ = writeln!(body, "<p class=\"refused\">{}</p>", escaped(why));
    }
    body.push_str(
        "<form method=\"get\" action=\"/auth/device\">\n<label>The code that your program shows: <input name=\"user_code\" \
         autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" maxlength=\"32\" required></label>\n\
         <button>Go on</button>\n</form>\n",
    );
    body.push_str(&sign_out(by));
    page(refused.map_or(StatusCode::OK, |(status, _)| status), "Sign a program in", &body)
}

/// Shows what asks with a code, and asks for a decision.
pub(super) fn decide(by: &SignedIn, code: &str, (asked, asked_at): (&Asked, i64)) -> Response {
    let mut body = format!(
        "<p>You are signed in as {}. A program asks to act for you. Approve only if you started it yourself just now, and it \
         shows the code <strong>{}</strong>: whoever sent you this code gets the token.</p>\n<dl>\n",
        escaped(&by.principal.name),
        escaped(&shown(code))
    );
    let address = asked.address.to_string();
    let (asked_at, ends) = (rfc3339(asked_at), rfc3339(asked.ends));
    for (term, text) in [
        ("Program", &asked.client),
        ("Asks from the address", &address),
        ("Asked at", &asked_at),
        ("Name of the token", &asked.name),
        ("It may", &asked.scopes),
        ("It ends", &ends),
    ] {
        let _ = writeln!(body, "<dt>{term}</dt><dd>{}</dd>", escaped(text));
    }
    let _ = write!(
        body,
        "</dl>\n<form method=\"post\" action=\"/auth/device/decide\">\n<input type=\"hidden\" name=\"user_code\" \
         value=\"{}\">\n<input type=\"hidden\" name=\"proof\" value=\"{}\">\n\
         <button name=\"decision\" value=\"deny\">Deny</button>\n\
         <button name=\"decision\" value=\"approve\">Approve</button>\n</form>\n",
        escaped(code),
        escaped(&by.proof)
    );
    body.push_str(&sign_out(by));
    page(StatusCode::OK, "Sign a program in", &body)
}

/// Says what was decided.
pub(super) fn decided(asked: &Asked, approved: bool) -> Response {
    let client = escaped(&asked.client);
    let body = match approved {
        true => format!("<p>{client} has its token in a few seconds. You can close this page.</p>\n"),
        false => format!("<p>{client} gets nothing. You can close this page.</p>\n"),
    };
    page(StatusCode::OK, if approved { "Approved" } else { "Denied" }, &body)
}
