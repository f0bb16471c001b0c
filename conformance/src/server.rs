//! A Hallmark server on a free loopback port with a data folder of its own: started, stopped, killed, started again.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::atomic::{AtomicU16, Ordering},
};

use tempfile::TempDir;

use crate::{
    Failure, Outcome, backends,
    failure::While,
    http::Client,
    process::{Process, Ran, attempt_with_input},
    registry::Registry,
    settings, tools,
};

/// The name of the account that the first start makes.
pub const ADMIN: &str = "admin";
/// The password that the harness gives to [`ADMIN`].
pub const PASSWORD: &str = "correct horse battery staple";

/// The ports that servers under test listen on. They lie below those that the kernel gives to outgoing connections, so a
/// client that keeps trying while its server is down can never connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    binary: Option<PathBuf>,
    data: Option<PathBuf>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    wrapper: Vec<String>,
    port: Option<u16>,
    own_password: bool,
}

impl Plan {
    /// Keeps the data in `folder` instead of in a temporary one.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Runs this binary instead of the one that [`settings::binary`] names.
    #[must_use]
    pub fn binary(mut self, binary: &Path) -> Self {
        self.binary = Some(binary.to_owned());
        self
    }

    /// Adds a flag or argument after `serve --data … --listen …`.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Sets an environment variable for the server.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Sets variables that lose against those set before.
    fn with_variables(mut self, variables: Vec<(String, String)>) -> Self {
        self.variables.splice(0..0, variables);
        self
    }

    /// Puts words in front of the command, such as `strace -f -o FILE`. Signals then go to the wrapper.
    #[must_use]
    pub fn wrapper(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.wrapper = words.into_iter().map(Into::into).collect();
        self
    }

    /// Leaves the administrator's password to the first start.
    #[must_use]
    pub fn own_password(mut self) -> Self {
        self.own_password = true;
        self
    }

    /// Listens on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts the server and waits until `/readyz` answers.
    ///
    /// # Errors
    /// The binary is missing, or does not become ready; the failure carries its log.
    pub fn start(self) -> Outcome<Server> {
        let mut server = self.prepare()?;
        server.start()?;
        Ok(server)
    }

    /// Everything but the start: for tests of what a server says when it does not come up.
    ///
    /// # Errors
    /// No folder could be made or no port is free.
    pub fn prepare(self) -> Outcome<Server> {
        let home = tempfile::Builder::new().prefix("hallmark-test-").tempdir()?;
        let data = self.data.clone().unwrap_or_else(|| home.path().join("data"));
        let port = self.port.map_or_else(free_port, Ok)?;
        let backends = backends::fresh()?;
        Ok(Server { plan: self.with_variables(backends), data, port, process: None, home })
    }
}

/// A Hallmark server under test. Dropping it kills the process and removes its temporary folder.
#[derive(Debug)]
pub struct Server {
    plan: Plan,
    data: PathBuf,
    port: u16,
    process: Option<Process>,
    home: TempDir,
}

impl Server {
    /// A server with a fresh temporary data folder and nothing else configured, ready to answer.
    ///
    /// # Errors
    /// As for [`Plan::start`].
    pub fn fresh() -> Outcome<Self> {
        Plan::default().start()
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `localhost:<port>`, the registry's name as clients spell it (some refuse an address).
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The data folder; it stays over restarts.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder for a test's own files, removed with the server.
    pub fn scratch(&self) -> &Path {
        self.home.path()
    }

    /// The process id of the running server (of the wrapper, if there is one).
    ///
    /// # Errors
    /// The server does not run.
    pub fn id(&self) -> Outcome<u32> {
        self.process.as_ref().map(Process::id).or_fail("the server does not run")
    }

    /// All that the server has printed, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A client that logs in as [`ADMIN`].
    pub fn admin(&self) -> Client {
        Client::new(self.port, ADMIN, PASSWORD)
    }

    /// A client that logs in as somebody else.
    pub fn client(&self, user: &str, password: &str) -> Client {
        Client::new(self.port, user, password)
    }

    /// A client without a name.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(self.port)
    }

    /// The registry's verbs, as [`ADMIN`].
    pub fn registry(&self) -> Registry {
        Registry::new(self.admin())
    }

    /// Runs another verb of the same binary on the same data folder, such as `user list`, and gives its output.
    ///
    /// # Errors
    /// The verb fails; the failure carries what it printed.
    pub fn verb(&self, words: &[&str]) -> Outcome<String> {
        let mut command = self.command(&binary_of(&self.plan)?);
        command.args(words).arg("--data").arg(&self.data);
        crate::process::run(&mut command)
    }

    /// Runs another verb that reads `input`, and keeps what it said, whatever its exit status.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn attempt(&self, words: &[&str], input: &str) -> Outcome<Ran> {
        let mut command = self.command(&binary_of(&self.plan)?);
        attempt_with_input(command.args(words).arg("--data").arg(&self.data), input)
    }

    /// Adds a user through the command line, as an operator would.
    ///
    /// # Errors
    /// The verb fails.
    pub fn add_user(&self, name: &str, password: &str) -> Outcome<()> {
        let mut command = self.command(&binary_of(&self.plan)?);
        command.args(["user", "add", name, "--password-stdin", "--data"]).arg(&self.data);
        crate::process::run_with_input(&mut command, password)?;
        Ok(())
    }

    /// Sets a variable for the starts and verbs from here on, or takes it away.
    pub fn vary(&mut self, name: &str, value: Option<&str>) {
        self.plan.variables.retain(|(known, _)| known != name);
        self.plan.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// It runs already, or does not become ready.
    pub fn start(&mut self) -> Outcome<()> {
        let mut process = self.spawn()?;
        process.wait_until_ready(self.port, "/readyz")?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts the process and does not wait for it.
    ///
    /// # Errors
    /// It runs already, or cannot be started.
    pub fn spawn(&mut self) -> Outcome<Process> {
        if self.process.is_some() {
            return Err(Failure::new("the server runs already"));
        }
        let mut words = self.plan.wrapper.iter().map(PathBuf::from).collect::<Vec<_>>();
        words.push(binary_of(&self.plan)?);
        let mut command = self.command(&words.remove(0));
        command.args(words).arg("serve").arg("--data").arg(&self.data);
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.args(&self.plan.flags);
        if !self.plan.own_password {
            command.env("HALLMARK_ADMIN_PASSWORD", PASSWORD);
        }
        Process::start(command, &self.log_file())
    }

    /// SIGKILL: no flush, no farewell. The data folder stays.
    ///
    /// # Errors
    /// The server does not run or had ended by itself.
    pub fn kill(&mut self) -> Outcome<()> {
        let mut process = self.process.take().or_fail("the server does not run")?;
        process.kill()
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// The server does not run or does not end.
    pub fn stop(&mut self) -> Outcome<ExitStatus> {
        let mut process = self.process.take().or_fail("the server does not run")?;
        process.stop()
    }

    /// Kills the server and starts it on the same data and port.
    ///
    /// # Errors
    /// As for [`Server::kill`] and [`Server::start`].
    pub fn kill_and_start(&mut self) -> Outcome<()> {
        self.kill()?;
        self.start()
    }

    /// Stops the server in order and starts it on the same data and port.
    ///
    /// # Errors
    /// As for [`Server::stop`] and [`Server::start`].
    pub fn restart(&mut self) -> Outcome<()> {
        self.stop()?;
        self.start()
    }

    /// Memory that the server holds now, in bytes (`VmRSS`), and at most so far (`VmHWM`).
    ///
    /// # Errors
    /// The server does not run.
    pub fn memory(&self) -> Outcome<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kibibytes.map_or(0, |kibibytes| kibibytes * 1024)
        };
        Ok((line("VmRSS:"), line("VmHWM:")))
    }

    /// How much of that is the program's own file in memory now, in bytes (`RssFile`): three times as much of a debug build.
    ///
    /// # Errors
    /// The server does not run.
    pub fn program_memory(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kibibytes.map_or(0, |kibibytes| kibibytes * 1024))
    }

    /// A program that gets the plan's variables, and none of the surroundings' that a server would read.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for name in settings::server_like_variables() {
            command.env_remove(name);
        }
        command.envs(self.plan.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("server.log")
    }
}

fn binary_of(plan: &Plan) -> Outcome<PathBuf> {
    plan.binary.clone().map_or_else(tools::hallmark, Ok)
}

/// A port on 127.0.0.1 on which nothing listens, outside the range of outgoing connections, and which this process has not given away before.
///
/// # Errors
/// No port is free.
pub fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    // Test binaries that run beside each other begin at different places.
    let begin = u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 12;
    for _ in 0..width {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % width;
        let port = PORTS.start + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new(format!("no port of {PORTS:?} is free on 127.0.0.1")))
}
