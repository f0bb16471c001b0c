//! The specification's own conformance suites against a Hallmark with authentication on.
//! Judges nothing itself: the suites do; here only what they may skip is decided, by name.
//! Start at the tests, `hold_first_suite` and `judge`.

use std::{path::Path, process::Command};

use hallmark_conformance::{
    Failure, Outcome, check::holds, failure::While, process::attempt, server, server::Server, tools,
};

/// The two repositories that the suites push to.
const REPOSITORIES: [&str; 2] = ["admin/conf-one", "admin/conf-two"];

/// The specs of the first suite that exclude each other with others, so that no run can execute them all: a tag name
/// and tags that come from the environment instead of being pushed, the answer 202 where 201 was given, and mounting
/// without a source being refused where it is done.
const EXCLUDED: [&str; 4] = [
    "Get tag name from environment",
    "Populate registry with test tags (no push)",
    "Cross-mounting of nonexistent blob should yield session id",
    "Cross-mounting without from, and automatic content discovery disabled should return a 202",
];

/// How many cases each suite of the first kind reports, and how many that of the main branch: one that reports fewer was cut short, and
/// one that reports more is another one.
const FIRST_CASES: usize = 80;
const MAIN_CASES: usize = 793;

/// One test case of a report.
#[derive(Debug)]
struct Case {
    name: String,
    status: String,
}

/// The cases of a JUnit report, which both suites write: a name and a status each.
fn cases(report: &str) -> Vec<Case> {
    report
        .split("<testcase ")
        .skip(1)
        .map(|case| {
            let tag = &case[..case.find('>').unwrap_or(case.len())];
            Case { name: attribute(tag, "name"), status: attribute(tag, "status") }
        })
        .collect()
}

fn attribute(tag: &str, name: &str) -> String {
    let begin = format!("{name}=\"");
    let value = tag.find(&begin).map(|at| &tag[at + begin.len()..]);
    let value = value.and_then(|value| value.split('"').next()).unwrap_or_default();
    value.replace("&#34;", "\"").replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
}

/// Holds that nothing failed and that exactly the skipped cases are skipped that `may_skip` names, all of `must_skip`.
fn judge(cases: &[Case], may_skip: impl Fn(&str) -> bool, must_skip: &[&str], said: &str) -> Outcome<()> {
    holds(!cases.is_empty(), || format!("the suite ran no case:\n{said}"))?;
    let wrong: Vec<&Case> = cases
        .iter()
        .filter(|case| case.status != "passed" && !(case.status == "skipped" && may_skip(&case.name)))
        .collect();
    holds(wrong.is_empty(), || format!("{} of {} cases: {wrong:#?}\n{said}", wrong.len(), cases.len()))?;
    let skipped = |name: &&&str| {
        let found = cases.iter().find(|case| case.name.ends_with(**name));
        found.is_none_or(|case| case.status != "skipped")
    };
    let not_skipped: Vec<&&str> = must_skip.iter().filter(skipped).collect();
    holds(not_skipped.is_empty(), || format!("these specs exclude others and were not skipped: {not_skipped:?}"))
}

/// Runs a suite of the first kind and gives its cases with what it printed.
fn run_first_suite(program: &str, server: &Server) -> Outcome<(Vec<Case>, String)> {
    let folder = server.scratch().join("suite");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(tools::locate(program)?);
    command
        .current_dir(&folder)
        .env("OCI_ROOT_URL", format!("http://{}", server.host()))
        .env("OCI_NAMESPACE", REPOSITORIES[0])
        .env("OCI_CROSSMOUNT_NAMESPACE", REPOSITORIES[1])
        .env("OCI_USERNAME", server::ADMIN)
        .env("OCI_PASSWORD", server::PASSWORD)
        .env("OCI_AUTOMATIC_CROSSMOUNT", "1")
        .env("OCI_HIDE_SKIPPED_WORKFLOWS", "0")
        .env("OCI_DEBUG", "0")
        .env("OCI_REPORT_DIR", &folder);
    for workflow in ["PULL", "PUSH", "CONTENT_DISCOVERY", "CONTENT_MANAGEMENT"] {
        command.env(format!("OCI_TEST_{workflow}"), "1");
    }
    report_of(&mut command, &folder)
}

/// Runs the suite of the main branch and gives its cases with what it printed.
fn run_main_suite(server: &Server) -> Outcome<(Vec<Case>, String)> {
    let folder = server.scratch().join("suite");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(tools::locate("conformance-main")?);
    command
        .current_dir(&folder)
        .env("OCI_REGISTRY", server.host())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", REPOSITORIES[0])
        .env("OCI_REPO2", REPOSITORIES[1])
        .env("OCI_USERNAME", server::ADMIN)
        .env("OCI_PASSWORD", server::PASSWORD)
        .env("OCI_VERSION", "dev")
        .env("OCI_RESULTS_DIR", &folder);
    report_of(&mut command, &folder)
}

fn report_of(command: &mut Command, folder: &Path) -> Outcome<(Vec<Case>, String)> {
    let ran = attempt(command)?;
    let said = format!("{}{}", ran.output, ran.complaints);
    let report = folder.join("junit.xml");
    let report = std::fs::read_to_string(&report).or_fail(format!("the suite wrote no report:\n{said}"))?;
    let cases = cases(&report);
    // The exit status and the report must agree, or one of them is read wrongly here.
    let failed = cases.iter().any(|case| case.status != "passed" && case.status != "skipped");
    if ran.status.success() == failed {
        return Err(Failure::new(format!("the suite ended with {} and reports otherwise:\n{said}", ran.status)));
    }
    print_counts(&cases);
    Ok((cases, said))
}

#[expect(clippy::print_stdout, reason = "a run's record quotes what the suites counted and skipped")]
fn print_counts(cases: &[Case]) {
    let count = |status: &str| cases.iter().filter(|case| case.status == status).count();
    println!("cases: {}, passed: {}, skipped: {}", cases.len(), count("passed"), count("skipped"));
    for case in cases.iter().filter(|case| case.status != "passed") {
        println!("  {}: {}", case.status, case.name);
    }
}

fn hold_first_suite(program: &str) -> Outcome<()> {
    let server = Server::fresh()?;
    let (cases, said) = run_first_suite(program, &server)?;
    holds(cases.len() == FIRST_CASES, || format!("{} cases of {FIRST_CASES} were run:\n{said}", cases.len()))?;
    let excluded = |name: &str| EXCLUDED.iter().any(|excluded| name.ends_with(excluded));
    judge(&cases, excluded, &EXCLUDED, &said)
}

#[test]
fn the_suite_of_v1_1_1_passes_but_for_the_four_specs_that_exclude_others() -> Outcome<()> {
    hold_first_suite("conformance-v1.1.1")
}

#[test]
fn the_suite_of_november_2023_passes_but_for_the_four_specs_that_exclude_others() -> Outcome<()> {
    hold_first_suite("conformance-2023-11")
}

#[test]
fn the_suite_of_main_passes_with_version_dev_and_skips_nothing_but_sparse_images() -> Outcome<()> {
    let server = Server::fresh()?;
    let (cases, said) = run_main_suite(&server)?;
    holds(cases.len() == MAIN_CASES, || format!("{} cases of {MAIN_CASES} were run:\n{said}", cases.len()))?;
    judge(&cases, |name| name.to_lowercase().contains("sparse"), &[], &said)
}

mod reading {
    use super::*;

    const REPORT: &str = r#"<testsuites><testsuite><testcase name="[It] a &#34;b&#34;" classname="c" status="passed" time="1">
        </testcase><testcase name="Sparse/x" status="skipped"><skipped/></testcase></testsuite></testsuites>"#;

    #[test]
    fn a_report_gives_each_case_with_its_status() {
        let cases = cases(REPORT);
        assert_eq!(cases[0].name, "[It] a \"b\"");
        assert_eq!(cases[1].status, "skipped");
    }

    #[test]
    fn a_skip_that_is_not_named_fails_the_judgement() {
        let cases = cases(REPORT);
        assert!(judge(&cases, |_| false, &[], "").is_err());
        assert!(judge(&cases, |name| name.contains("Sparse"), &[], "").is_ok());
    }

    #[test]
    fn a_spec_that_had_to_be_skipped_and_was_not_fails_the_judgement() {
        let cases = cases(REPORT);
        assert!(judge(&cases, |_| true, &["a \"b\""], "").is_err());
    }
}
