//! Lives here: what is remembered that no change of facts remembers: sign-ins, refusals and, when asked for, pulls; and the
//! order of events.
//! Never here: how the log is read (that is `people::events`), and the events of changes, which are written with them (I5).
//! Start reading at [`Recorder::note`].

mod refusals;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hallmark_storage::metadata::{self, AccountId, Event, PrincipalId, RepositoryId};
use serde_json::json;

use self::refusals::Refusals;
use crate::app::App;
use crate::trust::tuf;

/// How many different things are kept until they are written down; further ones are only counted.
const KEPT: usize = 10_000;
/// How many are written in one change.
const BATCH: usize = 200;
/// How many committed events get their places at once.
const NUMBERED: u32 = 1_000;
/// How many old events are forgotten at once.
const FORGOTTEN: u32 = 1_000;
/// The same thing within this time is one event with a count, in milliseconds.
const TOGETHER: i64 = 60_000;
/// The longest subject, in bytes: a stranger types what they like for a name.
const SUBJECT_BYTES: usize = 255;

/// Something that happened to nobody's facts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Happening {
    /// What, in the past tense.
    pub kind: &'static str,
    /// Who did it; the system for who is nobody here.
    pub actor: PrincipalId,
    /// The account it happened in.
    pub account: Option<AccountId>,
    /// The repository it happened in.
    pub repository: Option<RepositoryId>,
    /// What it happened to: a name, a tag, a digest.
    pub subject: String,
    /// How, in a word of the registry's.
    pub how: &'static str,
    /// From where.
    pub client: Option<IpAddr>,
}

/// What happened since it was last written down. It is written by a job, so that a stranger's wrong password costs no
/// transaction; a process that is killed forgets its last second, and of tokens that are shown and of what is refused again and
/// again how often in the last minute.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    /// With the time of the first and the count of all.
    happenings: HashMap<(Happening, i64), (i64, u64)>,
    /// What was written down in this minute already, and waits for its end when it happens again.
    written: HashSet<(Happening, i64)>,
    refusals: Refusals,
    dropped: u64,
}

impl Happening {
    /// Whether it comes with every request of a client, and not once for many: written down each second, it would be most of
    /// the log.
    fn is_repeated(&self) -> bool {
        self.is_refusal() || self.kind == "signed_in" && self.how == "token"
    }

    /// Whether it tells of something that was not let happen.
    fn is_refusal(&self) -> bool {
        matches!(self.kind, "sign_in_failed" | "access_refused")
    }
}

impl Pending {
    /// Under what something that happened in this minute is counted.
    fn key(&mut self, happening: Happening, minute: i64) -> (Happening, i64) {
        let key = (happening, minute);
        if !key.0.is_refusal() || self.happenings.contains_key(&key) || self.written.contains(&key) {
            return key;
        }
        (self.refusals.told(key.0, minute), minute)
    }
}

impl Recorder {
    /// Notes that something happened now. Of many different refusals in one minute the further ones are one with a count.
    pub fn note(&self, mut happening: Happening, now: i64) {
        let end = (0..=SUBJECT_BYTES).rev().find(|end| happening.subject.is_char_boundary(*end)).unwrap_or(0);
        happening.subject.truncate(end);
        happening.subject.retain(|letter| !letter.is_control());
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = pending.key(happening, now.div_euclid(TOGETHER));
        if pending.happenings.len() >= KEPT && !pending.happenings.contains_key(&key) {
            pending.dropped += 1;
            return;
        }
        pending.happenings.entry(key).or_insert((now, 0)).1 += 1;
    }

    /// Notes that somebody here has this name, which is being signed in with now: what is refused of it has a share of its own.
    pub(crate) fn known(&self, name: &str, now: i64) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.refusals.known(name, now.div_euclid(TOGETHER));
    }

    /// What is to be written down now, and how many things more there were.
    fn take(&self, now: i64) -> (Vec<(Happening, i64, u64)>, u64) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Pending { happenings, written, dropped, .. } = &mut *pending;
        let minute = now.div_euclid(TOGETHER);
        written.retain(|(_, at)| *at == minute);
        let mut rows: Vec<_> = happenings
            .extract_if(|key, _| !written.contains(key))
            .map(|((happening, minute), (at, count))| (happening, minute, at, count))
            .collect();
        rows.sort_by_key(|(_, _, at, _)| *at);
        let repeated = rows.iter().filter(|(happening, at, ..)| happening.is_repeated() && *at == minute);
        written.extend(repeated.map(|(happening, at, ..)| (happening.clone(), *at)));
        (rows.into_iter().map(|(happening, _, at, count)| (happening, at, count)).collect(), std::mem::take(dropped))
    }
}

/// Writes down what was noted. A job of the running registry does so every second.
///
/// # Errors
/// The database's; what was noted is then lost, and so is said in the log.
pub async fn write_down(app: &App) -> Result<(), metadata::Error> {
    let (rows, dropped) = app.recorder.take(app.clock.now());
    for batch in rows.chunks(BATCH) {
        app.metadata.write(batch.to_vec(), |tx, batch| Box::pin(write(tx, batch))).await?;
    }
    if dropped > 0 {
        let now = app.clock.now();
        app.metadata
            .write((dropped, now), |tx, (dropped, now)| {
                Box::pin(async move {
                    let payload = json!({"count": dropped}).to_string();
                    tx.record(&Event { payload: &payload, ..Event::of_system("events_dropped", "", *now) }).await
                })
            })
            .await?;
    }
    Ok(())
}

async fn write(tx: &mut metadata::Tx, batch: &[(Happening, i64, u64)]) -> Result<(), metadata::Error> {
    for (happening, at, count) in batch {
        let mut payload = json!({"count": count});
        if !happening.how.is_empty() {
            payload["how"] = json!(happening.how);
        }
        if let Some(client) = happening.client {
            payload["client"] = json!(client.to_string());
        }
        let payload = payload.to_string();
        let event = Event {
            actor: happening.actor,
            account: happening.account,
            repository: happening.repository,
            payload: &payload,
            ..Event::of_system(happening.kind, &happening.subject, *at)
        };
        tx.record(&event).await?;
    }
    Ok(())
}

/// Gives committed events their places, so that whoever reads in their order misses none.
///
/// # Errors
/// The database's.
pub(crate) async fn number(app: &App) -> Result<(), metadata::Error> {
    while app.metadata.write(NUMBERED, |tx, limit| Box::pin(tx.number_events(*limit))).await? == u64::from(NUMBERED) {}
    Ok(())
}

/// Forgets events that are older than the settings keep them, but for those that the publisher of signed tags has yet to follow.
///
/// # Errors
/// The database's.
pub(crate) async fn forget(app: &App) -> Result<u64, metadata::Error> {
    let age = i64::try_from(app.config.audit.retention.as_millis()).unwrap_or(i64::MAX);
    let before = app.clock.now().saturating_sub(age);
    let followed = tuf::followed(app).await?;
    let mut forgotten = 0;
    loop {
        let expire: Result<u64, metadata::Error> = app
            .metadata
            .write((before, followed), |tx, (before, followed)| {
                Box::pin(tx.expire_events(*before, *followed, FORGOTTEN))
            })
            .await;
        match expire? {
            0 => return Ok(forgotten),
            some => forgotten += some,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(name: &str) -> Happening {
        Happening {
            kind: "sign_in_failed",
            actor: PrincipalId::SYSTEM,
            account: None,
            repository: None,
            subject: name.to_owned(),
            how: "password",
            client: None,
        }
    }

    #[test]
    fn the_same_within_a_minute_is_one_with_a_count() {
        let recorder = Recorder::default();
        for at in [0, 1, TOGETHER - 1, TOGETHER] {
            recorder.note(failed("ann"), at);
        }
        let counts: Vec<_> = recorder.take(TOGETHER).0.into_iter().map(|(_, at, count)| (at, count)).collect();
        assert_eq!(counts, [(0, 3), (TOGETHER, 1)]);
        assert!(recorder.take(TOGETHER).0.is_empty());
    }

    #[test]
    fn a_token_that_is_shown_each_second_is_written_down_twice_a_minute() {
        let recorder = Recorder::default();
        let shown = Happening { kind: "signed_in", how: "token", ..failed("ann") };
        let mut written = Vec::new();
        for second in 0..=60 {
            recorder.note(shown.clone(), second * 1_000);
            written.extend(recorder.take(second * 1_000).0.into_iter().map(|(_, at, count)| (at, count)));
        }
        written.sort_unstable();
        assert_eq!(written, [(0, 1), (1_000, 59), (TOGETHER, 1)]);
    }

    fn from(address: &str, name: &str) -> Happening {
        Happening { client: Some(address.parse().unwrap()), ..failed(name) }
    }

    /// What is written down by now: of whom, from where, and how often.
    fn rows(recorder: &Recorder, now: i64) -> Vec<(String, String, u64)> {
        let row = |(happening, _, count): (Happening, i64, u64)| {
            (happening.subject, happening.client.map(|client| client.to_string()).unwrap_or_default(), count)
        };
        let mut rows: Vec<_> = recorder.take(now).0.into_iter().map(row).collect();
        rows.sort();
        rows
    }

    #[test]
    fn names_that_a_stranger_makes_up_are_folded_and_push_nobody_out() {
        let recorder = Recorder::default();
        let mut written = Vec::new();
        for second in 0..60 {
            for number in 0..100 {
                recorder.note(from("2001:db8:1:1::7", &format!("made-up-{second}-{number}")), second * 1_000);
            }
            recorder.note(from("2001:db8:2:1::7", "ann"), second * 1_000);
            recorder.note(from("2001:db8:1:1::8", "made-up-0-0"), second * 1_000);
            written.extend(rows(&recorder, second * 1_000));
        }
        written.extend(rows(&recorder, TOGETHER));
        let folded: Vec<_> = written.iter().filter(|(subject, ..)| subject.is_empty()).cloned().collect();
        let of_network = |count| (String::new(), "2001:db8:1:1::".to_owned(), count);
        assert_eq!(folded, [of_network(69), of_network(59 * 101)]);
        let ann: Vec<_> = written.iter().filter(|(subject, ..)| subject == "ann").map(|(.., count)| *count).collect();
        assert_eq!(ann, [1, 59]);
        assert_eq!(written.len(), 32 + folded.len() + ann.len());
        assert_eq!(written.iter().map(|(.., count)| count).sum::<u64>(), 60 * 102, "each is counted");
        recorder.note(from("2001:db8:1:1::7", "another"), TOGETHER);
        assert_eq!(rows(&recorder, TOGETHER), [("another".to_owned(), "2001:db8:1:1::7".to_owned(), 1)]);
    }

    #[test]
    fn a_region_and_all_strangers_together_have_their_share() {
        let recorder = Recorder::default();
        for number in 0..1_000 {
            recorder.note(from(&format!("2001:db8:1:{number:x}::7"), &format!("made-up-{number}")), 0);
        }
        let of_region = rows(&recorder, 0);
        assert_eq!((of_region.len(), &of_region[0]), (129, &(String::new(), "2001:db8:1::".to_owned(), 872)));
        for number in 0..9_000 {
            recorder.note(from(&format!("2001:db9:{number:x}::7"), &format!("made-up-{number}")), 0);
        }
        let of_all = rows(&recorder, 0);
        assert_eq!((of_all.len(), &of_all[0]), (4_096 - 128 + 1, &(String::new(), String::new(), 9_000 + 128 - 4_096)));
        let refused = |number: usize| Happening {
            kind: "access_refused",
            actor: PrincipalId(7),
            ..from(&format!("2001:db8:1:{number:x}::7"), &format!("acme/{number}"))
        };
        for number in 0..1_000 {
            recorder.note(refused(number), 0);
        }
        let of_principal = rows(&recorder, 0);
        assert_eq!((of_principal.len(), &of_principal[0]), (129, &(String::new(), String::new(), 872)));
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let recorder = Recorder::default();
        let happened = |number: usize| Happening { kind: "manifest_pulled", ..failed(&number.to_string()) };
        for number in 0..KEPT + 7 {
            recorder.note(happened(number), 0);
        }
        recorder.note(happened(0), 0);
        let (rows, dropped) = recorder.take(0);
        assert_eq!((rows.len(), dropped), (KEPT, 7));
    }

    #[test]
    fn a_subject_is_short_and_plain() {
        let recorder = Recorder::default();
        recorder.note(failed(&"ä\n".repeat(300)), 0);
        let kept = recorder.take(0).0.remove(0).0.subject;
        assert!(kept.len() <= SUBJECT_BYTES && !kept.contains('\n') && !kept.is_empty());
    }
}
