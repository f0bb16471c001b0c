//! What a client test stands on: a server, a relay before it that counts, a home of its own, and images made by code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hallmark_conformance::{
    Failure, Outcome,
    check::holds,
    image::{Image, Index, write_index_layout, write_layout},
    process::{attempt, run},
    registry::Registry,
    relay::{Manner, Relay},
    server::{Plan, Server},
    tools,
};

/// The layer that a server is killed in the middle of, and how much of it goes through before.
pub(crate) const LARGE: usize = 32 << 20;
pub(crate) const HALF: u64 = 12 << 20;
/// How long a client may take to get to the middle of a layer.
const MIDWAY_LIMIT: Duration = Duration::from_secs(60);

/// A server under test and a client's surroundings. All of it goes away with the test.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) relay: Relay,
}

/// How a client got its image through although the server died in the middle of a layer.
#[derive(Debug, PartialEq)]
pub(crate) enum Recovery {
    /// It tried again by itself.
    OwnRetry,
    /// It gave up, and the same command succeeded when it was given once more.
    SecondRun,
}

impl World {
    pub(crate) fn new() -> Outcome<Self> {
        Self::with(|_| Ok(Plan::default()))
    }

    /// A world whose server is started as `plan` says; files of settings may stand in the folder that it is given.
    pub(crate) fn with(plan: impl FnOnce(&Path) -> Outcome<Plan>) -> Outcome<Self> {
        let settings = tempfile::tempdir()?;
        let server = plan(settings.path())?.start()?;
        let relay = Relay::to(server.port())?;
        for folder in ["home", "run"] {
            fs::create_dir_all(server.scratch().join(folder))?;
        }
        Ok(Self { server, relay })
    }

    /// `localhost:<port>` of the relay: the name that clients know the registry by.
    pub(crate) fn host(&self) -> String {
        self.relay.host()
    }

    /// `localhost:<port>/admin/<name>`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/admin/{name}", self.host())
    }

    /// The raw verbs, which go past the relay.
    pub(crate) fn registry(&self) -> Registry {
        self.server.registry()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.server.scratch().join(name)
    }

    /// A program whose settings, credentials and caches lie in this world's home and nowhere else.
    pub(crate) fn program(&self, name: &str) -> Outcome<Command> {
        let home = self.path("home");
        let mut command = Command::new(tools::locate(name)?);
        command
            .current_dir(&home)
            .env("HOME", &home)
            .env("DOCKER_CONFIG", home.join("docker"))
            .env("REGISTRY_AUTH_FILE", home.join("auth.json"))
            .env("REGCTL_CONFIG", home.join("regctl.json"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_DATA_HOME", home.join("data"));
        Ok(command)
    }

    /// Runs a program to a good end and gives what it printed.
    pub(crate) fn run(&self, name: &str, words: &[&str]) -> Outcome<String> {
        run(self.program(name)?.args(words))
    }

    /// Holds that a program refuses, and that it says one of these words.
    pub(crate) fn refuses(&self, name: &str, words: &[&str], said: &[&str]) -> Outcome<()> {
        let ran = attempt(self.program(name)?.args(words))?;
        let all = format!("{}{}", ran.output, ran.complaints).to_lowercase();
        holds(!ran.status.success(), || format!("{name} {words:?} was to fail: {all}"))?;
        holds(said.iter().any(|word| all.contains(word)), || {
            format!("{name} {words:?} was to say one of {said:?}: {all}")
        })
    }

    /// An OCI image layout with one image, called `1`.
    pub(crate) fn layout(&self, name: &str, image: &Image) -> Outcome<PathBuf> {
        let folder = self.path(name);
        write_layout(&folder, image, "1")?;
        Ok(folder)
    }

    /// An OCI image layout with one index, called `1`.
    pub(crate) fn index_layout(&self, name: &str, index: &Index) -> Outcome<PathBuf> {
        let folder = self.path(name);
        write_index_layout(&folder, index, "1")?;
        Ok(folder)
    }

    /// How often the relay saw a mount asked for, and how many bytes of blobs it saw since `before`.
    pub(crate) fn mounts_since(&self, before: usize) -> (usize, u64) {
        let seen = self.relay.seen();
        let since = seen.iter().skip(before).filter(|seen| seen.is_upload());
        let mounts = since.clone().filter(|seen| seen.target.contains("mount=")).count();
        let bytes = since.map(|seen| seen.body).sum();
        (mounts, bytes)
    }

    /// Runs a push, kills the server in the middle of its large layer, starts it on the same data, and tells how the
    /// client came through. By [`Manner::Cut`] the client's own write breaks, by [`Manner::Swallow`] its waiting.
    ///
    /// # Errors
    /// The client did not come through at all, or the server was not in the middle of the layer.
    #[expect(clippy::print_stdout, reason = "what a client said when it gave up explains the second run")]
    pub(crate) fn push_over_a_kill(&mut self, push: &mut Command, manner: Manner) -> Outcome<Recovery> {
        self.relay.stop_upload_after(HALF, manner);
        let child = start(push)?;
        let midway = self.relay.wait_until_stopped(MIDWAY_LIMIT);
        if midway.is_ok() {
            self.server.kill()?;
        }
        let given: u64 = self.relay.seen().iter().filter(|seen| seen.is_upload()).map(|seen| seen.passed).sum();
        self.relay.break_stopped();
        if midway.is_ok() {
            self.server.start()?;
        }
        let output = child.wait_with_output()?;
        midway.map_err(|failure| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Failure::caused_by(format!("{push:?} said {said}"), failure)
        })?;
        holds((HALF..LARGE as u64).contains(&given), || {
            format!("the server was to have a part of the layer when it died, and was given {given} bytes")
        })?;
        if output.status.success() {
            return Ok(Recovery::OwnRetry);
        }
        println!("gave up: {}", String::from_utf8_lossy(&output.stderr));
        run(push)?;
        Ok(Recovery::SecondRun)
    }
}

/// Starts a client whose words are kept for later.
pub(crate) fn start(command: &mut Command) -> Outcome<Child> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(child.spawn()?)
}

/// Holds that a layout that a client wrote has every blob of an image, byte for byte.
pub(crate) fn holds_image(layout: &Path, image: &Image) -> Outcome<()> {
    for content in image.blobs().chain([&image.manifest]) {
        let path = layout.join("blobs").join(content.digest.replace(':', "/"));
        let found = fs::read(&path).unwrap_or_default();
        holds(found == content.bytes, || {
            format!("{} is not the {} that was pushed", path.display(), content.media_type)
        })?;
    }
    Ok(())
}

/// Holds that a text that a client printed has this word as a line of its own.
pub(crate) fn has_line(printed: &str, word: &str) -> Outcome<()> {
    holds(printed.lines().any(|line| line.trim() == word), || format!("no line is {word:?} in:\n{printed}"))
}

/// A text path; temporary folders have no other.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
