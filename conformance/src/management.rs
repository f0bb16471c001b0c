//! The management API as whoever runs a registry asks it: what a test needs to make before it can ask what it is about.

use serde_json::{Value, json};

use crate::{
    Outcome,
    check::holds,
    failure::While,
    http::{Client, Request, Response, encode},
};

/// The API, and the one who asks it by name and password.
#[derive(Clone, Debug)]
pub struct Management {
    client: Client,
}

/// A credential that is shown once, with what revokes it.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its id, where it has one.
    pub id: i64,
    /// What is shown in the place of a password.
    pub secret: String,
}

impl Management {
    /// The API, asked by this client, which must have a name.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Asks for a path below `/api/v1` and expects a status below 300.
    ///
    /// # Errors
    /// No answer came, or it is a refusal.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Outcome<Response> {
        let request = Request::new(method, format!("/api/v1{path}")).header("Content-Type", "application/json");
        let request = if body.is_null() { request } else { request.bytes(body.to_string()) };
        let answer = self.client.send_basic(&request)?;
        holds(answer.status < 300, || format!("{method} {path} was answered {answer:?}"))?;
        Ok(answer)
    }

    /// Gives rights, joined by `+`, on a repository or a prefix to a holder such as `user:ann`.
    ///
    /// # Errors
    /// As for [`Management::ask`].
    pub fn grant(&self, rights: &str, on: &str, holder: &str) -> Outcome<()> {
        let path = format!("/grants/{}/{}", encode(on), encode(holder));
        self.ask("PUT", &path, &json!({ "rights": rights })).map(drop)
    }

    /// Makes a personal access token of the one who asks, that ends within the hour.
    ///
    /// # Errors
    /// As for [`Management::ask`].
    pub fn make_token(&self, scopes: &str) -> Outcome<Credential> {
        let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let body = json!({ "name": "test", "scopes": scopes, "expires_at": ends.to_string() });
        credential(&self.ask("POST", "/me/tokens", &body)?)
    }

    /// Makes a secret of a robot; those before it end at once.
    ///
    /// # Errors
    /// As for [`Management::ask`].
    pub fn rotate(&self, account: &str, robot: &str) -> Outcome<Credential> {
        let path = format!("/accounts/{account}/robots/{robot}/secrets");
        credential(&self.ask("POST", &path, &json!({ "overlap_seconds": 0 }))?)
    }
}

fn credential(answer: &Response) -> Outcome<Credential> {
    let made = answer.json()?;
    let secret = made["secret"].as_str().or_fail("there is no secret in the answer")?;
    Ok(Credential { id: made["id"].as_i64().unwrap_or_default(), secret: secret.to_owned() })
}
