//! The certificate that HTTPS is served with: that it goes with its key, and for how long it is still valid.

use super::Finding;
use crate::clock::rfc3339;
use crate::config::Tls;
use crate::http::tls;

/// Below this an operator wants to know, in milliseconds: two weeks.
const SOON: i64 = 14 * 24 * 60 * 60 * 1_000;

pub(super) fn check(files: &Tls, now: i64) -> Finding {
    const CHECK: &str = "certificate";
    const ADVICE: &str = "renew it; the files are read again when they change";
    let shown = files.certificate.display();
    match tls::valid_until(files) {
        Err(error) => {
            Finding::fail(CHECK, error.to_string(), "give a certificate in PEM and the key that belongs to it")
        }
        Ok(None) => Finding::warn(CHECK, format!("{shown} does not say until when it is valid"), ADVICE),
        Ok(Some(end)) if end <= now => Finding::fail(CHECK, format!("{shown} expired at {}", rfc3339(end)), ADVICE),
        Ok(Some(end)) if end - now < SOON => {
            Finding::warn(CHECK, format!("{shown} expires soon, at {}", rfc3339(end)), ADVICE)
        }
        Ok(Some(end)) => Finding::ok(CHECK, format!("{shown} goes with its key and is valid until {}", rfc3339(end))),
    }
}
