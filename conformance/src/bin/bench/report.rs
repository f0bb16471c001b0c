//! The tables, as Markdown: what was measured, and which budgets hold.
//! Never measures.
//! Start at `Report::render`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use hallmark_conformance::{Outcome, failure::While};

use crate::{
    budget::Verdict,
    jobs::{Job, Unit},
    load::ratio,
    options::Scale,
    results::{Results, Row},
    server::{Kind, engine::Engine},
};

/// What Hallmark sends to S3 in one piece, by default.
const PART_SIZE: u64 = 8 << 20;

/// Everything the tables tell.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The day, `2026-11-21`.
    pub(crate) date: String,
    /// The machine, one line each.
    pub(crate) machine: Vec<String>,
    /// The servers with their versions.
    pub(crate) servers: Vec<(Kind, String)>,
    /// The engines that Hallmark was measured on, with their versions.
    pub(crate) engines: Vec<(Engine, String)>,
    /// How much work was done.
    pub(crate) scale: Scale,
    /// What was measured.
    pub(crate) results: &'a Results,
    /// Which budgets hold.
    pub(crate) verdicts: &'a [Verdict],
}

impl Report<'_> {
    /// The whole text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::from("# Performance\n\n");
        text.push_str(
            "This file is written by the benchmark (`conformance`, binary `bench`): every server does the same work, one after another \
             in one sitting, on the machine below. Measure again with `bench --out docs/performance.md`.\n\n",
        );
        self.conditions(&mut text);
        self.budgets(&mut text);
        self.rows(&mut text);
        text
    }

    fn conditions(&self, text: &mut String) {
        line(text, &format!("Measured on {}: {}.\n", self.date, self.machine.join(", ")));
        for (kind, version) in &self.servers {
            line(text, &format!("- **{kind} {version}**: {}.", kind.conditions()));
        }
        for (engine, version) in &self.engines {
            line(text, &format!("- **{engine} {version}**: {}.", engine.conditions()));
        }
        let rounds = self.scale.rounds;
        line(
            text,
            &format!(
                "\nThe best of {rounds} round{} counts. The servers take turns in each round, in every second one backwards; *spread* is how \
                 far the worst round lies behind the best. A job that takes long has one round. Small requests are repeated for {} s by 8 connections. Each client of `push.crowd` pushes {} MiB, \
                 of `push.crowd.s3` {} MiB, which are {} parts of one size. The long lists were \
                 written into the servers' data while they stood still. Before layers are pushed the memory that they will fill is \
                 touched and given back: a virtual machine may have to get it from its host first.\n",
                if rounds == 1 { "" } else { "s" },
                rounded(self.scale.period.as_secs_f64()),
                mebibytes(self.scale.crowd_layer),
                mebibytes(self.scale.bucket_layer),
                self.scale.bucket_layer / PART_SIZE,
            ),
        );
        text.push_str(
            "The load client is compiled, keeps its connections, and runs on the same cores as the server, so a rate is what both reach \
             together. What it sends is paced as the machine has it, and what a server sends too, unless the server chooses. *Server* \
             and *client* are their processor times for each operation, or each GiB where bytes are counted; what the kernel writes later in its own threads is in neither. *null* is the client's ceiling. Memory is the peak resident size \
             while the job ran (`VmHWM`, set back before each round), for `idle` the resident size. The memory of all jobs counts that of \
             making them ready too.\n\n",
        );
    }

    fn budgets(&self, text: &mut String) {
        text.push_str("## Budgets\n\n\
             The budgets in processor time were set for an idle machine of two cores; *there* is what the measured time comes to on \
             it, told by what distribution costs there and here. What is measured here decides.\n\n\
             | job | budget | measured | there | |\n|---|---|---|---|---|\n");
        for verdict in self.verdicts {
            let word = if verdict.holds { "pass" } else { "**fail**" };
            let there = verdict.there.as_deref().unwrap_or_default();
            line(text, &format!("| {} | {} | {} | {there} | {word} |", verdict.job, verdict.budget, verdict.measured));
        }
        text.push('\n');
    }

    fn rows(&self, text: &mut String) {
        text.push_str(
            "## Rows\n\n*Hallmark is* tells how many times a peer's rate Hallmark reaches, and how many times less processor time its server \
             takes.\n",
        );
        for failure in self.results.failures() {
            line(text, &format!("\nNot measured: {}.", failure.lines().next().unwrap_or_default()));
        }
        for (job, rows) in self.results.by_job() {
            line(text, &format!("\n### {}\n\n{}.\n", job.name, job.what));
            line(text, "| server | rate | wall | server | client | memory | rounds | spread | Hallmark is |");
            line(text, "|---|---|---|---|---|---|---|---|---|");
            let own = rows.iter().find(|row| row.kind == Kind::Hallmark).copied();
            for row in &rows {
                line(text, &table_line(row, own));
            }
            self.held_to(text, job);
        }
    }

    /// What a job was held to, below its rows.
    fn held_to(&self, text: &mut String, job: &Job) {
        let verdicts: Vec<_> = self.verdicts.iter().filter(|verdict| verdict.job == job.name).collect();
        if verdicts.is_empty() {
            line(text, "\nBudget: none of its own.");
        }
        for verdict in verdicts {
            let word = if verdict.holds { "pass" } else { "**fail**" };
            line(text, &format!("\nBudget: {}: {}, {word}.", verdict.budget, verdict.measured));
        }
    }
}

/// One line of progress for a terminal.
pub(crate) fn progress(job: &'static Job, kind: Kind, row: &Row) -> String {
    let cells = cells(row);
    format!(
        "{:<24} {kind:<13} {:>14}  wall {:>9}  server {:>9}  client {:>9}  {:>5} MiB",
        job.name,
        cells.rate,
        cells.wall,
        cells.server,
        cells.client,
        mebibytes(row.memory())
    )
}

/// The numbers of a row as words.
#[derive(Debug)]
struct Cells {
    rate: String,
    wall: String,
    server: String,
    client: String,
}

fn cells(row: &Row) -> Cells {
    let best = row.best();
    Cells {
        rate: match row.job.unit {
            Unit::Bytes => format!("{} MiB/s", rounded(row.rate() / f64::from(1 << 20))),
            Unit::Operations => format!("{}/s", rounded(row.rate())),
            Unit::Wait | Unit::Memory => "–".to_owned(),
        },
        wall: match row.job.unit {
            Unit::Wait => milliseconds(best.wall),
            Unit::Memory => "–".to_owned(),
            Unit::Bytes | Unit::Operations => format!("{:.2} s", best.wall.as_secs_f64()),
        },
        server: match row.job.unit {
            Unit::Memory => "–".to_owned(),
            Unit::Bytes | Unit::Operations | Unit::Wait => spent(row.server_cost()),
        },
        client: match row.job.unit {
            // Starting a server is no work of the client.
            Unit::Wait | Unit::Memory => "–".to_owned(),
            Unit::Bytes | Unit::Operations => spent(row.client_cost()),
        },
    }
}

fn table_line(row: &Row, own: Option<&Row>) -> String {
    let cells = cells(row);
    let compared = own.filter(|own| own.kind != row.kind && row.kind != Kind::Null).map_or_else(String::new, |own| {
        if row.job.unit == Unit::Memory {
            return format!("{} × as small", rounded(ratio(row.memory() as f64, own.memory() as f64)));
        }
        let times = rounded(ratio(own.rate(), row.rate()));
        let cheaper = rounded(ratio(row.server_cost().as_secs_f64(), own.server_cost().as_secs_f64()));
        format!("{times} × as fast, {cheaper} × cheaper")
    });
    format!(
        "| {} | {} | {} | {} | {} | {} MiB | {} | {:.0} % | {compared} |",
        row.kind,
        cells.rate,
        cells.wall,
        cells.server,
        cells.client,
        mebibytes(row.memory()),
        row.samples.len(),
        row.spread() * 100.0
    )
}

/// A time with three digits that matter, in the unit that suits it.
pub(crate) fn spent(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds >= 0.5 => format!("{seconds:.2} s"),
        _ if seconds >= 0.001 => format!("{} ms", rounded(seconds * 1e3)),
        _ => format!("{} µs", rounded(seconds * 1e6)),
    }
}

/// Whole milliseconds, or tenths below ten.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{} ms", rounded(time.as_secs_f64() * 1e3))
}

/// Whole MiB, rounded up.
pub(crate) fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// A number with the digits that matter.
pub(crate) fn rounded(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// A line for a terminal.
pub(crate) fn say(words: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{words}").or_fail("cannot print")
}

fn line(text: &mut String, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}
