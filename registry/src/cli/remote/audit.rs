//! `hallmark audit`: what happened, for people to read and for programs to keep.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};

use super::client::{Ask, Page};
use super::table::{Row, Table, or_dash};
use super::{Remote, Session};
use crate::cli::output::{Failure, Format};
use crate::people::events::EventView;

#[derive(Args, Debug)]
pub(in crate::cli) struct Audit {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// List what happened, the oldest first; with --output json --follow-pages all of it, one event a line
    List(List),
}

#[derive(Args, Debug)]
struct List {
    /// Only events of this kind, such as grant_put
    #[arg(long)]
    kind: Option<String>,
    /// Only what they did: ann, user:ann or robot:acme+ci
    #[arg(long)]
    actor: Option<String>,
    /// Only what happened in this account; owners of an organization name it
    #[arg(long)]
    account: Option<String>,
    /// Only what happened in this repository
    #[arg(long)]
    repository: Option<String>,
    /// Not before this time, such as 2031-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what came after this event
    #[arg(long, value_name = "NUMBER")]
    after: Option<String>,
    /// At most so many events a page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on to the end of the log
    #[arg(long)]
    follow_pages: bool,
}

impl Row for EventView {
    const HEAD: &'static [&'static str] = &["NUMBER", "WHEN", "WHO", "WHAT", "TO", "WHERE"];

    fn cells(&self) -> Vec<String> {
        let place = or_dash(self.repository.as_ref().or(self.account.as_ref()));
        let (who, what) = (self.actor.clone(), self.kind.clone());
        vec![self.seq.to_string(), self.at.clone(), who, what, self.subject.clone(), place]
    }
}

impl Audit {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let AuditVerb::List(list) = self.verb;
        self.remote.run(async |session| list.run(&session).await)
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let ask = Ask::get(&["events"])
            .with("limit", Some(self.limit.to_string()))
            .with("after", self.after)
            .with("kind", self.kind)
            .with("actor", self.actor)
            .with("account", self.account)
            .with("repository", self.repository)
            .with("since", self.since)
            .with("until", self.until);
        let (mut table, mut after) = (Table::default(), None);
        loop {
            let page: Page<EventView> = session.client.page(ask.clone(), after).await?;
            session.show_rows(&mut table, &page.items)?;
            match page.next {
                Some(next) if self.follow_pages => after = Some(next),
                Some(next) => return more(session.format, &next),
                None => return Ok(()),
            }
        }
    }
}

/// Tells people that there is more. A program asks for all of it, or sees the number of the last event.
fn more(format: Format, next: &str) -> Result<(), Failure> {
    if format == Format::Text {
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "hallmark: there is more: --after {next}, or --follow-pages for all of it");
    }
    Ok(())
}
