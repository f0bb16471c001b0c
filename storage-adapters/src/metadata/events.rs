use super::error::Error;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    INSERT = [
        "INSERT INTO events (id, at, actor_id, kind, account_id, repository_id, subject, payload, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    ];
}

/// Something that happened, recorded with the change that made it so (I5).
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who did it.
    pub actor: PrincipalId,
    /// What happened, in the past tense and in the registry's words.
    pub kind: &'a str,
    /// The account it happened in.
    pub account: Option<AccountId>,
    /// The repository it happened in.
    pub repository: Option<RepositoryId>,
    /// What it happened to: a digest, a tag, a name.
    pub subject: &'a str,
    /// More about it, as JSON; never a secret.
    pub payload: &'a str,
    /// The request that asked for it.
    pub request_id: &'a str,
    /// Milliseconds since the epoch.
    pub at: i64,
}

impl<'a> Event<'a> {
    /// An event that no user caused: the operator did it, or the registry itself.
    #[must_use]
    pub fn of_system(kind: &'a str, subject: &'a str, at: i64) -> Self {
        Self {
            actor: PrincipalId::SYSTEM,
            kind,
            account: None,
            repository: None,
            subject,
            payload: "{}",
            request_id: "",
            at,
        }
    }
}

impl Tx {
    /// Records an event. It has no place in the order of events yet: one sequencer numbers what is committed, since
    /// neither ids nor clocks tell which of two pushes was first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record(&mut self, event: &Event<'_>) -> Result<(), Error> {
        let id = self.id()?;
        let row = values![
            id,
            event.at,
            event.actor,
            event.kind,
            event.account.map(|id| id.0),
            event.repository.map(|id| id.0),
            event.subject,
            event.payload,
            event.request_id,
        ];
        self.execute(&INSERT, row).await.map(drop)
    }
}
