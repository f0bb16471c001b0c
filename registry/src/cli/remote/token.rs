//! `hallmark token`: your personal access tokens.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Ask;
use super::span::Span;
use super::table::{Row, or_dash, yes};
use super::{Remote, Session};
use crate::cli::output::{self, Failure, Format};
use crate::people::tokens::{MadeToken, TokenView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Token {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// List your tokens, without their secrets
    List,
    /// Make a token and print its secret once; it is given in the place of your password
    Create {
        /// What you know it by
        name: String,
        /// What it is limited to: read, write, admin, delete, sign, api:read, api:write, on:PATTERN
        #[arg(long, required = true, num_args = 1.., value_delimiter = ' ')]
        scopes: Vec<String>,
        /// When it ends, such as 12h or 90d; at most a year
        #[arg(long, default_value = "90d", value_name = "TIME")]
        expires: Span,
    },
    /// End a token at once, and all that was made from it
    Revoke {
        /// The id that `hallmark token list` shows
        id: i64,
    },
}

impl Row for TokenView {
    const HEAD: &'static [&'static str] = &["ID", "NAME", "SCOPES", "ACTIVE", "ENDS", "LAST USED"];

    fn cells(&self) -> Vec<String> {
        let (ends, used) = (or_dash(self.expires_at.as_ref()), or_dash(self.last_used_at.as_ref()));
        vec![self.id.to_string(), self.name.clone(), self.scopes.clone(), yes(self.active), ends, used]
    }
}

impl Token {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session| verb.run(&session).await)
    }
}

impl TokenVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List => session.whole_list::<TokenView>(Ask::get(&["me", "tokens"])).await,
            Self::Create { name, scopes, expires } => {
                let new = json!({"name": name, "scopes": scopes.join(" "), "expires_at": expires.end()});
                let made: MadeToken = session.client.ask(Ask::post(&["me", "tokens"], new)).await?;
                match session.format {
                    Format::Json => output::say_json(&made),
                    Format::Text => {
                        let ends = made.expires_at.as_deref().unwrap_or("never");
                        output::print(&format!("id: {}\nsecret: {}\nends: {ends}\n", made.id, made.secret))
                    }
                }
            }
            Self::Revoke { id } => {
                let ask = Ask::delete(&["me", "tokens", &id.to_string()]);
                session.act(ask, &format!("token {id} revoked")).await
            }
        }
    }
}
