//! What `/metrics` tells, as numbers.

use std::collections::{BTreeMap, BTreeSet};

/// Every series with its value.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    /// The value of a series, named as the text names it without its prefix; 0 before it has moved.
    pub(crate) fn of(&self, series: &str) -> f64 {
        self.0.get(&format!("hallmark_{series}")).copied().unwrap_or(0.0)
    }

    /// The operations that were asked for.
    pub(crate) fn operations(&self) -> BTreeSet<&str> {
        let requests = self.0.keys().filter(|series| series.starts_with("hallmark_requests_total{"));
        requests.filter_map(|series| series.split("operation=\"").nth(1)?.split('"').next()).collect()
    }
}
