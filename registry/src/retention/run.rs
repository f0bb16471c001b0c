//! Rules on what is kept, applied: by one replica at a time, repository after repository, a bounded while at a time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hallmark_gc::retention::{Image, UNWRITTEN, Victim};
use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{self, Engine, Event, Grounds, ManifestId, Repository, RepositoryId, Retire, Retired};
use serde_json::json;

use super::{Decided, PULLS_SINCE, Undecided, decide_by, in_force, write_down_pulls};
use crate::app::App;
use crate::lease;
use crate::telemetry::chain;

/// The setting that says how far the round over all repositories is: when it began, and unless it is through, whose rules are at turn
/// and the repository behind which it goes on: `time [own|account repository]`.
const ROUND: &str = "retention_run";
/// The lease of whoever goes on with it.
const LEASE: &str = "retention_lease";
/// The setting that says when the registry was last read-only, in milliseconds since the epoch.
pub const READONLY_ENDED: &str = "readonly_ended";
/// How long what was decided on a repository is gone on with, in milliseconds: whatever goes is looked at again when it does.
const HELD: i64 = 60 * 60 * 1_000;
/// So many times in one round a repository is read because its rules changed or what was newest is gone. What is left then waits for
/// the next round: who keeps changing them holds up nobody else.
const READINGS: u32 = 3;
/// How long one turn takes at most, but for the first [`LEAST`] things: half of every minute is left to others.
const AT_MOST: Duration = Duration::from_secs(20);
/// So many are taken away in each turn, or stay for what happened since, however long it took to read what they are judged by: a
/// round always goes on.
const LEAST: u64 = 100;
/// How many repositories are looked up at a time; so many that nothing goes from may be looked at again after a crash.
const REPOSITORIES: u32 = 100;
/// After so many repositories in a row whose rules could not be applied the database is taken to be down.
const IN_A_ROW: u32 = 3;

/// Whose rules are at turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Those of repositories that have rules of their own.
    Own,
    /// Those of accounts, on repositories that have none.
    Account,
}

/// How far the round over all repositories is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    /// When it began, in milliseconds since the epoch.
    begun: i64,
    /// Behind which repository it goes on; `None`: it is through.
    at: Option<(Whose, RepositoryId)>,
}

impl Round {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let begun = words.next()?.parse().ok()?;
        let whose = match words.next() {
            None => return Some(Self { begun, at: None }),
            Some("own") => Whose::Own,
            Some("account") => Whose::Account,
            Some(_) => return None,
        };
        Some(Self { begun, at: Some((whose, RepositoryId(words.next()?.parse().ok()?))) })
    }

    /// The round to go on with, or the one to begin; `None` when the last one is through and its successor not yet due. One that
    /// lies ahead was begun by a clock that was wrong.
    fn due(mark: Option<&str>, now: i64, every: i64) -> Option<Self> {
        let begins = Self { begun: now, at: Some((Whose::Own, RepositoryId(0))) };
        match mark.and_then(Self::parse) {
            None => Some(begins),
            Some(round) if round.at.is_some() => Some(round),
            Some(round) => (round.begun.abs_diff(now) >= every.unsigned_abs()).then_some(begins),
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.begun)?;
        match self.at {
            None => Ok(()),
            Some((Whose::Own, after)) => write!(formatter, " own {after}"),
            Some((Whose::Account, after)) => write!(formatter, " account {after}"),
        }
    }
}

/// What went by rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Went {
    /// Manifests that went into the trash.
    pub manifests: u64,
    /// Tags that went, with them or alone.
    pub tags: u64,
    /// Whether the round over all repositories is through; the next one begins `gc.retention_interval` after its beginning.
    pub through: bool,
}

/// How much of a turn is left.
struct Turn<F> {
    goes_on: F,
    ends: Instant,
    /// How many manifests and tags may still go.
    left: u64,
    /// How many were looked at, also of those that stayed.
    looked_at: u64,
    went: Went,
}

impl<F: Fn() -> bool> Turn<F> {
    /// Whether the next repository may be looked at, or the next of its victims taken away.
    fn goes_on(&self) -> bool {
        (self.goes_on)() && self.left > 0 && (self.looked_at < LEAST || Instant::now() < self.ends)
    }

    fn count(&mut self, retired: &Retired) {
        let (manifests, tags) = (u64::from(retired.whole), retired.tags.len() as u64);
        self.left = self.left.saturating_sub(manifests + tags);
        self.looked_at += (manifests + tags).max(1);
        self.went.manifests += manifests;
        self.went.tags += tags;
    }
}

/// The repository at turn, with what is left of what was decided on it: reading a large one may take longer than a turn.
#[derive(Debug, Default)]
pub struct AtTurn(Mutex<Option<Begun>>);

impl AtTurn {
    /// What was begun on a repository; what was on another is given up.
    fn take(&self, repository: RepositoryId) -> Begun {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        begun.filter(|begun| begun.repository == repository).unwrap_or(Begun { repository, readings: 0, left: None })
    }

    fn keep(&self, begun: Begun) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    }
}

/// A repository that was begun with.
#[derive(Debug)]
struct Begun {
    repository: RepositoryId,
    /// How often it was read in this round.
    readings: u32,
    left: Option<Left>,
}

/// What is still to be taken away, and the rule that says so.
#[derive(Debug)]
struct Left {
    grounds: Grounds,
    decided_at: i64,
    victims: VecDeque<(Retire, String)>,
}

/// How far the turn came with a repository.
enum Came {
    /// Through.
    Through,
    /// The turn is over.
    Stopped,
    /// What was decided stands no more.
    Anew,
}

/// One turn of the round over all repositories: it goes on where the last turn ended, on this replica or another that may have
/// died, until `goes_on` says no, `gc.retention_rate` things went, or the turn's time is over. Nothing when the round is not due, or
/// another replica is at it.
///
/// # Errors
/// The database did not answer; the next turn goes on from there.
pub async fn turn(app: &App, goes_on: impl Fn() -> bool) -> Result<Went, metadata::Error> {
    let settings = &app.config.gc;
    let every = i64::try_from(settings.retention_interval.as_millis()).unwrap_or(i64::MAX);
    let seen = app.metadata.setting(ROUND).await?;
    // Most looks find nothing due, and need no lease to say so.
    if every == 0 || Round::due(seen.as_deref(), app.clock.now(), every).is_none() {
        return Ok(Went::default());
    }
    let turn = Turn {
        goes_on,
        ends: Instant::now() + AT_MOST,
        left: u64::from(settings.retention_rate),
        looked_at: 0,
        went: Went::default(),
    };
    let went = lease::under(app, LEASE, go_on(app, turn, every)).await?.unwrap_or_default();
    app.metrics.retired(went.manifests, went.tags);
    Ok(went)
}

async fn go_on<F: Fn() -> bool>(app: &App, mut turn: Turn<F>, every: i64) -> Result<Went, metadata::Error> {
    // What was pulled from this replica is known by now, and what was from others but for the last minutes.
    if app.metadata.engine() == Engine::Postgres && others_may_not_have_written(app).await? {
        return Ok(turn.went);
    }
    write_down_pulls(app).await?;
    // Looked at again now that nobody else moves it.
    let mut mark = Mark { seen: app.metadata.setting(ROUND).await?, failed_in_a_row: 0 };
    let Some(mut round) = Round::due(mark.seen.as_deref(), app.clock.now(), every) else { return Ok(turn.went) };
    while let Some((whose, after)) = round.at {
        let page = app.metadata.ruled_repositories(whose == Whose::Own, after, REPOSITORIES).await?;
        if page.is_empty() {
            round.at = (whose == Whose::Own).then_some((Whose::Account, RepositoryId(0)));
        }
        for (id, name) in page {
            let went = turn.went;
            let passed = match turn.goes_on() {
                true => mark.passes(app, &name, apply(app, (id, &name), &mut turn).await),
                false => Ok(false),
            };
            match passed {
                Ok(true) => {}
                Ok(false) => {
                    mark.set(app, round).await?;
                    return Ok(turn.went);
                }
                // Several that fail by themselves must not stand before all others in each turn; a database that is down keeps
                // nothing of this either.
                Err(error) => {
                    round.at = Some((whose, id));
                    mark.set(app, round).await?;
                    return Err(error);
                }
            }
            round.at = Some((whose, id));
            if turn.went != went && !mark.set(app, round).await? {
                return Ok(turn.went);
            }
        }
        if !mark.set(app, round).await? {
            return Ok(turn.went);
        }
    }
    Ok(Went { through: true, ..turn.went })
}

/// How far the round is, as it was last seen.
struct Mark {
    seen: Option<String>,
    failed_in_a_row: u32,
}

impl Mark {
    /// Whether the round passes a repository. One whose rules cannot be applied holds up no other; many are a database that is down.
    fn passes(
        &mut self,
        app: &App,
        name: &RepositoryName,
        applied: Result<bool, Undecided>,
    ) -> Result<bool, metadata::Error> {
        let error = match applied {
            Ok(through) => {
                self.failed_in_a_row = 0;
                return Ok(through);
            }
            Err(error) => error,
        };
        let repository = name.as_str();
        app.metrics.blame(&error);
        tracing::warn!(repository, error = chain(&error), "the rules of {repository} were not applied");
        self.failed_in_a_row += 1;
        match error {
            Undecided::Metadata(error) if self.failed_in_a_row >= IN_A_ROW => Err(error),
            Undecided::Metadata(_)
            | Undecided::Rules(_)
            | Undecided::Busy
            | Undecided::TooLarge
            | Undecided::Stopped
            | Undecided::Thread(_) => Ok(true),
        }
    }

    /// Writes down how far the round is; `false` when somebody else has, who is at it then.
    async fn set(&mut self, app: &App, round: Round) -> Result<bool, metadata::Error> {
        let to = round.to_string();
        if self.seen.as_ref() == Some(&to) {
            return Ok(true);
        }
        let moved: Result<bool, metadata::Error> = app
            .metadata
            .write((self.seen.clone(), to.clone()), |tx, (seen, to)| {
                Box::pin(async move { tx.move_mark(ROUND, seen.as_deref(), to).await })
            })
            .await;
        self.seen = Some(to);
        moved
    }
}

/// While the registry is read-only no replica writes down what is pulled; each does at once when that ends.
async fn others_may_not_have_written(app: &App) -> Result<bool, metadata::Error> {
    let ended = app.metadata.setting(READONLY_ENDED).await?.and_then(|ended| ended.parse::<i64>().ok());
    Ok(ended.is_some_and(|ended| ended.abs_diff(app.clock.now()) < UNWRITTEN.unsigned_abs()))
}

/// Takes away what goes by the rules of a repository; whether the turn is through with it.
async fn apply<F: Fn() -> bool>(
    app: &App,
    (id, name): (RepositoryId, &RepositoryName),
    turn: &mut Turn<F>,
) -> Result<bool, Undecided> {
    let mut begun = app.at_turn.take(id);
    let Some(repository) = app.metadata.repository(name).await?.filter(|held| held.id == id) else { return Ok(true) };
    loop {
        let left = match go_on_with(app, &repository, &mut begun, &turn.goes_on).await {
            // It is read anew in the next turn.
            Err(Undecided::Stopped) => return Ok(false),
            left => left?,
        };
        let Some(mut left) = left else { return Ok(true) };
        match take_away(app, &repository, &mut left, turn).await? {
            Came::Through => return Ok(true),
            Came::Anew => {}
            Came::Stopped => {
                begun.left = Some(left);
                app.at_turn.keep(begun);
                return Ok(false);
            }
        }
    }
}

/// What was decided on a repository before, or is now; `None` when nothing goes, or it was read often enough.
async fn go_on_with(
    app: &App,
    repository: &Repository,
    begun: &mut Begun,
    goes_on: impl Fn() -> bool,
) -> Result<Option<Left>, Undecided> {
    let (policies, now) = (app.metadata.policies(repository.id).await?, app.clock.now());
    if let Some(left) = begun.left.take() {
        let is_fresh = now.abs_diff(left.decided_at) < HELD.unsigned_abs();
        if is_fresh && left.grounds.policies == policies {
            return Ok(Some(left));
        }
        begun.readings *= u32::from(is_fresh);
    }
    let Some(rules) = in_force(&policies)? else { return Ok(None) };
    if begun.readings == READINGS {
        let repository = repository.name.as_str();
        tracing::warn!(repository, "the rules of {repository} change while they are applied: they are again next time");
        return Ok(None);
    }
    begun.readings += 1;
    let asks = rules.asks_for_pulls();
    let decided = decide_by(app, repository.id, (&policies, rules), (usize::MAX, goes_on)).await?;
    let victims = decided.decision.victims.iter().filter_map(|victim| retire(&decided, victim, asks)).collect();
    let mut grounds = Grounds::new(policies, decided.decision.newest);
    if asks {
        // Whoever says meanwhile that nothing is known of what was pulled until then is heard.
        grounds = grounds.and_setting(PULLS_SINCE, decided.since);
    }
    Ok(Some(Left { grounds, decided_at: now, victims }))
}

async fn take_away<F: Fn() -> bool>(
    app: &App,
    repository: &Repository,
    left: &mut Left,
    turn: &mut Turn<F>,
) -> Result<Came, metadata::Error> {
    while let Some((retire, rule)) = left.victims.pop_front() {
        if !turn.goes_on() {
            left.victims.push_front((retire, rule));
            return Ok(Came::Stopped);
        }
        // It is pulled from here, which is not written down yet.
        if let Some((at, of)) = &retire.pulled
            && app.pulls.latest(of.iter().copied()).is_some_and(|last| last > *at)
        {
            turn.looked_at += 1;
            continue;
        }
        let taken = take(app, (repository, &left.grounds), (&retire, &rule)).await?;
        let Some(retired) = taken else { return Ok(Came::Anew) };
        turn.count(&retired);
        if retired.more {
            left.victims.push_front((retire, rule));
        }
    }
    Ok(Came::Through)
}

/// A victim as it was when that was decided, and the rule that says so.
fn retire(decided: &Decided, victim: &Victim, asks_for_pulls: bool) -> Option<(Retire, String)> {
    let find = |id: i64| decided.images.binary_search_by_key(&id, |image| image.id).ok();
    let image = decided.images.get(find(victim.image)?)?;
    let tags = image.tags.iter().filter(|(tag, _)| victim.tags.contains(tag)).cloned().collect();
    let pulled = asks_for_pulls.then(|| {
        let below = image.children.iter().filter_map(|child| decided.images.get(find(*child)?));
        let of: Vec<&Image> = std::iter::once(image).chain(below).collect();
        let last = of.iter().filter_map(|image| image.pulled_at).max().unwrap_or(i64::MIN);
        (last, of.iter().map(|image| ManifestId(image.id)).collect())
    });
    let Image { pushed_at, refers, .. } = *image;
    let (manifest, whole, against) = (ManifestId(victim.image), victim.whole, victim.against.clone());
    let retire = Retire { manifest, pushed_at, refers, tags, whole, against, pulled };
    Some((retire, victim.rule.clone()))
}

/// Takes one victim away as it was when that was decided; `None` when what was decided stands no more. That, and holds, are read in
/// the very transaction that takes it.
async fn take(
    app: &App,
    (repository, grounds): (&Repository, &Grounds),
    (retire, rule): (&Retire, &str),
) -> Result<Option<Retired>, metadata::Error> {
    let input = (repository.clone(), grounds.clone(), retire.clone(), rule.to_owned(), app.clock.now());
    app.metadata
        .write(input, |tx, (repository, grounds, retire, rule, now)| {
            Box::pin(async move {
                let Some(repository) = tx.repository(&repository.name).await?.filter(|held| held.id == repository.id)
                else {
                    return Ok(Some(Retired::default()));
                };
                let Some(retired) = tx.retire(&repository, retire, grounds, *now).await? else { return Ok(None) };
                record(tx, &repository, (&retired, rule), *now).await?;
                Ok(Some(retired))
            })
        })
        .await
}

async fn record(
    tx: &mut metadata::Tx,
    repository: &Repository,
    (retired, rule): (&Retired, &str),
    now: i64,
) -> Result<(), metadata::Error> {
    let Some(digest) = &retired.digest else { return Ok(()) };
    let place = |kind, subject| Event {
        account: Some(repository.account_id),
        repository: Some(repository.id),
        ..Event::of_system(kind, subject, now)
    };
    if retired.whole {
        let payload = json!({"tags": retired.tags, "rule": rule}).to_string();
        return tx.record(&Event { payload: &payload, ..place("manifest_deleted", digest.as_str()) }).await;
    }
    let payload = json!({"digest": digest, "rule": rule}).to_string();
    for tag in &retired.tags {
        tx.record(&Event { payload: &payload, ..place("tag_deleted", tag) }).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_where_it_stopped_and_begins_anew_in_its_time() {
        let begins = |begun| Round { begun, at: Some((Whose::Own, RepositoryId(0))) };
        assert_eq!(Round::due(None, 5, 10), Some(begins(5)));
        assert_eq!(Round::due(Some("nonsense"), 5, 10), Some(begins(5)));
        assert_eq!(Round::due(Some("5 later 3"), 5, 10), Some(begins(5)), "of a later release");
        assert_eq!((Round::due(Some("5"), 14, 10), Round::due(Some("5"), 15, 10)), (None, Some(begins(15))));
        assert_eq!(Round::due(Some("1000"), 15, 10), Some(begins(15)), "a clock was wrong");
        for round in [
            Round { begun: 7, at: Some((Whose::Own, RepositoryId(3))) },
            Round { begun: 7, at: Some((Whose::Account, RepositoryId(0))) },
        ] {
            assert_eq!(Round::due(Some(&round.to_string()), 1_000, 10), Some(round));
        }
        assert_eq!(Round { begun: 7, at: None }.to_string(), "7", "as the release before reads it");
    }
}
