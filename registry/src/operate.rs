//! Lives here: what the operator's commands do, whether they come over the control socket or with `--offline`.
//! Never here: how a command travels, and how its answer is shown.
//! Start reading at [`perform`].

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hallmark_oci::{Digest, RepositoryName};
use hallmark_storage::metadata::{self, Event, NameRange, PrincipalId, TokenKey, Viewer};

use crate::app::App;
use crate::auth::users;
use crate::control::{
    Answer, Command, Health, RepositoryLine, StatusReport, SwitchChange, TokenKeyLine, UserLine, Visibility,
};
use crate::reclaim;
use crate::signing::{self, Signing};
use crate::telemetry::chain;

/// How many users or repositories one answer holds.
const PAGE: u32 = 1000;

/// Does what the operator asks; `listen` is the address that is served.
pub(crate) async fn perform(app: &App, listen: SocketAddr, command: Command) -> Answer {
    let done = match command {
        Command::UserAdd { name, password, admin } => {
            let added = users::add(app, &name, password.expose().to_owned(), admin, app.clock.now()).await;
            added.map(|()| format!("user {name} added")).map_err(|error| chain(&error))
        }
        Command::UserRemove { name } => users::remove(app, &name, app.clock.now())
            .await
            .map(|()| format!("user {name} removed"))
            .map_err(|error| chain(&error)),
        Command::UserPassword { name, password } => {
            let changed = users::set_password(app, &name, password.expose().to_owned(), app.clock.now()).await;
            changed
                .map(|()| format!("the password of {name} was changed; every token made before stops working"))
                .map_err(|error| chain(&error))
        }
        Command::UserLogout { name } => users::log_out(app, &name, app.clock.now())
            .await
            .map(|()| format!("user {name} logged out; every token and refresh token made before stops working"))
            .map_err(|error| chain(&error)),
        Command::UserList { after } => return list_users(app, after.as_deref()).await,
        Command::RepositoryVisibility { name, visibility } => set_visibility(app, &name, visibility).await,
        Command::RepositoryDelete { name } => delete_repository(app, &name).await,
        Command::RepositoryList { after } => return list_repositories(app, after.as_deref()).await,
        Command::ReadOnly { change } => return switch_readonly(app, change).await,
        Command::TokenKeyRotate => {
            return match app.rotate_token_keys().await {
                Ok(kid) => Answer::TokenKey { kid },
                Err(error) => Answer::Refused { message: chain(&error) },
            };
        }
        Command::TokenKeyList => return list_token_keys(app).await,
        Command::SignerRewrap { to } => {
            let _sealing = app.sealing.lock().await;
            signing::commands::rewrap(&app.metadata, &app.master, to, app.clock.now()).await
        }
        Command::SignerBackup { path, passphrase } => match &app.signer {
            Signing::Embedded(_) => {
                let keys = (&app.metadata, &app.master);
                signing::commands::backup(keys, &path, passphrase.expose(), app.clock.now()).await
            }
            Signing::Remote(remote) => Err(signing::commands::elsewhere(remote)),
        },
        Command::SignerLog { .. } | Command::SignerKeys { .. } => {
            return match &app.signer {
                Signing::Embedded(signer) => signing::commands::perform(signer, command).await,
                Signing::Remote(remote) => Answer::Refused { message: signing::commands::elsewhere(remote) },
            };
        }
        Command::GcRun { dry_run } => reclaim::run_for_operator(app, dry_run).await,
        Command::GcOrphans { agreed } => reclaim::orphans_for_operator(app, agreed).await,
        Command::GcPause { paused } => reclaim::pause_for_operator(app, paused).await,
        Command::GcStatus => return told(reclaim::status(app).await.map(|status| status.lines())),
        Command::GcExplain { digest, account } => {
            return match reclaim::explain_for_operator(app, &digest, account.as_deref()).await {
                Ok(lines) => Answer::Told { lines },
                Err(message) => Answer::Refused { message },
            };
        }
        Command::Status => return Answer::Status(status(app, listen).await),
    };
    match done {
        Ok(message) => Answer::Done { message },
        Err(message) => Answer::Refused { message },
    }
}

fn told(lines: Result<Vec<String>, metadata::Error>) -> Answer {
    lines.map_or_else(|error| Answer::Refused { message: chain(&error) }, |lines| Answer::Told { lines })
}

async fn list_users(app: &App, after: Option<&str>) -> Answer {
    match app.metadata.users(&NameRange::after(after), PAGE).await {
        Ok(page) => {
            let next =
                (page.len() == PAGE as usize).then(|| page.last().map(|user| user.principal.name.clone())).flatten();
            let users = page
                .into_iter()
                .map(|user| UserLine {
                    admin: user.principal.is_administrator(),
                    name: user.principal.name,
                    disabled: user.principal.disabled,
                })
                .collect();
            Answer::Users { users, next }
        }
        Err(error) => Answer::Refused { message: chain(&error) },
    }
}

async fn list_repositories(app: &App, after: Option<&str>) -> Answer {
    let read = async {
        let names = app.metadata.catalog(&Viewer::All, &NameRange::after(after), None, PAGE).await?;
        let next = (names.len() == PAGE as usize).then(|| names.last().cloned()).flatten();
        let mut repositories = Vec::with_capacity(names.len());
        for name in names {
            let Ok(parsed) = name.parse::<RepositoryName>() else { continue };
            let public = app.metadata.repository(&parsed).await?.is_some_and(|repository| repository.public);
            repositories.push(RepositoryLine {
                name,
                visibility: if public { Visibility::Public } else { Visibility::Private },
            });
        }
        Ok::<_, metadata::Error>(Answer::Repositories { repositories, next })
    };
    read.await.unwrap_or_else(|error| Answer::Refused { message: chain(&error) })
}

async fn list_token_keys(app: &App) -> Answer {
    match app.metadata.token_keys().await {
        Ok(mut keys) => {
            keys.sort_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)));
            let line =
                |key: TokenKey| TokenKeyLine { kid: key.kid, created_at: key.created_at, retires_at: key.retires_at };
            Answer::TokenKeys { keys: keys.into_iter().map(line).collect() }
        }
        Err(error) => Answer::Refused { message: chain(&error) },
    }
}

async fn set_visibility(app: &App, name: &str, visibility: Visibility) -> Result<String, String> {
    let parsed: RepositoryName = name.parse().map_err(|error| chain(&error))?;
    let (public, kind, word) = match visibility {
        Visibility::Public => (true, "repository_published", "public: anyone may pull from it"),
        Visibility::Private => (false, "repository_hidden", "private"),
    };
    let changed = app
        .metadata
        .write((parsed, public, kind, app.clock.now()), |tx, (name, public, kind, now)| {
            Box::pin(async move {
                let Some(repository) = tx.repository(name).await? else { return Ok(false) };
                let event = Event {
                    account: Some(repository.account_id),
                    repository: Some(repository.id),
                    ..Event::of_system(kind, name.as_str(), *now)
                };
                tx.record(&event).await?;
                tx.set_public(&repository, *public).await
            })
        })
        .await
        .map_err(|error: metadata::Error| chain(&error))?;
    if changed { Ok(format!("{name} is {word}")) } else { Err(unknown(name)) }
}

/// From the commit on nobody reaches what the repository held, whatever it is: uploads that are open end as unknown and
/// their bytes go when they expire, and the next push to the name makes another repository.
async fn delete_repository(app: &App, name: &str) -> Result<String, String> {
    let parsed: RepositoryName = name.parse().map_err(|error| chain(&error))?;
    let deleted = app
        .metadata
        .write((parsed, app.clock.now()), |tx, (name, now)| {
            Box::pin(async move {
                let Some(repository) = tx.hold_repository(name).await? else { return Ok(Ok(false)) };
                if let Some(digest) = tx.legal_hold_in(repository.id).await? {
                    return Ok(Err(digest));
                }
                let robots = tx.robots_bound_to(&repository).await?;
                if !tx.delete_repository(&repository, *now).await? {
                    return Ok(Ok(false));
                }
                // The operator is nobody in the registry's own list: recorded as done by the system (principal 0).
                let event = Event {
                    actor: PrincipalId(0),
                    kind: "repository_deleted",
                    account: Some(repository.account_id),
                    repository: Some(repository.id),
                    subject: name.as_str(),
                    payload: "{}",
                    request_id: "",
                    at: *now,
                };
                tx.record(&event).await?;
                for robot in &robots {
                    tx.record(&Event { kind: "robot_removed", repository: None, subject: robot, ..event }).await?;
                }
                Ok(Ok(true))
            })
        })
        .await
        .map_err(|error: metadata::Error| chain(&error))?;
    let deleted = deleted
        .map_err(|digest: Digest| format!("{digest} in {name} is under a legal hold: `hallmark hold` releases it"))?;
    if !deleted {
        return Err(unknown(name));
    }
    // Not left to the next minute: until the row is gone, its account cannot be removed. If this fails, that one goes on.
    if let Err(error) = hallmark_gc::empty_deleted_repositories(&app.metadata, app.clock.now(), || true).await {
        tracing::warn!(error = chain(&error), "a deleted repository is not emptied yet; it goes on in a minute");
    }
    Ok(format!("{name} is deleted; its name rests"))
}

fn unknown(name: &str) -> String {
    format!("there is no repository {name:?}: `hallmark repository list` shows them")
}

async fn switch_readonly(app: &App, change: SwitchChange) -> Answer {
    let switched = match change {
        SwitchChange::On => match app.set_readonly(true).await {
            Ok(()) if !app.readonly.settled().await => {
                let message =
                    "read-only is on, but changes that began before have not ended yet; ask again to wait for them";
                return Answer::Refused { message: message.to_owned() };
            }
            switched => switched,
        },
        SwitchChange::Off => app.set_readonly(false).await,
        SwitchChange::Keep => Ok(()),
    };
    match switched {
        Ok(()) => Answer::ReadOnly { on: app.is_readonly() },
        Err(error) => Answer::Refused { message: chain(&error) },
    }
}

async fn status(app: &App, listen: SocketAddr) -> StatusReport {
    let started = Instant::now();
    let database = health(app.metadata.ping().await, started);
    let started = Instant::now();
    let storage = health(app.blobs.check().await, started);
    let theirs = app.metadata.database_clock().await.ok().flatten();
    StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        listen,
        read_only: app.is_readonly(),
        foreign_store: app.foreign_store.load(Ordering::Relaxed),
        clock_ahead: theirs.map_or(0, |theirs| app.clock.now() - theirs),
        database,
        storage,
    }
}

fn health<E: std::error::Error + 'static>(answer: Result<(), E>, started: Instant) -> Health {
    match answer {
        Ok(()) => Health::Ok { duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) },
        Err(error) => Health::Failed { message: chain(&error) },
    }
}
