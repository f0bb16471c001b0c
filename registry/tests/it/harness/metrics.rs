//! What `/metrics` tells, as numbers.

use std::collections::{BTreeMap, BTreeSet};

/// Families that the text shows only once one of their series has moved.
const LATER: [&str; 5] = ["collected", "request_duration_seconds", "requests", "undeleted", "holds"];

/// Every series with its value, and the families that there are, without their prefix.
#[derive(Debug)]
pub(crate) struct Metrics {
    series: BTreeMap<String, f64>,
    families: BTreeSet<String>,
}

impl Metrics {
    /// Reads OpenMetrics text.
    pub(super) fn read(text: &str) -> Self {
        assert!(text.ends_with("\n# EOF\n"), "the text is cut: {text}");
        let (comments, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
        let series = lines
            .into_iter()
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        let types = comments.iter().filter_map(|line| line.strip_prefix("# TYPE "));
        Self {
            series: series.collect(),
            families: types
                .filter_map(|family| family.split(' ').next()?.strip_prefix("hallmark_"))
                .chain(LATER)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The value of a series, named as the text names it without its prefix; 0 before it has moved.
    ///
    /// # Panics
    /// The text has no such family, so that it would never move.
    pub(crate) fn of(&self, series: &str) -> f64 {
        let family = family(series);
        assert!(self.families.contains(family), "nothing is called {family}: {:?}", self.families);
        self.series.get(&format!("hallmark_{series}")).copied().unwrap_or(0.0)
    }

    /// The families that there are, without their prefix.
    pub(crate) fn families(&self) -> BTreeSet<&str> {
        self.families.iter().map(String::as_str).collect()
    }

    /// The operations that were asked for.
    pub(crate) fn operations(&self) -> BTreeSet<&str> {
        let requests = self.series.keys().filter(|series| series.starts_with("hallmark_requests_total{"));
        requests.filter_map(|series| series.split("operation=\"").nth(1)?.split('"').next()).collect()
    }
}

/// The family of a series.
pub(crate) fn family(series: &str) -> &str {
    let name = series.split('{').next().unwrap();
    ["_total", "_count", "_sum", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}
