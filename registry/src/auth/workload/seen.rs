//! Tokens that were used already: each is taken once.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use ring::digest::{Context, SHA256};

use crate::auth::oidc::LEEWAY;

type Id = [u8; 32];

/// A bounded memory of tokens by issuer and id, each kept until it could no longer be shown.
///
/// It is this process's own: where several replicas take tokens, a row of the database must say the same for all of them.
#[derive(Debug)]
pub struct Seen {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    ids: HashSet<Id>,
    by_end: BTreeSet<(i64, Id)>,
}

impl Seen {
    /// A memory for so many tokens that are valid at one time. One takes about 120 bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity }
    }

    /// Whether this is the first use of the token `jti` of `issuer`, which expires at `exp`; it is remembered then. Both
    /// times are in milliseconds since 1970.
    ///
    /// When the memory is full of tokens that still hold, no further one is a first use: forgetting one would let it be
    /// used again.
    #[must_use]
    pub fn first_use(&self, issuer: &str, jti: &str, exp: i64, now: i64) -> bool {
        let end = exp.saturating_add(LEEWAY);
        let id = id(issuer, jti);
        // Nothing panics between the changes to the two sets.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_ended(now);
        if end <= now || state.ids.len() >= self.capacity || !state.ids.insert(id) {
            return false;
        }
        state.by_end.insert((end, id));
        true
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ids.len()
    }
}

impl State {
    fn forget_ended(&mut self, now: i64) {
        while let Some(first) = self.by_end.first().copied()
            && first.0 <= now
        {
            self.by_end.remove(&first);
            self.ids.remove(&first.1);
        }
    }
}

/// The length keeps one pair from reading as another.
fn id(issuer: &str, jti: &str) -> Id {
    let mut hash = Context::new(&SHA256);
    hash.update(&u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(issuer.as_bytes());
    hash.update(jti.as_bytes());
    let mut id = [0; 32];
    id.copy_from_slice(hash.finish().as_ref());
    id
}
