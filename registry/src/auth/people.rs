//! Passwords that a directory checks, and the regular look at who is still in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hallmark_storage::metadata::{self, Event, Principal, PrincipalId, Tx};

use super::directory::{Directories, Directory, DirectoryError, DirectoryInvalid, GroupMapping, Person, teams_of};
use super::sources::{Vouched, admit};
use super::{Authenticated, Refused};
use crate::app::App;
use crate::config::DirectorySection;
use crate::telemetry::chain;

/// How many people a look at a directory may find gone before it asks for a human: as many, or a tenth of all.
const GONE_AT_ONCE: usize = 10;
/// How many people without a usable entry the log tells of by one look.
const TOLD: usize = 10;
/// How many administrators are looked for one among who is left; those with a password here come first.
const ADMINISTRATORS: u32 = 64;
/// What the setting begins with, before a directory's name, that tells which administrators are gone from it and stay.
const KEPT: &str = "directory_kept:";
/// How many people are read from the database at once.
const BATCH: u32 = 500;

/// The directories of this registry with what is made of their people.
#[derive(Debug, Default)]
pub struct Sources {
    directories: Directories,
    sections: Vec<DirectorySection>,
}

impl Sources {
    /// Prepares the directories of the settings.
    ///
    /// # Errors
    /// [`DirectoryInvalid`] for settings that make no sense.
    pub fn open(sections: &[DirectorySection]) -> Result<Self, DirectoryInvalid> {
        let configs: Vec<_> = sections.iter().map(|section| section.directory.clone()).collect();
        Ok(Self { directories: Directories::new(&configs)?, sections: sections.to_vec() })
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The directories of the settings.
    #[must_use]
    pub fn sections(&self) -> &[DirectorySection] {
        &self.sections
    }

    /// Whether a directory of the settings has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.section(name).is_some()
    }

    fn section(&self, name: &str) -> Option<&DirectorySection> {
        self.sections.iter().find(|section| section.directory.name == name)
    }

    fn vouched(&self, person: Person) -> Option<Vouched> {
        let section = self.section(&person.directory)?;
        let teams = teams_of(&section.teams as &[GroupMapping], &person.groups);
        // Directories tell no case apart in the names that people sign in with, and names here are in small letters.
        let (source, subject, name) = (person.directory, person.subject, person.name.to_ascii_lowercase());
        let (create, password_at) = (section.create_users, person.password_at);
        // Of somebody alone nobody can tell whether they left every group, or the groups can be read no more: the regular look can.
        let teams = Some(teams).filter(|_| !person.groups.is_empty());
        Some(Vouched { source, subject, name, teams, create, signs_in: true, password_at })
    }
}

/// Signs `name` in with the directory `of` that the user came from, or for who is no user here with the first that knows them.
///
/// # Errors
/// [`Refused::WrongPassword`]; [`Refused::Directory`] when a directory that might know them does not answer.
pub(super) async fn sign_in(
    app: &App,
    (name, password): (&str, &str),
    of: Option<&str>,
    now: i64,
) -> Result<Authenticated, Refused> {
    let sources = &app.sources;
    let person = match of {
        Some(of) => match sources.directories.named(of) {
            Some(directory) => directory.sign_in(name, password).await,
            None => return Err(Refused::WrongPassword),
        },
        None => sources.directories.sign_in(name, password).await,
    };
    let person = person.map_err(|error| Refused::Directory(Arc::new(error)))?;
    let vouched = person.and_then(|person| sources.vouched(person)).ok_or(Refused::WrongPassword)?;
    let principal = admit(app, vouched, now).await?;
    // Somebody renamed over there keeps their account and its name here; the name they typed must be that one.
    if principal.name != *name {
        return Err(Refused::WrongPassword);
    }
    Ok(Authenticated::unbound(principal))
}

/// Looks every person of one directory up again: who is gone is disabled, and teams are what their groups say now. Whose
/// entry cannot be used stays as they were, and so does who is the last administrator. A directory that fails changes nothing,
/// and neither does one that has suddenly lost a tenth of its people.
///
/// # Errors
/// [`SyncError`].
pub async fn synchronize(app: &App, name: &str, now: i64) -> Result<Synchronized, SyncError> {
    let directory = app.sources.directories.named(name).ok_or(SyncError::Unknown)?;
    let mut done = Synchronized::default();
    let (mut gone, mut groupless, mut after) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let batch = app.metadata.subjects(name, after.as_deref(), BATCH).await?;
        let Some((_, last)) = batch.last() else { break };
        after = Some(last.clone());
        for (principal, subject) in batch {
            done.people += 1;
            match look(app, directory, &subject, now).await {
                Ok(Seen::There) => {}
                Ok(Seen::Gone) => gone.push(principal),
                Ok(Seen::Groupless(vouched)) if app.metadata.is_in_a_team_from(principal, name).await? => {
                    groupless.push(vouched);
                }
                Ok(Seen::Groupless(_)) => {}
                // What is wrong with one entry says nothing about the others.
                Err(SyncError::Directory(error)) if error.is_about_one() => {
                    done.unreadable += 1;
                    if done.unreadable <= TOLD {
                        tracing::warn!(
                            directory = name,
                            subject,
                            error = chain(&error),
                            "a person has no usable entry"
                        );
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    let most = GONE_AT_ONCE.max(done.people / 10);
    if gone.len() > most {
        return Err(SyncError::TooManyGone { gone: gone.len(), people: done.people });
    }
    let mut kept = Vec::new();
    for principal in &gone {
        match disable(app, *principal, (name, &gone), now).await? {
            Some(true) => done.disabled += 1,
            Some(false) => kept.push(*principal),
            None => {}
        }
    }
    done.kept = kept.len();
    tell_of_kept(app, name, kept, now).await?;
    if groupless.len() > most {
        return Err(SyncError::TooManyGroupless { groupless: groupless.len(), people: done.people });
    }
    for vouched in groupless {
        bring_up_to_date(app, Vouched { teams: Some(BTreeSet::new()), ..vouched }, now).await?;
    }
    Ok(done)
}

/// What a look at somebody in a directory showed.
enum Seen {
    There,
    Gone,
    /// They are there and in no group.
    Groupless(Vouched),
}

/// Whether the directory still has somebody; their teams are brought up to date when it says any group of theirs.
async fn look(app: &App, directory: &Directory, subject: &str, now: i64) -> Result<Seen, SyncError> {
    let Some(person) = directory.person(subject).await? else { return Ok(Seen::Gone) };
    let Some(vouched) = app.sources.vouched(person) else { return Ok(Seen::There) };
    let vouched = Vouched { create: false, signs_in: false, ..vouched };
    bring_up_to_date(app, vouched.clone(), now).await?;
    Ok(if vouched.teams.is_none() { Seen::Groupless(vouched) } else { Seen::There })
}

async fn bring_up_to_date(app: &App, vouched: Vouched, now: i64) -> Result<(), SyncError> {
    match admit(app, vouched, now).await {
        Err(Refused::Metadata(error)) => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Disables one of those who are gone. `false` when no administrator would be left who is not gone as well, which is decided within
/// the change: nobody could let anybody in then. `None` for who is disabled already.
async fn disable(
    app: &App,
    principal: PrincipalId,
    (source, gone): (&str, &[PrincipalId]),
    now: i64,
) -> Result<Option<bool>, metadata::Error> {
    let Some(user) = app.metadata.without_cache().principal(principal).await? else { return Ok(None) };
    let disabled = app
        .metadata
        .write((user, source.to_owned(), gone.to_vec(), now), |tx, (user, source, gone, now)| {
            Box::pin(disable_within(tx, user, (source, gone), *now))
        })
        .await?;
    if disabled == Some(false) {
        tracing::warn!(
            directory = source,
            "the last administrator is gone from {source} and stays: give the registry another, and disable them by hand"
        );
    }
    Ok(disabled)
}

async fn disable_within(
    tx: &mut Tx,
    user: &Principal,
    (source, gone): (&str, &[PrincipalId]),
    now: i64,
) -> Result<Option<bool>, metadata::Error> {
    // As they stand now: they may have been made an administrator since.
    let held =
        tx.user(&user.name).await?.map(|held| held.principal).filter(|held| held.id == user.id && !held.disabled);
    let Some(user) = held else { return Ok(None) };
    if user.is_administrator() && tx.administrators(ADMINISTRATORS).await?.iter().all(|id| gone.contains(id)) {
        return Ok(Some(false));
    }
    let payload = serde_json::json!({"source": source, "disabled": true}).to_string();
    let of_system = Event::of_system("user_changed", &user.name, now);
    tx.record(&Event { account: Some(user.account_id), payload: &payload, ..of_system }).await?;
    tx.set_disabled(&user, Some(now)).await?;
    Ok(Some(true))
}

/// Records who is gone from a directory and stays, once: a look that finds what the one before it found changes nothing.
async fn tell_of_kept(app: &App, source: &str, mut kept: Vec<PrincipalId>, now: i64) -> Result<(), metadata::Error> {
    kept.sort_unstable();
    let setting = format!("{KEPT}{source}");
    let ids: Vec<i64> = kept.iter().map(|id| id.0).collect();
    let text = (!ids.is_empty()).then(|| serde_json::json!(ids).to_string());
    let before = app.metadata.setting(&setting).await?;
    if before == text {
        return Ok(());
    }
    let before: Vec<i64> = before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut told = Vec::new();
    for id in kept.into_iter().filter(|id| !before.contains(&id.0)) {
        told.extend(app.metadata.without_cache().principal(id).await?);
    }
    let payload = serde_json::json!({"source": source, "disabled": false}).to_string();
    app.metadata
        .write(((setting, text), (told, payload), now), |tx, ((setting, text), (told, payload), now)| {
            Box::pin(async move {
                for user in told.iter() {
                    let of_system = Event::of_system("last_administrator_kept", &user.name, *now);
                    tx.record(&Event { account: Some(user.account_id), payload, ..of_system }).await?;
                }
                tx.set_setting(setting, text.as_deref()).await
            })
        })
        .await
}

/// What a look at a directory came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Synchronized {
    /// How many people were looked up.
    pub people: usize,
    /// How many of them are gone and were disabled.
    pub disabled: usize,
    /// How many of them have an entry that cannot be used; they stay as they were.
    pub unreadable: usize,
    /// How many of them are gone and stay, because no administrator would be left without them.
    pub kept: usize,
}

/// Why a look at a directory changed nothing more.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// There is no such directory in the settings.
    #[error("there is no such directory in the settings")]
    Unknown,
    /// The directory failed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// So many are gone that it is more likely a change of what may be read there.
    #[error(
        "{gone} of {people} people are gone from the directory: look at it, and disable them by hand if that is true"
    )]
    TooManyGone {
        /// How many.
        gone: usize,
        /// Of how many.
        people: usize,
    },
    /// So many are suddenly in no group that it is more likely a change of what may be read there. Who is gone was disabled.
    #[error(
        "{groupless} of {people} people are in no group of the directory any more and keep their teams: look at what may be read there"
    )]
    TooManyGroupless {
        /// How many.
        groupless: usize,
        /// Of how many.
        people: usize,
    },
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// Looks at every directory whose time has come; `last` says when each was looked at.
pub(crate) async fn synchronize_due(app: &App, last: &mut Vec<(String, i64)>) {
    let now = app.clock.now();
    for section in app.sources.sections() {
        let name = &section.directory.name;
        let interval = i64::try_from(section.sync_interval.as_millis()).unwrap_or(i64::MAX);
        match last.iter_mut().find(|(known, _)| known == name) {
            Some((_, at)) if now - *at < interval => continue,
            Some((_, at)) => *at = now,
            // The first look comes one interval after the start.
            None => {
                last.push((name.clone(), now));
                continue;
            }
        }
        match synchronize(app, name, now).await {
            Ok(done) => tracing::info!(
                directory = name.as_str(),
                people = done.people,
                disabled = done.disabled,
                unreadable = done.unreadable,
                kept = done.kept,
                "looked {} people of {name} up, {} are gone, {} have no usable entry, {} are the last administrators",
                done.people,
                done.disabled,
                done.unreadable,
                done.kept
            ),
            Err(error) => tracing::warn!(
                directory = name.as_str(),
                error = chain(&error),
                "the people of {name} could not be looked up"
            ),
        }
    }
}

/// The groups of a provider's person, as teams.
pub(crate) fn teams_of_groups(
    mapping: &[(String, super::directory::TeamName)],
    groups: &BTreeSet<String>,
) -> BTreeSet<super::directory::TeamName> {
    mapping.iter().filter(|(group, _)| groups.contains(group)).map(|(_, team)| team.clone()).collect()
}
