//! Where log lines go: standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::batch::Batch;
use super::fields::OneLine;
use crate::config::{Log, LogFormat};

/// Started logging. Dropped, it writes what still waits to be written.
#[derive(Debug)]
#[must_use = "what is logged last is lost without it"]
pub struct Logging(Batch);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging for this process; a second call changes nothing.
///
/// # Errors
/// There is no thread to be had.
pub fn start_logging(log: &Log) -> io::Result<Logging> {
    // The configuration has checked these words already.
    let filter: Targets = log.level.parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let subscriber = tracing_subscriber::registry().with(filter);
    let colours = io::stderr().is_terminal();
    let batch = Batch::to(io::stderr())?;
    let lines = fmt::layer().with_writer(batch.clone());
    // A test that starts two registries in one process keeps the first one's logging.
    let _ = match log.format {
        LogFormat::Json => subscriber.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => subscriber.with(lines.with_ansi(colours).fmt_fields(OneLine)).try_init(),
    };
    Ok(Logging(batch))
}
