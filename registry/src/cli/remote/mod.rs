//! Lives here: the verbs that manage a registry far away, over its HTTP API, with the token of a context.
//! Never here: a rule; the registry decides, and this says what it said. Nor what speaks to a server on this machine.
//! Start reading at [`Remote::run`], then `client`, then a verb such as `org`.

pub(super) mod apply;
pub(super) mod audit;
pub(super) mod certificate;
mod client;
pub(super) mod contexts;
mod device;
pub(super) mod explain;
pub(super) mod grant;
pub(super) mod keep;
pub(super) mod login;
pub(super) mod org;
pub(super) mod quota;
pub(super) mod repo;
pub(super) mod robot;
mod root_shown;
pub(super) mod sign;
mod signers;
mod span;
mod table;
pub(super) mod team;
pub(super) mod token;
pub(super) mod trust;
pub(super) mod undelete;
pub(super) mod user;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::client::{Ask, Client};
use self::contexts::{Contexts, Named};
use self::table::{Row, Table};
use super::output::{self, Failure, Format};
use crate::config::Person;

/// Which registry is asked, and how its answer is shown.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Remote {
    /// The context to use [default: HALLMARK_CONTEXT, then the current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Tables for people, or one JSON object a line for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Remote {
    pub(super) fn new(context: Option<String>, output: Format) -> Self {
        Self { context, output }
    }

    /// Does the work in a session with the registry of the chosen context.
    pub(super) fn run(self, work: impl AsyncFnOnce(Session) -> Result<(), Failure>) -> Result<(), Failure> {
        let person = Person::of_process();
        let Named { context, .. } = Contexts::file(&person)?.read::<Contexts>()?.choose(self.context, &person)?;
        // Who the environment names comes before the one who signed in: what takes a password is done so.
        let (client, user) = match &person.login {
            Some((user, password)) => {
                let credential = client::Credential::Password(user, password);
                (Client::new(&context.address(), credential)?, user.clone())
            }
            None => (context.client()?, context.user.clone()),
        };
        let done = super::block_on(work(Session { client, user, format: self.output }))?;
        done.map_err(|failure| match failure {
            Failure::NotSignedIn(why) => {
                Failure::NotSignedIn(format!("{why}; sign in again with `hallmark login {}`", context.url))
            }
            failure => failure,
        })
    }
}

/// One person at one registry, and how they are told what it says.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// The name they signed in with.
    user: String,
    format: Format,
}

impl Session {
    /// Shows every page of a list as it comes.
    async fn list<T: Row>(&self, ask: Ask) -> Result<(), Failure> {
        let (mut table, mut after) = (Table::default(), None);
        loop {
            let page = self.client.page::<T>(ask.clone(), after).await?;
            self.show_rows(&mut table, &page.items)?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Shows a list that is one answer.
    async fn whole_list<T: Row>(&self, ask: Ask) -> Result<(), Failure> {
        let rows: Vec<T> = self.client.ask(ask).await?;
        self.show_rows(&mut Table::default(), &rows)
    }

    /// Shows the one thing that is answered.
    async fn one<T: Row>(&self, ask: Ask) -> Result<(), Failure> {
        let row: T = self.client.ask(ask).await?;
        self.show_rows(&mut Table::default(), &[row])
    }

    fn show_rows<T: Row>(&self, table: &mut Table, rows: &[T]) -> Result<(), Failure> {
        match self.format {
            Format::Json => rows.iter().try_for_each(output::say_json),
            Format::Text => output::print(&table.page(rows)),
        }
    }

    /// Does something, and says so.
    async fn act(&self, ask: Ask, done: &str) -> Result<(), Failure> {
        self.client.tell(ask).await?;
        match self.format {
            Format::Json => output::say_json(&json!({"done": done})),
            Format::Text => output::say(done),
        }
    }

    /// Does something that is answered by a thing of which only a sentence is of interest to people.
    async fn made<T: DeserializeOwned + serde::Serialize>(&self, ask: Ask, done: &str) -> Result<(), Failure> {
        let made: T = self.client.ask(ask).await?;
        match self.format {
            Format::Json => output::say_json(&made),
            Format::Text => output::say(done),
        }
    }
}

/// Which part of a list that is ordered by names.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Begins {
    /// Only names that begin with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

impl Begins {
    fn narrow(self, ask: Ask) -> Ask {
        ask.with("prefix", self.prefix)
    }
}

/// The two parts of a name such as `acme/dev` or `acme+ci`.
fn two<'a>(text: &'a str, by: char, what: &str) -> Result<(&'a str, &'a str), Failure> {
    let parts = text.split_once(by).filter(|(one, other)| !one.is_empty() && !other.is_empty() && !other.contains(by));
    parts.ok_or_else(|| Failure::Usage(format!("{text:?} is no {what}: write account{by}name")))
}
