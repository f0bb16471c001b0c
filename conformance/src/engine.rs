//! A Docker engine of a test's own, started by hand: a store of its own, no network, and no part in the machine's.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Outcome, process::Process};

/// How long an engine may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running engine. Dropping it ends it, and the containerd that it started.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    process: Process,
}

impl Engine {
    /// Starts an engine that keeps all that is its own in `folder`, with the variables that `command` has.
    ///
    /// # Errors
    /// Docker is not installed, or the engine does not answer in time; the failure carries its log.
    pub fn start(mut command: Command, folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let socket = folder.join("docker.sock");
        // The engine starts containerd and other programs by name.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--data-root").arg(folder.join("data"));
        command.arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"]);
        let mut process = Process::start(command, &folder.join("log"))?;
        process.wait_until("the engine answers", START_LIMIT, || answers(&socket))?;
        Ok(Self { socket, process })
    }

    /// Where it listens, as `DOCKER_HOST` and `--host` take it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In order, so that it takes the containerd that it started with it; if it will not, it is killed after.
        let _ = self.process.stop();
    }
}

fn answers(socket: &Path) -> bool {
    let ping = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ping().is_ok_and(|answer| answer.contains(" 200 "))
}
