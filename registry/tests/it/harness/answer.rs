//! A whole answer, and how a snapshot shows it.

use std::fmt;

use bytes::Bytes;
use hallmark_oci::ErrorCode;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The headers that every answer under `/v2` carries with the same value.
const EVERY: &[(&str, &str)] = &[
    ("docker-distribution-api-version", "registry/2.0"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox"),
];

/// Everything that came back for one request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Texts that a snapshot shows by name, such as digests.
    pub(crate) names: Vec<(String, String)>,
    /// Whether this is an answer of the image API, which carries [`EVERY`].
    pub(crate) of_api: bool,
    /// Whether this is an answer to a browser, or to a program that wants to be signed in.
    pub(crate) of_sign_in: bool,
}

impl Answer {
    /// A header that must be there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no {name} in\n{self}"));
        assert!(values.next().is_none(), "{name} twice in\n{self}");
        value.to_str().unwrap()
    }

    /// The path in `Location`.
    pub(crate) fn location(&self) -> String {
        self.header("location").to_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in\n{self}"))
    }

    /// The code of the only error in the body.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("no code in\n{self}")).to_owned()
    }

    /// The status, and the code when it is a failure: what most refusals are about.
    pub(crate) fn gist(&self) -> (u16, String) {
        let code = if self.status.as_u16() < 400 { String::new() } else { self.code() };
        (self.status.as_u16(), code)
    }

    /// Fails unless the status is this one; gives the answer back.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// Everything that an observer can compare, without what is new in every answer: the request id.
    pub(crate) fn visible(&self) -> (StatusCode, Vec<(String, String)>, Bytes) {
        let shown = self.headers.iter().filter(|(name, _)| *name != "x-request-id");
        let mut headers: Vec<_> =
            shown.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }

    /// Fails unless an error looks as all errors do: the envelope, a code of the table with a status that it may have, the
    /// exact content type, and the headers that go with the status.
    #[track_caller]
    pub(crate) fn follows_the_rules(&self) {
        if self.of_api {
            for (name, value) in EVERY {
                assert_eq!(self.header(name), *value, "{self}");
            }
            assert!(is_request_id(self.header("x-request-id")), "{self}");
        }
        if self.of_sign_in && self.is_of_sign_in() {
            return;
        }
        if self.status.as_u16() < 400 || !self.headers.contains_key("content-type") {
            return;
        }
        assert_eq!(self.header("content-type"), "application/json", "{self}");
        if self.body.is_empty() {
            return;
        }
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no envelope in\n{self}"));
        assert_eq!((body.as_object().unwrap().len(), errors.len()), (1, 1), "{self}");
        let code = errors[0]["code"].as_str().unwrap();
        assert!(ErrorCode::ALL.iter().any(|known| known.word() == code), "an unknown code in\n{self}");
        assert!(errors[0]["message"].as_str().is_some_and(|message| !message.is_empty()), "{self}");
        assert_eq!(self.status == 401, self.headers.contains_key("www-authenticate"), "{self}");
        if self.of_api && self.status.is_server_error() {
            assert_eq!(errors[0]["detail"]["request_id"], self.header("x-request-id"), "{self}");
        }
        if matches!(self.status.as_u16(), 429 | 503 | 507) {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "{self}");
        }
    }

    /// Whether this is a page, or speaks the words of RFC 6749; fails for one that could be framed, kept or scripted.
    #[track_caller]
    fn is_of_sign_in(&self) -> bool {
        let kind = self.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        if kind.starts_with("text/html") {
            let policy = self.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{self}");
            for rule in ["form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.contains(rule), "{self}");
            }
            assert_eq!((self.header("x-frame-options"), self.header("cache-control")), ("DENY", "no-store"), "{self}");
            assert!(!self.text().contains("<script"), "{self}");
            return true;
        }
        let speaks = kind == "application/json" && !self.body.is_empty() && self.json()["error"].is_string();
        if speaks {
            assert!(matches!(self.status.as_u16(), 400 | 429), "{self}");
            assert_eq!(self.header("cache-control"), "no-store", "{self}");
            assert_eq!(self.status == 429, self.headers.contains_key("retry-after"), "{self}");
        }
        speaks
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(id) = self.headers.get("x-request-id") {
            text = text.replace(id.to_str().unwrap(), "{request}");
        }
        for (hidden, name) in &self.names {
            text = text.replace(hidden, name);
        }
        mask_uploads(&text)
    }
}

impl fmt::Display for Answer {
    /// The status, the headers in order, and the body. What every answer of the API carries is left out when it is as it
    /// should be: [`Answer::follows_the_rules`] looks at it in every answer of every test. So is the length of what has no
    /// body by its status: the router adds a zero that connections take away again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let bodiless = matches!(self.status.as_u16(), 204 | 304);
        let expected = |name: &str, value: &str| match name {
            "x-request-id" => is_request_id(value),
            "content-length" => bodiless,
            _ => EVERY.contains(&(name, value)),
        };
        let mut lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("(not text)")))
            .filter(|(name, value)| !expected(name, value))
            .map(|(name, value)| match (name, value.len()) {
                // The entity tag of what the management API shows: 32 hexadecimal digits, quoted.
                ("etag", 34) => "etag: {tag}".to_owned(),
                _ => format!("{name}: {}", self.masked(value)),
            })
            .collect();
        lines.sort();
        for line in lines {
            writeln!(f, "{line}")?;
        }
        if !self.body.is_empty() {
            writeln!(f, "\n{}", self.masked(&String::from_utf8_lossy(&self.body)))?;
        }
        Ok(())
    }
}

fn is_request_id(text: &str) -> bool {
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_once('-').is_some_and(|(process, count)| process.len() == 8 && hex(process) && hex(count))
}

/// Upload ids are random: 32 hexadecimal digits that are no part of a longer run.
fn mask_uploads(text: &str) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_hexdigit() {
            run.push(character);
            continue;
        }
        shown.push_str(if run.len() == 32 { "{upload}" } else { &run });
        run.clear();
        shown.push(character);
    }
    shown.pop();
    shown
}
