//! `hallmark quota` and `hallmark size`: how much accounts and repositories may hold, and what they hold.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Ask;
use super::table::{Row, Table};
use super::{Remote, Session};
use crate::cli::output::{self, Failure, Format};
use crate::people::quotas::{QuotaBody, SizesView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Quota {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: QuotaVerb,
}

#[derive(Debug, Subcommand)]
enum QuotaVerb {
    /// Show how much an account (acme) or a repository (acme/web) may hold
    Show {
        /// Whose
        of: String,
    },
    /// Set how much an account or a repository may hold; a limit that is not given is taken away
    Set {
        /// Whose
        of: String,
        /// More is told of, such as 800MiB or 20GB
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        soft: Option<u64>,
        /// More is refused, such as 1GiB
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        hard: Option<u64>,
    },
    /// Take the limits of an account or a repository away
    Remove {
        /// Whose
        of: String,
    },
}

/// Count what an account (acme) or a repository (acme/web) holds
#[derive(Args, Debug)]
pub(in crate::cli) struct Size {
    #[command(flatten)]
    remote: Remote,
    /// Whose
    of: String,
}

impl Row for QuotaBody {
    const HEAD: &'static [&'static str] = &["SOFT", "HARD"];

    fn cells(&self) -> Vec<String> {
        vec![limit(self.soft), limit(self.hard)]
    }
}

/// A line of the table of `size`.
#[derive(Serialize, Deserialize)]
struct Line {
    what: String,
    bytes: Option<u64>,
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["WHAT", "BYTES", ""];

    fn cells(&self) -> Vec<String> {
        let short = self.bytes.map(readable).unwrap_or_default();
        vec![self.what.clone(), self.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()), short]
    }
}

impl Quota {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session: Session| match verb {
            QuotaVerb::Show { of } => session.one::<QuotaBody>(Ask::get(&place(&of, "quota"))).await,
            QuotaVerb::Set { soft: None, hard: None, .. } => {
                Err(Failure::Usage("say --soft, --hard or both; `hallmark quota remove` takes both away".to_owned()))
            }
            QuotaVerb::Set { of, soft, hard } => {
                let ask = Ask::put(&place(&of, "quota"), json!({"soft": soft, "hard": hard}));
                session.made::<Value>(ask, &format!("the quota of {of} is set")).await
            }
            QuotaVerb::Remove { of } => {
                session.act(Ask::delete(&place(&of, "quota")), &format!("{of} has no quota")).await
            }
        })
    }
}

impl Size {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let of = self.of;
        self.remote.run(async |session: Session| {
            let sizes: SizesView = session.client.ask(Ask::get(&place(&of, "sizes"))).await?;
            match session.format {
                Format::Json => output::say_json(&sizes),
                Format::Text => {
                    output::print(&Table::default().page(&lines(&sizes)))?;
                    output::say(format!("as of {}", sizes.as_of))
                }
            }
        })
    }
}

fn lines(sizes: &SizesView) -> Vec<Line> {
    let lines = [
        ("logical", Some(sizes.logical)),
        ("unique", sizes.unique),
        ("shared", sizes.shared),
        ("reclaimable", Some(sizes.reclaimable)),
        ("used", Some(sizes.used)),
        ("reserved", Some(sizes.reserved)),
        ("soft limit", sizes.quota.soft),
        ("hard limit", sizes.quota.hard),
    ];
    lines.into_iter().map(|(what, bytes)| Line { what: what.to_owned(), bytes }).collect()
}

/// Whose it is: what has a slash in its name is a repository.
fn place<'a>(of: &'a str, what: &'a str) -> [&'a str; 3] {
    [if of.contains('/') { "repositories" } else { "accounts" }, of, what]
}

fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes} ({})", readable(bytes)))
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes as people write it.
fn bytes(text: &str) -> Result<u64, String> {
    let unit = UNITS.into_iter().find_map(|(name, unit)| {
        let number = text.len().checked_sub(name.len()).and_then(|end| Some((text.get(..end)?, text.get(end..)?)));
        number.filter(|(_, end)| end.eq_ignore_ascii_case(name)).map(|(number, _)| (number.trim(), unit))
    });
    let (number, unit) = unit.unwrap_or((text, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| {
        format!("{text:?} is no size: write a whole number of bytes, or one with a unit such as MiB or GB")
    })
}

/// A number of bytes in the largest unit that leaves something before the point.
fn readable(bytes: u64) -> String {
    let unit = UNITS[..4].iter().find(|(_, unit)| bytes >= *unit);
    // One digit behind the point, cut off and not rounded: nothing reads as more than it is.
    unit.map_or_else(
        || format!("{bytes} B"),
        |(name, unit)| format!("{}.{} {name}", bytes / unit, u128::from(bytes % unit) * 10 / u128::from(*unit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, meant) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1KiB", 1024),
            ("2 MiB", 2 << 20),
            ("3gb", 3_000_000_000),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(meant), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GB", "1PiB", "99999999999TiB", "ß"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_told_in_a_unit_that_fits() {
        let told = [0, 1023, 1024, 1536, (1 << 30) - 1, 5 << 40].map(readable);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1023.9 MiB", "5.0 TiB"]);
    }
}
