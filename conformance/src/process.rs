//! A program that a test started: its log is kept, and it ends with the test, by its own process id.

use std::{
    fs::File,
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Failure, Outcome,
    failure::While,
    http::{Connection, Request},
};

/// How long a program may take to answer its first request.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a program may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often a starting or stopping program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running program with its log. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`, and nothing to read.
    ///
    /// # Errors
    /// The log cannot be opened or the program cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Outcome<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::options().create(true).append(true).open(log);
        let output = output.or_fail(format!("cannot write the log {}", log.display()))?;
        command.stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().or_fail(format!("cannot start {name}"))?;
        Ok(Self { child, log: log.to_owned(), name })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything the program has printed so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `GET path` on the loopback `port` answers with any status below 500.
    ///
    /// # Errors
    /// The program ended, or did not answer in time; the failure carries its log.
    pub fn wait_until_ready(&mut self, port: u16, path: &str) -> Outcome<()> {
        let name = self.name.clone();
        self.wait_until(&format!("{name} answers GET {path}"), START_LIMIT, || answers(port, path))
    }

    /// Waits until `done` says so.
    ///
    /// # Errors
    /// The program ended first, or `limit` passed; the failure carries its log.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Outcome<()> {
        let begin = Instant::now();
        while !done() {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended with {status} before {what}")));
            }
            if begin.elapsed() > limit {
                return Err(self.failure(&format!("{limit:?} passed and it is not so that {what}")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Sends a signal by its name without `SIG`, such as `TERM`.
    ///
    /// # Errors
    /// The `kill` program is missing or the process is gone.
    pub fn signal(&self, name: &str) -> Outcome<()> {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().or_fail("cannot run kill")?;
        if status.success() {
            return Ok(());
        }
        Err(self.failure(&format!("SIG{name} could not be sent")))
    }

    /// SIGKILL, and waits for the end: nothing of the program runs when this returns.
    ///
    /// # Errors
    /// The process had ended before.
    pub fn kill(&mut self) -> Outcome<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(self.failure(&format!("had ended by itself with {status}")));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for an orderly end.
    ///
    /// # Errors
    /// The process did not end in time.
    pub fn stop(&mut self) -> Outcome<ExitStatus> {
        self.signal("TERM")?;
        self.wait(STOP_LIMIT)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// `limit` passed first; the failure carries the log.
    pub fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > limit {
                return Err(self.failure(&format!("still runs after {limit:?}")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("{} {what}; its log:\n{}", self.name, self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(port: u16, path: &str) -> bool {
    let Ok(mut connection) = Connection::open(port) else {
        return false;
    };
    connection.exchange(&Request::new("GET", path)).is_ok_and(|response| response.status < 500)
}

/// What a program that ran to its end said.
#[derive(Debug)]
pub struct Ran {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub complaints: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            status: output.status,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a program that succeeded.
    fn good(self, command: &Command) -> Outcome<String> {
        if self.status.success() {
            return Ok(self.output);
        }
        Err(Failure::new(format!("{command:?} ended with {}:\n{}{}", self.status, self.output, self.complaints)))
    }
}

/// Runs a program to its end and keeps what it printed, whatever its exit status.
///
/// # Errors
/// The program cannot be started.
pub fn attempt(command: &mut Command) -> Outcome<Ran> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    Ok(Ran::of(output.or_fail(format!("cannot start {name}"))?))
}

/// Runs a program that reads `input` and gives its standard output.
///
/// # Errors
/// As for [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Outcome<String> {
    attempt_with_input(command, input)?.good(command)
}

/// Runs a program that reads `input` to its end and keeps what it printed, whatever its exit status.
///
/// # Errors
/// The program cannot be started.
pub fn attempt_with_input(command: &mut Command, input: &str) -> Outcome<Ran> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let output = command.stdin(file).output().or_fail("cannot start the program")?;
    Ok(Ran::of(output))
}

/// A program as somebody types it whose home this is: it knows nothing else of the surroundings.
pub fn typed(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home);
    command
}

/// Runs a program to its end and gives its standard output.
///
/// # Errors
/// The program cannot be started or ends with a failure; the failure carries all that it printed.
pub fn run(command: &mut Command) -> Outcome<String> {
    attempt(command)?.good(command)
}
