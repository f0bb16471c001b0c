//! `hallmark explain` and `hallmark access`: what somebody may do in a repository, and why.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::client::Ask;
use super::table::{Row, Table, harmless, yes};
use super::{Remote, Session};
use crate::cli::output::{self, Failure, Format};
use crate::people::explain::Explanation;

/// What can be done in a repository, as the registry names it.
const ACTIONS: [&str; 5] = ["pull", "push", "delete", "sign", "admin"];
/// Who is meant by everybody, with no name at all.
const ANYBODY: &str = "anybody";

/// Say why somebody may, or may not, do something in a repository.
#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    remote: Remote,
    /// ann, user:ann, acme+ci, robot:acme+ci, or anybody
    subject: String,
    /// What they would do
    #[arg(value_parser = ACTIONS)]
    action: String,
    /// The repository, whether it is there or not
    repository: String,
}

/// Show what somebody may do in a repository, action by action.
#[derive(Args, Debug)]
pub(in crate::cli) struct Access {
    #[command(flatten)]
    remote: Remote,
    /// ann, user:ann, acme+ci, robot:acme+ci, or anybody
    subject: String,
    /// The repository, whether it is there or not
    repository: String,
}

/// A line of the table of `access`.
#[derive(Serialize, Deserialize)]
struct Line {
    action: String,
    allowed: bool,
    /// Each reason, or what is missing.
    because: Vec<String>,
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["ACTION", "ALLOWED", "BECAUSE"];

    fn cells(&self) -> Vec<String> {
        vec![self.action.clone(), yes(self.allowed), self.because.join("; ")]
    }
}

/// The question, for a subject as people write it.
fn question(subject: &str, action: &str, repository: &str) -> Ask {
    let subject = match subject {
        ANYBODY => None,
        written if written.contains(':') => Some(written.to_owned()),
        robot if robot.contains('+') => Some(format!("robot:{robot}")),
        user => Some(format!("user:{user}")),
    };
    let ask = Ask::get(&["explain"]).with("subject", subject);
    ask.with("action", Some(action)).with("repository", Some(repository))
}

impl Explain {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Self { remote, subject, action, repository } = self;
        remote.run(async |session| {
            let told: Explanation = session.client.ask(question(&subject, &action, &repository)).await?;
            match session.format {
                Format::Json => output::say_json(&told),
                Format::Text => output::print(&in_words((&subject, &action, &repository), &told)),
            }
        })
    }
}

fn in_words((subject, action, repository): (&str, &str, &str), told: &Explanation) -> String {
    let may = if told.allowed { "may" } else { "may not" };
    let mut text = format!("{subject} {may} {action} in {repository}\n");
    if let Some(missing) = &told.missing {
        text.push_str(&format!("  {}\n", harmless(missing)));
    }
    for reason in &told.reasons {
        text.push_str(&format!("  {}: {}\n", harmless(&reason.rights), harmless(&reason.because)));
    }
    text
}

impl Access {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Self { remote, subject, repository } = self;
        remote.run(async |session| {
            let mut lines = Vec::with_capacity(ACTIONS.len());
            for action in ACTIONS {
                lines.push(line(&session, (&subject, action, &repository)).await?);
            }
            session.show_rows(&mut Table::default(), &lines)
        })
    }
}

async fn line(session: &Session, (subject, action, repository): (&str, &str, &str)) -> Result<Line, Failure> {
    let told: Explanation = session.client.ask(question(subject, action, repository)).await?;
    let because = match told.missing {
        Some(missing) => vec![missing],
        None => told.reasons.into_iter().map(|reason| format!("{} ({})", reason.because, reason.rights)).collect(),
    };
    Ok(Line { action: action.to_owned(), allowed: told.allowed, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::explain::ReasonView;

    #[test]
    fn a_subject_is_what_people_write() {
        let subject = |text: &str| question(text, "pull", "acme/web").query.remove(0);
        assert_eq!(subject("ann"), ("subject", "user:ann".to_owned()));
        assert_eq!(subject("acme+ci"), ("subject", "robot:acme+ci".to_owned()));
        assert_eq!(subject("user:anybody"), ("subject", "user:anybody".to_owned()));
        assert_eq!(subject("anybody"), ("action", "pull".to_owned()));
    }

    #[test]
    fn an_explanation_reads_as_a_sentence_and_its_reasons() {
        let reason = ReasonView { because: "the repository is public".to_owned(), rights: "read".to_owned() };
        let told = Explanation {
            allowed: false,
            exists: true,
            rights: "read".to_owned(),
            reasons: vec![reason],
            missing: Some("nothing gives ann the right write".to_owned()),
        };
        assert_eq!(
            in_words(("ann", "push", "acme/web"), &told),
            "ann may not push in acme/web\n  nothing gives ann the right write\n  read: the repository is public\n"
        );
    }
}
