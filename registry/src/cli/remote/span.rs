//! A stretch of time as it is typed: `90d`, `12h`.

use std::fmt;
use std::str::FromStr;

use crate::clock::{Clock, rfc3339};

/// A stretch of time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    seconds: u32,
}

impl Span {
    /// In seconds.
    pub(super) fn seconds(self) -> u32 {
        self.seconds
    }

    /// When it is over that begins now (RFC 3339).
    pub(super) fn end(self) -> String {
        rfc3339(Clock::System.now() + i64::from(self.seconds) * 1_000)
    }
}

/// A text that is no stretch of time.
#[derive(Debug)]
pub(super) struct SpanInvalid;

impl fmt::Display for SpanInvalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("write a number and s, m, h or d, such as 90d")
    }
}

impl std::error::Error for SpanInvalid {}

impl FromStr for Span {
    type Err = SpanInvalid;

    fn from_str(text: &str) -> Result<Self, SpanInvalid> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit: u32 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(SpanInvalid),
        };
        let seconds = number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit)).ok_or(SpanInvalid)?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("45s", 45), ("30m", 1_800), ("12h", 43_200), ("90d", 7_776_000)] {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds);
        }
        for text in ["", "90", "d", "-1d", "1.5h", "1w", "99999999d", "1 d"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
