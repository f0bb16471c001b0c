//! Lives here: `hallmark apply`: a file says what is to be, the registry says what is, and the difference is made.
//! Never here: what may be; the registry refuses what it does not let this person do.
//! Start reading at [`Apply::run`], then `file`, then `plan`.

mod change;
mod file;
mod plan;
mod present;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use self::change::Change;
use super::table::harmless;
use super::{Remote, Session};
use crate::cli::output::{self, Failure, Format};

#[derive(Args, Debug)]
pub(in crate::cli) struct Apply {
    #[command(flatten)]
    remote: Remote,
    /// The file, in TOML, YAML or JSON; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show the difference and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove what the lists of the file leave out, in the organizations that it names; never a repository or a user
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let wanted = file::read(&self.file)?;
        let (dry_run, prune) = (self.dry_run, self.prune);
        self.remote.run(async |session| {
            let present = present::read(&session, &wanted, prune).await?;
            let changes = plan::plan(&wanted, &present, (&session.user, prune)).map_err(|why| unfit(&why))?;
            if dry_run { show(&session, &changes) } else { make(&session, &changes).await }
        })
    }
}

fn unfit(why: &[String]) -> Failure {
    Failure::Failed(format!("the file does not fit what is there; nothing was changed:\n  {}", why.join("\n  ")))
}

fn show(session: &Session, changes: &[Change]) -> Result<(), Failure> {
    changes.iter().try_for_each(|change| say(session, change, false))?;
    sum(session, changes.len(), "would be made")
}

/// Makes the changes one after another. What was made before a failure stays, and the next run goes on from there.
async fn make(session: &Session, changes: &[Change]) -> Result<(), Failure> {
    for change in changes {
        session.client.tell(change.ask()).await.map_err(|failure| within(change, failure))?;
        say(session, change, true)?;
    }
    sum(session, changes.len(), "made")
}

fn within(change: &Change, failure: Failure) -> Failure {
    let told =
        |why: String| format!("at `{}`: {why}; correct it and run this again to go on", harmless(&change.to_string()));
    match failure {
        Failure::Failed(why) => Failure::Failed(told(why)),
        Failure::NotFound(why) => Failure::NotFound(told(why)),
        Failure::NotAllowed(why) => Failure::NotAllowed(told(why)),
        Failure::NoServer(why) => Failure::NoServer(told(why)),
        failure => failure,
    }
}

fn say(session: &Session, change: &Change, made: bool) -> Result<(), Failure> {
    let line = harmless(&change.to_string());
    match session.format {
        Format::Json => output::say_json(&json!({"change": line, "made": made})),
        Format::Text => output::say(line),
    }
}

fn sum(session: &Session, changes: usize, done: &str) -> Result<(), Failure> {
    match (session.format, changes) {
        (Format::Json, _) => Ok(()),
        (Format::Text, 0) => output::say("nothing to change"),
        (Format::Text, 1) => output::say(format_args!("1 change {done}")),
        (Format::Text, many) => output::say(format_args!("{many} changes {done}")),
    }
}
