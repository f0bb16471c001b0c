//! `hallmark hold`, `hallmark policy` and `hallmark retention`: what is kept on purpose, and the rules on what moves and what goes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::Ask;
use super::table::Row;
use super::{Remote, Session};
use crate::cli::output::{self, Failure};
use crate::people::holds::{HoldView, HoldWord};
use crate::people::policies::{RetentionPreview, VictimView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Hold {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: HoldVerb,
}

#[derive(Debug, Subcommand)]
enum HoldVerb {
    /// List what is held in a repository
    List {
        /// The repository, such as acme/web
        repository: String,
    },
    /// Hold a manifest: nothing deletes it, neither people nor rules nor the collector
    Place {
        /// The manifest, such as acme/web@sha256:…
        manifest: String,
        /// A pin goes with its repository; with a legal hold the repository cannot be deleted either
        #[arg(long, value_enum, default_value = "pin")]
        kind: Kind,
        /// Why; whoever wants to delete it is told
        #[arg(long)]
        reason: String,
    },
    /// Take a hold away
    Release {
        /// The manifest, such as acme/web@sha256:…
        manifest: String,
        /// Which of its holds
        #[arg(long, value_enum, default_value = "pin")]
        kind: Kind,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Pin,
    Legal,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Legal => "legal",
        }
    }
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Policy {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// Show the rules of a repository (acme/web), or of an account (acme)
    Show {
        /// Whose
        of: String,
    },
    /// Set the rules of a repository or an account, from a file with JSON
    Set {
        /// Whose
        of: String,
        /// The file
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Retention {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: RetentionVerb,
}

#[derive(Debug, Subcommand)]
enum RetentionVerb {
    /// Say what would go now, by which rule, and how many bytes would become free; nothing is deleted
    Preview {
        /// The repository, such as acme/web
        repository: String,
        /// Try the rules of this file instead of those that hold
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
}

impl Row for HoldView {
    const HEAD: &'static [&'static str] = &["DIGEST", "KIND", "BY", "SINCE", "REASON"];

    fn cells(&self) -> Vec<String> {
        let kind = match self.kind {
            HoldWord::Pin => "pin",
            HoldWord::Legal => "legal",
        };
        vec![self.digest.clone(), kind.to_owned(), self.placed_by.clone(), self.placed_at.clone(), self.reason.clone()]
    }
}

impl Hold {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session: Session| match verb {
            HoldVerb::List { repository } => {
                session.list::<HoldView>(Ask::get(&["repositories", &repository, "holds"])).await
            }
            HoldVerb::Place { manifest, kind, reason } => {
                let (repository, digest) = super::two(&manifest, '@', "manifest")?;
                let body = json!({"digest": digest, "kind": kind.word(), "reason": reason});
                let ask = Ask::post(&["repositories", repository, "holds"], body);
                session.made::<HoldView>(ask, &format!("{manifest} is held")).await
            }
            HoldVerb::Release { manifest, kind } => {
                let (repository, digest) = super::two(&manifest, '@', "manifest")?;
                let ask = Ask::delete(&["repositories", repository, "holds", digest, kind.word()]);
                session.act(ask, &format!("{manifest} is held no more by that")).await
            }
        })
    }
}

impl Policy {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session: Session| match verb {
            PolicyVerb::Show { of } => {
                let rules: Value = session.client.ask(Ask::get(&place(&of))).await?;
                say_json(&rules)
            }
            PolicyVerb::Set { of, file } => {
                let rules = read(&file)?;
                session.made::<Value>(Ask::put(&place(&of), rules), &format!("the rules of {of} are set")).await
            }
        })
    }
}

impl Retention {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let RetentionVerb::Preview { repository, rules } = self.verb;
        self.remote.run(async |session: Session| {
            let rules = rules.as_deref().map_or_else(|| Ok(json!({})), read)?;
            let ask = Ask::post(&["repositories", &repository, "retention", "preview"], rules);
            let preview: RetentionPreview = session.client.ask(ask).await?;
            for VictimView { digest, tags, whole, rule } in &preview.victims {
                let what = if *whole { "goes" } else { "loses tags" };
                output::say(format!("{digest} {what}: {} (rule {rule})", tags.join(",")))?;
            }
            output::say(format!(
                "{} in all; {} bytes would become free. Nothing was deleted",
                preview.count, preview.bytes
            ))
        })
    }
}

/// The rules in a file.
fn read(file: &Path) -> Result<Value, Failure> {
    let unusable = |error: String| Failure::Failed(format!("{} cannot be used: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))
}

/// Where the rules are: what has a slash in its name is a repository.
fn place(of: &str) -> [&str; 3] {
    [if of.contains('/') { "repositories" } else { "accounts" }, of, "policy"]
}

fn say_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
    output::say(text)
}
