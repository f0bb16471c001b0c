//! Where log lines go: standard error, as text for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Starts logging for this process; a second call changes nothing.
pub fn start_logging(log: &Log) {
    // The configuration has checked these words already.
    let filter: Targets = log.level.parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let subscriber = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal();
    // A test that starts two registries in one process keeps the first one's logging.
    let _ = match log.format {
        LogFormat::Json => {
            subscriber.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => subscriber.with(fmt::layer().with_ansi(colours).with_writer(std::io::stderr)).try_init(),
    };
}
