//! How long what is no longer needed is kept all the same, each time with its reason.

use std::sync::atomic::{AtomicI64, Ordering};

use super::database::Metadata;
use super::tx::Tx;

const HOUR: i64 = 60 * 60 * 1_000;
const DAY: i64 = 24 * HOUR;

/// How long things wait before they go, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// How long a blob that no manifest names is shown after it was last pushed: after that it fades, and HEAD and mount
    /// answer as if it were gone, while a manifest may still name it.
    pub shown: i64,
    /// How long whoever was told of something has to name it, before it is collected.
    pub margin: i64,
    /// How long bytes are kept after the last fact that led to them: longer than any answer is cached, any stream is
    /// retried, any address that was signed for them holds, and any backup of the database is restored.
    pub bytes: i64,
    /// How long what was deleted can be brought back.
    pub window: i64,
}

impl Default for Graces {
    fn default() -> Self {
        Self { shown: DAY, margin: DAY, bytes: 7 * DAY, window: 14 * DAY }
    }
}

/// The graces of one database, which its configuration sets once it is open.
#[derive(Debug)]
pub(super) struct Waits([AtomicI64; 4]);

impl Default for Waits {
    fn default() -> Self {
        let Graces { shown, margin, bytes, window } = Graces::default();
        Self([shown, margin, bytes, window].map(AtomicI64::new))
    }
}

impl Waits {
    pub(super) fn read(&self) -> Graces {
        let [shown, margin, bytes, window] = self.0.each_ref().map(|wait| wait.load(Ordering::Relaxed));
        Graces { shown, margin, bytes, window }
    }

    fn set(&self, graces: Graces) {
        let Graces { shown, margin, bytes, window } = graces;
        for (wait, milliseconds) in self.0.iter().zip([shown, margin, bytes, window]) {
            wait.store(milliseconds.max(0), Ordering::Relaxed);
        }
    }
}

impl Metadata {
    /// Says how long things wait before they go. All processes on one database must say the same.
    pub fn set_graces(&self, graces: Graces) {
        self.rest().graces.set(graces);
    }

    /// How long things wait before they go.
    #[must_use]
    pub fn graces(&self) -> Graces {
        self.rest().graces.read()
    }
}

impl Tx {
    /// How long things wait before they go.
    #[must_use]
    pub fn graces(&self) -> Graces {
        self.rest().graces.read()
    }
}
