//! `hallmark trust signer`: who may sign, and the key by which the registry signs for Docker's clients.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::Session;
use super::client::Ask;
use super::trust::write;
use crate::cli::output::{self, Failure, Format};
use crate::people::grants::GrantView;
use crate::people::signing_keys::SigningKeyView;

#[derive(Debug, Subcommand)]
pub(super) enum SignerVerb {
    /// Let somebody sign, whatever else they hold
    Add(Signing),
    /// Let somebody sign no more; what else they hold stays
    Remove(Signing),
    /// Write the public key by which the registry signs for Docker's clients what is signed here: `docker trust signer add --key
    /// FILE hallmark IMAGE` names it
    Key {
        /// The repository, such as acme/web
        repository: String,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A key that has never signed, to take the place of the one before
        #[arg(long)]
        next: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct Signing {
    /// A repository (acme/web) or a prefix of names (acme/web-*, quoted for the shell)
    on: String,
    /// user:ann, team:acme/dev or robot:acme+ci
    holder: String,
}

impl SignerVerb {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Add(signing) => signing.let_sign(session, true).await,
            Self::Remove(signing) => signing.let_sign(session, false).await,
            Self::Key { repository, out, next } => given_key(session, &repository, &out, next).await,
        }
    }
}

impl Signing {
    /// Lets the holder sign, or sign no more.
    async fn let_sign(&self, session: &Session, may: bool) -> Result<(), Failure> {
        let Self { on, holder } = self;
        let held = held(session, on, holder).await?;
        let mut rights: Vec<&str> =
            held.as_deref().unwrap_or_default().split('+').filter(|one| !one.is_empty()).collect();
        let whole = rights.iter().find(|right| matches!(**right, "write" | "admin")).map(|right| (*right).to_owned());
        let signs = whole.is_some() || rights.contains(&"sign");
        match (may, signs) {
            (true, true) => output::say(format!("{holder} may sign on {on} already")),
            (true, false) => {
                rights.push("sign");
                let ask = Ask::put(&["grants", on, holder], json!({"rights": rights.join("+")}));
                session.made::<GrantView>(ask, &format!("{holder} may sign on {on}")).await
            }
            (false, false) => Err(Failure::NotFound(format!("{holder} has no grant to sign on {on}"))),
            (false, true) => {
                if let Some(whole) = whole {
                    return Err(Failure::Usage(format!(
                        "{holder} holds {whole} on {on}, which contains signing: change it with `hallmark grant put`"
                    )));
                }
                rights.retain(|right| *right != "sign");
                let done = format!("{holder} may sign on {on} no more");
                if rights.is_empty() {
                    return session.act(Ask::delete(&["grants", on, holder]), &done).await;
                }
                let ask = Ask::put(&["grants", on, holder], json!({"rights": rights.join("+")}));
                session.made::<GrantView>(ask, &done).await
            }
        }
    }
}

async fn given_key(session: &Session, repository: &str, out: &Path, next: bool) -> Result<(), Failure> {
    let ask = Ask::post(&["repositories", repository, "signing-key"], json!({"next": next}));
    let given: SigningKeyView = session.client.ask(ask).await?;
    write(out, given.key.as_bytes(), 0o644)?;
    match session.format {
        Format::Json => output::say_json(&given),
        Format::Text => output::say(format!("the key {} is in {}", given.id, out.display())),
    }
}

/// What somebody holds on exactly this target by a grant of their own.
async fn held(session: &Session, on: &str, holder: &str) -> Result<Option<String>, Failure> {
    let ask = match on.ends_with('*') {
        true => Ask::get(&["accounts", on.split('/').next().unwrap_or_default(), "grants"]),
        false => Ask::get(&["repositories", on, "grants"]),
    };
    let grants: Vec<GrantView> = session.client.all(ask).await?;
    Ok(grants.into_iter().find(|grant| grant.on == on && grant.holder == holder).map(|grant| grant.rights))
}
