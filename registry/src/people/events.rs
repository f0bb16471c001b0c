//! The audit log as it is read.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{EventFilter, EventLine, Holder, PrincipalId, RepositoryId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::grants::HolderName;
use super::{Caller, List, Page, Refused};
use crate::app::App;
use crate::auth::users;
use crate::clock::{instant, rfc3339};

/// No principal and no repository has this id. What is not there is looked for by it: the answer, its pages too, and its time are
/// those of what is there and has done nothing here.
const NONE: i64 = i64::MAX;
/// The longest kind of an event, in bytes.
const KIND_BYTES: usize = 64;

/// Something that happened, as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the order of events.
    pub seq: i64,
    /// When it happened (RFC 3339).
    pub at: String,
    /// What happened.
    pub kind: String,
    /// Who did it, by name; `system` for the registry and its operator; the id of who is gone.
    pub actor: String,
    /// What it happened to.
    pub subject: String,
    /// The account it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The repository it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The request that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// More about it.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// Which events are wanted, in the words of the caller.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this kind.
    pub kind: Option<String>,
    /// Done by `user:ann` or `robot:acme+ci`.
    pub actor: Option<String>,
    /// In this account.
    pub account: Option<String>,
    /// In this repository.
    pub repository: Option<String>,
    /// Not before this time (RFC 3339).
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
}

fn show(line: EventLine) -> EventView {
    let id = line.actor.0;
    EventView {
        seq: line.seq,
        at: rfc3339(line.at),
        kind: line.kind,
        actor: line.actor_name.unwrap_or_else(|| if id == 0 { "system".to_owned() } else { format!("#{id}") }),
        subject: line.subject,
        account: line.account,
        repository: line.repository,
        request_id: Some(line.request_id).filter(|id| !id.is_empty()),
        detail: serde_json::from_str(&line.payload).unwrap_or(Value::Null),
    }
}

/// A page of the log, the oldest first: everything for who reads everything; an owner names their organization.
///
/// # Errors
/// [`Refused`].
pub async fn list(app: &App, caller: &Caller, wanted: &Wanted, page: &Page) -> Result<List<EventView>, Refused> {
    let (limit, after) = page.check()?;
    let after: i64 = match after {
        Some(text) => text.parse().map_err(|_| Refused::invalid("after", "use the `next` of the page before"))?,
        None => 0,
    };
    let filter = filter(app, caller, wanted).await?;
    let page = app.metadata.events(&filter, after, limit).await?;
    Ok(List { items: page.events.into_iter().map(show).collect(), next: page.next.map(|seq| seq.to_string()) })
}

/// The filter. An actor or a repository that is not there has done nothing, and reads the same
/// as one that is elsewhere: owners ask too, who may not know of either.
async fn filter(app: &App, caller: &Caller, wanted: &Wanted) -> Result<EventFilter, Refused> {
    let mut filter = EventFilter::default();
    if let Some(name) = &wanted.account {
        let (account, sees_all) = caller.visible_account(app, name).await?;
        if !sees_all {
            return Err(Refused::Forbidden("only an owner reads what happened in an organization"));
        }
        filter.account = Some(account.id);
    } else if !caller.reads_everything() {
        return Err(Refused::Forbidden("only administrators and auditors read the whole log; name your account"));
    }
    if let Some(kind) = &wanted.kind {
        if kind.len() > KIND_BYTES || !kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(Refused::invalid("kind", "a kind is words of small letters, joined by '_'"));
        }
        filter.kind = Some(kind.clone());
    }
    filter.since = time(wanted.since.as_deref(), "since")?;
    filter.until = time(wanted.until.as_deref(), "until")?;
    if let Some(actor) = &wanted.actor {
        filter.actor = Some(actor_of(app, actor).await?.unwrap_or(PrincipalId(NONE)));
    }
    if let Some(name) = &wanted.repository {
        let name: RepositoryName =
            name.parse().map_err(|_| Refused::invalid("repository", "this is no repository's name"))?;
        let found = app.metadata.without_cache().repository(&name).await?;
        let found = found.filter(|found| filter.account.is_none_or(|account| found.account_id == account));
        filter.repository = Some(found.map_or(RepositoryId(NONE), |found| found.id));
    }
    Ok(filter)
}

fn time(text: Option<&str>, field: &'static str) -> Result<Option<i64>, Refused> {
    let Some(text) = text else { return Ok(None) };
    instant(text).map(Some).ok_or_else(|| Refused::invalid(field, "write a time like 2031-01-31T00:00:00Z"))
}

async fn actor_of(app: &App, text: &str) -> Result<Option<PrincipalId>, Refused> {
    let name = if users::is_name(text) { format!("user:{text}") } else { text.to_owned() };
    let holder: HolderName =
        name.parse().map_err(|_| Refused::invalid("actor", "write ann, user:ann or robot:acme+ci"))?;
    Ok(match &holder.0 {
        // Only who is there is found in memory, which is faster than the database.
        Holder::User(user) => app.metadata.without_cache().user(user).await?.map(|user| user.principal.id),
        Holder::Robot(account, robot) => match app.metadata.account(account).await? {
            Some(account) => app.metadata.robot(account.id, robot).await?.map(|robot| robot.id),
            None => None,
        },
        Holder::Team(..) => None,
    })
}
