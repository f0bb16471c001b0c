//! Sign-ins that have begun, by the browser they began in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use super::Pending;

/// A bounded memory of sign-ins. Each is taken once. When it is full the oldest gives way, since most that are not taken soon
/// never are.
///
/// It is this process's own: where several replicas answer, a row of the database must hold the same.
#[derive(Debug)]
pub struct Started {
    pending: Mutex<HashMap<[u8; 32], Pending>>,
    capacity: usize,
}

impl Started {
    /// A memory for so many sign-ins at a time. One takes about 500 bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { pending: Mutex::default(), capacity }
    }

    /// Keeps a sign-in for the browser that holds the cookie `browser`, in place of one before; `browser` is of at least 128
    /// random bits and made for this sign-in.
    pub fn keep(&self, browser: &str, pending: Pending, now: i64) {
        let mut held = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= self.capacity {
            held.retain(|_, pending| !pending.is_over(now));
        }
        if held.len() >= self.capacity
            && let Some(oldest) = held.iter().min_by_key(|(_, pending)| pending.created_at).map(|(key, _)| *key)
        {
            held.remove(&oldest);
        }
        held.insert(key(browser), pending);
    }

    /// Takes the sign-in of this browser out, if it is not over. It is gone then, however it ends.
    #[must_use]
    pub fn take(&self, browser: &str, now: i64) -> Option<Pending> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(browser))?;
        (!pending.is_over(now)).then_some(pending)
    }
}

/// The hash of the cookie, so that finding it takes no time that tells of others.
fn key(browser: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, browser.as_bytes()).as_ref());
    key
}
