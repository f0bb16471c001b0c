//! What is fetched from an issuer and kept: asked for by one at a time, not too often, and not kept for ever.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// After this many milliseconds what is held is fetched anew.
pub(super) const FRESH: i64 = 15 * 60 * 1000;
/// Between two attempts to fetch lie at least this many milliseconds, whoever asks for whatever.
pub(super) const BETWEEN: i64 = 30 * 1000;
/// What was fetched is used for this many milliseconds while the issuer does not give anything newer.
pub(super) const KEPT: i64 = 6 * 60 * 60 * 1000;

/// A value of type `T` and how old it is; `E` is why there is none.
#[derive(Debug)]
pub(super) struct Cached<T, E> {
    state: Arc<RwLock<State<T, E>>>,
    flight: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct State<T, E> {
    held: Option<Held<T>>,
    attempted_at: Option<i64>,
    failure: Option<Arc<E>>,
}

#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    fetched_at: i64,
}

impl<T, E> Cached<T, E>
where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        let state = State { held: None, attempted_at: None, failure: None };
        Self { state: Arc::new(RwLock::new(state)), flight: Arc::default() }
    }

    /// The newest value. It is fetched first when there is none, when it is old, or when it is not `wanted`; unless that
    /// was tried a moment ago. `fetch` is given the value before.
    ///
    /// # Errors
    /// Why the last fetch failed, when there is no value.
    pub(super) async fn look<Fetching>(
        &self,
        wanted: impl Fn(&T) -> bool + Send,
        fetch: impl FnOnce(Option<Arc<T>>) -> Fetching + Send,
        now: i64,
    ) -> Result<Arc<T>, Option<Arc<E>>>
    where
        Fetching: Future<Output = Result<T, E>> + Send + 'static,
    {
        let known = self.held(now).filter(|(value, _)| wanted(value));
        if let Some((value, fetched_at)) = &known
            && now - fetched_at < FRESH
        {
            return Ok(Arc::clone(value));
        }
        let flight = match known {
            Some((value, _)) if !self.may_fetch(now) => return Ok(value),
            // Somebody fetches already, and what is held will do.
            Some((value, _)) => match Arc::clone(&self.flight).try_lock_owned() {
                Ok(flight) => Some(flight),
                Err(_) => return Ok(value),
            },
            // This lock is the line in which all who need the answer wait for the one who asks.
            None if self.may_fetch(now) || self.flight.try_lock().is_err() => {
                Some(Arc::clone(&self.flight).lock_owned().await)
            }
            None => None,
        };
        if let Some(flight) = flight
            && self.may_fetch(now)
        {
            self.fetch(flight, fetch(self.held(now).map(|(value, _)| value)), now).await;
        }
        self.held(now).map(|(value, _)| value).ok_or_else(|| self.read().failure.clone())
    }

    /// Drops what is held, so that the next look fetches.
    pub(super) fn forget(&self) {
        *self.write() = State { held: None, attempted_at: None, failure: None };
    }

    /// Fetches in a task of its own, which the client's timeout ends: a caller who hangs up would otherwise stop it, and
    /// by doing that again and again keep new keys from being learned.
    async fn fetch(
        &self,
        flight: OwnedMutexGuard<()>,
        fetching: impl Future<Output = Result<T, E>> + Send + 'static,
        now: i64,
    ) {
        self.write().attempted_at = Some(now);
        let state = Arc::clone(&self.state);
        let task = tokio::spawn(async move {
            let fetched = fetching.await;
            let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
            match fetched {
                Ok(value) => {
                    state.held = Some(Held { value: Arc::new(value), fetched_at: now });
                    state.failure = None;
                }
                Err(error) => state.failure = Some(Arc::new(error)),
            }
            drop(state);
            drop(flight);
        });
        // A task that panicked has stored nothing, which is what the caller looks at next.
        drop(task.await);
    }

    /// A clock that was set back must not stop anybody for longer than the pause either.
    fn may_fetch(&self, now: i64) -> bool {
        self.read().attempted_at.is_none_or(|at| now.abs_diff(at) >= BETWEEN.unsigned_abs())
    }

    fn held(&self, now: i64) -> Option<(Arc<T>, i64)> {
        let state = self.read();
        let held = state.held.as_ref().filter(|held| now - held.fetched_at < KEPT)?;
        Some((Arc::clone(&held.value), held.fetched_at))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State<T, E>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State<T, E>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
