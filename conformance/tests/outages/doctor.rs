//! `hallmark doctor` of a registry on PostgreSQL and S3: sound, without either, and by another clock.

use std::time::Instant;

use hallmark_conformance::{Outcome, check::holds, process::Ran};
use serde_json::Value;

use super::{Grown, SEEN_LIMIT};

pub(crate) fn examine(grown: &Grown) -> Outcome<Ran> {
    let listen = format!("127.0.0.1:{}", grown.server.port());
    grown.server.attempt(&["doctor", "--output", "json", "--listen", &listen], "")
}

/// Holds that these are the checks that fail, each with something to do, and that the program ends as it says.
pub(crate) fn fails(ran: &Ran, expected: &[&str]) -> Outcome<()> {
    let findings: Vec<Value> = ran.output.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let failed: Vec<&Value> = findings.iter().filter(|finding| finding["verdict"] == "fail").collect();
    let checks: Vec<&str> = failed.iter().filter_map(|finding| finding["check"].as_str()).collect();
    let advised = failed.iter().all(|finding| finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
    let looked = ["database", "store"].iter().all(|check| findings.iter().any(|finding| finding["check"] == *check));
    let ended = ran.status.code() == Some(i32::from(!expected.is_empty()));
    holds(checks == expected && advised && looked && ended, || format!("{} with {}", ran.status, ran.output))
}

/// Holds that these checks, and no others, fail soon: a server that was started again takes a while to answer, and one that was ready
/// says so for a second more.
fn soon_fails(grown: &Grown, expected: &[&str]) -> Outcome<()> {
    let begin = Instant::now();
    loop {
        let told = fails(&examine(grown)?, expected);
        if told.is_ok() || begin.elapsed() > SEEN_LIMIT {
            return told;
        }
    }
}

#[test]
fn what_a_grown_registry_lacks_is_told_whether_it_runs_or_not() -> Outcome<()> {
    let mut grown = Grown::start()?;
    fails(&examine(&grown)?, &[])?;
    grown.store.kill()?;
    // Its own probe says so too.
    soon_fails(&grown, &["store", "address"])?;
    grown.server.stop()?;
    fails(&examine(&grown)?, &["store"])?;
    grown.store.revive()?;
    soon_fails(&grown, &[])?;
    grown.database.kill()?;
    fails(&examine(&grown)?, &["database"])?;
    grown.database.revive()?;
    soon_fails(&grown, &[])
}
