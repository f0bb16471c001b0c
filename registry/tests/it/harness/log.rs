//! The log as it is written while a test runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;

/// What this thread logs until it is dropped; a test's runtime has this one thread for its tasks.
pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn begin() -> Self {
        let lines = Lines::default();
        let layer = fmt::layer().json().flatten_event(true).with_writer(lines.clone());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self { lines, _guard: guard }
    }

    /// The lines of requests so far: those that name an operation.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let text = self.lines.0.lock().unwrap().clone();
        let lines = std::str::from_utf8(&text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line.get("operation").is_some()).collect()
    }

    /// The line of the last request.
    pub(crate) fn last(&self) -> Value {
        self.requests().pop().expect("a request was logged")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
