//! The load client against the null server, and the budgets against made-up results.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    thread,
    time::Duration,
};

use clap::Parser as _;
use hallmark_conformance::server::free_port;

use crate::{
    budget::{BUDGETS, Demand, Verdict},
    content::Layers,
    jobs::{JOBS, Job},
    load::{self, Pushes, Sample, Until},
    null,
    options::{GIB, Options, Scale},
    report::Report,
    results::Results,
    server::Kind,
    sitting::in_turn,
    watch::Watch,
    wire::{Connection, Request},
};

/// A connection to a null server on a thread of this process.
fn null_server() -> Connection {
    let port = free_port().unwrap();
    thread::spawn(move || null::serve(port));
    loop {
        match Connection::open(port) {
            Ok(connection) => return connection,
            Err(_) => thread::yield_now(),
        }
    }
}

/// A connection to something that answers its first request with these bytes.
fn answering(bytes: &'static [u8]) -> Connection {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(bytes).unwrap();
    });
    Connection::open(port).unwrap()
}

fn job(name: &str) -> &'static Job {
    JOBS.iter().find(|job| job.name == name).unwrap()
}

fn body_of(connection: &mut Connection) -> (u16, String) {
    let mut body = Vec::new();
    let answer =
        connection.exchange_into(&Request::new("GET", "/", None), |piece| body.extend_from_slice(piece)).unwrap();
    (answer.status, String::from_utf8(body).unwrap())
}

#[test]
fn a_pull_is_as_long_as_the_push_was() {
    let layers = Layers::new();
    let mut connection = null_server();
    for size in [100, 3_000_000] {
        let layer = layers.next(size);
        let target = format!("/v2/a/blobs/uploads/1?digest={}", layer.digest);
        let put = Request::with_headers("PUT", &target, None, &format!("Content-Length: {size}\r\n"));
        assert_eq!(connection.upload(&put, &layer).unwrap().status, 201);
        let get = Request::new("GET", &format!("/v2/a/blobs/{}", layer.digest), None);
        assert_eq!(connection.exchange(&get).unwrap().length, size);
    }
}

#[test]
fn a_body_in_chunks_is_put_together() {
    let mut connection =
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhall\r\n4;x=y\r\nmark\r\n0\r\n\r\n");
    assert_eq!(body_of(&mut connection), (200, "hallmark".to_owned()));
}

#[test]
fn an_absolute_location_is_made_a_path() {
    let mut connection = answering(b"HTTP/1.1 202 -\r\nlocation: http://host:1/v2/a?b=c\r\ncontent-length: 0\r\n\r\n");
    let answer = connection.exchange(&Request::new("POST", "/", None)).unwrap();
    assert_eq!(answer.target().unwrap(), "/v2/a?b=c");
}

#[test]
fn an_answer_that_ends_early_is_a_failure() {
    let mut connection = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    assert!(connection.exchange(&Request::new("GET", "/", None)).is_err());
}

#[test]
fn a_load_counts_what_all_clients_do() {
    let sample = load::run(3, Until::Done(5), Watch::own(), |_| Ok(Ok)).unwrap();
    assert_eq!((sample.operations, sample.bytes), (15, 30));
}

#[test]
fn a_client_that_cannot_begin_ends_the_load() {
    let failing = |client| match client {
        1 => Err(hallmark_conformance::Failure::new("no token")),
        _ => Ok(|_| Ok(0)),
    };
    assert!(load::run(2, Until::Done(1), Watch::own(), failing).is_err());
}

#[test]
fn a_row_that_is_missing_fails_and_says_so() {
    let results = Results::default();
    for verdict in BUDGETS.iter().map(|budget| budget.judge(&results)) {
        assert_eq!((verdict.measured.as_str(), verdict.holds), ("not measured", false), "{}", verdict.job);
    }
}

#[test]
fn the_memory_of_all_jobs_is_not_measured_while_one_is_missing() {
    let all = BUDGETS.iter().find(|budget| budget.job == "all jobs").unwrap();
    let mut results = Results::default();
    let held = |bytes| Sample { memory: bytes, ..Sample::default() };
    for job in JOBS.iter().filter(|job| job.engine.is_none() && job.name != "idle" && job.name != "push.crowd") {
        results.add(job, Kind::Hallmark, held(40 << 20));
    }
    assert_eq!(all.judge(&results).measured, "not measured");
    results.add(job("idle"), Kind::Hallmark, held(50 << 20));
    assert_eq!(all.judge(&results).measured, "50 MiB");
    results.note_peak(job("list.tags.2000"), Kind::Hallmark, 60 << 20);
    results.note_peak(job("list.tags.2000"), Kind::Distribution, 99 << 20);
    assert_eq!(all.judge(&results).measured, "60 MiB");
    for of_its_own in ["push.crowd", "push.crowd.s3", "read.manifest.postgres"] {
        results.note_peak(job(of_its_own), Kind::Hallmark, 90 << 20);
        results.add(job(of_its_own), Kind::Hallmark, held(90 << 20));
    }
    assert_eq!(all.judge(&results).measured, "60 MiB");
}

#[test]
fn on_s3_the_memory_of_parts_is_allowed_beside_the_server_s_own() {
    let budget = BUDGETS.iter().find(|budget| budget.job == "push.crowd.s3").unwrap();
    let judged = |mebibytes: u64| {
        let mut results = Results::default();
        let sample = Sample { memory: mebibytes << 20, ..Sample::default() };
        results.add(job("push.crowd.s3"), Kind::Hallmark, sample);
        budget.judge(&results)
    };
    assert!(judged(352).holds && !judged(353).holds);
    assert!(judged(1).budget.contains("352 MiB resident: 96 and the 256"), "{}", judged(1).budget);
}

#[test]
fn only_hallmark_is_measured_on_an_engine_and_no_peer_has_such_a_budget() {
    for job in JOBS.iter().filter(|job| job.engine.is_some()) {
        assert!((job.on)(Kind::Hallmark) && !(job.on)(Kind::Distribution), "{}", job.name);
        assert!(job.what.starts_with("Hallmark alone"), "{}", job.name);
        let budgets = BUDGETS.iter().filter(|budget| budget.job == job.name);
        for budget in budgets {
            assert!(!matches!(budget.demand, Demand::Faster { .. } | Demand::Cheaper { .. }), "{}", job.name);
        }
    }
}

#[test]
fn a_job_that_fails_leaves_no_row_of_earlier_rounds() {
    let mut results = Results::default();
    let push = job("push.layer");
    results.add(push, Kind::Hallmark, Sample { wall: Duration::from_secs(1), bytes: GIB, ..Sample::default() });
    results.fail(push, Kind::Hallmark, "push.layer on hallmark: the disk is full".to_owned());
    assert!(results.row("push.layer", Kind::Hallmark).is_none());
    assert_eq!(results.failures(), ["push.layer on hallmark: the disk is full"]);
}

#[test]
fn the_servers_change_places_every_round() {
    let orders = [0, 1, 2].map(|round| in_turn(&["a", "b", "c"], round).concat());
    assert_eq!(orders, ["abc", "cba", "abc"]);
}

#[test]
fn a_row_tells_how_many_rounds_it_had_and_how_far_they_lie_apart() {
    let mut results = Results::default();
    for seconds in [2, 4] {
        let sample = Sample { wall: Duration::from_secs(seconds), operations: 1, bytes: GIB, ..Sample::default() };
        results.add(job("push.layer"), Kind::Hallmark, sample);
    }
    let text = render(&results);
    assert!(text.contains("| hallmark | 512 MiB/s | 2.00 s | 0.00 µs | 0.00 µs | 0 MiB | 2 | 50 % |  |"), "{text}");
}

#[test]
fn each_job_tells_below_its_rows_what_it_is_held_to() {
    let mut results = Results::default();
    for (name, seconds) in [("tag.write", 1), ("start.again", 1)] {
        let sample = Sample { wall: Duration::from_secs(seconds), operations: 1, ..Sample::default() };
        results.add(job(name), Kind::Hallmark, sample);
    }
    let verdicts: Vec<_> = BUDGETS.iter().filter(|budget| budget.job == "start.again").collect();
    let verdicts: Vec<_> = verdicts.into_iter().map(|budget| budget.judge(&results)).collect();
    let text = judged(&results, &verdicts);
    let (_, rows) = text.split_once("## Rows").unwrap();
    let of = |name: &str| rows.split("### ").find(|section| section.starts_with(name)).unwrap().to_owned();
    assert!(of("start.again").contains("Budget: ≤ 200 ms: 1000 ms, **fail**."), "{text}");
    assert!(of("tag.write").contains("Budget: none of its own."), "{text}");
}

fn render(results: &Results) -> String {
    judged(results, &[])
}

fn judged(results: &Results, verdicts: &[Verdict]) -> String {
    let options = Options::try_parse_from(["bench"]).unwrap();
    let report = Report {
        date: String::new(),
        machine: Vec::new(),
        servers: Vec::new(),
        engines: Vec::new(),
        scale: Scale::of(&options),
        results,
        verdicts,
    };
    report.render()
}

#[test]
fn an_idle_server_is_compared_by_what_it_holds() {
    let mut results = Results::default();
    for (kind, mebibytes, wall) in [(Kind::Hallmark, 20, 9), (Kind::Hallmark, 25, 1), (Kind::Distribution, 50, 1)] {
        let wall = Duration::from_secs(wall);
        results.add(job("idle"), kind, Sample { wall, operations: 1, memory: mebibytes << 20, ..Sample::default() });
    }
    let text = render(&results);
    assert!(text.contains("| hallmark | – | – | – | – | 25 MiB | 2 | 20 % |  |"), "{text}");
    assert!(text.contains("| distribution | – | – | – | – | 50 MiB | 1 | 0 % | 2.00 × as small |"), "{text}");
}

fn refusal(words: &str) -> Option<String> {
    Options::try_parse_from(["bench"].into_iter().chain(words.split_whitespace())).unwrap().refusal()
}

#[test]
fn a_whole_run_may_be_written() {
    assert_eq!(refusal("--out x --rounds 5"), None);
    assert_eq!(refusal("--out x --peers nginx,zot,distribution,hallmark"), None);
}

#[test]
fn a_run_with_less_is_never_written() {
    for (less, named) in [
        ("--only push", "--only"),
        ("--quick", "--quick"),
        ("--renewals 100000", "--renewals"),
        ("--peers hallmark,zot,nginx", "--peers without distribution"),
        ("--peers hallmark,distribution,nginx", "--peers without zot"),
        ("--peers hallmark", "--peers without distribution"),
    ] {
        assert_eq!(refusal(less), None, "{less}");
        let refusal = refusal(&format!("--out x {less}")).unwrap();
        assert!(refusal.contains(named), "{refusal}");
    }
}

#[test]
fn a_job_that_reads_what_another_wrote_brings_it_along() {
    let options = Options::try_parse_from(["bench", "--only", "read.member"]).unwrap();
    let wanted: Vec<_> = JOBS.iter().map(|job| job.name).filter(|name| options.wants(name)).collect();
    assert_eq!(wanted, ["list.member.100000", "read.member.100000"]);
}

#[test]
fn every_budget_is_of_a_job_or_of_all() {
    let known = |name: &str| name == "all jobs" || JOBS.iter().any(|job| job.name == name);
    assert!(BUDGETS.iter().all(|budget| known(budget.job)));
}

#[test]
fn a_budget_compares_the_best_rounds() {
    let push = job("push.layer");
    let sample =
        |seconds| Sample { wall: Duration::from_secs(seconds), operations: 1, bytes: GIB, ..Sample::default() };
    let mut results = Results::default();
    for (kind, seconds) in [(Kind::Hallmark, 9), (Kind::Hallmark, 2), (Kind::Distribution, 4)] {
        results.add(push, kind, sample(seconds));
    }
    let verdict = BUDGETS.iter().find(|budget| budget.job == "push.layer").unwrap().judge(&results);
    assert_eq!((verdict.measured.as_str(), verdict.holds), ("2.00 ×", true));
}

#[test]
fn collecting_is_held_to_its_time_and_to_what_pushes_beside_it_take() {
    let of_half = BUDGETS.iter().filter(|budget| budget.job == "collect.half").collect::<Vec<_>>();
    let judged = |seconds, beside| {
        let mut results = Results::default();
        let milliseconds = Duration::from_millis;
        let pushes = Some(Pushes { alone: milliseconds(4), beside: milliseconds(beside) });
        let sample = Sample { wall: Duration::from_secs(seconds), pushes, ..Sample::default() };
        results.add(job("collect.half"), Kind::Hallmark, sample);
        of_half.iter().map(|budget| budget.judge(&results)).map(|verdict| (verdict.measured, verdict.holds)).collect()
    };
    let told: Vec<(String, bool)> = judged(600, 6);
    assert_eq!(told[0], ("600.00 s".to_owned(), true));
    assert_eq!(told[1], ("1.50 × (6.00 ms beside it, 4.00 ms alone)".to_owned(), true));
    let told: Vec<(String, bool)> = judged(601, 7);
    assert_eq!((told[0].1, told[1].1), (false, false));
}

#[test]
fn a_cost_tells_what_it_comes_to_there_and_is_judged_by_what_it_is_here() {
    let budget = BUDGETS.iter().find(|budget| budget.job == "read.manifest").unwrap();
    let spent =
        |microseconds| Sample { operations: 1, server: Duration::from_micros(microseconds), ..Sample::default() };
    let mut results = Results::default();
    results.add(job("read.manifest"), Kind::Hallmark, spent(60));
    assert_eq!(budget.judge(&results).there, None, "nothing to compare with");
    results.add(job("read.manifest"), Kind::Distribution, spent(746));
    let verdict = budget.judge(&results);
    assert_eq!((verdict.there.as_deref(), verdict.holds), (Some("30.0 µs"), false));
}
