//! The wakes of a connection: those that it causes itself while it is polled lead to another look at once.
//!
//! With HTTP/1 the reader of a body and the connection that brings its pieces are one task, and each wakes the other for every
//! piece. To the runtime a task that wakes itself gives way to others, and it wakes a worker to look after those: on a machine
//! of two cores the other core, for nothing, once a piece.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::coop;

/// How often a connection is looked at in one turn of its task at the most. A turn is over sooner when it has read, sent and waited
/// for 128 things: what is asked of tokio beyond that has to wait for the next.
const LOOKS: u32 = 16;

/// Nobody polls, and nothing has happened.
const STILL: u8 = 0;
/// Somebody polls.
const POLLED: u8 = 1;
/// Something has happened, and somebody will poll or polls.
const WOKEN: u8 = 2;

/// The wakes of one connection.
pub(super) struct Wakes {
    waker: Waker,
    shared: Arc<Shared>,
}

struct Shared {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wakes {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared { state: AtomicU8::new(WOKEN), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// What looks at the connection again, now or with the next turn.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Polls until that gives an answer, or there is nothing to do, or it has been polled often enough for this turn.
    pub(super) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Shared { state, task } = &*self.shared;
        task.register(context.waker());
        for _ in 0..LOOKS {
            // Taken, not overwritten: what was done before the wakes so far is to be seen by this look.
            state.swap(POLLED, Ordering::SeqCst);
            if let Poll::Ready(answer) = poll(&mut Context::from_waker(&self.waker)) {
                return Poll::Ready(answer);
            }
            if state.compare_exchange(POLLED, STILL, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Poll::Pending;
            }
            if !coop::has_budget_remaining() {
                break;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == STILL {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn outside() -> (Arc<Counter>, Waker) {
        let counter = Arc::<Counter>::default();
        (Arc::clone(&counter), counter.into())
    }

    #[test]
    fn who_wakes_himself_is_polled_again_and_nobody_else_hears_of_it() {
        let (wakes, (counter, waker)) = (Wakes::new(), outside());
        let mut polls = 0;
        let polled = wakes.poll(&mut Context::from_waker(&waker), |context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!((polled, polls, counter.0.load(Ordering::SeqCst)), (Poll::Ready(()), 3, 0));
    }

    #[test]
    fn who_never_stops_gives_way() {
        let (wakes, (counter, waker)) = (Wakes::new(), outside());
        let mut polls = 0;
        let polled: Poll<()> = wakes.poll(&mut Context::from_waker(&waker), |context| {
            polls += 1;
            assert!(polls <= LOOKS, "it has had its turn");
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((polled, polls, counter.0.load(Ordering::SeqCst)), (Poll::Pending, LOOKS, 1));
    }

    #[tokio::test]
    async fn who_has_used_up_his_turn_is_not_looked_at_again() {
        let (wakes, mut polls) = (Wakes::new(), 0);
        std::future::poll_fn(|context| {
            wakes.poll(context, |context| {
                polls += 1;
                if polls == 2 {
                    assert!(coop::has_budget_remaining(), "there was nothing left of that turn");
                    return Poll::Ready(());
                }
                while let Poll::Ready(taken) = coop::poll_proceed(context) {
                    taken.made_progress();
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
        })
        .await;
        assert_eq!(polls, 2);
    }

    #[test]
    fn a_wake_from_outside_reaches_the_task_once() {
        let (wakes, (counter, waker)) = (Wakes::new(), outside());
        for round in 1..=2 {
            let mut kept = None;
            let polled: Poll<()> = wakes.poll(&mut Context::from_waker(&waker), |context| {
                kept = Some(context.waker().clone());
                Poll::Pending
            });
            assert!(polled.is_pending());
            let kept = kept.unwrap();
            kept.wake_by_ref();
            kept.wake();
            assert_eq!(counter.0.load(Ordering::SeqCst), round);
        }
    }

    /// What is written before a wake is seen by the look that follows, whichever thread wakes, and however many do at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        let rounds = async {
            for _ in 0..10_000 {
                let (wakes, left, mut begun) = (Wakes::new(), Arc::new(AtomicUsize::new(2)), false);
                std::future::poll_fn(|context| {
                    wakes.poll(context, |context| {
                        if !std::mem::replace(&mut begun, true) {
                            for _ in 0..2 {
                                let (waker, left) = (context.waker().clone(), Arc::clone(&left));
                                tokio::spawn(async move {
                                    left.fetch_sub(1, Ordering::Relaxed);
                                    waker.wake();
                                });
                            }
                        }
                        if left.load(Ordering::Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
                    })
                })
                .await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), rounds).await.expect("a wake was lost");
    }
}
