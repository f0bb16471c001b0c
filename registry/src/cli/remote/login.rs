//! `hallmark login` and `hallmark logout`: a password becomes a token, and the token is given back.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::client::{Address, Ask, Client, Credential};
use super::contexts::{Context, Contexts, Named, check_name};
use super::span::Span;
use crate::cli::output::{self, Failure};
use crate::cli::password;
use crate::config::{Person, Secret};
use crate::people::tokens::MadeToken;

/// The longest name that is read from the terminal, in bytes.
const NAME_BYTES: u64 = 300;

#[derive(Args, Debug)]
pub(in crate::cli) struct Login {
    /// Where the registry is, such as https://registry.example.com
    url: String,
    /// Your name there; asked for on the terminal when it is left out
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from standard input, up to the first line break
    #[arg(long)]
    password_stdin: bool,
    /// What to call the context [default: the registry's host and port]
    #[arg(long, value_name = "CONTEXT")]
    name: Option<String>,
    /// What the token is limited to: read, write, admin, delete, sign, api:read, api:write, on:PATTERN
    #[arg(long, default_value = "admin api:write")]
    scopes: String,
    /// When the token ends, such as 12h or 90d; at most a year
    #[arg(long, default_value = "90d", value_name = "TIME")]
    expires: Span,
    /// Trust only the certificate authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Speak plain HTTP to another machine, where nobody else can listen
    #[arg(long)]
    insecure_http: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Logout {
    /// The context [default: HALLMARK_CONTEXT, then the current one]
    context: Option<String>,
    /// Forget the context also when the registry does not answer; its token stands until it ends
    #[arg(long)]
    forget: bool,
}

impl Login {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let ca = self.ca.as_deref().map(absolute).transpose()?;
        let address = Address::typed(&self.url, ca, self.insecure_http)?;
        let name = self.name.clone().unwrap_or_else(|| address.host());
        check_name(&name)?;
        if !self.scopes.split_whitespace().any(|scope| matches!(scope, "api:read" | "api:write")) {
            let why =
                "a context needs the scope api:read or api:write; `hallmark token create` makes tokens for images";
            return Err(Failure::Usage(why.to_owned()));
        }
        let file = Contexts::file(&Person::of_process())?;
        // Before the token is made: one that cannot be kept would be known to nobody.
        file.change(|_: &mut Contexts| Ok(()))?;
        let user = self.user.clone().map_or_else(ask_name, Ok)?;
        let password = if self.password_stdin { password::from_reader(io::stdin().lock())? } else { ask_password()? };
        let context = crate::cli::block_on(self.sign_in(&address, (&name, user), &password))??;
        let end = context.expires_at.clone().unwrap_or_default();
        let told =
            format!("signed in to {} as {}; {name} is the current context until {end}", address.url, context.user);
        let before = file.change(|all: &mut Contexts| {
            all.current = Some(name.clone());
            Ok(all.contexts.insert(name.clone(), context))
        })?;
        output::say(told)?;
        match before.map(revoke) {
            Some(Err(failure)) => {
                let _ = writeln!(
                    io::stderr(),
                    "hallmark: the token that {name} had before could not be revoked: {failure}"
                );
                Ok(())
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn sign_in(
        &self,
        address: &Address,
        (name, user): (&str, String),
        password: &Secret,
    ) -> Result<Context, Failure> {
        let client = Client::new(address, Credential::Password(&user, password))?;
        let new = json!({
            "name": format!("hallmark login ({name})").chars().take(100).collect::<String>(),
            "scopes": self.scopes,
            "expires_at": self.expires.end(),
        });
        let made: MadeToken = client.ask(Ask::post(&["me", "tokens"], new)).await?;
        Ok(Context {
            url: address.url.clone(),
            user,
            token: Secret::new(made.secret),
            token_id: made.id,
            scopes: self.scopes.clone(),
            expires_at: made.expires_at,
            ca: address.ca.clone(),
            insecure_http: address.insecure_http,
        })
    }
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))
}

fn ask_name() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask for your name on: use --user".to_owned()));
    }
    // Not on standard output, which a program may read.
    let _ = write!(io::stderr(), "User: ").and_then(|()| io::stderr().flush());
    let mut line = String::new();
    let read = io::BufRead::read_line(&mut io::Read::take(io::stdin().lock(), NAME_BYTES), &mut line);
    read.map_err(|error| Failure::Failed(format!("your name cannot be read from the terminal: {error}")))?;
    Ok(line.trim().to_owned())
}

fn ask_password() -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask for the password on: use --password-stdin".to_owned()));
    }
    rpassword::prompt_password("Password: ")
        .map(Secret::new)
        .map_err(|error| Failure::Failed(format!("the password cannot be read from the terminal: {error}")))
}

/// Ends the token of a context at the registry.
fn revoke(context: Context) -> Result<(), Failure> {
    let client = context.client()?;
    let ask = Ask::delete(&["me", "tokens", &context.token_id.to_string()]);
    crate::cli::block_on(client.tell(ask))?
}

impl Logout {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let person = Person::of_process();
        let file = Contexts::file(&person)?;
        let Named { name, context } = file.read::<Contexts>()?.choose(self.context, &person)?;
        let id = context.token_id;
        let told = match revoke(context) {
            Ok(()) => format!("signed out: the token of {name} is revoked"),
            // Ended, revoked, or its owner is disabled: there is nothing that could still be revoked.
            Err(Failure::NotSignedIn(_) | Failure::NotFound(_)) => {
                format!("signed out: the token of {name} was void already")
            }
            Err(failure) if self.forget => format!("{name} is forgotten; its token is not revoked: {failure}"),
            Err(failure) => return Err(failure),
        };
        file.change(|all: &mut Contexts| {
            // Another login may have put a new token there meanwhile.
            if all.contexts.get(&name).is_some_and(|context| context.token_id == id) {
                all.forget(&name);
            }
            Ok(())
        })?;
        output::say(told)
    }
}
