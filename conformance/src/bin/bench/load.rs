//! Puts a load on a server and takes the measure of it.
//! Never counts what comes before the start signal: connections, tokens and content are made ahead by each client.
//! Start at `run`.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{Failure, Outcome};

use crate::watch::Watch;

/// When a client stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// Each client begins no further operation after this time.
    Elapsed(Duration),
    /// Each client does so many operations.
    Done(u64),
}

/// What one round measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// From the start signal to the end of the last client.
    pub(crate) wall: Duration,
    /// Operations that ended.
    pub(crate) operations: u64,
    /// Bytes of blobs that were moved, either way.
    pub(crate) bytes: u64,
    /// Processor time of the server.
    pub(crate) server: Duration,
    /// Processor time of the load client.
    pub(crate) client: Duration,
    /// The server's peak of memory, bytes.
    pub(crate) memory: u64,
    /// How long pushes took beside it, where that was looked at.
    pub(crate) pushes: Option<Pushes>,
}

/// How long all but the slowest hundredth of pushes took at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pushes {
    /// While the server did nothing else.
    pub(crate) alone: Duration,
    /// Beside what was measured.
    pub(crate) beside: Duration,
}

impl Sample {
    /// Operations a second.
    pub(crate) fn operations_rate(&self) -> f64 {
        ratio(self.operations as f64, self.wall.as_secs_f64())
    }

    /// Bytes a second.
    pub(crate) fn bytes_rate(&self) -> f64 {
        ratio(self.bytes as f64, self.wall.as_secs_f64())
    }
}

/// `over / under`, and 0 rather than infinity for what was too short to measure.
pub(crate) fn ratio(over: f64, under: f64) -> f64 {
    if under > 0.0 { over / under } else { 0.0 }
}

/// Lets `clients` threads work on the server that `watch` observes. `prepare` makes each client's operation, before the start
/// signal; the operation gets its own count from 0 and says how many bytes it moved.
///
/// # Errors
/// The first failure of any client.
pub(crate) fn run<W>(
    clients: usize,
    until: Until,
    watch: Watch,
    prepare: impl Fn(usize) -> Outcome<W> + Sync,
) -> Outcome<Sample>
where
    W: FnMut(u64) -> Outcome<u64>,
{
    let ready = Barrier::new(clients + 1);
    let start = Barrier::new(clients + 1);
    let client = |number| {
        let operation = prepare(number);
        ready.wait();
        start.wait();
        repeat(operation?, until)
    };
    let client = &client;
    thread::scope(|scope| {
        let threads = (0..clients).map(|number| scope.spawn(move || client(number))).collect::<Vec<_>>();
        ready.wait();
        // The other threads must be let go before any failure may leave this scope.
        let before = watch.reset_peak().and_then(|()| account(watch));
        let begin = Instant::now();
        start.wait();
        let mut sample = Sample::default();
        for thread in threads {
            let done = thread.join().map_err(|_| Failure::new("a load client panicked"))??;
            sample.operations += done.0;
            sample.bytes += done.1;
        }
        sample.wall = begin.elapsed();
        let (before, after) = (before?, account(watch)?);
        sample.server = after.0.saturating_sub(before.0);
        sample.client = after.1.saturating_sub(before.1);
        sample.memory = watch.peak_memory()?;
        Ok(sample)
    })
}

/// Processor time so far of the server and of this process.
fn account(watch: Watch) -> Outcome<(Duration, Duration)> {
    Ok((watch.processor_time()?, Watch::own().processor_time_alone()?))
}

fn repeat(mut operation: impl FnMut(u64) -> Outcome<u64>, until: Until) -> Outcome<(u64, u64)> {
    let begin = Instant::now();
    let (mut operations, mut bytes) = (0, 0);
    let goes_on = |operations: u64| match until {
        Until::Elapsed(limit) => begin.elapsed() < limit,
        Until::Done(count) => operations < count,
    };
    while goes_on(operations) {
        bytes += operation(operations)?;
        operations += 1;
    }
    Ok((operations, bytes))
}
