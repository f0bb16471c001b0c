//! `hallmark certificate`: which client certificates are whose.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Ask;
use super::table::Row;
use super::{Remote, Session};
use crate::cli::output::Failure;
use crate::people::certificates::CertificateView;

#[derive(Args, Debug)]
pub(in crate::cli) struct Certificate {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: CertificateVerb,
}

#[derive(Debug, Subcommand)]
enum CertificateVerb {
    /// List the rules
    List,
    /// Say whose the certificates are that match
    Add {
        /// user:ann or robot:acme+ci
        holder: String,
        /// Which name of the certificate is compared
        #[arg(value_parser = ["subject", "dns", "uri", "email"])]
        kind: String,
        /// What it must be; *. before the end of a host's name and /* behind the beginning of a URI stand for the rest
        pattern: String,
    },
    /// Remove a rule
    Remove {
        /// Its id, as `list` shows it
        id: i64,
    },
}

impl Row for CertificateView {
    const HEAD: &'static [&'static str] = &["ID", "HOLDER", "KIND", "PATTERN", "MADE"];

    fn cells(&self) -> Vec<String> {
        let id = self.id.to_string();
        vec![id, self.holder.clone(), self.kind.clone(), self.pattern.clone(), self.created_at.clone()]
    }
}

impl Certificate {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

impl CertificateVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List => session.list::<CertificateView>(Ask::get(&["certificates"])).await,
            Self::Add { holder, kind, pattern } => {
                let new = json!({"holder": holder, "kind": kind, "pattern": pattern});
                session.one::<CertificateView>(Ask::post(&["certificates"], new)).await
            }
            Self::Remove { id } => {
                let ask = Ask::delete(&["certificates", &id.to_string()]);
                session.act(ask, &format!("rule {id} removed")).await
            }
        }
    }
}
