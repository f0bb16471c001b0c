//! The counters of one registry; no globals, so two registries in one process keep their own.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use hallmark_gc::Report;
use hallmark_storage::{blobs, metadata};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the duration buckets, in seconds: from a cached manifest to a layer of many gigabytes.
const BUCKETS: [f64; 12] = [0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 20.0, 60.0, 300.0];

/// The metrics of the registry in Prometheus' text format.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabels, Histogram>,
    received: Counter<u64, AtomicU64>,
    sent: Counter<u64, AtomicU64>,
    uploads_open: Gauge,
    uploads_receiving: Gauge,
    collected: Family<CollectedLabels, Counter>,
    freed: Counter<u64, AtomicU64>,
    damaged: Counter,
    orphans: Counter,
    comparisons_stopped: Counter,
    undeleted: Family<CollectedLabels, Counter>,
    holds: Family<HoldLabels, Counter>,
    collector_paused: Gauge,
    quota_refusals: Counter,
    store_errors: Counter,
    database_errors: Counter,
    database_writes: Gauge,
    database_wait: Gauge<f64, AtomicU64>,
    database_wal: Gauge,
}

/// The name of an operation, which is one of a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationLabel(pub &'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: OperationLabel,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: OperationLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CollectedLabels {
    kind: OperationLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HoldLabels {
    change: OperationLabel,
    kind: OperationLabel,
}

/// An upload whose body is being received.
#[derive(Debug)]
pub struct Receiving(Gauge);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl EncodeLabelValue for OperationLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(self.0)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hallmark");
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            received: Counter::default(),
            sent: Counter::default(),
            uploads_open: Gauge::default(),
            uploads_receiving: Gauge::default(),
            collected: Family::default(),
            freed: Counter::default(),
            damaged: Counter::default(),
            orphans: Counter::default(),
            comparisons_stopped: Counter::default(),
            undeleted: Family::default(),
            holds: Family::default(),
            collector_paused: Gauge::default(),
            quota_refusals: Counter::default(),
            store_errors: Counter::default(),
            database_errors: Counter::default(),
            database_writes: Gauge::default(),
            database_wait: Gauge::default(),
            database_wal: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests answered, by operation and status", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From the first byte of a request to the last byte of its answer",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register_with_unit("received", "Bytes of request bodies", Unit::Bytes, metrics.received.clone());
        registry.register_with_unit("sent", "Bytes of answers", Unit::Bytes, metrics.sent.clone());
        registry.register(
            "uploads_open",
            "Uploads that are begun and neither finished nor cancelled, on all replicas, counted up to 10000",
            metrics.uploads_open.clone(),
        );
        registry.register(
            "uploads_receiving",
            "Uploads of which bytes are being received",
            metrics.uploads_receiving.clone(),
        );
        registry.register("collected", "What the collector took away, by what it was", metrics.collected.clone());
        registry.register_with_unit(
            "collected",
            "Bytes of blobs that the collector took away; their space is free when their keys are deleted",
            Unit::Bytes,
            metrics.freed.clone(),
        );
        registry.register(
            "blobs_damaged",
            "Blobs that were found damaged when they were read again",
            metrics.damaged.clone(),
        );
        registry.register("orphans", "Keys of the store that nothing named", metrics.orphans.clone());
        registry.register(
            "comparisons_stopped",
            "Comparisons of the store with the facts that an operator has to look at",
            metrics.comparisons_stopped.clone(),
        );
        registry.register("undeleted", "What was brought back, by what it was", metrics.undeleted.clone());
        registry.register("holds", "Holds on manifests, by what was done and their kind", metrics.holds.clone());
        registry.register(
            "collector_paused",
            "Whether the collector rests on every replica",
            metrics.collector_paused.clone(),
        );
        registry.register(
            "quota_refusals",
            "Pushes that were refused because a hard limit left no room",
            metrics.quota_refusals.clone(),
        );
        registry.register("store_errors", "Failures of the blob store", metrics.store_errors.clone());
        registry.register("database_errors", "Failures of the database", metrics.database_errors.clone());
        registry.register(
            "database_writes",
            "Changes written to the database since the start",
            metrics.database_writes.clone(),
        );
        registry.register_with_unit(
            "database_wait",
            "Time that changes waited for their turn since the start",
            Unit::Seconds,
            metrics.database_wait.clone(),
        );
        registry.register_with_unit(
            "database_wal",
            "Size of SQLite's write-ahead log, which a long read or a backup makes grow; 0 on PostgreSQL",
            Unit::Bytes,
            metrics.database_wal.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts one answered request.
    pub fn count(&self, operation: OperationLabel, status: u16, seconds: f64, received: u64, sent: u64) {
        self.requests.get_or_create(&RequestLabels { operation, status }).inc();
        self.durations.get_or_create(&OperationLabels { operation }).observe(seconds);
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }

    /// Counts an upload as being received until the answer is dropped.
    #[must_use]
    pub fn receiving(&self) -> Receiving {
        self.uploads_receiving.inc();
        Receiving(self.uploads_receiving.clone())
    }

    /// Counts what a run of the collector took away.
    pub fn reclaimed(&self, report: &Report) {
        let collected = &report.collected;
        for (kind, count) in [
            ("upload", report.uploads),
            ("manifest", collected.manifests),
            ("link", collected.links),
            ("account_blob", collected.accounts),
            ("blob", collected.blobs),
            ("trash", collected.purged),
            ("key", report.keys),
        ] {
            self.collected.get_or_create(&CollectedLabels { kind: OperationLabel(kind) }).inc_by(count);
        }
        self.freed.inc_by(collected.bytes);
    }

    /// Counts blobs that were found damaged, and keys that nothing named.
    pub fn looked_at_bytes(&self, damaged: u64, orphans: u64) {
        self.damaged.inc_by(damaged);
        self.orphans.inc_by(orphans);
    }

    /// Counts what rules took away.
    pub fn retired(&self, manifests: u64, tags: u64) {
        for (kind, count) in [("retired_manifest", manifests), ("retired_tag", tags)] {
            self.collected.get_or_create(&CollectedLabels { kind: OperationLabel(kind) }).inc_by(count);
        }
    }

    /// Counts a comparison that an operator has to look at.
    pub fn comparison_stopped(&self) {
        self.comparisons_stopped.inc();
    }

    /// Counts a `tag`, a `manifest` or a `repository` that was brought back.
    pub fn undeleted(&self, kind: &'static str) {
        self.undeleted.get_or_create(&CollectedLabels { kind: OperationLabel(kind) }).inc();
    }

    /// Counts a hold of this kind that was `placed` or `released`.
    pub fn hold(&self, change: &'static str, kind: &'static str) {
        self.holds.get_or_create(&HoldLabels { change: OperationLabel(change), kind: OperationLabel(kind) }).inc();
    }

    /// Takes over whether the collector rests.
    pub fn set_collector_paused(&self, paused: bool) {
        self.collector_paused.set(i64::from(paused));
    }

    /// Takes over how many uploads have not ended.
    pub fn set_uploads_open(&self, uploads: u64) {
        self.uploads_open.set(i64::try_from(uploads).unwrap_or(i64::MAX));
    }

    /// Counts a push that a hard limit left no room for.
    pub fn quota_refused(&self) {
        self.quota_refusals.inc();
    }

    /// Counts the failure behind an answer, or one that a job met, by what failed, wherever in the chain of its sources that is told.
    pub fn blame(&self, cause: &(dyn Error + Send + Sync + 'static)) {
        let mut below: Option<&(dyn Error + 'static)> = Some(cause);
        while let Some(error) = below {
            if error.is::<blobs::Error>() {
                self.store_errors.inc();
                return;
            }
            if error.is::<metadata::Error>() {
                self.database_errors.inc();
                return;
            }
            below = error.source();
        }
    }

    /// Takes over what the database counted itself: changes written, how long they waited for their turn, and the size of
    /// its write-ahead log.
    pub fn set_database(&self, writes: u64, wait_seconds: f64, wal_bytes: u64) {
        self.database_wal.set(i64::try_from(wal_bytes).unwrap_or(i64::MAX));
        self.database_writes.set(i64::try_from(writes).unwrap_or(i64::MAX));
        self.database_wait.set(wait_seconds);
    }

    /// Everything, as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail; what was written by then is the answer in any case.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
