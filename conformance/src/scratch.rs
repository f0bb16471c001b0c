//! A PostgreSQL or S3 server of a test's own, started by the scripts of the storage suites, that can be stopped in the middle
//! of its work and go on.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{Failure, Outcome, failure::While, process::run};

/// The key of every scratch S3 server.
pub const ACCESS_KEY_ID: &str = "test-key";
/// The bucket that a scratch S3 server has.
pub const BUCKET: &str = "images";

/// A running server. It stops and its folder goes when the value does: its script waits for the end of its input.
#[derive(Debug)]
pub struct Scratch {
    script: Child,
    input: Option<ChildStdin>,
    url: String,
}

impl Scratch {
    /// A PostgreSQL server with a database of its own.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub fn postgres() -> Outcome<Self> {
        Self::start("postgres.sh", &[])
    }

    /// An S3 server with an empty bucket and this secret.
    ///
    /// # Errors
    /// versitygw is not installed or does not start.
    pub fn s3(secret: &str) -> Outcome<Self> {
        Self::start("versitygw.sh", &[ACCESS_KEY_ID, secret])
    }

    fn start(script: &str, words: &[&str]) -> Outcome<Self> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../storage-adapters/tests")).join(script);
        let mut command = Command::new(&path);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().or_fail(format!("cannot start {}", path.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut line = String::new();
        BufReader::new(output.or_fail("the script has no output")?).read_line(&mut line)?;
        let scratch = Self { script: child, input, url: line.trim().to_owned() };
        if scratch.url.is_empty() {
            return Err(Failure::new(format!("{script} started nothing; what is missing stands above")));
        }
        Ok(scratch)
    }

    /// Where the server is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and all its processes where they are: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// A process cannot be stopped.
    pub fn freeze(&self) -> Outcome<()> {
        self.signal_all("STOP")
    }

    /// Lets the server go on.
    ///
    /// # Errors
    /// A process cannot be woken.
    pub fn thaw(&self) -> Outcome<()> {
        self.signal_all("CONT")
    }

    /// Sends a signal to everything below the script: the script itself has to see its input end.
    fn signal_all(&self, signal: &str) -> Outcome<()> {
        let mut open = children(self.script.id());
        while let Some(id) = open.pop() {
            open.extend(children(id));
            // One that has just ended needs no signal: PostgreSQL ends a backend with its connection.
            if let Err(failure) = run(Command::new("kill").args(["-s", signal, &id.to_string()]))
                && Path::new("/proc").join(id.to_string()).exists()
            {
                return Err(failure);
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is frozen cannot be told to end; if nothing is, this does nothing.
        let _ = self.thaw();
        drop(self.input.take());
        let _ = self.script.wait();
    }
}

/// The processes that a process has started and that still run.
fn children(id: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
