//! Log lines on their way to standard error: many at a time, by a thread of their own.
//!
//! A write for each line is a system call that every other request waits for. Whoever logs puts the line into memory, and
//! what has come together within [`GATHER`] is written at once. A line is lost only with the process itself, when that is
//! killed within this time; [`Batch::flush`] writes all there is.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(5);
/// How long the end of the process waits for a standard error that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that may wait. Whoever logs more waits until standard error takes them, as without a batch.
const ROOM: usize = 1024 * 1024;

/// Where lines wait. Cheap to clone: all clones are the same batch.
#[derive(Clone, Debug)]
pub struct Batch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The first line came, or all are to be written now.
    came: Condvar,
    /// Lines were taken in hand, or written.
    went: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether the thread has lines in hand that are not written yet.
    writing: bool,
    /// How many wait for everything to be written.
    flushes: usize,
}

impl Batch {
    /// Starts the thread that writes to `out`, for as long as the process lives.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let batch = Self(Arc::default());
        let shared = Arc::clone(&batch.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.run(out))?;
        Ok(batch)
    }

    /// Waits until every line that was logged is written, or standard error has not taken them for [`PATIENCE`].
    pub fn flush(&self) {
        let mut state = self.0.state();
        state.flushes += 1;
        self.0.came.notify_one();
        let left = |state: &mut State| state.writing || !state.waiting.is_empty();
        let waited = self.0.went.wait_timeout_while(state, PATIENCE, left);
        waited.unwrap_or_else(PoisonError::into_inner).0.flushes -= 1;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic with the lock held leaves whole lines: they are put in by one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: impl Write) -> ! {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.flushes == 0 && state.waiting.len() < ROOM {
                let gather = |state: &mut State| state.flushes == 0 && state.waiting.len() < ROOM;
                let gathered = self.came.wait_timeout_while(state, GATHER, gather);
                state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut lines, &mut state.waiting);
            state.writing = true;
            drop(state);
            // There is room again as soon as the lines are in hand, not only when they are written.
            self.went.notify_all();
            // Nobody is left to be told that the log cannot be written.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            self.state().writing = false;
            self.went.notify_all();
        }
    }
}

/// One line is one call.
impl Write for &Batch {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        while state.waiting.len() >= ROOM {
            self.0.came.notify_one();
            state = self.0.went.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if first {
            self.0.came.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Batch {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Out {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(lines.to_vec());
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing before it is told to.
    struct Stuck(Receiver<()>, Out);

    impl Write for Stuck {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.write(lines)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Sender<()>, Out, Batch) {
        let (go, told) = channel();
        let out = Out::default();
        let batch = Batch::to(Stuck(told, out.clone())).unwrap();
        (go, out, batch)
    }

    #[test]
    fn lines_of_many_threads_arrive_whole_and_each_thread_s_in_order() {
        let out = Out::default();
        let batch = Batch::to(out.clone()).unwrap();
        thread::scope(|scope| {
            for who in 0..8 {
                let batch = &batch;
                scope.spawn(move || {
                    for line in 0..1_000 {
                        (&mut &*batch).write_all(format!("{who} {line}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        batch.flush();
        let writes = out.0.lock().unwrap();
        let text = String::from_utf8(writes.concat()).unwrap();
        let mut next = [0; 8];
        for line in text.lines() {
            let (who, line) = line.split_once(' ').unwrap();
            let next = &mut next[who.parse::<usize>().unwrap()];
            assert_eq!(line.parse::<usize>().unwrap(), *next);
            *next += 1;
        }
        assert_eq!(next, [1_000; 8]);
        assert!(writes.len() < 8_000, "no two lines were written at once");
    }

    #[test]
    fn a_line_is_written_without_being_asked_for() {
        let (go, out, batch) = stuck();
        (&mut &batch).write_all(b"a line\n").unwrap();
        // The thread takes this only once it writes.
        go.send(()).unwrap();
        batch.flush();
        assert_eq!(out.0.lock().unwrap().concat(), b"a line\n");
    }

    #[test]
    fn whoever_logs_more_than_there_is_room_for_waits() {
        let (go, out, batch) = stuck();
        let line = vec![b'x'; ROOM];
        (&mut &batch).write_all(&line).unwrap();
        let (done, is_done) = channel();
        let second = batch.clone();
        let logger = thread::spawn(move || {
            // The first fills the room again, the second waits.
            for _ in 0..2 {
                (&mut &second).write_all(&vec![b'x'; ROOM]).unwrap();
                done.send(()).unwrap();
            }
        });
        is_done.recv().unwrap();
        is_done.recv_timeout(Duration::from_millis(50)).unwrap_err();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        logger.join().unwrap();
        batch.flush();
        assert_eq!(out.0.lock().unwrap().concat().len(), 3 * ROOM);
    }
}
