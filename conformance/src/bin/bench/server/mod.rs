//! The servers that are compared, each as a process on loopback with a data folder of its own.
//! Never measures; a job does that. How each one is configured, and what that means for fairness, stands in its own file.
//! Start at `Server::start`.

pub(crate) mod distribution;
pub(crate) mod engine;
pub(crate) mod hallmark;
pub(crate) mod nginx;
mod null;
pub(crate) mod zot;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Failure, Outcome,
    failure::While,
    process::Process,
    server::{ADMIN, free_port},
};
use tempfile::TempDir;

use self::engine::{Engine, Running};
use crate::{
    token::{Access, Algorithm, Issuer},
    watch::Watch,
    wire::{Connection, Request},
};

/// How long a server may take to answer its first request.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting server is asked: the error of a start's measure.
const ASK_EVERY: Duration = Duration::from_micros(500);

/// Every server the benchmark knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The registry this is all about.
    Hallmark,
    /// The reference registry, v3.
    Distribution,
    /// A registry on the OCI image layout.
    Zot,
    /// A web server that sends a file: the limit of a pull.
    Nginx,
    /// This program answering without doing anything: the limit of the load client.
    Null,
}

impl Kind {
    /// Whether it is what this is all about.
    pub(crate) fn is_hallmark(self) -> bool {
        self == Self::Hallmark
    }

    /// Whether it takes pushes and knows tags.
    pub(crate) fn is_registry(self) -> bool {
        self != Self::Nginx
    }

    /// Whether it gives its catalog in pages.
    pub(crate) fn pages_catalog(self) -> bool {
        matches!(self, Self::Hallmark | Self::Distribution | Self::Null)
    }

    /// Whether it is a registry that keeps what it is given.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::Hallmark | Self::Distribution | Self::Zot)
    }

    /// How it was configured, in a sentence for the report.
    pub(crate) fn conditions(self) -> &'static str {
        match self {
            Self::Hallmark => hallmark::CONDITIONS,
            Self::Distribution => distribution::CONDITIONS,
            Self::Zot => zot::CONDITIONS,
            Self::Nginx => nginx::CONDITIONS,
            Self::Null => null::CONDITIONS,
        }
    }

    /// The version it states.
    ///
    /// # Errors
    /// It is not installed; the failure says how to install it.
    pub(crate) fn version(self, setup: &Setup) -> Outcome<String> {
        match self {
            Self::Hallmark => hallmark::version(setup),
            Self::Distribution => distribution::version(),
            Self::Zot => zot::version(),
            Self::Nginx => nginx::version(),
            Self::Null => Ok(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Hallmark => "hallmark",
            Self::Distribution => "distribution",
            Self::Zot => "zot",
            Self::Nginx => "nginx",
            Self::Null => "null",
        })
    }
}

/// What every start needs.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Hallmark's binary.
    pub(crate) hallmark: PathBuf,
    /// Where the data folders are made: one disk for all servers.
    pub(crate) folder: PathBuf,
    /// Who signs the peers' tokens.
    pub(crate) issuer: Issuer,
}

impl Setup {
    /// The `Authorization` header with a token of the benchmark's own issuer.
    fn bearer(&self, algorithm: Algorithm, access: &[Access<'_>]) -> Outcome<String> {
        let token = self.issuer.token(algorithm, access, jiff::Timestamp::now().as_second())?;
        Ok(format!("Bearer {token}"))
    }
}

/// A running server. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub(crate) struct Server {
    /// Which one it is.
    pub(crate) kind: Kind,
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    /// From the start of the program to its first answer.
    pub(crate) first_answer: Duration,
    process: Process,
    engine: Option<Running>,
    folder: TempDir,
}

impl Server {
    /// Starts a server on an empty folder and waits for its first answer.
    ///
    /// # Errors
    /// It is not installed or does not answer; the failure carries its log.
    pub(crate) fn start(kind: Kind, setup: &Setup) -> Outcome<Self> {
        Self::start_with(kind, None, setup)
    }

    /// Starts Hallmark on an engine of its own, both empty.
    ///
    /// # Errors
    /// As for [`Server::start`], of either.
    pub(crate) fn start_on(engine: Engine, setup: &Setup) -> Outcome<Self> {
        Self::start_with(Kind::Hallmark, Some(engine.start(&setup.folder)?), setup)
    }

    fn start_with(kind: Kind, engine: Option<Running>, setup: &Setup) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("hallmark-bench-").tempdir_in(&setup.folder)?;
        let (process, port, first_answer) = launch(kind, engine.as_ref(), setup, folder.path())?;
        Ok(Self { kind, port, first_answer, process, engine, folder })
    }

    /// Stops the server, does `work` on its data, and starts it again on what is there then.
    ///
    /// # Errors
    /// That of `work`, or as for [`Server::start`].
    pub(crate) fn while_stopped(&mut self, setup: &Setup, work: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
        self.process.stop()?;
        work(&self.data())?;
        (self.process, self.port, self.first_answer) =
            launch(self.kind, self.engine.as_ref(), setup, self.folder.path())?;
        Ok(())
    }

    /// Stops the server and removes what it has stored.
    ///
    /// # Errors
    /// It does not end, or its data cannot be removed.
    pub(crate) fn remove(mut self) -> Outcome<()> {
        self.process.stop()?;
        drop(self.engine);
        self.folder.close().or_fail("cannot remove a server's data")
    }

    /// What the server costs.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.process.id())
    }

    /// The folder it keeps its data in.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A connection to it.
    ///
    /// # Errors
    /// It does not listen any more.
    pub(crate) fn connect(&self) -> Outcome<Connection> {
        Connection::open(self.port)
    }

    /// The `Authorization` header for all of `access`, where the server asks for one.
    ///
    /// # Errors
    /// The token service refuses.
    pub(crate) fn authorization(&self, setup: &Setup, access: &[Access<'_>]) -> Outcome<Option<String>> {
        self.authorization_of(ADMIN, setup, access)
    }

    /// The same for another user, where servers know users.
    ///
    /// # Errors
    /// The token service refuses.
    pub(crate) fn authorization_of(&self, user: &str, setup: &Setup, access: &[Access<'_>]) -> Outcome<Option<String>> {
        match self.kind {
            Kind::Hallmark => hallmark::token(self, user, access).map(Some),
            Kind::Distribution => setup.bearer(Algorithm::Es256, access).map(Some),
            Kind::Zot => setup.bearer(Algorithm::Rs256, access).map(Some),
            Kind::Nginx | Kind::Null => Ok(None),
        }
    }
}

/// Starts the program and asks until it answers: the process, its port, and how long that took.
fn launch(kind: Kind, engine: Option<&Running>, setup: &Setup, folder: &Path) -> Outcome<(Process, u16, Duration)> {
    let port = free_port()?;
    let mut command = command(kind, setup, folder, port)?;
    command.envs(engine.iter().flat_map(|engine| engine.variables.iter().map(|(name, value)| (name, value))));
    let begin = Instant::now();
    let process = Process::start(command, &folder.join("log"))?;
    while !answers(port) {
        if begin.elapsed() > START_LIMIT {
            return Err(Failure::new(format!("{kind} does not answer; its log:\n{}", process.log())));
        }
        thread::sleep(ASK_EVERY);
    }
    Ok((process, port, begin.elapsed()))
}

fn command(kind: Kind, setup: &Setup, folder: &Path, port: u16) -> Outcome<Command> {
    match kind {
        Kind::Hallmark => Ok(hallmark::command(setup, folder, port)),
        Kind::Distribution => distribution::command(&setup.issuer, folder, port),
        Kind::Zot => zot::command(&setup.issuer, folder, port),
        Kind::Nginx => nginx::command(folder, port),
        Kind::Null => null::command(port),
    }
}

fn answers(port: u16) -> bool {
    let ping = Request::new("GET", "/v2/", None);
    Connection::open(port).and_then(|mut connection| connection.exchange(&ping)).is_ok_and(|answer| answer.status < 500)
}
