//! `hallmark context`: the registries that a person signed in to, each with its token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::{Address, Client, Credential};
use super::table::{Row, Table, or_dash, yes};
use crate::cli::output::{self, Failure, Format};
use crate::cli::private_file::{PrivateFile, exposed};
use crate::clock::instant;
use crate::config::{Person, Secret};

/// The file of contexts, in the person's folder.
const FILE: &str = "contexts.toml";
/// The longest name of a context, in bytes.
const NAME_BYTES: usize = 300;

/// Every context, by name, and which is used when none is named.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

/// A registry, a person there, and their token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Context {
    pub(super) url: Url,
    pub(super) user: String,
    #[serde(serialize_with = "exposed")]
    pub(super) token: Secret,
    /// By which the registry knows the token.
    pub(super) token_id: i64,
    pub(super) scopes: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) insecure_http: bool,
}

/// A context with its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) context: Context,
}

impl Context {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.address(), Credential::Token(&self.token))
    }

    /// The registry itself, which takes name and token like a password.
    pub(super) fn registry(&self) -> Result<Client, Failure> {
        Client::new(&self.address(), Credential::Password(&self.user, &self.token))
    }

    pub(super) fn address(&self) -> Address {
        Address { url: self.url.clone(), ca: self.ca.clone(), insecure_http: self.insecure_http }
    }

    /// `host` or `host:port`.
    pub(in crate::cli) fn host(&self) -> String {
        self.address().host()
    }

    /// Name and token, as long as the token stands.
    pub(in crate::cli) fn credential(&self, now: i64) -> Option<(&str, &Secret)> {
        let stands = self.expires_at.as_deref().and_then(instant).is_none_or(|end| now < end);
        stands.then_some((self.user.as_str(), &self.token))
    }
}

impl Contexts {
    pub(in crate::cli) fn file(person: &Person) -> Result<PrivateFile, Failure> {
        PrivateFile::of(person, FILE)
    }

    /// The contexts, the current one first.
    pub(in crate::cli) fn in_order(&self) -> impl Iterator<Item = &Context> {
        let current = self.current.as_ref().and_then(|name| self.contexts.get(name));
        current.into_iter().chain(self.contexts.values())
    }

    /// The context that was named, by the flag before the variable, else the current one.
    pub(super) fn choose(mut self, flag: Option<String>, person: &Person) -> Result<Named, Failure> {
        let place = if flag.is_none() && person.context.is_some() { " (HALLMARK_CONTEXT)" } else { "" };
        let named = flag.or_else(|| person.context.clone());
        let Some(name) = named.or_else(|| self.current.clone()) else {
            let advice = match self.contexts.is_empty() {
                true => "you are not signed in: run `hallmark login URL`",
                false => "no context is current: choose one with `hallmark context use NAME`, or with --context",
            };
            return Err(Failure::NotSignedIn(advice.to_owned()));
        };
        match self.contexts.remove(&name) {
            Some(context) => Ok(Named { name, context }),
            None => Err(unknown(&name, place)),
        }
    }

    /// Forgets a context.
    pub(super) fn forget(&mut self, name: &str) -> Option<Context> {
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        self.contexts.remove(name)
    }
}

fn unknown(name: &str, place: &str) -> Failure {
    Failure::Usage(format!("there is no context {name:?}{place}: `hallmark context list` shows those there are"))
}

/// Refuses a name that could not be typed again.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]@/".contains(letter);
    if !name.is_empty() && name.len() <= NAME_BYTES && name.chars().all(is_plain) && !name.starts_with('-') {
        return Ok(());
    }
    Err(Failure::Usage(format!("{name:?} is no name for a context: use letters, digits and . - _ : @ /")))
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ContextVerb {
    /// List the registries that you are signed in to; the token's secret is not shown.
    List(List),
    /// Use this context when none is named.
    Use(Chosen),
    /// Forget a context on this machine; its token stands until it ends. `hallmark logout` revokes it as well.
    Remove(Chosen),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Tables for people, or one JSON object a line for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Chosen {
    /// The context
    name: String,
}

#[derive(Serialize, Deserialize)]
struct ContextLine {
    name: String,
    url: String,
    user: String,
    scopes: String,
    expires_at: Option<String>,
    current: bool,
}

impl Row for ContextLine {
    const HEAD: &'static [&'static str] = &["NAME", "URL", "USER", "SCOPES", "ENDS", "CURRENT"];

    fn cells(&self) -> Vec<String> {
        let ends = or_dash(self.expires_at.as_ref());
        vec![self.name.clone(), self.url.clone(), self.user.clone(), self.scopes.clone(), ends, yes(self.current)]
    }
}

impl ContextVerb {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let file = Contexts::file(&Person::of_process())?;
        match self {
            Self::List(list) => show(file.read()?, list.output),
            Self::Use(Chosen { name }) => {
                file.change(|all: &mut Contexts| {
                    if !all.contexts.contains_key(&name) {
                        return Err(unknown(&name, ""));
                    }
                    all.current = Some(name.clone());
                    Ok(())
                })?;
                output::say(format_args!("{name} is current"))
            }
            Self::Remove(Chosen { name }) => {
                file.change(|all: &mut Contexts| all.forget(&name).ok_or_else(|| unknown(&name, "")))?;
                output::say(format_args!("{name} is forgotten; its token stands until it ends"))
            }
        }
    }
}

fn show(all: Contexts, format: Format) -> Result<(), Failure> {
    let Contexts { current, contexts } = all;
    let line = |(name, context): (String, Context)| ContextLine {
        current: current.as_ref() == Some(&name),
        name,
        url: context.url.to_string(),
        user: context.user,
        scopes: context.scopes,
        expires_at: context.expires_at,
    };
    let lines: Vec<_> = contexts.into_iter().map(line).collect();
    match format {
        Format::Json => lines.iter().try_for_each(output::say_json),
        Format::Text => output::print(&Table::default().page(&lines)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(url: &str) -> Context {
        Context {
            url: url.parse().unwrap(),
            user: "ann".to_owned(),
            token: Secret::new("hunter2".to_owned()),
            token_id: 1,
            scopes: "admin api:write".to_owned(),
            expires_at: Some("2031-01-31T00:00:00Z".to_owned()),
            ca: None,
            insecure_http: false,
        }
    }

    fn two() -> Contexts {
        let one = |name: &str, url: &str| (name.to_owned(), context(url));
        let contexts = [one("home", "http://localhost:5000"), one("work", "https://r.example.com")].into();
        Contexts { current: Some("work".to_owned()), contexts }
    }

    #[test]
    fn contexts_are_written_as_they_are_read() {
        let text = toml::to_string(&two()).unwrap();
        assert!(text.contains("token = \"hunter2\""), "{text}");
        let read: Contexts = toml::from_str(&text).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), text);
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    #[test]
    fn a_flag_is_stronger_than_the_variable_and_that_than_the_current_one() {
        let by = |flag: Option<&str>, variable: Option<&str>| {
            let person = Person { context: variable.map(str::to_owned), ..Person::default() };
            two().choose(flag.map(str::to_owned), &person).map(|named| named.name)
        };
        assert_eq!(by(None, None).unwrap(), "work");
        assert_eq!(by(None, Some("home")).unwrap(), "home");
        assert_eq!(by(Some("work"), Some("home")).unwrap(), "work");
        assert!(matches!(by(Some("nowhere"), None), Err(Failure::Usage(_))));
        let nobody = Contexts::default().choose(None, &Person::default());
        assert!(matches!(nobody, Err(Failure::NotSignedIn(_))));
    }

    #[test]
    fn a_forgotten_context_is_current_no_more() {
        let mut all = two();
        assert!(all.forget("work").is_some() && all.forget("work").is_none());
        assert_eq!(all.current, None);
    }

    #[test]
    fn an_ended_token_is_shown_to_nobody() {
        let context = context("https://r.example.com");
        let end = instant("2031-01-31T00:00:00Z").unwrap();
        assert!(context.credential(end - 1).is_some());
        assert!(context.credential(end).is_none());
    }

    #[test]
    fn a_context_is_named_as_a_registry_or_a_word() {
        for name in ["work", "registry.example.com:5000", "[::1]:5000", "ann@work"] {
            check_name(name).unwrap();
        }
        for name in ["", "-x", "a b", "a\nb", "ä"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
