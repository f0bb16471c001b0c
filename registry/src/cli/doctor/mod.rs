//! Lives here: `hallmark doctor`: looks at everything that a start rests on and says what to do.
//! Never here: a change to what it looks at; the probe in the store is taken away again.
//! Start reading at [`Doctor::run`].

mod address;
mod certificate;
mod folder;
mod stores;

#[cfg(test)]
mod tests;

use clap::Args;
use serde::Serialize;

use super::output::{self, Failure, Format};
use super::settings::Settings;
use crate::clock::Clock;
use crate::config::{self, Config, ConfigInvalid, Loaded, Purpose};
use crate::control::{self, Answer, CallError, Command, StatusReport};

#[derive(Args, Debug)]
pub(super) struct Doctor {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// It works, and may not for long, or not for everybody.
    Warn,
    /// The registry does not start or does not serve.
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, message: message.into(), advice: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, message: message.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, message: message.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let findings = match config::load(&self.settings.sources(), Purpose::Serve) {
            Ok(loaded) => super::block_on(examine(&loaded, &Clock::System))?,
            Err(invalid) => refused(&invalid),
        };
        for finding in &findings {
            match self.output {
                Format::Json => output::say_json(finding)?,
                Format::Text => output::print(&as_text(finding))?,
            }
        }
        let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
        if failed { Err(Failure::Shown) } else { Ok(()) }
    }
}

fn refused(invalid: &ConfigInvalid) -> Vec<Finding> {
    let finding = |problem: &config::Problem| {
        Finding::fail("configuration", format!("{}: {}", problem.place, problem.message), "correct it there")
    };
    invalid.problems.iter().map(finding).collect()
}

fn as_text(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let advice = finding.advice.as_ref().map(|advice| format!("{:>21}{advice}\n", "→ ")).unwrap_or_default();
    format!("{verdict:<5}{:<14}{}\n{advice}", finding.check, finding.message)
}

/// Looks at everything, in the order in which a start needs it.
async fn examine(loaded: &Loaded, clock: &Clock) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![match &loaded.file {
        Some(file) => Finding::ok("configuration", format!("accepted, with {}", file.display())),
        None => Finding::ok("configuration", "accepted, without a file"),
    }];
    if let Some(caution) = config.caution() {
        findings.push(Finding::warn("configuration", caution, "run one server only, or set storage.url to s3://…"));
    }
    let now = clock.now();
    findings.extend(folder::data(&config.data));
    findings.extend(folder::secrets(config, loaded.file.as_deref()));
    findings.extend(folder::space(config));
    findings.extend(folder::clock(&config.data, now));
    findings.extend(config.tls.as_ref().map(|files| certificate::check(files, now)));
    match running(config).await {
        Ok(Some(report)) => {
            findings.extend(stores::reported(&report));
            findings.extend(address::answers(config, &report).await);
        }
        Ok(None) => {
            findings.extend(stores::opened(config, now).await);
            findings.push(address::is_free(config).await);
        }
        Err(finding) => findings.push(finding),
    }
    findings.extend(address::public(config));
    findings
}

/// How the running server is; none if none runs.
async fn running(config: &Config) -> Result<Option<StatusReport>, Finding> {
    match control::call(&config.data, &Command::Status).await {
        Ok(Answer::Status(report)) => Ok(Some(report)),
        Err(CallError::NoServer { .. }) => Ok(None),
        Ok(_) => Err(Finding::fail("server", super::ask::not_understood().to_string(), "run the hallmark that serves")),
        Err(error) => Err(Finding::fail("server", error.to_string(), "look into the log of the server")),
    }
}
