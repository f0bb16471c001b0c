//! A PostgreSQL or S3 server of a test's own, started by the scripts of the storage suites, that can be stopped in the middle
//! of its work and go on.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStringExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;

use crate::{
    Failure, Outcome,
    failure::While,
    process::{Process, run},
};

/// The key of every scratch S3 server.
pub const ACCESS_KEY_ID: &str = "test-key";
/// The bucket that a scratch S3 server has.
pub const BUCKET: &str = "images";

/// How long a server that was told to end may take.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A running server. It stops and its folder goes when the value does: its script waits for the end of its input.
#[derive(Debug)]
pub struct Scratch {
    script: Child,
    input: Option<ChildStdin>,
    url: String,
    /// How the server that was killed had been started.
    killed: Option<Program>,
    /// The one that took its place, and its log.
    revived: Option<(Process, NamedTempFile)>,
}

impl Scratch {
    /// A PostgreSQL server with a database of its own.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub fn postgres() -> Outcome<Self> {
        Self::start("postgres.sh", &[], &[])
    }

    /// As [`Scratch::postgres`], with these variables, such as those that give it another time.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub fn postgres_with(variables: &[(&str, String)]) -> Outcome<Self> {
        Self::start("postgres.sh", &[], variables)
    }

    /// An S3 server with an empty bucket and this secret.
    ///
    /// # Errors
    /// versitygw is not installed or does not start.
    pub fn s3(secret: &str) -> Outcome<Self> {
        Self::start("versitygw.sh", &[ACCESS_KEY_ID, secret], &[])
    }

    /// An S3 server that is reached over TLS, with this certificate and its key, and answers for this region alone.
    ///
    /// # Errors
    /// versitygw is not installed or does not start.
    pub fn s3_over_tls(secret: &str, (certificate, key): (&Path, &Path), region: &str) -> Outcome<Self> {
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        Self::start("versitygw.sh", &[ACCESS_KEY_ID, secret, &certificate, &key], &[("VGW_REGION", region.to_owned())])
    }

    fn start(script: &str, words: &[&str], variables: &[(&str, String)]) -> Outcome<Self> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../storage-adapters/tests")).join(script);
        let mut command = Command::new(&path);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().or_fail(format!("cannot start {}", path.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut line = String::new();
        BufReader::new(output.or_fail("the script has no output")?).read_line(&mut line)?;
        let scratch = Self { script: child, input, url: line.trim().to_owned(), killed: None, revived: None };
        if scratch.url.is_empty() {
            return Err(Failure::new(format!("{script} started nothing; what is missing stands above")));
        }
        Ok(scratch)
    }

    /// Where the server is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder that an S3 server keeps the objects of its bucket in, each a file under its key.
    ///
    /// # Errors
    /// The server does not run.
    pub fn objects(&self) -> Outcome<PathBuf> {
        let id = children(self.script.id()).first().copied().or_fail("the server does not run")?;
        let folder = Program::of(id)?.words.pop().or_fail("the server was started without a folder")?;
        Ok(PathBuf::from(folder).join(BUCKET))
    }

    /// Ends the server as a crash does: nothing is written any more, and every connection breaks.
    ///
    /// # Errors
    /// The server does not run, or does not end.
    pub fn kill(&mut self) -> Outcome<()> {
        if let Some((mut process, _log)) = self.revived.take() {
            self.killed = Some(Program::of(process.id())?);
            process.signal("QUIT")?;
            return process.wait(END_LIMIT).map(drop);
        }
        let id = children(self.script.id()).first().copied().or_fail("the server does not run")?;
        self.killed = Some(Program::of(id)?);
        // PostgreSQL ends all its processes at once; what does not know this signal ends as well.
        run(Command::new("kill").args(["-s", "QUIT", &id.to_string()]))?;
        let begin = std::time::Instant::now();
        while runs(id) {
            if begin.elapsed() > END_LIMIT {
                return Err(Failure::new(format!("the server still runs {END_LIMIT:?} after SIGQUIT")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Starts the server that was killed on what it left, under the same address.
    ///
    /// # Errors
    /// Nothing was killed, or it cannot be started.
    pub fn revive(&mut self) -> Outcome<()> {
        let program = self.killed.take().or_fail("no server was killed")?;
        let log = NamedTempFile::new()?;
        self.revived = Some((Process::start(program.command()?, log.path())?, log));
        Ok(())
    }

    /// What the server has said since it was started again.
    pub fn log(&self) -> String {
        let file = self.revived.as_ref().map(|(_, log)| log.path());
        file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default()
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
        if let Some((process, _log)) = &mut self.revived {
            // In order, so that nothing is written into the folder that goes; if it will not, it is killed after.
            let _ = process.signal("INT").and_then(|()| process.wait(END_LIMIT));
        }
        drop(self.input.take());
        let _ = self.script.wait();
    }
}

/// The processes that a process has started and that still run.
fn children(id: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process runs: one that has ended stays in the list until its parent has asked for its status.
fn runs(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// What a running process was started with.
#[derive(Debug)]
struct Program {
    words: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: PathBuf,
    user: u32,
    group: u32,
}

impl Program {
    fn of(id: u32) -> Outcome<Self> {
        let file = |name: &str| fs::read(format!("/proc/{id}/{name}"));
        let status = String::from_utf8_lossy(&file("status")?).into_owned();
        let owner = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|ids| ids.split_whitespace().next()?.parse().ok()).or_fail(format!("no {field} in {status}"))
        };
        let pair = |text: OsString| {
            let bytes = text.into_vec();
            let equals = bytes.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (bytes[..equals].to_vec(), bytes[equals + 1..].to_vec());
            Some((OsString::from_vec(name), OsString::from_vec(value)))
        };
        Ok(Self {
            words: texts(&file("cmdline")?),
            variables: texts(&file("environ")?).into_iter().filter_map(pair).collect(),
            folder: fs::read_link(format!("/proc/{id}/cwd"))?,
            user: owner("Uid:")?,
            group: owner("Gid:")?,
        })
    }

    fn command(&self) -> Outcome<Command> {
        let (program, words) = self.words.split_first().or_fail("the process had no name")?;
        let mut command = Command::new(program);
        command.args(words).env_clear().envs(self.variables.iter().cloned()).current_dir(&self.folder);
        command.uid(self.user).gid(self.group);
        Ok(command)
    }
}

/// Texts that each end with a zero byte.
fn texts(bytes: &[u8]) -> Vec<OsString> {
    let ended = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    ended.split(|byte| *byte == 0).map(|text| OsString::from_vec(text.to_vec())).collect()
}
