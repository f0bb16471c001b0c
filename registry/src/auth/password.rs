//! Passwords: hashed with argon2id, checked a few at a time, remembered for five minutes.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use hallmark_storage::metadata::{Principal, Source, User};
use quick_cache::sync::Cache;
use ring::hmac;
use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::line::{Client, Line};
use super::{Authenticated, Refused, people, refresh, secrets, users, workloads};
use crate::app::App;
use crate::clock::Random;
use crate::memory;

/// How long a verified password is remembered, in milliseconds.
const REMEMBERED: i64 = 5 * 60 * 1_000;
/// When what was remembered no longer counts, whatever the clock of the registry says.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// How many verified passwords are remembered.
const REMEMBERED_COUNT: usize = 10_000;
/// The longest password that is hashed, in bytes.
pub(crate) const PASSWORD_BYTES: usize = 1024;

/// The one place where passwords are hashed and checked.
///
/// A check costs some 20 ms of a core and 19 MiB, so only one runs per two cores, and one that succeeded is remembered
/// under a key of this process: HMAC(name, password, stored hash, who that is and the epoch of their credentials). A
/// changed password has another stored hash, and every other change of a user but that of their role raises the epoch; with
/// a change of a role this process forgets all. So what was remembered before a change is not found again, but on another
/// replica in the very role that it was remembered in, if that is given back within the five minutes.
pub struct Passwords {
    places: Arc<Semaphore>,
    line: Line,
    /// Those who wait for a directory, in a line of their own: one that is silent keeps nobody from the places.
    elsewhere: Line,
    attempts: Attempts,
    /// When each password was verified: in milliseconds since 1970, and by the machine's steady clock.
    remembered: Cache<[u8; 32], (i64, Instant)>,
    key: hmac::Key,
    /// How often all was forgotten: a part of what is remembered under, so that a check which is under way adds nothing to it.
    forgotten: AtomicI64,
    stand_in: Arc<OnceLock<String>>,
    hashed: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passwords")
    }
}

impl Passwords {
    /// Makes the hashing pool for a machine of `cores` cores.
    #[must_use]
    pub fn new(random: &Random, cores: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new((cores / 2).max(1))),
            line: Line::default(),
            elsewhere: Line::default(),
            attempts: Attempts::default(),
            remembered: Cache::new(REMEMBERED_COUNT),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>()),
            forgotten: AtomicI64::new(0),
            stand_in: Arc::new(OnceLock::new()),
            hashed: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Hashes `password` for storage, as a PHC string of argon2id, in the turn of `client`, who sets it.
    ///
    /// # Errors
    /// [`Refused::Busy`] when too many wait already.
    pub async fn hash(&self, password: String, client: Client) -> Result<String, Refused> {
        self.work(client, move |_| hash(&password)).await
    }

    /// Whether `password` is the one that the hash of `user` was made from, who is not disabled.
    ///
    /// Without a user or a hash the same work is done, so that time does not tell which names exist.
    async fn holds(
        &self,
        password: &str,
        (name, user): (&str, Option<&User>),
        client: Client,
        now: i64,
    ) -> Result<bool, Refused> {
        let stored = user.and_then(|user| user.password.as_deref());
        // Nothing is remembered of who is disabled: the second time would take no time, and tell that the password is right.
        let user = user.filter(|user| !user.principal.disabled);
        let times = self.times_forgotten();
        let remembered =
            user.zip(stored).map(|(user, stored)| self.remember_key(times, &user.principal, password, stored));
        if remembered.is_some_and(|key| self.remembers(&key, now)) {
            self.attempts.at_home(name, client, now);
            return Ok(true);
        }
        self.may_try(name, client, now)?;
        let (password, stored) = (password.to_owned(), stored.map(str::to_owned));
        let holds = self
            .work(client, move |stand_in| match &stored {
                Some(stored) => verify(&password, stored),
                None => verify_stand_in(&password, stand_in),
            })
            .await?;
        let Some(key) = remembered.filter(|_| holds) else {
            self.attempts.failed(name, client, now);
            return Ok(false);
        };
        self.attempts.succeeded(name, client, now);
        self.remembered.insert(key, (now, Instant::now()));
        Ok(true)
    }

    /// Does the work of checking a password where there is none to be checked.
    async fn stand_in(&self, password: &str, client: Client) -> Result<(), Refused> {
        let password = password.to_owned();
        self.work(client, move |stand_in| verify_stand_in(&password, stand_in)).await.map(drop)
    }

    /// Forgets every password that was verified: whoever is given a role, and their former one again, would be found under it.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn times_forgotten(&self) -> i64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Whether a password was verified in the last five minutes. A clock that was put back remembers nothing either.
    fn remembers(&self, key: &[u8; 32], now: i64) -> bool {
        let verified = self.remembered.get(key);
        verified.is_some_and(|(at, then)| (0..REMEMBERED).contains(&(now - at)) && then.elapsed() < KEPT)
    }

    /// Whether another password may be tried.
    fn may_try(&self, name: &str, client: Client, now: i64) -> Result<(), Refused> {
        match self.attempts.wait(name, client, now) {
            Some(wait_seconds) => Err(Refused::TooManyAttempts { wait_seconds }),
            None => Ok(()),
        }
    }

    /// Notes that `name` signed in from this client with something other than a password that opens as much.
    pub(super) fn at_home(&self, name: &str, client: Client, now: i64) {
        self.attempts.at_home(name, client, now);
    }

    /// How many hashes were computed since the start; equal for known and unknown names.
    #[must_use]
    pub fn hashes_computed(&self) -> usize {
        self.hashed.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(
        &self,
        client: Client,
        job: impl FnOnce(&OnceLock<String>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let _waiting = self.line.enter(client)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Refused::Busy)?;
        let (stand_in, hashed) = (Arc::clone(&self.stand_in), Arc::clone(&self.hashed));
        tokio::task::spawn_blocking(move || {
            let _place = place;
            hashed.fetch_add(1, Ordering::Relaxed);
            let done = job(&stand_in);
            memory::give_back();
            done
        })
        .await
        .map_err(|_| Refused::Busy)
    }

    /// Under what a password is remembered, of which all was forgotten so many times when its check began.
    fn remember_key(&self, times_forgotten: i64, principal: &Principal, password: &str, stored: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&principal.name, password, stored, principal.role.word()] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        for part in [principal.id.0, principal.credential_epoch, times_forgotten] {
            context.update(&part.to_le_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

/// Identifies the user `name` by password, for `client`.
pub(crate) async fn identify(app: &App, name: &str, password: &str, client: Client) -> Result<Authenticated, Refused> {
    // Before the user is looked up: nothing is hashed of what is too long, so the look-up would be all that takes time.
    if password.len() > PASSWORD_BYTES {
        return Err(Refused::WrongPassword);
    }
    // What cannot be a name is not asked for: PostgreSQL takes no NUL in a text.
    let (user, source) = match users::is_name(name) {
        true => app.metadata.user_from(name).await?,
        false => (None, Source::Database),
    };
    let now = app.clock.now();
    if user.is_some() {
        app.recorder.known(name, now);
    }
    // Whom a provider knows, or a directory that is no more, has no password anywhere: they are refused like nobody at all.
    let user = user.filter(|user| user.source.as_deref().is_none_or(|of| app.sources.has(of)));
    let of = user.as_ref().and_then(|user| user.source.as_deref());
    if of.is_some() || user.is_none() && !app.sources.is_empty() && users::is_name(name) {
        return elsewhere(app, (name, password), user.as_ref(), client).await;
    }
    let holds = app.passwords.holds(password, (name, user.as_ref()), client, now).await;
    let user = user.filter(|user| !user.principal.disabled);
    if source == Source::Memory && (user.is_none() || !matches!(holds, Ok(true))) {
        // Whoever is unknown is asked for in the database, so every refusal costs the same for whoever is known, also one
        // that looks at no password.
        app.metadata.without_cache().user(name).await?;
    }
    match (user, holds?) {
        (Some(user), true) => Ok(Authenticated::unbound(user.principal)),
        _ => Err(Refused::WrongPassword),
    }
}

/// Has a directory check the password: the one that the user came from, or any for who is no user here.
async fn elsewhere(
    app: &App,
    (name, password): (&str, &str),
    user: Option<&User>,
    client: Client,
) -> Result<Authenticated, Refused> {
    let now = app.clock.now();
    let of = user.and_then(|user| user.source.as_deref());
    let times = app.passwords.times_forgotten();
    let key = |user: &Principal| app.passwords.remember_key(times, user, password, "directory");
    if let Some(user) = user.filter(|user| !user.principal.disabled)
        && app.passwords.remembers(&key(&user.principal), now)
    {
        let principal = user.principal.clone();
        app.passwords.at_home(name, client, now);
        return Ok(Authenticated::unbound(principal));
    }
    app.passwords.may_try(name, client, now)?;
    // Whoever has a password here costs a hash, so whoever has none costs one too.
    app.passwords.stand_in(password, client).await?;
    let signed_in = if is_secret_of_ours(password) {
        Err(Refused::WrongPassword)
    } else {
        let _waiting = app.passwords.elsewhere.enter(client)?;
        people::sign_in(app, (name, password), of, now).await
    };
    match &signed_in {
        Ok(known) => {
            app.passwords.attempts.succeeded(name, client, now);
            app.passwords.remembered.insert(key(&known.principal), (now, Instant::now()));
        }
        Err(Refused::WrongPassword) => app.passwords.attempts.failed(name, client, now),
        Err(_) => {}
    }
    signed_in
}

/// Whether this is what the registry, or an issuer of tokens, gave somebody in the place of a password: whoever runs a
/// directory must not learn it because a client showed it at the wrong time.
fn is_secret_of_ours(text: &str) -> bool {
    secrets::looks_like_one(text) || refresh::looks_like_one(text) || workloads::is_three_parts(text)
}

fn hash(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("argon2id hashes any text of bounded length with its default parameters")
        .to_string()
}

/// Never: nobody has the password that this hash is of.
fn verify_stand_in(password: &str, stand_in: &OnceLock<String>) -> bool {
    verify(password, stand_in.get_or_init(|| hash("nobody has this password")));
    false
}

fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| Argon2::default().verify_password(password.as_bytes(), &stored).is_ok())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use hallmark_storage::metadata::{AccountId, PrincipalId, PrincipalKind, SystemRole};

    use super::*;

    /// A dump of what one process remembers is worth nothing beside another, nor after a restart.
    #[test]
    fn what_is_remembered_is_under_a_key_of_this_process() {
        let random = Random::system();
        let user = Principal {
            id: PrincipalId(1),
            account_id: AccountId(1),
            name: "ann".to_owned(),
            kind: PrincipalKind::User,
            role: SystemRole::None,
            credential_epoch: 0,
            disabled: false,
            vouched: None,
        };
        let [one, other] = [(); 2].map(|()| Passwords::new(&random, 2));
        let key = |passwords: &Passwords| passwords.remember_key(0, &user, "a password", "a hash");
        assert_eq!(key(&one), key(&one));
        assert_ne!(key(&one), key(&other));
    }

    /// Hashes compete with the images for the cores, and each takes 19 MiB.
    #[tokio::test]
    async fn one_password_is_hashed_at_a_time_per_two_cores() {
        for (cores, places) in [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4)] {
            let passwords = Arc::new(Passwords::new(&Random::system(), cores));
            assert_eq!(passwords.places.available_permits(), places, "{cores} cores");
            let (began, beginnings) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let released = Arc::new(std::sync::Mutex::new(released));
            let jobs: Vec<_> = (0..places + 2)
                .map(|_| {
                    let (passwords, began, released) = (Arc::clone(&passwords), began.clone(), Arc::clone(&released));
                    let job = move |_: &OnceLock<String>| {
                        began.send(()).unwrap();
                        released.lock().unwrap().recv().unwrap();
                    };
                    tokio::spawn(async move { passwords.work(Client::Operator, job).await.unwrap() })
                })
                .collect();
            while passwords.line.operators() < places + 2 {
                tokio::task::yield_now().await;
            }
            for _ in 0..places {
                beginnings.recv().unwrap();
            }
            assert_eq!(beginnings.try_recv(), Err(mpsc::TryRecvError::Empty), "{cores} cores hash {places} at a time");
            for _ in &jobs {
                release.send(()).unwrap();
            }
            for job in jobs {
                job.await.unwrap();
            }
        }
    }
}
