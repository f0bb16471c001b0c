//! The program itself, for what only a process of its own can show: that it is killed, and what it is told by its environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that a test waits for a process to say something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A data folder, and what the program is told about it.
pub(crate) struct Program {
    pub(crate) folder: TempDir,
    pub(crate) environment: Vec<(String, String)>,
}

/// A registry that runs.
pub(crate) struct Serving(Child);

impl Program {
    pub(crate) fn new() -> Self {
        let environment = vec![("HALLMARK_ADMIN_PASSWORD".to_owned(), "correct horse battery".to_owned())];
        Self { folder: TempDir::new().unwrap(), environment }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        self.environment.push((name.to_owned(), value.as_ref().display().to_string()));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
        command.args(arguments).arg("--data").arg(self.data()).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a verb to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a verb that succeeds; what it prints.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a registry, and waits until it answers.
    pub(crate) fn serve(&self) -> Result<Serving, String> {
        self.start(&["serve", "--listen", "127.0.0.1:0"])
    }

    /// Starts it, and does not wait.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Serving {
        // Its log would fill a pipe that nobody reads while it runs.
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(self.path("log")).unwrap());
        Serving(command.spawn().unwrap())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Serving, String> {
        let (log, mut serving) = (self.path("log"), self.begin(arguments));
        let began = Instant::now();
        loop {
            if serving.0.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            if self.run(&["signer", "keys"]).status.success() {
                return Ok(serving);
            }
            assert!(began.elapsed() < PATIENCE, "it does not answer: {}", std::fs::read_to_string(&log).unwrap());
        }
    }
}

impl Serving {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Gone already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}
