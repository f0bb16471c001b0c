//! `bench`: the same work on Hallmark, its peers and nginx, one after another in one sitting, held against the budgets.
//! Never part of a test run that may be slow for another reason; nothing else should run beside it.
//! Start at `measure`.

mod budget;
mod content;
mod jobs;
mod load;
mod machine;
mod null;
mod options;
mod report;
mod results;
mod seed;
mod server;
mod sitting;
#[cfg(test)]
mod tests;
mod token;
mod watch;
mod wire;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use hallmark_conformance::{Failure, Outcome, failure::While, process::run};

use crate::{
    budget::BUDGETS,
    jobs::JOBS,
    options::{CROWD, GIB, Options, Role, Scale},
    report::{Report, say},
    server::{Kind, Setup, engine::Engine},
    token::Issuer,
};

/// What the data of all servers may grow to beside the crowd's layers, in GiB: both must be free.
const DISK_GIB: u64 = 16;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match (options.role, options.refusal()) {
        (Some(Role::NullServer { port }), _) => null::serve(port).map(|()| true),
        (None, _) if options.list => list().map(|()| true),
        (None, Some(refusal)) => Err(Failure::new(refusal)),
        (None, None) => measure(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            // There is nobody left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all that was asked for, prints and writes the tables; whether nothing failed and every budget holds.
fn measure(options: &Options) -> Outcome<bool> {
    let setup = Setup {
        hallmark: options.hallmark.clone().map_or_else(beside, Ok)?,
        folder: options.folder.clone().unwrap_or_else(std::env::temp_dir),
        issuer: Issuer::new()?,
    };
    let mut kinds = options.peers.clone();
    kinds.retain(|kind| *kind != Kind::Null);
    kinds.push(Kind::Null);
    let versions = kinds.iter().map(|kind| Ok((*kind, kind.version(&setup)?))).collect::<Outcome<Vec<_>>>()?;
    let jobs = JOBS.iter().filter(|job| options.wants(job.name)).collect::<Vec<_>>();
    if jobs.is_empty() {
        return Err(Failure::new("no job has such a name: see --list"));
    }
    let engines = [Engine::Postgres, Engine::S3].into_iter();
    let engines = engines.filter(|engine| jobs.iter().any(|job| job.engine == Some(*engine)));
    let engines = engines.map(|engine| Ok((engine, engine.version()?))).collect::<Outcome<Vec<_>>>()?;
    let scale = Scale::of(options);
    check_disk(&setup.folder, &scale)?;

    let machine = machine::describe(&setup.folder)?;
    let results = sitting::hold(&jobs, &kinds, &setup, scale)?;

    let verdicts = BUDGETS.iter().map(|budget| budget.judge(&results)).collect::<Vec<_>>();
    let report = Report {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        machine,
        servers: versions,
        engines,
        scale,
        results: &results,
        verdicts: &verdicts,
    };
    let text = report.render();
    match &options.out {
        Some(file) => fs::write(file, &text).or_fail(format!("cannot write {}", file.display()))?,
        None => say(&text)?,
    }
    let mut passed = 0;
    for verdict in &verdicts {
        say(&verdict.to_string())?;
        passed += usize::from(verdict.holds);
    }
    say(&format!("budgets: {passed} passed, {} failed of {}", verdicts.len() - passed, verdicts.len()))?;
    Ok(passed == verdicts.len() && results.failures().is_empty())
}

fn list() -> Outcome<()> {
    JOBS.iter().try_for_each(|job| say(&format!("{:<24} {}", job.name, job.what)))
}

/// `hallmark` in the folder of this program: both come out of one build.
fn beside() -> Outcome<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("hallmark"))
}

fn check_disk(folder: &Path, scale: &Scale) -> Outcome<()> {
    let needed = DISK_GIB + CROWD as u64 * scale.crowd_layer / GIB;
    let table = run(std::process::Command::new("df").args(["--output=avail", "-B1G"]).arg(folder))?;
    let free = table.lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok()).or_fail("df says nothing")?;
    if free >= needed {
        return Ok(());
    }
    let folder = folder.display();
    Err(Failure::new(format!("{folder} has {free} GiB free and {needed} are needed: give another --folder")))
}
