//! `hallmark gc`.

use clap::{Args, Subcommand};
use hallmark_oci::Digest;

use super::ask::{Asked, not_understood};
use super::output::{self, Failure};
use crate::control::{Answer, Command};

#[derive(Debug, Subcommand)]
pub(super) enum GcVerb {
    /// Collect everything that is due now, not only what fits into the next minute.
    Run(Run),
    /// Say how much waits for the collector, and whether it rests.
    Status(Asked),
    /// Let the collector rest, on every replica and also after a restart: nothing is deleted any more.
    Pause(Asked),
    /// Let the collector go on.
    Resume(Asked),
    /// Say what keeps a digest, or when it goes.
    Explain(Explain),
}

#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    asked: Asked,
    /// Delete nothing, and say what would go
    #[arg(long)]
    dry_run: bool,
    /// Say what the comparison of the store found that waits for you, and delete nothing
    #[arg(long, conflicts_with = "dry_run")]
    orphans: bool,
    /// Go on with that comparison when at most so many keys are deleted
    #[arg(long, value_name = "NUMBER", requires = "orphans")]
    agree: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct Explain {
    #[command(flatten)]
    asked: Asked,
    /// The digest of a blob or manifest
    digest: Digest,
    /// In the repositories of this account; without it, in the whole store, and of blobs only
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

impl GcVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (asked, command) = match self {
            Self::Run(Run { asked, orphans: true, agree, .. }) => (asked, Command::GcOrphans { agreed: agree }),
            Self::Run(Run { asked, dry_run, .. }) => (asked, Command::GcRun { dry_run }),
            Self::Status(asked) => (asked, Command::GcStatus),
            Self::Pause(asked) => (asked, Command::GcPause { paused: true }),
            Self::Resume(asked) => (asked, Command::GcPause { paused: false }),
            Self::Explain(Explain { asked, digest, account }) => {
                (asked, Command::GcExplain { digest: digest.to_string(), account })
            }
        };
        match super::block_on(asked.ask(command))?? {
            Answer::Done { message } => output::say(message),
            Answer::Told { lines } => lines.iter().try_for_each(output::say),
            _ => Err(not_understood()),
        }
    }
}
