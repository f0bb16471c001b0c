//! `hallmark login` and `hallmark logout`: a password or an approved code becomes a token, and the token is given back.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::client::{Address, Ask, Client, Credential};
use super::contexts::{Context, Contexts, Named, check_name};
use super::device::{self, Wanted};
use super::span::Span;
use crate::cli::output::{self, Failure};
use crate::cli::password;
use crate::clock::{Clock, rfc3339};
use crate::config::{Person, Secret};
use crate::people::tokens::MadeToken;

/// The longest name that is read from the terminal, in bytes.
const NAME_BYTES: u64 = 300;

#[derive(Args, Debug)]
pub(in crate::cli) struct Login {
    /// Where the registry is, such as https://registry.example.com
    url: String,
    /// Your name there, to sign in with a password; without it, a terminal is shown a code to approve in a browser
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from standard input, up to the first line break
    #[arg(long)]
    password_stdin: bool,
    /// Show a code to approve in a browser, also where there is no terminal; no password is asked for
    #[arg(long, conflicts_with_all = ["user", "password_stdin"])]
    device: bool,
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
        let context = match self.way(io::stdin().is_terminal()) {
            Way::Password => self.by_password(&address, &name)?,
            Way::Device => self.by_device(&address, &name)?.map_err(nowhere)?,
            Way::DeviceFirst => match self.by_device(&address, &name)? {
                Ok(context) => context,
                Err(NoPage) => {
                    let _ = writeln!(io::stderr(), "{} has no page to approve a code on", address.url);
                    self.by_password(&address, &name)?
                }
            },
        };
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

    fn way(&self, is_terminal: bool) -> Way {
        match (self.device, self.user.is_some() || self.password_stdin) {
            (true, _) => Way::Device,
            (false, false) if is_terminal => Way::DeviceFirst,
            (false, _) => Way::Password,
        }
    }

    fn by_password(&self, address: &Address, name: &str) -> Result<Context, Failure> {
        let user = self.user.clone().map_or_else(ask_name, Ok)?;
        let password = if self.password_stdin { password::from_reader(io::stdin().lock())? } else { ask_password()? };
        let client = Client::new(address, Credential::Password(&user, &password))?;
        let new = json!({"name": token_name(name), "scopes": self.scopes, "expires_at": self.expires.end()});
        let made: MadeToken = crate::cli::block_on(client.ask(Ask::post(&["me", "tokens"], new)))??;
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

    fn by_device(&self, address: &Address, name: &str) -> Result<Result<Context, NoPage>, Failure> {
        let client = Client::new(address, Credential::Nothing)?;
        let token = token_name(name);
        let wanted = Wanted { name: &token, scopes: &self.scopes, seconds: self.expires.seconds() };
        let redeemed = crate::cli::block_on(async {
            let begun = match device::begin(&client, wanted).await {
                Ok(begun) => begun,
                Err(Failure::NotFound(_)) => return Ok(Err(NoPage)),
                Err(failure) => return Err(failure),
            };
            device::wait(&client, &begun).await.map(Ok)
        })??;
        Ok(redeemed.map(|redeemed| Context {
            url: address.url.clone(),
            user: redeemed.username,
            token: Secret::new(redeemed.access_token),
            token_id: redeemed.token_id,
            scopes: redeemed.scope,
            expires_at: Some(rfc3339(Clock::System.now() + redeemed.expires_in.saturating_mul(1_000))),
            ca: address.ca.clone(),
            insecure_http: address.insecure_http,
        }))
    }
}

/// How somebody shows who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Password,
    /// By a code that they approve in a browser.
    Device,
    /// The same, and by password where the registry has no page for it.
    DeviceFirst,
}

/// No browser can sign anybody in to this registry.
#[derive(Debug)]
struct NoPage;

fn nowhere(NoPage: NoPage) -> Failure {
    let why = "this registry has no page to approve a code on (its public_url is not set): use --user";
    Failure::NotFound(why.to_owned())
}

/// How the token is called, of a context of this name.
fn token_name(name: &str) -> String {
    format!("hallmark login ({name})").chars().take(100).collect()
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        login: Login,
    }

    #[test]
    fn a_code_is_offered_to_a_terminal_that_was_told_no_name() {
        for (words, at_terminal, elsewhere) in [
            (&["--device"][..], Way::Device, Way::Device),
            (&[], Way::DeviceFirst, Way::Password),
            (&["--user", "ann"], Way::Password, Way::Password),
            (&["--password-stdin"], Way::Password, Way::Password),
        ] {
            let words = ["hallmark", "https://r.example.com"].iter().chain(words);
            let Typed { login } = Typed::try_parse_from(words).unwrap();
            assert_eq!((login.way(true), login.way(false)), (at_terminal, elsewhere), "{login:?}");
        }
    }
}
