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

/// An error and everything below it, as one sentence. What an error says of the one below it is not said twice.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Said {
        #[error("the key cannot be read: {0}")]
        Whole(#[source] std::io::Error),
        #[error("the start failed")]
        Apart(#[source] Box<Said>),
    }

    #[test]
    fn what_is_below_an_error_is_told_once() {
        let whole = Said::Whole(std::io::Error::other("no such file"));
        assert_eq!(chain(&whole), "the key cannot be read: no such file");
        assert_eq!(chain(&Said::Apart(Box::new(whole))), "the start failed: the key cannot be read: no such file");
    }
}
