//! A server that speaks TLS with a certificate of its own, and curl, which speaks HTTP/2 and HTTP/1.1 to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use hallmark_conformance::{
    Outcome,
    failure::While,
    process::{Process, attempt, run},
    server::{ADMIN, PASSWORD, Plan, Server},
    tools,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

/// How long a server may take to serve; its first answer cannot be had without TLS.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a replaced certificate may take to be noticed: the files are looked at every five seconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(30);

/// The versions of HTTP that curl is told to speak.
pub(crate) const HTTP2: &str = "--http2";
pub(crate) const HTTP1: &str = "--http1.1";

/// A running server with TLS on. It ends before the folder of its certificate goes.
pub(crate) struct Secure {
    process: Process,
    pub(crate) site: Site,
}

/// What of it can be asked while the process is waited on.
pub(crate) struct Site {
    pub(crate) server: Server,
    folder: TempDir,
}

impl Secure {
    pub(crate) fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let plan = Plan::default().flag("--tls-certificate").flag(path("cert.pem"));
        let mut server = plan.flag("--tls-key").flag(path("key.pem")).prepare()?;
        write_pair(folder.path())?;
        let mut process = server.spawn()?;
        process.wait_until("the server says that it serves", START_LIMIT, || server.log().contains("serving on"))?;
        Ok(Self { process, site: Site { server, folder } })
    }

    /// Waits until `done` says so, and fails when the server ends before.
    pub(crate) fn wait_until(&mut self, what: &str, mut done: impl FnMut(&Site) -> bool) -> Outcome<()> {
        let site = &self.site;
        self.process.wait_until(what, NOTICE_LIMIT, || done(site))
    }
}

impl Site {
    /// The file of the certificate that is served.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// A copy of the certificate as it is now, to trust later.
    pub(crate) fn trust(&self, name: &str) -> Outcome<PathBuf> {
        let copy = self.folder.path().join(name);
        fs::copy(self.certificate(), &copy)?;
        Ok(copy)
    }

    /// Replaces certificate and key as tools do that renew them: written aside, then renamed.
    pub(crate) fn renew(&self) -> Outcome<()> {
        let aside = tempfile::tempdir_in(self.folder.path())?;
        write_pair(aside.path())?;
        for name in ["key.pem", "cert.pem"] {
            fs::rename(aside.path().join(name), self.folder.path().join(name))?;
        }
        Ok(())
    }

    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    /// curl, trusting one certificate and nothing else.
    pub(crate) fn curl(&self, trusted: &Path, version: &str, words: &[&str]) -> Outcome<Command> {
        let mut command = Command::new(tools::locate("curl")?);
        command.args(["--disable", "--silent", "--show-error", "--max-time", "60", version, "--cacert"]).arg(trusted);
        command.args(words);
        Ok(command)
    }

    /// Whether a handshake with this trust succeeds, and a request is answered.
    pub(crate) fn answers_to(&self, trusted: &Path) -> Outcome<bool> {
        let url = format!("https://{}/livez", self.host());
        Ok(attempt(&mut self.curl(trusted, HTTP1, &["--fail", &url])?)?.status.success())
    }

    /// The `Authorization` header for one repository.
    pub(crate) fn authorization(&self, repository: &str) -> Outcome<String> {
        let (login, scope) = (format!("{ADMIN}:{PASSWORD}"), format!("scope=repository:{repository}:pull,push"));
        let url = format!("https://{}/token", self.host());
        let words = ["--fail", "--user", &login, "--get", "--data-urlencode", "service=hallmark"];
        let words = [words.as_slice(), &["--data-urlencode", &scope, &url]].concat();
        let answer = run(&mut self.curl(&self.certificate(), HTTP2, &words)?)?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let token = answer["token"].as_str().or_fail("the token answer has no token")?;
        Ok(format!("Authorization: Bearer {token}"))
    }

    /// What a request is answered, over this version of HTTP.
    pub(crate) fn ask(&self, version: &str, words: &[&str], path: &str) -> Outcome<Answer> {
        let url = if path.contains("://") { path.to_owned() } else { format!("https://{}{path}", self.host()) };
        let (head, body) = (self.folder.path().join("head"), self.folder.path().join("body"));
        let mut command = self.curl(&self.certificate(), version, words)?;
        command.arg("--dump-header").arg(&head).arg("--output").arg(&body);
        let told = run(command.args(["--write-out", "%{http_version} %{http_code}", &url]))?;
        let (version, status) = told.split_once(' ').or_fail(format!("curl told {told:?}"))?;
        Ok(Answer {
            version: version.to_owned(),
            status: status.parse().or_fail("a status is a number")?,
            head: fs::read_to_string(&head)?,
            body: fs::read(&body).unwrap_or_default(),
        })
    }

    /// A connection that stays open between its requests.
    pub(crate) fn connect(&self, trusted: &Path) -> Outcome<Kept> {
        let mut command = Command::new(tools::locate("openssl")?);
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &self.host(), "-CAfile"]).arg(trusted);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().or_fail("openssl has no input")?;
        let output = child.stdout.take().or_fail("openssl has no output")?;
        Ok(Kept { child, input, output: BufReader::new(output) })
    }
}

/// A fresh key and a certificate for localhost.
fn write_pair(folder: &Path) -> Outcome<()> {
    let pair = generate_simple_self_signed(["localhost".to_owned()]).or_fail("a certificate can be made")?;
    let CertifiedKey { cert, signing_key } = pair;
    fs::write(folder.join("key.pem"), signing_key.serialize_pem())?;
    Ok(fs::write(folder.join("cert.pem"), cert.pem())?)
}

/// What came back.
pub(crate) struct Answer {
    /// `2` or `1.1`.
    pub(crate) version: String,
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header of the last answer: `100 Continue` may stand before it.
    pub(crate) fn header(&self, name: &str) -> Outcome<String> {
        let found = self.head.lines().rev().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.or_fail(format!("no {name} in {}", self.head))
    }
}

/// A TLS connection by hand; dropping it ends it.
pub(crate) struct Kept {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Kept {
    /// Asks whether the server lives, and gives the status line and the body.
    pub(crate) fn ask(&mut self) -> Outcome<(String, String)> {
        self.input.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let (mut status, mut length) = (String::new(), 0);
        self.output.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? <= 2 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().or_fail("Content-Length is a number")?;
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body)?;
        Ok((status.trim().to_owned(), String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
