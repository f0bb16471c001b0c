//! What rules sign: tags that were pushed, and tags of what passed a check, for as long as they point to it.
//!
//! The rules are asked when the event is followed, and not within the push, which costs nothing for them. An event may be followed
//! late, or twice: a rule signs what it would have signed then, if the tag has not moved and nobody has taken the signature back
//! since.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Digest, RepositoryName, Tag};
use hallmark_storage::metadata::{self, Event, Happened, Pointed, PrincipalId, RepositoryId, Tx, Vouch};
use serde_json::{Value, json};

use crate::app::App;
use crate::telemetry::chain;

/// The most tags of one digest that one report signs.
const TAGS: u32 = 256;
/// What a vouch of a rule is signed by in the registry's name.
const SIGNER: PrincipalId = PrincipalId::SYSTEM;

/// A tag that a rule signs.
struct Ruled {
    repository: RepositoryId,
    tag: Tag,
    digest: Digest,
    /// Whose rule.
    holder: String,
    /// By what, as people read it.
    source: String,
    /// When what it signs happened, in milliseconds since 1970.
    at: i64,
    /// Who pushed it; `None` for a check.
    pusher: Option<PrincipalId>,
}

impl Ruled {
    /// Whether the tag points there since before the event, or by it. Times of moves are forced to rise, so that the move of a push
    /// may be a little later than the push; then it was moved by whoever pushed.
    fn is_meant(&self, pointed: &Pointed) -> bool {
        let was_there = pointed.moved_at <= self.at || self.pusher.is_some() && pointed.moved_by == self.pusher;
        let is_withdrawn = pointed.withdrawn_at.is_some_and(|at| at >= pointed.moved_at);
        pointed.tagged.digest == self.digest && was_there && !is_withdrawn
    }
}

/// Signs what the rules say of these events; the tags that are signed now, by repository.
pub(super) async fn sign(
    app: &App,
    events: &[Happened],
) -> Result<BTreeMap<RepositoryId, BTreeSet<String>>, metadata::Error> {
    let mut signed: BTreeMap<RepositoryId, BTreeSet<String>> = BTreeMap::new();
    let asked: Vec<&Happened> =
        events.iter().filter(|event| matches!(event.kind.as_str(), "manifest_pushed" | "check_passed")).collect();
    if asked.is_empty() {
        return Ok(signed);
    }
    let with_rules = app.metadata.with_sign_rules(asked.iter().filter_map(|event| event.repository)).await?;
    for event in asked {
        let Some(repository) = event.repository.filter(|repository| with_rules.contains(repository)) else { continue };
        match of_one(app, repository, event).await {
            Ok(tags) => signed.entry(repository).or_default().extend(tags),
            Err(error) if error.is_unavailable() => return Err(error),
            // A damaged row of one repository keeps nobody else waiting.
            Err(error) => {
                tracing::error!(
                    repository = repository.0,
                    error = chain(&error),
                    "what rules sign could not be signed"
                );
            }
        }
    }
    Ok(signed)
}

/// Signs what the rules say of one event; the tags that are signed now.
async fn of_one(app: &App, repository: RepositoryId, event: &Happened) -> Result<Vec<String>, metadata::Error> {
    let mut signed = Vec::new();
    for ruled in of_event(app, repository, event).await? {
        let tag = ruled.tag.to_string();
        if vouch(app, ruled).await? {
            signed.push(tag);
        }
    }
    Ok(signed)
}

/// What the rules of its repository make of an event.
async fn of_event(app: &App, repository: RepositoryId, event: &Happened) -> Result<Vec<Ruled>, metadata::Error> {
    let Ok(digest) = event.subject.parse::<Digest>() else { return Ok(Vec::new()) };
    let mut tags = Vec::new();
    let mut rule = None;
    if event.kind == "manifest_pushed" {
        let told: Value = serde_json::from_str(&event.payload).unwrap_or(Value::Null);
        let named = told["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        tags.extend(named.filter_map(|tag| tag.parse::<Tag>().ok()));
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let holder = app.metadata.sign_rule_of_push(repository, event.actor, event.at).await?;
        rule = holder.map(|holder| (holder, "rule: push".to_owned()));
    }
    if rule.is_none() {
        let passed = app.metadata.sign_rule_of_check(repository, &digest, event.at).await?;
        rule = passed.map(|(holder, check)| (holder, format!("rule: check {check}")));
        if tags.is_empty() && rule.is_some() {
            tags = app.metadata.tags_of(repository, &digest, TAGS).await?;
        }
    }
    let Some((holder, source)) = rule else { return Ok(Vec::new()) };
    let pusher = (event.kind == "manifest_pushed").then_some(event.actor);
    let ruled = |tag| {
        let (holder, source) = (holder.clone(), source.clone());
        Ruled { repository, tag, digest: digest.clone(), holder, source, at: event.at, pusher }
    };
    Ok(tags.into_iter().map(ruled).collect())
}

/// Vouches for a tag that still points there and that nobody vouches for; whether it did.
async fn vouch(app: &App, ruled: Ruled) -> Result<bool, metadata::Error> {
    let Some(name) = app.metadata.repository_name(ruled.repository).await? else { return Ok(false) };
    let said = app.metadata.vouches_of(ruled.repository, [ruled.tag.as_str()].into_iter()).await?;
    if said.iter().any(Vouch::holds) {
        return Ok(false);
    }
    app.metadata.write((ruled, name, app.clock.now()), |tx, change| Box::pin(store(tx, change))).await
}

async fn store(tx: &mut Tx, (ruled, name, now): &(Ruled, RepositoryName, i64)) -> Result<bool, metadata::Error> {
    let held = tx.repository(name).await?.filter(|held| held.id == ruled.repository);
    let Some(repository) = held else { return Ok(false) };
    let pointed = tx.tagged(ruled.repository, &ruled.tag).await?;
    let Some(pointed) = pointed.filter(|pointed| ruled.is_meant(pointed)) else { return Ok(false) };
    // Somebody may have signed it since it was asked.
    if tx.vouch_of(ruled.repository, &ruled.tag).await?.is_some_and(|said| said.holds()) {
        return Ok(false);
    }
    let vouch = Vouch {
        tag: ruled.tag.clone(),
        now: Some((ruled.digest.clone(), pointed.moved_at)),
        tagged: pointed.tagged,
        signer: ruled.holder.clone(),
        source: ruled.source.clone(),
        at: (*now).max(pointed.moved_at),
    };
    tx.vouch(ruled.repository, &vouch, SIGNER).await?;
    let payload = json!({"digest": ruled.digest, "by": ruled.source}).to_string();
    let event = Event {
        actor: SIGNER,
        kind: "tag_signed",
        account: Some(repository.account_id),
        repository: Some(ruled.repository),
        subject: ruled.tag.as_str(),
        payload: &payload,
        request_id: "",
        at: *now,
    };
    tx.record(&event).await?;
    Ok(true)
}
