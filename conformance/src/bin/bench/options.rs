//! What the benchmark is told to do.
//! Never read anywhere else.
//! Start at `Options`.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use crate::server::Kind;

/// The servers of a whole run.
const MEASURED: [Kind; 4] = [Kind::Hallmark, Kind::Distribution, Kind::Zot, Kind::Nginx];
/// Jobs that read what another job has written.
const STANDS_ON: [(&str, &str); 1] = [("read.member.100000", "list.member.100000")];
/// Repositories whose timestamps are renewed.
const RENEWALS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// The word that makes this program the null server.
pub(crate) const NULL_SERVER: &str = "null-server";

/// Runs the same work one after another on Hallmark, its peers and nginx, and holds Hallmark to its budgets.
#[derive(Debug, Parser)]
#[command(name = "bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// One short round of everything: under eight minutes instead of under forty.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only the jobs whose names begin so, separated by commas. The budgets of all others fail as not measured.
    #[arg(long, value_name = "JOB", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// The servers that are measured. One that is left out leaves rows missing, and a missing row fails.
    #[arg(long, value_delimiter = ',', default_values_t = MEASURED)]
    pub(crate) peers: Vec<Kind>,
    /// Hallmark's binary, a release build. Default: `hallmark` beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) hallmark: Option<PathBuf>,
    /// Where the servers keep their data while they run: a folder on the disk to measure.
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Writes the tables to this file, of a whole run only. Without it they are printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many rounds; the best one counts. Default: 3, and 1 with `--quick`.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// How many repositories `sign.renew` renews: the table has it for 10,000, which take minutes less.
    #[arg(long, default_value_t = RENEWALS)]
    pub(crate) renewals: NonZeroUsize,
    /// Lists the jobs and ends.
    #[arg(long)]
    pub(crate) list: bool,
    /// Another role of this program.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

impl Options {
    /// Whether a job of this name was asked for.
    ///
    /// A job that another one stands on comes with it.
    pub(crate) fn wants(&self, job: &str) -> bool {
        let named = |job: &str| self.only.iter().any(|name| job.starts_with(name.as_str()));
        self.only.is_empty() || named(job) || STANDS_ON.iter().any(|&(above, below)| below == job && named(above))
    }

    /// Why what this run finds may not be kept, if so: a document from which rows are missing, or whose work was less, would
    /// read like one that has them all.
    pub(crate) fn refusal(&self) -> Option<String> {
        let missing = MEASURED.into_iter().filter(|kind| !self.peers.contains(kind)).collect::<Vec<_>>();
        let cause = match (self.only.is_empty(), self.quick, missing.first()) {
            (false, _, _) => "--only, which leaves jobs out".to_owned(),
            (_, true, _) => "--quick, which does less work".to_owned(),
            (_, _, Some(kind)) => format!("--peers without {kind}, which leaves rows out"),
            (true, false, None) if self.renewals != RENEWALS => "--renewals, which does other work".to_owned(),
            (true, false, None) => return None,
        };
        self.out.as_ref()?;
        Some(format!(
            "--out is for the tables of a whole run and is refused with {cause}: without --out they are printed"
        ))
    }
}

/// What else this program can be.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Role {
    /// The null server.
    #[command(name = NULL_SERVER, hide = true)]
    NullServer {
        /// The port on 127.0.0.1.
        port: u16,
    },
}

/// How much work a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Rounds of each job; the best counts.
    pub(crate) rounds: usize,
    /// How long a round of small requests lasts.
    pub(crate) period: Duration,
    /// Bytes of the layer that is pushed and pulled.
    pub(crate) layer: u64,
    /// Bytes that each of the many clients pushes.
    pub(crate) crowd_layer: u64,
    /// Bytes that each of the many clients pushes to S3: half as much, since the S3 server holds each byte twice in the end.
    pub(crate) bucket_layer: u64,
    /// Tags of the large repository, and repositories of the large catalog.
    pub(crate) many: usize,
    /// By how much fewer images there are where some are collected.
    pub(crate) fewer: usize,
    /// Repositories whose timestamps are renewed.
    pub(crate) renewals: usize,
}

/// How many clients push at once where many do.
pub(crate) const CROWD: usize = 32;
/// 2^30 bytes.
pub(crate) const GIB: u64 = 1 << 30;

impl Scale {
    /// What the options ask for.
    pub(crate) fn of(options: &Options) -> Self {
        let quick = options.quick;
        Self {
            rounds: options.rounds.unwrap_or(if quick { 1 } else { 3 }).max(1),
            period: Duration::from_millis(if quick { 2_000 } else { 4_000 }),
            layer: GIB,
            crowd_layer: if quick { GIB / 8 } else { GIB },
            bucket_layer: if quick { GIB / 16 } else { GIB / 2 },
            many: 100_000,
            fewer: if quick { 10 } else { 1 },
            renewals: options.renewals.get(),
        }
    }
}
