//! What Hallmark must reach, as the table of budgets states it, and whether it does.
//! Never softened to what was measured: a budget changes here by decision.
//! Start at `BUDGETS`.

use std::{fmt, time::Duration};

use crate::{
    jobs::Job,
    load::{Pushes, ratio},
    report::{mebibytes, milliseconds, rounded, spent},
    results::Results,
    server::{Kind, engine::PART_MEMORY_MIB},
};

/// The job that has a memory budget of its own.
const CROWD: &str = "push.crowd";

/// A demand on one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Demand {
    /// Its rate is at least `factor` times a peer's.
    Faster { than: Kind, factor: f64 },
    /// Its processor time an operation (or GiB) is at most this.
    Cost(Duration),
    /// Its processor time an operation is at most a `factor`-th of a peer's.
    Cheaper { than: Kind, factor: f64 },
    /// The server's own processor time an operation is at most this; that of the database beside it is not looked at.
    CostAlone(Duration),
    /// Its peak of memory is at most so many MiB.
    Memory(u64),
    /// Its peak of memory is at most so many MiB and what the parts of uploads to S3 may take.
    MemoryAndParts(u64),
    /// The peak of memory over all jobs but the crowd's and those on an engine is at most so many MiB.
    MemoryOfAll(u64),
    /// It does at least so many operations a second.
    Rate(f64),
    /// It takes at most so long.
    Wait(Duration),
    /// It ends within this: a wait that is told in seconds.
    Within(Duration),
    /// All but the slowest hundredth of the pushes beside it take at most `factor` times as long as on an idle server.
    Slowed { factor: f64 },
    /// Its processor time an operation is at most `factor` times another job's.
    Flat { against: &'static str, factor: f64 },
}

/// A line of the table of budgets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The job, by name.
    pub(crate) job: &'static str,
    /// What is asked of it.
    pub(crate) demand: Demand,
}

/// What distribution spends on an operation on the machine that the budgets in processor time were set for (an idle one of two
/// cores), by the jobs whose budgets are compared with it.
const THERE: &[(&str, &str, Duration)] = &[
    ("push.layer", "push.layer", Duration::from_millis(1_900)),
    ("read.", "read.manifest", Duration::from_micros(373)),
    ("sign.publish.", "image.push", Duration::from_micros(12_800)),
];

/// How a budget came out.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The job, by name.
    pub(crate) job: &'static str,
    /// The budget in words.
    pub(crate) budget: String,
    /// What was measured, or that nothing was.
    pub(crate) measured: String,
    /// A cost as it would be on the machine that the budgets were set for, told by what distribution costs there and here. It
    /// decides nothing.
    pub(crate) there: Option<String>,
    /// Whether it holds.
    pub(crate) holds: bool,
}

const fn faster(job: &'static str, than: Kind, factor: f64) -> Budget {
    Budget { job, demand: Demand::Faster { than, factor } }
}

const fn budget(job: &'static str, demand: Demand) -> Budget {
    Budget { job, demand }
}

/// All budgets.
pub(crate) const BUDGETS: &[Budget] = &[
    faster("push.layer", Kind::Distribution, 1.8),
    budget("push.layer", Demand::Cost(Duration::from_millis(1_400))),
    faster("pull.layer.1", Kind::Distribution, 1.7),
    faster("pull.layer.1", Kind::Nginx, 0.9),
    faster("pull.layer.8", Kind::Distribution, 1.7),
    faster("pull.layer.8", Kind::Nginx, 0.75),
    budget("read.manifest", Demand::Cost(Duration::from_micros(40))),
    faster("read.manifest", Kind::Distribution, 5.0),
    faster("read.blob", Kind::Distribution, 20.0),
    budget("image.push", Demand::Cheaper { than: Kind::Distribution, factor: 8.0 }),
    faster("image.push", Kind::Distribution, 5.0),
    faster("list.tags.100000", Kind::Distribution, 8.0),
    budget("list.tags.100000", Demand::Flat { against: "list.tags.2000", factor: 1.5 }),
    faster("list.catalog.100000", Kind::Distribution, 8.0),
    budget("list.catalog.100000", Demand::Flat { against: "list.catalog.2000", factor: 1.5 }),
    budget("list.member.100000", Demand::Flat { against: "list.member.2000", factor: 1.5 }),
    budget("read.member.100000", Demand::Cost(Duration::from_micros(40))),
    budget("read.manifest.postgres", Demand::CostAlone(Duration::from_micros(150))),
    budget("read.timestamp", Demand::Cost(Duration::from_micros(40))),
    budget("sign.publish.100", Demand::Cost(Duration::from_millis(5))),
    budget("sign.publish.1000000", Demand::Cost(Duration::from_millis(40))),
    budget("sign.publish.1000000", Demand::Flat { against: "sign.publish.100", factor: 100.0 }),
    budget("sign.renew", Demand::Rate(100_000.0 / 3_600.0)),
    budget("collect.100000", Demand::Flat { against: "collect.10000", factor: 1.3 }),
    budget("collect.1000000", Demand::Flat { against: "collect.10000", factor: 1.3 }),
    budget("collect.half", Demand::Within(Duration::from_mins(10))),
    budget("collect.half", Demand::Slowed { factor: 1.5 }),
    budget(CROWD, Demand::Memory(96)),
    budget("push.crowd.s3", Demand::MemoryAndParts(96)),
    budget("all jobs", Demand::MemoryOfAll(64)),
    budget("idle", Demand::Memory(32)),
    budget("start.empty", Demand::Wait(Duration::from_millis(200))),
    budget("start.again", Demand::Wait(Duration::from_millis(200))),
];

impl Budget {
    /// Holds the budget against what was measured. A row that is missing fails.
    pub(crate) fn judge(&self, results: &Results) -> Verdict {
        let measured = self.measure(results);
        let holds = measured.as_ref().is_some_and(|(_, holds)| *holds);
        Verdict {
            job: self.job,
            budget: self.words(),
            measured: measured.map_or_else(|| "not measured".to_owned(), |(words, _)| words),
            there: self.there(results),
            holds,
        }
    }

    fn there(&self, results: &Results) -> Option<String> {
        let (Demand::Cost(_) | Demand::CostAlone(_)) = self.demand else { return None };
        let (_, job, there) = THERE.iter().find(|(jobs, _, _)| self.job.starts_with(jobs))?;
        let here = results.row(job, Kind::Distribution)?.server_cost();
        let own = results.row(self.job, Kind::Hallmark)?.server_cost();
        Some(spent(own.mul_f64(ratio(there.as_secs_f64(), here.as_secs_f64()))))
    }

    fn measure(&self, results: &Results) -> Option<(String, bool)> {
        let own = results.row(self.job, Kind::Hallmark);
        match self.demand {
            Demand::Faster { than, factor } => {
                let times = ratio(own?.rate(), results.row(self.job, than)?.rate());
                Some((format!("{} ×", rounded(times)), times >= factor))
            }
            Demand::Cost(limit) | Demand::CostAlone(limit) => {
                let cost = own?.server_cost();
                Some((spent(cost), cost <= limit))
            }
            Demand::Cheaper { than, factor } => {
                let peer = results.row(self.job, than)?.server_cost();
                let times = ratio(peer.as_secs_f64(), own?.server_cost().as_secs_f64());
                Some((format!("{} ×", rounded(times)), times >= factor))
            }
            Demand::Memory(limit) => Some(within(own?.memory(), limit)),
            Demand::MemoryAndParts(limit) => Some(within(own?.memory(), limit + PART_MEMORY_MIB)),
            Demand::MemoryOfAll(limit) => Some(within(results.peak_memory(Kind::Hallmark, is_of_all)?, limit)),
            Demand::Rate(least) => {
                let rate = own?.rate();
                Some((format!("{} a second", rounded(rate)), rate >= least))
            }
            Demand::Wait(limit) => {
                let wait = own?.best().wall;
                Some((milliseconds(wait), wait <= limit))
            }
            Demand::Within(limit) => {
                let wall = own?.best().wall;
                Some((spent(wall), wall <= limit))
            }
            Demand::Slowed { factor } => {
                let Pushes { alone, beside } = own?.best().pushes?;
                let times = ratio(beside.as_secs_f64(), alone.as_secs_f64());
                let told = format!("{} × ({} beside it, {} alone)", rounded(times), spent(beside), spent(alone));
                Some((told, times <= factor))
            }
            Demand::Flat { against, factor } => {
                let short = results.row(against, Kind::Hallmark)?.server_cost();
                let times = ratio(own?.server_cost().as_secs_f64(), short.as_secs_f64());
                Some((format!("{} ×", rounded(times)), times <= factor))
            }
        }
    }

    fn words(&self) -> String {
        match self.demand {
            Demand::Faster { than, factor } => format!("≥ {factor} × the rate of {than}"),
            Demand::Cost(limit) => format!("≤ {} server processor time", spent(limit)),
            Demand::Cheaper { than, factor } => format!("≥ {factor} × less server processor time than {than}"),
            Demand::CostAlone(limit) => format!("≤ {} processor time of its own, beside the database's", spent(limit)),
            Demand::Memory(limit) => format!("≤ {limit} MiB resident"),
            Demand::MemoryAndParts(limit) => format!(
                "≤ {} MiB resident: {limit} and the {PART_MEMORY_MIB} that parts may take (`storage.s3.part_memory`)",
                limit + PART_MEMORY_MIB
            ),
            Demand::MemoryOfAll(limit) => {
                format!("≤ {limit} MiB resident over all jobs but {CROWD} and those on PostgreSQL or S3")
            }
            Demand::Rate(least) => format!("≥ {} a second", rounded(least)),
            Demand::Wait(limit) => format!("≤ {}", milliseconds(limit)),
            Demand::Within(limit) => format!("≤ {} s", limit.as_secs()),
            Demand::Slowed { factor } => {
                format!("99 of 100 pushes beside it within {factor} × the time on an idle server")
            }
            Demand::Flat { against, factor } => format!("≤ {factor} × the server processor time of {against}"),
        }
    }
}

/// Whether the memory of all jobs has this one's in it.
fn is_of_all(job: &Job) -> bool {
    job.engine.is_none() && job.name != CROWD
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "pass" } else { "FAIL" };
        write!(formatter, "budget: {word} {} {}: {}", self.job, self.budget, self.measured)
    }
}

fn within(bytes: u64, limit: u64) -> (String, bool) {
    (format!("{} MiB", mebibytes(bytes)), bytes <= limit << 20)
}
