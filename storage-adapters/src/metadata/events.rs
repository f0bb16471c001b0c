use super::database::Metadata;
use super::error::Error;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::{Engine, statements};
use super::tx::Tx;
use super::value::values;

/// How many events a page looks at, whatever it then shows of them: a filter that few events pass costs a page too (I11).
const LOOKED_AT: i64 = 10_000;

statements! {
    INSERT = [
        "INSERT INTO events (id, at, actor_id, kind, account_id, repository_id, subject, payload, request_id, seq)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
           CASE WHEN $10 = 1 THEN (SELECT COALESCE(MAX(seq), 0) + 1 FROM events) END)"
    ];
    BE_SEQUENCER = ["INSERT INTO settings (name, value) VALUES ('event_sequencer', '') ON CONFLICT (name) DO NOTHING"];
    HOLD_SEQUENCER = ["SELECT value FROM settings WHERE name = 'event_sequencer'" {update}];
    NUMBER = [
        "UPDATE events SET seq = numbered.seq FROM
           (SELECT page.id, (SELECT COALESCE(MAX(seq), 0) FROM events) + ROW_NUMBER() OVER (ORDER BY page.at, page.id) AS seq
              FROM (SELECT id, at FROM events WHERE seq IS NULL ORDER BY at, id LIMIT $1) AS page) AS numbered
          WHERE events.id = numbered.id"
    ];
    LAST = ["SELECT COALESCE(MAX(seq), 0) FROM events"];
    ENDS = ["SELECT (SELECT COALESCE(MIN(seq), 0) FROM events), (SELECT COALESCE(MAX(seq), 0) FROM events)"];
    // What a repository is called in another account since it was handed over is not for who reads this one's log.
    PAGE = [
        "SELECT e.seq, e.at, e.actor_id, e.kind, e.subject, e.payload, e.request_id,
                COALESCE(u.name, h.name || '+' || b.name), COALESCE(r.name, r.former_name), COALESCE(a.name, a.former_name)
           FROM events e
           LEFT JOIN users u ON u.principal_id = e.actor_id
           LEFT JOIN robots b ON b.principal_id = e.actor_id LEFT JOIN accounts h ON h.id = b.account_id
           LEFT JOIN accounts a ON a.id = e.account_id
           LEFT JOIN repositories r ON r.id = e.repository_id AND (e.account_id IS NULL OR r.account_id = e.account_id)
          WHERE e.seq > $1 AND e.seq <= $2 AND ($3 = '' OR e.kind = $3) AND ($4 < 0 OR e.actor_id = $4)
            AND ($5 < 0 OR e.account_id = $5) AND ($6 < 0 OR e.repository_id = $6) AND e.at >= $7 AND e.at < $8
          ORDER BY e.seq LIMIT $9"
    ];
    EXPIRE = [
        "DELETE FROM events WHERE at < $1 AND seq IN
           (SELECT page.seq FROM events page WHERE page.seq IS NOT NULL ORDER BY page.seq LIMIT $2)
            AND seq < (SELECT MAX(seq) FROM events) AND seq <= $3"
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

/// An event as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    /// Its place in the order of events.
    pub seq: i64,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Who did it.
    pub actor: PrincipalId,
    /// Their name, while they are there.
    pub actor_name: Option<String>,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// More about it, as JSON.
    pub payload: String,
    /// The request that asked for it.
    pub request_id: String,
    /// The repository it happened in, by its present or last name.
    pub repository: Option<String>,
    /// The account it happened in, by its present or last name.
    pub account: Option<String>,
}

/// Which events are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Done by this principal.
    pub actor: Option<PrincipalId>,
    /// In this account.
    pub account: Option<AccountId>,
    /// In this repository.
    pub repository: Option<RepositoryId>,
    /// Not before, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// Before.
    pub until: Option<i64>,
}

/// A page of events in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// Those that passed the filter; perhaps none, though others follow.
    pub events: Vec<EventLine>,
    /// After which the next page begins; `None` at the present end.
    pub next: Option<i64>,
}

impl Metadata {
    /// The place of the last event that has one; 0 before the first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn last_event(&self) -> Result<i64, Error> {
        self.row(&LAST, &[]).await?.map_or(Ok(0), |row| row.integer(0))
    }

    /// Events after this place that pass the filter, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn events(&self, filter: &EventFilter, after: i64, limit: u32) -> Result<EventPage, Error> {
        let ends = self.row(&ENDS, &[]).await?;
        let (first, last) = ends.map_or(Ok((0, 0)), |row| Ok::<_, Error>((row.integer(0)?, row.integer(1)?)))?;
        // What was forgotten is passed over at once.
        let after = after.max(first - 1);
        let end = last.min(after.saturating_add(LOOKED_AT));
        let row = values![
            after,
            end,
            filter.kind.as_deref().unwrap_or_default(),
            filter.actor.map_or(-1, |id| id.0),
            filter.account.map_or(-1, |id| id.0),
            filter.repository.map_or(-1, |id| id.0),
            filter.since.unwrap_or(i64::MIN),
            filter.until.unwrap_or(i64::MAX),
            i64::from(limit),
        ];
        let rows = self.rows(&PAGE, row).await?;
        let events = rows.iter().map(line).collect::<Result<Vec<_>, _>>()?;
        let is_full = events.len() == limit as usize;
        let reached = if is_full { events.last().map_or(end, |event| event.seq) } else { end };
        Ok(EventPage { events, next: (reached < last).then_some(reached) })
    }
}

impl Tx {
    /// Gives committed events their places, at most `limit` of them; how many. One replica does it at a time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn number_events(&mut self, limit: u32) -> Result<u64, Error> {
        self.execute(&BE_SEQUENCER, &[]).await?;
        self.row(&HOLD_SEQUENCER, &[]).await?;
        self.execute(&NUMBER, values![i64::from(limit)]).await
    }

    /// Forgets the oldest events that happened before this time, at most `limit`; how many. The last one stays, however old:
    /// the next one's place is counted from it, and no place is given twice.
    ///
    /// # Errors
    /// The database failed.
    pub async fn expire_events(&mut self, before: i64, followed: i64, limit: u32) -> Result<u64, Error> {
        self.execute(&EXPIRE, values![before, i64::from(limit), followed]).await
    }

    /// Records an event. On a server it has no place in the order of events yet: one sequencer numbers what is committed,
    /// since neither ids nor clocks tell which of two pushes was first.
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
            // The embedded database has one writer, which numbers events as they come.
            self.engine() == Engine::Sqlite,
        ];
        self.execute(&INSERT, row).await.map(drop)
    }
}

fn line(row: &Row) -> Result<EventLine, Error> {
    Ok(EventLine {
        seq: row.integer(0)?,
        at: row.integer(1)?,
        actor: PrincipalId(row.integer(2)?),
        kind: row.text(3)?,
        subject: row.text(4)?,
        payload: row.text(5)?,
        request_id: row.text(6)?,
        actor_name: row.maybe_text(7)?,
        repository: row.maybe_text(8)?,
        account: row.maybe_text(9)?,
    })
}
