//! A client that logs in the way clients do: it asks, reads the challenge, fetches a token, asks again.

use std::{collections::HashMap, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Connection, Request, Response, encode};
use crate::{Outcome, failure::While};

/// A user's name and password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// The value of an `Authorization: Basic` header.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

/// A client of one server on 127.0.0.1. Tokens are kept for each scope; each request has a connection of its own.
#[derive(Debug)]
pub struct Client {
    port: u16,
    credentials: Option<Credentials>,
    /// From the scope of a challenge to the `Authorization` value that answers it.
    tokens: Mutex<HashMap<String, String>>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        let tokens = self.tokens.lock().map(|tokens| tokens.clone()).unwrap_or_default();
        Self { port: self.port, credentials: self.credentials.clone(), tokens: Mutex::new(tokens) }
    }
}

impl Client {
    /// A client with a name.
    pub fn new(port: u16, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { credentials: Some(Credentials { user, password }), ..Self::anonymous(port) }
    }

    /// A client without a name.
    pub fn anonymous(port: u16) -> Self {
        Self { port, credentials: None, tokens: Mutex::default() }
    }

    /// The same client, asking at another port: that of a [`crate::relay::Relay`].
    #[must_use]
    pub fn through(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a request as it is: no token, no second try.
    ///
    /// # Errors
    /// No response came.
    pub fn send_plain(&self, request: &Request) -> Outcome<Response> {
        Connection::open(self.port)?.exchange(request)
    }

    /// Sends a request with the name and the password in it, as the management API takes them.
    ///
    /// # Errors
    /// The client has no name, or no response came.
    pub fn send_basic(&self, request: &Request) -> Outcome<Response> {
        let credentials = self.credentials.as_ref().or_fail("a request with a name needs one")?;
        self.send_plain(&request.clone().header("Authorization", credentials.basic()))
    }

    /// Sends a request; a challenge is answered with a token and the request sent again, once.
    ///
    /// # Errors
    /// No response came, or the challenge or the token answer cannot be read.
    pub fn send(&self, request: &Request) -> Outcome<Response> {
        let known = self.known(&scope_guess(request));
        let first = match &known {
            Some(value) => self.send_plain(&request.clone().header("Authorization", value))?,
            None => self.send_challenged(request)?,
        };
        if first.status != 401 {
            return Ok(first);
        }
        let Some(challenge) = first.header("www-authenticate") else {
            return Ok(first);
        };
        let Some(value) = self.answer(challenge)? else {
            return Ok(first);
        };
        self.remember(scope_guess(request), &value);
        self.send_plain(&request.clone().header("Authorization", value))
    }

    /// The `Authorization` value for these scopes, such as `repository:a/b:pull,push`, from the token endpoint.
    ///
    /// # Errors
    /// The server gives no challenge at `/v2/`, or refuses the token.
    pub fn authorization(&self, scopes: &[&str]) -> Outcome<String> {
        let ping = self.send_plain(&Request::new("GET", "/v2/"))?;
        let challenge = ping.required("www-authenticate")?;
        if challenge.starts_with("Basic") {
            let credentials = self.credentials.as_ref();
            return Ok(credentials.or_fail("Basic needs a name")?.basic());
        }
        self.fetch(challenge, scopes)
    }

    /// Asks the token endpoint that a challenge names for scopes, and gives the whole answer.
    ///
    /// # Errors
    /// The challenge has no realm, or no response came.
    pub fn ask_token(&self, challenge: &str, scopes: &[&str]) -> Outcome<Response> {
        let realm = parameter(challenge, "realm").or_fail("the challenge has no realm")?;
        let service = parameter(challenge, "service").or_fail("the challenge has no service")?;
        let path = realm.find("://").map_or(realm.as_str(), |scheme| {
            let rest = &realm[scheme + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut target = format!("{path}{separator}service={}", encode(&service));
        for scope in scopes {
            target.push_str("&scope=");
            target.push_str(&encode(scope));
        }
        let mut request = Request::new("GET", target);
        if let Some(credentials) = &self.credentials {
            request = request.header("Authorization", credentials.basic());
        }
        self.send_plain(&request)
    }

    /// Sends a request that may have a large body: only its head's twin goes first, so a challenge costs no body.
    fn send_challenged(&self, request: &Request) -> Outcome<Response> {
        let (Some(_), false) = (&self.credentials, request.wire_body().is_empty()) else {
            return self.send_plain(request);
        };
        let repository = request.target.split('?').next().unwrap_or_default();
        let probe = self.send_plain(&Request::new("GET", "/v2/"))?;
        let Some(challenge) = probe.header("www-authenticate") else {
            return self.send_plain(request);
        };
        let scope = repository_of(repository).map(|name| format!("repository:{name}:pull,push"));
        let value = if challenge.starts_with("Basic") {
            self.credentials.as_ref().map(Credentials::basic)
        } else {
            let scopes = scope.iter().map(String::as_str).collect::<Vec<_>>();
            Some(self.fetch(challenge, &scopes)?)
        };
        let Some(value) = value else {
            return self.send_plain(request);
        };
        self.remember(scope_guess(request), &value);
        self.send_plain(&request.clone().header("Authorization", value))
    }

    fn answer(&self, challenge: &str) -> Outcome<Option<String>> {
        if challenge.starts_with("Basic") {
            return Ok(self.credentials.as_ref().map(Credentials::basic));
        }
        let scope = parameter(challenge, "scope").unwrap_or_default();
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty()).collect::<Vec<_>>();
        self.fetch(challenge, &scopes).map(Some)
    }

    fn fetch(&self, challenge: &str, scopes: &[&str]) -> Outcome<String> {
        let answer = self.ask_token(challenge, scopes)?.expect(200)?.json()?;
        let token = answer.get("token").and_then(|token| token.as_str());
        let token = token.or_fail(format!("the token answer {answer} has no token"))?;
        Ok(format!("Bearer {token}"))
    }

    fn known(&self, scope: &str) -> Option<String> {
        self.tokens.lock().ok()?.get(scope).cloned()
    }

    fn remember(&self, scope: String, value: &str) {
        if let Ok(mut tokens) = self.tokens.lock() {
            tokens.insert(scope, value.to_owned());
        }
    }
}

/// What a token is kept under: the repository and whether it is read, written or deleted from.
fn scope_guess(request: &Request) -> String {
    let path = request.target.split('?').next().unwrap_or_default();
    let verb = match request.method.as_str() {
        "GET" | "HEAD" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    format!("{verb} {}", repository_of(path).unwrap_or(path))
}

/// The repository that a path of the protocol names.
fn repository_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/")?;
    ["/blobs/", "/manifests/", "/tags/", "/referrers/"].iter().find_map(|word| rest.rfind(word)).map(|end| &rest[..end])
}

/// A quoted parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let begin = challenge.find(&format!("{name}=\""))? + name.len() + 2;
    let rest = &challenge[begin..];
    Some(rest[..rest.find('"')?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_parameter_is_read_without_its_quotes() {
        let challenge = "Bearer realm=\"http://localhost:1/token\",service=\"s\",scope=\"repository:a/b:pull,push\"";
        assert_eq!(parameter(challenge, "scope").unwrap(), "repository:a/b:pull,push");
        assert_eq!(parameter(challenge, "error"), None);
    }

    #[test]
    fn the_repository_of_a_path_is_what_stands_before_its_last_word() {
        assert_eq!(repository_of("/v2/a/b/blobs/uploads/"), Some("a/b"));
        assert_eq!(repository_of("/v2/_catalog"), None);
    }
}
