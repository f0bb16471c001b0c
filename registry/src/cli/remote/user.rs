//! The verbs of `hallmark user` that ask a registry far away.

use serde_json::{Value, json};

use super::Remote;
use super::client::Ask;
use super::table::{Row, or_dash};
use crate::cli::output::Failure;
use crate::config::Secret;
use crate::people::users::{Role, UserView};

impl Row for UserView {
    const HEAD: &'static [&'static str] = &["NAME", "ROLE", "STATE", "SOURCE"];

    fn cells(&self) -> Vec<String> {
        let role = match self.role {
            Role::User => "user",
            Role::Auditor => "auditor",
            Role::Administrator => "administrator",
        };
        let state = if self.disabled { "disabled" } else { "active" };
        vec![self.name.clone(), role.to_owned(), state.to_owned(), or_dash(self.source.as_ref())]
    }
}

pub(in crate::cli) fn add(remote: Remote, name: &str, password: &Secret, admin: bool) -> Result<(), Failure> {
    let role = if admin { "administrator" } else { "user" };
    // Exposed to be sent: this is how the registry learns it.
    let new = json!({"name": name, "password": password.expose(), "role": role});
    let ask = Ask::post(&["users"], new);
    remote.run(async |session| session.made::<UserView>(ask, &format!("user {name} added")).await)
}

pub(in crate::cli) fn remove(remote: Remote, name: &str) -> Result<(), Failure> {
    let ask = Ask::delete(&["users", name]);
    remote.run(async |session| session.act(ask, &format!("user {name} removed")).await)
}

pub(in crate::cli) fn log_out(remote: Remote, name: &str) -> Result<(), Failure> {
    let ask = Ask::new(http::Method::POST, &["users", name, "logout"]);
    remote.run(async |session| session.act(ask, &format!("{name} is logged out everywhere")).await)
}

pub(in crate::cli) fn list(remote: Remote, prefix: Option<String>, disabled: Option<bool>) -> Result<(), Failure> {
    let ask =
        Ask::get(&["users"]).with("prefix", prefix).with("disabled", disabled.map(|disabled| disabled.to_string()));
    remote.run(async |session| session.list::<UserView>(ask).await)
}

pub(in crate::cli) fn show(remote: Remote, name: &str) -> Result<(), Failure> {
    remote.run(async |session| session.one::<UserView>(Ask::get(&["users", name])).await)
}

/// Changes one thing about a user, and shows them.
pub(in crate::cli) fn change(remote: Remote, name: &str, (field, value): (&str, Value)) -> Result<(), Failure> {
    let ask = Ask::patch(&["users", name], json!({field: value}));
    remote.run(async |session| session.one::<UserView>(ask).await)
}
