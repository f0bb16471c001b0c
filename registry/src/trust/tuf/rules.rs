//! What rules sign: tags that were pushed, and tags of what passed a check, for as long as they point to it.
//!
//! The rules are asked when the event is followed, and not within the push, which costs nothing for them. An event may be followed
//! late, or twice: a rule signs what it would have signed then, if the tag has not moved and nobody has taken the signature back
//! since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hallmark_oci::{Digest, RepositoryName, Tag};
use hallmark_storage::metadata::{self, ErrorKind, Event, Happened, Pointed, PrincipalId, RepositoryId, Tx, Vouch};
use serde_json::{Value, json};

use crate::app::App;
use crate::telemetry::chain;

/// The most tags of one digest that one report signs.
const TAGS: u32 = 256;
/// After how many tags that rules were asked for the rest waits for the next look, so that no look takes for ever.
const WORK: usize = 1_024;
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
    /// may be a little later than the push; then it was moved by whoever pushed. What was said of the same digest and taken back is
    /// for people to say again: a tag that was deleted and brought back has another time of its move.
    fn is_meant(&self, pointed: &Pointed) -> bool {
        let was_there = pointed.moved_at <= self.at || self.pusher.is_some() && pointed.moved_by == self.pusher;
        let is_withdrawn = pointed
            .withdrawn
            .as_ref()
            .is_some_and(|(at, digest)| *at >= pointed.moved_at || *digest == pointed.tagged.digest);
        pointed.tagged.digest == self.digest && was_there && !is_withdrawn
    }
}

/// What rules have signed.
pub(super) struct Signed {
    /// The tags, by repository; none without any.
    pub(super) tags: BTreeMap<RepositoryId, BTreeSet<String>>,
    /// How many of the events were followed.
    pub(super) followed: usize,
}

/// Signs what the rules say of these events, as many of them as one look is to take.
///
/// # Errors
/// The database's. What was signed stays so, and is told by events of its own.
pub(super) async fn sign(app: &App, events: &[Happened]) -> Result<Signed, metadata::Error> {
    let mut signed = Signed { tags: BTreeMap::new(), followed: events.len() };
    let asks = |event: &&Happened| matches!(event.kind.as_str(), "manifest_pushed" | "check_passed");
    if !events.iter().any(|event| asks(&event)) {
        return Ok(signed);
    }
    let repositories = events.iter().filter(asks).filter_map(|event| event.repository);
    let with_rules: BTreeSet<_> = app.metadata.with_sign_rules(repositories).await?.into_iter().collect();
    let newest = newest_reports(events);
    let mut work = 0;
    for (place, event) in events.iter().enumerate().filter(|(_, event)| asks(event)) {
        let Some(repository) = event.repository.filter(|repository| with_rules.contains(repository)) else { continue };
        if event.kind == "check_passed" && newest.get(&report(event)) != Some(&place) {
            continue;
        }
        match of_one(app, repository, event).await {
            Ok((tags, asked)) => {
                work += 1 + asked;
                if !tags.is_empty() {
                    signed.tags.entry(repository).or_default().extend(tags);
                }
            }
            // What fails by what stands in one repository, such as a damaged row, keeps nobody else waiting.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Constraint | ErrorKind::Panicked) => {
                tracing::error!(
                    repository = repository.0,
                    error = chain(&error),
                    "what rules sign could not be signed"
                );
            }
            Err(error) => return Err(error),
        }
        if work >= WORK {
            signed.followed = place + 1;
            return Ok(signed);
        }
    }
    Ok(signed)
}

/// What a report is about: a manifest of a repository. Whichever check it names, the rules of all checks are asked.
fn report(event: &Happened) -> (Option<RepositoryId>, &str) {
    (event.repository, event.subject.as_str())
}

/// The place of the last report about each manifest: whatever an earlier one lets be signed, the last does.
fn newest_reports(events: &[Happened]) -> HashMap<(Option<RepositoryId>, &str), usize> {
    let reports = events.iter().enumerate().filter(|(_, event)| event.kind == "check_passed");
    reports.map(|(place, event)| (report(event), place)).collect()
}

/// Signs what the rules say of one event; the tags that are signed now, and how many were asked for.
async fn of_one(
    app: &App,
    repository: RepositoryId,
    event: &Happened,
) -> Result<(Vec<String>, usize), metadata::Error> {
    let ruled = of_event(app, repository, event).await?;
    let asked = ruled.len();
    if ruled.is_empty() {
        return Ok((Vec::new(), asked));
    }
    let Some(name) = app.metadata.repository_name(repository).await? else { return Ok((Vec::new(), asked)) };
    let said = app.metadata.vouches_of(repository, ruled.iter().map(|one| one.tag.as_str())).await?;
    let held: BTreeSet<&str> = said.iter().filter(|said| said.holds()).map(|said| said.tag.as_str()).collect();
    let mut signed = Vec::new();
    for one in ruled.into_iter().filter(|one| !held.contains(one.tag.as_str())) {
        let tag = one.tag.to_string();
        let change = (one, name.clone(), app.clock.now());
        if app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await? {
            signed.push(tag);
        }
    }
    Ok((signed, asked))
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
