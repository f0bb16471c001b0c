//! `hallmark grant`: who holds which rights on what.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Ask;
use super::table::{Row, or_dash};
use super::{Remote, Session};
use crate::cli::output::Failure;
use crate::people::grants::GrantView;

#[derive(Args, Debug)]
pub(in crate::cli) struct Grant {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: GrantVerb,
}

#[derive(Debug, Subcommand)]
enum GrantVerb {
    /// List the grants on a repository, or those on the prefixes of an account
    List(List),
    /// Give rights, in the place of those that the holder has on the same target
    Put {
        /// A repository (acme/web) or a prefix of names (acme/web-*, quoted for the shell)
        on: String,
        /// user:ann, team:acme/dev or robot:acme+ci
        holder: String,
        /// read, write, admin, delete, sign, joined by +
        rights: String,
    },
    /// Take rights back
    Take {
        /// A repository (acme/web) or a prefix of names (acme/web-*, quoted for the shell)
        on: String,
        /// user:ann, team:acme/dev or robot:acme+ci
        holder: String,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct List {
    /// The repository
    repository: Option<String>,
    /// The account whose prefixes are meant
    #[arg(long)]
    account: Option<String>,
}

impl Row for GrantView {
    const HEAD: &'static [&'static str] = &["ON", "HOLDER", "RIGHTS", "GIVEN BY", "GIVEN"];

    fn cells(&self) -> Vec<String> {
        let by = or_dash(self.granted_by.as_ref());
        vec![self.on.clone(), self.holder.clone(), self.rights.clone(), by, self.granted_at.clone()]
    }
}

impl Grant {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

impl GrantVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(List { repository, account }) => {
                let ask = match (&repository, &account) {
                    (Some(name), _) => Ask::get(&["repositories", name, "grants"]),
                    (None, account) => Ask::get(&["accounts", account.as_deref().unwrap_or_default(), "grants"]),
                };
                session.list::<GrantView>(ask).await
            }
            Self::Put { on, holder, rights } => {
                let ask = Ask::put(&["grants", &on, &holder], json!({"rights": rights}));
                session.made::<GrantView>(ask, &format!("{holder} holds {rights} on {on}")).await
            }
            Self::Take { on, holder } => {
                let ask = Ask::delete(&["grants", &on, &holder]);
                session.act(ask, &format!("{holder} holds nothing on {on} any more")).await
            }
        }
    }
}
