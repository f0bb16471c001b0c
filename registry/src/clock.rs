//! Lives here: the one place that reads the system clock and the system's randomness.
//! Never here: any decision about time; rules take `now` (milliseconds since 1970) as an argument.
//! Start reading at [`Clock::now`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

/// Where `now` comes from: the system, or a hand that tests hold.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until a test moves it; milliseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The time in milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may read the clock")]
    pub fn now(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
            Self::Fixed(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// Random bytes from the operating system.
#[derive(Debug, Clone)]
pub struct Random(SystemRandom);

impl Random {
    /// The operating system's generator.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask the system for randomness")]
    pub fn system() -> Self {
        Self(SystemRandom::new())
    }

    /// `N` unpredictable bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).expect("getrandom does not fail once the machine has booted");
        bytes
    }

    /// The generator in the shape that `ring` asks for.
    #[must_use]
    pub fn secure(&self) -> &SystemRandom {
        &self.0
    }
}

/// `at` (milliseconds since 1970) as RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at.div_euclid(1000) * 1000)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// The milliseconds since 1970 of a time in RFC 3339; `None` for what is none.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
