//! How a client takes what is written to it.

use std::time::Duration;

use tokio::time::Instant;

/// What a client must take in each period of patience once there is no room for more, in bytes: one that sips holds a file,
/// a buffer and a place as surely as one that takes nothing.
const LEAST: usize = 16 * 1024;
/// After so long with room for more, a client is not slow: there was nothing to take.
const AT_REST: Duration = Duration::from_secs(1);

/// Watches for a client that takes next to nothing.
#[derive(Debug, Default)]
pub(super) struct Taking(Option<Slow>);

#[derive(Clone, Copy, Debug)]
struct Slow {
    since: Instant,
    taken: usize,
    /// Since when there has been room again; none while there is none.
    room_since: Option<Instant>,
}

impl Taking {
    /// The client took so many bytes, or there was room for them.
    pub(super) fn took(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        let Some(slow) = &mut self.0 else { return };
        slow.taken += bytes;
        slow.room_since = Some(now());
        if slow.taken >= LEAST {
            self.0 = None;
        }
    }

    /// There is no room for more bytes until the client takes some.
    pub(super) fn blocked(&mut self, now: Instant) {
        match &mut self.0 {
            Some(slow) if slow.room_since.is_none_or(|since| now.saturating_duration_since(since) < AT_REST) => {
                slow.room_since = None;
            }
            slow => *slow = Some(Slow { since: now, taken: 0, room_since: None }),
        }
    }

    /// Forgets what was taken: a new answer begins.
    pub(super) fn begin(&mut self) {
        self.0 = None;
    }

    /// Since when the client has taken too little, when it is its turn.
    pub(super) fn slow_since(&self) -> Option<Instant> {
        self.0.filter(|slow| slow.room_since.is_none()).map(|slow| slow.since)
    }
}
