//! Passwords: hashed with argon2id, checked a few at a time, remembered for five minutes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use hallmark_storage::metadata::Source;
use moka::sync::Cache;
use ring::hmac;
use tokio::sync::Semaphore;

use super::line::{Client, Line};
use super::{Authenticated, Ceiling, Refused, users};
use crate::app::App;
use crate::clock::Random;

/// How long a verified password is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// How many verified passwords are remembered.
const REMEMBERED_COUNT: u64 = 10_000;
/// The longest password that is hashed, in bytes.
pub(crate) const PASSWORD_BYTES: usize = 1024;

/// The one place where passwords are hashed and checked.
///
/// A check costs some 20 ms of a core and 19 MiB, so only one runs per two cores, and one that succeeded is remembered
/// under a key of this process: HMAC(name, password, stored hash). A changed password has another stored hash, so what
/// was remembered for the old one is never found again.
pub struct Passwords {
    places: Arc<Semaphore>,
    line: Line,
    remembered: Cache<[u8; 32], ()>,
    key: hmac::Key,
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
            remembered: Cache::builder().max_capacity(REMEMBERED_COUNT).time_to_live(REMEMBERED).build(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>()),
            stand_in: Arc::new(OnceLock::new()),
            hashed: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Hashes `password` for storage, as a PHC string of argon2id, for the operator, who alone sets passwords.
    ///
    /// # Errors
    /// [`Refused::Busy`] when too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, Refused> {
        self.work(Client::Operator, move |_| hash(&password)).await
    }

    /// Whether `password` is the one that `stored` (a PHC string) was made from.
    ///
    /// Without a stored hash the same work is done, so that time does not tell which names exist.
    async fn holds(&self, name: &str, password: &str, stored: Option<&str>, client: Client) -> Result<bool, Refused> {
        let remembered = stored.map(|stored| self.remember_key(name, password, stored));
        if remembered.is_some_and(|key| self.remembered.contains_key(&key)) {
            return Ok(true);
        }
        let (password, stored) = (password.to_owned(), stored.map(str::to_owned));
        let holds = self
            .work(client, move |stand_in| match &stored {
                Some(stored) => verify(&password, stored),
                None => {
                    verify(&password, stand_in.get_or_init(|| hash("nobody has this password")));
                    false
                }
            })
            .await?;
        if let (true, Some(key)) = (holds, remembered) {
            self.remembered.insert(key, ());
        }
        Ok(holds)
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
            job(&stand_in)
        })
        .await
        .map_err(|_| Refused::Busy)
    }

    fn remember_key(&self, name: &str, password: &str, stored: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, password, stored] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
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
    let stored = user.as_ref().and_then(|user| user.password.as_deref());
    let holds = app.passwords.holds(name, password, stored, client).await?;
    match user {
        Some(user) if holds && !user.principal.disabled => {
            Ok(Authenticated { principal: user.principal, ceiling: Ceiling::None })
        }
        _ => {
            if source == Source::Memory {
                // Whoever is unknown is asked for in the database, so a refusal costs the same for whoever is known.
                app.metadata.without_cache().user(name).await?;
            }
            Err(Refused::WrongPassword)
        }
    }
}

fn hash(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("argon2id hashes any text of bounded length with its default parameters")
        .to_string()
}

fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| Argon2::default().verify_password(password.as_bytes(), &stored).is_ok())
}
