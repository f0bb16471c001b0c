//! What was measured: for each job and server its rounds, and the best of them.
//! Never judges; budgets do.
//! Start at `Results`.

use std::time::Duration;

use crate::{
    jobs::{JOBS, Job, Unit},
    load::{Sample, ratio},
    options::GIB,
    server::Kind,
};

/// The rounds of one job on one server.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The job.
    pub(crate) job: &'static Job,
    /// The server.
    pub(crate) kind: Kind,
    /// At least one round.
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    /// The round with the highest rate, the shortest wait, or the least memory.
    pub(crate) fn best(&self) -> &Sample {
        let mut best = &self.samples[0];
        for sample in &self.samples {
            if rate(self.job.unit, sample) > rate(self.job.unit, best) {
                best = sample;
            }
        }
        best
    }

    /// The best rate: bytes or operations a second, starts a second, or one over the bytes held.
    pub(crate) fn rate(&self) -> f64 {
        rate(self.job.unit, self.best())
    }

    /// How far the worst round lies behind the best one, 0 to 1.
    pub(crate) fn spread(&self) -> f64 {
        let worst = self.samples.iter().map(|sample| rate(self.job.unit, sample)).fold(f64::INFINITY, f64::min);
        1.0 - ratio(worst, self.rate())
    }

    /// Server processor time for each GiB or operation, of the best round.
    pub(crate) fn server_cost(&self) -> Duration {
        cost(self.job.unit, self.best(), self.best().server)
    }

    /// Client processor time for each GiB or operation, of the best round.
    pub(crate) fn client_cost(&self) -> Duration {
        cost(self.job.unit, self.best(), self.best().client)
    }

    /// The highest peak of memory of any round, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.samples.iter().map(|sample| sample.memory).max().unwrap_or(0)
    }
}

/// Most memory that a server held while a job was made ready for it.
#[derive(Debug)]
struct Peak {
    job: &'static str,
    kind: Kind,
    memory: u64,
}

/// All rows of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    rows: Vec<Row>,
    peaks: Vec<Peak>,
    failures: Vec<String>,
}

impl Results {
    /// Adds a round.
    pub(crate) fn add(&mut self, job: &'static Job, kind: Kind, sample: Sample) {
        let row = self.rows.iter_mut().find(|row| row.job.name == job.name && row.kind == kind);
        match row {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { job, kind, samples: vec![sample] }),
        }
    }

    /// Notes the most memory, bytes, that a server held while a job was made ready. It is no row's, and counts in
    /// [`Results::peak_memory`].
    pub(crate) fn note_peak(&mut self, job: &'static Job, kind: Kind, memory: u64) {
        self.peaks.push(Peak { job: job.name, kind, memory });
    }

    /// Notes that a job failed on a server; what was measured of it before does not count.
    pub(crate) fn fail(&mut self, job: &Job, kind: Kind, failure: String) {
        self.rows.retain(|row| row.job.name != job.name || row.kind != kind);
        self.failures.push(failure);
    }

    /// What failed, in words.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The row of a job and a server, if it was measured.
    pub(crate) fn row(&self, job: &str, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.job.name == job && row.kind == kind)
    }

    /// The rows of each job that was measured, in the order of the jobs.
    pub(crate) fn by_job(&self) -> impl Iterator<Item = (&'static Job, Vec<&Row>)> {
        JOBS.iter()
            .map(|job| (job, self.rows.iter().filter(|row| row.job.name == job.name).collect::<Vec<_>>()))
            .filter(|(_, rows)| !rows.is_empty())
    }

    /// The highest peak of memory of a server over all jobs that `counts` names, bytes, and while they were made ready. `None`
    /// when one of them was not measured.
    pub(crate) fn peak_memory(&self, kind: Kind, counts: impl Fn(&Job) -> bool) -> Option<u64> {
        let counted = JOBS.iter().filter(|job| counts(job) && (job.on)(kind));
        let of_job = |job: &Job| {
            let ready =
                self.peaks.iter().filter(|peak| peak.job == job.name && peak.kind == kind).map(|peak| peak.memory);
            self.row(job.name, kind).map(|row| ready.fold(row.memory(), u64::max))
        };
        counted.map(of_job).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

fn rate(unit: Unit, sample: &Sample) -> f64 {
    match unit {
        Unit::Bytes => sample.bytes_rate(),
        Unit::Operations | Unit::Wait => sample.operations_rate(),
        Unit::Memory => ratio(1.0, sample.memory as f64),
    }
}

fn cost(unit: Unit, sample: &Sample, spent: Duration) -> Duration {
    let divisor = match unit {
        Unit::Bytes => sample.bytes as f64 / GIB as f64,
        Unit::Operations | Unit::Wait | Unit::Memory => sample.operations as f64,
    };
    Duration::from_secs_f64(ratio(spent.as_secs_f64(), divisor))
}
