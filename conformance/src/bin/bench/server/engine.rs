//! What a server keeps its facts or its bytes in when it is not SQLite and a folder: started for one server, and empty.
//! Never left running: the scripts of the storage tests start and end it, and they end it when their standard input does.
//! Start at `Engine::start`.

use std::{
    fmt, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use hallmark_conformance::{Failure, Outcome, failure::While, process::run, settings, tools};

/// The memory that all uploads share for their parts on S3, MiB: the server's default, set so that it is what the budget names.
pub(crate) const PART_MEMORY_MIB: u64 = 256;
/// The only key of the S3 server.
const KEY: &str = "bench-key";
/// Its secret.
const SECRET: &str = "bench-secret";

/// An engine that people grow into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Engine {
    /// Facts in PostgreSQL, bytes in a folder.
    Postgres,
    /// Bytes in a bucket, facts in SQLite.
    S3,
    /// As by default, in a process of its own.
    Alone,
}

impl Engine {
    /// How it is configured, in a sentence for the report.
    pub(crate) fn conditions(self) -> &'static str {
        match self {
            Self::Postgres => {
                "on the same machine, through a socket, with 64 MiB of shared buffers and otherwise as by default"
            }
            Self::S3 => {
                "an S3 server over a folder of the same disk, on loopback without TLS; it holds every byte of a large upload twice while \
                 it puts the parts together"
            }
            Self::Alone => "nothing beside it",
        }
    }

    /// The version it states.
    ///
    /// # Errors
    /// It is not installed; the failure says how to install it.
    pub(crate) fn version(self) -> Outcome<String> {
        match self {
            Self::Postgres => {
                let printed = run(Command::new(tools::locate("postgres")?).arg("--version"))?;
                Ok(printed.split_whitespace().nth(2).unwrap_or_default().to_owned())
            }
            // Built from a module, the program states none; its installation leaves the pinned one.
            Self::S3 => {
                tools::locate("versitygw")?;
                Ok(fs::read_to_string(settings::tools_folder().join("versitygw.version"))?.trim().to_owned())
            }
            Self::Alone => Ok(String::new()),
        }
    }

    /// Starts it, empty, with what it stores below `folder`.
    ///
    /// # Errors
    /// It does not start; what it says of that stands on standard error.
    pub(super) fn start(self, folder: &Path) -> Outcome<Running> {
        let mut command = match self {
            Self::Postgres => Command::new(script("postgres.sh")),
            Self::S3 => Command::new(script("versitygw.sh")),
            Self::Alone => return Ok(Running { child: None, variables: Vec::new() }),
        };
        if self == Self::S3 {
            command.args([KEY, SECRET]);
        }
        let child = command.env("TMPDIR", folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.or_fail(format!("cannot start {self}"))?;
        let output = child.stdout.take().or_fail("the output was piped")?;
        let mut running = Running { child: Some(child), variables: Vec::new() };
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if address.trim().is_empty() {
            return Err(Failure::new(format!("{self} does not start")));
        }
        running.variables = self.variables(address.trim());
        Ok(running)
    }

    fn variables(self, address: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Postgres => vec![("HALLMARK_DATABASE_URL", address.to_owned())],
            Self::S3 => vec![
                // The script makes a bucket of this name.
                ("HALLMARK_STORAGE_URL", "s3://images/bench".to_owned()),
                ("HALLMARK_STORAGE_S3_ENDPOINT", address.to_owned()),
                ("HALLMARK_STORAGE_S3_REGION", "us-east-1".to_owned()),
                ("HALLMARK_STORAGE_S3_PATH_STYLE", "true".to_owned()),
                ("HALLMARK_STORAGE_S3_ALLOW_HTTP", "true".to_owned()),
                ("HALLMARK_STORAGE_S3_ACCESS_KEY_ID", KEY.to_owned()),
                ("HALLMARK_STORAGE_S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
                ("HALLMARK_STORAGE_S3_PART_MEMORY", format!("{PART_MEMORY_MIB}MiB")),
            ],
            Self::Alone => Vec::new(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Postgres => "PostgreSQL",
            Self::S3 => "versitygw",
            Self::Alone => "Hallmark alone",
        })
    }
}

/// A running engine. Dropping it ends it and removes what it stored.
#[derive(Debug)]
pub(super) struct Running {
    child: Option<Child>,
    /// What tells a server to use it.
    pub(super) variables: Vec<(&'static str, String)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        drop(child.stdin.take());
        // It fails only for a child that somebody has waited for, and nobody else has it.
        let _ = child.wait();
    }
}

/// A script of the storage tests, in the tree that this program was built from.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage-adapters/tests").join(name)
}
