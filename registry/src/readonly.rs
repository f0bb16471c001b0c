//! Lives here: the switch that refuses writes, and the wait for the changes that began before it was turned.
//! Never here: who turns it, and how a refusal looks.
//! Start reading at [`ReadOnly`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long the switch waits for the changes that began before it was turned. They are refused at their next step, so what
/// is waited for is one sync or one transaction.
const SETTLING: Duration = Duration::from_secs(20);

/// Whether writes are refused for now.
///
/// A change first says that it begins and then looks at the switch; the switch is turned first and then looks for changes.
/// So whoever did not see it turned is waited for.
#[derive(Debug)]
pub struct ReadOnly {
    on: watch::Sender<bool>,
    begun: Mutex<Changes>,
}

/// The changes that run: each holds a receiver of one of these.
#[derive(Debug)]
struct Changes {
    now: watch::Sender<()>,
    /// Those that somebody waits or waited for.
    before: Vec<watch::Sender<()>>,
}

/// A change runs while this lives.
#[derive(Debug)]
pub struct Begun(#[expect(dead_code, reason = "the switch counts the receivers that live")] watch::Receiver<()>);

impl ReadOnly {
    /// A switch with no change running.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self {
            on: watch::Sender::new(on),
            begun: Mutex::new(Changes { now: watch::Sender::new(()), before: Vec::new() }),
        }
    }

    /// Whether writes are refused.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Turns the switch.
    pub fn turn(&self, on: bool) {
        self.on.send_if_modified(|now| std::mem::replace(now, on) != on);
    }

    /// Resolves when writes are refused.
    pub async fn turned_on(&self) {
        // The sender lives as long as this does.
        let _ = self.on.subscribe().wait_for(|on| *on).await;
    }

    /// Says that a change begins. Whoever makes one looks at the switch after this, and not before.
    #[must_use]
    pub fn begin_change(&self) -> Begun {
        Begun(self.begun.lock().unwrap_or_else(PoisonError::into_inner).now.subscribe())
    }

    /// Waits for the changes that have begun by now; whether all of them ended within [`SETTLING`].
    pub async fn settled(&self) -> bool {
        let before = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            let now = std::mem::replace(&mut begun.now, watch::Sender::new(()));
            begun.before.push(now);
            begun.before.retain(|changes| changes.receiver_count() > 0);
            begun.before.clone()
        };
        let end = Instant::now() + SETTLING;
        for changes in before {
            if timeout_at(end, changes.closed()).await.is_err() {
                return false;
            }
        }
        true
    }
}
