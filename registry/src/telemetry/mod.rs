//! Lives here: what an operator sees. Metrics, where the log goes, the probes.
//! Never here: secrets of any kind, bodies, headers but the request id.
//! Start reading at [`Metrics`]; the line in the log for each request is `http/line.rs`.

mod batch;
mod fields;
pub(crate) mod http;
mod logging;
mod metrics;

pub use http::Readiness;
pub use logging::{Logging, start_logging};
pub use metrics::{Metrics, OperationLabel};

/// An error and everything below it, as one sentence.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
